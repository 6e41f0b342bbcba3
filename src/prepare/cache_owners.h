// Which processes of a run write into a cache folder: one for each folder, be it shared by machines
// or local to each.
#pragma once

#include <filesystem>

#include "saferclip/distributed/processes.h"

namespace saferclip {

class CacheOwners {
 public:
  // One process, which owns its folder.
  CacheOwners() = default;
  // Called by all. Of the processes that see the same folder the one of the lowest rank owns it.
  CacheOwners(const Processes& processes, const std::filesystem::path& folder);

  bool is_owner() const { return is_owner_; }

 private:
  bool is_owner_ = true;
};

}  // namespace saferclip
