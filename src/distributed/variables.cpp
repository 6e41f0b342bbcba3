#include "distributed/variables.h"

#include <charconv>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {

int Variables::number(const std::string& name, const std::string& meaning, int lowest,
                      int highest) {
  if (has(name)) return number_or(name, lowest, lowest, highest);
  problem(cat(name, " is not set; it is ", meaning));
  return lowest;
}

int Variables::number_or(const std::string& name, int otherwise, int lowest, int highest) {
  const std::string value = text(name);
  if (value.empty()) return otherwise;
  int number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error == std::errc{} && end == value.data() + value.size() && number >= lowest &&
      number <= highest) {
    return number;
  }
  problem(cat(name, " is \"", shortened_text(value), "\"; expected a whole number from ", lowest,
              " to ", highest));
  return lowest;
}

void Variables::throw_problems(const std::string& head, const std::string& cure) const {
  if (problems_.empty()) return;
  std::vector<std::string> lines = problems_;
  lines.push_back(cure);
  throw ConfigError(join_problems(head, lines));
}

}  // namespace saferclip
