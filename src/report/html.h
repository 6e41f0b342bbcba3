// The page's HTML building blocks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "saferclip/report/report.h"

namespace saferclip {

// Escapes text for element content and quoted attributes.
std::string escaped(std::string_view text);
std::string base64(std::string_view bytes);

// A table; the first cell of each row is its heading. Cells are already HTML; the caption is
// escaped. On a narrow screen the cells of a row with several stand below their heading.
std::string table_html(const std::string& caption, const std::vector<std::string>& head,
                       const std::vector<std::vector<std::string>>& rows);

// A picture with its caption. An unsafe one is blurred until its check box is set, which works
// without scripts and from the keyboard.
std::string picture_html(const ReportPicture& picture);

struct PageSection {
  std::string id;
  std::string name;
  std::string html;
};
// A whole page; the title is escaped, summary, lead and sections are HTML.
std::string page_html(const std::string& title, const std::string& summary, const std::string& lead,
                      const std::vector<PageSection>& sections);

// The page's style sheet.
const char* style_sheet();

}  // namespace saferclip
