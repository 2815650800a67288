/*
 * training_pass_test.c - rows that were kept from any forward give a backward the bits that computing them again gives.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "model/training_pass.h"
#include "support/rig.h"
#include "support/trees.h"

#include <string.h>

#define RANK 4

static void the_pass_that_remembers_computes_the_same(void **state)
{
    struct rig *r = *state;
    const size_t c = r->model->config.width;
    struct adapter *ad = random_adapter(&r->model->config, 4, 9);
    struct error err = {0};
    struct dice d = {6};

    for (int round = 0; round < 20; round++) {
        const struct trees t =
            trees_make(&d, 1 + dice_below(&d, 90), r->model->config.vocab, &r->arena);
        struct growth plain = growth_begin(&t, r->pool, &r->arena),
                      g = growth_begin(&t, r->pool, &r->arena);
        struct training_pass *p = NULL;
        float *hidden = ARENA_ARRAY(&r->arena, float, t.m *c);

        assert_true(growth_step(&plain, NULL) && growth_step(&g, NULL));
        const struct batch first = {.m = plain.m,
                                    .tokens = plain.tokens,
                                    .spans = plain.spans,
                                    .n_spans = plain.n_spans},
                           b = {.m = g.m,
                                .tokens = g.tokens,
                                .spans = g.spans,
                                .n_spans = g.n_spans};
        const float *want = rig_forward(r, round % 2 == 0 ? ad : NULL, &first);
        ASSERT_OK(training_forward(r->model, round % 2 == 0 ? ad : NULL, r->work, &b, NULL, NULL,
                                   hidden, &p, &err));
        ASSERT_SAME("hidden", t.m * c, hidden, want);
        training_pass_release(p);
        growth_end(&plain);
        growth_end(&g);
    }
    training_pass_release(NULL);
    adapter_close(ad);
}

/* Forward in pieces, each row kept unless the dice say no (one in `leave_out`; 0: all are). */
static struct saved_row **keep(struct rig *r, struct adapter *ad, const struct trees *t,
                               struct dice *d, size_t leave_out, struct saved_pool *pool)
{
    const size_t c = r->model->config.width;
    struct saved_row **known = ARENA_ARRAY(&r->arena, struct saved_row *, t->m);
    struct growth g = growth_begin(t, r->pool, &r->arena);
    struct error err = {0};

    while (growth_step(&g, d)) {
        const struct batch b = {
            .m = g.m, .tokens = g.tokens, .spans = g.spans, .n_spans = g.n_spans};
        struct saved_row **to = ARENA_ARRAY(&r->arena, struct saved_row *, g.m);

        for (size_t i = 0; i < g.m; i++)
            to[i] = leave_out > 0 && dice_below(d, leave_out) == 0 ? NULL : saved_take_any(pool, 0);
        ASSERT_OK(forward_saving(r->model, ad, r->work, &b, to,
                                 ARENA_ARRAY(&r->arena, float, g.m *c), &err));
        for (size_t i = 0; i < g.m; i++)
            known[g.rows[i]] = to[i];
    }
    growth_end(&g);
    return known;
}

struct outcome {
    float *hidden, *grads;
    size_t n_hidden, n_grads;
};

/* A pass over the trees, d_hidden from the dice; the gradients are the adapter's, or the unfrozen model's. */
static struct outcome pass(struct rig *r, struct adapter *ad, const struct trees *t,
                           struct saved_pool *pool, struct saved_row *const *known, uint64_t seed)
{
    const size_t c = r->model->config.width;
    float *grads = ad != NULL ? ad->grads : r->model->full->grads;
    struct outcome o = {.n_hidden = t->m * c,
                        .n_grads = ad != NULL ? ad->n_values : r->model->full->n_values};
    struct growth g = growth_begin(t, r->pool, &r->arena);
    struct training_pass *p = NULL;
    struct error err = {0};
    struct dice d = {seed};
    float *d_hidden = ARENA_ARRAY(&r->arena, float, o.n_hidden + 16);
    struct saved_row **in_order = ARENA_ARRAY(&r->arena, struct saved_row *, t->m);

    assert_true(growth_step(&g, NULL));
    const struct batch b = {.m = g.m, .tokens = g.tokens, .spans = g.spans, .n_spans = g.n_spans};
    for (size_t i = 0; known != NULL && i < t->m; i++)
        in_order[i] = known[g.rows[i]];
    o.hidden = ARENA_ARRAY(&r->arena, float, o.n_hidden + 16);
    o.grads = ARENA_ARRAY(&r->arena, float, o.n_grads);
    dice_fill(&d, ORDINARY, d_hidden, o.n_hidden);
    memset(grads, 0, o.n_grads * sizeof *grads);
    ASSERT_OK(training_forward(r->model, ad, r->work, &b, pool, known != NULL ? in_order : NULL,
                               o.hidden, &p, &err));
    training_backward(p, d_hidden);
    training_pass_release(p);
    memcpy(o.grads, grads, o.n_grads * sizeof *grads);
    growth_end(&g);
    return o;
}

static void assert_same(const char *what, const struct outcome *a, const struct outcome *b)
{
    ASSERT_SAME(what, a->n_hidden, a->hidden, b->hidden);
    ASSERT_SAME(what, a->n_grads, a->grads, b->grads);
}

static void taken_over_bit_for_bit(struct rig *r, struct adapter *ad, size_t rank)
{
    const struct model_config *c = &r->model->config;
    struct saved_pool *pool = NULL, *mixed = NULL; /* mixed: a few whole rows, the others lean */
    struct error err = {0};
    struct dice d = {11};

    ASSERT_OK(saved_pool_open(c, rank, 400 * saved_row_bytes(c, rank), &pool, &err));
    ASSERT_OK(saved_pool_open(c, rank, 20 * saved_row_bytes(c, rank), &mixed, &err));
    ASSERT_OK(saved_pool_add_lean(mixed, c, 400 * saved_lean_bytes(c), &err));
    for (int round = 0; round < 24; round++) {
        const struct trees t = trees_make(&d, 1 + dice_below(&d, 90), c->vocab, &r->arena);
        const uint64_t seed = 100 + (uint64_t)round;

        parallel_set_threads(round % 3 + 1);
        const struct outcome want = pass(r, ad, &t, pool, NULL, seed),
                             lean = pass(r, ad, &t, NULL, NULL, seed);
        assert_int_equal(saved_pool_free(pool), 400);
        struct saved_row **known = keep(r, ad, &t, &d, 0, pool);
        const struct outcome all = pass(r, ad, &t, NULL, known, seed);
        saved_clear(pool);
        known = keep(r, ad, &t, &d, 2 + dice_below(&d, 20), pool);
        const size_t left = saved_pool_free(pool);
        const struct outcome some = pass(r, ad, &t, pool, known, seed),
                             some_lean = pass(r, ad, &t, NULL, known, seed);
        assert_int_equal(saved_pool_free(pool), left);
        known = keep(r, ad, &t, &d, 0, mixed);
        const struct outcome all_mixed = pass(r, ad, &t, mixed, known, seed);
        saved_clear(mixed);
        known = keep(r, ad, &t, &d, 2 + dice_below(&d, 20), mixed);
        const struct outcome some_mixed = pass(r, ad, &t, mixed, known, seed),
                             some_alone = pass(r, ad, &t, NULL, known, seed);
        saved_clear(mixed);
        assert_int_equal(saved_pool_free(mixed), 20);
        assert_same("all rows known, lean ones among them", &want, &all_mixed);
        assert_same("some rows known, lean ones among them", &want, &some_mixed);
        assert_same("some rows known, lean ones among them, no room", &want, &some_alone);
        assert_same("layers computed anew", &want, &lean);
        assert_same("all rows known", &want, &all);
        assert_same("some rows known", &want, &some);
        assert_same("some rows known, layers computed anew", &want, &some_lean);
        saved_clear(pool);
        arena_reset(&r->arena);
    }
    parallel_set_threads(0);
    saved_pool_close(mixed);
    saved_pool_close(pool);
}

static void with_an_adapter_kept_rows_change_no_bit(void **state)
{
    struct rig *r = *state;
    struct adapter *ad = random_adapter(&r->model->config, RANK, 3);
    struct error err = {0};

    ASSERT_OK(adapter_want_grads(ad, &err));
    taken_over_bit_for_bit(r, ad, RANK);
    adapter_close(ad);
}

static void a_kept_row_that_was_changed_is_noticed(void **state)
{
    struct rig *r = *state;
    const struct model_config *c = &r->model->config;
    struct adapter *ad = random_adapter(c, RANK, 3);
    struct saved_pool *pool = NULL;
    struct error err = {0};
    struct dice d = {12};
    const struct trees t = trees_make(&d, 60, c->vocab, &r->arena);
    const struct saved_layout at = saved_layout_of(c, RANK);
    const size_t parts[] = {0,    at.q,       at.att,     at.mid, at.gate, at.up, at.k,
                            at.v, at.row_max, at.row_inv, at.r1,  at.r2,   at.u};

    ASSERT_OK(adapter_want_grads(ad, &err));
    ASSERT_OK(saved_pool_open(c, RANK, 400 * saved_row_bytes(c, RANK), &pool, &err));
    const struct outcome want = pass(r, ad, &t, pool, NULL, 5);
    for (size_t i = 0; i < COUNT_OF(parts); i++) { /* every part is used, so none can be wrong */
        struct saved_row **known = keep(r, ad, &t, &d, 0, pool);

        known[0]->values[at.stride + parts[i]] *= 1.5f;
        const struct outcome got = pass(r, ad, &t, pool, known, 5);
        if (first_difference(want.n_grads, want.grads, got.grads) == want.n_grads)
            fail_msg("part %zu of a row is not used", i);
        saved_clear(pool);
    }
    saved_pool_close(pool);
    adapter_close(ad);
}

static void with_all_weights_trained_kept_rows_change_no_bit(void **state)
{
    struct rig *r = *state;
    struct error err = {0};

    ASSERT_OK(model_unfreeze(r->model, &err));
    taken_over_bit_for_bit(r, NULL, 0);
}

static void a_pass_over_twice_the_rows_is_said_to_keep_twice_as_much(void **state)
{
    const struct rig *r = *state;
    const size_t one = training_pass_bytes(r->model, 8, 1000, false),
                 lean = training_pass_bytes(r->model, 8, 1000, true),
                 bare = training_pass_bytes(r->model, 0, 1000, false);

    assert_int_equal(training_pass_bytes(r->model, 8, 2000, false), 2 * one);
    assert_true(lean < one && bare < one);
}

static int open_rig(void **state)
{
    static struct rig r;

    rig_open_tiny(&r);
    *state = &r;
    return 0;
}

static int close_rig(void **state)
{
    rig_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_pass_that_remembers_computes_the_same),
        cmocka_unit_test(with_an_adapter_kept_rows_change_no_bit),
        cmocka_unit_test(a_kept_row_that_was_changed_is_noticed),
        cmocka_unit_test(a_pass_over_twice_the_rows_is_said_to_keep_twice_as_much),
        cmocka_unit_test(with_all_weights_trained_kept_rows_change_no_bit), /* unfreezes: last */
    };

    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
