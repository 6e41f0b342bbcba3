// The instruction sets that this program uses: what the CPU has, within the limits that users set
// for LibTorch (ATEN_CPU_CAPABILITY) and oneDNN (ONEDNN_MAX_CPU_ISA). They limit the program's own
// loops as well, so a fast machine can reproduce the results of a plain one.
#pragma once

#include <string>
#include <string_view>

namespace saferclip {

enum class VectorUnit { kBaseline, kAvx2, kAvx512 };

// The unit that the program's loops use; determined once.
VectorUnit vector_unit();
// `unit` as limited by a value of ATEN_CPU_CAPABILITY (default, avx2); other words do not limit it.
VectorUnit limited_unit(VectorUnit unit, std::string_view capability);

// Whether the CPU has bf16 products with fp32 sums (AVX512-BF16) and oneDNN's limit allows them.
bool has_bf16_products();
// Whether a value of ONEDNN_MAX_CPU_ISA ("" for unset) allows oneDNN's bf16 instructions.
bool allows_bf16(std::string_view most_isa);

// "AVX2, AVX512, AVX512-BF16", with the limits in force, for display.
std::string cpu_features();

}  // namespace saferclip
