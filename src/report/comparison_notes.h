// What the forms of a comparison share: the text of a cell, and the sentences below the table.
#pragma once

#include <string>
#include <vector>

#include "saferclip/report/comparison.h"

namespace saferclip {

// "47.4", of a group "47.4 ± 1.2" ("47.4 ±1.2" where columns are scarce), "–" without a value.
std::string cell_text(const Figure& figure, const ComparedColumn& column, const ComparedCell& cell,
                      const std::string& plus_minus = " ± ");

// How a form writes its marks; sentences begin with them.
struct ComparisonMarks {
  std::string best;
  std::string better;
  std::string worse;
};
// "split validation, 24 rows".
std::string comparison_title(const Comparison& comparison);
std::vector<std::string> comparison_notes(const Comparison& comparison,
                                          const ComparisonMarks& marks);

}  // namespace saferclip
