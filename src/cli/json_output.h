// The JSON documents of --json, where several commands print the same.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>

#include "saferclip/run/run_list.h"

namespace saferclip {

// Bytes that are not UTF-8, as file names may have, are replaced.
void print_json(const nlohmann::ordered_json& document);

nlohmann::ordered_json run_json(const RunSummary& run);

// The files below a folder: path from there, bytes and sha256, ordered by path.
nlohmann::ordered_json files_json(const std::filesystem::path& folder);

}  // namespace saferclip
