// The forms of a comparison for other programs: CSV and JSON hold every number in full, Markdown
// and LaTeX the text that the terminal shows.
#include <cmath>

#include "report/comparison_notes.h"
#include "saferclip/core/text_format.h"
#include "saferclip/report/comparison.h"

namespace saferclip {
namespace {

// Quoted as RFC 4180 wants it.
std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char letter : text) quoted += letter == '"' ? "\"\"" : std::string(1, letter);
  return quoted + "\"";
}

std::string csv_line(const std::vector<std::string>& fields) {
  std::vector<std::string> quoted;
  for (const std::string& field : fields) quoted.push_back(csv_field(field));
  return join(quoted, ",") + "\n";
}

std::string full_number(const std::optional<double>& value) {
  return value ? OrderedJson(*value).dump() : "";
}

const char* unit_word(FigureUnit unit) {
  switch (unit) {
    case FigureUnit::kPercent:
      return "percent";
    case FigureUnit::kShare:
      return "share";
    case FigureUnit::kCosine:
      return "cosine";
    case FigureUnit::kNone:
      break;
  }
  return "";
}

const char* better_word(Better better) {
  switch (better) {
    case Better::kHigher:
      return "higher";
    case Better::kLower:
      return "lower";
    case Better::kNeither:
      break;
  }
  return "neither";
}

std::string kind_word(ColumnKind kind) {
  switch (kind) {
    case ColumnKind::kBefore:
      return "before";
    case ColumnKind::kRun:
      return "run";
    case ColumnKind::kSeeds:
      return "seeds";
    case ColumnKind::kPublished:
      break;
  }
  return "published";
}

OrderedJson against_word(AgainstFirst against) {
  switch (against) {
    case AgainstFirst::kBetter:
      return "better";
    case AgainstFirst::kWorse:
      return "worse";
    case AgainstFirst::kUnclear:
      return "unclear";
    case AgainstFirst::kUntested:
      break;
  }
  return nullptr;
}

std::string markdown_text(const std::string& text) {
  std::string out;
  for (const char letter : text) {
    if (std::string_view("|*_`<>[]\\").find(letter) != std::string_view::npos) out += '\\';
    out += letter == '\n' ? ' ' : letter;
  }
  return out;
}

std::string markdown_row(const std::vector<std::string>& cells) {
  return "| " + join(cells, " | ") + " |\n";
}

std::string markdown_cell(const ComparedFigure& row, const Comparison& c, std::size_t i) {
  const ComparedCell& cell = row.cells[i];
  std::string text = cell_text(row.figure, c.columns[i], cell);
  if (cell.is_best) text = "**" + text + "**";
  if (cell.against_first == AgainstFirst::kBetter) text += " †";
  if (cell.against_first == AgainstFirst::kWorse) text += " ‡";
  return text;
}

std::string latex_text(const std::string& text) {
  std::string out;
  for (const char letter : text) {
    switch (letter) {
      case '&':
      case '%':
      case '$':
      case '#':
      case '_':
      case '{':
      case '}':
        out += std::string("\\") + letter;
        break;
      case '\\':
        out += "\\textbackslash{}";
        break;
      case '~':
        out += "\\textasciitilde{}";
        break;
      case '^':
        out += "\\textasciicircum{}";
        break;
      default:
        out += letter;
    }
  }
  for (const auto& [sign, command] :
       {std::pair("→", "$\\rightarrow$"), std::pair("–", "--"), std::pair("±", "$\\pm$"),
        std::pair("↑", "$\\uparrow$"), std::pair("↓", "$\\downarrow$")}) {
    for (std::size_t at = out.find(sign); at != std::string::npos; at = out.find(sign, at)) {
      out.replace(at, std::string(sign).size(), command);
    }
  }
  return out;
}

std::string latex_cell(const ComparedFigure& row, const Comparison& c, std::size_t i) {
  const ComparedCell& cell = row.cells[i];
  std::string text = latex_text(cell_text(row.figure, c.columns[i], cell));
  if (cell.is_best) text = "\\textbf{" + text + "}";
  if (cell.against_first == AgainstFirst::kBetter) text += "$^\\dagger$";
  if (cell.against_first == AgainstFirst::kWorse) text += "$^\\ddagger$";
  return text;
}

OrderedJson column_json(const Comparison& c, const ComparedColumn& column) {
  OrderedJson json{{"name", column.name}, {"kind", kind_word(column.kind)}};
  if (column.kind != ColumnKind::kRun && column.kind != ColumnKind::kSeeds) return json;
  json["runs"] = OrderedJson::array();
  for (const std::size_t run : column.runs) {
    json["runs"].push_back(
        {{"run", c.runs[run].given}, {"step", c.runs[run].step}, {"seed", c.runs[run].seed}});
  }
  return json;
}

OrderedJson cell_json(const ComparedCell& cell) {
  if (!cell.value) return nullptr;
  OrderedJson json{{"value", *cell.value}};
  if (cell.interval) json["interval"] = {cell.interval->first, cell.interval->second};
  json["best"] = cell.is_best;
  json["against_first"] = against_word(cell.against_first);
  return json;
}

}  // namespace

std::string comparison_csv(const Comparison& comparison) {
  std::vector<std::string> head{"metric", "figure", "unit"};
  for (const ComparedColumn& column : comparison.columns) {
    head.push_back(column.name);
    if (column.kind == ColumnKind::kSeeds) head.push_back(column.name + " ±");
  }
  std::string text = csv_line(head);
  for (const ComparedFigure& row : comparison.figures) {
    std::vector<std::string> fields{
        row.figure.id,
        (row.figure.heading.empty() ? "" : row.figure.heading + ": ") + row.figure.label,
        unit_word(row.figure.unit)};
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      const ComparedCell& cell = row.cells[i];
      fields.push_back(full_number(cell.value));
      if (comparison.columns[i].kind != ColumnKind::kSeeds) continue;
      fields.push_back(cell.interval ? full_number(cell.interval->second - *cell.value) : "");
    }
    text += csv_line(fields);
  }
  return text;
}

std::string comparison_markdown(const Comparison& comparison) {
  std::vector<std::string> head{markdown_text(comparison_title(comparison))}, rule{"---"};
  for (const ComparedColumn& column : comparison.columns) {
    head.push_back(markdown_text(column.name));
    rule.emplace_back("---:");
  }
  std::string text = markdown_row(head) + markdown_row(rule);
  for (const ComparedFigure& row : comparison.figures) {
    std::vector<std::string> cells{markdown_text(label_with_arrow(row.figure))};
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      cells.push_back(markdown_cell(row, comparison, i));
    }
    text += markdown_row(cells);
  }
  for (const std::string& note : comparison_notes(comparison, {"bold:", "†", "‡", "brackets:"})) {
    text += "\n" + note + "\n";
  }
  if (comparison.differences.empty()) return text;
  head.front() = "where the configurations differ";
  text += "\n" + markdown_row(head) + markdown_row(rule);
  for (const ConfigDifference& difference : comparison.differences) {
    std::vector<std::string> cells{markdown_text(difference.key)};
    for (const std::string& value : difference.values) cells.push_back(markdown_text(value));
    text += markdown_row(cells);
  }
  return text;
}

std::string comparison_latex(const Comparison& comparison) {
  const ComparisonMarks marks{"bold:", "\\dagger", "\\ddagger", "brackets:"};
  std::string text = "% " + comparison_title(comparison) + "; needs \\usepackage{booktabs}\n";
  for (const std::string& note : comparison_notes(comparison, marks)) {
    text += "% " + note + "\n";
  }
  text += cat("\\begin{tabular}{l", std::string(comparison.columns.size(), 'r'), "}\n\\toprule\n");
  for (const ComparedColumn& column : comparison.columns) text += " & " + latex_text(column.name);
  text += " \\\\\n\\midrule\n";
  for (const ComparedFigure& row : comparison.figures) {
    text += latex_text(label_with_arrow(row.figure));
    for (std::size_t i = 0; i < row.cells.size(); ++i) {
      text += " & " + latex_cell(row, comparison, i);
    }
    text += " \\\\\n";
  }
  return text + "\\bottomrule\n\\end{tabular}\n";
}

OrderedJson comparison_json(const Comparison& comparison) {
  OrderedJson json{{"split", comparison.split},       {"n", comparison.rows},
                   {"content", comparison.content},   {"columns", OrderedJson::array()},
                   {"figures", OrderedJson::array()}, {"configuration", OrderedJson::array()},
                   {"untested", OrderedJson::array()}};
  for (const ComparedColumn& column : comparison.columns) {
    json["columns"].push_back(column_json(comparison, column));
  }
  for (const ComparedFigure& row : comparison.figures) {
    OrderedJson cells = OrderedJson::array();
    for (const ComparedCell& cell : row.cells) cells.push_back(cell_json(cell));
    json["figures"].push_back({{"metric", row.figure.id},
                               {"figure", full_label(row.figure)},
                               {"unit", unit_word(row.figure.unit)},
                               {"better", better_word(row.figure.better)},
                               {"cells", std::move(cells)}});
  }
  for (const ConfigDifference& difference : comparison.differences) {
    json["configuration"].push_back({{"key", difference.key}, {"values", difference.values}});
  }
  for (const std::size_t run : comparison.untested) {
    json["untested"].push_back(comparison.runs[run].given);
  }
  return json;
}

}  // namespace saferclip
