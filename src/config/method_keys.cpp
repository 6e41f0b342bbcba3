// A closed form takes no steps, so most keys of training mean nothing to it, and each form reads
// keys of its own; so do masks, which have no factors. A key that was given another value than its
// default and that nothing reads is a misunderstanding; a run's own configuration, which writes all
// values out, is none.
#include <algorithm>
#include <map>
#include <string_view>

#include "config/checks.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::string_view kStepKeys[] = {"objective.",      "optimizer.",         "schedule.",
                                          "train.",          "checkpoint.",        "adapter.alpha",
                                          "adapter.dropout", "adapter.targets",    "data.augment",
                                          "log.every_steps", "adapter.start_from", "model.train_"};
// Of them, those that a closed form reads too.
constexpr std::string_view kSharedKeys[] = {"objective.targets.", "train.deterministic",
                                            "checkpoint.best_metric"};

bool starts_with_any(const std::string& key, const auto& prefixes) {
  return std::any_of(std::begin(prefixes), std::end(prefixes),
                     [&](std::string_view prefix) { return key.starts_with(prefix); });
}

// What only masks read, and what they do not.
constexpr std::string_view kMaskKeys[] = {"adapter.init", "adapter.threshold", "adapter.off_value",
                                          "adapter.norm_weight", "adapter.gradient_dropout."};
constexpr std::string_view kFactorKeys[] = {"adapter.rank", "adapter.alpha", "adapter.dropout",
                                            "adapter.start_from"};

const std::map<std::string, ClosedForm>& keys_of_forms() {
  static const std::map<std::string, ClosedForm> keys{{"adapter.strength", ClosedForm::kProject},
                                                      {"adapter.weight", ClosedForm::kRidge},
                                                      {"adapter.ridge", ClosedForm::kRidge},
                                                      {"adapter.flip_fraction", ClosedForm::kUwm}};
  return keys;
}

// Why nothing reads the key; empty when something does.
std::string no_meaning(const std::string& key, const AdapterOptions& adapter) {
  const auto form = keys_of_forms().find(key);
  const bool is_mask = adapter.method == AdapterMethod::kMask;
  if (!is_mask && starts_with_any(key, kMaskKeys)) {
    return "only adapter.method: mask reads it; leave it out";
  }
  if (is_mask && starts_with_any(key, kFactorKeys)) {
    return "has no meaning with adapter.method: mask, which has scores and no factors; leave it "
           "out, or write null if a file that this one extends sets it";
  }
  if (adapter.method != AdapterMethod::kClosedForm) {
    return form != keys_of_forms().end() || key == "adapter.form"
               ? "only adapter.method: closed_form reads it; leave it out"
               : "";
  }
  if (form != keys_of_forms().end() && form->second != adapter.form) {
    return cat("only adapter.form: ", form->second, " reads it, not ", adapter.form,
               "; leave it out");
  }
  if (key == "adapter.rank" && adapter.form != ClosedForm::kProject) {
    return cat("of the closed forms only project reads it, not ", adapter.form, "; leave it out");
  }
  return starts_with_any(key, kStepKeys) && !starts_with_any(key, kSharedKeys)
             ? "has no meaning with adapter.method: closed_form, which takes no steps; leave it "
               "out, "
               "or write null if a file that this one extends sets it"
             : "";
}

}  // namespace

void check_method_keys(const RunConfig& config, const ConfigNode& tree,
                       std::vector<std::string>& problems) {
  RunConfig defaults;
  defaults.objective = ObjectiveOptions::preset(config.objective.name);
  defaults.adapter = AdapterOptions::preset(config.adapter.method);
  if (config.adapter.method == AdapterMethod::kClosedForm) {
    defaults.objective.name = ObjectiveOptions().name;
  }
  for (const std::string& key : changed_keys(config, defaults)) {
    const std::string reason = no_meaning(key, config.adapter);
    if (!reason.empty()) problems.push_back(cat(place_of(tree, key), ": ", key, ": ", reason));
  }
}

}  // namespace saferclip
