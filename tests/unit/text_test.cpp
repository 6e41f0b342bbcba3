#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/text/tokenizer.h"
#include "support/temporary_folder.h"
#include "text/byte_pair_encoder.h"
#include "text/clean.h"
#include "text/unicode.h"

namespace saferclip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kVocabulary = std::string(SAFERCLIP_DATA) + "/bpe_simple_vocab_16e6.txt.gz";

TEST(Unicode, MalformedBytesBecomeReplacementCharacters) {
  // Counts as CPython's "replace" gives them.
  EXPECT_EQ(decode_utf8("a\xFF\x62"), U"a\uFFFDb");
  EXPECT_EQ(decode_utf8("\xE2\x82"), U"\uFFFD");
  EXPECT_EQ(decode_utf8("\xED\xA0\x80"), U"\uFFFD\uFFFD\uFFFD");
  EXPECT_EQ(decode_utf8("\xC0\xAF"), U"\uFFFD\uFFFD");
  EXPECT_EQ(decode_utf8("\xF0\x9F\x98x"), U"\uFFFDx");
  EXPECT_EQ(encode_utf8(decode_utf8("caf\xC3\xA9 \xF0\x9F\x98\x80")),
            "caf\xC3\xA9 \xF0\x9F\x98\x80");
}

TEST(Clean, HtmlLikePython) {
  EXPECT_EQ(unescape_html(U"&amp;lt; &#65;&#x42; &eacute &bogus; &notit; &#0; &"),
            U"&lt; AB \u00E9 &bogus; \u00ACit; \uFFFD &");
}

TEST(Clean, LowerCaseRules) {
  EXPECT_EQ(clean_text(U"\u03A3\u0391\u03A3", TextCleaning::kNone), U"\u03C3\u03B1\u03C2");
  EXPECT_EQ(clean_text(U"\u03A3\u0391\u03A3", TextCleaning::kHuggingFace), U"\u03C3\u03B1\u03C3");
  EXPECT_EQ(clean_text(U"  a \u00A0\n b ", TextCleaning::kHuggingFace), U"a b");
}

TEST(Tokenizer, KeepsTheEndMarkWhenItCuts) {
  const auto tokenizer = load_clip_tokenizer(kVocabulary, 8, TextCleaning::kOpenAi);
  const auto ids = tokenizer->encode("one two three four five six seven eight nine");
  EXPECT_EQ(ids.size(), 8U);
  EXPECT_EQ(ids.front(), 49406);
  EXPECT_EQ(ids.back(), 49407);
  EXPECT_THAT(tokenizer->encode(""), ElementsAre(49406, 49407));
}

TEST(Tokenizer, FilesReadBackToTheSameIds) {
  const TemporaryFolder folder;
  const auto clip = load_clip_tokenizer(kVocabulary, 77, TextCleaning::kHuggingFace);
  for (const auto& [name, content] : clip->hugging_face_files())
    write_file_atomically(folder / name, content);
  const auto again = load_hugging_face_tokenizer(folder.path(), 77, TextCleaning::kHuggingFace);
  EXPECT_EQ(again->spec().vocab_size, 49408);
  for (const char* text : {"a photo of a cat.", "don't stop 42 caf\xC3\xA9", "<|endoftext|> x",
                           "\xE6\x97\xA5\xE6\x9C\xAC"}) {
    EXPECT_EQ(again->encode(text), clip->encode(text)) << text;
  }
}

class SmallVocabulary : public ::testing::Test {
 protected:
  // Bytes, bytes at a word's end, "ab", "ab</w>", the two special tokens.
  SmallVocabulary() {
    int id = 0;
    for (const std::string end : {"", "</w>"}) {
      for (const unsigned char byte : byte_order()) vocabulary_[byte_symbols()[byte] + end] = id++;
    }
    vocabulary_["ab"] = id++;
    vocabulary_["ab</w>"] = id++;
    vocabulary_["<|startoftext|>"] = id++;
    vocabulary_["<|endoftext|>"] = id++;
  }
  std::string refusal(const std::string& merges) {
    write_file_atomically(folder_ / "vocab.json", vocabulary_.dump());
    write_file_atomically(folder_ / "merges.txt", merges);
    try {
      load_hugging_face_tokenizer(folder_.path(), 16, TextCleaning::kHuggingFace);
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  }
  nlohmann::json vocabulary_;
  TemporaryFolder folder_;
};

TEST_F(SmallVocabulary, MergesByRank) {
  ASSERT_EQ(refusal("#version: 0.2\na b\na b</w>\n"), "accepted");
  const auto tokenizer =
      load_hugging_face_tokenizer(folder_.path(), 16, TextCleaning::kHuggingFace);
  const int ab = vocabulary_["ab"];
  const int last_ab = vocabulary_["ab</w>"];
  EXPECT_THAT(tokenizer->encode("abab"), ElementsAre(514, ab, last_ab, 515));
}

TEST_F(SmallVocabulary, NamesWhatDoesNotFit) {
  EXPECT_THAT(refusal("a b c\n"), HasSubstr("merges.txt:1"));
  EXPECT_THAT(refusal("x y\n"), HasSubstr("no entry \"xy\""));
  auto good = vocabulary_;
  vocabulary_["<|endoftext|>"] = 3;
  EXPECT_THAT(refusal("a b\n"), HasSubstr("is not one of"));
  vocabulary_ = good;
  vocabulary_["<|startoftext|>"] = 515;
  vocabulary_["<|endoftext|>"] = 514;
  EXPECT_EQ(refusal("a b\n"), "accepted");  // the marks are found by their names
  vocabulary_ = nlohmann::json::array();
  EXPECT_THAT(refusal("a b\n"), HasSubstr("expected a JSON object"));
}

TEST(Tokenizer, RefusesAnotherVocabularyFile) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "v.gz", "not it");
  EXPECT_THROW(load_clip_tokenizer(folder / "v.gz", 77, TextCleaning::kOpenAi), DataError);
}

}  // namespace
}  // namespace saferclip
