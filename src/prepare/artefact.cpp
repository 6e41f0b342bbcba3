#include "prepare/artefact.h"

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/progress.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/artefact_manifest.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// Size is always compared; the checksum when the file is made. Damage inside a file of the right
// size is found by `inspect`.
bool is_good(const ArtefactRequest& request, const fs::path& folder, Logger& log) {
  if (!fs::exists(folder / "manifest.json")) return false;
  try {
    const ArtefactManifest manifest = read_artefact_manifest(folder);
    if (manifest.key != request.key ||
        fs::file_size(folder / kArtefactData) != manifest.file_size) {
      log.warn(cat(folder.string(), ": damaged (size or key differs); made anew"));
      return false;
    }
  } catch (const std::exception& problem) {
    log.warn(cat(folder.string(), ": damaged (", problem.what(), "); made anew"));
    return false;
  }
  if (request.is_current && !request.is_current(folder)) {
    log.info(cat(folder.string(), ": pictures changed since; made anew"));
    return false;
  }
  return true;
}

}  // namespace

SafetensorsFile open_or_build(const ArtefactRequest& request, Logger& log, const StopFlag* stop) {
  const fs::path folder = artefact_folder(request.cache_dir, request.kind, request.key);
  if (is_good(request, folder, log)) return SafetensorsFile::open(folder / kArtefactData);
  auto lock = FileLock::try_acquire(folder / ".lock");
  if (lock == nullptr) {
    log.info(cat(folder.string(), ": another process is preparing this; waiting for it"));
    lock = FileLock::acquire(folder / ".lock", stop);
  }
  if (is_good(request, folder, log)) return SafetensorsFile::open(folder / kArtefactData);
  // It must not vouch for what is half made.
  remove_tree(folder / "manifest.json");
  remove_stale_temporaries(folder);
  request.build(folder);
  const Progress checking(log, cat("checksum of ", request.kind));
  ArtefactManifest manifest;
  manifest.kind = request.kind;
  manifest.key = request.key;
  manifest.inputs = request.inputs;
  manifest.file_name = kArtefactData;
  manifest.file_size = fs::file_size(folder / kArtefactData);
  manifest.file_sha256 = sha256_file(folder / kArtefactData);
  write_artefact_manifest(folder, manifest);
  return SafetensorsFile::open(folder / kArtefactData);
}

}  // namespace saferclip
