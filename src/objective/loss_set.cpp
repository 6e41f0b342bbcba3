// One add() per term, in the order of the objective's equation; a term's value is computed only if
// its weight is above 0. Every mean divides by a count of the whole batch (LossCounts), so
// accumulated micro-batches give the gradient of the batch; only InfoNCE terms differ, whose
// negatives come from the micro-batch. Masks are multiplied in instead of selecting rows: a
// selection would have to wait for the GPU to know how many rows are left.
#include "saferclip/objective/loss_set.h"

#include <ATen/ATen.h>

#include <functional>

#include "objective/hysac_terms.h"
#include "objective/joint_losses.h"
#include "objective/loss_needs.h"
#include "objective/preservation_losses.h"
#include "objective/shield_losses.h"
#include "saferclip/core/error.h"
#include "saferclip/objective/losses.h"

namespace saferclip {
namespace {

// The cosine between the frozen embeddings of one target in two rows.
constexpr double kSameTarget = 1;

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
      add_structure();
    } else if (options_.name == ObjectiveName::kShieldClip) {
      add_shield_clip();
      add_structure();
    } else {
      add_redirection();
      add_preservation();
      add_mutual();
      add_anchors();
      add_structure();
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

  void add_shield_clip() {
    const ShieldTerms terms(in_, {unsafe_image_, reference_unsafe_image_},
                            {redirected_, redirected_with_image_}, counts_);
    add("real", [&] { return terms.real(); });
    add("safe", [&] { return terms.safe(); });
    add("redir", [&] { return terms.redir(); });
    add("mix", [&] { return terms.mix(); });
    add("coh", [&] { return terms.coh(); });
  }

  // SAGE's terms (arXiv 2607.00402). Each is one value of its rows, which counts as often as there
  // are rows.
  void add_structure() {
    const EmbeddingRows& t = in_.tuned;
    const EmbeddingRows& r = in_.reference;
    const double share = static_cast<double>(t.safe_text.size(0)) / counts_.rows;
    const std::int64_t k = options_.pres_local.neighbours;
    add("pres_spread_txt", [&] { return spread_loss(t.safe_text, r.safe_text) * share; });
    add("pres_spread_img", [&] { return spread_loss(t.safe_image, r.safe_image) * share; });
    add("pres_local_txt", [&] { return neighbour_loss(t.safe_text, r.safe_text, k) * share; });
    add("pres_local_img", [&] { return neighbour_loss(t.safe_image, r.safe_image, k) * share; });
    add_joint();
  }

  // CET's prediction (arXiv 2306.10790) of the frozen partner of each safe row, or of the target of
  // each unsafe one.
  void add_joint() {
    const JointOptions& o = options_.pres_cet;
    const EmbeddingRows& t = in_.tuned;
    const EmbeddingRows& r = in_.reference;
    const auto joint = [&](const at::Tensor& tuned, const at::Tensor& answers, double threshold,
                           const at::Tensor& mask) {
      const JointRows rows = find_joint_rows(answers, o.neighbours, threshold, mask);
      return joint_prediction(tuned, answers, in_.logit_scale, rows, o.own_weight);
    };
    if (o.over == JointAnswer::kPartner) {
      add("pres_cet_txt", [&] { return mean(joint(t.safe_text, r.safe_image, o.threshold, {})); });
      add("pres_cet_img", [&] { return mean(joint(t.safe_image, r.safe_text, o.threshold, {})); });
      return;
    }
    add("pres_cet_txt", [&] {
      return text_mean(joint(t.unsafe_text, in_.target_image, kSameTarget, redirected_));
    });
    add("pres_cet_img", [&] {
      return image_mean(joint(unsafe_image_, in_.target_text, kSameTarget, redirected_with_image_));
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
    const double divisor = divisor_of(options_);
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

}  // namespace saferclip
