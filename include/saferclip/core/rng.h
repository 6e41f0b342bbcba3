// Counter-based randomness: every draw is a pure function of a seed and indices, so a resumed run
// needs a step number instead of a generator's state.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace saferclip {

// 64 well-mixed bits from a seed and any number of indices (chained SplitMix64 finalizers).
std::uint64_t mix_bits(std::uint64_t seed, std::initializer_list<std::uint64_t> indices);

// The same with a text, such as a tensor's name, as index.
std::uint64_t mix_text(std::uint64_t seed, std::string_view text);

// A stream of draws from a key; streams with different keys are independent.
class CounterRng {
 public:
  explicit CounterRng(std::uint64_t key) : key_(key) {}
  std::uint64_t next();
  // Uniform in [0, bound), without modulo bias; `bound` > 0.
  std::uint64_t below(std::uint64_t bound);
  // Uniform in [0, 1).
  double uniform();

 private:
  std::uint64_t key_;
  std::uint64_t counter_ = 0;
};

// A uniformly drawn permutation of 0 … n-1.
std::vector<std::int64_t> random_permutation(std::int64_t n, std::uint64_t key);

}  // namespace saferclip
