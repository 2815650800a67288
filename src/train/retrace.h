/*
 * retrace.h - sampled answers gone over once more: what could have come where a token was drawn.
 *
 * An answer that was held to a form was drawn from the distribution over the tokens that the form allowed. Its log-probability
 * is of that distribution, and so is its gradient: the logits of a row are masked again, by the tokens before it.
 */
#ifndef HONE_TRAIN_RETRACE_H
#define HONE_TRAIN_RETRACE_H

#include "train/tree.h"

struct retrace;
/* For most rows at a time. NULL where no answer of the tree was held to anything. */
struct retrace *retrace_open(const struct train_tree *t, size_t most);
void retrace_close(struct retrace *r); /* NULL is fine */
/* Place i of 0 .. most - 1 is now where x was drawn. Cheap where targets come in the order of the tree. One thread. */
void retrace_to(struct retrace *r, size_t i, const struct target *x);
/* Rules out, in the row's logits [V], what could not come at place i. Any threads of a parallel_for. */
void retrace_mask(const struct retrace *r, size_t i, int thread, float *logits);
#endif
