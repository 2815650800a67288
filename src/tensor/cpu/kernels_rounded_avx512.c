/*
 * kernels_rounded_avx512.c - rounded rows with AVX-512 (F, BW, VL, DQ).
 */
#if defined(__x86_64__)
#include "tensor/cpu/simd_bytes_avx512.h"

/* Sums of 8 products of pairs, 15 * 127 at most each, stay in 16 bits. */
SIMD vi i_add_small(vi sum, vi w, vi x)
{
    return _mm512_add_epi16(sum, _mm512_maddubs_epi16(w, x));
}
/* x, which the compiler has to have by now */
SIMD vi i_now(vi x)
{
#if defined(__AVX512BW__) /* not where these words are played with others */
    __asm__("" : "+v"(x));
#endif
    return x;
}
SIMD vi i_small_total(vi sum)
{
    return _mm512_madd_epi16(sum, _mm512_set1_epi16(1));
}
SIMD vi i_signed(vi w)
{
    return w;
}
SIMD vi i_first(int32_t minus)
{
    (void)minus;
    return i_zero();
}
/* |w| (128 at most) times x with the sign of w: pairs stay in 16 bits */
SIMD vi i_add_signed(vi sum, vi w, vi x)
{
    const vi turned = _mm512_mask_sub_epi8(x, _mm512_movepi8_mask(w), i_zero(), x);
    const vi pairs = _mm512_maddubs_epi16(_mm512_abs_epi8(w), turned);

    return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}

#define ROUNDED rounded_avx512
#include "tensor/cpu/kernels_rounded.h"
#endif
