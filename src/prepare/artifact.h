// One artifact: a folder with safetensors data and a manifest, which is written last.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"
#include "saferclip/data/artifact_manifest.h"
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
  // Writes kArtifactData, and anything else it needs, into the locked folder. `relatives`: the
  // finished artifacts of the same recipe, including an outdated one in this folder.
  std::function<void(const std::filesystem::path& folder, const std::vector<Relative>& relatives)>
      build;
};

// Opens the artifact, building it first when it is missing, damaged or outdated. Processes that
// build the same artifact wait for each other.
SafetensorsFile open_or_build(const ArtifactRequest& request, Logger& log, const StopFlag* stop);

// Whether a relative's data matches the checksum in its manifest; logs a warning if not. Reads the
// whole file.
bool is_undamaged(const Relative& relative, Logger& log);

}  // namespace saferclip
