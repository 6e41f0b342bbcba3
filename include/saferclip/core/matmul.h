// Dense matrix products by the fastest library that LibTorch carries. ATen sends fp32 on x86 to
// MKL, which on AMD reaches half of what oneDNN does (Zen 5: 112 against 250 GFLOP/s a core); bf16
// goes to oneDNN anyway, and a GPU's to its own library. None of these has a backward pass: call
// them under a no-grad guard or inside an autograd function. Legend: N rows, I inputs, O outputs.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace saferclip {

// x [N, I] times weight [O, I] transposed, plus bias [O] and addend [N, O] where defined; [N, O].
// One dtype throughout; x and weight may be views, of which transposed ones cost nothing.
at::Tensor linear_product(const at::Tensor& x, const at::Tensor& weight,
                          const at::Tensor& bias = {}, const at::Tensor& addend = {});

// The weight [O, I] in the order in which the CPU's products of about `rows` rows read it, for
// linear_product's weight alone (nothing else can read it). Saves what each product would spend on
// that order, 5 to 15 %. Undefined where there is no such order: on a GPU, without oneDNN.
at::Tensor packed_weight(const at::Tensor& weight, std::int64_t rows);

// a [N, I] times b [I, O].
at::Tensor product(const at::Tensor& a, const at::Tensor& b);

// Whether this CPU multiplies bf16 faster than fp32 (core/cpu.h), through oneDNN.
bool multiplies_bf16_fast();

}  // namespace saferclip
