/*
 * background_test.c - rounds come by themselves and when woken, none comes behind a stop, and no wake is lost.
 */
#include "base/background.h"

#include "base/clock.h"
#include "support/support.h"

struct counter {
    struct background b; /* its lock guards all below */
    pthread_cond_t counted;
    size_t n;
    double rest;
    bool held; /* a round does not end before it is let go */
};

static double count(void *ctx)
{
    struct counter *c = ctx;

    pthread_mutex_lock(&c->b.lock);
    c->n++;
    pthread_cond_broadcast(&c->counted);
    while (c->held)
        pthread_cond_wait(&c->counted, &c->b.lock);
    const double rest = c->rest;
    pthread_mutex_unlock(&c->b.lock);
    return rest;
}

static void counter_start(struct counter *c, double rest)
{
    struct error err = {0};

    *c = (struct counter){.rest = rest};
    pthread_cond_init(&c->counted, NULL);
    assert_true(background_start(&c->b, count, c, "a test", &err));
}

static void wait_for(struct counter *c, size_t n)
{
    pthread_mutex_lock(&c->b.lock);
    while (c->n < n)
        pthread_cond_wait(&c->counted, &c->b.lock);
    pthread_mutex_unlock(&c->b.lock);
}

static void set_held(struct counter *c, bool held)
{
    pthread_mutex_lock(&c->b.lock);
    c->held = held;
    pthread_cond_broadcast(&c->counted);
    pthread_mutex_unlock(&c->b.lock);
}

static void counter_release(struct counter *c)
{
    background_release(&c->b);
    pthread_cond_destroy(&c->counted);
}

static void rounds_come_by_themselves(void **state)
{
    struct counter c;

    (void)state;
    counter_start(&c, 0.001);
    wait_for(&c, 5);
    counter_release(&c);
    counter_start(&c, 0);
    wait_for(&c, 5);
    counter_release(&c);
}

static void one_that_rests_until_woken_is_woken(void **state)
{
    struct counter c;

    (void)state;
    counter_start(&c, UNTIL_WOKEN);
    wait_for(&c, 1);
    clock_sleep_until(clock_seconds() + 0.05);
    pthread_mutex_lock(&c.b.lock);
    assert_int_equal(c.n, 1);
    pthread_mutex_unlock(&c.b.lock);
    background_wake(&c.b);
    wait_for(&c, 2);
    counter_release(&c);
}

static void a_wake_during_a_round_makes_another_follow(void **state)
{
    struct counter c;

    (void)state;
    counter_start(&c, UNTIL_WOKEN);
    wait_for(&c, 1);
    set_held(&c, true);
    background_wake(&c.b);
    wait_for(&c, 2);
    background_wake(&c.b); /* the second round is at work: held */
    set_held(&c, false);
    wait_for(&c, 3);
    counter_release(&c);
}

static void no_round_comes_behind_a_stop(void **state)
{
    struct counter c;

    (void)state;
    counter_start(&c, 0);
    wait_for(&c, 1);
    assert_true(background_stop(&c.b));
    const size_t n = c.n;
    background_wake(&c.b);
    clock_sleep_until(clock_seconds() + 0.02);
    assert_int_equal(c.n, n);
    assert_true(c.b.stopping);
    assert_false(background_stop(&c.b)); /* the first one did it */
    counter_release(&c);
}

static void a_stop_ends_a_rest_early(void **state)
{
    struct counter c;

    (void)state;
    counter_start(&c, 3600); /* the test's time limit would tell */
    wait_for(&c, 1);
    counter_release(&c);
    assert_int_equal(c.n, 1);
}

static void what_was_never_started_is_released(void **state)
{
    struct background b = {0};

    (void)state;
    assert_false(background_stop(&b));
    background_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_come_by_themselves),
        cmocka_unit_test(one_that_rests_until_woken_is_woken),
        cmocka_unit_test(a_wake_during_a_round_makes_another_follow),
        cmocka_unit_test(no_round_comes_behind_a_stop),
        cmocka_unit_test(a_stop_ends_a_rest_early),
        cmocka_unit_test(what_was_never_started_is_released),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
