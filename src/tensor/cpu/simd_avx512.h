/*
 * simd_avx512.h - 16 floats as one AVX-512 register; the words that kernels_vector.h is written in.
 */
#ifndef HONE_TENSOR_CPU_SIMD_AVX512_H
#define HONE_TENSOR_CPU_SIMD_AVX512_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define GEMM_PANELS 2
#define GEMM_FEW SIZE_MAX /* any number of rows: see GEMM_ROWS */
#define GEMM_ROWS 14 /* 14 rows of 2 panels: 28 sums, 2 weights and a factor of the 32 registers */
#define SIMD static inline __attribute__((always_inline))

typedef __m512 v16;

SIMD v16 v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}
SIMD void v_store(float *p, v16 x)
{
    _mm512_storeu_ps(p, x);
}
SIMD v16 v_set(float x)
{
    return _mm512_set1_ps(x);
}
SIMD v16 v_zero(void)
{
    return _mm512_setzero_ps();
}
SIMD v16 v_add(v16 x, v16 y)
{
    return _mm512_add_ps(x, y);
}
SIMD v16 v_sub(v16 x, v16 y)
{
    return _mm512_sub_ps(x, y);
}
SIMD v16 v_mul(v16 x, v16 y)
{
    return _mm512_mul_ps(x, y);
}
SIMD v16 v_div(v16 x, v16 y)
{
    return _mm512_div_ps(x, y);
}
SIMD v16 v_sqrt(v16 x)
{
    return _mm512_sqrt_ps(x);
}
SIMD v16 v_fma(v16 x, v16 y, v16 z)
{
    return _mm512_fmadd_ps(x, y, z);
}
/* the second where one is NaN, as x > y ? x : y */
SIMD v16 v_max(v16 x, v16 y)
{
    return _mm512_max_ps(x, y);
}
SIMD v16 v_min(v16 x, v16 y)
{
    return _mm512_min_ps(x, y);
}
/* y where x >= least (or x is NaN: then x itself), else 0 */
SIMD v16 v_keep_from(v16 x, float least, v16 y)
{
    const v16 kept =
        _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(least), _CMP_GE_OQ), y);

    return _mm512_mask_mov_ps(kept, _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q), x);
}
/* 2^n for whole n in -126..127 */
SIMD v16 v_pow2(v16 n)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_add_epi32(_mm512_cvttps_epi32(n), _mm512_set1_epi32(127)), 23));
}
SIMD __m256 v_high(v16 x)
{
    return _mm512_extractf32x8_ps(x, 1);
}
/* the tree of kernels.h: i + 8, then i + 4, ... */
SIMD float v_join(v16 x)
{
    const __m256 s8 = _mm256_add_ps(_mm512_castps512_ps256(x), v_high(x));
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));

    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
SIMD float v_join_max(v16 x)
{
    const __m256 s8 = _mm256_max_ps(_mm512_castps512_ps256(x), v_high(x));
    const __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));

    return _mm_cvtss_f32(_mm_max_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
SIMD v16 v_from_f16(const uint16_t *p)
{
    return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)p));
}
/* to the nearest, to even of two */
SIMD void v_to_f16(uint16_t *p, v16 x)
{
    _mm256_storeu_si256((__m256i *)(void *)p, _mm512_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT));
}
SIMD v16 v_from_i8_row(const int8_t *p)
{
    return _mm512_cvtepi32_ps(
        _mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
/* to the nearest whole number, to the even one of two; x within -127..127 */
SIMD void v_to_i8(int8_t *p, v16 x)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(x)));
}
/* to the nearest bfloat, to even of two; below 2^-126: 0 of the same sign */
SIMD v16 v_to_bf16(v16 x)
{
    const __m512i bits = _mm512_castps_si512(x), upper = _mm512_set1_epi32((int)0xffff0000u),
                  odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1)),
                  rounded =
                      _mm512_add_epi32(_mm512_add_epi32(bits, odd), _mm512_set1_epi32(0x7fff)),
                  quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000)),
                  sign = _mm512_and_si512(bits, _mm512_set1_epi32(INT32_MIN));
    const v16 size = _mm512_castsi512_ps(_mm512_xor_si512(bits, sign)),
              numbers = _mm512_mask_mov_ps(_mm512_castsi512_ps(_mm512_and_si512(rounded, upper)),
                                           _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q),
                                           _mm512_castsi512_ps(_mm512_and_si512(quiet, upper)));

    return _mm512_mask_mov_ps(numbers,
                              _mm512_cmp_ps_mask(size, _mm512_set1_ps(0x1p-126f), _CMP_LT_OQ),
                              _mm512_castsi512_ps(sign));
}
SIMD v16 v_from_bf16(const uint16_t *p)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)p)), 16));
}
/* byte t of each four */
SIMD v16 v_from_i8(const int8_t p[][4], int t)
{
    const __m512i q = _mm512_loadu_si512(p);

    return _mm512_cvtepi32_ps(_mm512_srai_epi32(_mm512_slli_epi32(q, 24 - 8 * t), 24));
}
/* the low (0) or high (1) half of byte t of each four */
SIMD v16 v_from_u4(const uint8_t p[][4], int t, int half)
{
    const __m512i q = _mm512_srli_epi32(_mm512_loadu_si512(p), 8 * t + 4 * half);

    return _mm512_cvtepi32_ps(_mm512_and_si512(q, _mm512_set1_epi32(15)));
}
/* the same, with bit `bit` of byte t of each four of fifth above it */
SIMD v16 v_from_u5(const uint8_t p[][4], int t, int half, const uint8_t fifth[][4], int bit)
{
    const __m512i low =
        _mm512_and_si512(_mm512_srli_epi32(_mm512_loadu_si512(p), (unsigned)(8 * t + 4 * half)),
                         _mm512_set1_epi32(15));
    const __m512i high =
        _mm512_and_si512(_mm512_srli_epi32(_mm512_loadu_si512(fifth), (unsigned)(8 * t + bit)),
                         _mm512_set1_epi32(1));

    return _mm512_cvtepi32_ps(_mm512_or_si512(low, _mm512_slli_epi32(high, 4)));
}
/* two bits of byte t of each four, from bit 2 * pair on */
SIMD v16 v_from_u2(const uint8_t p[][4], int t, int pair)
{
    const __m512i q = _mm512_srli_epi32(_mm512_loadu_si512(p), (unsigned)(8 * t + 2 * pair));

    return _mm512_cvtepi32_ps(_mm512_and_si512(q, _mm512_set1_epi32(3)));
}
/* f8_e4m3_to_f32 */
SIMD v16 v_from_e4m3(const uint8_t *p)
{
    const __m256i b = _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)(const void *)p)),
                  rest = _mm256_and_si256(b, _mm256_set1_epi16(0x7f)),
                  sign = _mm256_slli_epi16(_mm256_andnot_si256(_mm256_set1_epi16(0x7f), b), 8),
                  nan = _mm256_and_si256(_mm256_cmpeq_epi16(rest, _mm256_set1_epi16(0x7f)),
                                         _mm256_set1_epi16(0x7c00)),
                  h = _mm256_or_si256(_mm256_or_si256(sign, nan), _mm256_slli_epi16(rest, 7));

    return _mm512_mul_ps(_mm512_cvtph_ps(h), _mm512_set1_ps(256));
}
SIMD void v_transpose8(const float *in, size_t in_ld, float *out, size_t out_ld)
{
    __m256 r[8], t[8];

    for (int i = 0; i < 8; i++)
        r[i] = _mm256_loadu_ps(in + (size_t)i * in_ld);
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; i++) {
        _mm256_storeu_ps(out + (size_t)i * out_ld, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
        _mm256_storeu_ps(out + (size_t)(i + 4) * out_ld,
                         _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
    }
}
#endif
