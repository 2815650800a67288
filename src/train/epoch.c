/*
 * epoch.c - the shuffle of an epoch's rows.
 */
#include "train/epoch.h"
#include "base/philox.h"

void epoch_order(uint64_t seed, uint64_t epoch, size_t n, uint32_t *order)
{
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (size_t i = n; i-- > 1;) {
        const uint32_t j =
            philox_below(seed, PHILOX_SHUFFLE, (uint32_t)epoch, (uint32_t)i, (uint32_t)i + 1);
        const uint32_t t = order[i];

        order[i] = order[j];
        order[j] = t;
    }
}
