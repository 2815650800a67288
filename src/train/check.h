/*
 * check.h - what hone check says: can this job learn, and what will it cost?
 */
#ifndef HONE_TRAIN_CHECK_H
#define HONE_TRAIN_CHECK_H

#include "train/reinforce.h"

/*
 * Settles the recipe (preflight.h), then lets the base model answer training prompts, in groups and in the order of the
 * first epoch, as the first steps would. All of the report but its memory.
 *
 * A job can learn when
 *   - a sixth of the prompts teach: a group whose answers all earn the same gives no gradient, and with the default three
 *     portions a step then fills half its batch;
 *   - the best of a prompt's answers earn a sixth of the most that any earned, on average: pass@k with partial credit,
 *     for what strengthening them leads to. Where rewards are 0 and 1 the two hardly differ.
 * 8 to 32 prompts are asked first, and twice as many each time while one-sided 95 % limits (Wilson's) leave
 * the answer open, up to four times the first; then what was seen decides.
 */
MUST_CHECK bool check_job(struct engine *e, const struct reinforce_inputs *in,
                          struct recipe *recipe, size_t total_steps, struct check_report *out,
                          struct error *err);
#endif
