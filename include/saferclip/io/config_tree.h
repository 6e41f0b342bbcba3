// An untyped tree from YAML or JSON that records where each value was written, for messages with
// file and line.
#pragma once

#include <filesystem>
#include <list>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace saferclip {

struct ConfigNode {
  enum class Kind { kNull, kScalar, kList, kMap };
  Kind kind = Kind::kNull;
  std::string scalar;             // kScalar: the text as written, without quotes
  bool is_quoted = false;         // kScalar: a quoted scalar is always text
  std::vector<ConfigNode> items;  // kList
  // kMap, in the order written. (std::list permits the incomplete type.)
  std::list<std::pair<std::string, ConfigNode>> entries;
  std::string file;  // "" for a value from the command line
  int line = 0;      // from 1; 0 for a value from the command line

  // The map entry with this key, or null.
  const ConfigNode* find(const std::string& key) const;
  // "configs/a.yaml:12" or "--set".
  std::string where() const;
};

// Reads JSON (extension .json) or YAML (any other). Appends syntax errors, duplicate keys and
// excessive nesting to `problems`; the tree then holds what could be read. Throws ConfigError only
// if the file is missing, a folder or not UTF-8.
ConfigNode read_config_tree(const std::filesystem::path& file, std::vector<std::string>& problems);

// Parses the value of `--set key=value` as YAML.
ConfigNode parse_config_value(const std::string& text, const std::string& where,
                              std::vector<std::string>& problems);

// `over` merged into `base`: maps merge, lists and scalars replace. A null stays a null.
ConfigNode merge_config_trees(const ConfigNode& base, const ConfigNode& over);

}  // namespace saferclip
