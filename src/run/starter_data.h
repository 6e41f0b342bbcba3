// What `init` finds in a manifest or in folders of images.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace saferclip {

struct DataRequest {
  std::string option;  // "--data", for messages
  std::filesystem::path path;
  std::filesystem::path unsafe;  // empty: none, or path/unsafe beside path/safe
  std::filesystem::path config;  // the manifest of a folder is written beside it
  std::string split;
  bool may_overwrite = false;
};

struct StarterData {
  std::filesystem::path manifest;
  std::string manifest_text;         // still to be written; empty: the manifest exists
  std::filesystem::path image_root;  // empty: the manifest's folder
  std::int64_t rows = 0;
  std::int64_t rows_read = 0;
  std::int64_t bad_rows = 0;
  bool has_unsafe = false;
  std::vector<std::string> seen;  // lines for the user
  std::string comment;            // for the configuration
};

// Writes nothing. Throws ConfigError and DataError.
StarterData look_at_data(const DataRequest& request);

}  // namespace saferclip
