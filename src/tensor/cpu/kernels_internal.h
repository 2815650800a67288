/*
 * kernels_internal.h - the packed blocks and the tables that kernels.c picks from.
 */
#ifndef HONE_TENSOR_CPU_KERNELS_INTERNAL_H
#define HONE_TENSOR_CPU_KERNELS_INTERNAL_H

#include "tensor/cpu/kernels.h"

struct pack_q8 { /* 16 k by 16 outputs */
    float d[PANEL];
    int8_t q[16][PANEL];
};
struct pack_q4 { /* 32 k by 16 outputs */
    float d[PANEL], m[PANEL];
    uint8_t q[32][PANEL / 2];
};

float kernel_exp(float x); /* plain.c: e^x as every table computes it */

extern const struct kernels kernels_plain;
#if defined(__x86_64__)
extern const struct kernels kernels_avx2, kernels_avx512;
#endif
#endif
