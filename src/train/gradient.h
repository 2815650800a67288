/*
 * gradient.h - a step's gradient: its groups cut into passes, each computed forward and backward.
 */
#ifndef HONE_TRAIN_GRADIENT_H
#define HONE_TRAIN_GRADIENT_H

#include "train/loss.h"

struct gradient {
    const struct model *model;
    struct adapter *adapter; /* NULL: the unfrozen model's own weights */
    struct engine *engine;   /* its cache, workspace and scratch for logits are used */
    struct saved_pool *saved;
    size_t pass_rows; /* rows of a pass at most, unless one group alone has more */
};

/* How many groups from the first on make one pass: the rule sees the data alone, never the memory. */
size_t gradient_pass_size(const struct gradient *x, const struct tree_group *g, size_t n);
/* One pass over all n groups: gradients, *sums and *rows (rows of the tree) are added to. */
MUST_CHECK bool gradient_pass(const struct gradient *x, const struct tree_group *g, size_t n,
                              const struct loss_options *opt, struct loss_sums *sums, size_t *rows,
                              struct error *err);
/*
 * After an update: how far it moved the policy, in nats a drawn token (loss_kl), measured on some 128 rows of the first
 * groups: of one that has more, on its first answers.
 */
MUST_CHECK bool gradient_kl(const struct gradient *x, const struct tree_group *g, size_t n,
                            float inv_t, double *kl, struct error *err);
#endif
