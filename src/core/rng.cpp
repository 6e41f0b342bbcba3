// Counter-based random numbers: SplitMix64's finalizer over seed and indices. These functions are
// part of what a run's seed means: any change here changes every data order, initialization and
// dropout mask, and breaks bit-exact resumption of older runs.
#include "saferclip/core/rng.h"

#include <numeric>
#include <utility>

namespace saferclip {
namespace {

std::uint64_t finalize(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31U);
}

}  // namespace

std::uint64_t mix_bits(std::uint64_t seed, std::initializer_list<std::uint64_t> indices) {
  std::uint64_t state = finalize(seed);
  for (const std::uint64_t index : indices) state = finalize(state ^ finalize(index));
  return state;
}

std::uint64_t mix_text(std::uint64_t seed, std::string_view text) {
  std::uint64_t state = mix_bits(seed, {text.size()});
  for (const char letter : text) state = mix_bits(state, {static_cast<unsigned char>(letter)});
  return state;
}

std::uint64_t CounterRng::next() { return mix_bits(key_, {counter_++}); }

std::uint64_t CounterRng::below(std::uint64_t bound) {
  const std::uint64_t rejected = (0 - bound) % bound;
  std::uint64_t draw = next();
  while (draw < rejected) draw = next();
  return draw % bound;
}

double CounterRng::uniform() { return static_cast<double>(next() >> 11U) * 0x1.0p-53; }

std::vector<std::int64_t> random_permutation(std::int64_t n, std::uint64_t key) {
  std::vector<std::int64_t> order(static_cast<std::size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  CounterRng rng(key);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
  return order;
}

}  // namespace saferclip
