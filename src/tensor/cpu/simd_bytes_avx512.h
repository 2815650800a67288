/*
 * simd_bytes_avx512.h - 16 outputs as AVX-512 registers; the words of kernels_rounded.h but for the products of bytes.
 */
#ifndef HONE_TENSOR_CPU_SIMD_BYTES_AVX512_H
#define HONE_TENSOR_CPU_SIMD_BYTES_AVX512_H

#include "tensor/cpu/kernels_internal.h"

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define LANES 16
#ifdef HONE_SANITIZED
#define ROUNDED_ROWS 2 /* each load is looked at: more of them than a compiler can digest */
#else
#define ROUNDED_ROWS 12 /* as many sums of floats, as many of whole numbers, weights and factors */
#endif
#define ROUNDED_SIDE 2 /* panels of half as many rows: what a row is spread over counts for both */
#define ROUNDED_FEW 4  /* rows that are worth it */
#define SIMD static inline __attribute__((always_inline))

typedef __m512 vf;
typedef __m512i vi;

SIMD vf f_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
SIMD void f_store(float *p, vf x)
{
    _mm512_storeu_ps(p, x);
}
SIMD vf f_set(float x)
{
    return _mm512_set1_ps(x);
}
SIMD vf f_mul(vf x, vf y)
{
    return _mm512_mul_ps(x, y);
}
SIMD vf f_fma(vf x, vf y, vf z)
{
    return _mm512_fmadd_ps(x, y, z);
}
SIMD vf f_from(vi x)
{
    return _mm512_cvtepi32_ps(x);
}
SIMD vi i_load(const void *p)
{
    return _mm512_loadu_si512(p);
}
SIMD vi i_set(int32_t x)
{
    return _mm512_set1_epi32(x);
}
SIMD vi i_and(vi x, vi y)
{
    return _mm512_and_si512(x, y);
}
SIMD vi i_or(vi x, vi y)
{
    return _mm512_or_si512(x, y);
}
SIMD vi i_add(vi x, vi y)
{
    return _mm512_add_epi32(x, y);
}
SIMD vi i_shift_right(vi x, int n)
{
    return _mm512_srl_epi32(x, _mm_cvtsi32_si128(n));
}
SIMD vi i_shift_left(vi x, int n)
{
    return _mm512_sll_epi32(x, _mm_cvtsi32_si128(n));
}
/* the highest byte as a whole number */
SIMD vi i_spread_sign(vi x)
{
    return _mm512_srai_epi32(x, 24);
}
SIMD vi i_zero(void)
{
    return _mm512_setzero_si512();
}
/* of each byte */
SIMD vi i_low_halves(vi x)
{
    return _mm512_and_si512(x, _mm512_set1_epi8(15));
}
SIMD vi i_high_halves(vi x)
{
    return _mm512_and_si512(_mm512_srli_epi16(x, 4), _mm512_set1_epi8(15));
}

SIMD struct rounded_top round_top(const float *x)
{
    const vi no_sign = _mm512_set1_epi32(INT32_MAX);
    const vi a = _mm512_and_si512(i_load(x), no_sign),
             b = _mm512_and_si512(i_load(x + 16), no_sign);
    struct rounded_top t = {.first = _mm512_reduce_max_epi32(_mm512_max_epi32(a, b))};
    const vi first = i_set(t.first);
    const __mmask16 in_a = _mm512_cmpeq_epi32_mask(a, first),
                    in_b = _mm512_cmpeq_epi32_mask(b, first);
    const unsigned largest = _cvtmask16_u32(in_a) | _cvtmask16_u32(in_b) << 16;

    t.at = (size_t)__builtin_ctz(largest);
    t.second =
        (largest & (largest - 1)) != 0
            ? t.first
            : _mm512_reduce_max_epi32(_mm512_max_epi32(_mm512_mask_mov_epi32(a, in_a, i_zero()),
                                                       _mm512_mask_mov_epi32(b, in_b, i_zero())));
    return t;
}
/* 32 whole numbers of the bits to keep, and the sums of either half */
SIMD void round_block(const float *x, const int32_t *keep, float factor, int8_t *q, int32_t sums[2])
{
    for (int h = 0; h < 2; h++) {
        const vf kept = _mm512_castsi512_ps(i_and(i_load(x + 16 * h), i_load(keep + 16 * h)));
        const vi r = _mm512_cvtps_epi32(f_mul(kept, f_set(factor)));

        const __m128i bytes = _mm512_cvtepi32_epi8(r);
        /* each 128 more than it is, so that they have no sign */
        const __m128i both =
            _mm_sad_epu8(_mm_xor_si128(bytes, _mm_set1_epi8(-128)), _mm_setzero_si128());

        sums[h] = _mm_cvtsi128_si32(both) + _mm_extract_epi16(both, 4) - 16 * 128;
        _mm_storeu_si128((__m128i *)(void *)(q + 16 * h), bytes);
    }
}
#endif
