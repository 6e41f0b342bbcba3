// Token ids against open_clip's tokenizer and transformers' CLIPTokenizer
// (scripts/fixtures/text.py); SigLIP's against SiglipTokenizer, GemmaTokenizer and open_clip's
// HFTokenizer (scripts/fixtures/sentencepiece.py).
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "saferclip/text/tokenizer.h"
#include "text/clean.h"
#include "text/unicode.h"

namespace saferclip {
namespace {

const std::string kVocabulary = std::string(SAFERCLIP_DATA) + "/bpe_simple_vocab_16e6.txt.gz";

void expect_ids(TextCleaning cleaning, const std::string& column) {
  const auto tokenizer = load_clip_tokenizer(kVocabulary, 77, cleaning);
  std::ifstream in(std::string(SAFERCLIP_FIXTURES) + "/text/ids.jsonl");
  std::size_t compared = 0;
  for (std::string line; std::getline(in, line);) {
    const auto json = nlohmann::json::parse(line);
    if (!json.contains("text")) continue;
    const auto text = json["text"].get<std::string>();
    EXPECT_EQ(tokenizer->encode(text), json[column].get<std::vector<std::int32_t>>()) << text;
    ++compared;
  }
  EXPECT_GT(compared, 190U);
}

TEST(TokenizerParity, EqualsOpenClip) { expect_ids(TextCleaning::kOpenAi, "open_clip"); }
TEST(TokenizerParity, EqualsTransformers) { expect_ids(TextCleaning::kHuggingFace, "hf"); }

// Calls `compare` with each row and a function that pads a column of it.
template <class Compare>
void each_sentencepiece_row(const Tokenizer& tokenizer, Compare compare) {
  std::ifstream in(std::string(SAFERCLIP_FIXTURES) + "/text/sentencepiece_ids.jsonl");
  std::size_t compared = 0;
  for (std::string line; std::getline(in, line);) {
    const auto json = nlohmann::json::parse(line);
    if (!json.contains("text")) continue;
    const auto padded = [&](const char* column) {
      auto ids = json[column].get<std::vector<std::int32_t>>();
      ids.resize(64, static_cast<std::int32_t>(tokenizer.spec().pad_id));
      return ids;
    };
    compare(json["text"].get<std::string>(), json["open_clip_text"].get<std::string>(), padded);
    ++compared;
  }
  EXPECT_GT(compared, 200U);
}

std::unique_ptr<Tokenizer> sentencepiece(const std::string& folder, TextCleaning cleaning) {
  return load_sentencepiece_tokenizer(std::string(SAFERCLIP_FIXTURES) + "/text/" + folder, 64,
                                      cleaning);
}

TEST(SentencePieceParity, SiglipEqualsTransformers) {
  const auto tokenizer = sentencepiece("siglip", TextCleaning::kSiglip);
  each_sentencepiece_row(*tokenizer, [&](const auto& text, const auto&, auto padded) {
    EXPECT_EQ(tokenizer->encode(text), padded("siglip")) << text;
  });
}

TEST(SentencePieceParity, Siglip2EqualsTransformers) {
  const auto tokenizer = sentencepiece("siglip2", TextCleaning::kNone);
  each_sentencepiece_row(*tokenizer, [&](const auto& text, const auto&, auto padded) {
    EXPECT_EQ(tokenizer->encode(text), padded("gemma")) << text;
  });
}

// open_clip repairs and unescapes captions before it cleans them: its own cleaned text must give
// its ids, and so must the raw one wherever the two cleanings agree.
TEST(SentencePieceParity, BothEqualOpenClip) {
  for (const auto& [folder, column] :
       {std::pair{"siglip", "siglip_open_clip"}, {"siglip2", "gemma_open_clip"}}) {
    const auto tokenizer = sentencepiece(folder, TextCleaning::kSiglip);
    std::size_t agreeing = 0;
    each_sentencepiece_row(*tokenizer, [&](const auto& text, const auto& cleaned, auto padded) {
      EXPECT_EQ(tokenizer->encode(cleaned), padded(column)) << text;
      const auto own = encode_utf8(clean_text(decode_utf8(text), TextCleaning::kSiglip));
      if (own == cleaned && own == text) ++agreeing;
      if (own == cleaned && std::string(folder) == "siglip2") {
        EXPECT_EQ(tokenizer->encode(text), padded(column)) << text;
      }
    });
    EXPECT_GT(agreeing, 20U);
  }
}

}  // namespace
}  // namespace saferclip
