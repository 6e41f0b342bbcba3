// The only place that wires rooms together: options in, ready objects out.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "saferclip/config/run_config.h"
#include "saferclip/core/log.h"
#include "saferclip/data/sampler.h"
#include "saferclip/model/trained.h"
#include "saferclip/weights/weights.h"
#include "saferclip/objective/loss_set.h"
#include "saferclip/prepare/prepare.h"
#include "saferclip/text/tokenizer.h"
#include "saferclip/train/step.h"

namespace saferclip {

// What the options before or after the command say.
struct GlobalOptions {
  std::string log_level = "info";
  std::string device = "auto";
  int threads = 0;
  bool json = false;
};

LogLevel parse_log_level(const std::string& word);

// Weights, tokenizer and device of a configuration, which stays as it was written; what its values
// come to here, precision_on and its like say.
struct Session {
  RunConfig config;
  WeightsSource source;
  std::unique_ptr<Tokenizer> tokenizer;
  at::Device device = at::kCPU;
};

// Throws ConfigError and WeightsError.
Session open_session(RunConfig config, const GlobalOptions& globals, Logger& log);
std::unique_ptr<Tokenizer> open_tokenizer(const ModelOptions& options, const WeightsSource& source);
// CLIP's vocabulary beside the program, or an explanation of how to get it (DataError).
std::filesystem::path clip_vocabulary_path();

// A run folder, or one of its checkpoints.
struct RunReference {
  std::filesystem::path run_folder;
  std::filesystem::path checkpoint;  // empty: none chosen by the path itself
};
// Whether `path` is a run folder or a step folder.
bool is_run_path(const std::filesystem::path& path);
RunReference resolve_run(const std::filesystem::path& path);
// `word`: latest, best, or a step. Throws WeightsError when there is no such good checkpoint.
std::filesystem::path choose_checkpoint(const RunReference& run, const std::string& word,
                                        Logger& log);

// The fp32 model of a checkpoint: source weights with what was trained put in, scaled by
// `strength`.
ClipModel load_tuned(const Session& session, const std::vector<NamedTensor>& trained,
                     const std::string& where, double strength = 1);

// Data of a training run, opened or prepared.
struct TrainingData {
  SplitData train;
  TargetCache targets;
  AnchorCache anchors;
  std::vector<int> stages;  // of each manifest row; -1 for rows that are not good
};
TrainingData prepare_training(const Session& session, Preparer& preparer);

// The rows that an epoch trains on, and whether a row's redirection terms count in it.
std::vector<std::int64_t> admitted_rows(const TrainingData& data, const ObjectiveOptions& objective,
                                        std::int64_t epoch);
bool is_redirected(const TrainingData& data, const ObjectiveOptions& objective, std::int64_t row,
                   std::int64_t epoch);
Sampler make_sampler(const TrainingData& data, const RunConfig& config);

// exp(logit_scale) of the source, or what the configuration says.
double infonce_scale(const ObjectiveOptions& objective, const WeightsSource& source);
// Likewise the bias of the sigmoid terms; 0 when the objective has none. Throws ConfigError when it
// has and neither the weights nor the configuration say it.
double reference_logit_bias(const ObjectiveOptions& objective, const WeightsSource& source);

// What `precision` (bf16, fp32) comes to on a device: fp32 where bf16 is not fast.
std::string precision_on(at::Device device, const std::string& precision);

}  // namespace saferclip
