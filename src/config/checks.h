// Rules between fields, reported together with the rules of single fields.
#pragma once

#include <string>
#include <vector>

#include "saferclip/config/run_config.h"
#include "saferclip/io/config_tree.h"

namespace saferclip {

// Where a key, or the deepest part of it that was written, stands: "a.yaml:12". The key is dotted,
// with "[2]" for entries of a list.
std::string place_of(const ConfigNode& tree, const std::string& key);

// Appends a line for each broken rule, with the place where the key was written if it was.
void check_run_config(const RunConfig& config, const ConfigNode& tree,
                      std::vector<std::string>& problems);

}  // namespace saferclip
