// Images side by side in rows, with few words: a picture for people to look at.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "saferclip/image/image.h"

namespace saferclip {

struct SheetCell {
  Image image;          // square, of the sheet's side
  std::string caption;  // below it
  bool is_blurred = false;
};

// A line of text alone, or cells with their label on the left.
struct SheetRow {
  std::string label;
  std::vector<SheetCell> cells;
};

// Dark on white. Letters outside ASCII, which the drawn font lacks, become "?"; text that does not
// fit is cut. Throws Error if a cell is not side x side.
Image contact_sheet(const std::vector<SheetRow>& rows, std::int64_t side);

}  // namespace saferclip
