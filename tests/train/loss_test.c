/*
 * loss_test.c - the loss and its gradient against the formula of loss.h in double, by central differences.
 */
#include "support/support.h"
#include "train/loss.h"

#include <math.h>
#include <stdlib.h>

struct world {
    struct arena a;
    struct model *model;
    struct engine *engine;
    struct train_tree tree;
    float *hidden, *d_hidden;
    double *embed; /* [V, C] */
};

static const token_id prompt[] = {5, 9, 14}, first[] = {20, 21, 2}, second[] = {20, 30},
                      third[] = {40, 2};
static const float unset[3];

static int open_world(void **state)
{
    struct world *w = calloc(1, sizeof *w);
    struct error err;
    const struct tree_answer answers[] = {
        {.tokens = first, .logprobs = unset, .n = 3, .coefficient = 1.5f},
        {.tokens = second, .logprobs = unset, .n = 2, .coefficient = -0.75f},
        {.tokens = second, .logprobs = unset, .n = 2, .coefficient = -0.25f},
        {.tokens = third, .logprobs = unset, .n = 2, .coefficient = 0.5f},
    };
    const struct tree_group group = {
        .prompt = prompt, .n_prompt = 3, .answers = answers, .n_answers = 4};

    ASSERT_OK(model_open(golden_path(&w->a, "tiny/hf"), 64, &w->model, &err));
    const struct engine_options eo = engine_defaults(w->model);
    ASSERT_OK(engine_open(w->model, model_files_tokenizer(w->model->files), &eo, &w->engine, &err));
    ASSERT_OK(tree_build(&group, 1, engine_pool(w->engine), &w->a, &w->tree, &err));
    const size_t c = w->model->config.width, v = w->model->config.vocab;
    w->hidden = ARENA_ARRAY(&w->a, float, w->tree.m *c);
    w->d_hidden = ARENA_ARRAY(&w->a, float, w->tree.m *c);
    for (size_t i = 0; i < w->tree.m * c; i++)
        w->hidden[i] = 4 * philox_uniform(1, PHILOX_TEST, (uint32_t)i, 0, 0, 0) - 2;
    w->embed = ARENA_ARRAY(&w->a, double, v *c);
    float *row = ARENA_ARRAY(&w->a, float, c);
    for (size_t i = 0; i < v; i++) {
        dtype_to_f32(w->model->embed.dtype, matrix_row(&w->model->embed, i), c, row);
        for (size_t j = 0; j < c; j++)
            w->embed[i * c + j] = (double)row[j];
    }
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;

    tree_release(&w->tree, engine_pool(w->engine));
    engine_close(w->engine);
    model_close(w->model);
    arena_release(&w->a);
    free(w);
    return 0;
}

/* The formula, for rows' hidden states in double. */
static double loss_of(const struct world *w, const struct loss_options *opt, const double *hidden)
{
    const size_t c = w->model->config.width, v = w->model->config.vocab;
    double *logits = malloc(v * sizeof *logits), loss = 0;

    for (size_t r = 0; r < w->tree.m; r++) {
        double max = -HUGE_VAL, total = 0, entropy = 0, count = 0;

        for (size_t i = 0; i < v; i++) {
            logits[i] = 0;
            for (size_t j = 0; j < c; j++)
                logits[i] += w->embed[i * c + j] * hidden[r * c + j];
            logits[i] *= (double)opt->inv_t;
            max = fmax(max, logits[i]);
        }
        for (size_t i = 0; i < v; i++)
            total += exp(logits[i] - max);
        for (size_t i = 0; i < v; i++) {
            const double lp = logits[i] - max - log(total);

            entropy -= exp(lp) * lp;
        }
        for (size_t k = 0; k < w->tree.n_targets; k++) {
            const struct target *t = &w->tree.targets[k];

            if (t->row != r)
                continue;
            loss -= (double)t->coefficient * (logits[t->id] - max - log(total)) / opt->n;
            count += t->count;
        }
        loss -= (double)opt->entropy_bonus * count * entropy / opt->n;
    }
    free(logits);
    return loss;
}

static void check(struct world *w, const struct loss_options *opt, size_t logit_rows)
{
    const size_t n = w->tree.m * w->model->config.width;
    struct loss_sums sums = {0};
    size_t most, ld;
    float *logits = engine_logits(w->engine, &most, &ld);
    double *h = malloc(n * sizeof *h);

    loss_back(w->model, false, &w->tree, opt, w->hidden, logits, logit_rows, ld, w->d_hidden,
              &sums);
    for (size_t i = 0; i < n; i++)
        h[i] = (double)w->hidden[i];
    ASSERT_NEAR(sums.loss - (double)opt->entropy_bonus * sums.entropy / opt->n, loss_of(w, opt, h),
                1e-5);
    for (size_t i = 0; i < n; i++) {
        const double at = h[i], e = 1e-5;

        h[i] = at + e;
        const double up = loss_of(w, opt, h);
        h[i] = at - e;
        const double down = loss_of(w, opt, h);
        h[i] = at;
        ASSERT_NEAR(w->d_hidden[i], (up - down) / (2 * e), 2e-5);
    }
    free(h);
}

static void the_gradient_is_the_derivative_of_the_loss(void **state)
{
    check(*state, &(struct loss_options){.inv_t = 1, .n = 9}, 64);
}

static void temperature_divides_the_logits(void **state)
{
    check(*state, &(struct loss_options){.inv_t = 1 / 0.7f, .n = 9}, 64);
}

static void an_entropy_bonus_pays_for_spread(void **state)
{
    check(*state, &(struct loss_options){.inv_t = 1, .n = 9, .entropy_bonus = 0.3f}, 64);
}

static void a_few_rows_at_a_time_give_the_same_bits(void **state)
{
    struct world *w = *state;
    const size_t n = w->tree.m * w->model->config.width;
    const struct loss_options opt = {.inv_t = 1, .n = 9, .entropy_bonus = 0.1f};
    struct loss_sums whole = {0}, parts = {0};
    float *once = ARENA_ARRAY(&w->a, float, n);
    size_t most, ld;
    float *logits = engine_logits(w->engine, &most, &ld);

    loss_back(w->model, false, &w->tree, &opt, w->hidden, logits, most, ld, once, &whole);
    loss_back(w->model, false, &w->tree, &opt, w->hidden, logits, 1, ld, w->d_hidden, &parts);
    assert_memory_equal(once, w->d_hidden, n * sizeof *once);
    assert_true(whole.loss == parts.loss && whole.n_tokens == parts.n_tokens);
    assert_int_equal(whole.n_tokens, 9);
}

static void equal_answers_are_one_target(void **state)
{
    struct world *w = *state;
    size_t merged = 0;

    /* the prompt's end: 20 (three times) and 40; after 20: 21 and 30 (twice); after 20 21: 2; after 40: 2 */
    assert_int_equal(w->tree.n_targets, 6);
    assert_int_equal(w->tree.m, 3 + 2 + 1);
    for (size_t k = 0; k < w->tree.n_targets; k++) {
        const struct target *t = &w->tree.targets[k];

        if (t->id == 20) {
            merged++;
            assert_int_equal(t->count, 3);
            ASSERT_NEAR(t->coefficient, 0.5, 1e-7);
        }
    }
    assert_int_equal(merged, 1);
}

static void kl_is_zero_where_nothing_moved_and_never_below(void **state)
{
    struct world *w = *state;
    const struct loss_options opt = {.inv_t = 1, .n = 9};
    struct loss_sums sums = {0};
    size_t most, ld;
    float *logits = engine_logits(w->engine, &most, &ld);

    loss_back(w->model, false, &w->tree, &opt, w->hidden, logits, most, ld, w->d_hidden, &sums);
    assert_true(sums.max_dlogp > 1); /* the tree said 0 for each: that is seen */
    for (size_t k = 0; k < w->tree.n_targets; k++)
        w->tree.targets[k].sampled = w->tree.targets[k].logp;
    assert_true(loss_kl(w->model, &w->tree, 1, w->hidden, logits, most, ld) == 0);
    for (size_t i = 0; i < w->tree.m * w->model->config.width; i++)
        w->hidden[i] *= 1.3f;
    assert_true(loss_kl(w->model, &w->tree, 1, w->hidden, logits, most, ld) > 0);
}

int main(void)
{
#define LAW(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        LAW(the_gradient_is_the_derivative_of_the_loss),
        LAW(temperature_divides_the_logits),
        LAW(an_entropy_bonus_pays_for_spread),
        LAW(a_few_rows_at_a_time_give_the_same_bits),
        LAW(equal_answers_are_one_target),
        LAW(kl_is_zero_where_nothing_moved_and_never_below),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
