/*
 * matmul.c - the three products, cut into blocks that stay in cache and divided over threads by their outputs.
 *
 * A unit of work is a block of rows by a group of panels. Inside, k goes in chunks so that the unpacked panel stays in
 * the first-level cache and the rows' part in the second; the chain over k is parked in the output between chunks,
 * which changes no bit.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "tensor/cpu/kernels_internal.h"
#include "tensor/ops.h"

#include <assert.h>
#include <string.h>

#define K_CHUNK 320    /* k of one unpacked piece of a panel at most: 20 KiB */
#define K_BLOCK 32     /* of which it is a multiple, as blocks of weights are */
#define MOST_PANELS 2  /* of gemm_panels */
#define ROW_BLOCK 192  /* rows of a unit at most: 240 KiB of a chunk of their values */
#define PANEL_GROUP 64 /* panels of a unit at most */
#define UNITS_PER_THREAD 8
#define UNITS_BF16 3 /* the same on the way back in bfloats */

struct product {
    const struct packed *w;
    size_t m, ldx, ldy;
    const float *x;
    float *y;
    bool accumulate;
    struct division by;
};

/* As many blocks of rows as each thread can have equally many of. */
static void divide_rows(size_t m, size_t *n_blocks, size_t *block)
{
    const size_t least = (m + ROW_BLOCK - 1) / ROW_BLOCK, threads = (size_t)parallel_threads(),
                 blocks = least < threads ? least : size_round_up(least, threads);

    *block = blocks == 0 ? 0 : (m + blocks - 1) / blocks;
    *n_blocks = *block == 0 ? 0 : (m + *block - 1) / *block;
}

/*
 * Enough units for the threads to share evenly, large enough to keep rows in cache. share: of all the work that the threads
 * divide now, this one's.
 */
static struct division divide(size_t m, size_t n_panels, double share)
{
    struct division d;

    divide_rows(m, &d.n_row_blocks, &d.row_block);
    const size_t threads = (size_t)parallel_threads(), blocks = size_max(1, d.n_row_blocks),
                 side = kernels()->gemm_panels,
                 units = threads == 1 /* nobody to share with */
                             ? 1
                             : size_max(1, (size_t)(share * (double)(UNITS_PER_THREAD * threads))),
                 groups = (units + blocks - 1) / blocks,
                 panels = size_min(PANEL_GROUP, (n_panels + groups - 1) / groups);
    d.group = size_max(side, panels / side * side);
    d.n_units = d.n_row_blocks * ((n_panels + d.group - 1) / d.group);
    return d;
}

/* k of one piece: as even as can be, for a short last one would wait for its sums. */
static size_t chunk_of(size_t k)
{
    const size_t n = size_max(1, (k + K_CHUNK - 1) / K_CHUNK);

    return size_round_up((k + n - 1) / n, K_BLOCK);
}

/* m rows from r0 on, by the panels first to last. */
static void multiply_floats(const struct matmul_part *p, size_t r0, size_t m, size_t first,
                            size_t last)
{
    const struct packed *w = p->w;
    const struct kernels *kern = kernels();
    float pieces[MOST_PANELS * K_CHUNK * PANEL] __attribute__((aligned(64)));

    const size_t chunk = chunk_of(w->k);
    for (size_t k0 = 0; k0 < w->k; k0 += chunk) {
        const size_t n_k = size_min(chunk, w->k - k0);

        for (size_t q = first, n; q < last; q += n) {
            const unsigned char *panels = w->data + q * w->panel_bytes;
            const float *b = pieces;
            size_t b_panel = K_CHUNK * PANEL;

            n = size_min(kern->gemm_panels, last - q);
            if (w->kind == PACK_F32) {
                b = (const float *)(const void *)panels + k0 * PANEL;
                b_panel = w->panel_bytes / sizeof *b;
            } else {
                for (size_t i = 0; i < n; i++)
                    kern->unpack((enum pack_kind)w->kind, panels + i * w->panel_bytes, k0, n_k,
                                 pieces + i * b_panel);
            }
            kern->gemm(m, size_min(n * PANEL, w->n - q * PANEL), n_k, p->x + r0 * p->ldx + k0,
                       p->ldx, 1, b, PANEL, b_panel, p->y + r0 * p->ldy + q * PANEL, p->ldy,
                       p->accumulate || k0 > 0);
        }
    }
}

bool packed_is_whole(const struct packed *w)
{
    return w->kind == PACK_Q8 || w->kind == PACK_Q5 || w->kind == PACK_Q4 || w->kind == PACK_Q2;
}

bool packed_is_wide(const struct packed *w)
{
    return w->kind == PACK_Q8;
}

struct rounded rounded_room(size_t m, size_t k, struct arena *a)
{
    const size_t n_blocks = (k + ROUNDED_BLOCK - 1) / ROUNDED_BLOCK;

    return (struct rounded){.q = ARENA_ARRAY(a, int8_t, m * n_blocks * ROUNDED_BLOCK),
                            .step = ARENA_ARRAY(a, float, m *n_blocks),
                            .shift = ARENA_ARRAY(a, float, m *n_blocks),
                            .minus = ARENA_ARRAY(a, int32_t, m * n_blocks * 2),
                            .n_apart = ARENA_ARRAY(a, uint32_t, m),
                            .apart = ARENA_ARRAY(a, struct rounded_apart, m * n_blocks)};
}

struct row_rounding {
    const float *x;
    size_t ldx;
    const struct rounded *out;
};

#define ROUND_ROWS 16 /* of a unit: their steps fill whole lines of the cache */

static void round_unit(void *ctx, size_t unit, int thread)
{
    const struct row_rounding *r = ctx;

    (void)thread;
    for (size_t i = unit * ROUND_ROWS; i < r->out->m && i < (unit + 1) * ROUND_ROWS; i++)
        kernels()->bytes->round_row(r->x + i * r->ldx, r->out, i);
}

void round_rows(size_t m, size_t k, const float *x, size_t ldx, struct rounded *out)
{
    struct row_rounding r = {.x = x, .ldx = ldx, .out = out};

    out->m = m;
    out->k = k;
    parallel_for((m + ROUND_ROWS - 1) / ROUND_ROWS, round_unit, &r);
}

/* The last panel, of fewer outputs than others: by way of a whole one. */
static void narrow_panel(const struct matmul_part *p, const struct panels *w, size_t n, size_t r0,
                         size_t m)
{
    float *y = p->y + r0 * p->ldy + p->w->n - n;

    for (size_t i = 0; i < m; i++, y += p->ldy) {
        float row[PANEL] = {0};

        memcpy(row, y, n * sizeof *y);
        kernels()->bytes->gemm(w, p->rounded, p->first_rounded + r0 + i, 1, row, PANEL,
                               p->accumulate);
        memcpy(y, row, n * sizeof *y);
    }
}

static void multiply_rounded(const struct matmul_part *p, size_t r0, size_t m, size_t first,
                             size_t last)
{
    const struct packed *w = p->w;
    const size_t n_whole = w->n / PANEL, n_narrow = w->n % PANEL;
    struct panels panels = {.kind = (enum pack_kind)w->kind,
                            .first = w->data + first * w->panel_bytes,
                            .bytes = w->panel_bytes,
                            .n = size_min(last, n_whole) - size_min(first, n_whole)};

    if (panels.n > 0)
        kernels()->bytes->gemm(&panels, p->rounded, p->first_rounded + r0, m,
                               p->y + r0 * p->ldy + first * PANEL, p->ldy, p->accumulate);
    if (last > n_whole) {
        panels.first = w->data + n_whole * w->panel_bytes;
        panels.n = 1;
        narrow_panel(p, &panels, n_narrow, r0, m);
    }
}

struct parts {
    const struct matmul_part *all;
    size_t n;
};

static void part_unit(void *ctx, size_t unit, int thread)
{
    const struct parts *parts = ctx;
    const struct matmul_part *p = parts->all;

    (void)thread;
    for (; unit >= p->by.n_units; p++)
        unit -= p->by.n_units;
    const size_t r0 = unit % p->by.n_row_blocks * p->by.row_block,
                 m = size_min(p->by.row_block, p->m - r0),
                 first = unit / p->by.n_row_blocks * p->by.group,
                 last = size_min(first + p->by.group, p->w->n_panels);

    if (p->rounded == NULL || !packed_is_whole(p->w))
        multiply_floats(p, r0, m, first, last);
    else
        multiply_rounded(p, r0, m, first, last);
    if (p->scale == 1)
        return;
    const size_t n0 = first * PANEL, n = size_min(last * PANEL, p->w->n) - n0;
    for (size_t i = r0; i < r0 + m; i++)
        kernels()->scale(n, p->scale, p->y + i * p->ldy + n0);
}

static double work_of(const struct matmul_part *p)
{
    return (double)p->m * (double)p->w->n * (double)p->w->k;
}

void matmul_parts(struct matmul_part *parts, size_t n)
{
    struct parts all = {parts, n};
    double work = 0;
    size_t n_units = 0;

    for (size_t i = 0; i < n; i++) {
        assert(parts[i].scale == 1 || !parts[i].accumulate);
        work += work_of(&parts[i]);
    }
    for (size_t i = 0; i < n; i++) {
        parts[i].by =
            divide(parts[i].m, parts[i].w->n_panels, work > 0 ? work_of(&parts[i]) / work : 1);
        n_units += parts[i].by.n_units;
    }
    parallel_for(n_units, part_unit, &all);
}

void matmul(const struct packed *w, size_t m, const float *x, size_t ldx, float *y, size_t ldy,
            bool accumulate)
{
    struct matmul_part p = {.w = w,
                            .m = m,
                            .x = x,
                            .ldx = ldx,
                            .y = y,
                            .ldy = ldy,
                            .scale = 1,
                            .accumulate = accumulate};

    matmul_parts(&p, 1);
}

void matmul_rounded(const struct packed *w, const struct rounded *x, float *y, size_t ldy,
                    bool accumulate)
{
    struct matmul_part p = {
        .w = w, .m = x->m, .rounded = x, .y = y, .ldy = ldy, .scale = 1, .accumulate = accumulate};

    matmul_parts(&p, 1);
}

/* What lies beside a corner of a panel is asked for: next time it is its turn, and no machine guesses strides from panel to panel. */
static const unsigned char *corner_of(const struct packed *w, size_t n, size_t k)
{
    const size_t bytes = w->panel_bytes / ((w->k + PANEL - 1) / PANEL);
    const unsigned char *panel = w->data + n / PANEL * w->panel_bytes;

    for (size_t ahead = 0; ahead < bytes; ahead += 64)
        __builtin_prefetch(panel + (k / PANEL + 1) * bytes + ahead);
    return panel;
}

/* Of a unit of a product on the way back: a block of rows by a group of corners' columns. */
struct back_part {
    size_t row, m;      /* the first row and their number */
    size_t first, last; /* tiles of 16 k */
    size_t chunk;       /* of the outputs, along which it is summed */
};

static struct back_part back_part(const struct product *p, size_t unit)
{
    struct back_part b = {.row = unit % p->by.n_row_blocks * p->by.row_block,
                          .first = unit / p->by.n_row_blocks * p->by.group,
                          .chunk = chunk_of(p->w->n)};

    b.m = size_min(p->by.row_block, p->m - b.row);
    b.last = size_min(b.first + p->by.group, (p->w->k + PANEL - 1) / PANEL);
    return b;
}

/* piece[n][16] = w[n0 .. n0 + n][k0 .. k0 + 16] for each of some tiles, in 16 by 16 corners turned over */
static void back_unit(void *ctx, size_t unit, int thread)
{
    const struct product *p = ctx;
    const struct packed *w = p->w;
    const struct back_part b = back_part(p, unit);
    const struct kernels *kern = kernels();
    float pieces[MOST_PANELS * K_CHUNK * PANEL] __attribute__((aligned(64)));

    (void)thread;
    for (size_t n0 = 0; n0 < w->n; n0 += b.chunk) {
        const size_t n = size_min(b.chunk, w->n - n0);

        for (size_t t = b.first, tiles; t < b.last; t += tiles) {
            tiles = size_min(kern->gemm_panels, b.last - t);
            for (size_t i = 0; i < tiles; i++)
                for (size_t j = 0, k = (t + i) * PANEL; j < n; j += PANEL)
                    kern->unpack_across((enum pack_kind)w->kind, corner_of(w, n0 + j, k), k,
                                        size_min(PANEL, w->k - k),
                                        pieces + (i * K_CHUNK + j) * PANEL);
            kern->gemm(b.m, size_min(tiles * PANEL, w->k - t * PANEL), n,
                       p->x + b.row * p->ldx + n0, p->ldx, 1, pieces, PANEL, K_CHUNK * PANEL,
                       p->y + b.row * p->ldy + t * PANEL, p->ldy, p->accumulate || n0 > 0);
        }
    }
}

/* The same in bfloats, the rows of each chunk too. */
static void back_unit_bf16(void *ctx, size_t unit, int thread)
{
    const struct product *p = ctx;
    const struct packed *w = p->w;
    const struct back_part b = back_part(p, unit);
    const struct kernels *kern = kernels();
    const size_t value = kern->bf16->bytes;
    unsigned char pieces[MOST_PANELS * K_CHUNK * PANEL * sizeof(float)]
        __attribute__((aligned(64)));
    unsigned char rows[ROW_BLOCK * K_CHUNK * sizeof(float)] __attribute__((aligned(64)));

    (void)thread;
    for (size_t n0 = 0; n0 < w->n; n0 += b.chunk) {
        const size_t n = size_min(b.chunk, w->n - n0);

        for (size_t i = 0; i < b.m; i++)
            kern->bf16->row(n, p->x + (b.row + i) * p->ldx + n0, rows + i * K_CHUNK * value);
        for (size_t t = b.first, tiles; t < b.last; t += tiles) {
            tiles = size_min(kern->gemm_panels, b.last - t);
            for (size_t i = 0; i < tiles; i++)
                for (size_t j = 0, k = (t + i) * PANEL; j < n; j += PANEL)
                    kern->bf16->across((enum pack_kind)w->kind, corner_of(w, n0 + j, k), k,
                                       size_min(PANEL, w->k - k),
                                       pieces + (i * K_CHUNK + j) * PANEL * value);
            kern->bf16->gemm(b.m, size_min(tiles * PANEL, w->k - t * PANEL), size_round_up(n, 2),
                             rows, K_CHUNK, pieces, K_CHUNK * PANEL,
                             p->y + b.row * p->ldy + t * PANEL, p->ldy, p->accumulate || n0 > 0);
        }
    }
}

void matmul_back_x(const struct packed *w, size_t m, const float *dy, size_t lddy, float *dx,
                   size_t lddx, bool accumulate)
{
    struct product p = {
        .w = w, .m = m, .x = dy, .ldx = lddy, .y = dx, .ldy = lddx, .accumulate = accumulate};

    p.by = divide(m, (w->k + PANEL - 1) / PANEL, 1);
    parallel_for(p.by.n_units, back_unit, &p);
}

void matmul_back_x_bf16(const struct packed *w, size_t m, const float *dy, size_t lddy, float *dx,
                        size_t lddx, bool accumulate)
{
    struct product p = {
        .w = w, .m = m, .x = dy, .ldx = lddy, .y = dx, .ldy = lddx, .accumulate = accumulate};

    /* every unit rounds its rows anew: few, large ones */
    p.by = divide(m, (w->k + PANEL - 1) / PANEL, (double)UNITS_BF16 / UNITS_PER_THREAD);
    parallel_for(p.by.n_units, back_unit_bf16, &p);
}

struct product_floats {
    size_t m, n, k, a_i, a_k, ldb, ldc;
    const float *a, *b;
    float *c;
    bool accumulate;
    size_t n_row_blocks, row_block;
};

static void floats_unit(void *ctx, size_t unit, int thread)
{
    const struct product_floats *p = ctx;
    const size_t r0 = unit % p->n_row_blocks * p->row_block;
    const size_t m = size_min(p->row_block, p->m - r0);
    const size_t width = MOST_PANELS * PANEL, n0 = unit / p->n_row_blocks * width;

    (void)thread;
    kernels()->gemm(m, size_min(width, p->n - n0), p->k, p->a + r0 * p->a_i, p->a_i, p->a_k,
                    p->b + n0, p->ldb, PANEL, p->c + r0 * p->ldc + n0, p->ldc, p->accumulate);
}

void matmul_floats(size_t m, size_t n, size_t k, const float *a, size_t a_i, size_t a_k,
                   const float *b, size_t ldb, float *c, size_t ldc, bool accumulate)
{
    struct product_floats p = {.m = m,
                               .n = n,
                               .k = k,
                               .a = a,
                               .a_i = a_i,
                               .a_k = a_k,
                               .b = b,
                               .ldb = ldb,
                               .c = c,
                               .ldc = ldc,
                               .accumulate = accumulate};

    if (m == 0 || n == 0)
        return;
    divide_rows(m, &p.n_row_blocks, &p.row_block);
    parallel_for(p.n_row_blocks * ((n + MOST_PANELS * PANEL - 1) / (MOST_PANELS * PANEL)),
                 floats_unit, &p);
}
