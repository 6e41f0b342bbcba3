#include "saferclip/weights/weights.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "weights/lora_factors.h"
#include "weights/sources.h"
#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"
#include "saferclip/weights/hub_names.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

std::string shape_text(const std::vector<std::int64_t>& shape) {
  std::vector<std::string> extents;
  extents.reserve(shape.size());
  for (const std::int64_t extent : shape) extents.push_back(std::to_string(extent));
  return "[" + join(extents, ", ") + "]";
}

// FSDP and transformers write a scalar as [1], open_clip as [].
bool is_scalar(const std::vector<std::int64_t>& shape) {
  return shape.empty() || shape == std::vector<std::int64_t>{1};
}

// The tensors of a file that a canonical one comes from, with their shapes there.
std::vector<std::pair<std::string, std::vector<std::int64_t>>> expected_tensors(
    const TensorSlot& slot, const SourceTensor& from) {
  std::vector<std::int64_t> shape = slot.shape;
  if (from.is_transposed) std::reverse(shape.begin(), shape.end());
  if (from.has_leading_one) shape.insert(shape.begin(), 1);
  if (from.third >= 0) shape[0] *= 3;
  if (from.rest.empty()) return {{from.name, shape}};
  std::vector<std::int64_t> first = shape;
  first[0] /= 3;
  shape[0] -= first[0];
  return {{from.name, first}, {from.rest, shape}};
}

}  // namespace

bool is_floating(const TensorInfo& info) {
  return info.dtype == "F32" || info.dtype == "F16" || info.dtype == "BF16" || info.dtype == "F64";
}

std::string to_string(WeightsLayout layout) {
  switch (layout) {
    case WeightsLayout::kHuggingFace:
      return "Hugging Face folder";
    case WeightsLayout::kOpenAi:
      return "OpenAI-layout file";
    case WeightsLayout::kOpenClip:
      return "open_clip folder";
    case WeightsLayout::kRandom:
      return "random initialisation";
  }
  return "";
}

std::string WeightsSource::published_as() const { return published_name(hash()); }

void read_json_file(const fs::path& file, const std::function<void(const nlohmann::json&)>& read) {
  try {
    const std::string text = read_file(file);
    if (is_nested_deeper(text, 64)) throw WeightsError(cat(file.string(), ": nested too deep"));
    const auto json = nlohmann::json::parse(text);
    if (!json.is_object()) throw WeightsError(cat(file.string(), ": not a JSON object"));
    read(json);
  } catch (const DataError& problem) {
    throw WeightsError(problem.what());
  } catch (const nlohmann::json::parse_error& problem) {
    throw WeightsError(cat(file.string(), ": not JSON: ", problem.what()));
  } catch (const nlohmann::json::exception& problem) {
    throw WeightsError(
        cat(file.string(), ": a value has another type than expected: ", problem.what()));
  }
}

std::int64_t json_integer(const nlohmann::json& json, const std::string& key, std::int64_t fallback,
                          const std::string& file) {
  if (!json.contains(key) || json[key].is_null()) return fallback;
  const nlohmann::json& value = json[key];
  if (!value.is_number_integer() || value.get<std::int64_t>() < 0 ||
      value.get<std::int64_t>() > (std::int64_t{1} << 31)) {
    throw WeightsError(
        cat(file, ": ", key, ": expected a non-negative integer, found ", value.dump()));
  }
  return value.get<std::int64_t>();
}

Activation activation_named(const std::string& word) {
  for (const Activation known :
       {Activation::kQuickGelu, Activation::kGelu, Activation::kGeluTanh}) {
    if (word == to_string(known)) return known;
  }
  throw WeightsError(
      cat("\"", word, "\" is not supported; known: quick_gelu, gelu, gelu_pytorch_tanh"));
}

Activation demanded_activation(const ModelOptions& options, const std::string& reason) {
  if (options.activation != "auto") return activation_named(options.activation);
  throw ConfigError(
      cat("model.activation: auto cannot tell: ", reason,
          "; set model.activation to quick_gelu (OpenAI, MetaCLIP, DFN weights) or gelu "
          "(LAION, DataComp weights)"));
}

void check_geometry(const WeightsSource& source) {
  const ClipGeometry& g = source.geometry;
  struct Bound {
    const char* name;
    std::int64_t value;
    std::int64_t largest;
  };
  const Bound bounds[] = {{"text layers", g.text.layers, 512},
                          {"vision layers", g.vision.layers, 512},
                          {"text width", g.text.width, 1 << 16},
                          {"vision width", g.vision.width, 1 << 16},
                          {"text heads", g.text.heads, g.text.width},
                          {"vision heads", g.vision.heads, g.vision.width},
                          {"text MLP width", g.text.mlp_width, 1 << 20},
                          {"vision MLP width", g.vision.mlp_width, 1 << 20},
                          {"embedding width", g.embed_dim, 1 << 16},
                          {"image size", g.image_size, 1 << 14},
                          {"patch size", g.patch_size, g.image_size},
                          {"context length", g.context_length, 1 << 16},
                          {"vocabulary size", g.vocab_size, 1 << 24}};
  std::vector<std::string> problems;
  for (const Bound& bound : bounds) {
    if (bound.value < 1 || bound.value > bound.largest) {
      problems.push_back(cat(bound.name, " is ", bound.value, ", expected 1 to ", bound.largest));
    }
  }
  if (!problems.empty()) {
    throw WeightsError(
        join_problems(source.path.string() + ": no CLIP is of this size:", problems));
  }
}

void check_tensors(const WeightsSource& source, const TensorFiles& files,
                   const std::function<SourceTensor(const std::string&)>& locate,
                   const std::function<bool(const std::string&)>& is_ignored) {
  check_geometry(source);
  ClipModel shape_model = allocate_clip(source.geometry, at::kFloat, at::kMeta);
  std::set<std::string> wanted;
  std::vector<std::string> missing, misshapen, unfit, extra;
  for (const TensorSlot& slot : tensor_slots(shape_model)) {
    for (const auto& [name, expected] : expected_tensors(slot, locate(slot.name))) {
      if (!wanted.insert(name).second) continue;
      if (!files.contains(name)) {
        missing.push_back(cat("missing: ", name, " ", shape_text(expected)));
        continue;
      }
      const TensorInfo& info = files.info(name);
      if (!is_floating(info)) {
        unfit.push_back(
            cat("dtype: ", name, " is ", info.dtype, ", expected F32, F16, BF16 or F64"));
      }
      const std::vector<std::int64_t>& found = info.shape;
      if (found == expected || (is_scalar(found) && is_scalar(expected))) continue;
      misshapen.push_back(
          cat("shape: ", name, " is ", shape_text(found), ", expected ", shape_text(expected)));
    }
  }
  for (const std::string& name : files.names()) {
    if (!wanted.contains(name) && !is_ignored(name)) {
      extra.push_back(cat("extra: ", name, " ", shape_text(files.shape(name))));
    }
  }
  std::vector<std::string> problems;
  for (const auto& kind : {unfit, missing, misshapen, extra}) {
    for (const std::string& line : shortened(kind, 12)) problems.push_back(line);
  }
  if (problems.empty()) return;
  if (!unfit.empty()) {
    problems.emplace_back(
        "whole numbers and quantised values are no weights: dequantise the model with the tool "
        "that quantised it and save it in fp32, fp16 or bf16");
  }
  throw WeightsError(join_problems(
      cat(files.where(), ": the tensors do not fit a CLIP with ", to_string(source.geometry), ":"),
      problems));
}

void attach_tensors(WeightsSource& source, const std::shared_ptr<const TensorFiles>& files,
                    const std::function<SourceTensor(const std::string&)>& locate,
                    const std::function<bool(const std::string&)>& is_ignored) {
  check_tensors(source, *files, locate, is_ignored);
  source.later_hash = std::async(std::launch::async, [files] { return files->hash(); }).share();
  source.release_pages = [files] { files->release_pages(); };
  source.files = files->paths();
  source.notes.insert(source.notes.end(), files->notes().begin(), files->notes().end());
  source.tensor = [files, locate](const std::string& name) {
    const SourceTensor from = locate(name);
    const at::Tensor whole = files->tensor(from.name);
    if (!from.rest.empty()) return at::cat({whole, files->tensor(from.rest)});
    if (from.has_leading_one) return whole.squeeze(0);
    if (from.third >= 0) return whole.chunk(3, 0)[static_cast<std::size_t>(from.third)];
    return from.is_transposed ? whole.t() : whole;
  };
}

namespace {

WeightsSource open_base(const ModelOptions& options) {
  const fs::path path(options.weights);
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    throw WeightsError(
        cat(path.string(), ": no such file or folder (model.weights)",
            hub_help(options.written_weights.empty() ? options.weights : options.written_weights,
                     path)));
  }
  const bool is_folder = fs::is_directory(path, ignored);
  const fs::path folder = folder_of(path);
  if (fs::exists(folder / "adapter_config.json", ignored) && (is_folder || is_lora_file(path))) {
    ModelOptions base = options;
    base.weights = adapter_base(folder).string();
    WeightsSource source = open_base(base);
    merge_adapter(source, path);
    return source;
  }
  return is_folder ? open_folder(path, options) : open_named_file(path, options);
}

}  // namespace

WeightsSource open_weights(const ModelOptions& options, std::uint64_t seed) {
  WeightsSource source =
      options.init.empty() ? open_base(options) : open_random(options.init, options, seed);
  if (!options.adapter.empty()) merge_adapter(source, options.adapter);
  if (options.image_size && *options.image_size != source.geometry.image_size) {
    resize_positions(source, *options.image_size);
  }
  return source;
}

}  // namespace saferclip
