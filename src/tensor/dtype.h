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
    N_DTYPES
};

struct dtype_info {
    const char *name;   /* "F32", "Q4_K": as in GGUF */
    size_t block;       /* values of a block: 1, 32 or 256 */
    size_t block_bytes; /* what they take in a file */
};
const struct dtype_info *dtype_info(enum dtype t);

/* Bytes of n values. n is a multiple of the block, and small enough for the product: check foreign n before. */
size_t dtype_bytes(enum dtype t, size_t n);

/* dst[0..n) from n packed values at src (any alignment); n is a multiple of the block. They do not overlap. */
void dtype_to_f32(enum dtype t, const void *src, size_t n, float *dst);

/* Widening is exact, payloads of NaNs included. Narrowing rounds to nearest, ties to even; a NaN becomes a quiet one. */
float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float x); /* 65520 and more become infinite */
float bf16_to_f32(uint16_t h);
uint16_t f32_to_bf16(float x);

/* A matrix as it lies in a file: rows of cols values each, cols contiguous. A vector is one row. */
struct matrix_view {
    enum dtype dtype;
    size_t rows, cols;
    const void *data; /* NULL: there is no such tensor */
    /* row i of the matrix is row row_order[i] of data; NULL: as it lies */
    const uint32_t *row_order;
};

/* Row i (0..rows-1), packed: cols values for dtype_to_f32. */
static inline const void *matrix_row(const struct matrix_view *m, size_t i)
{
    const size_t at = m->row_order != NULL ? m->row_order[i] : i;

    return (const char *)m->data + at * dtype_bytes(m->dtype, m->cols);
}

#ifdef __cplusplus
}
#endif
#endif
