#include "saferclip/weights/peft.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/safetensors.h"
#include "saferclip/weights/weights.h"
#include "support/temporary_folder.h"
#include "support/tensors.h"

namespace saferclip {
namespace {

using ::testing::HasSubstr;

// The fixture: text width 24, vision width 32.
WeightsSource base() {
  ModelOptions options;
  options.weights = std::string(SAFERCLIP_FIXTURES) + "/model/gelu";
  return open_weights(options, 0);
}

const std::string kModule = "base_model.model.text_model.encoder.layers.0.self_attn.q_proj";

void write_adapter(const std::filesystem::path& folder, const std::vector<NamedTensor>& tensors,
                   const std::string& settings = "") {
  write_file_atomically(folder / "adapter_config.json",
                        cat("{\"peft_type\": \"LORA\", \"lora_alpha\": 4", settings, "}"));
  write_safetensors(folder / "adapter_model.safetensors", tensors);
}

std::string refusal(const std::vector<NamedTensor>& tensors, const std::string& settings = "") {
  const TemporaryFolder folder;
  write_adapter(folder.path(), tensors, settings);
  try {
    read_peft_adapter(folder.path(), base().geometry);
  } catch (const WeightsError& error) {
    return error.what();
  }
  return "accepted";
}

TEST(PeftAdapter, MergesIntoTheWeights) {
  const TemporaryFolder folder;
  const at::Tensor a = at::rand({2, 24});
  const at::Tensor b = at::rand({24, 2});
  write_adapter(folder.path(),
                {{cat(kModule, ".lora_A.weight"), a}, {cat(kModule, ".lora_B.weight"), b}},
                ", \"use_rslora\": true");
  ModelOptions options;
  options.weights = std::string(SAFERCLIP_FIXTURES) + "/model/gelu";
  options.adapter = folder.path().string();
  const WeightsSource source = open_weights(options, 0);
  const std::string name = "text_model.encoder.layers.0.self_attn.q_proj.weight";
  expect_close(source.tensor(name), base().tensor(name) + b.mm(a) * (4 / std::sqrt(2.0)), 1e-6,
               name);
  EXPECT_TRUE(at::equal(source.tensor("logit_scale"), base().tensor("logit_scale")));
  EXPECT_NE(source.hash(), base().hash());
}

TEST(PeftAdapter, HostileFactors) {
  const auto pair = [](const at::Tensor& a, const at::Tensor& b) {
    return std::vector<NamedTensor>{{cat(kModule, ".lora_A.weight"), a},
                                    {cat(kModule, ".lora_B.weight"), b}};
  };
  EXPECT_EQ(refusal(pair(at::rand({2, 24}), at::rand({24, 2}))), "accepted");
  EXPECT_THAT(refusal(pair(at::rand({}), at::rand({}))), HasSubstr("are not matrices"));
  EXPECT_THAT(refusal(pair(at::rand({24}), at::rand({24, 1}))), HasSubstr("are not matrices"));
  EXPECT_THAT(refusal(pair(at::rand({2, 24}), at::rand({24, 3}))), HasSubstr("do not fit"));
  EXPECT_THAT(refusal(pair(at::rand({2, 32}), at::rand({24, 2}))), HasSubstr("do not fit"));
  EXPECT_THAT(refusal(pair(at::rand({0, 24}), at::rand({24, 0}))), HasSubstr("do not fit"));
  EXPECT_THAT(refusal({{cat(kModule, ".lora_A.weight"), at::rand({2, 24})}}),
              HasSubstr("only one"));
  EXPECT_THAT(refusal({{"base_model.model.other.lora_A.weight", at::rand({2, 24})},
                       {"base_model.model.other.lora_B.weight", at::rand({24, 2})}}),
              HasSubstr("no such layer"));
  EXPECT_THAT(refusal({{"base_model.model.strange", at::rand({2})}}), HasSubstr("no such tensor"));
  EXPECT_THAT(refusal({}), HasSubstr("no LoRA factors"));
  EXPECT_THAT(refusal(pair(at::rand({2, 24}), at::rand({24, 2})), ", \"lora_bias\": true"),
              HasSubstr("lora_bias"));
}

TEST(PeftAdapter, AdaptersThatNameEachOtherAreRefused) {
  const TemporaryFolder folder;
  for (const auto& [name, base] :
       {std::pair<std::string, std::string>{"a", "../b"}, {"b", "../a"}}) {
    std::filesystem::create_directories(folder / name);
    write_adapter(folder / name, {}, cat(", \"base_model_name_or_path\": \"", base, "\""));
  }
  ModelOptions options;
  options.weights = (folder / "a").string();
  try {
    open_weights(options, 0);
    FAIL() << "accepted";
  } catch (const WeightsError& error) {
    EXPECT_THAT(error.what(), HasSubstr("is an adapter too"));
  }
}

TEST(ResizedPositions, KeepTheClassTokenAndTheMean) {
  ModelOptions options;
  options.weights = std::string(SAFERCLIP_FIXTURES) + "/model/gelu";
  const WeightsSource small = open_weights(options, 0);
  options.image_size = 35;
  const WeightsSource large = open_weights(options, 0);
  const std::string name = "vision_model.embeddings.position_embedding.weight";
  EXPECT_EQ(large.geometry.image_size, 35);
  EXPECT_EQ(large.preprocessing.image_size, 35);
  EXPECT_EQ(large.tensor(name).sizes(), (std::vector<std::int64_t>{1 + 25, 32}));
  EXPECT_TRUE(at::equal(large.tensor(name)[0], small.tensor(name)[0]));
  // The middle of a 3 x 3 grid is the middle of the 5 x 5 one.
  expect_close(large.tensor(name)[1 + 12], small.tensor(name)[1 + 4], 1e-5, "centre");
  options.image_size = 3;
  EXPECT_THROW(open_weights(options, 0), ConfigError);
}

}  // namespace
}  // namespace saferclip
