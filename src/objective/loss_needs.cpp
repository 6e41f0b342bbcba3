// What an objective reads, by the terms whose weight is above 0.
#include "objective/loss_needs.h"

#include <set>
#include <vector>

#include "saferclip/objective/loss_set.h"

namespace saferclip {

double weight_of(const ObjectiveOptions& options, const std::string& term) {
  const auto found = options.weights.find(term);
  const double weight = found == options.weights.end() ? 0 : found->second;
  const bool is_image = term.ends_with("_img");
  if (term.starts_with("cross_")) {
    return options.cross.sides == Sides::kBoth || (options.cross.sides == Sides::kImage) == is_image
               ? weight
               : 0;
  }
  if (term.starts_with("uni_")) return options.uni.form == TermForm::kOff ? 0 : weight;
  if (term.starts_with("pres_uni_")) return options.pres_uni.form == TermForm::kOff ? 0 : weight;
  if (term.starts_with("pres_cross_"))
    return options.pres_cross.form == CrossPreservationForm::kOff ? 0 : weight;
  if (term.starts_with("pres_sim_"))
    return options.pres_sim.form == SimilarityForm::kOff ? 0 : weight;
  if (term.starts_with("entail_")) return weight * options.entailment_weight;
  return weight;
}

double divisor_of(const ObjectiveOptions& options) {
  if (options.normalise == Normalization::kNone) return 1;
  double divisor = 0;
  std::size_t count = 0;
  for (const std::string& name : ObjectiveOptions::term_names(options.name)) {
    divisor += weight_of(options, name);
    count += weight_of(options, name) > 0 ? 1U : 0U;
  }
  return options.normalise == Normalization::kBySumAndCount ? divisor * static_cast<double>(count)
                                                            : divisor;
}

bool uses_model_scale(const ObjectiveOptions& options) {
  return options.name == ObjectiveName::kClip || options.name == ObjectiveName::kSiglip;
}

bool uses_lorentz(const ObjectiveOptions& options) { return options.name == ObjectiveName::kHysac; }

bool needs_logit_bias(const ObjectiveOptions& options) {
  if (options.name == ObjectiveName::kSiglip) return true;
  return options.name == ObjectiveName::kSaferClip &&
         options.pres_cross.form == CrossPreservationForm::kSigmoid &&
         weight_of(options, "pres_cross_img") + weight_of(options, "pres_cross_txt") > 0;
}

std::vector<std::string> terms_with_unsafe_images(const ObjectiveOptions& options) {
  static const std::set<std::string> kTerms{"cross_img",
                                            "cross_txt",
                                            "uni_img",
                                            "mutual_txt",
                                            "mutual_img",
                                            "redir_uni_img",
                                            "redir_cross_img",
                                            "mix",
                                            "coh",
                                            "contrast_unsafe",
                                            "contrast_unsafe_image",
                                            "entail_unsafe"};
  std::vector<std::string> terms;
  for (const std::string& term : ObjectiveOptions::term_names(options.name)) {
    const bool is_joint = term == "pres_cet_img" && options.pres_cet.over == JointAnswer::kTarget;
    if ((is_joint || kTerms.contains(term)) && weight_of(options, term) > 0) terms.push_back(term);
  }
  return terms;
}

std::vector<std::string> terms_of_one_tower(const ObjectiveOptions& options, Sides side) {
  std::vector<std::string> terms;
  for (const std::string& term : ObjectiveOptions::term_names(options.name)) {
    const bool has_both = term.starts_with("mutual_") || term == "contrastive";
    if (!has_both && weight_of(options, term) > 0 &&
        term.ends_with(side == Sides::kText ? "_txt" : "_img")) {
      terms.push_back(term);
    }
  }
  return terms;
}

RowNeeds loss_needs(const ObjectiveOptions& options) {
  RowNeeds needs;
  if (uses_model_scale(options)) return needs;
  needs.unsafe = true;
  if (uses_lorentz(options)) return needs;
  needs.reference = needs.targets = true;
  needs.labels = options.name == ObjectiveName::kShieldClip;
  needs.reference_unsafe_image =
      weight_of(options, "cross_txt") + weight_of(options, "safe") + weight_of(options, "mix") > 0;
  needs.anchor_text = weight_of(options, "anchor_txt") > 0;
  needs.anchor_image = weight_of(options, "anchor_img") > 0;
  return needs;
}

}  // namespace saferclip
