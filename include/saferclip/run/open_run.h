// A run opened again, to measure, export or show what it trained.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/run/session.h"

namespace saferclip {

// `--set` for a command on a run: what has moved since.
void add_run_overrides(CLI::App& command, std::vector<std::string>& overrides);

// Throws WeightsError that says how to go on when the files which a run started from are gone.
void require_base(const RunConfig& config, const std::filesystem::path& run_folder);

// The session that the run's own configuration describes, with overrides.
Session open_run(const std::filesystem::path& run_folder, const std::vector<std::string>& overrides,
                 const GlobalOptions& globals, Logger& log);

// What a checkpoint trained. Throws WeightsError when the session's base is not the one that it was
// trained on: the factors of an adapter fit any base of the same shape.
std::vector<NamedTensor> read_trained(const Session& session,
                                      const std::filesystem::path& checkpoint);

}  // namespace saferclip
