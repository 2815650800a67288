/*
 * optimizer.h - gradients become new values: AdamW with a bound on the gradient's norm.
 *
 * AdamW: Loshchilov, Hutter, arXiv:1711.05101; PyTorch's order of operations but for the decay, which is added to the
 * step before the rate multiplies it.
 */
#ifndef HONE_TRAIN_OPTIMIZER_H
#define HONE_TRAIN_OPTIMIZER_H

#include "base/arena.h"

#include <stdint.h>

struct optimizer_options {
    double beta1, beta2, eps, weight_decay, max_grad_norm;
};

struct optimizer {
    struct optimizer_options opt;
    size_t n;
    uint64_t t;    /* updates made */
    float *m, *v;  /* [n] moments */
    float *old[3]; /* [n] values and moments before the last update, to undo it; NULL: not kept */
    uint64_t old_t;
};

/* n values; keep_old: an update can be undone (three more arrays). Memory from the arena. */
MUST_CHECK bool optimizer_init(struct optimizer *o, const struct optimizer_options *opt, size_t n,
                               bool keep_old, struct arena *a, struct error *err);
/* One update of values[n] by grads[n], which are zeroed after; returns the gradient's norm before clipping. A norm that
   is not finite changes nothing. */
double optimizer_step(struct optimizer *o, double learning_rate, float *values, float *grads);
void optimizer_undo(struct optimizer *o, float *values);
/* SHA-256 over n values as little-endian floats: what two runs are compared by. */
void values_sha256(const float *values, size_t n, char hex[65]);
#endif
