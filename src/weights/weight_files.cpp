// Decides which tensor files a path means: those that the client loads from a folder, or exactly
// the named file, with the configuration beside it that matches its tensor names. Other weights in
// the folder are noted, so nobody evaluates the wrong ones unknowingly.
#include "weights/weight_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <string_view>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "weights/bare_file.h"
#include "weights/json_fields.h"
#include "weights/lora_factors.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::json;

bool is_index(const fs::path& file) { return file.string().ends_with(".index.json"); }

// The shards listed in an index, all in its folder.
std::vector<fs::path> indexed_files(const fs::path& index) {
  std::set<std::string> names;
  read_json_file(index, [&](const Json& json) {
    if (!json.contains("weight_map") || !json["weight_map"].is_object() ||
        json["weight_map"].empty()) {
      throw WeightsError(cat(index.string(), ": weight_map: expected a non-empty object"));
    }
    for (const auto& [tensor, file] : json["weight_map"].items()) {
      if (!file.is_string())
        throw WeightsError(cat(index.string(), ": weight_map.", tensor,
                               ": expected a file name, found ", shortened_text(file.dump())));
      const auto name = file.get<std::string>();
      if (name.empty() || name != fs::path(name).filename().string() || name == "..") {
        throw WeightsError(
            cat(index.string(), ": weight_map.", tensor, ": \"", name, "\" is outside the folder"));
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
  return cat("; to read another file, give its path (found: ", join(shortened(names, 6), ", "),
             ")");
}

// The layout's existing files, in its client's order.
std::vector<std::string> files_there(const Layout& layout, const fs::path& folder) {
  std::vector<std::string> there;
  for (const char* name : layout.files) {
    if (fs::exists(folder / name)) there.emplace_back(name);
  }
  return there;
}

// The layouts whose configuration is in the folder and that can apply the options.
std::vector<const Layout*> layouts_there(const fs::path& folder, const ModelOptions& options) {
  std::vector<const Layout*> there;
  for (const Layout* layout : layouts()) {
    if (layout->config == nullptr || !fs::exists(folder / layout->config)) continue;
    if (options.architecture.empty() || layout->takes_architecture) there.push_back(layout);
  }
  return there;
}

// A folder with several configurations, as published by LAION, belongs to the last layout, unless
// no file is that layout's alone and the weights have an earlier one's names.
const Layout& chosen_layout(const fs::path& folder, const std::vector<const Layout*>& there) {
  const Layout& last = *there.back();
  for (const std::string& name : files_there(last, folder)) {
    if (!last.own.empty() && name.starts_with(last.own)) return last;
  }
  for (const Layout* layout : there) {
    const std::vector<std::string> files = files_there(*layout, folder);
    if (layout == &last || files.empty()) continue;
    if (layout->has_names(*open_files(folder / files.front()))) return *layout;
  }
  return last;
}

[[noreturn]] void refuse_folder(const fs::path& folder) {
  std::string configs;
  for (const Layout* layout : layouts()) {
    if (layout->config == nullptr) continue;
    configs += cat(layout->config, " (", layout->title, ") nor ");
  }
  throw WeightsError(cat(folder.string(), ": contains neither ", configs,
                         "adapter_config.json (PEFT); expected a model folder or a weights file",
                         what_is_there(folder)));
}

void refuse_lone_shard(const fs::path& file) {
  std::set<fs::path> indices;
  for (const Layout* layout : layouts()) {
    for (const char* name : layout->files) {
      if (is_index(name)) indices.insert(file.parent_path() / name);
    }
  }
  for (const fs::path& index : indices) {
    if (!fs::exists(index)) continue;
    const std::vector<fs::path> shards = indexed_files(index);
    const bool is_shard = std::any_of(shards.begin(), shards.end(), [&](const fs::path& shard) {
      return shard.filename() == file.filename();
    });
    if (is_shard && shards.size() > 1) {
      throw WeightsError(cat(file.string(), ": is one of the ", shards.size(), " shards of ",
                             index.string(), "; give that index or the folder"));
    }
  }
}

}  // namespace

fs::path folder_of(const fs::path& path) {
  if (fs::is_directory(path)) return path;
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

std::shared_ptr<const TensorFiles> client_files(const Layout& layout, const fs::path& folder,
                                                std::vector<std::string>& notes) {
  std::vector<std::string> there = files_there(layout, folder);
  if (there.empty()) {
    throw WeightsError(cat(folder.string(), ": no weights beside ", layout.config, "; expected ",
                           layout.expected, what_is_there(folder)));
  }
  const std::string first = there.front();
  there.erase(there.begin());
  if (!there.empty()) {
    notes.push_back(cat(folder.string(), ": reading ", first, ", not ", join(there, ", "),
                        " beside it; to read another file, give its path"));
  }
  return open_files(folder / first);
}

WeightsSource open_folder(const fs::path& folder, const ModelOptions& options) {
  const std::vector<const Layout*> there = layouts_there(folder, options);
  if (there.empty() && !options.architecture.empty()) {
    throw ConfigError(cat("model.architecture: is only for bare files; ", folder.string(),
                          " has its own configuration, so leave this key out"));
  }
  if (there.empty()) refuse_folder(folder);
  const Layout& layout = chosen_layout(folder, there);
  WeightsSource source = layout.open(folder, options, nullptr);
  if (&layout != there.back()) {
    source.notes.push_back(cat(folder.string(), ": reading with ", layout.config, ", not ",
                               there.back()->config, ", because the weights have ", layout.client,
                               "' names"));
  }
  return source;
}

WeightsSource open_named_file(const fs::path& file, const ModelOptions& options) {
  if (file.extension() == ".json" && !is_index(file)) {
    throw WeightsError(cat(file.string(),
                           ": is a configuration, not weights; give its folder or the weights "
                           "file beside it"));
  }
  const fs::path folder = folder_of(file);
  if (!is_index(file)) refuse_lone_shard(folder / file.filename());
  const auto files = open_files(file);
  if (const std::string dialect = lora_dialect(files->names()); !dialect.empty()) {
    throw WeightsError(
        cat(file.string(), ": contains LoRA factors with ", dialect,
            " names, not a model; set model.weights to the base model and model.adapter "
            "(--adapter) to this file"));
  }
  for (const Layout* layout : layouts()) {
    if (!options.architecture.empty() || layout->config == nullptr) continue;
    if (layout->has_names(*files) && fs::exists(folder / layout->config)) {
      return layout->open(folder, options, files);
    }
  }
  return open_bare_file(file, options, files);
}

}  // namespace saferclip
