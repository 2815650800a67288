/*
 * forward.h - tokens become hidden states; the one forward pass of reading, sampling and training alike.
 *
 *     x = embed[token]
 *     each layer:  x += O attention(rope(Q n1), rope(K n1), V n1),  n1 = rms_norm(x)
 *                  x += Down (silu(Gate n2) * Up n2),               n2 = rms_norm(x)
 *     hidden = rms_norm(x)
 *
 * Each linear layer with its adapter where there is one. A row's hidden state depends on its own path alone.
 */
#ifndef HONE_MODEL_FORWARD_H
#define HONE_MODEL_FORWARD_H

#include "model/attention.h"
#include "model/model.h"
#include "model/saved.h"

/* What is computed: rows of tokens, spans saying at which segments' ends they are new. Segments have room reserved. */
struct batch {
    size_t m;               /* rows: the sum of the spans' n_rows */
    const token_id *tokens; /* [m] */
    const struct span *spans;
    size_t n_spans;
};

/* Memory for the activations of at most m rows; one thread of control at a time. Reused from call to call. */
struct workspace;
MUST_CHECK bool workspace_open(const struct model *m, struct workspace **out, struct error *err);
void workspace_close(struct workspace *w);
size_t workspace_bytes(const struct workspace *w);

/*
 * hidden[m, C] for the rows of b; the segments have grown by their rows afterwards.
 * adapter may be NULL. Fails only for want of memory or positions past the model's tables.
 */
MUST_CHECK bool forward(const struct model *m, const struct adapter *adapter, struct workspace *w,
                        const struct batch *b, float *hidden, struct error *err);

/* The same, with what a backward needs of row i put into to[i]; NULL there: not wanted. */
MUST_CHECK bool forward_saving(const struct model *m, const struct adapter *adapter,
                               struct workspace *w, const struct batch *b,
                               struct saved_row *const *to, float *hidden, struct error *err);

/*
 * Forward that remembers, then backward: between the two, the caller turns hidden into d_hidden. Gradients are added
 * to adapter->grads, or to model->full's where the model is unfrozen and adapter is NULL.
 *   known   [m], NULL where a row was not saved: those that were are not computed again. They hold the values that the
 *           same weights and adapter gave, and stay the caller's. NULL: none are known.
 *   pool    rows that are computed are kept here if it has room for all of them; NULL or full: of those only the layers'
 *           inputs are kept, and each layer is computed anew for them in the backward. Same bits.
 * Every position that a row sees is a row of the batch.
 */
struct training_pass;
MUST_CHECK bool training_forward(const struct model *m, struct adapter *adapter,
                                 struct workspace *w, const struct batch *b,
                                 struct saved_pool *pool, struct saved_row *const *known,
                                 float *hidden, struct training_pass **out, struct error *err);
void training_backward(struct training_pass *p, const float *d_hidden);
void training_pass_release(struct training_pass *p); /* NULL is fine */
/* Bytes that a pass over rows needs, its saved rows included; lean: with the layers' inputs alone. */
size_t training_pass_bytes(const struct model *m, size_t rank, size_t rows, bool lean);

/* logits[m, ld] (ld >= V) from hidden[m, C] */
void logits_of(const struct model *m, size_t rows, const float *hidden, float *logits, size_t ld);
#endif
