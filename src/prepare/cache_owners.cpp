// Every process leaves a mark in its folder and looks whose marks it finds there. Paths and host
// names would not do: a shared folder may be mounted under several, and a container may have its
// own.
#include "prepare/cache_owners.h"

#include <chrono>
#include <random>
#include <system_error>

#include "saferclip/core/atomic_files.h"
#include "saferclip/core/files.h"
#include "saferclip/core/text_format.h"

namespace saferclip {
namespace fs = std::filesystem;
namespace {

constexpr const char* kMark = ".process-";

// The same in all processes, and in no other run.
std::string common_word(const Processes& processes) {
  return processes.gather_texts(cat(std::random_device{}())).front();
}

// Of runs that were killed between leaving a mark and removing it.
void remove_old_marks(const fs::path& folder) {
  std::error_code error;
  const auto old = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    if (!entry.path().filename().string().starts_with(kMark)) continue;
    if (entry.last_write_time(error) < old) fs::remove(entry.path(), error);
  }
}

}  // namespace

CacheOwners::CacheOwners(const Processes& processes, const fs::path& folder) {
  if (processes.is_alone()) return;
  make_folders(folder);
  const std::string word = common_word(processes);
  const auto mark = [&](int rank) { return folder / cat(kMark, word, "-", rank); };
  write_file_atomically(mark(processes.rank()), "");
  processes.barrier("marks in data.cache_dir");
  for (int other = 0; other < processes.rank(); ++other) {
    is_owner_ = is_owner_ && !fs::exists(mark(other));
  }
  processes.barrier("marks of others in data.cache_dir");
  std::error_code ignored;
  fs::remove(mark(processes.rank()), ignored);
  if (is_owner_) remove_old_marks(folder);
}

}  // namespace saferclip
