// Wires one training run: turns the configuration into options and parts of the trainer, which
// knows nothing of configurations. The order saves memory: validation rows and the reference's
// scores are prepared before the first step, then the frozen reference is freed unless cropped
// pictures need it.
#include "saferclip/run/training.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <optional>
#include <utility>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/memory.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/split_source.h"
#include "saferclip/nn/precision.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/prepare/reference_scale.h"
#include "saferclip/run/kept_evaluations.h"
#include "saferclip/run/open_run.h"
#include "saferclip/run/plan_checks.h"
#include "saferclip/run/resume.h"
#include "saferclip/run/run_folder.h"
#include "saferclip/run/run_plan.h"
#include "saferclip/run/run_start.h"
#include "saferclip/run/training_coverage.h"
#include "saferclip/run/training_data.h"
#include "saferclip/train/augment.h"
#include "saferclip/train/trainer.h"
#include "saferclip/weights/peft.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

at::ScalarType compute_dtype(const Session& session) {
  switch (precision_on(session.device, session.config.train.precision)) {
    case Precision::kBf16:
      return at::kBFloat16;
    case Precision::kFp16:
      return at::kHalf;
    case Precision::kFp32:
      break;
  }
  return at::kFloat;
}

void say_lowered_precision(const Session& session, Logger& log) {
  const Precision written = session.config.train.precision;
  if (precision_on(session.device, written) == written) return;
  const bool is_fp16 = written == Precision::kFp16;
  log.warn(cat("train.precision: ",
               is_fp16 ? std::string("fp16 is for CUDA devices") : why_no_bf16(session.device),
               "; training in fp32 instead",
               session.device.is_cuda() ? " (fp16 would be faster here)" : ""));
}

TrainerOptions trainer_options(const Session& session, const StopFlag& stop) {
  const RunConfig& config = session.config;
  TrainerOptions options;
  options.schedule = config.schedule;
  options.checkpoint = config.checkpoint;
  options.log_every_steps = config.log.every_steps;
  options.validate_every_epochs = config.evaluate.every_epochs;
  options.peak_lr = config.optimizer.lr;
  options.step.train = config.train;
  options.step.objective = config.objective;
  options.step.preprocessing = session.source.preprocessing;
  options.step.compute = compute_dtype(session);
  options.step.trains_logit_scale = config.model.train_logit_scale;
  options.step.infonce_scale = infonce_scale(config.objective, session.source);
  options.step.logit_bias = reference_logit_bias(config.objective, session.source);
  options.step.stop = &stop;
  return options;
}

RowNeeds row_needs(const RunConfig& config) {
  RowNeeds needs = loss_needs(config.objective);
  needs.crops = config.data.augment == Augmentation::kCrop;
  return needs;
}

// Frees the reference unless it must embed cropped pictures during training.
LiveReference live_reference(const Session& session, Preparer& preparer, Logger& log) {
  const RunConfig& config = session.config;
  const RowNeeds needs = row_needs(config);
  if (!needs.crops || !needs.reference) {
    preparer.release_reference();
    return {};
  }
  log.info("data.augment: the frozen reference stays in memory and embeds the cropped images");
  return {&preparer.reference(), session.source.preprocessing,
          config.train.micro_batch_size.value_or(config.train.batch_size),
          needs.reference_unsafe_image, preparer.stop()};
}

// The sampler's rows, each marked as redirected or not by its curriculum stage.
class TrainingBatches : public StepBatches {
 public:
  TrainingBatches(const RunConfig& config, const TrainingData& data, const Sampler& sampler,
                  const LiveReference& reference)
      : config_(config),
        data_(data),
        sampler_(sampler),
        reference_(reference),
        source_(data.train, data.targets, data.anchors, row_needs(config),
                config.objective.anchors.batch_size,
                static_cast<std::uint64_t>(config.train.seed)) {}

  Batch gather(std::int64_t step, HostMemory memory) const override {
    const std::vector<std::int64_t> rows = sampler_.rows_of(step);
    const std::int64_t epoch = sampler_.position_of(step).epoch;
    std::vector<bool> redirected;
    redirected.reserve(rows.size());
    for (const std::int64_t row : rows) {
      redirected.push_back(is_redirected(data_, config_.objective, row, epoch));
    }
    return source_.gather(step, rows, redirected, memory);
  }

  Batch augment(Batch batch) const override {
    return config_.data.augment == Augmentation::kCrop ? augment_batch(batch, reference_) : batch;
  }

  std::string row_name(std::int64_t row) const override {
    return data_.train.manifest.rows[static_cast<std::size_t>(row)].id;
  }

 private:
  const RunConfig& config_;
  const TrainingData& data_;
  const Sampler& sampler_;
  LiveReference reference_;
  BatchSource source_;
};

void require_unchanged_reference(const Session& session, Preparer& preparer) {
  preparer.release_reference();
  const RunConfig& config = session.config;
  if (open_weights(config.model, static_cast<std::uint64_t>(config.train.seed)).hash() !=
      session.source.hash()) {
    throw WeightsError(session.source.path.string() +
                       ": the reference weights changed during the run");
  }
}

RunEnvironment environment_of(const Session& session) {
  return {session.device.str(), at::get_num_threads(), resolved_values(session), {}, {}};
}

std::optional<Validator> prepare_validation(const Session& session, Preparer& preparer,
                                            const TrainingData& data, bool is_fresh, Logger& log) {
  if (session.config.data.validation.empty()) return std::nullopt;
  std::optional<Validator> validator(make_validator(session, preparer, data, log));
  validator->prepare();
  if (session.config.evaluate.every_epochs > 0) validator->score_reference();
  const std::string problem = is_fresh ? validator->chance_problem() : "";
  if (!problem.empty()) log.warn(problem);
  return validator;
}

std::vector<TrainedParameter> make_leaves(const Session& session, ClipModel& model, Logger& log) {
  const RunConfig& config = session.config;
  auto parameters = make_trainable(model, config.model, config.adapter,
                                   static_cast<std::uint64_t>(config.train.seed));
  if (!config.adapter.start_from.empty()) {
    const auto adapter = read_peft_adapter(config.adapter.start_from, session.source.geometry);
    for (const std::string& note : adapter.notes) log.warn(note);
    start_from_adapter(parameters, adapter, config.adapter);
  }
  return parameters;
}

// Evaluates the current weights and keeps the document in the run's folder.
class RunValidation : public StepValidation {
 public:
  RunValidation(const Session& session, Validator& validator, const RunFolder& run,
                const std::vector<TrainedParameter>& parameters)
      : session_(session), validator_(validator), run_(run), parameters_(parameters) {}

  ValidationResult validate(std::int64_t step) override {
    ClipModel model = load_tuned(session_, trained_tensors(parameters_), "the run");
    ValidationScores scores = validator_.validate(model);
    keep_validation(run_.path, step, scores.document);
    return {OrderedJson{{"after", scores.document["after"]}}.dump(), scores.best_value, scores.loss,
            std::move(scores.summary)};
  }

 private:
  const Session& session_;
  Validator& validator_;
  const RunFolder& run_;
  const std::vector<TrainedParameter>& parameters_;
};

struct RunContext {
  const RunFolder& run;
  const StartPoint& start;
  const Session& session;
  Logger& log;
  const StopFlag& stop;
};

TrainState state_of(const Session& session, const TrainingData& data, std::string measure) {
  TrainState state;
  state.measure = std::move(measure);
  state.content = content_keys(session, data);
  state.precision = precision_on(session.device, session.config.train.precision);
  state.device = session.device.str();
  state.threads = at::get_num_threads();
  return state;
}

// Records the run's environment and warns about what will never train.
void record_run(const RunContext& context, const TrainingData& data, const Sampler& sampler,
                const std::vector<TrainedParameter>& parameters) {
  const Session& session = context.session;
  RunEnvironment environment = environment_of(session);
  environment.never_trains =
      coverage_problems(training_coverage(session.config, data, sampler), session.config);
  const MemoryPlan plan = memory_plan(session, data, sampler, parameters);
  environment.predicted_bytes = predicted_bytes(plan);
  for (const std::string& problem : environment.never_trains) context.log.warn(problem);
  for (const std::string& problem : memory_problems(plan, session.device)) {
    context.log.warn(problem);
  }
  write_run_records(context.run, session.config, environment);
}

void train_in(const RunContext& context, const std::function<void()>& before_steps) {
  const Session& session = context.session;
  const RunConfig& config = session.config;
  Logger& log = context.log;
  const at::ScalarType compute = compute_dtype(session);
  const bool is_lora = config.adapter.method == AdapterMethod::kLora;
  // Load the model before preparing: the cache keys need the file's hash, which is computed
  // meanwhile.
  ClipModel model = load_clip(session.source, is_lora ? compute : at::kFloat, session.device);
  Preparer preparer(config.data, session.source, *session.tokenizer, session.device, log,
                    &context.stop);
  const TrainingData data = prepare_training(session, preparer);
  const Sampler sampler = make_sampler(data, config);
  require_steps(config, total_steps(config.train, sampler));
  std::optional<Validator> validator =
      prepare_validation(session, preparer, data, context.start.checkpoint.empty(), log);
  const LiveReference reference = live_reference(session, preparer, log);
  const std::vector<TrainedParameter> parameters = make_leaves(session, model, log);
  const std::int64_t rows = config.train.micro_batch_size.value_or(config.train.batch_size);
  pack_frozen_weights(model, 2 * rows, 2 * rows, compute);
  std::optional<ComputeCopies> copies;
  if (session.device.is_cuda()) copies.emplace(copied_tensors(model, compute), compute);
  Optimizer optimizer(
      config.optimizer, parameters,
      compute == at::kHalf ? Optimizer::Scaling::kDynamic : Optimizer::Scaling::kNone);
  record_run(context, data, sampler, parameters);
  TrainState state = restore_run(
      context.start, state_of(session, data, validator ? validator->measure() : std::string()),
      parameters, optimizer, log);
  log.info(plan_text(session, data, sampler, parameters));
  const TrainingBatches batches(config, data, sampler, reference);
  std::optional<RunValidation> validation;
  if (validator) validation.emplace(session, *validator, context.run, parameters);
  CheckpointStore checkpoints(context.run.path, log);
  keep_freed_memory();
  before_steps();
  TrainerOptions options = trainer_options(session, context.stop);
  options.step.copies = copies ? &*copies : nullptr;
  run_training({.model = model,
                .parameters = parameters,
                .optimizer = optimizer,
                .sampler = sampler,
                .batches = batches,
                .validation = validation ? &*validation : nullptr,
                .checkpoints = checkpoints,
                .log = log,
                .run_folder = context.run.path,
                .device = session.device},
               options, state);
  require_unchanged_reference(session, preparer);
}

void require_sound_request(const TrainingRequest& request) {
  if (request.overwrite && !request.resume.empty()) {
    throw ConfigError("--overwrite and --resume cannot be used together");
  }
  require_inputs(request.config);
  require_sound_plan(request.config);
}

}  // namespace

Validator make_validator(const Session& session, Preparer& preparer, const TrainingData& data,
                         Logger& log) {
  const RunConfig& config = session.config;
  return Validator(
      {session.source, config.objective, config.evaluate, split_source(config.data, "validation"),
       config.checkpoint.best_metric, config.train.batch_size},
      preparer, data.train, log);
}

std::string plan_training(TrainingRequest request, Logger& log, const StopFlag& stop) {
  require_sound_request(request);
  const Session session = open_session(std::move(request.config), request.compute, log);
  say_lowered_precision(session, log);
  Preparer preparer(session.config.data, session.source, *session.tokenizer, session.device, log,
                    &stop);
  const TrainingData data = prepare_training(session, preparer);
  if (!session.config.data.validation.empty()) {
    make_validator(session, preparer, data, log).prepare();
  }
  preparer.release_reference();
  const Sampler sampler = make_sampler(data, session.config);
  require_steps(session.config, total_steps(session.config.train, sampler));
  ClipModel shapes = allocate_clip(session.source.geometry, at::kFloat, at::kCPU);
  const auto parameters = make_trainable(shapes, session.config.model, session.config.adapter, 0);
  for (const std::string& problem :
       coverage_problems(training_coverage(session.config, data, sampler), session.config)) {
    log.warn(problem);
  }
  for (const std::string& problem :
       memory_problems(memory_plan(session, data, sampler, parameters), session.device)) {
    log.warn(problem);
  }
  return plan_text(session, data, sampler, parameters);
}

fs::path train_run(TrainingRequest request, Logger& log, const StopFlag& stop,
                   const std::function<void()>& before_steps) {
  require_sound_request(request);
  const StartPoint start = find_start(request.resume, request.config, log);
  const RunFolder run = open_run_folder(start.run_folder);
  if (request.overwrite) clear_run_folder(run);
  if (start.checkpoint.empty()) {
    require_fresh(run.path, log);
  } else {
    require_base(request.config, run.path);
  }
  const Session session = open_session(std::move(request.config), request.compute, log);
  say_lowered_precision(session, log);
  if (!start.checkpoint.empty()) {
    require_same_run(run.path, read_train_state(start.checkpoint), session, log);
  }
  log.also_to_file(run.path / "train.log");
  write_run_records(run, session.config, environment_of(session));
  // A killed run may have left temporaries of any of these, including the records above.
  for (const fs::path& folder : {run.path, run.path / "checkpoints", run.path / "evaluations"}) {
    remove_stale_temporaries(folder);
  }
  train_in({run, start, session, log, stop}, before_steps);
  return run.path;
}

}  // namespace saferclip
