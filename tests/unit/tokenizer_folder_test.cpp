// Tokenizer folders that are refused, and for what.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/text/tokenizer.h"
#include "support/temporary_folder.h"
#include "text/clean.h"

namespace saferclip {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using Json = nlohmann::json;

const std::string kFolders = std::string(SAFERCLIP_FIXTURES) + "/text/folders/";

Json json_of(const std::string& path) { return Json::parse(read_file(path)); }

std::string refusal(const std::filesystem::path& folder,
                    TextCleaning cleaning = TextCleaning::kHuggingFace) {
  try {
    load_tokenizer(folder, 24, cleaning);
  } catch (const DataError& error) {
    return error.what();
  } catch (const ConfigError& error) {
    return error.what();
  }
  return "accepted";
}

// What a tokenizer.json and its tokenizer_config.json are refused for once they are changed.
std::string refusal_of(const std::function<void(Json& tokenizer, Json& config)>& change,
                       const std::string& name = "clip_pad_saved") {
  Json tokenizer = json_of(kFolders + name + "/tokenizer.json");
  Json config = json_of(kFolders + name + "/tokenizer_config.json");
  change(tokenizer, config);
  const TemporaryFolder folder;
  write_file_atomically(folder / "tokenizer.json", "\xEF\xBB\xBF" + tokenizer.dump());
  write_file_atomically(folder / "tokenizer_config.json", config.dump());
  return refusal(folder.path());
}

TEST(TokenizerFolder, NamesThePartsThatItDoesNotKnow) {
  EXPECT_EQ(refusal_of([](Json&, Json&) {}), "accepted");
  EXPECT_THAT(refusal_of([](Json& t, Json&) {
                t["normalizer"]["normalizers"].push_back({{"type", "BertNormalizer"}});
                t["pre_tokenizer"] = {{"type", "Whitespace"}};
                t["post_processor"]["type"] = "Other";
                t["model"]["type"] = "WordPiece";
              }),
              AllOf(HasSubstr("tokenizer.json"), HasSubstr("normalizer BertNormalizer"),
                    HasSubstr("pre_tokenizer Whitespace"), HasSubstr("post_processor Other"),
                    HasSubstr("model WordPiece")));
  EXPECT_THAT(refusal_of([](Json& t, Json&) {
                t["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "\\w+";
              }),
              HasSubstr("pre_tokenizer Split of Regex \"\\w+\""));
  EXPECT_THAT(refusal_of([](Json& t, Json&) { t["model"]["dropout"] = 0.1; }),
              HasSubstr("dropout"));
  EXPECT_THAT(refusal_of([](Json& t, Json&) { t["model"]["vocab"]["dog</w>"] = 2; }),
              HasSubstr("is not one of"));
  EXPECT_THAT(refusal_of([](Json& t, Json&) { t["model"]["vocab"] = 3; }),
              HasSubstr("expected a JSON object"));
}

TEST(TokenizerFolder, RefusesWhereTheClientsDiffer) {
  EXPECT_THAT(refusal_of([](Json& t, Json&) { t["normalizer"] = nullptr; }),
              HasSubstr("does not have CLIP's form"));
  EXPECT_EQ(refusal_of([](Json& t, Json& c) {
              t["normalizer"] = nullptr;
              c["tokenizer_class"] = "TokenizersBackend";
            }),
            "accepted");
  EXPECT_THAT(refusal_of([](Json& t, Json&) { t["post_processor"]["cls"][1] = 5; }),
              HasSubstr("post_processor"));
  EXPECT_THAT(refusal_of([](Json& t, Json&) {
                t["added_tokens"].push_back({{"id", 4000}, {"content", "<late>"}});
              }),
              AllOf(HasSubstr("<late>"), HasSubstr("4000")));
  EXPECT_THAT(refusal_of([](Json&, Json& c) { c["padding_side"] = "left"; }),
              HasSubstr("padding_side"));
  EXPECT_THAT(refusal_of([](Json&, Json& c) {
                c["pad_token"] = Json{{"lstrip", true}};
              }),
              HasSubstr("pad_token"));
}

TEST(TokenizerFolder, RefusesOtherKinds) {
  EXPECT_THAT(refusal_of([](Json&, Json& c) { c["tokenizer_class"] = "BertTokenizerFast"; }),
              HasSubstr("tokenizer_class \"BertTokenizer\""));
  EXPECT_THAT(refusal_of(
                  [](Json& t, Json&) {
                    Json mark;
                    mark["SpecialToken"] = {{"id", "<eos>"}, {"type_id", 0}};
                    Json& single = t["post_processor"]["single"];
                    single.insert(single.begin(), mark);
                  },
                  "siglip2_json"),
              HasSubstr("no begin token"));
  const TemporaryFolder folder;
  write_file_atomically(folder / "special_tokens_map.json", "{}");
  EXPECT_THAT(refusal(folder.path()), AllOf(HasSubstr("found special_tokens_map.json"),
                                            HasSubstr("expected tokenizer.json")));
  write_file_atomically(folder / "vocab.txt", "[PAD]\n");
  EXPECT_THAT(refusal(folder.path()), HasSubstr("vocab.txt"));
}

// open_clip's three clean functions before a folder's own tokenizer.
TEST(TokenizerFolder, CleansBeforeItsOwnNormalizer) {
  const auto ids = [](const char* caption, TextCleaning cleaning) {
    return load_tokenizer(kFolders + "clip_plain", 24, cleaning)->encode(caption);
  };
  const auto hf = TextCleaning::kHuggingFace;
  EXPECT_EQ(ids("A&amp;amp;B  don\xE2\x80\x99t", TextCleaning::kWhitespace), ids("a&b don't", hf));
  EXPECT_EQ(ids("snake_case, DOG!", TextCleaning::kCanonicalize), ids("snake case dog", hf));
  EXPECT_EQ(ids("a&amp;b", hf), ids("a&amp;b", TextCleaning::kNone));
  EXPECT_EQ(clean_text(U"A &lt; B_c.  D", TextCleaning::kWhitespace), U"A < B_c. D");
  EXPECT_EQ(clean_text(U"A &lt; B_c.  D", TextCleaning::kCanonicalize), U"a b c d");
}

}  // namespace
}  // namespace saferclip
