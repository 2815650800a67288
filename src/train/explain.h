/*
 * explain.h - what a step's numbers mean, in plain words, told as events when there is something to tell.
 */
#ifndef HONE_TRAIN_EXPLAIN_H
#define HONE_TRAIN_EXPLAIN_H

#include "train/checkpoint.h"
#include "train/progress.h"
#include "train/recipe.h"

/*
 * Tells of flat groups, truncation, grader failures, and of a collapse (entropy below a quarter of where it began while
 * most groups are flat and the reward is not high). Updates state's memory of what was told and of the first entropy.
 */
MUST_CHECK bool explain_step(const struct step_metrics *m, const struct recipe *r,
                             struct train_state *state, const struct progress_sink *sink,
                             struct error *err);
#endif
