/*
 * trees.c - random trees.
 */
#include "support/trees.h"
#include "base/size.h"

#include <stdlib.h>

static void add_segment(struct trees *t, struct dice *d, size_t parent, size_t max_rows,
                        size_t vocab, size_t depth)
{
    const size_t me = t->n_segments++;
    struct tree_segment *s = &t->segments[me];
    /* short ones, as answers that part token by token have; and some that fill pages */
    const size_t n = dice_below(d, 3) == 0 ? 1 + dice_below(d, 40) : 1 + dice_below(d, 4);

    *s = (struct tree_segment){.parent = parent, .row = t->m, .n = size_min(n, max_rows - t->m)};
    if (parent != NO_PARENT)
        s->start = t->segments[parent].start + t->segments[parent].n;
    for (size_t i = 0; i < s->n; i++, t->m++) {
        t->tokens[t->m] = (token_id)dice_below(d, vocab);
        t->before[t->m] =
            (uint32_t)(i > 0                 ? t->m - 1
                       : parent == NO_PARENT ? t->m
                                             : t->segments[parent].row + t->segments[parent].n - 1);
    }
    const size_t n_children = depth >= 12 ? 0 : dice_below(d, depth == 0 ? 6 : 4);
    for (size_t c = 0; c < n_children && t->m < max_rows; c++)
        add_segment(t, d, me, max_rows, vocab, depth + 1);
}

struct trees trees_make(struct dice *d, size_t max_rows, size_t vocab, struct arena *a)
{
    struct trees t = {.segments = ARENA_ARRAY(a, struct tree_segment, max_rows),
                      .tokens = ARENA_ARRAY(a, token_id, max_rows),
                      .before = ARENA_ARRAY(a, uint32_t, max_rows)};
    const size_t n_roots = 1 + dice_below(d, 3);

    for (size_t r = 0; r < n_roots && t.m < max_rows; r++)
        add_segment(&t, d, NO_PARENT, max_rows, vocab, 0);
    return t;
}

size_t trees_path(const struct trees *t, size_t segment, uint32_t *rows)
{
    const struct tree_segment *s = &t->segments[segment];
    const size_t n = s->start + s->n;
    uint32_t row = (uint32_t)(s->row + s->n - 1);

    for (size_t i = n; i > 0; i--) {
        rows[i - 1] = row;
        row = t->before[row];
    }
    return n;
}

struct growth growth_begin(const struct trees *t, struct kv_pool *pool, struct arena *a)
{
    struct growth g = {.trees = t,
                       .pool = pool,
                       .segs = ARENA_ARRAY(a, struct kv_segment *, t->n_segments),
                       .done = ARENA_ARRAY(a, size_t, t->n_segments),
                       .order = ARENA_ARRAY(a, size_t, t->n_segments),
                       .spans = ARENA_ARRAY(a, struct span, t->n_segments),
                       .rows = ARENA_ARRAY(a, uint32_t, t->m),
                       .tokens = ARENA_ARRAY(a, token_id, t->m)};

    for (size_t i = 0; i < t->n_segments; i++)
        g.order[i] = i;
    return g;
}

/* Neighbours change places, but for a parent and its child. */
static void shuffle(struct growth *g, struct dice *d)
{
    const size_t n = g->trees->n_segments;

    for (size_t swaps = 0; n > 1 && swaps < 2 * n; swaps++) {
        size_t *at = g->order + dice_below(d, n - 1), first = at[0];

        if (g->trees->segments[at[1]].parent == first)
            continue;
        at[0] = at[1];
        at[1] = first;
    }
}

/* The next n rows of a segment become a span of the coming step. */
static void take_rows(struct growth *g, size_t segment, size_t n)
{
    const struct trees *t = g->trees;
    const struct tree_segment *s = &t->segments[segment];
    struct error err = {0};

    if (g->segs[segment] == NULL)
        g->segs[segment] = kv_segment_new_at(
            g->pool, s->parent == NO_PARENT ? NULL : g->segs[s->parent], s->start);
    ASSERT_OK(kv_segment_reserve(g->pool, g->segs[segment], n, &err));
    g->spans[g->n_spans++] = (struct span){.seg = g->segs[segment], .n_rows = n};
    for (size_t j = 0; j < n; j++, g->m++) {
        g->rows[g->m] = (uint32_t)(s->row + g->done[segment] + j);
        g->tokens[g->m] = t->tokens[g->rows[g->m]];
    }
    g->done[segment] += n;
}

bool growth_step(struct growth *g, struct dice *d)
{
    const struct trees *t = g->trees;
    bool left = false;

    g->m = g->n_spans = 0;
    if (d != NULL)
        shuffle(g, d);
    for (size_t k = 0; k < t->n_segments; k++) {
        const size_t i = g->order[k];
        const struct tree_segment *s = &t->segments[i];
        size_t n = s->n - g->done[i];

        left = left || n > 0;
        if (s->parent != NO_PARENT && g->done[s->parent] < t->segments[s->parent].n)
            continue;
        if (d != NULL)
            n = dice_below(d, 2) == 0 ? n : dice_below(d, n + 1);
        if (n > 0)
            take_rows(g, i, n);
    }
    return left && (g->m > 0 || growth_step(g, d)); /* the dice may have wanted nothing */
}

bool growth_row(struct growth *g)
{
    size_t i = 0;

    g->m = g->n_spans = 0;
    while (i < g->trees->n_segments && g->done[i] == g->trees->segments[i].n)
        i++;
    if (i == g->trees->n_segments)
        return false;
    take_rows(g, i, 1);
    return true;
}

void growth_end(struct growth *g)
{
    for (size_t i = 0; i < g->trees->n_segments; i++)
        kv_segment_release(g->pool, g->segs[i]);
}
