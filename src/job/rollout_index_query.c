/*
 * rollout_index_query.c - one pass over all lines: those that fit, and of these the first few in an order.
 */
#include "base/size.h"
#include "job/rollout_index_internal.h"

#include <math.h>
#include <stdlib.h>

static const char *const order_names[N_ROLLOUT_ORDERS] = {
    [ROLLOUT_NEWEST] = "newest",
    [ROLLOUT_OLDEST] = "oldest",
    [ROLLOUT_BEST] = "best",
    [ROLLOUT_WORST] = "worst",
    [ROLLOUT_STRENGTHENED] = "strengthened",
    [ROLLOUT_WEAKENED] = "weakened",
    [ROLLOUT_LONGEST] = "longest",
    [ROLLOUT_SHORTEST] = "shortest",
    [ROLLOUT_MOST_THINKING] = "most_thinking",
};

const char *rollout_order_name(size_t i)
{
    return i < N_ROLLOUT_ORDERS ? order_names[i] : NULL;
}

struct rollout_query rollout_query_all(void)
{
    return (struct rollout_query){
        .train = true, .valid = true, .min_reward = -HUGE_VAL, .max_reward = HUGE_VAL};
}

static bool is_odd(const struct rollout_figures *x)
{
    return x->errors != 0 ||
           (x->flags & (ROLLOUT_EMPTY | ROLLOUT_CUT | ROLLOUT_LOST | ROLLOUT_LONG)) != 0;
}

static bool fits(const struct rollout_query *q, const struct rollout_figures *x)
{
    return (x->flags & ROLLOUT_BAD) == 0 && (!q->has_item || x->item == q->item) &&
           x->reward >= (float)q->min_reward && x->reward <= (float)q->max_reward &&
           (!q->truncated || (x->flags & ROLLOUT_TRUNCATED) != 0) &&
           (!q->error || x->errors != 0) && (!q->flat || (x->flags & ROLLOUT_FLAT) != 0) &&
           (!q->empty || (x->flags & ROLLOUT_EMPTY) != 0) &&
           (!q->trained || (x->flags & ROLLOUT_TRAINED) != 0) &&
           (!q->thinking || x->n_thinking > 0) && (!q->odd || is_odd(x));
}

/* What comes first has the least; equal ones: the newest first. */
struct rank {
    double key;
    struct rollout_ref ref;
};

static double key_of(enum rollout_order order, const struct rollout_figures *x)
{
    switch (order) {
    case ROLLOUT_BEST:
        return -(double)x->reward;
    case ROLLOUT_WORST:
        return (double)x->reward;
    case ROLLOUT_STRENGTHENED:
        return -(double)x->advantage;
    case ROLLOUT_WEAKENED:
        return (double)x->advantage;
    case ROLLOUT_LONGEST:
        return -(double)x->n_tokens;
    case ROLLOUT_SHORTEST:
        return (double)x->n_tokens;
    case ROLLOUT_MOST_THINKING:
        return -(double)x->n_thinking;
    case ROLLOUT_NEWEST:
    case ROLLOUT_OLDEST:
    case N_ROLLOUT_ORDERS:
        break;
    }
    return 0;
}

static int place_order(struct rollout_ref a, struct rollout_ref b)
{
    return a.file != b.file ? (a.file > b.file) - (a.file < b.file)
                            : (a.line > b.line) - (a.line < b.line);
}

/* Of one step the lines stay in their order, also where the newest step is the first. */
static int rank_order(enum rollout_order order, const struct rank *a, const struct rank *b)
{
    if (a->key < b->key || a->key > b->key)
        return a->key < b->key ? -1 : 1;
    if (order == ROLLOUT_OLDEST || a->ref.file == b->ref.file)
        return place_order(a->ref, b->ref);
    return place_order(b->ref, a->ref);
}

/* The first `most` so far, the last of them on top. */
struct heap {
    enum rollout_order order;
    struct rank *rank;
    size_t n, most;
};

static void sift_down(struct heap *h, size_t i)
{
    for (size_t child; (child = 2 * i + 1) < h->n; i = child) {
        if (child + 1 < h->n && rank_order(h->order, &h->rank[child + 1], &h->rank[child]) > 0)
            child++;
        if (rank_order(h->order, &h->rank[child], &h->rank[i]) <= 0)
            return;
        const struct rank r = h->rank[i];
        h->rank[i] = h->rank[child];
        h->rank[child] = r;
    }
}

static void heap_put(struct heap *h, const struct rank *r)
{
    if (h->n == h->most) {
        if (rank_order(h->order, r, &h->rank[0]) < 0) {
            h->rank[0] = *r;
            sift_down(h, 0);
        }
        return;
    }
    size_t i = h->n++;
    while (i > 0 && rank_order(h->order, r, &h->rank[(i - 1) / 2]) > 0) {
        h->rank[i] = h->rank[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->rank[i] = *r;
}

size_t rollout_index_page(const struct rollout_index *ix, const struct rollout_query *q,
                          size_t most, struct rollout_ref *out, size_t *n_matching)
{
    struct heap h = {.order = q->order, .rank = calloc(most + 1, sizeof *h.rank), .most = most};
    struct rank after = {.ref = q->after};

    *n_matching = 0;
    if (h.rank == NULL)
        abort();
    if (q->has_after)
        after.key = key_of(q->order, &rollout_index_entry(ix, q->after)->is);
    for (uint32_t n = 0; n < ix->n_files; n++) { /* the first first: later ones fall through */
        const uint32_t i = q->order == ROLLOUT_OLDEST ? n : (uint32_t)ix->n_files - 1 - n;
        const struct indexed_file *f = &ix->file[i];

        if (!(f->valid ? q->valid : q->train) || (q->has_step && f->step != q->step))
            continue;
        for (uint32_t k = 0; k < f->n; k++) {
            if (!fits(q, &f->entry[k].is))
                continue;
            const struct rank r = {key_of(q->order, &f->entry[k].is), {i, k}};
            ++*n_matching;
            if (most > 0 && (!q->has_after || rank_order(q->order, &after, &r) < 0))
                heap_put(&h, &r);
        }
    }
    const size_t n_found = h.n;
    while (h.n > 0) {
        out[h.n - 1] = h.rank[0].ref;
        h.rank[0] = h.rank[--h.n];
        sift_down(&h, 0);
    }
    free(h.rank);
    return n_found;
}

/* ---- groups ---- */

/* So that the comparison needs nothing beside it. */
struct keyed_group {
    uint32_t item;
    struct rollout_group group;
};

static int by_item(const void *a, const void *b)
{
    const struct keyed_group *x = a, *y = b;

    return x->item != y->item ? (x->item > y->item) - (x->item < y->item)
                              : place_order(x->group.first, y->group.first);
}

static size_t find_groups(const struct rollout_index *ix, bool valid, struct keyed_group *out)
{
    size_t n = 0;

    for (uint32_t i = 0; i < ix->n_files; i++) {
        const struct indexed_file *f = &ix->file[i];

        for (uint32_t k = 0; f->valid == valid && k < f->n; k++) {
            const struct rollout_figures *x = &f->entry[k].is;

            if ((x->flags & ROLLOUT_BAD) != 0)
                continue;
            if (k == 0 || n == 0 || out[n - 1].item != x->item ||
                out[n - 1].group.first.file != i || (x->flags & ROLLOUT_PROMPT) != 0)
                out[n++] = (struct keyed_group){.item = x->item, .group = {.first = {i, k}}};
            struct rollout_group *g = &out[n - 1].group;
            g->n_lines = k + 1 - g->first.line;
            g->n += x->count;
            g->reward += (double)x->reward * x->count;
        }
    }
    return n;
}

void rollout_index_groups(const struct rollout_index *ix, bool valid, struct arena *a,
                          struct rollout_group **out, size_t *n)
{
    struct keyed_group *list = calloc(ix->n_lines + 1, sizeof *list);

    if (list == NULL)
        abort();
    *n = find_groups(ix, valid, list);
    qsort(list, *n, sizeof *list, by_item);
    *out = ARENA_ARRAY(a, struct rollout_group, *n + 1);
    for (size_t i = 0; i < *n; i++)
        (*out)[i] = list[i].group;
    free(list);
}
