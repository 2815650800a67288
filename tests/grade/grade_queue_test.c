/*
 * grade_queue_test.c - answers put in are graded once each, beside their producer, more of them than the queue holds.
 */
#include "base/clock.h"
#include "grade/grade_queue.h"
#include "grade_support.h"

#include <pthread.h>
#include <stdlib.h>

#define SAME                                                                                       \
    "{'type':'string_check','name':'n','input':'{{sample.output_text}}','reference':'{{item.a}}'," \
    "'operation':'eq'}"

static void every_answer_lies_in_its_own_slot(void **state)
{
    (void)state;
    enum { N = 5000 };
    struct error err = {0};
    struct grader *g = grader_of(json_of(SAME), NULL);
    struct grade_queue *q = NULL;
    struct grade_result *results = calloc(N, sizeof *results);
    char(*texts)[16] = calloc(N, sizeof *texts);
    json_t *item = json_of("{'a':'7'}");

    ASSERT_OK(grade_queue_open(g, 4, &q, &err));
    for (int round = 0; round < 2; round++) {
        memset(results, 0xff, N * sizeof *results);
        for (int i = 0; i < N; i++) {
            /* the sample itself may go at once; text, item and result stay */
            snprintf(texts[i], sizeof texts[i], "%d", i % 10);
            const struct grade_sample sample = {.output_text = str_of(texts[i])};
            grade_queue_put(q, item, &sample, &results[i]);
        }
        assert_true(grade_queue_wait(q, NULL));
        for (int i = 0; i < N; i++)
            assert_true(results[i].flags == 0 && results[i].reward == (i % 10 == 7));
    }
    grade_queue_close(q);
    json_decref(item);
    free(results);
    free(texts);
    grader_close(g);
}

static void waiting_for_nothing_returns(void **state)
{
    (void)state;
    struct error err = {0};
    struct grader *g = grader_of(json_of(SAME), NULL);
    struct grade_queue *q = NULL;

    ASSERT_OK(grade_queue_open(g, 1, &q, &err));
    assert_true(grade_queue_wait(q, NULL));
    grade_queue_close(q);
    grade_queue_close(NULL);
    grader_close(g);
}

static void a_number_of_threads_out_of_range_is_refused(void **state)
{
    (void)state;
    struct error err;
    struct grader *g = grader_of(json_of(SAME), NULL);
    struct grade_queue *q = NULL;

    ASSERT_FAILS(grade_queue_open(g, -1, &q, &err), ERR_INVALID, "-1 grading threads");
    ASSERT_FAILS(grade_queue_open(g, 100000, &q, &err), ERR_INVALID, "100000 grading threads");
    grader_close(g);
}

static void closing_forgets_what_waits(void **state)
{
    (void)state;
    struct error err = {0};
    struct grade_options opt = grade_defaults();
    struct grade_queue *q = NULL;
    static struct grade_result results[100];
    const struct grade_sample sample = {.output_text = STR("")};
    const double start = clock_seconds();

    opt.n_workers = 1;
    struct grader *g = grader_of(
        python_spec("import time\ndef grade(s, i):\n    time.sleep(0.3)\n    return 1"), &opt);
    ASSERT_OK(grade_queue_open(g, 2, &q, &err));
    for (int i = 0; i < 100; i++)
        grade_queue_put(q, NULL, &sample, &results[i]);
    grade_queue_close(q);
    assert_true(clock_seconds() - start < 25);
    grader_close(g);
}

static void python_calls_run_side_by_side(void **state)
{
    (void)state;
    struct error err = {0};
    struct grade_options opt = grade_defaults();
    struct grade_queue *q = NULL;
    static struct grade_result results[8];
    const struct grade_sample sample = {.output_text = STR("")};

    opt.n_workers = 4;
    struct grader *g = grader_of(
        python_spec("import time\ndef grade(s, i):\n    time.sleep(1)\n    return 1"), &opt);
    ASSERT_OK(grade_queue_open(g, 4, &q, &err));
    for (int round = 0; round < 2; round++) { /* the first round starts the workers */
        const double start = clock_seconds();

        for (int i = 0; i < 4; i++)
            grade_queue_put(q, NULL, &sample, &results[i]);
        assert_true(grade_queue_wait(q, NULL));
        for (int i = 0; i < 4; i++)
            assert_true(results[i].flags == 0 && results[i].reward == 1);
        assert_true(round == 0 || clock_seconds() - start < 3);
    }
    grade_queue_close(q);
    grader_close(g);
}

/* ---- waiting ---- */

struct told {
    size_t n;
    struct grade_wait last;
};

static void tell(void *ctx, const struct grade_wait *w)
{
    struct told *t = ctx;

    t->n++;
    t->last = *w;
}

static void a_long_wait_is_told_with_its_name(void **state)
{
    (void)state;
    struct error err = {0};
    struct grade_options opt = grade_defaults();
    struct grade_queue *q = NULL;
    struct told told = {0};
    const struct grade_waiter w = {.ctx = &told, .waiting = tell, .first_s = 0.2};
    struct grade_result r;
    const struct grade_sample sample = {.output_text = STR("")};

    opt.n_workers = 1;
    opt.timeout_s = 20;
    struct grader *g = grader_of(
        json_of("{'type':'multi','graders':{'quick':{'type':'string_check','input':'','reference':"
                "'','operation':'eq'},'slow':{'type':'python','source':'import time\\ndef grade(s, "
                "i):\\n    time.sleep(1.5)\\n    return 1'}},'calculate_output':'quick + slow'}"),
        &opt);
    ASSERT_OK(grade_queue_open(g, 1, &q, &err));
    grade_queue_put(q, NULL, &sample, &r);
    assert_true(grade_queue_wait(q, &w));
    assert_true(r.flags == 0 && r.reward == 2);
    assert_in_range(told.n, 2, 4); /* after 0.2, 0.4, 0.8 s, and while the worker starts */
    assert_int_equal(told.last.n_open, 1);
    assert_string_equal(grader_name(g, told.last.part), "slow");
    assert_true(told.last.seconds > 0.5 && told.last.may_take_s == 20);
    assert_true(grade_queue_grader(q) == g);
    grade_queue_close(q);
    grader_close(g);
}

static void a_stop_forgets_what_nobody_began(void **state)
{
    (void)state;
    enum { N = 50 };
    struct error err = {0};
    struct grade_options opt = grade_defaults();
    struct grade_queue *q = NULL;
    atomic_bool stop = false;
    const struct grade_waiter w = {.stop = &stop};
    static struct grade_result results[N];
    const struct grade_sample sample = {.output_text = STR("")};

    opt.n_workers = 1;
    opt.cache_bytes = 0;
    struct grader *g = grader_of(
        python_spec("import time\ndef grade(s, i):\n    time.sleep(0.4)\n    return 1"), &opt);
    ASSERT_OK(grade_queue_open(g, 1, &q, &err));
    for (int i = 0; i < N; i++) {
        results[i].reward = -1;
        grade_queue_put(q, NULL, &sample, &results[i]);
    }
    const struct timespec pause = {.tv_nsec = 200000000};
    nanosleep(&pause, NULL);
    atomic_store(&stop, true);
    assert_false(grade_queue_wait(q, &w));
    assert_true(results[0].reward == 1);
    assert_true(results[N - 1].reward == -1);
    assert_false(grade_queue_wait(q, &w)); /* nothing is left, and still it is a stop */
    /* and the queue goes on */
    atomic_store(&stop, false);
    grade_queue_put(q, NULL, &sample, &results[N - 1]);
    assert_true(grade_queue_wait(q, &w));
    assert_true(results[N - 1].reward == 1);
    grade_queue_close(q);
    grader_close(g);
}

static void *stop_soon(void *arg)
{
    const struct timespec pause = {.tv_nsec = 300000000};

    nanosleep(&pause, NULL);
    atomic_store((atomic_bool *)arg, true);
    return NULL;
}

static void a_stop_ends_a_call_of_python(void **state)
{
    (void)state;
    struct error err = {0};
    struct grade_options opt = grade_defaults();
    struct grade_queue *q = NULL;
    atomic_bool stop = false;
    const struct grade_waiter w = {.stop = &stop};
    struct grade_result r;
    const struct grade_sample sample = {.output_text = STR("")};
    pthread_t thread;

    opt.n_workers = 1;
    opt.stop = &stop;
    struct grader *g = grader_of(
        python_spec("import time\ndef grade(s, i):\n    time.sleep(100)\n    return 1"), &opt);
    ASSERT_OK(grade_queue_open(g, 1, &q, &err));
    const double began = clock_seconds();
    grade_queue_put(q, NULL, &sample, &r);
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, &stop), 0);
    assert_false(grade_queue_wait(q, &w));
    pthread_join(thread, NULL);
    assert_true(clock_seconds() - began < 20);
    grade_queue_close(q);
    grader_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_answer_lies_in_its_own_slot),
        cmocka_unit_test(waiting_for_nothing_returns),
        cmocka_unit_test(a_number_of_threads_out_of_range_is_refused),
        cmocka_unit_test(closing_forgets_what_waits),
        cmocka_unit_test(python_calls_run_side_by_side),
        cmocka_unit_test(a_long_wait_is_told_with_its_name),
        cmocka_unit_test(a_stop_forgets_what_nobody_began),
        cmocka_unit_test(a_stop_ends_a_call_of_python),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
