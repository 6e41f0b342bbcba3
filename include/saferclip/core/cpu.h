// What this CPU can do, as far as the environment lets it: the limits that users set for LibTorch
// (ATEN_CPU_CAPABILITY) and oneDNN (ONEDNN_MAX_CPU_ISA) hold for the program's own loops too, so a
// fast machine can be made to work like a plain one.
#pragma once

#include <string>
#include <string_view>

namespace saferclip {

enum class VectorUnit { kBaseline, kAvx2, kAvx512 };

// The unit for which loops are chosen; read once.
VectorUnit vector_unit();
// `there` under a value of ATEN_CPU_CAPABILITY: default, avx2, avx512; any other word is no limit.
VectorUnit limited_unit(VectorUnit there, std::string_view capability);

// Whether the CPU multiplies bf16 and sums in fp32 (AVX512-BF16), and oneDNN's limit lets it.
bool has_bf16_products();
// Whether a value of ONEDNN_MAX_CPU_ISA, empty for none, leaves oneDNN its bf16 instructions.
bool allows_bf16(std::string_view most_isa);

// "AVX2, AVX512, AVX512-BF16", with the limits in force; for people.
std::string cpu_features();

}  // namespace saferclip
