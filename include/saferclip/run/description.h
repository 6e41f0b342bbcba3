// Describes a file or folder: weights, adapter, cache, checkpoint, run or architecture.
#pragma once

#include <filesystem>

#include "saferclip/core/log.h"
#include "saferclip/evaluate/scores_json.h"

namespace saferclip {

// Returns one JSON object; loads no tensor. Throws DataError if `path` does not exist, WeightsError
// if it is nothing that saferclip reads.
OrderedJson describe_path(const std::filesystem::path& path, Logger& log);

}  // namespace saferclip
