// Which file a path means, which names its tensors have, and which types weights may be of.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/tensor_file.h"
#include "saferclip/weights/weights.h"
#include "support/temporary_folder.h"
#include "support/tensors.h"
#include "weights/open_clip.h"

namespace saferclip {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;

const fs::path kTiny = fs::path(SAFERCLIP_FIXTURES) / "model" / "gelu";
const std::string kProjection = "text_projection.weight";

// The fixture's tensors with every matrix times `factor`, their names behind `prefix`.
std::vector<NamedTensor> tensors(double factor = 1, const std::string& prefix = "") {
  std::vector<NamedTensor> all = SafetensorsFile::open(kTiny / "model.safetensors").tensors();
  for (NamedTensor& named : all) {
    named.name = prefix + named.name;
    named.tensor = named.tensor.dim() < 2 ? named.tensor.clone() : named.tensor * factor;
  }
  return all;
}

class WeightFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"config.json", "preprocessor_config.json"}) {
      if (fs::exists(kTiny / name)) fs::copy_file(kTiny / name, folder_ / name);
    }
  }

  fs::path write(const std::string& name, const std::vector<NamedTensor>& content) {
    const fs::path file = folder_ / name;
    if (file.extension() == ".safetensors") {
      write_safetensors(file, content);
    } else {
      write_torch_file(file, content);
    }
    return file;
  }

  // How much larger than the fixture's a matrix is, and that the hash is of the file.
  double factor_of(const fs::path& path, const fs::path& file) {
    ModelOptions options;
    options.weights = path.string();
    source_ = open_weights(options, 0);
    EXPECT_EQ(source_.hash(), sha256_file(file));
    EXPECT_THAT(source_.files, ::testing::ElementsAre(file));
    const at::Tensor own = SafetensorsFile::open(kTiny / "model.safetensors").tensor(kProjection);
    return (source_.tensor(kProjection).sum() / own.sum()).item<double>();
  }

  std::string refusal(const fs::path& path) {
    ModelOptions options;
    options.weights = path.string();
    try {
      open_weights(options, 0);
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  }

  TemporaryFolder folder_;
  WeightsSource source_;
};

TEST_F(WeightFiles, TheNamedFileIsRead) {
  write("model.safetensors", tensors(1));
  double factor = 2;
  for (const char* name : {"pytorch_model.bin", "renamed.safetensors", "step.ckpt", "model.pt"}) {
    const fs::path file = write(name, tensors(factor));
    EXPECT_NEAR(factor_of(file, file), factor, 1e-5) << name;
    EXPECT_EQ(source_.layout, WeightsLayout::kHuggingFace);
    factor += 1;
  }
  // Only a folder is searched, in transformers' order.
  EXPECT_NEAR(factor_of(folder_.path(), folder_ / "model.safetensors"), 1, 1e-6);
  EXPECT_THAT(source_.notes,
              Contains(HasSubstr("reading model.safetensors, not pytorch_model.bin")));
}

TEST_F(WeightFiles, TheNamesChooseTheConfiguration) {
  ModelOptions options;
  options.weights = kTiny.string();
  ClipModel model = load_clip(open_weights(options, 0));
  write("model.safetensors", tensors(2));
  write_file_atomically(folder_ / "open_clip_config.json",
                        R"({"model_cfg": {"embed_dim": 12, "quick_gelu": false,
    "vision_cfg": {"image_size": 21, "layers": 3, "width": 32, "head_width": 16, "mlp_ratio": 1.75, "patch_size": 7},
    "text_cfg": {"context_length": 12, "vocab_size": 50, "width": 24, "heads": 2, "layers": 2, "mlp_ratio": 1.6667}}})");
  const auto theirs = open_clip_tensors(model, at::kFloat);
  for (const char* name : {"open_clip_epoch_5.pt", "epoch_latest.pt"}) {
    const fs::path file = write(name, theirs);
    EXPECT_NEAR(factor_of(file, file), 1, 1e-6) << name;
    EXPECT_EQ(source_.layout, WeightsLayout::kOpenClip);
  }
  EXPECT_NEAR(factor_of(folder_ / "model.safetensors", folder_ / "model.safetensors"), 2, 1e-6);
  EXPECT_EQ(source_.layout, WeightsLayout::kHuggingFace);
  EXPECT_NEAR(factor_of(folder_.path(), folder_ / "model.safetensors"), 2, 1e-6);
  const fs::path own = write("open_clip_model.safetensors", theirs);
  EXPECT_NEAR(factor_of(folder_.path(), own), 1, 1e-6);
  EXPECT_EQ(source_.layout, WeightsLayout::kOpenClip);
}

TEST_F(WeightFiles, APrefixIsTheSameInEveryContainer) {
  for (const std::string prefix : {"_orig_mod.", "module.", "model.", "_fsdp_wrapped_module.",
                                   "_forward_module.", "module._orig_mod.", "clip.", "net.clip."}) {
    for (const char* name : {"a.safetensors", "a.bin"}) {
      const fs::path file = write(name, tensors(3, prefix));
      EXPECT_NEAR(factor_of(file, file), 3, 1e-5) << prefix << name;
      EXPECT_THAT(source_.notes, Contains(HasSubstr(prefix.substr(0, prefix.find('.') + 1))));
    }
  }
  auto inside = tensors(3);
  for (NamedTensor& named : inside) {
    const auto at = named.name.find("mlp.");
    if (at != std::string::npos) named.name.insert(at, "_checkpoint_wrapped_module.");
  }
  const fs::path file = write("a.safetensors", inside);
  EXPECT_NEAR(factor_of(file, file), 3, 1e-5);
  EXPECT_THAT(source_.notes, Contains(HasSubstr("\"_checkpoint_wrapped_module.\" from 20")));
}

TEST_F(WeightFiles, WhatIsBesideTheModelIsCounted) {
  auto beside = tensors(2, "model.");
  beside.push_back({"loss.scale", at::ones({})});
  beside.push_back({"metric.count", at::ones({}, at::kLong)});
  const fs::path file = write("a.safetensors", beside);
  EXPECT_NEAR(factor_of(file, file), 2, 1e-6);
  EXPECT_THAT(source_.notes, Contains(HasSubstr("ignored 2 tensors outside the model: "
                                                "loss.scale, metric.count")));
  for (NamedTensor& named : tensors(5, "model_ema.")) beside.push_back(named);
  EXPECT_NEAR(factor_of(write("a.safetensors", beside), file), 2, 1e-6);
  EXPECT_THAT(source_.notes, Contains(HasSubstr("running average")));
  for (NamedTensor& named : tensors(5, "teacher.")) beside.push_back(named);
  write("a.safetensors", beside);
  EXPECT_THAT(refusal(file), HasSubstr("several models, whose tensor names begin with \"model.\", "
                                       "\"teacher.\""));
  auto clash = tensors();
  clash.push_back({"_orig_mod.logit_scale", at::ones({})});
  EXPECT_THAT(refusal(write("a.safetensors", clash)), HasSubstr("\"_orig_mod.logit_scale\""));
}

TEST_F(WeightFiles, WholeNumbersAreNoWeights) {
  const std::string name = "text_model.encoder.layers.0.mlp.fc1.weight";
  for (const at::ScalarType type :
       {at::kChar, at::kByte, at::kShort, at::kInt, at::kLong, at::kBool}) {
    auto bad = tensors();
    for (NamedTensor& named : bad) {
      if (named.name == name) named.tensor = named.tensor.to(type);
    }
    const std::string said = refusal(write("a.safetensors", bad));
    EXPECT_THAT(said, HasSubstr("dtype: " + name + " is ")) << type;
    EXPECT_THAT(said, HasSubstr("dequantize"));
  }
  auto good = tensors(2);
  good.push_back({"text_model.embeddings.position_ids", at::arange(12).unsqueeze(0)});
  for (NamedTensor& named : good) {
    if (named.name == name) named.tensor = named.tensor.to(at::kBFloat16);
  }
  const fs::path file = write("a.safetensors", good);
  EXPECT_NEAR(factor_of(file, file), 2, 1e-6);
}

TEST_F(WeightFiles, ShardsByTheirIndex) {
  auto all = tensors(2);
  const std::vector<NamedTensor> first(all.begin(), all.begin() + 5);
  const std::vector<NamedTensor> second(all.begin() + 5, all.end());
  write("model-00001-of-00002.safetensors", first);
  write("model-00002-of-00002.safetensors", second);
  std::string map;
  std::size_t place = 0;
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].name == kProjection) place = i;
    map += cat(i == 0 ? "" : ",", "\"", all[i].name, "\": \"model-0000", i < 5 ? 1 : 2,
               "-of-00002.safetensors\"");
  }
  const fs::path index = folder_ / "model.safetensors.index.json";
  write_file_atomically(index, cat("{\"weight_map\": {", map, "}}"));
  write("pytorch_model.bin", tensors(7));
  ModelOptions options;
  for (const fs::path& path : {index, folder_.path()}) {
    options.weights = path.string();
    const WeightsSource source = open_weights(options, 0);
    EXPECT_EQ(source.files.size(), 2U);
    EXPECT_TRUE(at::equal(source.tensor(kProjection), tensors(2)[place].tensor));
  }
  EXPECT_THAT(refusal(folder_ / "model-00001-of-00002.safetensors"),
              HasSubstr("one of the 2 shards of"));
  write_file_atomically(index, "{\"weight_map\": {}}");
  EXPECT_THAT(refusal(index), HasSubstr("weight_map"));
}

TEST_F(WeightFiles, WhatIsNoWeightsGetsASentence) {
  write("epoch_5.pt", tensors());
  EXPECT_THAT(refusal(folder_.path()), HasSubstr("give its path (found: epoch_5.pt)"));
  EXPECT_THAT(refusal(folder_ / "config.json"), HasSubstr("a configuration, not weights"));
  auto unmerged = tensors(1, "base_model.model.");
  for (NamedTensor& named : unmerged) {
    if (named.name.ends_with("q_proj.weight"))
      named.name.insert(named.name.size() - 6, "base_layer.");
  }
  EXPECT_THAT(refusal(write("a.bin", unmerged)), HasSubstr("merge_and_unload"));
}

}  // namespace
}  // namespace saferclip
