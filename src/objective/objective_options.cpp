// The one list of objectives, their terms and preset weights, in the order of the objective's
// equation; the config checks, the loss set and the reports read it. A new term starts here
// (CONTRIBUTING.md lists the other places).
#include "saferclip/objective/objective_options.h"

namespace saferclip {
namespace {

// Terms and the preset's weights.
using Terms = std::vector<std::pair<std::string, double>>;

const Terms& terms_of(ObjectiveName objective) {
  static const std::map<ObjectiveName, Terms> kTerms{
      {ObjectiveName::kSaferClip,
       {{"cross_img", 1},       {"cross_txt", 1},      {"uni_img", 1},
        {"uni_txt", 1},         {"pres_uni_img", 1},   {"pres_uni_txt", 1},
        {"pres_cross_img", 1},  {"pres_cross_txt", 1}, {"mutual_txt", 0},
        {"mutual_img", 0},      {"anchor_txt", 0},     {"anchor_img", 0},
        {"pres_sim_txt", 0},    {"pres_sim_img", 0},   {"pres_spread_txt", 0},
        {"pres_spread_img", 0}, {"pres_local_txt", 0}, {"pres_local_img", 0},
        {"pres_cet_txt", 0},    {"pres_cet_img", 0}}},
      {ObjectiveName::kSafeClip,
       {{"pres_uni_txt", 0.1},
        {"redir_uni_txt", 0.1},
        {"pres_uni_img", 0.1},
        {"redir_uni_img", 0.2},
        {"pres_cross_txt", 0.25},
        {"redir_cross_txt", 0.25},
        {"pres_cross_img", 0.25},
        {"redir_cross_img", 0.5},
        {"pres_spread_txt", 0},
        {"pres_spread_img", 0},
        {"pres_local_txt", 0},
        {"pres_local_img", 0},
        {"pres_cet_txt", 0},
        {"pres_cet_img", 0}}},
      {ObjectiveName::kShieldClip,
       {{"real", 0.1},
        {"safe", 0.1},
        {"redir", 0.1},
        {"mix", 0.25},
        {"coh", 0.25},
        {"pres_spread_txt", 0},
        {"pres_spread_img", 0},
        {"pres_local_txt", 0},
        {"pres_local_img", 0},
        {"pres_cet_txt", 0},
        {"pres_cet_img", 0}}},
      {ObjectiveName::kClip, {{"contrastive", 1}}},
      {ObjectiveName::kSiglip, {{"contrastive", 1}}},
      {ObjectiveName::kHysac,
       {{"contrast_safe", 1},
        {"contrast_unsafe", 1},
        {"contrast_unsafe_image", 1},
        {"contrast_unsafe_text", 1},
        {"entail_safe", 1},
        {"entail_unsafe", 1},
        {"entail_cross", 1}}}};
  return kTerms.at(objective);
}

}  // namespace

ObjectiveOptions ObjectiveOptions::preset(ObjectiveName name) {
  ObjectiveOptions options;
  options.name = name;
  for (const auto& [term, weight] : terms_of(name)) options.weights[term] = weight;
  if (name != ObjectiveName::kSaferClip) {
    options.targets.mode = TargetMode::kFixed;
    options.curriculum.enabled = false;
  }
  if (name == ObjectiveName::kSafeClip || name == ObjectiveName::kHysac)
    options.normalise = Normalization::kBySumAndCount;
  return options;
}

std::vector<std::string> ObjectiveOptions::term_names(ObjectiveName name) {
  std::vector<std::string> names;
  for (const auto& [term, weight] : terms_of(name)) names.push_back(term);
  return names;
}

}  // namespace saferclip
