// One add() per term, in the order of the objective's equation; a term's value is computed only if
// its weight is above 0. Every mean divides by a count of the whole batch (LossCounts), so
// accumulated micro-batches give the gradient of the batch; only InfoNCE terms differ, whose
// negatives come from the micro-batch. Masks are multiplied in instead of selecting rows: a
// selection would have to wait for the GPU to know how many rows are left.
#include "saferclip/objective/loss_set.h"

#include <ATen/ATen.h>

#include <functional>
#include <set>

#include "objective/hysac_terms.h"
#include "saferclip/core/error.h"
#include "saferclip/objective/losses.h"

namespace saferclip {
namespace {

// The weight that counts: 0 for terms switched off by a form or by cross.sides.
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

class LossSet {
 public:
  LossSet(const ObjectiveOptions& options, const LossInputs& inputs, const LossCounts& counts)
      : options_(options), in_(inputs), counts_(counts) {
    const at::Tensor& like = in_.tuned.safe_text;
    const at::Tensor redirected = in_.is_redirected.defined()
                                      ? in_.is_redirected.to(like.dtype())
                                      : at::ones({like.size(0)}, like.options());
    redirected_ = redirected;
    redirected_with_image_ = in_.has_unsafe_image.defined()
                                 ? redirected * in_.has_unsafe_image.to(like.dtype())
                                 : redirected;
    // Rows without an unsafe picture are replaced, not masked: 0 · NaN would be NaN.
    if (in_.has_unsafe_image.defined() && in_.tuned.unsafe_image.defined()) {
      const at::Tensor has_image = in_.has_unsafe_image.ne(0).unsqueeze(1);
      unsafe_image_ =
          at::where(has_image, in_.tuned.unsafe_image, at::ones_like(in_.tuned.unsafe_image));
      if (in_.reference.unsafe_image.defined()) {
        reference_unsafe_image_ = at::where(has_image, in_.reference.unsafe_image,
                                            at::ones_like(in_.reference.unsafe_image));
      }
    } else {
      unsafe_image_ = in_.tuned.unsafe_image;
      reference_unsafe_image_ = in_.reference.unsafe_image;
    }
  }

  LossResult compute() {
    if (uses_model_scale(options_)) {
      const EmbeddingRows& t = in_.tuned;
      add("contrastive", [&] {
        return options_.name == ObjectiveName::kSiglip ? sigmoid(t.safe_image, t.safe_text)
                                                       : contrastive(t.safe_text, t.safe_image);
      });
    } else if (uses_lorentz(options_)) {
      add_hysac();
    } else if (options_.name == ObjectiveName::kSafeClip) {
      add_safe_clip();
    } else {
      add_redirection();
      add_preservation();
      add_mutual();
      add_anchors();
    }
    return total();
  }

 private:
  // Σ mask · rows / count; 0 if no row of the batch counts.
  static at::Tensor masked_mean(const at::Tensor& rows, const at::Tensor& mask, double count) {
    return (rows * mask).sum() / std::max(count, 1.0);
  }
  at::Tensor text_mean(const at::Tensor& rows) const {
    return masked_mean(rows, redirected_, counts_.redirected_rows);
  }
  at::Tensor image_mean(const at::Tensor& rows) const {
    return masked_mean(rows, redirected_with_image_, counts_.redirected_rows_with_unsafe_image);
  }
  at::Tensor mean(const at::Tensor& rows) const { return rows.sum() / counts_.rows; }
  at::Tensor contrastive(const at::Tensor& a, const at::Tensor& b) const {
    return mean(symmetric_infonce(a, b, in_.logit_scale));
  }
  at::Tensor sigmoid(const at::Tensor& a, const at::Tensor& b) const {
    return mean(sigmoid_contrast(a, b, in_.logit_scale, in_.logit_bias));
  }

  void add(const std::string& name, const std::function<at::Tensor()>& value) {
    const double weight = weight_of(options_, name);
    if (weight > 0) result_.terms.push_back({name, value(), weight});
  }

  // L_cross and L_uni of SaFeR-CLIP (arXiv 2511.16743) with the nearest safe target.
  void add_redirection() {
    const double k = options_.cross.scale;
    const double m = options_.cross.margin;
    add("cross_img", [&] {
      return image_mean(
          relative_redirection(unsafe_image_, in_.reference.unsafe_text, in_.target_text, k, m));
    });
    add("cross_txt", [&] {
      return image_mean(relative_redirection(in_.tuned.unsafe_text, reference_unsafe_image_,
                                             in_.target_image, k, m));
    });
    add("uni_img", [&] { return image_mean(cosine_distance(unsafe_image_, in_.target_image)); });
    add("uni_txt",
        [&] { return text_mean(cosine_distance(in_.tuned.unsafe_text, in_.target_text)); });
  }

  // The eight terms of Safe-CLIP (arXiv 2311.16254) in the order of its λ. They pull the unsafe
  // half to the row's own safe partner; the preset's fixed targets are these partners.
  void add_safe_clip() {
    const EmbeddingRows& t = in_.tuned;
    const EmbeddingRows& r = in_.reference;
    add("pres_uni_txt", [&] { return mean(cosine_distance(t.safe_text, r.safe_text)); });
    add("redir_uni_txt",
        [&] { return text_mean(cosine_distance(t.unsafe_text, in_.target_text)); });
    add("pres_uni_img", [&] { return mean(cosine_distance(t.safe_image, r.safe_image)); });
    add("redir_uni_img",
        [&] { return image_mean(cosine_distance(unsafe_image_, in_.target_image)); });
    add("pres_cross_txt", [&] { return contrastive(t.safe_text, r.safe_image); });
    add("redir_cross_txt", [&] {
      return text_mean(
          symmetric_infonce(t.unsafe_text, in_.target_image, in_.logit_scale, redirected_));
    });
    add("pres_cross_img", [&] { return contrastive(r.safe_text, t.safe_image); });
    add("redir_cross_img", [&] {
      return image_mean(symmetric_infonce(in_.target_text, unsafe_image_, in_.logit_scale,
                                          redirected_with_image_));
    });
  }

  void add_hysac() {
    const at::Tensor& like = in_.tuned.safe_text;
    HysacRows rows{in_.tuned,
                   in_.lorentz,
                   redirected_,
                   redirected_with_image_,
                   counts_.rows,
                   counts_.redirected_rows,
                   counts_.redirected_rows_with_unsafe_image};
    rows.tuned.unsafe_image = unsafe_image_;
    const HysacTerms terms(rows);
    for (const std::string& name : ObjectiveOptions::term_names(options_.name))
      add(name, [&] { return terms.value(name).to(like.dtype()); });
  }

  void add_preservation() {
    add("pres_uni_img",
        [&] { return mean(cosine_distance(in_.tuned.safe_image, in_.reference.safe_image)); });
    add("pres_uni_txt",
        [&] { return mean(cosine_distance(in_.tuned.safe_text, in_.reference.safe_text)); });
    const auto cross = [&](const at::Tensor& tuned, const at::Tensor& reference) {
      if (options_.pres_cross.form == CrossPreservationForm::kCosine)
        return mean(cosine_distance(tuned, reference));
      return options_.pres_cross.form == CrossPreservationForm::kSigmoid
                 ? sigmoid(tuned, reference)
                 : contrastive(tuned, reference);
    };
    add("pres_cross_img", [&] { return cross(in_.tuned.safe_image, in_.reference.safe_text); });
    add("pres_cross_txt", [&] { return cross(in_.tuned.safe_text, in_.reference.safe_image); });
    const SimilarityOptions& o = options_.pres_sim;
    const auto similarity = [&](const at::Tensor& tuned, const at::Tensor& reference) {
      return mean(o.form == SimilarityForm::kNeighbours
                      ? similarity_to_neighbours(tuned, reference, o.neighbours)
                      : similarity_distribution(tuned, reference, o.scale));
    };
    add("pres_sim_txt", [&] { return similarity(in_.tuned.safe_text, in_.reference.safe_text); });
    add("pres_sim_img", [&] { return similarity(in_.tuned.safe_image, in_.reference.safe_image); });
  }

  // Both arguments tuned: unsafe caption and picture must not match each other better than a
  // target.
  void add_mutual() {
    const double k = options_.mutual_scale;
    const auto mutual = [&](const at::Tensor& query, const at::Tensor& negative,
                            const at::Tensor& positive) {
      return image_mean(
          options_.mutual_negatives == MutualNegatives::kBatch
              ? relative_redirection_from_all(query, negative, positive, k, redirected_with_image_)
              : relative_redirection(query, negative, positive, k, 0));
    };
    add("mutual_txt",
        [&] { return mutual(in_.tuned.unsafe_text, unsafe_image_, in_.target_image); });
    add("mutual_img",
        [&] { return mutual(unsafe_image_, in_.tuned.unsafe_text, in_.target_text); });
  }

  void add_anchors() {
    const auto anchor = [](const at::Tensor& tuned, const at::Tensor& reference, double count) {
      return cosine_distance(tuned, reference).sum() / std::max(count, 1.0);
    };
    if (in_.anchor_text.defined()) {
      add("anchor_txt",
          [&] { return anchor(in_.anchor_text, in_.reference_anchor_text, counts_.anchors_text); });
    }
    if (in_.anchor_image.defined()) {
      add("anchor_img", [&] {
        return anchor(in_.anchor_image, in_.reference_anchor_image, counts_.anchors_image);
      });
    }
  }

  LossResult total() {
    double divisor = 1;
    if (options_.normalise != Normalization::kNone) {
      divisor = 0;
      std::size_t count = 0;
      for (const std::string& name : ObjectiveOptions::term_names(options_.name)) {
        divisor += weight_of(options_, name);
        count += weight_of(options_, name) > 0 ? 1U : 0U;
      }
      if (options_.normalise == Normalization::kBySumAndCount)
        divisor *= static_cast<double>(count);
    }
    for (const LossTerm& term : result_.terms) {
      const double weight = term.weight / divisor;
      const at::Tensor weighted = weight == 1 ? term.value : term.value * weight;
      result_.total = result_.total.defined() ? result_.total + weighted : weighted;
    }
    if (!result_.total.defined())
      throw ConfigError("objective.weights: no term has a weight above 0");
    return std::move(result_);
  }

  const ObjectiveOptions& options_;
  const LossInputs& in_;
  const LossCounts& counts_;
  at::Tensor redirected_;             // [B], 0 or 1: rows in the redirection terms
  at::Tensor redirected_with_image_;  // … that have an unsafe picture
  at::Tensor unsafe_image_;
  at::Tensor reference_unsafe_image_;
  LossResult result_;
};

}  // namespace

LossResult compute_losses(const ObjectiveOptions& options, const LossInputs& inputs,
                          const LossCounts& counts) {
  return LossSet(options, inputs, counts).compute();
}

LossInputs make_loss_inputs(const ObjectiveOptions& options, const LossConstants& constants,
                            const EmbeddingRows& tuned, const LogitScales& scales) {
  LossInputs inputs;
  static_cast<LossConstants&>(inputs) = constants;
  inputs.tuned = tuned;
  const auto scalar = [&](double value) { return at::full({}, value, tuned.safe_text.options()); };
  const bool is_own = uses_model_scale(options);
  inputs.logit_scale = is_own ? scales.model_logit_scale.exp() : scalar(scales.reference_scale);
  inputs.logit_bias = is_own ? scales.model_logit_bias : scalar(scales.reference_bias);
  inputs.lorentz = scales.lorentz;
  return inputs;
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
  static const std::set<std::string> kTerms{
      "cross_img",       "cross_txt",       "uni_img",
      "mutual_txt",      "mutual_img",      "redir_uni_img",
      "redir_cross_img", "contrast_unsafe", "contrast_unsafe_image",
      "entail_unsafe"};
  std::vector<std::string> terms;
  for (const std::string& term : ObjectiveOptions::term_names(options.name)) {
    if (kTerms.contains(term) && weight_of(options, term) > 0) terms.push_back(term);
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
  needs.reference_unsafe_image = weight_of(options, "cross_txt") > 0;
  needs.anchor_text = weight_of(options, "anchor_txt") > 0;
  needs.anchor_image = weight_of(options, "anchor_img") > 0;
  return needs;
}

}  // namespace saferclip
