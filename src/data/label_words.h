// Tells labels from captions by their values: a column of "safe" and "nsfw" is no unsafe half.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace saferclip {

inline constexpr const char* kLabelCure =
    "redirecting wants an unsafe caption beside each safe one; see "
    "docs/data.md#labels-are-no-pairs";

// The values of one column.
class ColumnValues {
 public:
  void see(const nlohmann::json& value);
  std::int64_t rows() const { return rows_; }
  // False if no value is text or nearly all are a few short words; true for a column of no values.
  bool may_be_captions() const;
  // Whether nearly all values are words such as safe, nsfw, 0, yes, unlikely.
  bool are_safety_labels() const;
  // Whether nearly all values are a few short words, of many rows or such words.
  bool are_labels() const;
  // The commonest words: "no, yes".
  std::string examples() const;

 private:
  std::map<std::string, std::int64_t> commonest() const;

  std::map<std::string, std::int64_t> words_;  // short ones; bounded
  std::int64_t rows_ = 0;
  std::int64_t texts_ = 0;
};

}  // namespace saferclip
