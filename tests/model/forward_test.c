/*
 * forward_test.c - a row's hidden state depends on its own path alone: read in one pass, token by token, in any pieces,
 * beside any others, by any number of threads and on any machine it is the same to the bit.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "model/training_pass.h"
#include "model/workspace_internal.h"
#include "support/rig.h"
#include "support/trees.h"
#include "tensor/cpu/kernels.h"

#include <math.h>
#include <stdio.h>

static int open_tiny(void **state)
{
    static struct rig r;

    rig_open_tiny(&r);
    *state = &r;
    return 0;
}

static int close_tiny(void **state)
{
    rig_close(*state);
    return 0;
}

static token_id *random_tokens(struct rig *r, struct dice *d, size_t n)
{
    token_id *ids = ARENA_ARRAY(&r->arena, token_id, n);

    for (size_t i = 0; i < n; i++)
        ids[i] = (token_id)dice_below(d, r->model->config.vocab);
    return ids;
}

/* hidden [m, C] of the trees' rows, computed in steps: all at once without d. */
static float *compute(struct rig *r, const struct adapter *ad, const struct trees *t,
                      struct dice *d)
{
    const size_t c = r->model->config.width;
    float *out = ARENA_ARRAY(&r->arena, float, t->m *c);
    struct growth g = growth_begin(t, r->pool, &r->arena);

    while (growth_step(&g, d)) {
        const struct batch b = {
            .m = g.m, .tokens = g.tokens, .spans = g.spans, .n_spans = g.n_spans};
        const float *hidden = rig_forward(r, ad, &b);

        for (size_t i = 0; i < g.m; i++)
            memcpy(out + g.rows[i] * c, hidden + i * c, c * sizeof *out);
    }
    growth_end(&g);
    return out;
}

static void a_tree_computed_anyhow_is_its_paths_read_one_by_one(void **state)
{
    static const int threads[] = {1, 2, 8};
    struct rig *r = *state;
    const size_t c = r->model->config.width;
    const struct kernels *const *all;
    const size_t n_tables = kernels_available(&all);
    struct adapter *adapters[2] = {NULL, random_adapter(&r->model->config, 3, 1)};
    struct dice d = {1};
    char what[120];

    for (int round = 0; round < 200; round++) {
        const struct trees t =
            trees_make(&d, 1 + dice_below(&d, 120), r->model->config.vocab, &r->arena);
        const struct adapter *ad = adapters[round % 2];
        const int n_threads = threads[dice_below(&d, COUNT_OF(threads))];
        const bool cut = round % 4 != 0;

        parallel_set_threads(n_threads);
        assert_true(ops_choose_machine(all[dice_below(&d, n_tables)]->name));
        const float *hidden = compute(r, ad, &t, cut ? &d : NULL);
        snprintf(what, sizeof what, "round %d: %zu rows in %zu segments, %d threads, %s, %s", round,
                 t.m, t.n_segments, n_threads, ops_machine(), cut ? "in pieces" : "at once");
        parallel_set_threads(1);
        assert_true(ops_choose_machine(NULL));
        for (size_t s = 0; s < t.n_segments; s++) {
            uint32_t rows[256];
            token_id path[256];
            const size_t n = trees_path(&t, s, rows);

            for (size_t i = 0; i < n; i++)
                path[i] = t.tokens[rows[i]];
            const float *alone = rig_read(r, ad, path, n);
            for (size_t i = n - t.segments[s].n; i < n; i++)
                ASSERT_SAME(what, c, hidden + rows[i] * c, alone + i * c);
        }
        if (round % 20 == 19)
            arena_reset(&r->arena);
    }
    parallel_set_threads(0);
    adapter_close(adapters[1]);
}

static void token_by_token_is_the_same_as_in_one_pass(void **state)
{
    struct rig *r = *state;
    const size_t c = r->model->config.width, n = 300;
    struct dice d = {2};
    const token_id *tokens = random_tokens(r, &d, n);
    const float *whole = rig_read(r, NULL, tokens, n);
    struct kv_segment *seg = kv_segment_new(r->pool, NULL);

    for (size_t i = 0; i < n; i++) {
        const struct span span = {.seg = seg, .n_rows = 1};
        const struct batch b = {.m = 1, .tokens = tokens + i, .spans = &span, .n_spans = 1};

        ASSERT_SAME("a token alone", c, rig_forward(r, NULL, &b), whole + i * c);
        assert_int_equal(kv_end(seg), i + 1);
    }
    kv_segment_release(r->pool, seg);
}

static void logits_of_a_row_do_not_depend_on_the_rows_beside_it(void **state)
{
    struct rig *r = *state;
    const size_t c = r->model->config.width, v = r->model->config.vocab, ld = v + 16, n = 70;
    struct dice d = {3};
    const float *hidden = rig_read(r, NULL, random_tokens(r, &d, n), n);
    float *all = ARENA_ARRAY(&r->arena, float, n *ld), *one = ARENA_ARRAY(&r->arena, float, ld);

    logits_of(r->model, n, hidden, all, ld);
    for (size_t i = 0; i < n; i++) {
        logits_of(r->model, 1, hidden + i * c, one, ld);
        ASSERT_SAME("logits", v, one, all + i * ld);
    }
}

#define N_TEXTS 9

/* Texts that are read side by side, each with its adapter and in pieces of its own. */
struct reading {
    size_t n, at;
    token_id *tokens;
    const struct adapter *adapter;
    struct kv_segment *seg;
    const float *want; /* [n, C] read alone */
};

/* The next pieces of all texts, in one pass; false: all were read. Compares. */
static bool read_on(struct rig *r, struct reading *x, struct dice *d, const char *what)
{
    const size_t c = r->model->config.width;
    struct adapted runs[N_TEXTS];
    struct span spans[N_TEXTS];
    token_id tokens[N_TEXTS * 100];
    size_t m = 0, n = 0, of[N_TEXTS];
    struct error err = {0};

    for (size_t i = 0; i < N_TEXTS; i++) {
        const size_t left = x[i].n - x[i].at, piece = size_min(left, 1 + dice_below(d, 70));

        if (left == 0 || dice_below(d, 4) == 0)
            continue;
        ASSERT_OK(kv_segment_reserve(r->pool, x[i].seg, piece, &err));
        memcpy(tokens + m, x[i].tokens + x[i].at, piece * sizeof *tokens);
        spans[n] = (struct span){.seg = x[i].seg, .n_rows = piece};
        runs[n] = (struct adapted){.adapter = x[i].adapter, .n_rows = piece};
        of[n++] = i;
        m += piece;
    }
    const struct batch b = {.m = m, .tokens = tokens, .spans = spans, .n_spans = n};
    float *hidden = ARENA_ARRAY(&r->arena, float, size_max(m, 1) * c);
    if (m > 0)
        ASSERT_OK(forward_mixed(r->model, runs, n, r->work, &b, hidden, &err));
    for (size_t k = 0; k < n; k++) {
        struct reading *t = &x[of[k]];

        ASSERT_SAME(what, runs[k].n_rows * c, hidden, t->want + t->at * c);
        t->at += runs[k].n_rows;
        hidden += runs[k].n_rows * c;
    }
    for (size_t i = 0; i < N_TEXTS; i++)
        if (x[i].at < x[i].n)
            return true;
    return false;
}

static void rows_of_several_adapters_are_each_as_if_alone(void **state)
{
    static const int threads[] = {1, 2, 5};
    struct rig *r = *state;
    const struct model_config *config = &r->model->config;
    const struct kernels *const *all;
    const size_t n_tables = kernels_available(&all);
    struct adapter *adapters[] = {NULL, random_adapter(config, 3, 1), random_adapter(config, 16, 2),
                                  random_adapter(config, 1, 3)};
    struct dice d = {7};
    char what[120];

    for (int round = 0; round < 60; round++) {
        struct reading x[N_TEXTS] = {0};

        for (size_t i = 0; i < N_TEXTS; i++) {
            x[i].n = 1 + dice_below(&d, 90);
            x[i].tokens = random_tokens(r, &d, x[i].n);
            x[i].adapter = adapters[dice_below(&d, round % 5 == 0 ? 2 : COUNT_OF(adapters))];
            x[i].seg = kv_segment_new(r->pool, NULL);
            x[i].want = rig_read(r, x[i].adapter, x[i].tokens, x[i].n);
        }
        parallel_set_threads(threads[round % 3]);
        assert_true(ops_choose_machine(all[(size_t)round / 3 % n_tables]->name));
        snprintf(what, sizeof what, "round %d, %s", round, ops_machine());
        while (read_on(r, x, &d, what)) {
        }
        assert_true(ops_choose_machine(NULL));
        parallel_set_threads(0);
        for (size_t i = 0; i < N_TEXTS; i++)
            kv_segment_release(r->pool, x[i].seg);
    }
    assert_true(memcmp(rig_read(r, NULL, (const token_id[]){1, 2}, 2),
                       rig_read(r, adapters[3], (const token_id[]){1, 2}, 2),
                       2 * config->width * sizeof(float)) != 0);
    for (size_t i = 0; i < COUNT_OF(adapters); i++)
        adapter_close(adapters[i]);
}

/* A prompt and answers behind it, each a segment of its own. */
struct group {
    struct kv_segment *prompt;
    size_t n;
    struct kv_segment *segs[64];
};

static struct group group_begin(struct rig *r, const token_id *prompt, size_t n_prompt, size_t n)
{
    struct group g = {.prompt = kv_segment_new(r->pool, NULL), .n = n};
    const struct span span = {.seg = g.prompt, .n_rows = n_prompt};
    const struct batch b = {.m = n_prompt, .tokens = prompt, .spans = &span, .n_spans = 1};

    (void)rig_forward(r, NULL, &b);
    for (size_t i = 0; i < n; i++)
        g.segs[i] = kv_segment_new(r->pool, g.prompt);
    return g;
}

static void group_end(struct rig *r, struct group *g)
{
    for (size_t i = 0; i < g->n; i++)
        kv_segment_release(r->pool, g->segs[i]);
    kv_segment_release(r->pool, g->prompt);
}

/* hidden [sum of rows, C] of rows[i] more tokens of answer i, those of answer i through adapters[i % n_adapters]. */
static float *grow(struct rig *r, const struct group *g, const size_t *rows, const token_id *tokens,
                   struct adapter *const *adapters, size_t n_adapters)
{
    struct span spans[64];
    struct adapted runs[64];
    struct batch b = {.tokens = tokens, .spans = spans, .n_spans = g->n};
    struct error err = {0};

    for (size_t i = 0; i < g->n; i++) {
        ASSERT_OK(kv_segment_reserve(r->pool, g->segs[i], rows[i], &err));
        spans[i] = (struct span){.seg = g->segs[i], .n_rows = rows[i]};
        runs[i] = (struct adapted){.adapter = adapters[i % n_adapters], .n_rows = rows[i]};
        b.m += rows[i];
    }
    float *hidden = ARENA_ARRAY(&r->arena, float, b.m * r->model->config.width);
    ASSERT_OK(forward_mixed(r->model, runs, g->n, r->work, &b, hidden, &err));
    return hidden;
}

static void threads_take_rows_through_all_layers_and_change_no_bit(void **state)
{
    static const struct {
        const char *what;
        size_t n, most; /* answers, rows of each at most */
        int threads;
        bool divided;
    } cases[] = {
        {"one row each", 40, 1, 2, true},       {"guesses behind some", 40, 3, 2, true},
        {"three threads", 40, 1, 3, true},      {"four threads", 60, 2, 4, true},
        {"too few for two", 20, 1, 2, false},   {"too few for four", 40, 1, 4, false},
        {"too many for two", 60, 6, 2, false}, {"one thread", 40, 1, 1, false},
    };
    struct rig *r = *state;
    const size_t c = r->model->config.width;
    struct adapter *adapters[] = {random_adapter(&r->model->config, 3, 1), NULL,
                                  random_adapter(&r->model->config, 8, 2)};
    struct dice d = {11};
    char what[120];

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const token_id *tokens = random_tokens(r, &d, 4000), *prompt = random_tokens(r, &d, 37);
        struct group alone, together;
        size_t rows[64], before;

        parallel_set_threads(1);
        alone = group_begin(r, prompt, 37, cases[i].n);
        together = group_begin(r, prompt, 37, cases[i].n);
        for (int step = 0; step < 4; step++) {
            size_t m = 0;

            for (size_t k = 0; k < cases[i].n; k++)
                m += rows[k] = 1 + dice_below(&d, cases[i].most);
            parallel_set_threads(1);
            const float *want = grow(r, &alone, rows, tokens, adapters, 1 + (size_t)step % 3);
            parallel_set_threads(cases[i].threads);
            before = r->work->n_divided;
            const float *got = grow(r, &together, rows, tokens, adapters, 1 + (size_t)step % 3);
            snprintf(what, sizeof what, "%s, step %d", cases[i].what, step);
            ASSERT_SAME(what, m * c, got, want);
            assert_int_equal(r->work->n_divided - before, cases[i].divided);
        }
        group_end(r, &alone);
        group_end(r, &together);
    }
    parallel_set_threads(0);
    adapter_close(adapters[0]);
    adapter_close(adapters[2]);
}

static void rows_that_see_others_or_are_uneven_are_not_given_to_threads(void **state)
{
    struct rig *r = *state;
    struct adapter *none[] = {NULL};
    struct dice d = {12};
    const token_id *tokens = random_tokens(r, &d, 100);
    struct group g = group_begin(r, tokens, 37, 40);
    size_t rows[64], before;
    struct error err = {0};

    parallel_set_threads(2);
    for (size_t i = 0; i < g.n; i++)
        rows[i] = i == 20 ? 30 : 1; /* wherever that one goes, it is much more than half */
    before = r->work->n_divided;
    (void)grow(r, &g, rows, tokens, none, 1);
    assert_int_equal(r->work->n_divided, before);

    /* a child of answer 0 in the same pass; without it the pass is divided */
    for (int with = 1; with >= 0; with--) {
        struct kv_segment *child = kv_segment_new_at(r->pool, g.segs[0], kv_end(g.segs[0]) + 1);
        struct span spans[41];

        for (size_t i = 0; i < g.n; i++) {
            ASSERT_OK(kv_segment_reserve(r->pool, g.segs[i], 1, &err));
            spans[i] = (struct span){.seg = g.segs[i], .n_rows = 1};
        }
        ASSERT_OK(kv_segment_reserve(r->pool, child, 1, &err));
        spans[g.n] = (struct span){.seg = child, .n_rows = 1};
        const struct batch b = {.m = g.n + (size_t)with,
                                .tokens = tokens,
                                .spans = spans,
                                .n_spans = g.n + (size_t)with};
        before = r->work->n_divided;
        (void)rig_forward(r, NULL, &b);
        assert_int_equal(r->work->n_divided - before, !with);
        kv_segment_release(r->pool, child);
    }
    parallel_set_threads(0);
    group_end(r, &g);
}

static void what_stands_later_changes_nothing_before_it(void **state)
{
    struct rig *r = *state;
    const size_t c = r->model->config.width, n = 60;
    struct dice d = {4};
    token_id *tokens = random_tokens(r, &d, n);
    const float *first = rig_read(r, NULL, tokens, n);

    for (size_t at = 0; at < n; at += 7) {
        tokens[at] = (tokens[at] + 1) % 320;
        const float *second = rig_read(r, NULL, tokens, n);
        ASSERT_SAME("before the change", at * c, second, first);
        assert_true(first_difference(c, second + at * c, first + at * c) < c);
        assert_true(first_difference(c, second + (n - 1) * c, first + (n - 1) * c) < c);
        first = second;
    }
}

static void a_new_adapter_changes_no_bit(void **state)
{
    struct rig *r = *state;
    const size_t c = r->model->config.width, n = 50;
    struct error err = {0};
    struct dice d = {5};
    const token_id *tokens = random_tokens(r, &d, n);
    struct adapter *fresh = NULL, *other = random_adapter(&r->model->config, 8, 7);

    ASSERT_OK(adapter_new(&r->model->config, 8, 16, 7, &fresh, &err));
    const float *bare = rig_read(r, NULL, tokens, n);
    ASSERT_SAME("hidden", n * c, rig_read(r, fresh, tokens, n), bare);
    assert_true(first_difference(n * c, rig_read(r, other, tokens, n), bare) < n * c);
    adapter_close(fresh);
    adapter_close(other);
}

static void a_position_past_the_tables_is_refused_and_nothing_grows(void **state)
{
    struct rig *r = *state;
    struct rig small = {0};
    struct error err = {0};
    struct dice d = {7};
    const token_id *tokens = random_tokens(r, &d, 40);
    float hidden[40 * 64];
    struct training_pass *p = NULL;

    ASSERT_OK(model_open(golden_path(&small.arena, "tiny/hf"), 33, &small.model, &err));
    assert_int_equal(small.model->max_positions, 33);
    ASSERT_OK(kv_pool_open(&small.model->config, 1 << 20, &small.pool, &err));
    ASSERT_OK(workspace_open(small.model, &small.work, &err));
    struct span span = {.seg = kv_segment_new(small.pool, NULL), .n_rows = 34};
    struct batch b = {.m = 34, .tokens = tokens, .spans = &span, .n_spans = 1};
    ASSERT_OK(kv_segment_reserve(small.pool, span.seg, 34, &err));
    ASSERT_FAILS(forward(small.model, NULL, small.work, &b, hidden, &err), ERR_LIMIT,
                 "34 positions are asked for, this model was opened for 33");
    ASSERT_FAILS(training_forward(small.model, NULL, small.work, &b, NULL, NULL, hidden, &p, &err),
                 ERR_LIMIT, "33");
    assert_null(p);
    assert_int_equal(span.seg->len, 0);
    span.n_rows = b.m = 33;
    ASSERT_OK(forward(small.model, NULL, small.work, &b, hidden, &err));
    kv_segment_release(small.pool, span.seg);
    rig_close(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(token_by_token_is_the_same_as_in_one_pass),
        cmocka_unit_test(a_tree_computed_anyhow_is_its_paths_read_one_by_one),
        cmocka_unit_test(logits_of_a_row_do_not_depend_on_the_rows_beside_it),
        cmocka_unit_test(rows_of_several_adapters_are_each_as_if_alone),
        cmocka_unit_test(threads_take_rows_through_all_layers_and_change_no_bit),
        cmocka_unit_test(rows_that_see_others_or_are_uneven_are_not_given_to_threads),
        cmocka_unit_test(what_stands_later_changes_nothing_before_it),
        cmocka_unit_test(a_new_adapter_changes_no_bit),
        cmocka_unit_test(a_position_past_the_tables_is_refused_and_nothing_grows),
    };
    int failed = cmocka_run_group_tests_name("F32", tests, open_tiny, close_tiny);

#ifdef HONE_SANITIZED /* all that is rounded at once: it takes ten times as long here */
    rig_cache_tiny(KV_CACHE_Q8_0);
#else
    rig_cache_tiny(KV_CACHE_F16);
    failed += cmocka_run_group_tests_name("F16 keys and values", tests, open_tiny, close_tiny);
    rig_cache_tiny(KV_CACHE_Q8_0);
    failed += cmocka_run_group_tests_name("Q8_0 keys and values", tests, open_tiny, close_tiny);
    rig_cache_tiny(KV_CACHE_F32);
#endif
    rig_round_tiny();
    return failed + cmocka_run_group_tests_name("rounded rows", tests, open_tiny, close_tiny);
}
