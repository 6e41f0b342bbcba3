// How sure a percentage is: bootstrap intervals, and paired comparisons of two models on the same
// rows. Units of resampling are the table's clusters (rows of one pair together), or its rows.
#pragma once

#include <cstdint>
#include <vector>

#include "saferclip/eval/outcomes.h"

namespace saferclip {

struct Interval {
  double low = 0;
  double high = 0;
};

// 95 % percentile interval of each column's percentage: `resamples` draws of as many units as there
// are, with replacement, the same draws for all columns. A function of (table, resamples, seed).
// `stop`, here and below, is asked between some resamples: Interrupted.
std::vector<Interval> bootstrap_intervals(const OutcomeTable& table, std::int64_t resamples,
                                          std::uint64_t seed, const StopFlag* stop = nullptr);

struct Difference {
  double value = 0;   // second − first, percentage points
  Interval interval;  // paired bootstrap, 95 %
  double p = 1;       // two-sided sign-flip test over the units: 1 + how often a random exchange of
                      // the two models within units differs as much, over 1 + resamples
  std::int64_t n = 0;  // rows measured in both
};

// Column by column; the tables must have the same rows and columns.
std::vector<Difference> compare_paired(const OutcomeTable& first, const OutcomeTable& second,
                                       std::int64_t resamples, std::uint64_t seed,
                                       const StopFlag* stop = nullptr);

}  // namespace saferclip
