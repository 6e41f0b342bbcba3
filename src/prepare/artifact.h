// One artifact: a folder with safetensors data and a manifest, which is written last. The processes
// of a run make it together.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "prepare/cache_owners.h"
#include "saferclip/core/log.h"
#include "saferclip/core/named_tensor.h"
#include "saferclip/core/stop.h"
#include "saferclip/data/artifact_manifest.h"
#include "saferclip/distributed/processes.h"
#include "saferclip/io/safetensors.h"

namespace saferclip {

inline constexpr const char* kArtifactData = "data.safetensors";
// Part of every key: raised when a meaning changes. 2: keys by field lists.
inline constexpr const char* kArtifactFormat = "2";

// A finished artifact whose parts may be reused.
struct Relative {
  std::filesystem::path folder;
  ArtifactManifest manifest;
};

// The processes of a run, and what this one has to do with an artifact.
struct PreparedArtifact;
struct Builders {
  Processes processes;
  CacheOwners owners;
  // While an artifact is made: those that write it, each in a folder of its own. The first one's
  // relatives are used.
  std::vector<int> writers = {};
  std::vector<PreparedArtifact>* opened = nullptr;  // what is opened is added; null: not kept

  bool is_first_writer() const { return writers.empty() || writers.front() == processes.rank(); }
};

struct ArtifactRequest {
  std::filesystem::path cache_dir;
  std::string kind;  // "images", "tokens", …
  std::string key;
  std::map<std::string, std::string> inputs;  // for people: what went into the key
  // Identifies how a part is made from its input: artifacts of the same recipe share parts. Empty:
  // nothing is reusable.
  std::string recipe;
  // Whether a finished artifact is still valid (pictures may have changed since).
  std::function<bool(const std::filesystem::path& folder)> is_current;
  // What all processes do together before one of them builds; may be empty. `relatives`: the
  // finished artifacts of the same recipe, including an outdated one in this folder, as the builder
  // finds them; the others get none, and their result is not used.
  std::function<std::vector<NamedTensor>(const Builders& builders,
                                         const std::vector<Relative>& relatives)>
      embed;
  // Writes kArtifactData, and anything else it needs, into the locked folder. `embedded`: the
  // result of `embed`.
  std::function<void(const std::filesystem::path& folder, const std::vector<Relative>& relatives,
                     const std::vector<NamedTensor>& embedded)>
      build;
};

// Opens the artifact, building it first when it is missing, damaged or outdated. Called by all
// processes of a run; the owner of a folder builds. Runs that build the same artifact wait for each
// other.
SafetensorsFile open_or_build(const ArtifactRequest& request, const Builders& builders, Logger& log,
                              const StopFlag* stop);

// A build that has nothing to add to `embedded`.
void write_embedded(const std::filesystem::path& folder, const std::vector<Relative>& relatives,
                    const std::vector<NamedTensor>& embedded);

// Whether a relative's data matches the checksum in its manifest; logs a warning if not. Reads the
// whole file.
bool is_undamaged(const Relative& relative, Logger& log);

}  // namespace saferclip
