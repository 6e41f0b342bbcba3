// Each field goes by several names. A record with two different values for one field is refused,
// since either could be meant. For a file with other names the message lists what was found, what
// is wanted, and near misses. The lists are bounded, because records may have any number of keys.
#include "data/manifest_fields.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "saferclip/core/nearest_match.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

using Json = nlohmann::json;

constexpr std::size_t kMostNames = 200;       // remembered per file
constexpr std::size_t kMostListed = 20;       // in a message
constexpr std::int64_t kRowsOfValues = 1000;  // whose values are looked at
constexpr std::array kLabelNames{"label",      "labels",  "nsfw",   "is_nsfw",
                                 "nsfw_label", "sfw",     "is_sfw", "unsafe",
                                 "is_unsafe",  "is_safe", "safety", "safety_label"};

// Names that may have only one value. A safe picture may be named in several ways: the path wins.
// `text` and the names behind it are captions only where no other name is, since they may be
// anything else.
constexpr FieldNames kCaptionNames{"safe_caption", "safe", "caption"};
constexpr std::initializer_list<FieldNames> kAlternatives{
    kIdNames, kCaptionNames, kUnsafeCaptionNames, kUnsafeImageNames, kTagNames};

constexpr std::initializer_list<FieldNames> kAllFields{kIdNames,
                                                       kSafeCaptionNames,
                                                       kSafeImageNames,
                                                       kUnsafeCaptionNames,
                                                       kUnsafeImageNames,
                                                       kTagNames,
                                                       kSplitNames,
                                                       kGalleryNames,
                                                       kPairNames,
                                                       kUnsafeCaptionLabelNames,
                                                       kUnsafeImageLabelNames};

std::string alternatives(FieldNames names) {
  const std::vector<std::string> others(names.begin() + 1, names.end());
  return cat(*names.begin(), others.empty() ? "" : cat(" (or ", join(others, ", "), ")"));
}

std::string listed(std::vector<std::string> names) {
  const bool is_cut = names.size() > kMostListed;
  names.resize(std::min(names.size(), kMostListed));
  for (std::string& name : names) name = name.empty() ? "\"\"" : shortened_text(name, 40);
  return join(names, ", ") + (is_cut ? ", …" : "");
}

bool is_one_of(const std::string& name, FieldNames names) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// "Unsafe-Caption" as "unsafe_caption".
std::string plain_name(std::string name) {
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) {
    return static_cast<char>(c == ' ' || c == '-' ? '_' : c < 128 ? std::tolower(c) : c);
  });
  return name;
}

}  // namespace

std::string label_text(const Json& record, FieldNames names) {
  const Json* value = find_field(record, names);
  if (value == nullptr) return "";
  return value->is_string() ? value->get<std::string>() : value->dump();
}

std::optional<bool> zero_or_one(const Json& record, FieldNames names, std::string& message) {
  const Json* value = find_field(record, names);
  if (value == nullptr) return true;
  const std::string text =
      value->is_string() || value->is_number() ? trimmed(text_of_number(*value)) : "";
  if (text == "0" || text == "1") return text == "1";
  message = cat(*names.begin(), " is ", shortened_text(value->dump()), ", expected 0 or 1");
  return std::nullopt;
}

const Json* find_field(const Json& record, FieldNames names) {
  for (const char* name : names) {
    const auto found = record.find(name);
    if (found != record.end() && !found->is_null()) return &*found;
  }
  return nullptr;
}

std::string text_of_number(const Json& value) {
  constexpr double kExact = 9007199254740992;  // 2^53: beyond it doubles skip integers
  if (value.is_string()) {
    auto text = value.get<std::string>();
    const bool is_whole = text.size() > 2 && text.ends_with(".0") &&
                          text.find_first_not_of("0123456789") == text.size() - 2;
    return is_whole ? text.substr(0, text.size() - 2) : text;
  }
  const double number = value.is_number_float() ? value.get<double>() : 0.5;
  const bool is_whole = number == std::floor(number) && std::abs(number) <= kExact;
  return is_whole ? std::to_string(static_cast<std::int64_t>(number)) : value.dump();
}

std::string field_conflict(const Json& record) {
  for (const FieldNames names : kAlternatives) {
    const char* first = nullptr;
    for (const char* name : names) {
      const auto found = record.find(name);
      if (found == record.end() || found->is_null()) continue;
      if (first == nullptr) {
        first = name;
      } else if (record[first] != *found) {
        return cat(first, " is ", shortened_text(record[first].dump()), ", ", name, " is ",
                   shortened_text(found->dump()), "; keep only one");
      }
    }
  }
  return "";
}

void SeenFields::see(const std::vector<std::string>& columns) {
  for (const std::string& name : columns) {
    if (values_.size() < kMostNames && values_.try_emplace(name).second) in_order_.push_back(name);
  }
}

void SeenFields::see(const Json& record) {
  for (auto field = record.begin(); field != record.end(); ++field) {
    auto known = values_.find(field.key());
    if (known == values_.end()) {
      if (values_.size() >= kMostNames) continue;
      known = values_.try_emplace(field.key()).first;
      in_order_.push_back(field.key());
    }
    if (known->second.rows() < kRowsOfValues) known->second.see(*field);
  }
}

bool SeenFields::has_any(FieldNames names) const {
  return std::any_of(names.begin(), names.end(),
                     [&](const char* name) { return values_.contains(name); });
}

std::string SeenFields::missing(bool needs_unsafe) const {
  if (in_order_.empty()) return "";
  std::vector<std::string> lines;
  for (const FieldNames names : {kSafeCaptionNames, kSafeImageNames, kUnsafeCaptionNames}) {
    const bool is_needed = needs_unsafe || names.begin() != kUnsafeCaptionNames.begin();
    if (is_needed && !has_any(names)) lines.push_back(alternatives(names));
  }
  if (lines.empty()) return "";
  std::string text =
      cat("no row has ", join(lines, ", no row has "), "\n  found: ", listed(in_order_),
          "\n  wanted: id, safe_caption, safe_image, ",
          needs_unsafe ? "unsafe_caption, unsafe_image" : "", needs_unsafe ? ", " : "",
          "tag, split; rename the columns or keys");
  for (const auto& found : {likely_mistakes(), label_columns()}) {
    for (const std::string& line : found) text += "\n  " + line;
  }
  return text;
}

std::vector<std::string> SeenFields::unread() const {
  std::set<std::string> known{""};
  for (const FieldNames names : kAllFields) known.insert(names.begin(), names.end());
  std::vector<std::string> names;
  for (const std::string& name : in_order_) {
    if (!known.contains(name)) names.push_back(name);
  }
  return names;
}

std::vector<std::string> SeenFields::likely_mistakes() const {
  std::vector<std::string> candidates;
  for (const FieldNames names : kAllFields) {
    if (!has_any(names)) candidates.insert(candidates.end(), names.begin(), names.end());
  }
  const auto is_caption = [](const std::string& name) {
    return is_one_of(name, kSafeCaptionNames) || is_one_of(name, kUnsafeCaptionNames);
  };
  std::vector<std::string> lines;
  for (const std::string& name : unread()) {
    const std::string near = nearest_match(plain_name(name), candidates);
    if (near.empty() || lines.size() == kMostListed) continue;
    if (is_caption(near) && !values_.at(name).may_be_captions()) continue;
    lines.push_back(cat("\"", shortened_text(name, 40), "\" is ignored; did you mean ", near, "?"));
  }
  return lines;
}

std::vector<std::string> SeenFields::label_columns() const {
  std::vector<std::string> lines;
  if (has_any(kUnsafeCaptionNames)) return lines;
  for (const std::string& name : unread()) {
    const ColumnValues& values = values_.at(name);
    const bool is_label =
        std::find(kLabelNames.begin(), kLabelNames.end(), plain_name(name)) != kLabelNames.end() &&
        values.are_safety_labels();
    if (!is_label || lines.size() == kMostListed) continue;
    lines.push_back(cat("column \"", shortened_text(name, 40), "\" says which rows are safe (",
                        values.examples(), "): rows are labeled, not paired; ", kLabelCure));
  }
  return lines;
}

}  // namespace saferclip
