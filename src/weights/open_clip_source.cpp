// open_clip folders: open_clip_config.json beside the weights.
#include <algorithm>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>

#include "weights/sources.h"
#include "weights/timm_models.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

// Settings of a tower that mean something else than the family's own when they have another value.
struct Expected {
  const char* key;
  Json value;
};
using Settings = std::vector<Expected>;

// Of open_clip's own transformers, both towers.
Settings with_plain_blocks(Settings own) {
  static const Settings kBlocks{{"ls_init_value", nullptr}, {"final_ln_after_pool", false},
                                {"qk_norm", false},         {"scaled_cosine_attn", false},
                                {"scale_heads", false},     {"scale_attn_inner", false},
                                {"scale_attn", false},      {"scale_fc", false}};
  own.insert(own.end(), kBlocks.begin(), kBlocks.end());
  return own;
}

Settings expected_vision(Family family) {
  if (family == Family::kSiglip) return {{"timm_pool", "map"}, {"timm_proj", "none"}};
  return with_plain_blocks({{"timm_model_name", nullptr},
                            {"attentional_pool", false},
                            {"no_ln_pre", false},
                            {"pos_embed_type", "learnable"},
                            {"pool_type", "tok"},
                            {"input_patchnorm", false}});
}

Settings expected_text(Family family) {
  const bool is_siglip = family == Family::kSiglip;
  return with_plain_blocks({{"hf_model_name", nullptr},
                            {"no_causal_mask", is_siglip},
                            {"proj_bias", is_siglip},
                            {"embed_cls", false},
                            {"pool_type", is_siglip ? "last" : "argmax"},
                            {"proj_type", "linear"}});
}

std::vector<std::string> foreign_settings(const Json& tower, const char* name,
                                          const Settings& expected) {
  std::vector<std::string> problems;
  for (const auto& [key, value] : expected) {
    if (!tower.contains(key) || tower[key].is_null() || tower[key] == value) continue;
    if (std::string_view(key) == "pool_type" && value == "argmax" && tower[key] == "eos") continue;
    // An absent model name may be written as "".
    if (value.is_null() && tower[key] == "") continue;
    problems.push_back(cat(name, ".", key, " is ", tower[key].dump(), ", only ",
                           value.is_null() ? "none" : value.dump(), " is supported"));
  }
  return problems;
}

// `act_kwargs` belong to nn.GELU; QuickGELU has none.
Activation read_activation(const Json& tower, bool is_quick, const char* name,
                           const std::string& file) {
  const Json act = tower.value("act_kwargs", Json());
  const auto approximate =
      act.is_object() ? act.value("approximate", std::string("none")) : std::string("none");
  if (approximate != "none" && (approximate != "tanh" || is_quick)) {
    throw WeightsError(cat(file, ": ", name, ".act_kwargs.approximate is \"", approximate,
                           "\", only \"tanh\" without quick_gelu is supported"));
  }
  if (is_quick) return Activation::kQuickGelu;
  return approximate == "tanh" ? Activation::kGeluTanh : Activation::kGelu;
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

// A word of `preprocess_cfg`; one that is left out or null is open_clip's default.
std::string word(const Json& json, const char* key, const char* fallback, const std::string& file) {
  if (!json.contains(key) || json[key].is_null()) return fallback;
  if (!json[key].is_string()) {
    throw WeightsError(
        cat(file, ": preprocess_cfg.", key, ": expected text, found ", json[key].dump()));
  }
  return json[key].get<std::string>();
}

// What open_clip's image_transform does; the size is the vision tower's, whatever `size` says.
void read_preprocess(const Json& json, const std::string& file, WeightsSource& source) {
  static const std::map<std::string, Interpolation> kInterpolations{
      {"bicubic", Interpolation::kBicubic},
      {"bilinear", Interpolation::kBilinear},
      {"random", Interpolation::kBicubic}};  // random in training alone
  static const std::map<std::string, ResizeMode> kModes{{"shortest", ResizeMode::kShortest},
                                                        {"longest", ResizeMode::kLongest},
                                                        {"squash", ResizeMode::kSquash}};
  Json values = Json::object();
  if (json.contains("mean")) values["image_mean"] = json["mean"];
  if (json.contains("std")) values["image_std"] = json["std"];
  source.preprocessing = Preprocessing{};
  read_preprocessor_config(values, file, source);
  Preprocessing& p = source.preprocessing;
  p.crop_rounding = CropRounding::kHalfEven;
  p.transparency = Transparency::kDropped;
  const auto interpolation = word(json, "interpolation", "bicubic", file);
  const auto mode = word(json, "resize_mode", "shortest", file);
  std::vector<std::string> problems;
  if (!kInterpolations.contains(interpolation)) {
    problems.push_back(
        cat("preprocess_cfg.interpolation \"", interpolation, "\"; known: bicubic, bilinear"));
  }
  if (!kModes.contains(mode)) {
    problems.push_back(
        cat("preprocess_cfg.resize_mode \"", mode, "\"; known: shortest, longest, squash"));
  }
  if (const auto colours = word(json, "mode", "RGB", file); colours != "RGB")
    problems.push_back(cat("preprocess_cfg.mode \"", colours, "\"; known: RGB"));
  p.fill = json_integer(json, "fill_color", 0, file);
  if (p.fill > 255)
    problems.push_back(cat("preprocess_cfg.fill_color ", p.fill, "; expected 0 to 255"));
  if (!problems.empty()) throw WeightsError(join_problems(cat(file, ": not supported:"), problems));
  p.interpolation = kInterpolations.at(interpolation);
  p.resize_mode = kModes.at(mode);
  if (p.resize_mode != ResizeMode::kLongest) p.fill = 0;  // nothing is filled up then
}

// SigLIP's vision tower: timm's of that name, or the one that `model.architecture` describes.
void read_timm_tower(const Json& vision, const std::string& file, const ModelOptions& options,
                     WeightsSource& source) {
  ClipGeometry& g = source.geometry;
  const auto name = vision["timm_model_name"].get<std::string>();
  if (!options.architecture.empty()) {
    read_json_file(options.architecture, [&](const Json& json) {
      read_hugging_face_config(json, options.architecture, options, source);
    });
    return;
  }
  const TimmModel* model = find_timm_model(name);
  if (model == nullptr) {
    throw WeightsError(cat(file, ": vision_cfg.timm_model_name \"", name,
                           "\" is none of timm's SigLIP towers; use one of these, or describe it "
                           "with model.architecture (as configs/models/ViT-B-16-SigLIP.json)"));
  }
  g.vision = model->tower;
  g.image_size = json_integer(vision, "image_size", model->image_size, file);
  g.patch_size = model->patch_size;
}

void require_supported(const Json& model, const std::string& file, Family family) {
  const Json vision = model.value("vision_cfg", Json::object());
  std::vector<std::string> problems =
      foreign_settings(vision, "vision_cfg", expected_vision(family));
  for (auto& line : foreign_settings(model.value("text_cfg", Json::object()), "text_cfg",
                                     expected_text(family))) {
    problems.push_back(std::move(line));
  }
  if (vision.value("layers", Json(12)).is_array()) {
    problems.push_back("vision_cfg.layers is a list: a ResNet CLIP; use a ViT");
  }
  if (model.contains("multimodal_cfg")) problems.push_back("a CoCa model (multimodal_cfg)");
  if (problems.empty()) return;
  throw WeightsError(
      join_problems(file + ": neither a CLIP with OpenAI's two transformers nor a SigLIP; choose a "
                           "model that is one:",
                    problems));
}

Family read_family(const Json& vision) {
  const Json name = vision.value("timm_model_name", Json());
  const bool is_siglip =
      name.is_string() && name != "" && vision.value("timm_pool", Json()) == "map";
  return is_siglip ? Family::kSiglip : Family::kClip;
}

void read_towers(const Json& model, const std::string& file, const ModelOptions& options,
                 WeightsSource& source) {
  const Json vision = model.value("vision_cfg", Json::object());
  const Json text = model.value("text_cfg", Json::object());
  ClipGeometry& g = source.geometry;
  const bool is_quick = model.value("quick_gelu", false);
  if (g.family == Family::kSiglip) {
    read_timm_tower(vision, file, options, source);
    g.norm_eps = 1e-6;  // of timm's towers
  } else {
    g.vision = read_tower(vision, file, true);
    g.vision.activation = read_activation(vision, is_quick, "vision_cfg", file);
    g.image_size = json_integer(vision, "image_size", 224, file);
    g.patch_size = json_integer(vision, "patch_size", 16, file);
    g.norm_eps = read_norm_eps(vision, 1e-5);
  }
  g.embed_dim = json_integer(model, "embed_dim", 512, file);
  g.text = read_tower(text, file, false);
  g.text.activation = read_activation(text, is_quick, "text_cfg", file);
  g.context_length = json_integer(text, "context_length", 77, file);
  g.vocab_size = json_integer(text, "vocab_size", 49408, file);
  if (read_norm_eps(text, 1e-5) != g.norm_eps) {
    throw WeightsError(cat(file, ": the towers' norm_kwargs.eps differ, which is not supported"));
  }
  if (options.activation != "auto" && options.activation != activation_text(g)) {
    throw ConfigError(cat("model.activation is ", options.activation, ", but ", file, " says ",
                          activation_text(g)));
  }
}

// open_clip's get_tokenizer: its own SimpleTokenizer, or the folder's files behind a clean
// function.
void read_tokenizer(const Json& text, const std::string& file, WeightsSource& source) {
  static const std::map<std::string, TextCleaning> kCleanings{
      {"lower", TextCleaning::kOpenAi},
      {"whitespace", TextCleaning::kWhitespace},
      {"canonicalize", TextCleaning::kCanonicalize}};
  const Json name = text.value("hf_tokenizer_name", Json());
  const bool has_own_tokenizer = name.is_string() && name != "";
  source.text.cleaning =
      default_cleaning(source.geometry.family,
                       has_own_tokenizer ? TextCleaning::kWhitespace : TextCleaning::kOpenAi);
  if (has_own_tokenizer) source.tokenizer_folder = source.path;
  std::vector<std::string> problems;
  if (const Json mode = text.value("tokenizer_mode", Json()); !mode.is_null() && mode != "")
    problems.push_back(cat("text_cfg.tokenizer_mode ", mode.dump()));
  const Json settings = text.value("tokenizer_kwargs", Json::object());
  for (const auto& [key, value] : settings.items()) {
    if (key == "clean" && value.is_string() && kCleanings.contains(value.get<std::string>())) {
      source.text.cleaning = kCleanings.at(value.get<std::string>());
    } else if (!value.is_null() && value != false && value != "" && value != Json::array()) {
      problems.push_back(cat("text_cfg.tokenizer_kwargs.", key, " ", value.dump()));
    }
  }
  if (problems.empty()) return;
  throw WeightsError(join_problems(
      cat(file,
          ": settings of the tokenizer that are not supported (known: tokenizer_kwargs.clean "
          "lower, whitespace, canonicalize):"),
      problems));
}

// pool_type "eos" with an id is what "argmax" is, where tokens stand behind the end mark.
void read_pooling(const Json& text, const std::string& file, WeightsSource& source) {
  if (text.value("pool_type", Json()) != "eos") return;
  ClipGeometry& g = source.geometry;
  g.pooled_id = json_integer(text, "eos_id", 2, file);
  if (g.pooled_id >= g.vocab_size) {
    throw WeightsError(
        cat(file, ": text_cfg.eos_id is ", g.pooled_id, ", of a vocabulary of ", g.vocab_size));
  }
}

void read_config(const Json& json, const std::string& file, const ModelOptions& options,
                 WeightsSource& source) {
  const Json model = json.value("model_cfg", Json::object());
  const Family family = read_family(model.value("vision_cfg", Json::object()));
  source.geometry.family = family;
  require_supported(model, file, family);
  if (family == Family::kClip && !options.architecture.empty()) {
    throw ConfigError(cat("model.architecture: ", file, " describes the model, leave it out"));
  }
  read_towers(model, file, options, source);
  source.text.is_padded = form_of(family).pools_last_token;
  if (family == Family::kClip) {
    read_pooling(model.value("text_cfg", Json::object()), file, source);
  }
  read_tokenizer(model.value("text_cfg", Json::object()), file, source);
  source.preprocessing = default_preprocessing(family);
  if (!json.contains("preprocess_cfg")) {
    source.notes.push_back(cat(
        file, ": no preprocess_cfg; used is the family's own: ", to_string(source.preprocessing)));
    return;
  }
  read_preprocess(json["preprocess_cfg"], file, source);
}

}  // namespace

WeightsSource open_open_clip(const fs::path& folder, const ModelOptions& options,
                             std::shared_ptr<const TensorFiles> files) {
  WeightsSource source;
  source.path = folder;
  source.layout = WeightsLayout::kOpenClip;
  const fs::path config = folder / "open_clip_config.json";
  read_json_file(config,
                 [&](const Json& json) { read_config(json, config.string(), options, source); });
  if (!files) files = open_open_clip_files(folder, source.notes);
  refuse_foreign_model(*files, files->where(), source.geometry.family);
  attach_open_clip_tensors(source, files);
  return source;
}

}  // namespace saferclip
