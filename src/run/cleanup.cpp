// A folder loses its manifest first: one that is half removed then counts as nothing.
#include "saferclip/run/cleanup.h"

#include "saferclip/core/error.h"
#include "saferclip/core/file_lock.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/artifact_manifest.h"
#include "saferclip/run/run_folder.h"
#include "saferclip/train/checkpoint.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

std::uint64_t bytes_in(const fs::path& folder) {
  std::uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.is_regular_file()) bytes += entry.file_size();
  }
  return bytes;
}

void remove_with_manifest(const fs::path& folder) {
  remove_tree(folder / "manifest.json");
  remove_tree(folder);
}

}  // namespace

Leftovers old_checkpoints(const RunSummary& run, Logger& log) {
  Leftovers leftovers;
  if (run.state == RunState::kRunning || run.state == RunState::kUnreadable) return leftovers;
  const CheckpointStore store(run.path, log);
  const auto newest = store.newest_good();
  const auto best = store.pointer("best");
  for (const std::int64_t step : store.steps()) {
    if (!newest || step >= *newest || step == best) continue;
    leftovers.folders.push_back(store.folder(step));
    leftovers.bytes += bytes_in(leftovers.folders.back());
  }
  return leftovers;
}

Leftovers cached_artifacts(const fs::path& cache_dir) {
  std::error_code error;
  if (!fs::is_directory(cache_dir, error)) {
    throw DataError(cat(cache_dir.string(), ": no such folder; expected data.cache_dir"));
  }
  Leftovers artifacts;
  for (const auto& entry : fs::directory_iterator(cache_dir)) {
    if (!is_file(entry.path() / "manifest.json")) continue;
    try {
      read_artifact_manifest(entry.path());
    } catch (const Error&) {
      continue;  // not known as ours
    }
    artifacts.folders.push_back(entry.path());
    artifacts.bytes += bytes_in(entry.path());
  }
  return artifacts;
}

void remove_checkpoints(const fs::path& run, const Leftovers& leftovers, Logger& log) {
  const RunFolder folder = open_run_folder(run);
  const CheckpointStore store(run, log);
  const auto newest = store.newest_good();
  const auto best = store.pointer("best");
  for (const fs::path& checkpoint : leftovers.folders) {
    const bool is_kept = !newest || checkpoint == store.folder(*newest) ||
                         (best && checkpoint == store.folder(*best));
    if (!is_kept) remove_with_manifest(checkpoint);
  }
}

std::uint64_t remove_artifacts(const Leftovers& artifacts, Logger& log) {
  std::uint64_t freed = 0;
  for (const fs::path& folder : artifacts.folders) {
    const auto lock = FileLock::try_acquire(folder / ".lock");
    if (lock == nullptr) {
      log.warn(cat(folder.string(), ": stays, because a process is using it"));
      continue;
    }
    const std::uint64_t bytes = bytes_in(folder);
    remove_with_manifest(folder);
    freed += bytes;
  }
  return freed;
}

}  // namespace saferclip
