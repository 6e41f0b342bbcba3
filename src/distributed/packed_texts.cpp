#include "distributed/packed_texts.h"

#include <charconv>

#include "saferclip/core/error.h"

namespace saferclip {

std::string pack_texts(const std::vector<std::string>& texts) {
  std::string packed;
  for (const std::string& text : texts) packed += std::to_string(text.size()) + ":" + text;
  return packed;
}

std::vector<std::string> unpack_texts(std::string_view packed) {
  std::vector<std::string> texts;
  while (!packed.empty()) {
    std::size_t size = 0;
    const char* last = packed.data() + packed.size();
    const auto [end, error] = std::from_chars(packed.data(), last, size);
    if (error != std::errc{} || end == last || *end != ':' ||
        static_cast<std::size_t>(last - end) - 1 < size) {
      throw Error("a message of another process is garbled: do all run the same program?", 1);
    }
    texts.emplace_back(end + 1, size);
    packed.remove_prefix(static_cast<std::size_t>(end - packed.data()) + 1 + size);
  }
  return texts;
}

}  // namespace saferclip
