// What a configuration and its lists show before anything is prepared.
#include "saferclip/run/plan_checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

Manifest manifest_of(std::size_t rows) {
  Manifest manifest;
  manifest.rows.resize(rows);
  return manifest;
}

std::vector<std::string> keys_of(const RunConfig& config, const Manifest* train,
                                 const Manifest* validation = nullptr) {
  std::vector<std::string> keys;
  for (const KeyProblem& problem : plan_problems(config, train, validation))
    keys.push_back(problem.key);
  return keys;
}

RunConfig sound_config() {
  RunConfig config;
  config.train.batch_size = 8;
  config.train.epochs = 2;
  config.train.max_steps.reset();
  config.train.drop_last = false;
  config.schedule.warmup_steps = 0;
  config.data.train = "train.jsonl";
  config.data.validation = "validation.jsonl";
  return config;
}

TEST(Plan, WarmupLongerThanTheRun) {
  const Manifest train = manifest_of(20);
  RunConfig config = sound_config();
  config.schedule.warmup_steps = 6;  // 2 epochs of 3 batches
  EXPECT_THAT(keys_of(config, &train), IsEmpty());
  config.schedule.warmup_steps = 7;
  EXPECT_THAT(keys_of(config, &train), ElementsAre("schedule.warmup_steps"));
  EXPECT_THAT(keys_of(config, nullptr), IsEmpty());  // not known yet
  config.schedule.warmup_steps = 5;
  config.train.drop_last = true;  // 2 epochs of 2 batches
  EXPECT_THAT(keys_of(config, &train), ElementsAre("schedule.warmup_steps"));
  config.train.max_steps = 5;
  EXPECT_THAT(keys_of(config, nullptr), IsEmpty());
  config.train.max_steps = 4;
  EXPECT_THAT(keys_of(config, nullptr), ElementsAre("schedule.warmup_steps"));
}

TEST(Plan, RowsThatFillNoBatch) {
  const Manifest train = manifest_of(7);
  RunConfig config = sound_config();
  EXPECT_THAT(keys_of(config, &train), IsEmpty());
  config.train.drop_last = true;
  EXPECT_THAT(keys_of(config, &train), ElementsAre("train.batch_size"));
  config.train.batch_size = 7;
  EXPECT_THAT(keys_of(config, &train), IsEmpty());
}

TEST(Plan, TheBestMetricIsMeasured) {
  Manifest validation = manifest_of(2);
  RunConfig config = sound_config();
  config.checkpoint.best_metric = "retrieval.text_to_image.r@1";
  EXPECT_THAT(keys_of(config, nullptr, &validation), IsEmpty());
  config.checkpoint.best_metric = "retrieval.text_to_imag.r@1";
  const auto problems = plan_problems(config, nullptr, &validation);
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_THAT(problems[0].text, HasSubstr("did you mean retrieval.text_to_image.r@1?"));
  config.checkpoint.best_metric = "zero_shot.z.top1";
  EXPECT_THAT(plan_problems(config, nullptr, &validation).at(0).text,
              HasSubstr("evaluate.zero_shot_during_training: true"));
  config.checkpoint.best_metric = "safeground.gs";
  EXPECT_THAT(keys_of(config, nullptr, &validation), ElementsAre("checkpoint.best_metric"));
  validation.rows[0].unsafe_caption = "bad";
  EXPECT_THAT(keys_of(config, nullptr, &validation), IsEmpty());
  config.evaluate.every_epochs = 0;
  EXPECT_THAT(plan_problems(config, nullptr, nullptr).at(0).text,
              HasSubstr("is never measured: evaluate.every_epochs is 0"));
  config.data.validation = "";
  EXPECT_THAT(plan_problems(config, nullptr, nullptr).at(0).text,
              HasSubstr("is never measured: data.validation is empty"));
  config.checkpoint.best_metric = "auto";
  EXPECT_THAT(keys_of(config, nullptr), IsEmpty());
}

TEST(Plan, NamesOfSetsHaveNoControlCharacters) {
  RunConfig config = sound_config();
  config.evaluate.zero_shot.resize(2);
  config.evaluate.zero_shot[0].name = "image net";
  config.evaluate.zero_shot[1].name = "a\tb";
  config.evaluate.real_images.resize(1);
  config.evaluate.real_images[0].name = " a";
  EXPECT_THAT(keys_of(config, nullptr),
              ElementsAre("evaluate.zero_shot[1].name", "evaluate.real_images[0].name"));
}

TEST(Plan, StepsOnceTheyAreKnown) {
  RunConfig config = sound_config();
  config.schedule.warmup_steps = 3;
  EXPECT_NO_THROW(require_steps(config, 3));
  EXPECT_THAT(message_of<ConfigError>([&] { require_steps(config, 2); }),
              HasSubstr("schedule.warmup_steps: 3"));
  EXPECT_THAT(message_of<ConfigError>([&] { require_steps(config, 0); }),
              HasSubstr("train.batch_size"));
  config.train.max_steps = 0;  // none was asked for
  EXPECT_NO_THROW(require_steps(config, 0));
}

TEST(Plan, MissingInputsAreNamedTogether) {
  const TemporaryFolder folder;
  RunConfig config = sound_config();
  config.data.train = (folder / "train.jsonl").string();
  config.data.validation = (folder / "validation.jsonl").string();
  const std::string both = message_of<DataError>([&] { require_inputs(config); });
  EXPECT_THAT(both, HasSubstr("data.train: "));
  EXPECT_THAT(both, HasSubstr("data.validation: "));
  write_file_atomically(config.data.train, "{}\n");
  EXPECT_THAT(message_of<DataError>([&] { require_inputs(config); }),
              Not(HasSubstr("data.train: ")));
  write_file_atomically(config.data.validation, "{}\n");
  EXPECT_NO_THROW(require_inputs(config));
}

}  // namespace
}  // namespace saferclip
