// The tars that a path of the configuration names.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace saferclip {

// Whether `path` ends in .tar.
bool names_shards(const std::filesystem::path& path);
// Whether `path` is no file but a pattern of tars: shards/{00000..00042}.tar or shards/*.tar.
bool is_shard_pattern(const std::filesystem::path& path);
// `path`, or the tars that its pattern names: a range in braces in its order, all of which must
// exist; * and ? (of the last part) in the order of the names. Throws DataError if one is missing,
// none fits, or the braces cannot be read.
std::vector<std::filesystem::path> shard_paths(const std::filesystem::path& path);

// The pattern of the tars directly in a folder: folder/{00000..00042}.tar if they are numbered
// without a gap, folder/*.tar otherwise, the tar itself if it is the only one; empty: none is
// there.
std::string pattern_of_shards(const std::filesystem::path& folder);

}  // namespace saferclip
