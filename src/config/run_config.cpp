// Merges the `extends` chain, base first, and then the --set values into one tree, reads the tree
// into the option structs and checks them. Problems are collected, not thrown, until all are known.
// The names of the objective and of the adapter's method are looked up first, because they choose
// the presets that the other values override.
#include "saferclip/config/run_config.h"

#include <algorithm>
#include <set>

#include "config/checks.h"
#include "config/tree_reader.h"
#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/home.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

std::string word_at(const ConfigNode& tree, const std::string& section, const std::string& key) {
  const ConfigNode* found = tree.find(section);
  const ConfigNode* name = found == nullptr ? nullptr : found->find(key);
  return name == nullptr || name->kind != ConfigNode::Kind::kScalar ? "" : name->scalar;
}

std::string objective_name(const ConfigNode& tree) { return word_at(tree, "objective", "name"); }

void drop_objective_weights(ConfigNode& tree) {
  for (auto& [key, value] : tree.entries) {
    if (key != "objective") continue;
    std::erase_if(value.entries, [](const auto& entry) { return entry.first == "weights"; });
  }
}

// The loss terms of one objective mean nothing under another, so changing its name drops inherited
// weights.
ConfigNode inherit(ConfigNode base, const ConfigNode& over) {
  const std::string name = objective_name(over);
  const std::string inherited =
      objective_name(base).empty() ? to_string(ObjectiveOptions().name) : objective_name(base);
  if (!name.empty() && name != inherited) drop_objective_weights(base);
  return merge_config_trees(base, over);
}

ConfigNode read_chain(const fs::path& file, std::vector<fs::path>& chain,
                      std::vector<std::string>& problems) {
  const fs::path absolute = fs::weakly_canonical(file);
  if (std::find(chain.begin(), chain.end(), absolute) != chain.end()) {
    problems.push_back(cat(file.string(), ": extends itself, through ", chain.back().string()));
    return {};
  }
  chain.push_back(absolute);
  ConfigNode tree = read_config_tree(file, problems);
  if (tree.kind == ConfigNode::Kind::kNull && problems.empty()) {
    problems.push_back(cat(file.string(), ": is empty"));
  }
  const ConfigNode* extends = tree.find("extends");
  if (extends == nullptr) return tree;
  if (extends->kind != ConfigNode::Kind::kScalar || extends->scalar.empty()) {
    problems.push_back(cat(extends->where(), ": extends: expected the path of one file"));
    return tree;
  }
  const fs::path parent = file.parent_path() / expand_home(extends->scalar);
  const std::string where = extends->where();
  std::erase_if(tree.entries, [](const auto& entry) { return entry.first == "extends"; });
  if (!is_file(parent)) {
    problems.push_back(cat(where, ": extends: no such file: ", parent.string()));
    return tree;
  }
  return inherit(read_chain(parent, chain, problems), tree);
}

// An entry of evaluate.zero_shot may extend a file that describes a published set.
void extend_zero_shot(ConfigNode& tree, std::vector<std::string>& problems) {
  for (auto& [key, evaluate] : tree.entries) {
    if (key != "evaluate") continue;
    for (auto& [name, sets] : evaluate.entries) {
      if (name != "zero_shot") continue;
      for (ConfigNode& set : sets.items) {
        const ConfigNode* extends = set.find("extends");
        if (extends == nullptr) continue;
        const fs::path file = fs::path(extends->file).parent_path() / expand_home(extends->scalar);
        if (extends->scalar.empty() || !is_file(file)) {
          problems.push_back(cat(extends->where(), ": extends: no such file: ", file.string()));
        } else {
          ConfigNode own = set;
          std::erase_if(own.entries, [](const auto& entry) { return entry.first == "extends"; });
          set = merge_config_trees(read_config_tree(file, problems), own);
        }
        std::erase_if(set.entries, [](const auto& entry) { return entry.first == "extends"; });
      }
    }
  }
}

// model.weights exactly as written, so messages can tell whether it was meant as a path.
std::string written_weights(const ConfigNode& tree) {
  const ConfigNode* model = tree.find("model");
  const ConfigNode* weights = model == nullptr ? nullptr : model->find("weights");
  return weights == nullptr ? "" : weights->scalar;
}

// Parses `a.b=value` into a tree with one leaf.
ConfigNode override_tree(const std::string& text, std::vector<std::string>& problems) {
  const std::size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) {
    problems.push_back(cat("--set ", text, ": expected key=value"));
    return {};
  }
  ConfigNode node = parse_config_value(text.substr(equals + 1), "--set " + text, problems);
  std::string key = text.substr(0, equals);
  while (true) {
    const std::size_t dot = key.rfind('.');
    ConfigNode parent;
    parent.kind = ConfigNode::Kind::kMap;
    parent.entries.emplace_back(dot == std::string::npos ? key : key.substr(dot + 1),
                                std::move(node));
    if (dot == std::string::npos) return parent;
    node = std::move(parent);
    key.resize(dot);
  }
}

}  // namespace

ReadConfig read_config_for_check(const fs::path& file, const std::vector<std::string>& overrides) {
  ReadConfig result;
  std::vector<std::string>& problems = result.problems;
  std::vector<fs::path> chain;
  ConfigNode tree = read_chain(file, chain, problems);
  for (const std::string& text : overrides) {
    const ConfigNode over = override_tree(text, problems);
    if (over.kind == ConfigNode::Kind::kMap) tree = inherit(tree, over);
  }
  extend_zero_shot(tree, problems);
  RunConfig& config = result.config;
  const std::string name = objective_name(tree);
  const std::optional<ObjectiveName> known = enum_from<ObjectiveName>(name);
  const bool is_known = name.empty() || known.has_value();
  config.objective = ObjectiveOptions::preset(known.value_or(config.objective.name));
  config.adapter = AdapterOptions::preset(
      enum_from<AdapterMethod>(word_at(tree, "adapter", "method")).value_or(config.adapter.method));
  if (tree.kind != ConfigNode::Kind::kNull) TreeReader(problems).read_section(tree, "", config);
  // Defaults become absolute, too: a resolved configuration means the same from every folder.
  for (std::string* path : {&config.data.cache_dir, &config.run.dir}) {
    *path = fs::absolute(*path).lexically_normal().string();
  }
  config.model.written_weights = written_weights(tree);
  if (is_known) check_run_config(config, tree, problems);
  result.tree = std::move(tree);
  return result;
}

std::string ReadConfig::problem(const std::string& key, const std::string& text) const {
  return cat(place_of(tree, key), ": ", key, ": ", text);
}

RunConfig read_run_config(const fs::path& file, const std::vector<std::string>& overrides) {
  ReadConfig read = read_config_for_check(file, overrides);
  if (!read.problems.empty()) throw ConfigError(problems_of(file, read.problems));
  return std::move(read.config);
}

std::string problems_of(const fs::path& file, const std::vector<std::string>& problems) {
  return join_problems(
      cat(file.string(), ": ", problems.size(), problems.size() == 1 ? " problem:" : " problems:"),
      problems);
}

}  // namespace saferclip
