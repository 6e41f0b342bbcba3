// Reads and writes preprocessor_config.json, a transformers image processor.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "saferclip/core/preprocessing.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

inline constexpr const char* kPreprocessorFile = "preprocessor_config.json";

// Reads an image processor's settings as transformers 5 does (its PIL backend). Throws WeightsError
// naming a key that is not supported.
void read_preprocessor_config(const nlohmann::json& json, const std::string& file,
                              WeightsSource& source);

// Reads the image processor of a Hugging Face folder: from processor_config.json, else from
// preprocessor_config.json, else the family's default with a note.
void read_folder_preprocessor(const std::filesystem::path& folder, WeightsSource& source);

// The text of the file. Throws ConfigError for preprocessing that no image processor can express.
std::string preprocessor_config(const Preprocessing& preprocessing, Family family);

}  // namespace saferclip
