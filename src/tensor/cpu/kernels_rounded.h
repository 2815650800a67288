/*
 * kernels_rounded.h - rows rounded to bytes and their products, written once in words of LANES outputs; each kernels_rounded_<machine>.c
 * defines the words, names the table ROUNDED and includes this. What a line computes stands in rounded.h and plain.c.
 */
#include "tensor/cpu/kernels_internal.h"
#include "tensor/cpu/kernels_rounded_weights.h"
#include "tensor/rounded.h"

#include <math.h>
#include <string.h>

SIMD int32_t four_bytes(const int8_t *q)
{
    int32_t four;

    memcpy(&four, q, sizeof four);
    return four;
}

/*
 * Weights come from far: while one panel is computed with, the next, which lies behind it, is asked for, evenly over all tiles
 * of rows, so that the memory is never waited for.
 */
struct ahead {
    const char *at;
    size_t lines; /* for each block of each tile */
};
SIMD const char *fetch(const char *at, size_t lines)
{
    for (; lines > 0; lines--, at += 64)
        _mm_prefetch(at, _MM_HINT_T0);
    return at;
}

/*
 * Whole numbers may be added in any order, so a compiler adds them at the end, and has more products than registers until then.
 * One row of small products alone has registers enough, and no sum waits for another.
 */
SIMD vi i_now_if(bool several, vi sum)
{
    return several ? i_now(sum) : sum;
}

#define PARTS (PANEL / LANES) /* of a panel's outputs, each in a register */

#define EACH(i, n) _Pragma("GCC unroll 16") for (size_t i = 0; i < (n); i++)

/* What a block of a panel with minima adds to sums of floats, once the sums of its whole numbers are there. */
SIMD void add_block(const size_t m, vi sum[][PARTS], const float *d, const float *least,
                    const float *step, const float *shift, vf acc[][PARTS])
{
    EACH(p, PARTS)
    {
        const vf by = f_load(d + p * LANES), from = f_load(least + p * LANES);

        EACH(i, m)
        {
            acc[i][p] = f_fma(f_from(sum[i][p]), f_mul(by, f_set(step[i])), acc[i][p]);
            acc[i][p] = f_fma(from, f_set(shift[i]), acc[i][p]);
        }
    }
}

/* The five bits of group g of four k. Sums of four products of pairs, 31 * 127 at most each, stay in 16 bits. */
SIMD void block_q5(const size_t m, const struct pack_q5 *w, const int8_t *q, const float *step,
                   const float *shift, vf acc[][PARTS])
{
    vi total[ROUNDED_ROWS][PARTS];

    for (int half = 0; half < 2; half++) {
        vi sum[ROUNDED_ROWS][PARTS];

        EACH(i, m)
        {
            EACH(p, PARTS)
            sum[i][p] = i_zero();
        }
        EACH(g, 4)
        {
            vi five[PARTS];

            EACH(p, PARTS)
            {
                const vi both = i_load(w->q[2 * half + g / 2][p * LANES]),
                         fifth = i_shift_right(i_load(w->fifth[p * LANES]), 4 * half + (int)g);

                five[p] = i_or(g % 2 == 0 ? i_low_halves(both) : i_high_halves(both),
                               i_shift_left(i_and(fifth, i_set(0x01010101)), 4));
            }
            EACH(i, m)
            {
                const vi of_row = i_set(four_bytes(q + 32 * i + 16 * half + 4 * g));

                EACH(p, PARTS)
                sum[i][p] = i_now_if(m > 1, i_add_small(sum[i][p], five[p], of_row));
            }
        }
        EACH(i, m)
        {
            EACH(p, PARTS)
            total[i][p] =
                half == 0 ? i_small_total(sum[i][p]) : i_add(total[i][p], i_small_total(sum[i][p]));
        }
    }
    add_block(m, total, w->d, w->m, step, shift, acc);
}

/* Two blocks, 32 k. */
SIMD void blocks_q2(const size_t m, const struct pack_q2 *w, const struct rounded *x, size_t b,
                    size_t row, const int8_t *q, const float *step, vf acc[][PARTS])
{
    for (size_t half = 0; half < 2; half++, w++) {
        vi sum[ROUNDED_ROWS][PARTS];
        float shift[ROUNDED_ROWS];

        EACH(i, m)
        {
            shift[i] = rounded_shift16(x, 2 * b + half, row + i);
            EACH(p, PARTS)
            sum[i][p] = i_zero();
        }
        EACH(g, 4)
        {
            vi two[PARTS];

            EACH(p, PARTS)
            two[p] = i_and(i_shift_right(i_load(w->q[p * LANES]), 2 * (int)g), i_set(0x03030303));
            EACH(i, m)
            {
                const vi of_row = i_set(four_bytes(q + 32 * i + 16 * half + 4 * g));

                EACH(p, PARTS)
                sum[i][p] = i_now_if(m > 1, i_add_small(sum[i][p], two[p], of_row));
            }
        }
        EACH(i, m)
        {
            EACH(p, PARTS)
            sum[i][p] = i_small_total(sum[i][p]);
        }
        add_block(m, sum, w->d, w->m, step, shift, acc);
    }
}

/* m rows by the outputs of a panel. What is done once for each number that is read is worth it for all outputs. */
SIMD void rounded_tile(const enum pack_kind kind, const size_t m, const struct rounded *x,
                       size_t row, const void *panel, const struct ahead *ahead, float *c,
                       size_t c_i, bool accumulate)
{
    const size_t n_blocks = x->k / ROUNDED_BLOCK;
    const int8_t *q = x->q + row * ROUNDED_BLOCK;
    const float *step = x->step + row, *shift = x->shift + row;
    const int32_t *minus = x->minus + row;
    const char *next = ahead->at;
    const size_t lines = ahead->lines;
    vf acc[ROUNDED_ROWS][PARTS];
    vi sum[ROUNDED_ROWS][PARTS];

    EACH(i, m)
    {
        EACH(p, PARTS)
        acc[i][p] = accumulate ? f_load(c + i * c_i + p * LANES) : f_set(0);
    }
    for (size_t b = 0; b < n_blocks; b++) {
        next = fetch(next, lines);
        if (kind == PACK_Q5) {
            block_q5(m, (const struct pack_q5 *)panel + b, q, step, shift, acc);
        } else if (kind == PACK_Q2) {
            blocks_q2(m, (const struct pack_q2 *)panel + 2 * b, x, b, row, q, step, acc);
        } else if (kind == PACK_Q4) {
            const struct pack_q4 *w = (const struct pack_q4 *)panel + b;

            EACH(i, m)
            {
                EACH(p, PARTS)
                sum[i][p] = i_zero();
            }
            EACH(g, 8)
            {
                vi four[PARTS];

                EACH(p, PARTS)
                {
                    const vi both = i_load(w->q[g / 2][p * LANES]);

                    four[p] = g % 2 == 0 ? i_low_halves(both) : i_high_halves(both);
                }
                EACH(i, m)
                {
                    const vi of_row = i_set(four_bytes(q + 32 * i + 4 * g));

                    EACH(p, PARTS)
                    sum[i][p] = i_now_if(m > 1, i_add_small(sum[i][p], four[p], of_row));
                }
            }
            EACH(p, PARTS)
            {
                const vf d = f_load(w->d + p * LANES), least = f_load(w->m + p * LANES);

                EACH(i, m)
                {
                    acc[i][p] = f_fma(f_from(i_small_total(sum[i][p])), f_mul(d, f_set(step[i])),
                                      acc[i][p]);
                    acc[i][p] = f_fma(least, f_set(shift[i]), acc[i][p]);
                }
            }
        } else {
            const struct pack_q8 *w = (const struct pack_q8 *)panel + 2 * b;

            for (size_t h = 0; h < 2; h++, minus += x->m, w++) {
                EACH(i, m)
                {
                    EACH(p, PARTS)
                    sum[i][p] = i_first(minus[i]);
                }
                EACH(g, 4)
                {
                    vi four[PARTS];

                    EACH(p, PARTS)
                    four[p] = i_signed(i_load(w->q[g][p * LANES]));
                    EACH(i, m)
                    {
                        const vi of_row = i_set(four_bytes(q + 32 * i + 16 * h + 4 * g));

                        EACH(p, PARTS)
                        sum[i][p] = i_now(i_add_signed(sum[i][p], four[p], of_row));
                    }
                }
                EACH(p, PARTS)
                {
                    const vf d = f_load(w->d + p * LANES);

                    EACH(i, m)
                    acc[i][p] = f_fma(f_from(sum[i][p]), f_mul(d, f_set(step[i])), acc[i][p]);
                }
            }
        }
        q += x->m * ROUNDED_BLOCK;
        step += x->m;
        shift += x->m;
    }
    EACH(i, m)
    {
        const struct rounded_apart *apart = x->apart + (row + i) * n_blocks;

        EACH(p, PARTS)
        {
            for (size_t o = 0; o < x->n_apart[row + i]; o++)
                acc[i][p] = f_fma(f_set(apart[o].x), weights_at(kind, panel, apart[o].k, p * LANES),
                                  acc[i][p]);
            f_store(c + i * c_i + p * LANES, acc[i][p]);
        }
    }
}
#undef EACH

typedef void rounded_tile_fn(const struct rounded *x, size_t row, const void *panel,
                             const struct ahead *ahead, float *c, size_t c_i, bool accumulate);

#define ROUNDED_TILE(kind, m)                                                                      \
    static __attribute__((noinline)) void rounded_tile_##kind##_##m(                               \
        const struct rounded *x, size_t row, const void *panel, const struct ahead *ahead,         \
        float *c, size_t c_i, bool accumulate)                                                     \
    {                                                                                              \
        rounded_tile(kind, m, x, row, panel, ahead, c, c_i, accumulate);                           \
    }
#define ROUNDED_NAME(kind, m) rounded_tile_##kind##_##m,
#define EACH_ROUNDED_TO_2(x, kind) x(kind, 1) x(kind, 2)
#define EACH_ROUNDED_TO_4(x, kind) EACH_ROUNDED_TO_2(x, kind) x(kind, 3) x(kind, 4)
#if ROUNDED_ROWS == 2
#define EACH_ROUNDED(x, kind) EACH_ROUNDED_TO_2(x, kind)
#elif ROUNDED_ROWS == 4
#define EACH_ROUNDED(x, kind) EACH_ROUNDED_TO_4(x, kind)
#elif ROUNDED_ROWS == 12
#define EACH_ROUNDED(x, kind)                                                                      \
    EACH_ROUNDED_TO_4(x, kind)                                                                     \
    x(kind, 5) x(kind, 6) x(kind, 7) x(kind, 8) x(kind, 9) x(kind, 10) x(kind, 11) x(kind, 12)
#endif
EACH_ROUNDED(ROUNDED_TILE, PACK_Q8)
EACH_ROUNDED(ROUNDED_TILE, PACK_Q5)
EACH_ROUNDED(ROUNDED_TILE, PACK_Q4)
EACH_ROUNDED(ROUNDED_TILE, PACK_Q2)

/* What there is for a kind of whole numbers: a tile for each number of rows, and the bytes of 32 k. */
static const struct rounded_kind {
    rounded_tile_fn *tiles[ROUNDED_ROWS];
    size_t bytes;
} rounded_kinds[] = {
    [PACK_Q8] = {{EACH_ROUNDED(ROUNDED_NAME, PACK_Q8)}, 2 * sizeof(struct pack_q8)},
    [PACK_Q5] = {{EACH_ROUNDED(ROUNDED_NAME, PACK_Q5)}, sizeof(struct pack_q5)},
    [PACK_Q4] = {{EACH_ROUNDED(ROUNDED_NAME, PACK_Q4)}, sizeof(struct pack_q4)},
    [PACK_Q2] = {{EACH_ROUNDED(ROUNDED_NAME, PACK_Q2)}, 2 * sizeof(struct pack_q2)},
};

static void vector_panel(enum pack_kind kind, const struct rounded *x, size_t row, size_t m,
                         const void *panel, float *c, size_t c_i, bool accumulate)
{
    rounded_tile_fn *const *tiles = rounded_kinds[kind].tiles;
    const size_t n_blocks = x->k / ROUNDED_BLOCK, bytes = n_blocks * rounded_kinds[kind].bytes,
                 n_tiles = (m + ROUNDED_ROWS - 1) / ROUNDED_ROWS;
    struct ahead ahead = {.at = (const char *)panel + bytes,
                          .lines = (bytes + 63) / 64 / (n_blocks * n_tiles) + 1};
    const char *const end = ahead.at + bytes;

    while (m > 0) {
        const size_t rows = m < ROUNDED_ROWS ? m : ROUNDED_ROWS;

        tiles[rows - 1](x, row, panel, &ahead, c, c_i, accumulate);
        ahead.at += n_blocks * ahead.lines * 64;
        ahead.lines = ahead.at < end ? ahead.lines : 0;
        m -= rows;
        row += rows;
        c += rows * c_i;
    }
}

static void vector_gemm_rounded(const struct panels *w, const struct rounded *x, size_t row,
                                size_t m, float *c, size_t c_i, bool accumulate)
{
    const unsigned char *panel = w->first;

    for (size_t p = 0; p < w->n; p++, panel += w->bytes, c += PANEL)
        vector_panel(w->kind, x, row, m, panel, c, c_i, accumulate);
}

static void vector_round_row(const float *x, const struct rounded *to, size_t row)
{
    const size_t n_blocks = to->k / ROUNDED_BLOCK;
    struct rounded_apart *apart = to->apart + row * n_blocks;
    float rest[ROUNDED_BLOCK];

    for (size_t b = 0; b < n_blocks; b++, x += ROUNDED_BLOCK) {
        const size_t at = b * to->m + row;
        int8_t *q = to->q + at * ROUNDED_BLOCK;
        const struct rounded_top top = round_top(x);
        const bool stands_out = rounded_stands_out(&top);
        const struct rounding by = rounding_of(stands_out ? top.second : top.first);
        int32_t sums[2] = {0};

        if (stands_out) {
            memcpy(rest, x, sizeof rest);
            rest[top.at] = 0;
            *apart++ = (struct rounded_apart){(uint32_t)(b * ROUNDED_BLOCK + top.at), x[top.at]};
        }
        if (by.factor == 0)
            memset(q, 0, ROUNDED_BLOCK);
        else
            round_block(stands_out ? rest : x, by.factor, q, sums);
        to->step[at] = by.step;
        to->shift[at] = by.step * (float)(sums[0] + sums[1]);
        to->minus[2 * b * to->m + row] = -128 * sums[0];
        to->minus[(2 * b + 1) * to->m + row] = -128 * sums[1];
    }
    to->n_apart[row] = (uint32_t)(apart - (to->apart + row * n_blocks));
}

const struct rounded_kernels ROUNDED = {.round_row = vector_round_row, .gemm = vector_gemm_rounded};
