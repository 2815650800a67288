/*
 * kernels_avx512.c - the kernels for AVX-512 (F, BW, VL, DQ).
 */
#if defined(__x86_64__)
#include "tensor/cpu/simd_avx512.h"

#define KERNELS kernels_avx512
#define KERNELS_NAME "avx512"
#define KERNELS_BYTES rounded_avx512
#include "tensor/cpu/kernels_vector.h"
#endif
