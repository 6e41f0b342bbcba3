// Reads and writes config.json. Problems are WeightsErrors that name file and key.
#pragma once

#include <ATen/core/Tensor.h>

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "saferclip/weights/folder_contents.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// Reads geometry, the family's preprocessing and token ids.
void read_hugging_face_config(const nlohmann::json& json, const std::string& file,
                              const ModelOptions& options, WeightsSource& source);

// Reads an architecture file: a config.json that may hold an image processor under `preprocessing`.
void read_architecture(const nlohmann::json& json, const std::string& file,
                       const ModelOptions& options, WeightsSource& source);

// The text of config.json; for one tower alone, its part.
std::string hugging_face_config(const WeightsSource& source, at::ScalarType dtype, Towers tower);

}  // namespace saferclip
