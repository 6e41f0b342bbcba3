#include "data/file_walk.h"

#include <algorithm>
#include <array>
#include <vector>

#include "saferclip/core/error.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr std::array kSplitWords{"train", "training", "val", "valid", "validation", "dev", "test"};

}  // namespace

std::string lower_ascii(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(c < 128 ? std::tolower(c) : c); });
  return text;
}

bool is_hidden(const std::string& name) { return name.starts_with(".") || name == "__MACOSX"; }

bool is_split_name(const std::string& name) {
  constexpr const char* kAround = "0123456789-_. ";
  const std::size_t start = name.find_first_not_of(kAround);
  if (start == std::string::npos) return false;
  const std::size_t end = name.find_last_not_of(kAround);
  const std::string word = lower_ascii(name.substr(start, end - start + 1));
  return std::find(kSplitWords.begin(), kSplitWords.end(), word) != kSplitWords.end();
}

FileWalk::FileWalk(std::function<bool(const fs::path&)> visit) : visit_(std::move(visit)) {}

bool FileWalk::below(const fs::path& folder) {
  std::error_code error;
  const fs::path resolved = fs::canonical(folder, error);
  if (!error && !visited_.insert(resolved).second) return true;  // a circular link
  std::vector<fs::path> folders;
  auto entry = fs::directory_iterator(folder, error);
  for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
    if (is_hidden(entry->path().filename().string())) continue;
    std::error_code unknown;
    if (entry->is_directory(unknown)) {
      folders.push_back(entry->path());
    } else if (!visit_(entry->path())) {
      return false;
    }
  }
  if (error) throw DataError(cat(folder.string(), ": cannot be listed: ", error.message()));
  std::sort(folders.begin(), folders.end());
  return std::all_of(folders.begin(), folders.end(),
                     [&](const fs::path& inner) { return below(inner); });
}

}  // namespace saferclip
