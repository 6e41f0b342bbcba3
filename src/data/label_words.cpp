// A few words repeated over nearly all rows are labels. In a small file one-word captions may
// repeat too, so there the words themselves must be labels.
#include "data/label_words.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "data/file_walk.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr std::array kSafetyWords{"safe",  "unsafe",   "nsfw",   "sfw",    "0",        "1",
                                  "0.0",   "1.0",      "yes",    "no",     "y",        "n",
                                  "true",  "false",    "likely", "unsure", "unlikely", "harmful",
                                  "toxic", "harmless", "normal", "neutral"};
constexpr std::size_t kLongestWord = 12;
constexpr std::size_t kFewWords = 5;
constexpr std::size_t kMostWords = 1000;  // counted
constexpr std::int64_t kManyRows =
    20;  // so few words in so many rows are labels, whatever they say
constexpr std::int64_t kNearlyAll = 95;  // percent

bool is_safety_word(const std::string& word) {
  return std::find(kSafetyWords.begin(), kSafetyWords.end(), word) != kSafetyWords.end();
}

}  // namespace

void ColumnValues::see(const nlohmann::json& value) {
  if (value.is_null()) return;
  ++rows_;
  if (value.is_string() || value.is_array()) ++texts_;
  if (value.is_structured()) return;
  const std::string word =
      lower_ascii(trimmed(value.is_string() ? value.get<std::string>() : value.dump()));
  const bool is_short =
      word.size() <= kLongestWord && word.find_first_of(" \t\n") == std::string::npos;
  if (is_short && (words_.size() < kMostWords || words_.contains(word))) ++words_[word];
}

std::map<std::string, std::int64_t> ColumnValues::commonest() const {
  std::vector<std::pair<std::string, std::int64_t>> words(words_.begin(), words_.end());
  std::stable_sort(words.begin(), words.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  words.resize(std::min(words.size(), kFewWords));
  return {words.begin(), words.end()};
}

bool ColumnValues::are_labels() const {
  const auto words = commonest();
  const std::int64_t covered =
      std::accumulate(words.begin(), words.end(), std::int64_t{0},
                      [](std::int64_t sum, const auto& word) { return sum + word.second; });
  return rows_ > 0 && covered * 100 >= rows_ * kNearlyAll &&
         (rows_ >= kManyRows || are_safety_labels());
}

bool ColumnValues::are_safety_labels() const {
  std::int64_t covered = 0;
  for (const auto& [word, count] : words_) covered += is_safety_word(word) ? count : 0;
  return rows_ > 0 && covered * 100 >= rows_ * kNearlyAll;
}

bool ColumnValues::may_be_captions() const { return rows_ == 0 || (texts_ > 0 && !are_labels()); }

std::string ColumnValues::examples() const {
  std::vector<std::string> names;
  for (const auto& [word, count] : commonest()) names.push_back(word);
  return join(names, ", ");
}

}  // namespace saferclip
