// The folder of one run: what stands in it, who may write to it.
#pragma once

#include <filesystem>
#include <memory>
#include <string>

#include "saferclip/config/run_config.h"
#include "saferclip/core/files.h"
#include "saferclip/core/log.h"

namespace saferclip {

struct RunFolder {
  std::filesystem::path path;
  std::unique_ptr<FileLock> lock;
};

// Creates `<run.dir>/<run.name>` and locks it. Throws ConfigError when another process has it.
RunFolder open_run_folder(const std::filesystem::path& path);

// Removes what a run has left in its folder. Only a folder with our config.yaml or checkpoints is
// touched.
void clear_run_folder(const RunFolder& run);

// config.yaml and environment.json.
void write_run_records(const RunFolder& run, const RunConfig& config,
                       const std::string& environment);

// Versions, device, threads: what a result depends on besides the configuration. JSON.
std::string environment_json(const std::string& device, int threads);

}  // namespace saferclip
