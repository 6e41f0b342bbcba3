#include <ATen/ATen.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "model/sources.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

std::string replaced_prefix(const std::string& name, const std::string& from,
                            const std::string& to) {
  return name.starts_with(from) ? to + name.substr(from.size()) : "";
}

SourceTensor openai_block_name(const std::string& prefix, const std::string& rest) {
  static const std::map<std::string, std::string> kParts{
      {"layer_norm1.weight", "ln_1.weight"},
      {"layer_norm1.bias", "ln_1.bias"},
      {"layer_norm2.weight", "ln_2.weight"},
      {"layer_norm2.bias", "ln_2.bias"},
      {"self_attn.out_proj.weight", "attn.out_proj.weight"},
      {"self_attn.out_proj.bias", "attn.out_proj.bias"},
      {"mlp.fc1.weight", "mlp.c_fc.weight"},
      {"mlp.fc1.bias", "mlp.c_fc.bias"},
      {"mlp.fc2.weight", "mlp.c_proj.weight"},
      {"mlp.fc2.bias", "mlp.c_proj.bias"}};
  const std::size_t dot = rest.find('.');
  const std::string block = prefix + "transformer.resblocks." + rest.substr(0, dot) + ".";
  const std::string part = rest.substr(dot + 1);
  if (const auto found = kParts.find(part); found != kParts.end()) return {block + found->second};
  static constexpr const char* kThirds[] = {"self_attn.q_proj.", "self_attn.k_proj.",
                                            "self_attn.v_proj."};
  for (std::int64_t i = 0; i < 3; ++i) {
    const std::string kind = replaced_prefix(part, kThirds[i], "");
    if (!kind.empty()) return {block + "attn.in_proj_" + kind, false, i};
  }
  throw WeightsError(cat("no OpenAI name for tensor \"", part, "\""));
}

// Names that open_clip's CustomTextCLIP puts under "text." are read as if they stood at the top.
class OpenAiFiles {
 public:
  explicit OpenAiFiles(const std::vector<fs::path>& paths) : files_(paths) {
    for (const std::string& name : files_.names()) {
      if (name.starts_with("text.")) has_text_prefix_ = true;
    }
  }
  const TensorFiles& files() const { return files_; }
  SourceTensor locate(const std::string& canonical) const {
    SourceTensor from = openai_name(canonical);
    if (has_text_prefix_ && !from.name.starts_with("visual.") && from.name != "logit_scale") {
      from.name = "text." + from.name;
    }
    return from;
  }
  const std::vector<std::int64_t>& shape(const std::string& name) const {
    const std::string actual =
        has_text_prefix_ && !name.starts_with("visual.") ? "text." + name : name;
    if (!files_.contains(actual)) return none_;
    return files_.shape(actual);
  }
  at::Tensor tensor(const std::string& canonical) const {
    const SourceTensor from = locate(canonical);
    const at::Tensor whole = files_.tensor(from.name);
    if (from.third >= 0) return whole.chunk(3, 0)[static_cast<std::size_t>(from.third)];
    return from.is_transposed ? whole.t() : whole;
  }

 private:
  TensorFiles files_;
  bool has_text_prefix_ = false;
  std::vector<std::int64_t> none_;
};

bool is_ignored_openai(const std::string& name) {
  static const std::set<std::string> kIgnored{"input_resolution", "context_length", "vocab_size",
                                              "attn_mask", "text.attn_mask"};
  return kIgnored.contains(name);
}

std::int64_t count_blocks(const TensorFiles& files, const std::string& prefix) {
  std::set<std::string> numbers;
  for (const std::string& name : files.names()) {
    if (!name.starts_with(prefix)) continue;
    numbers.insert(name.substr(prefix.size(), name.find('.', prefix.size()) - prefix.size()));
  }
  return static_cast<std::int64_t>(numbers.size());
}

// Geometry from shapes alone (OpenAI's own rule, heads of width 64).
ClipGeometry inferred_geometry(const OpenAiFiles& files, const fs::path& path) {
  const auto extent = [&](const std::string& name, std::size_t dimension) {
    const auto& shape = files.shape(name);
    if (shape.size() <= dimension) {
      throw WeightsError(
          cat(path.string(), ": no tensor \"", name,
              "\" of the expected rank: neither OpenAI's nor Hugging Face's names; a "
              "ResNet CLIP is not supported, a Hugging Face model needs its whole folder"));
    }
    return shape[dimension];
  };
  const bool has_text = !files.shape("positional_embedding").empty() &&
                        files.files().contains("positional_embedding");
  const std::string text_prefix = has_text ? "" : "text.";
  ClipGeometry g;
  g.vision.width = extent("visual.conv1.weight", 0);
  g.patch_size = extent("visual.conv1.weight", 3);
  const auto grid = static_cast<std::int64_t>(
      std::llround(std::sqrt(static_cast<double>(extent("visual.positional_embedding", 0) - 1))));
  g.image_size = g.patch_size * grid;
  g.embed_dim = extent("text_projection", 1);
  g.context_length = extent("positional_embedding", 0);
  g.vocab_size = extent("token_embedding.weight", 0);
  g.text.width = extent("ln_final.weight", 0);
  g.vision.layers = count_blocks(files.files(), "visual.transformer.resblocks.");
  g.text.layers = count_blocks(files.files(), text_prefix + "transformer.resblocks.");
  g.vision.mlp_width = extent("visual.transformer.resblocks.0.mlp.c_fc.weight", 0);
  g.text.mlp_width = extent("transformer.resblocks.0.mlp.c_fc.weight", 0);
  g.vision.heads = g.vision.width / 64;
  g.text.heads = g.text.width / 64;
  return g;
}

void require_whole_heads(const ClipGeometry& g, const fs::path& path) {
  for (const TowerGeometry& tower : {g.text, g.vision}) {
    if (tower.heads < 1 || tower.width % tower.heads != 0) {
      throw WeightsError(
          cat(path.string(), ": width ", tower.width, " does not divide into ", tower.heads,
              " heads; a bare file is read with heads of width 64, use a folder with a "
              "configuration instead"));
    }
  }
}

void finish_openai(WeightsSource& source, const std::shared_ptr<OpenAiFiles>& files) {
  require_whole_heads(source.geometry, source.path);
  source.text.context_length = source.geometry.context_length;
  source.text.vocab_size = source.geometry.vocab_size;
  source.text.bos_id = source.geometry.vocab_size - 2;
  source.text.eos_id = source.geometry.vocab_size - 1;
  source.text.cleaning = TextCleaning::kOpenAi;
  source.preprocessing.image_size = source.geometry.image_size;
  check_tensors(
      source, files->files(), [&](const std::string& name) { return files->locate(name); },
      is_ignored_openai);
  source.hash = files->files().hash();
  source.tensor = [files](const std::string& name) { return files->tensor(name); };
}

TowerGeometry read_open_clip_tower(const Json& json, const std::string& file, bool is_vision) {
  TowerGeometry tower;
  tower.width = json_integer(json, "width", is_vision ? 768 : 512, file);
  tower.layers = json_integer(json, "layers", 12, file);
  tower.heads = is_vision ? tower.width / std::max<std::int64_t>(
                                              1, json_integer(json, "head_width", 64, file))
                          : json_integer(json, "heads", 8, file);
  tower.mlp_width =
      static_cast<std::int64_t>(static_cast<double>(tower.width) * json.value("mlp_ratio", 4.0));
  return tower;
}

void refuse_foreign_towers(const Json& vision, const Json& text, const std::string& file) {
  for (const char* key : {"timm_model_name", "attentional_pool", "no_ln_pre"}) {
    if (vision.contains(key) && vision[key] != false && !vision[key].is_null()) {
      throw WeightsError(
          cat(file, ": vision_cfg.", key, " is not supported; only CLIP's own ViT is"));
    }
  }
  for (const char* key : {"hf_model_name", "no_causal_mask", "proj_bias", "embed_cls"}) {
    if (text.contains(key) && text[key] != false && !text[key].is_null()) {
      throw WeightsError(
          cat(file, ": text_cfg.", key, " is not supported; only CLIP's own text tower is"));
    }
  }
}

}  // namespace

SourceTensor openai_name(const std::string& canonical) {
  static const std::map<std::string, SourceTensor> kNames{
      {"logit_scale", {"logit_scale"}},
      {"text_projection.weight", {"text_projection", true}},
      {"visual_projection.weight", {"visual.proj", true}},
      {"text_model.embeddings.token_embedding.weight", {"token_embedding.weight"}},
      {"text_model.embeddings.position_embedding.weight", {"positional_embedding"}},
      {"text_model.final_layer_norm.weight", {"ln_final.weight"}},
      {"text_model.final_layer_norm.bias", {"ln_final.bias"}},
      {"vision_model.embeddings.class_embedding", {"visual.class_embedding"}},
      {"vision_model.embeddings.patch_embedding.weight", {"visual.conv1.weight"}},
      {"vision_model.embeddings.position_embedding.weight", {"visual.positional_embedding"}},
      {"vision_model.pre_layrnorm.weight", {"visual.ln_pre.weight"}},
      {"vision_model.pre_layrnorm.bias", {"visual.ln_pre.bias"}},
      {"vision_model.post_layernorm.weight", {"visual.ln_post.weight"}},
      {"vision_model.post_layernorm.bias", {"visual.ln_post.bias"}}};
  if (const auto found = kNames.find(canonical); found != kNames.end()) return found->second;
  for (const auto& [tower, prefix] :
       {std::pair<std::string, std::string>{"text_model.encoder.layers.", ""},
        {"vision_model.encoder.layers.", "visual."}}) {
    const std::string rest = replaced_prefix(canonical, tower, "");
    if (!rest.empty()) return openai_block_name(prefix, rest);
  }
  throw WeightsError(cat("no OpenAI name for tensor \"", canonical, "\""));
}

WeightsSource open_openai_file(const fs::path& file, const ModelOptions& options) {
  WeightsSource source;
  source.path = file;
  source.layout = WeightsLayout::kOpenAi;
  const auto files = std::make_shared<OpenAiFiles>(std::vector<fs::path>{file});
  if (files->files().contains("vision_model.embeddings.class_embedding")) {
    throw WeightsError(cat(file.string(),
                           ": has Hugging Face's tensor names; give its folder (with "
                           "config.json) as model.weights"));
  }
  source.geometry = inferred_geometry(*files, file);
  const auto metadata = SafetensorsFile::open(file).metadata();
  const auto said = metadata.find("activation");
  if (options.activation == "auto" && said != metadata.end()) {
    source.geometry.activation =
        said->second == "gelu" ? Activation::kGelu : Activation::kQuickGelu;
  } else if (options.activation == "auto" && files->files().contains("input_resolution")) {
    // Only OpenAI's own archives carry the three integers, and all of them use QuickGELU.
    source.geometry.activation = Activation::kQuickGelu;
  } else {
    source.geometry.activation = demanded_activation(options, file.string() + " does not say");
  }
  finish_openai(source, files);
  return source;
}

WeightsSource open_open_clip(const fs::path& folder, const ModelOptions& options) {
  WeightsSource source;
  source.path = folder;
  source.layout = WeightsLayout::kOpenClip;
  const fs::path config = folder / "open_clip_config.json";
  const Json json = read_json_file(config);
  const Json model = json.value("model_cfg", Json::object());
  const Json vision = model.value("vision_cfg", Json::object());
  const Json text = model.value("text_cfg", Json::object());
  const std::string name = config.string();
  refuse_foreign_towers(vision, text, name);
  ClipGeometry& g = source.geometry;
  g.embed_dim = json_integer(model, "embed_dim", 512, name);
  g.vision = read_open_clip_tower(vision, name, true);
  g.text = read_open_clip_tower(text, name, false);
  g.image_size = json_integer(vision, "image_size", 224, name);
  g.patch_size = json_integer(vision, "patch_size", 16, name);
  g.context_length = json_integer(text, "context_length", 77, name);
  g.vocab_size = json_integer(text, "vocab_size", 49408, name);
  const bool is_quick = model.value("quick_gelu", false);
  if (options.activation != "auto" && (options.activation == "quick_gelu") != is_quick) {
    throw ConfigError(cat("model.activation is ", options.activation, ", but ", name,
                          " says quick_gelu: ", is_quick ? "true" : "false"));
  }
  g.activation = is_quick ? Activation::kQuickGelu : Activation::kGelu;
  const Json preprocess = json.value("preprocess_cfg", Json::object());
  if (preprocess.contains("mean")) {
    read_preprocessor_config({{"image_mean", preprocess["mean"]}, {"image_std", preprocess["std"]}},
                             name, source);
  }
  if (preprocess.value("interpolation", std::string("bicubic")) == "bilinear") {
    source.preprocessing.interpolation = Interpolation::kBilinear;
  }
  const std::string mode = preprocess.value("resize_mode", std::string("shortest"));
  if (mode == "longest") throw WeightsError(cat(name, ": resize_mode longest is not supported"));
  source.preprocessing.resize_mode = mode == "squash" ? ResizeMode::kSquash : ResizeMode::kShortest;
  for (const char* candidate : {"open_clip_model.safetensors", "model.safetensors"}) {
    if (!fs::exists(folder / candidate)) continue;
    finish_openai(source, std::make_shared<OpenAiFiles>(std::vector<fs::path>{folder / candidate}));
    return source;
  }
  throw WeightsError(cat(folder.string(), ": no open_clip_model.safetensors"));
}

}  // namespace saferclip
