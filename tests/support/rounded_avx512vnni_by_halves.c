/*
 * rounded_avx512vnni_by_halves.c - rounded rows as VNNI computes them, from their own source, on AVX2.
 */
#include "support/avx512_by_halves.h"
#if defined(__x86_64__)
#include "support/avx512_instructions.h"

#define rounded_avx512vnni rounded_avx512vnni_by_halves
#include "tensor/cpu/kernels_rounded_avx512vnni.c"
#endif
