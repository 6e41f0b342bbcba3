// Which rows of a shared file belong to a split, with counts of the others.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace saferclip {

class SplitFilter {
 public:
  // An empty name admits every row.
  explicit SplitFilter(const std::string& wanted);

  // Whether a row with this `split` (null: none) belongs; counts it either way. Case and
  // surrounding white space are ignored; val, valid, validation and dev are one name.
  bool admits(const nlohmann::json* split);

  std::int64_t others() const { return others_; }
  // "test (300), Val (200)", the most frequent first.
  std::string others_text() const;
  // Other spellings read as the wanted name, and rows without a split in a file where others have
  // one.
  std::vector<std::string> notes() const;

 private:
  std::string wanted_;
  std::string canonical_;
  std::map<std::string, std::int64_t> other_names_;
  std::map<std::string, std::int64_t> variants_;
  std::int64_t others_ = 0;
  std::int64_t named_ = 0;
  std::int64_t unnamed_ = 0;
};

}  // namespace saferclip
