/*
 * turns_test.c - answers of several turns: what they are given is theirs, and changes nothing but what follows it.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "sample/engine.h"
#include "support/numbers.h"
#include "support/requests.h"

#include <stdio.h>
#include <stdlib.h>

#define N_REQUESTS 4
#define MOST_SAMPLES 24
#define MOST_TURNS 3
#define MAX_GIVEN 90

static int set_up(void **state)
{
    static struct setting s;
    struct model_config *c;

    rig_open_tiny(&s.rig);
    s.m = s.rig.model;
    c = &s.rig.model->config;
    for (c->n_eos = 0; c->n_eos < MODEL_MAX_EOS; c->n_eos++) /* turns end often */
        c->eos[c->n_eos] = (token_id)(40 + 9 * c->n_eos);
    s.t = model_files_tokenizer(s.m->files);
    s.ad = random_adapter(&s.m->config, 4, 1);
    parallel_set_threads(3);
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    struct setting *s = *state;

    adapter_close(s->ad);
    rig_close(&s->rig);
    parallel_set_threads(0);
    return 0;
}

/* Somebody who gives: what, depends on the answer alone; when and in which order, on chance. */
struct giver {
    struct dice dice;
    bool at_once;
    size_t n, n_asked, n_lost, n_done;
    struct given waiting[N_REQUESTS * MOST_SAMPLES];
    token_id tokens[N_REQUESTS * MOST_SAMPLES][MAX_GIVEN];
    size_t turns[N_REQUESTS][MOST_SAMPLES];
    token_id out[MAX_GIVEN];
    bool held; /* said no just now, though asked to wait */
};

static bool on_goes_on(void *ctx, size_t request, size_t sample, const struct sample *s)
{
    struct giver *g = ctx;
    uint64_t h = s->n;

    assert_true(sample < MOST_SAMPLES && s->n > s->turn);
    for (size_t i = s->turn; i < s->n; i++)
        h = (h ^ (uint64_t)s->tokens[i]) * UINT64_C(0x100000001b3);
    if (g->turns[request][sample] >= MOST_TURNS - 1 || h % 8 == 0)
        return false;
    struct given *w = &g->waiting[g->n];
    *w = (struct given){.request = request, .sample = sample, .n = 1 + h % 29};
    if (h % 7 == 0) { /* the same for several, so that they may stay together */
        w->n = 3;
        h = 12;
    }
    w->ends = h % 13 == 0;
    w->end = SAMPLE_CANCELLED;
    for (size_t i = 0; i < w->n; i++)
        g->tokens[g->n][i] = (token_id)((h / 7 + 31 * i) % 300);
    g->turns[request][sample]++;
    g->n++;
    g->n_asked++;
    return true;
}

static bool on_given(void *ctx, bool wait, struct given *out)
{
    struct giver *g = ctx;

    if (g->n == 0 || (!g->at_once && dice_below(&g->dice, 3) > 0)) {
        assert_true(!wait || g->n > 0); /* it waits only where something will come */
        return false;
    }
    const size_t i = g->at_once ? 0 : dice_below(&g->dice, g->n);
    *out = g->waiting[i];
    memcpy(g->out, g->tokens[i], sizeof g->out);
    out->tokens = g->out;
    g->n_lost += out->ends;
    g->n--;
    g->waiting[i] = g->waiting[g->n];
    memcpy(g->tokens[i], g->tokens[g->n], sizeof g->out);
    return true;
}

static void on_done(void *ctx, size_t request, size_t sample, const struct sample *s)
{
    struct giver *g = ctx;

    (void)request;
    (void)sample;
    (void)s;
    g->n_done++;
}

static void requests(struct setting *s, struct sample_request q[N_REQUESTS])
{
    static token_id close_ids[3];
    size_t n;

    memcpy(close_ids, tokens_of(s, "</t", &n), 3 * sizeof *close_ids);
    q[0] = request_of(s, COMMON "A", MOST_SAMPLES, 30);
    q[1] = request_of(s, COMMON "B and more", 12, 40);
    q[1].pick.temperature = 0.2f; /* many are equal */
    q[2] = request_of(s, COMMON "C", 3, 25);
    q[2].pick.temperature = 0;
    q[3] = request_of(s, COMMON "think", 8, 40);
    q[3].thinking = (struct thinking_options){.on = true,
                                              .open = STR("<t"),
                                              .close = STR("</t"),
                                              .close_ids = close_ids,
                                              .n_close_ids = n,
                                              .budget = 5};
    for (uint32_t i = 0; i < N_REQUESTS; i++) {
        q[i].item = i;
        q[i].max_given = MAX_GIVEN - 40 * (i == 0);
        q[i].want_entropy = true;
    }
}

static struct sample **run(struct setting *s, struct engine *e, const struct sample_request *q,
                           struct giver *g)
{
    const struct engine_hooks hooks = {
        .ctx = g, .goes_on = on_goes_on, .given = on_given, .done = on_done};
    struct sample **samples;
    struct error err = {0};

    ASSERT_OK(engine_run(e, s->ad, q, N_REQUESTS, &hooks, &samples, &err));
    assert_int_equal(kv_pool_pages_in_use(engine_pool(e)), 0);
    assert_int_equal(g->n, 0);
    return keep_samples(s, samples, q, N_REQUESTS);
}

static void turns_come_out_the_same_whenever_their_tokens_come(void **state)
{
    static const struct {
        size_t max_live, kv_pages, prefill_rows;
        int threads;
        size_t draft;
    } ways[] = {{0, 0, 0, 1, 0},   {1, 0, 0, 2, 8},  {5, 0, 1, 3, 0},
                {10, 0, 17, 8, 8}, {0, 60, 0, 2, 8}, {7, 12, 300, 1, DRAFT_AUTO}};
    struct setting *s = *state;
    struct sample_request q[N_REQUESTS];
    struct sample **want;
    struct giver *g = calloc(1, sizeof *g);
    size_t n_several = 0, n_cut = 0, n_drawn = 0;
    char what[80];

    assert_non_null(g);
    requests(s, q);
    s->e = open_engine(s, 0, 0, 0);
    g->at_once = true;
    want = run(s, s->e, q, g);
    const size_t n_asked = g->n_asked, n_lost = g->n_lost;
    const size_t rows = engine_counts(s->e).rows;

    for (size_t i = 0; i < N_REQUESTS; i++) {
        for (size_t k = 0; k < q[i].n_samples; k++) {
            const struct sample *x = &want[i][k];
            size_t n_given = 0;

            for (size_t t = 0; t < x->n; t++)
                n_given += x->injected[t] && x->logprobs[t] == 0;
            assert_int_equal(n_given, x->n_given);
            assert_true(x->n - x->n_given <= q[i].max_tokens && x->n_given <= q[i].max_given);
            assert_true(x->turn <= x->n && x->n_thinking <= x->n - x->turn);
            n_several += x->n_given > 0;
            n_cut += x->end == SAMPLE_LENGTH;
            n_drawn += x->n_drawn;
        }
    }
    print_message(
        "             %zu turns given, %zu answers of several, %zu lost, %zu cut, %zu drawn in %zu rows\n",
        n_asked, n_several, n_lost, n_cut, n_drawn, rows);
    assert_true(n_asked > 30 && n_several > 20 && n_lost > 0 && n_cut > 0);
    for (size_t w = 0; w < COUNT_OF(ways); w++) {
        parallel_set_threads(ways[w].threads);
        struct engine *e =
            open_engine(s, ways[w].max_live, ways[w].kv_pages * kv_page_bytes(&s->m->config),
                        ways[w].prefill_rows);
        *g = (struct giver){.dice = {w + 1}};
        engine_set_draft(e, ways[w].draft);
        struct sample **got = run(s, e, q, g);
        assert_int_equal(g->n_asked, n_asked);
        assert_int_equal(g->n_done, MOST_SAMPLES + 12 + 3 + 8);
        for (size_t i = 0; i < N_REQUESTS; i++) {
            for (size_t k = 0; k < q[i].n_samples; k++) {
                snprintf(what, sizeof what, "way %zu, request %zu, answer %zu", w, i, k);
                assert_same_sample(what, &got[i][k], &want[i][k]);
                assert_int_equal(got[i][k].turn, want[i][k].turn);
                assert_int_equal(got[i][k].n_given, want[i][k].n_given);
                assert_int_equal(got[i][k].n_thinking_before, want[i][k].n_thinking_before);
            }
        }
        assert_true(engine_counts(e).rows == rows);
        engine_close(e);
    }
    parallel_set_threads(3);
    free(g);
    engine_close(s->e);
}

/* Promise 2: what a token was drawn with is what reading the whole text again says of it. */
static void a_drawn_token_has_seen_what_was_given(void **state)
{
    struct setting *s = *state;
    struct sample_request q[N_REQUESTS];
    struct giver *g = calloc(1, sizeof *g);
    size_t n_behind = 0;
    struct error err = {0};

    assert_non_null(g);
    requests(s, q);
    s->e = open_engine(s, 0, 0, 0);
    struct sample **x = run(s, s->e, q, g);
    for (size_t k = 0; k < q[0].n_samples; k++) {
        const size_t n_prompt = q[0].n_prompt, n = n_prompt + x[0][k].n;
        token_id *all = ARENA_ARRAY(&s->rig.arena, token_id, n);
        float *logp = ARENA_ARRAY(&s->rig.arena, float, n);

        memcpy(all, q[0].prompt, n_prompt * sizeof *all);
        memcpy(all + n_prompt, x[0][k].tokens, x[0][k].n * sizeof *all);
        ASSERT_OK(engine_score(s->e, s->ad, all, n, 1, logp, &err));
        for (size_t t = 0; t < x[0][k].n; t++) {
            if (x[0][k].injected[t])
                continue;
            if (!float_same(logp[n_prompt + t], x[0][k].logprobs[t]))
                fail_msg("answer %zu, token %zu: %.9g, read again %.9g", k, t,
                         (double)x[0][k].logprobs[t], (double)logp[n_prompt + t]);
            n_behind += x[0][k].n_given > 0 && t >= x[0][k].turn;
        }
    }
    assert_true(n_behind > 40);
    free(g);
    engine_close(s->e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(turns_come_out_the_same_whenever_their_tokens_come, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_drawn_token_has_seen_what_was_given, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
