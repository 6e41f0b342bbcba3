// Export folders: complete or absent, with what each client reads beside the weights.
#include "saferclip/export/export.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/io/safetensors.h"
#include "support/temporary_folder.h"
#include "support/tensors.h"

namespace saferclip {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct TwoFiles : Tokenizer {
  TextSpec text;
  std::string print = "two files";
  std::vector<std::pair<std::string, std::string>> files{{"vocab.json", "{}"},
                                                         {"merges.txt", "#version: 0.2\n"}};
  std::vector<std::int32_t> encode(std::string_view, bool*) const override { return {}; }
  const TextSpec& spec() const override { return text; }
  const std::string& fingerprint() const override { return print; }
  std::vector<std::pair<std::string, std::string>> hugging_face_files() const override {
    return files;
  }
};

class Export : public ::testing::Test {
 protected:
  Export() {
    options_.weights = std::string(SAFERCLIP_FIXTURES) + "/model/quick_gelu";
    source_ = open_weights(options_, 0);
    model_ = load_clip(source_);
    request_.folder = folder_ / "out";
    request_.model_card = "a card\n";
  }
  std::set<std::string> files() const {
    std::set<std::string> names;
    for (const auto& entry : fs::directory_iterator(request_.folder))
      names.insert(entry.path().filename().string());
    return names;
  }
  nlohmann::json json(const std::string& name) const {
    return nlohmann::json::parse(read_file(request_.folder / name));
  }
  void write(WeightsLayout layout) {
    export_weights(request_, layout, model_, source_, tokenizer_);
  }
  // No folder, nor a temporary one beside it.
  void expect_nothing_written() const { EXPECT_TRUE(fs::is_empty(folder_.path())); }
  std::string peft_refusal() {
    try {
      export_peft(request_, {trained_, options_, adapter_}, source_);
    } catch (const ConfigError& error) {
      return error.what();
    }
    return "accepted";
  }

  TemporaryFolder folder_;
  ModelOptions options_;
  AdapterOptions adapter_;
  WeightsSource source_;
  ClipModel model_;
  std::vector<NamedTensor> trained_;
  TwoFiles tokenizer_;
  ExportRequest request_;
};

TEST_F(Export, TransformersFolder) {
  write(WeightsLayout::kHuggingFace);
  EXPECT_EQ(files(),
            (std::set<std::string>{"README.md", "config.json", "merges.txt", "model.safetensors",
                                   "preprocessor_config.json", "vocab.json"}));
  EXPECT_EQ(read_file(request_.folder / "README.md"), "a card\n");
  EXPECT_EQ(read_file(request_.folder / "vocab.json"), "{}");
  EXPECT_EQ(json("config.json")["torch_dtype"], "float32");
  ModelOptions written;
  written.weights = request_.folder;
  ClipModel again = load_clip(open_weights(written, 0));
  EXPECT_EQ(model_hash(again), model_hash(model_));
}

TEST_F(Export, OneTowerAlone) {
  request_.tower = Towers::kText;
  request_.dtype = at::kHalf;
  write(WeightsLayout::kHuggingFace);
  EXPECT_FALSE(files().contains("preprocessor_config.json"));
  EXPECT_TRUE(files().contains("vocab.json"));
  EXPECT_EQ(json("config.json")["architectures"][0], "CLIPTextModelWithProjection");
  EXPECT_EQ(json("config.json")["torch_dtype"], "float16");
  for (const NamedTensor& t :
       SafetensorsFile::open(request_.folder / "model.safetensors").tensors()) {
    EXPECT_THAT(t.name, ::testing::StartsWith("text_"));
    EXPECT_EQ(t.tensor.scalar_type(), at::kHalf) << t.name;
  }
  request_.folder = folder_ / "vision";
  request_.tower = Towers::kVision;
  write(WeightsLayout::kHuggingFace);
  EXPECT_TRUE(files().contains("preprocessor_config.json"));
  EXPECT_FALSE(files().contains("vocab.json"));
  request_.folder = folder_ / "no";
  EXPECT_THROW(write(WeightsLayout::kOpenClip), ConfigError);
  EXPECT_THROW(write(WeightsLayout::kOpenAi), ConfigError);
  EXPECT_FALSE(fs::exists(request_.folder));
}

TEST_F(Export, OpenClipAndOpenAiFoldersHaveTheirConfigurationBesideThem) {
  write(WeightsLayout::kOpenClip);
  EXPECT_EQ(files(), (std::set<std::string>{"README.md", "merges.txt", "open_clip_config.json",
                                            "open_clip_model.safetensors", "vocab.json"}));
  EXPECT_EQ(json("open_clip_config.json")["model_cfg"]["embed_dim"], source_.geometry.embed_dim);
  const std::string config = read_file(request_.folder / "open_clip_config.json");
  request_.folder = folder_ / "openai";
  write(WeightsLayout::kOpenAi);
  EXPECT_EQ(files(), (std::set<std::string>{"README.md", "merges.txt", "model.pt",
                                            "open_clip_config.json", "vocab.json"}));
  EXPECT_EQ(read_file(request_.folder / "open_clip_config.json"), config);
}

TEST_F(Export, OnnxGraphsStandBesideTransformersFiles) {
  export_onnx(request_, model_, source_, tokenizer_);
  EXPECT_EQ(files(), (std::set<std::string>{"README.md", "config.json", "merges.txt",
                                            "preprocessor_config.json", "text_model.onnx",
                                            "vision_model.onnx", "vocab.json"}));
  request_.folder = folder_ / "text";
  request_.tower = Towers::kText;
  export_onnx(request_, model_, source_, tokenizer_);
  EXPECT_EQ(files(), (std::set<std::string>{"README.md", "config.json", "merges.txt",
                                            "text_model.onnx", "vocab.json"}));
  request_.folder = folder_ / "no";
  request_.dtype = at::kBFloat16;
  EXPECT_THROW(export_onnx(request_, model_, source_, tokenizer_), ConfigError);
  EXPECT_FALSE(fs::exists(request_.folder));
}

TEST_F(Export, AFolderWithContentIsRefusedAndStays) {
  make_folders(request_.folder);
  write_file_atomically(request_.folder / "mine.txt", "mine");
  EXPECT_THROW(write(WeightsLayout::kHuggingFace), ConfigError);
  EXPECT_EQ(files(), std::set<std::string>{"mine.txt"});
  fs::remove(request_.folder / "mine.txt");
  write(WeightsLayout::kHuggingFace);  // an empty one may be filled
  EXPECT_TRUE(files().contains("model.safetensors"));
}

TEST_F(Export, AFailureLeavesNothing) {
  tokenizer_.files.push_back({"no folder/of this name", ""});  // fails when the weights are written
  EXPECT_ANY_THROW(write(WeightsLayout::kHuggingFace));
  expect_nothing_written();
  tokenizer_.files.pop_back();
  request_.model_card = "";
  request_.folder = folder_ / "a/b";
  write(WeightsLayout::kHuggingFace);
  EXPECT_TRUE(files().contains("model.safetensors"));
  EXPECT_FALSE(files().contains("README.md"));
}

TEST_F(Export, PeftFolder) {
  const std::string module = "base_model.model.text_model.encoder.layers.0.self_attn.q_proj";
  const at::Tensor bias = source_.tensor("text_model.final_layer_norm.bias").to(at::kFloat);
  trained_ = {{module + ".lora_A.weight", at::ones({2, 24})},
              {module + ".lora_B.weight", at::ones({24, 2})},
              {"text_model.final_layer_norm.bias", bias + 1}};
  adapter_.rank = 2;
  adapter_.alpha = 4;
  adapter_.targets = {"q_proj", "fc1"};
  export_peft(request_, {trained_, options_, adapter_, 0.5}, source_);
  EXPECT_EQ(files(), (std::set<std::string>{"README.md", "adapter_config.json",
                                            "adapter_model.safetensors"}));
  const nlohmann::json config = json("adapter_config.json");
  EXPECT_EQ(config["r"], 2);
  EXPECT_EQ(config["lora_alpha"], 2);  // strength 0.5
  EXPECT_THAT(config["target_modules"].get<std::vector<std::string>>(),
              ElementsAre("fc1", "q_proj"));
  EXPECT_EQ(config["base_model_name_or_path"], "quick_gelu");  // no path
  EXPECT_THAT(config["modules_to_save"].get<std::vector<std::string>>(),
              ElementsAre("text_model.final_layer_norm"));
  const auto file = SafetensorsFile::open(request_.folder / "adapter_model.safetensors");
  EXPECT_TRUE(at::equal(file.tensor(module + ".lora_B.weight"), at::ones({24, 2})));
  expect_close(file.tensor("base_model.model.text_model.final_layer_norm.bias"), bias + 0.5, 1e-6,
               "a saved module");
}

TEST_F(Export, WhatNoAdapterCanCarryIsRefused) {
  adapter_.method = AdapterMethod::kFull;
  EXPECT_THAT(peft_refusal(), HasSubstr("there is no adapter"));
  adapter_.method = AdapterMethod::kLora;
  options_.train_logit_scale = true;
  EXPECT_THAT(peft_refusal(), HasSubstr("logit scale"));
  options_.train_logit_scale = false;
  options_.image_size = 24;
  EXPECT_THAT(peft_refusal(), HasSubstr("model.image_size"));
  options_.image_size.reset();
  options_.adapter = "another";
  EXPECT_THAT(peft_refusal(), HasSubstr("another adapter merged in"));
  options_.adapter = "";
  adapter_.towers = Towers::kText;
  request_.tower = Towers::kVision;
  EXPECT_THAT(peft_refusal(), HasSubstr("only on the text tower"));
  expect_nothing_written();
}

TEST_F(Export, TheBasesNameIsNoPath) {
  EXPECT_EQ(base_model_name(source_), "quick_gelu");
  source_.path = "/home/someone/models--openai--clip-vit-base-patch32/snapshots/0123abcd";
  EXPECT_EQ(base_model_name(source_), "openai/clip-vit-base-patch32");
  source_.path = "/home/someone/base/";
  EXPECT_EQ(base_model_name(source_), "base");
  source_.path = "/home/someone/ViT-B-32.pt";
  EXPECT_EQ(base_model_name(source_), "ViT-B-32.pt");
}

}  // namespace
}  // namespace saferclip
