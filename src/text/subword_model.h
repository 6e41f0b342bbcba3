// The models that cut a piece of text into entries of a vocabulary, as the tokenizers library
// (0.23) does it.
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
  MergeList merges;         // by rank; of equal ones the last counts
  std::string end_of_word;  // joined to the last character of a piece
  std::string unknown;      // the entry for what the vocabulary does not have; "": left out
  bool fuses_unknown = false;
  bool has_byte_fallback = false;  // <0x00> … <0xFF> before `unknown`
  bool ignores_merges = false;     // a piece that is an entry is that entry
};

// Throws DataError naming `where` and the merge whose parts or result have no id.
std::unique_ptr<SubwordModel> make_bpe(const BpeSettings& settings, const std::string& where);

struct UnigramSettings {
  std::vector<std::pair<std::string, double>> entries;  // with their log probabilities
  std::optional<std::int32_t> unknown;
  bool has_byte_fallback = false;
};

// Throws DataError naming `where`: no entries, an unknown id outside of them.
std::unique_ptr<SubwordModel> make_unigram(UnigramSettings settings, const std::string& where);

}  // namespace saferclip
