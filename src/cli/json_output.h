// The JSON documents of --json, where several commands print the same.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>

#include "saferclip/core/error.h"
#include "saferclip/run/run_list.h"

namespace saferclip {

// Bytes that are not UTF-8, as file names may have, are replaced.
void print_json(const nlohmann::ordered_json& document);

// How a command ended: `code`, `reason` (finished, stopped, out_of_time, failed), `message`.
// `failure` is null if it finished.
nlohmann::ordered_json exit_json(const Error* failure);

// Runs a command that fills a document, and prints the document with `exit`, if `run` throws too.
// What it throws is passed on.
void print_document_of(const std::function<void(nlohmann::ordered_json& document)>& run);

nlohmann::ordered_json run_json(const RunSummary& run);

// The files below a folder: path from there, bytes and sha256, ordered by path.
nlohmann::ordered_json files_json(const std::filesystem::path& folder);

}  // namespace saferclip
