#include "saferclip/io/text_rows.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

// Of a record; the fields that are read stand two levels deep.
constexpr int kMaxDepth = 64;

using Json = nlohmann::json;

// One CSV record from `position` on; quotes double, fields may hold line breaks.
std::vector<std::string> csv_record(const std::string& text, std::size_t& position, char separator,
                                    int& line, std::string& problem) {
  std::vector<std::string> fields(1);
  bool is_quoted = false;
  const int first_line = line;
  for (; position < text.size(); ++position) {
    const char letter = text[position];
    if (letter == '\n') ++line;
    if (is_quoted) {
      if (letter != '"') {
        fields.back() += letter;
      } else if (position + 1 < text.size() && text[position + 1] == '"') {
        fields.back() += text[++position];
      } else {
        is_quoted = false;
      }
    } else if (letter == '"' && fields.back().empty()) {
      is_quoted = true;
    } else if (letter == separator) {
      fields.emplace_back();
    } else if (letter == '\n') {
      ++position;
      break;
    } else if (letter != '\r') {
      fields.back() += letter;
    }
  }
  if (is_quoted) problem = cat("a quote opened on line ", first_line, " is never closed");
  return fields;
}

std::vector<TextRow> read_csv(const std::string& text, char separator, const fs::path& file) {
  std::vector<TextRow> rows;
  std::size_t position = 0;
  int line = 1;
  std::string problem;
  const std::vector<std::string> names = csv_record(text, position, separator, line, problem);
  for (const std::string& name : names) {
    if (!is_valid_utf8(name)) throw DataError(cat(file.string(), ":1: the header is not UTF-8"));
  }
  while (position < text.size()) {
    TextRow row{line, "", ""};
    const std::vector<std::string> fields =
        csv_record(text, position, separator, line, row.problem);
    if (fields.size() == 1 && fields[0].empty()) continue;
    if (fields.size() != names.size() && row.problem.empty()) {
      row.problem = cat("has ", fields.size(), " fields, the header ", names.size());
    }
    if (row.problem.empty()) {
      Json json = Json::object();
      for (std::size_t i = 0; i < names.size(); ++i) {
        if (!is_valid_utf8(fields[i])) row.problem = cat("field \"", names[i], "\" is not UTF-8");
        if (row.problem.empty() && !fields[i].empty()) json[names[i]] = fields[i];
      }
      if (row.problem.empty()) row.json = json.dump();
    }
    rows.push_back(row);
  }
  return rows;
}

std::vector<TextRow> read_json_lines(const std::string& text) {
  std::vector<TextRow> rows;
  std::istringstream in(text);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.find_first_not_of(" \t\r") == std::string::npos) continue;
    TextRow row{number, "", ""};
    if (!is_valid_utf8(line)) {
      row.problem = "is not UTF-8";
    } else if (is_nested_deeper(line, kMaxDepth)) {
      row.problem = "is nested too deep";
    } else {
      try {
        row.json = Json::parse(line).dump();
      } catch (const Json::exception& problem) {
        row.problem = cat("is not JSON: ", problem.what());
      }
    }
    rows.push_back(row);
  }
  return rows;
}

// A list, or a dictionary keyed by index, bare or under "data".
std::vector<TextRow> read_json_document(const Json& document) {
  const Json& records =
      document.is_object() && document.contains("data") ? document["data"] : document;
  std::vector<TextRow> rows;
  int number = 0;
  if (records.is_array()) {
    for (const Json& record : records) rows.push_back({++number, record.dump(), ""});
    return rows;
  }
  std::vector<std::pair<long long, const Json*>> ordered;
  for (const auto& [key, record] : records.items()) {
    const bool is_index =
        !key.empty() && key.size() < 18 && key.find_first_not_of("0123456789") == std::string::npos;
    ordered.emplace_back(is_index ? std::stoll(key) : static_cast<long long>(ordered.size()),
                         &record);
  }
  std::stable_sort(ordered.begin(), ordered.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  for (const auto& [index, record] : ordered) rows.push_back({++number, record->dump(), ""});
  return rows;
}

}  // namespace

std::vector<TextRow> read_text_rows(const fs::path& file) {
  std::string text = read_file(file);
  if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) throw DataError(cat(file.string(), ": is empty"));
  if (text[first] != '{' && text[first] != '[') {
    const std::string header = text.substr(0, text.find('\n'));
    const bool is_tab = file.extension() == ".tsv" || header.find('\t') != std::string::npos;
    if (!is_tab && header.find(',') == std::string::npos) {
      throw DataError(
          cat(file.string(), ": is neither JSON lines, a JSON document nor CSV with a header"));
    }
    return read_csv(text, is_tab ? '\t' : ',', file);
  }
  const std::size_t line_end = text.find('\n', first);
  // Lines are looked at one by one.
  const bool is_too_deep = is_nested_deeper(text, kMaxDepth);
  const bool is_lines =
      text[first] == '{' &&
      Json::accept(text.substr(first, line_end == std::string::npos ? line_end : line_end - first));
  const Json document =
      is_lines || is_too_deep ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
  // A document of one line with one record is both; "data" or an index tells the dictionary.
  if (is_lines) {
    const Json single =
        is_too_deep ? Json(Json::value_t::discarded) : Json::parse(text, nullptr, false);
    const bool is_dictionary =
        !single.is_discarded() && (single.contains("data") || single.contains("0"));
    return is_dictionary ? read_json_document(single) : read_json_lines(text);
  }
  if (document.is_discarded()) {
    if (text[first] == '{') return read_json_lines(text);
    throw DataError(cat(file.string(), ": starts like a JSON list, but is ",
                        is_too_deep ? "nested too deep" : "not valid JSON"));
  }
  return read_json_document(document);
}

}  // namespace saferclip
