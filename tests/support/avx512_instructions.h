/*
 * avx512_instructions.h - the AVX-512 instructions that simd_avx512.h uses, each as the AVX2 instruction of the same name
 * on two halves, so that what is written for AVX-512 runs, and is compared, on machines without it. Lanes do not
 * meet in any of them, so a half computes what it would as part of the whole.
 */
#ifndef HONE_TESTS_AVX512_INSTRUCTIONS_H
#define HONE_TESTS_AVX512_INSTRUCTIONS_H

#include <immintrin.h>

struct m512 {
    __m256 half[2];
};
struct m512i {
    __m256i half[2];
};

#define HALVES static inline __attribute__((always_inline))
/* what: an expression of half i */
#define BY_HALF(type, what)                                                                        \
    type r_;                                                                                       \
    for (int i = 0; i < 2; i++)                                                                    \
        r_.half[i] = (what);                                                                       \
    return r_

HALVES struct m512 loadu_ps(const float *p)
{
    BY_HALF(struct m512, _mm256_loadu_ps(p + 8 * i));
}
HALVES void storeu_ps(float *p, struct m512 x)
{
    for (int i = 0; i < 2; i++)
        _mm256_storeu_ps(p + 8 * i, x.half[i]);
}
HALVES struct m512 set1_ps(float x)
{
    BY_HALF(struct m512, _mm256_set1_ps(x));
}
HALVES struct m512 setzero_ps(void)
{
    BY_HALF(struct m512, _mm256_setzero_ps());
}
HALVES struct m512 add_ps(struct m512 x, struct m512 y)
{
    BY_HALF(struct m512, _mm256_add_ps(x.half[i], y.half[i]));
}
HALVES struct m512 sub_ps(struct m512 x, struct m512 y)
{
    BY_HALF(struct m512, _mm256_sub_ps(x.half[i], y.half[i]));
}
HALVES struct m512 mul_ps(struct m512 x, struct m512 y)
{
    BY_HALF(struct m512, _mm256_mul_ps(x.half[i], y.half[i]));
}
HALVES struct m512 div_ps(struct m512 x, struct m512 y)
{
    BY_HALF(struct m512, _mm256_div_ps(x.half[i], y.half[i]));
}
HALVES struct m512 sqrt_ps(struct m512 x)
{
    BY_HALF(struct m512, _mm256_sqrt_ps(x.half[i]));
}
HALVES struct m512 fmadd_ps(struct m512 x, struct m512 y, struct m512 z)
{
    BY_HALF(struct m512, _mm256_fmadd_ps(x.half[i], y.half[i], z.half[i]));
}
HALVES struct m512 max_ps(struct m512 x, struct m512 y)
{
    BY_HALF(struct m512, _mm256_max_ps(x.half[i], y.half[i]));
}
HALVES struct m512 min_ps(struct m512 x, struct m512 y)
{
    BY_HALF(struct m512, _mm256_min_ps(x.half[i], y.half[i]));
}
/* a mask is kept as lanes of ones */
#define cmp_ps_mask(x, y, how)                                                                     \
    ((struct m512){{_mm256_cmp_ps((x).half[0], (y).half[0], how),                                  \
                    _mm256_cmp_ps((x).half[1], (y).half[1], how)}})
HALVES struct m512 mask_mov_ps(struct m512 src, struct m512 mask, struct m512 x)
{
    BY_HALF(struct m512, _mm256_blendv_ps(src.half[i], x.half[i], mask.half[i]));
}
HALVES struct m512 maskz_mov_ps(struct m512 mask, struct m512 x)
{
    BY_HALF(struct m512, _mm256_and_ps(mask.half[i], x.half[i]));
}
HALVES struct m512 castsi512_ps(struct m512i x)
{
    BY_HALF(struct m512, _mm256_castsi256_ps(x.half[i]));
}
HALVES __m256 castps512_ps256(struct m512 x)
{
    return x.half[0];
}
HALVES __m256 extractf32x8_ps(struct m512 x, int which)
{
    return x.half[which];
}
HALVES struct m512i set1_epi32(int x)
{
    BY_HALF(struct m512i, _mm256_set1_epi32(x));
}
HALVES struct m512i add_epi32(struct m512i x, struct m512i y)
{
    BY_HALF(struct m512i, _mm256_add_epi32(x.half[i], y.half[i]));
}
HALVES struct m512i slli_epi32(struct m512i x, int n)
{
    BY_HALF(struct m512i, _mm256_slli_epi32(x.half[i], n));
}
HALVES struct m512i cvttps_epi32(struct m512 x)
{
    BY_HALF(struct m512i, _mm256_cvttps_epi32(x.half[i]));
}
HALVES struct m512 cvtepi32_ps(struct m512i x)
{
    BY_HALF(struct m512, _mm256_cvtepi32_ps(x.half[i]));
}
HALVES struct m512 cvtph_ps(__m256i x)
{
    return (struct m512){{_mm256_cvtph_ps(_mm256_castsi256_si128(x)),
                          _mm256_cvtph_ps(_mm256_extracti128_si256(x, 1))}};
}
HALVES struct m512i cvtepu16_epi32(__m256i x)
{
    return (struct m512i){{_mm256_cvtepu16_epi32(_mm256_castsi256_si128(x)),
                           _mm256_cvtepu16_epi32(_mm256_extracti128_si256(x, 1))}};
}
HALVES struct m512i cvtepi8_epi32(__m128i x)
{
    return (struct m512i){
        {_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(x, x))}};
}
HALVES struct m512i cvtepu8_epi32(__m128i x)
{
    return (struct m512i){
        {_mm256_cvtepu8_epi32(x), _mm256_cvtepu8_epi32(_mm_unpackhi_epi64(x, x))}};
}

#define __m512 struct m512
#define _mm512_loadu_ps loadu_ps
#define _mm512_storeu_ps storeu_ps
#define _mm512_set1_ps set1_ps
#define _mm512_setzero_ps setzero_ps
#define _mm512_add_ps add_ps
#define _mm512_sub_ps sub_ps
#define _mm512_mul_ps mul_ps
#define _mm512_div_ps div_ps
#define _mm512_sqrt_ps sqrt_ps
#define _mm512_fmadd_ps fmadd_ps
#define _mm512_max_ps max_ps
#define _mm512_min_ps min_ps
#undef _mm512_cmp_ps_mask
#define _mm512_cmp_ps_mask cmp_ps_mask
#define _mm512_mask_mov_ps mask_mov_ps
#define _mm512_maskz_mov_ps maskz_mov_ps
#define _mm512_castsi512_ps castsi512_ps
#define _mm512_castps512_ps256 castps512_ps256
#undef _mm512_extractf32x8_ps
#define _mm512_extractf32x8_ps extractf32x8_ps
#define _mm512_set1_epi32 set1_epi32
#define _mm512_add_epi32 add_epi32
#undef _mm512_slli_epi32
#define _mm512_slli_epi32 slli_epi32
#define _mm512_cvttps_epi32 cvttps_epi32
#define _mm512_cvtepi32_ps cvtepi32_ps
#define _mm512_cvtph_ps cvtph_ps
#define _mm512_cvtepu16_epi32 cvtepu16_epi32
#define _mm512_cvtepi8_epi32 cvtepi8_epi32
#define _mm512_cvtepu8_epi32 cvtepu8_epi32
#endif
