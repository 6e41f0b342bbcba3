// Configurations in JSON: files and fields, with errors that name them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace saferclip {

// Parses a JSON file that holds an object and hands it to `read`; WeightsError names the file, also
// when a value in it turns out to have another type than `read` expects.
void read_json_file(const std::filesystem::path& file,
                    const std::function<void(const nlohmann::json&)>& read);

// A whole number of a configuration, 0 to 2^31; `fallback` where it is left out or null.
std::int64_t json_integer(const nlohmann::json& json, const std::string& key, std::int64_t fallback,
                          const std::string& file);

}  // namespace saferclip
