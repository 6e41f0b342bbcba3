// The AVX512 test asks for all the extensions of x86-64-v4, which core/vectorized.h compiles for.
// LibTorch and oneDNN read their limits themselves; this file reads the same variables so that all
// three agree.
#include "saferclip/core/cpu.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "saferclip/core/text_format.h"

namespace saferclip {
namespace {

std::string environment(const char* name) {
  // NOLINTNEXTLINE(concurrency-mt-unsafe): nothing in this process changes its environment
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

VectorUnit unit_of_cpu() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("avx512bw") != 0 &&
      __builtin_cpu_supports("avx512cd") != 0 && __builtin_cpu_supports("avx512dq") != 0 &&
      __builtin_cpu_supports("avx512vl") != 0) {
    return VectorUnit::kAvx512;
  }
  if (__builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0) {
    return VectorUnit::kAvx2;
  }
#endif
  return VectorUnit::kBaseline;
}

}  // namespace

VectorUnit limited_unit(VectorUnit unit, std::string_view capability) {
  if (capability == "default") return VectorUnit::kBaseline;
  return capability == "avx2" ? std::min(unit, VectorUnit::kAvx2) : unit;
}

VectorUnit vector_unit() {
  static const VectorUnit unit = limited_unit(unit_of_cpu(), environment("ATEN_CPU_CAPABILITY"));
  return unit;
}

bool allows_bf16(std::string_view most_isa) {
  if (most_isa.empty() || most_isa == "DEFAULT" || most_isa == "ALL") return true;
  constexpr std::array<std::string_view, 4> kWithBf16{"BF16", "FP16", "AMX", "AVX10"};
  return std::any_of(kWithBf16.begin(), kWithBf16.end(),
                     [&](std::string_view word) { return most_isa.find(word) != word.npos; });
}

bool has_bf16_products() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16") != 0 &&
         allows_bf16(environment("ONEDNN_MAX_CPU_ISA"));
#else
  return false;
#endif
}

std::string cpu_features() {
  std::vector<std::string> names;
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx2") != 0) names.emplace_back("AVX2");
  if (__builtin_cpu_supports("avx512f") != 0) names.emplace_back("AVX512");
  if (__builtin_cpu_supports("avx512bf16") != 0) names.emplace_back("AVX512-BF16");
#endif
  std::string text = names.empty() ? "no AVX2: products are slow" : join(names, ", ");
  for (const char* limit : {"ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA"}) {
    const std::string value = environment(limit);
    if (!value.empty()) text += cat(", limited by ", limit, "=", value);
  }
  return text;
}

}  // namespace saferclip
