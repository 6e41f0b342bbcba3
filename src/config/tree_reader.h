// Reads a configuration tree into option structs by walking their field lists: converts values,
// checks ranges, reports unknown keys and every other problem.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/core/enum_words.h"
#include "saferclip/core/fields.h"
#include "saferclip/core/text_format.h"
#include "saferclip/io/config_tree.h"

namespace saferclip {

// Reads scalars. Each `read` returns false, and leaves the value alone, after noting a problem.
class ScalarReader {
 public:
  explicit ScalarReader(std::vector<std::string>& problems) : problems_(problems) {}

  bool read(const ConfigNode& node, const std::string& key, const FieldSpec& spec, bool& value);
  bool read(const ConfigNode& node, const std::string& key, const FieldSpec& spec,
            std::int64_t& value);
  bool read(const ConfigNode& node, const std::string& key, const FieldSpec& spec, double& value);
  bool read(const ConfigNode& node, const std::string& key, const FieldSpec& spec,
            std::string& value);
  template <HasWords E>
  bool read(const ConfigNode& node, const std::string& key, const FieldSpec&, E& value) {
    const std::string word = node.kind == ConfigNode::Kind::kScalar ? node.scalar : std::string();
    const std::optional<E> read_in = enum_from<E>(word);
    if (!read_in) unknown_word(node, key, words_of<E>());
    value = read_in.value_or(value);
    return read_in.has_value();
  }

  void problem(const ConfigNode& node, const std::string& key, const std::string& text);

 protected:
  std::vector<std::string>& problems_;

 private:
  bool check_range(const ConfigNode& node, const std::string& key, const FieldSpec& spec,
                   double value);
  void unknown_word(const ConfigNode& node, const std::string& key,
                    const std::vector<std::string>& words);
};

// What a node holds, for messages: text, a list, keys and values, or nothing.
std::string describe(const ConfigNode& node);
// "> 0 and < 1", "at least 1", "bf16 | fp32".
std::string range_text(const FieldSpec& spec);

class TreeReader : public ScalarReader {
 public:
  using ScalarReader::ScalarReader;

  // Reads the fields of `options` that the map has. Absent fields and nulls keep their value.
  template <HasFields Options>
  void read_section(const ConfigNode& node, const std::string& path, Options& options) {
    if (node.kind == ConfigNode::Kind::kNull) return;
    if (node.kind != ConfigNode::Kind::kMap) {
      problem(node, path.empty() ? "the configuration" : path,
              "expected keys and values, found " + describe(node));
      return;
    }
    std::vector<std::string> names;
    Options::fields(options, [&](const FieldSpec& spec, auto& member) {
      names.push_back(spec.name);
      const ConfigNode* value = node.find(spec.name);
      if (value != nullptr && value->kind != ConfigNode::Kind::kNull) {
        read_value(*value, joined(path, spec.name), spec, member);
      }
    });
    report_unknown(node, path, names);
  }

 private:
  static std::string joined(const std::string& path, const std::string& name) {
    return path.empty() ? name : path + "." + name;
  }
  void report_unknown(const ConfigNode& node, const std::string& path,
                      const std::vector<std::string>& names);

  // Options with a `kShorthand` may be written as a scalar, which sets that field.
  template <HasFields Options>
  void read_value(const ConfigNode& node, const std::string& key, const FieldSpec&,
                  Options& options) {
    if constexpr (requires { Options::kShorthand; }) {
      if (node.kind == ConfigNode::Kind::kScalar) {
        Options::fields(options, [&](const FieldSpec& spec, auto& member) {
          if (spec.name == Options::kShorthand) read_value(node, key, spec, member);
        });
        return;
      }
    }
    read_section(node, key, options);
  }
  template <class T>
  requires(!HasFields<T>) void read_value(const ConfigNode& node, const std::string& key,
                                          const FieldSpec& spec, T& value) {
    read(node, key, spec, value);
  }
  template <class T>
  void read_value(const ConfigNode& node, const std::string& key, const FieldSpec& spec,
                  std::optional<T>& value) {
    const bool is_word = node.kind == ConfigNode::Kind::kScalar && !spec.empty_word.empty() &&
                         node.scalar == spec.empty_word;
    T read_in{};
    if (is_word) {
      value.reset();
    } else if (read(node, key, spec, read_in)) {
      value = read_in;
    }
  }
  template <class T>
  void read_value(const ConfigNode& node, const std::string& key, const FieldSpec& spec,
                  std::vector<T>& value) {
    std::vector<ConfigNode> items = node.items;
    if (node.kind == ConfigNode::Kind::kScalar && !HasFields<T>)
      items = {node};  // a scalar is a list of one
    if (node.kind == ConfigNode::Kind::kMap ||
        (node.kind == ConfigNode::Kind::kScalar && HasFields<T>)) {
      problem(node, key, "expected a list, found " + describe(node));
      return;
    }
    value.clear();
    for (std::size_t i = 0; i < items.size(); ++i) {
      T item{};
      read_value(items[i], key + "[" + std::to_string(i) + "]", spec, item);
      value.push_back(std::move(item));
    }
  }
  template <class T>
  void read_value(const ConfigNode& node, const std::string& key, const FieldSpec& spec,
                  std::map<std::string, T>& value) {
    if (node.kind != ConfigNode::Kind::kMap) {
      problem(node, key, "expected names and values, found " + describe(node));
      return;
    }
    for (const auto& [name, entry] : node.entries) {
      if (entry.kind == ConfigNode::Kind::kNull) continue;
      read_value(entry, cat(key, ".", name), spec, value[name]);
    }
  }
};

}  // namespace saferclip
