/*
 * epoch.h - the order in which an epoch goes through the training rows.
 */
#ifndef HONE_TRAIN_EPOCH_H
#define HONE_TRAIN_EPOCH_H

#include <stddef.h>
#include <stdint.h>

/* order[n]: every row once, shuffled by seed and epoch alone (Fisher, Yates, from counted random numbers). */
void epoch_order(uint64_t seed, uint64_t epoch, size_t n, uint32_t *order);
#endif
