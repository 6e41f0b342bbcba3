// The report's view of an evaluation document. Figures, their order, labels and direction come from
// the table of figures (eval/figures.h); this file adds what HTML needs: intervals beside values, a
// change named better or worse only where its interval excludes 0. A split without unsafe rows, or
// no tuned model, leaves out many figures; absent ones are skipped.
#include "report/results.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "report/charts.h"
#include "report/headline.h"
#include "report/html.h"
#include "report/set_scores.h"
#include "saferclip/core/text_format.h"
#include "saferclip/eval/figures.h"

namespace saferclip {
namespace {

enum class Direction { kTextToImage, kImageToText, kBoth };

// The side that the query is on: "retrieval.unsafe_text_to_image_union.r@1" -> text to image.
Direction direction_of(const Figure& figure) {
  if (figure.part == FigurePart::kUnsafeFirst) {
    return figure.id.ends_with("text") ? Direction::kTextToImage : Direction::kImageToText;
  }
  if (figure.part != FigurePart::kRetrieval) return Direction::kBoth;
  return figure.label.find("text →") != std::string::npos ? Direction::kTextToImage
                                                          : Direction::kImageToText;
}

std::vector<Figure> of_direction(const std::vector<Figure>& figures, Direction direction) {
  std::vector<Figure> chosen;
  std::copy_if(figures.begin(), figures.end(), std::back_inserter(chosen),
               [&](const Figure& figure) { return direction_of(figure) == direction; });
  return chosen;
}

std::string with_interval(const Figure& figure, const OrderedJson& model) {
  return value_text(figure, model) + interval_html(interval_text(figure, model));
}

// "p 0.012", "p ≤ 0.001".
std::string chance_html(const OrderedJson& change, const OrderedJson& document) {
  std::string text = chance_text(change["p"].get<double>(), number_at(document, "bootstrap"));
  for (const std::string sign : {"≤", "<"}) {
    if (text.starts_with(sign)) text.insert(sign.size(), " ");
  }
  return cat("<span class=\"whole\">p ", escaped(text), "</span>");
}

std::string change_cell(const Figure& figure, const OrderedJson& document) {
  const auto move = move_of(figure, document);
  const OrderedJson& changes = part_of(document, "change");
  if (!move || !changes.is_object() || !changes.contains(figure.id)) return "";
  const OrderedJson& change = changes[figure.id];
  const double value = change["difference"].get<double>();
  const char* css = move->outcome == Outcome::kBetter  ? "good"
                    : move->outcome == Outcome::kWorse ? "bad"
                                                       : "even";
  return cat("<span class=\"whole change ", css, "\">", value > 0 ? "+" : "",
             figure_text(figure, value), " ", outcome_html(*move),
             "</span> <small><span class=\"whole\">[",
             figure_text(figure, change["low"].get<double>()), ", ",
             figure_text(figure, change["high"].get<double>()), "],</span> ",
             chance_html(change, document), "</small>");
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
    rows.push_back({escaped(full_label(figure)) + arrow_html(figure) +
                        counts_cell(figure, last_model(document)),
                    with_interval(figure, part_of(document, "before")),
                    with_interval(figure, part_of(document, "after")),
                    change_cell(figure, document)});
  }
  return rows.empty() ? "" : table_html(caption, {"figure", "before", "after", "change"}, rows);
}

// The same for figures without intervals.
std::string plain_table(const std::string& caption, FigurePart part, const OrderedJson& document) {
  std::vector<std::vector<std::string>> rows;
  for (const Figure& figure : figures_in(last_model(document), part)) {
    rows.push_back({escaped(label_with_unit(figure)) + arrow_html(figure),
                    value_text(figure, part_of(document, "before")),
                    value_text(figure, part_of(document, "after"))});
  }
  return rows.empty() ? "" : table_html(caption, {"figure", "before", "after"}, rows);
}

std::string folded(const std::string& name, const std::string& html) {
  return html.empty() ? "" : cat("<details><summary>", name, "</summary>\n", html, "</details>\n");
}

std::string tag_chart(const OrderedJson& document, const OrderedJson& tags, const char* side) {
  const std::string id = cat("unsafe_top1.", side);
  std::vector<BarRow> bars;
  for (const auto& [tag, result] : tags.items()) {
    const std::string path = dotted({"by_tag", tag}) + "." + id;
    const auto before = number_at(part_of(document, "before"), path);
    const auto after = number_at(part_of(document, "after"), path);
    if (!before || !after) continue;
    bars.push_back({cat(tag, " (", result["n"].get<std::int64_t>(), ")"), *before, *after});
  }
  const ChartText text{cat("By tag: ", figure_at(id).label), "% of the tag's rows; lower is better",
                       ""};
  return bars.empty() ? "" : bar_chart(text, bars);
}

}  // namespace

std::string arrow_html(const Figure& figure) {
  if (figure.better == Better::kNeither) return "";
  return cat(" <span aria-hidden=\"true\">", arrow_of(figure.better),
             "</span><span class=\"unseen\"> (",
             figure.better == Better::kHigher ? "higher" : "lower", " is better)</span>");
}

std::string interval_html(const std::string& interval) {
  return interval.empty() ? "" : cat(" <small class=\"whole\">", interval, "</small>");
}

std::string result_tables_html(const OrderedJson& document) {
  const OrderedJson& model = last_model(document);
  const std::vector<Figure> main = main_figures(model);
  std::vector<Figure> all = figures_in(model, FigurePart::kUnsafeFirst);
  for (const Figure& figure : figures_in(model, FigurePart::kRetrieval)) all.push_back(figure);
  std::string html = cat(
      "<p>Split ", escaped(document["split"].get<std::string>()), ", ",
      with_commas(document["n"].get<std::int64_t>()),
      " rows. In brackets: 95 % intervals. After a figure's name: whether higher (↑) or lower (↓) "
      "is better; queries in items.</p>\n");
  if (const std::string ranking = ranking_text(document); !ranking.empty()) {
    html += cat("<p>", escaped(ranking), ".</p>\n");
  }
  std::string more;
  for (const auto& [direction, name] :
       {std::pair(Direction::kTextToImage, "Text → image: a text searches images"),
        std::pair(Direction::kImageToText, "Image → text: an image searches texts")}) {
    html += figures_table(name, of_direction(main, direction), document);
    more += figures_table(cat(name, ", every figure"), of_direction(all, direction), document);
  }
  html += figures_table("Both directions: SafeGround, the share of rows that prefer what is safe",
                        of_direction(main, Direction::kBoth), document);
  html +=
      figures_table("Zero-shot classification", figures_in(model, FigurePart::kZeroShot), document);
  html += figures_table("Real images", figures_in(model, FigurePart::kRealImages), document);
  html += folded("SafeGround in full",
                 figures_table("Share of rows whose preference is safe",
                               figures_in(model, FigurePart::kSafeGround), document));
  return html + folded("Retrieval in full", more);
}

std::string tags_html(const OrderedJson& document) {
  const OrderedJson* tags = find_path(last_model(document), "by_tag");
  if (tags == nullptr || !tags->is_object()) return "";
  const std::string charts =
      tag_chart(document, *tags, "text") + tag_chart(document, *tags, "image");
  return charts.empty() ? "" : "<div class=\"charts\">" + charts + "</div>\n";
}

std::string drift_html(const OrderedJson& document) {
  const std::string moved = plain_table("How far the towers moved; ↑ higher, ↓ lower is better",
                                        FigurePart::kDrift, document);
  return moved + plain_table("The embedding space: a collapsed model has cosine 1 and rank 1",
                             FigurePart::kSpace, document);
}

}  // namespace saferclip
