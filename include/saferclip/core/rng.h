// Counter-based randomness: every draw is a pure function of a seed and of indices, so that a
// resumed run needs a step number and not a generator's history.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <vector>

namespace saferclip {

// 64 well-mixed bits out of a seed and any number of indices (SplitMix64 finaliser, chained).
std::uint64_t mix_bits(std::uint64_t seed, std::initializer_list<std::uint64_t> indices);

// The same with a text (a tensor's name) as index.
std::uint64_t mix_text(std::uint64_t seed, std::string_view text);

// A stream of draws that starts from a key; two streams with different keys are independent.
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

// A uniformly drawn order of 0 … n-1.
std::vector<std::int64_t> random_permutation(std::int64_t n, std::uint64_t key);

}  // namespace saferclip
