/*
 * simd_avx2.h - 16 floats as two AVX2 registers; the words that kernels_vector.h is written in.
 */
#ifndef HONE_TENSOR_CPU_SIMD_AVX2_H
#define HONE_TENSOR_CPU_SIMD_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

#define GEMM_PANELS 1
#define GEMM_FEW 3  /* rows of 2 panels: 12 sums and 3 factors */
#define GEMM_ROWS 6 /* 6 rows of 16: 12 sums, 2 weights and a factor fill the 16 registers */
#define SIMD static inline __attribute__((always_inline))

typedef struct {
    __m256 a, b;
} v16;

SIMD v16 v_load(const float *p)
{
    return (v16){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}
SIMD void v_store(float *p, v16 x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
SIMD v16 v_set(float x)
{
    return (v16){_mm256_set1_ps(x), _mm256_set1_ps(x)};
}
SIMD v16 v_zero(void)
{
    return (v16){_mm256_setzero_ps(), _mm256_setzero_ps()};
}
SIMD v16 v_add(v16 x, v16 y)
{
    return (v16){_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)};
}
SIMD v16 v_sub(v16 x, v16 y)
{
    return (v16){_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)};
}
SIMD v16 v_mul(v16 x, v16 y)
{
    return (v16){_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)};
}
SIMD v16 v_div(v16 x, v16 y)
{
    return (v16){_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)};
}
SIMD v16 v_sqrt(v16 x)
{
    return (v16){_mm256_sqrt_ps(x.a), _mm256_sqrt_ps(x.b)};
}
SIMD v16 v_fma(v16 x, v16 y, v16 z)
{
    return (v16){_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
/* the second where one is NaN, as x > y ? x : y */
SIMD v16 v_max(v16 x, v16 y)
{
    return (v16){_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)};
}
SIMD v16 v_min(v16 x, v16 y)
{
    return (v16){_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)};
}
/* y where x >= least (or x is NaN: then x itself), else 0 */
SIMD v16 v_keep_from(v16 x, float least, v16 y)
{
    const __m256 l = _mm256_set1_ps(least);

    return (v16){_mm256_blendv_ps(_mm256_and_ps(_mm256_cmp_ps(x.a, l, _CMP_GE_OQ), y.a), x.a,
                                  _mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q)),
                 _mm256_blendv_ps(_mm256_and_ps(_mm256_cmp_ps(x.b, l, _CMP_GE_OQ), y.b), x.b,
                                  _mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q))};
}
/* 2^n for whole n in -126..127 */
SIMD v16 v_pow2(v16 n)
{
    const __m256i bias = _mm256_set1_epi32(127);

    return (v16){_mm256_castsi256_ps(
                     _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvttps_epi32(n.a), bias), 23)),
                 _mm256_castsi256_ps(
                     _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvttps_epi32(n.b), bias), 23))};
}
/* the tree of kernels.h: i + 8, then i + 4, ... */
SIMD float v_join(v16 x)
{
    const __m256 s8 = _mm256_add_ps(x.a, x.b);
    const __m128 s4 = _mm_add_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_add_ps(s4, _mm_movehl_ps(s4, s4));

    return _mm_cvtss_f32(_mm_add_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
SIMD float v_join_max(v16 x)
{
    const __m256 s8 = _mm256_max_ps(x.a, x.b);
    const __m128 s4 = _mm_max_ps(_mm256_castps256_ps128(s8), _mm256_extractf128_ps(s8, 1));
    const __m128 s2 = _mm_max_ps(s4, _mm_movehl_ps(s4, s4));

    return _mm_cvtss_f32(_mm_max_ss(s2, _mm_shuffle_ps(s2, s2, 1)));
}
SIMD v16 v_from_f16(const uint16_t *p)
{
    return (v16){_mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)p)),
                 _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(p + 8)))};
}
/* to the nearest, to even of two */
SIMD void v_to_f16(uint16_t *p, v16 x)
{
    _mm_storeu_si128((__m128i *)(void *)p, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT));
    _mm_storeu_si128((__m128i *)(void *)(p + 8), _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT));
}
SIMD v16 v_from_i8_row(const int8_t *p)
{
    const __m128i q = _mm_loadu_si128((const __m128i *)(const void *)p);

    return (v16){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)),
                 _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(q, 8)))};
}
/* to the nearest whole number, to the even one of two; x within -127..127 */
SIMD void v_to_i8(int8_t *p, v16 x)
{
    const __m256i w = _mm256_permute4x64_epi64(
        _mm256_packs_epi32(_mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b)), 0xD8);

    _mm_storeu_si128((__m128i *)(void *)p,
                     _mm_packs_epi16(_mm256_castsi256_si128(w), _mm256_extracti128_si256(w, 1)));
}
/* to the nearest bfloat, to even of two; below 2^-126: 0 of the same sign */
SIMD __m256 v_to_bf16_half(__m256 x)
{
    const __m256i bits = _mm256_castps_si256(x), exponent = _mm256_set1_epi32(0x7f800000),
                  odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1)),
                  rounded =
                      _mm256_add_epi32(_mm256_add_epi32(bits, odd), _mm256_set1_epi32(0x7fff)),
                  quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000)),
                  tiny =
                      _mm256_cmpeq_epi32(_mm256_and_si256(bits, exponent), _mm256_setzero_si256());
    const __m256 kept = _mm256_blendv_ps(_mm256_castsi256_ps(rounded), _mm256_castsi256_ps(quiet),
                                         _mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    const __m256i mask =
        _mm256_blendv_epi8(_mm256_set1_epi32((int)0xffff0000u), _mm256_set1_epi32(INT32_MIN), tiny);

    return _mm256_and_ps(kept, _mm256_castsi256_ps(mask));
}
SIMD v16 v_to_bf16(v16 x)
{
    return (v16){v_to_bf16_half(x.a), v_to_bf16_half(x.b)};
}
SIMD v16 v_from_bf16(const uint16_t *p)
{
    const __m256i h = _mm256_loadu_si256((const __m256i *)p);

    return (v16){_mm256_castsi256_ps(
                     _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(h)), 16)),
                 _mm256_castsi256_ps(
                     _mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm256_extracti128_si256(h, 1)), 16))};
}
SIMD __m256 v_from_i8_half(const int8_t p[][4], int t)
{
    const __m256i q = _mm256_loadu_si256((const __m256i *)(const void *)p);

    return _mm256_cvtepi32_ps(_mm256_srai_epi32(_mm256_slli_epi32(q, 24 - 8 * t), 24));
}
/* byte t of each four */
SIMD v16 v_from_i8(const int8_t p[][4], int t)
{
    return (v16){v_from_i8_half(p, t), v_from_i8_half(p + 8, t)};
}
SIMD __m256 v_from_u4_half(const uint8_t p[][4], int shift)
{
    const __m256i q =
        _mm256_srli_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p), shift);

    return _mm256_cvtepi32_ps(_mm256_and_si256(q, _mm256_set1_epi32(15)));
}
/* the low (0) or high (1) half of byte t of each four */
SIMD v16 v_from_u4(const uint8_t p[][4], int t, int half)
{
    return (v16){v_from_u4_half(p, 8 * t + 4 * half), v_from_u4_half(p + 8, 8 * t + 4 * half)};
}
/* the same, with bit `bit` of byte t of each four of fifth above it */
SIMD __m256 v_from_u5_half(const uint8_t p[][4], int shift, const uint8_t fifth[][4], int bit)
{
    const __m256i low = _mm256_and_si256(
        _mm256_srli_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p), shift),
        _mm256_set1_epi32(15));
    const __m256i high = _mm256_and_si256(
        _mm256_srli_epi32(_mm256_loadu_si256((const __m256i *)(const void *)fifth), bit),
        _mm256_set1_epi32(1));

    return _mm256_cvtepi32_ps(_mm256_or_si256(low, _mm256_slli_epi32(high, 4)));
}
SIMD v16 v_from_u5(const uint8_t p[][4], int t, int half, const uint8_t fifth[][4], int bit)
{
    return (v16){v_from_u5_half(p, 8 * t + 4 * half, fifth, 8 * t + bit),
                 v_from_u5_half(p + 8, 8 * t + 4 * half, fifth + 8, 8 * t + bit)};
}
SIMD __m256 v_from_u2_half(const uint8_t p[][4], int shift)
{
    const __m256i q =
        _mm256_srli_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p), shift);

    return _mm256_cvtepi32_ps(_mm256_and_si256(q, _mm256_set1_epi32(3)));
}
/* two bits of byte t of each four, from bit 2 * pair on */
SIMD v16 v_from_u2(const uint8_t p[][4], int t, int pair)
{
    return (v16){v_from_u2_half(p, 8 * t + 2 * pair), v_from_u2_half(p + 8, 8 * t + 2 * pair)};
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
    const __m256 up = _mm256_set1_ps(256);

    return (v16){_mm256_mul_ps(_mm256_cvtph_ps(_mm256_castsi256_si128(h)), up),
                 _mm256_mul_ps(_mm256_cvtph_ps(_mm256_extracti128_si256(h, 1)), up)};
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
