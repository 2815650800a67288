/*
 * groups_test.c - which answers stand for all, and that what they stand for is right on average.
 */
#include "base/size.h"
#include "support/numbers.h"
#include "support/support.h"
#include "train/groups.h"

#include <math.h>

#define N 40 /* answers of a group */

/* A group by hand: answer s is the single token token[s] with reward[s]. */
struct made {
    struct sample samples[N];
    token_id tokens[N];
    float logprobs[N];
    bool injected[N];
    struct answer_slot slots[N];
    size_t first[N]; /* the first answer that is the same */
    struct prompt prompt;
    token_id prompt_tokens[3];
    size_t item;
    struct answers x;
};

static void make(struct made *m, const token_id *token, const double *reward)
{
    *m = (struct made){.prompt_tokens = {7, 8, 9}, .item = 5};
    for (size_t s = 0; s < N; s++) {
        m->tokens[s] = token[s];
        m->samples[s] = (struct sample){.tokens = &m->tokens[s],
                                        .logprobs = &m->logprobs[s],
                                        .injected = &m->injected[s],
                                        .n = 1,
                                        .n_drawn = 1};
        while (token[m->first[s]] != token[s])
            m->first[s]++;
        m->slots[s] = (struct answer_slot){.sample = &m->samples[s],
                                           .grade = {.reward = reward[s]},
                                           .alike = &m->first[s],
                                           .n_alike = 1};
    }
    m->prompt = (struct prompt){.tokens = m->prompt_tokens, .n = 3};
    m->x = (struct answers){
        .n_rows = 1, .n_samples = N, .items = &m->item, .prompts = &m->prompt, .slots = m->slots};
}

/* What is trained on, for a step: the sum of the coefficients of each token. */
static struct trained_groups train(struct made *m, const struct recipe *r, size_t step,
                                   struct arena *a, double *sums, size_t n_sums)
{
    struct group all[1];
    struct groups g = {.all = all};
    const struct step_metrics metrics = {.step = step, .truncated_share = 1};
    struct error err = {0};

    groups_take(r, &m->x, &g, NULL, a);
    ASSERT_OK(groups_weigh(r, &g, &err));
    const struct trained_groups t = groups_trained(r, &g, &metrics, a);
    memset(sums, 0, n_sums * sizeof *sums);
    for (size_t i = 0; t.n > 0 && i < t.all[0].n_answers; i++)
        sums[t.all[0].answers[i].tokens[0]] += (double)t.all[0].answers[i].coefficient;
    return t;
}

static struct recipe recipe_with(enum advantage_scale scale, size_t max_negatives)
{
    return (struct recipe){
        .batch_size = 1,
        .seed = 1,
        .advantage = {.scale = scale, .floor = 0.05f, .limit = 5, .spread = 1e-6f},
        .max_negatives = max_negatives};
}

/* 3 right answers, 12 times the same wrong one, 5 times another, 20 different ones of different worth. */
static void make_ordinary(struct made *m)
{
    token_id token[N];
    double reward[N];

    for (size_t s = 0; s < N; s++) {
        token[s] = s < 3 ? 0 : s < 15 ? 1 : s < 20 ? 2 : (token_id)(s - 17);
        reward[s] = s < 3 ? 1 : s < 20 ? 0 : 0.001 * (double)(s % 4);
    }
    make(m, token, reward);
}

static void few_negatives_stand_for_all_without_bias(void **state)
{
    static const enum advantage_scale scales[] = {ADVANTAGE_SCALE_MEAN, ADVANTAGE_SCALE_BATCH};
    double all[N], some[N], mean[N], frequent[N] = {0};
    struct made m;

    (void)state;
    make_ordinary(&m);
    for (size_t k = 0; k < COUNT_OF(scales); k++) {
        const struct recipe whole = recipe_with(scales[k], 0), thin = recipe_with(scales[k], 8);
        const size_t rounds = 4000;
        struct arena a = {0};

        (void)train(&m, &whole, 1, &a, all, N);
        memset(mean, 0, sizeof mean);
        memset(frequent, 0, sizeof frequent);
        for (size_t step = 1; step <= rounds; step++) {
            size_t different = 0;

            arena_reset(&a);
            (void)train(&m, &thin, step, &a, some, N);
            for (size_t t = 0; t < N; t++) {
                mean[t] += some[t] / (double)rounds;
                frequent[t] += some[t] != 0;
                different += some[t] < 0;
            }
            if (different < 7 || different > 8)
                fail_msg("%zu wrong answers are trained on, 8 at most were asked for", different);
            ASSERT_NEAR(some[0], all[0], 1e-6); /* what is above average is never left out */
        }
        /* 12 of 37 wrong answers are more than an eighth of them: always there, with their own weight */
        assert_int_equal(frequent[1], rounds);
        ASSERT_NEAR(mean[1], all[1], 1e-5 * fabs(all[1]));
        /* each of them comes with a probability of a fifth at least: 4 deviations of 4000 draws are 12 % */
        for (size_t t = 0; t < 23; t++)
            ASSERT_NEAR(mean[t], all[t], 0.12 * fabs(all[t]));
        arena_release(&a);
    }
}

static void as_many_as_there_are_are_all_taken(void **state)
{
    double all[N], some[N];
    struct arena a = {0};
    struct made m;

    (void)state;
    make_ordinary(&m);
    const struct recipe whole = recipe_with(ADVANTAGE_SCALE_MEAN, 0),
                        enough = recipe_with(ADVANTAGE_SCALE_MEAN, 22);
    (void)train(&m, &whole, 1, &a, all, N);
    (void)train(&m, &enough, 1, &a, some, N);
    for (size_t t = 0; t < N; t++)
        assert_true(all[t] == some[t]);
    arena_release(&a);
}

static void an_answer_a_step_is_computed_anew(void **state)
{
    double sums[N];
    struct arena a = {0};
    struct made m;

    (void)state;
    make_ordinary(&m);
    const struct recipe r = recipe_with(ADVANTAGE_SCALE_MEAN, 8);
    const struct trained_groups t = train(&m, &r, 3, &a, sums, N);
    assert_int_equal(t.n, 1);
    assert_ptr_equal(t.all[0].anew, &t.all[0].answers[3 % t.all[0].n_answers]);
    assert_ptr_equal(t.from[0]->x, &m.x);
    assert_true(t.n_tokens == N);
    arena_release(&a);
}

static void a_group_without_spread_is_not_trained_on(void **state)
{
    double sums[N];
    struct arena a = {0};
    struct made m;

    (void)state;
    make_ordinary(&m);
    for (size_t s = 0; s < N; s++)
        m.slots[s].grade.reward = 0.5;
    const struct recipe r = recipe_with(ADVANTAGE_SCALE_MEAN, 8);
    assert_int_equal(train(&m, &r, 1, &a, sums, N).n, 0);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_negatives_stand_for_all_without_bias),
        cmocka_unit_test(as_many_as_there_are_are_all_taken),
        cmocka_unit_test(an_answer_a_step_is_computed_anew),
        cmocka_unit_test(a_group_without_spread_is_not_trained_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
