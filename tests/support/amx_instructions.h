/*
 * amx_instructions.h - the AMX instructions that kernels_rounded_amx.c uses, in plain C, so that what is written for tiles runs, and
 * is compared, on machines without them. As there, a tile has the rows and bytes that the configuration gave it, what lies
 * outside is 0, and an instruction whose tiles do not fit together fails.
 */
#ifndef HONE_TESTS_AMX_INSTRUCTIONS_H
#define HONE_TESTS_AMX_INSTRUCTIONS_H

#include <assert.h>
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define N_TILES 8

struct tile {
    size_t rows, row_bytes;
    union {
        uint8_t u8[16][64];
        int8_t i8[16][64];
        int32_t i32[16][16];
    };
};
static _Thread_local struct tile tiles_[N_TILES];

/* Intel's manual, volume 1, 18.2: palette 1 has 8 tiles of 16 rows of 64 bytes. */
static inline void tile_loadconfig(const void *config)
{
    const uint8_t *bytes = config;

    assert(bytes[0] == 1 && bytes[1] == 0);
    memset(tiles_, 0, sizeof tiles_);
    for (size_t t = 0; t < N_TILES; t++) {
        tiles_[t].row_bytes = bytes[16 + 2 * t] | (size_t)bytes[17 + 2 * t] << 8;
        tiles_[t].rows = bytes[48 + t];
        assert(tiles_[t].row_bytes <= 64 && tiles_[t].rows <= 16);
    }
}
static inline void tile_release(void)
{
    memset(tiles_, 0, sizeof tiles_);
}
static inline void tile_zero(size_t t)
{
    assert(tiles_[t].rows > 0);
    memset(tiles_[t].u8, 0, sizeof tiles_[t].u8);
}
static inline void tile_loadd(size_t t, const void *from, size_t stride)
{
    tile_zero(t);
    for (size_t i = 0; i < tiles_[t].rows; i++)
        memcpy(tiles_[t].u8[i], (const uint8_t *)from + i * stride, tiles_[t].row_bytes);
}
static inline void tile_stored(size_t t, void *to, size_t stride)
{
    assert(tiles_[t].rows > 0);
    for (size_t i = 0; i < tiles_[t].rows; i++)
        memcpy((uint8_t *)to + i * stride, tiles_[t].u8[i], tiles_[t].row_bytes);
}
/* sum[i][j] += a[i][4 k + b] * w[k][4 j + b] for all k and b: bytes with a sign by bytes without */
static inline void tile_dpbsud(size_t sum, size_t a, size_t w)
{
    struct tile *s = &tiles_[sum], *x = &tiles_[a], *y = &tiles_[w];

    assert(sum != a && sum != w && a != w && s->rows > 0 && s->rows == x->rows &&
           s->row_bytes == y->row_bytes && x->row_bytes == 4 * y->rows);
    for (size_t i = 0; i < s->rows; i++)
        for (size_t k = 0; k < x->row_bytes; k++)
            for (size_t j = 0; j < s->row_bytes / 4; j++)
                s->i32[i][j] += x->i8[i][k] * y->u8[k / 4][4 * j + k % 4];
}

#undef _tile_loadd
#undef _tile_stored
#undef _tile_zero
#undef _tile_dpbsud
#define _tile_loadconfig tile_loadconfig
#define _tile_release tile_release
#define _tile_loadd tile_loadd
#define _tile_stored tile_stored
#define _tile_zero tile_zero
#define _tile_dpbsud tile_dpbsud
#endif
