// `evaluate`: measures and prints tables or JSON. The output path is checked before the work
// starts. Tables appear split by split; --json and --out give one document, or a list if several
// splits were measured.
#include <filesystem>
#include <iostream>
#include <memory>

#include "cli/commands.h"
#include "cli/next_step.h"
#include "cli/signals.h"
#include "saferclip/core/atomic_files.h"
#include "saferclip/core/memory.h"
#include "saferclip/core/output.h"
#include "saferclip/core/text_format.h"
#include "saferclip/evaluate/scores_table.h"
#include "saferclip/run/evaluate_run.h"
#include "saferclip/run/run_processes.h"
#include "saferclip/run/run_reference.h"

namespace saferclip {
namespace {

struct EvaluateArguments {
  ConfigArguments config;
  EvaluateRunRequest request;
  std::string out;
  bool json = false;
};

// A report shows a run as it was trained, so it has no use for other weights.
void say_after_evaluation(const EvaluateArguments& arguments, const GlobalOptions& globals,
                          Logger& log) {
  const EvaluateRunRequest& request = arguments.request;
  if (!is_run_path(request.file)) {
    say_next(log, command_text("train", arguments.config, globals));
  } else if (request.weights.empty()) {
    std::vector<std::string> words{"report", request.file};
    if (request.checkpoint != "latest") {
      words.insert(words.end(), {"--checkpoint", request.checkpoint});
    }
    for (const std::string& setting : request.overrides) {
      words.insert(words.end(), {"--set", setting});
    }
    say_next(log, command_text(words, globals));
  }
}

int evaluate(EvaluateArguments arguments, const GlobalOptions& globals, Logger& log) {
  const StopFlag& stop = ask_before_ending(kGrace);
  const std::filesystem::path out =
      arguments.out.empty()
          ? std::filesystem::path()
          : output_file("--out", arguments.out, "name a file, or print the document with --json");
  EvaluateRunRequest& request = arguments.request;
  request.file = arguments.config.file;
  request.overrides = arguments.config.overrides;
  request.compute = join_processes(globals, log, stop);
  std::vector<OrderedJson> documents;
  end_together(request.compute.processes, log, {}, [&] {
    documents = evaluate_run(request, log, stop, [&](const OrderedJson& document) {
      if (!arguments.json) std::cout << evaluation_table(document) << '\n';
    });
  });
  if (!request.compute.processes.is_first()) return 0;
  const OrderedJson result = documents.size() == 1 ? documents[0] : OrderedJson(documents);
  if (arguments.json) std::cout << result.dump(2) << '\n';
  if (!out.empty()) {
    write_file_atomically(out, result.dump(2) + "\n");
    log.info("wrote " + arguments.out);
  }
  log.info(cat("peak memory: ", human_bytes(peak_memory_bytes())));
  if (!arguments.json) say_after_evaluation(arguments, globals, log);
  return 0;
}

}  // namespace

CommandAction add_evaluate_command(CLI::App& command) {
  auto arguments = std::make_shared<EvaluateArguments>();
  add_config_arguments(command, arguments->config, "CONFIG|RUN",
                       "Configuration (measures the reference) or run folder (before and after)");
  command.add_option("--checkpoint", arguments->request.checkpoint,
                     "For a run: latest, best or a step");
  path_option(command.add_option("--weights", arguments->request.weights,
                                 "Measure these weights in the \"after\" column"));
  command
      .add_option("--split", arguments->request.splits,
                  "validation, train or a name in data.evaluation; repeatable")
      ->allow_extra_args(false);
  command
      .add_option("--strengths", arguments->request.strengths,
                  "Also measure other strengths, from -2 to 3: 0 is the base, 1 the tuned model, "
                  "e.g. 0,0.25,0.5,0.75,1")
      ->delimiter(',')
      ->allow_extra_args(false);
  path_option(command.add_option("--against", arguments->request.against,
                                 "Compare with another run: paired differences on the same rows"));
  path_option(command.add_option("--out", arguments->out, "Write the JSON document to this file"));
  command.add_flag("--json", arguments->json, "Print the JSON document instead of the table");
  command.footer(
      "Examples:\n"
      "  saferclip evaluate runs/saferclip-vit-l14\n"
      "  saferclip evaluate runs/saferclip-vit-l14 --checkpoint best --split nsfwcaps --out "
      "result.json\n"
      "  saferclip evaluate runs/mine --strengths 0,0.25,0.5,0.75,1\n"
      "  saferclip evaluate runs/mine --against runs/published --split test\n"
      "Zero-shot sets are measured once, with the first split. Documents of a run are saved in "
      "its\n"
      "folder evaluations/, and `export` adds them to the model card.");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return evaluate(*arguments, globals, log);
  };
}

}  // namespace saferclip
