/*
 * forward.h - tokens become hidden states; the one forward pass of reading, sampling and training alike.
 *
 *     x = embed[token]
 *     each layer:  x += O attention(rope(Q n1), rope(K n1), V n1),  n1 = rms_norm(x)
 *                  x += Down (silu(Gate n2) * Up n2),               n2 = rms_norm(x)
 *     hidden = rms_norm(x)
 *
 * That is Llama's layer; model_config says what another family's has beside or instead (biases, norms of q and k, norms behind,
 * scales, windows, layers without rope, another activation). What a model has not costs its rows nothing. logits_of is linear in
 * hidden, so a divisor of logits lies in the last norm's weights.
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
/* What a pass over so many rows takes of it. rank: of the adapter; 0: there is none. */
size_t workspace_bytes_of(const struct model *m, size_t rank, size_t rows);

/*
 * hidden[m, C] for the rows of b; the segments have grown by their rows afterwards.
 * adapter may be NULL. Fails only for want of memory or positions past the model's tables.
 */
MUST_CHECK bool forward(const struct model *m, const struct adapter *adapter, struct workspace *w,
                        const struct batch *b, float *hidden, struct error *err);

/* Rows of a batch that one adapter changes; NULL: none. */
struct adapted {
    const struct adapter *adapter;
    size_t n_rows;
};
/*
 * The same for rows of several adapters: runs [n_runs] follow one another and are the rows of b. What is the base's is
 * computed for all rows together, so a run of a row costs as much as another row and its adapter's two small products. A
 * segment belongs to one adapter: what it hangs on was computed with the same.
 */
MUST_CHECK bool forward_mixed(const struct model *m, const struct adapted *runs, size_t n_runs,
                              struct workspace *w, const struct batch *b, float *hidden,
                              struct error *err);

/* pos[b->m]: the rows' positions. ERR_LIMIT for one past the model's tables. */
MUST_CHECK bool batch_positions(const struct model *m, const struct batch *b, uint32_t *pos,
                                struct error *err);

/* forward, with what a backward needs of row i put into to[i]; NULL there: not wanted. */
MUST_CHECK bool forward_saving(const struct model *m, const struct adapter *adapter,
                               struct workspace *w, const struct batch *b,
                               struct saved_row *const *to, float *hidden, struct error *err);

/* logits[m, ld] (ld >= V) from hidden[m, C] */
void logits_of(const struct model *m, size_t rows, const float *hidden, float *logits, size_t ld);
#endif
