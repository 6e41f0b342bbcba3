// Where a split's rows come from.
#pragma once

#include <filesystem>
#include <string>

#include "saferclip/data/data_options.h"
#include "saferclip/data/manifest.h"

namespace saferclip {

struct SplitSource {
  std::string name;  // fills {split}
  std::filesystem::path file;
  std::filesystem::path image_root;
  std::string unsafe_image_template;
};

// The source of "train", "validation" or a name in data.evaluation. Throws ConfigError, which lists
// the existing ones, for any other name.
SplitSource split_source(const DataOptions& data, const std::string& split);

// When the unsafe half of a split is read.
enum class UnsafeHalf { kNone, kRequired, kIfAnyRowHasOne };

ManifestRequest manifest_request(const DataOptions& data, const SplitSource& source,
                                 UnsafeHalf unsafe);

}  // namespace saferclip
