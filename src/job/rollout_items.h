/*
 * rollout_items.h - rows of the data, each with its groups from step to step: where the model gained, lost, and what is still hard.
 */
#ifndef HONE_JOB_ROLLOUT_ITEMS_H
#define HONE_JOB_ROLLOUT_ITEMS_H

#include "job/rollout_index.h"

struct rollout_item {
    const struct rollout_group *group; /* [n] by step */
    size_t n;
    uint32_t number;    /* its row in the file */
    double first, last; /* mean rewards of the first group and of the last */
};

double rollout_group_mean(const struct rollout_group *g); /* reward; 0 where there is none */

/* By number, in the arena; the groups are those of the index. */
void rollout_items_find(const struct rollout_index *ix, bool valid, struct arena *a,
                        struct rollout_item **out, size_t *n);

/* For qsort; equal ones by number. */
int rollout_items_by_gain(const void *a, const void *b);
int rollout_items_by_loss(const void *a, const void *b);
int rollout_items_by_hardness(const void *a, const void *b); /* the lowest last reward first */
#endif
