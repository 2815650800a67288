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
    /* After each pass, over n groups from the first-th on; may end it all by failing. May be NULL. */
    bool (*passed)(void *ctx, size_t first, size_t n, struct error *err);
    void *ctx;
    /*
     * After a pass's forward, before its loss: what the answers of the pass are now, from the first-th of all groups'
     * answers on, becomes their coefficients. NULL: those that the answers have.
     */
    void (*weigh)(void *ctx, size_t first, size_t n, const struct answer_logp *answers,
                  float *coefficients);
    struct answer_logp *answers; /* of all groups: filled, where not NULL */
};

/*
 * Gradients, *sums and *rows (rows of the trees) are added to, in as many passes as it takes: where they are cut depends on
 * the data alone, never on the memory.
 */
MUST_CHECK bool gradient_add(const struct gradient *x, const struct tree_group *g, size_t n,
                             const struct loss_options *opt, struct loss_sums *sums, size_t *rows,
                             struct error *err);
/* A forward pass alone: fills answers, of all groups. adapter may be NULL, where the model is not unfrozen too. */
MUST_CHECK bool gradient_look(const struct gradient *x, const struct tree_group *g, size_t n,
                              float inv_t, struct answer_logp *answers, struct error *err);
/*
 * After an update: how far it moved the policy, in nats a drawn token (loss_kl), measured on some 128 rows of the first
 * groups: of one that has more, on its first answers.
 */
MUST_CHECK bool gradient_kl(const struct gradient *x, const struct tree_group *g, size_t n,
                            float inv_t, double *kl, struct error *err);
#endif
