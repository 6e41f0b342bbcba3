// A process that waits for others cannot see why they do not come: whatever ends one of them alone
// must be announced, or the run would hang.
#include "saferclip/run/run_processes.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <torch/headeronly/version.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/distributed/agreement.h"
#include "saferclip/distributed/launch.h"
#include "saferclip/nn/cuda_card.h"
#include "saferclip/run/resume.h"

namespace saferclip {
namespace {

std::string processor_of(at::Device device) {
  if (device.is_cpu()) return "CPU, " + at::get_cpu_capability();
  const auto card = cuda_card(device.index());
  return card ? card->name : "CUDA";
}

Facts facts_of(const Session& session) {
  Facts facts{{"program", SAFERCLIP_VERSION},
              {"LibTorch", TORCH_VERSION},
              {"processor", processor_of(session.device)},
              {"threads", std::to_string(at::get_num_threads())},
              {"content of model.weights", session.source.hash()}};
  const OrderedJson config =
      OrderedJson::parse(dump_run_config_json(resolved_config(session, session.config))).flatten();
  for (const auto& [pointer, value] : config.items()) {
    std::string key = pointer.substr(1);
    std::replace(key.begin(), key.end(), '/', '.');
    if (key == "data.cache_dir") continue;  // may be local to each machine
    facts.emplace_back(key, value.dump());
  }
  return facts;
}

}  // namespace

ComputeOptions join_processes(ComputeOptions compute, Logger& log, const StopFlag& stop) {
  const auto launch = launch_from_environment();
  if (!launch || launch->size == 1) return compute;
  const std::string name = cat("rank ", launch->rank);
  if (launch->rank > 0) log.speak_as(name);
  JoinOptions options;
  options.report = [&log](const std::string& sentence) { log.info(sentence); };
  options.stop = &stop;
  const auto own_host = std::make_shared<std::string>();  // once it is known
  options.on_loss = [&log, own_host, rank = launch->rank](const Loss& loss) {
    // Who ended with an error has said it on this machine's terminal.
    if (rank > 0 && loss.exit_code != kProcessLost && loss.host == *own_host) log.mute_terminal();
    log.error(loss.sentence);
    clear_status_line();
    ::_exit(loss.exit_code);
  };
  compute.processes = Processes::join(*launch, options);
  *own_host = compute.processes.hosts()[static_cast<std::size_t>(launch->rank)];
  compute.local_rank = launch->local_rank;
  log.info(cat(launch->size, " processes: ", join(compute.processes.hosts(), ", ")));
  return compute;
}

bool is_left_to_first(const std::string& command, Logger& log) {
  for (const char* other : {"train", "prepare", "evaluate", "embed", "inspect", "config", "doctor",
                            "completion"}) {  // shared, or run by each
    if (command == other) return false;
  }
  const auto launch = launch_from_environment();
  if (!launch || launch->rank == 0) return false;
  log.warn(cat("rank ", launch->rank, ": `", command,
               "` runs in one process, the first: nothing to do here"));
  return true;
}

void end_together(const Processes& processes, Logger& log,
                  const std::function<bool(const Error&)>& is_shared,
                  const std::function<void()>& work) {
  if (processes.is_alone()) return work();
  const auto announce = [&](const std::string& why, int code) {
    processes.announce_end(why, code);
  };
  try {
    work();
    processes.leave();
  } catch (const ProcessLost&) {
    throw;
  } catch (const Error& problem) {
    if (!is_shared || !is_shared(problem)) {
      announce(problem.what(), problem.exit_code());
      throw;
    }
    processes.leave();
    if (!processes.is_first()) log.mute_terminal();
    throw;
  } catch (const c10::OutOfMemoryError& problem) {
    announce(out_of_memory_text(problem.what_without_backtrace()), kOutOfMemory);
    throw;
  } catch (const c10::Error& problem) {
    announce(problem.what_without_backtrace(), 1);
    throw;
  } catch (const std::exception& problem) {
    announce(problem.what(), 1);
    throw;
  }
}

std::string text_of_first(const Processes& processes, const std::string& text) {
  if (processes.is_alone()) return text;
  return processes.gather_texts(processes.is_first() ? text : std::string()).front();
}

ValidationResult result_of_first(const Processes& processes, ValidationResult own) {
  if (processes.is_alone()) return own;
  const auto number = [](const std::optional<double>& value) {
    return value ? OrderedJson(*value) : OrderedJson(nullptr);
  };
  const OrderedJson said = OrderedJson::parse(text_of_first(
      processes, OrderedJson{{"best", number(own.best_value)}, {"loss", number(own.loss)}}.dump()));
  if (!said["best"].is_null()) own.best_value = said["best"].get<double>();
  if (!said["loss"].is_null()) own.loss = said["loss"].get<double>();
  return own;
}

void require_equal_processes(const Session& session, Logger& log, const Facts& facts) {
  if (session.processes.is_alone()) return;
  Facts all = facts_of(session);
  all.insert(all.end(), facts.begin(), facts.end());
  try {
    agree(session.processes, all);
  } catch (const ConfigError&) {
    if (!session.processes.is_first()) log.mute_terminal();
    throw;
  }
}

}  // namespace saferclip
