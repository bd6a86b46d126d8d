#pragma once
// TANDEM_VECTOR_CLONES before a function with plain loops: the compiler makes it for AVX-512, AVX2 and the base CPU,
// and the loader picks one. Sanitizers cannot be used in the code that picks, so their builds have the base CPU's only.

#if defined(__x86_64__) && !defined(__SANITIZE_THREAD__) && !defined(__SANITIZE_ADDRESS__)
#define TANDEM_VECTOR_CLONES __attribute__((target_clones("arch=skylake-avx512", "arch=haswell", "default")))
#else
#define TANDEM_VECTOR_CLONES
#endif
