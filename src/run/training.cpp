// Wires one training run: turns the configuration into options and parts of the trainer, which
// knows nothing of configurations. The order saves memory: validation rows and the reference's
// scores are prepared before the first step, then the frozen reference is freed unless cropped
// pictures need it.
#include "saferclip/run/training.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <optional>
#include <utility>

#include "run/closed_form_run.h"
#include "run/run_validation.h"
#include "run/training_batches.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/error.h"
#include "saferclip/core/memory.h"
#include "saferclip/core/text_format.h"
#include "saferclip/data/split_source.h"
#include "saferclip/nn/precision.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/prepare/reference_scale.h"
#include "saferclip/run/label_coverage.h"
#include "saferclip/run/open_run.h"
#include "saferclip/run/plan_checks.h"
#include "saferclip/run/resume.h"
#include "saferclip/run/run_folder.h"
#include "saferclip/run/run_plan.h"
#include "saferclip/run/run_processes.h"
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
  const Precision precision = precision_on(session.device, session.config.train.precision);
  return precision == Precision::kBf16   ? at::kBFloat16
         : precision == Precision::kFp16 ? at::kHalf
                                         : at::kFloat;
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
  options.log = config.log;
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
  options.step.processes = session.processes;
  return options;
}

void require_unchanged_reference(const Session& session, Preparer& preparer) {
  preparer.release_reference();
  if (!session.processes.is_first()) return;
  const RunConfig& config = session.config;
  if (open_weights(config.model, static_cast<std::uint64_t>(config.train.seed)).hash() !=
      session.source.hash()) {
    throw WeightsError(session.source.path.string() +
                       ": the reference weights changed during the run");
  }
}

RunEnvironment environment_of(const Session& session) {
  return {session.device.str(), at::get_num_threads(), resolved_values(session), {}, {}, {}};
}

std::vector<TrainedParameter> make_leaves(const Session& session, ClipModel& model, Logger& log) {
  const RunConfig& config = session.config;
  add_lorentz_scalars(model, config.objective);
  auto parameters = make_trainable(model, config.model, config.adapter,
                                   static_cast<std::uint64_t>(config.train.seed));
  if (!config.adapter.start_from.empty()) {
    const auto adapter = read_peft_adapter(config.adapter.start_from, session.source.geometry);
    for (const std::string& note : adapter.notes) log.warn(note);
    start_from_adapter(parameters, adapter, config.adapter);
  }
  return parameters;
}

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
  const bool is_alone = session.processes.is_alone();
  state.device = is_alone || session.device.is_cpu() ? session.device.str() : "cuda";
  state.threads = at::get_num_threads();
  state.processes = session.processes.size();
  return state;
}

// Records the run's environment and warns about what will never train.
void record_run(const RunContext& context, const TrainingData& data, const Sampler& sampler,
                const std::vector<TrainedParameter>& parameters) {
  const Session& session = context.session;
  if (!session.processes.is_first()) return;
  RunEnvironment environment = environment_of(session);
  environment.never_trains =
      coverage_problems(training_coverage(session.config, data, sampler), session.config);
  const MemoryPlan plan = memory_plan(session, data, sampler, parameters);
  environment.predicted_bytes = predicted_bytes(plan);
  environment.planned_steps = total_steps(session.config.train, sampler);
  for (const std::string& problem : environment.never_trains) context.log.warn(problem);
  for (const std::string& problem : memory_problems(plan, session.device)) {
    context.log.warn(problem);
  }
  write_run_records(context.run, session.config, environment);
}

// Fills `data`, to which the validator refers.
std::optional<Validator> prepare_data(const RunContext& context, Preparer& preparer,
                                      TrainingData& data) {
  const Session& session = context.session;
  data = prepare_training(session, preparer);
  const Sampler sampler = make_sampler(data, session.config);
  require_steps(session.config, total_steps(session.config.train, sampler));
  require_label_kinds(session.config, data, sampler);
  return prepare_validation(session, preparer, data, context.start.checkpoint.empty(), context.log);
}

// What a step needs besides the model: copies for the products of a GPU, and what lets several
// processes update their weights alike.
struct StepParts {
  StepParts(const Session& session, ClipModel& model, at::ScalarType compute,
            const std::vector<TrainedParameter>& parameters) {
    if (session.config.adapter.method == AdapterMethod::kMask) {
      masks.emplace(parameters, session.config.adapter, session.config.objective,
                    static_cast<std::uint64_t>(session.config.train.seed));
    }
    if (session.device.is_cuda()) copies.emplace(copied_tensors(model, compute), compute);
    if (session.processes.is_alone()) return;
    if (session.config.train.shard_optimizer) shards.emplace(session.processes, parameters);
    std::vector<at::Tensor> direct{model.logit_scale, model.logit_bias};
    LorentzScalars::for_each(model.lorentz, [&](const char* /*name*/, const at::Tensor& value) {
      direct.push_back(value);
    });
    gradients.emplace(session.processes,
                      GradientSum::Leaves{parameters, direct, model.text.token_embedding,
                                          copies ? &*copies : nullptr});
  }

  void add_to(StepOptions& options) {
    options.copies = copies ? &*copies : nullptr;
    options.shards = shards ? &*shards : nullptr;
    options.gradients = gradients ? &*gradients : nullptr;
    options.masks = masks ? &*masks : nullptr;
  }

  std::optional<ComputeCopies> copies;
  std::optional<OptimizerShards> shards;
  std::optional<GradientSum> gradients;
  std::optional<MaskTraining> masks;
};

Optimizer make_optimizer(const Session& session, const std::vector<TrainedParameter>& parameters,
                         at::ScalarType compute, const StepParts& parts) {
  return Optimizer(session.config.optimizer, parameters,
                   compute == at::kHalf ? Optimizer::Scaling::kDynamic : Optimizer::Scaling::kNone,
                   parts.shards ? parts.shards->held() : std::vector<bool>());
}

void train_in(const RunContext& context, const std::function<void()>& before_steps) {
  const Session& session = context.session;
  const RunConfig& config = session.config;
  Logger& log = context.log;
  // All processes see the same data: one is enough to warn of it.
  std::optional<Logger::Hush> hush;
  if (!session.processes.is_first()) hush.emplace(log);
  const at::ScalarType compute = compute_dtype(session);
  const bool trains_all = config.adapter.method == AdapterMethod::kFull;
  // Load the model before preparing: the cache keys need the file's hash, which is computed
  // meanwhile.
  ClipModel model = load_clip(session.source, trains_all ? at::kFloat : compute, session.device);
  Preparer preparer(config.data, session.source, *session.tokenizer, session.device, log,
                    &context.stop, session.processes);
  TrainingData data;
  std::optional<Validator> validator = prepare_data(context, preparer, data);
  const Sampler sampler = make_sampler(data, config);
  const LiveReference reference = live_reference(session, preparer, log);
  const std::vector<TrainedParameter> parameters = make_leaves(session, model, log);
  const std::int64_t rows = rows_in_a_pass(session);
  pack_frozen_weights(model, 2 * rows, 2 * rows, compute);
  StepParts parts(session, model, compute, parameters);
  Optimizer optimizer = make_optimizer(session, parameters, compute, parts);
  record_run(context, data, sampler, parameters);
  TrainState state = restore_run(
      context.start, state_of(session, data, validator ? validator->measure() : std::string()),
      parameters, optimizer, log);
  log.info(plan_text(session, data, sampler, parameters));
  const TrainingBatches batches(session, data, sampler, reference);
  std::optional<RunValidation> validation;
  if (validator) validation.emplace(session, *validator, context.run, parameters, log);
  CheckpointStore checkpoints(context.run.path, log);
  keep_freed_memory();
  before_steps();
  TrainerOptions options = trainer_options(session, context.stop);
  parts.add_to(options.step);
  hush.reset();
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

// The first process finds the start and holds the folder's lock.
StartPoint open_start(const TrainingRequest& request, RunFolder& run, Logger& log) {
  const Processes& processes = request.compute.processes;
  StartPoint start;
  if (processes.is_first()) {
    start = find_start(request.resume, request.config, log);
    run = open_run_folder(start.run_folder);
    if (request.overwrite) clear_run_folder(run);
    if (start.checkpoint.empty()) {
      require_fresh(run.path, log);
    } else {
      require_base(request.config, run.path);
    }
  }
  start.run_folder = text_of_first(processes, start.run_folder.string());
  start.checkpoint = text_of_first(processes, start.checkpoint.string());
  run.path = start.run_folder;
  return start;
}

fs::path run_in_folder(TrainingRequest request, Logger& log, const StopFlag& stop,
                       const std::function<void(const fs::path&)>& before_steps) {
  RunFolder run;
  const StartPoint start = open_start(request, run, log);
  const Session session = open_session(std::move(request.config), request.compute, log);
  require_equal_processes(session, log);
  const bool takes_steps = session.config.adapter.method != AdapterMethod::kClosedForm;
  if (session.processes.is_first() && takes_steps) say_lowered_precision(session, log);
  if (!start.checkpoint.empty()) {
    require_same_run(run.path, read_train_state(start.checkpoint), session, log);
  }
  const bool is_first = session.processes.is_first();
  log.also_to_file(run.path / (is_first ? std::string("train.log")
                                        : cat("train.rank", session.processes.rank(), ".log")));
  if (is_first) {
    write_run_records(run, session.config, environment_of(session));
    // A killed run may have left temporaries of any of these, including the records above.
    for (const fs::path& folder : {run.path, run.path / "checkpoints", run.path / "evaluations"}) {
      remove_stale_temporaries(folder);
    }
  }
  const auto is_ready = [&] { before_steps(run.path); };
  if (takes_steps) {
    train_in({run, start, session, log, stop}, is_ready);
  } else {
    run_closed_form(run, start, session, log, stop, is_ready);
  }
  return run.path;
}

void require_sound_request(const TrainingRequest& request) {
  if (request.overwrite && !request.resume.empty()) {
    throw ConfigError("--overwrite and --resume cannot be used together");
  }
  require_inputs(request.config);
  require_sound_plan(request.config);
}

}  // namespace

std::string plan_training(TrainingRequest request, Logger& log, const StopFlag& stop) {
  require_sound_request(request);
  const Session session = open_session(std::move(request.config), request.compute, log);
  const bool takes_steps = session.config.adapter.method != AdapterMethod::kClosedForm;
  if (takes_steps) say_lowered_precision(session, log);
  Preparer preparer(session.config.data, session.source, *session.tokenizer, session.device, log,
                    &stop);
  const TrainingData data = prepare_training(session, preparer);
  if (!session.config.data.validation.empty()) {
    make_validator(session, preparer, data, log).prepare();
  }
  preparer.release_reference();
  if (!takes_steps) return closed_form_plan(session, data);
  const Sampler sampler = make_sampler(data, session.config);
  require_steps(session.config, total_steps(session.config.train, sampler));
  require_label_kinds(session.config, data, sampler);
  ClipModel shapes = allocate_clip(session.source.geometry, at::kFloat, at::kCPU);
  add_lorentz_scalars(shapes, session.config.objective);
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
                   const std::function<void(const fs::path&)>& before_steps) {
  const Processes processes = request.compute.processes;
  bool has_steps = false;
  fs::path folder;
  // Once there are steps, all processes stop and fail together.
  const auto is_shared = [&](const Error& problem) {
    return has_steps && (dynamic_cast<const Interrupted*>(&problem) != nullptr ||
                         dynamic_cast<const NumericError*>(&problem) != nullptr);
  };
  end_together(processes, log, is_shared, [&] {
    require_sound_request(request);
    folder = run_in_folder(std::move(request), log, stop, [&](const fs::path& run) {
      before_steps(run);
      has_steps = true;
    });
  });
  return folder;
}

}  // namespace saferclip
