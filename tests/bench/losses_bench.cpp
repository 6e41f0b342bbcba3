// Time of the losses of a whole batch with their gradients: what every process of a run computes,
// however many there are.
//
//   losses_bench THREADS DIMENSION ROWS...
//
// Median milliseconds of SaFeR-CLIP's terms for each number of rows, as JSON.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <string>
#include <vector>

#include "saferclip/objective/loss_set.h"

namespace saferclip {
namespace {

constexpr int kRepeats = 21;

at::Tensor unit_rows(std::int64_t rows, std::int64_t width) {
  const at::Tensor x = at::randn({rows, width});
  return x / x.norm(2, {1}, true);
}

EmbeddingRows random_rows(std::int64_t rows, std::int64_t width, bool trained) {
  EmbeddingRows embeddings;
  embeddings.for_each(
      [&](at::Tensor& tensor) { tensor = unit_rows(rows, width).requires_grad_(trained); });
  return embeddings;
}

double milliseconds(std::int64_t rows, std::int64_t width) {
  const ObjectiveOptions objective = ObjectiveOptions::preset(ObjectiveName::kSaferClip);
  LossConstants constants;
  constants.reference = random_rows(rows, width, false);
  constants.target_text = unit_rows(rows, width);
  constants.target_image = unit_rows(rows, width);
  LossCounts counts;
  counts.rows = counts.redirected_rows = counts.redirected_rows_with_unsafe_image =
      static_cast<double>(rows);
  std::vector<double> times;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const EmbeddingRows tuned = random_rows(rows, width, true);
    const auto began = std::chrono::steady_clock::now();
    const LossInputs inputs = make_loss_inputs(objective, constants, tuned, {});
    compute_losses(objective, inputs, counts).total.backward();
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began)
            .count());
  }
  std::ranges::nth_element(times, times.begin() + kRepeats / 2);
  return times[kRepeats / 2];
}

}  // namespace
}  // namespace saferclip

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  if (words.size() < 3) {
    std::cerr << "usage: losses_bench THREADS DIMENSION ROWS...\n";
    return 2;
  }
  at::set_num_threads(std::stoi(words[0]));
  std::cout << "{";
  for (std::size_t i = 2; i < words.size(); ++i) {
    std::cout << (i > 2 ? ", " : "") << '"' << words[i]
              << "\": " << saferclip::milliseconds(std::stoll(words[i]), std::stoll(words[1]));
  }
  std::cout << "}\n";
}
