/*
 * kernels_bf16_avx512.c - products of bfloats with AVX-512's BF16: pairs along the sum, in words of 32 bits.
 */
#if defined(__x86_64__)
#include "tensor/cpu/kernels_internal.h"
#include "tensor/cpu/simd_avx512.h"

#include <string.h>

SIMD __m512bh as_pairs(v16 x)
{
    __m512bh pairs;

    memcpy(&pairs, &x, sizeof pairs);
    return pairs;
}
/* 32 values rounded, those of lower first */
SIMD __m512i round_values(v16 upper, v16 lower)
{
    const __m512bh rounded = _mm512_cvtne2ps_pbh(upper, lower);
    __m512i words;

    memcpy(&words, &rounded, sizeof words);
    return words;
}

SIMD v16 add_pair(v16 x, v16 w, v16 sum)
{
    return _mm512_dpbf16_ps(sum, as_pairs(x), as_pairs(w));
}

#define GEMM_STEP add_pair
#include "tensor/cpu/gemm_vector.h"

/* The first of a pair goes into its upper half, which is multiplied first. */
static void bf16_row(size_t n, const float *x, void *out)
{
    uint16_t *y = out;

    for (; n >= 2 * PANEL; n -= 2 * PANEL, x += 2 * PANEL, y += 2 * PANEL)
        _mm512_storeu_si512(y, _mm512_rol_epi32(round_values(v_load(x + PANEL), v_load(x)), 16));
    for (size_t i = 0; i < n + n % 2; i++)
        y[i ^ 1] = i < n ? f32_to_bf16(bf16_flushed(x[i])) : 0;
}

/* Of two outputs that follow each other pairs for each k. */
SIMD __m512i pairs(v16 first, v16 second)
{
    static const uint16_t order[32] __attribute__((aligned(64))) = {
        16, 0, 17, 1, 18, 2,  19, 3,  20, 4,  21, 5,  22, 6,  23, 7,
        24, 8, 25, 9, 26, 10, 27, 11, 28, 12, 29, 13, 30, 14, 31, 15};

    return _mm512_permutexvar_epi16(_mm512_loadu_si512(order), round_values(second, first));
}

static void bf16_across(enum pack_kind kind, const void *panel, size_t k0, size_t n_k, void *out)
{
    float corner[PANEL * PANEL] __attribute__((aligned(64)));
    uint16_t *y = out;

    kernels_avx512.unpack_across(kind, panel, k0, n_k, corner);
    for (size_t j = 0; j < PANEL; j += 2)
        _mm512_storeu_si512(y + j * PANEL,
                            pairs(v_load(corner + j * PANEL), v_load(corner + (j + 1) * PANEL)));
}

static void bf16_gemm(size_t m, size_t n, size_t k, const void *a, size_t a_i, const void *b,
                      size_t b_panel, float *c, size_t c_i, bool accumulate)
{
    vector_gemm(m, n, k / 2, a, a_i / 2, 1, b, PANEL, b_panel / 2, c, c_i, accumulate);
}

const struct bf16_kernels bf16_avx512 = {
    .bytes = sizeof(uint16_t), .row = bf16_row, .across = bf16_across, .gemm = bf16_gemm};
#endif
