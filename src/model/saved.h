/*
 * saved.h - what the backward needs of a row, kept from wherever the row was computed.
 *
 * A row's activations depend on its own path through the tree alone, so those that sampling computed are, bit for bit,
 * those that training would compute again. Kept row by row, any set of rows can be put together to a pass later. They
 * hold until the weights or the adapter change. Pools and rows are used by one thread at a time.
 *
 *     values, layer by layer:  x [C], then unless lean: q, att [H*D], mid [C], gate, up [F, of each of its experts], k, v [K*D],
 *                              row_max, row_inv [H], r1, r2, u [7][R]; where the model has norms of queries and keys:
 *                              raw q, k before them; where it has norms behind: att_out, ffn_out [C] before them
 *     then                     last [C], the input of the final norm
 *
 * k and v are as they were before a cache rounded them: put into one of the same kind again, they are rounded to the same.
 */
#ifndef HONE_MODEL_SAVED_H
#define HONE_MODEL_SAVED_H

#include "model/config.h"

struct saved_row {
    float *values;
    size_t stride;          /* from layer to layer */
    struct saved_row *next; /* while it is free */
    bool free;
};

/* n places of rows, NULL ones too. */
static inline void saved_places(struct saved_row **to, struct saved_row *const *from, size_t n)
{
    for (size_t i = 0; i < n; i++)
        to[i] = from[i];
}

/* Where a layer's parts begin. */
struct saved_layout {
    size_t q, att, mid, gate, up, k, v, row_max, row_inv, r1, r2, u, raw_q, raw_k, att_out, ffn_out,
        stride;
};
struct saved_layout saved_layout_of(const struct model_config *c, size_t rank);

struct saved_pool;
/* Rows of the layout for an adapter of that rank (0: none), at most max_bytes of them in all. */
MUST_CHECK bool saved_pool_open(const struct model_config *c, size_t rank, size_t max_bytes,
                                struct saved_pool **out, struct error *err);
void saved_pool_close(struct saved_pool *p);
size_t saved_pool_bytes(const struct saved_pool *p); /* taken from the system */
size_t saved_pool_most(const struct saved_pool *p);  /* bytes that it may take */
/* No row is in use: at most max_bytes from now on, what is more goes back to the system. */
void saved_pool_shrink(struct saved_pool *p, size_t max_bytes);
/* It takes no more from the system once less than so many bytes would be left to others: memory_available. 0, as from the
   start: it does not ask. */
void saved_pool_leave(struct saved_pool *p, double bytes);
/* Whether the system had less for it than max_bytes since the last time that this was asked. */
bool saved_pool_was_cut(struct saved_pool *p);
size_t saved_pool_free(const struct saved_pool *p); /* rows that may still be taken */
size_t saved_row_bytes(const struct model_config *c, size_t rank);

/*
 * Lean rows beside them, of which the layers' inputs alone are kept, at most max_bytes in all: a tenth of a row, and the forward pass
 * of training is spared all the same; its layers are computed anew in the backward. Once, before any row is taken.
 */
MUST_CHECK bool saved_pool_add_lean(struct saved_pool *p, const struct model_config *c,
                                    size_t max_bytes, struct error *err);
size_t saved_lean_bytes(const struct model_config *c);
/* A row, or where there is none a lean one; NULL where there is none either. */
struct saved_row *saved_take_any(struct saved_pool *p, size_t leave);

/* A row with its values undefined; NULL when not more than `leave` of them may still be taken. */
struct saved_row *saved_take(struct saved_pool *p, size_t leave);
/* Gives a row back. NULL and a row that was given back already are fine. */
void saved_give(struct saved_pool *p, struct saved_row *row);
/* Gives back every row there is. */
void saved_clear(struct saved_pool *p);
#endif
