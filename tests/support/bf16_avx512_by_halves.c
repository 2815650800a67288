/*
 * bf16_avx512_by_halves.c - products of bfloats as AVX-512's BF16 computes them, from their own source, on AVX2.
 */
#include "support/avx512_by_halves.h"
#if defined(__x86_64__)
#include "support/avx512_instructions.h"

#define bf16_avx512 bf16_avx512_by_halves
#define kernels_avx512 kernels_avx512_by_halves
#include "tensor/cpu/kernels_bf16_avx512.c"
#endif
