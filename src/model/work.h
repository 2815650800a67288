/*
 * work.h - what a pass over a model has to compute and to read at least, counted from its shape; and how long a machine takes.
 *
 * With W the weights of a layer's seven matrices, summed over the L layers, A = sum of R (N + K) those of an adapter, and c the
 * positions that a row sees, itself included, a multiplication and an addition counting as two:
 *
 *     forward, a row      2 W + 4 L H D c + 2 A            (4 L H D c: scores, and sums of values)
 *     logits of a row     2 V C
 *     backward, a row     2 (W - Q, K, V of the first layer) + 8 L H D c + 4 A
 *     logits' backward    2 V C
 *
 * Where layers have experts, W has of each layer the router and as many experts as a row takes, and the backward computes the router
 * once more; a pass of M rows reads E (1 - (1 - n_chosen / E)^M) of E experts, what they take if all are equally likely.
 *
 * In a layer with a window c is at most that. (Summed over the rows of a pass: where some see less than a window and others more,
 * it is counted as if all saw their mean.)
 *
 * So training an adapter is 4 W + 12 L H D c + 6 A + 4 V C a row (the first layer aside, whose input needs no gradient).
 * Norms, softmax, drawing, rounding and unpacking count as nothing: what they take is time lost. With PRECISION_INT8
 * products with weights of whole numbers are of bytes in the forward and of bfloats in the backward, all else of floats; those of
 * bytes with weights of eight bits (PACK_Q8) are counted apart, for without VNNI a machine multiplies them half as fast.
 *
 * A pass reads the weights once, in the number format of their file, the head only where logits are wanted, and keys and
 * values of what its rows see, shared positions once. Activations count as nothing.
 */
#ifndef HONE_MODEL_WORK_H
#define HONE_MODEL_WORK_H

#include "model/model.h"
#include "tensor/roof.h"

struct work {
    double f32, bf16, int8, int8_wide; /* operations, at the rates of struct roof */
    double bytes;                      /* read */
};

struct work_rows { /* of one pass; need not be whole numbers: a mean of passes will do */
    double rows;
    double seen;   /* positions that they see, summed over the rows */
    double logits; /* rows whose logits are wanted */
    double read;   /* positions whose keys and values come from before the pass, shared ones once */
    size_t rank;   /* of the adapter; 0: none */
};

struct work work_forward(const struct model *m, const struct work_rows *r);
struct work work_backward(const struct model *m, const struct work_rows *r);
struct work work_times(struct work w, double n);
struct work work_sum(struct work a, struct work b);

/* Seconds that it takes at least: multiplying and reading go on at once, so the longer of the two. */
double work_multiply_seconds(const struct work *w, const struct roof *roof);
double work_read_seconds(const struct work *w, const struct roof *roof);
double work_seconds(const struct work *w, const struct roof *roof);
#endif
