// SigLIP's tokenizers: cutting and padding, what folders may hold, damaged model files.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <random>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/text/tokenizer.h"
#include "support/temporary_folder.h"
#include "text/clean.h"
#include "text/sentencepiece_model.h"

namespace saferclip {
namespace {

namespace fs = std::filesystem;
using ::testing::Each;
using ::testing::HasSubstr;
using Ids = std::vector<std::int32_t>;

const fs::path kSiglip = fs::path(SAFERCLIP_FIXTURES) / "text" / "siglip";
const fs::path kGemma = fs::path(SAFERCLIP_FIXTURES) / "text" / "siglip2";

std::unique_ptr<Tokenizer> load(const fs::path& path, TextCleaning cleaning = TextCleaning::kSiglip,
                                std::int64_t context = 64) {
  return load_sentencepiece_tokenizer(path, context, cleaning);
}

std::string refusal(const fs::path& path) {
  try {
    load(path);
  } catch (const DataError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(SentencePiece, SaysWhatTheModelExpects) {
  const TextSpec siglip = load(kSiglip)->spec();
  EXPECT_EQ(siglip, (TextSpec{64, 400, -1, 1, 1, true, TextCleaning::kSiglip}));
  const TextSpec gemma = load(kGemma, TextCleaning::kNone, 16)->spec();
  EXPECT_EQ(gemma, (TextSpec{16, 700, -1, 1, 0, true, TextCleaning::kNone}));
  EXPECT_FALSE(TextSpec{}.is_padded);
}

TEST(SentencePiece, CutsAndKeepsTheEndMark) {
  std::string caption;
  for (int i = 0; i < 50; ++i) caption += "dog ";
  for (const fs::path& folder : {kSiglip, kGemma}) {
    const Ids whole = load(folder)->encode(caption);
    const Ids cut = load(folder, TextCleaning::kSiglip, 16)->encode(caption);
    ASSERT_EQ(whole.size(), 64U);
    ASSERT_EQ(cut.size(), 16U);
    EXPECT_EQ(cut.back(), 1);
    EXPECT_EQ(Ids(cut.begin(), cut.end() - 1), Ids(whole.begin(), whole.begin() + 15));
    EXPECT_EQ(load(folder, TextCleaning::kSiglip, 1)->encode(caption), Ids{1});
  }
}

TEST(SentencePiece, PadsToTheContextLength) {
  EXPECT_THAT(load(kSiglip)->encode(""), Each(1));
  Ids empty(64, 0);
  empty[0] = 1;
  EXPECT_EQ(load(kGemma)->encode(" ...\n"), empty);
  EXPECT_EQ(load(kGemma, TextCleaning::kNone)->encode(""), empty);
  EXPECT_EQ(load(kGemma)->encode(std::string(1 << 20, 'a')).size(), 64U);
}

TEST(SentencePiece, ReplacesMalformedBytes) {
  for (const fs::path& folder : {kSiglip, kGemma}) {
    const auto tokenizer = load(folder);
    EXPECT_EQ(tokenizer->encode("a\xFF dog\xE2\x82"),
              tokenizer->encode("a\xEF\xBF\xBD dog\xEF\xBF\xBD"));
    EXPECT_EQ(tokenizer->encode("\xED\xA0\x80").size(), 64U);
  }
}

TEST(SentencePiece, UnknownCharacters) {
  // Not in the vocabulary: the unknown piece for SigLIP, the bytes of UTF-8 for SigLIP 2.
  const Ids siglip = load(kSiglip)->encode("\xF0\x9F\xA6\x86");
  EXPECT_NE(std::find(siglip.begin(), siglip.end(), 2), siglip.end());
  const Ids gemma = load(kGemma)->encode("\xF0\x9F\xA6\x86");
  EXPECT_EQ(std::find(gemma.begin(), gemma.end(), 3), gemma.end());
  EXPECT_EQ(gemma[4], 1);
}

TEST(SentencePiece, MarksInCaptions) {
  const auto count = [](const Ids& ids, std::int32_t id) {
    return std::count(ids.begin(), ids.end(), id);
  };
  // transformers takes the marks of the raw caption; open_clip cleans them away first.
  EXPECT_EQ(load(kSiglip)->encode("</s>a dog")[0], 1);
  EXPECT_EQ(count(load(kGemma, TextCleaning::kNone)->encode("<eos> a <bos>"), 1), 2);
  EXPECT_EQ(count(load(kGemma, TextCleaning::kNone)->encode("<eos> a <bos>"), 2), 1);
  EXPECT_EQ(load(kGemma)->encode("<eos>"), load(kGemma)->encode("eos"));
}

TEST(SentencePiece, CleansAsSiglipWasTrained) {
  EXPECT_EQ(clean_text(U" A  Dog's\tsnake_case, \u00C9T\u00C9! ", TextCleaning::kSiglip),
            U"a dogs snakecase \u00E9t\u00E9");
  const auto tokenizer = load(kGemma);
  EXPECT_EQ(tokenizer->encode("Two DOGS!"), tokenizer->encode("two dogs"));
  const auto plain = load(kGemma, TextCleaning::kNone);
  EXPECT_NE(plain->encode("Two DOGS!"), plain->encode("two dogs"));
  EXPECT_EQ(to_string(TextCleaning::kSiglip), "siglip");
  EXPECT_THROW(load(kSiglip, TextCleaning::kHuggingFace), ConfigError);
}

TEST(SentencePiece, FilesReadBackToTheSameIds) {
  for (const fs::path& source :
       {kSiglip, kSiglip / "spiece.model", kGemma, kGemma / "tokenizer.model"}) {
    for (const TextCleaning cleaning : {TextCleaning::kSiglip, TextCleaning::kNone}) {
      const TemporaryFolder folder;
      const auto tokenizer = load(source, cleaning);
      for (const auto& [name, content] : tokenizer->hugging_face_files())
        write_file_atomically(folder / name, content);
      EXPECT_TRUE(is_file(folder / "tokenizer_config.json"));
      EXPECT_EQ(is_file(folder / "special_tokens_map.json"), is_file(source));
      const auto again = load(folder.path(), cleaning);
      EXPECT_EQ(again->fingerprint(), tokenizer->fingerprint());
      EXPECT_EQ(again->spec(), tokenizer->spec());
      for (const char* text :
           {"a photo of a cat.", "", "</s> x <eos>", "Caf\xC3\xA9  \xF0\x9F\x98\x80"})
        EXPECT_EQ(again->encode(text), tokenizer->encode(text)) << text;
    }
  }
}

TEST(SentencePiece, KeepsTheFilesOfItsFolder) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "spiece.model", read_file(kSiglip / "spiece.model"));
  const std::string config = R"({"tokenizer_class": "T5TokenizerFast", "pad_token": "<pad>"})";
  write_file_atomically(folder / "tokenizer_config.json", config);
  write_file_atomically(folder / "tokenizer.json", "{}");
  const auto tokenizer = load(folder.path());
  EXPECT_EQ(tokenizer->spec().pad_id, 0);
  EXPECT_EQ(tokenizer->encode("")[1], 0);
  std::map<std::string, std::string> files;
  for (const auto& [name, content] : tokenizer->hugging_face_files()) files[name] = content;
  EXPECT_EQ(files["tokenizer_config.json"], config);
  EXPECT_EQ(files["tokenizer.json"], "{}");
  EXPECT_EQ(files["spiece.model"], read_file(kSiglip / "spiece.model"));
}

TEST(SentencePiece, NamesWhatDoesNotFit) {
  const TemporaryFolder folder;
  EXPECT_THAT(refusal(folder.path()), HasSubstr("found neither"));
  EXPECT_THAT(refusal(folder / "missing.model"), HasSubstr("missing.model"));
  write_file_atomically(folder / "tokenizer.json", "{}");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("only tokenizer.json"));
  // The name alone does not decide: the ids do, and the class must agree with them.
  write_file_atomically(folder / "tokenizer.model", read_file(kSiglip / "spiece.model"));
  EXPECT_EQ(refusal(folder.path()), "accepted");
  const fs::path config = folder / "tokenizer_config.json";
  write_file_atomically(config, R"({"tokenizer_class": "GemmaTokenizer"})");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("tokenizer_class belongs to SigLIP 2"));
  write_file_atomically(config, R"({"tokenizer_class": 3})");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("tokenizer_class: expected text"));
  write_file_atomically(config, R"({"pad_token": {"content": "<none>"}})");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("no piece \"<none>\""));
  write_file_atomically(config, R"({"add_bos_token": true})");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("add_bos_token: found true"));
  write_file_atomically(config, "[]");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("expected a JSON object"));
  fs::remove(config);
  write_file_atomically(folder / "spiece.model", read_file(kSiglip / "spiece.model"));
  EXPECT_THAT(refusal(folder.path()), HasSubstr("has both"));
}

// One field of a protocol buffer whose value is bytes.
std::string field(int id, const std::string& bytes) {
  std::string out{static_cast<char>(id << 3 | 2)};
  std::size_t size = bytes.size();
  for (; size >= 0x80; size >>= 7U) out += static_cast<char>(size | 0x80U);
  return out + static_cast<char>(size) + bytes;
}

std::string piece(const std::string& text, float score) {
  std::string number(sizeof(score), '\0');
  std::memcpy(number.data(), &score, sizeof(score));
  return field(1, field(1, text) + "\x15" + number);
}

std::string table(std::uint32_t unit, const std::string& texts) {
  std::string array(256 * sizeof(unit), '\0');
  std::memcpy(array.data(), &unit, sizeof(unit));
  return field(3, field(2, std::string("\0\4\0\0", 4) + array + texts));
}

TEST(SentencePiece, DamagedModels) {
  const auto problem = [](const std::string& bytes) -> std::string {
    try {
      read_sentencepiece_model(bytes, "m.model");
    } catch (const DataError& error) {
      return error.what();
    }
    return "accepted";
  };
  const std::string good = read_file(kSiglip / "spiece.model");
  const std::string nul(1, '\0');
  EXPECT_EQ(problem(good), "accepted");
  EXPECT_THAT(problem(""), HasSubstr("m.model: has no pieces"));
  EXPECT_THAT(problem("{}"), HasSubstr("is not a SentencePiece model"));
  EXPECT_THAT(problem(good.substr(0, good.size() / 2)), HasSubstr("damaged"));
  EXPECT_THAT(problem(piece("a", NAN)), HasSubstr("not finite"));
  EXPECT_THAT(problem(piece("\xFF", 0)), HasSubstr("not UTF-8"));
  EXPECT_THAT(problem(piece("", 0)), HasSubstr("has 0 bytes"));
  EXPECT_THAT(problem(piece(std::string(5000, 'a'), 0)), HasSubstr("has 5000 bytes"));
  EXPECT_THAT(problem(piece("a", 0) + field(2, "\x18\x03")), HasSubstr("of type 3"));
  EXPECT_EQ(problem(piece("a", 0) + table(0, "ab" + nul)), "accepted");
  EXPECT_THAT(problem(piece("a", 0) + table(0x40000U << 10U, "ab" + nul)),
              HasSubstr("an offset outside"));
  EXPECT_THAT(problem(piece("a", 0) + table(0x80000003U, "ab" + nul)),
              HasSubstr("an offset outside"));
  EXPECT_THAT(problem(piece("a", 0) + table(0x80000000U, std::string(300, 'a') + nul)),
              HasSubstr("long texts"));
  EXPECT_THAT(problem(piece("a", 0) + table(0, "ab")), HasSubstr("not UTF-8"));
}

TEST(SentencePiece, DamagedFilesEndInOneErrorAndNoOutput) {
  const TemporaryFolder folder;
  std::mt19937_64 rng(7);
  testing::internal::CaptureStderr();
  int refused = 0;
  for (const fs::path& source : {kSiglip / "spiece.model", kGemma / "tokenizer.model"}) {
    const std::string good = read_file(source);
    for (int i = 0; i < 100; ++i) {
      std::string bytes = good;
      for (int k = 0; k < 3; ++k) bytes[rng() % bytes.size()] = static_cast<char>(rng());
      if (i % 3 == 0) bytes.resize(rng() % bytes.size());
      write_file_atomically(folder / "m.model", bytes);
      try {
        load(folder / "m.model")->encode("Two dogs \xF0\x9F\x98\x80 in a caf\xC3\xA9.");
      } catch (const DataError& error) {
        EXPECT_THAT(error.what(), HasSubstr("m.model"));
        ++refused;
      }
    }
  }
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
  EXPECT_GT(refused, 66);
}

}  // namespace
}  // namespace saferclip
