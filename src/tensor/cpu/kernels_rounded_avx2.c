/*
 * kernels_rounded_avx2.c - rounded rows with AVX2.
 */
#if defined(__x86_64__)
#include "tensor/cpu/simd_bytes_avx2.h"

/* Sums of 8 products of pairs, 15 * 127 at most each, stay in 16 bits. */
SIMD vi i_add_small(vi sum, vi w, vi x)
{
    return _mm256_add_epi16(sum, _mm256_maddubs_epi16(w, x));
}
/* x, which the compiler has to have by now */
SIMD vi i_now(vi x)
{
    __asm__("" : "+x"(x));
    return x;
}
SIMD vi i_small_total(vi sum)
{
    return _mm256_madd_epi16(sum, _mm256_set1_epi16(1));
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
    const vi pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));

    return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#define ROUNDED rounded_avx2
#include "tensor/cpu/kernels_rounded.h"
#endif
