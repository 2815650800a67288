/*
 * experts_internal.h - a feed-forward layer of several experts, of which each row takes a few.
 *
 *     y = sum over the row's experts e of share[e] * down_e(act(gate_e x) * up_e x)       (Shazeer et al., arXiv:1701.06538)
 *
 * The router's logits say which: the largest n_chosen of them, of equal ones those of the lower numbers. A row's shares are the
 * softmax over its own experts' logits, or with shares_of_all their part of the softmax over all.
 *
 * The rows of an expert are put side by side and go through the products that all rows go through; a row's sum goes by the
 * experts' numbers. So its result depends on itself alone. The router computes in F32 always.
 *
 * Gradients flow to what is beneath, through the experts and through the shares; which experts a row takes has none. Router and
 * experts are frozen.
 */
#ifndef HONE_MODEL_EXPERTS_INTERNAL_H
#define HONE_MODEL_EXPERTS_INTERNAL_H

#include "model/model.h"

/* Of some rows; a slot is one of a row's experts, in the order of their numbers. */
struct experts_scratch {
    float *logits;    /* [M, E] */
    float *share;     /* [M, n_chosen] */
    uint32_t *expert; /* [M, n_chosen] */
    size_t *place;    /* [M, n_chosen] the slot's row where those of each expert lie side by side */
    size_t *first;    /* [E + 1] the first such row of each expert */
    float *x;         /* [M * n_chosen, C] side by side: what is read, then what comes out */
    float *gate, *up, *act;    /* [M * n_chosen, F] side by side */
    struct rounded *rounded;   /* of x, then of act; NULL: the model's precision is F32 */
    struct matmul_part *parts; /* [2 E] */
};
struct experts_scratch experts_scratch_make(const struct model *m, size_t rows, bool rounds,
                                            struct arena *a);
size_t experts_row_bytes(const struct model *m);      /* of a row of it */
size_t experts_back_row_bytes(const struct model *m); /* of what experts_backward takes for a row */

/* x, y [M, C], which may be the same; gate, up [M, n_chosen, F] are kept for the backward. */
void experts_forward(const struct model *m, size_t layer, size_t rows, const float *x,
                     const struct experts_scratch *t, float *gate, float *up, float *y);
/* dx [M, C] from dy [M, C] and what the forward read and kept. */
void experts_backward(const struct model *m, size_t layer, size_t rows, const float *x,
                      const float *gate, const float *up, const float *dy, float *dx,
                      struct arena *a);
#endif
