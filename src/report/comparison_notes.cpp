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

const ComparedColumn* first_column(const Comparison& comparison) {
  for (const ComparedColumn& column : comparison.columns) {
    if (column.kind == ColumnKind::kRun || column.kind == ColumnKind::kSeeds) return &column;
  }
  return nullptr;
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
                      const std::string& plus_minus) {
  const std::string value = figure_text(figure, cell.value);
  if (column.kind != ColumnKind::kSeeds || !cell.interval) return value;
  return value + plus_minus + figure_text(figure, cell.interval->second - *cell.value);
}

std::string comparison_title(const Comparison& comparison) {
  return cat("split ", comparison.split, ", ", with_commas(comparison.rows), " rows");
}

std::vector<std::string> comparison_notes(const Comparison& comparison,
                                          const ComparisonMarks& marks) {
  std::vector<std::string> notes;
  if (any_cell(comparison, [](const ComparedCell& cell) { return cell.is_best; })) {
    notes.push_back(cat(marks.best, " best of the runs"));
  }
  const ComparedColumn* first = first_column(comparison);
  const bool has_marks = any_cell(comparison, [](const ComparedCell& cell) {
    return cell.against_first == AgainstFirst::kBetter ||
           cell.against_first == AgainstFirst::kWorse;
  });
  if (has_marks && first != nullptr) {
    notes.push_back(cat(marks.better, " better, ", marks.worse, " worse than ", first->name,
                        ": the 95 % interval of the paired difference excludes 0"));
  }
  for (const ComparedColumn& column : comparison.columns) {
    if (column.kind != ColumnKind::kSeeds) continue;
    notes.emplace_back("± half of the 95 % t interval of the mean over seeds");
    break;
  }
  for (const ComparedRun& run : comparison.runs) {
    const std::string ranking = ranking_text(run.document);
    if (!ranking.empty()) notes.push_back(cat(run.name, ": ", ranking));
  }
  for (std::string& note : missing_tests(comparison)) notes.push_back(std::move(note));
  return notes;
}

}  // namespace saferclip
