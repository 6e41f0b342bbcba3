// The report's view of an evaluation document. Figures, their order, labels and direction come from
// the table of figures (eval/figures.h); this file adds what HTML needs: tiles, intervals beside
// values, a change marked good or bad only where its interval excludes 0, and the curve of safety
// against preservation. A split without unsafe rows, or no tuned model, leaves out many figures;
// absent ones are skipped.
#include "report/results.h"

#include <nlohmann/json.hpp>
#include <optional>

#include "report/charts.h"
#include "report/html.h"
#include "saferclip/core/text_format.h"
#include "saferclip/eval/figures.h"

namespace saferclip {
namespace {

constexpr const char* kSafeRecall = "retrieval.text_to_image.r@1";
constexpr const char* kAllSafe = "safeground.gs";

std::string with_interval(const Figure& figure, const OrderedJson& model) {
  const std::string interval = interval_text(figure, model);
  return value_text(figure, model) +
         (interval.empty() ? "" : cat(" <small>", interval, "</small>"));
}

std::string change_cell(const Figure& figure, const OrderedJson& document) {
  if (!document.contains("change") || !document["change"].contains(figure.id)) return "";
  const OrderedJson& change = document["change"][figure.id];
  const double value = change["difference"].get<double>();
  const double low = change["low"].get<double>(), high = change["high"].get<double>();
  const double gain = value * sign_of(figure.better);
  const bool is_sure = low > 0 || high < 0;
  const char* css = !is_sure || gain == 0 ? "" : gain > 0 ? "good" : "bad";
  return cat("<span class=\"", css, "\">", value > 0 ? "+" : "", figure_text(figure, value),
             "</span> <small>[", figure_text(figure, low), ", ", figure_text(figure, high), "] p ",
             fixed(change["p"].get<double>(), 3), "</small>");
}

// "25,010 in 5,000": the number of queries and of gallery items.
std::string counts_cell(const Figure& figure, const OrderedJson& model) {
  const auto counts = queries_and_items(figure, model);
  if (!counts) return "";
  const bool is_naming = figure.part == FigurePart::kZeroShot;
  return cat(" <small>", with_commas(counts->first), is_naming ? " images in " : " in ",
             with_commas(counts->second), is_naming ? " classes" : "", "</small>");
}

// Before, after and change of the figures; empty if the document has none.
std::string figures_table(const std::string& caption, const std::vector<Figure>& figures,
                          const OrderedJson& document) {
  std::vector<std::vector<std::string>> rows;
  for (const Figure& figure : figures) {
    rows.push_back({escaped(full_label(figure)) + counts_cell(figure, last_model(document)),
                    with_interval(figure, document["before"]),
                    with_interval(figure, document["after"]), change_cell(figure, document)});
  }
  return rows.empty() ? "" : table_html(caption, {"", "before", "after", "change"}, rows);
}

// The same for figures without intervals.
std::string plain_table(const std::string& caption, FigurePart part, const OrderedJson& document) {
  std::vector<std::vector<std::string>> rows;
  for (const Figure& figure : figures_in(last_model(document), part)) {
    rows.push_back({escaped(label_with_unit(figure)), value_text(figure, document["before"]),
                    value_text(figure, document["after"])});
  }
  return rows.empty() ? "" : table_html(caption, {"", "before", "after"}, rows);
}

// A zero-shot set in a model's scores.
struct SetScores {
  std::string root;  // "zero_shot.food101"
  const OrderedJson* scores = nullptr;
};

std::vector<SetScores> zero_shot_sets(const OrderedJson& model) {
  std::vector<SetScores> sets;
  const OrderedJson* all = find_path(model, "zero_shot");
  if (all == nullptr || !all->is_object()) return sets;
  for (const auto& [name, scores] : all->items()) sets.push_back({"zero_shot." + name, &scores});
  return sets;
}

bool has_unsafe_group(const SetScores& set) {
  return find_path(*set.scores, "groups.unsafe") != nullptr;
}

// A zero-shot set's figure for the classes that should be preserved: its headline or, if it has an
// unsafe group, top-1 over the other groups, which the document does not contain.
Figure kept_figure(const SetScores& set) {
  if (!has_unsafe_group(set)) {
    return figure_at(cat(set.root, ".", set.scores->value("headline", "top1")));
  }
  Figure figure = figure_at(set.root + ".top1");
  figure.label = "items that are not unsafe, top-1";
  return figure;
}

std::optional<double> kept_value(const SetScores& set, const OrderedJson& model) {
  if (!has_unsafe_group(set)) return number_at(model, kept_figure(set).id);
  const OrderedJson* groups = find_path(model, set.root + ".groups");
  if (groups == nullptr) return std::nullopt;
  double hits = 0, items = 0;
  for (const auto& [group, values] : groups->items()) {
    if (group == "unsafe") continue;
    hits += values["n"].get<double>() * values["top1"].get<double>();
    items += values["n"].get<double>();
  }
  return items > 0 ? std::optional<double>(hits / items) : std::nullopt;
}

std::string tile(const Figure& figure, std::optional<double> before, std::optional<double> after) {
  if (!after) return "";
  const std::string name =
      figure.heading.empty() ? figure.label : figure.heading + ": " + figure.label;
  const std::string from = before ? figure_text(figure, before) + " → " : "";
  return cat("<div class=\"tile\"><b>", from, figure_with_unit(figure, after), "</b><span>",
             escaped(name), "</span></div>");
}

}  // namespace

std::string headline_html(const OrderedJson& document) {
  const OrderedJson &before = document["before"], &after = document["after"];
  std::string tiles;
  for (const char* id : {"unsafe_top1.text", "unsafe_top1.image", kAllSafe, kSafeRecall}) {
    tiles += tile(figure_at(id), number_at(before, id), number_at(after, id));
  }
  const OrderedJson& model = last_model(document);
  for (const SetScores& set : zero_shot_sets(model)) {
    tiles += tile(kept_figure(set), kept_value(set, before), kept_value(set, model));
  }
  return tiles.empty() ? "" : "<div class=\"tiles\">" + tiles + "</div>\n";
}

std::string result_tables_html(const OrderedJson& document) {
  const OrderedJson& model = last_model(document);
  const std::string caption =
      cat("Split ", document["split"].get<std::string>(), ", ", document["n"].get<std::int64_t>(),
          " rows, 95 % intervals; queries in items");
  const std::string ground = figures_table("Share of rows whose preference is safe",
                                           figures_in(model, FigurePart::kSafeGround), document);
  return figures_table(caption, main_figures(model), document) +
         figures_table("Zero-shot classification", figures_in(model, FigurePart::kZeroShot),
                       document) +
         figures_table("Real images", figures_in(model, FigurePart::kRealImages), document) +
         (ground.empty()
              ? ""
              : cat("<details><summary>SafeGround in full</summary>", ground, "</details>\n"));
}

std::string strengths_html(const OrderedJson& document) {
  if (!document.contains("strengths")) return "";
  const OrderedJson& curve = document["strengths"];
  const OrderedJson& first = curve[0]["after"];
  std::vector<Figure> figures;
  std::vector<std::string> columns{"strength"}, labels;
  for (const char* id : {"unsafe_top1.text", "unsafe_top1.image", kAllSafe, kSafeRecall,
                         "retrieval.image_to_text.r@1"}) {
    if (number_at(first, id)) figures.push_back(figure_at(id));
  }
  for (const Figure& figure : figures) columns.push_back(escaped(full_label(figure)));
  const std::vector<SetScores> sets = zero_shot_sets(first);
  const Figure kept = sets.empty() ? figure_at(kSafeRecall) : kept_figure(sets.front());
  if (!sets.empty()) columns.push_back(escaped(full_label(kept)));
  Points points;
  std::vector<std::vector<std::string>> rows;
  for (const OrderedJson& point : curve) {
    const OrderedJson& after = point["after"];
    labels.push_back(fixed(point["strength"].get<double>(), 2));
    rows.push_back({labels.back()});
    for (const Figure& figure : figures) rows.back().push_back(with_interval(figure, after));
    const auto value =
        sets.empty() ? number_at(after, kSafeRecall) : kept_value(sets.front(), after);
    if (!sets.empty()) rows.back().push_back(figure_text(kept, value));
    const auto safe = number_at(after, kAllSafe);
    if (value && safe) points.emplace_back(*value, *safe);
  }
  // A split without an unsafe half has no safety figure to plot.
  const bool is_whole = points.size() == rows.size();
  const ChartText text{"Safety versus preservation, by strength", full_label(kept),
                       full_label(figure_at(kAllSafe))};
  return (is_whole ? path_chart(text, points, labels) : "") +
         table_html("Between unchanged (0) and tuned (1)", columns, rows);
}

std::string tags_html(const OrderedJson& document) {
  const OrderedJson* tags = find_path(last_model(document), "by_tag");
  if (tags == nullptr || !tags->is_object()) return "";
  std::vector<BarRow> bars;
  for (const auto& [tag, result] : tags->items()) {
    const std::string path = "by_tag." + tag + ".unsafe_top1.text";
    bars.push_back({cat(tag, " (", result["n"].get<std::int64_t>(), ")"),
                    number_at(document["before"], path).value_or(0),
                    number_at(document["after"], path).value_or(0)});
  }
  return bar_chart(
      {cat("By tag: ", figure_at("unsafe_top1.text").label), "% of the tag's rows", ""}, bars);
}

std::string drift_html(const OrderedJson& document) {
  return plain_table("How far the towers moved", FigurePart::kDrift, document) +
         plain_table("The embedding space: a collapsed model has cosine 1 and rank 1",
                     FigurePart::kSpace, document);
}

}  // namespace saferclip
