// Marks a function of plain loops that is compiled for each vector unit there may be; the loader
// picks one at start. Templates and lambdas called inside must be inlined to profit.
#pragma once

// Sanitizers are not ready before that choice is made; clang knows other names.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define SAFERCLIP_VECTORISED __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define SAFERCLIP_VECTORISED
#endif
