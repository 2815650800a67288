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

/* Adds a portion's rows as groups; memory from the arena. */
void groups_take(const struct recipe *recipe, const struct answers *x, struct groups *g,
                 struct arena *a);
/* Means over everything sampled, flat groups included, into m. */
void groups_measure(const struct groups *g, struct grader *grader, struct step_metrics *m);
/* Fills the advantages. Fails for a reward that is not finite. */
MUST_CHECK bool groups_weigh(const struct recipe *recipe, struct groups *g, struct error *err);
/* Each answer to sink->rollout. */
MUST_CHECK bool groups_tell(const struct recipe *recipe, const struct groups *g,
                            const struct dataset *d, const struct step_metrics *m,
                            const struct progress_sink *sink, struct error *err);
/* The kept groups as the tree wants them, *n of them, standing for *n_tokens drawn tokens. */
struct tree_group *groups_tree(const struct recipe *recipe, const struct groups *g,
                               const struct step_metrics *m, size_t *n, double *n_tokens,
                               struct arena *a);
#endif
