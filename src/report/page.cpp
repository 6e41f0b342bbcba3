// The page as a whole: sections in reading order; an empty section is left out, and so is its link.
// One file holds everything: style, charts as SVG, pictures as data URLs. metrics.jsonl may end in
// a broken line, since the report may be made while the run writes; a malformed evaluation is an
// error, since its numbers are the point of the page.
#include <nlohmann/json.hpp>

#include "report/charts.h"
#include "report/html.h"
#include "report/results.h"
#include "report/training_lines.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/eval/document.h"
#include "saferclip/report/report.h"

namespace saferclip {
namespace {

class Page {
 public:
  explicit Page(const ReportContent& content) : c_(content) {
    for (const std::string& text : content.evaluations) {
      documents_.push_back(OrderedJson::parse(text, nullptr, false));
      if (!documents_.back().is_object() || !documents_.back().contains("split")) {
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
    if (!documents_.empty()) lead_ = headline_html(documents_.front());
    section("done", "What was done", facts());
    section("results", "Before and after", over_documents(&result_tables_html));
    section("strength", "Safety and preservation", over_documents(&strengths_html));
    section("tags", "By tag", over_documents(&tags_html));
    section("gallery", "Unsafe queries", queries(c_.gallery));
    section("worst", "Worst cases", queries(c_.worst));
    section("training", "Training", training());
    section("drift", "Drift", over_documents(&drift_html));
    section("config", "Configuration",
            c_.config.empty() ? ""
                              : cat("<details><summary>The resolved configuration</summary><pre>",
                                    escaped(c_.config), "</pre></details>\n"));
  }

  std::string over_documents(std::string (*part_of)(const OrderedJson&)) const {
    std::string out;
    for (const OrderedJson& document : documents_) {
      const std::string part = part_of(document);
      if (part.empty()) continue;
      out += documents_.size() > 1
                 ? cat("<h3>", escaped(document["split"].get<std::string>()), "</h3>\n", part)
                 : part;
    }
    return out;
  }

  std::string summary() const {
    if (documents_.empty()) return "The run has no evaluation yet.";
    const OrderedJson& document = documents_.front();
    return cat(
        "Measured on split <b>", escaped(document["split"].get<std::string>()), "</b>, ",
        document["n"].get<std::int64_t>(),
        " rows: the frozen model before, the tuned one after. Unsafe images are blurred until "
        "you show them.");
  }

  std::string facts() const {
    std::vector<std::vector<std::string>> rows;
    rows.reserve(c_.facts.size());
    for (const auto& [name, value] : c_.facts) rows.push_back({escaped(name), escaped(value)});
    return rows.empty()
               ? ""
               : cat("<div class=\"facts\">", table_html("The run", {"", ""}, rows), "</div>");
  }

  std::string training() const {
    const TrainingCurves t = read_training_lines(c_.metrics);
    if (t.loss.empty()) return "";
    std::vector<Series> loss{{"training", t.loss}};
    if (!t.validation.empty()) loss.push_back({"validation", t.validation, true});
    std::string out = line_chart({"Loss", "step", "weighted sum"}, loss);
    out += "<div class=\"charts\">";
    for (const auto& [name, points] : t.terms) {
      out += line_chart({name, "step", "raw"}, {{name, points}}, 420, 200);
    }
    out += line_chart({"learning rate", "step", ""}, {{"rate", t.rate}}, 420, 200) + "</div>\n";
    if (c_.admitted.empty()) return out;
    std::vector<std::pair<std::string, double>> rows;
    for (std::size_t epoch = 0; epoch < c_.admitted.size(); ++epoch) {
      rows.emplace_back(cat("epoch ", epoch + 1), static_cast<double>(c_.admitted[epoch]));
    }
    return out + count_chart({"Curriculum: rows admitted, easiest first",
                              cat("of ", with_commas(c_.rows), " training rows"), ""},
                             rows, static_cast<double>(c_.rows));
  }

  static std::string pictures(const char* title, const std::vector<ReportPicture>& list) {
    std::string out = cat("<div><h4>", title, "</h4><div class=\"row\">");
    for (const ReportPicture& picture : list) out += picture_html(picture);
    return out + "</div></div>";
  }

  static std::string queries(const std::vector<ReportQuery>& list) {
    std::string out;
    for (const ReportQuery& query : list) {
      out += "<article class=\"query\">";
      out += query.query.jpeg.empty()
                 ? cat("<h3>“", escaped(query.query.caption), "”</h3>")
                 : cat("<h3>", escaped(query.query.caption), "</h3><div class=\"row\">",
                       picture_html(query.query), "</div>");
      if (!query.note.empty()) out += cat("<p>", escaped(query.note), "</p>");
      out += cat("<div class=\"sides\">", pictures("before", query.before),
                 pictures("after", query.after));
      if (!query.target.empty()) out += pictures("redirected to", query.target);
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
