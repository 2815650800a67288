/*
 * speculation_test.c - answers are the same to the bit whatever is drafted for them, and all that was lent to drafts comes back.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "sample/draft.h"
#include "support/numbers.h"
#include "support/requests.h"

#include <stdio.h>
#include <stdlib.h>

static const size_t drafts[] = {1, 3, 8, 32, DRAFT_AUTO};

static int set_up(void **state)
{
    static struct setting s;

    rig_open_tiny(&s.rig);
    s.m = s.rig.model;
    s.t = model_files_tokenizer(s.m->files);
    s.ad = random_adapter(&s.m->config, 4, 1);
    parallel_set_threads(3);
    s.e = open_engine(&s, 0, 0, 0);
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    struct setting *s = *state;

    assert_int_equal(kv_pool_pages_in_use(engine_pool(s->e)), 0);
    engine_close(s->e);
    adapter_close(s->ad);
    rig_close(&s->rig);
    parallel_set_threads(0);
    return 0;
}

static struct sample **run(struct setting *s, struct engine *e, const struct adapter *ad,
                           const struct sample_request *q, size_t n,
                           const struct engine_hooks *hooks)
{
    struct sample **samples;
    struct error err = {0};

    ASSERT_OK(engine_run(e, ad, q, n, hooks, &samples, &err));
    assert_int_equal(kv_pool_pages_in_use(engine_pool(e)), 0);
    return keep_samples(s, samples, q, n);
}

/* ---- what is said to have been answered before ---- */

enum kind { NONE, RIGHT, WRONG, PARTLY, LENGTHS, MIXTURE, N_KINDS };

static struct draft_text told(struct setting *s, const struct sample *x, enum kind kind,
                              struct dice *d)
{
    struct arena *a = &s->rig.arena;
    const size_t v = s->m->config.vocab;
    size_t n = x->n;

    if (kind == MIXTURE)
        kind = RIGHT + dice_below(d, MIXTURE - RIGHT);
    if (kind == LENGTHS)
        n = 1 + dice_below(d, 2 * x->n);
    token_id *tokens = ARENA_ARRAY(a, token_id, n);
    float *logprobs = ARENA_ARRAY(a, float, n);
    for (size_t i = 0; i < n; i++) {
        const bool keep = i < x->n && kind != WRONG && (kind != PARTLY || dice_below(d, 6) > 0);

        tokens[i] = keep ? x->tokens[i] : (token_id)dice_below(d, v);
        logprobs[i] = keep ? x->logprobs[i] : -dice_float(d, 0, 3);
    }
    return (struct draft_text){
        .tokens = tokens, .logprobs = dice_below(d, 4) > 0 ? logprobs : NULL, .n = n};
}

static void tell(struct setting *s, struct sample_request *q, const struct sample *answers,
                 enum kind kind, struct dice *d)
{
    struct draft_text *texts = ARENA_ARRAY(&s->rig.arena, struct draft_text, q->n_samples);

    q->before = texts;
    q->n_before = kind == NONE ? 0 : q->n_samples;
    for (size_t i = 0; i < q->n_before; i++)
        texts[i] = told(s, &answers[i], kind, d);
}

static void assert_same_answers(const char *what, struct sample *const *got,
                                struct sample *const *want, const struct sample_request *q,
                                size_t n)
{
    char text[160];

    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < q[i].n_samples; k++) {
            snprintf(text, sizeof text, "%s, request %zu, answer %zu", what, i, k);
            assert_same_sample(text, &got[i][k], &want[i][k]);
        }
    }
}

static struct engine_counts since(const struct engine *e, struct engine_counts before)
{
    const struct engine_counts now = engine_counts(e);

    return (struct engine_counts){.rows = now.rows - before.rows,
                                  .drafted = now.drafted - before.drafted,
                                  .accepted = now.accepted - before.accepted,
                                  .passes = now.passes - before.passes,
                                  .sampled_tokens = now.sampled_tokens - before.sampled_tokens,
                                  .prompt_tokens = now.prompt_tokens - before.prompt_tokens};
}

/* ---- laws ---- */

static void answers_are_the_same_whatever_is_drafted(void **state)
{
    struct setting *s = *state;
    struct sample_request q[N_MIXED];
    struct dice d = {3};
    char what[100];

    mixed_requests(s, q);
    for (int with = 0; with < 2; with++) {
        const struct adapter *ad = with ? s->ad : NULL;
        struct engine_counts before = engine_counts(s->e);
        struct sample **want = run(s, s->e, ad, q, N_MIXED, NULL);
        const struct engine_counts plain = since(s->e, before);

        assert_int_equal(plain.drafted, 0);
        for (enum kind kind = NONE; kind < N_KINDS; kind++) {
            for (size_t i = 0; i < N_MIXED; i++)
                tell(s, &q[i], want[i], kind, &d);
            for (size_t k = 0; k < COUNT_OF(drafts); k++) {
                snprintf(what, sizeof what, "history %d, drafts of %zu%s", (int)kind, drafts[k],
                         with ? ", with adapter" : "");
                engine_set_draft(s->e, drafts[k]);
                before = engine_counts(s->e);
                struct sample **got = run(s, s->e, ad, q, N_MIXED, NULL);
                const struct engine_counts c = since(s->e, before);
                assert_same_answers(what, got, want, q, N_MIXED);
                assert_int_equal(c.rows, plain.rows); /* what answers stand on does not change */
                assert_int_equal(c.sampled_tokens, plain.sampled_tokens);
                assert_int_equal(c.prompt_tokens, plain.prompt_tokens);
                assert_true(c.accepted <= c.drafted && c.passes <= plain.passes);
                if (drafts[k] == 8 && kind == RIGHT) {
                    print_message("             %zu passes for %zu, %zu of %zu right\n", c.passes,
                                  plain.passes, c.accepted, c.drafted);
                    assert_true(c.accepted * 3 > c.drafted);
                    assert_true(c.passes * 2 < plain.passes);
                }
                if (drafts[k] == 8 && kind == WRONG)
                    assert_true(c.accepted < c.drafted);
            }
        }
        engine_set_draft(s->e, 0);
        for (size_t i = 0; i < N_MIXED; i++)
            q[i].n_before = 0;
    }
}

/* The same requests alone and together, in groups of 1 to 64, their prompts read whole and in pieces. */
static void the_size_of_a_group_or_of_a_piece_changes_nothing(void **state)
{
    static const size_t sizes[] = {1, 2, 3, 5, 16, 33, 64}, pieces[] = {1, 3, 17, 512};
    struct setting *s = *state;
    struct dice d = {9};
    size_t n_accepted = 0;

    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        struct sample_request q = request_of(s, COMMON "Once more", sizes[i], 30);

        q.pick.temperature = 0.5f;
        struct sample **want = run(s, s->e, s->ad, &q, 1, NULL);
        for (size_t p = 0; p < COUNT_OF(pieces); p++) {
            struct engine *e = open_engine(s, 0, 0, pieces[p]);

            for (size_t k = 0; k < COUNT_OF(drafts); k++) {
                tell(s, &q, want[0], p % 2 == 0 ? PARTLY : RIGHT, &d);
                engine_set_draft(e, drafts[k]);
                assert_same_answers("sizes", run(s, e, s->ad, &q, 1, NULL), want, &q, 1);
            }
            n_accepted += engine_counts(e).accepted;
            engine_close(e);
        }
    }
    assert_true(n_accepted > 500);
}

/* What is written for the model is known before: it takes no passes of its own. */
static void what_is_written_for_the_model_is_drafted(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON "<think>", 4, 40);
    size_t n_close;
    const token_id *close_ids = tokens_of(s, "</think> so the answer is this one", &n_close);

    q.thinking = (struct thinking_options){.on = true,
                                           .close = STR("</think> so the answer is this one"),
                                           .close_ids = close_ids,
                                           .n_close_ids = n_close,
                                           .budget = 5};
    assert_true(n_close > 8);
    struct engine *e = open_engine(s, 0, 0, 0);
    struct sample **want = run(s, e, NULL, &q, 1, NULL);
    const size_t plain = engine_counts(e).passes;
    engine_set_draft(e, 32);
    struct sample **got = run(s, e, NULL, &q, 1, NULL);
    assert_same_answers("written", got, want, &q, 1);
    assert_true(engine_counts(e).passes - plain <= plain - (n_close - 2));
    engine_close(e);
}

/* ---- rows that are kept for training ---- */

static void put_distinct(struct saved_row **all, size_t *n, struct saved_row *row)
{
    for (size_t i = 0; i < *n; i++)
        if (all[i] == row)
            return;
    all[(*n)++] = row;
}

static void saved_rows_are_the_same_and_none_is_lost(void **state)
{
    struct setting *s = *state;
    const struct model_config *c = &s->m->config;
    const size_t floats = saved_layout_of(c, 4).stride * c->n_layers + c->width;
    struct sample_request q[3] = {request_of(s, COMMON "A", 6, 20),
                                  request_of(s, COMMON "B", 9, 30), request_of(s, "Other", 3, 15)};
    struct saved_pool *pools[2];
    struct sample **want, **got, **kept;
    struct engine *plain = open_engine(s, 0, 0, 0);
    struct dice d = {5};
    struct error err = {0};
    size_t n_compared = 0;

    q[1].pick.temperature = 0.3f;
    for (int i = 0; i < 2; i++)
        ASSERT_OK(saved_pool_open(c, 4, (size_t)64 << 20, &pools[i], &err));
    const size_t all = saved_pool_free(pools[1]);
    struct engine_hooks hooks = {.save = pools[0]};
    ASSERT_OK(engine_run(plain, s->ad, q, 3, &hooks, &want, &err));
    kept = keep_samples(s, want, q, 3);
    hooks.save = pools[1];
    for (size_t k = 0; k < COUNT_OF(drafts); k++) {
        struct saved_row **seen = ARENA_ARRAY(&s->rig.arena, struct saved_row *, 2000);
        size_t n_seen = 0;

        for (size_t i = 0; i < 3; i++)
            tell(s, &q[i], kept[i], PARTLY, &d);
        engine_set_draft(s->e, drafts[k]);
        ASSERT_OK(engine_run(s->e, s->ad, q, 3, &hooks, &got, &err));
        for (size_t i = 0; i < 3; i++) {
            for (size_t t = 0; t < q[i].n_prompt; t++) {
                const struct saved_row *x = got[i][0].prompt_rows[t],
                                       *y = want[i][0].prompt_rows[t];

                assert_memory_equal(x->values, y->values, floats * sizeof(float));
                put_distinct(seen, &n_seen, got[i][0].prompt_rows[t]);
            }
            for (size_t j = 0; j < q[i].n_samples; j++) {
                const struct sample *x = &got[i][j], *y = &want[i][j];

                assert_same_sample("saved", x, y);
                for (size_t t = 0; t < x->n; t++) {
                    assert_int_equal(x->rows[t] == NULL, y->rows[t] == NULL);
                    if (x->rows[t] == NULL)
                        continue;
                    assert_memory_equal(x->rows[t]->values, y->rows[t]->values,
                                        floats * sizeof(float));
                    put_distinct(seen, &n_seen, x->rows[t]);
                    n_compared++;
                }
            }
        }
        assert_int_equal(all - saved_pool_free(pools[1]),
                         n_seen); /* those of wrong guesses are back */
        for (size_t i = 0; i < n_seen; i++)
            saved_give(pools[1], seen[i]);
        assert_int_equal(saved_pool_free(pools[1]), all);
    }
    assert_true(n_compared > 500);
    engine_set_draft(s->e, 0);
    engine_close(plain);
    for (int i = 0; i < 2; i++)
        saved_pool_close(pools[i]);
}

/* ---- ends in the middle ---- */

struct listener {
    struct engine_ticket *ticket;
    size_t n_tokens, cancel_at, n_done;
    atomic_bool stop;
};

static void on_token(void *ctx, size_t sample, const struct token_told *t)
{
    struct listener *l = ctx;

    (void)sample;
    (void)t;
    assert_true(l->cancel_at == 0 || l->n_tokens < l->cancel_at); /* not told any more */
    if (++l->n_tokens == l->cancel_at)
        engine_cancel(l->ticket);
}

static void on_run_token(void *ctx, size_t request, size_t sample, token_id id, float logp)
{
    struct listener *l = ctx;

    (void)request;
    (void)sample;
    (void)id;
    (void)logp;
    if (++l->n_tokens == l->cancel_at)
        atomic_store(&l->stop, true);
}

static void who_leaves_amid_a_draft_takes_nothing_along(void **state)
{
    struct setting *s = *state;
    struct sample_request q = request_of(s, COMMON "leaves", 5, 40),
                          other = request_of(s, COMMON "stays", 2, 40);
    struct engine *e = open_engine(s, 0, 0, 0);
    struct sample **want = run(s, e, NULL, &q, 1, NULL), **stays = run(s, e, NULL, &other, 1, NULL);
    struct dice d = {6};
    struct error err = {0};

    tell(s, &q, want[0], PARTLY, &d);
    tell(s, &other, stays[0], RIGHT, &d);
    engine_set_draft(e, 8);
    for (size_t at = 1; at < 120; at += 7) {
        struct listener leaves = {.cancel_at = at}, waits = {0};
        const struct engine_calls a = {.ctx = &leaves, .token = on_token},
                                  b = {.ctx = &waits, .token = on_token};
        size_t n_live = 2;

        ASSERT_OK(engine_submit(e, NULL, &q, &a, &leaves.ticket, &err));
        ASSERT_OK(engine_submit(e, NULL, &other, &b, &waits.ticket, &err));
        while (n_live > 0)
            ASSERT_OK(engine_turn(e, &n_live, &err));
        assert_int_equal(leaves.n_tokens, at);
        for (size_t k = 0; k < 2; k++)
            assert_same_sample("stays", &engine_samples(waits.ticket)[k], &stays[0][k]);
        for (size_t k = 0; k < 5; k++) { /* a beginning of what it would have been */
            const struct sample *x = &engine_samples(leaves.ticket)[k];

            assert_memory_equal(x->tokens, want[0][k].tokens, x->n * sizeof *x->tokens);
            ASSERT_SAME("a beginning", x->n, x->logprobs, want[0][k].logprobs);
        }
        engine_release(leaves.ticket);
        engine_release(waits.ticket);
        assert_int_equal(kv_pool_pages_in_use(engine_pool(e)), 0);
    }
    for (size_t at = 1; at < 120; at += 7) {
        struct listener l = {.cancel_at = at};
        const struct engine_hooks hooks = {.ctx = &l, .token = on_run_token, .stop = &l.stop};
        struct sample **got;

        ASSERT_FAILS(engine_run(e, NULL, &q, 1, &hooks, &got, &err), ERR_CANCELLED, "stopped");
        assert_int_equal(kv_pool_pages_in_use(engine_pool(e)), 0);
    }
    engine_close(e);
}

/* ---- requests that are wanted later ---- */

struct later {
    struct dice d;
    size_t n, n_all, n_idle;
};

static size_t on_wanted(void *ctx, bool idle)
{
    struct later *l = ctx;

    l->n_idle += idle && l->n > 0 && l->n < l->n_all;
    if (l->n < l->n_all && (idle || dice_below(&l->d, 8) == 0))
        l->n++;
    return l->n;
}

static void requests_may_come_while_others_are_answered(void **state)
{
    struct setting *s = *state;
    struct sample_request q[N_MIXED];
    size_t n_idle = 0;

    mixed_requests(s, q);
    struct sample **want = run(s, s->e, s->ad, q, N_MIXED, NULL);
    for (uint64_t round = 0; round < 8; round++) {
        struct later l = {.d = {round}, .n = round % 4, .n_all = N_MIXED};
        const struct engine_hooks hooks = {.ctx = &l, .wanted = on_wanted};

        engine_set_draft(s->e, round % 2 == 0 ? 0 : 8);
        assert_same_answers("later", run(s, s->e, s->ad, q, N_MIXED, &hooks), want, q, N_MIXED);
        n_idle += l.n_idle;
    }
    assert_true(n_idle > 0); /* some came when all before them had been answered */
    struct later few = {.n = 3, .n_all = 3};
    const struct engine_hooks hooks = {.ctx = &few, .wanted = on_wanted};
    struct sample **got;
    struct error err = {0};
    ASSERT_OK(engine_run(s->e, s->ad, q, N_MIXED, &hooks, &got, &err));
    assert_same_answers("three", got, want, q, 3);
    for (size_t i = 3; i < N_MIXED; i++)
        assert_null(got[i]);
    engine_set_draft(s->e, 0);
}

struct starts {
    size_t n, order[16];
    bool seen[16];
};

static void on_first(void *ctx, size_t request, size_t sample, token_id id, float logp)
{
    struct starts *x = ctx;

    (void)sample;
    (void)id;
    (void)logp;
    if (!x->seen[request])
        x->order[x->n++] = request;
    x->seen[request] = true;
}

/* With room for one at a time: by what was answered before; where nothing was, the longer prompt is first. */
static void the_longest_expected_comes_first(void **state)
{
    struct setting *s = *state;
    struct sample_request q[5] = {request_of(s, COMMON "a", 1, 9), request_of(s, COMMON "b", 1, 9),
                                  request_of(s, COMMON "and c", 1, 9),
                                  request_of(s, COMMON "d", 1, 9), request_of(s, COMMON "e", 1, 9)};
    static const token_id tokens[8];
    const struct draft_text two = {.tokens = tokens, .n = 2}, five = {.tokens = tokens, .n = 5},
                            eight = {.tokens = tokens, .n = 8};
    struct engine *e = open_engine(s, 1, 0, 0);
    struct starts x = {0};
    const struct engine_hooks hooks = {.ctx = &x, .token = on_first};

    q[0].before = &two;
    q[1].before = &eight;
    q[4].before = &five;
    q[0].n_before = q[1].n_before = q[4].n_before = 1;
    run(s, e, NULL, q, 5, &hooks);
    static const size_t want[] = {1, 2, 3, 4,
                                  0}; /* 8, 5 expected of the longer, of the other, 5, 2 */
    assert_memory_equal(x.order, want, sizeof want);
    engine_close(e);
}

/* ---- shapes at random ---- */

static struct sample_request random_request(struct setting *s, struct dice *d, uint32_t item)
{
    static struct str stops[] = {{"e", 1}, {" t", 2}, {"an", 2}};
    static struct token_bias bias[3];
    static const float temperatures[] = {0, 0.1f, 0.3f, 0.7f, 1, 1.5f};
    static token_id close_ids[4];
    const size_t v = s->m->config.vocab, common = dice_below(d, 3) * 20,
                 n = 1 + common + dice_below(d, 40);
    token_id *prompt = ARENA_ARRAY(&s->rig.arena, token_id, n);
    struct sample_request q = {.prompt = prompt,
                               .n_prompt = n,
                               .n_samples = 1 + dice_below(d, dice_below(d, 4) == 0 ? 40 : 6),
                               .max_tokens = 1 + dice_below(d, 30),
                               .pick = pick_defaults(),
                               .want_entropy = dice_below(d, 2) == 0,
                               .seed = dice_below(d, 100),
                               .purpose = PHILOX_TEST,
                               .item = item};

    for (size_t i = 0; i < n; i++) /* beginnings in common, and pairs that come again */
        prompt[i] = (token_id)(i < common ? (7 * i) % v : dice_below(d, 12) * 5 + 3);
    q.pick.temperature = temperatures[dice_below(d, COUNT_OF(temperatures))];
    if (dice_below(d, 4) == 0) {
        q.pick.top_k = 1 + dice_below(d, 30);
        q.pick.frequency_penalty = dice_float(d, 0, 1);
        q.pick.repetition_penalty = 1 + dice_float(d, 0, 0.3f);
    }
    if (dice_below(d, 3) == 0) {
        for (size_t i = 0; i < 3; i++)
            bias[i] = (struct token_bias){(token_id)(10 + 40 * i), i == 0 ? PICK_BAN : 3};
        q.pick.bias = bias;
        q.pick.n_bias = 3;
    }
    if (dice_below(d, 4) == 0) {
        q.stop = stops;
        q.n_stop = COUNT_OF(stops);
    }
    if (dice_below(d, 3) == 0) {
        for (size_t i = 0; i < COUNT_OF(close_ids); i++)
            close_ids[i] = (token_id)(20 + 3 * i);
        q.thinking = (struct thinking_options){.on = dice_below(d, 2) == 0,
                                               .open = STR("a"),
                                               .close = STR("zz"),
                                               .close_ids = close_ids,
                                               .n_close_ids = COUNT_OF(close_ids),
                                               .budget = 1 + dice_below(d, 10)};
    }
    q.n_top = dice_below(d, 3);
    return q;
}

static void random_requests_are_answered_the_same(void **state)
{
    enum { CASES = 250, MOST = 6 };
    struct setting *s = *state;
    struct dice d = {2026};
    struct engine_counts sum = {0};
    char what[80];

    for (size_t i = 0; i < CASES; i++) {
        const size_t n = 1 + dice_below(&d, MOST);
        const struct adapter *ad = dice_below(&d, 2) == 0 ? s->ad : NULL;
        struct sample_request q[MOST];

        for (uint32_t k = 0; k < n; k++)
            q[k] = random_request(s, &d, k);
        struct engine_counts before = engine_counts(s->e);
        struct sample **want = run(s, s->e, ad, q, n, NULL);
        const struct engine_counts plain = since(s->e, before);
        for (size_t k = 0; k < n; k++)
            tell(s, &q[k], want[k], dice_below(&d, N_KINDS), &d);
        struct engine *e = open_engine(s, 1 + dice_below(&d, 60),
                                       (1 + dice_below(&d, 80)) * kv_page_bytes(&s->m->config),
                                       1 + dice_below(&d, 100));
        engine_set_draft(e, dice_below(&d, 5) == 0 ? DRAFT_AUTO : 1 + dice_below(&d, DRAFT_MOST));
        parallel_set_threads(1 + (int)dice_below(&d, 3));
        struct sample **got = run(s, e, ad, q, n, NULL);
        parallel_set_threads(3);
        snprintf(what, sizeof what, "case %zu", i);
        assert_same_answers(what, got, want, q, n);
        const struct engine_counts c = engine_counts(e);
        assert_int_equal(c.rows, plain.rows);
        sum.drafted += c.drafted;
        sum.accepted += c.accepted;
        engine_close(e);
    }
    print_message("             %zu of %zu guesses right\n", sum.accepted, sum.drafted);
    assert_true(sum.accepted > 1000 && sum.drafted > sum.accepted + 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same_whatever_is_drafted),
        cmocka_unit_test(the_size_of_a_group_or_of_a_piece_changes_nothing),
        cmocka_unit_test(what_is_written_for_the_model_is_drafted),
        cmocka_unit_test(saved_rows_are_the_same_and_none_is_lost),
        cmocka_unit_test(who_leaves_amid_a_draft_takes_nothing_along),
        cmocka_unit_test(requests_may_come_while_others_are_answered),
        cmocka_unit_test(the_longest_expected_comes_first),
        cmocka_unit_test(random_requests_are_answered_the_same),
    };
    int failed = 0;

#ifndef HONE_SANITIZED /* it takes ten times as long there */
    failed = cmocka_run_group_tests_name("F32", tests, set_up, tear_down);
#endif
    rig_round_tiny();
    return failed + cmocka_run_group_tests_name("rounded rows", tests, set_up, tear_down);
}
