// One artefact folder: safetensors data plus a manifest that is written last.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"
#include "saferclip/data/artefact_manifest.h"
#include "saferclip/io/safetensors.h"

namespace saferclip {

inline constexpr const char* kArtefactData = "data.safetensors";
// Part of every key: raised when a meaning changes. 2: keys by field lists.
inline constexpr const char* kArtefactFormat = "2";

// A finished artefact whose parts may be used again.
struct Relative {
  std::filesystem::path folder;
  ArtefactManifest manifest;
};

struct ArtefactRequest {
  std::filesystem::path cache_dir;
  std::string kind;  // "images", "tokens", …
  std::string key;
  std::map<std::string, std::string> inputs;  // for people: what the key was made of
  // How a part of it is made out of its input: artefacts of the same recipe share parts. Empty: it
  // has no parts that could be used again.
  std::string recipe;
  // Whether a finished artefact still tells the truth (pictures may have changed since).
  std::function<bool(const std::filesystem::path& folder)> is_current;
  // Writes kArtefactData (and what else it wants) into the folder, which is locked. `relatives` are
  // the finished artefacts of the same recipe, an outdated one in this folder among them.
  std::function<void(const std::filesystem::path& folder, const std::vector<Relative>& relatives)>
      build;
};

// Opens the artefact, building it first when it is missing, damaged or outdated. Two preparers of
// the same artefact wait for each other.
SafetensorsFile open_or_build(const ArtefactRequest& request, Logger& log, const StopFlag* stop);

// Whether the data of a relative have the checksum of its manifest; a warning when they do not.
// Reads the whole file.
bool is_undamaged(const Relative& relative, Logger& log);

}  // namespace saferclip
