/*
 * engine_round.c - one forward pass for all who are in, and what is drawn from it.
 *
 * A node's rows are that of its newest token and those of its guesses. All its answers draw from the first; those that drew
 * the first guess draw from its row next, and so on, in waves: until a draw differs, an answer ends, or the guesses do.
 * What is behind that is dropped. So a drawn token has seen the same state and the same row as without guesses.
 */
#include "base/clock.h"
#include "base/parallel.h"
#include "base/size.h"
#include "sample/engine_internal.h"

#include <assert.h>
#include <string.h>

struct drawn {
    token_id *ids; /* [samples of the node] */
    float *logps;
    float entropy;
    size_t n_top;
    token_id *top_ids; /* [n_top], where wanted */
    float *top_logps;
};

/* A node that draws in this round, and what becomes of it. */
struct spot {
    const struct node *origin;
    size_t row, n_rows; /* among those that are drawn from: its newest token's and its guesses' */
    struct node *node;  /* that draws now; NULL: no more */
    size_t wave;        /* from its row + wave */
    struct drawn drawn; /* what it drew */
    struct node **settled; /* [n_settled] those that go on in the next round */
    size_t n_settled;
};

/* The rows of one round, and the nodes that draw after it. */
struct round {
    struct engine *e;
    struct node **nodes; /* [n_nodes] with rows in this round */
    size_t n_nodes, m, n_drafted;
    bool reads;           /* a prompt's rows are among them */
    struct adapted *runs; /* [n_runs] */
    size_t n_runs;
    struct spot *spots;     /* [n_spots] all that was pending is computed */
    size_t n_spots, n_rows; /* and their rows */
    struct spot **now;      /* [n_now] of those whose logits are in memory, the ones that draw */
    size_t n_now, first_row;
};

/* ---- which rows ---- */

/* Prompts share what may be read in a round evenly: a short one is not held up by a long one. */
static void share_out(struct engine *e)
{
    size_t left = e->opt.prefill_rows, n_short;

    for (struct engine_ticket *t = e->in.first; t != NULL; t = t->next)
        for (size_t i = 0; i < t->n_nodes; i++)
            t->nodes[i]->n_now = node_reads(t->nodes[i]) ? 0 : t->nodes[i]->n_pending;
    do {
        n_short = 0;
        for (struct engine_ticket *t = e->in.first; t != NULL; t = t->next)
            for (size_t i = 0; i < t->n_nodes; i++)
                n_short += node_reads(t->nodes[i]) && t->nodes[i]->n_now < t->nodes[i]->n_pending;
        const size_t share = n_short > 0 ? size_max(1, left / n_short) : 0;
        for (struct engine_ticket *t = e->in.first; t != NULL && left > 0; t = t->next) {
            for (size_t i = 0; i < t->n_nodes; i++) {
                struct node *n = t->nodes[i];
                const size_t more =
                    node_reads(n) ? size_min(size_min(share, left), n->n_pending - n->n_now) : 0;

                n->n_now += more;
                left -= more;
            }
        }
    } while (left > 0 && n_short > 0);
}

/* Rows without guesses. */
static size_t plain_rows(const struct engine *e)
{
    size_t m = 0;

    for (const struct engine_ticket *t = e->in.first; t != NULL; t = t->next)
        for (size_t i = 0; i < t->n_nodes; i++)
            m += t->nodes[i]->n_now;
    return m;
}

static void collect(struct round *r)
{
    struct engine *e = r->e;
    size_t n = 0;

    *r = (struct round){.e = e};
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
            r->m += x->n_now + x->n_draft;
            r->n_drafted += x->n_draft;
            r->reads = r->reads || node_reads(x);
            if (r->n_runs == 0 || r->runs[r->n_runs - 1].adapter != t->adapter)
                r->runs[r->n_runs++].adapter = t->adapter;
            r->runs[r->n_runs - 1].n_rows += x->n_now + x->n_draft;
        }
    }
}

/* ---- computing them ---- */

/* Says where a node's rows were kept; those of guesses when they turn out right. */
static void note_rows(struct node *n, struct saved_row **rows)
{
    struct engine_ticket *t = n->ticket;

    n->draft_rows = rows + n->n_now;
    if (n->n == 0) {
        saved_places(t->samples[0].prompt_rows + t->q.n_prompt - n->n_pending, rows, n->n_now);
        return;
    }
    for (size_t i = 0; i < n->n_who; i++)
        saved_places(t->samples[n->who[i]].rows + n->n - n->n_pending, rows, n->n_now);
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

/* Room for the rows of all; what is computed, in order. */
static bool lay_out(struct round *r, struct span *spans, token_id *tokens, struct error *err)
{
    for (size_t i = 0; i < r->n_nodes; i++) {
        const struct node *n = r->nodes[i];

        if (!kv_segment_reserve(r->e->pool, n->seg, n->n_now + n->n_draft, err))
            return false;
        spans[i] = (struct span){.seg = n->seg, .n_rows = n->n_now + n->n_draft};
        memcpy(tokens, n->pending, n->n_now * sizeof *tokens);
        tokens += n->n_now;
        for (size_t k = 0; k < n->n_draft; k++)
            *tokens++ = n->draft[k].id;
    }
    return true;
}

/* After the pass: which nodes draw, and the rows they draw from, [n_rows, C]. */
static float *find_spots(struct round *r, struct saved_row **to, const float *hidden)
{
    struct engine *e = r->e;
    const size_t c = e->model->config.width;
    float *last = arena_alloc(&e->round, (r->n_nodes + r->n_drafted) * c * sizeof(float));

    r->spots = ARENA_ARRAY(&e->round, struct spot, r->n_nodes);
    for (size_t i = 0; i < r->n_nodes; i++) {
        struct node *n = r->nodes[i];

        n->draft_rows = NULL;
        if (to != NULL) {
            note_rows(n, to);
            to += n->n_now + n->n_draft;
        }
        hidden += n->n_now * c; /* behind the newest token's row */
        if (read_on(e, n)) {
            struct spot *spot = &r->spots[r->n_spots++];

            *spot = (struct spot){.origin = n,
                                  .node = n,
                                  .row = r->n_rows,
                                  .n_rows = 1 + n->n_draft,
                                  .settled = ARENA_ARRAY(&e->round, struct node *, n->n_who)};
            memcpy(last + r->n_rows * c, hidden - c, spot->n_rows * c * sizeof *last);
            r->n_rows += spot->n_rows;
        }
        hidden += n->n_draft * c;
    }
    return last;
}

/* last [n_rows, C]: the rows that are drawn from. */
static bool compute(struct round *r, float **last, struct error *err)
{
    struct engine *e = r->e;

    token_id *tokens = ARENA_ARRAY(&e->round, token_id, r->m);
    struct span *spans = ARENA_ARRAY(&e->round, struct span, r->n_nodes);
    float *hidden = arena_alloc(&e->round, r->m * e->model->config.width * sizeof(float));
    if (!lay_out(r, spans, tokens, err))
        return false;
    const struct batch b = {.m = r->m, .tokens = tokens, .spans = spans, .n_spans = r->n_nodes};
    struct saved_row **to = engine_take_rows(e, r->m);
    assert(to == NULL || r->n_runs == 1);
    if (!(to != NULL ? forward_saving(e->model, r->runs[0].adapter, e->work, &b, to, hidden, err)
                     : forward_mixed(e->model, r->runs, r->n_runs, e->work, &b, hidden, err)))
        return false;
    e->counts.passes++;
    e->counts.rows += r->m - r->n_drafted;
    e->counts.drafted += r->n_drafted;
    *last = find_spots(r, to, hidden);
    return true;
}

/* ---- drawing ---- */

static void draw_node(void *ctx, size_t unit, int thread)
{
    struct round *r = ctx;
    struct engine *e = r->e;
    struct spot *spot = r->now[unit];
    const struct node *n = spot->node;
    struct drawn *d = &spot->drawn;
    const struct sample_request *q = &n->ticket->q;
    const size_t v = e->model->config.vocab;
    float *logits = e->logits + (spot->row + spot->wave - r->first_row) * e->ld;
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

static struct drawn drawn_room(const struct node *n, struct arena *a)
{
    const size_t n_top = n->ticket->q.n_top;

    return (struct drawn){.ids = ARENA_ARRAY(a, token_id, n->n_who),
                          .logps = ARENA_ARRAY(a, float, n->n_who),
                          .top_ids = n_top > 0 ? ARENA_ARRAY(a, token_id, n_top) : NULL,
                          .top_logps = n_top > 0 ? ARENA_ARRAY(a, float, n_top) : NULL};
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
    t->engine->run_tokens += t->engine->hooks != NULL;
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

/* How much of its turn a sample thought, which has just got its newest token. */
static void note_thinking(const struct node *n, struct sample *s)
{
    const struct engine_ticket *ticket = n->ticket;
    const struct thought t = thought_after(&ticket->rules, n->thought, s);
    const size_t end = t.state == THOUGHT_OPEN ? s->n : t.n_tokens;

    s->n_thinking = end > s->turn ? end - s->turn : 0;
}

/* Its thinking is noted. */
static void leave_sample(struct engine_ticket *ticket, uint32_t who, enum sample_end why)
{
    struct engine *e = ticket->engine;
    struct sample *s = &ticket->samples[who];

    s->end = why;
    e->run_ends += e->hooks != NULL && why == SAMPLE_STOP;
    e->n_growing--;
    ticket->n_growing--;
    if (ticket->calls.done != NULL && !ticket->cancelled)
        ticket->calls.done(ticket->calls.ctx, who, s);
}

static void end_sample(struct node *n, uint32_t who, enum sample_end why)
{
    note_thinking(n, &n->ticket->samples[who]);
    leave_sample(n->ticket, who, why);
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

/*
 * A node of answers that go on with the same token, who [n_who]: in n's place where all do and seg is NULL; else on seg, or on
 * a segment of its own behind n's.
 */
static struct node *node_after(struct node *n, const uint32_t *who, size_t n_who, bool all,
                               struct kv_segment *seg)
{
    struct engine_ticket *t = n->ticket;
    struct engine *e = t->engine;
    const struct sample *first = &t->samples[who[0]];
    const struct thought after = thought_after(&t->rules, n->thought, first);
    struct node *child = n;

    if (!all) {
        child = ARENA_NEW(t->arena, struct node);
        *child = *n;
        child->who = ARENA_ARRAY(t->arena, uint32_t, n_who);
        child->seg = seg != NULL ? seg : kv_segment_new(e->pool, n->seg);
        if (t->q.constraint != NULL)
            child->allowed.state = ARENA_NEW(t->arena, struct grammar_state);
    }
    if (t->q.constraint != NULL)
        child->allowed.alive = value_after(&t->rules, &e->scratch[0], n->thought, after, n->allowed,
                                           first, child->allowed.state);
    memcpy(child->who, who, n_who * sizeof *who);
    child->n_who = n_who;
    child->thought = after;
    child->newest = first->tokens[n->n];
    child->pending = &child->newest;
    child->n_pending = 1;
    child->n++; /* the last: what is above is about n, which may be the same */
    if (t->guesses != NULL)
        draft_index_grown(t->guesses, who[0]);
    return child;
}

/* Drops what was guessed behind the row that n draws from, the wave-th. */
static void drop_guesses(struct engine *e, struct node *n, size_t wave)
{
    if (n->n_draft == wave)
        return;
    kv_segment_cut(e->pool, n->seg, n->seg->len - (n->n_draft - wave));
    for (size_t k = wave; k < n->n_draft && n->draft_rows != NULL; k++)
        saved_give(e->hooks->save, n->draft_rows[k]);
    n->n_draft = 0;
}

/* Whether a sample that ended its turn goes on once it is given more. */
static bool has_turn(struct node *n, uint32_t who, enum sample_end why)
{
    struct engine_ticket *t = n->ticket;
    struct sample *s = &t->samples[who];

    if (why != SAMPLE_STOP || t->calls.goes_on == NULL || t->cancelled)
        return false;
    note_thinking(n, s);
    return t->calls.goes_on(t->calls.ctx, who, s);
}

/*
 * Gives everyone what they drew; those that end leave. placed [n_who]: they did, or their turn is over, and waits says so. Says
 * how many go on.
 */
static size_t give_all(struct node *n, const struct drawn *d, bool *placed, bool *waits)
{
    struct engine_ticket *t = n->ticket;
    const bool inject = node_injects(n);
    size_t n_alive = n->n_who;

    for (size_t i = 0; i < n->n_who; i++) {
        enum sample_end why;

        give(t, n->who[i], d, i, inject);
        if (answer_ends(n, &t->samples[n->who[i]], &why)) {
            placed[i] = true;
            n_alive--;
            waits[i] = has_turn(n, n->who[i], why);
            if (!waits[i])
                end_sample(n, n->who[i], why);
        }
    }
    return n_alive;
}

/*
 * A node that has nothing to compute until its samples, who [n_who], are given something. alone: no other sample of n goes on,
 * so its segment may grow on.
 */
static struct node *node_that_waits(struct node *n, const uint32_t *who, size_t n_who, bool alone)
{
    struct engine_ticket *t = n->ticket;
    struct node *child = ARENA_NEW(t->arena, struct node);

    *child = (struct node){.ticket = t,
                           .seg = alone ? n->seg : kv_segment_new(t->engine->pool, n->seg),
                           .n = n->n + 1,
                           .who = ARENA_ARRAY(t->arena, uint32_t, n_who),
                           .n_who = n_who,
                           .given = ARENA_ARRAY(t->arena, struct given, n_who),
                           .n_waiting = n_who};
    memcpy(child->who, who, n_who * sizeof *who);
    if (alone)
        n->seg = NULL; /* it is the child's */
    return child;
}

/* Those whose turn is over: together where they ended it alike. Says how many nodes they are. */
static size_t set_waiting(struct spot *spot, struct node *n, const token_id *ids, bool *waits,
                          size_t n_alive)
{
    struct engine *e = n->ticket->engine;
    uint32_t *who = ARENA_ARRAY(&e->round, uint32_t, n->n_who);
    size_t n_nodes = 0, n_left = n_alive;

    for (size_t i = 0; i < n->n_who; i++)
        n_left += waits[i];

    for (size_t i = 0; i < n->n_who; i++) {
        const token_id id = ids[i];
        size_t k = 0;

        if (!waits[i])
            continue;
        for (size_t j = i; j < n->n_who; j++) {
            if (waits[j] && ids[j] == id) {
                waits[j] = false;
                who[k++] = n->who[j];
            }
        }
        spot->settled[spot->n_settled++] = node_that_waits(n, who, k, k == n_left);
        n_nodes++;
    }
    return n_nodes;
}

/* How many that go on drew the guess; counts it. */
static size_t count_right(struct engine *e, const struct node *n, const struct drawn *d,
                          const bool *placed, const struct drafted *guess)
{
    size_t n_right = 0;

    for (size_t i = 0; i < n->n_who; i++)
        n_right += !placed[i] && d->ids[i] == guess->id;
    draft_odds_add(&e->odds, n->n_who > 1, guess->kind, n_right > 0);
    return n_right;
}

/* Those that drew the guess, who [n_who], draw from its row next. */
static void go_on(struct spot *spot, struct node *child, const uint32_t *who, size_t n_who)
{
    struct engine_ticket *t = child->ticket;

    for (size_t i = 0; i < n_who && child->draft_rows != NULL; i++)
        t->samples[who[i]].rows[child->n - 1] = child->draft_rows[spot->wave];
    t->engine->counts.rows++;
    t->engine->counts.accepted++;
    spot->node = child;
    spot->wave++;
}

/* A node after its samples drew: those that end leave, those that go on stay together or part. */
static void grow(struct spot *spot)
{
    struct node *n = spot->node;
    struct engine *e = n->ticket->engine;
    const struct drawn *d = &spot->drawn;
    bool *placed = arena_alloc(&e->round, n->n_who), *waits = arena_alloc(&e->round, n->n_who);
    uint32_t *going = ARENA_ARRAY(&e->round, uint32_t, n->n_who);
    const size_t n_alive = give_all(n, d, placed, waits), wave = spot->wave;
    const size_t n_waiting = set_waiting(spot, n, d->ids, waits, n_alive);
    const struct drafted *guess = wave < n->n_draft ? &n->draft[wave] : NULL;
    const size_t n_right = guess != NULL ? count_right(e, n, d, placed, guess) : 0;
    struct kv_segment *fork = NULL;

    spot->node = NULL;
    if (n_right > 0 && n_right < n_alive) /* the guesses' rows go with those that drew them */
        fork = kv_segment_fork(e->pool, n->seg, n->seg->len - (n->n_draft - wave));
    if (n_right == 0 || (n_right < n_alive && fork == NULL)) {
        drop_guesses(e, n, wave);
        guess = NULL;
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
        const bool right = guess != NULL && d->ids[i] == guess->id,
                   all = n_going == n_alive && n_waiting == 0;
        struct node *child = node_after(n, going, n_going, all, right ? fork : NULL);
        if (right) {
            go_on(spot, child, going, n_going);
        } else {
            child->n_draft = 0;
            spot->settled[spot->n_settled++] = child;
        }
        if (all) /* the segment grows on */
            return;
    }
    if (n_alive == 0)
        leave(e, n);
    else
        kv_segment_release(e->pool, n->seg);
}

/* Draws for as many spots as there is room for logits, until none of them has a row more. */
static void draw_some(struct round *r, const float *last, size_t first, size_t n, size_t n_rows)
{
    struct engine *e = r->e;
    const size_t c = e->model->config.width;

    r->first_row = r->spots[first].row;
    logits_of(e->model, n_rows, last + r->first_row * c, e->logits, e->ld);
    for (;;) {
        r->n_now = 0;
        for (size_t i = first; i < first + n; i++) {
            if (r->spots[i].node == NULL)
                continue;
            r->spots[i].drawn = drawn_room(r->spots[i].node, &e->round);
            r->now[r->n_now++] = &r->spots[i];
        }
        if (r->n_now == 0)
            return;
        parallel_for(r->n_now, draw_node, r);
        for (size_t i = 0; i < r->n_now; i++)
            grow(r->now[i]);
    }
}

static void draw_all(struct round *r, const float *last)
{
    r->now = ARENA_ARRAY(&r->e->round, struct spot *, LOGIT_ROWS);
    for (size_t first = 0, n, n_rows; first < r->n_spots; first += n) {
        n_rows = 0;
        for (n = 0; first + n < r->n_spots; n++) {
            if (n_rows + r->spots[first + n].n_rows > LOGIT_ROWS)
                break;
            n_rows += r->spots[first + n].n_rows;
        }
        draw_some(r, last, first, n, n_rows);
    }
}

/* Every ticket's nodes after the draws; at: the next of those that drew. */
static void settle(struct round *r)
{
    struct engine *e = r->e;
    size_t at = 0;

    for (struct engine_ticket *t = e->in.first, *after; t != NULL; t = after) {
        struct node **next = t->next_nodes;
        size_t n_next = 0;

        after = t->next; /* one that is done leaves the list */
        for (size_t i = 0; i < t->n_nodes; i++) {
            if (at < r->n_spots && r->spots[at].origin == t->nodes[i]) {
                for (size_t k = 0; k < r->spots[at].n_settled; k++)
                    next[n_next++] = r->spots[at].settled[k];
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
    assert(at == r->n_spots);
}

/* ---- turns ---- */

static bool same_given(const struct given *a, const struct given *b)
{
    return a->n == b->n && a->thinking == b->thinking &&
           (a->n == 0 || memcmp(a->tokens, b->tokens, a->n * sizeof *a->tokens) == 0);
}

/* Writes what it was given behind a sample's tokens: another turn begins there. */
static void take_given(struct engine_ticket *t, uint32_t who, const struct given *g)
{
    struct sample *s = &t->samples[who];

    for (size_t i = 0; i < g->n; i++) {
        s->tokens[s->n] = g->tokens[i];
        s->logprobs[s->n] = 0;
        s->injected[s->n++] = true;
    }
    s->n_given += g->n;
    s->turn = s->n;
    s->n_thinking_before += s->n_thinking;
    s->n_thinking = 0;
}

/* A node of those that go on with the same, who [n_who]: n itself where all do. */
static struct node *node_given(struct node *n, const uint32_t *who, size_t n_who,
                               const struct given *g, bool all)
{
    struct engine_ticket *t = n->ticket;
    const struct thinking_options *thinking = &t->q.thinking;
    struct node *x = n;

    for (size_t i = 0; i < n_who; i++)
        take_given(t, who[i], g);
    if (!all) {
        x = ARENA_NEW(t->arena, struct node);
        *x = (struct node){
            .ticket = t,
            .seg = kv_segment_new(t->engine->pool, n->seg->len > 0 ? n->seg : n->seg->parent),
            .n = n->n,
            .who = ARENA_ARRAY(t->arena, uint32_t, n_who)};
    }
    memcpy(x->who, who, n_who * sizeof *who);
    x->n_who = n_who;
    x->given = NULL;
    x->thought = (struct thought){.state = g->thinking              ? THOUGHT_OPEN
                                           : thinking->open.len > 0 ? THOUGHT_MAYBE
                                                                    : THOUGHT_NONE};
    x->n_pending = 1 + g->n; /* the end of its turn was not computed */
    x->n += g->n;
    x->pending = t->samples[who[0]].tokens + x->n - x->n_pending;
    return x;
}

/* All samples of a node have been given something: they go on together, part, or end. */
static void go_on_with(struct node *n, size_t at)
{
    struct engine_ticket *t = n->ticket;
    struct engine *e = t->engine;
    struct given *given = n->given;
    const size_t n_who = n->n_who;
    uint32_t *all = ARENA_ARRAY(t->arena, uint32_t, n_who),
             *who = ARENA_ARRAY(t->arena, uint32_t, n_who);
    size_t n_going = 0, n_nodes = 0;

    memcpy(all, n->who, n_who * sizeof *all);
    for (size_t i = 0; i < n_who; i++)
        if (given[i].ends)
            leave_sample(t, all[i], given[i].end);
        else
            n_going++;
    for (size_t i = 0; i < n_who; i++) {
        const struct given *g = &given[i];
        size_t k = 0;

        if (g->ends)
            continue;
        for (size_t j = i; j < n_who; j++) {
            if (!given[j].ends && same_given(g, &given[j])) {
                given[j].ends = j > i; /* placed; g's own stays readable */
                who[k++] = all[j];
            }
        }
        struct node *x = node_given(n, who, k, g, k == n_going && n_nodes == 0);
        if (n_nodes++ == 0)
            t->nodes[at] = x;
        else
            t->nodes[t->n_nodes++] = x;
    }
    if (n_nodes == 0)
        t->nodes[at] = t->nodes[--t->n_nodes];
    if (n_nodes == 0 || t->nodes[at] != n)
        kv_segment_release(e->pool, n->seg);
    if (t->n_nodes == 0)
        ticket_drop(t);
}

void engine_give(struct engine_ticket *t, const struct given *g)
{
    for (size_t at = 0; at < t->n_nodes; at++) {
        struct node *n = t->nodes[at];

        for (size_t i = 0; n->given != NULL && i < n->n_who; i++) {
            const struct sample *s = &t->samples[n->who[i]];
            struct given *to = &n->given[i];
            token_id *tokens;

            if (n->who[i] != g->sample)
                continue;
            *to = *g;
            if (!g->ends &&
                (g->n > t->q.max_given - s->n_given || s->n - s->n_given >= t->q.max_tokens)) {
                to->ends = true;
                to->end = SAMPLE_LENGTH;
            }
            tokens = ARENA_ARRAY(t->arena, token_id, g->n);
            if (g->n > 0)
                memcpy(tokens, g->tokens, g->n * sizeof *tokens);
            to->tokens = tokens;
            if (--n->n_waiting == 0)
                go_on_with(n, at);
            return;
        }
    }
    assert(false); /* only who waits is given something */
}

bool engine_round(struct engine *e, struct error *err)
{
    struct round r = {.e = e};
    float *last = NULL;

    arena_reset(&e->round);
    e->idle = false;
    share_out(e);
    draft_round(e, plain_rows(e));
    collect(&r);
    if (r.m == 0) {
        e->idle = true;
        return true;
    }
    const double began = clock_seconds();
    if (!compute(&r, &last, err)) {
        if (r.n_drafted == 0)
            return false;
        draft_drop(e); /* the room for them may be what lacked */
        collect(&r);
        if (!compute(&r, &last, err))
            return false;
    }
    draw_all(&r, last);
    if (r.reads) /* its rows are not all drawn from */
        pace_break(&e->pace);
    else
        pace_add(&e->pace, r.m, clock_seconds() - began);
    settle(&r);
    return true;
}
