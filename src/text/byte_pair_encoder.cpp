// The encoder behind CLIP's own vocabulary file. Words are short and cached, so merging simply
// scans all pairs for the lowest rank and merges all its occurrences at once, like OpenAI's bpe().
// Bytes are numbered in the order of GPT-2's table, printable ones first.
#include "text/byte_pair_encoder.h"

#include <limits>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "text/unicode.h"

namespace saferclip {
namespace {

bool is_printed_as_itself(int byte) {
  return (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
}

}  // namespace

const std::array<std::string, 256>& byte_symbols() {
  static const std::array<std::string, 256> kSymbols = [] {
    std::array<std::string, 256> symbols;
    char32_t next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const char32_t code = is_printed_as_itself(byte) ? static_cast<char32_t>(byte) : next++;
      symbols[static_cast<std::size_t>(byte)] = encode_utf8(std::u32string_view(&code, 1));
    }
    return symbols;
  }();
  return kSymbols;
}

const std::array<unsigned char, 256>& byte_order() {
  static const std::array<unsigned char, 256> kOrder = [] {
    std::array<unsigned char, 256> order{};
    std::size_t next = 0;
    for (const bool printed : {true, false}) {
      for (int byte = 0; byte < 256; ++byte) {
        if (is_printed_as_itself(byte) == printed) order[next++] = static_cast<unsigned char>(byte);
      }
    }
    return order;
  }();
  return kOrder;
}

BytePairEncoder::BytePairEncoder(std::unordered_map<std::string, std::int32_t> vocabulary,
                                 std::vector<std::pair<std::string, std::string>> merges,
                                 const std::string& where)
    : vocabulary_(std::move(vocabulary)), merges_(std::move(merges)) {
  const auto id_of = [&](const std::string& symbol) {
    const auto found = vocabulary_.find(symbol);
    if (found == vocabulary_.end())
      throw DataError(cat(where, ": the vocabulary has no entry \"", symbol, "\""));
    return found->second;
  };
  for (std::size_t byte = 0; byte < 256; ++byte) {
    byte_ids_[byte] = id_of(byte_symbols()[byte]);
    last_byte_ids_[byte] = id_of(byte_symbols()[byte] + std::string(kEndOfWord));
  }
  ranks_.reserve(merges_.size());
  std::string whole;
  for (std::size_t rank = 0; rank < merges_.size(); ++rank) {
    const auto& [a, b] = merges_[rank];
    whole.assign(a).append(b);
    ranks_.emplace(pair_key(id_of(a), id_of(b)),
                   Merge{static_cast<std::int32_t>(rank), id_of(whole)});
  }
}

std::vector<std::int32_t> BytePairEncoder::merge_word(std::string_view word) const {
  std::vector<std::int32_t> symbols;
  for (const char letter : word) symbols.push_back(byte_ids_[static_cast<unsigned char>(letter)]);
  symbols.back() = last_byte_ids_[static_cast<unsigned char>(word.back())];
  while (symbols.size() > 1) {
    std::int32_t best_rank = std::numeric_limits<std::int32_t>::max();
    std::uint64_t best_pair = 0;
    std::int32_t result = 0;
    for (std::size_t i = 0; i + 1 < symbols.size(); ++i) {
      const std::uint64_t pair = pair_key(symbols[i], symbols[i + 1]);
      const auto found = ranks_.find(pair);
      if (found == ranks_.end() || found->second.rank >= best_rank) continue;
      best_rank = found->second.rank;
      best_pair = pair;
      result = found->second.result;
    }
    if (best_rank == std::numeric_limits<std::int32_t>::max()) break;
    std::size_t kept = 0;
    for (std::size_t i = 0; i < symbols.size(); ++i) {
      const bool merges =
          i + 1 < symbols.size() && pair_key(symbols[i], symbols[i + 1]) == best_pair;
      symbols[kept++] = merges ? result : symbols[i];
      if (merges) ++i;
    }
    symbols.resize(kept);
  }
  return symbols;
}

void BytePairEncoder::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (const auto* known = cache_.find(word); known != nullptr) {
    ids.insert(ids.end(), known->begin(), known->end());
    return;
  }
  std::vector<std::int32_t> symbols = merge_word(word);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
  cache_.insert(word, std::move(symbols));
}

}  // namespace saferclip
