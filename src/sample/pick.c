/*
 * pick.c - drawing from a row of logits.
 */
#include "sample/pick.h"
#include "base/size.h"
#include "tensor/cpu/kernels.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

struct pick_options pick_defaults(void)
{
    return (struct pick_options){.temperature = 1, .top_p = 1, .repetition_penalty = 1};
}

bool pick_is_plain(const struct pick_options *o)
{
    return o->top_p >= 1 && o->top_k == 0 && o->min_p <= 0 && o->frequency_penalty == 0 &&
           o->presence_penalty == 0 && o->repetition_penalty == 1;
}

static void picker_size(struct picker *p, size_t v)
{
    if (p->v >= v)
        return;
    arena_release(&p->arena);
    p->v = v;
    p->block_sums = ARENA_ARRAY(&p->arena, float, softmax_blocks(v));
    p->work = ARENA_ARRAY(&p->arena, float, v);
    p->order = ARENA_ARRAY(&p->arena, uint32_t, v);
}

void picker_release(struct picker *p)
{
    arena_release(&p->arena);
    *p = (struct picker){0};
}

struct picked_row pick_row(struct picker *p, const float *logits, size_t v, float inv_t,
                           bool want_entropy)
{
    struct picked_row r = {.logits = logits, .v = v, .inv_t = inv_t};

    picker_size(p, v);
    r.softmax = softmax_row_of(v, logits, inv_t, p->block_sums);
    r.block_sums = p->block_sums;
    if (want_entropy)
        r.entropy = softmax_entropy(&r.softmax, v, logits, inv_t, p->work);
    return r;
}

token_id pick_greedy(const float *logits, size_t v)
{
    size_t best = 0;

    for (size_t i = 1; i < v; i++)
        if (logits[i] > logits[best])
            best = i;
    return (token_id)best;
}

token_id pick_plain(const struct picked_row *r, float u)
{
    const float target = u * r->softmax.total;
    const size_t n_blocks = softmax_blocks(r->v);
    float e[SOFTMAX_BLOCK], before = 0;
    size_t b = 0;

    while (b + 1 < n_blocks && before + r->block_sums[b] <= target)
        before += r->block_sums[b++];
    const size_t from = b * SOFTMAX_BLOCK, n = size_min(SOFTMAX_BLOCK, r->v - from);
    kernels()->exp_to(n, r->softmax.max, r->inv_t, r->logits + from, e);
    size_t last = 0;
    for (size_t i = 0; i < n; i++) {
        if (!(e[i] > 0))
            continue;
        last = i;
        before += e[i];
        if (before > target)
            break;
    }
    return (
        token_id)(from +
                  last); /* rounding may leave target just past the block: its last possible token */
}

float pick_logp(const struct picked_row *r, token_id id)
{
    return softmax_logp(&r->softmax, r->logits[id], r->inv_t);
}

#define BANNED (-1e20f) /* CONSTRAINT_NEVER is lower still */

/* The list of the best so far is short, and few logits of a vocabulary come into it. */
size_t pick_top(const struct picked_row *r, size_t n, token_id *ids, float *logps)
{
    size_t have = 0;

    assert(n <= PICK_MAX_TOP);
    for (size_t i = 0; i < r->v && n > 0; i++) {
        if (!(r->logits[i] > BANNED) || (have == n && !(r->logits[i] > r->logits[ids[n - 1]])))
            continue;
        size_t at = have < n ? have++ : n - 1;
        for (; at > 0 && r->logits[i] > r->logits[ids[at - 1]]; at--)
            ids[at] = ids[at - 1];
        ids[at] = (token_id)i;
    }
    for (size_t i = 0; i < have; i++)
        logps[i] = pick_logp(r, ids[i]);
    return have;
}

void pick_bias(const struct pick_options *o, float *logits, size_t v)
{
    for (size_t i = 0; i < o->n_bias; i++) {
        const token_id id = o->bias[i].id;

        if (id < 0 || (size_t)id >= v)
            continue;
        if (o->bias[i].bias > PICK_BAN)
            logits[id] += o->bias[i].bias;
        else
            logits[id] = BANNED;
    }
}

static void punish(const struct pick_options *o, const token_id *history, size_t n, float *logits,
                   size_t v)
{
    if (o->frequency_penalty == 0 && o->presence_penalty == 0 && o->repetition_penalty == 1)
        return;
    for (size_t i = 0; i < n; i++) {
        const size_t id = (size_t)history[i];
        bool seen = false;

        if (id >= v)
            continue;
        for (size_t j = 0; j < i && !seen; j++)
            seen = history[j] == history[i];
        logits[id] -= o->frequency_penalty;
        if (!seen) {
            logits[id] -= o->presence_penalty;
            if (o->repetition_penalty != 1)
                logits[id] = logits[id] > 0 ? logits[id] / o->repetition_penalty
                                            : logits[id] * o->repetition_penalty;
        }
    }
}

/* Likelier first; the smaller id among equals. */
static bool before(const float *w, uint32_t a, uint32_t b)
{
    return w[a] > w[b] || (w[a] == w[b] && a < b);
}

/* Puts the k likeliest of order[0..n) in front (quickselect), k in 1..n. */
static void select_front(const float *w, uint32_t *order, size_t n, size_t k)
{
    size_t lo = 0, hi = n;

    while (hi - lo > 1) {
        const uint32_t pivot = order[lo + (hi - lo) / 2];
        size_t i = lo, j = hi - 1;

        for (;;) {
            while (before(w, order[i], pivot))
                i++;
            while (before(w, pivot, order[j]))
                j--;
            if (i >= j)
                break;
            const uint32_t t = order[i];
            order[i] = order[j];
            order[j] = t;
        }
        /* order[i] is the pivot, everything before it is likelier */
        if (i + 1 == k || i == k)
            return;
        if (k <= i)
            hi = i;
        else
            lo = i + 1;
    }
}

static int in_order(const void *a, const void *b, void *w)
{
    const uint32_t i = *(const uint32_t *)a, j = *(const uint32_t *)b;

    return before(w, j, i) - before(w, i, j);
}

static void sort_front(float *w, uint32_t *order, size_t n)
{
    qsort_r(order, n, sizeof *order, in_order, w);
}

/* How many of the likeliest tokens reach top_p of the whole. */
static size_t nucleus(float *w, uint32_t *order, size_t n, float wanted)
{
    size_t done = 0;
    float sum = 0;

    for (size_t step = 64; done < n; step *= 2) {
        const size_t k = size_min(step, n - done);

        if (k < n - done)
            select_front(w, order + done, n - done, k);
        sort_front(w, order + done, k);
        for (size_t i = 0; i < k; i++) {
            sum += w[order[done + i]];
            if (sum >= wanted)
                return done + i + 1;
        }
        done += k;
    }
    return n;
}

token_id pick_filtered(struct picker *p, const struct pick_options *o, const float *logits,
                       size_t v, const token_id *history, size_t n_history, float u)
{
    picker_size(p, v);
    float *w = p->work;

    memcpy(w, logits, v * sizeof *w);
    punish(o, history, n_history, w, v);
    if (o->temperature <= 0)
        return pick_greedy(w, v);
    kernels()->exp_to(v, kernels()->max(v, w), pick_inv_t(o), w, w);
    float total = 0;
    size_t n = 0;
    for (size_t i = 0; i < v; i++) {
        if (w[i] < o->min_p || !(w[i] > 0)) /* the likeliest is 1 */
            w[i] = 0;
        else
            p->order[n++] = (uint32_t)i;
        total += w[i];
    }
    size_t kept = n;
    if (o->top_k > 0 && o->top_k < n) {
        select_front(w, p->order, n, o->top_k);
        kept = o->top_k;
        total = 0;
        for (size_t i = 0; i < kept; i++)
            total += w[p->order[i]];
    }
    if (o->top_p < 1)
        kept = nucleus(w, p->order, kept, o->top_p * total);
    for (size_t i = kept; i < n; i++)
        w[p->order[i]] = 0;
    total = 0;
    for (size_t i = 0; i < v; i++) /* in the vocabulary's order, as without filters */
        total += w[i];
    const float target = u * total;
    float sum = 0;
    size_t last = 0;
    for (size_t i = 0; i < v; i++) {
        if (w[i] <= 0)
            continue;
        last = i;
        sum += w[i];
        if (sum > target)
            break;
    }
    return (token_id)last;
}
