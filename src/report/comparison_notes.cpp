// A note stands only where its mark does, except for a missing test, which is said because its
// absence cannot be seen.
#include "report/comparison_notes.h"

#include <algorithm>

#include "saferclip/core/shell_word.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

bool any_cell(const Comparison& comparison, bool (*holds)(const ComparedCell&)) {
  return std::any_of(comparison.figures.begin(), comparison.figures.end(),
                     [&](const ComparedFigure& row) {
                       return std::any_of(row.cells.begin(), row.cells.end(), holds);
                     });
}

bool any_kind(const Comparison& comparison, ColumnKind kind) {
  return std::any_of(comparison.columns.begin(), comparison.columns.end(),
                     [kind](const ComparedColumn& column) { return column.kind == kind; });
}

// Whether it is a share of rows. A relative change, which drift has, may pass 100 %.
bool is_bounded(const Figure& figure) {
  const bool is_percent = figure.unit == FigureUnit::kPercent || figure.unit == FigureUnit::kShare;
  return is_percent && figure.part != FigurePart::kDrift;
}

double most_of(const Figure& figure) { return figure.unit == FigureUnit::kShare ? 1 : 100; }

// Whether the interval goes on where no percentage is.
bool leaves_range(const Figure& figure, const ComparedCell& cell) {
  return is_bounded(figure) && cell.interval &&
         (cell.interval->first < 0 || cell.interval->second > most_of(figure));
}

// Which of the forms "±" and "from … to" the groups of seeds have.
bool any_interval(const Comparison& c, bool leaving) {
  for (const ComparedFigure& row : c.figures) {
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      const bool is_shown = c.columns[i].kind == ColumnKind::kSeeds && row.cells[i].interval;
      if (is_shown && leaves_range(row.figure, row.cells[i]) == leaving) return true;
    }
  }
  return false;
}

std::string direction_note(const Comparison& c) {
  const auto any = [&](Better better) {
    return std::any_of(c.figures.begin(), c.figures.end(),
                       [better](const ComparedFigure& row) { return row.figure.better == better; });
  };
  const bool higher = any(Better::kHigher), lower = any(Better::kLower);
  return cat(higher ? "↑ higher" : "", higher && lower ? ", " : "", lower ? "↓ lower" : "",
             higher || lower ? " is better" : "");
}

std::string best_note(const Comparison& c, const std::string& mark) {
  const bool before = any_kind(c, ColumnKind::kBefore);
  const bool published = any_kind(c, ColumnKind::kPublished);
  const std::string others = cat(before ? "before" : "", before && published ? " and " : "",
                                 published ? "published values" : "");
  return cat(mark, " best of the runs", others.empty() ? "" : ", " + others + " not among them");
}

const ComparedColumn* first_column(const Comparison& comparison) {
  for (const ComparedColumn& column : comparison.columns) {
    if (column.kind == ColumnKind::kRun || column.kind == ColumnKind::kSeeds) return &column;
  }
  return nullptr;
}

// What the marks of the paired tests mean, as far as they occur.
std::string test_note(const Comparison& comparison, const ComparisonMarks& marks) {
  const ComparedColumn* first = first_column(comparison);
  const bool better = any_cell(comparison, [](const ComparedCell& cell) {
    return cell.against_first == AgainstFirst::kBetter;
  });
  const bool worse = any_cell(comparison, [](const ComparedCell& cell) {
    return cell.against_first == AgainstFirst::kWorse;
  });
  if (first == nullptr || (!better && !worse)) return "";
  return cat(better ? marks.better + " better" : "", better && worse ? ", " : "",
             worse ? marks.worse + " worse" : "", " than ", first->name,
             ": the 95 % interval of the paired difference excludes 0");
}

// Why some columns have no mark against the first run.
std::vector<std::string> missing_tests(const Comparison& c) {
  std::vector<std::string> notes;
  const ComparedRun& first = c.runs.front();
  if (!c.untested.empty()) {
    std::vector<std::string> names;
    for (const std::size_t run : c.untested) names.push_back(c.runs[run].name);
    notes.push_back(cat("not tested against ", first.name, ": ", join(names, ", "),
                        "; intervals that overlap or not are no test. An evaluation keeps a paired "
                        "test: saferclip evaluate ",
                        shell_word(c.runs[c.untested.front()].given), " --against ",
                        shell_word(first.given), " --split ", shell_word(c.split)));
  }
  const auto groups =
      std::count_if(c.columns.begin(), c.columns.end(),
                    [](const ComparedColumn& column) { return column.kind == ColumnKind::kSeeds; });
  const auto models =
      std::count_if(c.columns.begin(), c.columns.end(), [](const ComparedColumn& column) {
        return column.kind == ColumnKind::kSeeds || column.kind == ColumnKind::kRun;
      });
  if (groups > 0 && models > 1) {
    notes.emplace_back("means over seeds are not tested against another column");
  }
  return notes;
}

}  // namespace

std::string cell_text(const Figure& figure, const ComparedColumn& column, const ComparedCell& cell,
                      CellForm form) {
  const std::string value = figure_text(figure, cell.value);
  if (column.kind != ColumnKind::kSeeds || !cell.interval) return value;
  const bool is_wide = form == CellForm::kWide;
  if (!leaves_range(figure, cell)) {
    return cat(value, is_wide ? " ± " : " ±",
               figure_text(figure, cell.interval->second - *cell.value));
  }
  const std::string low = figure_text(figure, std::max(0.0, cell.interval->first));
  const std::string high = figure_text(figure, std::min(most_of(figure), cell.interval->second));
  return is_wide ? cat(value, " [", low, ", ", high, "]") : cat(value, " ", low, "–", high);
}

std::string label_with_arrow(const Figure& figure) {
  const std::string arrow = arrow_of(figure.better);
  return full_label(figure) + (arrow.empty() ? "" : " " + arrow);
}

std::string comparison_title(const Comparison& comparison) {
  return cat("split ", comparison.split, ", ", with_commas(comparison.rows), " rows");
}

std::vector<std::string> comparison_notes(const Comparison& comparison,
                                          const ComparisonMarks& marks) {
  std::vector<std::string> notes;
  const std::string direction = direction_note(comparison);
  if (!direction.empty()) notes.push_back(direction);
  if (any_cell(comparison, [](const ComparedCell& cell) { return cell.is_best; })) {
    notes.push_back(best_note(comparison, marks.best));
  }
  const std::string tests = test_note(comparison, marks);
  if (!tests.empty()) notes.push_back(tests);
  if (any_interval(comparison, false)) {
    notes.emplace_back("± half of the 95 % t interval of the mean over seeds");
  }
  if (any_interval(comparison, true)) {
    notes.push_back(cat(marks.interval, " that interval where ± would leave 0 … 100 %"));
  }
  const auto open = std::count_if(comparison.figures.begin(), comparison.figures.end(),
                                  [](const ComparedFigure& row) { return row.is_open; });
  if (open > 0) {
    notes.push_back(cat("no best of ", open, open == 1 ? " figure" : " figures",
                        ": the interval over seeds of the leading column reaches another's"));
  }
  for (const ComparedRun& run : comparison.runs) {
    const std::string ranking = ranking_text(run.document);
    if (!ranking.empty()) notes.push_back(cat(run.name, ": ", ranking));
  }
  for (std::string& note : missing_tests(comparison)) notes.push_back(std::move(note));
  return notes;
}

}  // namespace saferclip
