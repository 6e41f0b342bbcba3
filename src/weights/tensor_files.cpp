// One set of tensors over one or several files, and the model's place in it. Training checkpoints
// also hold optimizers, averages and framework state; the model is found by tensors that every
// layout has exactly once, so no prefix has to be given.
#include "weights/tensor_files.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// Endings of tensor names that each layout has exactly once.
constexpr std::string_view kMarks[] = {"vision_model.embeddings.patch_embedding.weight",
                                       "visual.conv1.weight",
                                       "visual.trunk.patch_embed.proj.weight"};

// The prefixes before the marks: "" for a model alone, "clip." for part of a larger one.
std::set<std::string> model_prefixes(const std::vector<std::string>& names) {
  std::set<std::string> prefixes;
  for (const std::string& name : names) {
    for (const std::string_view mark : kMarks) {
      if (!name.ends_with(mark)) continue;
      const std::string prefix = name.substr(0, name.size() - mark.size());
      if (prefix.empty() || prefix.ends_with('.')) prefixes.insert(prefix);
    }
  }
  return prefixes;
}

std::string quoted(const std::string& prefix) {
  return prefix.empty() ? "no prefix" : cat("\"", prefix, "\"");
}

// The only prefix that is not of a running average.
std::string chosen_prefix(const std::set<std::string>& prefixes, const std::string& where) {
  std::vector<std::string> plain;
  for (const std::string& prefix : prefixes) {
    if (!is_average(prefix)) plain.push_back(prefix);
  }
  if (plain.empty()) plain.assign(prefixes.begin(), prefixes.end());
  if (plain.size() == 1) return plain.front();
  std::vector<std::string> all;
  for (const std::string& prefix : plain) all.push_back(quoted(prefix));
  throw WeightsError(cat(where, ": contains several models, whose tensor names begin with ",
                         join(shortened(all, 8), ", "), "; save only the one you want"));
}

// Refuses models with PEFT adapters that were not merged.
void refuse_unmerged(const std::vector<std::string>& names, const std::string& where) {
  for (const std::string& name : names) {
    if (!name.ends_with(".base_layer.weight")) continue;
    throw WeightsError(cat(where, ": tensor \"", name,
                           "\": the model contains unmerged PEFT adapters; save "
                           "model.merge_and_unload() or the adapter alone (save_pretrained)"));
  }
}

}  // namespace

bool is_floating(const TensorInfo& info) {
  return info.dtype == "F32" || info.dtype == "F16" || info.dtype == "BF16" || info.dtype == "F64";
}

TensorFiles::TensorFiles(const std::vector<fs::path>& paths) : files_(open_tensor_files(paths)) {
  for (std::size_t i = 0; i < files_.size(); ++i) {
    for (const auto& [name, entry] : files_[i].entries) {
      if (!owner_.emplace(name, Owner{i, name}).second) {
        throw WeightsError(
            cat(files_[i].path.string(), ": tensor \"", name, "\" is in another shard too"));
      }
    }
    for (const std::string& note : files_[i].notes) {
      notes_.push_back(cat(files_[i].path.string(), ": ", note));
    }
  }
  keep_model();
}

void TensorFiles::keep_model() {
  const std::vector<std::string> all = names();
  refuse_unmerged(all, where());
  const std::set<std::string> prefixes = model_prefixes(all);
  if (prefixes.empty() || prefixes == std::set<std::string>{""}) return;
  const std::string prefix = chosen_prefix(prefixes, where());
  std::map<std::string, Owner> kept;
  std::vector<std::string> left;
  for (auto& [name, owner] : owner_) {
    const bool is_of_other = std::any_of(prefixes.begin(), prefixes.end(), [&](const auto& other) {
      return other.size() > prefix.size() && name.starts_with(other);
    });
    if (name.starts_with(prefix) && name.size() > prefix.size() && !is_of_other) {
      kept.emplace(name.substr(prefix.size()), std::move(owner));
    } else {
      left.push_back(name);
    }
  }
  owner_ = std::move(kept);
  if (!prefix.empty()) {
    notes_.push_back(
        cat(where(), ": removed the prefix ", quoted(prefix), " from the model's tensor names"));
  }
  if (left.empty()) return;
  const bool has_average = std::any_of(left.begin(), left.end(), is_average);
  notes_.push_back(cat(where(), ": ignored ", left.size(),
                       left.size() == 1 ? " tensor" : " tensors", " outside the model",
                       has_average ? ", including a running average (EMA)" : "", ": ",
                       join(shortened(left, 3), ", ")));
}

bool TensorFiles::has_prefix(const std::string& prefix) const {
  const auto found = owner_.lower_bound(prefix);
  return found != owner_.end() && found->first.starts_with(prefix);
}

const TensorInfo& TensorFiles::info(const std::string& name) const {
  const Owner& owner = owner_.at(name);
  return files_[owner.file].entries.at(owner.name);
}

at::Tensor TensorFiles::tensor(const std::string& name) const {
  const Owner& owner = owner_.at(name);
  return files_[owner.file].tensor(owner.name);
}

void TensorFiles::release_pages() const {
  for (const TensorFile& file : files_) file.release_pages();
}

std::vector<std::string> TensorFiles::names() const {
  std::vector<std::string> names;
  names.reserve(owner_.size());
  for (const auto& [name, owner] : owner_) names.push_back(name);
  return names;
}

std::vector<fs::path> TensorFiles::paths() const {
  std::vector<fs::path> paths;
  for (const TensorFile& file : files_) paths.push_back(file.path);
  return paths;
}

std::string TensorFiles::where() const {
  const fs::path& first = files_.front().path;
  return files_.size() == 1 ? first.string()
                            : cat(first.string(), " and ", files_.size() - 1, " more shards");
}

std::string TensorFiles::hash() const {
  if (files_.size() == 1) return sha256_file(files_.front().path);
  Sha256 hash;
  for (const TensorFile& file : files_) hash.add(sha256_file(file.path));
  return hash.hex();
}

}  // namespace saferclip
