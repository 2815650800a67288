/*
 * dtype.h - the number formats of model files, and their meaning in FP32.
 *
 * Block formats are ggml's: their layout and dequantisation are those of gguf-py's quants.py, bit for bit.
 */
#ifndef HONE_TENSOR_DTYPE_H
#define HONE_TENSOR_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum dtype { DTYPE_F32, DTYPE_F16, DTYPE_BF16, DTYPE_Q8_0, DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q6_K, DTYPE_Q4_K, N_DTYPES };

struct dtype_info {
    const char *name;
    size_t block;       /* values of a block: 1, 32 or 256 */
    size_t block_bytes;
};
const struct dtype_info *dtype_info(enum dtype t);

/* Bytes of n values (n a multiple of the block). */
size_t dtype_bytes(enum dtype t, size_t n);

/* dst[0..n) from n packed values at src (any alignment); n a multiple of the block. */
void dtype_to_f32(enum dtype t, const void *src, size_t n, float *dst);

float f16_to_f32(uint16_t h);
uint16_t f32_to_f16(float x); /* round to nearest even */
float bf16_to_f32(uint16_t h);
uint16_t f32_to_bf16(float x); /* round to nearest even */

/* A matrix as it lies in a file: rows of cols values each, cols contiguous. A vector is one row. */
struct matrix_view {
    enum dtype dtype;
    size_t rows, cols;
    const void *data;          /* NULL: there is no such tensor */
    const uint32_t *row_order; /* row i of the matrix is row row_order[i] of data; NULL: as it lies */
};
static inline const void *matrix_row(const struct matrix_view *m, size_t i)
{
    const size_t at = m->row_order != NULL ? m->row_order[i] : i;

    return (const char *)m->data + at * dtype_bytes(m->dtype, m->cols);
}
#endif
