// Rules that span fields, reported together with the rules of single fields.
#pragma once

#include <string>
#include <vector>

#include "saferclip/config/run_config.h"
#include "saferclip/io/config_tree.h"

namespace saferclip {

// The location of a key, or of the deepest part of it that was written: "a.yaml:12". The key is
// dotted; "[2]" selects a list entry.
std::string place_of(const ConfigNode& tree, const std::string& key);

// Appends one line per broken rule, located where the key was written, if it was.
void check_run_config(const RunConfig& config, const ConfigNode& tree,
                      std::vector<std::string>& problems);
// The part of them about keys that adapter.method and adapter.form do not read.
void check_method_keys(const RunConfig& config, const ConfigNode& tree,
                       std::vector<std::string>& problems);

}  // namespace saferclip
