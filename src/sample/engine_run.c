/*
 * engine_run.c - requests of one adapter, until all are done: training and evaluation.
 *
 * A run is turns of the engine over a list, which may become longer meanwhile. The beginning that the first prompts have in common
 * is read once, rows are kept for the backward pass, and what is expected to take longest comes first.
 */
#include "base/size.h"
#include "sample/engine_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

struct run {
    struct engine *e;
    const struct engine_hooks *hooks;
    const struct adapter *adapter;
    const struct sample_request *requests;
    size_t n_requests, n_begun;
    struct sample **samples; /* [n_requests] */
    struct engine_ticket **tickets;
    struct saved_row **trunk_rows;
    const struct engine_ticket *before; /* the ticket begun last */
    size_t n_done, n_total;
};

struct run_call { /* a request's */
    struct run *run;
    size_t request;
};

static void run_token(void *ctx, size_t sample, const struct token_told *t)
{
    const struct run_call *c = ctx;
    const struct engine_hooks *h = c->run->hooks;

    h->token(h->ctx, c->request, sample, t->id, t->logp);
}

static void run_done(void *ctx, size_t sample, const struct sample *s)
{
    const struct run_call *c = ctx;
    const struct engine_hooks *h = c->run->hooks;

    c->run->n_done++;
    if (h->done != NULL)
        h->done(h->ctx, c->request, sample, s);
}

static bool run_goes_on(void *ctx, size_t sample, const struct sample *s)
{
    const struct run_call *c = ctx;
    const struct engine_hooks *h = c->run->hooks;

    return h->goes_on(h->ctx, c->request, sample, s);
}

struct saved_row **engine_take_rows(struct engine *e, size_t m)
{
    if (e->hooks == NULL || e->hooks->save == NULL)
        return NULL;
    struct saved_row **to = ARENA_ARRAY(&e->round, struct saved_row *, m);
    for (size_t i = 0; i < m; i++)
        to[i] = saved_take_any(e->hooks->save, e->hooks->save_leave);
    return to;
}

#define TRUNK_MIN 16 /* tokens in common that are worth a pass of their own */

/* The last token of each is left out: it has to give logits. */
size_t engine_common_tokens(const struct sample_request *q, size_t n)
{
    size_t len = n > 0 ? q[0].n_prompt - 1 : 0;

    for (size_t i = 1; i < n; i++) {
        size_t k = 0;

        while (k < len && k + 1 < q[i].n_prompt && q[i].prompt[k] == q[0].prompt[k])
            k++;
        len = k;
    }
    return n < 2 || len < TRUNK_MIN ? 0 : len;
}

/* Computes the trunk, in pieces; hidden states are not wanted. rows [n]: where they were kept. */
static bool read_trunk(struct engine *e, const struct adapter *adapter, const token_id *tokens,
                       size_t n, struct saved_row **rows, struct error *err)
{
    e->trunk = kv_segment_new(e->pool, NULL);
    for (size_t at = 0; at < n; at += e->opt.prefill_rows) {
        const size_t m = size_min(e->opt.prefill_rows, n - at);
        const struct span span = {.seg = e->trunk, .n_rows = m};
        const struct batch b = {.m = m, .tokens = tokens + at, .spans = &span, .n_spans = 1};

        arena_reset(&e->round);
        float *hidden = arena_alloc(&e->round, m * e->model->config.width * sizeof(float));
        struct saved_row **to = engine_take_rows(e, m);
        if (!kv_segment_reserve(e->pool, e->trunk, m, err) ||
            !forward_saving(e->model, adapter, e->work, &b, to, hidden, err))
            return false;
        if (to != NULL)
            saved_places(rows + at, to, m);
        e->counts.passes++;
        e->counts.rows += m;
        e->counts.prompt_tokens += m;
    }
    return true;
}

/* The common beginning of the first n prompts, where it is worth it. */
static bool begin_trunk(struct run *r, size_t n, struct error *err)
{
    struct engine *e = r->e;
    const size_t len = engine_common_tokens(r->requests, n);

    if (len == 0)
        return true;
    r->trunk_rows = ARENA_ARRAY(&e->run, struct saved_row *, len);
    e->trunk_tokens = r->requests[0].prompt;
    return read_trunk(e, r->adapter, r->requests[0].prompt, len, r->trunk_rows, err);
}

/* Where the trunk's rows were kept, for a request that begins with it. */
static void note_trunk(struct run *r, size_t request)
{
    const struct sample_request *q = &r->requests[request];
    const size_t n = kv_end(engine_trunk_of(r->e, q));
    struct sample *samples = r->samples[request];

    if (n == 0 || r->hooks->save == NULL)
        return;
    saved_places(samples[0].prompt_rows, r->trunk_rows, n);
    for (size_t s = 0; s < q->n_samples; s++)
        samples[s].n_shared = n;
}

/* How long an answer is expected to be; 0: nothing is known. */
static double expected_tokens(const struct sample_request *q)
{
    double sum = 0;

    for (size_t i = 0; i < q->n_before; i++)
        sum += (double)q->before[i].n;
    return q->n_before > 0 ? fmin(sum / (double)q->n_before, (double)q->max_tokens) : 0;
}

struct expected {
    double tokens;
    size_t n_prompt, request;
};

static int longest_first(const void *a, const void *b)
{
    const struct expected *x = a, *y = b;

    if (x->tokens != y->tokens)
        return x->tokens > y->tokens ? -1 : 1;
    if (x->n_prompt != y->n_prompt)
        return x->n_prompt > y->n_prompt ? -1 : 1;
    return x->request < y->request ? -1 : x->request > y->request;
}

/* Requests from..n - 1, those that take longest first: one that came last would be waited for alone. */
static const struct expected *in_order(const struct run *r, size_t from, size_t n)
{
    struct expected *order = ARENA_ARRAY(&r->e->run, struct expected, n - from);
    double known = 0;
    size_t n_known = 0;

    for (size_t i = from; i < n; i++) {
        const double tokens = expected_tokens(&r->requests[i]);

        order[i - from] =
            (struct expected){.tokens = tokens, .n_prompt = r->requests[i].n_prompt, .request = i};
        known += tokens;
        n_known += tokens > 0;
    }
    for (size_t i = 0; i < n - from; i++)
        if (order[i].tokens == 0 && n_known > 0) /* as long as the others */
            order[i].tokens = known / (double)n_known;
    qsort(order, n - from, sizeof *order, longest_first);
    return order;
}

static bool begin_request(struct run *r, size_t request, struct error *err)
{
    struct engine *e = r->e;
    struct engine_ticket *t = ARENA_NEW(&e->run, struct engine_ticket);
    struct run_call *call = ARENA_NEW(&e->run, struct run_call);

    *call = (struct run_call){.run = r, .request = request};
    t->engine = e;
    t->adapter = r->adapter;
    t->q = r->requests[request];
    t->calls = (struct engine_calls){
        .ctx = call,
        .token = r->hooks->token != NULL ? run_token : NULL,
        .done = run_done,
        .goes_on = r->hooks->goes_on != NULL && t->q.max_given > 0 ? run_goes_on : NULL};
    t->arena = &e->run;
    if (!ticket_begin(t, r->before, r->hooks->save != NULL, err))
        return false;
    r->n_total += t->q.n_samples;
    r->samples[request] = t->samples;
    r->tickets[request] = t;
    r->before = t;
    note_trunk(r, request);
    return true;
}

/* Tickets for the requests up to n that have none. */
static bool begin_requests(struct run *r, size_t n, struct error *err)
{
    const size_t from = r->n_begun;

    assert(n >= from && n <= r->n_requests);
    for (size_t i = from; i < n; i++)
        if (!engine_fits_positions(r->e, &r->requests[i], err))
            return false;
    const struct expected *order = in_order(r, from, n);
    if (from == 0 && !begin_trunk(r, n, err))
        return false;
    for (size_t i = 0; i < n - from; i++)
        if (!begin_request(r, order[i].request, err))
            return false;
    r->n_begun = n;
    return true;
}

static size_t wanted(const struct run *r, bool idle)
{
    return r->hooks->wanted != NULL ? r->hooks->wanted(r->hooks->ctx, idle) : r->n_requests;
}

/* What has come for answers that wait. wait: there is nothing else to do. */
static void take_given(struct run *r, bool wait)
{
    struct given g;

    while (r->hooks->given != NULL && r->hooks->given(r->hooks->ctx, wait, &g)) {
        engine_give(r->tickets[g.request], &g);
        wait = false;
    }
}

bool engine_run(struct engine *e, const struct adapter *adapter,
                const struct sample_request *requests, size_t n_requests,
                const struct engine_hooks *hooks, struct sample ***samples, struct error *err)
{
    static const struct engine_hooks none;
    struct run r = {.e = e,
                    .hooks = hooks != NULL ? hooks : &none,
                    .adapter = adapter,
                    .requests = requests,
                    .n_requests = n_requests};

    assert(e->n_tickets == 0 && !e->in_turn);
    arena_reset(&e->run);
    r.samples = ARENA_ARRAY(&e->run, struct sample *, n_requests);
    r.tickets = ARENA_ARRAY(&e->run, struct engine_ticket *, n_requests);
    e->hooks = r.hooks;
    e->idle = false;
    bool ok = true;
    for (size_t n_live = 0; ok;) {
        const size_t n = wanted(&r, n_live == 0);

        if (n_live == 0 && n == r.n_begun)
            break;
        ok = n == r.n_begun || begin_requests(&r, n, err);
        if (ok && r.hooks->stop != NULL && atomic_load(r.hooks->stop))
            ok = fail(err, ERR_CANCELLED, "stopped on request");
        if (ok)
            take_given(&r, e->idle && n_live > 0);
        ok = ok && engine_turn(e, &n_live, err);
        if (ok && r.hooks->tick != NULL)
            r.hooks->tick(r.hooks->ctx, r.n_done, r.n_total);
    }
    while (e->in.first != NULL)
        ticket_drop(e->in.first);
    while (e->waiting.first != NULL)
        ticket_drop(e->waiting.first);
    kv_segment_release(e->pool, e->trunk);
    e->trunk = NULL;
    e->hooks = NULL;
    *samples = r.samples;
    return ok;
}
