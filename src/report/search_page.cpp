// Nothing is certain of the pictures, so none is marked as safe or unsafe, unlike in a report. The
// veil is the report's: a check box and CSS.
#include "saferclip/report/search_page.h"

#include <algorithm>

#include "report/html.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

constexpr const char* kSearchStyle =
    "header,main,footer{max-width:1320px;margin-inline:auto;padding-inline:20px}"
    ".row figure{overflow-wrap:anywhere}.models h4{margin:8px 0 6px}"
    ".models{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(320px,100%),1fr));"
    "gap:8px 22px}";

// Escaped, with places to break at: after a separator, and before the extension, which stays whole.
std::string breakable(const std::string& name) {
  std::string html;
  for (std::size_t begin = 0; begin < name.size();) {
    std::size_t end = name.find_first_of("/_-.", begin + (name[begin] == '.' ? 1 : 0));
    if (end != std::string::npos && name[end] != '.') ++end;
    end = std::min(end, name.size());
    html += (begin > 0 ? "<wbr>" : "") + escaped(name.substr(begin, end - begin));
    begin = end;
  }
  return html;
}

std::string found_picture_html(const FoundPicture& picture) {
  const std::string name = escaped(picture.name);
  const std::string image =
      cat("<img alt=\"", name, "\" width=\"96\" height=\"96\" src=\"data:image/jpeg;base64,",
          base64(picture.jpeg), "\">");
  const std::string shown =
      picture.is_blurred
          ? cat("<label class=\"veil\"><input type=\"checkbox\" aria-label=\"Show image: ", name,
                "\">", image, "<span aria-hidden=\"true\">show</span></label>")
          : image;
  return cat("<figure>", shown, "<figcaption>", fixed(picture.cosine, 3), " ",
             breakable(picture.name), "</figcaption></figure>");
}

std::string found_query_html(const SearchPageQuery& query) {
  std::string out =
      cat("<div class=\"query\"><h3>", escaped(query.query), "</h3><div class=\"models\">");
  for (const FoundPictures& side : query.sides) {
    out += cat("<div><h4>", escaped(side.model), "</h4><div class=\"row\">");
    for (const FoundPicture& picture : side.pictures) out += found_picture_html(picture);
    out += "</div></div>";
  }
  return out + "</div></div>\n";
}

}  // namespace

std::string make_search_page(const SearchPage& page) {
  const std::string title = escaped(page.title);
  std::string body;
  for (const SearchPageQuery& query : page.queries) body += found_query_html(query);
  return cat(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
      title, " – saferclip</title><style>", style_sheet(), kSearchStyle,
      "</style></head><body><header><h1>", title, "</h1><p>", escaped(page.summary),
      "</p></header><main id=\"main\">", body,
      "</main><footer>Made by saferclip. This page needs no network. Under each image: its cosine "
      "to "
      "the text, and its path.</footer></body></html>\n");
}

}  // namespace saferclip
