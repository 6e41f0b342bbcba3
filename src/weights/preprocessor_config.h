// preprocessor_config.json: a transformers image processor, read and written.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "saferclip/core/preprocessing.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

inline constexpr const char* kPreprocessorFile = "preprocessor_config.json";

// An image processor's settings as transformers 5 reads them (its PIL backend); WeightsError names
// the key that has no form here.
void read_preprocessor_config(const nlohmann::json& json, const std::string& file,
                              WeightsSource& source);

// The image processor of a Hugging Face folder: the one inside processor_config.json, else
// preprocessor_config.json, else the family's own with a note.
void read_folder_preprocessor(const std::filesystem::path& folder, WeightsSource& source);

// The text of the file. Throws ConfigError for what no image processor does.
std::string preprocessor_config(const Preprocessing& preprocessing, Family family);

}  // namespace saferclip
