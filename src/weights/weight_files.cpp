// Which files of tensors a path means: those that its client takes out of a folder, or exactly the
// one that is named, with the configuration beside it that its tensors' names belong to.
#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>

#include "weights/lora_factors.h"
#include "weights/sources.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

// transformers' order.
constexpr const char* kHuggingFaceNames[] = {"model.safetensors", "model.safetensors.index.json",
                                             "pytorch_model.bin", "pytorch_model.bin.index.json"};
// open_clip's own order, then what `export --to openai` writes.
constexpr const char* kOpenClipNames[] = {"open_clip_model.safetensors",
                                          "open_clip_pytorch_model.safetensors",
                                          "open_clip_pytorch_model.bin",
                                          "open_clip_pytorch_model.pth",
                                          "model.safetensors",
                                          "pytorch_model.bin",
                                          "pytorch_model.pth",
                                          "model.pth",
                                          "model.pt"};

bool is_index(const fs::path& file) { return file.string().ends_with(".index.json"); }

// The shards that an index names, all in its folder.
std::vector<fs::path> indexed_files(const fs::path& index) {
  std::set<std::string> names;
  read_json_file(index, [&](const Json& json) {
    if (!json.contains("weight_map") || !json["weight_map"].is_object() ||
        json["weight_map"].empty()) {
      throw WeightsError(cat(index.string(), ": weight_map: expected an object with entries"));
    }
    for (const auto& [tensor, file] : json["weight_map"].items()) {
      if (!file.is_string())
        throw WeightsError(cat(index.string(), ": weight_map.", tensor, ": not text"));
      const auto name = file.get<std::string>();
      if (name.empty() || name != fs::path(name).filename().string() || name == "..") {
        throw WeightsError(
            cat(index.string(), ": weight_map.", tensor, ": \"", name, "\" leaves the folder"));
      }
      names.insert(name);
    }
  });
  std::vector<fs::path> files;
  files.reserve(names.size());
  for (const std::string& name : names) files.push_back(index.parent_path() / name);
  return files;
}

std::shared_ptr<const TensorFiles> open_files(const fs::path& file) {
  return std::make_shared<const TensorFiles>(is_index(file) ? indexed_files(file)
                                                            : std::vector<fs::path>{file});
}

// Files that may hold weights, for a message.
std::string what_is_there(const fs::path& folder) {
  static const std::set<std::string> kEndings{".safetensors", ".bin", ".pt", ".pth", ".ckpt"};
  std::vector<std::string> names;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (kEndings.contains(entry.path().extension().string())) {
      names.push_back(entry.path().filename().string());
    }
  }
  std::sort(names.begin(), names.end());
  if (names.empty()) return "";
  return cat("; to read another file, name it itself (there: ", join(shortened(names, 6), ", "),
             ")");
}

// The first of `names` in the folder; the others that are there are named in a note.
template <std::size_t N>
fs::path first_of(const fs::path& folder, const char* const (&names)[N],
                  std::vector<std::string>& notes) {
  std::vector<std::string> there;
  for (const char* name : names) {
    if (fs::exists(folder / name)) there.emplace_back(name);
  }
  if (there.empty()) return {};
  const std::string first = there.front();
  there.erase(there.begin());
  if (!there.empty()) {
    notes.push_back(cat(folder.string(), ": read is ", first, ", not ", join(there, ", "),
                        " beside it; to read another file, name it itself"));
  }
  return folder / first;
}

// A folder with both configurations, as LAION publishes: open_clip's unless the only weights are
// those that transformers would take.
bool is_rather_hugging_face(const fs::path& folder) {
  for (const char* name : kOpenClipNames) {
    if (std::string_view(name).starts_with("open_clip_") && fs::exists(folder / name)) return false;
  }
  std::vector<std::string> ignored;
  const fs::path file = first_of(folder, kHuggingFaceNames, ignored);
  return !file.empty() && has_hugging_face_names(*open_files(file));
}

void refuse_lone_shard(const fs::path& file) {
  for (const auto& name : kHuggingFaceNames) {
    const fs::path index = file.parent_path() / name;
    if (!is_index(index) || !fs::exists(index)) continue;
    const std::vector<fs::path> shards = indexed_files(index);
    const bool is_shard = std::any_of(shards.begin(), shards.end(), [&](const fs::path& shard) {
      return shard.filename() == file.filename();
    });
    if (is_shard && shards.size() > 1) {
      throw WeightsError(cat(file.string(), ": one of the ", shards.size(), " shards of ",
                             index.string(), "; give that index or the folder"));
    }
  }
}

}  // namespace

fs::path folder_of(const fs::path& path) {
  if (fs::is_directory(path)) return path;
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

std::shared_ptr<const TensorFiles> open_hugging_face_files(const fs::path& folder,
                                                           std::vector<std::string>& notes) {
  const fs::path file = first_of(folder, kHuggingFaceNames, notes);
  if (!file.empty()) return open_files(file);
  throw WeightsError(cat(folder.string(),
                         ": no weights beside config.json; expected model.safetensors, "
                         "model.safetensors.index.json, pytorch_model.bin or "
                         "pytorch_model.bin.index.json",
                         what_is_there(folder)));
}

std::shared_ptr<const TensorFiles> open_open_clip_files(const fs::path& folder,
                                                        std::vector<std::string>& notes) {
  const fs::path file = first_of(folder, kOpenClipNames, notes);
  if (!file.empty()) return open_files(file);
  throw WeightsError(cat(folder.string(),
                         ": no weights beside open_clip_config.json; expected "
                         "open_clip_model.safetensors or open_clip_pytorch_model.bin",
                         what_is_there(folder)));
}

WeightsSource open_folder(const fs::path& folder, const ModelOptions& options) {
  const bool has_hugging_face = fs::exists(folder / "config.json");
  if (fs::exists(folder / "open_clip_config.json")) {
    if (!has_hugging_face || !options.architecture.empty() || !is_rather_hugging_face(folder)) {
      return open_open_clip(folder, options, nullptr);
    }
    WeightsSource source = open_hugging_face(folder, options, nullptr);
    source.notes.push_back(cat(folder.string(),
                               ": read with config.json, not open_clip_config.json: the weights "
                               "there have transformers' names"));
    return source;
  }
  if (!options.architecture.empty()) {
    throw ConfigError(cat("model.architecture: is for bare files; ", folder.string(),
                          " has a configuration of its own, leave it out"));
  }
  if (has_hugging_face) return open_hugging_face(folder, options, nullptr);
  throw WeightsError(cat(folder.string(),
                         ": holds neither config.json (Hugging Face) nor open_clip_config.json "
                         "(open_clip) nor adapter_config.json (PEFT); expected a model folder or a "
                         "file of weights",
                         what_is_there(folder)));
}

WeightsSource open_named_file(const fs::path& file, const ModelOptions& options) {
  if (file.extension() == ".json" && !is_index(file)) {
    throw WeightsError(cat(file.string(),
                           ": a configuration, not weights; give its folder, or the file of "
                           "weights beside it"));
  }
  const fs::path folder = folder_of(file);
  if (!is_index(file)) refuse_lone_shard(folder / file.filename());
  const auto files = open_files(file);
  if (const std::string dialect = lora_dialect(files->names()); !dialect.empty()) {
    throw WeightsError(cat(file.string(), ": LoRA factors with ", dialect,
                           " names, not a model; set model.weights to the base and model.adapter "
                           "(--adapter) to this file"));
  }
  if (options.architecture.empty()) {
    const bool is_hugging_face =
        has_prefix(*files, "vision_model.") || has_prefix(*files, "text_model.");
    if (is_hugging_face && fs::exists(folder / "config.json")) {
      return open_hugging_face(folder, options, files);
    }
    const bool is_open_clip = has_prefix(*files, "visual.") && !is_openai_archive(*files);
    if (is_open_clip && fs::exists(folder / "open_clip_config.json")) {
      return open_open_clip(folder, options, files);
    }
  }
  return open_bare_file(file, options, files);
}

}  // namespace saferclip
