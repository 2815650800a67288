/*
 * epoch.h - the order in which an epoch goes through the training rows.
 */
#ifndef HONE_TRAIN_EPOCH_H
#define HONE_TRAIN_EPOCH_H

#include "base/arena.h"

#include <stdint.h>

/* order[n]: every row once, shuffled by seed and epoch alone (Fisher, Yates, from counted random numbers). */
void epoch_order(uint64_t seed, uint64_t epoch, size_t n, uint32_t *order);

/* The order of the epoch that a run is in; all zeros before the first. */
struct epoch {
    uint64_t number;
    uint32_t *order;
};
/* The same order, made where it is another epoch than the one before; seed, n and the arena are the run's. */
const uint32_t *epoch_rows(struct epoch *e, uint64_t seed, uint64_t number, size_t n,
                           struct arena *a);
#endif
