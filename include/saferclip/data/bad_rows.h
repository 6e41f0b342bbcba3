// All problems with the rows of a manifest, reported at once.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "saferclip/core/log.h"
#include "saferclip/data/data_options.h"
#include "saferclip/data/manifest.h"

namespace saferclip {

struct BadRows {
  std::filesystem::path manifest;
  std::int64_t rows_read = 0;
  std::int64_t bad_rows = 0;  // a row with two problems counts once
  std::map<std::string, std::vector<RowProblem>> by_kind;
  std::vector<std::string> notes;
};

// `found_later`: problems of pictures, which reading the manifest does not show.
BadRows collect_bad_rows(const Manifest& manifest, const std::vector<RowProblem>& found_later);

// Writes {"manifest", "rows_read", "bad_rows", "kinds": {KIND: {"count", "rows": [{"line",
// "record", "id", "message"}]}}, "notes"} unless the file already holds this. Throws Error when it
// cannot be written.
void write_bad_rows(const BadRows& bad, const std::filesystem::path& file);

// Throws DataError with counts and first examples by kind when `bad_rows` is error, or when more
// than max_bad_fraction of the rows are bad; otherwise logs them. `listed_in`: the file that lists
// them all; may be empty.
void require_acceptable(const BadRows& bad, const DataOptions& options,
                        const std::filesystem::path& listed_in, Logger& log);

}  // namespace saferclip
