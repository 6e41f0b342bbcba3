// One artefact folder: safetensors data plus a manifest that is written last.
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "saferclip/core/log.h"
#include "saferclip/io/safetensors.h"

namespace saferclip {

inline constexpr const char* kArtefactData = "data.safetensors";
inline constexpr const char* kArtefactFormat =
    "1";  // part of every key: raised when a meaning changes

struct ArtefactRequest {
  std::filesystem::path cache_dir;
  std::string kind;  // "images", "tokens", …
  std::string key;
  std::map<std::string, std::string> inputs;  // for people: what the key was made of
  // Whether a finished artefact still tells the truth (pictures may have changed since).
  std::function<bool(const std::filesystem::path& folder)> is_current;
  // Writes kArtefactData (and what else it wants) into the folder, which is locked.
  std::function<void(const std::filesystem::path& folder)> build;
};

// Opens the artefact, building it first when it is missing, damaged or outdated. Two preparers of
// the same artefact wait for each other.
SafetensorsFile open_or_build(const ArtefactRequest& request, Logger& log, const StopFlag* stop);

}  // namespace saferclip
