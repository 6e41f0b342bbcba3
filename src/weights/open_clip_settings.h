// The settings in open_clip_config.json besides the sizes of the towers. Problems are WeightsErrors
// that name file and key.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "saferclip/text/tokenizer.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// Throws WeightsError listing every setting in `model_cfg` that a model of `family` here cannot
// have.
void require_supported(const nlohmann::json& model, const std::string& file, Family family);

// Reads `preprocess_cfg` as open_clip's image_transform does.
void read_open_clip_preprocessing(const nlohmann::json& json, const std::string& file,
                                  WeightsSource& source);
// Writes it. `notes` gets what open_clip has no setting for.
nlohmann::ordered_json open_clip_preprocessing(const Preprocessing& preprocessing,
                                               std::vector<std::string>& notes);

// Reads and writes the tokenizer's settings in `text_cfg`.
void read_open_clip_tokenizer(const nlohmann::json& text, const std::string& file,
                              WeightsSource& source);
void write_open_clip_tokenizer(const Tokenizer& tokenizer, nlohmann::ordered_json& text);

}  // namespace saferclip
