/*
 * kernels_rounded_avx512vnni.c - rounded rows with AVX-512 and VNNI.
 */
#if defined(__x86_64__)
#include "tensor/cpu/simd_bytes_avx512.h"

SIMD vi i_add_small(vi sum, vi w, vi x)
{
    return _mm512_dpbusd_epi32(sum, w, x);
}
SIMD vi i_now(vi x)
{
    return x;
}
SIMD vi i_small_total(vi sum)
{
    return sum;
}
/* 128 more than they are, so that no byte has a sign; a sum begins with what that adds to it, taken away */
SIMD vi i_signed(vi w)
{
    return _mm512_xor_si512(w, _mm512_set1_epi8(-128));
}
SIMD vi i_first(int32_t minus)
{
    return i_set(minus);
}
SIMD vi i_add_signed(vi sum, vi w, vi x)
{
    return _mm512_dpbusd_epi32(sum, w, x);
}

#define ROUNDED rounded_avx512vnni
#include "tensor/cpu/kernels_rounded.h"
#endif
