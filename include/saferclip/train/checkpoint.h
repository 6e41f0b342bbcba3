// Checkpoints: one folder a step, complete or absent.
//   checkpoints/step_00000500/{manifest.json, weights.safetensors, optimizer.safetensors,
//   state.json} checkpoints/latest, checkpoints/best: the folder's name, one line
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/io/safetensors.h"
#include "saferclip/nn/optimizer.h"

namespace saferclip {

// What a run must remember besides weights and optimizer.
struct TrainState {
  std::int64_t step = 0;             // steps done
  std::optional<double> best_value;  // of the validation metric
  std::int64_t best_step = 0;
  std::optional<double> best_loss;     // lowest validation loss
  std::int64_t stale_validations = 0;  // in a row, with neither a better value nor a lower loss
  std::map<std::string, std::string> content;  // keys of weights, images, tokens, targets, anchors
  std::string measure;                         // what best_value is a value of; empty: not known
  std::string precision;  // in which the steps computed: bf16 or fp32; empty: not known
  std::string device;
  std::int64_t threads = 0;
  bool awaits_validation = false;  // of `step`: it was due, and the run was stopped in it
};

// What a checkpoint holds, on the CPU. A copy lets training go on while it is written; without one,
// tensors that are on the CPU already are views of the leaves.
struct CheckpointSnapshot {
  TrainState state;
  std::vector<NamedTensor> weights;
  std::vector<NamedTensor> optimizer;
};
CheckpointSnapshot take_snapshot(const TrainState& state,
                                 const std::vector<TrainedParameter>& parameters,
                                 const Optimizer& optimizer, bool is_copy = true);

// Replaces views by copies, on the calling thread alone. `spare` lends memory of an earlier copy of
// the same tensors, which `snapshot` then shares with it; one that does not fit is replaced.
void copy_snapshot(CheckpointSnapshot& snapshot, CheckpointSnapshot& spare);

class CheckpointStore {
 public:
  CheckpointStore(const std::filesystem::path& run_folder, Logger& log);

  // Writes a temporary folder, flushes it, renames it, points `latest` at it, then removes
  // checkpoints that retention does not keep (only folders that hold our manifest). Throws Error
  // when that fails; checkpoints before it stay.
  void save(const CheckpointSnapshot& snapshot, std::int64_t keep_last, bool keep_best);

  // The end of a save: the files `latest` and `best` say what the state says, and retention. A run
  // that goes on from `state` does it again: it may have ended before or in it, or a file been
  // lost.
  void settle(const TrainState& state, std::int64_t keep_last, bool keep_best);

  // Steps of the checkpoints that are there, ascending.
  std::vector<std::int64_t> steps() const;
  std::filesystem::path folder(std::int64_t step) const;
  // The step that the file `latest` or `best` names, when it names one.
  std::optional<std::int64_t> pointer(const std::string& name) const;

  // The newest checkpoint whose files have the sizes and checksums of its manifest; says which
  // damaged ones it skips.
  std::optional<std::int64_t> newest_good() const;

 private:
  void remove_outdated(std::int64_t keep_last, const std::optional<std::int64_t>& best);

  std::filesystem::path root_;
  Logger& log_;
};

// Why a checkpoint folder cannot be used; empty when it is whole.
std::string checkpoint_problem(const std::filesystem::path& folder);

// Throws WeightsError when it is damaged.
TrainState read_train_state(const std::filesystem::path& checkpoint);
std::vector<NamedTensor> read_trained_weights(const std::filesystem::path& checkpoint);

// Puts weights and optimizer state of a checkpoint back. Throws WeightsError when they do not fit.
void restore(const std::filesystem::path& checkpoint,
             const std::vector<TrainedParameter>& parameters, Optimizer& optimizer);

}  // namespace saferclip
