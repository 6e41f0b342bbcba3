// Reads and writes transformers' image processors (5.23): CLIP's and SigLIP's, for any backend;
// pixels follow the PIL backend. An unsupported setting is refused by its key, since slightly
// different preprocessing gives slightly wrong embeddings.
#include "weights/preprocessor_config.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "weights/json_fields.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;
using OrderedJson = nlohmann::ordered_json;

// Indexed by Pillow's numbers.
constexpr Interpolation kFilters[] = {Interpolation::kNearest,  Interpolation::kLanczos,
                                      Interpolation::kBilinear, Interpolation::kBicubic,
                                      Interpolation::kBox,      Interpolation::kHamming};

// An absent or null setting means the class's default.
bool is_told(const Json& json, const char* key) {
  return json.contains(key) && !json[key].is_null();
}

bool flag(const Json& json, const char* key, bool fallback, const std::string& file) {
  if (!is_told(json, key)) return fallback;
  if (!json[key].is_boolean())
    throw WeightsError(cat(file, ": ", key, ": expected true or false, found ", json[key].dump()));
  return json[key].get<bool>();
}

double real(const Json& value, const std::string& key, const std::string& file) {
  if (!value.is_number())
    throw WeightsError(cat(file, ": ", key, ": expected a number, found ", value.dump()));
  return value.get<double>();
}

// Three numbers, or one for all channels.
std::array<double, 3> triple(const Json& json, const char* key, const std::string& file) {
  const Json& value = json[key];
  if (value.is_number()) {
    const double one = value.get<double>();
    return {one, one, one};
  }
  if (!value.is_array() || value.size() != 3) {
    throw WeightsError(cat(file, ": ", key, ": expected three numbers, found ", value.dump()));
  }
  return {real(value[0], key, file), real(value[1], key, file), real(value[2], key, file)};
}

// Whether a class crops by default: transformers' CLIPImageProcessor does.
bool class_crops(const Json& json, const std::string& file, Family family) {
  std::string name;
  for (const char* key : {"image_processor_type", "feature_extractor_type"}) {
    if (!name.empty() || !is_told(json, key)) continue;
    if (!json[key].is_string())
      throw WeightsError(cat(file, ": ", key, ": expected text, found ", json[key].dump()));
    name = json[key].get<std::string>();
  }
  std::string_view kind = name;
  for (const std::string_view end : {"Fast", "Pil", "ImageProcessor", "FeatureExtractor"}) {
    if (kind.ends_with(end)) kind.remove_suffix(end.size());
  }
  if (kind.empty()) return family == Family::kClip;
  if (kind == "CLIP" || kind == "Siglip") return kind == "CLIP";
  throw WeightsError(
      cat(file, ": image_processor_type \"", name,
          "\" is not supported; expected one of: CLIPImageProcessor, SiglipImageProcessor"));
}

// A size in the file: both sides, or the shortest.
struct Size {
  std::int64_t side = 0;
  bool is_square = false;
};

[[noreturn]] void refuse_size(const std::string& file, const char* key, const Json& value,
                              const char* expected) {
  throw WeightsError(
      cat(file, ": ", key, ": ", value.dump(), " is not supported; expected ", expected));
}

std::int64_t side_of(const Json& value, const std::string& file, const char* key) {
  if (!value.is_number_integer() || value.get<std::int64_t>() < 1 ||
      value.get<std::int64_t>() > (1 << 14))
    throw WeightsError(cat(file, ": ", key, ": expected 1 to 16384 pixels, found ", value.dump()));
  return value.get<std::int64_t>();
}

Size read_size(const Json& value, const char* key, bool int_is_square, const std::string& file) {
  constexpr const char* kExpected =
      "a square {\"height\": N, \"width\": N}, {\"shortest_edge\": N} or N";
  if (value.is_number()) return {side_of(value, file, key), int_is_square};
  if (value.is_array() && value.size() == 2 && value[0] == value[1])
    return {side_of(value[0], file, key), true};
  if (!value.is_object()) refuse_size(file, key, value, kExpected);
  if (value.size() == 1 && value.contains("shortest_edge"))
    return {side_of(value["shortest_edge"], file, key), false};
  if (value.size() == 2 && value.contains("height") && value.contains("width") &&
      value["height"] == value["width"])
    return {side_of(value["height"], file, key), true};
  refuse_size(file, key, value, kExpected);
}

void refuse_switch(const std::string& file, const char* key, bool value, const std::string& why) {
  throw WeightsError(
      cat(file, ": ", key, ": ", value ? "true" : "false", " is not supported: ", why));
}

// Resize and crop.
void read_sizes(const Json& json, const std::string& file, WeightsSource& source) {
  Preprocessing& p = source.preprocessing;
  const std::int64_t model_side = source.geometry.image_size;
  const bool resizes = flag(json, "do_resize", true, file);
  const bool crops =
      flag(json, "do_center_crop", class_crops(json, file, source.geometry.family), file);
  const bool int_is_square = flag(json, "default_to_square", false, file);
  Size size{model_side, !crops};
  if (is_told(json, "size")) size = read_size(json["size"], "size", int_is_square, file);
  std::int64_t side = size.side;
  if (crops && is_told(json, "crop_size")) {
    const Size crop = read_size(json["crop_size"], "crop_size", true, file);
    if (!crop.is_square)
      refuse_size(file, "crop_size", json["crop_size"], "{\"height\": N, \"width\": N} or N");
    side = crop.side;
  }
  if (!crops && !resizes)
    refuse_switch(file, "do_resize", false, "without a crop, images would keep their own size");
  if (!crops && !size.is_square)
    refuse_switch(file, "do_center_crop", false,
                  "size.shortest_edge alone does not give square images");
  p.resize_mode = !resizes         ? ResizeMode::kNone
                  : size.is_square ? ResizeMode::kSquash
                                   : ResizeMode::kShortest;
  p.resize_to = resizes && size.side != side ? size.side : 0;
  if (side == model_side) return;
  if (p.resize_to != 0 || !resizes) {
    throw WeightsError(cat(file, ": produces ", side,
                           " px images (crop_size), but the model takes ", model_side,
                           " px; correct size and crop_size"));
  }
  source.notes.push_back(cat(file, ": produces ", side, " px images, but the model takes ",
                             model_side, " px; using the model's size"));
}

Interpolation read_resample(const Json& json, const std::string& file) {
  const std::int64_t resample = json_integer(json, "resample", 3, file);
  if (resample > 5) {
    throw WeightsError(
        cat(file, ": resample ", resample,
            " is not supported; expected one of: 0 nearest, 1 lanczos, 2 bilinear, 3 bicubic, "
            "4 box, 5 hamming"));
  }
  return kFilters[resample];
}

std::ptrdiff_t resample_number(Interpolation filter) {
  return std::find(std::begin(kFilters), std::end(kFilters), filter) - std::begin(kFilters);
}

void read_values(const Json& json, const std::string& file, Preprocessing& p) {
  if (is_told(json, "rescale_factor"))
    p.rescale = real(json["rescale_factor"], "rescale_factor", file);
  if (!flag(json, "do_rescale", true, file)) p.rescale = 1;
  if (is_told(json, "image_mean")) p.mean = triple(json, "image_mean", file);
  if (is_told(json, "image_std")) p.std = triple(json, "image_std", file);
  if (!flag(json, "do_normalize", true, file)) {
    p.mean = {0, 0, 0};
    p.std = {1, 1, 1};
  }
  if (p.rescale == 0) throw WeightsError(cat(file, ": rescale_factor is 0"));
  if (std::find(p.std.begin(), p.std.end(), 0) != p.std.end())
    throw WeightsError(cat(file, ": image_std contains a 0"));
}

}  // namespace

void read_preprocessor_config(const Json& json, const std::string& file, WeightsSource& source) {
  if (!json.is_object()) throw WeightsError(cat(file, ": image processor: expected an object"));
  if (!flag(json, "do_convert_rgb", true, file)) {
    refuse_switch(file, "do_convert_rgb", false, "the model takes only RGB images; set it to true");
  }
  for (const char* key : {"do_pad", "use_square_size", "do_flip_channel_order"}) {
    if (flag(json, key, false, file))
      refuse_switch(file, key, true, "images are only resized and cropped; set it to false");
  }
  read_sizes(json, file, source);
  source.preprocessing.interpolation = read_resample(json, file);
  read_values(json, file, source.preprocessing);
}

void read_folder_preprocessor(const fs::path& folder, WeightsSource& source) {
  const fs::path nested = folder / "processor_config.json";
  const fs::path plain = folder / kPreprocessorFile;
  bool is_read = false;
  if (fs::exists(nested)) {
    read_json_file(nested, [&](const Json& json) {
      is_read = is_told(json, "image_processor");
      if (is_read)
        read_preprocessor_config(json["image_processor"], nested.string() + ": image_processor",
                                 source);
    });
  }
  if (!is_read && fs::exists(plain)) {
    read_json_file(
        plain, [&](const Json& json) { read_preprocessor_config(json, plain.string(), source); });
    is_read = true;
  }
  if (is_read) return;
  source.notes.push_back(cat(folder.string(),
                             ": no preprocessor_config.json; using the family's default: ",
                             to_string(source.preprocessing)));
}

std::string preprocessor_config(const Preprocessing& p, Family family) {
  if (p.resize_mode == ResizeMode::kLongest) {
    throw ConfigError(
        "--to hf: transformers has no image processor that resizes the longest side and pads "
        "the rest, as these weights require; use --to open_clip");
  }
  const auto square = [](std::int64_t side) {
    return OrderedJson{{"height", side}, {"width", side}};
  };
  const bool is_squash = p.resize_mode == ResizeMode::kSquash;
  const bool crops = !is_squash || p.resize_to != 0;
  const std::int64_t side = p.resize_to == 0 ? p.image_size : p.resize_to;
  const OrderedJson json{
      {"crop_size", square(p.image_size)},
      {"do_center_crop", crops},
      {"do_convert_rgb", true},
      {"do_normalize", true},
      {"do_rescale", true},
      {"do_resize", p.resize_mode != ResizeMode::kNone},
      {"image_mean", p.mean},
      // Without a crop: SigLIP's own processor, which has none.
      {"image_processor_type",
       family == Family::kSiglip && !crops ? "SiglipImageProcessor" : "CLIPImageProcessor"},
      {"image_std", p.std},
      {"resample", resample_number(p.interpolation)},
      {"rescale_factor", p.rescale},
      {"size", is_squash ? square(side) : OrderedJson{{"shortest_edge", side}}}};
  return json.dump(2) + "\n";
}

}  // namespace saferclip
