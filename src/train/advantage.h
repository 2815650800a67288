/*
 * advantage.h - from the rewards of a step's groups to how much better each answer was than its group's others.
 *
 *     d[i] = G / (G - 1) * (r[i] - mean(r))            leave-one-out baseline: Kool et al. 2019; RLOO, arXiv:2402.14740
 *
 *     MEAN    a[i] = d[i] / mean(r)                    the gradient of log E[r]: maximum likelihood, arXiv:2602.02710
 *     BATCH   a[i] = clip(d[i] / s, -limit, limit)     s = max(deviation of all kept d, floor): arXiv:2508.08221
 *     GROUP   the same with the group's own deviation  GRPO, arXiv:2402.03300
 *     NONE    the same with s = 1
 *
 * E[r] itself grows fastest where an answer is already likely, so prompts that the model nearly never gets right count for
 * nothing and the policy runs towards what it can say already. log E[r] weighs every prompt alike: for a grader that gives
 * 0 or 1 it is the likelihood of a right answer, and its gradient tends to the supervised one as G grows. Rewards below 0
 * are raised by the group's lowest first. |a| / G is at most 1 by itself, so nothing is clipped.
 *
 * A group whose rewards are all equal teaches nothing and is not kept; that is asked of the values themselves, since a
 * deviation of almost nothing would be blown up to unit size.
 */
#ifndef HONE_TRAIN_ADVANTAGE_H
#define HONE_TRAIN_ADVANTAGE_H

#include "base/error.h"

enum advantage_scale {
    ADVANTAGE_SCALE_MEAN,
    ADVANTAGE_SCALE_BATCH,
    ADVANTAGE_SCALE_GROUP,
    ADVANTAGE_SCALE_NONE
};

struct advantage_options {
    enum advantage_scale scale;
    float floor;  /* > 0: least deviation divided by */
    float limit;  /* > 0: greatest size of an advantage */
    float spread; /* groups whose rewards differ by no more than this are flat */
};
struct advantage_options advantage_defaults(void); /* mean, 0.05, 5, 1e-6 */

/* Whether rewards [n] differ enough to teach something. */
bool advantage_group_is_kept(const struct advantage_options *opt, size_t n, const float *reward);

/*
 * Fills advantage[0..n_groups * g) from reward [n_groups, g]; kept[n_groups] says which groups count; the others get 0.
 * Fails with ERR_INVALID for g < 2 or a reward that is not finite; advantage is then untouched.
 */
MUST_CHECK bool advantage_of_groups(const struct advantage_options *opt, size_t n_groups, size_t g,
                                    const float *reward, const bool *kept, float *advantage,
                                    struct error *err);
#endif
