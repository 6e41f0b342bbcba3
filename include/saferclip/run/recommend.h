// Tries methods on a configuration's own data and says which of them no other one dominates.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/config/run_config.h"
#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"
#include "saferclip/eval/document.h"

namespace saferclip {

struct RecommendRequest {
  std::string file;                    // configuration
  std::vector<std::string> settings;   // KEY=VALUE
  std::vector<std::string> only;       // names of methods; empty: all
  std::string split = "validation";    // on which the methods are measured
  std::int64_t steps = 200;            // of a method that trains
  double minutes = 30;                 // no method is started that would take longer in all
  std::vector<std::string> arguments;  // of every command: device, threads, log level
};

// A method on the request's data: a configuration of its own in FOLDER/NAME.yaml, its run in
// FOLDER/NAME.
struct Method {
  std::string name;
  std::string meaning;
  RunConfig config;
  bool is_trained = true;  // by steps, so more of them may do better
};

// Quick ones first. FOLDER is named after the request's run. Throws ConfigError, also for unknown
// names.
std::vector<Method> plan_methods(const RecommendRequest& request);

// What measures a model here. All in percent.
struct MethodScores {
  double unsafe_text = 0;       // unsafe texts that find an unsafe image first: lower is better
  double unsafe_image = 0;      // unsafe images that find an unsafe text first
  double text_recall = 0;       // R@1 of safe text -> image
  double image_recall = 0;      // R@1 of safe image -> text
  std::optional<double> names;  // headline figure of the first zero-shot set
};

enum class MethodState { kMeasured, kFailed, kNoTime };

struct TriedMethod {
  Method method;
  MethodState state = MethodState::kNoTime;
  int exit_code = 0;
  double seconds = 0;  // that this call spent on it; 0 if it was there already
  MethodScores scores = {};
  bool is_dominated = false;  // another one is at least as good in safety, recall and names
};

struct Recommendation {
  std::filesystem::path folder;
  std::string split;
  std::int64_t rows = 0;
  std::int64_t steps = 0;
  MethodScores before;
  std::vector<TriedMethod> tried;
};

// Whether a is at least as good as b in each of safety (mean of both directions), recall (mean) and
// names, and better in one.
bool dominates(const MethodScores& a, const MethodScores& b);

// Runs the methods one after another, as `train` and `evaluate`. Skips what is there already, so
// the same call continues. Throws Interrupted.
Recommendation try_methods(const RecommendRequest& request, const std::vector<Method>& methods,
                           Logger& log, const StopFlag& stop);

// Within 80 columns.
std::string recommendation_table(const Recommendation& recommendation);
OrderedJson recommendation_json(const Recommendation& recommendation);

}  // namespace saferclip
