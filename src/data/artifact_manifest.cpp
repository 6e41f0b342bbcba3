// An artifact's manifest is written atomically and last, so one that is there vouches for finished
// data. The folder's name holds only the first 16 digits of the key; the manifest holds all of them
// for comparison.
#include "saferclip/data/artifact_manifest.h"

#include <nlohmann/json.hpp>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;

fs::path artifact_folder(const fs::path& cache_dir, const std::string& kind,
                         const std::string& key) {
  return cache_dir / (kind + "-" + key.substr(0, 16));
}

void write_artifact_manifest(const fs::path& folder, const ArtifactManifest& manifest) {
  const nlohmann::ordered_json json{{"format", "saferclip cache"},   {"kind", manifest.kind},
                                    {"key", manifest.key},           {"inputs", manifest.inputs},
                                    {"file", manifest.file_name},    {"size", manifest.file_size},
                                    {"sha256", manifest.file_sha256}};
  write_file_atomically(folder / "manifest.json", json.dump(2) + "\n");
}

ArtifactManifest read_artifact_manifest(const fs::path& folder) {
  const fs::path file = folder / "manifest.json";
  try {
    const auto json = nlohmann::json::parse(read_file(file));
    return {json.at("kind").get<std::string>(),
            json.at("key").get<std::string>(),
            json.at("inputs").get<std::map<std::string, std::string>>(),
            json.at("file").get<std::string>(),
            json.at("size").get<std::uint64_t>(),
            json.at("sha256").get<std::string>()};
  } catch (const nlohmann::json::exception& problem) {
    throw DataError(cat(file.string(), ": malformed: ", problem.what()));
  }
}

}  // namespace saferclip
