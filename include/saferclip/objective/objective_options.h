// The objective: loss terms, their weights and forms, nearest-safe targets, curriculum, anchors.
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
    visit(field("scale", "Factor k on the cosine difference of the relative loss.").above(0),
          self.scale);
    visit(field("margin", "Added to the scaled difference."), self.margin);
    visit(field("sides", "Which relative terms count.").one_of({"both", "image", "text"}),
          self.sides);
  }
};

struct TermFormOptions {
  std::string form = "cosine";

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("form", "Form of the term.").one_of({"cosine", "off"}), self.form);
  }
};

struct CrossPreservationOptions {
  std::string form = "infonce";

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("form", "Form of the cross-modal preservation terms.")
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
                "What pres_sim_* keep of the similarities between the safe rows of a batch: their "
                "softmax distribution, or the cosines to the nearest neighbours.")
              .one_of({"distribution", "neighbours", "off"}),
          self.form);
    visit(field("scale", "Logit scale of the distribution.").above(0), self.scale);
    visit(field("neighbours", "Nearest rows that the form neighbours looks at.").at_least(1),
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
    visit(field("image",
                "Image target: the image of the target caption, or the row's own safe image.")
              .one_of({"caption_partner", "own"}),
          self.image);
    visit(field("allow_self", "A row's own safe caption may be its target."), self.allow_self);
    visit(field("dedup", "Equal safe captions count once in the pool, as the first of them."),
          self.dedup);
    visit(field("min_similarity", "Below this cosine the row keeps its own partner; null: never.")
              .at_least(-1)
              .at_most(1),
          self.min_similarity);
    visit(field("pool",
                "Where targets are looked for: the safe captions of data.train and the extra ones, "
                "or the file of extra ones alone.")
              .one_of({"train", "file"}),
          self.pool);
    visit(field("extra_captions",
                "Text file of further safe captions for the pool, one a line, partners of no row.")
              .input_file()
              .free()
              .keyed_by_content(),
          self.extra_captions);
    visit(field("extra_image",
                "Image target of a row sent to an extra caption: the safe training image nearest "
                "to that caption, or the row's own.")
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
    visit(field("enabled", "Admit easy rows first."), self.enabled);
    visit(
        field("score", "Cosine that makes a row easy: to its nearest safe caption or its partner.")
            .one_of({"nearest", "fixed"}),
        self.score);
    visit(field("quantiles", "Shares of the rows, easiest first, at which a stage ends.")
              .above(0)
              .below(1),
          self.quantiles);
    visit(field("thresholds",
                "Cosines at which a stage ends, falling; when given they stand for the quantiles.")
              .at_least(-1)
              .at_most(1),
          self.thresholds);
    visit(field("start_epochs",
                "First epoch (from 0) of each stage; one more than quantiles or thresholds.")
              .at_least(0),
          self.start_epochs);
    visit(
        field("preserve_all", "Rows that are not admitted yet still train the preservation terms."),
        self.preserve_all);
  }
};

struct AnchorOptions {
  std::string prompts;
  std::string images;
  std::int64_t batch_size = 32;

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("prompts", "Text file of neutral prompts, one a line, for anchor_txt.")
              .input_file()
              .free()
              .keyed_by_content(),
          self.prompts);
    visit(field("images", "Folder of unlabelled images for anchor_img.")
              .input_folder()
              .free()
              .keyed_by_content(),
          self.images);
    visit(field("batch_size", "Anchors of each kind drawn a step.").at_least(1).not_in_keys(),
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

  // The defaults that `objective.name` brings. Throws ConfigError for a name that does not exist.
  static ObjectiveOptions preset(const std::string& name);
  // The names of the objectives, and the terms of one of them in the order of its equation.
  static std::vector<std::string> names();
  static std::vector<std::string> term_names(const std::string& objective);

  template <class Self, class Visit>
  static void fields(Self& self, Visit&& visit) {
    visit(field("name",
                "saferclip (arXiv 2511.16743), safe_clip (arXiv 2311.16254), or on the safe pairs "
                "alone clip (symmetric InfoNCE) or siglip (sigmoid loss, arXiv 2303.15343).")
              .one_of(names()),
          self.name);
    visit(field("weights", "Weight of each loss term; terms that are not named keep the preset's.")
              .at_least(0),
          self.weights);
    visit(
        field("normalise",
              "none: plain weighted sum; by_sum: divided by the sum of weights; by_sum_and_count: "
              "and by the number of terms.")
            .one_of({"none", "by_sum", "by_sum_and_count"}),
        self.normalise);
    visit(field("cross", "Relative cross-modal redirection."), self.cross);
    visit(field("uni", "Uni-modal redirection."), self.uni);
    visit(field("pres_uni", "Uni-modal preservation."), self.pres_uni);
    visit(field("pres_cross", "Cross-modal preservation."), self.pres_cross);
    visit(field("pres_sim", "Similarity-structure preservation (ours)."), self.pres_sim);
    visit(field("infonce_scale",
                "Logit scale of the InfoNCE and sigmoid terms; auto: exp(logit_scale) of the "
                "reference.")
              .above(0)
              .or_word("auto"),
          self.infonce_scale);
    visit(field("logit_bias",
                "Logit bias of the sigmoid terms; auto: the reference's, which SigLIP has.")
              .or_word("auto"),
          self.logit_bias);
    visit(field("mutual_scale", "Factor k on the cosine difference of the mutual terms.").above(0),
          self.mutual_scale);
    visit(field("mutual_negatives",
                "What a mutual term pushes away: the row's own unsafe partner, or all unsafe "
                "partners of the batch.")
              .one_of({"own", "batch"}),
          self.mutual_negatives);
    visit(field("targets", "Nearest-safe targets."), self.targets);
    visit(field("curriculum", "Easy rows first."), self.curriculum);
    visit(field("anchors", "Neutral prompts and images that must stay where they are."),
          self.anchors);
  }
};

}  // namespace saferclip
