// The configurations that are shipped with the program (configs/*.yaml).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "saferclip/io/config_tree.h"

namespace saferclip {

struct Template {
  std::string name;  // "saferclip-vit-b32"
  std::filesystem::path file;
  std::string description;  // the first sentence of its comment
};

// Those beside the program, sorted by name: of an installation, else of the source that the build
// folder belongs to. Throws DataError if there are none.
std::vector<Template> shipped_templates();

// The template with this name, with or without ".yaml". Throws ConfigError with the nearest name
// and all names.
Template find_template(const std::string& name);

struct StandaloneTemplate {
  ConfigNode tree;                                            // with what it extends merged in
  std::string head;                                           // comment lines, each with its "#"
  std::vector<std::pair<std::string, std::string>> comments;  // key ("train.batch_size") and text
};

// A configuration without `extends`, and the comments of all files it was merged from. Throws
// ConfigError if one of them cannot be read.
StandaloneTemplate standalone(const std::filesystem::path& file);

// The trailing comments of block-style YAML by key. For tests.
std::vector<std::pair<std::string, std::string>> key_comments(const std::string& yaml);

}  // namespace saferclip
