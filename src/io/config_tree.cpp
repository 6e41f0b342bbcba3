// yaml-cpp gives positions and leaves scalars untyped, which the typed reader needs. JSON goes
// through it as well, for the line numbers, but nlohmann's parser checks the syntax and supplies
// the strings, because YAML's escapes differ. Depth and node count are limited: aliases let a small
// file expand without bound.
#include "saferclip/io/config_tree.h"

#include <yaml-cpp/yaml.h>

#include <nlohmann/json.hpp>
#include <set>

#include "saferclip/core/error.h"
#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr int kMaxDepth = 64;
constexpr std::size_t kMaxNodes = 200'000;  // after expanding aliases

class Converter {
 public:
  Converter(std::string file, std::vector<std::string>& problems)
      : file_(std::move(file)), problems_(problems) {}

  ConfigNode convert(const YAML::Node& node, int depth) {
    ConfigNode result;
    result.file = file_;
    result.line = node.Mark().is_null() ? 0 : node.Mark().line + 1;
    if (depth > kMaxDepth || ++nodes_ > kMaxNodes) {
      if (!is_too_large_)
        problems_.push_back(cat(result.where(), ": nested too deeply or too large"));
      is_too_large_ = true;
      return result;
    }
    if (node.IsScalar()) {
      result.kind = ConfigNode::Kind::kScalar;
      result.scalar = node.Scalar();
      result.is_quoted = node.Tag() == "!";
    } else if (node.IsSequence()) {
      result.kind = ConfigNode::Kind::kList;
      for (const YAML::Node& item : node) result.items.push_back(convert(item, depth + 1));
    } else if (node.IsMap()) {
      result.kind = ConfigNode::Kind::kMap;
      convert_entries(node, depth, result);
    }
    return result;
  }

 private:
  void convert_entries(const YAML::Node& node, int depth, ConfigNode& result) {
    std::set<std::string> seen;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) {
        problems_.push_back(cat(result.where(), ": a key is not plain text"));
        continue;
      }
      const std::string& key = entry.first.Scalar();
      ConfigNode value = convert(entry.second, depth + 1);
      value.line = entry.first.Mark().line + 1;
      if (!seen.insert(key).second)
        problems_.push_back(cat(value.where(), ": key \"", key, "\" appears twice"));
      result.entries.emplace_back(key, std::move(value));
    }
  }

  std::string file_;
  std::vector<std::string>& problems_;
  std::size_t nodes_ = 0;
  bool is_too_large_ = false;
};

// Replaces the strings of a tree that was parsed as YAML by those of the same document's JSON.
void take_json_texts(const nlohmann::ordered_json& json, ConfigNode& node) {
  if (json.is_string() && node.kind == ConfigNode::Kind::kScalar) {
    node.scalar = json.get<std::string>();
    node.is_quoted = true;
  } else if (json.is_array()) {
    for (std::size_t i = 0; i < node.items.size() && i < json.size(); ++i)
      take_json_texts(json[i], node.items[i]);
  } else if (json.is_object()) {
    for (auto& [key, value] : node.entries) {
      if (json.contains(key)) take_json_texts(json[key], value);
    }
  }
}

ConfigNode parse(const std::string& text, const std::string& where,
                 std::vector<std::string>& problems) {
  try {
    return Converter(where, problems).convert(YAML::Load(text), 0);
  } catch (const YAML::Exception& problem) {
    problems.push_back(cat(where, problem.mark.is_null() ? "" : cat(":", problem.mark.line + 1),
                           ": ", problem.msg));
    return {};
  }
}

}  // namespace

const ConfigNode* ConfigNode::find(const std::string& key) const {
  for (const auto& [name, value] : entries) {
    if (name == key) return &value;
  }
  return nullptr;
}

std::string ConfigNode::where() const {
  if (line == 0) return file.empty() ? "--set" : file;
  return cat(file, ":", line);
}

ConfigNode read_config_tree(const fs::path& file, std::vector<std::string>& problems) {
  std::string text;
  try {
    text = read_text_file(file);
    require_utf8(text, file);
  } catch (const DataError& problem) {
    throw ConfigError(problem.what());
  }
  if (file.extension() != ".json") return parse(text, file.string(), problems);
  nlohmann::ordered_json json;
  try {
    json = nlohmann::ordered_json::parse(text);
  } catch (const nlohmann::json::exception& problem) {
    problems.push_back(cat(file.string(), ": ", problem.what()));
    return {};
  }
  for (char& letter : text) {
    if (letter == '\t') letter = ' ';
  }
  ConfigNode tree = parse(text, file.string(), problems);
  take_json_texts(json, tree);
  return tree;
}

ConfigNode parse_config_value(const std::string& text, const std::string& where,
                              std::vector<std::string>& problems) {
  ConfigNode node = parse(text, where, problems);
  const auto clear_position = [](auto&& self, ConfigNode& n) -> void {
    n.file.clear();
    n.line = 0;
    for (ConfigNode& item : n.items) self(self, item);
    for (auto& [key, value] : n.entries) self(self, value);
  };
  clear_position(clear_position, node);
  return node;
}

ConfigNode merge_config_trees(const ConfigNode& base, const ConfigNode& over) {
  if (base.kind != ConfigNode::Kind::kMap || over.kind != ConfigNode::Kind::kMap) return over;
  ConfigNode merged = base;
  for (const auto& [key, value] : over.entries) {
    bool is_known = false;
    for (auto& [name, existing] : merged.entries) {
      if (name != key) continue;
      existing = merge_config_trees(existing, value);
      is_known = true;
    }
    if (!is_known) merged.entries.emplace_back(key, value);
  }
  return merged;
}

}  // namespace saferclip
