// Plain loops compiled for several vector units, one of which is chosen at run time.
#pragma once

#include "saferclip/core/cpu.h"

namespace saferclip {

#if defined(__x86_64__) && defined(__GNUC__)
// flatten inlines `work` so that it is compiled for the unit. Functions that `work` calls must be
// always_inline.
template <class Work>
__attribute__((target("arch=x86-64-v4"), flatten)) auto run_for_avx512(const Work& work) {
  return work();
}
template <class Work>
__attribute__((target("avx2,fma"), flatten)) auto run_for_avx2(const Work& work) {
  return work();
}
#endif

// Calls `work`, a lambda, compiled for the unit of core/cpu.h:
//   void scale(float* x, std::int64_t n) {
//     vectorized([=] { scale_loop(x, n); });
//   }
template <class Work>
auto vectorized(const Work& work) {
#if defined(__x86_64__) && defined(__GNUC__)
  switch (vector_unit()) {
    case VectorUnit::kAvx512:
      return run_for_avx512(work);
    case VectorUnit::kAvx2:
      return run_for_avx2(work);
    case VectorUnit::kBaseline:
      break;
  }
#endif
  return work();
}

}  // namespace saferclip
