// open_clip_config.json, read and written.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "saferclip/weights/folder_contents.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// Family, geometry, pictures and captions. Throws WeightsError that names file and key, ConfigError
// when `options` say otherwise.
void read_open_clip_config(const nlohmann::json& json, const std::string& file,
                           const ModelOptions& options, WeightsSource& source);

// The text of the file. `notes` gets what open_clip will compute otherwise. Throws ConfigError when
// it cannot express the geometry.
std::string open_clip_config(const ModelRequest& request, std::vector<std::string>& notes);

}  // namespace saferclip
