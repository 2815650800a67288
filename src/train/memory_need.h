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
    double model;    /* weights and tables, and what of its file is looked up */
    double
        trained; /* values, as they are and packed; gradients, moments, and what an update is undone from */
    double
        pass; /* the largest training pass, everything that can be computed anew left out; logits */
    double
        answers; /* of reinforcement: the cache of one prompt and its answers, as long as they may be */
};
/*
 * start: where a new adapter begins, whose rank it takes; or NULL. longest: tokens of the longest prompt of reinforcement, of
 * the longest row of the other methods; 0: not known. A recipe that leaves group_size or max_tokens open is taken for the
 * least that they can become.
 */
struct memory_need memory_need_of(const struct model *m, const struct adapter *start,
                                  const struct recipe *r, size_t longest);
double memory_need_sum(const struct memory_need *n);

/* The parts of it that grow with rows. */
size_t memory_group_rows(const struct recipe *r, size_t longest); /* of one group, at most */
size_t memory_pass_rows(const struct recipe *r, size_t longest);  /* of one pass, at most */
/* Beside the workspace; of lean_rows the layers' inputs alone are kept, what is kept of the others is not counted. */
double memory_pass_bytes(const struct model *m, size_t rank, size_t rows, size_t lean_rows);
double memory_logits_bytes(const struct model *m);

/*
 * Fails with ERR_NO_MEMORY where need is more than most bytes: what the job needs, what there is, and what would make it fit.
 * model_bytes: the model's share of it; 0: not known.
 */
MUST_CHECK bool memory_need_fits(enum train_method method, double need, double model_bytes,
                                 double most, struct error *err);
/*
 * The same before a run on this machine: the sentence names what of the recipe would make it fit, as far as one change does.
 * process: bytes that the process has beside all this.
 */
MUST_CHECK bool memory_need_fits_here(const struct model *m, const struct recipe *r, size_t longest,
                                      double process, double most, struct error *err);

/* "12.3 GB", or megabytes where that says more. */
const char *memory_words(double bytes, char text[32]);
#endif
