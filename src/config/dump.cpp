// Dumps, compares and documents configurations by walking the structs' field lists, so a new key
// needs no code here. A dump is complete and reads back to the same configuration. A published dump
// drops the folders of paths, which belong to the author's machine.
#include <array>
#include <charconv>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "config/tree_reader.h"
#include "saferclip/config/run_config.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

namespace fs = std::filesystem;
using OrderedJson = nlohmann::ordered_json;

template <class T>
struct IsOptional : std::false_type {};
template <class T>
struct IsOptional<std::optional<T>> : std::true_type {};

// Removes traces of the author's machine: keeps the last part of a path, and of a template what
// follows its folders.
std::string without_folders(const std::string& text, PathRule rule) {
  if (rule == PathRule::kNone && !text.starts_with('/') && !text.starts_with('~')) return text;
  const std::size_t variable = text.find('{');
  if (rule == PathRule::kNone && variable != std::string::npos) return text.substr(variable);
  return fs::path(text).filename().string();
}

// Converts values to JSON; `is_published` drops the folders of paths.
struct Dumper {
  bool is_published = false;
  PathRule rule = PathRule::kNone;
  std::string empty_word = {};  // what an optional without a value is called

  OrderedJson operator()(bool value) const { return value; }
  OrderedJson operator()(std::int64_t value) const { return value; }
  OrderedJson operator()(double value) const { return value; }
  OrderedJson operator()(const std::string& value) const {
    return is_published ? without_folders(value, rule) : value;
  }
  template <HasWords E>
  OrderedJson operator()(E value) const {
    return to_string(value);
  }
  template <class T>
  OrderedJson operator()(const std::optional<T>& value) const {
    if (value) return (*this)(*value);
    return empty_word.empty() ? OrderedJson(nullptr) : OrderedJson(empty_word);
  }
  template <class T>
  OrderedJson operator()(const std::vector<T>& values) const {
    OrderedJson json = OrderedJson::array();
    for (const T& value : values) json.push_back((*this)(value));
    return json;
  }
  template <class T>
  OrderedJson operator()(const std::map<std::string, T>& values) const {
    OrderedJson json = OrderedJson::object();
    for (const auto& [name, value] : values) json[name] = (*this)(value);
    return json;
  }
  template <HasFields Options>
  OrderedJson operator()(const Options& options) const {
    OrderedJson json = OrderedJson::object();
    Options::fields(options, [&](const FieldSpec& spec, const auto& member) {
      json[spec.name] = Dumper{is_published, spec.path, spec.empty_word}(member);
    });
    return json;
  }
};

OrderedJson value_json(const auto& value, const FieldSpec& spec = {}) {
  return Dumper{false, spec.path, spec.empty_word}(value);
}

// YAML in block style. Scalars are written as JSON, which is valid YAML.
void write_yaml(const OrderedJson& json, std::size_t indent, std::string& out) {
  for (const auto& [key, value] : json.items()) {
    out += std::string(indent, ' ') + key + ":";
    if (value.is_object() && !value.empty()) {
      out += "\n";
      write_yaml(value, indent + 2, out);
    } else {
      out += " " + value.dump() + "\n";
    }
  }
}

struct FlatValue {
  OrderedJson value;
  bool is_free = false;
};

template <HasFields Options>
void flatten(const Options& options, const std::string& path,
             std::map<std::string, FlatValue>& flat) {
  Options::fields(options, [&](const FieldSpec& spec, const auto& member) {
    const std::string key = path.empty() ? spec.name : path + "." + spec.name;
    if constexpr (HasFields<std::remove_cvref_t<decltype(member)>>) {
      flatten(member, key, flat);
    } else {
      flat[key] = {value_json(member, spec), spec.resume == ResumeRule::kFree};
    }
  });
}

template <class T>
std::string type_name() {
  if constexpr (std::is_same_v<T, bool>) {
    return "true or false";
  } else if constexpr (std::is_same_v<T, std::int64_t>) {
    return "whole number";
  } else if constexpr (std::is_same_v<T, double>) {
    return "number";
  } else if constexpr (std::is_same_v<T, std::string> || HasWords<T>) {
    return "text";
  } else if constexpr (IsOptional<T>::value) {
    std::string name = type_name<typename T::value_type>();
    return name.append(" or null");
  } else if constexpr (requires { T::kShorthand; }) {
    return "path or section";
  } else if constexpr (HasFields<T>) {
    return "section";
  } else if constexpr (requires { typename T::mapped_type; }) {
    return "map of " + type_name<typename T::mapped_type>();
  } else {
    return "list of " + type_name<typename T::value_type>();
  }
}

// The values a field accepts, for people.
template <class T>
std::string values_text(const FieldSpec& spec) {
  if constexpr (HasWords<T>) {
    return join(words_of<T>(), " | ");
  } else if constexpr (IsOptional<T>::value) {
    return values_text<typename T::value_type>(spec);
  } else {
    return range_text(spec);
  }
}

template <class Options>
void document(const Options& options, const std::string& path, std::vector<KeyDoc>& docs) {
  Options::fields(options, [&](const FieldSpec& spec, const auto& member) {
    using Member = std::remove_cvref_t<decltype(member)>;
    const std::string key = path.empty() ? spec.name : path + "." + spec.name;
    if constexpr (HasFields<Member>) {
      document(member, key, docs);
    } else {
      std::string type = type_name<Member>();
      if (spec.path != PathRule::kNone && spec.choices.empty())
        type = type == "text" ? "path" : "map of path";
      std::string range = values_text<Member>(spec);
      if (spec.path != PathRule::kNone && !spec.choices.empty()) range += " | a path";
      if (!spec.empty_word.empty()) range += (range.empty() ? "" : ", or ") + spec.empty_word;
      const std::string text = value_json(member, spec).dump();
      docs.push_back({key, type, text == "\"\"" || text == "{}" ? "" : text, range, spec.meaning,
                      spec.resume == ResumeRule::kFree});
      if constexpr (requires { typename Member::value_type; }) {
        if constexpr (HasFields<typename Member::value_type>) {
          document(typename Member::value_type{}, key + "[]", docs);
        }
      }
      if constexpr (requires { typename Member::mapped_type; }) {
        if constexpr (HasFields<typename Member::mapped_type>) {
          document(typename Member::mapped_type{}, key + ".NAME", docs);
        }
      }
    }
  });
}

}  // namespace

std::string dump_run_config_json(const RunConfig& config) { return value_json(config).dump(2); }

std::string dump_run_config(const RunConfig& config) {
  std::string text;
  write_yaml(value_json(config), 0, text);
  return text;
}

std::string dump_published_config(const RunConfig& config) {
  std::string text;
  write_yaml(Dumper{true}(config), 0, text);
  return text;
}

std::vector<std::string> resume_differences(const RunConfig& saved, const RunConfig& now) {
  std::map<std::string, FlatValue> before, after;
  flatten(saved, "", before);
  flatten(now, "", after);
  // The run's length determines every step's learning rate, unless the rate is constant.
  const bool has_fixed_length = now.schedule.name != ScheduleName::kConstant;
  std::vector<std::string> differences;
  for (const auto& [key, value] : after) {
    const bool is_length = key == "train.epochs" || key == "train.max_steps";
    if (value.is_free && !(is_length && has_fixed_length)) continue;
    if (before[key].value != value.value) {
      differences.push_back(
          cat(key, ": ", before[key].value.dump(), " in the run, ", value.value.dump(), " now"));
    }
  }
  return differences;
}

std::vector<std::string> changed_keys(const RunConfig& one, const RunConfig& other) {
  std::map<std::string, FlatValue> flat_one, flat_other;
  flatten(one, "", flat_one);
  flatten(other, "", flat_other);
  std::vector<std::string> keys;
  for (const auto& [key, value] : flat_one) {
    if (flat_other[key].value != value.value) keys.push_back(key);
  }
  return keys;
}

std::vector<KeyDoc> document_keys() {
  std::vector<KeyDoc> docs;
  RunConfig config;
  config.objective = ObjectiveOptions::preset(config.objective.name);
  document(config, "", docs);
  return docs;
}

std::string config_keys_markdown() {
  std::string text =
      "# Configuration keys\n\nMade by `saferclip config keys --markdown`; a test keeps it "
      "current. Input paths are "
      "relative to the file\nthey are written in; `run.dir`, `data.cache_dir` and `--set` values "
      "to the working "
      "directory. Keys marked * may\nchange when a run is resumed.\n\nThe defaults are those of "
      "objective "
      "`saferclip`; `objective.name: clip` brings its own (weight `contrastive: 1`,\nno "
      "curriculum).\n";
  std::string section;
  for (const KeyDoc& doc : document_keys()) {
    const std::string top = doc.key.substr(0, doc.key.find('.'));
    if (top != section) {
      section = top;
      text += "\n## " + section +
              "\n\n| key | type | default | range | meaning |\n|---|---|---|---|---|\n";
    }
    const auto escaped = [](std::string cell) {
      for (std::size_t at = cell.find('|'); at != std::string::npos; at = cell.find('|', at + 2))
        cell.insert(at, "\\");
      return cell;
    };
    text += cat("| `", doc.key, "`", doc.is_free ? "*" : "", " | ", doc.type, " | ",
                doc.default_value.empty() ? "" : "`" + escaped(doc.default_value) + "`", " | ",
                escaped(doc.range), " | ", escaped(doc.meaning), " |\n");
  }
  return text;
}

}  // namespace saferclip
