/*
 * kernels_rounded_weights.h - values apart and the weights that they meet, in words of LANES outputs.
 */
#include "tensor/cpu/kernels_internal.h"

#include <string.h>

#define KEPT 64 /* weights as floats, each of another block */

/* The weights at k of LANES outputs of a panel. */
SIMD vf weights_at(const enum pack_kind kind, const void *panel, size_t k, size_t j0)
{
    if (kind == PACK_Q4) {
        const struct pack_q4 *w = (const struct pack_q4 *)panel + k / 32;
        const vi q =
            i_shift_right(i_load(w->q[k % 32 / 8][j0]), (int)(8 * (k % 4) + k % 8 / 4 * 4));

        return f_fma(f_from(i_and(q, i_set(15))), f_load(w->d + j0), f_load(w->m + j0));
    }
    if (kind == PACK_Q5) {
        const struct pack_q5 *w = (const struct pack_q5 *)panel + k / 32;
        const vi q = i_and(i_shift_right(i_load(w->q[k % 32 / 8][j0]),
                                         (int)(8 * (k % 4) + k % 8 / 4 * 4)),
                           i_set(15)),
                 fifth = i_and(i_shift_right(i_load(w->fifth[j0]), (int)(8 * (k % 4) + k % 32 / 4)),
                               i_set(1));

        return f_fma(f_from(i_or(q, i_shift_left(fifth, 4))), f_load(w->d + j0), f_load(w->m + j0));
    }
    if (kind == PACK_Q2) {
        const struct pack_q2 *w = (const struct pack_q2 *)panel + k / 16;
        const vi q = i_shift_right(i_load(w->q[j0]), (int)(8 * (k % 4) + k % 16 / 4 * 2));

        return f_fma(f_from(i_and(q, i_set(3))), f_load(w->d + j0), f_load(w->m + j0));
    }
    const struct pack_q8 *w = (const struct pack_q8 *)panel + k / 16;
    const vi q = i_shift_left(i_load(w->q[k % 16 / 4][j0]), (int)(24 - 8 * (k % 4)));

    return f_mul(f_from(i_spread_sign(q)), f_load(w->d + j0));
}

/* Most rows have their values apart in the same places: the weights there are kept as floats, for each block the latest. */
SIMD void add_apart(const enum pack_kind kind, const struct rounded *x, size_t row, size_t m,
                    const void *panel, float *c, size_t c_i)
{
    float kept[KEPT][PANEL] __attribute__((aligned(64)));
    uint32_t kept_k[KEPT];

    memset(kept_k, 0xFF, sizeof kept_k);
    for (size_t i = row; i < row + m; i++, c += c_i) {
        const struct rounded_apart *apart = x->apart + i * (x->k / ROUNDED_BLOCK),
                                   *end = apart + x->n_apart[i];
        vf acc[PANEL / LANES];

        if (apart == end)
            continue;
#pragma GCC unroll 4
        for (size_t p = 0; p < PANEL / LANES; p++)
            acc[p] = f_load(c + p * LANES);
        for (; apart < end; apart++) {
            const uint32_t k = apart->k, at = k / ROUNDED_BLOCK % KEPT;

            if (kept_k[at] != k) {
#pragma GCC unroll 4
                for (size_t p = 0; p < PANEL / LANES; p++)
                    f_store(kept[at] + p * LANES, weights_at(kind, panel, k, p * LANES));
                kept_k[at] = k;
            }
#pragma GCC unroll 4
            for (size_t p = 0; p < PANEL / LANES; p++)
                acc[p] = f_fma(f_set(apart->x), f_load(kept[at] + p * LANES), acc[p]);
        }
#pragma GCC unroll 4
        for (size_t p = 0; p < PANEL / LANES; p++)
            f_store(c + p * LANES, acc[p]);
    }
}
