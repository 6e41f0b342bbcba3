// What must be the same in all processes of a run: program, configuration, data, thread counts.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "saferclip/distributed/processes.h"

namespace saferclip {

// Names, as users know them ("train.batch_size", "threads"), and values.
using Facts = std::vector<std::pair<std::string, std::string>>;

// One line for each name whose values differ: name, values and who has them. `of_rank[r]` are the
// facts of rank r; a name that a process lacks counts as a value of its own.
std::vector<std::string> differences(const std::vector<Facts>& of_rank,
                                     const std::vector<std::string>& hosts);

// Called by all processes. When the facts differ it makes them leave and throws ConfigError in each
// of them.
void agree(const Processes& processes, const Facts& facts);

}  // namespace saferclip
