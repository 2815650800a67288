/*
 * kernels_rounded_amx.c - products of rounded rows with AMX: a tile instruction multiplies a block of 16 rows by one of a panel's
 * 16 outputs; what turns the sums into floats is the same chain as everywhere (rounded.h).
 *
 * The chain is what takes the time. For 16 rows and a block the tiles need 16 cycles, but conversions, products and fused multiply-adds
 * go one a cycle, not two, wherever tile instructions are about (measured on a Xeon of the 6th generation; additions still go
 * two). So sums become floats by additions, and nothing waits for anything: while the chain takes up the sums of one block, those
 * of the next are on their way to memory, the only way out of a tile, and the block after is multiplied. A store right behind its
 * product, many products before many chains, and copies of rows and weights side by side were slower.
 *
 * What gains nothing is left to VNNI: fewer than 16 rows, and kinds other than PACK_Q4: PACK_Q8 has the same work for half as many products.
 */
#if defined(__x86_64__)
#include "tensor/cpu/simd_bytes_avx512.h"

#include "tensor/cpu/kernels_rounded_weights.h"

#define TILE_ROWS 16
#define BLOCK_BYTES (ROUNDED_BLOCK * PANEL)
#define MOST_BLOCKS 32 /* that are unpacked together: 16 KiB */

/* As the processor reads it. Tiles 0 and 1: sums; 2 and 3: rows; 4 and 5: weights. */
struct tile_shapes {
    uint8_t palette, start_row, unused[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
};

static void shape_tiles(void)
{
    static const struct tile_shapes shapes = {
        .palette = 1,
        .row_bytes = {4 * PANEL, 4 * PANEL, ROUNDED_BLOCK, ROUNDED_BLOCK, 4 * PANEL, 4 * PANEL},
        .rows = {TILE_ROWS, TILE_ROWS, TILE_ROWS, TILE_ROWS, ROUNDED_BLOCK / 4, ROUNDED_BLOCK / 4},
    };

    _tile_loadconfig(&shapes);
}

/* 32 k of 16 rows by those of 16 outputs into tile 0, or 1: which tiles is part of an instruction. */
SIMD void multiply_0(const int8_t *rows, const uint8_t *weights)
{
    _tile_zero(0);
    _tile_loadd(2, rows, ROUNDED_BLOCK);
    _tile_loadd(4, weights, 4 * PANEL);
    _tile_dpbsud(0, 2, 4);
}
SIMD void multiply_1(const int8_t *rows, const uint8_t *weights)
{
    _tile_zero(1);
    _tile_loadd(3, rows, ROUNDED_BLOCK);
    _tile_loadd(5, weights, 4 * PANEL);
    _tile_dpbsud(1, 3, 5);
}

/* A whole number below 2^22: added to the bits of 1.5 * 2^23 it is that much more than that. */
SIMD vf f_from_sum(vi sum)
{
    return _mm512_sub_ps(_mm512_castsi512_ps(_mm512_add_epi32(sum, i_set(0x4B400000))),
                         f_set(0x1.8p23f));
}

SIMD void add_sums(const struct pack_q4 *w, const float *step, const float *shift,
                   const int32_t *sums, vf *acc)
{
    const vf d = f_load(w->d), least = f_load(w->m);

#pragma GCC unroll 16
    for (size_t i = 0; i < TILE_ROWS; i++) {
        acc[i] = f_fma(f_from_sum(i_load(sums + PANEL * i)), f_mul(d, f_set(step[i])), acc[i]);
        acc[i] = f_fma(least, f_set(shift[i]), acc[i]);
    }
}

/* What is unpacked next is asked for meanwhile: weights come from far, and unpacking alone is too short to wait in. */
SIMD void fetch_block(const struct pack_q4 *w)
{
    for (size_t i = 0; i < sizeof *w; i += 64)
        _mm_prefetch((const char *)w + i, _MM_HINT_T1);
}

/*
 * n blocks, from block on, of 16 rows by a panel: w, unpacked at weights. Every sum of floats is in a register. As many blocks
 * are fetched from next on, if that is not NULL.
 */
static __attribute__((noinline)) void tile_strip(const struct rounded *x, size_t row, size_t block,
                                                 size_t n, const struct pack_q4 *w,
                                                 const uint8_t *weights, const struct pack_q4 *next,
                                                 float *c, size_t c_i, bool accumulate)
{
    int32_t sums[2][TILE_ROWS * PANEL] __attribute__((aligned(64)));
    const size_t m = x->m, q_block = m * ROUNDED_BLOCK;
    const int8_t *q = x->q + (block * m + row) * ROUNDED_BLOCK;
    const float *step = x->step + block * m + row, *shift = x->shift + block * m + row;
    vf acc[TILE_ROWS];
    size_t b = 0;

#pragma GCC unroll 16
    for (size_t i = 0; i < TILE_ROWS; i++)
        acc[i] = accumulate ? f_load(c + i * c_i) : f_set(0);
    multiply_0(q, weights);
    if (n > 1)
        multiply_1(q + q_block, weights + BLOCK_BYTES);
    _tile_stored(0, sums[0], 4 * PANEL);
    for (; b + 2 <= n; b += 2) {
        if (next != NULL) {
            fetch_block(next + b);
            fetch_block(next + b + 1);
        }
        q += 2 * q_block;
        weights += (size_t)2 * BLOCK_BYTES;
        _tile_stored(1, sums[1], 4 * PANEL);
        if (b + 2 < n)
            multiply_0(q, weights);
        add_sums(w + b, step, shift, sums[0], acc);
        if (b + 2 < n)
            _tile_stored(0, sums[0], 4 * PANEL);
        if (b + 3 < n)
            multiply_1(q + q_block, weights + BLOCK_BYTES);
        add_sums(w + b + 1, step + m, shift + m, sums[1], acc);
        step += 2 * m;
        shift += 2 * m;
    }
    if (b < n)
        add_sums(w + b, step, shift, sums[0], acc);
#pragma GCC unroll 16
    for (size_t i = 0; i < TILE_ROWS; i++)
        f_store(c + i * c_i, acc[i]);
}

/* The halves of bytes as bytes, in the order of k. */
static void unpack_blocks(const struct pack_q4 *w, size_t n, uint8_t *out)
{
    for (size_t b = 0; b < n; b++, w++) {
        for (size_t g = 0; g < 4; g++, out += 128) {
            const vi both = i_load(w->q[g]);

            _mm512_storeu_si512(out, i_low_halves(both));
            _mm512_storeu_si512(out + 64, i_high_halves(both));
        }
    }
}

/* m rows, a multiple of 16 of them, by one panel of PACK_Q4. */
static void tile_panel(enum pack_kind kind, size_t n_panels, const struct rounded *x, size_t row,
                       size_t m, const void *panel, size_t bytes, float *c, size_t c_i,
                       bool accumulate)
{
    const struct pack_q4 *w = panel;
    uint8_t weights[MOST_BLOCKS * BLOCK_BYTES] __attribute__((aligned(64)));
    const size_t n_blocks = x->k / ROUNDED_BLOCK,
                 n_pieces = (n_blocks + MOST_BLOCKS - 1) / MOST_BLOCKS;

    (void)kind;
    (void)n_panels;
    (void)bytes;
    for (size_t piece = 0, b = 0, n; piece < n_pieces; piece++, b += n) {
        n = (n_blocks - b) / (n_pieces - piece);
        unpack_blocks(w + b, n, weights);
        for (size_t i = 0; i < m; i += TILE_ROWS)
            tile_strip(x, row + i, b, n, w + b, weights, i == 0 ? w + b + n : NULL, c + i * c_i,
                       c_i, accumulate || b > 0);
    }
}

static void add_apart_q4(const struct apart_plan *p, size_t n, const void *panel, size_t bytes,
                         float *c, size_t c_i)
{
    (void)n; /* 1 */
    add_apart(PACK_Q4, 1, p, panel, bytes, c, c_i);
}

void gemm_rounded_amx(const struct panels *w, const struct rounded *x, size_t row, size_t m,
                      float *c, size_t c_i, bool accumulate)
{
    const size_t in_tiles = w->kind == PACK_Q4 ? m / TILE_ROWS * TILE_ROWS : 0;

    if (in_tiles > 0) {
        shape_tiles();
        multiply_panels(w, 1, tile_panel, add_apart_q4, x, row, in_tiles, c, c_i, accumulate);
        _tile_release(); /* else each change of threads would save them */
    }
    if (in_tiles < m)
        rounded_avx512vnni.gemm(w, x, row + in_tiles, m - in_tiles, c + in_tiles * c_i, c_i,
                                accumulate);
}
#endif
