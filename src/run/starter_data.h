// What `init` finds in a manifest, in shards or in folders of images.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/run/captioned_folder.h"

namespace saferclip {

struct DataRequest {
  std::string option;  // "--data", for messages
  std::filesystem::path path;
  std::filesystem::path unsafe;  // empty: none, or path/unsafe beside path/safe
  std::filesystem::path config;  // the manifest of a folder is written beside it
  std::string split;
  bool may_overwrite = false;
  PairBy pair_by = PairBy::kName;  // of two folders
};

struct StarterData {
  std::filesystem::path manifest;
  ImagePairs images;                    // of a folder, whose manifest is still to be written
  std::filesystem::path common_folder;  // the deepest one with all those images
  std::int64_t rows = 0;
  std::int64_t rows_read = 0;
  std::int64_t bad_rows = 0;
  bool has_unsafe = false;
  std::vector<std::string> seen;      // lines for the user
  std::vector<std::string> warnings;  // what the user should act on
  std::string comment;                // for the configuration
};

// Writes nothing. Throws ConfigError and DataError.
StarterData look_at_data(const DataRequest& request);

// The folder that image paths of all manifests start from (data.image_root), which there is one of:
// for a manifest of the user's, each manifest's own folder, which is empty here. Throws ConfigError
// if none serves all: a folder of images outside of the configuration's folder beside such a
// manifest. Null: not given.
std::filesystem::path shared_image_root(const StarterData* train, const StarterData* validation,
                                        const std::filesystem::path& config);

}  // namespace saferclip
