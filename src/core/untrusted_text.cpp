// Checks that run before a parser: nesting depth, because nlohmann's parser and printer recurse,
// and UTF-8, because they throw on anything else. One pass, no recursion, no allocation: these
// functions see bytes that nothing has checked before.
#include "saferclip/core/untrusted_text.h"

#include <cstddef>
#include <cstdint>

namespace saferclip {

bool is_nested_deeper(std::string_view json, int levels) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const char c = json[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '[' || c == '{')) {
      if (++depth > levels) return true;
    } else if (!in_string && (c == ']' || c == '}')) {
      --depth;
    }
  }
  return false;
}

bool is_valid_utf8(std::string_view bytes) {
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  const auto* const end = p + bytes.size();
  while (p < end) {
    const unsigned char lead = *p++;
    if (lead < 0x80) continue;
    int trailing = 0;
    std::uint32_t code = 0;
    std::uint32_t lowest = 0;
    if (lead >= 0xC2 && lead <= 0xDF) {
      trailing = 1, code = lead & 0x1FU, lowest = 0x80;
    } else if ((lead & 0xF0U) == 0xE0) {
      trailing = 2, code = lead & 0x0FU, lowest = 0x800;
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      trailing = 3, code = lead & 0x07U, lowest = 0x10000;
    } else {
      return false;
    }
    for (int i = 0; i < trailing; ++i) {
      if (p == end || (*p & 0xC0U) != 0x80) return false;
      code = (code << 6U) | (*p++ & 0x3FU);
    }
    if (code < lowest || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
  }
  return true;
}

}  // namespace saferclip
