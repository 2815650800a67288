/*
 * rounded_avx512_by_halves.c - rounded rows as AVX-512 computes them, from their own source, on AVX2.
 */
#include "support/avx512_by_halves.h"
#if defined(__x86_64__)
#include "support/avx512_instructions.h"

#define rounded_avx512 rounded_avx512_by_halves
#include "tensor/cpu/kernels_rounded_avx512.c"
#endif
