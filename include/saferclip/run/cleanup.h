// What runs and caches need no more.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/run/run_list.h"

namespace saferclip {

struct Leftovers {
  std::vector<std::filesystem::path> folders;
  std::uint64_t bytes = 0;
};

// Checkpoints of a run that are older than its newest good one and are not its best. None of a run
// that a process is using, that cannot be read, or that has no good checkpoint.
Leftovers old_checkpoints(const RunSummary& run, Logger& log);

// The artifacts in a cache folder (data.cache_dir), which are built again when they are needed.
// Throws DataError if there is no such folder.
Leftovers cached_artifacts(const std::filesystem::path& cache_dir);

// Removes them. Keeps what became the newest or the best checkpoint meanwhile. Throws ConfigError
// if a process is using the run.
void remove_checkpoints(const std::filesystem::path& run, const Leftovers& leftovers, Logger& log);

// Removes them but for those that a process is building, which it warns of. Returns the bytes
// freed.
std::uint64_t remove_artifacts(const Leftovers& artifacts, Logger& log);

}  // namespace saferclip
