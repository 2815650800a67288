#include "job/rollout_items.h"

#include <math.h>

double rollout_group_mean(const struct rollout_group *g)
{
    return g->n > 0 && isfinite(g->reward) ? g->reward / g->n : 0;
}

void rollout_items_find(const struct rollout_index *ix, bool valid, struct arena *a,
                        struct rollout_item **out, size_t *n)
{
    struct rollout_group *group;
    size_t n_groups, n_items = 0;

    rollout_index_groups(ix, valid, a, &group, &n_groups);
    struct rollout_item *items = ARENA_ARRAY(a, struct rollout_item, n_groups + 1);
    for (size_t i = 0; i < n_groups; i++) {
        const uint32_t number = rollout_index_entry(ix, group[i].first)->is.item;
        const double mean = rollout_group_mean(&group[i]);

        if (n_items == 0 || items[n_items - 1].number != number)
            items[n_items++] =
                (struct rollout_item){.group = &group[i], .number = number, .first = mean};
        items[n_items - 1].n++;
        items[n_items - 1].last = mean;
    }
    *out = items;
    *n = n_items;
}

static int by(double x, double y, const struct rollout_item *a, const struct rollout_item *b)
{
    return x < y ? -1 : x > y ? 1 : (a->number > b->number) - (a->number < b->number);
}

int rollout_items_by_gain(const void *a, const void *b)
{
    const struct rollout_item *x = a, *y = b;

    return by(y->last - y->first, x->last - x->first, x, y);
}

int rollout_items_by_loss(const void *a, const void *b)
{
    const struct rollout_item *x = a, *y = b;

    return by(x->last - x->first, y->last - y->first, x, y);
}

int rollout_items_by_hardness(const void *a, const void *b)
{
    const struct rollout_item *x = a, *y = b;

    return by(x->last, y->last, x, y);
}
