// Lock, records and cleanup of a run folder. Whoever writes holds the lock first, so two processes
// never share a folder. clear_run_folder deletes named entries only, and only beside a config.yaml
// or checkpoints: a mistyped run.dir must not cost anyone their files.
#include "saferclip/run/run_folder.h"

#include <ATen/Version.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <torch/headeronly/version.h>

#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/cpu.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"
#include "saferclip/nn/cuda_card.h"

namespace saferclip {
namespace fs = std::filesystem;

RunFolder open_run_folder(const fs::path& path) {
  make_folders(path);
  RunFolder run{path, FileLock::try_acquire(path / ".lock")};
  if (run.lock == nullptr) {
    throw ConfigError(cat("run folder ", path.string(),
                          ": another process is using it; wait for it, or use "
                          "another name with --set run.name=…"));
  }
  return run;
}

void clear_run_folder(const RunFolder& run) {
  const bool is_ours = fs::exists(run.path / "config.yaml") || fs::exists(run.path / "checkpoints");
  if (!is_ours) return;
  for (const char* name : {"checkpoints", "evaluations", "metrics.jsonl", "train.log",
                           "config.yaml", "environment.json", "finished.json", "README.txt",
                           "report.html", "tensorboard", "galleries"}) {
    remove_tree(run.path / name);
  }
  for (const auto& entry : fs::directory_iterator(run.path)) {
    if (entry.path().filename().string().starts_with("train.rank")) remove_tree(entry.path());
  }
}

std::string step_name(std::int64_t step) {
  std::array<char, 40> name{};
  std::snprintf(name.data(), name.size(), "step_%08lld", static_cast<long long>(step));
  return name.data();
}

namespace {

// The card of a device such as "cuda:1", with its driver.
nlohmann::ordered_json card_json(const std::string& device) {
  const std::size_t colon = device.find(':');
  const int index = colon == std::string::npos ? 0 : std::stoi(device.substr(colon + 1));
  nlohmann::ordered_json json{{"driver", cuda_driver_version().value_or("unknown")}};
  if (const auto card = cuda_card(index)) {
    json["name"] = card->name;
    json["capability"] = card->capability();
    json["memory_bytes"] = card->memory_bytes;
  }
  const at::CUDAHooksInterface& hooks = at::detail::getCUDAHooks();
  if (hooks.compiledWithCuDNN()) json["cudnn"] = hooks.versionCuDNN();
  if (const auto nccl = nccl_version()) json["nccl"] = *nccl;
  return json;
}

std::string environment_json(const RunEnvironment& environment) {
  nlohmann::ordered_json json{{"saferclip", SAFERCLIP_VERSION},
                              {"libtorch", TORCH_VERSION},
                              {"device", environment.device},
                              {"threads", environment.threads},
                              {"cpu", cpu_features()},
                              {"resolved", environment.resolved},
                              {"never_trains", environment.never_trains}};
  const bool is_cuda = environment.device.starts_with("cuda");
  if (environment.predicted_bytes) {
    json["plan"][is_cuda ? "device_bytes" : "host_bytes"] = *environment.predicted_bytes;
  }
  if (environment.planned_steps) json["plan"]["steps"] = *environment.planned_steps;
  if (is_cuda) json["gpu"] = card_json(environment.device);
  return json.dump(2) + "\n";
}

constexpr const char* kReadme = R"(A run of saferclip (https://arxiv.org/abs/2511.16743).

config.yaml        the configuration with all values, also those that were not written; `train` takes it as it is
environment.json   versions, device, values that took effect differently than written, the plan
checkpoints/       step_N: trained weights, optimizer, state; the files latest and best name one of them
metrics.jsonl      one JSON object a line: losses of steps, validations
tensorboard/       the numbers of metrics.jsonl as TensorBoard reads them, with log.tensorboard: true
galleries/         what unsafe captions find at each validation, with log.tensorboard: true; a log line names each
evaluations/       what was measured, by step and split
train.log          all messages, with --quiet too; train.rankN.log: by the other processes
finished.json      made by `sweep` when the run was complete
report.html        the page that `report` writes
.lock              held by the process that trains

Go on after an end of any kind:  saferclip train config.yaml --resume RUN
Measure, export, look:           saferclip evaluate RUN;  saferclip export RUN --to hf --out DIR;  saferclip report RUN
The folder may be moved. config.yaml names weights, data and caches by their paths.
)";

}  // namespace

void write_run_records(const RunFolder& run, const RunConfig& config,
                       const RunEnvironment& environment) {
  write_file_atomically(run.path / "config.yaml", dump_run_config(config));
  write_file_atomically(run.path / "environment.json", environment_json(environment));
  write_file_atomically(run.path / "README.txt", kReadme);
}

std::vector<std::string> read_never_trains(const fs::path& run_folder) {
  const fs::path file = run_folder / "environment.json";
  if (!is_file(file)) return {};
  const auto json = nlohmann::ordered_json::parse(read_file(file), nullptr, false);
  if (!json.is_object() || !json.contains("never_trains")) return {};
  std::vector<std::string> sentences;
  for (const auto& entry : json["never_trains"]) {
    if (entry.is_string()) sentences.push_back(entry.get<std::string>());
  }
  return sentences;
}

}  // namespace saferclip
