#include "saferclip/core/matmul.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "saferclip/core/cpu.h"
#include "support/operators.h"

namespace saferclip {
namespace {

using Products = OperatorTest;

TEST_P(Products, LinearWithBiasAndAddendIsRight) {
  at::manual_seed(1);
  const at::Tensor x = random({37, 48}), w = random({29, 48}), b = random({29}),
                   addend = random({37, 29});
  const at::Tensor plain = at::mm(exact(x), exact(w).t());
  EXPECT_LT(relative_error(linear_product(x, w), plain), tolerance());
  EXPECT_LT(relative_error(linear_product(x, w, b), plain + exact(b)), tolerance());
  EXPECT_LT(relative_error(linear_product(x, w, {}, addend), plain + exact(addend)), tolerance());
  const at::Tensor before = addend.clone();
  EXPECT_LT(relative_error(linear_product(x, w, b, addend), plain + exact(b) + exact(addend)),
            tolerance());
  EXPECT_TRUE(addend.equal(before));
}

TEST_P(Products, ViewsAreReadAsTheyLie) {
  at::manual_seed(2);
  const at::Tensor wide = random({37, 96}), w = random({48, 29}), dy = random({37, 29});
  const at::Tensor x = wide.narrow(1, 24, 48);
  EXPECT_LT(relative_error(product(x, w), at::mm(exact(x), exact(w))), tolerance());
  EXPECT_LT(relative_error(product(dy.t(), x), at::mm(exact(dy.t()), exact(x))), tolerance());
}

TEST_P(Products, APackedWeightGivesTheSameForAnyNumberOfRows) {
  at::manual_seed(3);
  const at::Tensor w = random({29, 48}), b = random({29});
  const at::Tensor packed = packed_weight(w, 100), turned = packed_weight(w.t(), 100);
  const bool has_order =
      w.is_cpu() && (dtype() == at::kFloat || (dtype() == at::kBFloat16 && multiplies_bf16_fast()));
  ASSERT_EQ(packed.defined(), has_order && at::globalContext().hasMKLDNN());
  if (!packed.defined()) return;
  for (const std::int64_t rows : {1, 37, 100, 200}) {
    const at::Tensor x = random({rows, 48}), dy = random({rows, 29}), addend = random({rows, 29});
    const at::Tensor plain = at::mm(exact(x), exact(w).t());
    EXPECT_LT(relative_error(linear_product(x, packed, b), plain + exact(b)), tolerance());
    EXPECT_LT(relative_error(linear_product(x, packed, {}, addend), plain + exact(addend)),
              tolerance());
    EXPECT_LT(relative_error(linear_product(dy, turned), at::mm(exact(dy), exact(w))), tolerance());
  }
}

TEST_P(Products, NoRowsAreNoError) {
  EXPECT_EQ(linear_product(random({0, 8}), random({3, 8})).sizes(),
            (std::vector<std::int64_t>{0, 3}));
}

TEST(Bf16, OneDnnsOwnLimitCounts) {
  for (const char* isa : {"", "DEFAULT", "AVX512_CORE_BF16", "AVX512_CORE_AMX", "AVX10_1_512"})
    EXPECT_TRUE(allows_bf16(isa)) << isa;
  for (const char* isa : {"SSE41", "AVX2", "AVX512_CORE", "AVX512_CORE_VNNI"})
    EXPECT_FALSE(allows_bf16(isa)) << isa;
}

TEST(VectorUnits, LibTorchsOwnLimitCounts) {
  using enum VectorUnit;
  for (const char* word : {"", "avx512", "avx512_vnni"})
    EXPECT_EQ(limited_unit(kAvx512, word), kAvx512);
  EXPECT_EQ(limited_unit(kAvx512, "avx2"), kAvx2);
  EXPECT_EQ(limited_unit(kAvx512, "default"), kBaseline);
  EXPECT_EQ(limited_unit(kAvx2, "avx512"), kAvx2);
  EXPECT_EQ(limited_unit(kBaseline, "avx2"), kBaseline);
}

INSTANTIATE_TEST_SUITE_P(Cpu, Products, places(at::kCPU, {at::kFloat, at::kBFloat16, at::kDouble}),
                         place_name);
INSTANTIATE_TEST_SUITE_P(Gpu, Products, places(at::kCUDA, {at::kFloat, at::kBFloat16}), place_name);

}  // namespace
}  // namespace saferclip
