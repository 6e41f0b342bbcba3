// A cache of the ids of words, shared by threads; lookups take no lock.
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

// A fixed-size table with open addressing whose slots are filled once and never emptied. A word is
// not cached if the few slots of its hash are taken.
class WordCache {
 public:
  WordCache() : slots_(kSlots) {}
  ~WordCache() {
    for (const auto& slot : slots_) delete slot.load(std::memory_order_relaxed);
  }
  WordCache(const WordCache&) = delete;
  WordCache& operator=(const WordCache&) = delete;

  // Null if the word is not cached.
  const std::vector<std::int32_t>* find(std::string_view word) const {
    const std::size_t first = std::hash<std::string_view>()(word);
    for (std::size_t i = 0; i < kTries; ++i) {
      const Entry* entry = slots_[(first + i) % kSlots].load(std::memory_order_acquire);
      if (entry == nullptr) return nullptr;
      if (entry->word == word) return &entry->ids;
    }
    return nullptr;
  }

  void insert(std::string_view word, std::vector<std::int32_t> ids) {
    const auto* entry = new Entry{std::string(word), std::move(ids)};
    const std::size_t first = std::hash<std::string_view>()(word);
    for (std::size_t i = 0; i < kTries; ++i) {
      const Entry* existing = nullptr;
      auto& slot = slots_[(first + i) % kSlots];
      if (slot.compare_exchange_strong(existing, entry, std::memory_order_acq_rel)) return;
      if (existing->word == word) break;  // another thread was faster
    }
    delete entry;
  }

 private:
  static constexpr std::size_t kSlots = std::size_t{1} << 18U;
  static constexpr std::size_t kTries = 8;

  struct Entry {
    std::string word;
    std::vector<std::int32_t> ids;
  };
  std::vector<std::atomic<const Entry*>> slots_;
};

}  // namespace saferclip
