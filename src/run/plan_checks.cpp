// Compares a configuration with its manifests before hours of preparation. Bad rows and the
// curriculum can only reduce the number of steps, so `PlanChecker` works with an upper bound and
// reports what is certain; require_steps repeats the check with the exact number. A manifest is
// read only if a rule needs it.
#include "saferclip/run/plan_checks.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include "saferclip/core/error.h"
#include "saferclip/core/nearest_match.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/split_source.h"
#include "saferclip/evaluate/metric_names.h"
#include "saferclip/objective/general_knowledge.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/run/label_coverage.h"

namespace saferclip {
namespace {

// Values of best_metric that stand for a sum over the metrics at hand.
bool is_sum(const std::string& metric) { return metric == "auto" || metric == "safe_clip"; }

class PlanChecker {
 public:
  PlanChecker(const RunConfig& config, const Manifest* train, const Manifest* validation)
      : c_(config), train_(train), validation_(validation) {}

  std::vector<KeyProblem> check() {
    check_steps();
    check_set_names();
    check_best_metric();
    check_labels();
    check_general_knowledge();
    return std::move(problems_);
  }

 private:
  void report(const std::string& key, const std::string& text) { problems_.push_back({key, text}); }

  // The most steps the run can have; nullopt if that depends on a manifest that was not read.
  std::optional<std::int64_t> most_steps() const {
    if (c_.train.max_steps) return *c_.train.max_steps;
    if (train_ == nullptr) return std::nullopt;
    const auto rows = static_cast<std::int64_t>(train_->rows.size());
    const std::int64_t batch = c_.train.batch_size;
    return c_.train.epochs * (c_.train.drop_last ? rows / batch : (rows + batch - 1) / batch);
  }

  void check_steps() {
    if (train_ != nullptr && c_.train.drop_last) {
      const auto rows = static_cast<std::int64_t>(train_->rows.size());
      const bool trains = c_.train.max_steps ? *c_.train.max_steps > 0 : c_.train.epochs > 0;
      if (trains && rows > 0 && rows < c_.train.batch_size) return report_no_batch(rows);
    }
    const std::optional<std::int64_t> steps = most_steps();
    if (steps && *steps > 0 && c_.schedule.warmup_steps > *steps) report_long_warmup(*steps);
  }

  void report_no_batch(std::int64_t rows) {
    report("train.batch_size",
           cat(with_commas(c_.train.batch_size), " rows per step, but ", c_.data.train, " has ",
               with_commas(rows),
               ", and train.drop_last drops incomplete batches, so nothing would be trained; "
               "lower it, or set train.drop_last: false"));
  }

  void report_long_warmup(std::int64_t steps) {
    report(
        "schedule.warmup_steps",
        cat(with_commas(c_.schedule.warmup_steps), " is longer than the run, which has ",
            c_.train.max_steps ? "" : "at most ", with_commas(steps),
            " steps: the learning rate would never reach optimizer.lr; lower it, or train longer"));
  }

  void check_best_metric() {
    const std::string& metric = c_.checkpoint.best_metric;
    if (is_sum(metric)) return;
    if (c_.data.validation.empty() || c_.evaluate.every_epochs == 0) {
      return report("checkpoint.best_metric",
                    cat("\"", metric, "\" is never measured: ",
                        c_.data.validation.empty() ? "data.validation is empty"
                                                   : "evaluate.every_epochs is 0"));
    }
    if (validation_ == nullptr) return;
    std::vector<std::string> names =
        validation_metrics({c_.evaluate, c_.objective, *validation_, c_.model.init.empty()});
    if (std::find(names.begin(), names.end(), metric) != names.end()) return;
    names.insert(names.end(), {"auto", "safe_clip"});
    const std::string near = nearest_match(metric, names);
    const bool needs_sets = metric.starts_with("zero_shot.") || metric.starts_with("real_images.");
    report("checkpoint.best_metric",
           cat("validation on ", c_.data.validation, " has no metric \"", metric, "\"",
               near.empty() ? "" : cat("; did you mean ", near, "?"),
               needs_sets && !c_.evaluate.zero_shot_during_training
                   ? "; such sets are measured only with evaluate.zero_shot_during_training: true"
                   : ""));
  }

  void check_labels() {
    if (train_ == nullptr) return;
    for (const UntrainedTerm& term : terms_without_labels(c_.objective, *train_)) {
      report("objective.weights." + term.name, cat(c_.data.train, ": ", term.reason));
    }
  }

  void check_general_knowledge() {
    const GradientDropoutOptions& dropout = c_.adapter.gradient_dropout;
    if (c_.adapter.method != AdapterMethod::kMask || !dropout.enabled ||
        dropout.general != GeneralKnowledge::kPreserve ||
        has_terms(preservation_part(c_.objective))) {
      return;
    }
    report("adapter.gradient_dropout.general",
           cat("preserve: no pres_* or anchor_* term of objective ", c_.objective.name,
               " that reads safe rows has a weight above 0; give one a weight, or use kl"));
  }

  // A set's name appears in tables, in paths of evaluation documents and in best_metric.
  void check_set_names() {
    for (std::size_t i = 0; i < c_.evaluate.zero_shot.size(); ++i) {
      check_set_name(cat("evaluate.zero_shot[", i, "].name"), c_.evaluate.zero_shot[i].name);
    }
    for (std::size_t i = 0; i < c_.evaluate.real_images.size(); ++i) {
      check_set_name(cat("evaluate.real_images[", i, "].name"), c_.evaluate.real_images[i].name);
    }
  }

  void check_set_name(const std::string& key, const std::string& name) {
    const auto is_odd = [](unsigned char letter) { return letter < 0x20 || letter == 0x7F; };
    const auto is_blank = [](char letter) { return letter == ' ' || letter == '\t'; };
    if (name.empty()) return;  // reported when the configuration is read
    if (std::any_of(name.begin(), name.end(), is_odd) || is_blank(name.front()) ||
        is_blank(name.back())) {
      report(key, cat("\"", name,
                      "\": expected a name without control characters and without "
                      "leading or trailing blanks"));
    }
  }

  const RunConfig& c_;
  const Manifest* train_;
  const Manifest* validation_;
  std::vector<KeyProblem> problems_;
};

}  // namespace

std::vector<KeyProblem> plan_problems(const RunConfig& config, const Manifest* train,
                                      const Manifest* validation) {
  return PlanChecker(config, train, validation).check();
}

void require_inputs(const RunConfig& config) {
  const bool measures_sets =
      config.evaluate.zero_shot_during_training && !config.data.validation.empty();
  std::vector<std::string> lines;
  for (const InputPath& input : input_paths(config)) {
    const bool is_evaluation = input.key.starts_with("evaluate.");
    if (input.key.starts_with("model.") || input.key.starts_with("data.evaluation") ||
        (is_evaluation && !measures_sets)) {
      continue;
    }
    const std::string problem = input.problem();
    if (!problem.empty()) lines.push_back(cat(input.key, ": ", problem));
  }
  if (lines.empty()) return;
  throw DataError(lines.size() == 1 ? lines.front()
                                    : join_problems("these inputs cannot be read:", lines));
}

void require_sound_plan(const RunConfig& config) {
  std::optional<Manifest> train;
  const bool reads_labels = loss_needs(config.objective).labels;
  if (reads_labels || config.train.drop_last ||
      (config.schedule.warmup_steps > 0 && !config.train.max_steps)) {
    const bool needs_unsafe = loss_needs(config.objective).unsafe;
    train =
        read_manifest(manifest_request(config.data, split_source(config.data, "train"),
                                       needs_unsafe ? UnsafeHalf::kRequired : UnsafeHalf::kNone));
  }
  std::optional<Manifest> validation;
  if (!is_sum(config.checkpoint.best_metric) && !config.data.validation.empty()) {
    validation = read_manifest(manifest_request(
        config.data, split_source(config.data, "validation"), UnsafeHalf::kIfAnyRowHasOne));
  }
  std::vector<std::string> lines;
  for (const KeyProblem& problem :
       plan_problems(config, train ? &*train : nullptr, validation ? &*validation : nullptr)) {
    lines.push_back(cat(problem.key, ": ", problem.text));
  }
  if (lines.empty()) return;
  throw ConfigError(lines.size() == 1
                        ? lines.front()
                        : join_problems("this configuration cannot be trained:", lines));
}

void require_steps(const RunConfig& config, std::int64_t total) {
  const bool asks_none =
      config.train.max_steps ? *config.train.max_steps == 0 : config.train.epochs == 0;
  if (asks_none) return;
  if (total == 0) {
    throw ConfigError(cat(
        "train.batch_size: no epoch admits enough rows for a batch of ", config.train.batch_size,
        ", so nothing would be trained; lower it, set train.drop_last: false, or train more epochs "
        "(objective.curriculum.start_epochs)"));
  }
  if (config.schedule.warmup_steps > total) {
    throw ConfigError(
        cat("schedule.warmup_steps: ", with_commas(config.schedule.warmup_steps),
            " is longer than the run, which has ", with_commas(total),
            " steps: the learning rate would never reach optimizer.lr; lower it, or train "
            "longer"));
  }
}

}  // namespace saferclip
