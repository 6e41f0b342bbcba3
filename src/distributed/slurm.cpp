// srun gives each task its number and the step's size. A batch script and a shell of salloc have
// SLURM_NTASKS, and a batch script SLURM_PROCID=0, without being one of several tasks: taken at
// their word, a single process would wait for others that nobody started. What they lack is
// SLURM_STEP_ID; the shells that Slurm itself starts in a step have a reserved one.
#include "distributed/slurm.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>

namespace saferclip {
namespace {

bool is_step_of_srun(const Variables& variables) {
  // Batch script, interactive step, external and pending steps: 0xfffffffa to 0xfffffffd.
  static constexpr std::array<const char*, 4> kReserved{"4294967290", "4294967291", "4294967292",
                                                        "4294967293"};
  const std::string step = variables.text("SLURM_STEP_ID");
  return !step.empty() && std::ranges::find(kReserved, step) == kReserved.end();
}

// Below the ports that Linux gives to outgoing connections (32768 and up); different for the steps
// of a job, which may run side by side.
int port_of(const Variables& variables) {
  const auto job = std::strtoul(variables.text("SLURM_JOB_ID").c_str(), nullptr, 10);
  const auto step = std::strtoul(variables.text("SLURM_STEP_ID").c_str(), nullptr, 10);
  return static_cast<int>(20000 + (job * 31 + step) % 12000);
}

std::string address_of(Variables& variables) {
  for (const char* list : {"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST"}) {
    const std::string host = first_slurm_host(variables.text(list));
    if (!host.empty()) return host;
  }
  variables.problem(
      "neither MASTER_ADDR nor SLURM_STEP_NODELIST is set; one of them names the host of rank 0");
  return "";
}

// The tasks of this process's node; each variable that could say it may be missing in some version
// of Slurm or behind a wrapper.
int local_size_of(const Variables& variables, int node, int size, int local_rank) {
  for (const char* name : {"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"}) {
    const int tasks = slurm_tasks_of_node(variables.text(name), node);
    if (tasks > local_rank && tasks <= size) return tasks;
  }
  const int tasks = std::atoi(variables.text("SLURM_NTASKS_PER_NODE").c_str());
  return tasks > local_rank && tasks <= size ? tasks : local_rank + 1;
}

}  // namespace

std::string first_slurm_host(const std::string& list) {
  std::string host;
  bool within = false;  // brackets
  bool taken = false;   // the first number of these brackets
  for (const char letter : list) {
    if (letter == '[') {
      within = true;
      taken = false;
    } else if (letter == ']') {
      within = false;
    } else if (letter == ',' && !within) {
      break;
    } else if (within && (letter == ',' || letter == '-')) {
      taken = true;
    } else if (!within || !taken) {
      host += letter;
    }
  }
  return host;
}

int slurm_tasks_of_node(const std::string& list, int node) {
  const char* at = list.c_str();
  while (std::isdigit(static_cast<unsigned char>(*at)) != 0) {
    char* end = nullptr;
    const long tasks = std::strtol(at, &end, 10);
    long nodes = 1;
    if (end[0] == '(' && end[1] == 'x') {
      nodes = std::strtol(end + 2, &end, 10);
      if (*end == ')') ++end;
    }
    if (node < nodes) return static_cast<int>(std::min<long>(tasks, kAny));
    node -= static_cast<int>(nodes);
    at = *end == ',' ? end + 1 : end;
    if (at == end) break;
  }
  return 0;
}

std::optional<Launch> read_slurm(Variables& variables) {
  if (!is_step_of_srun(variables)) return std::nullopt;
  // Inside an allocation SLURM_NTASKS may still be the allocation's.
  const char* size_name =
      variables.has("SLURM_STEP_NUM_TASKS") ? "SLURM_STEP_NUM_TASKS" : "SLURM_NTASKS";
  Launch launch;
  launch.launcher = Launcher::kSlurm;
  launch.size = variables.number(size_name, "the number of tasks of this step", 1, kAny);
  if (launch.size == 1 && variables.has(size_name)) return std::nullopt;
  launch.rank =
      variables.number("SLURM_PROCID", "the number of this task in its step", 0, launch.size - 1);
  launch.local_rank =
      variables.number("SLURM_LOCALID", "the number of this task on its node", 0, launch.size - 1);
  const int node = variables.number_or("SLURM_NODEID", 0, 0, kAny);
  launch.local_size = local_size_of(variables, node, launch.size, launch.local_rank);
  // srun passes on what the batch script exported for other programs.
  if (variables.has("WORLD_SIZE") &&
      variables.number_or("WORLD_SIZE", launch.size, 1, kAny) != launch.size) {
    variables.problem("WORLD_SIZE is " + variables.text("WORLD_SIZE") + ", but " + size_name +
                      " is " + variables.text(size_name));
  }
  launch.address = variables.text("MASTER_ADDR");
  if (launch.address.empty()) launch.address = address_of(variables);
  launch.port = variables.number_or("MASTER_PORT", port_of(variables), 1, 65535);
  launch.run_id = variables.text("SLURM_JOB_ID") + "." + variables.text("SLURM_STEP_ID");
  launch.restarts = variables.number_or("SLURM_RESTART_COUNT", 0, 0, kAny);
  return launch;
}

}  // namespace saferclip
