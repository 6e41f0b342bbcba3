// Token ids against open_clip's tokenizer and transformers' CLIPTokenizer
// (scripts/fixtures/text.py).
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "saferclip/text/tokenizer.h"

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

}  // namespace
}  // namespace saferclip
