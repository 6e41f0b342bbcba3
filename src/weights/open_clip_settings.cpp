// Reads and writes the picture and caption settings of open_clip's configuration, and refuses tower
// settings that this program does not support. open_clip silently accepts unknown settings, so
// every setting that would change an embedding is listed here and refused by name.
#include "weights/open_clip_settings.h"

#include <array>
#include <cstddef>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "weights/family_defaults.h"
#include "weights/json_fields.h"
#include "weights/preprocessor_config.h"

namespace saferclip {
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// Tower settings that make another model than the family's unless they have this value.
struct Expected {
  const char* key;
  Json value;
};
using Settings = std::vector<Expected>;

// For open_clip's own transformers, in both towers.
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
    // A missing model name may be written as "".
    if (value.is_null() && tower[key] == "") continue;
    problems.push_back(cat(name, ".", key, " is ", tower[key].dump(), ", only ",
                           value.is_null() ? "none" : value.dump(), " is supported"));
  }
  return problems;
}

// A word in `preprocess_cfg`; absent or null means open_clip's default.
std::string word(const Json& json, const char* key, const char* fallback, const std::string& file) {
  if (!json.contains(key) || json[key].is_null()) return fallback;
  if (!json[key].is_string()) {
    throw WeightsError(
        cat(file, ": preprocess_cfg.", key, ": expected text, found ", json[key].dump()));
  }
  return json[key].get<std::string>();
}

// open_clip's words; the first one for a value is written.
template <class Value>
struct Word {
  std::string_view word;
  Value value;
};
constexpr Word<Interpolation> kInterpolations[] = {
    {"bicubic", Interpolation::kBicubic},
    {"bilinear", Interpolation::kBilinear},
    {"random", Interpolation::kBicubic}};  // random in training alone
constexpr Word<ResizeMode> kModes[] = {{"shortest", ResizeMode::kShortest},
                                       {"longest", ResizeMode::kLongest},
                                       {"squash", ResizeMode::kSquash}};
constexpr Word<TextCleaning> kCleanings[] = {{"lower", TextCleaning::kOpenAi},
                                             {"whitespace", TextCleaning::kWhitespace},
                                             {"canonicalize", TextCleaning::kCanonicalize}};

template <class Value, std::size_t N>
std::optional<Value> value_of(const Word<Value> (&words)[N], std::string_view word) {
  for (const Word<Value>& known : words) {
    if (known.word == word) return known.value;
  }
  return {};
}

// The first word if open_clip has none for the value.
template <class Value, std::size_t N>
std::string word_of(const Word<Value> (&words)[N], Value value) {
  for (const Word<Value>& known : words) {
    if (known.value == value) return std::string(known.word);
  }
  return std::string(words[0].word);
}

// open_clip's clean function, applied to a caption before tokenization; "": its default.
std::string clean_function(TextCleaning cleaning, bool has_own_tokenizer) {
  switch (cleaning) {
    case TextCleaning::kSiglip:
    case TextCleaning::kCanonicalize:
      return "canonicalize";
    case TextCleaning::kWhitespace:
      return "whitespace";
    case TextCleaning::kOpenAi:
      return has_own_tokenizer ? "lower" : "";
    default:
      return has_own_tokenizer ? "whitespace" : "";
  }
}

// open_clip divides by 255, so another factor goes into mean and deviation.
std::array<double, 3> scaled(std::array<double, 3> values, const Preprocessing& p) {
  if (p.rescale != 1.0 / 255) {
    for (double& value : values) value /= 255 * p.rescale;
  }
  return values;
}

}  // namespace

void require_supported(const Json& model, const std::string& file, Family family) {
  const Json vision = model.value("vision_cfg", Json::object());
  std::vector<std::string> problems =
      foreign_settings(vision, "vision_cfg", expected_vision(family));
  for (auto& line : foreign_settings(model.value("text_cfg", Json::object()), "text_cfg",
                                     expected_text(family))) {
    problems.push_back(std::move(line));
  }
  if (vision.value("layers", Json(12)).is_array()) {
    problems.push_back("vision_cfg.layers is a list, as in a ResNet CLIP; use a ViT");
  }
  if (model.contains("multimodal_cfg")) problems.push_back("a CoCa model (multimodal_cfg)");
  if (problems.empty()) return;
  throw WeightsError(
      join_problems(file + ": neither a CLIP with OpenAI's two transformers nor a SigLIP; choose a "
                           "model that is one of these:",
                    problems));
}

// Follows open_clip's image_transform; the size is the vision tower's, whatever `size` says.
void read_open_clip_preprocessing(const Json& json, const std::string& file,
                                  WeightsSource& source) {
  Json values = Json::object();
  if (json.contains("mean")) values["image_mean"] = json["mean"];
  if (json.contains("std")) values["image_std"] = json["std"];
  source.preprocessing = Preprocessing{};
  read_preprocessor_config(values, file, source);
  Preprocessing& p = source.preprocessing;
  p.crop_rounding = CropRounding::kHalfEven;
  p.transparency = Transparency::kDropped;
  const auto filter = word(json, "interpolation", "bicubic", file);
  const auto mode = word(json, "resize_mode", "shortest", file);
  const auto interpolation = value_of(kInterpolations, filter);
  const auto resize_mode = value_of(kModes, mode);
  std::vector<std::string> problems;
  if (!interpolation) {
    problems.push_back(
        cat("preprocess_cfg.interpolation \"", filter, "\"; expected bicubic or bilinear"));
  }
  if (!resize_mode) {
    problems.push_back(
        cat("preprocess_cfg.resize_mode \"", mode, "\"; expected shortest, longest or squash"));
  }
  if (const auto colours = word(json, "mode", "RGB", file); colours != "RGB")
    problems.push_back(cat("preprocess_cfg.mode \"", colours, "\"; expected RGB"));
  p.fill = json_integer(json, "fill_color", 0, file);
  if (p.fill > 255)
    problems.push_back(cat("preprocess_cfg.fill_color ", p.fill, "; expected 0 to 255"));
  if (!problems.empty()) throw WeightsError(join_problems(cat(file, ": not supported:"), problems));
  p.interpolation = *interpolation;
  p.resize_mode = *resize_mode;
  if (p.resize_mode != ResizeMode::kLongest) p.fill = 0;  // no padding then
}

OrderedJson open_clip_preprocessing(const Preprocessing& p, std::vector<std::string>& notes) {
  const bool is_known =
      p.interpolation == Interpolation::kBilinear || p.interpolation == Interpolation::kBicubic;
  if (!is_known || p.resize_to != 0 || p.resize_mode == ResizeMode::kNone) {
    notes.push_back(cat("open_clip cannot represent these weights' preprocessing (", to_string(p),
                        ") and will resize images differently; --to hf is exact"));
  }
  OrderedJson json{{"mean", scaled(p.mean, p)},
                   {"std", scaled(p.std, p)},
                   {"interpolation", word_of(kInterpolations, p.interpolation)},
                   {"resize_mode", word_of(kModes, p.resize_mode)}};
  if (p.resize_mode == ResizeMode::kLongest) json["fill_color"] = p.fill;
  return json;
}

// open_clip's get_tokenizer: its own SimpleTokenizer, or the folder's files after a clean function.
void read_open_clip_tokenizer(const Json& text, const std::string& file, WeightsSource& source) {
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
    const auto cleaning = key == "clean" && value.is_string()
                              ? value_of(kCleanings, value.get<std::string>())
                              : std::nullopt;
    if (cleaning) {
      source.text.cleaning = *cleaning;
    } else if (!value.is_null() && value != false && value != "" && value != Json::array()) {
      problems.push_back(cat("text_cfg.tokenizer_kwargs.", key, " ", value.dump()));
    }
  }
  if (problems.empty()) return;
  throw WeightsError(
      join_problems(cat(file,
                        ": unsupported tokenizer settings (supported: tokenizer_kwargs.clean "
                        "lower, whitespace, canonicalize):"),
                    problems));
}

void write_open_clip_tokenizer(const Tokenizer& tokenizer, OrderedJson& text) {
  const bool has_own = !tokenizer.is_clip();
  // With `local-dir:` any name means the folder's own tokenizer files.
  if (has_own) text["hf_tokenizer_name"] = "this folder";
  const std::string clean = clean_function(tokenizer.spec().cleaning, has_own);
  if (!clean.empty()) text["tokenizer_kwargs"] = {{"clean", clean}};
}

}  // namespace saferclip
