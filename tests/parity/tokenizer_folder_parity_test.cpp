// Ids of tokenizer folders against transformers and tokenizers
// (scripts/fixtures/tokenizer_folders.py).
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/files.h"
#include "saferclip/text/tokenizer.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

const std::string kFolders = std::string(SAFERCLIP_FIXTURES) + "/text/folders/";

class TokenizerFolderParity : public ::testing::TestWithParam<const char*> {
 protected:
  static nlohmann::json expected() {
    return nlohmann::json::parse(read_file(kFolders + "expected.json"));
  }
  static void expect_ids(const Tokenizer& tokenizer, const nlohmann::json& all,
                         const nlohmann::json& own) {
    const auto pad = static_cast<std::int32_t>(tokenizer.spec().pad_id);
    EXPECT_EQ(pad, own["pad"]);
    for (std::size_t i = 0; i < all["captions"].size(); ++i) {
      const auto caption = all["captions"][i].get<std::string>();
      auto ids = own["ids"][i].get<std::vector<std::int32_t>>();
      if (tokenizer.spec().is_padded) ids.resize(all["context"], pad);
      EXPECT_EQ(tokenizer.encode(caption), ids) << caption;
    }
  }
};

TEST_P(TokenizerFolderParity, EqualsTransformers) {
  const auto all = expected();
  const std::string name = GetParam();
  const bool is_clip = name.starts_with("clip");
  const auto tokenizer = load_tokenizer(kFolders + name, all["context"],
                                        is_clip ? TextCleaning::kHuggingFace : TextCleaning::kNone);
  EXPECT_EQ(tokenizer->spec().is_padded, !is_clip);
  EXPECT_FALSE(tokenizer->is_clip());
  expect_ids(*tokenizer, all, all["folders"][name]);
}

// What an export writes is read to the same ids.
TEST_P(TokenizerFolderParity, FilesReadBackToTheSameIds) {
  const auto all = expected();
  const std::string name = GetParam();
  const auto cleaning = name.starts_with("clip") ? TextCleaning::kHuggingFace : TextCleaning::kNone;
  const TemporaryFolder folder;
  for (const auto& [file, content] :
       load_tokenizer(kFolders + name, all["context"], cleaning)->hugging_face_files())
    write_file_atomically(folder / file, content);
  const auto again = load_tokenizer(folder.path(), all["context"], cleaning);
  expect_ids(*again, all, all["folders"][name]);
}

INSTANTIATE_TEST_SUITE_P(Folders, TokenizerFolderParity,
                         ::testing::Values("clip_plain", "clip_pad", "clip_pad_saved", "clip_added",
                                           "clip_flags", "clip_flags_saved", "clip_both",
                                           "clip_library", "siglip_json", "siglip2_json",
                                           "siglip2_unknown"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace saferclip
