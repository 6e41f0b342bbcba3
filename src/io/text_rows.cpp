// A JSON text is first cut into values without being parsed, so that one malformed record spoils
// only its own row. Only if the cutting fails is the file taken line by line, provided that most
// lines are records; then a missing bracket costs one row instead of the file.
#include "saferclip/io/text_rows.h"

#include <algorithm>
#include <map>

#include "io/csv_rows.h"
#include "io/json_records.h"
#include "saferclip/core/error.h"
#include "saferclip/core/text_file.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

[[noreturn]] void refuse(const fs::path& file, const JsonTrouble& trouble) {
  throw DataError(cat(file.string(), ":", trouble.line, ": ", trouble.what));
}

TextRow row_of(const JsonSpan& span, int record) {
  TextRow row;
  row.line = span.line;
  row.record = record;
  JsonTrouble trouble;
  row.json = checked_record(span, trouble);
  if (!trouble.what.empty()) {
    row.line = trouble.line;
    row.problem = trouble.what;
  }
  return row;
}

std::vector<JsonSpan> lines_of(std::string_view text) {
  std::vector<JsonSpan> lines;
  int number = 0;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    ++number;
    if (line.find_first_not_of(" \t") != std::string_view::npos) lines.push_back({line, number});
    at = end + 1;
  }
  return lines;
}

// One record per line, whatever the lines contain.
TextTable json_lines(const std::vector<JsonSpan>& lines) {
  TextTable table;
  for (const JsonSpan& line : lines) table.rows.push_back(row_of(line, line.line));
  return table;
}

// Of a text that cannot be cut into values: its lines as records, if at least half of them are.
// Refuses the file otherwise, and always if it is one list.
TextTable damaged_lines(std::string_view text, const fs::path& file, const JsonTrouble& trouble) {
  const std::vector<JsonSpan> lines = lines_of(text);
  TextTable table = json_lines(lines);
  const auto good = std::count_if(table.rows.begin(), table.rows.end(),
                                  [](const TextRow& row) { return row.json.starts_with('{'); });
  if (text.find_first_not_of(" \t\n") == text.find('[') ||
      good * 2 < static_cast<std::ptrdiff_t>(lines.size())) {
    refuse(file, trouble);
  }
  return table;
}

bool is_container(const JsonSpan& span) {
  return span.text.starts_with('{') || span.text.starts_with('[');
}

bool is_object(const JsonSpan& span) { return span.text.starts_with('{'); }

void require_distinct_keys(const std::vector<JsonSpan>& members, const fs::path& file) {
  std::map<std::string_view, int> lines;
  for (const JsonSpan& member : members) {
    const auto [first, is_new] = lines.emplace(member.key, member.line);
    if (is_new) continue;
    refuse(file, {member.line, cat("\"", shortened_text(std::string(member.key)),
                                   "\" already appears on line ", first->second)});
  }
}

// Sorts entries "0", "1", … by number: pandas and others write lists as such dictionaries.
std::vector<JsonSpan> in_order(std::vector<JsonSpan> members) {
  std::vector<std::pair<long long, JsonSpan>> ordered;
  for (JsonSpan& member : members) {
    const std::string key(member.key);
    const bool is_index =
        !key.empty() && key.size() < 18 && key.find_first_not_of("0123456789") == std::string::npos;
    ordered.emplace_back(is_index ? std::stoll(key) : static_cast<long long>(ordered.size()),
                         member);
  }
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (std::size_t i = 0; i < members.size(); ++i) members[i] = ordered[i].second;
  return members;
}

// The records of an object: those under "data"; else its values, if all are objects; else itself.
std::vector<JsonSpan> records_of_object(const JsonSpan& value, const fs::path& file) {
  JsonTrouble trouble;
  std::vector<JsonSpan> members = json_members(value, trouble);
  if (!trouble.what.empty()) return {value};  // checked_record() will say what is wrong, and where
  const auto data = std::find_if(members.begin(), members.end(), [](const JsonSpan& member) {
    return member.key == "data" && is_container(member);
  });
  const bool has_data = data != members.end();
  if (!has_data && !std::all_of(members.begin(), members.end(), is_object)) return {value};
  require_distinct_keys(members, file);
  if (!has_data) return in_order(std::move(members));
  std::vector<JsonSpan> inner = json_members(*data, trouble);
  if (!trouble.what.empty()) refuse(file, trouble);
  if (!is_object(*data)) return inner;
  require_distinct_keys(inner, file);
  return in_order(std::move(inner));
}

std::vector<JsonSpan> records_of(const JsonSpan& value, const fs::path& file) {
  if (is_object(value)) return records_of_object(value, file);
  JsonTrouble trouble;
  std::vector<JsonSpan> elements = json_members(value, trouble);
  if (!trouble.what.empty()) refuse(file, trouble);
  return elements;
}

bool are_on_separate_lines(const std::vector<JsonSpan>& values) {
  const auto share_a_line = [](const JsonSpan& a, const JsonSpan& b) { return a.line == b.line; };
  return std::adjacent_find(values.begin(), values.end(), share_a_line) == values.end();
}

TextTable read_json(std::string_view text, const fs::path& file) {
  JsonTrouble trouble;
  std::vector<JsonSpan> records = json_values(text, 1, trouble);
  if (!trouble.what.empty()) return damaged_lines(text, file, trouble);
  const bool are_records =
      records.size() > 1 && std::any_of(records.begin(), records.end(), is_object);
  if (are_records && are_on_separate_lines(records)) return json_lines(records);
  if (!are_records) {
    std::vector<JsonSpan> inner;
    for (const JsonSpan& value : records) {
      const std::vector<JsonSpan> more = records_of(value, file);
      inner.insert(inner.end(), more.begin(), more.end());
    }
    records = std::move(inner);
  }
  TextTable table;
  for (const JsonSpan& record : records)
    table.rows.push_back(row_of(record, static_cast<int>(table.rows.size()) + 1));
  return table;
}

}  // namespace

TextTable read_text_table(const fs::path& file) {
  const std::string text = read_text_file(file);
  if (text.empty()) throw DataError(cat(file.string(), ": is empty"));
  const std::size_t first = text.find_first_not_of(" \t\n");
  if (first == std::string::npos)
    throw DataError(cat(file.string(), ": contains only blank lines"));
  return text[first] == '{' || text[first] == '[' ? read_json(text, file) : read_csv(text, file);
}

TextRow read_json_record(const std::string& text) { return row_of({text, 1}, 1); }

std::vector<TextRow> read_text_rows(const fs::path& file) { return read_text_table(file).rows; }

}  // namespace saferclip
