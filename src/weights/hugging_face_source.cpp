#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "weights/sources.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

TowerGeometry read_tower(const Json& json, const std::string& file, const TowerGeometry& defaults) {
  TowerGeometry tower;
  tower.width = json_integer(json, "hidden_size", defaults.width, file);
  tower.layers = json_integer(json, "num_hidden_layers", defaults.layers, file);
  tower.heads = json_integer(json, "num_attention_heads", defaults.heads, file);
  tower.mlp_width = json_integer(json, "intermediate_size", defaults.mlp_width, file);
  if (tower.width == 0 || tower.layers == 0 || tower.heads == 0 || tower.mlp_width == 0) {
    throw WeightsError(cat(file, ": a width, layer or head count is 0"));
  }
  if (tower.width % tower.heads != 0) {
    throw WeightsError(
        cat(file, ": hidden_size ", tower.width, " is not divisible by ", tower.heads, " heads"));
  }
  return tower;
}

// transformers lets `*_config_dict`, a legacy repetition, win over `*_config`.
Json sub_config(const Json& json, const std::string& name) {
  Json merged = json.value(name, Json::object());
  if (json.contains(name + "_dict") && json[name + "_dict"].is_object()) {
    merged.update(json[name + "_dict"]);
  }
  return merged.is_object() ? merged : Json::object();
}

// `fallback`: what a missing hidden_act means; empty where clients disagree.
Activation read_activation(const Json& tower, const std::string& fallback, const std::string& file,
                           const ModelOptions& options) {
  const std::string said = tower.contains("hidden_act") && tower["hidden_act"].is_string()
                               ? tower["hidden_act"].get<std::string>()
                               : std::string();
  if (said.empty() && options.activation == "auto" && !fallback.empty()) {
    return activation_named(fallback);
  }
  if (said.empty()) return demanded_activation(options, cat(file, " has no hidden_act"));
  if (options.activation != "auto" && options.activation != said) {
    throw ConfigError(cat("model.activation is ", options.activation, ", but ", file,
                          " says hidden_act \"", said,
                          "\"; set model.activation: auto, or correct the file"));
  }
  try {
    return activation_named(said);
  } catch (const WeightsError& problem) {
    throw WeightsError(cat(file, ": hidden_act ", problem.what()));
  }
}

// What transformers takes for a field that config.json leaves out. SigLIP's published files rely on
// it for nearly all.
struct Defaults {
  TowerGeometry text;
  TowerGeometry vision;
  std::int64_t patch_size;
  std::int64_t context_length;
  std::int64_t vocab_size;
  double norm_eps;
  const char* activation;
};

const Defaults& defaults_of(Family family) {
  static const Defaults kClip{{512, 12, 8, 2048}, {768, 12, 12, 3072}, 32, 77, 49408, 1e-5, ""};
  static const Defaults kSiglip{{768, 12, 12, 3072}, {768, 12, 12, 3072}, 16, 64, 32000, 1e-6,
                                "gelu_pytorch_tanh"};
  return family == Family::kClip ? kClip : kSiglip;
}

Family read_family(const Json& json, const std::string& file) {
  const std::string type = json.value("model_type", std::string("clip"));
  for (const Family family : {Family::kClip, Family::kSiglip}) {
    if (type == form_of(family).name) return family;
  }
  if (type.ends_with("_text_model") || type.ends_with("_vision_model")) {
    throw WeightsError(cat(file, ": model_type \"", type,
                           "\": one tower alone; both are needed, give the whole model's folder"));
  }
  if (type == "siglip2") {
    throw WeightsError(cat(file,
                           ": model_type \"siglip2\": SigLIP 2 of flexible resolution (NaFlex) "
                           "is not supported; use a SigLIP 2 of fixed resolution, whose model_type "
                           "is \"siglip\""));
  }
  throw WeightsError(cat(file, ": model_type \"", type,
                         "\" is not supported; expected \"clip\" (OpenAI's, LAION's, MetaCLIP's "
                         "and DFN's ViT models) or \"siglip\" (SigLIP and SigLIP 2)"));
}

// The embedding width, where the towers meet.
std::int64_t read_embed_dim(const Json& json, const Json& text, const Json& vision,
                            const ClipGeometry& g, const std::string& file) {
  if (form_of(g.family).has_vision_projection)
    return json_integer(json, "projection_dim", 512, file);
  if (vision.contains("vision_use_head") && vision["vision_use_head"] == false) {
    throw WeightsError(cat(file, ": vision_use_head: false: a model without its pooling head"));
  }
  const std::int64_t width = json_integer(text, "projection_size", g.text.width, file);
  if (width != g.vision.width) {
    throw WeightsError(cat(file, ": text_config.projection_size is ", width,
                           ", vision_config.hidden_size ", g.vision.width,
                           "; the two embeddings must be of one width"));
  }
  return width;
}

void read_text_spec(const Json& text, const std::string& file, WeightsSource& source) {
  const ClipGeometry& g = source.geometry;
  source.text.context_length = g.context_length;
  source.text.vocab_size = g.vocab_size;
  source.text.is_padded = form_of(g.family).pools_last_token;
  // What these say is left over from other models; the tokenizer decides.
  if (source.text.is_padded) return;
  // OpenAI's files on the hub say bos 0, eos 2: transformers then pools the largest id of a
  // caption. Any other id it pools where that first stands, as tokens may have been added behind
  // it.
  constexpr std::int64_t kLargest = 2, kDefault = 49407;
  const std::int64_t last = g.vocab_size - 1;
  std::int64_t eos = json_integer(text, "eos_token_id", std::min(kDefault, last), file);
  if (eos > last) {
    throw WeightsError(cat(file, ": eos_token_id is ", eos, ", of a vocabulary of ", g.vocab_size,
                           "; correct one of them"));
  }
  if (eos == kLargest) eos = last;
  source.text.bos_id = std::max<std::int64_t>(0, eos - 1);
  source.text.eos_id = eos;
  source.geometry.pooled_id = eos == last ? -1 : eos;
}

double read_norm_eps(const Json& text, const Json& vision, double fallback,
                     const std::string& file) {
  const double eps = text.value("layer_norm_eps", fallback);
  if (vision.value("layer_norm_eps", fallback) != eps) {
    throw WeightsError(cat(file, ": the towers' layer_norm_eps differ, which is not supported"));
  }
  return eps;
}

}  // namespace

void read_hugging_face_config(const Json& json, const std::string& file,
                              const ModelOptions& options, WeightsSource& source) {
  ClipGeometry& g = source.geometry;
  g.family = read_family(json, file);
  const Defaults& defaults = defaults_of(g.family);
  const Json text = sub_config(json, "text_config");
  const Json vision = sub_config(json, "vision_config");
  g.text = read_tower(text, file, defaults.text);
  g.vision = read_tower(vision, file, defaults.vision);
  g.embed_dim = read_embed_dim(json, text, vision, g, file);
  g.image_size = json_integer(vision, "image_size", 224, file);
  g.patch_size = json_integer(vision, "patch_size", defaults.patch_size, file);
  g.context_length = json_integer(text, "max_position_embeddings", defaults.context_length, file);
  g.vocab_size = json_integer(text, "vocab_size", defaults.vocab_size, file);
  g.norm_eps = read_norm_eps(text, vision, defaults.norm_eps, file);
  g.text.activation = read_activation(text, defaults.activation, file, options);
  g.vision.activation = read_activation(vision, defaults.activation, file, options);
  if (g.patch_size == 0 || g.image_size < g.patch_size) {
    throw WeightsError(
        cat(file, ": image_size ", g.image_size, " and patch_size ", g.patch_size, " do not fit"));
  }
  if (json_integer(vision, "num_channels", 3, file) != 3) {
    throw WeightsError(cat(file, ": num_channels: only RGB (3) is supported"));
  }
  read_text_spec(text, file, source);
  source.preprocessing = default_preprocessing(g.family);
  source.preprocessing.image_size = g.image_size;
  source.preprocessing.crop_rounding = CropRounding::kFloor;
  source.preprocessing.transparency = Transparency::kOnWhite;
}

void attach_hugging_face_tensors(WeightsSource& source,
                                 const std::shared_ptr<const TensorFiles>& files) {
  attach_tensors(
      source, files, [](const std::string& name) { return SourceTensor{name}; },
      [](const std::string& name) { return name.ends_with(".position_ids"); });
}

WeightsSource open_hugging_face(const fs::path& folder, const ModelOptions& options,
                                std::shared_ptr<const TensorFiles> files) {
  WeightsSource source;
  source.path = folder;
  source.layout = WeightsLayout::kHuggingFace;
  const fs::path config = folder / "config.json";
  read_json_file(config, [&](const Json& json) {
    read_hugging_face_config(json, config.string(), options, source);
  });
  read_folder_preprocessor(folder, source);
  source.text.cleaning = default_cleaning(source.geometry.family, TextCleaning::kHuggingFace);
  source.tokenizer_folder = tokenizer_folder_in(folder);
  if (source.tokenizer_folder.empty() && !source.text.is_padded)
    source.notes.push_back(
        cat(folder.string(), ": no tokenizer files; used is CLIP's published vocabulary"));
  if (!files) files = open_hugging_face_files(folder, source.notes);
  refuse_foreign_model(*files, files->where(), source.geometry.family);
  attach_hugging_face_tensors(source, files);
  return source;
}

}  // namespace saferclip
