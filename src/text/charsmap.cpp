// SentencePiece and the tokenizers library follow the array without bounds checks; check_charsmap()
// makes that safe by testing every unit once, so lookups here need no checks either. Units of
// darts-clone: offset in the upper bits, label in the lowest byte, bit 8 for a leaf child.
#include "text/charsmap.h"

#include <cstdint>
#include <cstring>
#include <optional>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"
#include "text/unicode.h"

namespace saferclip {
namespace {

// Limit of one replacement; the longest of NFKC has 33 bytes.
constexpr std::size_t kMaxReplacementBytes = 256;

std::uint32_t word_at(std::string_view bytes, std::size_t index) {
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data() + index * sizeof(value), sizeof(value));
  return value;
}

// The replacement of the shortest entry that is a prefix of `bytes`.
std::optional<std::string_view> replacement(std::string_view table, std::string_view bytes) {
  const std::size_t array_bytes = word_at(table, 0);
  const std::string_view array = table.substr(sizeof(std::uint32_t), array_bytes);
  const std::string_view texts = table.substr(sizeof(std::uint32_t) + array_bytes);
  const auto offset = [](std::uint32_t unit) {
    return std::size_t{unit >> 10U} << ((unit & (1U << 9U)) >> 6U);
  };
  std::size_t at = offset(word_at(array, 0));
  for (const char c : bytes) {
    if (c == '\0') break;
    const auto label = static_cast<unsigned char>(c);
    at ^= label;
    const std::uint32_t unit = word_at(array, at);
    if ((unit & ((1U << 31U) | 0xFFU)) != label) break;
    at ^= offset(unit);
    if (((unit >> 8U) & 1U) == 0) continue;
    const std::size_t begin = word_at(array, at) & 0x7FFFFFFFU;
    if (begin >= texts.size()) break;
    return texts.substr(begin, texts.find('\0', begin) - begin);
  }
  return std::nullopt;
}

}  // namespace

void check_charsmap(std::string_view table, const std::string& name) {
  if (table.empty()) return;
  const auto refuse = [&](const char* what) {
    throw DataError(cat(name, ": its normalization table ", what, "; fetch the file again"));
  };
  if (table.size() < sizeof(std::uint32_t)) refuse("is truncated");
  const std::size_t array_bytes = word_at(table, 0);
  table.remove_prefix(sizeof(std::uint32_t));
  if (array_bytes == 0 || array_bytes % sizeof(std::uint32_t) != 0 || array_bytes >= table.size())
    refuse("is truncated");
  const std::string_view texts = table.substr(array_bytes);
  if (texts.back() != '\0' || !is_valid_utf8(texts)) refuse("holds text that is not UTF-8");
  const std::size_t units = array_bytes / sizeof(std::uint32_t);
  for (std::size_t i = 0; i < units; ++i) {
    const std::uint32_t unit = word_at(table, i);
    if ((unit >> 31U) != 0) {  // a leaf: the start of its replacement
      const std::size_t start = unit & 0x7FFFFFFFU;
      if (start >= texts.size()) refuse("has an offset outside the table");
      if (texts.find('\0', start) - start > kMaxReplacementBytes)
        refuse("expands single characters into long texts");
    } else {  // a node: its children are in one block of 256 units
      const std::size_t offset = std::size_t{unit >> 10U} << ((unit & (1U << 9U)) >> 6U);
      if (((i ^ offset) | 0xFFU) >= units) refuse("has an offset outside the table");
    }
  }
}

std::u32string apply_charsmap(std::string_view table, const std::u32string& text) {
  if (table.empty()) return text;
  std::u32string result;
  for (const std::u32string_view grapheme : graphemes(text)) {
    const std::string bytes = encode_utf8(grapheme);
    if (bytes.size() < 6) {
      if (const auto found = replacement(table, bytes)) {
        result += decode_utf8(*found);
        continue;
      }
    }
    for (const char32_t c : grapheme) {
      const auto found = replacement(table, encode_utf8(std::u32string_view(&c, 1)));
      if (found) {
        result += decode_utf8(*found);
      } else {
        result.push_back(c);
      }
    }
  }
  return result;
}

}  // namespace saferclip
