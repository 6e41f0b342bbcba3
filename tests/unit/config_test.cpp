#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "saferclip/config/run_config.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "support/temporary_folder.h"

namespace saferclip {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

const std::string kMinimal = "model: {weights: w}\ndata: {train: t.jsonl}\n";

class ConfigFiles : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& text) {
    write_file_atomically(folder_ / name, text);
    return folder_ / name;
  }
  RunConfig read(const std::string& text, const std::vector<std::string>& overrides = {}) {
    return read_run_config(write("a.yaml", text), overrides);
  }
  std::string refusal(const std::string& text, const std::vector<std::string>& overrides = {}) {
    try {
      read(text, overrides);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  }
  TemporaryFolder folder_;
};

TEST_F(ConfigFiles, MinimalHasThePresetOfItsObjective) {
  const RunConfig config = read(kMinimal);
  EXPECT_EQ(config.objective.name, ObjectiveName::kSaferClip);
  EXPECT_EQ(config.objective.weights.at("cross_img"), 1);
  EXPECT_EQ(config.objective.weights.at("mutual_txt"), 0);
  EXPECT_TRUE(config.objective.curriculum.enabled);
  const RunConfig clip = read(kMinimal + "objective: {name: clip}\n");
  EXPECT_EQ(clip.objective.weights.size(), 1U);
  EXPECT_FALSE(clip.objective.curriculum.enabled);
}

TEST_F(ConfigFiles, AllProblemsInOneReportWithPlaceAndCure) {
  const std::string text = refusal(
      "model: {weights: w}\n"
      "data:\n"
      "  train: t.jsonl\n"
      "  bad_row: skip\n"
      "train:\n"
      "  batchsize: 3\n"
      "  epochs: two\n"
      "  precision: fp8\n"
      "  batch_size: 0\n"
      "optimizer: {lr: -1}\n"
      "adapter: [1]\n"
      "objective:\n"
      "  weights: {cros_img: 1}\n"
      "wrong: 1\n");
  EXPECT_THAT(
      text,
      AllOf(HasSubstr("a.yaml:4: data.bad_row: unknown key; did you mean data.bad_rows?"),
            HasSubstr("a.yaml:6: train.batchsize: unknown key; did you mean train.batch_size?"),
            HasSubstr("a.yaml:7: train.epochs: expected a whole number, found two"),
            HasSubstr("a.yaml:8: train.precision: expected one of bf16, fp16, fp32, found fp8"),
            HasSubstr("a.yaml:9: train.batch_size: expected at least 1, found 0")));
  EXPECT_THAT(text, AllOf(HasSubstr("a.yaml:10: optimizer.lr: expected at least 0"),
                          HasSubstr("a.yaml:11: adapter"), HasSubstr("did you mean cross_img?"),
                          HasSubstr("a.yaml:14: wrong: unknown key")));
}

TEST_F(ConfigFiles, AKeyOfAnotherSectionIsNamed) {
  const std::string text = refusal(
      "model: {weights: w}\ndata: {train: t}\n"
      "train: {checkpoint_every: 3, every_steps: 3, learning_rate: 1, lr: 1, xyzzyx: 1}\n");
  EXPECT_THAT(text,
              AllOf(HasSubstr("train.checkpoint_every: unknown key; known here: "),
                    HasSubstr("; did you mean checkpoint.every_steps or checkpoint.every_minutes?"),
                    HasSubstr("; did you mean optimizer.lr?")));
  EXPECT_THAT(text.substr(text.find("train.xyzzyx")), ::testing::Not(HasSubstr("did you mean")));
}

TEST_F(ConfigFiles, RulesBetweenFields) {
  EXPECT_THAT(refusal("data: {train: t}\n"), HasSubstr("model.weights: expected either"));
  EXPECT_THAT(refusal("model: {weights: a, init: b}\ndata: {train: t}\n"),
              HasSubstr("expected either"));
  EXPECT_THAT(refusal("model: {init: b}\ndata: {train: t}\n"),
              AllOf(HasSubstr("adapter.method: full"), HasSubstr("train_logit_scale: true")));
  EXPECT_THAT(refusal("model: {weights: w}\n"), HasSubstr("data.train"));
  EXPECT_THAT(refusal(kMinimal + "objective: {curriculum: {start_epochs: [0, 1]}}\n"),
              HasSubstr("expected one more entry than quantiles (3), found 2"));
  EXPECT_THAT(refusal(kMinimal + "objective: {weights: {anchor_txt: 1}}\n"),
              HasSubstr("anchors.prompts"));
  EXPECT_THAT(refusal(kMinimal + "train: {batch_size: 4, micro_batch_size: 8}\n"),
              HasSubstr("larger than"));
  EXPECT_THAT(refusal(kMinimal + "run: {name: a/b}\n"), HasSubstr("run.name"));
  EXPECT_THAT(refusal(kMinimal + "objective: {name: clip, weights: {cross_img: 1}}\n"),
              HasSubstr("objective clip has no such term"));
  EXPECT_THAT(refusal(kMinimal + "objective: {name: shield_clip, weights: {mutual_txt: 1}}\n"),
              HasSubstr("apart, and coh holds them together"));
  EXPECT_THAT(refusal(kMinimal +
                      "objective: {name: shield_clip, weights: {real: 0, safe: 0, mix: 0, coh: 0, "
                      "pres_spread_txt: 1}}\n"),
              HasSubstr("with cosines alone shield_clip collapses"));
  EXPECT_THAT(refusal(kMinimal + "objective: {name: safe}\n"),
              HasSubstr("expected one of saferclip, safe_clip, shield_clip, clip"));
}

TEST_F(ConfigFiles, MasksHaveTargetsAndKeysOfTheirOwn) {
  const std::string mask = kMinimal + "adapter: {method: mask";
  EXPECT_THAT(read(mask + "}\n").adapter.targets,
              ElementsAre("q_proj", "k_proj", "v_proj", "out_proj", "patch_embedding"));
  EXPECT_THAT(read(mask + ", targets: [fc1], rank: 16}\n").adapter.targets, ElementsAre("fc1"));
  EXPECT_THAT(refusal(mask + ", init: 0.005}\n"),
              HasSubstr("a.yaml:3: adapter.init: expected above adapter.threshold (0.005), found"));
  EXPECT_THAT(refusal(mask + ", off_value: 1}\n"), HasSubstr("adapter.off_value: 1 leaves"));
  EXPECT_THAT(refusal(mask + ", rank: 8, alpha: 2, dropout: 0.1, start_from: x}\n"),
              AllOf(HasSubstr("4 problems"), HasSubstr("no meaning with adapter.method: mask")));
  EXPECT_THAT(
      refusal(kMinimal + "adapter: {init: 1, threshold: 0, off_value: 2, norm_weight: 1}\n"),
      AllOf(HasSubstr("4 problems"), HasSubstr("only adapter.method: mask reads it")));
  EXPECT_THAT(refusal(kMinimal + "adapter: {method: closed_form, init: 1}\n"),
              HasSubstr("only adapter.method: mask reads it"));
}

TEST_F(ConfigFiles, SyntaxDuplicatesAndMissingFiles) {
  EXPECT_THAT(refusal("model: {weights: w\n"), HasSubstr("a.yaml:"));
  EXPECT_THAT(refusal(kMinimal + "data: {train: x}\n"), HasSubstr("key \"data\" appears twice"));
  EXPECT_THAT(refusal(""), HasSubstr("is empty"));
  EXPECT_THAT(refusal("run: {name: \xE9}"), HasSubstr("not UTF-8"));
  EXPECT_THROW(read_run_config(folder_ / "none.yaml", {}), ConfigError);
  EXPECT_THROW(read_run_config(folder_.path(), {}), ConfigError);
}

TEST_F(ConfigFiles, ExtendsMergesAndCatchesCycles) {
  fs::create_directories(folder_ / "sub");
  write("base.yaml",
        kMinimal + "train: {epochs: 3, batch_size: 7}\nobjective: {weights: {uni_img: 5}}\n");
  const RunConfig config =
      read_run_config(write("sub/b.yaml",
                            "extends: ../base.yaml\ntrain: {epochs: 4}\nadapter: {targets: "
                            "[fc1]}\nmodel: {tokenizer: tok}\n"),
                      {});
  EXPECT_EQ(config.train.epochs, 4);
  EXPECT_EQ(config.train.batch_size, 7);
  EXPECT_EQ(config.objective.weights.at("uni_img"), 5);
  EXPECT_THAT(config.adapter.targets, ElementsAre("fc1"));
  EXPECT_EQ(config.data.train, (folder_ / "t.jsonl").string());
  EXPECT_EQ(config.model.tokenizer, (folder_ / "sub/tok").string());
  const RunConfig clip =
      read_run_config(write("c.yaml", "extends: base.yaml\nobjective: {name: clip}\n"), {});
  EXPECT_EQ(clip.objective.weights.size(), 1U);
  write("d.yaml", "extends: e.yaml\n" + kMinimal);
  write("e.yaml", "extends: d.yaml\n");
  EXPECT_THROW(read_run_config(folder_ / "d.yaml", {}), ConfigError);
  EXPECT_THROW(read_run_config(write("f.yaml", "extends: none.yaml\n" + kMinimal), {}),
               ConfigError);
  const RunConfig reset =
      read_run_config(write("g.yaml", "extends: base.yaml\ntrain: {epochs: null}\n"), {});
  EXPECT_EQ(reset.train.epochs, TrainOptions().epochs);
}

TEST_F(ConfigFiles, OverridesParseAsYaml) {
  const RunConfig config =
      read(kMinimal, {"train.batch_size=5", "adapter.targets=[fc1, fc2]", "train.max_steps=12",
                      "objective.infonce_scale=auto", "model.weights=elsewhere"});
  EXPECT_EQ(config.train.batch_size, 5);
  EXPECT_THAT(config.adapter.targets, ElementsAre("fc1", "fc2"));
  EXPECT_EQ(config.train.max_steps, 12);
  EXPECT_EQ(config.model.weights, (fs::current_path() / "elsewhere").string());
  EXPECT_THAT(refusal(kMinimal, {"train.batch_size"}), HasSubstr("--set"));
  EXPECT_THAT(refusal(kMinimal, {"train.batch_siz=1"}),
              HasSubstr("did you mean train.batch_size?"));
}

TEST_F(ConfigFiles, JsonIsTheSameTree) {
  const RunConfig yaml = read(kMinimal + "run: {name: \"caf\u00e9\"}\ntrain: {epochs: 3}\n");
  const fs::path json =
      write("a.json",
            "{\n\t\"model\": {\"weights\": \"w\"}, \"data\": {\"train\": \"t.jsonl\"},\n"
            "\"run\": {\"name\": \"caf\\u00e9\"}, \"train\": {\"epochs\": 3}}");
  EXPECT_EQ(dump_run_config(read_run_config(json, {})), dump_run_config(yaml));
  EXPECT_THROW(read_run_config(write("b.json", "{\"model\": }"), {}), ConfigError);
}

TEST_F(ConfigFiles, DumpReadsBack) {
  const RunConfig config =
      read(kMinimal +
           "optimizer: {lr: 1.0e-7}\nobjective: {curriculum: {quantiles: [0.1, 0.7]}}\n"
           "evaluate: {zero_shot: [{name: s, images: i, classes: c, templates: ['a {}']}]}\n");
  const std::string dumped = dump_run_config(config);
  EXPECT_EQ(dump_run_config(read(dumped)), dumped);
}

TEST_F(ConfigFiles, ResumeDifferences) {
  const RunConfig saved = read(kMinimal);
  RunConfig now = saved;
  now.train.epochs = 20;
  now.checkpoint.every_steps = 1;
  EXPECT_TRUE(resume_differences(saved, now).empty());
  now.train.batch_size = 64;
  EXPECT_THAT(resume_differences(saved, now),
              ElementsAre("train.batch_size: 48 in the run, 64 now"));
  now = saved;
  now.schedule.name = ScheduleName::kCosine;
  now.train.epochs = 20;
  EXPECT_EQ(resume_differences(saved, now).size(), 2U);
}

std::vector<fs::path> shipped(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(fs::path(SAFERCLIP_SOURCE) / folder)) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  return files;
}

TEST(ShippedConfigs, AreAllValid) {
  std::vector<std::string> names;
  for (const char* folder : {"configs", "configs/demo", "configs/world2"}) {
    for (const fs::path& file : shipped(folder)) {
      EXPECT_NO_THROW(read_run_config(file, {})) << file;
      names.push_back(file.filename().string());
      // ViSU has one row with an empty caption.
      const DataOptions data = read_run_config(file, {}).data;
      const bool is_visu = data.train.find("ViSU") != std::string::npos;
      EXPECT_EQ(data.bad_rows == BadRowPolicy::kSkip && data.max_bad_fraction <= 0.001, is_visu)
          << file;
    }
  }
  EXPECT_THAT(names, ::testing::UnorderedElementsAre(
                         "base.yaml", "base.yaml", "saferclip.yaml", "saferclip_plus.yaml",
                         "safe_only.yaml", "safe_clip.yaml", "safe-clip-published.yaml",
                         "saferclip-vit-l14.yaml", "saferclip-vit-b32.yaml", "siglip_base.yaml",
                         "saferclip-siglip-b16-256.yaml", "saferclip-siglip-so400m.yaml",
                         "shield-clip-published.yaml", "shield_clip.yaml",
                         "closed-form-ridge-vit-l14.yaml", "closed-form-project-vit-l14.yaml",
                         "closed-form-leace-vit-l14.yaml", "closed-form-uwm-vit-l14.yaml",
                         "closed_form.yaml", "hysac-vit-l14.yaml", "mask-vit-l14.yaml",
                         // world 2
                         "base_longer.yaml", "saferclip_plus.yaml", "tuning.yaml", "safe_only.yaml",
                         "safe_clip.yaml", "saferclip.yaml", "shield_clip.yaml", "closed_form.yaml",
                         "hysac.yaml", "mask.yaml"));
}

// A description of a published set is what an entry of evaluate.zero_shot extends.
TEST_F(ConfigFiles, ZeroShotSetsAreExtended) {
  const std::vector<fs::path> files = shipped("configs/zero_shot");
  EXPECT_EQ(files.size(), 17U);
  for (const fs::path& file : files) {
    const RunConfig config = read(cat(kMinimal, "evaluate: {zero_shot: [{extends: ", file.string(),
                                      ", images: /sets/x, class_count: 3}]}\n"));
    ASSERT_EQ(config.evaluate.zero_shot.size(), 1U);
    const ZeroShotOptions& set = config.evaluate.zero_shot[0];
    EXPECT_EQ(set.name, file.stem().string());
    EXPECT_EQ(set.images, "/sets/x");
    EXPECT_EQ(set.class_count, 3);  // what the entry writes wins
    EXPECT_EQ(set.templates.size(), 1U);
  }
  EXPECT_THAT(refusal(kMinimal + "evaluate: {zero_shot: [{extends: gone.yaml, images: x}]}\n"),
              HasSubstr("extends: no such file"));
}

TEST(ConfigPage, IsCurrent) {
  EXPECT_EQ(read_file(fs::path(SAFERCLIP_SOURCE) / "docs" / "config.md"), config_keys_markdown())
      << "run: saferclip config keys --markdown > docs/config.md";
}

}  // namespace
}  // namespace saferclip
