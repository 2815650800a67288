/*
 * kernels_rounded_apart.h - what a row's values apart add to its products, in words of LANES outputs.
 */
#include "tensor/cpu/kernels_internal.h"
#include "tensor/rounded.h"

/* The weights at k of LANES outputs of a panel. */
SIMD vf weights_at(const enum pack_kind kind, const void *panel, size_t k, size_t j0)
{
    if (kind == PACK_Q4) {
        const struct pack_q4 *w = (const struct pack_q4 *)panel + k / 32;
        const vi q =
            i_shift_right(i_load(w->q[k % 32 / 8][j0]), (int)(8 * (k % 4) + k % 8 / 4 * 4));

        return f_fma(f_from(i_and(q, i_set(15))), f_load(w->d + j0), f_load(w->m + j0));
    }
    const struct pack_q8 *w = (const struct pack_q8 *)panel + k / 16;
    const vi q = i_shift_left(i_load(w->q[k % 16 / 4][j0]), (int)(24 - 8 * (k % 4)));

    return f_mul(f_from(i_spread_sign(q)), f_load(w->d + j0));
}

/* acc, LANES outputs of a row from j0 on, and that row's values apart by their weights. */
SIMD vf add_apart(const enum pack_kind kind, const struct rounded *x, size_t row, const void *panel,
                  size_t j0, vf acc)
{
    const struct rounded_apart *apart = x->apart + row * (x->k / ROUNDED_BLOCK);

    for (size_t o = 0; o < x->n_apart[row]; o++)
        acc = f_fma(f_set(apart[o].x), weights_at(kind, panel, apart[o].k, j0), acc);
    return acc;
}
