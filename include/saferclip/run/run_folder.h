// The folder of one run: what it contains and who may write to it.
#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/config/run_config.h"
#include "saferclip/core/file_lock.h"
#include "saferclip/core/log.h"

namespace saferclip {

struct RunFolder {
  std::filesystem::path path;
  std::unique_ptr<FileLock> lock;
};

// Creates the folder (`<run.dir>/<run.name>`) and locks it. Throws ConfigError if another process
// holds the lock.
RunFolder open_run_folder(const std::filesystem::path& path);

// Removes what a run left in its folder. Touches only a folder with a config.yaml or checkpoints.
void clear_run_folder(const RunFolder& run);

// "step_00000500"
std::string step_name(std::int64_t step);

// What a result depends on besides the configuration; written as environment.json.
struct RunEnvironment {
  std::string device;
  int threads = 0;
  nlohmann::ordered_json resolved;        // values that take effect differently than written
  std::vector<std::string> never_trains;  // sentences about terms and rows; known after preparing
  // Predicted peak of the device's memory (a CPU's: of the process); known after preparing.
  std::optional<std::int64_t> predicted_bytes;
  std::optional<std::int64_t> planned_steps;  // of the whole run; known after preparing
};
// Writes config.yaml, environment.json and README.txt, which says what each file is.
void write_run_records(const RunFolder& run, const RunConfig& config,
                       const RunEnvironment& environment);
// The `never_trains` sentences in a run's environment.json; none without the file or the list.
std::vector<std::string> read_never_trains(const std::filesystem::path& run_folder);

}  // namespace saferclip
