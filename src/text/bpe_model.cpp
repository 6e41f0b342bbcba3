// BPE as the tokenizers library does it, with a priority queue of merges: O(n log n), because here
// a piece may be a whole caption (SigLIP 2). CLIP's own encoder, whose pieces are short words, is
// byte_pair_encoder.cpp. Stale queue entries are recognized when they are popped instead of being
// removed.
#include <array>
#include <queue>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "text/subword_model.h"

namespace saferclip {
namespace {

// The UTF-8 characters of valid text.
std::vector<std::string_view> characters(std::string_view text) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0, end = 0; begin < text.size(); begin = end) {
    end = begin + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) ++end;
    parts.push_back(text.substr(begin, end - begin));
  }
  return parts;
}

std::string byte_entry(unsigned char byte) {
  static constexpr char kDigits[] = "0123456789ABCDEF";
  return {'<', '0', 'x', kDigits[byte >> 4U], kDigits[byte & 15U], '>'};
}

class BpeModel : public SubwordModel {
 public:
  BpeModel(const BpeSettings& settings, const std::string& where)
      : vocabulary_(settings.vocabulary),
        end_of_word_(settings.end_of_word),
        fuses_unknown_(settings.fuses_unknown),
        ignores_merges_(settings.ignores_merges) {
    const auto need = [&](const std::string& entry) {
      const auto found = vocabulary_.find(entry);
      if (found == vocabulary_.end())
        throw DataError(cat(where, ": the vocabulary has no entry \"", entry, "\""));
      return found->second;
    };
    merges_.reserve(settings.merges.size());
    for (std::size_t rank = 0; rank < settings.merges.size(); ++rank) {
      const auto& [a, b] = settings.merges[rank];
      merges_[key(need(a), need(b))] = {static_cast<std::int32_t>(rank), need(a + b)};
    }
    if (!settings.unknown.empty()) unknown_ = need(settings.unknown);
    if (settings.has_byte_fallback) read_byte_entries();
  }

  void encode(std::string_view piece, std::vector<std::int32_t>& ids) const override {
    if (ignores_merges_) {
      if (const auto found = id_of(std::string(piece))) {
        ids.push_back(*found);
        return;
      }
    }
    merge(symbols_of(piece), ids);
  }

  std::optional<std::int32_t> id_of(const std::string& entry) const override {
    const auto found = vocabulary_.find(entry);
    if (found == vocabulary_.end()) return std::nullopt;
    return found->second;
  }
  std::int64_t size() const override { return static_cast<std::int64_t>(vocabulary_.size()); }

 private:
  struct Merge {
    std::int32_t rank;
    std::int32_t result;
  };
  // A symbol of a piece, linked to its neighbors. `is_gone`: merged into its left neighbor.
  struct Symbol {
    std::int32_t id;
    std::int32_t before;
    std::int32_t after;
    bool is_gone = false;
  };
  struct Candidate {
    std::int32_t rank;
    std::int32_t position;
    std::int32_t result;
    bool operator>(const Candidate& other) const {
      return rank != other.rank ? rank > other.rank : position > other.position;
    }
  };

  static std::uint64_t key(std::int32_t a, std::int32_t b) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(a)) << 32U) |
           static_cast<std::uint32_t>(b);
  }

  void read_byte_entries() {
    for (unsigned byte = 0; byte < 256; ++byte) {
      const auto found = id_of(byte_entry(static_cast<unsigned char>(byte)));
      bytes_[byte] = found ? *found : -1;
    }
    has_bytes_ = true;
  }

  // Appends the byte entries of a character; false if the vocabulary lacks one of them.
  bool add_bytes(const std::string& character, std::vector<std::int32_t>& symbols) const {
    if (!has_bytes_) return false;
    for (const char c : character) {
      if (bytes_[static_cast<unsigned char>(c)] < 0) return false;
    }
    for (const char c : character) symbols.push_back(bytes_[static_cast<unsigned char>(c)]);
    return true;
  }

  // As in the library, an unknown entry is held back until a known character follows or the piece
  // ends; byte entries of later characters come before it.
  std::vector<std::int32_t> symbols_of(std::string_view piece) const {
    std::vector<std::int32_t> symbols;
    const auto parts = characters(piece);
    bool is_unknown_pending = false;
    for (std::size_t i = 0; i < parts.size(); ++i) {
      std::string part(parts[i]);
      if (i + 1 == parts.size()) part += end_of_word_;
      if (const auto found = vocabulary_.find(part); found != vocabulary_.end()) {
        if (is_unknown_pending) symbols.push_back(*unknown_);
        is_unknown_pending = false;
        symbols.push_back(found->second);
        continue;
      }
      if (add_bytes(part, symbols) || !unknown_) continue;
      if (is_unknown_pending && !fuses_unknown_) symbols.push_back(*unknown_);
      is_unknown_pending = true;
    }
    if (is_unknown_pending) symbols.push_back(*unknown_);
    return symbols;
  }

  const Merge* merge_at(const std::vector<Symbol>& word, std::int32_t position) const {
    if (position < 0) return nullptr;
    const Symbol& left = word[static_cast<std::size_t>(position)];
    if (left.after < 0) return nullptr;
    const auto found = merges_.find(key(left.id, word[static_cast<std::size_t>(left.after)].id));
    return found == merges_.end() ? nullptr : &found->second;
  }

  // Merges the lowest rank first, of equal ranks the leftmost.
  void merge(const std::vector<std::int32_t>& symbols, std::vector<std::int32_t>& ids) const {
    const auto count = static_cast<std::int32_t>(symbols.size());
    std::vector<Symbol> word;
    word.reserve(symbols.size());
    for (std::int32_t i = 0; i < count; ++i)
      word.push_back({symbols[static_cast<std::size_t>(i)], i - 1, i + 1 < count ? i + 1 : -1});
    std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
    const auto offer = [&](std::int32_t position) {
      if (const Merge* merge = merge_at(word, position)) {
        queue.push({merge->rank, position, merge->result});
      }
    };
    for (std::int32_t i = 0; i < count; ++i) offer(i);
    while (!queue.empty()) {
      const Candidate best = queue.top();
      queue.pop();
      Symbol& left = word[static_cast<std::size_t>(best.position)];
      if (left.is_gone) continue;
      const Merge* current = merge_at(word, best.position);
      if (current == nullptr || current->result != best.result) continue;
      Symbol& right = word[static_cast<std::size_t>(left.after)];
      left.id = best.result;
      left.after = right.after;
      right.is_gone = true;
      if (left.after >= 0) word[static_cast<std::size_t>(left.after)].before = best.position;
      offer(left.before);
      offer(best.position);
    }
    for (const Symbol& symbol : word) {
      if (!symbol.is_gone) ids.push_back(symbol.id);
    }
  }

  VocabularyIds vocabulary_;
  std::unordered_map<std::uint64_t, Merge> merges_;
  std::string end_of_word_;
  std::optional<std::int32_t> unknown_;
  bool fuses_unknown_;
  bool ignores_merges_;
  bool has_bytes_ = false;
  std::array<std::int32_t, 256> bytes_{};
};

}  // namespace

std::unique_ptr<SubwordModel> make_bpe(const BpeSettings& settings, const std::string& where) {
  return std::make_unique<BpeModel>(settings, where);
}

}  // namespace saferclip
