/*
 * groups.h - a step's answers, prompt by prompt: which teach something, how much each weighs, what is trained on.
 */
#ifndef HONE_TRAIN_GROUPS_H
#define HONE_TRAIN_GROUPS_H

#include "train/answers.h"
#include "train/recipe.h"
#include "train/tree.h"

struct group {
    const struct answers *x;
    size_t row;                /* of x */
    float *reward, *advantage; /* [G] */
    bool kept;                 /* its rewards differ */
};

struct groups {
    struct group *all; /* room for all that a step may sample */
    size_t n, n_kept;
};

/* Adds a portion's rows as groups; memory from the arena. What was saved of those without spread goes back. */
void groups_take(const struct recipe *recipe, const struct answers *x, struct groups *g,
                 struct saved_pool *save, struct arena *a);
/* Means over everything sampled, flat groups included, into m. */
void groups_measure(const struct groups *g, struct grader *grader, struct step_metrics *m);
/* Fills the advantages. Fails for a reward that is not finite. */
MUST_CHECK bool groups_weigh(const struct recipe *recipe, struct groups *g, struct error *err);
/* Each answer to sink->rollout. */
MUST_CHECK bool groups_tell(const struct recipe *recipe, const struct groups *g,
                            const struct dataset *d, const struct step_metrics *m,
                            const struct progress_sink *sink, struct error *err);
/* The kept groups as the tree wants them. */
struct trained_groups {
    struct tree_group *all;
    const struct group **from; /* [n] */
    size_t n;
    double n_tokens; /* drawn tokens that they stand for */
};
/*
 * What sampling saved of them is used; but the prompt and an answer of one, others each step, are computed anew, so that
 * max_dlogp goes on comparing two computations.
 */
struct trained_groups groups_trained(const struct recipe *recipe, const struct groups *g,
                                     const struct step_metrics *m, struct arena *a);
#endif
