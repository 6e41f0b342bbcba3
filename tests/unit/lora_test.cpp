// Which weights LoRA factors belong to, and how they are scaled.
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/tensor_file.h"
#include "saferclip/weights/peft.h"
#include "saferclip/weights/weights.h"
#include "support/temporary_folder.h"
#include "support/tensors.h"
#include "weights/module_pattern.h"

namespace saferclip {
namespace {

namespace fs = std::filesystem;
using ::testing::Contains;
using ::testing::HasSubstr;

// What Python's re.match(rf"(.*\.)?({key})$", name) says.
TEST(ModulePattern, IsPythons) {
  const std::string name = "text_model.encoder.layers.0.self_attn.k_proj";
  const std::map<std::string, bool> keys{{"^" + name, true},
                                         {"^encoder.*", false},
                                         {"k_proj", true},
                                         {"proj", false},
                                         {".*proj", true},
                                         {"q_proj|k_proj", true},
                                         {"k_proj$", true},
                                         {R"(layers\.[0-3]\..*)", true},
                                         {R"(layers\.(1|2)\..*k_proj)", false},
                                         {R"(layers\.\d+\.self_attn\.k_proj)", true},
                                         {"(?!vision).*k_proj", true},
                                         {"(?=text).*", true},
                                         {"text_model.*(k|v)_proj", true},
                                         {"a)|(text", false},
                                         {"[^v].*", true},
                                         {"k_pro{1,2}j", true},
                                         {"k_pro{2}j", false},
                                         {"", false}};
  for (const auto& [key, expected] : keys) {
    EXPECT_EQ(pattern_key(key)(name), expected) << key;
  }
  EXPECT_TRUE(full_match("text.*")(name));
  EXPECT_FALSE(full_match("k_proj")(name));
  EXPECT_FALSE(full_match("text|vision")(name));
}

TEST(ModulePattern, WhatPythonReadsOtherwiseIsRefused) {
  for (const char* key : {"(?i)K", "(?P<a>k)", "(?<=a)k", R"(\Ak)", R"(k\Z)", "k++", "k**",
                          R"((k)\1)", "[]k]", "[[k]", "(k", "*k", "x{1000}{1000}"}) {
    EXPECT_THROW(pattern_key(key), WeightsError) << key;
  }
  // Linear in the name, whatever the file asks for.
  EXPECT_FALSE(pattern_key("(.|.)*(.*)*(.*)*!")(std::string(2000, 'a')));
}

// The fixture: text width 24, vision width 32, two text layers.
class LoraFile : public ::testing::Test {
 protected:
  static ModelOptions base() {
    ModelOptions options;
    options.weights = std::string(SAFERCLIP_FIXTURES) + "/model/gelu";
    return options;
  }

  // The factors' product, to be found in the weights.
  void SetUp() override {
    a_ = at::rand({2, 24});
    b_ = at::rand({24, 2});
  }

  std::vector<NamedTensor> factors(const std::string& down, const std::string& up) const {
    return {{down, a_}, {up, b_}};
  }

  // s of W + s · B A for the text tower's k_proj in layer 0, after checking that it is that.
  double scaling(const fs::path& adapter) {
    ModelOptions options = base();
    const WeightsSource plain = open_weights(options, 0);
    options.adapter = adapter.string();
    const WeightsSource merged = open_weights(options, 0);
    notes_ = merged.notes;
    const std::string name = "text_model.encoder.layers.0.self_attn.k_proj.weight";
    const at::Tensor change = merged.tensor(name) - plain.tensor(name);
    const double found = (change.sum() / b_.mm(a_).sum()).item<double>();
    expect_close(change, b_.mm(a_) * found, 1e-4, name);
    EXPECT_NE(merged.hash(), plain.hash());
    const std::string other = "vision_model.encoder.layers.0.self_attn.k_proj.weight";
    EXPECT_TRUE(at::equal(merged.tensor(other), plain.tensor(other)));
    return found;
  }

  std::string refusal(const fs::path& adapter) {
    ModelOptions options = base();
    options.adapter = adapter.string();
    try {
      open_weights(options, 0);
    } catch (const WeightsError& error) {
      return error.what();
    }
    return "accepted";
  }

  void write_peft(const std::string& start, const std::string& settings) {
    const std::string module = "base_model.model." + start + "encoder.layers.0.self_attn.k_proj";
    write_safetensors(folder_ / "adapter_model.safetensors",
                      factors(module + ".lora_A.weight", module + ".lora_B.weight"));
    write_file_atomically(
        folder_ / "adapter_config.json",
        cat("{\"peft_type\": \"LORA\", \"r\": 2, \"lora_alpha\": 6", settings, "}"));
  }

  TemporaryFolder folder_;
  at::Tensor a_, b_;
  std::vector<std::string> notes_;
};

TEST_F(LoraFile, TheFirstPatternThatMatchesCounts) {
  const auto scaled = [&](const std::string& settings) {
    write_peft("text_model.", settings);
    return scaling(folder_.path());
  };
  EXPECT_NEAR(scaled(""), 3, 1e-4);
  EXPECT_NEAR(scaled(R"(, "alpha_pattern": {"k_proj": 2, "^text.*": 64})"), 1, 1e-4);
  EXPECT_NEAR(scaled(R"(, "alpha_pattern": {"^text.*": 64, "k_proj": 2})"), 32, 1e-3);
  EXPECT_NEAR(scaled(R"(, "alpha_pattern": {"self_attn": 64, "proj": 9})"), 3, 1e-4);
  EXPECT_NEAR(scaled(R"(, "r": 8, "rank_pattern": {"layers\\.0.*": 2}, "use_rslora": true)"),
              6 / std::sqrt(2.0), 1e-4);
  const auto refused = [&](const std::string& settings) {
    write_peft("text_model.", settings);
    return refusal(folder_.path());
  };
  EXPECT_THAT(refused(R"(, "rank_pattern": {"k_proj": 4})"), HasSubstr("the factors have rank 2"));
  EXPECT_THAT(refused(R"(, "alpha_pattern": {"(?i)K": 4})"), HasSubstr("alpha_pattern \"(?i)K\""));
  EXPECT_THAT(refused(R"(, "alpha_pattern": {"k_proj": "x"})"), HasSubstr("expected a number"));
  EXPECT_THAT(refused(R"(, "target_modules": ["q_proj"])"), HasSubstr("leave this module out"));
  EXPECT_THAT(refused(R"(, "target_modules": ".*k_proj", "exclude_modules": ["k_proj"])"),
              HasSubstr("leave this module out"));
}

TEST_F(LoraFile, NamesOfOneTower) {
  write_peft("", R"(, "auto_mapping": {"base_model_class": "CLIPTextModel"})");
  EXPECT_NEAR(scaling(folder_.path()), 3, 1e-4);
  write_peft("", "");  // its shape fits the text tower only
  EXPECT_NEAR(scaling(folder_.path()), 3, 1e-4);
  write_peft("clip.text_model.", "");
  EXPECT_NEAR(scaling(folder_.path()), 3, 1e-4);
  write_peft("", R"(, "auto_mapping": {"base_model_class": "CLIPVisionModel"})");
  EXPECT_THAT(refusal(folder_.path()), HasSubstr("do not fit 32 x 32"));
}

TEST_F(LoraFile, KohyaAndDiffusers) {
  const std::string flat = "lora_te_text_model_encoder_layers_0_self_attn_k_proj";
  auto kohya = factors(flat + ".lora_down.weight", flat + ".lora_up.weight");
  const fs::path file = folder_ / "x.safetensors";
  write_safetensors(file, kohya);
  EXPECT_NEAR(scaling(file), 1, 1e-5);  // alpha is the rank where it is not written
  kohya.push_back({flat + ".alpha", at::scalar_tensor(8, at::kLong)});
  kohya.push_back({"lora_unet_x.alpha", at::scalar_tensor(1)});
  write_safetensors(file, kohya);
  EXPECT_NEAR(scaling(file), 4, 1e-4);
  EXPECT_THAT(notes_, Contains(HasSubstr("1 tensors of a U-Net")));
  const std::string module = "text_encoder.text_model.encoder.layers.0.self_attn.k_proj";
  const auto diffusers = factors(module + ".lora_A.weight", module + ".lora_B.weight");
  write_safetensors(file, diffusers,
                    {{"lora_adapter_metadata",
                      R"({"text_encoder.r": 2, "text_encoder.lora_alpha": 10, "unet.r": 4})"}});
  EXPECT_NEAR(scaling(file), 5, 1e-4);
  write_safetensors(file, diffusers);
  EXPECT_NEAR(scaling(file), 1, 1e-5);
  for (const auto& [name, word] :
       {std::pair<std::string, std::string>{"lora_te2_a.alpha", "2 text"},
        {flat + ".dora_scale", "dora_scale"},
        {"lora_te_nothing.lora_up.weight", "nothing: only one"}}) {
    auto bad = kohya;
    bad.push_back({name, at::ones({1, 1})});
    write_safetensors(file, bad);
    EXPECT_THAT(refusal(file), HasSubstr(word)) << name;
  }
  EXPECT_THAT(refusal(std::string(SAFERCLIP_FIXTURES) + "/model/gelu/model.safetensors"),
              HasSubstr("no LoRA factors"));
  ModelOptions options;
  options.weights = file.string();
  EXPECT_THROW(open_weights(options, 0), WeightsError);
}

TEST_F(LoraFile, WholeNumbersAreNoFactors) {
  a_ = (a_ * 9).to(at::kChar);
  write_peft("text_model.", "");
  EXPECT_THAT(refusal(folder_.path()), HasSubstr("k_proj: factor has dtype Char"));
}

}  // namespace
}  // namespace saferclip
