#include "saferclip/core/slices.h"

#include <algorithm>

namespace saferclip {

Slice slice_of(std::int64_t rows, int rank, int size) {
  const std::int64_t least = rows / size;
  const std::int64_t larger = rows % size;  // so many slices have one row more
  const std::int64_t begin = rank * least + std::min<std::int64_t>(rank, larger);
  return {begin, begin + least + (rank < larger ? 1 : 0)};
}

std::vector<std::int64_t> slice_sizes(std::int64_t rows, int size) {
  std::vector<std::int64_t> sizes;
  for (int rank = 0; rank < size; ++rank) sizes.push_back(slice_of(rows, rank, size).size());
  return sizes;
}

}  // namespace saferclip
