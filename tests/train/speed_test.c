/*
 * speed_test.c - what is measured is what was asked for, the same work each time; never how fast.
 */
#include "support/rig.h"
#include "train/speed.h"

#include <string.h>

struct setting {
    struct rig rig;
    struct engine *engine;
    struct speed *speed;
    atomic_bool stop;
};

static struct error err;

static int set_up(void **state)
{
    static struct setting s;

    s = (struct setting){0};
    rig_open_tiny(&s.rig);
    const struct engine_options eo = engine_defaults(s.rig.model);
    ASSERT_OK(
        engine_open(s.rig.model, model_files_tokenizer(s.rig.model->files), &eo, &s.engine, &err));
    const struct speed_inputs in = {
        .model = s.rig.model, .engine = s.engine, .seed = 1, .stop = &s.stop};
    ASSERT_OK(speed_open(&in, &s.speed, &err));
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    struct setting *s = *state;

    assert_int_equal(kv_pool_pages_in_use(engine_pool(s->engine)), 0);
    speed_close(s->speed);
    engine_close(s->engine);
    rig_close(&s->rig);
    return 0;
}

static struct speed_time measure(struct setting *s, enum speed_part part, struct speed_case k)
{
    struct speed_time t = {0};

    ASSERT_OK(speed_measure(s->speed, part, &k, &t, &err));
    assert_true(t.seconds > 0);
    return t;
}

static void tokens_are_those_that_were_asked_for(void **state)
{
    struct speed_time t = measure(*state, SPEED_PREFILL, (struct speed_case){1, 40, 1, 1});

    assert_int_equal(t.tokens, 40);
    assert_int_equal(t.rows, 40);
    t = measure(*state, SPEED_SAMPLE, (struct speed_case){1, 20, 6, 9});
    assert_int_equal(t.tokens, 6 * 8); /* the first ones come of the prompt */
    assert_in_range(t.rows, 20 + 8, 20 + 6 * 8);
    t = measure(*state, SPEED_TRAIN, (struct speed_case){3, 1, 1, 30});
    assert_int_equal(t.tokens, 3 * 30);
    assert_int_equal(t.rows, 3 * 30);
    t = measure(*state, SPEED_STEP, (struct speed_case){2, 10, 4, 7});
    assert_int_equal(t.tokens, 2 * 4 * 7);
}

/* The same answers, behind prompts of their own and behind a common one. */
static void a_prompt_that_is_shared_is_computed_once(void **state)
{
    const struct speed_time apart = measure(*state, SPEED_TRAIN, (struct speed_case){4, 40, 1, 20}),
                            shared =
                                measure(*state, SPEED_TRAIN, (struct speed_case){1, 40, 4, 20});

    assert_int_equal(apart.tokens, 4 * 20);
    assert_int_equal(shared.tokens, 4 * 20);
    assert_int_equal(apart.rows, 4 * (40 + 19));
    assert_in_range(shared.rows, 40 + 19, 40 + 4 * 19);
}

static void a_step_has_three_parts_that_are_within_it(void **state)
{
    const struct speed_time t = measure(*state, SPEED_STEP, (struct speed_case){2, 10, 4, 7});

    assert_true(t.sampling_s > 0 && t.training_s > 0 && t.update_s > 0);
    assert_true(t.sampling_s + t.training_s + t.update_s <= t.seconds);
}

static void what_was_drawn_is_trained_on_with_the_same_probabilities(void **state)
{
    for (int i = 0; i < 3; i++)
        ASSERT_NEAR(measure(*state, SPEED_STEP, (struct speed_case){2, 10, 4, 7}).max_dlogp, 0, 0);
}

static void every_round_does_the_same_work(void **state)
{
    const struct speed_case k = {2, 12, 5, 20};
    const size_t first = measure(*state, SPEED_STEP, k).rows;

    (void)measure(*state, SPEED_TRAIN, (struct speed_case){2, 1, 1, 30});
    for (int i = 0; i < 3; i++)
        assert_int_equal(measure(*state, SPEED_STEP, k).rows, first);
}

static void what_does_not_fit_the_model_is_refused(void **state)
{
    const struct setting *s = *state;
    const struct speed_case k = {1, 500, 2, 13};
    struct speed_time t;

    ASSERT_FAILS(speed_check(s->rig.model, SPEED_STEP, &k, &err), ERR_LIMIT,
                 "step: a prompt of 500 and an answer of 13 tokens do not fit the 512 positions");
    ASSERT_FAILS(speed_measure(s->speed, SPEED_TRAIN, &k, &t, &err), ERR_LIMIT, "train: ");
    (void)measure(*state, SPEED_SAMPLE, (struct speed_case){1, 500, 2, 12});
}

static void a_stop_ends_sampling_and_training(void **state)
{
    struct setting *s = *state;
    struct speed_time t;

    atomic_store(&s->stop, true);
    for (int p = 0; p < N_SPEED_PARTS; p++) {
        const struct speed_case k = {2, 5, 2, 6};

        ASSERT_FAILS(speed_measure(s->speed, (enum speed_part)p, &k, &t, &err), ERR_CANCELLED,
                     "stopped on request");
    }
}

static void the_parts_have_names_and_sizes(void **state)
{
    (void)state;
    for (int p = 0; p < N_SPEED_PARTS; p++) {
        const struct speed_case k = speed_defaults((enum speed_part)p);

        assert_true(strlen(speed_part_name((enum speed_part)p)) > 0);
        assert_true(k.n_prompts > 0 && k.prompt_tokens > 0 && k.n_answers > 0);
        assert_true(k.answer_tokens > (p == SPEED_SAMPLE));
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(tokens_are_those_that_were_asked_for),
        TEST(a_prompt_that_is_shared_is_computed_once),
        TEST(a_step_has_three_parts_that_are_within_it),
        TEST(what_was_drawn_is_trained_on_with_the_same_probabilities),
        TEST(every_round_does_the_same_work),
        TEST(what_does_not_fit_the_model_is_refused),
        TEST(a_stop_ends_sampling_and_training),
        TEST(the_parts_have_names_and_sizes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
