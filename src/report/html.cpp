// The page's building blocks. `escaped` makes text safe in element content and quoted attributes.
// Pictures are data URLs, so the page needs no other file. Unsafe ones are veiled by a check box
// and CSS, which needs no script.
#include "report/html.h"

#include "saferclip/core/text_format.h"

namespace saferclip {

std::string escaped(std::string_view text) {
  std::string out;
  for (const char letter : text) {
    switch (letter) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += letter;
    }
  }
  return out;
}

std::string base64(std::string_view bytes) {
  static constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      group = group << 8U | (i + j < bytes.size() ? static_cast<unsigned char>(bytes[i + j]) : 0U);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      out += i + j > bytes.size() ? '=' : kDigits[(group >> (18 - 6 * j)) & 63U];
    }
  }
  return out;
}

std::string table_html(const std::string& caption, const std::vector<std::string>& head,
                       const std::vector<std::vector<std::string>>& rows) {
  const bool is_stacked = head.size() > 2;
  std::string out = cat("<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"",
                        escaped(caption), "\"><table", is_stacked ? " class=\"stack\"" : "",
                        "><caption>", escaped(caption), "</caption><thead><tr>");
  for (const std::string& cell : head) {
    out += cell.empty() ? "<td></td>" : cat("<th scope=\"col\">", cell, "</th>");
  }
  out += "</tr></thead><tbody>";
  for (const auto& row : rows) {
    out += cat("<tr><th scope=\"row\">", row.front(), "</th>");
    for (std::size_t i = 1; i < row.size(); ++i) {
      out += is_stacked ? cat("<td data-head=\"", head[i], "\">") : std::string("<td>");
      out += row[i] + "</td>";
    }
    out += "</tr>";
  }
  return out + "</tbody></table></div>\n";
}

std::string picture_html(const ReportPicture& picture) {
  const std::string caption = escaped(picture.caption);
  const std::string mark = picture.mark.empty()
                               ? ""
                               : cat("<b class=\"mark\"><span aria-hidden=\"true\">★</span> ",
                                     escaped(picture.mark), "</b> ");
  const char* own = mark.empty() ? "" : " own";
  const char* kind = picture.is_unsafe ? "unsafe" : "safe";
  if (picture.jpeg.empty()) {
    return cat("<p class=\"words ", kind, own, "\">", mark, "<span class=\"kind\">", kind,
               "</span> ", caption, "</p>");
  }
  const std::string image =
      cat("<img alt=\"", caption, "\" width=\"96\" height=\"96\" src=\"data:", "image/jpeg;base64,",
          base64(picture.jpeg), "\">");
  const std::string shown =
      picture.is_unsafe
          ? cat("<label class=\"veil\"><input type=\"checkbox\" aria-label=\"Show unsafe image: ",
                caption, "\">", image, "<span aria-hidden=\"true\">show</span></label>")
          : image;
  return cat("<figure class=\"", kind, own, "\">", shown, "<figcaption>", mark,
             "<span class=\"kind\">", kind, "</span> ", caption, "</figcaption></figure>");
}

std::string page_html(const std::string& title, const std::string& summary, const std::string& lead,
                      const std::vector<PageSection>& sections) {
  std::string links, body = lead;
  for (const auto& [id, name, html] : sections) {
    links += cat("<li><a href=\"#", id, "\">", name, "</a></li>");
    body += cat("<section id=\"", id, "\" aria-labelledby=\"h-", id, "\"><h2 id=\"h-", id, "\">",
                name, "</h2>\n", html, "</section>\n");
  }
  // The style sheet shows one of the two lists: beside the text, or folded above it.
  const std::string nav =
      cat("<nav aria-label=\"Contents\"><details><summary>Contents</summary><ul>", links,
          "</ul></details><div class=\"side\"><ul>", links, "</ul></div></nav>");
  return cat(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
      escaped(title), " – saferclip</title><style>", style_sheet(),
      "</style></head><body><a class=\"skip\" href=\"#main\">Skip to the report</a><header><h1>",
      escaped(title), "</h1>", summary, "</header><div class=\"page\">", nav, "<main id=\"main\">",
      body,
      "</main></div><footer>Made by saferclip. This page needs no network. The figures describe "
      "the measured rows and say nothing about other inputs.</footer></body></html>\n");
}

}  // namespace saferclip
