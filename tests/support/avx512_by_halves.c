/*
 * avx512_by_halves.c - the kernels for AVX-512, from their own source, on AVX2.
 */
#include "support/avx512_by_halves.h"
#if defined(__x86_64__)
#include "support/avx512_instructions.h"

#include "tensor/cpu/simd_avx512.h"

#define KERNELS kernels_avx512_by_halves
#define KERNELS_NAME "avx512 by halves"
#define KERNELS_BYTES rounded_avx512_by_halves
#include "tensor/cpu/kernels_vector.h"
#endif
