// What the forms of a comparison share: the text of a cell, and the sentences below the table.
#pragma once

#include <string>
#include <vector>

#include "saferclip/report/comparison.h"

namespace saferclip {

enum class CellForm { kWide, kNarrow };

// "47.4", of a group "47.4 ± 1.2", "–" without a value. Where ± would leave the percentages, the
// interval ends with them: "99.0 [96.2, 100.0]". Narrow: "47.4 ±1.2", "99.0 96.2–100.0".
std::string cell_text(const Figure& figure, const ComparedColumn& column, const ComparedCell& cell,
                      CellForm form = CellForm::kWide);

// How a form writes its marks; sentences begin with them.
struct ComparisonMarks {
  std::string best;
  std::string better;
  std::string worse;
  std::string interval;  // of a group where ± would leave the percentages
};
// "safe text → image, R@1, % ↑".
std::string label_with_arrow(const Figure& figure);
// "split validation, 24 rows".
std::string comparison_title(const Comparison& comparison);
std::vector<std::string> comparison_notes(const Comparison& comparison,
                                          const ComparisonMarks& marks);

}  // namespace saferclip
