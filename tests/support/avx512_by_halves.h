/*
 * avx512_by_halves.h - the kernels for AVX-512 and AMX, made of AVX2 instructions and plain C: for comparing, on every machine.
 */
#ifndef HONE_TESTS_AVX512_BY_HALVES_H
#define HONE_TESTS_AVX512_BY_HALVES_H

#include "tensor/cpu/kernels.h"

#if defined(__x86_64__)
extern const struct kernels kernels_avx512_by_halves;
extern const struct rounded_kernels rounded_avx512_by_halves, rounded_avx512vnni_by_halves;
extern const struct bf16_kernels bf16_avx512_by_halves;
void gemm_rounded_amx_in_c(const struct panels *w, const struct rounded *x, size_t row, size_t m,
                           float *c, size_t c_i, bool accumulate);
#endif
#endif
