// What a file or folder is: weights, adapter, cache, checkpoint, run or architecture.
#pragma once

#include <filesystem>

#include "saferclip/core/log.h"
#include "saferclip/evaluate/scores_json.h"

namespace saferclip {

// One object; no tensor is loaded. Throws DataError when nothing is at `path`, WeightsError when it
// is nothing that saferclip reads.
OrderedJson describe_path(const std::filesystem::path& path, Logger& log);

}  // namespace saferclip
