/*
 * condition_test.c - a wait ends with its time, and earlier when it is signalled.
 */
#include "base/condition.h"

#include "base/clock.h"
#include "support/support.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed;
static bool is_set; /* under the lock */

static double waited(double seconds)
{
    const double began = clock_seconds();

    pthread_mutex_lock(&lock);
    while (!is_set && clock_seconds() - began < seconds)
        condition_wait_for(&changed, &lock, seconds - (clock_seconds() - began));
    pthread_mutex_unlock(&lock);
    return clock_seconds() - began;
}

static void *set_soon(void *arg)
{
    (void)arg;
    clock_sleep_until(clock_seconds() + 0.1);
    pthread_mutex_lock(&lock);
    is_set = true;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return NULL;
}

static void a_wait_ends_with_its_time_or_a_signal(void **state)
{
    pthread_t thread;

    (void)state;
    condition_init(&changed);
    assert_true(waited(0.2) >= 0.2);
    assert_true(waited(-1) < 10);
    assert_int_equal(pthread_create(&thread, NULL, set_soon, NULL), 0);
    assert_true(waited(1e300) < 100);
    pthread_join(thread, NULL);
    pthread_cond_destroy(&changed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_ends_with_its_time_or_a_signal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
