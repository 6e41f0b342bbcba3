// The one list of objectives, their terms and preset weights, in the order of the objective's
// equation; the config checks, the loss set and the reports read it. A new term starts here
// (CONTRIBUTING.md lists the other places).
#include "saferclip/objective/objective_options.h"

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

// Terms and the preset's weights.
using Terms = std::vector<std::pair<std::string, double>>;

const std::map<std::string, Terms>& objective_terms() {
  static const std::map<std::string, Terms> kTerms{{"saferclip",
                                                    {{"cross_img", 1},
                                                     {"cross_txt", 1},
                                                     {"uni_img", 1},
                                                     {"uni_txt", 1},
                                                     {"pres_uni_img", 1},
                                                     {"pres_uni_txt", 1},
                                                     {"pres_cross_img", 1},
                                                     {"pres_cross_txt", 1},
                                                     {"mutual_txt", 0},
                                                     {"mutual_img", 0},
                                                     {"anchor_txt", 0},
                                                     {"anchor_img", 0},
                                                     {"pres_sim_txt", 0},
                                                     {"pres_sim_img", 0}}},
                                                   {"safe_clip",
                                                    {{"pres_uni_txt", 0.1},
                                                     {"redir_uni_txt", 0.1},
                                                     {"pres_uni_img", 0.1},
                                                     {"redir_uni_img", 0.2},
                                                     {"pres_cross_txt", 0.25},
                                                     {"redir_cross_txt", 0.25},
                                                     {"pres_cross_img", 0.25},
                                                     {"redir_cross_img", 0.5}}},
                                                   {"clip", {{"contrastive", 1}}},
                                                   {"siglip", {{"contrastive", 1}}}};
  return kTerms;
}

const Terms& terms_of(const std::string& objective) {
  const auto found = objective_terms().find(objective);
  if (found == objective_terms().end()) {
    throw ConfigError(cat("objective.name: unknown objective \"", objective,
                          "\"; expected one of: ", join(ObjectiveOptions::names(), ", ")));
  }
  return found->second;
}

}  // namespace

ObjectiveOptions ObjectiveOptions::preset(const std::string& name) {
  ObjectiveOptions options;
  options.name = name;
  for (const auto& [term, weight] : terms_of(name)) options.weights[term] = weight;
  if (name != "saferclip") {
    options.targets.mode = "fixed";
    options.curriculum.enabled = false;
  }
  if (name == "safe_clip") options.normalise = "by_sum_and_count";
  return options;
}

std::vector<std::string> ObjectiveOptions::names() {
  return {"saferclip", "safe_clip", "clip", "siglip"};
}

std::vector<std::string> ObjectiveOptions::term_names(const std::string& objective) {
  std::vector<std::string> names;
  for (const auto& [term, weight] : terms_of(objective)) names.push_back(term);
  return names;
}

}  // namespace saferclip
