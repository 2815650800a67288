/*
 * grading_pool_test.c - tasks run, wait their turn, and leave room for others.
 */
#include "base/clock.h"
#include "server/grading_pool.h"
#include "support/support.h"

#include <pthread.h>
#include <stdatomic.h>

struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool open;
    atomic_int entered, left, stopped;
};

static void through(void *ctx, bool stopping)
{
    struct gate *g = ctx;

    if (stopping) {
        atomic_fetch_add(&g->stopped, 1);
        return;
    }
    atomic_fetch_add(&g->entered, 1);
    pthread_mutex_lock(&g->lock);
    while (!g->open)
        pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
    atomic_fetch_add(&g->left, 1);
}

static void open_gate(struct gate *g)
{
    pthread_mutex_lock(&g->lock);
    g->open = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

static void wait_for(atomic_int *n, int want)
{
    const double end = clock_seconds() + 30;

    while (atomic_load(n) < want && clock_seconds() < end)
        clock_sleep_until(clock_seconds() + 0.005);
    assert_int_equal(atomic_load(n), want);
}

#define GATE                                                                                       \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0, 0, 0                        \
    }

static void one_project_leaves_a_thread_to_others(void **state)
{
    const struct grading_options opt = {.n_threads = 3, .max_waiting = 5};
    struct gate a = GATE, b = GATE;
    struct grading_pool *p;
    struct error err = {0};

    (void)state;
    ASSERT_OK(grading_pool_open(&opt, &p, &err));
    for (int i = 0; i < 5; i++)
        ASSERT_OK(grading_pool_put(p, "a", through, &a, &err));
    wait_for(&a.entered, 2);
    ASSERT_OK(grading_pool_put(p, "b", through, &b, &err));
    wait_for(&b.entered, 1); /* past the three of a's that wait */
    assert_int_equal(atomic_load(&a.entered), 2);
    open_gate(&b);
    wait_for(&b.left, 1);
    open_gate(&a);
    wait_for(&a.left, 5);
    grading_pool_close(p);
}

static void a_full_queue_is_an_answer(void **state)
{
    const struct grading_options opt = {.n_threads = 1, .max_waiting = 2};
    struct gate g = GATE;
    struct grading_pool *p;
    struct error err = {0};

    (void)state;
    ASSERT_OK(grading_pool_open(&opt, &p, &err));
    ASSERT_OK(grading_pool_put(p, "a", through, &g, &err));
    wait_for(&g.entered, 1);
    ASSERT_OK(grading_pool_put(p, "a", through, &g, &err));
    ASSERT_OK(grading_pool_put(p, "b", through, &g, &err));
    ASSERT_FAILS(grading_pool_put(p, "b", through, &g, &err), ERR_LIMIT, "2 requests");
    assert_string_equal(err.code, "rate_limit_exceeded");
    open_gate(&g);
    wait_for(&g.left, 3);
    ASSERT_OK(grading_pool_put(p, "b", through, &g, &err));
    wait_for(&g.left, 4);
    grading_pool_close(p);
}

static void *stop(void *p)
{
    grading_pool_stop(p);
    return NULL;
}

static void stopping_calls_what_waits_and_takes_no_more(void **state)
{
    const struct grading_options opt = {.n_threads = 1};
    struct gate g = GATE;
    struct grading_pool *p;
    struct error err = {0};
    pthread_t thread;

    (void)state;
    ASSERT_OK(grading_pool_open(&opt, &p, &err));
    for (int i = 0; i < 4; i++)
        ASSERT_OK(grading_pool_put(p, "a", through, &g, &err));
    wait_for(&g.entered, 1);
    assert_int_equal(pthread_create(&thread, NULL, stop, p), 0);
    const double end = clock_seconds() + 30;
    while (grading_pool_put(p, "b", through, &g, &err) && clock_seconds() < end)
        clock_sleep_until(clock_seconds() + 0.005);
    assert_int_equal(err.kind, ERR_LIMIT);
    open_gate(&g);
    pthread_join(thread, NULL);
    assert_int_equal(atomic_load(&g.left), 1);
    assert_true(atomic_load(&g.stopped) >= 3);
    grading_pool_close(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_project_leaves_a_thread_to_others),
        cmocka_unit_test(a_full_queue_is_an_answer),
        cmocka_unit_test(stopping_calls_what_waits_and_takes_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
