// Ids of words met before, for many threads at once: looking one up takes no lock.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace saferclip {

// A table of fixed size whose places are filled once and never emptied: a word that finds the few
// places of its hash taken is not kept.
class WordCache {
 public:
  WordCache() : places_(kPlaces) {}
  ~WordCache() {
    for (const auto& place : places_) delete place.load(std::memory_order_relaxed);
  }
  WordCache(const WordCache&) = delete;
  WordCache& operator=(const WordCache&) = delete;

  // Null when the word is not there.
  const std::vector<std::int32_t>* find(std::string_view word) const {
    const std::size_t first = std::hash<std::string_view>()(word);
    for (std::size_t i = 0; i < kTries; ++i) {
      const Entry* entry = places_[(first + i) % kPlaces].load(std::memory_order_acquire);
      if (entry == nullptr) return nullptr;
      if (entry->word == word) return &entry->ids;
    }
    return nullptr;
  }

  void insert(std::string_view word, std::vector<std::int32_t> ids) {
    const auto* entry = new Entry{std::string(word), std::move(ids)};
    const std::size_t first = std::hash<std::string_view>()(word);
    for (std::size_t i = 0; i < kTries; ++i) {
      const Entry* there = nullptr;
      auto& place = places_[(first + i) % kPlaces];
      if (place.compare_exchange_strong(there, entry, std::memory_order_acq_rel)) return;
      if (there->word == word) break;  // another thread was faster
    }
    delete entry;
  }

 private:
  static constexpr std::size_t kPlaces = std::size_t{1} << 18U;
  static constexpr std::size_t kTries = 8;

  struct Entry {
    std::string word;
    std::vector<std::int32_t> ids;
  };
  std::vector<std::atomic<const Entry*>> places_;
};

}  // namespace saferclip
