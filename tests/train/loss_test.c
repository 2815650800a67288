/*
 * loss_test.c - the loss and its gradient against the formula of loss.h in double, by central differences.
 */
#include "sample/rules.h"
#include "support/support.h"
#include "text/json_schema.h"
#include "train/loss.h"

#include <math.h>
#include <stdlib.h>

struct world {
    struct arena a;
    struct model *model;
    struct engine *engine;
    struct tree_group group;
    struct train_tree tree;
    float *hidden, *d_hidden;
    double *embed; /* [V, C] */
    const struct constraint
        *held; /* what the answers are held to, and scratch for asking; or NULL */
    struct constraint_scratch scratch;
};

static const token_id prompt[] = {5, 9, 14}, first[] = {20, 21, 2}, second[] = {20, 30},
                      third[] = {40, 2};
static const float unset[3];

static struct world *world_of_model(void)
{
    struct world *w = calloc(1, sizeof *w);
    struct error err;

    ASSERT_OK(model_open(golden_path(&w->a, "tiny/hf"), 64, &w->model, &err));
    const struct engine_options eo = engine_defaults(w->model);
    ASSERT_OK(engine_open(w->model, model_files_tokenizer(w->model->files), &eo, &w->engine, &err));
    const size_t c = w->model->config.width, v = w->model->config.vocab;
    w->embed = ARENA_ARRAY(&w->a, double, v *c);
    float *row = ARENA_ARRAY(&w->a, float, c);
    for (size_t i = 0; i < v; i++) {
        dtype_to_f32(w->model->embed.dtype, matrix_row(&w->model->embed, i), c, row);
        for (size_t j = 0; j < c; j++)
            w->embed[i * c + j] = (double)row[j];
    }
    return w;
}

/* Hidden states are random. */
static void grow_tree(struct world *w, const struct tree_group *group)
{
    struct error err;

    w->group = *group;
    w->group.prompt = prompt;
    w->group.n_prompt = 3;
    ASSERT_OK(tree_build(&w->group, 1, engine_pool(w->engine), &w->a, &w->tree, &err));
    const size_t n = w->tree.m * w->model->config.width;
    w->hidden = ARENA_ARRAY(&w->a, float, n);
    w->d_hidden = ARENA_ARRAY(&w->a, float, n);
    for (size_t i = 0; i < n; i++)
        w->hidden[i] = 4 * philox_uniform(1, PHILOX_TEST, (uint32_t)i, 0, 0, 0) - 2;
}

static int open_world(void **state)
{
    static const struct tree_answer answers[] = {
        {.tokens = first, .logprobs = unset, .n = 3, .coefficient = 1.5f},
        {.tokens = second, .logprobs = unset, .n = 2, .coefficient = -0.75f},
        {.tokens = second, .logprobs = unset, .n = 2, .coefficient = -0.25f},
        {.tokens = third, .logprobs = unset, .n = 2, .coefficient = 0.5f},
    };
    struct world *w = world_of_model();

    grow_tree(w, &(struct tree_group){.answers = answers, .n_answers = 4});
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

/* Which tokens the form lets follow what an answer has before the target: each is asked for alone. */
static void allowed_of(struct world *w, const struct target *t, bool *allowed)
{
    const struct tree_answer *a = &t->group->answers[t->answer];
    struct grammar_state before, after;

    grammar_begin(&before);
    for (size_t i = 0; i < t->at; i++)
        assert_true(constraint_accepts(w->held, &w->scratch, &before, a->tokens[i]));
    for (size_t i = 0; i < w->model->config.vocab; i++) {
        after = before;
        allowed[i] = constraint_accepts(w->held, &w->scratch, &after, (token_id)i);
    }
}

/* The formula, for rows' hidden states in double. */
static double loss_of(struct world *w, const struct loss_options *opt, const double *hidden)
{
    const size_t c = w->model->config.width, v = w->model->config.vocab;
    double *logits = malloc(v * sizeof *logits), loss = 0;
    bool *allowed = malloc(v * sizeof *allowed);

    for (size_t r = 0; r < w->tree.m; r++) {
        double max = -HUGE_VAL, total = 0, entropy = 0, count = 0;

        memset(allowed, true, v * sizeof *allowed);
        for (size_t k = 0; k < w->tree.n_targets && w->held != NULL; k++)
            if (w->tree.targets[k].row == r) {
                allowed_of(w, &w->tree.targets[k], allowed);
                break;
            }
        for (size_t i = 0; i < v; i++) {
            logits[i] = 0;
            for (size_t j = 0; j < c; j++)
                logits[i] += w->embed[i * c + j] * hidden[r * c + j];
            if (w->model->config.logit_cap > 0)
                logits[i] =
                    w->model->config.logit_cap * tanh(logits[i] / w->model->config.logit_cap);
            logits[i] *= (double)opt->inv_t;
            if (allowed[i])
                max = fmax(max, logits[i]);
        }
        for (size_t i = 0; i < v; i++)
            if (allowed[i])
                total += exp(logits[i] - max);
        for (size_t i = 0; i < v; i++) {
            const double lp = logits[i] - max - log(total);

            if (allowed[i])
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
    free(allowed);
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

static void a_cap_of_logits_is_part_of_the_derivative(void **state)
{
    struct world *w = *state;

    w->model->config.logit_cap = 2;
    check(w, &(struct loss_options){.inv_t = 1 / 0.7f, .n = 9, .entropy_bonus = 0.3f}, 64);
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

/* Answers that a form let through: probabilities are of what it allows, and nothing pulls at what it does not. */
static void what_a_form_rules_out_has_no_part(void **state)
{
    static const char *const texts[] = {"[\"a\",\"b\"]", "[\"b\"]", "[\"a\"]"};
    struct tree_answer answers[3];
    struct vocabulary *v = NULL;
    struct constraint *c = NULL;
    struct grammar *g = NULL;
    json_t *schema = NULL;
    struct error err;
    const struct thinking_options none = {0};

    (void)state;
    struct world *w = world_of_model();
    const struct model_config *config = &w->model->config;
    const struct tokenizer *t = model_files_tokenizer(w->model->files);
    ASSERT_OK(json_parse(
        STR("{\"type\":\"array\",\"maxItems\":2,\"items\":{\"enum\":[\"a\",\"b\",\"ab\"]}}"),
        "a schema", &schema, &err));
    ASSERT_OK(json_schema_grammar(schema, "schema", &g, &err));
    ASSERT_OK(vocabulary_open(t, config->vocab, config->eos, config->n_eos, &v, &err));
    ASSERT_OK(constraint_open(g, v, &c, &err));
    ASSERT_OK(constraint_scratch_open(&w->scratch, c, &err));
    const struct answer_rules rules =
        answer_rules_of(config, t, &none, c, NULL, &w->scratch, &w->a);
    for (size_t i = 0; i < 3; i++) {
        struct token_list ids = {0};

        ASSERT_OK(tokenizer_encode(t, str_of(texts[i]), false, &ids, &err));
        token_list_put(&ids, config->eos[0]);
        answers[i] = (struct tree_answer){.tokens = ids.ids,
                                          .logprobs = ARENA_ARRAY(&w->a, float, ids.n),
                                          .n = ids.n,
                                          .coefficient = 1.5f - (float)i};
    }
    w->held = c;
    grow_tree(w, &(struct tree_group){.answers = answers, .n_answers = 3, .rules = &rules});
    check(w, &(struct loss_options){.inv_t = 1 / 0.8f, .n = 20, .entropy_bonus = 0.2f}, 64);
    check(w, &(struct loss_options){.inv_t = 1, .n = 20}, 2);
    for (size_t k = 0; k < w->tree.n_targets; k++)
        assert_true(w->tree.targets[k].logp > -20); /* allowed, all of them */
    for (size_t i = 0; i < 3; i++)
        free((void *)(uintptr_t)answers[i].tokens);
    constraint_scratch_close(&w->scratch);
    constraint_close(c);
    vocabulary_close(v);
    json_decref(schema);
    close_world((void *[]){w});
}

int main(void)
{
#define LAW(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
    const struct CMUnitTest tests[] = {
        LAW(the_gradient_is_the_derivative_of_the_loss),
        LAW(temperature_divides_the_logits),
        LAW(an_entropy_bonus_pays_for_spread),
        LAW(a_cap_of_logits_is_part_of_the_derivative),
        LAW(a_few_rows_at_a_time_give_the_same_bits),
        LAW(equal_answers_are_one_target),
        LAW(kl_is_zero_where_nothing_moved_and_never_below),
        cmocka_unit_test(what_a_form_rules_out_has_no_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
