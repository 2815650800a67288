/*
 * training_pass.h - the forward pass of rows whose loss is differentiated, and its backward.
 */
#ifndef HONE_MODEL_TRAINING_PASS_H
#define HONE_MODEL_TRAINING_PASS_H

#include "model/forward.h"

/*
 * Forward that remembers, then backward: between the two, the caller turns hidden into d_hidden. Gradients are added
 * to adapter->grads, or to model->full's where the model is unfrozen and adapter is NULL.
 *   known   [m], NULL where a row was not saved: those that were are not computed again, but for the layers of lean ones in
 *           the backward. They hold the values that the same weights and adapter gave, and stay the caller's. NULL: none
 *           are known.
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
/* Bytes that a pass over rows takes beside the workspace, its saved rows included; lean: with the layers' inputs alone. */
size_t training_pass_bytes(const struct model *m, size_t rank, size_t rows, bool lean);
#endif
