// Options of the objective: terms, weights and forms, nearest-safe targets, curriculum, anchors.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/core/fields.h"

namespace saferclip {

struct CrossOptions {
  double scale = 1;
  double margin = 0;
  std::string sides = "both";

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("scale", "Factor k on the cosine difference in the relative loss.").above(0),
          self.scale);
    visit(field("margin", "Margin added to the scaled difference."), self.margin);
    visit(field("sides", "Which relative terms count.").one_of({"both", "image", "text"}),
          self.sides);
  }
};

struct TermFormOptions {
  std::string form = "cosine";

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("form", "Form of the terms; off: weight 0.").one_of({"cosine", "off"}), self.form);
  }
};

struct CrossPreservationOptions {
  std::string form = "infonce";

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("form", "Form of the cross-modal preservation terms; off: weight 0.")
              .one_of({"infonce", "sigmoid", "cosine", "off"}),
          self.form);
  }
};

struct SimilarityOptions {
  std::string form = "distribution";
  double scale = 20;
  std::int64_t neighbours = 5;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("form",
                "What the pres_sim_* terms preserve of the similarities between the safe rows of a "
                "batch: their softmax distribution, or the cosines to the nearest neighbors.")
              .one_of({"distribution", "neighbours", "off"}),
          self.form);
    visit(field("scale", "Logit scale of the distribution.").above(0), self.scale);
    visit(field("neighbours", "Number of nearest rows for the form neighbours.").at_least(1),
          self.neighbours);
  }
};

struct TargetsOptions {
  std::string mode = "nearest";
  std::string image = "caption_partner";
  bool allow_self = true;
  bool dedup = false;
  std::optional<double> min_similarity;
  std::string pool = "train";
  std::string extra_captions;
  std::string extra_image = "nearest";

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("mode",
                "nearest: the safe caption nearest to the unsafe one; fixed: its own partner.")
              .one_of({"nearest", "fixed"}),
          self.mode);
    visit(field("image", "Image target: the target caption's image, or the row's own safe image.")
              .one_of({"caption_partner", "own"}),
          self.image);
    visit(field("allow_self", "A row's own safe caption may be its target."), self.allow_self);
    visit(field("dedup", "Keep only the first of equal safe captions in the pool."), self.dedup);
    visit(field("min_similarity",
                "Rows whose best cosine is lower keep their own partner; null: none do.")
              .at_least(-1)
              .at_most(1),
          self.min_similarity);
    visit(field("pool",
                "Where targets come from: the safe captions of data.train plus extra_captions, or "
                "extra_captions alone (file).")
              .one_of({"train", "file"}),
          self.pool);
    visit(
        field(
            "extra_captions",
            "Text file of further safe captions for the pool, one per line, that belong to no row.")
            .input_file()
            .free()
            .keyed_by_content(),
        self.extra_captions);
    visit(field("extra_image",
                "Image target of a row whose target is an extra caption: the safe training image "
                "nearest to that caption, or the row's own.")
              .one_of({"nearest", "own"}),
          self.extra_image);
  }
};

struct CurriculumOptions {
  bool enabled = true;
  std::string score = "nearest";
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
              "Cosine that ranks a row as easy: with its nearest safe caption, or its own partner.")
            .one_of({"nearest", "fixed"}),
        self.score);
    visit(field("quantiles", "Shares of the rows, easiest first, at which stages end.")
              .above(0)
              .below(1),
          self.quantiles);
    visit(field("thresholds",
                "Cosines at which stages end, descending; they replace the quantiles if given.")
              .at_least(-1)
              .at_most(1),
          self.thresholds);
    visit(field("start_epochs",
                "First epoch (from 0) of each stage; one entry more than quantiles or thresholds.")
              .at_least(0),
          self.start_epochs);
    visit(field("preserve_all", "Rows not yet admitted still train the preservation terms."),
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
              .free()
              .keyed_by_content(),
          self.prompts);
    visit(field("images", "Folder of unlabelled images for anchor_img.")
              .input_folder()
              .free()
              .keyed_by_content(),
          self.images);
    visit(field("batch_size", "Anchors of each kind drawn per step.").at_least(1).not_in_keys(),
          self.batch_size);
  }
};

struct ObjectiveOptions {
  std::string name = "saferclip";
  std::map<std::string, double> weights;
  std::string normalise = "none";
  CrossOptions cross;
  TermFormOptions uni;
  TermFormOptions pres_uni;
  CrossPreservationOptions pres_cross;
  SimilarityOptions pres_sim;
  std::optional<double> infonce_scale;
  std::optional<double> logit_bias;
  double mutual_scale = 10;
  std::string mutual_negatives = "own";
  TargetsOptions targets;
  CurriculumOptions curriculum;
  AnchorOptions anchors;

  // The defaults of an objective. Throws ConfigError for an unknown name.
  static ObjectiveOptions preset(const std::string& name);
  // All objectives, and the terms of one in the order of its equation.
  static std::vector<std::string> names();
  static std::vector<std::string> term_names(const std::string& objective);

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(
        field(
            "name",
            "saferclip (arXiv 2511.16743); safe_clip (arXiv 2311.16254); on the safe pairs alone, "
            "clip (symmetric InfoNCE) or siglip (sigmoid loss, arXiv 2303.15343).")
            .one_of(names()),
        self.name);
    visit(field("weights", "Weights of the loss terms; others keep the preset's.").at_least(0),
          self.weights);
    visit(field("normalise",
                "none: plain weighted sum; by_sum: divided by the sum of the weights; "
                "by_sum_and_count: also by the number of terms.")
              .one_of({"none", "by_sum", "by_sum_and_count"}),
          self.normalise);
    visit(field("cross", "Relative cross-modal redirection."), self.cross);
    visit(field("uni", "Uni-modal redirection."), self.uni);
    visit(field("pres_uni", "Uni-modal preservation."), self.pres_uni);
    visit(field("pres_cross", "Cross-modal preservation."), self.pres_cross);
    visit(field("pres_sim", "Similarity-structure preservation (this program's own)."),
          self.pres_sim);
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
    visit(
        field("mutual_negatives",
              "Negatives of the mutual terms: the row's own unsafe partner, or all unsafe partners "
              "in the batch.")
            .one_of({"own", "batch"}),
        self.mutual_negatives);
    visit(field("targets", "Nearest-safe targets."), self.targets);
    visit(field("curriculum", "Curriculum: easy rows first."), self.curriculum);
    visit(field("anchors", "Neutral prompts and images whose embeddings must not move."),
          self.anchors);
  }
};

}  // namespace saferclip
