// A driver for compilers without libFuzzer: every seed, then reproducible mutations of them for
// some seconds.
//   fuzz_X SEED_FOLDER SECONDS
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <vector>

#include "fuzz/fuzz.h"

namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

std::vector<Bytes> read_seeds(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<Bytes> seeds;
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    seeds.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return seeds;
}

Bytes mutated(const std::vector<Bytes>& seeds, std::mt19937_64& rng) {
  Bytes bytes = seeds[rng() % seeds.size()];
  static constexpr std::uint8_t kAwkward[] = {0, 1, 0x7F, 0x80, 0xFF, '{', '[', '"', '.', '\n'};
  for (std::uint64_t i = 0, count = 1 + rng() % 6; i < count; ++i) {
    const std::size_t at = bytes.empty() ? 0 : rng() % bytes.size();
    switch (rng() % 6) {
      case 0:
        if (!bytes.empty()) bytes[at] ^= static_cast<std::uint8_t>(1U << rng() % 8);
        break;
      case 1:
        if (!bytes.empty()) bytes[at] = kAwkward[rng() % std::size(kAwkward)];
        break;
      case 2:
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), rng() % 9,
                     static_cast<std::uint8_t>(rng()));
        break;
      case 3:
        bytes.resize(at);
        break;
      case 4:
        bytes.erase(
            bytes.begin() + static_cast<std::ptrdiff_t>(at),
            bytes.begin() + static_cast<std::ptrdiff_t>(std::min(bytes.size(), at + rng() % 16)));
        break;
      default: {
        const Bytes& other = seeds[rng() % seeds.size()];
        const std::size_t from = other.empty() ? 0 : rng() % other.size();
        const std::size_t size = std::min<std::size_t>(other.size() - from, rng() % 64);
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at),
                     other.begin() + static_cast<std::ptrdiff_t>(from),
                     other.begin() + static_cast<std::ptrdiff_t>(from + size));
      }
    }
  }
  return bytes;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: " << argv[0] << " SEED_FOLDER SECONDS\n";
    return 2;
  }
  const std::vector<Bytes> seeds = read_seeds(argv[1]);
  if (seeds.empty()) {
    std::cerr << argv[1] << ": no seeds\n";
    return 2;
  }
  for (const Bytes& seed : seeds) LLVMFuzzerTestOneInput(seed.data(), seed.size());
  std::mt19937_64 rng(1);
  std::uint64_t runs = seeds.size();
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(argv[2]));
  for (; std::chrono::steady_clock::now() < end; ++runs) {
    const Bytes bytes = mutated(seeds, rng);
    const fs::path last = saferclip::scratch_folder().string() + ".last";
    std::ofstream(last, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
    if (end <= std::chrono::steady_clock::now()) fs::remove(last);
  }
  std::cout << runs << " inputs, no finding\n";
  return 0;
}
