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

const uint32_t *epoch_rows(struct epoch *e, uint64_t seed, uint64_t number, size_t n,
                           struct arena *a)
{
    if (e->order != NULL && e->number == number)
        return e->order;
    if (e->order == NULL)
        e->order = ARENA_ARRAY(a, uint32_t, n);
    epoch_order(seed, number, n, e->order);
    e->number = number;
    return e->order;
}
