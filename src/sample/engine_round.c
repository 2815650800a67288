/*
 * engine_round.c - one forward pass for all who are in, and what is drawn from it.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "sample/engine_internal.h"

#include <assert.h>
#include <string.h>

/* The rows of one round, and the nodes that draw after it. */
struct round {
    struct engine *e;
    struct node **nodes; /* [n_nodes] with rows in this round */
    size_t n_nodes, m;
    struct adapted *runs; /* [n_runs] */
    size_t n_runs;
    struct node **drawing; /* [n_drawing] all that was pending is computed */
    size_t n_drawing;
    struct drawn *drawn; /* [n_drawing] */
    size_t first, n;     /* of those whose logits are in memory */
};

struct drawn {
    token_id *ids; /* [samples of the node] */
    float *logps;
    float entropy;
    size_t n_top;
    token_id *top_ids; /* [n_top], where wanted */
    float *top_logps;
};

/* ---- which rows ---- */

/* Prompts share what may be read in a round evenly: a short one is not held up by a long one. */
static void share_out(struct engine *e)
{
    size_t left = e->opt.prefill_rows, n_short;

    for (struct engine_ticket *t = e->in.first; t != NULL; t = t->next)
        for (size_t i = 0; i < t->n_nodes; i++)
            t->nodes[i]->n_now = t->nodes[i]->n > 0 ? t->nodes[i]->n_pending : 0;
    do {
        n_short = 0;
        for (struct engine_ticket *t = e->in.first; t != NULL; t = t->next)
            n_short += t->nodes[0]->n == 0 && t->nodes[0]->n_now < t->nodes[0]->n_pending;
        const size_t share = n_short > 0 ? size_max(1, left / n_short) : 0;
        for (struct engine_ticket *t = e->in.first; t != NULL && left > 0; t = t->next) {
            struct node *n = t->nodes[0];
            const size_t more =
                n->n == 0 ? size_min(size_min(share, left), n->n_pending - n->n_now) : 0;

            n->n_now += more;
            left -= more;
        }
    } while (left > 0 && n_short > 0);
}

static void collect(struct round *r)
{
    struct engine *e = r->e;
    size_t n = 0;

    for (struct engine_ticket *t = e->in.first; t != NULL; t = t->next)
        n += t->n_nodes;
    r->nodes = ARENA_ARRAY(&e->round, struct node *, n);
    r->runs = ARENA_ARRAY(&e->round, struct adapted, n);
    for (struct engine_ticket *t = e->in.first; t != NULL; t = t->next) {
        for (size_t i = 0; i < t->n_nodes; i++) {
            struct node *x = t->nodes[i];

            if (x->n_now == 0)
                continue;
            r->nodes[r->n_nodes++] = x;
            r->m += x->n_now;
            if (r->n_runs == 0 || r->runs[r->n_runs - 1].adapter != t->adapter)
                r->runs[r->n_runs++].adapter = t->adapter;
            r->runs[r->n_runs - 1].n_rows += x->n_now;
        }
    }
}

/* ---- computing them ---- */

/* Says where a node's rows were kept. */
static void note_rows(const struct node *n, struct saved_row *const *rows)
{
    struct engine_ticket *t = n->ticket;

    if (n->n == 0) {
        saved_places(t->samples[0].prompt_rows + t->q.n_prompt - n->n_pending, rows, n->n_now);
        return;
    }
    for (size_t i = 0; i < n->n_who; i++)
        t->samples[n->who[i]].rows[n->n - 1] = rows[0];
}

/* After its rows were computed: true where it draws now. */
static bool read_on(struct engine *e, struct node *n)
{
    const struct engine_ticket *t = n->ticket;

    if (n->n == 0)
        e->counts.prompt_tokens += n->n_now;
    n->pending += n->n_now;
    n->n_pending -= n->n_now;
    if (n->n_pending > 0)
        return false;
    if (n->n == 0 && engine_keeps(e))
        prefix_keep(e->prefixes, adapter_version(t->adapter), t->q.prompt, n->seg);
    return true;
}

/* last [n_drawing, C]: the row that each drawing node draws from. */
static bool compute(struct round *r, float **last, struct error *err)
{
    struct engine *e = r->e;
    const size_t c = e->model->config.width;
    size_t at = 0;

    token_id *tokens = ARENA_ARRAY(&e->round, token_id, r->m);
    struct span *spans = ARENA_ARRAY(&e->round, struct span, r->n_nodes);
    float *hidden = arena_alloc(&e->round, r->m * c * sizeof(float));
    *last = arena_alloc(&e->round, r->n_nodes * c * sizeof(float));
    r->drawing = ARENA_ARRAY(&e->round, struct node *, r->n_nodes);
    for (size_t i = 0; i < r->n_nodes; i++) {
        struct node *n = r->nodes[i];

        if (!kv_segment_reserve(e->pool, n->seg, n->n_now, err))
            return false;
        spans[i] = (struct span){.seg = n->seg, .n_rows = n->n_now};
        memcpy(tokens + at, n->pending, n->n_now * sizeof *tokens);
        at += n->n_now;
    }
    const struct batch b = {.m = r->m, .tokens = tokens, .spans = spans, .n_spans = r->n_nodes};
    struct saved_row **to = engine_take_rows(e, r->m);
    assert(to == NULL || r->n_runs == 1);
    if (!(to != NULL ? forward_saving(e->model, r->runs[0].adapter, e->work, &b, to, hidden, err)
                     : forward_mixed(e->model, r->runs, r->n_runs, e->work, &b, hidden, err)))
        return false;
    e->counts.rows += r->m;
    at = 0;
    for (size_t i = 0; i < r->n_nodes; i++) {
        struct node *n = r->nodes[i];

        if (to != NULL)
            note_rows(n, to + at);
        at += n->n_now;
        if (!read_on(e, n))
            continue;
        memcpy(*last + r->n_drawing * c, hidden + (at - 1) * c, c * sizeof **last);
        r->drawing[r->n_drawing++] = n;
    }
    return true;
}

/* ---- drawing ---- */

static void draw_node(void *ctx, size_t unit, int thread)
{
    struct round *r = ctx;
    struct engine *e = r->e;
    const struct node *n = r->drawing[r->first + unit];
    struct drawn *d = &r->drawn[r->first + unit];
    const struct sample_request *q = &n->ticket->q;
    const size_t v = e->model->config.vocab;
    float *logits = e->logits + unit * e->ld;
    struct picker *picker = &e->pickers[thread];
    const bool inject = node_injects(n);

    pick_bias(&q->pick, logits, v);
    if (q->constraint != NULL && !inject)
        node_mask(e, n, thread, logits);
    const struct picked_row row =
        pick_row(picker, logits, v, pick_inv_t(&q->pick), q->want_entropy);

    d->entropy = row.entropy;
    for (size_t i = 0; i < n->n_who; i++) {
        const uint32_t who = n->who[i];
        const struct sample *s = &n->ticket->samples[who];
        const float u = philox_uniform(q->seed, q->purpose, q->step, q->item, who, (uint32_t)n->n);
        token_id id;

        if (inject)
            id = q->thinking.close_ids[n->thought.n_injected];
        else if (!pick_is_plain(&q->pick))
            id = pick_filtered(picker, &q->pick, logits, v, s->tokens, s->n, u);
        else
            id = q->pick.temperature > 0 ? pick_plain(&row, u) : pick_greedy(logits, v);
        d->ids[i] = id;
        d->logps[i] = pick_logp(&row, id);
    }
    if (q->n_top > 0)
        d->n_top = pick_top(&row, q->n_top, d->top_ids, d->top_logps);
}

static void draw(struct round *r, const float *last)
{
    struct engine *e = r->e;

    r->drawn = ARENA_ARRAY(&e->round, struct drawn, r->n_drawing);
    for (size_t i = 0; i < r->n_drawing; i++) {
        const struct node *n = r->drawing[i];
        const size_t n_top = n->ticket->q.n_top;

        r->drawn[i].ids = ARENA_ARRAY(&e->round, token_id, n->n_who);
        r->drawn[i].logps = ARENA_ARRAY(&e->round, float, n->n_who);
        if (n_top > 0) {
            r->drawn[i].top_ids = ARENA_ARRAY(&e->round, token_id, n_top);
            r->drawn[i].top_logps = ARENA_ARRAY(&e->round, float, n_top);
        }
    }
    for (r->first = 0; r->first < r->n_drawing; r->first += r->n) {
        r->n = size_min(LOGIT_ROWS, r->n_drawing - r->first);
        logits_of(e->model, r->n, last + r->first * e->model->config.width, e->logits, e->ld);
        parallel_for(r->n, draw_node, r);
    }
}

/* ---- growing ---- */

static void give(struct engine_ticket *t, uint32_t who, const struct drawn *d, size_t i,
                 bool injected)
{
    struct sample *s = &t->samples[who];

    s->tokens[s->n] = d->ids[i];
    s->logprobs[s->n] = d->logps[i];
    s->injected[s->n++] = injected;
    if (!injected) {
        s->entropy_sum += d->entropy;
        s->n_drawn++;
    }
    t->engine->counts.sampled_tokens++;
    if (t->calls.token == NULL || t->cancelled)
        return;
    const struct token_told told = {.id = d->ids[i],
                                    .logp = d->logps[i],
                                    .injected = injected,
                                    .n_top = d->n_top,
                                    .top_ids = d->top_ids,
                                    .top_logps = d->top_logps};
    t->calls.token(t->calls.ctx, who, &told);
}

static void end_sample(struct node *n, uint32_t who, enum sample_end why)
{
    struct engine_ticket *ticket = n->ticket;
    struct engine *e = ticket->engine;
    struct sample *s = &ticket->samples[who];
    const struct thought t = thought_after(e, &ticket->q.thinking, n->thought, s);

    s->end = why;
    s->n_thinking = t.state == THOUGHT_OPEN ? s->n : t.n_tokens;
    e->n_growing--;
    ticket->n_growing--;
    if (ticket->calls.done != NULL && !ticket->cancelled)
        ticket->calls.done(ticket->calls.ctx, who, s);
}

/* The segment of a node whose answers have all ended: the next turn of a chat begins with it. */
static void leave(struct engine *e, struct node *n)
{
    const struct engine_ticket *t = n->ticket;

    if (engine_keeps(e) && t->q.n_samples == 1) {
        const struct sample *s = &t->samples[0];
        token_id *all = ARENA_ARRAY(&e->round, token_id, t->q.n_prompt + s->n);

        memcpy(all, t->q.prompt, t->q.n_prompt * sizeof *all);
        memcpy(all + t->q.n_prompt, s->tokens, s->n * sizeof *all);
        prefix_keep(e->prefixes, adapter_version(t->adapter), all, n->seg);
    }
    kv_segment_release(e->pool, n->seg);
    n->seg = NULL;
}

/* A node of answers that go on with the same token, in n's place where all do: who [n_who]. */
static struct node *node_after(struct node *n, const uint32_t *who, size_t n_who, bool all)
{
    struct engine_ticket *t = n->ticket;
    struct engine *e = t->engine;
    const struct sample *first = &t->samples[who[0]];
    const struct thought after = thought_after(e, &t->q.thinking, n->thought, first);
    struct node *child = n;

    if (!all) {
        child = ARENA_NEW(t->arena, struct node);
        *child = *n;
        child->who = ARENA_ARRAY(t->arena, uint32_t, n_who);
        child->seg = kv_segment_new(e->pool, n->seg);
        if (t->q.constraint != NULL)
            child->allowed.state = ARENA_NEW(t->arena, struct grammar_state);
    }
    if (t->q.constraint != NULL)
        child->allowed.alive =
            value_after(e, &t->q, n->thought, after, n->allowed, first, child->allowed.state);
    memcpy(child->who, who, n_who * sizeof *who);
    child->n_who = n_who;
    child->thought = after;
    child->newest = first->tokens[n->n];
    child->pending = &child->newest;
    child->n_pending = 1;
    child->n++; /* the last: what is above is about n, which may be the same */
    return child;
}

/* A node after its samples drew: those that end leave, those that go on stay together or part. */
static void grow(struct node *n, const struct drawn *d, struct node **next, size_t *n_next)
{
    struct engine_ticket *t = n->ticket;
    struct engine *e = t->engine;
    const bool inject = node_injects(n);
    bool *placed = arena_alloc(&e->round, n->n_who);
    uint32_t *going = ARENA_ARRAY(&e->round, uint32_t, n->n_who);
    size_t n_alive = n->n_who;

    for (size_t i = 0; i < n->n_who; i++) {
        enum sample_end why;

        give(t, n->who[i], d, i, inject);
        if (answer_ends(e, n, &t->samples[n->who[i]], &why)) {
            placed[i] = true;
            n_alive--;
            end_sample(n, n->who[i], why);
        }
    }
    for (size_t i = 0; i < n->n_who; i++) {
        size_t n_going = 0;

        if (placed[i])
            continue;
        for (size_t j = i; j < n->n_who; j++) {
            if (!placed[j] && d->ids[j] == d->ids[i]) {
                placed[j] = true;
                going[n_going++] = n->who[j];
            }
        }
        next[(*n_next)++] = node_after(n, going, n_going, n_going == n_alive);
        if (n_going == n_alive) /* the segment grows on */
            return;
    }
    if (n_alive == 0)
        leave(e, n);
    else
        kv_segment_release(e->pool, n->seg);
}

/* Every ticket's nodes after the draws; at: the next of those that drew. */
static void grow_all(struct round *r)
{
    struct engine *e = r->e;
    size_t at = 0;

    for (struct engine_ticket *t = e->in.first, *after; t != NULL; t = after) {
        struct node **next = t->next_nodes;
        size_t n_next = 0;

        after = t->next; /* one that is done leaves the list */
        for (size_t i = 0; i < t->n_nodes; i++) {
            if (at < r->n_drawing && r->drawing[at] == t->nodes[i]) {
                grow(t->nodes[i], &r->drawn[at], next, &n_next);
                at++;
            } else {
                next[n_next++] = t->nodes[i];
            }
        }
        t->next_nodes = t->nodes;
        t->nodes = next;
        t->n_nodes = n_next;
        if (n_next == 0)
            ticket_drop(t);
    }
    assert(at == r->n_drawing);
}

bool engine_round(struct engine *e, struct error *err)
{
    struct round r = {.e = e};
    float *last = NULL;

    arena_reset(&e->round);
    share_out(e);
    collect(&r);
    if (r.m == 0)
        return true;
    if (!compute(&r, &last, err))
        return false;
    draw(&r, last);
    grow_all(&r);
    return true;
}
