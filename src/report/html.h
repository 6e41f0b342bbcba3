// Pieces of HTML.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "saferclip/report/report.h"

namespace saferclip {

// Text for element content and quoted attributes.
std::string escaped(std::string_view text);
std::string base64(std::string_view bytes);

// A table; the first column of each row is its heading. Cells are HTML already.
std::string table_html(const std::string& caption, const std::vector<std::string>& head,
                       const std::vector<std::vector<std::string>>& rows);

// A picture with its caption; an unsafe one is blurred behind a check box, which works without
// scripts and from the keyboard.
std::string picture_html(const ReportPicture& picture);

// The style sheet of the page.
const char* style_sheet();

}  // namespace saferclip
