// Environment variables of a launcher, read with all their problems collected.
#pragma once

#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "saferclip/distributed/launch.h"

namespace saferclip {

// No upper bound for `Variables::number`.
inline constexpr int kAny = std::numeric_limits<int>::max();

class Variables {
 public:
  explicit Variables(const Lookup& lookup) : lookup_(lookup) {}

  bool has(const std::string& name) const { return lookup_(name).has_value(); }
  // "" if unset.
  std::string text(const std::string& name) const { return lookup_(name).value_or(""); }
  // A whole number within [lowest, highest]; if it is unset or anything else, a problem and
  // `lowest`. `meaning` explains an unset one.
  int number(const std::string& name, const std::string& meaning, int lowest, int highest);
  // The same, but unset is `otherwise` and no problem.
  int number_or(const std::string& name, int otherwise, int lowest, int highest);

  void problem(const std::string& text) { problems_.push_back(text); }
  // Throws ConfigError when there are problems: `head`, each problem, `cure`.
  void throw_problems(const std::string& head, const std::string& cure) const;

 private:
  const Lookup& lookup_;
  std::vector<std::string> problems_;
};

}  // namespace saferclip
