// The Slurm step that this process belongs to.
#pragma once

#include <optional>
#include <string>

#include "distributed/variables.h"

namespace saferclip {

// Nothing outside a step of several tasks. Problems are left in `variables`.
std::optional<Launch> read_slurm(Variables& variables);

// The first host of a list in Slurm's notation: "node07" of "node[07-09,12],login1". "" of "".
std::string first_slurm_host(const std::string& list);

// The tasks of node `node` in Slurm's notation: 3 for node 2 of "4(x2),3". 0: no such node, or not
// this notation.
int slurm_tasks_of_node(const std::string& list, int node);

}  // namespace saferclip
