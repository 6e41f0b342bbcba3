// Which rows each of several processes takes.
#pragma once

#include <cstdint>
#include <vector>

namespace saferclip {

struct Slice {
  std::int64_t begin = 0;
  std::int64_t end = 0;  // past the last row
  std::int64_t size() const { return end - begin; }
  bool operator==(const Slice&) const = default;
};

// The rows of `rank` when `rows` rows are dealt to `size` processes: consecutive, in the order of
// the ranks, sizes that differ by at most one, the larger first. With fewer rows than processes the
// last ones get none.
Slice slice_of(std::int64_t rows, int rank, int size);

// The size of each rank's slice.
std::vector<std::int64_t> slice_sizes(std::int64_t rows, int size);

}  // namespace saferclip
