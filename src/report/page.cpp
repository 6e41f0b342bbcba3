// The page as a whole: sections in reading order; an empty section is left out, and so is its link.
// One file holds everything: style, charts as SVG, pictures as data URLs. metrics.jsonl may end in
// a broken line, since the report may be made while the run writes; a malformed evaluation is an
// error, since its numbers are the point of the page.
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <sstream>

#include "report/charts.h"
#include "report/html.h"
#include "report/results.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"
#include "saferclip/eval/document.h"
#include "saferclip/report/report.h"

namespace saferclip {
namespace {

struct Training {
  Points loss;
  Points rate;
  Points validation;  // loss of the objective on the validation rows
  std::map<std::string, Points> terms;
};

Training read_metrics(const std::string& text) {
  Training training;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) {
    const auto json = OrderedJson::parse(line, nullptr, false);
    const std::optional<double> place = number_at(json, "step");
    if (!place) continue;
    const double step = *place;
    if (json.contains("kind") && json["kind"] == "train") {
      training.loss.emplace_back(step, number_at(json, "loss").value_or(0));
      training.rate.emplace_back(step, number_at(json, "lr").value_or(0));
      if (!json.contains("terms") || !json["terms"].is_object()) continue;
      for (const auto& [name, value] : json["terms"].items()) {
        if (value.is_number()) training.terms[name].emplace_back(step, value.get<double>());
      }
    } else if (const auto loss = number_at(json, "after.loss.total")) {
      training.validation.emplace_back(step, *loss);
    }
  }
  return training;
}

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
    const std::string title = escaped(c_.title);
    for_sections();
    std::string nav;
    for (const auto& [id, name] : sections_) {
      nav += cat("<li><a href=\"#", id, "\">", name, "</a></li>");
    }
    return cat(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>",
        title, " – saferclip</title><style>", style_sheet(),
        "</style></head><body><a class=\"skip\" href=\"#main\">Skip to the report</a><header><h1>",
        title, "</h1><p>", summary(), "</p></header><nav aria-label=\"Sections\"><ul>", nav,
        "</ul></nav><main id=\"main\">", body_,
        "</main><footer>Made by saferclip. This page needs no network. The figures describe the "
        "measured rows and say nothing about other inputs.</footer></body></html>\n");
  }

 private:
  void section(const std::string& id, const std::string& name, const std::string& html) {
    if (html.empty()) return;
    sections_.emplace_back(id, name);
    body_ += cat("<section id=\"", id, "\" aria-labelledby=\"h-", id, "\"><h2 id=\"h-", id, "\">",
                 name, "</h2>\n", html, "</section>\n");
  }

  void for_sections() {
    if (!documents_.empty()) body_ += headline_html(documents_.front());
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
    const Training t = read_metrics(c_.metrics);
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
  std::vector<std::pair<std::string, std::string>> sections_;
  std::string body_;
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
