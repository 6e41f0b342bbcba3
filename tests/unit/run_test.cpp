// Run folders, what they keep, and what is said before a run starts.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/run/kept_evaluations.h"
#include "saferclip/run/run_folder.h"
#include "saferclip/run/run_reference.h"
#include "saferclip/run/run_start.h"
#include "saferclip/train/checkpoint.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

class RunTest : public ::testing::Test {
 protected:
  void save(std::int64_t step, std::optional<double> best = std::nullopt) {
    CheckpointSnapshot snapshot;
    snapshot.state.step = step;
    snapshot.state.best_value = best;
    snapshot.state.best_step = step;
    snapshot.weights = {{"w", at::ones({2})}};
    snapshot.optimizer = {{"w.exp_avg", at::zeros({2})}};
    store_.save(snapshot, {10, true});
  }
  void damage(std::int64_t step) {
    std::ofstream(store_.folder(step) / "weights.safetensors", std::ios::app) << "x";
  }

  TemporaryFolder folder_;
  Logger log_{LogLevel::kOff};
  fs::path run_ = folder_ / "runs/one";
  CheckpointStore store_{run_, log_};
};

// --- which run, which checkpoint

TEST_F(RunTest, PathsOfRunsAndOfTheirCheckpoints) {
  save(3);
  EXPECT_FALSE(is_run_path(run_));
  EXPECT_THAT(message_of<WeightsError>([&] { resolve_run(run_); }),
              HasSubstr("neither a run folder (config.yaml) nor a checkpoint (state.json)"));
  write_file_atomically(run_ / "config.yaml", "");
  EXPECT_TRUE(is_run_path(run_));
  for (const fs::path& path : {run_, run_ / "", run_ / "../one"}) {
    EXPECT_EQ(resolve_run(path).run_folder, run_) << path;
    EXPECT_TRUE(resolve_run(path).checkpoint.empty()) << path;
  }
  EXPECT_TRUE(is_run_path(store_.folder(3)));
  const RunReference step = resolve_run(store_.folder(3) / "");
  EXPECT_EQ(step.run_folder, run_);
  EXPECT_EQ(step.checkpoint, store_.folder(3));
  EXPECT_THROW(resolve_run(folder_ / "gone"), WeightsError);
}

TEST_F(RunTest, LatestBestAndSteps) {
  const RunReference run{run_, {}};
  EXPECT_THAT(message_of<WeightsError>([&] { choose_checkpoint(run, "latest", log_); }),
              HasSubstr("contains no good checkpoint"));
  EXPECT_THAT(message_of<WeightsError>([&] { choose_checkpoint(run, "best", log_); }),
              HasSubstr("the first validation of a run writes it"));
  save(3, 1.0);
  save(6);
  EXPECT_EQ(choose_checkpoint(run, "latest", log_), store_.folder(6));
  EXPECT_EQ(choose_checkpoint(run, "best", log_), store_.folder(3));
  EXPECT_EQ(choose_checkpoint(run, "6", log_), store_.folder(6));
  EXPECT_EQ(choose_checkpoint({run_, store_.folder(3)}, "latest", log_), store_.folder(3));
  damage(6);
  EXPECT_EQ(choose_checkpoint(run, "latest", log_), store_.folder(3));
  const std::string damaged = message_of<WeightsError>([&] { choose_checkpoint(run, "6", log_); });
  EXPECT_THAT(damaged, HasSubstr("weights.safetensors has"));
  EXPECT_THAT(damaged, HasSubstr("available steps: 3, 6"));
  EXPECT_THROW(choose_checkpoint(run, "7", log_), WeightsError);
  for (const char* word : {"newest", "-3", "3.5", "", "1234567890123"}) {
    EXPECT_THROW(choose_checkpoint(run, word, log_), ConfigError) << word;
  }
  write_file_atomically(run_ / "checkpoints/best", "step_3\n");
  EXPECT_THAT(message_of<WeightsError>([&] { choose_checkpoint(run, "best", log_); }),
              HasSubstr("is damaged, expected a folder name such as step_00000010"));
}

TEST_F(RunTest, WhereARunStarts) {
  RunConfig config;
  config.run.dir = (folder_ / "runs").string();
  config.run.name = "one";
  EXPECT_EQ(find_start("", config, log_).run_folder, run_);
  EXPECT_TRUE(find_start("auto", config, log_).checkpoint.empty());
  EXPECT_NO_THROW(require_fresh(run_, log_));
  save(3);
  save(6);
  EXPECT_TRUE(find_start("", config, log_).checkpoint.empty());
  EXPECT_EQ(find_start("auto", config, log_).checkpoint, store_.folder(6));
  damage(6);
  EXPECT_EQ(find_start("auto", config, log_).checkpoint, store_.folder(3));
  const StartPoint named = find_start(store_.folder(3).string(), config, log_);
  EXPECT_EQ(named.run_folder, run_);
  EXPECT_EQ(named.checkpoint, store_.folder(3));
  EXPECT_THROW(find_start((folder_ / "gone").string(), config, log_), WeightsError);
  const std::string said = message_of<ConfigError>([&] { require_fresh(run_, log_); });
  for (const char* way : {"--resume auto", "--overwrite", "run.name="}) {
    EXPECT_THAT(said, HasSubstr(way));
  }
}

// --- the folder

TEST_F(RunTest, TheFolderIsLockedWhileItIsOpen) {
  {
    const RunFolder open = open_run_folder(run_);
    EXPECT_TRUE(fs::is_directory(run_));
    EXPECT_THAT(message_of<ConfigError>([&] { open_run_folder(run_); }),
                HasSubstr("another process is using it"));
  }
  EXPECT_NO_THROW(open_run_folder(run_));
}

TEST_F(RunTest, OnlyWhatARunLeavesIsCleared) {
  const RunFolder run = open_run_folder(run_);
  for (const char* name : {"metrics.jsonl", "mine.txt"}) write_file_atomically(run_ / name, "x");
  clear_run_folder(run);  // not known to be a run's
  EXPECT_TRUE(fs::exists(run_ / "metrics.jsonl"));
  save(3);
  make_folders(run_ / "evaluations");
  write_run_records(run, {}, {});
  clear_run_folder(run);
  for (const char* name : {"checkpoints", "evaluations", "metrics.jsonl", "config.yaml",
                           "environment.json", "README.txt"}) {
    EXPECT_FALSE(fs::exists(run_ / name)) << name;
  }
  EXPECT_TRUE(fs::exists(run_ / "mine.txt"));
}

TEST_F(RunTest, RecordsAreReadBack) {
  const RunFolder run = open_run_folder(run_);
  EXPECT_THAT(read_never_trains(run_), IsEmpty());
  RunConfig config;
  config.model.weights = (folder_ / "base").string();
  config.data.train = (folder_ / "train.jsonl").string();
  config.train.batch_size = 7;
  RunEnvironment environment;
  environment.device = "cpu";
  environment.threads = 3;
  environment.resolved["train.precision"] = "fp32";
  environment.never_trains = {"uni_img never trains"};
  environment.planned_steps = 12;
  write_run_records(run, config, environment);
  const RunConfig read = read_run_config(run_ / "config.yaml", {});
  EXPECT_EQ(read.train.batch_size, 7);
  EXPECT_EQ(read.model.weights, config.model.weights);
  write_run_records(run, read, environment);
  EXPECT_EQ(dump_run_config(read_run_config(run_ / "config.yaml", {})), dump_run_config(read));
  const auto json = nlohmann::json::parse(read_file(run_ / "environment.json"));
  EXPECT_EQ(json["device"], "cpu");
  EXPECT_EQ(json["threads"], 3);
  EXPECT_EQ(json["plan"]["steps"], 12);
  EXPECT_EQ(json["resolved"]["train.precision"], "fp32");
  EXPECT_THAT(read_never_trains(run_), ElementsAre("uni_img never trains"));
  for (const char* text : {"", "[]", "{}", R"({"never_trains": [3, null]})"}) {
    write_file_atomically(run_ / "environment.json", text);
    EXPECT_THAT(read_never_trains(run_), IsEmpty()) << text;
  }
  EXPECT_EQ(step_name(500), "step_00000500");
}

// --- kept evaluations

OrderedJson document_of(const std::string& split, const std::string& content, int n) {
  return {{"split", split}, {"content", content}, {"n", n}};
}
const std::string kFirst(64, 'a'), kSecond(64, 'b');

TEST_F(RunTest, AnEvaluationOfTheRunReplacesTheOneOfItsTraining) {
  const RunConfig config;
  keep_validation(run_, 4, document_of("validation", kFirst, 1));
  KeptEvaluations kept = kept_evaluations(run_, config, 4);
  ASSERT_THAT(kept.own, SizeIs(1));
  EXPECT_TRUE(is_from_training(kept.own[0]));
  EXPECT_TRUE(keep_evaluation(run_, 4, document_of("validation", kFirst, 2), MeasuredData::kOwn));
  EXPECT_TRUE(keep_evaluation(run_, 4, document_of("a/b", kFirst, 3), MeasuredData::kOwn));
  kept = kept_evaluations(run_, config, 4);
  ASSERT_THAT(kept.own, SizeIs(2));  // by split
  EXPECT_EQ(kept.own[0]["n"], 3);
  EXPECT_EQ(kept.own[1]["n"], 2);
  EXPECT_FALSE(is_from_training(kept.own[1]));
  EXPECT_THAT(kept.others, IsEmpty());
  EXPECT_THAT(kept_evaluations(run_, config, 5).own, IsEmpty());
  EXPECT_TRUE(fs::exists(run_ / "evaluations/step_00000004.a_b.json"));
}

TEST_F(RunTest, EvaluationsOfOtherDataStayApart) {
  const RunConfig config;
  EXPECT_TRUE(keep_evaluation(run_, 4, document_of("test", kFirst, 1), MeasuredData::kOwn));
  EXPECT_FALSE(keep_evaluation(run_, 4, document_of("test", kSecond, 2), MeasuredData::kOther));
  // The same content as an own one, from another place: the run's own.
  EXPECT_TRUE(keep_evaluation(run_, 4, document_of("test", kFirst, 3), MeasuredData::kOther));
  KeptEvaluations kept = kept_evaluations(run_, config, 4);
  ASSERT_THAT(kept.own, SizeIs(1));
  EXPECT_EQ(kept.own[0]["n"], 3);
  const fs::path other = run_ / "evaluations/step_00000004.test.bbbbbbbb.json";
  EXPECT_THAT(kept.others, ElementsAre(other));
  // The data changed in place: the earlier document gets its content's name.
  EXPECT_TRUE(
      keep_evaluation(run_, 4, document_of("test", std::string(64, 'c'), 4), MeasuredData::kOwn));
  kept = kept_evaluations(run_, config, 4);
  ASSERT_THAT(kept.own, SizeIs(1));
  EXPECT_EQ(kept.own[0]["n"], 4);
  const fs::path renamed = run_ / "evaluations/step_00000004.test.aaaaaaaa.json";
  EXPECT_THAT(kept.others, ElementsAre(renamed, other));
  EXPECT_EQ(OrderedJson::parse(read_file(renamed))["own_data"], false);
  write_file_atomically(run_ / "evaluations/step_00000004.x.json", "{\"split\": 3}");
  EXPECT_THAT(kept_evaluations(run_, config, 4).others, SizeIs(3));
}

TEST_F(RunTest, ASplitIsTheRunsOwnWhileItsDataAreTheSame) {
  RunConfig run;
  run.data.train = "train.jsonl";
  run.data.validation = "validation.jsonl";
  RunConfig now = run;
  now.train.batch_size += 1;
  now.data.bad_rows =
      run.data.bad_rows == BadRowPolicy::kSkip ? BadRowPolicy::kError : BadRowPolicy::kSkip;
  EXPECT_TRUE(is_own_split(run, now, "validation"));
  EXPECT_FALSE(is_own_split(run, now, "gone"));
  now.data.validation = "other.jsonl";
  EXPECT_FALSE(is_own_split(run, now, "validation"));
  EXPECT_TRUE(is_own_split(run, now, "train"));
  now = run;
  now.data.unsafe_image_template = "{id}.png";
  EXPECT_FALSE(is_own_split(run, now, "train"));
  now = run;
  now.data.exif_rotate = !run.data.exif_rotate;
  EXPECT_FALSE(is_own_split(run, now, "train"));
}

}  // namespace
}  // namespace saferclip
