// Image folders as Hugging Face's `imagefolder` reads them: metadata.jsonl or metadata.csv in the
// folder, or in folders below it.
#pragma once

#include <filesystem>
#include <vector>

#include "data/shard_rows.h"

namespace saferclip {

// The metadata files in and below a folder, ordered by path; empty: it is no image folder. Throws
// DataError for both kinds, for metadata.parquet, and if one lies in a folder named as a split,
// whose rows must not get into another one.
std::vector<std::filesystem::path> metadata_files(const std::filesystem::path& folder);

// The rows of all `files` of the image folder, one file after another. Where there are several,
// rows are numbered throughout.
ShardRows read_metadata(const std::filesystem::path& folder,
                        const std::vector<std::filesystem::path>& files);

}  // namespace saferclip
