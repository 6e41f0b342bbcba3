// How this process was started as one of many: what torchrun and Slurm say in the environment.
#pragma once

#include <functional>
#include <optional>
#include <string>

namespace saferclip {

enum class Launcher { kTorchrun, kSlurm };

struct Launch {
  Launcher launcher = Launcher::kTorchrun;
  int rank = 0;  // 0 … size − 1
  int size = 1;
  int local_rank = 0;  // among the processes of this machine; chooses the GPU
  int local_size = 1;
  // Where the processes find each other: c10d's TCPStore. torchrun's agent may serve it already;
  // otherwise rank 0 does. Unused with one process.
  std::string address;
  int port = 0;
  bool store_is_served = false;
  std::string run_id;  // of the torchrun run or the Slurm step, "" if unknown
  int restarts = 0;    // how often the launcher has restarted the run
};

// The value of an environment variable; nothing if it is unset or empty.
using Lookup = std::function<std::optional<std::string>(const std::string&)>;

// Reads, in this order,
// - RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT and TORCHELASTIC_*,
//   which torchrun sets. By hand the first two and the last two suffice; LOCAL_RANK and
//   LOCAL_WORLD_SIZE then stand for one process a machine;
// - SLURM_* of a step that srun started with several tasks; MASTER_ADDR and MASTER_PORT override
//   the first host of the step and the port derived from the job's number.
// Nothing when neither is there: one process. So is a Slurm allocation without a step (a batch
// script, a shell of salloc), whose SLURM_NTASKS says how many tasks srun would start.
// Throws ConfigError that lists all that is missing or contradictory.
std::optional<Launch> read_launch(const Lookup& lookup);

// read_launch of this process's environment.
std::optional<Launch> launch_from_environment();

}  // namespace saferclip
