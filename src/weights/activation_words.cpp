// Names of activations. A wrong activation changes every embedding and shows in no shape, so none
// is guessed: the source or the user names it, and the two must agree. Weights that do not name one
// are refused, with the usual choices.
#include "weights/activation_words.h"

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {

Activation activation_named(const std::string& word) {
  if (const auto known = enum_from<Activation>(word)) return *known;
  throw WeightsError(cat(
      "\"", word, "\" is not supported; expected one of: ", join(words_of<Activation>(), ", ")));
}

Activation demanded_activation(const ModelOptions& options, const std::string& reason) {
  if (options.activation) return *options.activation;
  throw ConfigError(
      cat("model.activation: auto cannot determine the activation: ", reason,
          "; set model.activation to quick_gelu (OpenAI, MetaCLIP, DFN weights) or gelu "
          "(LAION, DataComp weights)"));
}

void require_same_activation(const ModelOptions& options, const std::string& said,
                             const std::string& file) {
  if (!options.activation || to_string(*options.activation) == said) return;
  throw ConfigError(cat("model.activation is ", *options.activation, ", but ", file, " says ", said,
                        "; set model.activation: auto"));
}

}  // namespace saferclip
