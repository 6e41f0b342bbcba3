// The terminal's view of an evaluation document: one row per figure, in the order and words of the
// table of figures (eval/figures.h). Lines stay within 80 columns whatever the sets are called:
// what figures share (a group's name, the number of queries and items) stands on its own line above
// them.
#include "saferclip/evaluate/scores_table.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "saferclip/core/display.h"
#include "saferclip/core/text_format.h"
#include "saferclip/eval/figures.h"

namespace saferclip {
namespace {

constexpr std::size_t kLineWidth = 80;
constexpr std::size_t kNumberWidth = 7;
constexpr std::size_t kIntervalWidth = 16;  // "  [100.0, 100.0]"
constexpr std::size_t kNameWidth = kLineWidth - 2 * kNumberWidth - kIntervalWidth;
constexpr std::size_t kArrowWidth = 2;    // at a name's end
constexpr std::size_t kChangeWidth = 24;  // " -100.0 [-100.0, -100.0]"
constexpr std::size_t kChanceWidth = 7;
constexpr std::size_t kTestedWidth = kLineWidth - kChangeWidth - kChanceWidth;
constexpr const char* kArrows = "↑ higher is better, ↓ lower is better";
constexpr std::size_t kMostStrengths = (kLineWidth - kNameWidth) / kNumberWidth;  // in a table

std::string right(const std::string& text, std::size_t width) {
  const std::size_t columns = display_columns(text);
  return std::string(width > columns ? width - columns : 0, ' ') + text;
}

std::string left(const std::string& text, std::size_t width) {
  const std::string cut = cut_to_columns(text, width);
  return cut + std::string(width - display_columns(cut), ' ');
}

// "25,010 queries in 5,000 items"; empty for a figure without them.
std::string counts_text(const Figure& figure, const OrderedJson& model) {
  const auto counts = queries_and_items(figure, model);
  if (!counts) return "";
  const bool is_naming = figure.part == FigurePart::kZeroShot;
  return cat(with_commas(counts->first), is_naming ? " images in " : " queries in ",
             with_commas(counts->second), is_naming ? " classes" : " items");
}

// Rows of figures, below their headings if they have any.
class Rows {
 public:
  explicit Rows(std::size_t name_width = kNameWidth) : name_width_(name_width) {}
  void add(const Figure& figure, const std::string& cells, const std::string& counts = "") {
    const bool is_new_group = figure.heading != heading_ && !figure.heading.empty();
    const bool is_new_count = !counts.empty() && counts != counts_;
    if (is_new_group || is_new_count) {
      const char* comma = figure.heading.empty() || counts.empty() ? "" : ", ";
      text_ += cut_to_columns(cat(figure.heading, comma, counts), kLineWidth) + "\n";
    }
    counts_ = counts;
    heading_ = figure.heading;
    const std::string indent = heading_.empty() && counts_.empty() ? "" : "  ";
    std::string row = left(indent + label_with_unit(figure), name_width_ - kArrowWidth) +
                      right(arrow_of(figure.better), kArrowWidth) + cells;
    row.erase(row.find_last_not_of(' ') + 1);
    text_ += row + "\n";
  }
  const std::string& text() const { return text_; }

 private:
  std::size_t name_width_;
  std::string heading_;
  std::string counts_;
  std::string text_;
};

std::string main_table(const OrderedJson& document, const std::vector<Figure>& figures) {
  const OrderedJson& last = last_model(document);
  Rows rows;
  for (const Figure& figure : figures) {
    rows.add(figure,
             right(value_text(figure, document["before"]), kNumberWidth) +
                 right(value_text(figure, document["after"]), kNumberWidth) + "  " +
                 interval_text(figure, last),
             counts_text(figure, last));
  }
  return rows.text();
}

std::string strengths_table(const std::vector<const OrderedJson*>& points,
                            const std::vector<Figure>& figures) {
  std::string head = left("between unchanged (0) and tuned (1)", kNameWidth);
  for (const OrderedJson* point : points) {
    head += right(fixed((*point)["strength"].get<double>(), 2), kNumberWidth);
  }
  Rows rows;
  for (const Figure& figure : figures) {
    std::string cells;
    for (const OrderedJson* point : points) {
      cells += right(value_text(figure, (*point)["after"]), kNumberWidth);
    }
    if (cells.find_first_not_of(" –") != std::string::npos) rows.add(figure, cells);
  }
  return "\n" + head + "\n" + rows.text();
}

// As many tables of about the same width as the points need.
std::string strengths_tables(const OrderedJson& curve, const std::vector<Figure>& figures) {
  const std::size_t tables = (curve.size() + kMostStrengths - 1) / kMostStrengths;
  std::string text;
  std::size_t next = 0;
  for (std::size_t table = 1; table <= tables; ++table) {
    std::vector<const OrderedJson*> points;
    for (; next < curve.size() * table / tables; ++next) points.push_back(&curve[next]);
    text += strengths_table(points, figures);
  }
  return text;
}

std::string against_table(const OrderedJson& document, const std::vector<Figure>& figures) {
  const OrderedJson& against = document["against"];
  const std::optional<double> resamples = number_at(document, "bootstrap");
  std::ostringstream out;
  out << "\nagainst " << against["run"].get<std::string>() << " (step " << against["step"]
      << "), paired\n"
      << left("", kTestedWidth) << right("this less its, 95 %", kChangeWidth)
      << right("p", kChanceWidth) << "\n";
  Rows rows(kTestedWidth);
  for (const Figure& figure : figures) {
    const auto found = against["difference"].find(figure.id);
    if (found == against["difference"].end()) continue;
    const OrderedJson& d = *found;
    const auto text = [&](const char* name) { return figure_text(figure, d[name].get<double>()); };
    const std::string change = cat(text("difference"), " [", text("low"), ", ", text("high"), "]");
    rows.add(figure, right(change, kChangeWidth) +
                         right(chance_text(d["p"].get<double>(), resamples), kChanceWidth));
  }
  out << rows.text();
  return out.str();
}

}  // namespace

std::string evaluation_table(const OrderedJson& document) {
  const std::vector<Figure> figures = shown_figures(last_model(document));
  const std::string ranking = ranking_text(document);
  std::ostringstream out;
  out << "split " << document["split"].get<std::string>() << ", " << document["n"] << " rows\n"
      << (ranking.empty() ? "" : ranking + "\n") << left(kArrows, kNameWidth)
      << right("before", kNumberWidth) << right("after", kNumberWidth) << "  95 % interval\n"
      << main_table(document, figures);
  if (document.contains("strengths")) out << strengths_tables(document["strengths"], figures);
  if (document.contains("against")) {
    out << against_table(document, figures);
  }
  return out.str();
}

}  // namespace saferclip
