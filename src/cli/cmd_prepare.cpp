// `prepare`: builds the caches of the training and validation rows without training, for instance
// on a machine other than the one that trains. Warns about what the run would never train and about
// zero-shot classes that the anchor prompts name.
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/next_step.h"
#include "cli/signals.h"
#include "saferclip/core/memory.h"
#include "saferclip/core/text_format.h"
#include "saferclip/evaluate/zero_shot_set.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/run/label_coverage.h"
#include "saferclip/run/plan_checks.h"
#include "saferclip/run/run_processes.h"
#include "saferclip/run/training.h"
#include "saferclip/run/training_coverage.h"
#include "saferclip/run/training_data.h"

namespace saferclip {
namespace {

struct PrepareArguments {
  ConfigArguments config;
  bool json = false;
};

void print_prepared_json(const Session& session, const TrainingData& data,
                         const Preparer& preparer) {
  auto artifacts = nlohmann::ordered_json::array();
  for (const PreparedArtifact& artifact : preparer.artifacts()) {
    artifacts.push_back({{"kind", artifact.kind},
                         {"path", artifact.folder.string()},
                         {"rows", artifact.rows},
                         {"built", artifact.is_built}});
  }
  print_json({{"cache_dir", session.config.data.cache_dir},
              {"training_rows", data.train.good_rows.size()},
              {"artifacts", artifacts}});
}

void prepare_in(const Session& session, bool as_json, Logger& log, const StopFlag& stop) {
  std::optional<Logger::Hush> hush;
  if (!session.processes.is_first()) hush.emplace(log);
  Preparer preparer(session.config.data, session.source, *session.tokenizer, session.device, log,
                    &stop, session.processes);
  const TrainingData data = prepare_training(session, preparer);
  const Sampler sampler = make_sampler(data, session.config);
  require_label_kinds(session.config, data, sampler);
  for (const std::string& problem :
       coverage_problems(training_coverage(session.config, data, sampler), session.config)) {
    log.warn(problem);
  }
  const RowNeeds needs = loss_needs(session.config.objective);
  if (!session.config.data.validation.empty()) {
    make_validator(session, preparer, data, log).prepare();
  }
  preparer.release_reference();
  if (needs.anchor_text) {
    for (const std::string& line : anchored_classes(session.config.objective.anchors.prompts,
                                                    session.config.evaluate.zero_shot)) {
      log.warn(line);
    }
  }
  if (!session.processes.is_first()) return;
  if (as_json) return print_prepared_json(session, data, preparer);
  std::cout << "prepared " << data.train.good_rows.size() << " training rows in "
            << session.config.data.cache_dir << '\n';
}

int prepare(const PrepareArguments& arguments, const GlobalOptions& globals, Logger& log) {
  const StopFlag& stop = ask_before_ending(kGrace);
  RunConfig config = read_run_config(arguments.config.file, arguments.config.overrides);
  const ComputeOptions compute = join_processes(globals, log, stop);
  end_together(compute.processes, log, {}, [&] {
    require_inputs(config);
    const Session session = open_session(std::move(config), compute, log);
    require_equal_processes(session, log);
    prepare_in(session, arguments.json, log, stop);
  });
  log.info(cat("peak memory: ", human_bytes(peak_memory_bytes())));
  if (compute.processes.is_first() && !arguments.json)
    say_next(log, command_text("train", arguments.config, globals));
  return 0;
}

}  // namespace

CommandAction add_prepare_command(CLI::App& command) {
  auto arguments = std::make_shared<PrepareArguments>();
  add_config_arguments(command, arguments->config, "CONFIG", "Configuration (YAML or JSON)");
  command.add_flag("--json", arguments->json,
                   "Print one JSON document: the artifacts, and which were built");
  command.footer(
      "Example:\n  saferclip prepare configs/saferclip-vit-b32.yaml\n"
      "If interrupted, it resumes where it stopped; what is up to date is not rebuilt.");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return prepare(*arguments, globals, log);
  };
}

}  // namespace saferclip
