// A model's activation, which shapes cannot show: from Hugging Face's word or the user's.
#pragma once

#include <string>

#include "saferclip/model/geometry.h"
#include "saferclip/model/model_options.h"

namespace saferclip {

// The activation for Hugging Face's word. Throws WeightsError, with the known words, for any other.
Activation activation_named(const std::string& word);

// `options.activation`; throws ConfigError with `reason` when it is auto.
Activation demanded_activation(const ModelOptions& options, const std::string& reason);

// Throws ConfigError when `options.activation` is set and contradicts `file`.
void require_same_activation(const ModelOptions& options, const std::string& said,
                             const std::string& file);

}  // namespace saferclip
