// The tars that a path of the configuration names.
#pragma once

#include <filesystem>
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

}  // namespace saferclip
