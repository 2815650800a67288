/*
 * engine.c - the loop of continuous batching.
 *
 * A node is a place in the tree where at least one answer still grows: a segment and the answers that have come this
 * way. Each round computes the newest token of every node, and the prompts of requests newly let in; then every
 * answer draws its next token from its node's row. Answers that drew the same token stay together.
 *
 *     round:  admit -> forward(all pending rows) -> logits -> mask -> draw -> end, stay or part
 */
#include "sample/engine.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/size.h"
#include "tensor/cpu/kernels.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LOGIT_ROWS 64 /* rows of logits at a time: 12 MB for a vocabulary of 49k */

/* How far a thinking span has come: maybe -> open -> none, or at once the last. */
struct thought {
    enum { THOUGHT_NONE, THOUGHT_MAYBE, THOUGHT_OPEN } state;
    size_t n_matched;  /* bytes of the opening that the answer began with */
    size_t n_tokens;   /* once the span is closed */
    size_t n_injected; /* closing tokens already written */
};

/* What a constraint makes of an answer's text behind its thinking; alive: it is the beginning of a value. */
struct allowed {
    struct grammar_state *state; /* NULL: the request has no constraint */
    bool alive; /* false only inside a span, or where the text can still become one alone */
};

struct node {
    size_t request;
    struct kv_segment *seg;
    const token_id
        *pending; /* tokens whose rows are to be computed: the prompt, or the newest one */
    size_t n_pending;
    token_id newest;
    uint32_t *who; /* samples that came this way */
    size_t n_who;
    size_t n; /* tokens of these samples so far */
    struct thought thought;
    struct allowed allowed;
};

struct engine {
    const struct model *model;
    const struct tokenizer *tokenizer;
    struct engine_options opt;
    struct kv_pool *pool;
    struct workspace *work;
    struct arena run, round;
    struct picker *pickers;             /* one a thread */
    struct constraint_scratch *scratch; /* one a thread, open from the first constraint on */
    int n_pickers;
    float *logits;
    size_t ld;
    struct engine_counts counts;
};

struct engine_options engine_defaults(const struct model *m)
{
    (void)m;
    return (struct engine_options){
        .max_live = 256, .kv_bytes = (size_t)768 << 20, .prefill_rows = 512};
}

bool engine_open(const struct model *m, const struct tokenizer *t, const struct engine_options *opt,
                 struct engine **out, struct error *err)
{
    struct engine *e = calloc(1, sizeof *e);

    if (e == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the sampling engine");
    e->model = m;
    e->tokenizer = t;
    e->opt = *opt;
    /* one line more than the vocabulary, so that rows do not fall on the same cache sets */
    e->ld = size_round_up(m->config.vocab, PANEL) + PANEL;
    e->logits = aligned_alloc(64, LOGIT_ROWS * e->ld * sizeof(float));
    e->n_pickers = parallel_threads();
    e->pickers = calloc((size_t)e->n_pickers, sizeof *e->pickers);
    e->scratch = calloc((size_t)e->n_pickers, sizeof *e->scratch);
    bool ok = e->logits != NULL && e->pickers != NULL && e->scratch != NULL
                  ? true
                  : fail(err, ERR_NO_MEMORY, "no memory for logits");
    ok = ok &&
         kv_pool_open(&m->config, size_max(opt->kv_bytes, (size_t)(memory_total() / 2)), &e->pool,
                      err) &&
         workspace_open(m, &e->work, err);
    if (!ok) {
        engine_close(e);
        return false;
    }
    *out = e;
    return true;
}

void engine_close(struct engine *e)
{
    if (e == NULL)
        return;
    for (int i = 0; i < e->n_pickers && e->pickers != NULL; i++)
        picker_release(&e->pickers[i]);
    for (int i = 0; i < e->n_pickers && e->scratch != NULL; i++)
        constraint_scratch_close(&e->scratch[i]);
    free(e->scratch);
    free(e->pickers);
    free(e->logits);
    kv_pool_close(e->pool);
    workspace_close(e->work);
    arena_release(&e->run);
    arena_release(&e->round);
    free(e);
}

size_t engine_bytes(const struct engine *e)
{
    return kv_pool_bytes(e->pool) + workspace_bytes(e->work) + LOGIT_ROWS * e->ld * sizeof(float);
}

struct kv_pool *engine_pool(struct engine *e)
{
    return e->pool;
}

struct workspace *engine_workspace(struct engine *e)
{
    return e->work;
}

float *engine_logits(struct engine *e, size_t *rows, size_t *ld)
{
    *rows = LOGIT_ROWS;
    *ld = e->ld;
    return e->logits;
}

struct engine_counts engine_counts(const struct engine *e)
{
    return e->counts;
}

struct run {
    struct engine *e;
    const struct adapter *adapter;
    const struct sample_request *requests;
    size_t n_requests, next; /* requests not yet let in */
    const struct engine_hooks *hooks;
    struct sample **samples;
    struct node **nodes; /* growing ones, in the order they came to be */
    size_t n_nodes, cap_nodes;
    size_t n_live, n_done, n_total;
    size_t pages_promised;               /* the most that live requests can still need */
    struct constraint_closing *closings; /* [n_requests], where there are constraints */
    struct kv_segment *trunk; /* tokens that all prompts begin with, computed once; or NULL */
};

static void node_put(struct run *r, struct node *n)
{
    if (r->n_nodes == r->cap_nodes) {
        const size_t cap = size_max(64, 2 * r->cap_nodes);
        struct node **grown = ARENA_ARRAY(&r->e->run, struct node *, cap);

        for (size_t i = 0; i < r->n_nodes; i++)
            grown[i] = r->nodes[i];
        r->nodes = grown;
        r->cap_nodes = cap;
    }
    r->nodes[r->n_nodes++] = n;
}

/* Each answer parts at most once from every other, and each segment wastes at most a page. */
static size_t pages_of(const struct sample_request *q)
{
    return q->n_prompt / KV_PAGE + 1 + q->n_samples * (q->max_tokens / KV_PAGE + 2);
}

static bool is_end(const struct model_config *c, token_id id)
{
    for (size_t i = 0; i < c->n_eos; i++)
        if (c->eos[i] == id)
            return true;
    return false;
}

static void admit(struct run *r)
{
    struct engine *e = r->e;
    const size_t max_pages = e->opt.kv_bytes / kv_page_bytes(&e->model->config);
    size_t rows = 0;

    while (r->next < r->n_requests) {
        const struct sample_request *q = &r->requests[r->next];
        const size_t pages = pages_of(q);

        if (r->n_live > 0 &&
            (r->n_live + q->n_samples > e->opt.max_live || r->pages_promised + pages > max_pages ||
             rows + q->n_prompt > e->opt.prefill_rows))
            return;
        struct node *n = ARENA_NEW(&e->run, struct node);
        *n = (struct node){.request = r->next,
                           .seg = kv_segment_new(e->pool, r->trunk),
                           .pending = q->prompt + kv_end(r->trunk),
                           .n_pending = q->n_prompt - kv_end(r->trunk),
                           .thought.state = q->thinking.on             ? THOUGHT_OPEN
                                            : q->thinking.open.len > 0 ? THOUGHT_MAYBE
                                                                       : THOUGHT_NONE,
                           .n_who = q->n_samples,
                           .who = ARENA_ARRAY(&e->run, uint32_t, q->n_samples)};
        for (size_t s = 0; s < q->n_samples; s++)
            n->who[s] = (uint32_t)s;
        if (q->constraint != NULL) {
            n->allowed.state = ARENA_NEW(&e->run, struct grammar_state);
            n->allowed.alive = true;
            grammar_begin(n->allowed.state);
        }
        node_put(r, n);
        r->n_live += q->n_samples;
        r->pages_promised += pages;
        rows += q->n_prompt;
        r->next++;
    }
}

/* The text of a sample's tokens so far, end tokens left out. */
static void text_of(const struct engine *e, const struct sample *s, struct buf *out)
{
    for (size_t i = 0; i < s->n; i++)
        if (!is_end(&e->model->config, s->tokens[i]))
            buf_str(out, tokenizer_bytes(e->tokenizer, s->tokens[i]));
}

/* Whether the newest token completed `what` in the text; *at: where it begins. */
static bool text_has(const struct engine *e, const struct sample *s, struct str what, size_t *at)
{
    struct buf b;
    bool found = false;

    buf_init(&b, (size_t)64 << 20);
    text_of(e, s, &b);
    *at = str_find(buf_view(&b), what, 0);
    found = *at < b.len;
    buf_release(&b);
    return found;
}

/* Reads on in the opening, white space before it aside. */
static void match_opening(struct thought *t, struct str open, struct str bytes)
{
    for (size_t i = 0; i < bytes.len && t->state == THOUGHT_MAYBE; i++) {
        if (t->n_matched == 0 && thinking_is_space(bytes.ptr[i]))
            continue;
        if (bytes.ptr[i] != open.ptr[t->n_matched])
            t->state = THOUGHT_NONE;
        else if (++t->n_matched == open.len)
            t->state = THOUGHT_OPEN;
    }
}

/* What its newest token makes of a sample's span; t: before it. */
static struct thought thought_after(const struct engine *e, const struct thinking_options *opt,
                                    struct thought t, const struct sample *s)
{
    const token_id newest = s->tokens[s->n - 1];
    bool closed = false;
    size_t at;

    if (t.state == THOUGHT_MAYBE && !is_end(&e->model->config, newest))
        match_opening(&t, opt->open, tokenizer_bytes(e->tokenizer, newest));
    if (t.state != THOUGHT_OPEN)
        return t;
    if (s->injected[s->n - 1])
        closed = ++t.n_injected == opt->n_close_ids;
    else
        closed = text_has(e, s, opt->close, &at);
    if (closed) {
        t.state = THOUGHT_NONE;
        t.n_tokens = s->n;
    }
    return t;
}

/*
 * What its newest token makes of a constrained sample's text: into *state; whether that begins a value. before, after: its
 * span without the token and with it; was: the text before.
 */
static bool value_after(struct engine *e, const struct sample_request *q, struct thought before,
                        struct thought after, struct allowed was, const struct sample *s,
                        struct grammar_state *state)
{
    size_t at = 0;
    struct buf b;

    if (after.state == THOUGHT_OPEN || (before.state == THOUGHT_NONE && !was.alive))
        return false;
    if (after.state == THOUGHT_MAYBE && after.n_matched == 0) { /* white space so far */
        grammar_begin(state);
        return true;
    }
    if (before.state == THOUGHT_NONE || after.n_tokens != s->n) { /* no span was closed */
        grammar_copy(state, was.state);
        return was.alive &&
               constraint_accepts(q->constraint, &e->scratch[0], state, s->tokens[s->n - 1]);
    }
    buf_init(&b, (size_t)64 << 20);
    text_of(e, s, &b);
    at = s->injected[s->n - 1]
             ? b.len
             : str_find(buf_view(&b), q->thinking.close, 0) + q->thinking.close.len;
    const bool ok = constraint_begins(q->constraint, &e->scratch[0], state,
                                      str_from(buf_view(&b), size_min(at, b.len)));
    buf_release(&b);
    return ok;
}

static void end_sample(struct run *r, struct node *n, uint32_t who, enum sample_end why)
{
    struct sample *s = &r->samples[n->request][who];
    const struct thought t = thought_after(r->e, &r->requests[n->request].thinking, n->thought, s);

    s->end = why;
    s->n_thinking = t.state == THOUGHT_OPEN ? s->n : t.n_tokens;
    r->n_live--;
    r->n_done++;
    if (r->hooks->done != NULL)
        r->hooks->done(r->hooks->ctx, n->request, who, s);
}

/*
 * Whether a constrained sample is still the beginning of something. It always is, but for a token that opens and closes a
 * span at once, and schemas past the limits of grammar_advance.
 */
static bool goes_on(struct engine *e, const struct sample_request *q, const struct node *n,
                    const struct sample *s)
{
    const struct thought after = thought_after(e, &q->thinking, n->thought, s);
    struct grammar_state state;

    return after.state != THOUGHT_NONE ||
           value_after(e, q, n->thought, after, n->allowed, s, &state);
}

/* Whether a sample that just got its newest token ends with it. */
static bool ends(const struct run *r, const struct node *n, struct sample *s, enum sample_end *why)
{
    const struct sample_request *q = &r->requests[n->request];
    size_t at;

    *why = SAMPLE_STOP;
    if (is_end(&r->e->model->config, s->tokens[s->n - 1]))
        return true;
    for (size_t i = 0; i < q->n_stop; i++) /* of several the one that begins first counts */
        if (text_has(r->e, s, q->stop[i], &at))
            s->stop_bytes = size_min(s->stop_bytes, at);
    if (s->stop_bytes != SIZE_MAX)
        return true;
    *why = SAMPLE_LENGTH;
    return s->n >= q->max_tokens || (q->constraint != NULL && !goes_on(r->e, q, n, s));
}

static void give(struct run *r, const struct node *n, uint32_t who, token_id id, float logp,
                 bool injected)
{
    struct sample *s = &r->samples[n->request][who];

    s->tokens[s->n] = id;
    s->logprobs[s->n] = logp;
    s->injected[s->n++] = injected;
    r->e->counts.sampled_tokens++;
    if (r->hooks->token != NULL)
        r->hooks->token(r->hooks->ctx, n->request, who, id, logp);
}

struct draws { /* of one round */
    struct run *r;
    size_t first, n; /* nodes whose rows of logits are in memory */
    token_id **ids;  /* [node][sample of it] */
    float **logps;
    float *entropies; /* [node] */
};

/* Whether the node writes a token of its own now instead of drawing: the budget of thinking is used up. */
static bool injects(const struct run *r, const struct node *n)
{
    const struct thinking_options *t = &r->requests[n->request].thinking;

    return n->thought.state == THOUGHT_OPEN && t->n_close_ids > 0 &&
           (n->thought.n_injected > 0 || (t->budget > 0 && n->n >= t->budget));
}

/* Rules out what a constrained node must not draw. */
static void mask_node(const struct run *r, const struct node *n, int thread, float *logits)
{
    struct engine *e = r->e;
    const struct sample_request *q = &r->requests[n->request];
    struct constraint_scratch *scratch = &e->scratch[thread];

    if (n->thought.state == THOUGHT_OPEN) {
        struct buf before;

        buf_init(&before, (size_t)64 << 20);
        text_of(e, &r->samples[n->request][n->who[0]], &before);
        constraint_mask_closing(q->constraint, &r->closings[n->request], buf_view(&before), logits);
        buf_release(&before);
    } else if (n->thought.state == THOUGHT_MAYBE) {
        constraint_mask_opening(q->constraint, scratch, n->allowed.alive ? n->allowed.state : NULL,
                                q->thinking.open, n->thought.n_matched, n->n == 0, logits);
    } else {
        constraint_mask(q->constraint, scratch, n->allowed.state, logits);
    }
}

static void draw_node(void *ctx, size_t unit, int thread)
{
    struct draws *d = ctx;
    struct run *r = d->r;
    struct engine *e = r->e;
    const struct node *n = r->nodes[d->first + unit];
    const struct sample_request *q = &r->requests[n->request];
    const size_t v = e->model->config.vocab;
    float *logits = e->logits + unit * e->ld;
    struct picker *picker = &e->pickers[thread];
    const bool inject = injects(r, n);

    if (q->constraint != NULL && !inject)
        mask_node(r, n, thread, logits);
    const struct picked_row row =
        pick_row(picker, logits, v, pick_inv_t(&q->pick), q->want_entropy);

    d->entropies[d->first + unit] = row.entropy;
    for (size_t i = 0; i < n->n_who; i++) {
        const uint32_t who = n->who[i];
        const struct sample *s = &r->samples[n->request][who];
        const float u = philox_uniform(q->seed, q->purpose, q->step, q->item, who, (uint32_t)n->n);
        token_id id;

        if (inject)
            id = q->thinking.close_ids[n->thought.n_injected];
        else if (!pick_is_plain(&q->pick))
            id = pick_filtered(picker, &q->pick, logits, v, s->tokens, s->n, u);
        else
            id = q->pick.temperature > 0 ? pick_plain(&row, u) : pick_greedy(logits, v);
        d->ids[d->first + unit][i] = id;
        d->logps[d->first + unit][i] = pick_logp(&row, id);
    }
}

/* A node after its samples drew: those that end leave, those that go on stay together or part. */
static void grow(struct run *r, struct node *n, const token_id *ids, const float *logps,
                 float entropy, struct node **next, size_t *n_next)
{
    struct engine *e = r->e;
    const struct sample_request *q = &r->requests[n->request];
    const bool inject = injects(r, n);
    bool *placed = arena_alloc(&e->round, n->n_who);
    uint32_t *going = ARENA_ARRAY(&e->round, uint32_t, n->n_who);
    size_t n_going = 0, n_alive = n->n_who;

    for (size_t i = 0; i < n->n_who; i++) {
        struct sample *s = &r->samples[n->request][n->who[i]];
        enum sample_end why;

        give(r, n, n->who[i], ids[i], logps[i], inject);
        if (!inject) {
            s->entropy_sum += entropy;
            s->n_drawn++;
        }
        if (ends(r, n, s, &why)) {
            placed[i] = true;
            n_alive--;
            end_sample(r, n, n->who[i], why);
        }
    }
    for (size_t i = 0; i < n->n_who; i++) {
        if (placed[i])
            continue;
        struct node *child = NULL;
        n_going = 0;
        for (size_t j = i; j < n->n_who; j++) {
            if (!placed[j] && ids[j] == ids[i]) {
                placed[j] = true;
                going[n_going++] = n->who[j];
            }
        }
        child = ARENA_NEW(&e->run, struct node);
        *child = *n;
        child->n = n->n + 1;
        child->newest = ids[i];
        child->pending = &child->newest;
        child->n_pending = 1;
        child->n_who = n_going;
        child->who = ARENA_ARRAY(&e->run, uint32_t, n_going);
        memcpy(child->who, going, n_going * sizeof *going);
        const struct sample *first = &r->samples[n->request][going[0]];
        child->thought = thought_after(e, &q->thinking, n->thought, first);
        if (q->constraint != NULL) {
            child->allowed.state =
                n_going == n_alive ? n->allowed.state : ARENA_NEW(&e->run, struct grammar_state);
            child->allowed.alive = value_after(e, q, n->thought, child->thought, n->allowed, first,
                                               child->allowed.state);
        }
        if (n_going == n_alive) { /* all that go on stay together: the segment grows on */
            next[(*n_next)++] = child;
            n->seg = NULL;
            return;
        }
        child->seg = kv_segment_new(e->pool, n->seg);
        next[(*n_next)++] = child;
    }
    kv_segment_release(e->pool, n->seg);
    n->seg = NULL;
}

/* Places for m rows, as far as there is room; NULL where none are wanted. */
static struct saved_row **take_rows(struct engine *e, const struct engine_hooks *hooks, size_t m)
{
    if (hooks->save == NULL)
        return NULL;
    struct saved_row **to = ARENA_ARRAY(&e->round, struct saved_row *, m);
    for (size_t i = 0; i < m; i++)
        to[i] = saved_take(hooks->save, hooks->save_leave);
    return to;
}

/* Says where a node's pending rows were kept. */
static void note_rows(struct run *r, const struct node *n, struct saved_row *const *rows)
{
    if (n->n == 0) {
        struct sample *s = &r->samples[n->request][n->who[0]];

        saved_places(s->prompt_rows + kv_end(r->trunk), rows, n->n_pending);
        return;
    }
    for (size_t i = 0; i < n->n_who; i++)
        r->samples[n->request][n->who[i]].rows[n->n - 1] = rows[0];
}

static bool one_round(struct run *r, struct error *err)
{
    struct engine *e = r->e;
    const size_t c = e->model->config.width;
    size_t m = 0, at = 0;

    arena_reset(&e->round);
    for (size_t i = 0; i < r->n_nodes; i++)
        m += r->nodes[i]->n_pending;
    token_id *tokens = ARENA_ARRAY(&e->round, token_id, m);
    struct span *spans = ARENA_ARRAY(&e->round, struct span, r->n_nodes);
    float *hidden = arena_alloc(&e->round, m * c * sizeof(float));
    float *last = arena_alloc(&e->round, r->n_nodes * c * sizeof(float));
    for (size_t i = 0; i < r->n_nodes; i++) {
        struct node *n = r->nodes[i];

        if (!kv_segment_reserve(e->pool, n->seg, n->n_pending, err))
            return false;
        spans[i] = (struct span){.seg = n->seg, .n_rows = n->n_pending};
        memcpy(tokens + at, n->pending, n->n_pending * sizeof *tokens);
        at += n->n_pending;
    }
    const struct batch b = {.m = m, .tokens = tokens, .spans = spans, .n_spans = r->n_nodes};
    struct saved_row **to = take_rows(e, r->hooks, m);
    if (!forward_saving(e->model, r->adapter, e->work, &b, to, hidden, err))
        return false;
    e->counts.rows += m;
    at = 0;
    for (size_t i = 0; i < r->n_nodes; i++) {
        if (to != NULL)
            note_rows(r, r->nodes[i], to + at);
        at += r->nodes[i]->n_pending;
        if (r->nodes[i]->n == 0)
            e->counts.prompt_tokens += r->nodes[i]->n_pending;
        memcpy(last + i * c, hidden + (at - 1) * c, c * sizeof *last);
    }
    struct draws d = {.r = r,
                      .ids = ARENA_ARRAY(&e->round, token_id *, r->n_nodes),
                      .logps = ARENA_ARRAY(&e->round, float *, r->n_nodes),
                      .entropies = ARENA_ARRAY(&e->round, float, r->n_nodes)};
    for (size_t i = 0; i < r->n_nodes; i++) {
        d.ids[i] = ARENA_ARRAY(&e->round, token_id, r->nodes[i]->n_who);
        d.logps[i] = ARENA_ARRAY(&e->round, float, r->nodes[i]->n_who);
    }
    for (d.first = 0; d.first < r->n_nodes; d.first += d.n) {
        d.n = size_min(LOGIT_ROWS, r->n_nodes - d.first);
        logits_of(e->model, d.n, last + d.first * c, e->logits, e->ld);
        parallel_for(d.n, draw_node, &d);
    }
    struct node **next = ARENA_ARRAY(&e->round, struct node *, r->n_live + 1);
    size_t n_next = 0;
    for (size_t i = 0; i < r->n_nodes; i++)
        grow(r, r->nodes[i], d.ids[i], d.logps[i], d.entropies[i], next, &n_next);
    r->n_nodes = 0;
    r->pages_promised = 0;
    size_t counted = SIZE_MAX;
    for (size_t i = 0; i < n_next; i++) {
        node_put(r, next[i]);
        if (next[i]->request != counted) { /* nodes of one request lie together */
            counted = next[i]->request;
            r->pages_promised += pages_of(&r->requests[counted]);
        }
    }
    return true;
}

static struct sample **samples_make(struct engine *e, const struct sample_request *requests,
                                    size_t n_requests, bool save)
{
    struct sample **all = ARENA_ARRAY(&e->run, struct sample *, n_requests);

    for (size_t i = 0; i < n_requests; i++) {
        struct saved_row **prompt_rows =
            save ? ARENA_ARRAY(&e->run, struct saved_row *, requests[i].n_prompt) : NULL;

        all[i] = ARENA_ARRAY(&e->run, struct sample, requests[i].n_samples);
        for (size_t s = 0; s < requests[i].n_samples; s++) {
            all[i][s].tokens = ARENA_ARRAY(&e->run, token_id, requests[i].max_tokens);
            all[i][s].logprobs = ARENA_ARRAY(&e->run, float, requests[i].max_tokens);
            all[i][s].injected = ARENA_ARRAY(&e->run, bool, requests[i].max_tokens);
            all[i][s].stop_bytes = SIZE_MAX;
            all[i][s].prompt_rows = prompt_rows;
            if (save)
                all[i][s].rows = ARENA_ARRAY(&e->run, struct saved_row *, requests[i].max_tokens);
        }
    }
    return all;
}

/* Scratch for each thread, and what may not close a span; for a run in which some request has a constraint. */
static bool prepare_constraints(struct run *r, struct error *err)
{
    struct engine *e = r->e;

    for (size_t i = 0; i < r->n_requests; i++) {
        const struct sample_request *q = &r->requests[i];

        if (q->constraint == NULL)
            continue;
        for (int t = 0; t < e->n_pickers; t++)
            if (e->scratch[t].set == NULL &&
                !constraint_scratch_open(&e->scratch[t], q->constraint, err))
                return false;
        if (r->closings == NULL)
            r->closings = ARENA_ARRAY(&e->run, struct constraint_closing, r->n_requests);
        if (i > 0 && r->requests[i - 1].constraint == q->constraint &&
            str_eq(r->closings[i - 1].close, q->thinking.close)) /* requests of one grader */
            r->closings[i] = r->closings[i - 1];
        else if (q->thinking.on || q->thinking.open.len > 0)
            constraint_closing_find(q->constraint, &e->scratch[0], q->thinking.close, &e->run,
                                    &r->closings[i]);
    }
    return true;
}

#define TRUNK_MIN 16 /* tokens in common that are worth a pass of their own */

/* Tokens that all prompts begin with, the last one of each left out: it has to give logits. */
static size_t common_prefix(const struct sample_request *q, size_t n)
{
    size_t len = q[0].n_prompt - 1;

    for (size_t i = 1; i < n; i++) {
        size_t k = 0;

        while (k < len && k + 1 < q[i].n_prompt && q[i].prompt[k] == q[0].prompt[k])
            k++;
        len = k;
    }
    return n < 2 || len < TRUNK_MIN ? 0 : len;
}

/* Computes tokens at the end of seg, in pieces; hidden states are not wanted. rows [n]: where they were kept. */
static bool read_tokens(struct engine *e, const struct adapter *adapter, struct kv_segment *seg,
                        const token_id *tokens, size_t n, const struct engine_hooks *hooks,
                        struct saved_row **rows, struct error *err)
{
    for (size_t at = 0; at < n; at += e->opt.prefill_rows) {
        const size_t m = size_min(e->opt.prefill_rows, n - at);
        const struct span span = {.seg = seg, .n_rows = m};
        const struct batch b = {.m = m, .tokens = tokens + at, .spans = &span, .n_spans = 1};

        arena_reset(&e->round);
        float *hidden = arena_alloc(&e->round, m * e->model->config.width * sizeof(float));
        struct saved_row **to = take_rows(e, hooks, m);
        if (!kv_segment_reserve(e->pool, seg, m, err) ||
            !forward_saving(e->model, adapter, e->work, &b, to, hidden, err))
            return false;
        if (to != NULL)
            saved_places(rows + at, to, m);
        e->counts.rows += m;
        e->counts.prompt_tokens += m;
    }
    return true;
}

bool engine_run(struct engine *e, const struct adapter *adapter,
                const struct sample_request *requests, size_t n_requests,
                const struct engine_hooks *hooks, struct sample ***samples, struct error *err)
{
    static const struct engine_hooks none;
    struct run r = {.e = e,
                    .adapter = adapter,
                    .requests = requests,
                    .n_requests = n_requests,
                    .hooks = hooks != NULL ? hooks : &none};
    bool ok = true;

    arena_reset(&e->run);
    for (size_t i = 0; i < n_requests; i++) {
        assert(requests[i].n_prompt > 0 && requests[i].max_tokens > 0 && requests[i].n_samples > 0);
        r.n_total += requests[i].n_samples;
        if (requests[i].n_prompt + requests[i].max_tokens > e->model->max_positions)
            return fail(
                err, ERR_LIMIT,
                "a prompt of %zu tokens and %zu more for its answer do not fit the %zu positions available",
                requests[i].n_prompt, requests[i].max_tokens, e->model->max_positions);
    }
    r.samples = samples_make(e, requests, n_requests, r.hooks->save != NULL);
    if (!prepare_constraints(&r, err))
        return false;
    const size_t trunk = n_requests == 0 ? 0 : common_prefix(requests, n_requests);
    if (trunk > 0) {
        r.trunk = kv_segment_new(e->pool, NULL);
        struct saved_row **rows = ARENA_ARRAY(&e->run, struct saved_row *, trunk);

        ok = read_tokens(e, adapter, r.trunk, requests[0].prompt, trunk, r.hooks, rows, err);
        for (size_t i = 0; i < n_requests && r.hooks->save != NULL; i++) {
            saved_places(r.samples[i][0].prompt_rows, rows, trunk);
            for (size_t s = 0; s < requests[i].n_samples; s++)
                r.samples[i][s].n_shared = trunk;
        }
    }
    while (ok && (r.n_nodes > 0 || r.next < n_requests)) {
        if (r.hooks->stop != NULL && atomic_load(r.hooks->stop)) {
            ok = fail(err, ERR_CANCELLED, "stopped on request");
            break;
        }
        admit(&r);
        ok = one_round(&r, err);
        if (r.hooks->tick != NULL)
            r.hooks->tick(r.hooks->ctx, r.n_done, r.n_total);
    }
    for (size_t i = 0; i < r.n_nodes; i++)
        kv_segment_release(e->pool, r.nodes[i]->seg);
    kv_segment_release(e->pool, r.trunk);
    *samples = r.samples;
    return ok;
}

struct scoring {
    struct engine *e;
    const token_id *next;
    float inv_t, *out;
};

static void score_row(void *ctx, size_t i, int thread)
{
    const struct scoring *s = ctx;
    const float *logits = s->e->logits + i * s->e->ld;
    const struct picked_row row =
        pick_row(&s->e->pickers[thread], logits, s->e->model->config.vocab, s->inv_t, false);

    s->out[i] = pick_logp(&row, s->next[i]);
}

bool engine_score(struct engine *e, const struct adapter *adapter, const token_id *tokens, size_t n,
                  float inv_t, float *logprobs, struct error *err)
{
    const size_t c = e->model->config.width;
    struct kv_segment *seg;
    bool ok = true;

    if (n == 0)
        return true;
    logprobs[0] = 0;
    seg = kv_segment_new(e->pool, NULL);
    for (size_t at = 0; ok && at + 1 < n; at += e->opt.prefill_rows) {
        const size_t m = size_min(e->opt.prefill_rows, n - 1 - at);
        const struct span span = {.seg = seg, .n_rows = m};
        const struct batch b = {.m = m, .tokens = tokens + at, .spans = &span, .n_spans = 1};

        arena_reset(&e->round);
        float *hidden = arena_alloc(&e->round, m * c * sizeof(float));
        ok = kv_segment_reserve(e->pool, seg, m, err) &&
             forward(e->model, adapter, e->work, &b, hidden, err);
        for (size_t i = 0; ok && i < m; i += LOGIT_ROWS) {
            const size_t rows = size_min(LOGIT_ROWS, m - i);
            struct scoring s = {
                .e = e, .next = tokens + at + i + 1, .inv_t = inv_t, .out = logprobs + at + i + 1};

            logits_of(e->model, rows, hidden + i * c, e->logits, e->ld);
            parallel_for(rows, score_row, &s);
        }
    }
    kv_segment_release(e->pool, seg);
    return ok;
}
