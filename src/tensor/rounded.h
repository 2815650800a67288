/*
 * rounded.h - rows of numbers rounded to bytes, for products with weights that are whole numbers themselves.
 *
 * Each block of 32 values of a row has a step of its own. A value that stands out, more than 1.5 times as large as any other of
 * its block, is kept apart as it is, and counts as 0 in the block: a few such values, in the same places of most rows, would else
 * cost all others their precision (Dettmers et al., arXiv:2208.07339). Of the rest step = max |x| / 127, and x becomes the whole number nearest to
 * x * (127 / max |x|), to the even one of two. A block is a function of its own 32 values alone.
 *
 * Sums of products of whole numbers are exact in any order, so every machine has the same bits; one chain of fused multiply-adds turns
 * them into floats. With weights w = q * d + m in blocks of k (32 of PACK_Q4 and PACK_Q5; 16 of PACK_Q2, and of PACK_Q8, where m is 0):
 *
 *     for each block: acc = fma((float)(sum of q * x's), d * step, acc), then acc = fma(m, step * (float)(sum of x's), acc)
 *     for each value apart, by its place: acc = fma(x, w, acc)
 *
 * A block whose largest value is below 2^-100 is zero; one that is not finite makes its row NaN.
 */
#ifndef HONE_TENSOR_ROUNDED_H
#define HONE_TENSOR_ROUNDED_H

#include <stddef.h>
#include <stdint.h>

#define ROUNDED_BLOCK 32
#define ROUNDED_APART 1.5f /* times the next largest of its block */

struct rounded_apart {
    uint32_t k;
    float x;
};

/* Block by block, so that what several rows have for the same weights lies side by side. */
struct rounded {
    size_t m, k;  /* k: a multiple of 32 */
    int8_t *q;    /* [k / 32][m][32], -127..127 */
    float *step;  /* [k / 32][m] */
    float *shift; /* [k / 32][m]: step times the sum of the block's q */
    int32_t *
        minus; /* [k / 16][m]: -128 times the sum of 16 q's, for machines whose bytes have no sign on one side */
    uint32_t *n_apart;           /* [m] */
    struct rounded_apart *apart; /* [m][k / 32], the first n_apart of each row */
};
#endif
