#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/data/artifact_manifest.h"
#include "saferclip/data/bad_rows.h"
#include "saferclip/data/manifest.h"
#include "saferclip/data/prefetch.h"
#include "saferclip/data/sampler.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

using ::testing::HasSubstr;

class ManifestFiles : public ::testing::Test {
 protected:
  ManifestFiles() {
    for (const char* name : {"a.jpg", "b.jpg", "u.jpg", "000000000042.jpg"})
      write_file_atomically(folder_ / name, "x");
    std::filesystem::create_directories(folder_ / "val2017");
    write_file_atomically(folder_ / "val2017" / "000000000042.jpg", "x");
  }
  Manifest read(const std::string& text, const std::string& name = "m.jsonl") {
    write_file_atomically(folder_ / name, text);
    request_.file = folder_ / name;
    return read_manifest(request_);
  }
  std::vector<std::string> kinds(const Manifest& manifest) {
    std::vector<std::string> kinds;
    for (const RowProblem& p : manifest.problems)
      kinds.push_back(std::to_string(p.line) + " " + p.kind);
    return kinds;
  }
  TemporaryFolder folder_;
  ManifestRequest request_;
};

const std::string kGood =
    R"({"id":"1","safe_caption":"a","safe_image":"a.jpg","unsafe_caption":"b","unsafe_image":"u.jpg","tag":"Abuse"})"
    "\n";

TEST_F(ManifestFiles, PathsWithBackslashesAreNoMissingPictures) {
  std::filesystem::create_directories(folder_ / "pics");
  write_file_atomically(folder_ / "pics" / "u.jpg", "x");
  const Manifest m = read(
      R"({"id":"1","safe_caption":"a","safe_image":"a.jpg","unsafe_caption":"b","unsafe_image":"pics\\u.jpg"})"
      "\n"
      R"({"id":"2","safe_caption":"a","safe_image":"pics\\u.jpg","unsafe_caption":"b"})"
      "\n");
  EXPECT_EQ(kinds(m),
            (std::vector<std::string>{"1 image path with backslashes", "2 absent safe image"}));
  for (const RowProblem& problem : m.problems) {
    EXPECT_THAT(problem.message, HasSubstr("pics/u.jpg exists"));
  }
  request_.unsafe_image_template = "{image_root}\\pics\\{id}.jpg";
  EXPECT_EQ(kinds(read(R"({"id":"u","safe_caption":"a","safe_image":"a.jpg","unsafe_caption":"b"})"
                       "\n")),
            std::vector<std::string>{"1 image path with backslashes"});
}

TEST_F(ManifestFiles, EveryKindOfDirtIsReportedByLine) {
  const Manifest m = read(
      kGood + kGood +
      R"({"id":"2","safe_caption":"","safe_image":"a.jpg","unsafe_caption":"b"})"
      "\n"
      R"({"id":"3","safe_caption":7,"safe_image":"a.jpg","unsafe_caption":"b"})"
      "\n"
      R"({"id":"4","safe_caption":"a","safe_image":"none.jpg","unsafe_caption":"b"})"
      "\n"
      R"({"id":"5","safe_caption":"a","safe_image":"a.jpg"})"
      "\n"
      "{\"id\":\"6\",\"safe_caption\":\"\xFF\"}\n"
      "not json\n"
      "[1]\n"
      R"({"id":"7","safe_caption":"a","safe_image":"b.jpg","unsafe_caption":"b","unsafe_image":"gone.jpg"})"
      "\n");
  EXPECT_THAT(kinds(m),
              ::testing::ElementsAre("2 duplicate id", "3 empty caption", "4 caption is not text",
                                     "5 absent safe image", "6 missing unsafe_caption",
                                     "7 unreadable row", "8 unreadable row", "9 unreadable row"));
  ASSERT_EQ(m.rows.size(), 2U);
  EXPECT_EQ(m.rows[0].tag, "child abuse");
  EXPECT_TRUE(m.rows[1].unsafe_image.empty());
  EXPECT_EQ(m.rows_without_unsafe_image, 1);
  EXPECT_EQ(m.notes.size(), 2U);
  Logger log(LogLevel::kOff);
  DataOptions options;
  const BadRows bad = collect_bad_rows(m, {{"1", 1, "undecodable image", "broken"}});
  try {
    require_acceptable(bad, options, "all.json", log);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("9 of 10 rows are bad"));
    EXPECT_THAT(error.what(), HasSubstr("m.jsonl:2 (id 1): id 1 is already used on line 1"));
    EXPECT_THAT(error.what(), HasSubstr("undecodable image: 1 row"));
    EXPECT_THAT(error.what(), HasSubstr("all.json"));
  }
  options.bad_rows = BadRowPolicy::kSkip;
  options.max_bad_fraction = 0.89;
  EXPECT_THROW(require_acceptable(bad, options, "all.json", log), DataError);
  options.max_bad_fraction = 0.9;
  EXPECT_NO_THROW(require_acceptable(bad, options, "all.json", log));
}

TEST_F(ManifestFiles, ReportOfBadRowsHoldsThemAllAndCountsRowsOnce) {
  std::string text = kGood;
  for (int i = 0; i < 9; ++i)
    text += R"({"safe_caption":"","safe_image":7,"unsafe_caption":""})"
            "\n";
  const Manifest m = read(text);
  const BadRows bad = collect_bad_rows(m, {{"1", 1, "undecodable image", "\xFF"}});
  EXPECT_EQ(bad.bad_rows, 10);
  write_bad_rows(bad, folder_ / "cache" / "bad.json");
  const auto json = nlohmann::json::parse(read_file(folder_ / "cache" / "bad.json"));
  EXPECT_EQ(json["bad_rows"], 10);
  EXPECT_EQ(json["rows_read"], 10);
  EXPECT_EQ(json["kinds"]["empty caption"]["count"], 18);
  EXPECT_EQ(json["kinds"]["image path is not text"]["rows"][8]["line"], 10);
  Logger log(LogLevel::kOff);
  try {
    require_acceptable(bad, {}, "all.json", log);
    FAIL();
  } catch (const DataError& error) {
    EXPECT_THAT(error.what(), HasSubstr("and 13 rows more"));
    EXPECT_LT(std::string(error.what()).size(), 2000U);
  }
}

TEST_F(ManifestFiles, ImagesStayInsideTheirFolderUnlessAllowed) {
  namespace fs = std::filesystem;
  const fs::path root = folder_ / "root";
  fs::create_directories(root / "in");
  write_file_atomically(root / "in" / "a.jpg", "x");
  fs::create_symlink(folder_ / "a.jpg", root / "in" / "link.jpg");
  fs::create_symlink(root / "in" / "a.jpg", root / "in" / "good_link.jpg");
  fs::create_symlink(folder_.path(), root / "out");
  fs::create_symlink(root, folder_ / "linked_root");
  const auto row = [](const std::string& safe, const std::string& more) {
    static int id = 0;
    return R"({"id":")" + std::to_string(++id) +
           R"(","safe_caption":"a","unsafe_caption":"b","safe_image":")" + safe + "\"" + more +
           "}\n";
  };
  const std::string absolute = (folder_ / "a.jpg").string();
  const std::string text = row("in/a.jpg", "") + row("in/good_link.jpg", "") +
                           row("in/link.jpg", "") + row("../a.jpg", "") +
                           row("in/../../a.jpg", "") + row(absolute, "") + row("out/a.jpg", "") +
                           row("in/a.jpg", R"(,"unsafe_image":"../u.jpg")") +
                           row((root / "in/../in/a.jpg").string(), "");
  for (const char* name : {"root", "linked_root"}) {
    request_.image_root = folder_ / name;
    request_.images_outside_root = false;
    const Manifest m = read(text);
    EXPECT_EQ(m.rows.size(), 3U);
    ASSERT_EQ(m.problems.size(), 6U);
    for (const RowProblem& p : m.problems) EXPECT_EQ(p.kind, "image outside image_root");
    request_.images_outside_root = true;
    EXPECT_EQ(read(text).rows.size(), 9U);
  }
}

TEST_F(ManifestFiles, AnIdDoesNotLeaveTheFolderOfTheTemplate) {
  namespace fs = std::filesystem;
  fs::create_directories(folder_ / "unsafe" / "7");
  write_file_atomically(folder_ / "unsafe" / "7" / "0.jpg", "x");
  write_file_atomically(folder_ / "0.jpg", "x");
  fs::create_directories(folder_ / "root");
  write_file_atomically(folder_ / "root" / "a.jpg", "x");
  request_.image_root = folder_ / "root";
  request_.unsafe_image_template = (folder_ / "unsafe" / "{id}" / "0.jpg").string();
  const Manifest m =
      read(R"({"id":"7","safe_caption":"a","safe_image":"a.jpg","unsafe_caption":"b"})"
           "\n"
           R"({"id":"..","safe_caption":"a","safe_image":"a.jpg","unsafe_caption":"b"})"
           "\n");
  ASSERT_EQ(m.rows.size(), 1U);
  EXPECT_EQ(m.rows[0].unsafe_image, folder_ / "unsafe" / "7" / "0.jpg");
  EXPECT_THAT(kinds(m), ::testing::ElementsAre("2 image outside image_root"));
}

TEST_F(ManifestFiles, PublishedNamesAndFormats) {
  const Manifest visu = read(
      R"({"info": {}, "data": {"1": {"incremental_id": 8, "safe": "s", "nsfw": "n", "coco_id": 42, "tag": "bodily bluids"},
                               "0": {"incremental_id": 9, "safe": "s", "nsfw": "n", "coco_id": "42"}}})",
      "v.json");
  ASSERT_EQ(visu.rows.size(), 2U);
  EXPECT_EQ(visu.rows[0].id, "9");
  EXPECT_EQ(visu.rows[1].tag, "bodily fluids");
  EXPECT_EQ(visu.rows[0].safe_image, folder_ / "val2017" / "000000000042.jpg");
  const Manifest caps = read(
      R"([{"image_coco_url": "http://x.org/y/a.jpg", "caption": "c", "nsfw_caption": "d", "chosen_category": "violence"}])",
      "n.json");
  ASSERT_EQ(caps.rows.size(), 1U);
  EXPECT_EQ(caps.rows[0].safe_image, folder_ / "a.jpg");
  EXPECT_EQ(caps.rows[0].tag, "violence");
  const Manifest csv = read(
      "\xEF\xBB\xBFid,safe_caption,safe_image,unsafe_caption\r\n1,\"a, "
      "\"\"b\"\"\nc\",a.jpg,d\r\n2,x,a.jpg\r\n",
      "c.csv");
  ASSERT_EQ(csv.rows.size(), 1U);
  EXPECT_EQ(csv.rows[0].safe_caption, "a, \"b\"\nc");
  EXPECT_THAT(kinds(csv), ::testing::ElementsAre("4 unreadable row"));
}

TEST_F(ManifestFiles, MissingUnsafeImagePolicies) {
  const std::string row =
      R"({"id":"7","safe_caption":"a","safe_image":"a.jpg","unsafe_caption":"b","split":"train"})"
      "\n";
  EXPECT_EQ(read(row).rows.size(), 1U);
  request_.missing_unsafe_image = MissingUnsafeImage::kSkip;
  EXPECT_TRUE(read(row + kGood).rows.size() == 1);
  request_.missing_unsafe_image = MissingUnsafeImage::kError;
  EXPECT_EQ(read(row).problems.size(), 1U);
  request_.unsafe_image_template = "{image_root}/{split}/{id}/0.jpg";
  request_.split = "train";
  std::filesystem::create_directories(folder_ / "train" / "7");
  write_file_atomically(folder_ / "train" / "7" / "0.jpg", "x");
  const Manifest found = read(row);
  ASSERT_EQ(found.rows.size(), 1U);
  EXPECT_EQ(found.rows[0].unsafe_image, folder_ / "train" / "7" / "0.jpg");
  request_.split = "val";
  EXPECT_THROW(read(row), DataError);  // no row of this split
}

TEST_F(ManifestFiles, UnusableFiles) {
  EXPECT_THROW(read(""), DataError);
  EXPECT_THROW(read("plain text"), DataError);
  EXPECT_THROW(read("[1, 2"), DataError);
  request_.file = folder_ / "none";
  EXPECT_THROW(read_manifest(request_), DataError);
  request_.file = folder_.path();
  EXPECT_THROW(read_manifest(request_), DataError);
}

Sampler curriculum_sampler(std::uint64_t seed, bool drop_last = false) {
  return Sampler({4, drop_last, seed}, [](std::int64_t epoch) {
    std::vector<std::int64_t> rows;
    for (std::int64_t i = 0; i < (epoch == 0 ? 5 : epoch == 1 ? 0 : 11); ++i)
      rows.push_back(10 * i);
    return rows;
  });
}

TEST(SamplerOrder, EachAdmittedRowOnceAnEpochAndSeekable) {
  const Sampler sampler = curriculum_sampler(3);
  EXPECT_EQ(sampler.steps_in_epochs(4), 2 + 0 + 3 + 3);
  std::multiset<std::int64_t> seen;
  for (std::int64_t step = 2; step < 5; ++step) {
    const auto rows = sampler.rows_of(step);
    seen.insert(rows.begin(), rows.end());
    EXPECT_EQ(rows, curriculum_sampler(3).rows_of(step)) << "a fresh sampler gives the same step";
  }
  EXPECT_EQ(seen.size(), 11U);
  EXPECT_EQ(std::set<std::int64_t>(seen.begin(), seen.end()).size(), 11U);
  EXPECT_EQ(sampler.position_of(2).epoch, 2);
  EXPECT_EQ(sampler.rows_of(4).size(), 3U);
  EXPECT_NE(sampler.rows_of(2), sampler.rows_of(5));
  EXPECT_NE(sampler.rows_of(2), curriculum_sampler(4).rows_of(2));
  EXPECT_EQ(curriculum_sampler(3, true).steps_in_epoch(2), 2);
  const Sampler empty({4, false, 1}, [](std::int64_t) { return std::vector<std::int64_t>(); });
  EXPECT_THROW(empty.rows_of(0), DataError);
}

TEST(Prefetch, KeepsOrderAndPassesOnFailures) {
  Prefetcher<std::int64_t> ahead(
      [](std::int64_t step) {
        if (step == 7) throw DataError("seven");
        return step * step;
      },
      3, 100, 2);
  for (std::int64_t step = 3; step < 7; ++step) EXPECT_EQ(ahead.next(), step * step);
  EXPECT_THROW(ahead.next(), DataError);
  Prefetcher<int> abandoned([](std::int64_t) { return 1; }, 0, 1'000'000, 3);
  EXPECT_EQ(abandoned.next(), 1);  // the destructor must not wait for the rest
}

TEST(Artifacts, ManifestRoundTrip) {
  const TemporaryFolder folder;
  write_artifact_manifest(folder.path(),
                          {"images", "abc", {{"a", "b"}}, "data.safetensors", 12, "ff"});
  const ArtifactManifest read = read_artifact_manifest(folder.path());
  EXPECT_EQ(read.key, "abc");
  EXPECT_EQ(read.inputs.at("a"), "b");
  write_file_atomically(folder / "manifest.json", "{}");
  EXPECT_THROW(read_artifact_manifest(folder.path()), DataError);
}

}  // namespace
}  // namespace saferclip
