/*
 * layer_internal.h - one layer for some rows, forward and backward, and what is kept of a row between the two.
 */
#ifndef HONE_MODEL_LAYER_INTERNAL_H
#define HONE_MODEL_LAYER_INTERNAL_H

#include "model/attention.h"
#include "model/experts_internal.h"
#include "model/model.h"
#include "model/saved.h"

/* Floats, not cleared, with room behind them for products that read a whole panel. */
float *layer_room(struct arena *a, size_t n);

/* What becomes of gate and up, and its gradient: tensor/ops.h. */
typedef void gate_fn(size_t m, size_t n, const float *gate, const float *up, float *y,
                     struct rounded *rounded);
typedef void gate_back_fn(size_t m, size_t n, const float *gate, const float *up, const float *dy,
                          float *dgate, float *dup);
gate_fn *gate_forward(enum activation a);
gate_back_fn *gate_backward(enum activation a);

/* Rows that go through one adapter, row the first of them; a layer's rows are in at most one of these each. */
struct adapter_rows {
    const struct adapter *adapter;
    size_t row, n_rows;
};

/* What the backward needs of one layer. */
struct layer_state {
    float *x;                 /* [M, C] the layer's input */
    float *r1, *r2;           /* [M] the norms' factors */
    float *q;                 /* [M, H*D] rotated */
    float *row_max, *row_inv; /* [M, H] */
    float *att;               /* [M, H*D] */
    float *mid;               /* [M, C] after attention */
    float *gate, *up;         /* [M, F], of experts [M, n_chosen, F] */
    size_t rank;              /* R; of several adapters the largest; 0: there is none */
    float *u[N_PROJECTIONS];  /* [M, R] s A x */
    float *raw_q, *raw_k;     /* [M, H*D], [M, K*D] before their norms; NULL: they have none */
    float *att_out, *ffn_out; /* [M, C] before the norms behind; NULL: there are none */
};
/* Room for everything but x. */
struct layer_state layer_state_make(const struct model *m, size_t rank, size_t rows,
                                    struct arena *a);

/* Buffers that no one needs after the layer. */
struct layer_scratch {
    float *norm, *k, *v, *act;
    struct rounded *rounded;   /* NULL: the model's precision is F32 */
    struct matmul_part *parts; /* of linear layers that read the same rows */
    struct experts_scratch experts;
};
/* n_by: see layer_forward. */
struct layer_scratch layer_scratch_make(const struct model *m, size_t rows, size_t n_by,
                                        struct arena *a);

size_t rounded_row_bytes(size_t k); /* of a rounded row */
/* Bytes of a row of both. */
size_t layer_row_bytes(const struct model *m, size_t rank);

/*
 * s->x in, out [M, C] out; out is not s->x's memory. Keys and values go into the plan's pages, too. by [n_by]: the adapters
 * and their rows; each linear layer is computed once for all rows, then each adapter's part for its own.
 */
void layer_forward(const struct model *m, const struct adapter_rows *by, size_t n_by, size_t layer,
                   size_t rows, const uint32_t *pos, const struct attention_plan *plan,
                   struct layer_state *s, const struct layer_scratch *t, float *out);

/* Of layer_forward the keys and values alone: into the plan's pages. */
void layer_store_kv(const struct model *m, const struct adapter_rows *by, size_t n_by, size_t layer,
                    size_t rows, const uint32_t *pos, const struct attention_plan *plan,
                    struct layer_state *s, const struct layer_scratch *t);

/*
 * dx [M, C]: the gradient at the layer's output in, at its input out; below the first layer only the unfrozen embedding has
 * a use for it, else dx is left as it is there. Gradients of the adapter, or of the unfrozen weights, are added to.
 */
void layer_backward(const struct model *m, const struct adapter *ad, size_t layer, size_t rows,
                    const uint32_t *pos, const struct attention_plan *plan,
                    const struct layer_state *s, struct arena *a, float *dx);

/* ---- rows of a layer's state, to and from where they are kept; many at a time, in parallel ---- */

/* Row i of s and of t's k and v into to[i], at a layer; NULL: not kept; a lean row takes x alone. */
void layer_keep(const struct model *m, const struct adapter *ad, size_t layer, size_t rows,
                const struct layer_state *s, const struct layer_scratch *t,
                struct saved_row *const *to);
/* x of row i from from[i], none of them NULL; layer L is what goes into the final norm. */
void layer_fetch_x(const struct model *m, size_t layer, size_t rows, struct saved_row *const *from,
                   float *x);
/* The rest of s but for keys and values; lean rows are left out. */
void layer_fetch(const struct model *m, const struct adapter *ad, size_t layer, size_t rows,
                 struct saved_row *const *from, struct layer_state *s);
/* Keys and values; NULL and lean rows are left out. */
void layer_fetch_kv(const struct model *m, const struct adapter *ad, size_t layer, size_t rows,
                    struct saved_row *const *from, float *k, float *v);
/* Row i of from, x, k and v apart, becomes row to_row[i] of to. */
void layer_spread(const struct model *m, const struct adapter *ad, size_t rows,
                  const struct layer_state *from, const size_t *to_row, struct layer_state *to);
#endif
