// Reads a caption field of a record: one text, or a list that becomes one row per text. One bad
// text makes the whole list bad: without it the rest would pair safe and unsafe captions wrongly.
// Quotations end between UTF-8 characters.
#include "data/captions.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "saferclip/core/text_format.h"
#include "saferclip/core/untrusted_text.h"

namespace saferclip {

using Json = nlohmann::json;

bool is_blank(const Json& value) {
  return value.is_string() &&
         value.get_ref<const std::string&>().find_first_not_of(" \t\r\n") == std::string::npos;
}

std::string shortened(const std::string& text) {
  constexpr std::size_t kQuoted = 60;
  if (text.size() <= kQuoted) return text;
  std::size_t end = kQuoted;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return text.substr(0, end) + "…";
}

Json listed_texts(const Json& cell) {
  if (!cell.is_string()) return cell;
  const std::string text = trimmed(cell.get<std::string>());
  if (!text.starts_with("[") || is_nested_deeper(text, 1)) return cell;
  Json list = Json::parse(text, nullptr, false);
  const bool are_texts =
      list.is_array() && !list.empty() &&
      std::all_of(list.begin(), list.end(), [](const Json& item) { return item.is_string(); });
  return are_texts ? list : cell;
}

Captions read_captions(const Json& value, const std::string& name) {
  const bool is_list = value.is_array();
  if (is_list && value.empty()) return {{}, "empty caption", cat(name, " is an empty list")};
  Captions captions;
  for (std::size_t i = 0; i < (is_list ? value.size() : 1); ++i) {
    const Json& text = is_list ? value[i] : value;
    if (!text.is_string()) {
      return {{},
              "caption is not text",
              cat(name, " is ", shortened(value.dump()), ", expected text or a list of texts")};
    }
    if (is_blank(text)) {
      return {{}, "empty caption", cat(name, is_list ? " contains an empty caption" : " is empty")};
    }
    captions.texts.push_back(text.get<std::string>());
  }
  return captions;
}

}  // namespace saferclip
