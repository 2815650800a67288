/*
 * tree_test.c - every distinct beginning is one row, every drawn token is in one target, and what was sampled is what is
 * trained, to the bit.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "model/training_pass.h"
#include "sample/engine.h"
#include "support/numbers.h"
#include "support/rig.h"
#include "train/loss.h"
#include "train/tree.h"

#include <math.h>
#include <stdlib.h>

#define MOST 96 /* tokens of a prompt and its answer */

static const struct model_config config = {
    .n_layers = 1, .n_heads = 2, .n_kv_heads = 1, .head_width = 16};

/* A sequence of tokens that begins at the root. */
struct beginning {
    size_t n;
    token_id ids[MOST];
};

static bool same_beginning(const struct beginning *a, const struct beginning *b)
{
    return a->n == b->n && memcmp(a->ids, b->ids, a->n * sizeof *a->ids) == 0;
}

struct wanted { /* what brute force finds in the groups */
    struct beginning *rows;
    size_t n_rows;
    struct wanted_target {
        struct beginning before;
        token_id id;
        uint32_t count;
        float coefficient, sampled;
    } * targets;
    size_t n_targets, n_tokens;
};

static void want_row(struct wanted *w, const struct beginning *b)
{
    for (size_t i = 0; i < w->n_rows; i++)
        if (same_beginning(&w->rows[i], b))
            return;
    w->rows[w->n_rows++] = *b;
}

static void want_target(struct wanted *w, const struct beginning *b, token_id id, float coefficient,
                        float sampled)
{
    w->n_tokens++;
    for (size_t i = 0; i < w->n_targets; i++) {
        if (w->targets[i].id == id && same_beginning(&w->targets[i].before, b)) {
            w->targets[i].count++;
            w->targets[i].coefficient += coefficient;
            return;
        }
    }
    w->targets[w->n_targets++] = (struct wanted_target){*b, id, 1, coefficient, sampled};
}

static struct wanted want(const struct tree_group *groups, size_t n, struct arena *a)
{
    struct wanted w = {.rows = ARENA_ARRAY(a, struct beginning, 4000),
                       .targets = ARENA_ARRAY(a, struct wanted_target, 4000)};

    for (size_t g = 0; g < n; g++) {
        struct beginning b = {0};

        for (size_t i = 0; i < groups[g].n_prompt; i++) {
            b.ids[b.n++] = groups[g].prompt[i];
            want_row(&w, &b);
        }
        for (size_t k = 0; k < groups[g].n_answers; k++) {
            const struct tree_answer *s = &groups[g].answers[k];
            struct beginning at = b;

            for (size_t i = 0; i < s->n; i++) {
                if (s->masked == NULL || !s->masked[i])
                    want_target(&w, &at, s->tokens[i], s->coefficient, s->logprobs[i]);
                at.ids[at.n++] = s->tokens[i];
                if (i + 1 < s->n)
                    want_row(&w, &at);
            }
        }
    }
    return w;
}

/* Prompts that begin alike, answers that part late, equal ones, some of one token or none, some masked. */
static struct tree_group *random_groups(struct dice *d, size_t n, struct arena *a)
{
    struct tree_group *groups = ARENA_ARRAY(a, struct tree_group, n);
    const size_t n_common = dice_below(d, 20);
    token_id common[20];

    for (size_t i = 0; i < n_common; i++)
        common[i] = (token_id)dice_below(d, 9);
    for (size_t g = 0; g < n; g++) {
        struct tree_group *x = &groups[g];
        token_id *prompt = ARENA_ARRAY(a, token_id, 40);
        struct tree_answer *answers = ARENA_ARRAY(a, struct tree_answer, 8);

        memcpy(prompt, common, n_common * sizeof *common);
        x->n_prompt = n_common + 1 + dice_below(d, 6);
        for (size_t i = n_common; i < x->n_prompt; i++)
            prompt[i] = (token_id)dice_below(d, 2);
        x->prompt = prompt;
        x->n_answers = 1 + dice_below(d, 8);
        x->answers = answers;
        for (size_t k = 0; k < x->n_answers; k++) {
            struct tree_answer *s = &answers[k];
            token_id *tokens = ARENA_ARRAY(a, token_id, 40);
            float *logprobs = ARENA_ARRAY(a, float, 40);
            bool *masked = ARENA_ARRAY(a, bool, 40);

            s->n = dice_below(d, 5) == 0 ? dice_below(d, 2) : dice_below(d, 40);
            for (size_t i = 0; i < s->n; i++) {
                tokens[i] = (token_id)(dice_below(d, 10) == 0 ? dice_below(d, 5) : i % 3);
                logprobs[i] = -dice_float(d, 0, 9);
                masked[i] = dice_below(d, 6) == 0;
            }
            s->tokens = tokens;
            s->logprobs = logprobs;
            s->masked = dice_below(d, 2) == 0 ? masked : NULL;
            s->coefficient = dice_float(d, -2, 2);
        }
    }
    return groups;
}

/* The beginning that each row stands for, from tokens, spans and parents alone. */
static struct beginning *beginnings_of(const struct train_tree *t, struct arena *a)
{
    struct beginning *b = ARENA_ARRAY(a, struct beginning, t->m);
    size_t *first = ARENA_ARRAY(a, size_t, t->n_spans), row = 0;

    for (size_t s = 0; s < t->n_spans; s++) {
        const struct kv_segment *seg = t->spans[s].seg;
        struct beginning at = {0};

        first[s] = row;
        assert_true(t->spans[s].n_rows > 0);
        for (size_t p = 0; seg->parent != NULL && p < s; p++)
            if (t->spans[p].seg == seg->parent) /* parents come before children */
                at = b[first[p] + t->spans[p].n_rows - 1];
        assert_int_equal(at.n, seg->start);
        for (size_t i = 0; i < t->spans[s].n_rows; i++, row++) {
            at.ids[at.n++] = t->tokens[row];
            b[row] = at;
        }
        assert_true(seg->n_pages * KV_PAGE >= t->spans[s].n_rows);
    }
    assert_int_equal(row, t->m);
    return b;
}

static void rows_and_targets_are_what_brute_force_finds(void **state)
{
    struct kv_pool *pool = NULL;
    struct error err = {0};
    struct dice d = {1};
    size_t n_shared = 0;

    (void)state;
    ASSERT_OK(kv_pool_open(&config, (size_t)32 << 20, &pool, &err));
    for (int round = 0; round < 150; round++) {
        struct arena a = {0};
        const size_t n = 1 + dice_below(&d, 4);
        const struct tree_group *groups = random_groups(&d, n, &a);
        const struct wanted w = want(groups, n, &a);
        struct train_tree t;

        ASSERT_OK(tree_build(groups, n, pool, &a, &t, &err));
        assert_int_equal(t.m, w.n_rows);
        assert_int_equal(tree_rows(groups, n, &a), w.n_rows);
        assert_int_equal(t.n_targets, w.n_targets);
        assert_int_equal(t.n_tokens, w.n_tokens);
        const struct beginning *rows = beginnings_of(&t, &a);
        for (size_t i = 0; i < t.m; i++) { /* all different, and all wanted: so none is missing */
            size_t found = 0;

            for (size_t j = 0; j < w.n_rows; j++)
                found += same_beginning(&rows[i], &w.rows[j]);
            for (size_t j = 0; j < i; j++)
                assert_false(same_beginning(&rows[i], &rows[j]));
            assert_int_equal(found, 1);
        }
        for (size_t i = 0; i < t.n_targets; i++) {
            const struct target *x = &t.targets[i];
            const struct wanted_target *same = NULL;

            for (size_t j = 0; j < w.n_targets; j++)
                if (w.targets[j].id == x->id && same_beginning(&w.targets[j].before, &rows[x->row]))
                    same = &w.targets[j];
            if (same == NULL) {
                fail_msg("round %d: target %zu is not wanted", round, i);
                return;
            }
            assert_int_equal(x->count, same->count);
            assert_true(float_same(x->coefficient, same->coefficient)); /* the same order, too */
            assert_true(float_same(x->sampled, same->sampled));
            n_shared += x->count > 1;
        }
        for (size_t i = 0; i < t.n_targets; i++) /* those of one row lie together */
            for (size_t j = i + 2; j < t.n_targets; j++)
                if (t.targets[j].row == t.targets[i].row)
                    assert_int_equal(t.targets[j - 1].row, t.targets[i].row);
        tree_release(&t, pool);
        assert_int_equal(kv_pool_pages_in_use(pool), 0);
        arena_release(&a);
    }
    assert_true(n_shared > 100);
    kv_pool_close(pool);
}

static void rows_come_in_the_order_of_the_answers(void **state)
{
    static const token_id prompt[] = {1, 2}, x[] = {3, 4, 9}, y[] = {5, 9}, z[] = {3, 6, 7, 9};
    static const float none[4];
    const struct tree_answer answers[] = {
        {.tokens = x, .logprobs = none, .n = 3, .coefficient = 1},
        {.tokens = y, .logprobs = none, .n = 2, .coefficient = 1},
        {.tokens = z, .logprobs = none, .n = 4, .coefficient = 1}};
    const struct tree_group group = {
        .prompt = prompt, .n_prompt = 2, .answers = answers, .n_answers = 3};
    static const token_id want[] = {1, 2, 3, 4, 6, 7, 5};
    static const size_t lengths[] = {2, 1, 1, 2, 1};
    struct kv_pool *pool = NULL;
    struct arena a = {0};
    struct train_tree t;
    struct error err = {0};

    (void)state;
    ASSERT_OK(kv_pool_open(&config, (size_t)1 << 20, &pool, &err));
    ASSERT_OK(tree_build(&group, 1, pool, &a, &t, &err));
    assert_int_equal(t.m, COUNT_OF(want));
    assert_memory_equal(t.tokens, want, sizeof want);
    assert_int_equal(t.n_spans, COUNT_OF(lengths));
    for (size_t i = 0; i < COUNT_OF(lengths); i++)
        assert_int_equal(t.spans[i].n_rows, lengths[i]);
    tree_release(&t, pool);
    kv_pool_close(pool);
    arena_release(&a);
}

static void a_full_cache_is_an_error_that_holds_no_page(void **state)
{
    struct kv_pool *pool = NULL;
    struct arena a = {0};
    struct train_tree t = {.m = 77};
    struct error err = {0};
    struct dice d = {2};
    const struct tree_group *groups = random_groups(&d, 4, &a);

    (void)state;
    ASSERT_OK(kv_pool_open(&config, 3 * kv_page_bytes(&config), &pool, &err));
    ASSERT_FAILS(tree_build(groups, 4, pool, &a, &t, &err), ERR_LIMIT, "cache is full");
    assert_int_equal(t.m, 77);
    assert_int_equal(kv_pool_pages_in_use(pool), 0);
    kv_pool_close(pool);
    arena_release(&a);
}

/* ---- with the tiny model: sampled, then trained ---- */

struct setting {
    struct rig rig;
    struct engine *e;
    struct adapter *ad;
    struct saved_pool *saved; /* NULL: nothing is kept */
};

static int set_up(void **state)
{
    static struct setting s;
    struct error err = {0};

    rig_open_tiny(&s.rig);
    const struct engine_options opt = engine_defaults(s.rig.model);
    s.ad = random_adapter(&s.rig.model->config, 4, 1);
    ASSERT_OK(adapter_want_grads(s.ad, &err));
    parallel_set_threads(3);
    ASSERT_OK(
        engine_open(s.rig.model, model_files_tokenizer(s.rig.model->files), &opt, &s.e, &err));
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    struct setting *s = *state;

    engine_close(s->e);
    adapter_close(s->ad);
    rig_close(&s->rig);
    parallel_set_threads(0);
    return 0;
}

static const token_id prompts[2][24] = {
    {1, 87, 85, 263, 201, 48, 287, 71, 305, 71, 276, 16, 2, 201, 1, 277, 85, 279, 288, 201},
    {1, 87,  85, 263, 201, 48,  287, 71,  305, 71, 276, 16,
     2, 201, 1,  277, 85,  279, 288, 259, 12,  13, 14}};
static const size_t prompt_lengths[2] = {20, 23};

/* Answers of two prompts at a temperature; the second has a budget of thinking whose closing is written for it. */
static struct tree_group *sampled(struct setting *s, float temperature, size_t g,
                                  const struct adapter *ad)
{
    static const token_id close_ids[] = {31, 32};
    struct sample_request q[2];
    struct sample **got;
    struct error err = {0};
    struct arena *a = &s->rig.arena;
    struct tree_group *groups = ARENA_ARRAY(a, struct tree_group, 2);
    struct dice d = {3};

    for (uint32_t i = 0; i < 2; i++) {
        q[i] = (struct sample_request){.prompt = prompts[i],
                                       .n_prompt = prompt_lengths[i],
                                       .n_samples = g,
                                       .max_tokens = 25,
                                       .pick = pick_defaults(),
                                       .item = i,
                                       .purpose = PHILOX_TEST};
        q[i].pick.temperature = temperature;
    }
    q[1].thinking = (struct thinking_options){.on = true,
                                              .close = STR("</never>"),
                                              .close_ids = close_ids,
                                              .n_close_ids = 2,
                                              .budget = 6};
    const struct engine_hooks hooks = {.save = s->saved};
    ASSERT_OK(engine_run(s->e, ad, q, 2, &hooks, &got, &err));
    for (size_t i = 0; i < 2; i++) {
        struct tree_answer *answers = ARENA_ARRAY(a, struct tree_answer, g);

        for (size_t k = 0; k < g; k++)
            answers[k] = (struct tree_answer){.tokens = got[i][k].tokens,
                                              .logprobs = got[i][k].logprobs,
                                              .masked = got[i][k].injected,
                                              .n = got[i][k].n,
                                              .coefficient = dice_float(&d, -2, 2),
                                              .rows = got[i][k].rows};
        groups[i] = (struct tree_group){.prompt = prompts[i],
                                        .n_prompt = prompt_lengths[i],
                                        .answers = answers,
                                        .n_answers = g,
                                        .prompt_rows = got[i][0].prompt_rows};
    }
    return groups; /* as long as the engine does not run again */
}

/* One pass over the groups: gradients added, sums returned. */
static struct loss_sums train(struct setting *s, const struct tree_group *groups, size_t n,
                              float inv_t, double n_tokens, struct adapter *ad)
{
    struct arena a = {0};
    struct train_tree t;
    struct training_pass *pass = NULL;
    struct loss_sums sums = {0};
    struct error err = {0};
    size_t rows, ld;
    const size_t c = s->rig.model->config.width;

    ASSERT_OK(tree_build(groups, n, s->rig.pool, &a, &t, &err));
    const struct batch b = tree_batch(&t);
    const struct loss_options opt = {.inv_t = inv_t, .n = n_tokens};
    float *hidden = ARENA_ARRAY(&a, float, t.m *c + 16),
          *d_hidden = ARENA_ARRAY(&a, float, t.m *c + 16),
          *logits = engine_logits(s->e, &rows, &ld);
    ASSERT_OK(
        training_forward(s->rig.model, ad, s->rig.work, &b, NULL, t.known, hidden, &pass, &err));
    loss_back(s->rig.model, false, &t, &opt, hidden, logits, rows, ld, d_hidden, &sums);
    training_backward(pass, d_hidden);
    training_pass_release(pass);
    assert_int_equal(sums.n_tokens, t.n_tokens);
    tree_release(&t, s->rig.pool);
    arena_release(&a);
    return sums;
}

/* The gradients of a pass over both groups, in the test's arena. */
static float *gradients(struct setting *s, const struct tree_group *groups)
{
    float *copy = ARENA_ARRAY(&s->rig.arena, float, s->ad->n_values);

    memset(s->ad->grads, 0, s->ad->n_values * sizeof(float));
    assert_true(train(s, groups, 2, 1, 1, s->ad).max_dlogp == 0);
    memcpy(copy, s->ad->grads, s->ad->n_values * sizeof(float));
    return copy;
}

static void what_sampling_kept_gives_the_gradient_of_computing_it_again(void **state)
{
    struct setting *s = *state;
    const struct model_config *c = &s->rig.model->config;
    struct error err = {0};

    for (size_t room = 0; room < 4; room++) { /* for all rows, for some, for few, for none */
        const size_t rows = room == 0 ? 4000 : room == 1 ? 150 : room == 2 ? 21 : 0;
        struct arena a = {0};
        struct train_tree t;
        size_t n_known = 0;

        ASSERT_OK(saved_pool_open(c, s->ad->rank, rows * saved_row_bytes(c, s->ad->rank), &s->saved,
                                  &err));
        struct tree_group *groups = sampled(s, 1, 40, s->ad);
        ASSERT_OK(tree_build(groups, 2, s->rig.pool, &a, &t, &err));
        for (size_t i = 0; i < t.m; i++)
            n_known += t.known[i] != NULL;
        assert_true(t.m > 200);
        assert_int_equal(n_known, room == 0 ? t.m : rows);
        tree_release(&t, s->rig.pool);
        arena_release(&a);
        const float *taken = gradients(s, groups);
        groups[1].anew =
            &groups[1].answers[7]; /* what both begin with is still known from the other */
        const float *half = gradients(s, groups);
        for (size_t i = 0; i < 2; i++) {
            groups[i].anew = NULL;
            groups[i].prompt_rows = NULL;
            for (size_t k = 0; k < groups[i].n_answers; k++)
                ((struct tree_answer *)(uintptr_t)groups[i].answers)[k].rows = NULL;
        }
        const float *anew = gradients(s, groups);
        ASSERT_SAME("gradients", s->ad->n_values, taken, anew);
        ASSERT_SAME("gradients", s->ad->n_values, half, anew);
        saved_pool_close(s->saved);
        s->saved = NULL;
    }
}

static void what_is_trained_is_what_was_sampled_to_the_bit(void **state)
{
    static const float temperatures[] = {1, 0.15f, 0.4f, 1.5f};
    static const int threads[] = {1, 2, 8};
    struct setting *s = *state;

    for (size_t t = 0; t < COUNT_OF(temperatures); t++) {
        const float inv_t = 1 / temperatures[t];
        const struct tree_group *groups = sampled(s, temperatures[t], 40, s->ad);

        for (size_t k = 0; k < COUNT_OF(threads); k++) {
            parallel_set_threads(threads[k]);
            assert_true(train(s, groups, 2, inv_t, 1, s->ad).max_dlogp == 0);
            assert_true(train(s, groups + 1, 1, inv_t, 1, s->ad).max_dlogp == 0);
        }
        parallel_set_threads(3);
        struct adapter *other = random_adapter(&s->rig.model->config, 4, 2);
        struct error err = {0};
        ASSERT_OK(adapter_want_grads(other, &err));
        assert_true(train(s, groups, 2, inv_t, 1, other).max_dlogp > 0); /* the test can fail */
        adapter_close(other);
    }
}

static void one_tree_has_the_gradient_of_its_answers_one_by_one(void **state)
{
    struct setting *s = *state;
    const struct tree_group *groups = sampled(s, 1, 12, s->ad);
    const size_t n = s->ad->n_values;
    float *whole = ARENA_ARRAY(&s->rig.arena, float, n);
    double loss = 0;
    size_t n_tokens = 0;

    memset(s->ad->grads, 0, n * sizeof(float));
    const struct loss_sums sums = train(s, groups, 2, 1, 100, s->ad);
    memcpy(whole, s->ad->grads, n * sizeof(float));
    memset(s->ad->grads, 0, n * sizeof(float));
    for (size_t g = 0; g < 2; g++) {
        for (size_t k = 0; k < groups[g].n_answers; k++) {
            struct tree_group one = groups[g];

            one.answers += k;
            one.n_answers = 1;
            const struct loss_sums part = train(s, &one, 1, 1, 100, s->ad);
            loss += part.loss;
            n_tokens += part.n_tokens;
        }
    }
    assert_int_equal(n_tokens, sums.n_tokens);
    ASSERT_NEAR(loss, sums.loss, 1e-9);
    /* where gradients are rounded to bfloats, those of a shared row are so behind their sum, here before it */
    const bool rounded = s->rig.model->precision == PRECISION_INT8;
    const double apart = relative_difference(n, s->ad->grads, whole);
    print_message("             largest difference of a gradient: %.1e of the largest\n", apart);
    assert_true(apart < (rounded ? 0.01 : 5e-6));
}

static void equal_answers_cost_as_much_as_one(void **state)
{
    struct setting *s = *state;
    const struct tree_group *groups = sampled(s, 1, 2, s->ad);
    struct tree_answer many[50];
    const struct tree_group copies = {.prompt = groups[0].prompt,
                                      .n_prompt = groups[0].n_prompt,
                                      .answers = many,
                                      .n_answers = 50};
    struct tree_group one = groups[0];

    for (size_t k = 0; k < 50; k++)
        many[k] = groups[0].answers[0];
    one.n_answers = 1;
    assert_int_equal(tree_rows(&copies, 1, &s->rig.arena), tree_rows(&one, 1, &s->rig.arena));
    assert_int_equal(tree_rows(&one, 1, &s->rig.arena), one.n_prompt + one.answers[0].n - 1);
    const struct loss_sums alone = train(s, &one, 1, 1, 1, s->ad),
                           together = train(s, &copies, 1, 1, 1, s->ad);
    assert_int_equal(together.n_tokens, 50 * alone.n_tokens);
    ASSERT_NEAR(together.loss, 50 * alone.loss, 1e-4 * fabs(50 * alone.loss));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_and_targets_are_what_brute_force_finds),
        cmocka_unit_test(rows_come_in_the_order_of_the_answers),
        cmocka_unit_test(a_full_cache_is_an_error_that_holds_no_page),
        cmocka_unit_test_setup_teardown(what_sampling_kept_gives_the_gradient_of_computing_it_again,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_is_trained_is_what_was_sampled_to_the_bit, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_tree_has_the_gradient_of_its_answers_one_by_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(equal_answers_cost_as_much_as_one, set_up, tear_down),
    };
    int failed = cmocka_run_group_tests_name("F32", tests, NULL, NULL);

#ifdef HONE_SANITIZED /* all that is rounded at once: it takes ten times as long here */
    rig_cache_tiny(KV_CACHE_Q8_0);
#else
    rig_cache_tiny(KV_CACHE_F16);
    failed += cmocka_run_group_tests_name("F16 keys and values", tests, NULL, NULL);
    rig_cache_tiny(KV_CACHE_Q8_0);
    failed += cmocka_run_group_tests_name("Q8_0 keys and values", tests, NULL, NULL);
    rig_cache_tiny(KV_CACHE_F32);
#endif
    rig_round_tiny();
    return failed + cmocka_run_group_tests_name("rounded rows", tests, NULL, NULL);
}
