// Reads JSON configurations, with errors that name file and field.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace saferclip {

// Parses a JSON file that holds an object and passes it to `read`. Throws WeightsError naming the
// file, also when a value has another type than `read` expects.
void read_json_file(const std::filesystem::path& file,
                    const std::function<void(const nlohmann::json&)>& read);

// An integer from 0 to 2^31 in a configuration; `fallback` when it is absent or null.
std::int64_t json_integer(const nlohmann::json& json, const std::string& key, std::int64_t fallback,
                          const std::string& file);

}  // namespace saferclip
