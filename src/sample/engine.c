/*
 * engine.c - requests come, wait, are let in, and leave; in between rounds of continuous batching (engine_round.c).
 *
 * A node is a place in the tree where at least one answer still grows: a segment and the answers that have come this
 * way. Each round computes the newest token of every node, and pieces of the prompts of requests newly let in; then every
 * answer whose row is there draws its next token from its node's row. Answers that drew the same token stay together.
 *
 *     turn:  admit -> forward(all pending rows) -> logits -> bias, mask -> draw -> end, stay or part
 */
#include "base/memory.h"
#include "base/parallel.h"
#include "base/size.h"
#include "sample/engine_internal.h"
#include "tensor/cpu/kernels.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct engine_options engine_defaults(const struct model *m)
{
    (void)m;
    return (struct engine_options){
        .max_live = 256, .kv_bytes = (size_t)768 << 20, .prefill_rows = 512, .draft = DRAFT_AUTO};
}

static void list_init(struct ticket_list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

/*
 * Floats between rows of logits: an odd number of cache lines, and five more than a multiple of 64, so that a piece of 64 rows,
 * which the backward reads again and again, lies on all sets of a cache and not on a few.
 */
static size_t logits_ld(size_t vocab)
{
    return size_round_up(vocab, 64 * PANEL) + 5 * PANEL;
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
    pace_begin(&e->pace);
    list_init(&e->waiting);
    list_init(&e->in);
    e->ld = logits_ld(m->config.vocab);
    e->logits = aligned_alloc(64, LOGIT_ROWS * e->ld * sizeof(float));
    e->n_pickers = parallel_threads();
    e->pickers = calloc((size_t)e->n_pickers, sizeof *e->pickers);
    e->scratch = calloc((size_t)e->n_pickers, sizeof *e->scratch);
    bool ok = e->logits != NULL && e->pickers != NULL && e->scratch != NULL
                  ? true
                  : fail(err, ERR_NO_MEMORY, "no memory for logits");
    ok = ok &&
         kv_pool_open(&m->config,
                      size_max(opt->kv_bytes + opt->prefix_bytes, (size_t)(memory_total() / 2)),
                      &e->pool, err) &&
         (opt->prefix_bytes == 0 ||
          prefix_open(&m->config, e->pool, opt->prefix_bytes, &e->prefixes, err)) &&
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
    assert(e->n_tickets == 0); /* every request was cancelled, or is done */
    for (int i = 0; i < e->n_pickers && e->pickers != NULL; i++)
        picker_release(&e->pickers[i]);
    for (int i = 0; i < e->n_pickers && e->scratch != NULL; i++)
        constraint_scratch_close(&e->scratch[i]);
    free(e->scratch);
    free(e->pickers);
    free(e->logits);
    prefix_close(e->prefixes);
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

void engine_set_draft(struct engine *e, size_t tokens)
{
    e->opt.draft = tokens;
}

void engine_limit(struct engine *e, size_t kv_bytes)
{
    e->opt.kv_bytes = kv_bytes;
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

bool engine_keeps(const struct engine *e)
{
    return e->prefixes != NULL && e->hooks == NULL && e->model->full == NULL;
}

/* ---- tickets ---- */

static void list_put(struct ticket_list *l, struct engine_ticket *t)
{
    t->next = NULL;
    *l->last = t;
    l->last = &t->next;
}

static void list_take(struct ticket_list *l, struct engine_ticket *t)
{
    struct engine_ticket **at = &l->first;

    while (*at != t)
        at = &(*at)->next;
    *at = t->next;
    if (l->last == &t->next)
        l->last = at;
}

/* Behind the last one of the same adapter. */
static void list_put_by_adapter(struct ticket_list *l, struct engine_ticket *t)
{
    struct engine_ticket *after = NULL;

    for (struct engine_ticket *x = l->first; x != NULL; x = x->next)
        if (x->adapter == t->adapter)
            after = x;
    if (after == NULL || after->next == NULL) {
        list_put(l, t);
        return;
    }
    t->next = after->next;
    after->next = t;
}

/* Each answer parts at most once from every other, and each segment wastes at most a page. */
static size_t pages_of(const struct sample_request *q)
{
    return q->n_prompt / KV_PAGE + 1 +
           q->n_samples * ((q->max_tokens + q->max_given) / KV_PAGE + 2);
}

/* And scratch for each thread. before: another ticket, or NULL. */
static bool prepare_rules(struct engine_ticket *t, const struct engine_ticket *before,
                          struct error *err)
{
    struct engine *e = t->engine;
    const struct sample_request *q = &t->q;

    for (int i = 0; i < e->n_pickers && q->constraint != NULL; i++)
        if (e->scratch[i].set == NULL &&
            !constraint_scratch_open(&e->scratch[i], q->constraint, err))
            return false;
    t->rules = answer_rules_of(&e->model->config, e->tokenizer, &q->thinking, q->constraint,
                               before != NULL ? &before->rules : NULL, &e->scratch[0], t->arena);
    return true;
}

static void make_samples(struct engine_ticket *t, bool save)
{
    const struct sample_request *q = &t->q;
    const size_t most = q->max_tokens + q->max_given;
    struct saved_row **prompt_rows =
        save ? ARENA_ARRAY(t->arena, struct saved_row *, q->n_prompt) : NULL;

    t->samples = ARENA_ARRAY(t->arena, struct sample, q->n_samples);
    for (size_t i = 0; i < q->n_samples; i++) {
        struct sample *s = &t->samples[i];

        s->tokens = ARENA_ARRAY(t->arena, token_id, most);
        s->logprobs = ARENA_ARRAY(t->arena, float, most);
        s->injected = ARENA_ARRAY(t->arena, bool, most);
        s->stop_bytes = SIZE_MAX;
        s->prompt_rows = prompt_rows;
        if (save)
            s->rows = ARENA_ARRAY(t->arena, struct saved_row *, most);
    }
}

bool engine_fits_positions(const struct engine *e, const struct sample_request *q,
                           struct error *err)
{
    assert(q->n_prompt > 0 && q->max_tokens > 0 && q->n_samples > 0 && q->n_top <= PICK_MAX_TOP);
    assert(q->max_given == 0 || (e->hooks != NULL && q->constraint == NULL && q->n_stop == 0));
    if (q->n_prompt + q->max_tokens + q->max_given <= e->model->max_positions)
        return true;
    return fail(
        err, ERR_LIMIT,
        "a prompt of %zu tokens and %zu more for its answer do not fit the %zu positions available",
        q->n_prompt, q->max_tokens + q->max_given, e->model->max_positions);
}

bool ticket_begin(struct engine_ticket *t, const struct engine_ticket *before, bool save,
                  struct error *err)
{
    struct engine *e = t->engine;

    if (!prepare_rules(t, before, err))
        return false;
    make_samples(t, save);
    t->nodes = ARENA_ARRAY(t->arena, struct node *, t->q.n_samples);
    t->next_nodes = ARENA_ARRAY(t->arena, struct node *, t->q.n_samples);
    t->n_growing = t->q.n_samples;
    t->n_pages = pages_of(&t->q);
    t->state = TICKET_WAITS;
    list_put(&e->waiting, t);
    e->n_tickets++;
    return true;
}

void ticket_drop(struct engine_ticket *t)
{
    struct engine *e = t->engine;

    if (t->state == TICKET_DONE)
        return;
    e->n_tickets--;
    list_take(t->state == TICKET_WAITS ? &e->waiting : &e->in, t);
    if (t->state == TICKET_IN) {
        e->pages_promised -= t->n_pages;
        e->n_growing -= t->n_growing;
    }
    for (size_t i = 0; i < t->n_nodes; i++) {
        const struct node *n = t->nodes[i];

        for (size_t k = 0; k < n->n_who; k++) {
            struct sample *s = &t->samples[n->who[k]];

            s->end = SAMPLE_CANCELLED;
            s->n_thinking = n->thought.state == THOUGHT_OPEN ? s->n : n->thought.n_tokens;
        }
        kv_segment_release(e->pool, n->seg);
    }
    draft_index_close(t->guesses);
    t->guesses = NULL;
    for (size_t i = 0; i < t->q.n_samples && t->state == TICKET_WAITS; i++)
        t->samples[i].end = SAMPLE_CANCELLED;
    t->n_nodes = 0;
    t->state = TICKET_DONE;
}

/* ---- letting in ---- */

struct kv_segment *engine_trunk_of(const struct engine *e, const struct sample_request *q)
{
    const size_t n = kv_end(e->trunk);

    return q->n_prompt > n &&
                   (n == 0 || memcmp(q->prompt, e->trunk_tokens, n * sizeof *q->prompt) == 0)
               ? e->trunk
               : NULL;
}

/* Texts that its answers may go on as. */
static void begin_guesses(struct engine_ticket *t)
{
    const struct sample_request *q = &t->q;

    if (t->engine->opt.draft == 0 || q->max_given > 0)
        return;
    struct draft_own *own = ARENA_ARRAY(t->arena, struct draft_own, q->n_samples);
    for (size_t i = 0; i < q->n_samples; i++)
        own[i] = (struct draft_own){.tokens = t->samples[i].tokens,
                                    .logprobs = t->samples[i].logprobs,
                                    .n = &t->samples[i].n};
    t->guesses =
        draft_index_open(q->prompt, q->n_prompt, q->before, q->n_before, own, q->n_samples);
}

/* The node that a request begins with; what is known of its prompt lies before it. */
static struct node *first_node(struct engine_ticket *t)
{
    struct engine *e = t->engine;
    const struct sample_request *q = &t->q;
    struct node *n = ARENA_NEW(t->arena, struct node);
    struct kv_segment *known = engine_trunk_of(e, q);

    if (engine_keeps(e)) {
        known = prefix_find(e->prefixes, adapter_version(t->adapter), q->prompt, q->n_prompt);
        t->n_cached = kv_end(known);
        e->counts.cached_tokens += t->n_cached;
    }
    *n = (struct node){.ticket = t,
                       .seg = kv_segment_new(e->pool, known),
                       .pending = q->prompt + kv_end(known),
                       .n_pending = q->n_prompt - kv_end(known),
                       .thought = thought_begin(&q->thinking),
                       .n_who = q->n_samples,
                       .who = ARENA_ARRAY(t->arena, uint32_t, q->n_samples)};
    if (engine_keeps(e))
        kv_segment_release(e->pool, known); /* the node's segment holds it now */
    for (size_t s = 0; s < q->n_samples; s++)
        n->who[s] = (uint32_t)s;
    if (q->constraint != NULL) {
        n->allowed.state = ARENA_NEW(t->arena, struct grammar_state);
        n->allowed.alive = true;
        grammar_begin(n->allowed.state);
    }
    return n;
}

/* Readers a turn has room for, where all have long prompts: each gets that part of its rows, or more. */
#define READERS 8

static size_t first_rows(const struct engine *e, size_t n_pending)
{
    return size_min(n_pending, size_max(1, e->opt.prefill_rows / READERS));
}

/* The oldest first, so that none waits for ever: what does not fit holds up those behind it. */
static void admit(struct engine *e)
{
    const size_t max_pages = e->opt.kv_bytes / kv_page_bytes(&e->model->config);
    size_t rows = 0;

    for (const struct engine_ticket *t = e->in.first; t != NULL; t = t->next)
        if (t->nodes[0]->n == 0)
            rows += first_rows(e, t->nodes[0]->n_pending);
    for (struct engine_ticket *t; (t = e->waiting.first) != NULL;) {
        if (e->n_growing > 0 &&
            (e->n_growing + t->q.n_samples > e->opt.max_live ||
             e->pages_promised + t->n_pages > max_pages ||
             rows + first_rows(e, t->q.n_prompt - kv_end(engine_trunk_of(e, &t->q))) >
                 e->opt.prefill_rows))
            return;
        list_take(&e->waiting, t);
        t->nodes[t->n_nodes++] = first_node(t);
        begin_guesses(t);
        list_put_by_adapter(&e->in, t);
        t->state = TICKET_IN;
        e->n_growing += t->n_growing;
        e->pages_promised += t->n_pages;
        rows += first_rows(e, t->nodes[0]->n_pending);
    }
}

/* ---- serving ---- */

/* One alone may take more than kv_bytes, as in a run, but not what the system does not give. */
static bool fits_pool(const struct engine *e, const struct sample_request *q, struct error *err)
{
    const size_t page = kv_page_bytes(&e->model->config), pages = pages_of(q);
    const size_t most = kv_pool_max_pages(e->pool) - e->opt.prefix_bytes / page;

    if (pages <= most)
        return true;
    return fail(
        err, ERR_LIMIT,
        "a prompt of %zu tokens and %zu answers of up to %zu may need %zu MiB of the key-value cache, which "
        "has %zu; fewer answers or shorter ones would fit",
        q->n_prompt, q->n_samples, q->max_tokens, pages * page >> 20, most * page >> 20);
}

bool engine_submit(struct engine *e, const struct adapter *adapter, const struct sample_request *q,
                   const struct engine_calls *calls, struct engine_ticket **out, struct error *err)
{
    struct engine_ticket *t;

    assert(!e->in_turn && e->hooks == NULL);
    if (!engine_fits_positions(e, q, err) || !fits_pool(e, q, err))
        return false;
    t = calloc(1, sizeof *t);
    if (t == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a request");
    t->engine = e;
    t->adapter = adapter;
    t->q = *q;
    if (calls != NULL)
        t->calls = *calls;
    t->arena = &t->own;
    if (!ticket_begin(t, NULL, false, err)) {
        arena_release(&t->own);
        free(t);
        return false;
    }
    *out = t;
    return true;
}

void engine_cancel(struct engine_ticket *t)
{
    if (t->engine->in_turn)
        t->cancelled = true;
    else
        ticket_drop(t);
}

void engine_release(struct engine_ticket *t)
{
    if (t == NULL)
        return;
    assert(!t->engine->in_turn);
    ticket_drop(t);
    arena_release(&t->own);
    free(t);
}

static void drop_cancelled(struct ticket_list *l)
{
    for (struct engine_ticket *t = l->first, *next; t != NULL; t = next) {
        next = t->next;
        if (t->cancelled)
            ticket_drop(t);
    }
}

bool engine_turn(struct engine *e, size_t *n_live, struct error *err)
{
    assert(!e->in_turn);
    e->in_turn = true;
    admit(e);
    const bool ok = engine_round(e, err);
    e->in_turn = false;
    drop_cancelled(&e->waiting);
    drop_cancelled(&e->in);
    *n_live = e->n_tickets;
    return ok;
}

bool engine_is_done(const struct engine_ticket *t)
{
    return t->state == TICKET_DONE;
}

const struct sample *engine_samples(const struct engine_ticket *t)
{
    return t->samples;
}

size_t engine_cached_tokens(const struct engine_ticket *t)
{
    return t->n_cached;
}

void engine_forget(struct engine *e, const struct adapter *adapter)
{
    for (const struct engine_ticket *t = e->in.first; t != NULL; t = t->next)
        assert(t->adapter != adapter);
    for (const struct engine_ticket *t = e->waiting.first; t != NULL; t = t->next)
        assert(t->adapter != adapter);
    if (e->prefixes != NULL)
        prefix_forget(e->prefixes, adapter_version(adapter));
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
    if (n > 0)
        logprobs[0] = 0;
    return engine_score_from(e, adapter, tokens, n, 1, inv_t, logprobs, err);
}

bool engine_score_from(struct engine *e, const struct adapter *adapter, const token_id *tokens,
                       size_t n, size_t from, float inv_t, float *logprobs, struct error *err)
{
    const size_t c = e->model->config.width;
    struct kv_segment *seg;
    bool ok = true;

    assert(from > 0);
    if (n <= from)
        return true;
    seg = kv_segment_new(e->pool, NULL);
    for (size_t at = 0; ok && at + 1 < n; at += e->opt.prefill_rows) {
        const size_t m = size_min(e->opt.prefill_rows, n - 1 - at);
        const struct span span = {.seg = seg, .n_rows = m};
        const struct batch b = {.m = m, .tokens = tokens + at, .spans = &span, .n_spans = 1};

        arena_reset(&e->round);
        float *hidden = arena_alloc(&e->round, m * c * sizeof(float));
        ok = kv_segment_reserve(e->pool, seg, m, err) &&
             forward(e->model, adapter, e->work, &b, hidden, err);
        const size_t first =
            from - 1 > at ? size_min(m, from - 1 - at) : 0; /* row that is asked for */
        for (size_t i = first; ok && i < m; i += LOGIT_ROWS) {
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
