/*
 * loss.h - the policy-gradient loss at the head, with its gradient, without ever holding a batch's logits.
 *
 *     L = -(1/N) sum_targets c ln p(token)  -  (b/N) sum_rows n H(row)
 *
 * c: the targets' coefficients (sums of advantages), n: answers that passed a row, H: the row's entropy in nats, b: the
 * entropy's coefficient. A few rows of logits at a time are computed, turned into their gradient in place, and gone.
 */
#ifndef HONE_TRAIN_LOSS_H
#define HONE_TRAIN_LOSS_H

#include "sample/engine.h"
#include "train/tree.h"

struct loss_options {
    float inv_t;         /* one over the temperature that tokens were drawn with */
    float entropy_bonus; /* b; 0: none */
    double n;            /* N: drawn tokens of the whole step, over all passes */
};

struct loss_sums { /* added to, so that several passes make one */
    double loss;
    double entropy;   /* sum over rows of n H */
    double max_dlogp; /* max |ln p now - ln p when drawn|, over targets */
    size_t n_tokens;
};

/*
 * d_hidden [m, C] is set (rows without targets: zero); targets' logp and top are filled; the head's own gradient is added to
 * where the model is unfrozen. scratch: rows of logits from engine_logits.
 */
void loss_back(const struct model *m, bool train_head, struct train_tree *t,
               const struct loss_options *opt, const float *hidden, float *logits,
               size_t logit_rows, size_t ld, float *d_hidden, struct loss_sums *sums);

/* Fills the targets' logp and top alone; no gradient. */
void loss_look(const struct model *m, struct train_tree *t, float inv_t, const float *hidden,
               float *logits, size_t logit_rows, size_t ld);
/*
 * The same. Returns the estimate of KL(drawn || now) in nats a token,
 *
 *     mean over drawn tokens of exp(d) - 1 - d,  d = ln p now - ln p when drawn
 *
 * which is unbiased and never negative (Schulman, "Approximating KL divergence", 2020: k3).
 */
double loss_kl(const struct model *m, struct train_tree *t, float inv_t, const float *hidden,
               float *logits, size_t logit_rows, size_t ld);
#endif
