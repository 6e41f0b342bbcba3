// A row without a split belongs to every split. Names are compared without surrounding white space
// and without ASCII case. What was left out or read as another spelling is counted, so that a
// misspelled split shows up in a note instead of as silently missing rows.
#include "data/split_filter.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::size_t kMostSplitNames = 100;   // counted separately
constexpr std::size_t kMostSplitsListed = 10;  // in a message

std::string canonical(const std::string& name) {
  std::string word = trimmed(name);
  std::transform(word.begin(), word.end(), word.begin(),
                 [](unsigned char c) { return static_cast<char>(c < 128 ? std::tolower(c) : c); });
  return word == "val" || word == "valid" || word == "dev" ? "validation" : word;
}

}  // namespace

SplitFilter::SplitFilter(const std::string& wanted)
    : wanted_(wanted), canonical_(canonical(wanted)) {}

bool SplitFilter::admits(const nlohmann::json* split) {
  const std::string name = split == nullptr     ? ""
                           : split->is_string() ? split->get<std::string>()
                                                : split->dump();
  if (trimmed(name).empty()) {
    ++unnamed_;
    return true;
  }
  ++named_;
  if (wanted_.empty() || name == wanted_) return true;
  if (canonical(name) == canonical_) {
    ++variants_[shortened_text(name)];
    return true;
  }
  ++others_;
  const std::string key = shortened_text(trimmed(name));
  if (other_names_.contains(key) || other_names_.size() < kMostSplitNames) ++other_names_[key];
  return false;
}

std::string SplitFilter::others_text() const {
  std::vector<std::pair<std::string, std::int64_t>> names(other_names_.begin(), other_names_.end());
  std::stable_sort(names.begin(), names.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  std::vector<std::string> parts;
  for (const auto& [name, count] : names) {
    if (parts.size() == kMostSplitsListed) {
      parts.emplace_back("…");
      break;
    }
    parts.push_back(cat(name, " (", with_commas(count), ")"));
  }
  return join(parts, ", ");
}

std::vector<std::string> SplitFilter::notes() const {
  std::vector<std::string> lines;
  for (const auto& [name, count] : variants_) {
    lines.push_back(
        cat("split \"", name, "\" read as \"", wanted_, "\" in ", with_commas(count), " rows"));
  }
  if (named_ > 0 && unnamed_ > 0) {
    lines.push_back(cat(with_commas(unnamed_), " rows have no split and belong to every split"));
  }
  return lines;
}

}  // namespace saferclip
