#include "distributed/device_backend.h"

#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <chrono>
#include <fstream>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "distributed/nccl.h"
#include "distributed/packed_texts.h"
#include "saferclip/core/text_format.h"
#include "saferclip/distributed/processes.h"

namespace saferclip {
namespace {

using namespace std::chrono_literals;

// The same in all containers of a machine, and in no other machine, unlike its name.
std::string machine_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string id;
  std::getline(file, id);
  return id;
}

std::string first_line(std::string text) {
  text.resize(std::min(text.size(), text.find('\n')));
  return text.empty() ? "unknown error" : text;
}

// Shared with the thread that connects, which may outlive the wait for it.
struct Attempt {
  std::mutex mutex;
  bool is_over = false;
  bool is_abandoned = false;
  DeviceBackend result;

  // Not destroyed, which would print a warning and may wait for the others.
  void drop() { (void)result.backend.release(); }
};

std::shared_ptr<Attempt> start(const std::function<c10::intrusive_ptr<c10d::Backend>()>& connect) {
  auto attempt = std::make_shared<Attempt>();
  std::thread([attempt, connect] {
    DeviceBackend result;
    try {
      result.backend = connect();
    } catch (const c10::Error& problem) {
      result.why_not = first_line(problem.what_without_backtrace());
    } catch (const std::exception& problem) {
      result.why_not = first_line(problem.what());
    }
    const std::lock_guard lock(attempt->mutex);
    attempt->result = std::move(result);
    attempt->is_over = true;
    if (attempt->is_abandoned) attempt->drop();
  }).detach();
  return attempt;
}

// Tells the others.
void tell(const std::string& what, const std::string& text, const Group& group) {
  group.store->set(cat(what, "/", group.rank), pack_texts({text}));
}

// What they have told under `what`; nothing for those that have not.
using Told = std::vector<std::optional<std::string>>;
void hear(const std::string& what, const Group& group, Told& told) {
  for (std::size_t rank = 0; rank < told.size(); ++rank) {
    const std::string key = cat(what, "/", rank);
    if (!told[rank] && group.store->check({key})) {
      told[rank] = unpack_texts(group.store->get_to_str(key)).at(0);
    }
  }
}

bool is_complete(const Told& told) {
  return std::ranges::all_of(told, [](const auto& text) { return text.has_value(); });
}

void pause(const Group& group, std::chrono::milliseconds time) {
  if (const auto loss = group.watch->wait_for_loss(time)) throw ProcessLost(*loss);
}

}  // namespace

std::string card_report(const std::string& host, at::Device device) {
  if (!has_nccl()) {
    const std::string problem = nccl_problem();
    return pack_texts(
        {"", "",
         cat("the program on ", host, " has no NCCL", problem.empty() ? "" : ": ", problem)});
  }
  try {
    const std::string address = card_address(device);
    return pack_texts({machine_id() + address, cat("card ", address, " of ", host), ""});
  } catch (const std::exception& problem) {
    return pack_texts({"", "", cat(host, ": ", first_line(problem.what()))});
  }
}

std::string why_not_nccl(const std::vector<std::string>& reports) {
  std::map<std::string, std::size_t> owners;
  for (std::size_t rank = 0; rank < reports.size(); ++rank) {
    const std::vector<std::string> report = unpack_texts(reports[rank]);
    if (!report.at(2).empty()) return report[2];
    const auto [owner, is_new] = owners.emplace(report[0], rank);
    if (!is_new) return cat("ranks ", owner->second, " and ", rank, " share ", report[1]);
  }
  return "";
}

std::vector<std::string> exchange(const std::string& text, const Group& group) {
  tell("card", text, group);
  Told told(static_cast<std::size_t>(group.size));
  while (true) {
    hear("card", group, told);
    if (is_complete(told)) break;
    pause(group, 2ms);
  }
  std::vector<std::string> texts;
  for (const auto& other : told) texts.push_back(*other);
  return texts;
}

DeviceBackend connect_all(const std::function<c10::intrusive_ptr<c10d::Backend>()>& connect,
                          const Group& group) {
  const std::shared_ptr<Attempt> attempt = start(connect);
  Told problems(static_cast<std::size_t>(group.size));
  bool is_told = false;
  auto next_report = std::chrono::steady_clock::now() + 30s;
  while (true) {
    std::unique_lock lock(attempt->mutex);
    if (attempt->is_over && !is_told) {
      const std::string& why = attempt->result.why_not;
      tell("connected", why.empty() ? "" : cat("rank ", group.rank, ": ", why), group);
      is_told = true;
    }
    hear("connected", group, problems);
    const auto failed = std::ranges::find_if(
        problems, [](const auto& problem) { return problem && !problem->empty(); });
    if (failed != problems.end()) {
      attempt->is_abandoned = true;
      if (attempt->is_over) attempt->drop();
      return {{}, **failed};
    }
    if (is_complete(problems)) return attempt->result;
    lock.unlock();
    pause(group, 20ms);
    if (group.report && std::chrono::steady_clock::now() > next_report) {
      next_report += 60s;
      group.report(
          "waiting for NCCL to connect the cards; NCCL_DEBUG=INFO shows what it does, "
          "NCCL_SOCKET_IFNAME names the network interface to use");
    }
  }
}

void wait_for_device(at::Device device, const Watch& watch) {
  const c10::impl::VirtualGuardImpl cards(device.type());
  c10::Event is_done(device.type());
  is_done.record(cards.getStream(device));
  while (!is_done.query()) {
    if (const auto loss = watch.wait_for_loss(1ms)) throw ProcessLost(*loss);
  }
}

}  // namespace saferclip
