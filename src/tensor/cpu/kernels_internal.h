/*
 * kernels_internal.h - the packed blocks and the tables that kernels.c picks from.
 */
#ifndef HONE_TENSOR_CPU_KERNELS_INTERNAL_H
#define HONE_TENSOR_CPU_KERNELS_INTERNAL_H

#include "tensor/cpu/kernels.h"
#include "tensor/dtype.h"
#include "tensor/rounded.h"

#include <math.h>
#include <string.h>

struct pack_q8 { /* 16 k by 16 outputs */
    float d[PANEL];
    int8_t q[4][PANEL][4];
};
struct pack_q4 { /* 32 k by 16 outputs */
    float d[PANEL], m[PANEL];
    uint8_t q[4][PANEL][4];
};

struct pack_q5 { /* 32 k by 16 outputs */
    float d[PANEL], m[PANEL];
    uint8_t q[4][PANEL][4];
    uint8_t fifth[PANEL][4];
};
struct pack_q2 { /* 16 k by 16 outputs */
    float d[PANEL], m[PANEL];
    uint8_t q[PANEL][4];
};
struct pack_f8 { /* 16 k by 16 outputs */
    float d[PANEL];
    uint8_t q[16][PANEL];
};

/* The k that share a scale in a panel of whole numbers. */
static inline size_t pack_whole_size(enum pack_kind kind)
{
    return kind == PACK_Q8 || kind == PACK_Q2 ? 16 : 32;
}

/* What struct rounded has as shift for 32 values of a row, for the 16 of block b: its minus is an exact multiple of their sum. */
static inline float rounded_shift16(const struct rounded *x, size_t b, size_t row)
{
    return x->step[b / 2 * x->m + row] * ((float)x->minus[b * x->m + row] * -0x1p-7f);
}

/* The two largest |x| of a block, as bits, which are in the order of floats with NaN above all; at: where the first is. */
struct rounded_top {
    int32_t first, second;
    size_t at;
};
/* Whether the first stands out. */
static inline bool rounded_stands_out(const struct rounded_top *t)
{
    float first, second;

    memcpy(&first, &t->first, sizeof first);
    memcpy(&second, &t->second, sizeof second);
    return first <= 3.4028234664e38f && first >= 0x1p-100f && first > ROUNDED_APART * second;
}

/* Bits of a block without its value i: those from rounded_keep + ROUNDED_BLOCK - i on; of all its values: from rounded_keep on. */
#define ROUNDED_4 -1, -1, -1, -1
#define ROUNDED_28 ROUNDED_4, ROUNDED_4, ROUNDED_4, ROUNDED_4, ROUNDED_4, ROUNDED_4, ROUNDED_4
static const int32_t rounded_keep[2 * ROUNDED_BLOCK] = {ROUNDED_28, ROUNDED_4, 0,         -1,
                                                        -1,         -1,        ROUNDED_28};

/* A block's step, and what its values are multiplied by, from the bits of its largest |x|; 0: the block is zero. */
struct rounding {
    float step, factor;
};
static inline struct rounding rounding_of(int32_t most)
{
    float largest;

    memcpy(&largest, &most, sizeof largest);
    if (!(largest <= 3.4028234664e38f))
        return (struct rounding){.step = NAN};
    if (largest < 0x1p-100f)
        return (struct rounding){0};
    return (struct rounding){.step = largest / 127.0f, .factor = 127.0f / largest};
}

/* The smallest F16 that is at least a 127th of the largest |x| of a block, and at most F16_LARGEST. */
static inline uint16_t cached_step(float largest)
{
    const float least = largest / 127.0f;
    uint16_t step = f32_to_f16(least < F16_LARGEST ? least : F16_LARGEST);

    if (f16_to_f32(step) < least && step < 0x7bff)
        step++;
    return step;
}

/* x as a bfloat of struct bf16_kernels, in a float. */
static inline float bf16_flushed(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : bf16_to_f32(f32_to_bf16(x));
}

float kernel_exp(float x); /* plain.c: e^x as every table computes it */

/*
 * GELU needs P(X <= -t) = e^(-t q(t)) / 2 for t >= 0. q is a polynomial of degree 9, fitted by weighted least squares:
 * in exact arithmetic t P is within 3e-8 of the truth from 0 to GELU_END, where the exponential is 0 in float. The
 * coefficients stand from the highest power down.
 */
#define GELU_END 13.0f
/* gpt-oss: y = (clamp(up) + 1) * g * sigmoid(CLAMPED_ALPHA g), g = min(gate, CLAMPED_LIMIT) */
#define CLAMPED_ALPHA 1.702f
#define CLAMPED_LIMIT 7.0f
/* GELU's form by tanh is x * sigmoid(x * (GEGLU_1 + GEGLU_3 x^2)): 2 sqrt(2 / pi), and that times 0.044715 */
#define GEGLU_1 1.5957691216f
#define GEGLU_3 0.0713548162726f
static const float gelu_q[] = {1.98551131e-9f, -9.70825482e-8f, 1.88431147e-6f,  -1.78312675e-5f,
                               6.78438155e-5f, 2.69728567e-4f,  -5.15610725e-3f, 3.65911871e-2f,
                               3.18222195e-1f, 7.9789573e-1f};

extern const struct kernels kernels_plain;
extern const struct rounded_kernels rounded_plain;
#if defined(__x86_64__)
extern const struct kernels kernels_avx2, kernels_avx512;
extern const struct rounded_kernels rounded_avx2, rounded_avxvnni, rounded_avx512,
    rounded_avx512vnni;
extern const struct bf16_kernels bf16_avx512;
/* of a table that is like rounded_avx512vnni in all else */
void gemm_rounded_amx(const struct panels *w, const struct rounded *x, size_t row, size_t m,
                      float *c, size_t c_i, bool accumulate);
#endif
#endif
