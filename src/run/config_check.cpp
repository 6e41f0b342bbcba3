// Collects every problem of a configuration in one pass: paths first, then the model, manifests,
// objective and evaluation sets that can be read at all. A key whose path is missing goes into
// `absent_`, so later checks do not report the same cause twice. `attempt` turns an exception into
// a line of the report.
#include "saferclip/run/config_check.h"

#include <algorithm>
#include <functional>

#include "saferclip/core/error.h"
#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/bad_rows.h"
#include "saferclip/data/manifest_columns.h"
#include "saferclip/data/split_source.h"
#include "saferclip/evaluate/zero_shot_set.h"
#include "saferclip/image/picture_files.h"
#include "saferclip/model/trained.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/run/plan_checks.h"
#include "saferclip/run/session.h"
#include "saferclip/run/training_coverage.h"
#include "saferclip/weights/hub_names.h"
#include "saferclip/weights/peft.h"

namespace saferclip {
namespace {

class ConfigChecker {
 public:
  explicit ConfigChecker(ReadConfig read) : read_(std::move(read)), c_(read_.config) {
    findings_.problems = read_.problems;
  }

  ConfigFindings check() {
    check_paths();
    check_model();
    const std::optional<Manifest> train = check_manifest("train", "data.train", c_.data.train);
    const std::optional<Manifest> validation =
        check_manifest("validation", "data.validation", c_.data.validation);
    for (const auto& [name, own] : c_.data.evaluation) {
      check_manifest(name, cat("data.evaluation.", name, ".file"), own.file);
    }
    check_objective();
    check_evaluation();
    for (const KeyProblem& problem :
         plan_problems(c_, train ? &*train : nullptr, validation ? &*validation : nullptr)) {
      report(problem.key, problem.text);
    }
    return std::move(findings_);
  }

 private:
  void report(const std::string& key, const std::string& text) {
    findings_.problems.push_back(read_.problem(key, text));
  }
  void warn(const std::string& key, const std::string& text) {
    findings_.warnings.push_back(read_.problem(key, text));
  }

  // Whether `path` is set and not known to be missing.
  bool is_there(const std::string& key, const std::string& path) const {
    return !path.empty() && std::find(absent_.begin(), absent_.end(), key) == absent_.end();
  }

  // Reports what `look` throws as a problem of the key.
  void attempt(const std::string& key, const std::function<void()>& look) {
    try {
      look();
    } catch (const Error& problem) {
      report(key, problem.what());
    } catch (const std::exception& problem) {
      report(key, cat("cannot be read: ", problem.what()));
    }
  }

  void check_paths() {
    for (const InputPath& input : input_paths(c_)) {
      std::string problem = input.problem();
      if (problem.empty()) continue;
      const bool is_missing = problem.find(": no such ") != std::string::npos;
      if (is_missing && input.key == "model.weights") {
        problem += hub_help(c_.model.written_weights, input.path);
      }
      absent_.push_back(input.key);
      report(input.key, problem);
    }
  }

  // Reads headers and configurations only: tensors are checked by name and shape.
  void check_model() {
    const bool is_random = !c_.model.init.empty();
    const std::string key = is_random ? "model.init" : "model.weights";
    for (const auto& [name, path] :
         {std::pair(key, is_random ? c_.model.init : c_.model.weights),
          std::pair(std::string("model.adapter"), c_.model.adapter),
          std::pair(std::string("model.architecture"), c_.model.architecture)}) {
      if (!path.empty() && !is_there(name, path)) return;
    }
    if (c_.model.weights.empty() && !is_random) return;
    std::optional<WeightsSource> source;
    attempt(key, [&] {
      source = open_weights(c_.model, static_cast<std::uint64_t>(c_.train.seed));
      for (const std::string& note : source->notes) warn(key, note);
    });
    if (!source) return;
    attempt("adapter", [&] { require_applicable(c_.adapter, source->geometry); });
    const bool has_tokenizer = c_.model.tokenizer == "auto" || c_.model.tokenizer == "clip" ||
                               is_there("model.tokenizer", c_.model.tokenizer);
    if (has_tokenizer) attempt("model.tokenizer", [&] { open_tokenizer(c_.model, *source); });
    if (is_there("adapter.start_from", c_.adapter.start_from)) {
      attempt("adapter.start_from",
              [&] { read_peft_adapter(c_.adapter.start_from, source->geometry); });
    }
  }

  std::optional<Manifest> check_manifest(const std::string& split, const std::string& key,
                                         const std::string& path) {
    std::optional<Manifest> manifest;
    const bool is_root_there =
        c_.data.image_root.empty() || is_there("data.image_root", c_.data.image_root);
    if (!is_there(key, path) || !is_root_there) return manifest;
    attempt(key, [&] {
      manifest = read_manifest(
          manifest_request(c_.data, split_source(c_.data, split), unsafe_half_of(split)));
      for (const std::string& note : manifest->notes) warn(key, note);
      if (const auto unread = unread_columns(path); !unread.empty()) {
        warn(key, cat(path, ": unused columns: ", join(shortened(unread, 20), ", ")));
      }
      Logger silent(LogLevel::kOff);
      require_acceptable(collect_bad_rows(*manifest, {}), c_.data, "", silent);
      if (manifest->rows.empty()) report(key, cat(path, ": no usable rows"));
    });
    return manifest;
  }

  // Only training requires the unsafe half; other splits may lack it.
  UnsafeHalf unsafe_half_of(const std::string& split) const {
    if (split != "train") return UnsafeHalf::kIfAnyRowHasOne;
    return loss_needs(c_.objective).unsafe ? UnsafeHalf::kRequired : UnsafeHalf::kNone;
  }

  void check_objective() {
    const ObjectiveOptions& o = c_.objective;
    if (const std::string alone = safe_pairs_alone(o); !alone.empty())
      warn("objective.name", alone);
    for (const auto& [key, file] :
         {std::pair("objective.targets.extra_captions", o.targets.extra_captions),
          std::pair("objective.anchors.prompts", o.anchors.prompts)}) {
      if (is_there(key, file)) attempt(key, [&, path = file] { read_lines(path); });
    }
    if (is_there("objective.anchors.images", o.anchors.images)) {
      attempt("objective.anchors.images", [&] { find_images(o.anchors.images); });
    }
  }

  void check_evaluation() {
    for (std::size_t i = 0; i < c_.evaluate.zero_shot.size(); ++i) {
      const std::string key = cat("evaluate.zero_shot[", i, "]");
      const bool is_absent = std::any_of(absent_.begin(), absent_.end(),
                                         [&](const auto& other) { return other.starts_with(key); });
      if (is_absent) continue;
      attempt(key, [&] {
        for (const std::string& note : read_zero_shot_set(c_.evaluate.zero_shot[i]).notes) {
          warn(key, note);
        }
      });
    }
    for (std::size_t i = 0; i < c_.evaluate.real_images.size(); ++i) {
      const RealImagesOptions& set = c_.evaluate.real_images[i];
      const std::string key = cat("evaluate.real_images[", i, "]");
      for (const auto& [name, folder] :
           {std::pair(key + ".safe", set.safe), std::pair(key + ".unsafe", set.unsafe)}) {
        if (is_there(name, folder)) attempt(name, [&, path = folder] { find_images(path); });
      }
      if (is_there(key + ".captions", set.captions)) {
        attempt(key + ".captions", [&] { read_lines(set.captions); });
      }
    }
  }

  ReadConfig read_;
  const RunConfig& c_;
  ConfigFindings findings_;
  std::vector<std::string> absent_;  // keys whose paths do not exist
};

}  // namespace

ConfigFindings check_configuration(const std::filesystem::path& file,
                                   const std::vector<std::string>& overrides) {
  try {
    return ConfigChecker(read_config_for_check(file, overrides)).check();
  } catch (const ConfigError& problem) {
    return {{problem.what()}, {}};
  }
}

}  // namespace saferclip
