// manifest.json of a cache artifact: its kind, its inputs, and the size and checksum that show it
// is intact.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

namespace saferclip {

struct ArtifactManifest {
  std::string kind;  // images, tokens, reference, targets, anchors
  std::string key;
  std::map<std::string, std::string> inputs;
  std::string file_name;
  std::uint64_t file_size = 0;
  std::string file_sha256;
};

// <cache_dir>/<kind>-<first 16 digits of the key>
std::filesystem::path artifact_folder(const std::filesystem::path& cache_dir,
                                      const std::string& kind, const std::string& key);
void write_artifact_manifest(const std::filesystem::path& folder, const ArtifactManifest& manifest);
// Throws DataError when it is missing or malformed.
ArtifactManifest read_artifact_manifest(const std::filesystem::path& folder);

}  // namespace saferclip
