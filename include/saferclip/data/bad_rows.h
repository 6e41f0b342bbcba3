// What is wrong with the rows of a manifest, said once for all of them.
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

// `found_later` are problems of pictures, which the manifest itself does not show.
BadRows collect_bad_rows(const Manifest& manifest, const std::vector<RowProblem>& found_later);

// Writes {"manifest", "rows_read", "bad_rows", "kinds": {KIND: {"count", "rows": [{"line",
// "record", "id", "message"}]}}, "notes"} unless the file says so already. Throws Error when it
// cannot be written.
void write_bad_rows(const BadRows& bad, const std::filesystem::path& file);

// Throws DataError with counts and first examples by kind when `bad_rows` is error, or when more
// than max_bad_fraction of the rows is bad; otherwise logs them. `listed_in` is the file that holds
// them all, when there is one.
void require_acceptable(const BadRows& bad, const DataOptions& options,
                        const std::filesystem::path& listed_in, Logger& log);

}  // namespace saferclip
