// Converts scalars of a configuration tree to typed values. Types are strict: a quoted number is
// text, and only true and false are booleans. Input paths are relative to the file they are written
// in, all others and --set values to the working directory.
#include "config/tree_reader.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "saferclip/config/run_config.h"
#include "saferclip/core/home.h"
#include "saferclip/core/nearest_match.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

// "; did you mean checkpoint.every_steps?" for a key of another section: by its last word, or by
// section and word run together, of which the end may be missing ("checkpoint_every").
std::string elsewhere(const std::string& name) {
  std::vector<std::string> keys, last_words, whole;
  for (const KeyDoc& doc : document_keys()) {
    keys.push_back(doc.key);
    last_words.push_back(doc.key.substr(doc.key.rfind('.') + 1));
    whole.push_back(doc.key);
    std::replace(whole.back().begin(), whole.back().end(), '.', '_');
  }
  const std::string word = nearest_match(name, last_words);
  const std::string near = nearest_match(name, whole);
  std::vector<std::string> found;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const bool is_near =
        word.empty() ? whole[i].starts_with(name + "_") || whole[i] == near : last_words[i] == word;
    if (is_near) found.push_back(keys[i]);
  }
  constexpr std::size_t kMost = 3;  // a word of more sections says nothing
  if (found.empty() || found.size() > kMost) return "";
  return cat("; did you mean ", join(found, " or "), "?");
}

bool is_plain_scalar(const ConfigNode& node) {
  return node.kind == ConfigNode::Kind::kScalar && !node.is_quoted;
}

template <class T>
bool parse_number(const std::string& text, T& value) {
  const char* begin = text.data() + (text.starts_with('+') ? 1 : 0);
  const auto [end, error] = std::from_chars(begin, text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && begin != end;
}

std::string number_text(double value) {
  return value == std::floor(value) && std::abs(value) < 1e9
             ? std::to_string(static_cast<std::int64_t>(value))
             : cat(value);
}

// Makes a path from a configuration absolute, unless the rule only expands the home folder.
std::string absolute_path(const std::string& text, const ConfigNode& node, PathRule rule) {
  const std::string expanded = expand_home(text);
  const std::filesystem::path path(expanded);
  if (rule == PathRule::kHome || text.empty() || path.is_absolute()) return expanded;
  const std::filesystem::path base = rule == PathRule::kInput && !node.file.empty()
                                         ? std::filesystem::absolute(node.file).parent_path()
                                         : std::filesystem::current_path();
  return (base / path).lexically_normal().string();
}

}  // namespace

std::string describe(const ConfigNode& node) {
  switch (node.kind) {
    case ConfigNode::Kind::kNull:
      return "nothing";
    case ConfigNode::Kind::kScalar:
      return node.is_quoted ? "the text \"" + node.scalar + "\"" : node.scalar;
    case ConfigNode::Kind::kList:
      return "a list";
    case ConfigNode::Kind::kMap:
      return "keys and values";
  }
  return "";
}

std::string range_text(const FieldSpec& spec) {
  if (!spec.choices.empty()) return join(spec.choices, " | ");
  std::vector<std::string> parts;
  if (std::isfinite(spec.min))
    parts.push_back((spec.min_is_excluded ? "> " : "at least ") + number_text(spec.min));
  if (std::isfinite(spec.max))
    parts.push_back((spec.max_is_excluded ? "< " : "at most ") + number_text(spec.max));
  return join(parts, " and ");
}

void ScalarReader::problem(const ConfigNode& node, const std::string& key,
                           const std::string& text) {
  problems_.push_back(cat(node.where(), ": ", key, ": ", text));
}

bool ScalarReader::check_range(const ConfigNode& node, const std::string& key,
                               const FieldSpec& spec, double value) {
  const bool is_low = spec.min_is_excluded ? value <= spec.min : value < spec.min;
  const bool is_high = spec.max_is_excluded ? value >= spec.max : value > spec.max;
  if (!is_low && !is_high && std::isfinite(value)) return true;
  problem(node, key,
          cat("expected ", range_text(spec).empty() ? "a finite number" : range_text(spec),
              ", found ", node.scalar));
  return false;
}

bool ScalarReader::read(const ConfigNode& node, const std::string& key, const FieldSpec&,
                        bool& value) {
  if (is_plain_scalar(node) && (node.scalar == "true" || node.scalar == "false")) {
    value = node.scalar == "true";
    return true;
  }
  problem(node, key, "expected true or false, found " + describe(node));
  return false;
}

bool ScalarReader::read(const ConfigNode& node, const std::string& key, const FieldSpec& spec,
                        std::int64_t& value) {
  std::int64_t parsed = 0;
  if (!is_plain_scalar(node) || !parse_number(node.scalar, parsed)) {
    problem(node, key, "expected a whole number, found " + describe(node));
    return false;
  }
  if (!check_range(node, key, spec, static_cast<double>(parsed))) return false;
  value = parsed;
  return true;
}

bool ScalarReader::read(const ConfigNode& node, const std::string& key, const FieldSpec& spec,
                        double& value) {
  double parsed = 0;
  if (!is_plain_scalar(node) || !parse_number(node.scalar, parsed)) {
    problem(node, key, "expected a number, found " + describe(node));
    return false;
  }
  if (!check_range(node, key, spec, parsed)) return false;
  value = parsed;
  return true;
}

bool ScalarReader::read(const ConfigNode& node, const std::string& key, const FieldSpec& spec,
                        std::string& value) {
  if (node.kind != ConfigNode::Kind::kScalar) {
    const bool starts_with_bracket =
        node.kind == ConfigNode::Kind::kMap || node.kind == ConfigNode::Kind::kList;
    problem(node, key,
            cat("expected text, found ", describe(node),
                starts_with_bracket ? "; text that begins with { or [ stands in quotes" : ""));
    return false;
  }
  const bool is_choice =
      std::find(spec.choices.begin(), spec.choices.end(), node.scalar) != spec.choices.end();
  const bool is_exempt =
      !spec.path_exempt.empty() && node.scalar.find(spec.path_exempt) != std::string::npos;
  if (is_choice || is_exempt || (spec.choices.empty() && spec.path == PathRule::kNone)) {
    value = node.scalar;
    return true;
  }
  if (spec.path != PathRule::kNone) {
    value = absolute_path(node.scalar, node, spec.path);
    return true;
  }
  unknown_word(node, key, spec.choices);
  return false;
}

void ScalarReader::unknown_word(const ConfigNode& node, const std::string& key,
                                const std::vector<std::string>& words) {
  const std::string near = nearest_match(node.scalar, words);
  problem(node, key,
          cat("expected one of ", join(words, ", "), ", found ", describe(node),
              near.empty() ? "" : cat("; did you mean ", near, "?")));
}

void TreeReader::report_unknown(const ConfigNode& node, const std::string& path,
                                const std::vector<std::string>& names) {
  for (const auto& [name, value] : node.entries) {
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    const std::string near = nearest_match(name, names);
    problem(value, joined(path, name),
            near.empty() ? cat("unknown key; known here: ", join(names, ", "), elsewhere(name))
                         : "unknown key; did you mean " + joined(path, near) + "?");
  }
}

}  // namespace saferclip
