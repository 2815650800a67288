/*
 * experts.c - rows are routed, put side by side by their experts, multiplied, and summed row by row.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "model/experts_internal.h"
#include "model/layer_internal.h"
#include "tensor/cpu/kernels.h"

#include <string.h>

struct experts_scratch experts_scratch_make(const struct model *m, size_t rows, bool rounds,
                                            struct arena *a)
{
    const struct model_config *c = &m->config;
    const size_t slots = rows * c->n_chosen;
    struct experts_scratch t = {.logits = layer_room(a, rows * c->n_experts),
                                .share = layer_room(a, slots),
                                .expert = ARENA_ARRAY(a, uint32_t, slots),
                                .place = ARENA_ARRAY(a, size_t, slots),
                                .first = ARENA_ARRAY(a, size_t, c->n_experts + 1),
                                .x = layer_room(a, slots * c->width),
                                .gate = layer_room(a, slots * c->hidden),
                                .up = layer_room(a, slots * c->hidden),
                                .act = layer_room(a, slots * c->hidden),
                                .parts = ARENA_ARRAY(a, struct matmul_part, 2 * c->n_experts)};

    if (rounds) {
        t.rounded = ARENA_NEW(a, struct rounded);
        *t.rounded = rounded_room(slots, size_max(c->width, c->hidden), a);
    }
    return t;
}

static size_t slot_bytes(const struct model_config *c)
{
    return (1 + c->width + 3 * c->hidden) * sizeof(float) + sizeof(uint32_t) + sizeof(size_t);
}

size_t experts_row_bytes(const struct model *m)
{
    const struct model_config *c = &m->config;
    const size_t rounded =
        m->precision == PRECISION_INT8 ? rounded_row_bytes(size_max(c->width, c->hidden)) : 0;

    return c->n_experts * sizeof(float) + c->n_chosen * (slot_bytes(c) + rounded);
}

size_t experts_back_row_bytes(const struct model *m)
{
    const struct model_config *c = &m->config;

    return 2 * c->n_experts * sizeof(float) +
           c->n_chosen * (slot_bytes(c) + (3 * c->hidden + 1) * sizeof(float));
}

/* ---- which experts a row takes, and what each counts ---- */

/* The largest logits, in the order of their numbers. Whatever the logits are, so many different ones are chosen. */
static void choose(size_t n_experts, size_t n_chosen, const float *logits, uint32_t *expert)
{
    for (size_t i = 0; i < n_chosen; i++) {
        size_t best = n_experts, at = i;

        for (size_t e = 0; e < n_experts; e++) {
            bool taken = false;

            for (size_t j = 0; j < i; j++)
                taken = taken || expert[j] == e;
            if (!taken && (best == n_experts || logits[e] > logits[best]))
                best = e;
        }
        for (; at > 0 && expert[at - 1] > best; at--)
            expert[at] = expert[at - 1];
        expert[at] = (uint32_t)best;
    }
}

struct routing {
    const struct model_config *c;
    const struct experts_scratch *t;
};

/* The row's logits become the softmax over all experts where its shares are of that. */
static void route_row(void *ctx, size_t row, int thread)
{
    const struct routing *r = ctx;
    const size_t n = r->c->n_experts, k = r->c->n_chosen;
    float *logits = r->t->logits + row * n, *share = r->t->share + row * k;
    uint32_t *expert = r->t->expert + row * k;

    (void)thread;
    choose(n, k, logits, expert);
    const float max = kernels()->max(n, logits);
    if (r->c->shares_of_all)
        kernels()->scale(n, 1.0f / kernels()->exp_sum(n, max, 1, logits), logits);
    for (size_t i = 0; i < k; i++)
        share[i] = logits[expert[i]];
    if (!r->c->shares_of_all)
        kernels()->scale(k, 1.0f / kernels()->exp_sum(k, max, 1, share), share);
}

/* Where each slot's row lies when those of an expert lie side by side, in the rows' order. */
static void place_slots(const struct model_config *c, size_t slots, const struct experts_scratch *t)
{
    memset(t->first, 0, (c->n_experts + 1) * sizeof *t->first);
    for (size_t i = 0; i < slots; i++)
        t->first[t->expert[i] + 1]++;
    for (size_t e = 0; e < c->n_experts; e++)
        t->first[e + 1] += t->first[e];
    for (size_t i = 0; i < slots; i++)
        t->place[i] = t->first[t->expert[i]]++;
    for (size_t e = c->n_experts; e > 0; e--)
        t->first[e] = t->first[e - 1];
    t->first[0] = 0;
}

static void route(const struct model *m, size_t layer, size_t rows, const float *x,
                  const struct experts_scratch *t)
{
    const struct model_config *c = &m->config;
    struct routing r = {c, t};

    matmul(&m->layers[layer].router, rows, x, c->width, t->logits, c->n_experts, false);
    if (m->layers[layer].router_bias != NULL)
        add_to_rows(rows, c->n_experts, m->layers[layer].router_bias, t->logits, c->n_experts);
    parallel_for(rows, route_row, &r);
    place_slots(c, rows * c->n_chosen, t);
}

/* ---- between rows and what lies side by side ---- */

struct moving {
    const size_t *place;
    size_t n_chosen, n; /* values of a slot */
    const float *from;
    float *to;
    const float *share; /* sum_row's */
};

static void part_row(void *ctx, size_t row, int thread)
{
    const struct moving *w = ctx;

    (void)thread;
    for (size_t i = row * w->n_chosen; i < (row + 1) * w->n_chosen; i++)
        memcpy(w->to + w->place[i] * w->n, w->from + row * w->n, w->n * sizeof *w->to);
}

static void gather_row(void *ctx, size_t slot, int thread)
{
    const struct moving *w = ctx;

    (void)thread;
    memcpy(w->to + w->place[slot] * w->n, w->from + slot * w->n, w->n * sizeof *w->to);
}

static void scatter_row(void *ctx, size_t slot, int thread)
{
    const struct moving *w = ctx;

    (void)thread;
    memcpy(w->to + slot * w->n, w->from + w->place[slot] * w->n, w->n * sizeof *w->to);
}

/* A row's slots, each times its share where there are some, one after the other. */
static void sum_row(void *ctx, size_t row, int thread)
{
    const struct moving *w = ctx;
    float *to = w->to + row * w->n;

    (void)thread;
    memset(to, 0, w->n * sizeof *to);
    for (size_t i = row * w->n_chosen; i < (row + 1) * w->n_chosen; i++) {
        const float share = w->share != NULL ? w->share[i] : 1;

        kernels()->gemm(1, w->n, 1, &share, 1, 1, w->from + w->place[i] * w->n, PANEL, PANEL, to,
                        w->n, true);
    }
}

struct biasing {
    const struct experts_scratch *t;
    const float *bias; /* [E, n] */
    size_t n;
    float *y;
};

static void bias_slot(void *ctx, size_t slot, int thread)
{
    const struct biasing *b = ctx;

    (void)thread;
    kernels()->add(b->n, b->bias + b->t->expert[slot] * b->n, b->y + b->t->place[slot] * b->n);
}

/* y[slots, n] += the bias of each row's expert, where they have one. */
static void add_biases(const struct experts_scratch *t, size_t slots, const float *bias, size_t n,
                       float *y)
{
    if (bias != NULL)
        parallel_for(slots, bias_slot, &(struct biasing){t, bias, n, y});
}

/* ---- forward ---- */

/* One expert's rows of a product: x and y lie side by side. */
static void add_part(const struct experts_scratch *t, size_t *n_parts, size_t e,
                     const struct packed *w, const float *x, float *y)
{
    const size_t first = t->first[e], rows = t->first[e + 1] - first;

    if (rows > 0)
        t->parts[(*n_parts)++] =
            (struct matmul_part){.w = w,
                                 .m = rows,
                                 .x = x + first * w->k,
                                 .ldx = w->k,
                                 .rounded = w->k % ROUNDED_BLOCK == 0 ? t->rounded : NULL,
                                 .first_rounded = first,
                                 .y = y + first * w->n,
                                 .ldy = w->n,
                                 .scale = 1};
}

void experts_forward(const struct model *m, size_t layer, size_t rows, const float *x,
                     const struct experts_scratch *t, float *gate, float *up, float *y)
{
    const struct model_config *c = &m->config;
    const struct expert_weights *w = m->layers[layer].experts;
    float *const *bias = m->layers[layer].expert_bias;
    const size_t slots = rows * c->n_chosen, width = c->width, hidden = c->hidden;
    struct moving to = {.place = t->place, .n_chosen = c->n_chosen, .n = width, .from = x};
    size_t n = 0;

    route(m, layer, rows, x, t);
    to.to = t->x;
    parallel_for(rows, part_row, &to);
    if (t->rounded != NULL && width % ROUNDED_BLOCK == 0)
        round_rows(slots, width, t->x, width, t->rounded);
    for (size_t e = 0; e < c->n_experts; e++) {
        add_part(t, &n, e, &w[e].part[EXPERT_GATE], t->x, t->gate);
        add_part(t, &n, e, &w[e].part[EXPERT_UP], t->x, t->up);
    }
    matmul_parts(t->parts, n);
    add_biases(t, slots, bias[EXPERT_GATE], hidden, t->gate);
    add_biases(t, slots, bias[EXPERT_UP], hidden, t->up);
    gate_forward(c->activation)(slots, hidden, t->gate, t->up, t->act,
                                hidden % ROUNDED_BLOCK == 0 ? t->rounded : NULL);
    n = 0;
    for (size_t e = 0; e < c->n_experts; e++)
        add_part(t, &n, e, &w[e].part[EXPERT_DOWN], t->act, t->x);
    matmul_parts(t->parts, n);
    add_biases(t, slots, bias[EXPERT_DOWN], width, t->x);
    parallel_for(slots, scatter_row,
                 &(struct moving){.place = t->place, .n = hidden, .from = t->gate, .to = gate});
    parallel_for(slots, scatter_row,
                 &(struct moving){.place = t->place, .n = hidden, .from = t->up, .to = up});
    to.from = t->x;
    to.to = y;
    to.share = t->share;
    parallel_for(rows, sum_row, &to);
}

/* ---- backward ---- */

/* dx (+)= dy through one matrix of each expert; both lie side by side. */
static void experts_back_x(const struct model *m, const struct experts_scratch *t,
                           const struct expert_weights *experts, enum expert_part part,
                           const float *dy, float *dx, bool accumulate)
{
    for (size_t e = 0; e < m->config.n_experts; e++) {
        const struct packed *of = &experts[e].part[part];
        const size_t first = t->first[e], rows = t->first[e + 1] - first;

        if (rows > 0)
            model_back_x(m, of, rows, dy + first * of->n, of->n, dx + first * of->k, of->k,
                         accumulate);
    }
}

struct weighing {
    const struct model_config *c;
    const struct experts_scratch *t;
    const float *dy, *bias; /* [M, C]; [E, C], of down, or NULL */
    float *d_act;           /* [slots, F] side by side: before the shares in, behind them out */
    float *d_share;         /* [M, n_chosen] */
    float *d_logits;        /* [M, E] */
};

/* The gradients at a row's shares, from which those at the router's logits follow, and at what its experts' down read. */
static void weigh_row(void *ctx, size_t row, int thread)
{
    const struct weighing *w = ctx;
    const struct experts_scratch *t = w->t;
    const size_t k = w->c->n_chosen, n = w->c->n_experts, hidden = w->c->hidden,
                 width = w->c->width;
    const float *share = t->share + row * k, *p = t->logits + row * n;
    float *d_share = w->d_share + row * k, *d = w->d_logits + row * n, mean = 0;

    (void)thread;
    for (size_t i = 0; i < k; i++) {
        const size_t at = t->place[row * k + i] * hidden;

        d_share[i] = kernels()->dot(hidden, t->act + at, w->d_act + at);
        if (w->bias != NULL) /* a share is of it, too */
            d_share[i] += kernels()->dot(width, w->bias + t->expert[row * k + i] * width,
                                         w->dy + row * width);
        mean += share[i] * d_share[i];
        kernels()->scale(hidden, share[i], w->d_act + at);
    }
    for (size_t e = 0; e < n; e++)
        d[e] = w->c->shares_of_all ? p[e] * -mean : 0;
    for (size_t i = 0; i < k; i++)
        d[t->expert[row * k + i]] = share[i] * (d_share[i] - mean);
}

void experts_backward(const struct model *m, size_t layer, size_t rows, const float *x,
                      const float *gate, const float *up, const float *dy, float *dx,
                      struct arena *a)
{
    const struct model_config *c = &m->config;
    const struct expert_weights *experts = m->layers[layer].experts;
    const size_t slots = rows * c->n_chosen, n = slots * c->hidden;
    const struct experts_scratch t = experts_scratch_make(m, rows, false, a);
    float *d_act = layer_room(a, n), *d_gate = layer_room(a, n), *d_up = layer_room(a, n);
    struct weighing w = {.c = c,
                         .t = &t,
                         .dy = dy,
                         .bias = m->layers[layer].expert_bias[EXPERT_DOWN],
                         .d_act = d_act,
                         .d_share = layer_room(a, slots),
                         .d_logits = layer_room(a, rows * c->n_experts)};
    struct moving by = {.place = t.place, .n_chosen = c->n_chosen, .n = c->width};

    route(m, layer, rows, x, &t); /* anew: the same bits */
    by.from = dy;
    by.to = t.x;
    parallel_for(rows, part_row, &by);
    experts_back_x(m, &t, experts, EXPERT_DOWN, t.x, d_act, false);
    parallel_for(slots, gather_row,
                 &(struct moving){.place = t.place, .n = c->hidden, .from = gate, .to = t.gate});
    parallel_for(slots, gather_row,
                 &(struct moving){.place = t.place, .n = c->hidden, .from = up, .to = t.up});
    gate_forward(c->activation)(slots, c->hidden, t.gate, t.up, t.act, NULL);
    parallel_for(rows, weigh_row, &w);
    gate_backward(c->activation)(slots, c->hidden, t.gate, t.up, d_act, d_gate, d_up);
    experts_back_x(m, &t, experts, EXPERT_GATE, d_gate, t.x, false);
    experts_back_x(m, &t, experts, EXPERT_UP, d_up, t.x, true);
    by.from = t.x;
    by.to = dx;
    parallel_for(rows, sum_row, &by);
    matmul_back_x(&m->layers[layer].router, rows, w.d_logits, c->n_experts, dx, c->width, true);
}
