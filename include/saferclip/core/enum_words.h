// Words of enums: one table beside an enum gives each enumerator the word that configurations,
// files and messages use for it.
//
//   enum class ScheduleName { kConstant, kCosine };
//   constexpr auto enum_words(ScheduleName) {
//     return std::to_array<EnumWord<ScheduleName>>(
//         {{ScheduleName::kConstant, "constant"}, {ScheduleName::kCosine, "cosine"}});
//   }
//
// With it, an options field of this type is read, checked, dumped and documented, and `cat`,
// `to_string` and `enum_from` know the words.
#pragma once

#include <array>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace saferclip {

template <class E>
struct EnumWord {
  E value;
  std::string_view word;
};

template <class E>
concept HasWords = std::is_enum_v<E> && requires {
  enum_words(E{});
};

// The word of an enumerator; empty for a value outside the table.
template <HasWords E>
constexpr std::string_view word_of(E value) {
  for (const auto& entry : enum_words(E{})) {
    if (entry.value == value) return entry.word;
  }
  return {};
}

// The enumerator of a word, or none.
template <HasWords E>
constexpr std::optional<E> enum_from(std::string_view word) {
  for (const auto& entry : enum_words(E{})) {
    if (entry.word == word) return entry.value;
  }
  return std::nullopt;
}

// All words in the table's order, for messages and documentation.
template <HasWords E>
std::vector<std::string> words_of() {
  std::vector<std::string> words;
  for (const auto& entry : enum_words(E{})) words.emplace_back(entry.word);
  return words;
}

template <HasWords E>
std::string to_string(E value) {
  return std::string(word_of(value));
}

template <HasWords E>
std::ostream& operator<<(std::ostream& out, E value) {
  return out << word_of(value);
}

}  // namespace saferclip
