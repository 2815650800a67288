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
#define MOST_PARTS (PARTS * ROUNDED_SIDE)

#ifdef HONE_SANITIZED /* each access is looked at: unrolled they are more than a compiler can digest */
#define EACH(i, n) for (size_t i = 0; i < (n); i++)
#else
#define EACH(i, n) _Pragma("GCC unroll 16") for (size_t i = 0; i < (n); i++)
#endif

/* Where part p of the outputs of panels that lie bytes apart has its block. */
SIMD const void *block_of(const void *w, size_t bytes, size_t p)
{
    return (const char *)w + p / PARTS * bytes;
}
/* and the outputs of that block that are its own */
#define FROM(p) ((p) % PARTS * LANES)

/* What a block of n parts with minima adds to sums of floats, once the totals of its whole numbers are there. */
SIMD void add_totals(const size_t m, const size_t n, vi total[][MOST_PARTS], const float *d,
                     const float *least, size_t bytes, const float *step, const float *shift,
                     vf acc[][MOST_PARTS])
{
    EACH(p, n)
    {
        const vf by = f_load((const float *)block_of(d, bytes, p) + FROM(p)),
                 from = f_load((const float *)block_of(least, bytes, p) + FROM(p));

        EACH(i, m)
        {
            acc[i][p] = f_fma(f_from(total[i][p]), f_mul(by, f_set(step[i])), acc[i][p]);
            acc[i][p] = f_fma(from, f_set(shift[i]), acc[i][p]);
        }
    }
}

/* The same from sums of small products. */
SIMD void add_block(const size_t m, const size_t n, vi sum[][MOST_PARTS], const float *d,
                    const float *least, size_t bytes, const float *step, const float *shift,
                    vf acc[][MOST_PARTS])
{
    EACH(i, m)
    {
        EACH(p, n)
        sum[i][p] = i_small_total(sum[i][p]);
    }
    add_totals(m, n, sum, d, least, bytes, step, shift, acc);
}

/* Of part p of a block of small weights, those of group g of four k. */
SIMD vi four_of(const enum pack_kind kind, const void *w, size_t bytes, size_t g, size_t p)
{
    if (kind == PACK_Q2) {
        const struct pack_q2 *of = block_of(w, bytes, p);

        return i_and(i_shift_right(i_load(of->q[FROM(p)]), 2 * (int)g), i_set(0x03030303));
    }
    if (kind == PACK_Q5) {
        const struct pack_q5 *of = block_of(w, bytes, p);
        const vi both = i_load(of->q[g / 2][FROM(p)]),
                 fifth = i_shift_right(i_load(of->fifth[FROM(p)]), (int)g);

        return i_or(g % 2 == 0 ? i_low_halves(both) : i_high_halves(both),
                    i_shift_left(i_and(fifth, i_set(0x01010101)), 4));
    }
    const struct pack_q4 *of = block_of(w, bytes, p);
    const vi both = i_load(of->q[g / 2][FROM(p)]);

    return g % 2 == 0 ? i_low_halves(both) : i_high_halves(both);
}

/* Sums of the products of n_groups groups of four k, from group first on, of small weights and of rows whose numbers there begin at q. */
SIMD void sum_small(const enum pack_kind kind, const size_t m, const size_t n, const void *w,
                    size_t bytes, const size_t first, const size_t n_groups, const int8_t *q,
                    vi sum[][MOST_PARTS])
{
    EACH(i, m)
    {
        EACH(p, n)
        sum[i][p] = i_zero();
    }
    EACH(g, n_groups)
    {
        vi four[MOST_PARTS];

        EACH(p, n)
        four[p] = four_of(kind, w, bytes, first + g, p);
        EACH(i, m)
        {
            const vi of_row = i_set(four_bytes(q + 32 * i + 4 * g));

            EACH(p, n)
            sum[i][p] = i_now_if(m * n > PARTS, i_add_small(sum[i][p], four[p], of_row));
        }
    }
}

/* 32 k. */
SIMD void block_q4(const size_t m, const size_t n, const struct pack_q4 *w, size_t bytes,
                   const int8_t *q, const float *step, const float *shift, vf acc[][MOST_PARTS])
{
    vi sum[ROUNDED_ROWS][MOST_PARTS];

    sum_small(PACK_Q4, m, n, w, bytes, 0, 8, q, sum);
    add_block(m, n, sum, w->d, w->m, bytes, step, shift, acc);
}

/* 32 k. Sums of four products of pairs, 31 * 127 at most each, stay in 16 bits: those of either half. */
SIMD void block_q5(const size_t m, const size_t n, const struct pack_q5 *w, size_t bytes,
                   const int8_t *q, const float *step, const float *shift, vf acc[][MOST_PARTS])
{
    vi total[ROUNDED_ROWS][MOST_PARTS];

    EACH(i, m)
    {
        EACH(p, n)
        total[i][p] = i_zero();
    }
    for (int half = 0; half < 2; half++) {
        vi sum[ROUNDED_ROWS][MOST_PARTS];

        sum_small(PACK_Q5, m, n, w, bytes, 4 * (size_t)half, 4, q + 16 * half, sum);
        EACH(i, m)
        {
            EACH(p, n)
            total[i][p] = i_add(total[i][p], i_small_total(sum[i][p]));
        }
    }
    add_totals(m, n, total, w->d, w->m, bytes, step, shift, acc);
}

/* Two blocks, 32 k. */
SIMD void blocks_q2(const size_t m, const size_t n, const struct pack_q2 *w, size_t bytes,
                    const struct rounded *x, size_t b, size_t row, const int8_t *q,
                    const float *step, vf acc[][MOST_PARTS])
{
    for (size_t half = 0; half < 2; half++, w++) {
        vi sum[ROUNDED_ROWS][MOST_PARTS];
        float shift[ROUNDED_ROWS];

        EACH(i, m)
        shift[i] = rounded_shift16(x, 2 * b + half, row + i);
        sum_small(PACK_Q2, m, n, w, bytes, 0, 4, q + 16 * half, sum);
        add_block(m, n, sum, w->d, w->m, bytes, step, shift, acc);
    }
}

/* Two blocks, 32 k. */
SIMD void blocks_q8(const size_t m, const size_t n, const struct pack_q8 *w, size_t bytes,
                    const struct rounded *x, const int8_t *q, const float *step,
                    const int32_t *minus, vf acc[][MOST_PARTS])
{
    for (size_t h = 0; h < 2; h++, minus += x->m, w++) {
        vi sum[ROUNDED_ROWS][MOST_PARTS];

        EACH(i, m)
        {
            EACH(p, n)
            sum[i][p] = i_first(minus[i]);
        }
        EACH(g, 4)
        {
            vi four[MOST_PARTS];

            EACH(p, n)
            {
                const struct pack_q8 *of = block_of(w, bytes, p);

                four[p] = i_signed(i_load(of->q[g][FROM(p)]));
            }
            EACH(i, m)
            {
                const vi of_row = i_set(four_bytes(q + 32 * i + 16 * h + 4 * g));

                EACH(p, n)
                sum[i][p] = i_now(i_add_signed(sum[i][p], four[p], of_row));
            }
        }
        EACH(p, n)
        {
            const struct pack_q8 *of = block_of(w, bytes, p);
            const vf d = f_load(of->d + FROM(p));

            EACH(i, m)
            acc[i][p] = f_fma(f_from(sum[i][p]), f_mul(d, f_set(step[i])), acc[i][p]);
        }
    }
}

/* m rows by the outputs of n_panels, bytes apart. What is done once for each number that is read is worth it for all outputs. */
SIMD void rounded_tile(const enum pack_kind kind, const size_t m, const size_t n_panels,
                       const struct rounded *x, size_t row, const void *panel, size_t bytes,
                       const struct ahead *ahead, float *c, size_t c_i, bool accumulate)
{
    const size_t n_blocks = x->k / ROUNDED_BLOCK, n = n_panels * PARTS;
    const int8_t *q = x->q + row * ROUNDED_BLOCK;
    const float *step = x->step + row, *shift = x->shift + row;
    const int32_t *minus = x->minus + row;
    const char *next = ahead->at;
    const size_t lines = ahead->lines;
    vf acc[ROUNDED_ROWS][MOST_PARTS];

    EACH(i, m)
    {
        EACH(p, n)
        acc[i][p] = accumulate ? f_load(c + i * c_i + p * LANES) : f_set(0);
    }
    for (size_t b = 0; b < n_blocks; b++) {
        next = fetch(next, lines);
        if (kind == PACK_Q5)
            block_q5(m, n, (const struct pack_q5 *)panel + b, bytes, q, step, shift, acc);
        else if (kind == PACK_Q2)
            blocks_q2(m, n, (const struct pack_q2 *)panel + 2 * b, bytes, x, b, row, q, step, acc);
        else if (kind == PACK_Q4)
            block_q4(m, n, (const struct pack_q4 *)panel + b, bytes, q, step, shift, acc);
        else
            blocks_q8(m, n, (const struct pack_q8 *)panel + 2 * b, bytes, x, q, step,
                      minus + 2 * b * x->m, acc);
        q += x->m * ROUNDED_BLOCK;
        step += x->m;
        shift += x->m;
    }
    EACH(i, m)
    {
        EACH(p, n)
        f_store(c + i * c_i + p * LANES, acc[i][p]);
    }
}
#undef EACH

#define ADD_APART(kind)                                                                            \
    static __attribute__((noinline)) void add_apart_##kind(const struct apart_plan *p, size_t n,   \
                                                           const void *panel, size_t bytes,        \
                                                           float *c, size_t c_i)                   \
    {                                                                                              \
        if (n == 1)                                                                                \
            add_apart(kind, 1, p, panel, bytes, c, c_i);                                           \
        else                                                                                       \
            add_apart(kind, ROUNDED_SIDE, p, panel, bytes, c, c_i);                                \
    }                                                                                              \
    static __attribute__((noinline)) void add_apart_of_row_##kind(                                 \
        const struct rounded *x, size_t row, const void *panel, float *c)                          \
    {                                                                                              \
        add_apart_of_row(kind, x, row, panel, c);                                                  \
    }
ADD_APART(PACK_Q8)
ADD_APART(PACK_Q5)
ADD_APART(PACK_Q4)
ADD_APART(PACK_Q2)

typedef void rounded_tile_fn(const struct rounded *x, size_t row, const void *panel, size_t bytes,
                             const struct ahead *ahead, float *c, size_t c_i, bool accumulate);

#define ROUNDED_TILE(kind, m, n)                                                                   \
    static __attribute__((noinline)) void rounded_tile_##kind##_##m##_##n(                         \
        const struct rounded *x, size_t row, const void *panel, size_t bytes,                      \
        const struct ahead *ahead, float *c, size_t c_i, bool accumulate)                          \
    {                                                                                              \
        rounded_tile(kind, m, n, x, row, panel, bytes, ahead, c, c_i, accumulate);                 \
    }
#define ROUNDED_NAME(kind, m, n) rounded_tile_##kind##_##m##_##n,
#define ROUNDED_TO_2(x, kind, n) x(kind, 1, n) x(kind, 2, n)
#define ROUNDED_TO_4(x, kind, n) ROUNDED_TO_2(x, kind, n) x(kind, 3, n) x(kind, 4, n)
#define ROUNDED_TO_6(x, kind, n) ROUNDED_TO_4(x, kind, n) x(kind, 5, n) x(kind, 6, n)
#define ROUNDED_TO_12(x, kind, n)                                                                  \
    ROUNDED_TO_6(x, kind, n)                                                                       \
    x(kind, 7, n) x(kind, 8, n) x(kind, 9, n) x(kind, 10, n) x(kind, 11, n) x(kind, 12, n)
#if ROUNDED_ROWS == 2
#define ONE_PANEL(x, kind) ROUNDED_TO_2(x, kind, 1)
#elif ROUNDED_ROWS == 4
#define ONE_PANEL(x, kind) ROUNDED_TO_4(x, kind, 1)
#elif ROUNDED_ROWS == 12
#define ONE_PANEL(x, kind) ROUNDED_TO_12(x, kind, 1)
#endif
#if ROUNDED_SIDE == 1
#define SIDE_BY_SIDE(x, kind)
#elif ROUNDED_ROWS == 2
#define SIDE_BY_SIDE(x, kind) x(kind, 1, 2)
#elif ROUNDED_ROWS == 12
#define SIDE_BY_SIDE(x, kind) ROUNDED_TO_6(x, kind, 2)
#endif
#define ALL_TILES(x, kind) ONE_PANEL(x, kind) SIDE_BY_SIDE(x, kind)
ALL_TILES(ROUNDED_TILE, PACK_Q8)
ALL_TILES(ROUNDED_TILE, PACK_Q5)
ALL_TILES(ROUNDED_TILE, PACK_Q4)
ALL_TILES(ROUNDED_TILE, PACK_Q2)

/* What there is for a kind of whole numbers: tiles of so many rows of a panel, then of panels side by side; what comes behind all
   tiles of a panel; and the bytes of 32 k. */
static const struct rounded_kind {
    rounded_tile_fn *tiles[ROUNDED_ROWS + ROUNDED_ROWS / 2];
    apart_fn *add_apart;
    void (*add_apart_of_row)(const struct rounded *x, size_t row, const void *panel, float *c);
    size_t bytes;
} rounded_kinds[] = {
    [PACK_Q8] = {{ALL_TILES(ROUNDED_NAME, PACK_Q8)},
                 add_apart_PACK_Q8,
                 add_apart_of_row_PACK_Q8,
                 2 * sizeof(struct pack_q8)},
    [PACK_Q5] = {{ALL_TILES(ROUNDED_NAME, PACK_Q5)},
                 add_apart_PACK_Q5,
                 add_apart_of_row_PACK_Q5,
                 sizeof(struct pack_q5)},
    [PACK_Q4] = {{ALL_TILES(ROUNDED_NAME, PACK_Q4)},
                 add_apart_PACK_Q4,
                 add_apart_of_row_PACK_Q4,
                 sizeof(struct pack_q4)},
    [PACK_Q2] = {{ALL_TILES(ROUNDED_NAME, PACK_Q2)},
                 add_apart_PACK_Q2,
                 add_apart_of_row_PACK_Q2,
                 2 * sizeof(struct pack_q2)},
};

/* n panels side by side, bytes apart: 1 or ROUNDED_SIDE. */
static void vector_panels(enum pack_kind kind, size_t n, const struct rounded *x, size_t row,
                          size_t m, const void *panel, size_t bytes, float *c, size_t c_i,
                          bool accumulate)
{
    const struct rounded_kind *of = &rounded_kinds[kind];
    rounded_tile_fn *const *tiles = of->tiles + (n == 1 ? 0 : ROUNDED_ROWS);
    const size_t n_blocks = x->k / ROUNDED_BLOCK, all = n * n_blocks * of->bytes,
                 most = ROUNDED_ROWS / n;
    size_t n_tiles = (m + most - 1) / most;
    struct ahead ahead = {.at = (const char *)panel + n * bytes,
                          .lines = (all + 63) / 64 / (n_blocks * n_tiles) + 1};
    const char *const end = ahead.at + all;

    /* as even as can be: a last tile of a few rows would wait for its own sums */
    for (size_t at = 0, rows; n_tiles > 0; n_tiles--, at += rows) {
        rows = (m - at + n_tiles - 1) / n_tiles;
        tiles[rows - 1](x, row + at, panel, bytes, &ahead, c + at * c_i, c_i, accumulate);
        ahead.at += n_blocks * ahead.lines * 64;
        ahead.lines = ahead.at < end ? ahead.lines : 0;
    }
}

static void gemm_row(const struct panels *w, const struct rounded *x, size_t row, float *c,
                     bool accumulate)
{
    for (size_t p = 0; p < w->n; p++, c += PANEL) {
        const char *panel = (const char *)w->first + p * w->bytes;

        vector_panels(w->kind, 1, x, row, 1, panel, w->bytes, c, 0, accumulate);
        rounded_kinds[w->kind].add_apart_of_row(x, row, panel, c);
    }
}

static void vector_gemm_rounded(const struct panels *w, const struct rounded *x, size_t row,
                                size_t m, float *c, size_t c_i, bool accumulate)
{
    if (m == 1)
        gemm_row(w, x, row, c, accumulate);
    else
        multiply_panels(w, m >= ROUNDED_FEW ? ROUNDED_SIDE : 1, vector_panels,
                        rounded_kinds[w->kind].add_apart, x, row, m, c, c_i, accumulate);
}

static void vector_round_row(const float *x, const struct rounded *to, size_t row)
{
    const size_t n_blocks = to->k / ROUNDED_BLOCK;
    struct rounded_apart *apart = to->apart + row * n_blocks;

    for (size_t b = 0; b < n_blocks; b++, x += ROUNDED_BLOCK) {
        const size_t at = b * to->m + row;
        int8_t *q = to->q + at * ROUNDED_BLOCK;
        const struct rounded_top top = round_top(x);
        const bool stands_out = rounded_stands_out(&top);
        const struct rounding by = rounding_of(stands_out ? top.second : top.first);
        int32_t sums[2] = {0};

        if (stands_out)
            *apart++ = (struct rounded_apart){(uint32_t)(b * ROUNDED_BLOCK + top.at), x[top.at]};
        if (by.factor == 0)
            memset(q, 0, ROUNDED_BLOCK);
        else
            round_block(x, rounded_keep + (stands_out ? ROUNDED_BLOCK - top.at : 0), by.factor, q,
                        sums); /* a copy without the value would have to wait for its own stores */
        to->step[at] = by.step;
        to->shift[at] = by.step * (float)(sums[0] + sums[1]);
        to->minus[2 * b * to->m + row] = -128 * sums[0];
        to->minus[(2 * b + 1) * to->m + row] = -128 * sums[1];
    }
    to->n_apart[row] = (uint32_t)(apart - (to->apart + row * n_blocks));
}

const struct rounded_kernels ROUNDED = {.round_row = vector_round_row, .gemm = vector_gemm_rounded};
