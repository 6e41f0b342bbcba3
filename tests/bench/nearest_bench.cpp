// Seconds of find_nearest_safe over rows of raw fp32 files, for nearest.py. JSON on stdout.
//   nearest_bench POOL QUERIES WIDTH THREADS REPEATS IDS      (the chosen rows, int64, go to IDS)
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>

#include "saferclip/core/memory.h"
#include "saferclip/objective/nearest_safe.h"

namespace {

at::Tensor read_rows(const std::string& file, std::int64_t width) {
  const auto bytes = static_cast<std::streamsize>(std::filesystem::file_size(file));
  at::Tensor rows = at::empty({bytes / 4 / width, width});
  std::ifstream(file, std::ios::binary).read(static_cast<char*>(rows.mutable_data_ptr()), bytes);
  return rows;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 7) return 2;
  const std::int64_t width = std::atoll(argv[3]);
  at::set_num_threads(std::atoi(argv[4]));
  const at::Tensor pool = read_rows(argv[1], width), queries = read_rows(argv[2], width);
  const at::Tensor own = at::arange(queries.size(0), at::kLong);
  saferclip::NearestTargets found;
  std::cout << "{\"seconds\": [";
  for (int i = 0; i < std::atoi(argv[5]); ++i) {
    const auto began = std::chrono::steady_clock::now();
    found = saferclip::find_nearest_safe(queries, queries, pool, own, {});
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - began;
    std::cout << (i == 0 ? "" : ", ") << passed.count();
  }
  std::cout << "], \"peak_mib\": " << (saferclip::peak_memory_bytes() >> 20U) << "}\n";
  std::ofstream(argv[6], std::ios::binary)
      .write(static_cast<const char*>(found.index.const_data_ptr()),
             static_cast<std::streamsize>(found.index.nbytes()));
}
