// Reads and writes open_clip_config.json.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "saferclip/weights/folder_contents.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// Reads family, geometry and the handling of pictures and captions. Throws WeightsError naming file
// and key, and ConfigError when `options` contradict the file.
void read_open_clip_config(const nlohmann::json& json, const std::string& file,
                           const ModelOptions& options, WeightsSource& source);

// The text of the file. `notes` gets the points where open_clip will compute something else. Throws
// ConfigError when it cannot express the geometry.
std::string open_clip_config(const ModelRequest& request, std::vector<std::string>& notes);

}  // namespace saferclip
