// All metrics of a split of random embeddings: seconds and peak memory as JSON, for evaluate.py.
//   evaluate_bench ROWS WIDTH RESAMPLES [FILE.safetensors]   (the embeddings are left in FILE)
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <chrono>
#include <cstdlib>
#include <iostream>

#include "saferclip/core/memory.h"
#include "saferclip/eval/intervals.h"
#include "saferclip/eval/outcomes.h"
#include "saferclip/eval/space.h"
#include "saferclip/io/safetensors.h"

namespace {

using saferclip::EmbeddingSet;

at::Tensor unit_rows(std::int64_t rows, std::int64_t width) {
  at::Tensor x = at::randn({rows, width});
  return x.div_(x.norm(2, {1}, true));
}

double peak_mib() { return static_cast<double>(saferclip::peak_memory_bytes()) / (1 << 20); }

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  const std::int64_t rows = std::atoll(argv[1]);
  const std::int64_t width = std::atoll(argv[2]);
  const std::int64_t resamples = std::atoll(argv[3]);
  at::manual_seed(1);
  EmbeddingSet set{unit_rows(rows, width), unit_rows(rows, width), unit_rows(rows, width),
                   unit_rows(rows, width), std::vector<bool>(static_cast<std::size_t>(rows), true)};
  if (argc > 4) {
    saferclip::write_safetensors(argv[4], {{"safe_text", set.safe_text},
                                           {"safe_image", set.safe_image},
                                           {"unsafe_text", set.unsafe_text},
                                           {"unsafe_image", set.unsafe_image}});
  }
  const double inputs = peak_mib();
  auto begin = std::chrono::steady_clock::now();
  const auto seconds = [&begin] {
    const auto now = std::chrono::steady_clock::now();
    const double passed = std::chrono::duration<double>(now - begin).count();
    begin = now;
    return passed;
  };
  saferclip::measure_space(set.safe_text);
  const double space = seconds();
  const double after_space = peak_mib();
  const saferclip::SplitOutcomes outcomes = saferclip::measure_split(set, {1, 5, 10, 20});
  const double metrics = seconds();
  const double after_metrics = peak_mib();
  if (resamples > 0) saferclip::bootstrap_intervals(outcomes.table, resamples, 1);
  const double intervals = seconds();
  std::cout << "{\"rows\": " << rows << ", \"width\": " << width
            << ", \"threads\": " << at::get_num_threads() << ", \"metrics_s\": " << metrics
            << ", \"space_s\": " << space << ", \"intervals_s\": " << intervals
            << ", \"inputs_mib\": " << inputs << ", \"space_mib\": " << after_space
            << ", \"metrics_mib\": " << after_metrics << ", \"peak_mib\": " << peak_mib() << "}\n";
  return 0;
}
