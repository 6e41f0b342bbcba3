// Rules that span fields, which the field lists cannot: what one value requires of another. They
// run even if single fields are wrong, so all problems are reported together, each with the file
// and line where its key was written.
#include "config/checks.h"

#include <algorithm>
#include <cstdlib>
#include <set>

#include "saferclip/core/nearest_match.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

class Checker {
 public:
  Checker(const RunConfig& config, const ConfigNode& tree, std::vector<std::string>& problems)
      : c_(config), tree_(tree), problems_(problems) {}

  void run() {
    check_model();
    check_objective();
    check_hysac();
    check_training();
    check_evaluation();
  }

 private:
  void report(const std::string& key, const std::string& text) {
    problems_.push_back(cat(place_of(tree_, key), ": ", key, ": ", text));
  }
  void require(bool is_met, const std::string& key, const std::string& text) {
    if (!is_met) report(key, text);
  }

  void check_model() {
    require(c_.model.weights.empty() != c_.model.init.empty(), "model.weights",
            "expected either weights to start from or model.init for random weights");
    if (!c_.model.init.empty()) {
      require(c_.adapter.method == AdapterMethod::kFull, "adapter.method",
              "a model from scratch needs adapter.method: full");
      require(c_.model.train_projections && c_.model.train_logit_scale, "model.init",
              "a model from scratch needs model.train_projections: true and "
              "model.train_logit_scale: true");
    }
    require(!c_.data.train.empty(), "data.train", "expected the manifest of the training rows");
    require(c_.data.class_caption.find("{}") != std::string::npos, "data.class_caption",
            cat("\"", c_.data.class_caption, "\" has no {}, which stands for the class"));
  }

  void check_objective() {
    const ObjectiveOptions& o = c_.objective;
    const std::vector<std::string> terms = ObjectiveOptions::term_names(o.name);
    double sum = 0;
    for (const auto& [term, weight] : o.weights) {
      const bool is_known = std::find(terms.begin(), terms.end(), term) != terms.end();
      if (!is_known && o.name == ObjectiveName::kShieldClip && term.starts_with("mutual_")) {
        report("objective.weights." + term,
               "objective shield_clip has no mutual terms: they push a row's unsafe caption and "
               "image apart, and coh holds them together; remove it, or train saferclip");
      } else if (!is_known) {
        const std::string near = nearest_match(term, terms);
        report("objective.weights." + term, cat("objective ", o.name, " has no such term; ",
                                                near.empty() ? "its terms: " + join(terms, ", ")
                                                             : "did you mean " + near + "?"));
      }
      sum += is_known ? weight : 0;
    }
    require(sum > 0, "objective.weights", "all weights are 0; nothing would be trained");
    const auto weight = [&](const char* term) {
      return o.weights.contains(term) ? o.weights.at(term) : 0.0;
    };
    require(o.name != ObjectiveName::kShieldClip || sum == 0 ||
                weight("real") + weight("safe") + weight("mix") + weight("coh") > 0,
            "objective.weights",
            "real, safe, mix and coh are 0, so no InfoNCE is left: with cosines alone shield_clip "
            "collapses, and every unsafe image finds an unsafe text (arXiv 2609.39688); give real "
            "a weight above 0");
    require(weight("anchor_txt") == 0 || !o.anchors.prompts.empty(), "objective.anchors.prompts",
            "anchor_txt has a weight; expected a file of prompts");
    require(weight("anchor_img") == 0 || !o.anchors.images.empty(), "objective.anchors.images",
            "anchor_img has a weight; expected a folder of images");
    const CurriculumOptions& u = o.curriculum;
    require(std::is_sorted(u.quantiles.begin(), u.quantiles.end()),
            "objective.curriculum.quantiles", "expected shares in ascending order");
    require(std::is_sorted(u.thresholds.rbegin(), u.thresholds.rend()),
            "objective.curriculum.thresholds", "expected cosines in descending order");
    const std::size_t ends = u.thresholds.empty() ? u.quantiles.size() : u.thresholds.size();
    require(u.start_epochs.size() == ends + 1, "objective.curriculum.start_epochs",
            cat("expected one more entry than ", u.thresholds.empty() ? "quantiles" : "thresholds",
                " (", ends + 1, "), found ", u.start_epochs.size()));
    require(o.targets.pool == TargetPool::kTrain || !o.targets.extra_captions.empty(),
            "objective.targets.extra_captions",
            "objective.targets.pool is file; expected a file of captions");
    require(std::is_sorted(u.start_epochs.begin(), u.start_epochs.end()),
            "objective.curriculum.start_epochs", "expected epochs in ascending order");
  }

  // What only objective hysac has, and what it has no use for.
  void check_hysac() {
    const ObjectiveOptions& o = c_.objective;
    const EvaluateOptions& e = c_.evaluate;
    const bool is_lorentz = e.score == ScoreKind::kLorentz;
    if (o.name != ObjectiveName::kHysac) {
      require(o.entailment_weight == ObjectiveOptions().entailment_weight,
              "objective.entailment_weight", cat("objective ", o.name, " has no entail_* terms"));
      require(!is_lorentz, "evaluate.score",
              cat("lorentz needs objective.name: hysac; objective ", o.name,
                  " learns no curvature, so use auto or cosine"));
      require(e.traversal == Traversal::kOff, "evaluate.traversal",
              cat("needs objective.name: hysac; objective ", o.name, " learns no radii"));
      return;
    }
    require(!o.infonce_scale, "objective.infonce_scale",
            "objective hysac learns a scale of its own; leave it at auto");
    require(!o.curriculum.enabled, "objective.curriculum.enabled",
            "objective hysac has no targets to order rows by; set it to false");
    const bool is_cosine = e.score == ScoreKind::kCosine;
    require(
        e.traversal == Traversal::kOff || !is_cosine, "evaluate.traversal",
        "moves points of Lorentz geometry, but evaluate.score is cosine; use score: lorentz, or "
        "traversal: off");
    const std::string& metric = c_.checkpoint.best_metric;
    require(
        !metric.starts_with("space.") && !metric.ends_with(".embedding_cos"),
        "checkpoint.best_metric",
        cat("hysac with cosine-only metrics: \"", metric,
            "\" is made of cosines, which objective hysac does not train; use auto, or a figure "
            "that evaluate.score: lorentz ranks, e.g. safeground.gs"));
  }

  void check_training() {
    require(c_.optimizer.betas.size() == 2, "optimizer.betas", "expected two numbers");
    require(!c_.train.micro_batch_size || *c_.train.micro_batch_size <= c_.train.batch_size,
            "train.micro_batch_size", "is larger than train.batch_size");
    require(!c_.run.name.empty() && c_.run.name.find('/') == std::string::npos &&
                c_.run.name != "." && c_.run.name != "..",
            "run.name", "expected a folder name without /");
    require(c_.adapter.method == AdapterMethod::kFull || !c_.adapter.targets.empty(),
            "adapter.targets", "expected at least one");
    check_mask();
  }

  void check_mask() {
    const AdapterOptions& a = c_.adapter;
    if (a.method != AdapterMethod::kMask) return;
    require(a.init > a.threshold, "adapter.init",
            cat("expected above adapter.threshold (", a.threshold, "), found ", a.init,
                ": every weight would begin switched off"));
    require(a.off_value != 1, "adapter.off_value",
            "1 leaves a weight that is off as it is; use 0 to take it out, -1 to flip its sign");
    if (!a.gradient_dropout.enabled) return;
    const ObjectiveName name = c_.objective.name;
    require(name != ObjectiveName::kClip && name != ObjectiveName::kSiglip &&
                name != ObjectiveName::kHysac,
            "adapter.gradient_dropout.enabled",
            cat("objective ", name,
                " has no frozen reference that would say what the model knew; set it to false"));
    require(c_.train.precision != Precision::kFp16, "adapter.gradient_dropout.enabled",
            "not with train.precision: fp16, whose loss scale would outweigh eps; set it to false, "
            "or use bf16 or fp32");
  }

  void check_evaluation() {
    require(!c_.evaluate.k.empty(), "evaluate.k", "expected at least one number");
    std::set<std::string> names;
    for (const ZeroShotOptions& set : c_.evaluate.zero_shot) {
      const bool has_classes = set.class_form == ClassForm::kTsv       ? !set.classes.empty()
                               : set.class_form == ClassForm::kFolders ? true
                               : set.class_form == ClassForm::kLists   ? !set.lists.empty()
                                                                       : !set.class_file.empty();
      require(!set.name.empty() && !set.images.empty() && has_classes, "evaluate.zero_shot",
              cat("set \"", set.name, "\" needs name, images and classes"));
      require(names.insert(set.name).second, "evaluate.zero_shot",
              cat("two sets are called \"", set.name, "\""));
    }
    names.clear();
    for (const RealImagesOptions& set : c_.evaluate.real_images) {
      require(!set.name.empty() && !set.safe.empty() && !set.unsafe.empty(), "evaluate.real_images",
              cat("set \"", set.name, "\" needs name, safe and unsafe"));
      require(names.insert(set.name).second, "evaluate.real_images",
              cat("two sets are called \"", set.name, "\""));
    }
  }

  const RunConfig& c_;
  const ConfigNode& tree_;
  std::vector<std::string>& problems_;
};

}  // namespace

std::string place_of(const ConfigNode& tree, const std::string& key) {
  const ConfigNode* node = &tree;
  std::size_t at = 0;
  while (at < key.size()) {
    const ConfigNode* next = nullptr;
    std::size_t end = key.find_first_of(".[", at);
    if (key[at] == '[') {
      end = std::min(key.find(']', at), key.size() - 1) + 1;
      const std::size_t index = std::strtoull(key.c_str() + at + 1, nullptr, 10);
      if (index < node->items.size()) next = &node->items[index];
    } else {
      next = node->find(key.substr(at, end - at));
    }
    if (next == nullptr) break;
    node = next;
    at = std::min(end, key.size());
    if (at < key.size() && key[at] == '.') ++at;
  }
  return node->where();
}

void check_run_config(const RunConfig& config, const ConfigNode& tree,
                      std::vector<std::string>& problems) {
  Checker(config, tree, problems).run();
  check_method_keys(config, tree, problems);
}

}  // namespace saferclip
