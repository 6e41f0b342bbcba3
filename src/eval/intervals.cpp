// Rows are first summed by unit, so a resample is one row of integer weights and all resamples of
// all columns are two matrix products: W [resamples, units] times sums and weights [units,
// columns]. The paired test does the same with random signs. Draws come from a counter-based
// generator keyed by (seed, resample): no resample depends on another, on the chunk size or on
// threads.
#include "saferclip/eval/intervals.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "saferclip/core/error.h"
#include "saferclip/core/rng.h"

namespace saferclip {
namespace {

constexpr std::uint64_t kDrawStream = 0xB007;
constexpr std::uint64_t kFlipStream = 0xF11B;
constexpr std::int64_t kWeightBudget = 1'000'000;  // draws held at a time: 8 MB

std::int64_t unit_count(const OutcomeTable& table) {
  if (table.cluster.empty()) return table.rows;
  return 1 + *std::max_element(table.cluster.begin(), table.cluster.end());
}

struct UnitSums {
  at::Tensor sums;     // float64 [units, columns]
  at::Tensor weights;  // float64 [units, columns]: summed weights of the measured rows
};

// value(column, row) is NaN for a row that is not measured.
UnitSums sum_units(const OutcomeTable& table,
                   const std::function<double(std::size_t, std::size_t)>& value) {
  const std::int64_t units = unit_count(table);
  const auto columns = static_cast<std::int64_t>(table.columns.size());
  UnitSums result{at::zeros({units, columns}, at::kDouble),
                  at::zeros({units, columns}, at::kDouble)};
  auto* sums = result.sums.mutable_data_ptr<double>();
  auto* weights = result.weights.mutable_data_ptr<double>();
  for (std::size_t m = 0; m < table.columns.size(); ++m) {
    const OutcomeColumn& column = table.columns[m];
    for (std::size_t i = 0; i < column.value.size(); ++i) {
      const double x = value(m, i);
      if (std::isnan(x)) continue;
      const double weight = column.weight.empty() ? 1 : column.weight[i];
      const std::int64_t unit =
          table.cluster.empty() ? static_cast<std::int64_t>(i) : table.cluster[i];
      sums[unit * columns + static_cast<std::int64_t>(m)] += weight * x;
      weights[unit * columns + static_cast<std::int64_t>(m)] += weight;
    }
  }
  return result;
}

// Row r of `weights`: how often resample `begin + r` draws each unit.
void draw_weights(at::Tensor& weights, std::int64_t begin, std::uint64_t seed) {
  weights.zero_();
  const std::int64_t units = weights.size(1);
  auto* data = weights.mutable_data_ptr<double>();
  for (std::int64_t r = 0; r < weights.size(0); ++r) {
    CounterRng rng(mix_bits(seed, {kDrawStream, static_cast<std::uint64_t>(begin + r)}));
    for (std::int64_t i = 0; i < units; ++i) {
      data[r * units + static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(units)))] +=
          1;
    }
  }
}

// Row r of `signs`: +1 or -1 for each unit in resample `begin + r`.
void draw_signs(at::Tensor& signs, std::int64_t begin, std::uint64_t seed) {
  const std::int64_t units = signs.size(1);
  auto* data = signs.mutable_data_ptr<double>();
  for (std::int64_t r = 0; r < signs.size(0); ++r) {
    CounterRng rng(mix_bits(seed, {kFlipStream, static_cast<std::uint64_t>(begin + r)}));
    for (std::int64_t i = 0; i < units; ++i) {
      data[r * units + i] = (rng.next() >> 63U) != 0 ? 1 : -1;
    }
  }
}

using Draw = void (*)(at::Tensor&, std::int64_t, std::uint64_t);

struct Resampling {
  std::int64_t resamples;
  std::uint64_t seed;
  const StopFlag* stop;
};

// [resamples, columns]: combine(draws [chunk, units]) of all chunks. One buffer serves all chunks,
// because allocating each anew fragments the heap.
at::Tensor over_resamples(std::int64_t units, const Resampling& by, Draw draw,
                          const std::function<at::Tensor(const at::Tensor&)>& combine) {
  const std::int64_t chunk =
      std::clamp<std::int64_t>(kWeightBudget / std::max<std::int64_t>(1, units), 1, by.resamples);
  at::Tensor buffer = at::empty({chunk, units}, at::kDouble);
  std::vector<at::Tensor> chunks;
  for (std::int64_t begin = 0; begin < by.resamples; begin += chunk) {
    throw_if_stopped(by.stop, "interrupted while computing intervals");
    at::Tensor weights = buffer.narrow(0, 0, std::min(chunk, by.resamples - begin));
    draw(weights, begin, by.seed);
    chunks.push_back(combine(weights));
  }
  return at::cat(chunks);
}

// The 2.5 % and 97.5 % percentiles of each column, linearly interpolated. Resamples without a
// measured row are NaN and do not count.
std::vector<Interval> percentile_intervals(const at::Tensor& means) {
  std::vector<Interval> intervals;
  for (std::int64_t m = 0; m < means.size(1); ++m) {
    const at::Tensor column = means.select(1, m).contiguous();
    const auto* data = column.const_data_ptr<double>();
    std::vector<double> values;
    for (std::int64_t r = 0; r < column.numel(); ++r) {
      if (!std::isnan(data[r])) values.push_back(data[r]);
    }
    std::sort(values.begin(), values.end());
    const auto at_share = [&](double share) {
      if (values.empty()) return 0.0;
      const double position = share * static_cast<double>(values.size() - 1);
      const auto low = static_cast<std::size_t>(position);
      const std::size_t high = std::min(low + 1, values.size() - 1);
      return values[low] + (position - static_cast<double>(low)) * (values[high] - values[low]);
    };
    intervals.push_back({100 * at_share(0.025), 100 * at_share(0.975)});
  }
  return intervals;
}

std::vector<Interval> intervals_of(const UnitSums& units, const Resampling& by) {
  const std::int64_t count = units.sums.size(0);
  return percentile_intervals(
      over_resamples(count, by, draw_weights, [&](const at::Tensor& weights) {
        return at::mm(weights, units.sums) / at::mm(weights, units.weights);
      }));
}

// Rows that all agree resample to the same 0 or 100 %, as if nothing else were possible. Clopper
// and Pearson's exact bound for n of n rows says what is. It takes rows for independent: by units
// it would be far wider than the bootstrap's intervals of percentages next to it.
void widen_where_all_agree(const OutcomeColumn& column, Interval& interval) {
  const std::int64_t measured = count_of(column);
  if (measured == 0) return;
  const auto all_are = [&](float wanted) {
    return std::all_of(column.value.begin(), column.value.end(),
                       [wanted](float x) { return std::isnan(x) || x == wanted; });
  };
  const double bound = 100 * std::pow(0.025, 1 / static_cast<double>(measured));
  if (all_are(1)) interval.low = bound;
  if (all_are(0)) interval.high = 100 - bound;
}

std::int64_t rows_in_both(const OutcomeColumn& first, const OutcomeColumn& second) {
  std::int64_t rows = 0;
  for (std::size_t i = 0; i < first.value.size(); ++i) {
    rows += std::isnan(first.value[i]) || std::isnan(second.value[i]) ? 0 : 1;
  }
  return rows;
}

}  // namespace

std::vector<Interval> bootstrap_intervals(const OutcomeTable& table, std::int64_t resamples,
                                          std::uint64_t seed, const StopFlag* stop) {
  if (table.columns.empty()) return {};
  std::vector<Interval> intervals =
      intervals_of(sum_units(table,
                             [&](std::size_t m, std::size_t i) {
                               return static_cast<double>(table.columns[m].value[i]);
                             }),
                   {resamples, seed, stop});
  for (std::size_t m = 0; m < intervals.size(); ++m) {
    widen_where_all_agree(table.columns[m], intervals[m]);
  }
  return intervals;
}

std::vector<Difference> compare_paired(const OutcomeTable& first, const OutcomeTable& second,
                                       std::int64_t resamples, std::uint64_t seed,
                                       const StopFlag* stop) {
  const Resampling by{resamples, seed, stop};
  if (first.rows != second.rows || first.columns.size() != second.columns.size()) {
    throw Error("paired comparison of tables with different rows or columns", 1);
  }
  if (first.columns.empty()) return {};
  const UnitSums units = sum_units(first, [&](std::size_t m, std::size_t i) {
    return static_cast<double>(second.columns[m].value[i]) -
           static_cast<double>(first.columns[m].value[i]);
  });
  const std::vector<Interval> intervals = intervals_of(units, by);
  const at::Tensor total = units.sums.sum(0);
  const std::int64_t count = units.sums.size(0);
  // Equal sums may differ by rounding.
  const at::Tensor limit = total.abs() - 1e-9;
  const at::Tensor exceeds = over_resamples(count, by, draw_signs, [&](const at::Tensor& signs) {
                               return at::mm(signs, units.sums).abs().ge(limit);
                             }).sum(0);
  const at::Tensor weights = units.weights.sum(0);
  std::vector<Difference> differences;
  for (std::size_t m = 0; m < intervals.size(); ++m) {
    const auto column = static_cast<std::int64_t>(m);
    const std::int64_t n = rows_in_both(first.columns[m], second.columns[m]);
    const double weight = weights[column].item<double>();
    const double value = weight == 0 ? 0 : 100 * total[column].item<double>() / weight;
    const double p = (1 + exceeds[column].item<double>()) / (1 + static_cast<double>(resamples));
    differences.push_back({value, intervals[m], p, n});
  }
  return differences;
}

}  // namespace saferclip
