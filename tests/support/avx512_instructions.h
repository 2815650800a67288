/*
 * avx512_instructions.h - the AVX-512 instructions that simd_avx512.h uses, each as the AVX2 instruction of the same name
 * on two halves, so that what is written for AVX-512 runs, and is compared, on machines without it. Lanes do not
 * meet in any of them, so a half computes what it would as part of the whole.
 */
#ifndef HONE_TESTS_AVX512_INSTRUCTIONS_H
#define HONE_TESTS_AVX512_INSTRUCTIONS_H

#include <immintrin.h>
#include <string.h>

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
#define cvtps_ph(x, how)                                                                           \
    _mm256_setr_m128i(_mm256_cvtps_ph((x).half[0], how), _mm256_cvtps_ph((x).half[1], how))
HALVES struct m512i cvtepi8_epi32(__m128i x)
{
    return (struct m512i){
        {_mm256_cvtepi8_epi32(x), _mm256_cvtepi8_epi32(_mm_unpackhi_epi64(x, x))}};
}
HALVES struct m512i cvtepu16_epi32(__m256i x)
{
    return (struct m512i){{_mm256_cvtepu16_epi32(_mm256_castsi256_si128(x)),
                           _mm256_cvtepu16_epi32(_mm256_extracti128_si256(x, 1))}};
}
HALVES struct m512i loadu_si512(const void *p)
{
    BY_HALF(struct m512i, _mm256_loadu_si256((const __m256i *)p + i));
}
HALVES struct m512i and_si512(struct m512i x, struct m512i y)
{
    BY_HALF(struct m512i, _mm256_and_si256(x.half[i], y.half[i]));
}
HALVES struct m512i srli_epi32(struct m512i x, int n)
{
    BY_HALF(struct m512i, _mm256_srli_epi32(x.half[i], n));
}
HALVES struct m512i srai_epi32(struct m512i x, int n)
{
    BY_HALF(struct m512i, _mm256_srai_epi32(x.half[i], n));
}

HALVES struct m512i setzero_si512(void)
{
    BY_HALF(struct m512i, _mm256_setzero_si256());
}
HALVES struct m512i set1_epi8(char x)
{
    BY_HALF(struct m512i, _mm256_set1_epi8(x));
}
HALVES struct m512i set1_epi16(short x)
{
    BY_HALF(struct m512i, _mm256_set1_epi16(x));
}
HALVES struct m512i srli_epi16(struct m512i x, int n)
{
    BY_HALF(struct m512i, _mm256_srli_epi16(x.half[i], n));
}
HALVES struct m512i max_epi32(struct m512i x, struct m512i y)
{
    BY_HALF(struct m512i, _mm256_max_epi32(x.half[i], y.half[i]));
}
HALVES struct m512i add_epi16(struct m512i x, struct m512i y)
{
    BY_HALF(struct m512i, _mm256_add_epi16(x.half[i], y.half[i]));
}
HALVES struct m512i maddubs_epi16(struct m512i x, struct m512i y)
{
    BY_HALF(struct m512i, _mm256_maddubs_epi16(x.half[i], y.half[i]));
}
HALVES struct m512i madd_epi16(struct m512i x, struct m512i y)
{
    BY_HALF(struct m512i, _mm256_madd_epi16(x.half[i], y.half[i]));
}
HALVES struct m512i or_si512(struct m512i x, struct m512i y)
{
    BY_HALF(struct m512i, _mm256_or_si256(x.half[i], y.half[i]));
}
HALVES struct m512i xor_si512(struct m512i x, struct m512i y)
{
    BY_HALF(struct m512i, _mm256_xor_si256(x.half[i], y.half[i]));
}
HALVES struct m512i abs_epi8(struct m512i x)
{
    BY_HALF(struct m512i, _mm256_abs_epi8(x.half[i]));
}
HALVES struct m512i cvtps_epi32(struct m512 x)
{
    BY_HALF(struct m512i, _mm256_cvtps_epi32(x.half[i]));
}
/* a mask of bytes, too, is kept as bytes of ones */
HALVES struct m512i movepi8_mask(struct m512i x)
{
    BY_HALF(struct m512i, _mm256_cmpgt_epi8(_mm256_setzero_si256(), x.half[i]));
}
HALVES struct m512i mask_sub_epi8(struct m512i src, struct m512i mask, struct m512i x,
                                  struct m512i y)
{
    BY_HALF(struct m512i,
            _mm256_blendv_epi8(src.half[i], _mm256_sub_epi8(x.half[i], y.half[i]), mask.half[i]));
}
/* bytes without a sign by bytes with one, four products into each sum; wide enough for all of them */
HALVES struct m512i dpbusd_epi32(struct m512i sum, struct m512i x, struct m512i y)
{
    const __m256i ones = _mm256_set1_epi16(1), low = _mm256_set1_epi16(255);
    struct m512i r;

    for (int i = 0; i < 2; i++) {
        const __m256i even =
                          _mm256_mullo_epi16(_mm256_and_si256(x.half[i], low),
                                             _mm256_srai_epi16(_mm256_slli_epi16(y.half[i], 8), 8)),
                      odd = _mm256_mullo_epi16(_mm256_srli_epi16(x.half[i], 8),
                                               _mm256_srai_epi16(y.half[i], 8));

        r.half[i] = _mm256_add_epi32(sum.half[i], _mm256_add_epi32(_mm256_madd_epi16(even, ones),
                                                                   _mm256_madd_epi16(odd, ones)));
    }
    return r;
}
HALVES int reduce_max_epi32(struct m512i x)
{
    int v[16], most = INT32_MIN;

    for (int i = 0; i < 2; i++)
        _mm256_storeu_si256((__m256i *)(void *)v + i, x.half[i]);
    for (int i = 0; i < 16; i++)
        most = v[i] > most ? v[i] : most;
    return most;
}
HALVES int reduce_add_epi32(struct m512i x)
{
    int v[16], sum = 0;

    for (int i = 0; i < 2; i++)
        _mm256_storeu_si256((__m256i *)(void *)v + i, x.half[i]);
    for (int i = 0; i < 16; i++)
        sum += v[i];
    return sum;
}
HALVES __m128i cvtepi32_epi8(struct m512i x)
{
    signed char b[16];
    int v[16];

    for (int i = 0; i < 2; i++)
        _mm256_storeu_si256((__m256i *)(void *)v + i, x.half[i]);
    for (int i = 0; i < 16; i++)
        b[i] = (signed char)v[i];
    return _mm_loadu_si128((const __m128i *)(const void *)b);
}

/* a mask of words: a bit each */
HALVES unsigned cmpeq_epi32_mask(struct m512i x, struct m512i y)
{
    unsigned mask = 0;

    for (int i = 0; i < 2; i++)
        mask |= (unsigned)_mm256_movemask_ps(
                    _mm256_castsi256_ps(_mm256_cmpeq_epi32(x.half[i], y.half[i])))
                << 8 * i;
    return mask;
}
HALVES struct m512i mask_mov_epi32(struct m512i src, unsigned mask, struct m512i x)
{
    const __m256i bits = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    struct m512i r;

    for (int i = 0; i < 2; i++) {
        const __m256i chosen = _mm256_cmpeq_epi32(
            _mm256_and_si256(_mm256_set1_epi32((int)(mask >> 8 * i)), bits), bits);

        r.half[i] = _mm256_blendv_epi8(src.half[i], x.half[i], chosen);
    }
    return r;
}
HALVES struct m512i srl_epi32(struct m512i x, __m128i n)
{
    BY_HALF(struct m512i, _mm256_srl_epi32(x.half[i], n));
}
HALVES struct m512i sll_epi32(struct m512i x, __m128i n)
{
    BY_HALF(struct m512i, _mm256_sll_epi32(x.half[i], n));
}

HALVES void storeu_si512(void *p, struct m512i x)
{
    for (int i = 0; i < 2; i++)
        _mm256_storeu_si256((__m256i *)p + i, x.half[i]);
}

HALVES struct m512i castps_si512(struct m512 x)
{
    BY_HALF(struct m512i, _mm256_castps_si256(x.half[i]));
}
/* both halves of a word change places; by 16 alone */
HALVES struct m512i rol_epi32(struct m512i x, int n)
{
    BY_HALF(struct m512i,
            _mm256_or_si256(_mm256_slli_epi32(x.half[i], n), _mm256_srli_epi32(x.half[i], 32 - n)));
}
HALVES struct m512i permutexvar_epi16(struct m512i order, struct m512i x)
{
    unsigned short from[32], to[32], at[32];

    memcpy(from, &x, sizeof from);
    memcpy(at, &order, sizeof at);
    for (int i = 0; i < 32; i++)
        to[i] = from[at[i]];
    memcpy(&x, to, sizeof to);
    return x;
}
/* Numbers too small for a float are 0 to both of these, as they are to the instructions whatever the processor is set to. */
HALVES struct m512i cvtne2ps_pbh(struct m512 upper, struct m512 lower)
{
    unsigned words[32];
    unsigned short out[32];
    struct m512i r;

    memcpy(words, &lower, sizeof lower);
    memcpy(words + 16, &upper, sizeof upper);
    for (int i = 0; i < 32; i++) {
        const unsigned w = words[i], size = w & 0x7fffffffu;

        if (size > 0x7f800000u)
            out[i] = (unsigned short)(w >> 16 | 0x40);
        else if (size < 0x00800000u)
            out[i] = (unsigned short)(w >> 16 & 0x8000);
        else
            out[i] = (unsigned short)((w + 0x7fff + (w >> 16 & 1)) >> 16);
    }
    memcpy(&r, out, sizeof r);
    return r;
}
static __attribute__((noinline, unused)) struct m512 dpbf16_ps(struct m512 sum, struct m512i x,
                                                               struct m512i y)
{
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    const unsigned was = _mm_getcsr();

    _mm_setcsr(was | 0x8040);
    for (int i = 0; i < 2; i++) {
        __m256 s = sum.half[i];

        s = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_and_si256(x.half[i], upper)),
                            _mm256_castsi256_ps(_mm256_and_si256(y.half[i], upper)), s);
        s = _mm256_fmadd_ps(_mm256_castsi256_ps(_mm256_slli_epi32(x.half[i], 16)),
                            _mm256_castsi256_ps(_mm256_slli_epi32(y.half[i], 16)), s);
        __asm__ volatile("" : "+x"(s));
        sum.half[i] = s;
    }
    _mm_setcsr(was);
    return sum;
}

#define __m512 struct m512
#define __m512bh struct m512i
#define __m512i struct m512i
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
#define _mm512_castps_si512 castps_si512
#undef _mm512_rol_epi32
#define _mm512_rol_epi32 rol_epi32
#define _mm512_permutexvar_epi16 permutexvar_epi16
#define _mm512_cvtne2ps_pbh cvtne2ps_pbh
#define _mm512_dpbf16_ps dpbf16_ps
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
#undef _mm512_cvtps_ph
#define _mm512_cvtps_ph cvtps_ph
#define _mm512_cvtepi8_epi32 cvtepi8_epi32
#define _mm512_cvtepu16_epi32 cvtepu16_epi32
#define _mm512_loadu_si512 loadu_si512
#define _mm512_storeu_si512 storeu_si512
#define _mm512_and_si512 and_si512
#define _mm512_or_si512 or_si512
#undef _mm512_srli_epi32
#define _mm512_srli_epi32 srli_epi32
#undef _mm512_srai_epi32
#define _mm512_srai_epi32 srai_epi32
#define _mm512_setzero_si512 setzero_si512
#define _mm512_set1_epi8 set1_epi8
#define _mm512_set1_epi16 set1_epi16
#undef _mm512_srli_epi16
#define _mm512_srli_epi16 srli_epi16
#define _mm512_max_epi32 max_epi32
#define _mm512_add_epi16 add_epi16
#define _mm512_maddubs_epi16 maddubs_epi16
#define _mm512_madd_epi16 madd_epi16
#define _mm512_xor_si512 xor_si512
#define _mm512_abs_epi8 abs_epi8
#define _mm512_cvtps_epi32 cvtps_epi32
#define _mm512_movepi8_mask movepi8_mask
#define _mm512_mask_sub_epi8 mask_sub_epi8
#define _mm512_dpbusd_epi32 dpbusd_epi32
#define _mm512_reduce_max_epi32 reduce_max_epi32
#define _mm512_reduce_add_epi32 reduce_add_epi32
#define _mm512_cvtepi32_epi8 cvtepi32_epi8
#undef _mm512_cmpeq_epi32_mask
#define _mm512_cmpeq_epi32_mask cmpeq_epi32_mask
#define _mm512_mask_mov_epi32 mask_mov_epi32
#define _mm512_srl_epi32 srl_epi32
#define _mm512_sll_epi32 sll_epi32
#define __mmask16 unsigned
#define _cvtmask16_u32(mask) (mask)
#endif
