// Every block's output, every loss and every block's gradient on a CUDA device beside the CPU, in
// fp32 and bf16. The largest differences are recorded in GoogleTest's report.
#include "gpu/layer_parity.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

using Case = std::tuple<const char*, AdapterMethod>;

class GpuLayers : public ::testing::TestWithParam<Case> {};

const char* group_of(const ParityRow& row) {
  switch (row.kind) {
    case ParityRow::Kind::kOutput:
      return "outputs";
    case ParityRow::Kind::kLoss:
      return "losses";
    case ParityRow::Kind::kGradient:
      return "gradients";
  }
  return "";
}

TEST_P(GpuLayers, LossesAndGradientsFollowTheCpu) {
  if (!at::hasCUDA()) GTEST_SKIP() << "no CUDA device";
  const auto [model, method] = GetParam();
  ModelOptions options;
  options.weights = std::string(SAFERCLIP_FIXTURES "/model/") + model;
  const WeightsSource source = open_weights(options, 0);
  std::map<std::string, double> largest;
  const auto rows = layer_parity(source, 5, method, at::Device(at::kCUDA, 0), CpuBf16::kSkip);
  for (const ParityRow& row : rows) {
    EXPECT_LE(row.fp32, row.fp32_bound()) << row.part << ", fp32";
    EXPECT_LE(row.bf16, row.bf16_bound()) << row.part << ", bf16";
    double& fp32 = largest[std::string("fp32_") + group_of(row)];
    double& bf16 = largest[std::string("bf16_") + group_of(row)];
    fp32 = std::max(fp32, row.fp32);
    bf16 = std::max(bf16, row.bf16);
  }
  for (const auto& [group, difference] : largest) RecordProperty(group, cat(difference));
  const auto blocks = source.geometry.vision.layers + source.geometry.text.layers;
  EXPECT_GE(rows.size(), static_cast<std::size_t>(2 * blocks + 2 + 3 + 3));
}

INSTANTIATE_TEST_SUITE_P(GpuFamilies, GpuLayers,
                         ::testing::Combine(::testing::Values("quick_gelu", "siglip"),
                                            ::testing::Values(AdapterMethod::kLora,
                                                              AdapterMethod::kFull)),
                         [](const auto& one) {
                           return cat(std::get<0>(one.param), "_", word_of(std::get<1>(one.param)));
                         });

}  // namespace
}  // namespace saferclip
