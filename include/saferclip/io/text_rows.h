// The records of a text file (JSON lines, JSON documents, delimited tables), with their lines.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace saferclip {

struct TextRow {
  int line = 0;         // from 1: where the record begins, or where its problem is
  int record = 0;       // identifies the row: its line; in JSON documents its number, from 1
  std::string json;     // the record as a JSON document; empty if `problem` is set
  std::string problem;  // why the record could not be read
};

struct TextTable {
  std::vector<TextRow> rows;
  std::vector<std::string> columns;  // of a delimited table; empty for JSON
};

// Recognizes the format by its content: JSON lines (consecutive records, indented or not); a JSON
// list or dictionary of records, bare or under "data"; or a table with a header, delimited by
// comma, semicolon, tab or |. A malformed record becomes a row with a problem. Throws DataError,
// with the line, if the file is missing, a folder, empty, in an unsupported encoding, or malformed
// as a whole.
TextTable read_text_table(const std::filesystem::path& file);
// One JSON text as a record, such as a file that holds one; `line` counts in the text.
TextRow read_json_record(const std::string& text);
// The rows alone.
std::vector<TextRow> read_text_rows(const std::filesystem::path& file);

}  // namespace saferclip
