// Dense matrix products by the fastest library in LibTorch. On x86, ATen sends fp32 to MKL, which
// on AMD reaches half the speed of oneDNN (Zen 5: 112 against 250 GFLOP/s per core); these
// functions use oneDNN there. bf16 goes to oneDNN anyway, and a GPU uses its own library. None has
// a backward pass: call them under a no-grad guard or inside an autograd function. Legend: N rows,
// I inputs, O outputs.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace saferclip {

// x Wᵀ + bias + addend: x [N, I], weight W [O, I], bias [O], addend [N, O], result [N, O]; bias and
// addend may be undefined. One dtype throughout. x and weight may be views; transposed ones cost
// nothing.
at::Tensor linear_product(const at::Tensor& x, const at::Tensor& weight,
                          const at::Tensor& bias = {}, const at::Tensor& addend = {});

// The weight [O, I] in the memory layout that CPU products with about `rows` rows need. Only
// linear_product's `weight` accepts it. Saves the reordering in each product, 5 to 15 % of its
// time. Undefined if there is no such layout: on a GPU, or without oneDNN.
at::Tensor packed_weight(const at::Tensor& weight, std::int64_t rows);

// a [N, I] times b [I, O].
at::Tensor product(const at::Tensor& a, const at::Tensor& b);

// Whether this CPU, through oneDNN, multiplies bf16 faster than fp32 (core/cpu.h).
bool multiplies_bf16_fast();

// While an object made with `is_on` lives, fp32 products on CUDA round their operands to TF32,
// which keeps 10 bits of the mantissa and is several times as fast. It holds for all threads.
// Nothing changes on a CPU.
class Tf32Products {
 public:
  explicit Tf32Products(bool is_on);
  ~Tf32Products();
  Tf32Products(const Tf32Products&) = delete;
  Tf32Products& operator=(const Tf32Products&) = delete;

 private:
  bool is_on_;
};

}  // namespace saferclip
