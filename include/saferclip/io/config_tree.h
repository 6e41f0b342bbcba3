// An untyped tree out of YAML or JSON that remembers where each value was written, for reports that
// name file and line.
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
  std::string scalar;             // kScalar: the text as written, quotes removed
  bool is_quoted = false;         // kScalar: a quoted scalar is always text
  std::vector<ConfigNode> items;  // kList
  // kMap, in the order written (a list, as it may hold a type that is not complete yet).
  std::list<std::pair<std::string, ConfigNode>> entries;
  std::string file;  // "" for a value of the command line
  int line = 0;      // from 1; 0 for a value of the command line

  // The entry of a map with this key, or null.
  const ConfigNode* find(const std::string& key) const;
  // "configs/a.yaml:12" or "--set".
  std::string where() const;
};

// Reads YAML (any extension but .json) or JSON. Appends to `problems`: syntax errors, duplicate
// keys, aliases nested too deep; the tree then holds what could be read. Throws ConfigError only
// when the file is missing, a folder or not UTF-8.
ConfigNode read_config_tree(const std::filesystem::path& file, std::vector<std::string>& problems);

// Parses a value of `--set key=value` as YAML.
ConfigNode parse_config_value(const std::string& text, const std::string& where,
                              std::vector<std::string>& problems);

// `over` merged into `base`: maps merge, lists and scalars replace. A null stays a null.
ConfigNode merge_config_trees(const ConfigNode& base, const ConfigNode& over);

}  // namespace saferclip
