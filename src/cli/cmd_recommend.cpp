// `recommend`: tries the methods on one's own data for a few minutes and prints which of them no
// other one dominates, with the command that takes each further.
#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/commands.h"
#include "cli/json_output.h"
#include "cli/next_step.h"
#include "cli/signals.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/distributed/launch.h"
#include "saferclip/run/recommend.h"

namespace saferclip {
namespace {

struct RecommendArguments {
  ConfigArguments config;
  RecommendRequest request;
  bool json = false;
};

// How to go on with a method that is not dominated.
std::string further(const TriedMethod& tried, const Recommendation& recommendation) {
  const std::string place = (recommendation.folder / tried.method.name).string();
  if (!tried.method.is_trained) {
    return command_text({"export", place, "--to", "hf", "--out", tried.method.name}, {});
  }
  return command_text(
      {"train", place + ".yaml", "--set", cat("run.name=", tried.method.name, "_long"), "--set",
       cat("train.max_steps=", 10 * recommendation.steps)},
      {});
}

void require_one_process() {
  const auto launch = launch_from_environment();
  if (launch && launch->size > 1) {
    throw ConfigError(
        "recommend: its runs are processes of their own, so it cannot be started in several");
  }
}

void require_measured(const Recommendation& recommendation) {
  std::vector<std::string> lines;
  int code = 0;
  for (const TriedMethod& tried : recommendation.tried) {
    if (tried.state != MethodState::kFailed) continue;
    lines.push_back(cat(tried.method.name, ": exit code ", tried.exit_code));
    if (code == 0) code = tried.exit_code;
  }
  if (lines.empty()) return;
  throw Error(join_problems(cat(lines.size(), " of ", recommendation.tried.size(),
                                " methods failed; their messages stand above:"),
                            lines),
              code);
}

int recommend(const RecommendArguments& arguments, const GlobalOptions& globals, Logger& log) {
  RecommendRequest request = arguments.request;
  request.file = arguments.config.file;
  request.settings = arguments.config.overrides;
  request.arguments = global_words(globals);
  require_one_process();
  const std::vector<Method> methods = plan_methods(request);
  const StopFlag& stop = ask_before_ending({});
  const Recommendation result = try_methods(request, methods, log, stop);
  if (arguments.json) {
    print_json(recommendation_json(result));
  } else {
    std::cout << recommendation_table(result);
    for (const TriedMethod& tried : result.tried) {
      if (tried.state != MethodState::kMeasured || tried.is_dominated) continue;
      std::cout << tried.method.name << ": " << further(tried, result) << '\n';
    }
    std::cout << std::flush;
  }
  require_measured(result);
  return 0;
}

}  // namespace

CommandAction add_recommend_command(CLI::App& command) {
  auto arguments = std::make_shared<RecommendArguments>();
  add_config_arguments(command, arguments->config, "CONFIG", "Configuration (YAML or JSON)");
  RecommendRequest& request = arguments->request;
  command.add_option("--steps", request.steps, "Steps of each method that trains")
      ->check(CLI::PositiveNumber);
  command
      .add_option("--minutes", request.minutes,
                  "Start no training that would take longer in all, by the longest so far")
      ->check(CLI::PositiveNumber);
  command.add_option("--split", request.split,
                     "Measure on this split: validation or a name in data.evaluation");
  command.add_option("--only", request.only, "Try this method alone; repeatable")
      ->allow_extra_args(false);
  command.add_flag("--json", arguments->json, "Print one JSON document");
  command.footer(
      "Examples:\n"
      "  saferclip recommend my.yaml --minutes 20\n"
      "  saferclip recommend my.yaml --only saferclip --only mutual --steps 500\n"
      "Each method runs with the configuration's model, data, adapter, optimizer and batch, in "
      "the\n"
      "folder of the run with -recommend behind its name; the same command again tries what is\n"
      "missing. A few steps show which way a method goes, not how far: choose among the starred\n"
      "ones, then train longer and measure on a split that chose nothing.");
  return [arguments](const GlobalOptions& globals, Logger& log) {
    return recommend(*arguments, globals, log);
  };
}

}  // namespace saferclip
