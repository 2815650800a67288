/*
 * limits_test.c - buckets and requests at once.
 */
#include "server/limits.h"
#include "support/support.h"

#include <stdio.h>

static int setup(void **state)
{
    *state = limits_open();
    return 0;
}

static int teardown(void **state)
{
    limits_close(*state);
    return 0;
}

static void a_minutes_worth_goes_at_once_and_comes_back_evenly(void **state)
{
    struct limits *l = *state;
    struct limit_state s;
    struct error err = {0};

    for (int i = 0; i < 60; i++) {
        ASSERT_OK(limits_take(l, "k", 60, 0, 100, &s, &err));
        assert_int_equal(s.remaining, 59 - i);
    }
    assert_int_equal(s.per_minute, 60);
    ASSERT_NEAR(s.reset_s, 60, 1e-9);
    ASSERT_FAILS(limits_take(l, "k", 60, 0, 100.25, &s, &err), ERR_LIMIT, "60 requests");
    assert_string_equal(err.code, "rate_limit_exceeded");
    ASSERT_NEAR(s.retry_after_s, 0.75, 1e-9);
    assert_int_equal(s.remaining, 0);
    ASSERT_OK(limits_take(l, "k", 60, 0, 101, &s, &err));
    ASSERT_FAILS(limits_take(l, "k", 60, 0, 101, &s, &err), ERR_LIMIT, "");
    ASSERT_OK(limits_take(l, "k", 60, 0, 1000, &s, &err)); /* full again, and no fuller */
    assert_int_equal(s.remaining, 59);
}

static void what_is_refused_costs_nothing(void **state)
{
    struct limits *l = *state;
    struct limit_state s;
    struct error err = {0};

    ASSERT_OK(limits_take(l, "k", 1, 0, 0, &s, &err));
    for (int i = 1; i < 50; i++)
        ASSERT_FAILS(limits_take(l, "k", 1, 0, i, &s, &err), ERR_LIMIT, "");
    ASSERT_OK(limits_take(l, "k", 1, 0, 60, &s, &err));
}

static void so_many_at_once(void **state)
{
    struct limits *l = *state;
    struct limit_state s;
    struct error err = {0};

    ASSERT_OK(limits_take(l, "k", 0, 2, 0, &s, &err));
    ASSERT_OK(limits_take(l, "k", 0, 2, 0, &s, &err));
    ASSERT_FAILS(limits_take(l, "k", 0, 2, 0, &s, &err), ERR_LIMIT, "2 at once");
    assert_true(s.retry_after_s > 0);
    ASSERT_OK(limits_take(l, "other", 0, 2, 0, &s, &err));
    limits_give(l, "k");
    ASSERT_OK(limits_take(l, "k", 0, 2, 0, &s, &err));
}

static void idle_keys_are_forgotten_and_busy_ones_are_not(void **state)
{
    struct limits *l = *state;
    struct limit_state s;
    struct error err = {0};
    char id[32];

    for (int i = 0; i < 5000; i++) {
        snprintf(id, sizeof id, "key-%d", i);
        ASSERT_OK(limits_take(l, id, 10, 1, 0, &s, &err));
        if (i != 7)
            limits_give(l, id);
    }
    assert_int_equal(limits_n_keys(l), 5000);
    for (int i = 0; i < 20000; i++) { /* passes by every chain */
        snprintf(id, sizeof id, "late-%d", i);
        ASSERT_OK(limits_take(l, id, 10, 1, 1000, &s, &err));
        limits_give(l, id);
    }
    assert_int_equal(limits_n_keys(l), 20001);
    ASSERT_FAILS(limits_take(l, "key-7", 10, 1, 1000, &s, &err), ERR_LIMIT, "1 at once");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_minutes_worth_goes_at_once_and_comes_back_evenly),
        TEST(what_is_refused_costs_nothing),
        TEST(so_many_at_once),
        TEST(idle_keys_are_forgotten_and_busy_ones_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
