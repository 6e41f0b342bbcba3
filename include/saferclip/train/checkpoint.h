// Checkpoints: one folder per step, complete or absent.
//   checkpoints/step_00000500/: manifest.json, state.json, {weights,optimizer}.safetensors
//   checkpoints/latest, checkpoints/best: a folder's name, one line
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/transfers.h"
#include "saferclip/io/safetensors.h"
#include "saferclip/nn/optimizer.h"
#include "saferclip/train/optimizer_shards.h"
#include "saferclip/train/train_options.h"

namespace saferclip {

// What a run must remember besides its weights and optimizer.
struct TrainState {
  std::int64_t step = 0;             // steps done
  std::optional<double> best_value;  // of the validation metric
  std::int64_t best_step = 0;
  std::optional<double> best_loss;     // lowest validation loss
  std::int64_t stale_validations = 0;  // in a row, with neither a better value nor a lower loss
  std::map<std::string, std::string> content;  // keys of weights, images, tokens, targets, anchors
  std::string measure;                 // the metric that best_value measures; empty: unknown
  std::optional<Precision> precision;  // of the steps; none: unknown
  std::string device;
  std::int64_t threads = 0;
  std::int64_t processes = 1;
  bool awaits_validation = false;  // the validation of `step` was due when the run was stopped
};

// Whether a snapshot holds copies, so that training may continue while it is written, or views of
// the tensors that are already on the CPU.
enum class SnapshotMemory { kCopies, kViews };

// A checkpoint's content, on the CPU.
struct CheckpointSnapshot {
  TrainState state;
  std::vector<NamedTensor> weights;
  std::vector<NamedTensor> optimizer;
  Downloads downloads;  // from a GPU; the tensors hold their values after its wait()
};
// With `shards` all processes call it, and the first one gets the moments of all.
CheckpointSnapshot take_snapshot(const TrainState& state,
                                 const std::vector<TrainedParameter>& parameters,
                                 const Optimizer& optimizer,
                                 SnapshotMemory memory = SnapshotMemory::kCopies,
                                 const OptimizerShards* shards = nullptr);

// Replaces views with copies, on the calling thread alone. The copies reuse the memory of `spare`,
// an earlier copy of the same tensors, and share it with `snapshot`; tensors of `spare` that do not
// fit are replaced.
void copy_snapshot(CheckpointSnapshot& snapshot, CheckpointSnapshot& spare);

// Checkpoints that stay after a save.
struct Retention {
  std::int64_t last = 1;  // the newest
  bool best = true;       // the one with the best validation metric
};

class CheckpointStore {
 public:
  CheckpointStore(const std::filesystem::path& run_folder, Logger& log);

  // Writes a temporary folder, flushes it, renames it, points `latest` at it, then removes the
  // checkpoints that retention does not keep (only empty folders and those with our manifest).
  // Throws Error on failure; earlier checkpoints stay.
  void save(const CheckpointSnapshot& snapshot, const Retention& retention);

  // The end of a save: makes the files `latest` and `best` agree with the state and applies
  // retention. A run that resumes from `state` repeats it, since the earlier run may have ended
  // before or during it, or lost a file.
  void settle(const TrainState& state, const Retention& retention);

  // Steps of the existing checkpoints, ascending.
  std::vector<std::int64_t> steps() const;
  std::filesystem::path folder(std::int64_t step) const;
  // The step that the file `latest` or `best` names, if any.
  std::optional<std::int64_t> pointer(const std::string& name) const;

  // The newest checkpoint whose files match the sizes and checksums in its manifest; logs the
  // damaged ones it skips.
  std::optional<std::int64_t> newest_good() const;

 private:
  void remove_outdated(std::int64_t keep_last, const std::optional<std::int64_t>& best);

  std::filesystem::path root_;
  Logger& log_;
};

// Why a checkpoint folder cannot be used; empty when it is intact.
std::string checkpoint_problem(const std::filesystem::path& folder);

// Throws WeightsError when it is damaged.
TrainState read_train_state(const std::filesystem::path& checkpoint);
std::vector<NamedTensor> read_trained_weights(const std::filesystem::path& checkpoint);

// Restores the weights and the optimizer state of a checkpoint, of which an optimizer takes what it
// holds. Throws WeightsError when they do not fit.
void restore(const std::filesystem::path& checkpoint,
             const std::vector<TrainedParameter>& parameters, Optimizer& optimizer);

}  // namespace saferclip
