// Ranges are written as webdataset and shells write them; the width of the first bound pads.
#include "saferclip/io/shard_paths.h"

#include <fnmatch.h>

#include <algorithm>
#include <string>

#include "saferclip/core/error.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::size_t kMostShards = 1'000'000;
constexpr std::size_t kListedShards = 5;

bool are_digits(const std::string& text) {
  return !text.empty() && text.size() < 10 &&
         text.find_first_not_of("0123456789") == std::string::npos;
}

// What stands between a pair of braces: "a..b" or "a,b,c". Empty if it is neither.
std::vector<std::string> choices(const std::string& inner) {
  std::vector<std::string> found;
  const std::size_t dots = inner.find("..");
  if (dots != std::string::npos) {
    const std::string first = inner.substr(0, dots);
    const std::string last = inner.substr(dots + 2);
    if (!are_digits(first) || !are_digits(last)) return {};
    const unsigned long end = std::stoul(last);
    for (unsigned long i = std::stoul(first); i <= end && found.size() <= kMostShards; ++i) {
      std::string number = std::to_string(i);
      number.insert(0, first.size() - std::min(first.size(), number.size()), '0');
      found.push_back(std::move(number));
    }
    return found;
  }
  if (inner.find(',') == std::string::npos) return {};
  for (std::size_t at = 0; at <= inner.size();) {
    const std::size_t comma = std::min(inner.find(',', at), inner.size());
    found.push_back(inner.substr(at, comma - at));
    at = comma + 1;
  }
  return found;
}

void expand(const std::string& pattern, const std::string& whole, std::vector<fs::path>& paths) {
  const std::size_t open = pattern.find('{');
  if (open == std::string::npos) {
    paths.emplace_back(pattern);
    return;
  }
  const std::size_t close = pattern.find('}', open);
  const std::string inner =
      close == std::string::npos ? "" : pattern.substr(open + 1, close - open - 1);
  const std::vector<std::string> words = choices(inner);
  if (words.empty() || words.size() > kMostShards || paths.size() > kMostShards) {
    throw DataError(cat(whole, ": braces name shards as {00000..00042} (first to last) or {a,b}, ",
                        "up to ", with_commas(static_cast<std::int64_t>(kMostShards))));
  }
  for (const std::string& word : words) {
    expand(cat(pattern.substr(0, open), word, pattern.substr(close + 1)), whole, paths);
  }
}

std::vector<fs::path> fitting(const fs::path& pattern) {
  std::vector<fs::path> paths;
  std::error_code error;
  const fs::path folder = pattern.has_parent_path() ? pattern.parent_path() : fs::path(".");
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (::fnmatch(pattern.filename().c_str(), name.c_str(), FNM_PERIOD) == 0 &&
        is_file(entry.path()))
      paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  if (paths.empty()) throw DataError(cat(pattern.string(), ": no such file; nothing fits it"));
  return paths;
}

bool has_wildcard(const fs::path& path) {
  return path.filename().string().find_first_of("*?") != std::string::npos;
}

}  // namespace

bool names_shards(const fs::path& path) { return path.extension() == ".tar"; }

bool is_shard_pattern(const fs::path& path) {
  return names_shards(path) && !is_file(path) &&
         (has_wildcard(path) || path.string().find('{') != std::string::npos);
}

std::vector<fs::path> shard_paths(const fs::path& path) {
  if (!is_shard_pattern(path)) return {path};
  std::vector<fs::path> expanded;
  expand(path.string(), path.string(), expanded);
  std::vector<fs::path> paths;
  std::vector<std::string> missing;
  for (const fs::path& one : expanded) {
    if (has_wildcard(one)) {
      const std::vector<fs::path> found = fitting(one);
      paths.insert(paths.end(), found.begin(), found.end());
    } else if (is_file(one)) {
      paths.push_back(one);
    } else {
      missing.push_back(one.string());
    }
  }
  if (!missing.empty()) {
    throw DataError(cat(path.string(),
                        ": no such shards: ", join(shortened(missing, kListedShards), ", "), " (",
                        missing.size(), " of ", expanded.size(), " are missing)"));
  }
  return paths;
}

std::string pattern_of_shards(const fs::path& folder) {
  std::vector<std::string> stems;
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (names_shards(entry.path()) && is_file(entry.path()))
      stems.push_back(entry.path().stem().string());
  }
  if (stems.empty()) return "";
  std::sort(stems.begin(), stems.end());
  const std::string& first = stems.front();
  const std::string& last = stems.back();
  if (stems.size() == 1) return (folder / cat(first, ".tar")).string();
  // The number is the end of the name: "train-00000".
  const std::size_t digits = first.find_last_not_of("0123456789") + 1;
  const std::string prefix = first.substr(0, digits);
  const std::string from = first.substr(digits);
  const std::string to = last.starts_with(prefix) ? last.substr(digits) : "";
  const bool is_range = are_digits(from) && are_digits(to) && from.size() == to.size() &&
                        std::stoul(to) - std::stoul(from) + 1 == stems.size();
  return (folder / (is_range ? cat(prefix, "{", from, "..", to, "}.tar") : "*.tar")).string();
}

}  // namespace saferclip
