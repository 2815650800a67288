/*
 * kernels_rounded_weights.h - values apart and the weights that they meet, in words of LANES outputs.
 */
#include "tensor/cpu/kernels_internal.h"

#include <string.h>

/* How much a plan of values apart has at most; the weights of a set that are needed stay in the first cache as floats. */
#define APART_RANGE 1024 /* k of a set */
#define APART_SETS 8
#define APART_ROWS 192
#define APART_MOST (APART_RANGE / ROUNDED_BLOCK * APART_ROWS) /* values: those of a set, at least */

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

/* c += the values apart of one row, which shares no weight with another. */
SIMD void add_apart_of_row(const enum pack_kind kind, const struct rounded *x, size_t row,
                           const void *panel, float *c)
{
    const struct rounded_apart *apart = x->apart + row * (x->k / ROUNDED_BLOCK);
    vf acc[PANEL / LANES];

#pragma GCC unroll 4
    for (size_t p = 0; p < PANEL / LANES; p++)
        acc[p] = f_load(c + p * LANES);
    for (const struct rounded_apart *end = apart + x->n_apart[row]; apart < end; apart++)
#pragma GCC unroll 4
        for (size_t p = 0; p < PANEL / LANES; p++)
            acc[p] = f_fma(f_set(apart->x), weights_at(kind, panel, apart->k, p * LANES), acc[p]);
#pragma GCC unroll 4
    for (size_t p = 0; p < PANEL / LANES; p++)
        f_store(c + p * LANES, acc[p]);
}

/*
 * Values apart, in sets of a range of k each, as all panels meet them that some rows meet. Most rows have theirs in the same places: the
 * weights there become floats once a set. A row's values stay in their order, for one set follows another.
 */
struct apart_plan {
    size_t n_sets;
    struct apart_set {
        size_t first; /* where its k, pieces and values begin */
        size_t n_k, n_pieces;
    } sets[APART_SETS];
    uint32_t k[APART_MOST];
    struct apart_piece { /* n values of a row */
        uint32_t row, n;
    } pieces[APART_MOST];
    struct apart_value {
        uint32_t at; /* which of the set's k */
        float x;
    } values[APART_MOST];
};

/* Where the next plan goes on: all zeros at first. */
struct apart_walk {
    size_t k, row;             /* the k that the next set begins with, the row */
    uint32_t next[APART_ROWS]; /* of each row the value */
};

/* Values of rows row to row + m, APART_ROWS of them at most, as many as there is room for; behind them all walk->k is x->k or more. */
static void apart_plan_make(const struct rounded *x, size_t row, size_t m, struct apart_walk *walk,
                            struct apart_plan *p)
{
    size_t n = 0;

    for (p->n_sets = 0; walk->k < x->k && p->n_sets < APART_SETS; walk->k += APART_RANGE) {
        uint16_t which[APART_RANGE]; /* of the set's k; n_k or more: it is not there yet */
        const size_t end = walk->k + APART_RANGE, first = n;
        struct apart_piece *piece = p->pieces + first;
        size_t n_k = 0;
        bool full = false;

        memset(which, 0xFF, sizeof which);
        for (; walk->row < m; walk->row++) {
            const size_t i = row + walk->row, begin = n;
            const struct rounded_apart *apart = x->apart + i * (x->k / ROUNDED_BLOCK),
                                       *last = apart + x->n_apart[i];

            full = n + APART_RANGE / ROUNDED_BLOCK > APART_MOST;
            if (full)
                break;
            for (apart += walk->next[walk->row]; apart < last && apart->k < end; apart++) {
                uint16_t *at = &which[apart->k - walk->k];

                if (*at >= n_k) {
                    *at = (uint16_t)n_k;
                    p->k[first + n_k++] = apart->k;
                }
                p->values[n++] = (struct apart_value){*at, apart->x};
            }
            walk->next[walk->row] += (uint32_t)(n - begin);
            if (n > begin)
                *piece++ = (struct apart_piece){(uint32_t)walk->row, (uint32_t)(n - begin)};
        }
        p->sets[p->n_sets++] = (struct apart_set){
            .first = first, .n_k = n_k, .n_pieces = (size_t)(piece - p->pieces) - first};
        if (full)
            return;
        walk->row = 0;
    }
}

/* c[row of the plan] += its values times the weights of n panels, bytes apart: 1 or ROUNDED_SIDE. */
SIMD void add_apart(const enum pack_kind kind, const size_t n, const struct apart_plan *p,
                    const void *panel, size_t bytes, float *c, size_t c_i)
{
    float kept[APART_RANGE][ROUNDED_SIDE * PANEL] __attribute__((aligned(64)));

    for (const struct apart_set *set = p->sets; set < p->sets + p->n_sets; set++) {
        const uint32_t *k = p->k + set->first;
        const struct apart_piece *piece = p->pieces + set->first;
        const struct apart_value *value = p->values + set->first;

        for (size_t j = 0; j < set->n_k; j++)
#pragma GCC unroll 4
            for (size_t at = 0; at < n * PANEL; at += LANES)
                f_store(kept[j] + at, weights_at(kind, (const char *)panel + at / PANEL * bytes,
                                                 k[j], at % PANEL));
        for (const struct apart_piece *end = piece + set->n_pieces; piece < end; piece++) {
            float *to = c + piece->row * c_i;
            vf acc[ROUNDED_SIDE * PANEL / LANES];

#pragma GCC unroll 4
            for (size_t at = 0; at < n * PANEL; at += LANES)
                acc[at / LANES] = f_load(to + at);
            for (const struct apart_value *last = value + piece->n; value < last; value++)
#pragma GCC unroll 4
                for (size_t at = 0; at < n * PANEL; at += LANES)
                    acc[at / LANES] =
                        f_fma(f_set(value->x), f_load(kept[value->at] + at), acc[at / LANES]);
#pragma GCC unroll 4
            for (size_t at = 0; at < n * PANEL; at += LANES)
                f_store(to + at, acc[at / LANES]);
        }
    }
}

/* Tiles of n panels side by side, bytes apart, and some rows. */
typedef void panels_fn(enum pack_kind kind, size_t n, const struct rounded *x, size_t row, size_t m,
                       const void *panel, size_t bytes, float *c, size_t c_i, bool accumulate);
/* What is apart behind them. */
typedef void apart_fn(const struct apart_plan *p, size_t n, const void *panel, size_t bytes,
                      float *c, size_t c_i);

/* m rows, APART_ROWS of them at a time, by all panels, side of them at a time as far as there are so many. */
static void multiply_panels(const struct panels *w, size_t side, panels_fn *tiles, apart_fn *add,
                            const struct rounded *x, size_t row, size_t m, float *c, size_t c_i,
                            bool accumulate)
{
    for (size_t i = 0, rows; i < m; i += rows, c += rows * c_i) {
        struct apart_walk walk = {0};
        struct apart_plan plan;

        rows = m - i < APART_ROWS ? m - i : APART_ROWS;
        while (walk.k < x->k) { /* nearly always one plan has all values */
            const bool first = walk.k == 0 && walk.row == 0;

            apart_plan_make(x, row + i, rows, &walk, &plan);
            for (size_t p = 0, n; p < w->n; p += n) {
                const char *panel = (const char *)w->first + p * w->bytes;

                n = w->n - p >= side ? side : 1;
                if (first)
                    tiles(w->kind, n, x, row + i, rows, panel, w->bytes, c + p * PANEL, c_i,
                          accumulate);
                add(&plan, n, panel, w->bytes, c + p * PANEL, c_i);
            }
        }
    }
}
