// manifest.json alone marks an artifact as finished: it is removed before a build and written after
// it. A builder locks the folder and looks again, since another process may have finished while it
// waited. Opening compares key and size only, because hashing gigabytes at every start takes too
// long; the checksum is compared by `inspect` and before anything is copied out of a relative.
#include "prepare/artifact.h"

#include <algorithm>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/file_lock.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_format.h"
#include "saferclip/prepare/prepare.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr const char* kRecipe = "recipe";  // key in a manifest's inputs

// Compares key and size. Damage inside a file of the right size is found by `inspect`.
bool is_good(const ArtifactRequest& request, const fs::path& folder, Logger& log) {
  if (!fs::exists(folder / "manifest.json")) return false;
  try {
    const ArtifactManifest manifest = read_artifact_manifest(folder);
    if (manifest.key != request.key ||
        fs::file_size(folder / kArtifactData) != manifest.file_size) {
      log.warn(cat(folder.string(), ": damaged (size or key differs); rebuilding it"));
      return false;
    }
  } catch (const std::exception& problem) {
    log.warn(cat(folder.string(), ": damaged (", problem.what(), "); rebuilding it"));
    return false;
  }
  if (request.is_current && !request.is_current(folder)) {
    log.info(cat(folder.string(), ": the images have changed; rebuilding it"));
    return false;
  }
  return true;
}

std::vector<Relative> relatives_of(const ArtifactRequest& request) {
  std::vector<Relative> relatives;
  if (request.recipe.empty()) return relatives;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(request.cache_dir, error)) {
    if (!fs::exists(entry.path() / "manifest.json")) continue;
    try {
      Relative relative{entry.path(), read_artifact_manifest(entry.path())};
      const auto recipe = relative.manifest.inputs.find(kRecipe);
      if (recipe == relative.manifest.inputs.end() || recipe->second != request.recipe) continue;
      if (fs::file_size(entry.path() / kArtifactData) != relative.manifest.file_size) continue;
      relatives.push_back(std::move(relative));
    } catch (const std::exception&) {
      // Damaged or gone: reported by the request that needs it.
    }
  }
  std::sort(relatives.begin(), relatives.end(),
            [](const Relative& a, const Relative& b) { return a.folder < b.folder; });
  return relatives;
}

std::unique_ptr<FileLock> lock_folder(const fs::path& folder, Logger& log, const StopFlag* stop) {
  auto lock = FileLock::try_acquire(folder / ".lock");
  if (lock != nullptr) return lock;
  log.info(cat(folder.string(), ": another process is preparing this; waiting for it to finish"));
  return FileLock::acquire(folder / ".lock", stop);
}

void build(const ArtifactRequest& request, const fs::path& folder,
           const std::vector<Relative>& relatives, const std::vector<NamedTensor>& embedded,
           Logger& log) {
  // The manifest must not vouch for a half-built artifact.
  remove_tree(folder / "manifest.json");
  remove_stale_temporaries(folder);
  request.build(folder, relatives, embedded);
  const Progress checking(log, cat("checksum of ", request.kind));
  ArtifactManifest manifest;
  manifest.kind = request.kind;
  manifest.key = request.key;
  manifest.inputs = request.inputs;
  if (!request.recipe.empty()) manifest.inputs[kRecipe] = request.recipe;
  manifest.file_name = kArtifactData;
  manifest.file_size = fs::file_size(folder / kArtifactData);
  manifest.file_sha256 = sha256_file(folder / kArtifactData);
  write_artifact_manifest(folder, manifest);
}

void keep_opened(const ArtifactRequest& request, const fs::path& folder,
                 const SafetensorsFile& file, bool is_built,
                 std::vector<PreparedArtifact>& opened) {
  for (const PreparedArtifact& known : opened) {
    if (known.folder == folder) return;
  }
  PreparedArtifact artifact{request.kind, folder, 0, is_built};
  for (const auto& [name, entry] : file.entries()) {
    if (entry.shape.empty()) continue;
    artifact.rows = entry.shape.front();
    break;
  }
  opened.push_back(std::move(artifact));
}

}  // namespace

bool is_undamaged(const Relative& relative, Logger& log) {
  try {
    if (sha256_file(relative.folder / kArtifactData) == relative.manifest.file_sha256) return true;
  } catch (const DataError&) {
    return false;  // removed meanwhile
  }
  log.warn(cat(relative.folder.string(), ": damaged (checksum mismatch); not reusing it"));
  return false;
}

void write_embedded(const fs::path& folder, const std::vector<Relative>&,
                    const std::vector<NamedTensor>& embedded) {
  write_safetensors(folder / kArtifactData, embedded);
}

SafetensorsFile open_or_build(const ArtifactRequest& request, const Builders& builders, Logger& log,
                              const StopFlag* stop) {
  const Processes& processes = builders.processes;
  const fs::path folder = artifact_folder(request.cache_dir, request.kind, request.key);
  const auto lacks_it = [&] {
    return builders.owners.is_owner() && !is_good(request, folder, log);
  };
  bool builds = lacks_it();
  if (!processes.ranks_with(builds).empty()) {
    const std::unique_ptr<FileLock> lock = builds ? lock_folder(folder, log, stop) : nullptr;
    builds = builds && lacks_it();
    Builders now = builders;
    now.writers = processes.ranks_with(builds);
    if (!now.writers.empty()) {
      const std::vector<Relative> relatives =
          now.is_first_writer() ? relatives_of(request) : std::vector<Relative>();
      std::vector<NamedTensor> embedded;
      if (request.embed) embedded = request.embed(now, relatives);
      if (builds) build(request, folder, relatives, embedded, log);
    }
    const Progress waiting(log, cat("waiting for the ", request.kind, " of other processes"));
    processes.barrier(request.kind);
  }
  SafetensorsFile file = SafetensorsFile::open(folder / kArtifactData);
  if (builders.opened != nullptr) keep_opened(request, folder, file, builds, *builders.opened);
  return file;
}

}  // namespace saferclip
