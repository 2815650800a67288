/*
 * rounded_amx_in_c.c - rounded rows as AMX computes them, from their own source, on AVX2.
 */
#include "support/avx512_by_halves.h"
#if defined(__x86_64__)
#include "support/amx_instructions.h"
#include "support/avx512_instructions.h"

#define rounded_avx512vnni rounded_avx512vnni_by_halves
#define gemm_rounded_amx gemm_rounded_amx_in_c
#include "tensor/cpu/kernels_rounded_amx.c"
#endif
