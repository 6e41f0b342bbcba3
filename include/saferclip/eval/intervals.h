// The uncertainty of a percentage: bootstrap intervals, and paired comparisons of two models on the
// same rows. The unit of resampling is a cluster of the table (the rows of one pair) or a row.
#pragma once

#include <cstdint>
#include <vector>

#include "saferclip/eval/outcomes.h"

namespace saferclip {

struct Interval {
  double low = 0;
  double high = 0;
};

// 95 % percentile interval of each column's percentage: `resamples` times, all units are redrawn
// with replacement; all columns share the draws. Where all measured rows are 0, or all are 1, the
// other end is Clopper and Pearson's exact bound for independent rows. Deterministic in (table,
// resamples, seed). Here and below, throws Interrupted between resamples once `stop` is set.
std::vector<Interval> bootstrap_intervals(const OutcomeTable& table, std::int64_t resamples,
                                          std::uint64_t seed, const StopFlag* stop = nullptr);

struct Difference {
  double value = 0;   // second − first, percentage points
  Interval interval;  // paired bootstrap, 95 %
  // Two-sided sign-flip test over the units: (1 + number of random swaps of the two models within
  // units that differ at least as much) / (1 + resamples).
  double p = 1;
  std::int64_t n = 0;  // rows measured in both tables
};

// Column by column. Throws Error unless both tables have the same rows and columns.
std::vector<Difference> compare_paired(const OutcomeTable& first, const OutcomeTable& second,
                                       std::int64_t resamples, std::uint64_t seed,
                                       const StopFlag* stop = nullptr);

}  // namespace saferclip
