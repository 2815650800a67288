/*
 * avx512_by_halves.h - the table of kernels for AVX-512, made of AVX2 instructions: for comparing, where both run.
 */
#ifndef HONE_TESTS_AVX512_BY_HALVES_H
#define HONE_TESTS_AVX512_BY_HALVES_H

#include "tensor/cpu/kernels.h"

#if defined(__x86_64__)
extern const struct kernels kernels_avx512_by_halves;
extern const struct rounded_kernels rounded_avx512_by_halves, rounded_avx512vnni_by_halves;
#endif
#endif
