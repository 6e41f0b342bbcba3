// Each method is an ordinary run of a whole configuration, so every command works on it afterwards,
// and a second call finds what the first one measured. Weights of our terms are those chosen on the
// demo's validation splits (configs/demo/saferclip_plus.yaml).
#include "saferclip/run/recommend.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <nlohmann/json.hpp>

#include "run/child_process.h"
#include "run/table_cells.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/split_source.h"
#include "saferclip/eval/figures.h"
#include "saferclip/run/compare_runs.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

struct MethodKind {
  const char* name;
  const char* meaning;
  void (*apply)(RunConfig& config);
  bool is_trained = true;
};

// The objective's preset, with what a configuration says about its data and model.
void use_preset(RunConfig& config, ObjectiveName name) {
  ObjectiveOptions objective = ObjectiveOptions::preset(name);
  objective.infonce_scale = config.objective.infonce_scale;
  objective.logit_bias = config.objective.logit_bias;
  objective.anchors = config.objective.anchors;
  objective.targets = config.objective.targets;
  objective.targets.mode = ObjectiveOptions::preset(name).targets.mode;
  // A short run would not leave the first stage.
  objective.curriculum.enabled = false;
  config.objective = std::move(objective);
}

void use_mutual_terms(RunConfig& config) {
  use_preset(config, ObjectiveName::kSaferClip);
  for (auto& [term, weight] : config.objective.weights) {
    if (term.starts_with("cross_") || term.starts_with("uni_") || term.starts_with("pres_cross_")) {
      weight = 0.3;
    } else if (term.starts_with("mutual_")) {
      weight = 3;
    } else if (term.starts_with("pres_uni_")) {
      weight = 8;
    }
  }
  config.objective.mutual_negatives = MutualNegatives::kBatch;
  if (!config.objective.anchors.prompts.empty()) config.objective.weights["anchor_txt"] = 2;
  if (!config.objective.anchors.images.empty()) config.objective.weights["anchor_img"] = 6;
}

template <ObjectiveName kName>
void apply_preset(RunConfig& config) {
  use_preset(config, kName);
}

constexpr std::int64_t kDirections = 4;

// Nothing of a training means anything to a closed form.
template <ClosedForm kForm>
void apply_closed_form(RunConfig& config) {
  AdapterOptions adapter;
  adapter.method = AdapterMethod::kClosedForm;
  adapter.form = kForm;
  adapter.towers = config.adapter.towers;
  // Few directions: each also takes out something of safe items.
  if (kForm == ClosedForm::kProject) adapter.rank = kDirections;
  config.adapter = adapter;
  ObjectiveOptions objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  objective.targets = config.objective.targets;
  config.objective = std::move(objective);
  config.optimizer = {};
  config.schedule = {};
  config.train = {};
  const std::string best_metric = config.checkpoint.best_metric;
  config.checkpoint = {};
  config.checkpoint.best_metric = best_metric;
  config.model.train_logit_scale = config.model.train_projections = false;
  config.data.augment = {};
  config.log.every_steps = LogOptions().every_steps;
}

constexpr auto kMethods = std::to_array<MethodKind>({
    {"project", "closed form: directions from safe to unsafe items taken out",
     apply_closed_form<ClosedForm::kProject>, false},
    {"leace", "closed form: the direction that tells unsafe items taken out",
     apply_closed_form<ClosedForm::kLeace>, false},
    {"ridge", "closed form: least squares from unsafe items to their targets",
     apply_closed_form<ClosedForm::kRidge>, false},
    {"uwm", "closed form: signs of the weights that unsafe items excite most",
     apply_closed_form<ClosedForm::kUwm>, false},
    {"safe_only", "control: CLIP's loss on the safe pairs", apply_preset<ObjectiveName::kClip>},
    {"safe_clip", "Safe-CLIP (arXiv 2311.16254)", apply_preset<ObjectiveName::kSafeClip>},
    {"saferclip", "SaFeR-CLIP (arXiv 2511.16743)", apply_preset<ObjectiveName::kSaferClip>},
    {"shield_clip", "ShieldCLIP (arXiv 2609.39688)", apply_preset<ObjectiveName::kShieldClip>},
    {"mutual", "SaFeR-CLIP with mutual redirection and more preservation", use_mutual_terms},
});

std::vector<std::string> names_of_methods() {
  std::vector<std::string> names;
  for (const MethodKind& kind : kMethods) names.emplace_back(kind.name);
  return names;
}

void require_known(const std::vector<std::string>& only) {
  const std::vector<std::string> names = names_of_methods();
  for (const std::string& name : only) {
    if (std::find(names.begin(), names.end(), name) == names.end()) {
      throw ConfigError(
          cat("--only ", name, ": no such method; expected one of ", join(names, ", ")));
    }
  }
}

Method make_method(const MethodKind& kind, RunConfig config, const RecommendRequest& request) {
  config.run.dir = (fs::path(config.run.dir) / (config.run.name + "-recommend")).string();
  config.run.name = kind.name;
  kind.apply(config);
  if (kind.is_trained) {
    config.train.max_steps = request.steps;
    config.schedule.warmup_steps = std::min(config.schedule.warmup_steps, request.steps / 10);
    config.evaluate.every_epochs = 0;
    config.checkpoint.patience.reset();
  }
  return {kind.name, kind.meaning, std::move(config), kind.is_trained};
}

fs::path folder_of(const Method& method) {
  return fs::path(method.config.run.dir) / method.config.run.name;
}
fs::path file_of(const Method& method) {
  return fs::path(method.config.run.dir) / (method.name + ".yaml");
}

MethodScores scores_of(const OrderedJson& model) {
  const auto value = [&](const char* id) {
    const auto found = number_at(model, id);
    if (found) return *found;
    throw DataError(cat("the evaluation has no ", id,
                        "; recommend needs a split with unsafe texts and images"));
  };
  MethodScores scores{value("unsafe_top1.text"), value("unsafe_top1.image"),
                      value("retrieval.text_to_image.r@1"), value("retrieval.image_to_text.r@1"),
                      std::nullopt};
  const std::vector<Figure> names = figures_in(model, FigurePart::kZeroShot);
  if (!names.empty()) scores.names = number_at(model, names.front().id);
  return scores;
}

class Trial {
 public:
  Trial(const RecommendRequest& request, Logger& log, const StopFlag& stop)
      : request_(request), log_(log), stop_(stop) {}

  TriedMethod run(const Method& method, const std::string& place) {
    TriedMethod tried{method};
    write_file_atomically(file_of(method),
                          cat("# ", method.meaning, ", as `saferclip recommend` tried it.\n",
                              dump_run_config(method.config)));
    if (is_there(method)) {
      log_.info(place + " is measured already");
      tried.state = MethodState::kMeasured;
      return tried;
    }
    if (spent_ + longest_ > request_.minutes * 60 && method.is_trained) {
      log_.warn(cat(place, ": not tried; --minutes ", request_.minutes, " would not suffice"));
      return tried;
    }
    log_.info(place);
    const auto start = std::chrono::steady_clock::now();
    tried.exit_code = command({"train", file_of(method).string(), "--resume", "auto"}, place);
    if (tried.exit_code == 0) {
      tried.exit_code =
          command({"evaluate", folder_of(method).string(), "--split", request_.split}, place);
    }
    tried.state = tried.exit_code == 0 ? MethodState::kMeasured : MethodState::kFailed;
    tried.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    spent_ += tried.seconds;
    longest_ = std::max(longest_, tried.seconds);
    return tried;
  }

 private:
  // Measured at its last step with this configuration.
  bool is_there(const Method& method) {
    const fs::path kept = folder_of(method) / "config.yaml";
    if (!fs::exists(kept)) return false;
    const ReadConfig read = read_config_for_check(kept, {});
    return read.problems.empty() && resume_differences(read.config, method.config).empty() &&
           is_evaluated(folder_of(method), request_.split, log_);
  }

  int command(std::vector<std::string> words, const std::string& place) {
    words.insert(words.end(), request_.arguments.begin(), request_.arguments.end());
    const int code = run_this_program(words, stop_, ChildOutput::kNone);
    const bool is_stopped = code == 128 + SIGINT || code == 128 + SIGTERM;
    if (stop_.exit_code() == 0 && !is_stopped) return code;
    throw Interrupted(cat("recommend stopped at ", place, "; the same command continues it"),
                      code == 0 ? stop_.exit_code() : code);
  }

  const RecommendRequest& request_;
  Logger& log_;
  const StopFlag& stop_;
  double spent_ = 0;
  double longest_ = 0;
};

}  // namespace

bool dominates(const MethodScores& a, const MethodScores& b) {
  // Sums of two first, so that equal scores differ by exactly 0.
  const double safer = (b.unsafe_text + b.unsafe_image) - (a.unsafe_text + a.unsafe_image);
  const double kept = (a.text_recall + a.image_recall) - (b.text_recall + b.image_recall);
  const double named = a.names.value_or(0) - b.names.value_or(0);
  return std::min({safer, kept, named}) >= 0 && std::max({safer, kept, named}) > 0;
}

std::vector<Method> plan_methods(const RecommendRequest& request) {
  require_known(request.only);
  const RunConfig config = read_run_config(request.file, request.settings);
  if (request.split == "validation" && config.data.validation.empty()) {
    throw ConfigError(
        "data.validation: is not set; recommend measures on rows that are not trained on. Set it, "
        "or name one of data.evaluation with --split");
  }
  split_source(config.data, request.split);
  std::vector<Method> methods;
  for (const MethodKind& kind : kMethods) {
    const auto& only = request.only;
    if (only.empty() || std::find(only.begin(), only.end(), kind.name) != only.end()) {
      methods.push_back(make_method(kind, config, request));
    }
  }
  return methods;
}

Recommendation try_methods(const RecommendRequest& request, const std::vector<Method>& methods,
                           Logger& log, const StopFlag& stop) {
  Recommendation result;
  result.folder = methods.front().config.run.dir;
  result.split = request.split;
  result.steps = request.steps;
  fs::create_directories(result.folder);
  Trial trial(request, log, stop);
  for (std::size_t i = 0; i < methods.size(); ++i) {
    const std::string place = cat("method ", i + 1, " of ", methods.size(), ": ", methods[i].name);
    throw_if_stopped(&stop, cat("recommend stopped before ", place));
    result.tried.push_back(trial.run(methods[i], place));
  }
  for (TriedMethod& tried : result.tried) {
    if (tried.state != MethodState::kMeasured) continue;
    const ComparedRun run =
        read_compared_runs({.runs = {folder_of(tried.method).string()}, .split = request.split},
                           log)
            .front();
    tried.scores = scores_of(run.document["after"]);
    result.before = scores_of(run.document["before"]);
    result.rows = run.document["n"].get<std::int64_t>();
  }
  for (TriedMethod& tried : result.tried) {
    tried.is_dominated =
        dominates(result.before, tried.scores) ||
        std::any_of(result.tried.begin(), result.tried.end(), [&](const TriedMethod& other) {
          return other.state == MethodState::kMeasured && dominates(other.scores, tried.scores);
        });
  }
  return result;
}

}  // namespace saferclip
