// What each unsafe row is redirected to, as lines, summary, CSV and JSON.
#include "saferclip/run/target_lines.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/message_of.h"

namespace saferclip {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

class Targets : public ::testing::Test {
 protected:
  Targets() {
    auto& rows = data_.train.manifest.rows;
    rows.resize(4);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      rows[i].id = "row " + std::to_string(i);
      rows[i].safe_caption = "safe " + std::to_string(i);
      rows[i].unsafe_caption = "a \"bad\", " + std::to_string(i);
    }
    data_.train.good_rows = {0, 1, 3};  // row 2 had no picture
    data_.stages = {0, 2, -1, 1};
    // Its own caption, another row's, and an extra one.
    data_.targets.index = at::tensor({0, 3, 0, 5}, at::kLong);
    data_.targets.cosine = at::tensor({0.5F, 0.25F, 0.0F, 0.75F});
    data_.targets.fixed_cosine = at::tensor({0.5F, 0.0F, 0.0F, 0.25F});
    data_.targets.extra_captions = {"extra 1", "extra 2"};
  }
  TrainingData data_;
};

TEST_F(Targets, SayWhereEachGoodRowIsSent) {
  std::vector<TargetLine> lines = target_lines(data_);
  ASSERT_THAT(lines, SizeIs(3));
  EXPECT_EQ(lines[0].change, "same");
  EXPECT_EQ(lines[0].target_id, "row 0");
  EXPECT_EQ(lines[1].change, "caption");
  EXPECT_EQ(lines[1].target_caption, "safe 3");
  EXPECT_EQ(lines[1].stage, 2);
  EXPECT_EQ(lines[2].change, "extra");
  EXPECT_EQ(lines[2].target_id, "extra:2");
  EXPECT_EQ(lines[2].target_caption, "extra 2");
  EXPECT_EQ(lines[2].row->id, "row 3");
  EXPECT_EQ(lines[2].cosine, 0.75);
  data_.targets.index = at::full({4}, -1, at::kLong);
  for (const TargetLine& line : target_lines(data_)) {
    EXPECT_EQ(line.change, "same");
    EXPECT_EQ(line.target_id, line.row->id);
  }
}

TEST_F(Targets, AreCountedAndAveraged) {
  const TargetSummary summary = summarize(target_lines(data_));
  EXPECT_EQ(summary.changes,
            (std::map<std::string, std::int64_t>{{"same", 1}, {"caption", 1}, {"extra", 1}}));
  EXPECT_EQ(summary.stages, (std::map<int, std::int64_t>{{0, 1}, {1, 1}, {2, 1}}));
  EXPECT_DOUBLE_EQ(summary.mean_cosine, 0.5);
  EXPECT_DOUBLE_EQ(summary.mean_fixed, 0.25);
  EXPECT_EQ(summarize({}).mean_cosine, 0);
}

TEST_F(Targets, AsCsvAndJson) {
  const std::vector<TargetLine> lines = target_lines(data_);
  const std::string csv = targets_csv(lines);
  EXPECT_EQ(csv.substr(0, csv.find('\n')),
            "id,unsafe_caption,own_safe_caption,fixed_cosine,target_id,target_caption,cosine,"
            "stage,change");
  EXPECT_THAT(csv, HasSubstr("\"row 1\",\"a \"\"bad\"\", 1\",\"safe 1\",0,\"row 3\",\"safe 3\","
                             "0.25,2,caption\n"));
  const OrderedJson json = targets_json(lines, summarize(lines));
  EXPECT_EQ(json["rows"], 3);
  EXPECT_EQ(json["change"]["extra"], 1);
  EXPECT_EQ(json["stages"]["2"], 1);
  EXPECT_DOUBLE_EQ(json["cosine_mean"].get<double>(), 0.5);
  ASSERT_EQ(json["targets"].size(), 3U);
  EXPECT_EQ(json["targets"][1]["unsafe_caption"], "a \"bad\", 1");
  EXPECT_EQ(json["targets"][2]["target_id"], "extra:2");
}

}  // namespace
}  // namespace saferclip
