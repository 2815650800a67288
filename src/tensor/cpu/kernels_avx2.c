/*
 * kernels_avx2.c - the kernels for AVX2 with FMA and F16C.
 */
#if defined(__x86_64__)
#include "tensor/cpu/simd_avx2.h"

#define KERNELS kernels_avx2
#define KERNELS_NAME "avx2"
#define KERNELS_BYTES rounded_avx2
#include "tensor/cpu/kernels_vector.h"
#endif
