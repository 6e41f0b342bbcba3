// The models that split a piece of text into vocabulary entries, with the behavior of the
// tokenizers library (0.23).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace saferclip {

using VocabularyIds = std::unordered_map<std::string, std::int32_t>;
using MergeList = std::vector<std::pair<std::string, std::string>>;

// Thread-safe.
class SubwordModel {
 public:
  virtual ~SubwordModel() = default;
  // Appends the ids of one piece (UTF-8, not empty).
  virtual void encode(std::string_view piece, std::vector<std::int32_t>& ids) const = 0;
  virtual std::optional<std::int32_t> id_of(const std::string& entry) const = 0;
  virtual std::int64_t size() const = 0;
};

struct BpeSettings {
  VocabularyIds vocabulary;
  MergeList merges;         // by rank; of duplicates the last counts
  std::string end_of_word;  // appended to the last character of a piece
  std::string unknown;      // entry for unknown characters; "": they are dropped
  bool fuses_unknown = false;
  bool has_byte_fallback = false;  // tries <0x00> … <0xFF> before `unknown`
  bool ignores_merges = false;     // a piece that is an entry is encoded as it
};

// Throws DataError with `where` and the symbol if a merge's part or result has no id.
std::unique_ptr<SubwordModel> make_bpe(const BpeSettings& settings, const std::string& where);

struct UnigramSettings {
  std::vector<std::pair<std::string, double>> entries;  // with their log probabilities
  std::optional<std::int32_t> unknown;
  bool has_byte_fallback = false;
};

// Throws DataError with `where` if there are no entries or `unknown` is not one of them.
std::unique_ptr<SubwordModel> make_unigram(UnigramSettings settings, const std::string& where);

}  // namespace saferclip
