// A run opened again, to measure, export or show what it trained.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/model/trained.h"
#include "saferclip/run/session.h"

namespace saferclip {

// Throws WeightsError that says how to go on when the files which a run started from are gone.
void require_base(const RunConfig& config, const std::filesystem::path& run_folder);

// The session that the run's own configuration describes, with overrides.
Session open_run(const std::filesystem::path& run_folder, const std::vector<std::string>& overrides,
                 const ComputeOptions& compute, Logger& log);

// What a checkpoint trained. Throws WeightsError when the session's base is not the one that it was
// trained on: the factors of an adapter fit any base of the same shape.
std::vector<NamedTensor> read_trained(const Session& session,
                                      const std::filesystem::path& checkpoint);

// The fp32 model of a checkpoint: source weights with what was trained put in, scaled by
// `strength`. `where` names the checkpoint in messages.
ClipModel load_tuned(const Session& session, const std::vector<NamedTensor>& trained,
                     const std::string& where, double strength = 1);

}  // namespace saferclip
