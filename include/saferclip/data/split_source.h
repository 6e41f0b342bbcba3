// Where the rows of a split come from.
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

// Of "train", "validation" or a name of data.evaluation. ConfigError, which names those there are,
// otherwise.
SplitSource split_source(const DataOptions& data, const std::string& split);

// Whether the unsafe half of a split is read.
enum class UnsafeHalf { kNone, kRequired, kIfAnyRowHasOne };

ManifestRequest manifest_request(const DataOptions& data, const SplitSource& source,
                                 UnsafeHalf unsafe);

}  // namespace saferclip
