// The page of a comparison. Names of swept runs are too long for labels of points, so their columns
// are numbered there and named below. A chart has as many curves as the style sheet tells apart:
// four colors, plain and dashed.
#include <algorithm>
#include <map>

#include "report/charts.h"
#include "report/comparison_notes.h"
#include "report/html.h"
#include "report/training_lines.h"
#include "saferclip/core/display.h"
#include "saferclip/core/text_format.h"
#include "saferclip/report/comparison.h"

namespace saferclip {
namespace {

using HtmlRows = std::vector<std::vector<std::string>>;

constexpr std::size_t kColors = 4;
constexpr std::size_t kCurves = 2 * kColors;  // of a chart
constexpr std::size_t kMostName = 24;         // columns, beside a point
constexpr std::size_t kMostLegend = 80;

bool is_model(const ComparedColumn& column) {
  return column.kind == ColumnKind::kRun || column.kind == ColumnKind::kSeeds;
}

std::string html_cell(const Comparison& c, const ComparedFigure& row, std::size_t i) {
  const ComparedCell& cell = row.cells[i];
  const ComparedColumn& column = c.columns[i];
  std::string text = cell_text(row.figure, column, cell);
  if (cell.is_best) text = "<b>" + text + "</b>";
  if (cell.against_first == AgainstFirst::kBetter)
    text = "<span class=\"good\">" + text + " †</span>";
  if (cell.against_first == AgainstFirst::kWorse)
    text = "<span class=\"bad\">" + text + " ‡</span>";
  if (column.kind == ColumnKind::kSeeds || !cell.interval) return text;
  return cat(text, " <small>[", figure_text(row.figure, cell.interval->first), ", ",
             figure_text(row.figure, cell.interval->second), "]</small>");
}

class ComparisonPage {
 public:
  explicit ComparisonPage(const Comparison& comparison) : c_(comparison) {
    for (const ComparedColumn& column : c_.columns) heads_.push_back(escaped(column.name));
  }

  std::string make() const {
    std::vector<PageSection> sections{{"figures", "Figures", figures()}};
    const auto add = [&](const char* id, const char* name, const std::string& html) {
      if (!html.empty()) sections.push_back({id, name, html});
    };
    add("front", "Safety and preservation", fronts());
    add("training", "Loss", losses());
    add("runs", "Runs", runs());
    add("differences", "Where the configurations differ", differences());
    return page_html(cat(c_.runs.size(), c_.runs.size() == 1 ? " run" : " runs side by side"),
                     cat("<p>Measured on ", escaped(comparison_title(c_)), ".</p>"), "", sections);
  }

 private:
  std::string figures() const {
    std::vector<std::string> head{"figure"};
    head.insert(head.end(), heads_.begin(), heads_.end());
    HtmlRows rows;
    for (const ComparedFigure& row : c_.figures) {
      rows.push_back({escaped(label_with_arrow(row.figure))});
      for (std::size_t i = 0; i < row.cells.size(); ++i) {
        rows.back().push_back(html_cell(c_, row, i));
      }
    }
    std::string html = table_html(comparison_title(c_), head, rows);
    for (const std::string& note : comparison_notes(c_, {"bold:", "†", "‡", "brackets:"})) {
      html += "<p>" + escaped(note) + "</p>\n";
    }
    return html;
  }

  const ComparedFigure* find_figure(const std::string& id) const {
    const auto found = std::find_if(c_.figures.begin(), c_.figures.end(),
                                    [&](const ComparedFigure& row) { return row.figure.id == id; });
    return found == c_.figures.end() ? nullptr : &*found;
  }

  // Safety over what is to be kept: retrieval of safe items and the first zero-shot figure.
  std::string fronts() const {
    const ComparedFigure* safe = find_figure("safeground.gs");
    const ComparedFigure* recall = find_figure("retrieval.text_to_image.r@1");
    const auto named =
        std::find_if(c_.figures.begin(), c_.figures.end(), [](const ComparedFigure& row) {
          return row.figure.part == FigurePart::kZeroShot && row.figure.better == Better::kHigher;
        });
    std::string html;
    if (safe == nullptr) return html;
    if (recall != nullptr) html += front(*safe, *recall);
    if (named != c_.figures.end()) html += front(*safe, *named);
    return html;
  }

  std::string front(const ComparedFigure& safe, const ComparedFigure& kept) const {
    Points points;
    std::vector<std::string> labels;
    for (std::size_t i = 0; i < c_.columns.size(); ++i) {
      if (!safe.cells[i].value || !kept.cells[i].value) continue;
      points.emplace_back(*kept.cells[i].value, *safe.cells[i].value);
      const bool is_number = is_model(c_.columns[i]) && !has_short_names();
      labels.push_back(is_number ? number_of_column(i) : c_.columns[i].name);
    }
    if (points.empty()) return "";
    const ChartText text{"Up and to the right is better; dashed: what nothing beats",
                         full_label(kept.figure), full_label(safe.figure)};
    return front_chart(text, points, labels) + numbers();
  }

  // "1", "2" for the columns of tuned models, in order.
  std::string number_of_column(std::size_t column) const {
    return cat(std::count_if(c_.columns.begin(),
                             c_.columns.begin() + static_cast<std::ptrdiff_t>(column) + 1,
                             is_model));
  }

  // The columns' names where all are short, else their numbers.
  bool has_short_names() const {
    return std::all_of(c_.columns.begin(), c_.columns.end(), [](const ComparedColumn& column) {
      return !is_model(column) || display_columns(column.name) <= kMostName;
    });
  }

  // What the numbers of a chart of columns mean.
  std::string numbers() const {
    if (has_short_names()) return "";
    std::string html = "<p>";
    for (std::size_t i = 0; i < c_.columns.size(); ++i) {
      if (!is_model(c_.columns[i])) continue;
      html += cat(html == "<p>" ? "" : "; ", number_of_column(i), ": ", heads_[i]);
    }
    return html + "</p>\n";
  }

  // The runs that have losses, by objective: sums of other terms, or of terms with other weights,
  // have no common scale.
  std::vector<std::vector<Series>> losses_by_objective() const {
    std::map<std::string, std::size_t> places;
    std::vector<std::vector<Series>> groups;
    for (const ComparedRun& run : c_.runs) {
      Points loss = read_training_lines(run.metrics).loss;
      if (loss.empty()) continue;
      std::string objective;
      for (const auto& [key, value] : run.config) {
        if (key.starts_with("objective.")) objective += cat(key, "=", value, "\n");
      }
      const auto [place, is_new] = places.emplace(objective, groups.size());
      if (is_new) groups.emplace_back();
      groups[place->second].push_back(
          {cut_to_columns(run.name, kMostLegend), std::move(loss), false});
    }
    return groups;
  }

  std::string losses() const {
    const std::vector<std::vector<Series>> groups = losses_by_objective();
    std::string html;
    if (groups.size() > 1) {
      html +=
          "<p>Runs whose objective or its weights differ have charts of their own: their losses "
          "are sums of different terms and cannot be compared.</p>\n";
    }
    for (const std::vector<Series>& group : groups) {
      for (std::size_t i = 0; i < group.size(); i += kCurves) {
        const std::size_t end = std::min(group.size(), i + kCurves);
        html += loss_chart({group.begin() + static_cast<std::ptrdiff_t>(i),
                            group.begin() + static_cast<std::ptrdiff_t>(end)});
      }
    }
    return html;
  }

  static std::string loss_chart(std::vector<Series> series) {
    for (std::size_t i = 0; i < series.size(); ++i) series[i].is_dashed = i >= kColors;
    const std::string title =
        series.size() == 1 ? "Training loss of " + series.front().name : "Training loss";
    return line_chart({title, "step", "weighted sum"}, series, 720, 320);
  }

  std::string runs() const {
    HtmlRows rows;
    for (const ComparedRun& run : c_.runs) {
      rows.push_back(
          {escaped(run.name), escaped(run.given), with_commas(run.step), escaped(run.seed)});
    }
    return table_html("The runs", {"run", "folder", "step", "seed"}, rows);
  }

  std::string differences() const {
    if (c_.differences.empty()) return "";
    std::vector<std::string> head{"key"};
    for (std::size_t i = 0; i < c_.columns.size(); ++i) {
      if (is_model(c_.columns[i])) head.push_back(heads_[i]);
    }
    HtmlRows rows;
    for (const ConfigDifference& difference : c_.differences) {
      rows.push_back({escaped(difference.key)});
      for (std::size_t i = 0; i < c_.columns.size(); ++i) {
        if (is_model(c_.columns[i])) rows.back().push_back(escaped(difference.values[i]));
      }
    }
    return table_html("Key and values", head, rows);
  }

  const Comparison& c_;
  std::vector<std::string> heads_;  // of the columns, as HTML
};

}  // namespace

std::string comparison_page(const Comparison& comparison) {
  return ComparisonPage(comparison).make();
}

}  // namespace saferclip
