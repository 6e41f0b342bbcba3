// Runs of one configuration over the product of several values, one after another.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/config/run_config.h"
#include "saferclip/core/log.h"
#include "saferclip/core/stop.h"

namespace saferclip {

struct SweepRequest {
  std::string file;                    // configuration
  std::vector<std::string> settings;   // KEY=VALUE,VALUE,…
  std::vector<std::int64_t> seeds;     // values of train.seed; empty: the configuration's
  std::string split;                   // evaluate each run on it; empty: do not
  std::vector<std::string> arguments;  // of every command: device, threads, log level
  bool keeps_stdout = false;           // for a document: the runs write to stderr alone
};

struct SweptRun {
  std::string name;  // says the values that vary
  std::filesystem::path folder;
  std::vector<std::string> overrides;  // KEY=VALUE, run.name included
  RunConfig config;
};

// The values of "1,2": a comma separates, unless it stands in quotes or brackets. `place` begins
// messages. Throws ConfigError for an empty value and for quotes or brackets that are not closed.
std::vector<std::string> swept_values(const std::string& place, const std::string& text);

// The runs, the last setting varying fastest. Throws ConfigError with the problems of all
// configurations.
std::vector<SweptRun> plan_sweep(const SweepRequest& request);

// The commands of a run, as arguments of this program: train, and evaluate if a split is given.
std::vector<std::vector<std::string>> sweep_commands(const SweepRequest& request,
                                                     const SweptRun& run);

struct SweepFailure {
  std::string name;
  int exit_code = 0;
};

// Trains, and evaluates if a split is given, what is not finished yet. Continues after a failed
// run and returns the failures. Throws Interrupted with the exit code of the child that a signal
// stopped.
std::vector<SweepFailure> run_sweep(const SweepRequest& request, const std::vector<SweptRun>& runs,
                                    Logger& log, const StopFlag& stop);

}  // namespace saferclip
