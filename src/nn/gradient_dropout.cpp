// U is the sequence of SplitMix64 from the key on, in LibTorch's 64-bit integers, whose products
// and sums wrap and whose right shift is arithmetic: the bits that it brings in are masked out.
#include "saferclip/nn/gradient_dropout.h"

#include <ATen/ATen.h>

#include <bit>

namespace saferclip {
namespace {

constexpr std::uint64_t kIncrement = 0x9E3779B97F4A7C15ULL;

std::int64_t as_signed(std::uint64_t bits) { return std::bit_cast<std::int64_t>(bits); }

at::Tensor shifted(const at::Tensor& x, int places) {
  return at::bitwise_right_shift(x, places).bitwise_and_(
      as_signed(~std::uint64_t{0} >> static_cast<unsigned>(places)));
}

}  // namespace

at::Tensor keep_probability(const at::Tensor& a, const at::Tensor& b, double eps) {
  return (a + b).mul_(a.sign()).div_(a.abs().add_(b.abs()).add_(eps)).add_(1).mul_(0.5);
}

at::Tensor counted_uniform(std::uint64_t key, const at::Tensor& like) {
  at::Tensor x = at::arange(like.numel(), like.options().dtype(at::kLong));
  x.mul_(as_signed(kIncrement)).add_(as_signed(key + kIncrement));
  x.bitwise_xor_(shifted(x, 30)).mul_(as_signed(0xBF58476D1CE4E5B9ULL));
  x.bitwise_xor_(shifted(x, 27)).mul_(as_signed(0x94D049BB133111EBULL));
  x.bitwise_xor_(shifted(x, 31));
  return shifted(x, 40).to(at::kFloat).mul_(0x1p-24).view(like.sizes());
}

void drop_gradient_(at::Tensor& a, const at::Tensor& b, const GradientDropout& options,
                    std::uint64_t key) {
  const at::Tensor is_kept = keep_probability(a, b, options.eps).gt(counted_uniform(key, a));
  a.copy_(at::where(is_kept, a, a * (1 - options.lambda)));
}

}  // namespace saferclip
