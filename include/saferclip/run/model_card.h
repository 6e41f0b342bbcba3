// Renders README.md, the model card of an export.
#pragma once

#include <string>

#include "saferclip/run/session.h"

namespace saferclip {

// The source and form of an export. `checkpoint` is empty for weights that were only converted.
struct CardFacts {
  std::filesystem::path checkpoint;
  std::int64_t step = 0;
  std::optional<WeightsLayout> layout;  // none: an adapter for PEFT
  std::string dtype;
  Towers tower = Towers::kBoth;
  double strength = 1;
};

// Markdown with a Hugging Face header: how to load the export, what it was made from (base hash,
// configuration), the metrics of its step if the run measured them, and whose license applies.
std::string model_card(const Session& session, const CardFacts& facts);

}  // namespace saferclip
