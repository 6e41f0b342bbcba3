#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <iostream>

#include "cli/commands.h"
#include "saferclip/run/open_run.h"
#include "saferclip/run/plan_checks.h"
#include "saferclip/run/resume.h"
#include "saferclip/run/run_folder.h"
#include "saferclip/run/run_plan.h"
#include "cli/signals.h"
#include "saferclip/run/training_coverage.h"
#include "saferclip/evaluate/validation.h"
#include "saferclip/core/error.h"
#include "saferclip/core/memory.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/durations.h"
#include "saferclip/weights/peft.h"
#include "saferclip/train/augment.h"
#include "saferclip/train/trainer.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

struct TrainArguments {
  ConfigArguments config;
  std::string resume;
  bool overwrite = false;
  bool dry_run = false;
  std::string max_time;
};

// Where a run goes on: its folder, and the checkpoint to start from (empty: from the start).
struct StartPoint {
  fs::path run_folder;
  fs::path checkpoint;
};

StartPoint find_start(const TrainArguments& arguments, const RunConfig& config, Logger& log) {
  StartPoint start{fs::absolute(fs::path(config.run.dir) / config.run.name), {}};
  if (arguments.resume.empty()) return start;
  if (arguments.resume != "auto") {
    const RunReference reference = resolve_run(arguments.resume);
    return {reference.run_folder, choose_checkpoint(reference, "latest", log)};
  }
  const CheckpointStore store(start.run_folder, log);
  const auto step = store.newest_good();
  if (step) {
    start.checkpoint = store.folder(*step);
  } else {
    log.info(cat("--resume auto: ", start.run_folder.string(),
                 " holds no good checkpoint; starting afresh"));
  }
  return start;
}

void require_fresh(const fs::path& run_folder, Logger& log) {
  if (CheckpointStore(run_folder, log).steps().empty()) return;
  throw ConfigError(
      cat("run folder ", run_folder.string(),
          ": has checkpoints already; go on with --resume auto, start over with --overwrite, or "
          "use another name with --set run.name=…"));
}

at::ScalarType compute_dtype(const Session& session) {
  const bool is_bf16 = precision_on(session.device, session.config.train.precision) == "bf16";
  return is_bf16 ? at::kBFloat16 : at::kFloat;
}

void say_lowered_precision(const Session& session, Logger& log) {
  const std::string& written = session.config.train.precision;
  if (precision_on(session.device, written) == written) return;
  log.warn("train.precision: this CPU has no fast bf16 (AVX512-BF16); training in fp32 instead");
}

TrainerOptions trainer_options(const Session& session) {
  const RunConfig& config = session.config;
  TrainerOptions options;
  options.train = config.train;
  options.schedule = config.schedule;
  options.checkpoint = config.checkpoint;
  options.log_every_steps = config.log.every_steps;
  options.validate_every_epochs = config.evaluate.every_epochs;
  options.peak_lr = config.optimizer.lr;
  options.step.objective = config.objective;
  options.step.preprocessing = session.source.preprocessing;
  options.step.compute = compute_dtype(session);
  options.step.micro_batch_size = config.train.micro_batch_size;
  options.step.gradient_cache = config.train.gradient_cache;
  options.step.recompute = recompute_of(config);
  options.step.grad_clip = config.train.grad_clip;
  options.step.trains_logit_scale = config.model.train_logit_scale;
  options.step.infonce_scale = infonce_scale(config.objective, session.source);
  options.step.logit_bias = reference_logit_bias(config.objective, session.source);
  options.step.seed = static_cast<std::uint64_t>(config.train.seed);
  return options;
}

BatchSource make_batches(const Session& session, const TrainingData& data) {
  const ObjectiveOptions& objective = session.config.objective;
  const LossNeeds needs = loss_needs(objective);
  const bool crops = session.config.data.augment == "crop";
  const BatchParts parts{needs.unsafe_text, needs.reference,    needs.targets,
                         needs.anchor_text, needs.anchor_image, crops};
  return BatchSource(data.train, data.targets, data.anchors, parts, objective.anchors.batch_size,
                     static_cast<std::uint64_t>(session.config.train.seed));
}

// How batches are augmented; empty: not at all. Frees the reference unless cropped pictures need it
// in memory.
std::function<Batch(const Batch&)> make_augment(const Session& session, Preparer& preparer,
                                                Logger& log) {
  const RunConfig& config = session.config;
  const LossNeeds needs = loss_needs(config.objective);
  const bool crops = config.data.augment == "crop";
  LiveReference reference;
  if (crops && needs.reference) {
    log.info("data.augment: the frozen reference stays in memory and embeds the cropped pictures");
    reference = {&preparer.reference(), session.source.preprocessing,
                 config.train.micro_batch_size.value_or(config.train.batch_size),
                 needs.reference_unsafe_image, preparer.stop()};
  } else {
    preparer.release_reference();
  }
  if (!crops) return {};
  return [reference](const Batch& batch) { return augment_batch(batch, reference); };
}

void require_unchanged_reference(const Session& session, Preparer& preparer) {
  preparer.release_reference();
  const RunConfig& config = session.config;
  if (open_weights(config.model, static_cast<std::uint64_t>(config.train.seed)).hash() !=
      session.source.hash()) {
    throw WeightsError(session.source.path.string() +
                       ": the reference weights changed during the run");
  }
}

TrainState restore_run(const StartPoint& start, const TrainState& now,
                       const std::vector<TrainedParameter>& parameters, Optimizer& optimizer,
                       Logger& log) {
  if (start.checkpoint.empty()) return now;
  TrainState state = read_train_state(start.checkpoint);
  require_same_content(state, now, start.run_folder);
  keep_or_restart_best(state, now, log);
  restore(start.checkpoint, parameters, optimizer);
  if (state.threads != now.threads || state.device != now.device) {
    log.warn(cat("the run was on ", state.device, " with ", state.threads, " threads, now ",
                 now.device, " with ", now.threads, ": results will not be equal to the bit"));
  }
  log.info(cat("going on from ", start.checkpoint.string(), " (step ", state.step, ")"));
  state.measure = now.measure;
  state.precision = now.precision;
  state.device = now.device;
  state.threads = now.threads;
  return state;
}

// The moment at which --max-time, counted from now, asks the run to end.
std::optional<SteadyTime> time_limit(const std::string& max_time) {
  if (max_time.empty()) return std::nullopt;
  const auto seconds = parse_duration(max_time);
  if (!seconds || *seconds == 0) {
    throw ConfigError(cat("--max-time ", max_time,
                          ": expected a time such as 55m, 1h30m, 90s, 55:00 (minutes:seconds), "
                          "1:30:00 or 1-02:00:00 (days-hours:minutes:seconds)"));
  }
  return std::chrono::steady_clock::now() + std::chrono::seconds(*seconds);
}

RunEnvironment environment_of(const Session& session) {
  return {session.device.str(), at::get_num_threads(), resolved_values(session), {}};
}

void train_in(const RunFolder& run, const StartPoint& start, const Session& session, Logger& log,
              const StopFlag& stop, std::optional<SteadyTime> limit) {
  const RunConfig& config = session.config;
  const at::ScalarType compute = compute_dtype(session);
  const bool has_bf16_weights = config.adapter.method == "lora" && compute == at::kBFloat16;
  // Before preparing, whose keys wait for the hash of the file: that is worked out meanwhile.
  ClipModel model =
      load_clip(session.source, has_bf16_weights ? at::kBFloat16 : at::kFloat, session.device);
  Preparer preparer(config.data, session.source, *session.tokenizer, session.device, log, &stop);
  const TrainingData data = prepare_training(session, preparer);
  const Sampler sampler = make_sampler(data, config);
  require_steps(config, total_steps(config.train, sampler));
  Validator validator(session, preparer, data, run.path, log);
  TrainState state;
  if (!config.data.validation.empty()) {
    validator.prepare();
    if (config.evaluate.every_epochs > 0) validator.score_reference();
    state.measure = validator.measure();
    const std::string problem = start.checkpoint.empty() ? validator.chance_problem() : "";
    if (!problem.empty()) log.warn(problem);
  }
  const auto augment = make_augment(session, preparer, log);
  const auto parameters = make_trainable(model, config.model, config.adapter,
                                         static_cast<std::uint64_t>(config.train.seed));
  if (!config.adapter.start_from.empty()) {
    const auto adapter = read_peft_adapter(config.adapter.start_from, session.source.geometry);
    for (const std::string& note : adapter.notes) log.warn(note);
    start_from_adapter(parameters, adapter, config.adapter);
  }
  const std::int64_t rows = config.train.micro_batch_size.value_or(config.train.batch_size);
  pack_frozen_weights(model, 2 * rows, 2 * rows, compute);
  Optimizer optimizer(config.optimizer, parameters);
  RunEnvironment environment = environment_of(session);
  environment.never_trains = coverage_problems(training_coverage(config, data, sampler), config);
  for (const std::string& problem : environment.never_trains) log.warn(problem);
  write_run_records(run, config, environment);
  state.content = content_keys(session, data);
  state.precision = compute == at::kBFloat16 ? "bf16" : "fp32";
  state.device = session.device.str();
  state.threads = at::get_num_threads();
  state = restore_run(start, state, parameters, optimizer, log);
  log.info(plan_text(session, data, sampler, parameters));
  const BatchSource batches = make_batches(session, data);
  CheckpointStore checkpoints(run.path, log);
  TrainerParts parts{model,       parameters, optimizer, sampler,       batches,
                     checkpoints, log,        run.path,  session.device};
  parts.redirects = [&](std::int64_t row, std::int64_t epoch) {
    return is_redirected(data, config.objective, row, epoch);
  };
  parts.augment = augment;
  if (!config.data.validation.empty()) {
    parts.validate = [&](std::int64_t step) {
      return validator.validate(step, trained_tensors(parameters));
    };
  }
  parts.row_name = [&](std::int64_t row) {
    return data.train.manifest.rows[static_cast<std::size_t>(row)].id;
  };
  parts.stop = &stop;
  keep_freed_memory();
  TrainerOptions options = trainer_options(session);
  options.step.stop = &stop;
  ask_before_ending({}, limit);  // a save must not be cut, and from here on all work asks
  run_training(parts, options, state);
  require_unchanged_reference(session, preparer);
}

int train(const TrainArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const std::optional<SteadyTime> limit = time_limit(arguments.max_time);
  const StopFlag& stop = ask_before_ending(kGrace, limit);
  RunConfig config = read_run_config(arguments.config.file, arguments.config.overrides);
  if (arguments.overwrite && !arguments.resume.empty()) {
    throw ConfigError("--overwrite and --resume exclude each other");
  }
  require_inputs(config);
  require_sound_plan(config);
  if (arguments.dry_run) {
    const Session session = open_session(std::move(config), globals, log);
    say_lowered_precision(session, log);
    Preparer preparer(session.config.data, session.source, *session.tokenizer, session.device, log,
                      &stop);
    const TrainingData data = prepare_training(session, preparer);
    if (!session.config.data.validation.empty()) {
      Validator(session, preparer, data, {}, log).prepare();
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
    std::cout << plan_text(session, data, sampler, parameters) << '\n';
    return 0;
  }
  const StartPoint start = find_start(arguments, config, log);
  const RunFolder run = open_run_folder(start.run_folder);
  if (arguments.overwrite) clear_run_folder(run);
  if (start.checkpoint.empty()) {
    require_fresh(run.path, log);
  }
  if (!start.checkpoint.empty()) require_base(config, run.path);
  const Session session = open_session(std::move(config), globals, log);
  say_lowered_precision(session, log);
  if (!start.checkpoint.empty()) {
    require_same_run(run.path, read_train_state(start.checkpoint), session, log);
  }
  log.also_to_file(run.path / "train.log");
  write_run_records(run, session.config, environment_of(session));
  // A kill may come while any of these is written, the records above included.
  for (const fs::path& folder : {run.path, run.path / "checkpoints", run.path / "evaluations"}) {
    remove_stale_temporaries(folder);
  }
  train_in(run, start, session, log, stop, limit);
  std::cout << "run: " << run.path.string() << '\n';
  return 0;
}

}  // namespace

CommandAction add_train_command(CLI::App& command) {
  auto arguments = std::make_shared<TrainArguments>();
  add_config_arguments(command, arguments->config, "CONFIG", "Configuration (YAML or JSON)");
  path_option(command.add_option(
      "--resume", arguments->resume,
      "auto: go on from the newest good checkpoint, or start; or a run or checkpoint folder"));
  command.add_flag("--overwrite", arguments->overwrite,
                   "Delete what the run folder holds and start over");
  command.add_option("--max-time", arguments->max_time,
                     "Stop in time for a batch queue: save after this long and exit with 75, e.g. "
                     "55m, 1h30m, 1-02:00:00");
  command.add_flag("--dry-run", arguments->dry_run,
                   "Prepare and say what would be trained; train nothing");
  command.footer(
      "Examples:\n"
      "  saferclip train configs/saferclip-vit-b32.yaml\n"
      "  saferclip train my.yaml --set optimizer.lr=5e-5 --set run.name=slower\n"
      "  saferclip train my.yaml --resume auto        after a kill, a crash, a full disk\n"
      "  saferclip train my.yaml --resume auto --max-time 55m\n"
      "Ctrl-C or SIGTERM saves a checkpoint and ends with 128 + signal, --max-time with 75: both "
      "go\n"
      "on with --resume auto. docs/long_runs.md has a script for Slurm.");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return train(*arguments, globals, log);
  };
}

}  // namespace saferclip
