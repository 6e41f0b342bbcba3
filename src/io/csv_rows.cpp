// RFC 4180 as spreadsheets write it: quoted fields with doubled quotes and line breaks. A row with
// the wrong number of fields is a problem of that row alone; an unclosed quote ends the file,
// because it swallows all rows that follow.
#include "io/csv_rows.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "saferclip/core/error.h"
#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::string_view kSeparators = ",\t;|";

// Reads record after record. Quoted fields may contain line breaks and doubled quotes.
class Records {
 public:
  Records(std::string_view text, const fs::path& file) : text_(text), file_(file) {}

  bool is_at_end() const { return position_ >= text_.size(); }
  int line() const { return line_; }
  std::string_view current_line() const {
    return text_.substr(position_, text_.find('\n', position_) - position_);
  }
  void skip_blank_lines() {
    while (!is_at_end() && trimmed(current_line()).empty()) {
      position_ = std::min(text_.find('\n', position_), text_.size() - 1) + 1;
      ++line_;
    }
  }

  std::vector<std::string> next(char separator, bool skips_blanks) {
    std::vector<std::string> fields(1);
    bool is_quoted = false;
    int quote_line = 0;
    for (; position_ < text_.size(); ++position_) {
      const char letter = text_[position_];
      if (letter == '\n') ++line_;
      if (is_quoted) {
        if (letter != '"') {
          fields.back() += letter;
        } else if (position_ + 1 < text_.size() && text_[position_ + 1] == '"') {
          fields.back() += text_[++position_];
        } else {
          is_quoted = false;
        }
      } else if (letter == '"' && fields.back().empty()) {
        is_quoted = true;
        quote_line = line_;
      } else if (letter == separator) {
        fields.emplace_back();
      } else if (letter == '\n') {
        ++position_;
        break;
      } else if (!skips_blanks || letter != ' ' || !fields.back().empty()) {
        fields.back() += letter;
      }
    }
    if (is_quoted) {
      throw DataError(cat(file_.string(), ":", quote_line,
                          ": a quote is opened but never closed; close it, or double it if it "
                          "is part of the text"));
    }
    return fields;
  }

 private:
  std::string_view text_;
  const fs::path& file_;
  std::size_t position_ = 0;
  int line_ = 1;
};

// "sep=;", which Excel writes and reads; not part of the table.
std::optional<char> named_separator(std::string_view line) {
  const std::size_t quote = line.starts_with('"') ? 1 : 0;
  const std::string_view words = line.substr(quote, 5);
  const bool is_named =
      words.size() == 5 && (words.starts_with("sep=") || words.starts_with("SEP="));
  // Separators behind it only fill up the row.
  const bool is_alone = line.find_first_not_of(" \t,;|\"", quote + 5) == std::string_view::npos;
  return is_named && is_alone ? std::optional<char>(words[4]) : std::nullopt;
}

std::string name_of(char separator) {
  return separator == '\t' ? "a tab" : cat("\"", separator, "\"");
}

// The separator that cuts the header into the most fields; none if it stays one field.
std::optional<char> likely_separator(const Records& records) {
  std::optional<char> best;
  std::size_t most = 1;
  for (const char separator : kSeparators) {
    const std::size_t count = Records(records).next(separator, false).size();
    if (count > most) {
      best = separator;
      most = count;
    }
  }
  return best;
}

std::vector<std::string> header_names(const std::vector<std::string>& fields, const fs::path& file,
                                      int line) {
  std::vector<std::string> names;
  std::map<std::string, std::size_t> columns;
  std::vector<std::string> problems;
  for (const std::string& field : fields) {
    if (const std::string problem = utf8_problem(field); !problem.empty())
      throw DataError(cat(file.string(), ":", line, ": the header ", problem));
    names.push_back(trimmed(field));
    const auto [first, is_new] = columns.emplace(names.back(), names.size());
    if (!is_new && !names.back().empty()) {
      problems.push_back(
          cat("\"", names.back(), "\" (columns ", first->second, " and ", names.size(), ")"));
    }
  }
  if (!problems.empty()) {
    problems.resize(std::min<std::size_t>(problems.size(), 5));
    throw DataError(cat(file.string(), ":", line, ": duplicate column: ", join(problems, ", "),
                        "; remove or rename one of them"));
  }
  return names;
}

}  // namespace

TextTable read_csv(std::string_view text, const fs::path& file) {
  TextTable table;
  Records records(text, file);
  records.skip_blank_lines();
  std::optional<char> separator = named_separator(records.current_line());
  if (separator) {
    records.next('\0', false);
    records.skip_blank_lines();
  } else {
    separator = likely_separator(records);
  }
  const int line = records.line();
  if (!separator) {
    const std::string first = trimmed(records.current_line());
    throw DataError(cat(file.string(), ":", line,
                        ": is neither JSON lines, a JSON document nor a table with a header",
                        first.starts_with('#') ? " (comments are not supported; remove them)" : "",
                        "; columns may be separated by comma, semicolon, tab or |, found: ",
                        shortened_text(first)));
  }
  const std::vector<std::string> header = records.next(*separator, false);
  table.columns = header_names(header, file, line);
  const bool skips_blanks = std::any_of(header.begin(), header.end(),
                                        [](const std::string& name) { return name[0] == ' '; });
  while (!records.is_at_end()) {
    TextRow row;
    row.line = row.record = records.line();
    const std::vector<std::string> fields = records.next(*separator, skips_blanks);
    const auto is_empty = [](const std::string& field) { return field.empty(); };
    if (std::all_of(fields.begin(), fields.end(), is_empty)) continue;
    if (fields.size() != header.size()) {
      const int last = records.line() - 1;
      row.problem = cat("has ", fields.size(), " fields, but the header has ", header.size(),
                        last > row.line ? cat(" (lines ", row.line, " to ", last, ")") : "",
                        fields.size() > header.size()
                            ? cat("; put a field that contains ", name_of(*separator),
                                  " into quotes: \"a cat, asleep\"")
                            : "; an empty field keeps its separator");
    }
    nlohmann::json json = nlohmann::json::object();
    for (std::size_t i = 0; i < header.size() && row.problem.empty(); ++i) {
      if (const std::string problem = utf8_problem(fields[i]); !problem.empty())
        row.problem = cat("field \"", table.columns[i], "\" ", problem);
      if (!fields[i].empty()) json[table.columns[i]] = fields[i];
    }
    if (row.problem.empty()) row.json = json.dump();
    table.rows.push_back(std::move(row));
  }
  return table;
}

}  // namespace saferclip
