/*
 * simd_bytes_avx2.h - 8 outputs as AVX2 registers; the words of kernels_rounded.h but for the products of bytes.
 */
#ifndef HONE_TENSOR_CPU_SIMD_BYTES_AVX2_H
#define HONE_TENSOR_CPU_SIMD_BYTES_AVX2_H

#include "tensor/cpu/kernels_internal.h"

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define LANES 8
#define ROUNDED_ROWS                                                                               \
    4 /* 4 sums of floats, 4 of whole numbers, weights and factors fill the 16 registers */
#define ROUNDED_SIDE 1 /* panel at a time */
#define ROUNDED_FEW 1
#define SIMD static inline __attribute__((always_inline))

typedef __m256 vf;
typedef __m256i vi;

SIMD vf f_load(const float *p)
{
    return _mm256_loadu_ps(p);
}
SIMD void f_store(float *p, vf x)
{
    _mm256_storeu_ps(p, x);
}
SIMD vf f_set(float x)
{
    return _mm256_set1_ps(x);
}
SIMD vf f_mul(vf x, vf y)
{
    return _mm256_mul_ps(x, y);
}
SIMD vf f_fma(vf x, vf y, vf z)
{
    return _mm256_fmadd_ps(x, y, z);
}
SIMD vf f_from(vi x)
{
    return _mm256_cvtepi32_ps(x);
}
SIMD vi i_load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}
SIMD vi i_set(int32_t x)
{
    return _mm256_set1_epi32(x);
}
SIMD vi i_and(vi x, vi y)
{
    return _mm256_and_si256(x, y);
}
SIMD vi i_or(vi x, vi y)
{
    return _mm256_or_si256(x, y);
}
SIMD vi i_add(vi x, vi y)
{
    return _mm256_add_epi32(x, y);
}
SIMD vi i_shift_right(vi x, int n)
{
    return _mm256_srl_epi32(x, _mm_cvtsi32_si128(n));
}
SIMD vi i_shift_left(vi x, int n)
{
    return _mm256_sll_epi32(x, _mm_cvtsi32_si128(n));
}
/* the highest byte as a whole number */
SIMD vi i_spread_sign(vi x)
{
    return _mm256_srai_epi32(x, 24);
}
SIMD vi i_zero(void)
{
    return _mm256_setzero_si256();
}
/* of each byte */
SIMD vi i_low_halves(vi x)
{
    return _mm256_and_si256(x, _mm256_set1_epi8(15));
}
SIMD vi i_high_halves(vi x)
{
    return _mm256_and_si256(_mm256_srli_epi16(x, 4), _mm256_set1_epi8(15));
}

SIMD int32_t joined_max(vi x)
{
    __m128i m = _mm_max_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));

    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4E));
    m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xB1));
    return _mm_cvtsi128_si32(m);
}
SIMD int32_t joined_sum(vi x)
{
    __m128i s = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));

    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0x4E));
    s = _mm_add_epi32(s, _mm_shuffle_epi32(s, 0xB1));
    return _mm_cvtsi128_si32(s);
}
SIMD struct rounded_top round_top(const float *x)
{
    struct rounded_top t;
    vi size[4];
    unsigned largest = 0; /* a bit for each that is as large as the first */

    for (int i = 0; i < 4; i++)
        size[i] = _mm256_and_si256(i_load(x + 8 * i), _mm256_set1_epi32(INT32_MAX));
    t.first = joined_max(
        _mm256_max_epi32(_mm256_max_epi32(size[0], size[1]), _mm256_max_epi32(size[2], size[3])));
    for (int i = 0; i < 4; i++) {
        const vi equal = _mm256_cmpeq_epi32(size[i], i_set(t.first));

        largest |= (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(equal)) << 8 * i;
        size[i] = _mm256_andnot_si256(equal, size[i]);
    }
    t.at = (size_t)__builtin_ctz(largest);
    t.second = (largest & (largest - 1)) != 0
                   ? t.first
                   : joined_max(_mm256_max_epi32(_mm256_max_epi32(size[0], size[1]),
                                                 _mm256_max_epi32(size[2], size[3])));
    return t;
}
/* 32 whole numbers of the bits to keep, and the sums of either half */
SIMD void round_block(const float *x, const int32_t *keep, float factor, int8_t *q, int32_t sums[2])
{
    vi r[4];

    for (int i = 0; i < 4; i++) {
        const __m256 kept =
            _mm256_castsi256_ps(_mm256_and_si256(i_load(x + 8 * i), i_load(keep + 8 * i)));

        r[i] = _mm256_cvtps_epi32(_mm256_mul_ps(kept, _mm256_set1_ps(factor)));
    }
    sums[0] = joined_sum(_mm256_add_epi32(r[0], r[1]));
    sums[1] = joined_sum(_mm256_add_epi32(r[2], r[3]));
    const vi bytes =
        _mm256_packs_epi16(_mm256_packs_epi32(r[0], r[1]), _mm256_packs_epi32(r[2], r[3]));
    _mm256_storeu_si256(
        (__m256i *)(void *)q,
        _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
}
#endif
