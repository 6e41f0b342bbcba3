// Byte-level byte-pair encoding with an end-of-word suffix, as CLIP uses it.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "text/word_cache.h"

namespace saferclip {

inline constexpr std::string_view kEndOfWord = "</w>";

// The printable character (UTF-8) that represents each byte in vocabulary files, and the order in
// which CLIP numbers the bytes.
const std::array<std::string, 256>& byte_symbols();
const std::array<unsigned char, 256>& byte_order();

// Thread-safe.
class BytePairEncoder {
 public:
  // `vocabulary` maps symbols to ids; `merges` are ordered by rank. Throws DataError with `where`
  // and the symbol if a byte, or a merge's part or result, has no id.
  BytePairEncoder(std::unordered_map<std::string, std::int32_t> vocabulary,
                  std::vector<std::pair<std::string, std::string>> merges,
                  const std::string& where);

  // Appends the ids of one word (UTF-8 bytes).
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const;

  const std::unordered_map<std::string, std::int32_t>& vocabulary() const { return vocabulary_; }
  const std::vector<std::pair<std::string, std::string>>& merges() const { return merges_; }

 private:
  std::vector<std::int32_t> merge_word(std::string_view word) const;

  struct Merge {
    std::int32_t rank;
    std::int32_t result;
  };
  static std::uint64_t pair_key(std::int32_t a, std::int32_t b) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(a)) << 32U) |
           static_cast<std::uint32_t>(b);
  }

  std::unordered_map<std::string, std::int32_t> vocabulary_;
  std::vector<std::pair<std::string, std::string>> merges_;
  std::array<std::int32_t, 256> byte_ids_{};
  std::array<std::int32_t, 256> last_byte_ids_{};  // of the last byte of a word: symbol + </w>
  std::unordered_map<std::uint64_t, Merge> ranks_;
  mutable WordCache cache_;
};

}  // namespace saferclip
