// Zero-shot sets in a model's scores, and the figure of each that tuning should not change.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "saferclip/eval/figures.h"

namespace saferclip {

struct SetScores {
  std::string root;  // "zero_shot.food101"
  const OrderedJson* scores = nullptr;
};

std::vector<SetScores> zero_shot_sets(const OrderedJson& model);

// A zero-shot set's figure for the classes that should be preserved: its headline or, if it has an
// unsafe group, top-1 over the other groups, which the document does not contain.
Figure kept_figure(const SetScores& set);
std::optional<double> kept_value(const SetScores& set, const OrderedJson& model);

// "before", "after" or "change" of a document; null if it has none.
const OrderedJson& part_of(const OrderedJson& document, const char* name);

}  // namespace saferclip
