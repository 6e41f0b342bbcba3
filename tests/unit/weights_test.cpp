#include "saferclip/weights/weights.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/io/safetensors.h"
#include "support/temporary_folder.h"
#include "support/tensors.h"

namespace saferclip {
namespace {

using ::testing::HasSubstr;

TEST(Weights, NamesEveryTensorThatDoesNotFit) {
  const std::string tiny = std::string(SAFERCLIP_FIXTURES) + "/model/quick_gelu";
  const TemporaryFolder folder;
  std::filesystem::copy(
      tiny, folder.path(),
      std::filesystem::copy_options::overwrite_existing | std::filesystem::copy_options::recursive);
  auto tensors = SafetensorsFile::open(folder / "model.safetensors").tensors();
  std::erase_if(tensors, [](const NamedTensor& t) { return t.name == "visual_projection.weight"; });
  for (NamedTensor& t : tensors) {
    t.tensor = t.tensor.clone();
    if (t.name == "text_projection.weight") t.tensor = t.tensor.narrow(0, 0, 3);
  }
  tensors.push_back({"surprise", at::ones({2})});
  write_safetensors(folder / "model.safetensors", tensors);
  ModelOptions options;
  options.weights = folder.path();
  try {
    open_weights(options, 0);
    FAIL();
  } catch (const WeightsError& error) {
    EXPECT_THAT(error.what(), HasSubstr("missing: visual_projection.weight [12, 32]"));
    EXPECT_THAT(error.what(),
                HasSubstr("shape: text_projection.weight is [3, 24], expected [12, 24]"));
    EXPECT_THAT(error.what(), HasSubstr("extra: surprise [2]"));
  }
  options.weights = tiny;
  options.activation = Activation::kGelu;
  EXPECT_THROW(open_weights(options, 0), ConfigError);  // the file says quick_gelu
}

TEST(Weights, NotANumberIsRefused) {
  ModelOptions options;
  options.weights = std::string(SAFERCLIP_FIXTURES) + "/model/gelu";
  WeightsSource source = open_weights(options, 0);
  const auto tensor = source.tensor;
  source.tensor = [tensor](const std::string& name) {
    return name == "text_model.final_layer_norm.bias" ? tensor(name) / 0 * 0 : tensor(name);
  };
  try {
    load_clip(source);
    FAIL();
  } catch (const WeightsError& error) {
    EXPECT_THAT(error.what(), HasSubstr("text_model.final_layer_norm.bias"));
  }
}

TEST(Weights, OpenAiLayoutGivesTheSameModel) {
  ModelOptions options;
  options.weights = std::string(SAFERCLIP_FIXTURES) + "/model/gelu";
  const WeightsSource hf = open_weights(options, 0);
  // Widths of this fixture are no multiples of 64, so a folder with a configuration carries the
  // heads.
  const TemporaryFolder folder;
  std::vector<NamedTensor> openai;
  const auto block = [&](const std::string& from, const std::string& to, const char* part,
                         const char* name) {
    openai.push_back({to + name, hf.tensor(from + part)});
  };
  for (const auto& [tower, prefix, layers] :
       {std::tuple<std::string, std::string, int>{"text_model", "", 2},
        {"vision_model", "visual.", 3}}) {
    for (int i = 0; i < layers; ++i) {
      const std::string from = tower + ".encoder.layers." + std::to_string(i) + ".";
      const std::string to = prefix + "transformer.resblocks." + std::to_string(i) + ".";
      for (const std::string kind : {"weight", "bias"}) {
        std::vector<at::Tensor> thirds;
        for (const char* p : {"q", "k", "v"})
          thirds.push_back(hf.tensor(from + "self_attn." + p + "_proj." + kind));
        openai.push_back({to + "attn.in_proj_" + kind, at::cat(thirds)});
        for (const auto& [a, b] : {std::pair<std::string, std::string>{"layer_norm1.", "ln_1."},
                                   {"layer_norm2.", "ln_2."},
                                   {"self_attn.out_proj.", "attn.out_proj."},
                                   {"mlp.fc1.", "mlp.c_fc."},
                                   {"mlp.fc2.", "mlp.c_proj."}}) {
          block(from, to, (a + kind).c_str(), (b + kind).c_str());
        }
      }
    }
  }
  const auto add = [&](const char* name, const char* canonical) {
    openai.push_back({name, hf.tensor(canonical)});
  };
  add("logit_scale", "logit_scale");
  add("token_embedding.weight", "text_model.embeddings.token_embedding.weight");
  add("positional_embedding", "text_model.embeddings.position_embedding.weight");
  add("ln_final.weight", "text_model.final_layer_norm.weight");
  add("ln_final.bias", "text_model.final_layer_norm.bias");
  add("visual.class_embedding", "vision_model.embeddings.class_embedding");
  add("visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight");
  add("visual.positional_embedding", "vision_model.embeddings.position_embedding.weight");
  for (const char* part : {"weight", "bias"}) {
    openai.push_back({std::string("visual.ln_pre.") + part,
                      hf.tensor(std::string("vision_model.pre_layrnorm.") + part)});
    openai.push_back({std::string("visual.ln_post.") + part,
                      hf.tensor(std::string("vision_model.post_layernorm.") + part)});
  }
  openai.push_back({"text_projection", hf.tensor("text_projection.weight").t()});
  openai.push_back({"visual.proj", hf.tensor("visual_projection.weight").t()});
  write_safetensors(folder / "open_clip_model.safetensors", openai);
  write_file_atomically(folder / "open_clip_config.json",
                        R"({"model_cfg": {"embed_dim": 12, "quick_gelu": false,
    "vision_cfg": {"image_size": 21, "layers": 3, "width": 32, "head_width": 16, "mlp_ratio": 1.75, "patch_size": 7},
    "text_cfg": {"context_length": 12, "vocab_size": 50, "width": 24, "heads": 2, "layers": 2, "mlp_ratio": 1.6667}},
    "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "resize_mode": "squash"}})");
  options.weights = folder.path();
  const WeightsSource open_clip = open_weights(options, 0);
  EXPECT_EQ(open_clip.preprocessing.mean[0], 0.5);
  EXPECT_EQ(open_clip.preprocessing.resize_mode, ResizeMode::kSquash);
  ClipModel a = load_clip(hf);
  ClipModel b = load_clip(open_clip);
  EXPECT_EQ(model_hash(a), model_hash(b));
  // The bare file does not say its activation.
  const TemporaryFolder elsewhere;
  std::filesystem::rename(folder / "open_clip_model.safetensors", elsewhere / "bare.safetensors");
  options.weights = elsewhere / "bare.safetensors";
  EXPECT_THROW(open_weights(options, 0), Error);
}

}  // namespace
}  // namespace saferclip
