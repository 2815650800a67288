/*
 * serving_test.c - requests come and go at any time, for any adapter, and get to the bit what they would get alone.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "support/numbers.h"
#include "support/requests.h"
#include "tensor/cpu/kernels.h"

#include <math.h>
#include <stdio.h>

#define N_ADAPTERS 4 /* NULL among them */

static struct adapter *adapters[N_ADAPTERS];

static int set_up(void **state)
{
    static struct setting s;

    rig_open_tiny(&s.rig);
    s.m = s.rig.model;
    s.t = model_files_tokenizer(s.m->files);
    parallel_set_threads(3);
    s.e = open_engine(&s, 0, 0, 0);
    for (size_t i = 1; i < N_ADAPTERS; i++)
        adapters[i] = random_adapter(&s.m->config, 1 + 3 * i, i);
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    struct setting *s = *state;

    engine_close(s->e);
    for (size_t i = 0; i < N_ADAPTERS; i++)
        adapter_close(adapters[i]);
    rig_close(&s->rig);
    parallel_set_threads(0);
    return 0;
}

/* The sizes in pages; 0: as the defaults have it, for the kept prefixes none. */
static struct engine *open_serving(struct setting *s, size_t max_live, size_t kv_pages,
                                   size_t prefill_rows, size_t prefix_pages)
{
    const size_t page = kv_page_bytes(&s->m->config);
    struct engine_options opt = engine_defaults(s->m);
    struct engine *e = NULL;
    struct error err = {0};

    opt.max_live = max_live > 0 ? max_live : opt.max_live;
    opt.kv_bytes = kv_pages > 0 ? kv_pages * page : opt.kv_bytes;
    opt.prefill_rows = prefill_rows > 0 ? prefill_rows : opt.prefill_rows;
    opt.prefix_bytes = prefix_pages * page;
    opt.draft = 0; /* a token a turn */
    ASSERT_OK(engine_open(s->m, s->t, &opt, &e, &err));
    return e;
}

static size_t turn(struct engine *e)
{
    struct error err = {0};
    size_t n_live = 0;

    ASSERT_OK(engine_turn(e, &n_live, &err));
    return n_live;
}

/* A client, and what it was told. */
#define MOST_SAMPLES 64
struct client {
    struct engine_ticket *ticket;
    const struct sample_request *q;
    size_t n_tokens, n_done;
    size_t n[MOST_SAMPLES];
    bool done[MOST_SAMPLES];
    size_t cancel_at; /* tokens; 0: stays */
    size_t max_top;
};

static void on_token(void *ctx, size_t sample, const struct token_told *t)
{
    struct client *c = ctx;

    assert_false(c->done[sample]);
    assert_true(t->logp <= 0);
    assert_int_equal(engine_samples(c->ticket)[sample].tokens[c->n[sample]], t->id);
    c->n[sample]++;
    c->max_top = size_max(c->max_top, t->n_top);
    if (++c->n_tokens == c->cancel_at)
        engine_cancel(c->ticket);
    assert_true(c->cancel_at == 0 || c->n_tokens <= c->cancel_at);
}

static void on_done(void *ctx, size_t sample, const struct sample *x)
{
    struct client *c = ctx;

    assert_false(c->done[sample]);
    assert_int_equal(x->n, c->n[sample]);
    assert_ptr_equal(x, &engine_samples(c->ticket)[sample]);
    c->done[sample] = true;
    c->n_done++;
}

static void come(struct engine *e, const struct adapter *ad, const struct sample_request *q,
                 struct client *c)
{
    const struct engine_calls calls = {.ctx = c, .token = on_token, .done = on_done};
    struct error err = {0};

    assert_true(q->n_samples <= MOST_SAMPLES);
    c->q = q;
    ASSERT_OK(engine_submit(e, ad, q, &calls, &c->ticket, &err));
}

static const struct sample *alone(struct setting *s, const struct adapter *ad,
                                  const struct sample_request *q)
{
    struct sample **got;
    struct error err = {0};

    ASSERT_OK(engine_run(s->e, ad, q, 1, NULL, &got, &err));
    return keep_samples(s, got, q, 1)[0];
}

static void assert_answered(const struct client *c, const struct sample *want, const char *what)
{
    assert_true(engine_is_done(c->ticket));
    assert_int_equal(c->n_done, c->q->n_samples);
    for (size_t k = 0; k < c->q->n_samples; k++)
        assert_same_sample(what, &engine_samples(c->ticket)[k], &want[k]);
}

struct way {
    size_t max_live, kv_pages, prefill_rows, prefix_pages;
    int threads;
    size_t draft;
};

/* Every request once, in any order and for any adapter, among others that leave early. Returns tokens found kept. */
static size_t serve(struct setting *s, const struct way *w, size_t number, struct dice *d,
                    const struct sample_request *q, const struct sample *want[][N_MIXED])
{
    struct engine *e = open_serving(s, w->max_live, w->kv_pages, w->prefill_rows, w->prefix_pages);
    enum { N = 4 * N_MIXED };
    static struct client clients[N];
    size_t order[N], of_adapter[N], n_come = 0, n_cached = 0, n_live = 0;
    char what[120];

    engine_set_draft(e, w->draft);
    for (size_t i = 0; i < N; i++) {
        const size_t j = dice_below(d, i + 1);

        order[i] = order[j];
        order[j] = i % N_MIXED;
        clients[i] = (struct client){0};
    }
    while (n_come < N || n_live > 0) {
        while (n_come < N && (n_live == 0 || dice_below(d, 3) == 0)) {
            of_adapter[n_come] = dice_below(d, N_ADAPTERS);
            clients[n_come].cancel_at = dice_below(d, 5) == 0 ? 1 + dice_below(d, 40) : 0;
            come(e, adapters[of_adapter[n_come]], &q[order[n_come]], &clients[n_come]);
            n_come++;
            n_live++;
        }
        n_live = turn(e);
    }
    for (size_t i = 0; i < N; i++) {
        const struct client *c = &clients[i];

        snprintf(what, sizeof what, "way %zu, %s, adapter %zu, request %zu", number, ops_machine(),
                 of_adapter[i], order[i]);
        if (c->cancel_at == 0 || c->n_tokens < c->cancel_at)
            assert_answered(c, want[of_adapter[i]][order[i]], what);
        n_cached += engine_cached_tokens(c->ticket);
        engine_release(c->ticket);
    }
    assert_int_equal(engine_counts(e).cached_tokens, n_cached);
    assert_true(kv_pool_pages_in_use(engine_pool(e)) <= w->prefix_pages);
    engine_close(e);
    return n_cached;
}

static void whenever_they_come_they_get_what_they_get_alone(void **state)
{
    static const struct way ways[] = {
        {0, 0, 0, 0, 1, 0},       {70, 0, 16, 0, 2, 3},         {0, 400, 0, 1000, 2, DRAFT_AUTO},
        {100, 0, 1, 20, 3, 8},    {0, 0, 40, 7, 1, 1},          {80, 300, 100, 200, 8, 0},
        {0, 0, 512, 5000, 3, 32}, {64, 0, 7, 64, 2, DRAFT_AUTO}};
    struct setting *s = *state;
    const struct kernels *const *all;
    const size_t n_tables = kernels_available(&all);
    struct sample_request q[N_MIXED];
    static const struct sample *want[N_ADAPTERS][N_MIXED];
    struct dice d = {11};
    size_t n_cached = 0;

    mixed_requests(s, q);
    for (size_t a = 0; a < N_ADAPTERS; a++)
        for (size_t i = 0; i < N_MIXED; i++)
            want[a][i] = alone(s, adapters[a], &q[i]);
    assert_true(memcmp(want[0][0][0].tokens, want[1][0][0].tokens, 8 * sizeof(token_id)) != 0);
    for (size_t w = 0; w < COUNT_OF(ways); w++) {
        parallel_set_threads(ways[w].threads);
        assert_true(ops_choose_machine(all[w % n_tables]->name));
        const size_t n = serve(s, &ways[w], w, &d, q, want);
        n_cached += n;
        assert_true(ways[w].prefix_pages > 0 || n == 0);
        parallel_set_threads(3);
        assert_true(ops_choose_machine(NULL));
    }
    print_message("             %zu tokens of prompts were known\n", n_cached);
    assert_true(n_cached > 1000);
}

/* ---- leaving ---- */

static void who_leaves_costs_nothing_from_then_on(void **state)
{
    struct setting *s = *state;
    struct sample_request stays = request_of(s, COMMON "stays", 1, 40),
                          goes = request_of(s, COMMON "goes", 6, 40);
    const struct sample *want = alone(s, NULL, &stays);

    assert_int_equal(want->n, 40);
    for (size_t at = 0; at < 30; at += 5) { /* 0: before it was let in */
        struct engine *e = open_serving(s, 0, 0, 0, 0);
        struct client a = {0}, b = {0};

        come(e, NULL, &stays, &a);
        come(e, adapters[1], &goes, &b);
        for (size_t i = 0; i < at; i++)
            assert_int_equal(turn(e), 2);
        engine_cancel(b.ticket);
        engine_cancel(b.ticket); /* twice is once */
        assert_true(engine_is_done(b.ticket));
        for (size_t k = 0; k < 6; k++) {
            assert_int_equal(engine_samples(b.ticket)[k].n, b.n[k]);
            if (!b.done[k])
                assert_int_equal(engine_samples(b.ticket)[k].end, SAMPLE_CANCELLED);
        }
        const size_t told = b.n_tokens, rows = engine_counts(e).rows;
        size_t n_turns = 0;
        while (turn(e) > 0)
            n_turns++;
        assert_int_equal(b.n_tokens, told);
        assert_int_equal(engine_counts(e).rows - rows,
                         at > 0 ? n_turns + 1 : stays.n_prompt + stays.max_tokens - 1);
        assert_answered(&a, want, "stays");
        assert_int_equal(kv_pool_pages_in_use(engine_pool(e)), 0);
        engine_release(a.ticket);
        engine_release(b.ticket);
        engine_close(e);
    }
}

static void who_leaves_while_being_told_hears_no_more(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON, 8, 40);
    struct engine *e = open_serving(s, 0, 0, 0, 100);

    for (size_t at = 1; at < 60; at += 7) {
        struct client c = {.cancel_at = at};

        come(e, NULL, &q, &c);
        while (turn(e) > 0) {
        }
        assert_int_equal(c.n_tokens, at); /* not even of the others of the same turn */
        assert_true(engine_is_done(c.ticket));
        engine_release(c.ticket);
    }
    engine_close(e);
}

static void a_ticket_may_be_released_at_any_time(void **state)
{
    struct setting *s = *state;
    struct sample_request q[N_MIXED];
    struct engine *e = open_serving(s, 0, 0, 30, 50);
    struct client clients[N_MIXED] = {0};
    struct dice d = {3};

    mixed_requests(s, q);
    for (int round = 0; round < 20; round++) {
        for (size_t i = 0; i < N_MIXED; i++) {
            clients[i] = (struct client){0};
            come(e, adapters[dice_below(&d, N_ADAPTERS)], &q[i], &clients[i]);
        }
        for (size_t i = 0; i < N_MIXED; i++) {
            for (size_t k = dice_below(&d, 6); k > 0; k--)
                turn(e);
            engine_release(clients[i].ticket);
        }
        assert_int_equal(turn(e), 0);
        assert_true(kv_pool_pages_in_use(engine_pool(e)) <= 50);
    }
    engine_release(NULL);
    engine_close(e);
}

static void days_of_serving_take_no_more_than_an_hour(void **state)
{
    struct setting *s = *state;
    struct sample_request q[N_MIXED];
    struct engine *e = open_serving(s, 200, 0, 64, 60);
    size_t bytes = 0;

    mixed_requests(s, q);
    for (int round = 0; round < 40; round++) {
        struct client clients[N_MIXED] = {0};

        for (size_t i = 0; i < N_MIXED; i++) {
            q[i].seed = (uint64_t)round % 4;
            come(e, adapters[i % N_ADAPTERS], &q[i], &clients[i]);
        }
        while (turn(e) > 0) {
        }
        for (size_t i = 0; i < N_MIXED; i++)
            engine_release(clients[i].ticket);
        if (round == 20)
            bytes = engine_bytes(e);
    }
    assert_int_equal(engine_bytes(e), bytes);
    engine_close(e);
}

/* ---- who comes first ---- */

static void a_long_prompt_holds_nobody_up(void **state)
{
    struct setting *s = *state;
    char *text = arena_alloc(&s->rig.arena, 500);
    struct sample_request writes = request_of(s, "A gene", 1, 200), reads, asks;

    memset(text, 'q', 480);
    reads = request_of(s, text, 1, 4);
    asks = request_of(s, COMMON, 1, 10);
    assert_true(reads.n_prompt > 300 && asks.n_prompt > 32);
    struct engine *e = open_serving(s, 0, 0, 16, 0);
    struct client a = {0}, b = {0}, c = {0};
    come(e, NULL, &writes, &a);
    turn(e);
    come(e, NULL, &reads, &b);
    turn(e);
    come(e, adapters[2], &asks, &c);
    size_t n_turns = 2, answered = 0;
    while (b.n_tokens == 0) {
        const size_t rows = engine_counts(e).rows;

        turn(e);
        n_turns++;
        assert_true(engine_counts(e).rows - rows <= 16 + 2); /* no turn takes longer than that */
        if (!engine_is_done(a.ticket))
            assert_int_equal(a.n_tokens, n_turns); /* a token a turn, all the while */
        if (c.n_tokens == 1)
            answered = n_turns;
    }
    assert_true(n_turns > reads.n_prompt / 16);
    /* half of each turn's rows are its own; it was not even the first to be read */
    assert_in_range(answered, 3, 2 + asks.n_prompt / 8 + 2);
    while (turn(e) > 0) {
    }
    assert_answered(&b, alone(s, NULL, &reads), "a long prompt in pieces");
    engine_release(a.ticket);
    engine_release(b.ticket);
    engine_release(c.ticket);
    engine_close(e);
}

static void without_room_the_oldest_is_let_in_first(void **state)
{
    struct setting *s = *state;
    const struct way ways[] = {{.max_live = 8}, {.kv_pages = 60}};

    for (size_t w = 0; w < COUNT_OF(ways); w++) {
        struct engine *e = open_serving(s, ways[w].max_live, ways[w].kv_pages, 0, 0);
        struct client clients[20] = {0};
        struct sample_request q[20];
        struct dice d = {5};
        size_t n_live = 20, n_first = 0, most = 0;

        for (size_t i = 0; i < 20; i++) { /* large ones and small ones */
            q[i] = request_of(s, COMMON, 1 + dice_below(&d, i % 2 == 0 ? 8 : 2), 12);
            q[i].item = (uint32_t)i;
            come(e, adapters[dice_below(&d, N_ADAPTERS)], &q[i], &clients[i]);
        }
        for (; n_live > 0; n_live = turn(e)) {
            size_t n_in = 0, n_answers = 0;

            for (size_t i = 0; i < 20; i++) {
                const bool in = clients[i].n_tokens > 0 && !engine_is_done(clients[i].ticket);

                n_in += in;
                n_answers += in ? q[i].n_samples - clients[i].n_done : 0;
                if (clients[i].n_tokens > 0) {
                    assert_true(i <= n_first); /* all before it were let in */
                    n_first = size_max(n_first, i + 1);
                }
            }
            most = size_max(most, n_in);
            assert_true(ways[w].max_live == 0 || n_answers <= 8);
            if (ways[w].kv_pages > 0)
                assert_true(kv_pool_pages_in_use(engine_pool(e)) <= ways[w].kv_pages);
        }
        assert_true(most > 1);
        for (size_t i = 0; i < 20; i++) {
            assert_answered(&clients[i], engine_samples(clients[i].ticket), "all");
            engine_release(clients[i].ticket);
        }
        engine_close(e);
    }
}

static void what_could_never_be_let_in_is_refused(void **state)
{
    struct setting *s = *state;
    struct engine *e = open_serving(s, 5, 20, 0, 0);
    struct sample_request q = request_of(s, COMMON, 1, 100);
    struct engine_ticket *t = NULL;
    struct error err = {0};

    q.max_tokens = s->m->max_positions - q.n_prompt + 1;
    ASSERT_FAILS(engine_submit(e, NULL, &q, NULL, &t, &err), ERR_LIMIT, "positions");
    q = request_of(s, COMMON, (size_t)1 << 32, 100);
    ASSERT_FAILS(engine_submit(e, NULL, &q, NULL, &t, &err), ERR_LIMIT, "key-value cache");
    assert_null(t);
    assert_int_equal(turn(e), 0);
    engine_close(e);
}

/* As long as it is there, it is alone. */
static void what_is_larger_than_the_limits_is_let_in_alone(void **state)
{
    struct setting *s = *state;
    struct engine *e = open_serving(s, 5, 20, 0, 0);
    struct sample_request large = request_of(s, COMMON, 12, 20), small = request_of(s, "x", 1, 5);
    struct client clients[3] = {0};
    struct error err = {0};
    struct engine_ticket *t;

    come(e, NULL, &small, &clients[0]);
    come(e, NULL, &large, &clients[1]);
    come(e, NULL, &small, &clients[2]);
    ASSERT_OK(engine_submit(e, NULL, &small, NULL, &t, &err)); /* nobody need listen */
    while (turn(e) > 0) {
        assert_true(clients[1].n_tokens == 0 || engine_is_done(clients[0].ticket));
        assert_true(clients[2].n_tokens == 0 || clients[1].n_done > 12 - 5);
    }
    for (size_t i = 0; i < 3; i++) {
        assert_answered(&clients[i], alone(s, NULL, clients[i].q), "alone");
        engine_release(clients[i].ticket);
    }
    assert_true(engine_is_done(t));
    engine_release(t);
    engine_close(e);
}

/* ---- what is told with a token ---- */

struct hearing {
    struct setting *s;
    const struct sample_request *q;
    const float *logits; /* [n_prompt + max_tokens, V] of the one answer, read anew */
    const struct sample *want;
    size_t n;
};

static void on_top(void *ctx, size_t sample, const struct token_told *t)
{
    struct hearing *h = ctx;
    const size_t v = h->s->m->config.vocab;
    struct picker picker = {0};
    token_id ids[PICK_MAX_TOP];
    float logps[PICK_MAX_TOP], *row = ARENA_ARRAY(&h->s->rig.arena, float, v);

    (void)sample;
    memcpy(row, h->logits + (h->q->n_prompt - 1 + h->n) * v, v * sizeof *row);
    pick_bias(&h->q->pick, row, v);
    const struct picked_row r = pick_row(&picker, row, v, pick_inv_t(&h->q->pick), false);
    const size_t n = pick_top(&r, h->q->n_top, ids, logps);
    assert_int_equal(t->id, h->want->tokens[h->n]);
    assert_true(t->logp == pick_logp(&r, t->id));
    assert_int_equal(t->n_top, n);
    assert_memory_equal(t->top_ids, ids, n * sizeof *ids);
    ASSERT_SAME("likeliest", n, t->top_logps, logps);
    picker_release(&picker);
    h->n++;
}

static void the_likeliest_are_those_of_the_row_that_a_token_was_drawn_from(void **state)
{
    struct setting *s = *state;
    const size_t v = s->m->config.vocab;

    for (int biased = 0; biased < 2; biased++) {
        struct sample_request q = request_of(s, COMMON, 1, 25);
        struct token_bias bias[40];
        struct error err = {0};

        q.n_top = biased ? 5 : 20;
        q.pick.temperature = 0.8f;
        if (biased) { /* whatever it would say: never */
            const struct sample *was = alone(s, adapters[1], &q);

            for (size_t i = 0; i < was->n; i++) {
                bool new = true;

                for (size_t j = 0; j < q.pick.n_bias; j++)
                    new = new &&bias[j].id != was->tokens[i];
                if (new)
                    bias[q.pick.n_bias++] =
                        (struct token_bias){was->tokens[i], i % 2 == 0 ? -100.0f : 1.5f};
            }
            q.pick.bias = bias;
        }
        const struct sample *want = alone(s, adapters[1], &q);
        const size_t n = q.n_prompt + want->n;
        token_id *text = ARENA_ARRAY(&s->rig.arena, token_id, n);
        float *logits = ARENA_ARRAY(&s->rig.arena, float, n *v);

        memcpy(text, q.prompt, q.n_prompt * sizeof *text);
        memcpy(text + q.n_prompt, want->tokens, want->n * sizeof *text);
        logits_of(s->m, n, rig_read(&s->rig, adapters[1], text, n), logits, v);
        for (size_t i = 0; i < want->n; i++)
            for (size_t j = 0; j < q.pick.n_bias; j++)
                assert_true(bias[j].bias > PICK_BAN || want->tokens[i] != bias[j].id);
        struct hearing h = {.s = s, .q = &q, .logits = logits, .want = want};
        const struct engine_calls calls = {.ctx = &h, .token = on_top};
        struct engine *e = open_serving(s, 0, 0, 0, 0);
        struct engine_ticket *t;
        ASSERT_OK(engine_submit(e, adapters[1], &q, &calls, &t, &err));
        while (turn(e) > 0) {
        }
        assert_int_equal(h.n, want->n);
        engine_release(t);
        q.n_top = 0; /* not wanted: not told, and nothing else changes */
        struct client c = {0};
        come(e, adapters[1], &q, &c);
        while (turn(e) > 0) {
        }
        assert_int_equal(c.max_top, 0);
        assert_answered(&c, want, "without them");
        engine_release(c.ticket);
        engine_close(e);
    }
}

/* ---- what is kept ---- */

static size_t whole_pages(size_t n)
{
    return n / KV_PAGE * KV_PAGE;
}

/* Asks alone; how many tokens of its prompt were known. */
static size_t known_of(struct setting *s, struct engine *e, const struct adapter *ad,
                       const struct sample_request *q)
{
    const struct engine_counts before = engine_counts(e);
    struct client c = {0};

    come(e, ad, q, &c);
    while (turn(e) > 0) {
    }
    const size_t known = engine_cached_tokens(c.ticket);
    assert_int_equal(engine_counts(e).prompt_tokens - before.prompt_tokens, q->n_prompt - known);
    assert_answered(&c, alone(s, ad, q), "asked again");
    engine_release(c.ticket);
    return known;
}

static void a_chat_s_next_turn_is_computed_from_where_it_stopped(void **state)
{
    struct setting *s = *state;
    struct engine *e = open_serving(s, 0, 0, 0, 1000);
    struct sample_request first = request_of(s, COMMON COMMON "one", 1, 40);
    const struct sample *said = alone(s, adapters[1], &first);
    struct sample_request next = first;
    size_t n_more;
    const token_id *more = tokens_of(s, COMMON, &n_more);
    token_id *text = ARENA_ARRAY(&s->rig.arena, token_id, first.n_prompt + said->n + n_more);

    memcpy(text, first.prompt, first.n_prompt * sizeof *text);
    memcpy(text + first.n_prompt, said->tokens, said->n * sizeof *text);
    memcpy(text + first.n_prompt + said->n, more, n_more * sizeof *text);
    next.prompt = text;
    next.n_prompt = first.n_prompt + said->n + n_more;
    assert_int_equal(known_of(s, e, adapters[1], &first), 0);
    assert_int_equal(known_of(s, e, adapters[1], &next), whole_pages(first.n_prompt + said->n - 1));
    assert_int_equal(known_of(s, e, adapters[1], &next), whole_pages(next.n_prompt - 1));
    struct sample_request other = request_of(s, COMMON COMMON "two", 3, 40);
    size_t common = 0;
    while (other.prompt[common] == first.prompt[common])
        common++;
    assert_int_equal(known_of(s, e, adapters[1], &other), whole_pages(common));
    assert_int_equal(known_of(s, e, adapters[2], &other), 0); /* another's keys are of no use */
    assert_int_equal(known_of(s, e, NULL, &other), 0);
    assert_int_equal(known_of(s, e, adapters[1], &other), whole_pages(other.n_prompt - 1));
    engine_close(e);
}

static void an_adapter_that_changed_or_went_is_not_taken_for_what_it_was(void **state)
{
    struct setting *s = *state;
    struct engine *e = open_serving(s, 0, 0, 0, 1000);
    struct sample_request q = request_of(s, COMMON COMMON, 2, 10);
    struct adapter *ad = random_adapter(&s->m->config, 2, 9);
    const size_t all = whole_pages(q.n_prompt - 1);

    assert_int_equal(known_of(s, e, NULL, &q), 0);
    assert_int_equal(known_of(s, e, ad, &q), 0);
    assert_int_equal(known_of(s, e, ad, &q), all);
    for (size_t i = 0; i < ad->n_values; i++)
        ad->values[i] *= 1.5f;
    adapter_changed(ad);
    assert_int_equal(known_of(s, e, ad, &q), 0); /* and what it says is right: known_of compares */
    assert_int_equal(known_of(s, e, ad, &q), all);
    const size_t pages = kv_pool_pages_in_use(engine_pool(e));
    engine_forget(e, ad);
    assert_int_equal(pages - kv_pool_pages_in_use(engine_pool(e)), q.n_prompt / KV_PAGE);
    assert_int_equal(known_of(s, e, ad, &q), 0);
    engine_forget(e, ad);
    adapter_close(ad);
    assert_int_equal(known_of(s, e, NULL, &q), all);
    engine_close(e);
}

static void a_run_neither_uses_nor_leaves_what_is_kept(void **state)
{
    struct setting *s = *state;
    struct engine *e = open_serving(s, 0, 0, 0, 1000);
    struct sample_request q = request_of(s, COMMON COMMON, 2, 10);
    struct sample **got;
    struct error err = {0};

    known_of(s, e, NULL, &q);
    const size_t pages = kv_pool_pages_in_use(engine_pool(e));
    const struct engine_counts before = engine_counts(e);
    ASSERT_OK(engine_run(e, NULL, &q, 1, NULL, &got, &err));
    assert_int_equal(engine_counts(e).prompt_tokens - before.prompt_tokens, q.n_prompt);
    assert_int_equal(kv_pool_pages_in_use(engine_pool(e)), pages);
    assert_int_equal(engine_counts(e).cached_tokens, before.cached_tokens);
    engine_close(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whenever_they_come_they_get_what_they_get_alone),
        cmocka_unit_test(who_leaves_costs_nothing_from_then_on),
        cmocka_unit_test(who_leaves_while_being_told_hears_no_more),
        cmocka_unit_test(a_ticket_may_be_released_at_any_time),
        cmocka_unit_test(days_of_serving_take_no_more_than_an_hour),
        cmocka_unit_test(a_long_prompt_holds_nobody_up),
        cmocka_unit_test(without_room_the_oldest_is_let_in_first),
        cmocka_unit_test(what_could_never_be_let_in_is_refused),
        cmocka_unit_test(what_is_larger_than_the_limits_is_let_in_alone),
        cmocka_unit_test(the_likeliest_are_those_of_the_row_that_a_token_was_drawn_from),
        cmocka_unit_test(a_chat_s_next_turn_is_computed_from_where_it_stopped),
        cmocka_unit_test(an_adapter_that_changed_or_went_is_not_taken_for_what_it_was),
        cmocka_unit_test(a_run_neither_uses_nor_leaves_what_is_kept),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
