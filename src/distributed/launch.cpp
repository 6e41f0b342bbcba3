// RANK decides: torchrun sets it for each process, and nothing else does by accident. WORLD_SIZE,
// MASTER_ADDR and MASTER_PORT are often exported by batch scripts for all their commands.
#include "saferclip/distributed/launch.h"

#include <cstdlib>

#include "distributed/slurm.h"
#include "distributed/variables.h"

namespace saferclip {
namespace {

Launch read_torchrun(Variables& variables) {
  Launch launch;
  launch.size = variables.number("WORLD_SIZE", "the number of processes of the run", 1, kAny);
  launch.rank = variables.number("RANK", "the number of this process, from 0", 0, launch.size - 1);
  const bool local = variables.has("LOCAL_RANK") || variables.has("LOCAL_WORLD_SIZE");
  if (local) {
    launch.local_size = variables.number("LOCAL_WORLD_SIZE",
                                         "the number of processes of this machine", 1, launch.size);
    launch.local_rank = variables.number("LOCAL_RANK", "the number of this process on its machine",
                                         0, launch.local_size - 1);
  }
  if (launch.size > 1) {
    launch.address = variables.text("MASTER_ADDR");
    if (launch.address.empty()) {
      variables.problem("MASTER_ADDR is not set; it is the host name or IP address of rank 0");
    }
    launch.port =
        variables.number("MASTER_PORT", "a free port on MASTER_ADDR, such as 29500", 1, 65535);
  }
  launch.store_is_served = variables.text("TORCHELASTIC_USE_AGENT_STORE") == "True";
  launch.run_id = variables.text("TORCHELASTIC_RUN_ID");
  launch.restarts = variables.number_or("TORCHELASTIC_RESTART_COUNT", 0, 0, kAny);
  return launch;
}

}  // namespace

std::optional<Launch> read_launch(const Lookup& lookup) {
  Variables variables(lookup);
  std::optional<Launch> launch;
  if (variables.has("RANK")) {
    launch = read_torchrun(variables);
  } else if (launch = read_slurm(variables); !launch && !variables.has("SLURM_JOB_ID")) {
    // Half of what torchrun sets. In a Slurm job it is the batch script's, for its srun lines.
    for (const char* name : {"WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"}) {
      if (variables.has(name)) variables.problem(std::string(name) + " is set, but RANK is not");
    }
  }
  variables.throw_problems(
      "the environment variables of a distributed run do not fit together:",
      "start all processes with `torchrun --no-python --nproc-per-node N saferclip …` or `srun "
      "saferclip …`; for a run of one process unset RANK, WORLD_SIZE, LOCAL_RANK and "
      "LOCAL_WORLD_SIZE");
  return launch;
}

std::optional<Launch> launch_from_environment() {
  return read_launch([](const std::string& name) -> std::optional<std::string> {
    const char* value = std::getenv(name.c_str());  // NOLINT(concurrency-mt-unsafe)
    if (value == nullptr || *value == '\0') return std::nullopt;
    return value;
  });
}

}  // namespace saferclip
