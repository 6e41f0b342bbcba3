// What open_clip_config.json says besides the sizes of the towers. Problems are WeightsErrors that
// name file and key.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "saferclip/text/tokenizer.h"
#include "saferclip/weights/weights.h"

namespace saferclip {

// Throws WeightsError that lists every setting of `model_cfg` that makes it no model of `family`.
void require_supported(const nlohmann::json& model, const std::string& file, Family family);

// `preprocess_cfg`, as open_clip's image_transform takes it.
void read_open_clip_preprocessing(const nlohmann::json& json, const std::string& file,
                                  WeightsSource& source);
// `notes` gets what open_clip has no setting for.
nlohmann::ordered_json open_clip_preprocessing(const Preprocessing& preprocessing,
                                               std::vector<std::string>& notes);

// The settings of the tokenizer in `text_cfg`.
void read_open_clip_tokenizer(const nlohmann::json& text, const std::string& file,
                              WeightsSource& source);
void write_open_clip_tokenizer(const Tokenizer& tokenizer, nlohmann::ordered_json& text);

}  // namespace saferclip
