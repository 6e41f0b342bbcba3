// The terminal's view of an evaluation document: one row per figure, in the order and words of the
// table of figures (eval/figures.h). Lines stay within 100 columns whatever the sets are called: a
// group's name stands on its own line above its indented figures, because the names of zero-shot
// sets and of their class groups do not fit side by side.
#include "saferclip/evaluate/scores_table.h"

#include <nlohmann/json.hpp>
#include <sstream>

#include "saferclip/core/display.h"
#include "saferclip/core/text_format.h"
#include "saferclip/eval/figures.h"

namespace saferclip {
namespace {

constexpr std::size_t kLineWidth = 100;
constexpr std::size_t kNameWidth = 48;
constexpr std::size_t kNumberWidth = 8;
constexpr std::size_t kIntervalWidth = 16;
constexpr std::size_t kChangeWidth = 24;  // "-100.0 [-100.0, -100.0]"
constexpr std::size_t kChanceWidth = 9;

std::string right(const std::string& text, std::size_t width) {
  const std::size_t columns = display_columns(text);
  return std::string(width > columns ? width - columns : 0, ' ') + text;
}

std::string left(const std::string& text, std::size_t width) {
  const std::string cut = cut_to_columns(text, width);
  return cut + std::string(width - display_columns(cut), ' ');
}

// Rows of figures, below their heading if they have one.
class Rows {
 public:
  void add(const Figure& figure, const std::string& cells) {
    if (figure.heading != heading_ && !figure.heading.empty()) {
      text_ += cut_to_columns(figure.heading, kLineWidth) + "\n";
    }
    heading_ = figure.heading;
    const std::string indent = heading_.empty() ? "" : "  ";
    std::string row = left(indent + label_with_unit(figure), kNameWidth) + cells;
    row.erase(row.find_last_not_of(' ') + 1);
    text_ += row + "\n";
  }
  const std::string& text() const { return text_; }

 private:
  std::string heading_;
  std::string text_;
};

// "25,010 in 5,000": the number of queries and of gallery items.
std::string counts_text(const Figure& figure, const OrderedJson& model) {
  const auto counts = queries_and_items(figure, model);
  return counts ? cat(with_commas(counts->first), " in ", with_commas(counts->second)) : "";
}

std::string main_table(const OrderedJson& document, const std::vector<Figure>& figures) {
  const OrderedJson& last = last_model(document);
  Rows rows;
  for (const Figure& figure : figures) {
    rows.add(figure, right(value_text(figure, document["before"]), kNumberWidth) +
                         right(value_text(figure, document["after"]), kNumberWidth) + "  " +
                         left(interval_text(figure, last), kIntervalWidth) +
                         counts_text(figure, last));
  }
  return rows.text();
}

std::string strengths_table(const OrderedJson& curve, const std::vector<Figure>& figures) {
  std::string head = left("between unchanged (0) and tuned (1)", kNameWidth);
  for (const OrderedJson& point : curve) {
    head += right(fixed(point["strength"].get<double>(), 2), kNumberWidth);
  }
  Rows rows;
  for (const Figure& figure : figures) {
    std::string cells;
    for (const OrderedJson& point : curve) {
      cells += right(value_text(figure, point["after"]), kNumberWidth);
    }
    if (cells.find_first_not_of(" –") != std::string::npos) rows.add(figure, cells);
  }
  return "\n" + head + "\n" + rows.text();
}

std::string against_table(const OrderedJson& against, const OrderedJson& after,
                          const std::vector<Figure>& figures) {
  std::ostringstream out;
  out << "\nagainst " << against["run"].get<std::string>() << " (step " << against["step"]
      << "), paired\n"
      << left("", kNameWidth) << right("its", kNumberWidth) << right("this", kNumberWidth)
      << right("difference, 95 %", kChangeWidth) << right("p", kChanceWidth) << "\n";
  Rows rows;
  for (const Figure& figure : figures) {
    const auto found = against["difference"].find(figure.id);
    if (found == against["difference"].end()) continue;
    const OrderedJson& d = *found;
    const auto text = [&](const char* name) { return figure_text(figure, d[name].get<double>()); };
    const std::string change = cat(text("difference"), " [", text("low"), ", ", text("high"), "]");
    rows.add(figure, right(value_text(figure, against["after"]), kNumberWidth) +
                         right(value_text(figure, after), kNumberWidth) +
                         right(change, kChangeWidth) +
                         right(fixed(d["p"].get<double>(), 3), kChanceWidth));
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
      << (ranking.empty() ? "" : ranking + "\n") << left("", kNameWidth)
      << right("before", kNumberWidth) << right("after", kNumberWidth) << "  "
      << left("95 % interval", kIntervalWidth) << "queries in items\n"
      << main_table(document, figures);
  if (document.contains("strengths")) out << strengths_table(document["strengths"], figures);
  if (document.contains("against")) {
    out << against_table(document["against"], document["after"], figures);
  }
  return out.str();
}

}  // namespace saferclip
