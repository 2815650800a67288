/*
 * advantage_test.c - an answer is weighed against the others of its group, on the batch's scale.
 */
#include "base/size.h"
#include "support/numbers.h"
#include "train/advantage.h"

#include <math.h>

#define MOST 64

static struct advantage_options unclipped(enum advantage_scale scale)
{
    struct advantage_options o = advantage_defaults();

    o.scale = scale;
    o.floor = 1e-6f;
    o.limit = 1e6f;
    return o;
}

static struct advantage_options with_batch_scale(void)
{
    struct advantage_options o = advantage_defaults();

    o.scale = ADVANTAGE_SCALE_BATCH;
    return o;
}

static void weigh(const struct advantage_options *o, size_t n, size_t g, const float *reward,
                  const bool *kept, float *advantage)
{
    struct error err = {0};

    ASSERT_OK(advantage_of_groups(o, n, g, reward, kept, advantage, &err));
}

static const bool all_kept[MOST] = {true, true, true, true, true, true, true, true,
                                    true, true, true, true, true, true, true, true};

static void the_defaults_are_those_of_the_header(void **state)
{
    const struct advantage_options o = advantage_defaults();

    (void)state;
    assert_int_equal(o.scale, ADVANTAGE_SCALE_MEAN);
    assert_true(o.floor == 0.05f && o.limit == 5 && o.spread == 1e-6f);
}

static void an_answer_is_compared_with_the_mean_of_the_others(void **state)
{
    const struct advantage_options o = unclipped(ADVANTAGE_SCALE_NONE);
    struct dice d = {1};
    float reward[MOST], advantage[MOST];

    (void)state;
    for (size_t g = 2; g <= 16; g++) {
        const size_t n = 4;

        dice_fill(&d, ORDINARY, reward, n * g);
        weigh(&o, n, g, reward, all_kept, advantage);
        for (size_t i = 0; i < n * g; i++) {
            double others = 0;

            for (size_t j = i / g * g; j < (i / g + 1) * g; j++)
                others += j == i ? 0 : (double)reward[j];
            ASSERT_NEAR(advantage[i], (double)reward[i] - others / (double)(g - 1), 1e-6);
        }
    }
}

static void the_batch_s_deviation_over_kept_groups_divides(void **state)
{
    const struct advantage_options o = unclipped(ADVANTAGE_SCALE_BATCH),
                                   raw = unclipped(ADVANTAGE_SCALE_NONE);
    struct dice d = {2};
    float reward[MOST], advantage[MOST], difference[MOST];

    (void)state;
    for (int round = 0; round < 100; round++) {
        const size_t g = 2 + dice_below(&d, 6), n = 1 + dice_below(&d, 8);
        bool kept[8];
        double squares = 0;
        size_t n_kept = 0;

        dice_fill(&d, ORDINARY, reward, n * g);
        for (size_t i = 0; i < n; i++)
            kept[i] = i == 0 || dice_below(&d, 3) > 0;
        weigh(&raw, n, g, reward, kept, difference);
        for (size_t i = 0; i < n * g; i++) {
            if (!kept[i / g])
                continue;
            squares += (double)difference[i] * (double)difference[i];
            n_kept++;
        }
        weigh(&o, n, g, reward, kept, advantage);
        for (size_t i = 0; i < n * g; i++) {
            const double want =
                kept[i / g] ? (double)difference[i] / sqrt(squares / (double)n_kept) : 0;

            ASSERT_NEAR(advantage[i], want, 1e-5 * (1 + fabs(want)));
        }
    }
}

static void a_group_s_own_deviation_divides_where_that_is_asked_for(void **state)
{
    const struct advantage_options o = unclipped(ADVANTAGE_SCALE_GROUP);
    const float reward[] = {0, 1, 0, 1, 0, 100, 0, 100};
    float advantage[8];

    (void)state;
    weigh(&o, 2, 4, reward, all_kept, advantage);
    for (size_t i = 0; i < 8; i++)
        ASSERT_NEAR(advantage[i], i % 2 == 0 ? -1 : 1, 1e-6);
}

static void the_mean_reward_divides_where_its_logarithm_is_to_grow(void **state)
{
    const struct advantage_options o = {.scale = ADVANTAGE_SCALE_MEAN, .limit = 5, .floor = 0.05f};
    float reward[64] = {0}, advantage[64];

    (void)state;
    reward[5] = reward[40] =
        1; /* two of 64 are right: a = 64/63 (r - 1/32) / (1/32), beyond the limit of other scales */
    weigh(&o, 1, 64, reward, all_kept, advantage);
    for (size_t i = 0; i < 64; i++)
        ASSERT_NEAR(advantage[i], 64.0 / 63 * (reward[i] > 0 ? 31 : -1), 1e-5);
}

/* The group's estimate of d ln E[r] / d logit_k of a softmax policy is the derivative itself, on average over groups. */
static void it_is_the_derivative_of_the_logarithm_as_groups_grow(void **state)
{
    static const double p[] = {0.55, 0.25, 0.15, 0.05}, r[] = {0.1, 0, 0.3, 1};
    const struct advantage_options o = {.scale = ADVANTAGE_SCALE_MEAN, .limit = 5, .floor = 0.05f};
    const size_t g = 512, rounds = 400;
    double mean = 0, got[4] = {0};
    struct dice d = {9};

    (void)state;
    for (size_t k = 0; k < 4; k++)
        mean += p[k] * r[k];
    for (size_t round = 0; round < rounds; round++) {
        float reward[512], advantage[512];
        size_t which[512];

        for (size_t i = 0; i < g; i++) {
            double u = (double)dice_float(&d, 0, 1);

            which[i] = 0;
            while (which[i] < 3 && u >= p[which[i]])
                u -= p[which[i]++];
            reward[i] = (float)r[which[i]];
        }
        weigh(&o, 1, g, reward, all_kept, advantage);
        for (size_t i = 0; i < g; i++)
            for (size_t k = 0; k < 4; k++) /* d ln p(i) / d logit_k */
                got[k] += (double)advantage[i] * ((which[i] == k) - p[k]) / (double)(g * rounds);
    }
    for (size_t k = 0; k < 4; k++)
        ASSERT_NEAR(got[k], p[k] * (r[k] - mean) / mean, 0.01);
}

static void rewards_below_nothing_are_raised_first(void **state)
{
    const struct advantage_options o = {.scale = ADVANTAGE_SCALE_MEAN, .limit = 5, .floor = 0.05f};
    const float reward[] = {-1, 0, 1, -1}, raised[] = {0, 1, 2, 0};
    float advantage[4], want[4];

    (void)state;
    weigh(&o, 1, 4, reward, all_kept, advantage);
    weigh(&o, 1, 4, raised, all_kept, want);
    for (size_t i = 0; i < 4; i++)
        ASSERT_NEAR(advantage[i], want[i], 1e-6);
}

static void neither_an_offset_nor_a_factor_of_all_rewards_matters(void **state)
{
    const struct advantage_options o = unclipped(ADVANTAGE_SCALE_BATCH);
    struct dice d = {3};
    float reward[32], moved[32], advantage[32], again[32];

    (void)state;
    dice_fill(&d, ORDINARY, reward, 32);
    for (size_t i = 0; i < 4; i++)
        for (size_t j = i * 8; j < (i + 1) * 8; j++)
            moved[j] = 3 * reward[j] + (float)i; /* and each group has an offset of its own */
    weigh(&o, 4, 8, reward, all_kept, advantage);
    weigh(&o, 4, 8, moved, all_kept, again);
    assert_true(largest_difference(32, again, advantage) < 1e-5);
}

static void a_small_deviation_is_not_blown_up(void **state)
{
    struct advantage_options o = with_batch_scale();
    const float reward[] = {0.5f, 0.5f + 0x1p-10f};
    float advantage[2];

    (void)state;
    weigh(&o, 1, 2, reward, all_kept, advantage);
    ASSERT_NEAR(advantage[1], 0x1p-10 / 0.05, 1e-6);
    o.scale = ADVANTAGE_SCALE_GROUP;
    weigh(&o, 1, 2, reward, all_kept, advantage);
    ASSERT_NEAR(advantage[1], 0x1p-10 / 0.05, 1e-6);
}

static void an_advantage_is_clipped_at_its_limit(void **state)
{
    struct advantage_options o = with_batch_scale();
    float reward[64] = {0}, advantage[64];

    (void)state;
    reward[0] = 1; /* one in sixty-four: some eight deviations */
    reward[63] = -1;
    weigh(&o, 2, 32, reward, all_kept, advantage);
    assert_true(advantage[0] == 5 && advantage[63] == -5);
    assert_true(advantage[1] < 0 && advantage[1] > -1);
    o.limit = 0.5f;
    weigh(&o, 2, 32, reward, all_kept, advantage);
    assert_true(advantage[0] == 0.5f && advantage[63] == -0.5f);
}

static void a_flat_group_is_not_kept(void **state)
{
    const struct advantage_options o = with_batch_scale();
    const float flat[] = {0.3f, 0.3f, 0.3f}, nearly[] = {1, 1 + 0x1p-23f, 1},
                apart[] = {1, 1.00001f, 1}, late[] = {0, 0, 0, 0, 0, 1}, one[] = {7};

    (void)state;
    assert_false(advantage_group_is_kept(&o, 3, flat));
    assert_false(advantage_group_is_kept(&o, 3, nearly));
    assert_true(advantage_group_is_kept(&o, 3, apart));
    assert_true(advantage_group_is_kept(&o, 6, late));
    assert_false(advantage_group_is_kept(&o, 1, one));
}

static void a_group_that_is_not_kept_gets_zeros(void **state)
{
    const struct advantage_options o = with_batch_scale();
    const float reward[] = {1, 2, 3, 4};
    const bool kept[] = {false, true}, none[] = {false, false};
    float advantage[4] = {9, 9, 9, 9};

    (void)state;
    weigh(&o, 2, 2, reward, kept, advantage);
    assert_true(advantage[0] == 0 && advantage[1] == 0);
    assert_true(advantage[2] == -1 && advantage[3] == 1);
    weigh(&o, 2, 2, reward, none, advantage);
    for (size_t i = 0; i < 4; i++)
        assert_true(advantage[i] == 0);
    weigh(&o, 0, 2, reward, none, advantage);
}

static void a_group_s_advantages_sum_to_nothing(void **state)
{
    const struct advantage_options o = unclipped(ADVANTAGE_SCALE_BATCH);
    struct dice d = {4};
    float reward[60], advantage[60];

    (void)state;
    dice_fill(&d, ORDINARY, reward, 60);
    weigh(&o, 6, 10, reward, all_kept, advantage);
    for (size_t i = 0; i < 6; i++) {
        double sum = 0;

        for (size_t j = 0; j < 10; j++)
            sum += (double)advantage[i * 10 + j];
        ASSERT_NEAR(sum, 0, 1e-5);
    }
}

static void a_single_answer_is_refused(void **state)
{
    const struct advantage_options o = with_batch_scale();
    const float reward[] = {1, 2};
    float advantage[2] = {7, 7};
    struct error err = {0};

    (void)state;
    ASSERT_FAILS(advantage_of_groups(&o, 2, 1, reward, all_kept, advantage, &err), ERR_INVALID,
                 "a group of 1");
    assert_true(advantage[0] == 7 && advantage[1] == 7);
}

static void a_reward_that_is_no_number_is_refused_by_its_place(void **state)
{
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    const struct advantage_options o = with_batch_scale();
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        float reward[6] = {1, 2, 3, 4, 5, 6}, advantage[6] = {7, 7, 7, 7, 7, 7};

        reward[4] = bad[i];
        ASSERT_FAILS(advantage_of_groups(&o, 2, 3, reward, all_kept, advantage, &err), ERR_INVALID,
                     "reward 1 of group 1");
        for (size_t j = 0; j < 6; j++)
            assert_true(advantage[j] == 7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_those_of_the_header),
        cmocka_unit_test(an_answer_is_compared_with_the_mean_of_the_others),
        cmocka_unit_test(the_batch_s_deviation_over_kept_groups_divides),
        cmocka_unit_test(a_group_s_own_deviation_divides_where_that_is_asked_for),
        cmocka_unit_test(the_mean_reward_divides_where_its_logarithm_is_to_grow),
        cmocka_unit_test(it_is_the_derivative_of_the_logarithm_as_groups_grow),
        cmocka_unit_test(rewards_below_nothing_are_raised_first),
        cmocka_unit_test(neither_an_offset_nor_a_factor_of_all_rewards_matters),
        cmocka_unit_test(a_small_deviation_is_not_blown_up),
        cmocka_unit_test(an_advantage_is_clipped_at_its_limit),
        cmocka_unit_test(a_flat_group_is_not_kept),
        cmocka_unit_test(a_group_that_is_not_kept_gets_zeros),
        cmocka_unit_test(a_group_s_advantages_sum_to_nothing),
        cmocka_unit_test(a_single_answer_is_refused),
        cmocka_unit_test(a_reward_that_is_no_number_is_refused_by_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
