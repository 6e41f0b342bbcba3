#include "run/process_check.h"

#include <ATen/ATen.h>
#include <unistd.h>

#include <chrono>
#include <iostream>
#include <optional>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/distributed/launch.h"
#include "saferclip/nn/cuda_card.h"
#include "saferclip/nn/precision.h"

namespace saferclip {
namespace {

std::string backends() {
  if (!has_nccl()) return nccl_problem().empty() ? "gloo" : cat("gloo (", nccl_problem(), ")");
  return cat("gloo, nccl ", nccl_version().value_or("that is not loaded"));
}

std::string places(const Processes& processes) {
  const std::vector<std::string> hosts = processes.hosts();
  const std::vector<std::string> addresses = processes.addresses();
  std::vector<std::string> texts;
  for (std::size_t rank = 0; rank < hosts.size(); ++rank) {
    texts.push_back(cat(rank, " on ", hosts[rank], " (", addresses[rank], ")"));
  }
  return join(shortened(texts, 8), ", ");
}

// How the sum went. The first one connects, so a second one is timed.
std::string try_sum(const Processes& processes, at::Device device) {
  double sum = 0;
  double seconds = 0;
  for (int i = 0; i < 2; ++i) {
    const at::Tensor ones = at::ones({1}, at::device(device));
    const auto began = std::chrono::steady_clock::now();
    processes.sum_(ones);
    sum = ones.item<double>();
    seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  }
  if (sum != processes.size()) {
    throw Error(cat("an all-reduce of ones on ", device.str(), " gave ", sum, " instead of ",
                    processes.size()),
                1);
  }
  return cat("all-reduce on ", device.str(), " in ", fixed(1e3 * seconds, 2), " ms");
}

std::string meet_others(const Launch& launch, const ComputeOptions& compute) {
  std::vector<std::string> parts{cat("rank ", launch.rank, " of ", launch.size, ", local rank ",
                                     launch.local_rank, " of ", launch.local_size),
                                 cat("meeting point ", launch.address, ":", launch.port)};
  const at::Device device = parse_device(compute.device, compute.local_rank);
  JoinOptions options;
  options.time_limit = std::chrono::seconds(60);
  // The way that tensors go.
  options.report = [&parts](const std::string& sentence) {
    if (sentence.starts_with("tensors ")) parts.push_back(sentence);
  };
  if (device.is_cuda()) {  // nothing else ends a wait for the card
    options.on_loss = [](const Loss& loss) {
      std::cerr << loss.sentence + "\n";
      ::_exit(loss.exit_code);
    };
  }
  const Processes processes = Processes::join(launch, options);
  parts.push_back(places(processes));
  parts.push_back(try_sum(processes, device));
  processes.leave();
  return join(parts, "; ");
}

}  // namespace

ComputeOptions as_launched(ComputeOptions compute) {
  try {
    if (const auto launch = launch_from_environment()) compute.local_rank = launch->local_rank;
  } catch (const ConfigError&) {  // check_processes says it
  }
  return compute;
}

MachineFinding check_processes(const ComputeOptions& compute) {
  try {
    const std::optional<Launch> launch = launch_from_environment();
    if (!launch || launch->size == 1) {
      return {"processes", "ok", cat(backends(), "; this is one process, without others")};
    }
    return {"processes", "ok", cat(backends(), "; ", meet_others(*launch, compute))};
  } catch (const Error& problem) {
    return {"processes", "fail", cat(backends(), "; ", problem.what())};
  } catch (const c10::Error& problem) {
    return {"processes", "fail", cat(backends(), "; ", problem.what_without_backtrace())};
  }
}

}  // namespace saferclip
