// Text and paths as they are written into a YAML configuration.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "saferclip/io/config_tree.h"

namespace saferclip {

// A YAML scalar that reads back as exactly this text, in double quotes unless it is plainly text.
// Throws ConfigError if the text is not UTF-8, which a configuration must be.
std::string yaml_text(const std::string& text);

// An input path for a configuration in `folder`: relative to it if the path lies below it, else
// absolute. The configuration resolves it to the same place, also if it begins with "~" or "$HOME".
std::string yaml_input_path(const std::filesystem::path& path, const std::filesystem::path& folder);

// A tree as YAML in block style, lists in one line. `comment` returns what follows a key, given as
// a path of keys ("train.batch_size"); "" for nothing.
std::string yaml_of_tree(const ConfigNode& tree,
                         const std::function<std::string(const std::string& key)>& comment);

}  // namespace saferclip
