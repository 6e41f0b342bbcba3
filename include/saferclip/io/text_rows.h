// Records of a text file (JSON lines, JSON documents, separated tables) with the line each stands
// on.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace saferclip {

struct TextRow {
  int line = 0;         // from 1: where the record begins, or where its problem stands
  int record = 0;       // tells rows apart: the line; in JSON documents the record's number, from 1
  std::string json;     // the record as a JSON document; empty when `problem` is set
  std::string problem;  // why the record could not be read
};

struct TextTable {
  std::vector<TextRow> rows;
  std::vector<std::string> columns;  // of a separated table; empty for JSON
};

// Format by content: JSON lines (records one after the other, indented or not), a JSON list, a
// dictionary of records, bare or under "data", or a table whose first line names the columns,
// separated by comma, semicolon, tab or |. A malformed record becomes a row with a problem. Throws
// DataError, with the line, when the file is missing, a folder, empty, in an encoding that is not
// read, or malformed as a whole.
TextTable read_text_table(const std::filesystem::path& file);
// The rows alone.
std::vector<TextRow> read_text_rows(const std::filesystem::path& file);

}  // namespace saferclip
