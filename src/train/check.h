/*
 * check.h - what hone check says: can this job learn, and what will it cost?
 */
#ifndef HONE_TRAIN_CHECK_H
#define HONE_TRAIN_CHECK_H

#include "train/reinforce.h"

/*
 * Settles the recipe (preflight.h), then lets the base model answer training prompts, in groups and in the order of the
 * first epoch, as the first steps would. fixed_bytes: memory of weights, adapter and optimizer.
 *
 * A group whose answers all earn the same gives no gradient. A job can learn when at least a sixth of the prompts teach:
 * with the default three portions a step then fills half its batch. 8 to 32 prompts are asked first, and twice as many
 * each time while the 95 % limit of the share lies on the other side of a sixth than the share itself, up to four times
 * the first; then the share decides.
 */
MUST_CHECK bool check_job(struct engine *e, const struct reinforce_inputs *in,
                          struct recipe *recipe, size_t total_steps, double fixed_bytes,
                          struct check_report *out, struct error *err);
#endif
