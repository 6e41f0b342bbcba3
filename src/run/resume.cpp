// A resumed run must compute what the original would have. Configurations are compared after every
// `auto` and default is resolved, so writing a default out is no difference; inputs are compared by
// content key, never by path. Only precision may differ, with a warning, and only where the machine
// alone decides it.
#include "saferclip/run/resume.h"

#include <algorithm>

#include "saferclip/core/error.h"
#include "saferclip/core/hash.h"
#include "saferclip/core/text_format.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/prepare/reference_scale.h"
#include "saferclip/run/training_data.h"

namespace saferclip {
namespace fs = std::filesystem;

RunConfig resolved_config(const Session& session, RunConfig config) {
  const WeightsSource& source = session.source;
  const ClipGeometry& geometry = source.geometry;
  if (geometry.text.activation == geometry.vision.activation) {
    config.model.activation = geometry.text.activation;
  }
  config.model.text_clean = config.model.text_clean.value_or(source.text.cleaning);
  if (!config.model.image_size) config.model.image_size = source.geometry.image_size;
  ObjectiveOptions& objective = config.objective;
  for (const std::string& term : ObjectiveOptions::term_names(objective.name)) {
    objective.weights.emplace(term, 0.0);
  }
  if (!objective.infonce_scale && !uses_model_scale(objective) && !uses_lorentz(objective)) {
    objective.infonce_scale = infonce_scale(objective, source);
  }
  if (!objective.logit_bias && needs_logit_bias(objective) && !uses_model_scale(objective)) {
    objective.logit_bias = reference_logit_bias(objective, source);
  }
  if (!config.train.micro_batch_size) config.train.micro_batch_size = config.train.batch_size;
  config.train.precision = precision_on(session.device, config.train.precision);
  return config;
}

OrderedJson resolved_values(const Session& session) {
  const auto flat = [](const RunConfig& config) {
    return OrderedJson::parse(dump_run_config_json(config)).flatten();
  };
  const OrderedJson written = flat(session.config);
  const OrderedJson now = flat(resolved_config(session, session.config));
  OrderedJson resolved = OrderedJson::object();
  for (const auto& [pointer, value] : now.items()) {
    if (written.contains(pointer) && written[pointer] == value) continue;
    std::string key = pointer.substr(1);
    std::replace(key.begin(), key.end(), '/', '.');
    resolved[key] = value;
  }
  return resolved;
}

namespace {

std::string labels_key(const Manifest& manifest) {
  Sha256 hash;
  for (const ManifestRow& row : manifest.rows) {
    hash.add(row.unsafe_caption_label ? 1 : 0).add(row.unsafe_image_label ? 1 : 0);
  }
  return hash.hex();
}

}  // namespace

std::map<std::string, std::string> content_keys(const Session& session, const TrainingData& data) {
  std::map<std::string, std::string> keys{{"weights", session.source.hash()},
                                          {"images", data.train.images.content},
                                          {"captions", data.train.tokens.key}};
  if (!data.train.reference.key.empty()) keys["reference"] = data.train.reference.key;
  if (!data.targets.key.empty()) keys["targets"] = data.targets.key;
  if (!data.anchors.key.empty()) keys["anchors"] = data.anchors.key;
  if (loss_needs(session.config.objective).labels) keys["labels"] = labels_key(data.train.manifest);
  return keys;
}

void require_same_run(const fs::path& run_folder, const TrainState& saved, const Session& session,
                      Logger& log) {
  const RunConfig written = read_run_config(run_folder / "config.yaml", {});
  RunConfig before = resolved_config(session, written);
  const RunConfig now = resolved_config(session, session.config);
  // The precision the run computed in; runs without this record wrote it into their configuration.
  before.train.precision = saved.precision.value_or(before.train.precision);
  const bool is_machine = written.train.precision == session.config.train.precision &&
                          before.train.precision != now.train.precision;
  if (is_machine) {
    log.warn(cat("train.precision: ", written.train.precision, " was ", before.train.precision,
                 " on the machine that saved the checkpoint and is ", now.train.precision,
                 " here: results will not be bit-exact"));
    before.train.precision = now.train.precision;
  }
  const std::vector<std::string> differences = resume_differences(before, now);
  if (differences.empty()) return;
  throw ConfigError(
      join_problems(cat("cannot resume ", run_folder.string(),
                        ": its configuration differs (undo these changes, or start another "
                        "run with --set run.name=…):"),
                    differences));
}

void require_same_content(const TrainState& saved, const TrainState& now,
                          const fs::path& run_folder) {
  std::vector<std::string> differences;
  for (const auto& [name, key] : now.content) {
    const auto found = saved.content.find(name);
    if (found == saved.content.end() || found->second != key) {
      differences.push_back(name + ": its content has changed since the run started");
    }
  }
  if (!differences.empty()) {
    throw ConfigError(join_problems(
        cat("cannot resume ", run_folder.string(),
            ": its inputs differ (restore them, or start another run with --set run.name=…):"),
        differences));
  }
}

void keep_or_restart_best(TrainState& saved, const TrainState& now, Logger& log) {
  const bool is_known = !saved.measure.empty() && !now.measure.empty();
  if (!is_known || saved.measure == now.measure) return;
  if (!saved.best_value && !saved.best_loss) return;
  log.warn(
      cat("data.validation or checkpoint.best_metric differs from the run's: best value and "
          "patience are reset",
          saved.best_value ? cat("; step ", saved.best_step,
                                 " remains `best` until the first validation with the new settings")
                           : std::string()));
  saved.best_value.reset();
  saved.best_step = 0;
  saved.best_loss.reset();
  saved.stale_validations = 0;
}

}  // namespace saferclip
