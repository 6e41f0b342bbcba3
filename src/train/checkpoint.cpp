// A checkpoint is a folder that appears by one rename, after its files are on disk and
// manifest.json lists their sizes and SHA-256; only then do `latest` and `best` move. A crash
// therefore leaves the earlier checkpoints and at most a temporary folder. Retention removes only
// empty folders and those with our manifest, which it deletes last, so that the next save can
// finish an interrupted removal. A damaged checkpoint is skipped as a whole. Moments are stored
// under the names of their weights.
#include "saferclip/train/checkpoint.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/model/trained.h"
#include "train/optimizer_tensors.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

using Json = nlohmann::ordered_json;

constexpr int kFormatVersion = 1;
constexpr const char* kWeights = "weights.safetensors";
constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kState = "state.json";
constexpr const char* kManifest = "manifest.json";

std::string folder_name(std::int64_t step) {
  std::array<char, 32> name{};
  std::snprintf(name.data(), name.size(), "step_%08lld", static_cast<long long>(step));
  return name.data();
}

std::optional<std::int64_t> step_of(const std::string& name) {
  long long step = 0;
  int used = 0;
  if (std::sscanf(name.c_str(), "step_%8lld%n", &step, &used) != 1) return std::nullopt;
  return folder_name(step) == name ? std::optional<std::int64_t>(step) : std::nullopt;
}

std::string state_text(const TrainState& state) {
  Json json{{"step", state.step}};
  json["best_value"] = state.best_value ? Json(*state.best_value) : Json(nullptr);
  json["best_step"] = state.best_step;
  json["best_loss"] = state.best_loss ? Json(*state.best_loss) : Json(nullptr);
  json["stale_validations"] = state.stale_validations;
  json["content"] = state.content;
  json["measure"] = state.measure;
  json["precision"] = state.precision ? to_string(*state.precision) : std::string();
  json["device"] = state.device;
  json["threads"] = state.threads;
  if (state.processes > 1) json["processes"] = state.processes;
  json["awaits_validation"] = state.awaits_validation;
  return json.dump(2) + "\n";
}

void copy_stored(const SafetensorsFile& file, const NamedTensor& named) {
  const at::Tensor stored = file.tensor(named.name);
  if (stored.sizes() != named.tensor.sizes()) {
    throw WeightsError(cat(file.path().string(), ": ", named.name, " has shape ", stored.sizes(),
                           ", expected ", named.tensor.sizes()));
  }
  at::Tensor target = named.tensor;
  target.copy_(stored);
}

void write_manifest(const fs::path& folder, std::int64_t step) {
  Json json{{"format", "saferclip checkpoint"}, {"version", kFormatVersion}, {"step", step}};
  for (const char* name : {kWeights, kOptimizer, kState}) {
    json["files"][name] = {{"size", fs::file_size(folder / name)},
                           {"sha256", sha256_file(folder / name)}};
  }
  write_file_atomically(folder / kManifest, json.dump(2) + "\n");
}

std::string file_problem(const fs::path& folder, const std::string& name, const Json& entry) {
  std::error_code error;
  const auto size = fs::file_size(folder / name, error);
  if (error) return name + " is missing";
  if (size != entry.value("size", std::uintmax_t{0})) {
    return cat(name, " has ", size, " bytes, expected ", entry.value("size", std::uintmax_t{0}));
  }
  if (sha256_file(folder / name) != entry.value("sha256", std::string()))
    return name + " has a wrong checksum";
  return "";
}

// Whether this is an intact checkpoint of exactly this state; one saved on a signal, before its
// validation, differs.
bool holds(const fs::path& folder, const TrainState& state) {
  return checkpoint_problem(folder).empty() && read_file(folder / kState) == state_text(state);
}

// The manifest goes last: by it the next save recognizes the remains of our checkpoint.
void remove_checkpoint(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> files;
  fs::directory_iterator entry(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (entry->path().filename() != kManifest) files.push_back(entry->path());
  }
  if (error) throw_storage_error("list", folder, error.value());
  for (const fs::path& file : files) remove_tree(file);
  remove_tree(folder);
}

}  // namespace

CheckpointStore::CheckpointStore(const fs::path& run_folder, Logger& log)
    : root_(run_folder / "checkpoints"), log_(log) {}

fs::path CheckpointStore::folder(std::int64_t step) const { return root_ / folder_name(step); }

std::vector<std::int64_t> CheckpointStore::steps() const {
  std::vector<std::int64_t> steps;
  std::error_code error;
  fs::directory_iterator entry(root_, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (const auto step = step_of(entry->path().filename().string())) steps.push_back(*step);
  }
  // A folder that cannot be listed may hold checkpoints.
  if (error && error != std::errc::no_such_file_or_directory) {
    throw DataError(cat(root_.string(), ": cannot be listed: ", error.message()));
  }
  std::sort(steps.begin(), steps.end());
  return steps;
}

std::optional<std::int64_t> CheckpointStore::pointer(const std::string& name) const {
  std::error_code error;
  if (!fs::is_regular_file(root_ / name, error)) return std::nullopt;
  std::string text = read_file(root_ / name);
  text.erase(text.find_last_not_of("\r\n ") + 1);
  return step_of(text);
}

CheckpointSnapshot take_snapshot(const TrainState& state,
                                 const std::vector<TrainedParameter>& parameters,
                                 const Optimizer& optimizer, SnapshotMemory memory,
                                 const OptimizerShards* shards) {
  const auto moment_of = [&](std::size_t i, const OptimizerSlot& moment) {
    const at::Tensor& own = (optimizer.*moment.state)(i);
    return shards == nullptr ? own : shards->to_first(i, own);
  };
  CheckpointSnapshot snapshot{
      state, trained_tensors(parameters), optimizer_tensors(parameters, optimizer, moment_of), {}};
  for (NamedTensor& named : loss_scale_tensors(optimizer)) snapshot.optimizer.push_back(named);
  for (auto* tensors : {&snapshot.weights, &snapshot.optimizer}) {
    for (NamedTensor& named : *tensors) {
      if (!named.tensor.is_cpu()) {
        named.tensor = snapshot.downloads.start(named.tensor);
      } else if (memory == SnapshotMemory::kCopies) {
        named.tensor = named.tensor.clone();
      }
    }
  }
  return snapshot;
}

void copy_snapshot(CheckpointSnapshot& snapshot, CheckpointSnapshot& spare) {
  const at::NoGradGuard guard;
  for (auto member : {&CheckpointSnapshot::weights, &CheckpointSnapshot::optimizer}) {
    std::vector<NamedTensor>& tensors = snapshot.*member;
    std::vector<NamedTensor>& copies = spare.*member;
    copies.resize(tensors.size());
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      const at::Tensor from = tensors[i].tensor.contiguous();
      at::Tensor& to = copies[i].tensor;
      if (!to.defined() || to.sizes() != from.sizes() || to.dtype() != from.dtype())
        to = at::empty(from.sizes(), from.options());
      // Not copy_, whose threads would compete with training.
      if (from.nbytes() > 0)
        std::memcpy(to.mutable_data_ptr(), from.const_data_ptr(), from.nbytes());
      copies[i].name = tensors[i].name;
      tensors[i].tensor = to;
    }
  }
}

void CheckpointStore::save(const CheckpointSnapshot& snapshot, const Retention& retention) {
  const TrainState& state = snapshot.state;
  try {
    make_folders(root_);
    const fs::path target = folder(state.step);
    if (!holds(target, state)) {
      TemporarySibling temporary(target, TemporarySibling::Kind::kFolder);
      write_safetensors(temporary.path() / kWeights, snapshot.weights);
      write_safetensors(temporary.path() / kOptimizer, snapshot.optimizer);
      write_file_atomically(temporary.path() / kState, state_text(state));
      write_manifest(temporary.path(), state.step);
      temporary.move_to_target();
      sync_to_disk(root_);
    }
    settle(state, retention);
  } catch (const Error& problem) {
    const auto good = pointer("latest");
    throw Error(
        cat("the checkpoint of step ", state.step, " could not be saved: ", problem.what(), "; ",
            good ? cat("the checkpoint of step ", *good,
                       " is untouched; continue with --resume auto")
                 : std::string("there is no earlier checkpoint")),
        problem.exit_code());
  }
}

void CheckpointStore::settle(const TrainState& state, const Retention& retention) {
  const auto point = [&](const char* name, std::int64_t step) {
    if (pointer(name) == step) return;
    write_file_atomically(root_ / name, folder_name(step) + "\n");
  };
  std::optional<std::int64_t> best;
  if (state.best_value) best = state.best_step;
  point("latest", state.step);
  if (best && is_file(folder(*best) / kManifest)) point("best", *best);
  // Until the first validation, or the first by a new metric, the file stays valid.
  remove_outdated(retention.last, !retention.best ? std::nullopt : best ? best : pointer("best"));
}

// A folder that cannot be removed only costs space: no reason to end a run.
void CheckpointStore::remove_outdated(std::int64_t keep_last,
                                      const std::optional<std::int64_t>& best) {
  const std::vector<std::int64_t> all = steps();
  const auto kept = static_cast<std::size_t>(keep_last);
  for (std::size_t i = 0; i + kept < all.size(); ++i) {
    const fs::path old = folder(all[i]);
    std::error_code error;
    if (best == all[i] || (!is_file(old / kManifest) && !fs::is_empty(old, error))) continue;
    try {
      remove_checkpoint(old);
    } catch (const Error& problem) {
      log_.warn(cat("an old checkpoint was not removed: ", problem.what()));
    }
  }
}

std::string checkpoint_problem(const fs::path& folder) {
  std::error_code error;
  if (!fs::is_regular_file(folder / kManifest, error)) return "manifest.json is missing";
  try {
    const Json manifest = Json::parse(read_file(folder / kManifest));
    if (manifest.value("version", 0) != kFormatVersion) {
      return cat("format version ", manifest.value("version", 0),
                 " is not supported; this program reads version ", kFormatVersion);
    }
    for (const char* name : {kWeights, kOptimizer, kState}) {
      std::string problem = file_problem(folder, name, manifest.at("files").at(name));
      if (!problem.empty()) return problem;
    }
  } catch (const Error& problem) {
    return problem.what();
  } catch (const std::exception& problem) {
    return cat("manifest.json: ", problem.what());
  }
  return "";
}

std::optional<std::int64_t> CheckpointStore::newest_good() const {
  std::vector<std::int64_t> all = steps();
  for (auto step = all.rbegin(); step != all.rend(); ++step) {
    const std::string problem = checkpoint_problem(folder(*step));
    if (problem.empty()) return *step;
    log_.warn(cat(folder(*step).string(), ": damaged checkpoint skipped: ", problem));
  }
  return std::nullopt;
}

TrainState read_train_state(const fs::path& checkpoint) {
  TrainState state;
  try {
    const Json json = Json::parse(read_file(checkpoint / kState));
    state.step = json.at("step").get<std::int64_t>();
    if (!json.at("best_value").is_null()) state.best_value = json.at("best_value").get<double>();
    state.best_step = json.at("best_step").get<std::int64_t>();
    const auto loss = json.find("best_loss");  // older checkpoints have none
    if (loss != json.end() && !loss->is_null()) state.best_loss = loss->get<double>();
    state.stale_validations = json.value("stale_validations", std::int64_t{0});
    state.content = json.at("content").get<std::map<std::string, std::string>>();
    state.measure = json.value("measure", std::string());  // absent from the first checkpoints
    state.precision = enum_from<Precision>(json.value("precision", std::string()));
    state.device = json.at("device").get<std::string>();
    state.threads = json.at("threads").get<std::int64_t>();
    state.processes = json.value("processes", std::int64_t{1});
    state.awaits_validation = json.value("awaits_validation", false);
  } catch (const std::exception& problem) {
    throw WeightsError(cat((checkpoint / kState).string(), ": ", problem.what()));
  }
  return state;
}

std::vector<NamedTensor> read_trained_weights(const fs::path& checkpoint) {
  return SafetensorsFile::open(checkpoint / kWeights).tensors();
}

void restore(const fs::path& checkpoint, const std::vector<TrainedParameter>& parameters,
             Optimizer& optimizer) {
  const at::NoGradGuard guard;
  load_trained(parameters, read_trained_weights(checkpoint), (checkpoint / kWeights).string());
  const SafetensorsFile file = SafetensorsFile::open(checkpoint / kOptimizer);
  const auto held = [&](std::size_t i, const OptimizerSlot& moment) {
    return (optimizer.*moment.state)(i);
  };
  for (const NamedTensor& named : optimizer_tensors(parameters, optimizer, held)) {
    copy_stored(file, named);
  }
  // Absent when the run went on in another precision: then the scale is found anew.
  std::size_t scales = 0;
  for (const NamedTensor& named : loss_scale_tensors(optimizer)) {
    if (file.contains(named.name)) copy_stored(file, named);
  }
  for (const auto& [name, entry] : file.entries())
    scales += name.starts_with("loss_scale") ? 1U : 0U;
  const std::size_t wanted = optimizer_tensor_count(parameters);
  if (file.entries().size() - scales != wanted) {
    throw WeightsError(cat(file.path().string(), ": holds ", file.entries().size() - scales,
                           " tensors, expected ", wanted));
  }
}

}  // namespace saferclip
