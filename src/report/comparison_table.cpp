// The terminal's form of a comparison. As many columns as fit make a block, and the labels are
// repeated in the next. Names of swept runs are long; they are broken over lines,
// never cut, because their ends tell the runs apart.
#include <algorithm>

#include "report/comparison_notes.h"
#include "saferclip/core/display.h"
#include "saferclip/core/text_format.h"
#include "saferclip/report/comparison.h"

namespace saferclip {
namespace {

using Lines = std::vector<std::string>;

constexpr std::size_t kTableWidth = 80;
constexpr std::size_t kLabelWidth = 48;
constexpr std::size_t kArrowWidth = 2;
constexpr std::size_t kHeadWidth = kLabelWidth + kArrowWidth;
constexpr std::size_t kKeyWidth = 34;
constexpr std::size_t kLeastColumn = 8;
constexpr std::size_t kMostSpare = 5;  // that a column gets where few share the width

std::string padded_left(const std::string& text, std::size_t width) {
  const std::size_t columns = display_columns(text);
  return std::string(width > columns ? width - columns : 0, ' ') + text;
}

std::string padded_right(const std::string& text, std::size_t width) {
  const std::string cut = cut_to_columns(text, width);
  return cut + std::string(width - std::min(width, display_columns(cut)), ' ');
}

// The text in pieces of at most `width` columns, broken after a separator where there is one, and
// not inside parentheses, which hold "2 seeds".
Lines broken(const std::string& text, std::size_t width) {
  Lines lines{""};
  std::size_t separator = 0;  // in the last line
  bool is_inside = false;     // parentheses
  for (std::size_t i = 0; i < text.size();) {
    std::size_t end = i + 1;
    while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) ++end;
    const std::string letter = text.substr(i, end - i);
    if (display_columns(lines.back() + letter) > width) {
      std::string rest = separator > 0 ? lines.back().substr(separator) : "";
      lines.back().erase(lines.back().size() - rest.size());
      lines.push_back(std::move(rest));
      separator = 0;
    }
    lines.back() += letter;
    if (letter == "(" || letter == ")") is_inside = letter == "(";
    const bool is_separator = letter.find_first_of(" ,-_/+") != std::string::npos;
    if (is_separator && !is_inside) separator = lines.back().size();
    i = end;
  }
  for (std::string& line : lines) line = trimmed(line);
  return lines;
}

// The note in lines of the table's width, indented from the second on.
std::string wrapped(const std::string& note) {
  std::istringstream in(note);
  std::string text, line;
  for (std::string word; in >> word;) {
    if (!line.empty() && display_columns(line + " " + word) > kTableWidth) {
      text += line + "\n";
      line = "  " + word;
    } else {
      line += (line.empty() ? "" : " ") + word;
    }
  }
  return text + line + "\n";
}

std::string marks_of(const ComparedCell& cell) {
  const std::string marks = cell.against_first == AgainstFirst::kBetter  ? "†"
                            : cell.against_first == AgainstFirst::kWorse ? "‡"
                                                                         : "";
  return marks + (cell.is_best ? "*" : "");
}

struct ColumnWidth {
  std::size_t whole;
  std::size_t marks = 0;  // of it, the blank before them included; 0: the column has none
};

struct Block {
  std::size_t begin;
  std::vector<ColumnWidth> widths;  // of its columns

  std::size_t end() const { return begin + widths.size(); }
  const ColumnWidth& width_of(std::size_t column) const { return widths[column - begin]; }
};

// As many columns in each block as fit beside the labels.
std::vector<Block> blocks_of(const std::vector<ColumnWidth>& widths, std::size_t label) {
  std::vector<Block> blocks;
  std::size_t used = kTableWidth;
  for (std::size_t i = 0; i < widths.size(); ++i) {
    if (used + widths[i].whole > kTableWidth) {
      blocks.push_back({i, {}});
      used = label;
    }
    blocks.back().widths.push_back(widths[i]);
    used += widths[i].whole;
  }
  return blocks;
}

// Names over their columns, the last line of each at the bottom.
std::string head_lines(const Comparison& c, const Block& block, std::size_t label) {
  std::vector<Lines> names;
  std::size_t height = 1;
  for (std::size_t i = block.begin; i < block.end(); ++i) {
    names.push_back(broken(c.columns[i].name, block.width_of(i).whole - 1));
    height = std::max(height, names.back().size());
  }
  std::string text;
  for (std::size_t line = 0; line < height; ++line) {
    std::string row(label, ' ');
    for (std::size_t i = 0; i < names.size(); ++i) {
      const std::size_t above = height - names[i].size();
      row += padded_left(line < above ? "" : names[i][line - above], block.widths[i].whole);
    }
    text += row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string figure_lines(const Comparison& c, const Block& block) {
  std::string text, heading;
  for (const ComparedFigure& row : c.figures) {
    if (row.figure.heading != heading && !row.figure.heading.empty()) {
      text += cut_to_columns(row.figure.heading, kTableWidth) + "\n";
    }
    heading = row.figure.heading;
    std::string line =
        padded_right((heading.empty() ? "" : "  ") + label_with_unit(row.figure), kLabelWidth) +
        padded_left(arrow_of(row.figure.better), kArrowWidth);
    for (std::size_t i = block.begin; i < block.end(); ++i) {
      const std::string value =
          cell_text(row.figure, c.columns[i], row.cells[i], CellForm::kNarrow);
      const ColumnWidth& width = block.width_of(i);
      const std::string marks = marks_of(row.cells[i]);
      line += padded_left(value, width.whole - width.marks);
      line += padded_right(marks.empty() ? "" : " " + marks, width.marks);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::vector<ColumnWidth> column_widths(const Comparison& c) {
  std::vector<ColumnWidth> widths;
  for (std::size_t i = 0; i < c.columns.size(); ++i) {
    std::size_t value = 0, marks = 0;
    for (const ComparedFigure& row : c.figures) {
      const std::string text = cell_text(row.figure, c.columns[i], row.cells[i], CellForm::kNarrow);
      value = std::max(value, display_columns(text));
      marks = std::max(marks, display_columns(marks_of(row.cells[i])));
    }
    if (marks > 0) ++marks;
    widths.push_back({std::max(kLeastColumn, 1 + value + marks), marks});
  }
  return widths;
}

// What a block leaves free is shared among its columns.
std::vector<Block> figure_blocks(const Comparison& c) {
  std::vector<Block> blocks = blocks_of(column_widths(c), kHeadWidth);
  for (Block& block : blocks) {
    std::size_t used = kHeadWidth;
    for (const ColumnWidth& width : block.widths) used += width.whole;
    const std::size_t spare = used < kTableWidth ? kTableWidth - used : 0;
    for (ColumnWidth& width : block.widths) {
      width.whole += std::min(kMostSpare, spare / block.widths.size());
    }
  }
  return blocks;
}

// One value of a configuration may be as long as a path: it is broken like a name.
std::string difference_row(const ConfigDifference& difference, const Block& block) {
  const Lines key = broken(difference.key, kKeyWidth - 1);
  std::vector<Lines> cells;
  std::size_t height = key.size();
  for (std::size_t i = block.begin; i < block.end(); ++i) {
    cells.push_back(broken(difference.values[i], block.width_of(i).whole - 1));
    height = std::max(height, cells.back().size());
  }
  std::string text;
  for (std::size_t line = 0; line < height; ++line) {
    std::string row = padded_right(line < key.size() ? key[line] : "", kKeyWidth);
    for (std::size_t i = 0; i < cells.size(); ++i) {
      row += padded_left(line < cells[i].size() ? cells[i][line] : "", block.widths[i].whole);
    }
    text += row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string difference_lines(const Comparison& c) {
  if (c.differences.empty()) return "";
  constexpr std::size_t kWidth = 22;
  std::string text = "\nwhere the configurations differ\n";
  Comparison runs;  // the columns that have a configuration
  runs.differences = c.differences;
  for (ConfigDifference& difference : runs.differences) difference.values.clear();
  for (std::size_t i = 0; i < c.columns.size(); ++i) {
    const ColumnKind kind = c.columns[i].kind;
    if (kind != ColumnKind::kRun && kind != ColumnKind::kSeeds) continue;
    runs.columns.push_back(c.columns[i]);
    for (std::size_t d = 0; d < c.differences.size(); ++d) {
      runs.differences[d].values.push_back(c.differences[d].values[i]);
    }
  }
  const std::vector<ColumnWidth> widths(runs.columns.size(), {kWidth});
  for (const Block& block : blocks_of(widths, kKeyWidth)) {
    text += head_lines(runs, block, kKeyWidth);
    for (const ConfigDifference& difference : runs.differences) {
      text += difference_row(difference, block);
    }
  }
  return text;
}

}  // namespace

std::string comparison_table(const Comparison& comparison) {
  std::string text = comparison_title(comparison) + "\n";
  const std::vector<Block> blocks = figure_blocks(comparison);
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    text += (i > 0 ? "\n" : "") + head_lines(comparison, blocks[i], kHeadWidth);
    text += figure_lines(comparison, blocks[i]);
  }
  for (const std::string& note : comparison_notes(comparison, {"*", "†", "‡", "a–b:"})) {
    text += wrapped(note);
  }
  return text + difference_lines(comparison);
}

}  // namespace saferclip
