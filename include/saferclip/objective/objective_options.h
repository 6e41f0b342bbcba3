// Options of the objective: terms, weights and forms, nearest-safe targets, curriculum, anchors.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/fields.h"
#include "saferclip/objective/neighbour_options.h"

namespace saferclip {

// The image or the text side of a pair of terms, or both.
enum class Sides { kBoth, kImage, kText };
constexpr auto enum_words(Sides) {
  return std::to_array<EnumWord<Sides>>(
      {{Sides::kBoth, "both"}, {Sides::kImage, "image"}, {Sides::kText, "text"}});
}

struct CrossOptions {
  double scale = 1;
  double margin = 0;
  Sides sides = Sides::kBoth;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("scale", "Factor k on the cosine difference in the relative loss.").above(0),
          self.scale);
    visit(field("margin", "Margin added to the scaled difference."), self.margin);
    visit(field("sides", "Relative terms to use."), self.sides);
  }
};

enum class TermForm { kCosine, kOff };
constexpr auto enum_words(TermForm) {
  return std::to_array<EnumWord<TermForm>>(
      {{TermForm::kCosine, "cosine"}, {TermForm::kOff, "off"}});
}

struct TermFormOptions {
  TermForm form = TermForm::kCosine;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("form", "Form of the terms; off sets their weight to 0."), self.form);
  }
};

enum class CrossPreservationForm { kInfoNce, kSigmoid, kCosine, kOff };
constexpr auto enum_words(CrossPreservationForm) {
  return std::to_array<EnumWord<CrossPreservationForm>>(
      {{CrossPreservationForm::kInfoNce, "infonce"},
       {CrossPreservationForm::kSigmoid, "sigmoid"},
       {CrossPreservationForm::kCosine, "cosine"},
       {CrossPreservationForm::kOff, "off"}});
}

struct CrossPreservationOptions {
  CrossPreservationForm form = CrossPreservationForm::kInfoNce;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("form", "Form of the cross-modal preservation terms; off sets their weight to 0."),
          self.form);
  }
};

enum class SimilarityForm { kDistribution, kNeighbours, kOff };
constexpr auto enum_words(SimilarityForm) {
  return std::to_array<EnumWord<SimilarityForm>>({{SimilarityForm::kDistribution, "distribution"},
                                                  {SimilarityForm::kNeighbours, "neighbours"},
                                                  {SimilarityForm::kOff, "off"}});
}

struct SimilarityOptions {
  SimilarityForm form = SimilarityForm::kDistribution;
  double scale = 20;
  std::int64_t neighbours = 5;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("form",
                "What the pres_sim_* terms preserve of the similarities between a batch's safe "
                "rows: their softmax distribution, or the cosines to the nearest neighbors."),
          self.form);
    visit(field("scale", "Logit scale of the distribution.").above(0), self.scale);
    visit(field("neighbours", "Number of nearest rows for form neighbours.").at_least(1),
          self.neighbours);
  }
};

// The nearest safe caption, or the row's own (fixed).
enum class TargetMode { kNearest, kFixed };
constexpr auto enum_words(TargetMode) {
  return std::to_array<EnumWord<TargetMode>>(
      {{TargetMode::kNearest, "nearest"}, {TargetMode::kFixed, "fixed"}});
}

enum class ImageTarget { kCaptionPartner, kOwn };
constexpr auto enum_words(ImageTarget) {
  return std::to_array<EnumWord<ImageTarget>>(
      {{ImageTarget::kCaptionPartner, "caption_partner"}, {ImageTarget::kOwn, "own"}});
}

enum class TargetPool { kTrain, kFile };
constexpr auto enum_words(TargetPool) {
  return std::to_array<EnumWord<TargetPool>>(
      {{TargetPool::kTrain, "train"}, {TargetPool::kFile, "file"}});
}

enum class ExtraImage { kNearest, kOwn };
constexpr auto enum_words(ExtraImage) {
  return std::to_array<EnumWord<ExtraImage>>(
      {{ExtraImage::kNearest, "nearest"}, {ExtraImage::kOwn, "own"}});
}

struct TargetsOptions {
  TargetMode mode = TargetMode::kNearest;
  ImageTarget image = ImageTarget::kCaptionPartner;
  bool allow_self = true;
  bool dedup = false;
  std::optional<double> min_similarity;
  TargetPool pool = TargetPool::kTrain;
  std::string extra_captions;
  ExtraImage extra_image = ExtraImage::kNearest;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("mode",
                "nearest: the safe caption nearest to the unsafe one; fixed: its own partner."),
          self.mode);
    visit(field("image",
                "Image target: the image of the target caption, or the row's own safe image."),
          self.image);
    visit(field("allow_self", "A row's own safe caption may be its target."), self.allow_self);
    visit(field("dedup", "Keep only the first of equal safe captions in the pool."), self.dedup);
    visit(field("min_similarity",
                "Rows with a lower best cosine keep their own partner; null: no row does.")
              .at_least(-1)
              .at_most(1),
          self.min_similarity);
    visit(field("pool",
                "Pool of targets: the safe captions of data.train plus extra_captions, or "
                "extra_captions alone (file)."),
          self.pool);
    visit(
        field(
            "extra_captions",
            "Text file with more safe captions for the pool, one per line; they belong to no row.")
            .input_file()
            .may_change_on_resume()
            .keyed_by_content(),
        self.extra_captions);
    visit(field("extra_image",
                "Image target of a row whose target is an extra caption: the safe training image "
                "nearest to the caption, or the row's own."),
          self.extra_image);
  }
};

struct CurriculumOptions {
  bool enabled = true;
  TargetMode score = TargetMode::kNearest;
  std::vector<double> quantiles{0.333, 0.667};
  std::vector<double> thresholds;
  std::vector<std::int64_t> start_epochs{0, 1, 2};
  bool preserve_all = false;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("enabled", "Train on easy rows first and admit harder ones in stages."),
          self.enabled);
    visit(
        field("score",
              "Cosine that makes a row easy: to its nearest safe caption, or to its own partner."),
        self.score);
    visit(field("quantiles", "Fractions of the rows, easiest first, at which stages end.")
              .above(0)
              .below(1),
          self.quantiles);
    visit(field("thresholds",
                "Cosines at which stages end, in descending order; if given, they replace the "
                "quantiles.")
              .at_least(-1)
              .at_most(1),
          self.thresholds);
    visit(field("start_epochs",
                "First epoch of each stage, from 0; one more entry than quantiles or thresholds.")
              .at_least(0),
          self.start_epochs);
    visit(field("preserve_all", "Rows not admitted yet still train the preservation terms."),
          self.preserve_all);
  }
};

struct AnchorOptions {
  std::string prompts;
  std::string images;
  std::int64_t batch_size = 32;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("prompts", "Text file of neutral prompts, one per line, for anchor_txt.")
              .input_file()
              .may_change_on_resume()
              .keyed_by_content(),
          self.prompts);
    visit(field("images", "Folder of unlabeled images for anchor_img.")
              .input_folder()
              .may_change_on_resume()
              .keyed_by_content(),
          self.images);
    visit(field("batch_size", "Anchors of each kind drawn per step.").at_least(1).not_in_keys(),
          self.batch_size);
  }
};

enum class ObjectiveName { kSaferClip, kSafeClip, kShieldClip, kClip, kSiglip, kHysac };
constexpr auto enum_words(ObjectiveName) {
  return std::to_array<EnumWord<ObjectiveName>>({{ObjectiveName::kSaferClip, "saferclip"},
                                                 {ObjectiveName::kSafeClip, "safe_clip"},
                                                 {ObjectiveName::kShieldClip, "shield_clip"},
                                                 {ObjectiveName::kClip, "clip"},
                                                 {ObjectiveName::kSiglip, "siglip"},
                                                 {ObjectiveName::kHysac, "hysac"}});
}

// What the weighted sum of the terms is divided by.
enum class Normalization { kNone, kBySum, kBySumAndCount };
constexpr auto enum_words(Normalization) {
  return std::to_array<EnumWord<Normalization>>(
      {{Normalization::kNone, "none"},
       {Normalization::kBySum, "by_sum"},
       {Normalization::kBySumAndCount, "by_sum_and_count"}});
}

enum class MutualNegatives { kOwn, kBatch };
constexpr auto enum_words(MutualNegatives) {
  return std::to_array<EnumWord<MutualNegatives>>(
      {{MutualNegatives::kOwn, "own"}, {MutualNegatives::kBatch, "batch"}});
}

struct ObjectiveOptions {
  ObjectiveName name = ObjectiveName::kSaferClip;
  std::map<std::string, double> weights;
  Normalization normalise = Normalization::kNone;
  CrossOptions cross;
  TermFormOptions uni;
  TermFormOptions pres_uni;
  CrossPreservationOptions pres_cross;
  SimilarityOptions pres_sim;
  LocalOptions pres_local;
  JointOptions pres_cet;
  std::optional<double> infonce_scale;
  std::optional<double> logit_bias;
  double mutual_scale = 10;
  double entailment_weight = 1;
  MutualNegatives mutual_negatives = MutualNegatives::kOwn;
  TargetsOptions targets;
  CurriculumOptions curriculum;
  AnchorOptions anchors;

  // The defaults of an objective.
  static ObjectiveOptions preset(ObjectiveName name);
  // Its terms in the order of its equation.
  static std::vector<std::string> term_names(ObjectiveName name);

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("name",
                "saferclip (arXiv 2511.16743); safe_clip (arXiv 2311.16254); shield_clip (arXiv "
                "2609.39688), which reads labels of the unsafe half; hysac (hyperbolic, arXiv "
                "2503.12127); on the safe pairs only: clip (symmetric InfoNCE) or siglip (sigmoid "
                "loss, arXiv 2303.15343)."),
          self.name);
    visit(
        field("weights", "Weights of the loss terms; a term not listed keeps the preset's weight.")
            .at_least(0),
        self.weights);
    visit(field("normalise",
                "none: weighted sum of the terms; by_sum: divided by the sum of the weights; "
                "by_sum_and_count: also divided by the number of terms."),
          self.normalise);
    visit(field("cross", "Relative cross-modal redirection."), self.cross);
    visit(field("uni", "Uni-modal redirection."), self.uni);
    visit(field("pres_uni", "Uni-modal preservation."), self.pres_uni);
    visit(field("pres_cross", "Cross-modal preservation."), self.pres_cross);
    visit(field("pres_sim", "Similarity-structure preservation (this program's own)."),
          self.pres_sim);
    visit(field("pres_local", "Preservation of the nearest neighbors (SAGE, arXiv 2607.00402)."),
          self.pres_local);
    visit(field("pres_cet", "Prediction jointly with neighbors (CET, arXiv 2306.10790)."),
          self.pres_cet);
    visit(field("infonce_scale",
                "Logit scale of the InfoNCE and sigmoid terms; auto: exp(logit_scale) of the "
                "reference.")
              .above(0)
              .or_word("auto"),
          self.infonce_scale);
    visit(field("logit_bias",
                "Logit bias of the sigmoid terms; auto: the reference's (SigLIP has one).")
              .or_word("auto"),
          self.logit_bias);
    visit(field("mutual_scale", "Factor k on the cosine difference in the mutual terms.").above(0),
          self.mutual_scale);
    visit(field("entailment_weight", "Factor λe on the weights of hysac's entail_* terms.")
              .at_least(0),
          self.entailment_weight);
    visit(field("mutual_negatives",
                "Negatives of the mutual terms: the row's own unsafe partner, or all unsafe "
                "partners in the batch."),
          self.mutual_negatives);
    visit(field("targets", "Nearest-safe targets."), self.targets);
    visit(field("curriculum", "Curriculum: easy rows first."), self.curriculum);
    visit(field("anchors", "Neutral prompts and images whose embeddings are to stay in place."),
          self.anchors);
  }
};

}  // namespace saferclip
