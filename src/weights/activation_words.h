// The activation of a model, which no shape tells: by Hugging Face's word, or by the user's.
#pragma once

#include <string>

#include "saferclip/model/geometry.h"
#include "saferclip/model/model_options.h"

namespace saferclip {

// By Hugging Face's word; WeightsError (the word and what is known) for another one.
Activation activation_named(const std::string& word);

// `options.activation` when it is written; ConfigError with `reason` when it is auto.
Activation demanded_activation(const ModelOptions& options, const std::string& reason);

// Throws ConfigError when `options.activation` is written and is not what `file` says.
void require_same_activation(const ModelOptions& options, const std::string& said,
                             const std::string& file);

}  // namespace saferclip
