/*
 * memory_need.h - the least memory that a job's training takes: what can neither be left out nor computed anew.
 *
 * A job that cannot have so much fails before it is begun, in one sentence, and not by the system's hand after an hour. What is
 * kept only to save time (activations, a cache for more answers at once) is no part of it.
 */
#ifndef HONE_TRAIN_MEMORY_NEED_H
#define HONE_TRAIN_MEMORY_NEED_H

#include "model/model.h"
#include "train/recipe.h"

struct memory_need { /* bytes */
    double model;    /* weights and tables */
    double trained;  /* values, gradients, moments, and what an update is undone from */
    double pass;     /* the smallest training pass, everything that can be computed anew left out */
    double
        answers; /* of reinforcement: the cache of one prompt and the first tokens of its answers */
};
/* start: where a new adapter begins, whose rank it takes; or NULL. longest: tokens of the longest prompt; 0: not known. */
struct memory_need memory_need_of(const struct model *m, const struct adapter *start,
                                  const struct recipe *r, size_t longest);
double memory_need_sum(const struct memory_need *n);

/*
 * Fails with ERR_NO_MEMORY where need is more than most bytes: what the job needs, what there is, and what would make it fit.
 * model_bytes: the model's share of it; 0: not known.
 */
MUST_CHECK bool memory_need_fits(enum train_method method, double need, double model_bytes,
                                 double most, struct error *err);
#endif
