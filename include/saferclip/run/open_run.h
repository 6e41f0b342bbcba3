// Reopens a run to measure, export or show what it trained.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/data/split_source.h"
#include "saferclip/model/trained.h"
#include "saferclip/run/session.h"

namespace saferclip {

// Throws WeightsError if files that the run started from are gone; the message says how to proceed.
void require_base(const RunConfig& config, const std::filesystem::path& run_folder);

// Opens the session of the run's own configuration, with overrides.
Session open_run(const std::filesystem::path& run_folder, const std::vector<std::string>& overrides,
                 const ComputeOptions& compute, Logger& log);

// The trained tensors of a checkpoint. Throws WeightsError if the session's base is not the one it
// was trained on, since adapter factors fit any base of the same shape.
std::vector<NamedTensor> read_trained(const Session& session,
                                      const std::filesystem::path& checkpoint);

// Gives the model the numbers that objective hysac learns beside the weights, at their start.
void add_lorentz_scalars(ClipModel& model, const ObjectiveOptions& objective);

// One line for commands that compare embeddings by cosine, if objective hysac tuned the run.
void say_if_cosine_is_untrained(const ObjectiveOptions& objective, Logger& log);

// The split whose safe rows bound a traversal: the validation rows, else the training rows.
SplitSource bounds_source(const DataOptions& data);

// The fp32 model of a checkpoint: the source weights plus the trained change, scaled by `strength`;
// Lorentz scalars are as trained at any strength.
// `where` names the checkpoint in messages.
ClipModel load_tuned(const Session& session, const std::vector<NamedTensor>& trained,
                     const std::string& where, double strength = 1);

}  // namespace saferclip
