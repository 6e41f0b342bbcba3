// Containment is decided on canonical paths with all links resolved, so neither `..` nor a link
// leads out of the folder. Parent folders are resolved once and remembered; a file that is itself a
// link is resolved each time. A path that cannot be resolved counts as outside.
#include "data/path_containment.h"

#include <algorithm>
#include <system_error>

namespace saferclip {
namespace fs = std::filesystem;

PathContainment::PathContainment(const fs::path& folder) {
  std::error_code error;
  folder_ = fs::weakly_canonical(folder.empty() ? fs::path(".") : folder, error);
}

bool PathContainment::is_inside(const fs::path& canonical) const {
  const auto [in_folder, in_path] =
      std::mismatch(folder_.begin(), folder_.end(), canonical.begin(), canonical.end());
  return !folder_.empty() && (in_folder == folder_.end() || in_folder->empty());
}

bool PathContainment::holds(const fs::path& file) {
  std::error_code error;
  if (fs::is_symlink(file, error)) {
    const fs::path target = fs::canonical(file, error);
    return !error && is_inside(target);
  }
  const fs::path parent = file.has_parent_path() ? file.parent_path() : fs::path(".");
  const auto [known, is_new] = parents_.emplace(parent.string(), false);
  if (is_new) {
    const fs::path canonical = fs::canonical(parent, error);
    known->second = !error && is_inside(canonical);
  }
  return known->second;
}

}  // namespace saferclip
