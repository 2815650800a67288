/*
 * attention.h - each row looks at the positions of its own path through the tree of segments, itself included.
 *
 *     out = sum_j softmax_j(q . k_j / sqrt(D)) v_j        (Vaswani et al., arXiv:1706.03762; grouped heads: 2305.13245)
 *
 * For a row: scores are chains over D; the softmax's sum goes by lanes over the positions that it sees; the output is a chain
 * over positions from 0 on. So a row's result does not depend on which rows are computed with it, nor on where the
 * tree parts. Rows that share a trunk read its keys once.
 *
 * In a layer with a window the positions before a row's window weigh 0, and pages that lie before the windows of all rows of a
 * block are not read: adding 0 times a number changes no bit of a sum that began with 0.
 */
#ifndef HONE_MODEL_ATTENTION_H
#define HONE_MODEL_ATTENTION_H

#include "base/arena.h"
#include "model/kv.h"

/* n_rows new positions at a segment's end; a batch's rows are its spans' rows in order. Parents come before children. */
struct span {
    struct kv_segment *seg;
    size_t n_rows;
};

struct attention_plan; /* how a batch's rows are cut into blocks: made once, used for every layer */
/* To be made before the spans' segments grow (seg->len is still the old one). Lives in the arena. */
struct attention_plan *attention_plan_make(const struct model_config *c, const struct span *spans,
                                           size_t n_spans, struct arena *a);

/* Puts the rows' new keys and values [M, K*D] into the spans' pages; rotate, unless NULL, is called for each row before. */
struct rotation {
    const float *cos_, *sin_; /* [positions, rotary width / 2] */
    const uint32_t *pos;      /* [M] */
    float *q, *k;             /* [M, H*D], [M, K*D] */
    const float *q_scale; /* [positions] what rotated queries are multiplied by; NULL: nothing */
};
void attention_store(const struct attention_plan *plan, size_t layer, const struct rotation *rotate,
                     const float *k, const float *v);
/* out[M, H*D]; row_max, row_inv [M, H]: the softmax's maximum and one over its sum, for the backward (may be NULL). */
void attention(const struct attention_plan *plan, size_t layer, const float *q, float *out,
               float *row_max, float *row_inv);
/* The same with a logit of each head, sinks [H], beside those of the positions: it takes a part of the weights, and has no value. The
   backward needs to know no more than row_max and row_inv. NULL: there are none. */
void attention_with_sinks(const struct attention_plan *plan, size_t layer, const float *q,
                          const float *sinks, float *out, float *row_max, float *row_inv);
/*
 * dq [M, H*D], dk, dv [M, K*D] (all set, not added to) from dout. Every position that a row sees is a row of this
 * batch, seg->row0 saying which. Sums over rows are chains in the batch's order within each tree. The arena gives room to divide a
 * tree among threads where there are few trees.
 */
void attention_back(const struct attention_plan *plan, size_t layer, const float *q,
                    const float *out, const float *row_max, const float *row_inv, const float *dout,
                    float *dq, float *dk, float *dv, struct arena *a);
#endif
