// Records of a text file (JSONL, a JSON list or dictionary, CSV or TSV) with the line each stands
// on.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace saferclip {

struct TextRow {
  int line = 0;         // from 1; of JSON lists: the record's number, from 1
  std::string json;     // the record as a JSON document; empty when `problem` is set
  std::string problem;  // why the record could not be read
};

// Format by content, with the extension as a hint for CSV (.csv, .tsv). A malformed line becomes a
// row with a problem. Throws DataError when the file is missing, a folder, empty, or malformed as a
// whole.
std::vector<TextRow> read_text_rows(const std::filesystem::path& file);

}  // namespace saferclip
