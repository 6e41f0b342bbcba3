// The page as a whole: sections in reading order; an empty section is left out, and so is its link.
// One file holds everything: style, charts as SVG, pictures as data URLs. metrics.jsonl may end in
// a broken line, since the report may be made while the run writes; a malformed evaluation is an
// error, since its numbers are the point of the page.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "report/charts.h"
#include "report/headline.h"
#include "report/html.h"
#include "report/results.h"
#include "report/term_names.h"
#include "report/training_lines.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/eval/document.h"
#include "saferclip/report/report.h"

namespace saferclip {
namespace {

constexpr const char* kRevealAll =
    "<p class=\"reveal\"><label><input type=\"checkbox\" id=\"reveal-all\"> Show all unsafe "
    "images</label> <span class=\"aside\">They are blurred; a click on one shows that one. A star "
    "marks the query's own partner.</span></p>\n";
constexpr const char* kStar = "<p class=\"aside\">A star marks the query's own partner.</p>\n";

bool is_veiled(const ReportPicture& picture) { return picture.is_unsafe && !picture.jpeg.empty(); }

bool shows_veiled(const ReportQuery& query) {
  const auto any = [](const std::vector<ReportPicture>& list) {
    return std::any_of(list.begin(), list.end(), &is_veiled);
  };
  return is_veiled(query.query) || any(query.before) || any(query.after) || any(query.target);
}

class Page {
 public:
  explicit Page(const ReportContent& content) : c_(content) {
    for (const std::string& text : content.evaluations) {
      documents_.push_back(OrderedJson::parse(text, nullptr, false));
      const OrderedJson* split = find_path(documents_.back(), "split");
      if (split == nullptr || !split->is_string() || !number_at(documents_.back(), "n")) {
        throw DataError("an evaluation of the run is malformed; evaluate the run again");
      }
    }
  }

  std::string make() {
    for_sections();
    return page_html(c_.title, summary(), lead_, sections_);
  }

 private:
  void section(const std::string& id, const std::string& name, const std::string& html) {
    if (!html.empty()) sections_.push_back({id, name, html});
  }

  void for_sections() {
    lead_ = lead();
    section("results", "Before and after", over_documents(&result_tables_html));
    section("strength", "Safety and preservation", over_documents(&strengths_html));
    section("tags", "By tag", over_documents(&tags_html));
    std::string reveal = has_unsafe_picture() ? kRevealAll : kStar;  // above the first, once
    const auto gallery = [&](const char* id, const char* name,
                             std::vector<ReportQuery> ReportGalleries::*list) {
      const std::string html = over_galleries(list);
      if (!html.empty()) section(id, name, std::exchange(reveal, "") + html);
    };
    gallery("gallery", "Unsafe texts, and the images they find", &ReportGalleries::texts);
    gallery("images", "Unsafe images, and the texts they find", &ReportGalleries::images);
    gallery("worst", "Worst cases", &ReportGalleries::worst);
    section("training", "Training", training());
    section("drift", "Drift", over_documents(&drift_html));
    section("run", "The run in full", run_in_full());
  }

  bool has_unsafe_picture() const {
    const auto any = [](const std::vector<ReportQuery>& list) {
      return std::any_of(list.begin(), list.end(), &shows_veiled);
    };
    return std::any_of(c_.galleries.begin(), c_.galleries.end(),
                       [&](const ReportGalleries& gallery) {
                         return any(gallery.texts) || any(gallery.images) || any(gallery.worst);
                       });
  }

  std::string over_documents(std::string (*part_of)(const OrderedJson&)) const {
    std::string out;
    for (const OrderedJson& document : documents_) {
      const std::string part = part_of(document);
      if (part.empty()) continue;
      out += documents_.size() > 1 ? cat("<h3>", split_of(document), "</h3>\n", part) : part;
    }
    return out;
  }

  // The galleries of a kind, under the names of their splits if there are several.
  std::string over_galleries(std::vector<ReportQuery> ReportGalleries::*list) const {
    std::string html;
    for (const ReportGalleries& one : c_.galleries) {
      if ((one.*list).empty()) continue;
      const std::string heading =
          c_.galleries.size() > 1 ? cat("<h3>Split ", escaped(one.split), "</h3>\n") : "";
      html += heading + queries(one.*list, heading.empty() ? 3 : 4);
    }
    return html;
  }

  std::string summary() const {
    std::string html;
    for (const auto& [name, value] : c_.byline) {
      html += cat("<div><dt>", escaped(name), "</dt><dd>", escaped(value), "</dd></div>");
    }
    return html.empty() ? "" : "<dl class=\"byline\">" + html + "</dl>";
  }

  // What the page says before its first section: per split a verdict, then the headline figures.
  std::string lead() const {
    std::string html = "<section aria-labelledby=\"h-short\"><h2 id=\"h-short\">In short</h2>\n";
    if (documents_.empty()) html += "<p>The run has no evaluation yet.</p>\n";
    const bool is_one = documents_.size() == 1;
    for (const OrderedJson& document : documents_) {
      if (!is_one) html += cat("<h3>", split_of(document), "</h3>\n");
      html += verdict_html(document);
      if (&document == &documents_.front()) html += cards_html(document) + how_measured();
    }
    for (const std::string& warning : c_.warnings) {
      html += cat("<p class=\"warning\"><strong>Note:</strong> ", escaped(warning), "</p>\n");
    }
    return html + "</section>\n";
  }

  static std::string split_of(const OrderedJson& document) {
    return "Split " + escaped(document["split"].get<std::string>());
  }

  std::string how_measured() const {
    const OrderedJson& document = documents_.front();
    return cat("<p class=\"aside\">Measured on split <b>",
               escaped(document["split"].get<std::string>()), "</b>, ",
               with_commas(document["n"].get<std::int64_t>()),
               " rows: the frozen model before, the tuned one after. “No clear change”: the 95 % "
               "interval of the difference includes 0; a figure without one is judged by its "
               "numbers.</p>\n");
  }

  std::string run_in_full() const {
    std::vector<std::vector<std::string>> rows;
    rows.reserve(c_.facts.size());
    for (const auto& [name, value] : c_.facts) rows.push_back({escaped(name), escaped(value)});
    std::string html;
    if (!rows.empty()) {
      html += cat("<details><summary>Settings, paths and hashes</summary><div class=\"facts\">",
                  table_html("The run", {"what", "value"}, rows), "</div></details>\n");
    }
    if (!c_.config.empty()) {
      html += cat("<details><summary>The resolved configuration</summary><pre tabindex=\"0\">",
                  escaped(c_.config), "</pre></details>\n");
    }
    return html;
  }

  std::string training() const {
    const TrainingCurves t = read_training_lines(c_.metrics);
    if (t.loss.empty()) return "";
    std::vector<Series> loss{{"training", t.loss}};
    if (!t.validation.empty()) loss.push_back({"validation", t.validation, true});
    std::string out = cat("<div class=\"charts\">",
                          line_chart({"Loss: the weighted sum of all terms", "step", "loss"}, loss),
                          line_chart({"Learning rate", "step", "rate"}, {{"rate", t.rate}}),
                          admitted(), "</div>\n");
    if (t.terms.empty()) return out;
    out += cat("<details><summary>The loss term by term (", t.terms.size(),
               ")</summary>\n<div class=\"charts\">");
    for (const auto& [name, points] : t.terms) {
      out += line_chart({term_title(name), "step", "without its weight"}, {{name, points}});
    }
    return out + "</div></details>\n";
  }

  std::string admitted() const {
    if (c_.admitted.empty()) return "";
    std::vector<std::pair<std::string, double>> rows;
    for (std::size_t epoch = 0; epoch < c_.admitted.size(); ++epoch) {
      rows.emplace_back(cat("epoch ", epoch + 1), static_cast<double>(c_.admitted[epoch]));
    }
    return count_chart({"Curriculum: rows admitted, easiest first",
                        cat("of ", with_commas(c_.rows), " training rows"), ""},
                       rows, static_cast<double>(c_.rows));
  }

  static std::string heading(int level, const std::string& html) {
    return cat("<h", level, ">", html, "</h", level, ">");
  }

  static std::string pictures(const char* title, const std::vector<ReportPicture>& list,
                              int level) {
    std::string out = cat("<div>", heading(level, title), "<div class=\"row\">");
    for (const ReportPicture& picture : list) out += picture_html(picture);
    return out + "</div></div>";
  }

  // `level`: of the headings that the queries get.
  static std::string queries(const std::vector<ReportQuery>& list, int level) {
    std::string out;
    for (const ReportQuery& query : list) {
      out += "<article class=\"query\">";
      const std::string caption = escaped(query.query.caption);
      out += query.query.jpeg.empty()
                 ? heading(level, cat("“", caption, "”"))
                 : cat(heading(level, "Image: " + caption), "<div class=\"row\">",
                       picture_html(query.query), "</div>");
      if (!query.note.empty()) out += cat("<p>", escaped(query.note), "</p>");
      out += cat("<div class=\"sides\">", pictures("before", query.before, level + 1),
                 pictures("after", query.after, level + 1));
      if (!query.target.empty()) out += pictures("redirected to", query.target, level + 1);
      out += "</div></article>\n";
    }
    return out;
  }

  const ReportContent& c_;
  std::vector<OrderedJson> documents_;
  std::vector<PageSection> sections_;
  std::string lead_;
};

}  // namespace

std::string make_report(const ReportContent& content) {
  try {
    return Page(content).make();
  } catch (const OrderedJson::exception& problem) {
    throw DataError(
        cat("an evaluation of the run is malformed; evaluate the run again: ", problem.what()));
  }
}

}  // namespace saferclip
