// Each supported step of the JSON becomes a closure; regexes are recognized by their text and
// implemented by hand, since the engines of Rust, Python and ICU differ. Any other step is
// reported, never skipped: a skipped step would silently give other ids.
#include "text/normalizer.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "saferclip/core/text_format.h"
#include "text/charsmap.h"
#include "text/lexer.h"
#include "text/unicode.h"

namespace saferclip {
namespace {

using Json = nlohmann::json;

std::string type_of(const Json& json) { return json.value("type", std::string()); }

// `pattern`: {"String": …} or {"Regex": …}.
struct Pattern {
  std::string kind;
  std::string text;
};

Pattern read_pattern(const Json& json) {
  const Json pattern = json.value("pattern", Json::object());
  for (const char* kind : {"String", "Regex"}) {
    if (pattern.contains(kind)) return {kind, pattern[kind].get<std::string>()};
  }
  return {};
}

std::u32string replace_all(const std::u32string& text, const std::u32string& what,
                           const std::u32string& by) {
  std::u32string result;
  std::size_t begin = 0;
  for (std::size_t at = text.find(what); at != std::u32string::npos; at = text.find(what, begin)) {
    result.append(text, begin, at - begin).append(by);
    begin = at + what.size();
  }
  return result.append(text, begin, std::u32string::npos);
}

// Replaces runs of at least `least` matching characters.
template <class Predicate>
std::u32string replace_runs(const std::u32string& text, Predicate belongs, std::size_t least,
                            const std::u32string& by) {
  std::u32string result;
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i;
    while (end < text.size() && belongs(text[end])) ++end;
    if (end - i >= least) {
      result += by;
    } else {
      result.append(text, i, std::max<std::size_t>(1, end - i));
    }
    i = std::max(end, i + 1);
  }
  return result;
}

std::u32string stripped(const std::u32string& text, bool left, bool right) {
  std::size_t begin = 0;
  std::size_t end = text.size();
  while (left && begin < end && is_white_space(text[begin])) ++begin;
  while (right && end > begin && is_white_space(text[end - 1])) --end;
  return text.substr(begin, end - begin);
}

std::string from_base64(const std::string& text) {
  std::string bytes;
  std::uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int digit = c >= 'A' && c <= 'Z'   ? c - 'A'
                      : c >= 'a' && c <= 'z' ? c - 'a' + 26
                      : c >= '0' && c <= '9' ? c - '0' + 52
                      : c == '+'             ? 62
                      : c == '/'             ? 63
                                             : -1;
    if (digit < 0) continue;
    bits = bits << 6U | static_cast<std::uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes.push_back(static_cast<char>(bits >> static_cast<unsigned>(count) & 0xFFU));
  }
  return bytes;
}

// Null if it is not supported.
TextStep replace_step(const Json& json) {
  const Pattern pattern = read_pattern(json);
  const std::u32string by = decode_utf8(json.value("content", std::string()));
  if (pattern.kind == "String" && !pattern.text.empty()) {
    return [what = decode_utf8(pattern.text), by](std::u32string text) {
      return replace_all(text, what, by);
    };
  }
  if (pattern.kind != "Regex") return nullptr;
  if (pattern.text == "\\s+") {
    return [by](std::u32string text) { return replace_runs(text, is_white_space, 1, by); };
  }
  if (pattern.text == " {2,}") {
    return [by](std::u32string text) {
      return replace_runs(
          text, [](char32_t c) { return c == U' '; }, 2, by);
    };
  }
  return nullptr;
}

TextStep normalizer_step(const Json& json) {
  static const std::vector<std::pair<std::string, std::u32string (*)(const std::u32string&)>>
      kSimple{{"NFC", normalise_nfc},
              {"NFD", normalise_nfd},
              {"NFKC", normalise_nfkc},
              {"NFKD", normalise_nfkd},
              {"Lowercase", lower_each}};
  const std::string type = type_of(json);
  for (const auto& [name, function] : kSimple) {
    if (type == name) return [function](std::u32string text) { return function(text); };
  }
  if (type == "Replace") return replace_step(json);
  if (type == "Strip") {
    return [left = json.value("strip_left", true), right = json.value("strip_right", true)](
               std::u32string text) { return stripped(text, left, right); };
  }
  if (type == "Prepend") {
    return [mark = decode_utf8(json.value("prepend", std::string()))](std::u32string text) {
      return text.empty() ? text : mark + text;
    };
  }
  if (type == "Precompiled") {
    const std::string table = from_base64(json.value("precompiled_charsmap", std::string()));
    check_charsmap(table, "tokenizer.json: normalizer Precompiled");
    return [table](std::u32string text) { return apply_charsmap(table, text); };
  }
  return nullptr;
}

// Appends `json`, or the children of a Sequence recursively.
void flatten(const Json& json, const char* children, std::vector<Json>& parts) {
  if (json.is_null()) return;
  if (type_of(json) != "Sequence") {
    parts.push_back(json);
    return;
  }
  for (const Json& child : json.at(children)) flatten(child, children, parts);
}

std::string description_of(const Json& part) {
  const Pattern pattern = read_pattern(part);
  const std::string type = type_of(part);
  return pattern.text.empty() ? type : cat(type, " of ", pattern.kind, " \"", pattern.text, "\"");
}

bool is_step(const Json& part, const char* type, const char* regex, const char* content) {
  return type_of(part) == type && read_pattern(part).text == regex &&
         part.value("content", std::string()) == content;
}

std::vector<std::u32string> each(
    const std::vector<std::u32string>& parts,
    const std::function<void(const std::u32string&, std::vector<std::u32string>&)>& cut) {
  std::vector<std::u32string> result;
  for (const std::u32string& part : parts) {
    if (!part.empty()) cut(part, result);
  }
  std::erase_if(result, [](const std::u32string& part) { return part.empty(); });
  return result;
}

// Where the separator between two parts goes.
enum class SeparatorTo { kRemoved, kIsolated, kWithPrevious, kWithNext };

void cut_at(const std::u32string& text, const std::u32string& separator, SeparatorTo mode,
            std::vector<std::u32string>& parts) {
  std::size_t begin = 0;
  std::size_t from = 0;
  for (std::size_t at = text.find(separator); at != std::u32string::npos;
       at = text.find(separator, from)) {
    from = at + separator.size();
    const std::size_t end = mode == SeparatorTo::kWithPrevious ? from : at;
    parts.push_back(text.substr(begin, end - begin));
    if (mode == SeparatorTo::kIsolated) parts.push_back(separator);
    begin = mode == SeparatorTo::kWithNext ? at : from;
  }
  parts.push_back(text.substr(begin));
}

PartStep words_step(const std::vector<std::u32string>& marks) {
  return [marks](const std::vector<std::u32string>& parts) {
    return each(parts, [&](const std::u32string& text, auto& words) {
      cut_clip_words(text, marks, words);
    });
  };
}

PartStep split_step(const Json& json, PreTokenizer& result) {
  const Pattern pattern = read_pattern(json);
  const auto behavior = json.value("behavior", std::string());
  const bool inverts = json.value("invert", false);
  if (pattern.kind == "Regex" && inverts && behavior == "Removed") {
    const auto marks = clip_pattern_marks(pattern.text);
    if (!marks) return nullptr;
    result.is_clip = true;
    result.has_marks = !marks->empty();
    return words_step(*marks);
  }
  static const std::vector<std::pair<std::string, SeparatorTo>> kModes{
      {"Removed", SeparatorTo::kRemoved},
      {"Isolated", SeparatorTo::kIsolated},
      {"MergedWithPrevious", SeparatorTo::kWithPrevious},
      {"MergedWithNext", SeparatorTo::kWithNext}};
  const auto mode = std::find_if(kModes.begin(), kModes.end(),
                                 [&](const auto& known) { return known.first == behavior; });
  if (pattern.kind != "String" || pattern.text.empty() || inverts || mode == kModes.end())
    return nullptr;
  return [mark = decode_utf8(pattern.text),
          mode = mode->second](const std::vector<std::u32string>& parts) {
    return each(parts,
                [&](const std::u32string& text, auto& cut) { cut_at(text, mark, mode, cut); });
  };
}

void cut_at_spaces(const std::u32string& text, std::vector<std::u32string>& parts) {
  std::u32string word;
  for (const char32_t c : text) {
    if (!is_white_space(c)) {
      word.push_back(c);
    } else {
      parts.push_back(std::exchange(word, {}));
    }
  }
  parts.push_back(std::move(word));
}

PartStep metaspace_step(const Json& json) {
  const std::u32string mark = decode_utf8(json.value("replacement", std::string("\u2581")));
  const auto scheme = json.value(
      "prepend_scheme", std::string(json.value("add_prefix_space", true) ? "always" : "never"));
  const bool splits = json.value("split", true);
  if (mark.size() != 1 || (scheme != "always" && scheme != "never" && scheme != "first"))
    return nullptr;
  return [mark, scheme, splits](const std::vector<std::u32string>& parts) {
    bool is_first = true;
    return each(parts, [&](const std::u32string& given, auto& cut) {
      std::u32string text = given;
      std::replace(text.begin(), text.end(), U' ', mark[0]);
      const bool prepends = scheme == "always" || (scheme == "first" && is_first);
      if (prepends && text[0] != mark[0]) text = mark + text;
      is_first = false;
      if (splits) {
        cut_at(text, mark, SeparatorTo::kWithNext, cut);
      } else {
        cut.push_back(text);
      }
    });
  };
}

PartStep pre_tokenizer_step(const Json& json, PreTokenizer& result) {
  const std::string type = type_of(json);
  if (type == "Split") return split_step(json, result);
  if (type == "Metaspace") return metaspace_step(json);
  if (type == "WhitespaceSplit") {
    return [](const std::vector<std::u32string>& parts) { return each(parts, cut_at_spaces); };
  }
  return nullptr;
}

}  // namespace

Normalizer read_normalizer(const Json& json, std::vector<std::string>& problems) {
  std::vector<Json> parts;
  flatten(json, "normalizers", parts);
  Normalizer result;
  for (const Json& part : parts) {
    result.steps.push_back(normalizer_step(part));
    if (result.steps.back()) continue;
    problems.push_back(cat("normalizer ", description_of(part),
                           "; known: NFC, NFD, NFKC, NFKD, Lowercase, Strip, Prepend, Precompiled, "
                           "Replace of a String, of Regex \"\\s+\" or \" {2,}\""));
  }
  result.is_clip = parts.size() == 3 && type_of(parts[0]) == "NFC" &&
                   is_step(parts[1], "Replace", "\\s+", " ") && type_of(parts[2]) == "Lowercase";
  return result;
}

PreTokenizer read_pre_tokenizer(const Json& json, std::vector<std::string>& problems) {
  std::vector<Json> parts;
  flatten(json, "pretokenizers", parts);
  PreTokenizer result;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    // Every word of CLIP's pattern is one of ByteLevel's own pattern; its special tokens are not.
    if (type_of(parts[i]) == "ByteLevel" && result.is_clip && i + 1 == parts.size() &&
        !parts[i].value("add_prefix_space", true)) {
      result.is_byte_level = true;
      if (result.has_marks && parts[i].value("use_regex", true))
        result.steps.push_back(words_step({}));
      continue;
    }
    result.steps.push_back(pre_tokenizer_step(parts[i], result));
    if (result.steps.back()) continue;
    problems.push_back(cat("pre_tokenizer ", description_of(parts[i]),
                           "; known: Split by CLIP's pattern then ByteLevel, Split by a String, "
                           "WhitespaceSplit, Metaspace"));
  }
  result.is_clip = result.is_clip && parts.size() == 2 && result.is_byte_level;
  return result;
}

}  // namespace saferclip
