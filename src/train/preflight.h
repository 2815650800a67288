/*
 * preflight.h - what a job leaves open is measured on the base model: how long answers may be, how many a prompt.
 */
#ifndef HONE_TRAIN_PREFLIGHT_H
#define HONE_TRAIN_PREFLIGHT_H

#include "train/reinforce.h"

#define PREFLIGHT_TOKENS 32 /* of an answer, in the first probe at most */

/*
 * Settles recipe->max_tokens and recipe->group_size where they are 0.
 *
 * Answers of some training prompts are sampled long, and what each would have earned if cut after 1, 2, 4, 8, ... tokens
 * is asked of the grader. The shortest length that earns 90 % of the most is taken, doubled for room; where nothing
 * earns anything, the longest. Lengths above PREFLIGHT_TOKENS are asked of few answers, and taken where they surely earn
 * more. Groups are as large as what is shared makes cheap: 256 tokens a prompt, 8 to 64 answers.
 */
MUST_CHECK bool preflight_settle(struct engine *e, const struct reinforce_inputs *in,
                                 struct recipe *recipe, struct error *err);
/* The group size nearest to g that a recipe whose groups are fitted may use: from the first one's up to 128 answers. */
size_t preflight_group_size(const struct recipe *recipe, size_t g);
#endif
