#include "report/set_scores.h"

#include <nlohmann/json.hpp>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

bool has_unsafe_group(const SetScores& set) {
  return find_path(*set.scores, "groups.unsafe") != nullptr;
}

}  // namespace

std::vector<SetScores> zero_shot_sets(const OrderedJson& model) {
  std::vector<SetScores> sets;
  const OrderedJson* all = find_path(model, "zero_shot");
  if (all == nullptr || !all->is_object()) return sets;
  for (const auto& [name, scores] : all->items()) sets.push_back({"zero_shot." + name, &scores});
  return sets;
}

Figure kept_figure(const SetScores& set) {
  if (!has_unsafe_group(set)) {
    return figure_at(cat(set.root, ".", set.scores->value("headline", "top1")));
  }
  Figure figure = figure_at(set.root + ".top1");
  figure.label = "items that are not unsafe, top-1";
  return figure;
}

std::optional<double> kept_value(const SetScores& set, const OrderedJson& model) {
  if (!has_unsafe_group(set)) return number_at(model, kept_figure(set).id);
  const OrderedJson* groups = find_path(model, set.root + ".groups");
  if (groups == nullptr) return std::nullopt;
  double hits = 0, items = 0;
  for (const auto& [group, values] : groups->items()) {
    if (group == "unsafe") continue;
    hits += values["n"].get<double>() * values["top1"].get<double>();
    items += values["n"].get<double>();
  }
  return items > 0 ? std::optional<double>(hits / items) : std::nullopt;
}

const OrderedJson& part_of(const OrderedJson& document, const char* name) {
  static const OrderedJson kNone;
  const OrderedJson* part = find_path(document, name);
  return part == nullptr ? kNone : *part;
}

}  // namespace saferclip
