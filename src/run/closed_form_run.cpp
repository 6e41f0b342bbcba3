// The checkpoint holds the solved weights under the names of a full run's and no moments. Nothing
// is saved before it is complete, so a stopped run starts again.
#include "run/closed_form_run.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <optional>

#include "run/run_validation.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/model/tensor_slots.h"
#include "saferclip/run/resume.h"
#include "saferclip/run/training.h"
#include "saferclip/train/metrics_log.h"

namespace saferclip {
namespace {

constexpr std::int64_t kSolvedStep = 1;

TrainState state_of_solution(const Session& session, const TrainingData& data,
                             std::optional<Validator>& validator) {
  TrainState state;
  state.content = content_keys(session, data);
  state.measure = validator ? validator->measure() : std::string();
  state.precision = Precision::kFp32;
  state.device = session.device.str();
  state.threads = at::get_num_threads();
  return state;
}

void record_solution(const RunFolder& run, const Session& session) {
  RunEnvironment environment{
      session.device.str(), at::get_num_threads(), resolved_values(session), {}, {}, {}};
  environment.planned_steps = kSolvedStep;
  write_run_records(run, session.config, environment);
}

// The leaves of a model without any other values.
std::vector<TrainedParameter> solved_leaves(const Session& session, ClipModel& shapes,
                                            const std::vector<NamedTensor>& tensors) {
  const auto leaves = make_trainable(shapes, session.config.model, session.config.adapter, 0);
  load_trained(leaves, tensors, "the closed form");
  return leaves;
}

void validate_solution(const Session& session, Validator& validator, const RunFolder& run,
                       const std::vector<TrainedParameter>& leaves, MetricsLog& metrics,
                       TrainState& state, Logger& log) {
  RunValidation validation(session, validator, run, leaves, log);
  const ValidationResult result = validation.validate(kSolvedStep);
  metrics.write_evaluation(kSolvedStep, 0, result.json);
  log.info(cat("step ", kSolvedStep, ": ", result.summary));
  record_validation(result, state);
}

}  // namespace

void run_closed_form(const RunFolder& run, const StartPoint& start, const Session& session,
                     Logger& log, const StopFlag& stop,
                     const std::function<void()>& before_saving) {
  if (!session.processes.is_alone()) {
    throw ConfigError(
        "adapter.method: closed_form is solved by one process; start it without torchrun");
  }
  Preparer preparer(session.config.data, session.source, *session.tokenizer, session.device, log,
                    &stop);
  const TrainingData data = prepare_training(session, preparer);
  std::optional<Validator> validator =
      prepare_validation(session, preparer, data, start.checkpoint.empty(), log);
  TrainState state = state_of_solution(session, data, validator);
  if (!start.checkpoint.empty()) {
    require_same_content(read_train_state(start.checkpoint), state, run.path);
    log.info(cat(start.checkpoint.string(), ": is solved already; nothing is left to do"));
    return;
  }
  record_solution(run, session);
  const ClosedFormSolution solution = solve_closed_form({session, data, preparer, log, stop});
  ClipModel shapes = allocate_clip(session.source.geometry, at::kFloat, at::kCPU);
  const std::vector<TrainedParameter> leaves = solved_leaves(session, shapes, solution.tensors);
  preparer.release_reference();
  before_saving();
  state.step = kSolvedStep;
  MetricsLog metrics(
      run.path / "metrics.jsonl", 0, LastEvaluation::kDone,
      session.config.log.tensorboard ? run.path / "tensorboard" : std::filesystem::path());
  metrics.write_solution(kSolvedStep, solution.figures);
  if (validator && session.config.evaluate.every_epochs > 0) {
    validate_solution(session, *validator, run, leaves, metrics, state, log);
  }
  metrics.sync();
  CheckpointStore(run.path, log).save({state, trained_tensors(leaves), {}, {}}, {});
}

std::string method_text(const AdapterOptions& adapter) {
  const std::string towers =
      adapter.towers == Towers::kBoth ? "both towers" : cat("the ", adapter.towers, " tower");
  switch (adapter.method) {
    case AdapterMethod::kLora:
      return cat("LoRA with rank ", adapter.rank);
    case AdapterMethod::kFull:
      return "all weights trained";
    case AdapterMethod::kMask:
      return cat("masks on ", join(adapter.targets, ", "), " in ", towers);
    case AdapterMethod::kClosedForm:
      return cat("closed form `", adapter.form, "` in ", towers, ", nothing trained");
  }
  return "";
}

std::string closed_form_plan(const Session& session, const TrainingData& data) {
  std::int64_t solved = 0;
  ClipModel shapes = allocate_clip(session.source.geometry, at::kFloat, at::kMeta);
  for (const TrainedParameter& leaf :
       make_trainable(shapes, session.config.model, session.config.adapter, 0)) {
    solved += leaf.tensor.numel();
  }
  return cat("model      ", to_string(session.source.geometry), "\n", "solved for ",
             with_commas(solved), " of ", with_commas(parameter_count(session.source.geometry)),
             " parameters (", method_text(session.config.adapter), ")\n", "rows       ",
             with_commas(static_cast<std::int64_t>(data.train.good_rows.size())),
             ", in one pass; no steps");
}

}  // namespace saferclip
