/*
 * dtype.h - the number formats of model files, and their meaning in FP32.
 *
 * Block formats are ggml's: so many values share a scale (and a minimum). Their layout and dequantisation are those of
 * gguf-py's quants.py, bit for bit: each product and each sum is rounded to FP32 by itself, in the order written there.
 * All bytes are little-endian and may stand at any address. Nothing here fails: sizes are checked where files are read.
 */
#ifndef HONE_TENSOR_DTYPE_H
#define HONE_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_Q8_0, /* 32 values: d f16, 32 q i8;                x = d q */
    DTYPE_Q4_0, /* 32 values: d f16, 32 q u4;                x = d (q - 8) */
    DTYPE_Q4_1, /* 32 values: d f16, m f16, 32 q u4;         x = d q + m */
    DTYPE_Q6_K, /* 256 values: 256 q u6, 16 s i8, d f16;     x = (d s) (q - 32), 16 values to an s */
    DTYPE_Q4_K, /* 256 values: d f16, e f16, 8 s u6, 8 m u6, 256 q u4;
                   x = (d s) q - (e m), 32 values to an s and an m */
    DTYPE_Q5_0, /* 32 values: d f16, 32 q u5;                x = d (q - 16) */
    DTYPE_Q5_1, /* 32 values: d f16, m f16, 32 q u5;         x = d q + m */
    DTYPE_Q2_K, /* 256 values: 16 s u4, 16 m u4, 256 q u2, d f16, e f16;
                   x = (d s) q - (e m), 16 values to an s and an m */
    DTYPE_Q3_K, /* 256 values: 256 q u3, 16 s u6, d f16;     x = (d (s - 32)) (q - 4), 16 values to an s */
    DTYPE_Q5_K, /* 256 values: as Q4_K, but q u5 */
    DTYPE_IQ4_NL, /* 32 values: d f16, 32 q u4;             x = d t[q], t a table of 16 whole numbers */
    DTYPE_IQ4_XS, /* 256 values: d f16, 8 s u6, 256 q u4;   x = (d (s - 32)) t[q], 32 values to an s */
    DTYPE_MXFP4,   /* 32 values: e u8, 32 q e2m1;            x = 2^(e - 128) (2 q) */
    DTYPE_F8_E4M3, /* a byte: sign, 4 bits of exponent, 3 of fraction; NaN but no infinity (OCP's FP8, "fn" in torch) */
    DTYPE_F8_E5M2, /* a byte: the upper half of an F16 */
    N_DTYPES,
    DTYPE_U8 =
        N_DTYPES /* bytes, of which no weight is: what safetensors make MXFP4 of, matrix_view's exponents */
};

struct dtype_info {
    const char *name;   /* "F32", "Q4_K": as in GGUF; "F8_E4M3": as in safetensors */
    size_t block;       /* values of a block: 1, 32 or 256 */
    size_t block_bytes; /* what they take in a file */
    bool has_min;       /* of blocks: see whole_block */
    int8_t least;       /* of blocks: the smallest q there is */
};
const struct dtype_info *dtype_info(enum dtype t);

/* Bytes of n values. n is a multiple of the block, and small enough for the product: check foreign n before. */
size_t dtype_bytes(enum dtype t, size_t n);

/*
 * A block of whole numbers, 16 of which share a d and an m: x[i] = d[i / 16] * q[i], or where the format has_min, + m[i / 16], product
 * and sum rounded each. It is what a format means: dtype_to_f32 and the panels of tensor/cpu are made from it.
 */
struct whole_block {
    float d[256 / 16], m[256 / 16];
    int8_t q[256];
};
/* The block at src, of a t whose block is longer than 1. */
void dtype_whole(enum dtype t, const void *src, struct whole_block *out);

/* dst[0..n) from n packed values at src (any alignment); n is a multiple of the block. They do not overlap. */
void dtype_to_f32(enum dtype t, const void *src, size_t n, float *dst);

/* Widening is exact, payloads of NaNs included. Narrowing rounds to nearest, ties to even; a NaN becomes a quiet one. */
float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float x); /* 65520 and more become infinite */
float bf16_to_f32(uint16_t h);
uint16_t f32_to_bf16(float x);
float f8_e4m3_to_f32(uint8_t b);

/* The factors of a matrix whose values are kept as FP8: value (i, k) is times s[i / rows * n_cols + k / cols]. */
struct weight_scale {
    size_t rows, cols; /* that share a factor */
    size_t n_cols;     /* factors along a row */
    const float *s;
};

/* A matrix as it lies in a file: rows of cols values each, cols contiguous. A vector is one row. */
struct matrix_view {
    enum dtype dtype;
    size_t rows, cols;
    const void *data; /* NULL: there is no such tensor */
    /* row i of the matrix is row row_order[i] of data; NULL: as it lies */
    const uint32_t *row_order;
    const struct weight_scale *scale; /* by rows of data; NULL: the values are as they lie */
    size_t scale_row;                 /* of the scales that data begins with */
    /* Values from a row to the next, and from a column to the next where there are no blocks; 0: rows lie one behind the other, values
       side by side. So a matrix may be every other row of another, or lie transposed. */
    size_t row_step, col_step;
    /*
     * Of MXFP4 as safetensors keep it (OpenAI's gpt-oss): e of each block, and at data the blocks' 16 bytes alone, whose nibbles are
     * pairs: byte i has the values 2 i (low) and 2 i + 1. NULL: ggml's blocks, where it has i and 16 + i.
     */
    const uint8_t *exponents;
};

/* Whether rows are packed values side by side, so that matrix_row is all there is to a row. */
static inline bool matrix_is_plain(const struct matrix_view *m)
{
    return m->row_step == 0 && m->col_step == 0 && m->exponents == NULL;
}

/* Row i (0..rows-1) of a plain one, packed: cols values for dtype_to_f32. */
static inline const void *matrix_row(const struct matrix_view *m, size_t i)
{
    const size_t at = m->row_order != NULL ? m->row_order[i] : i;

    return (const char *)m->data + at * dtype_bytes(m->dtype, m->cols);
}

/* Row i of any, packed, block by block as the format has them: put together in room, which has a row's dtype_bytes, unless it lies so. */
const void *matrix_row_packed(const struct matrix_view *m, size_t i, void *room);

/* What value (i, k) is times. */
static inline float matrix_scale(const struct matrix_view *m, size_t i, size_t k)
{
    const struct weight_scale *s = m->scale;
    const size_t at = m->scale_row + (m->row_order != NULL ? m->row_order[i] : i);

    return s == NULL ? 1 : s->s[at / s->rows * s->n_cols + k / s->cols];
}

/* dst[0..cols) from row i; each value times its factor is rounded once. */
void matrix_row_to_f32(const struct matrix_view *m, size_t i, float *dst);

#ifdef __cplusplus
}
#endif
#endif
