// The terminal's form of a comparison. Columns have one width, so as many as fit make a block and
// the labels are repeated in the next. Names of swept runs are long; they are broken over lines,
// never cut, because their ends tell the runs apart.
#include <algorithm>

#include "report/comparison_notes.h"
#include "saferclip/core/display.h"
#include "saferclip/core/text_format.h"
#include "saferclip/report/comparison.h"

namespace saferclip {
namespace {

using Lines = std::vector<std::string>;

constexpr std::size_t kTableWidth = 100;
constexpr std::size_t kLabelWidth = 48;
constexpr std::size_t kKeyWidth = 34;
constexpr std::size_t kMarkWidth = 2;
constexpr std::size_t kLeastColumn = 13;

std::string padded_left(const std::string& text, std::size_t width) {
  const std::size_t columns = display_columns(text);
  return std::string(width > columns ? width - columns : 0, ' ') + text;
}

std::string padded_right(const std::string& text, std::size_t width) {
  const std::string cut = cut_to_columns(text, width);
  return cut + std::string(width - std::min(width, display_columns(cut)), ' ');
}

// The text in pieces of at most `width` columns, broken after a separator where there is one.
Lines broken(const std::string& text, std::size_t width) {
  Lines lines{""};
  std::size_t separator = 0;  // in the last line
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
    if (letter.find_first_of(" ,-_/+") != std::string::npos) separator = lines.back().size();
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
  std::string marks = cell.is_best ? "*" : "";
  if (cell.against_first == AgainstFirst::kBetter) marks += "+";
  if (cell.against_first == AgainstFirst::kWorse) marks += "-";
  return padded_right(marks, kMarkWidth);
}

struct Block {
  std::size_t begin;
  std::size_t end;
  std::size_t width;  // of a column
};

std::vector<Block> blocks_of(std::size_t count, std::size_t label, std::size_t width) {
  const std::size_t fit = std::max<std::size_t>(1, (kTableWidth - label) / width);
  std::vector<Block> blocks;
  for (std::size_t i = 0; i < count; i += fit) {
    blocks.push_back({i, std::min(count, i + fit), width});
  }
  return blocks;
}

// Names over their columns, the last line of each at the bottom. `marks`: columns kept free.
std::string head_lines(const Comparison& c, const Block& block, std::size_t label,
                       std::size_t marks) {
  std::vector<Lines> names;
  std::size_t height = 1;
  for (std::size_t i = block.begin; i < block.end; ++i) {
    names.push_back(broken(c.columns[i].name, block.width - 1 - marks));
    height = std::max(height, names.back().size());
  }
  std::string text;
  for (std::size_t line = 0; line < height; ++line) {
    std::string row(label, ' ');
    for (const Lines& name : names) {
      const std::size_t above = height - name.size();
      row += padded_left(line < above ? "" : name[line - above], block.width - marks);
      row += std::string(marks, ' ');
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
        padded_right((heading.empty() ? "" : "  ") + label_with_unit(row.figure), kLabelWidth);
    for (std::size_t i = block.begin; i < block.end; ++i) {
      const std::string value = cell_text(row.figure, c.columns[i], row.cells[i], " ±");
      line += padded_left(value, block.width - kMarkWidth) + marks_of(row.cells[i]);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::size_t column_width(const Comparison& c) {
  std::size_t width = kLeastColumn;
  for (const ComparedFigure& row : c.figures) {
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      const std::string text = cell_text(row.figure, c.columns[i], row.cells[i], " ±");
      width = std::max(width, display_columns(text) + kMarkWidth + 1);
    }
  }
  return width;
}

// One value of a configuration may be as long as a path: it is broken like a name.
std::string difference_row(const ConfigDifference& difference, const Block& block) {
  const Lines key = broken(difference.key, kKeyWidth - 1);
  std::vector<Lines> cells;
  std::size_t height = key.size();
  for (std::size_t i = block.begin; i < block.end; ++i) {
    cells.push_back(broken(difference.values[i], block.width - 1));
    height = std::max(height, cells.back().size());
  }
  std::string text;
  for (std::size_t line = 0; line < height; ++line) {
    std::string row = padded_right(line < key.size() ? key[line] : "", kKeyWidth);
    for (const Lines& cell : cells) {
      row += padded_left(line < cell.size() ? cell[line] : "", block.width);
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
  for (const Block& block : blocks_of(runs.columns.size(), kKeyWidth, kWidth)) {
    text += head_lines(runs, block, kKeyWidth, 0);
    for (const ConfigDifference& difference : runs.differences) {
      text += difference_row(difference, block);
    }
  }
  return text;
}

}  // namespace

std::string comparison_table(const Comparison& comparison) {
  std::string text = comparison_title(comparison) + "\n";
  const auto blocks = blocks_of(comparison.columns.size(), kLabelWidth, column_width(comparison));
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    text += (i > 0 ? "\n" : "") + head_lines(comparison, blocks[i], kLabelWidth, kMarkWidth);
    text += figure_lines(comparison, blocks[i]);
  }
  for (const std::string& note : comparison_notes(comparison, {"*", "+", "-"})) {
    text += wrapped(note);
  }
  return text + difference_lines(comparison);
}

}  // namespace saferclip
