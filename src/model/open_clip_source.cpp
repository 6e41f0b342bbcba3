// open_clip folders: open_clip_config.json beside the weights.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>

#include "model/sources.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

// The settings of a tower that mean something else than CLIP's when they have another value.
struct Expected {
  const char* key;
  Json value;
};

const std::vector<Expected>& expected_vision() {
  static const std::vector<Expected> kKeys{{"timm_model_name", nullptr},
                                           {"attentional_pool", false},
                                           {"no_ln_pre", false},
                                           {"pos_embed_type", "learnable"},
                                           {"final_ln_after_pool", false},
                                           {"pool_type", "tok"},
                                           {"input_patchnorm", false},
                                           {"ls_init_value", nullptr},
                                           {"qk_norm", false},
                                           {"scaled_cosine_attn", false},
                                           {"scale_heads", false},
                                           {"scale_attn_inner", false},
                                           {"scale_attn", false},
                                           {"scale_fc", false}};
  return kKeys;
}

const std::vector<Expected>& expected_text() {
  static const std::vector<Expected> kKeys{
      {"hf_model_name", nullptr}, {"no_causal_mask", false},
      {"proj_bias", false},       {"embed_cls", false},
      {"pool_type", "argmax"},    {"proj_type", "linear"},
      {"ls_init_value", nullptr}, {"final_ln_after_pool", false},
      {"qk_norm", false},         {"scaled_cosine_attn", false},
      {"scale_heads", false},     {"scale_attn_inner", false},
      {"scale_attn", false},      {"scale_fc", false}};
  return kKeys;
}

std::vector<std::string> foreign_settings(const Json& tower, const char* name,
                                          const std::vector<Expected>& expected) {
  std::vector<std::string> problems;
  for (const auto& [key, value] : expected) {
    if (!tower.contains(key) || tower[key].is_null() || tower[key] == value) continue;
    // An absent model name may be written as "".
    if (value.is_null() && tower[key] == "") continue;
    problems.push_back(cat(name, ".", key, " is ", tower[key].dump(), ", only ",
                           value.is_null() ? "none" : value.dump(), " is supported"));
  }
  const Json act = tower.value("act_kwargs", Json());
  if (act.is_object() && act.value("approximate", std::string("none")) != "none") {
    problems.push_back(cat(name, ".act_kwargs.approximate is ", act["approximate"].dump(),
                           ", only the exact GELU is supported"));
  }
  return problems;
}

double read_norm_eps(const Json& tower, double fallback) {
  const Json norm = tower.value("norm_kwargs", Json());
  return norm.is_object() ? norm.value("eps", fallback) : fallback;
}

TowerGeometry read_tower(const Json& json, const std::string& file, bool is_vision) {
  TowerGeometry tower;
  tower.width = json_integer(json, "width", is_vision ? 768 : 512, file);
  tower.layers = json_integer(json, "layers", 12, file);
  const std::int64_t head_width = json_integer(json, "head_width", 64, file);
  tower.heads = is_vision ? tower.width / std::max<std::int64_t>(1, head_width)
                          : json_integer(json, "heads", 8, file);
  tower.mlp_width =
      static_cast<std::int64_t>(static_cast<double>(tower.width) * json.value("mlp_ratio", 4.0));
  if (tower.layers < 1 || tower.heads < 1 || tower.width % tower.heads != 0) {
    throw WeightsError(cat(file, ": ", is_vision ? "vision_cfg" : "text_cfg", ": width ",
                           tower.width, " does not divide into ", tower.heads,
                           " heads, or there is "
                           "no layer"));
  }
  return tower;
}

void read_preprocess(const Json& json, const std::string& file, WeightsSource& source) {
  Json hugging_face = Json::object();
  if (json.contains("mean")) hugging_face["image_mean"] = json["mean"];
  if (json.contains("std")) hugging_face["image_std"] = json["std"];
  const auto interpolation = json.value("interpolation", std::string("bicubic"));
  if (interpolation != "bicubic" && interpolation != "bilinear") {
    throw WeightsError(cat(file, ": preprocess_cfg.interpolation \"", interpolation,
                           "\" is not supported; known: bicubic, bilinear"));
  }
  hugging_face["resample"] = interpolation == "bicubic" ? 3 : 2;
  read_preprocessor_config(hugging_face, file, source);
  const auto mode = json.value("resize_mode", std::string("shortest"));
  if (mode != "shortest" && mode != "squash") {
    throw WeightsError(cat(file, ": preprocess_cfg.resize_mode \"", mode,
                           "\" is not supported; known: shortest, squash"));
  }
  source.preprocessing.resize_mode = mode == "squash" ? ResizeMode::kSquash : ResizeMode::kShortest;
  source.preprocessing.crop_rounding = CropRounding::kHalfEven;
}

void read_config(const Json& json, const std::string& file, const ModelOptions& options,
                 WeightsSource& source) {
  const Json model = json.value("model_cfg", Json::object());
  const Json vision = model.value("vision_cfg", Json::object());
  const Json text = model.value("text_cfg", Json::object());
  std::vector<std::string> problems = foreign_settings(vision, "vision_cfg", expected_vision());
  for (auto& line : foreign_settings(text, "text_cfg", expected_text())) {
    problems.push_back(std::move(line));
  }
  if (vision.value("layers", Json(12)).is_array()) {
    problems.push_back("vision_cfg.layers is a list: a ResNet CLIP; use a ViT");
  }
  if (model.contains("multimodal_cfg")) problems.push_back("a CoCa model (multimodal_cfg)");
  if (!problems.empty()) {
    throw WeightsError(
        join_problems(file + ": not a CLIP with OpenAI's two transformers; choose a model that is "
                             "one:",
                      problems));
  }
  ClipGeometry& g = source.geometry;
  g.embed_dim = json_integer(model, "embed_dim", 512, file);
  g.vision = read_tower(vision, file, true);
  g.text = read_tower(text, file, false);
  g.image_size = json_integer(vision, "image_size", 224, file);
  g.patch_size = json_integer(vision, "patch_size", 16, file);
  g.context_length = json_integer(text, "context_length", 77, file);
  g.vocab_size = json_integer(text, "vocab_size", 49408, file);
  g.norm_eps = read_norm_eps(vision, 1e-5);
  if (read_norm_eps(text, 1e-5) != g.norm_eps) {
    throw WeightsError(cat(file, ": the towers' norm_kwargs.eps differ, which is not supported"));
  }
  const bool is_quick = model.value("quick_gelu", false);
  if (options.activation != "auto" && (options.activation == "quick_gelu") != is_quick) {
    throw ConfigError(cat("model.activation is ", options.activation, ", but ", file,
                          " says quick_gelu: ", is_quick ? "true" : "false"));
  }
  g.activation = is_quick ? Activation::kQuickGelu : Activation::kGelu;
  const Json tokenizer = text.value("hf_tokenizer_name", Json());
  const bool has_own_tokenizer = tokenizer.is_string() && tokenizer != "";
  source.text.cleaning = has_own_tokenizer ? TextCleaning::kHuggingFace : TextCleaning::kOpenAi;
  if (has_own_tokenizer) source.tokenizer_folder = source.path;
  read_preprocess(json.value("preprocess_cfg", Json::object()), file, source);
}

}  // namespace

WeightsSource open_open_clip(const fs::path& folder, const ModelOptions& options) {
  WeightsSource source;
  source.path = folder;
  source.layout = WeightsLayout::kOpenClip;
  const fs::path config = folder / "open_clip_config.json";
  read_json_file(config,
                 [&](const Json& json) { read_config(json, config.string(), options, source); });
  // open_clip's own order, then what `export --to openai` writes.
  static constexpr const char* kNames[] = {"open_clip_model.safetensors",
                                           "open_clip_pytorch_model.safetensors",
                                           "open_clip_pytorch_model.bin",
                                           "open_clip_pytorch_model.pth",
                                           "model.safetensors",
                                           "pytorch_model.bin",
                                           "pytorch_model.pth",
                                           "model.pth",
                                           "model.pt"};
  for (const char* name : kNames) {
    if (!fs::exists(folder / name)) continue;
    const auto files = std::make_shared<const TensorFiles>(std::vector<fs::path>{folder / name});
    refuse_foreign_model(*files, (folder / name).string());
    attach_openai_tensors(source, files);
    return source;
  }
  throw WeightsError(cat(folder.string(),
                         ": no weights beside open_clip_config.json; expected "
                         "open_clip_model.safetensors or open_clip_pytorch_model.bin"));
}

}  // namespace saferclip
