/*
 * parallel_test.c - every unit of work is done once, by whoever is free, and the caller waits for the last.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "support/support.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const int thread_counts[] = {1, 2, 3, 8, 33};

struct tally {
    size_t n;
    unsigned char
        *done; /* [n], plain: a unit's place is written by one thread, and read after the job */
    atomic_int busy[256]; /* by thread index */
    atomic_int n_threads; /* that an index may not reach */
    atomic_int wrong;
    size_t slow_unit;
};

static void count_unit(void *ctx, size_t unit, int thread)
{
    struct tally *t = ctx;

    if (thread < 0 || thread >= atomic_load(&t->n_threads) || unit >= t->n) {
        atomic_fetch_add(&t->wrong, 1);
        return;
    }
    if (atomic_fetch_add(&t->busy[thread], 1) != 0) /* two at a time would share scratch memory */
        atomic_fetch_add(&t->wrong, 1);
    t->done[unit]++;
    if (unit == t->slow_unit)
        nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
    atomic_fetch_sub(&t->busy[thread], 1);
}

static void run_and_check(size_t n, int n_threads, size_t slow_unit)
{
    struct tally t = {.n = n, .done = calloc(n + 1, 1), .slow_unit = slow_unit};

    atomic_store(&t.n_threads, n_threads);
    parallel_for(n, count_unit, &t);
    assert_int_equal(atomic_load(&t.wrong), 0);
    for (size_t i = 0; i < n; i++)
        if (t.done[i] != 1)
            fail_msg("unit %zu of %zu was done %d times by %d threads", i, n, t.done[i], n_threads);
    free(t.done);
}

static void every_unit_is_done_exactly_once_by_a_thread_with_an_index_of_its_own(void **state)
{
    static const size_t sizes[] = {0, 1, 2, 3, 4, 7, 8, 9, 100, 1001, 30000};

    (void)state;
    for (size_t t = 0; t < COUNT_OF(thread_counts); t++) {
        parallel_set_threads(thread_counts[t]);
        assert_int_equal(parallel_threads(), thread_counts[t]);
        for (size_t s = 0; s < COUNT_OF(sizes); s++)
            for (int round = 0; round < 5; round++)
                run_and_check(sizes[s], thread_counts[t], SIZE_MAX);
    }
    parallel_set_threads(0);
}

static void the_caller_waits_for_the_slowest_unit(void **state)
{
    (void)state;
    for (size_t t = 0; t < COUNT_OF(thread_counts); t++) {
        parallel_set_threads(thread_counts[t]);
        for (size_t slow = 0; slow < 12; slow++)
            run_and_check(12, thread_counts[t], slow);
    }
    parallel_set_threads(0);
}

static void add_one(void *ctx, size_t unit, int thread)
{
    (void)thread;
    ((int *)ctx)[unit]++;
}

/* A worker that comes late must not do the next job's units with the last job's function or data. */
static void many_short_jobs_in_a_row_do_not_mix(void **state)
{
    static int count[7][40];

    (void)state;
    parallel_set_threads(4);
    for (int job = 0; job < 28000; job++)
        parallel_for((size_t)(job % 40) + 1, add_one, count[job % 7]);
    for (size_t i = 0; i < 40; i++) {
        for (size_t k = 0; k < 7; k++) {
            int want = 0;

            for (int job = 0; job < 28000; job++)
                want += (size_t)(job % 7) == k && (size_t)(job % 40) >= i;
            assert_int_equal(count[k][i], want);
        }
    }
    parallel_set_threads(0);
}

static void workers_that_fell_asleep_wake_up(void **state)
{
    int count[8] = {0};

    (void)state;
    parallel_set_threads(4);
    for (int job = 0; job < 30; job++) {
        parallel_for(8, add_one, count);
        nanosleep(&(struct timespec){.tv_nsec = 3000000}, NULL);
    }
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(count[i], 30);
    parallel_set_threads(0);
}

static void the_number_of_threads_may_change_between_jobs(void **state)
{
    (void)state;
    for (int round = 0; round < 60; round++) {
        const int n = thread_counts[(size_t)(round * 7) % COUNT_OF(thread_counts)];

        parallel_set_threads(n);
        run_and_check(50, n, SIZE_MAX);
    }
    parallel_set_threads(0);
}

static void without_a_number_there_is_one_thread_a_core(void **state)
{
    cpu_set_t set;

    (void)state;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    parallel_set_threads(5);
    parallel_set_threads(0);
    assert_int_equal(parallel_threads(), CPU_COUNT(&set) < 256 ? CPU_COUNT(&set) : 256);
    parallel_set_threads(-3);
    assert_int_equal(parallel_threads(), CPU_COUNT(&set) < 256 ? CPU_COUNT(&set) : 256);
    parallel_set_threads(100000);
    assert_int_equal(parallel_threads(), 256);
    parallel_set_threads(0);
}

/* A process that was forked has none of its parent's threads, whatever they were doing at that moment. */
static void a_child_process_works_with_threads_of_its_own(void **state)
{
    int count[64] = {0};

    (void)state;
#if defined(__SANITIZE_THREAD__)
    print_message(
        "             skipped: the thread sanitizer lets no child of a threaded process start threads\n");
    skip();
#endif
    parallel_set_threads(4);
    for (int round = 0; round < 60; round++) {
        int status;

        parallel_for(64, add_one, count);
        if (round % 3 == 0) /* now and then the workers sleep when it happens */
            nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            alarm(20); /* a child that hangs is a failure, not a wait */
            for (int job = 0; job < 20; job++)
                parallel_for(64, add_one, count);
            for (size_t i = 0; i < 64; i++)
                if (count[i] != round + 21)
                    _exit(1);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("child %d %s", round,
                     WIFSIGNALED(status) ? "hung in its first jobs" : "lost a unit of work");
    }
    parallel_set_threads(0);
}

/* Several threads at once, each by itself, beside one that has the pool. */
static void *work_alone(void *arg)
{
    atomic_int *wrong = arg;
    const bool before = parallel_alone(true);

    if (before || parallel_threads() != 1)
        atomic_fetch_add(wrong, 1);
    for (int round = 1; round <= 200; round++) {
        static _Thread_local int count[64];

        parallel_for(64, add_one, count);
        for (size_t i = 0; i < 64; i++)
            if (count[i] != round)
                atomic_fetch_add(wrong, 1);
    }
    if (!parallel_alone(before))
        atomic_fetch_add(wrong, 1);
    return NULL;
}

static void threads_beside_the_pool_s_work_alone(void **state)
{
    pthread_t threads[4];
    atomic_int wrong;
    int count[64] = {0};

    (void)state;
    atomic_init(&wrong, 0);
    parallel_set_threads(4);
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, work_alone, &wrong), 0);
    for (int round = 1; round <= 200; round++) {
        parallel_for(64, add_one, count);
        for (size_t i = 0; i < 64; i++)
            assert_int_equal(count[i], round);
    }
    for (size_t i = 0; i < COUNT_OF(threads); i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(atomic_load(&wrong), 0);
    assert_int_equal(parallel_threads(), 4);
    parallel_set_threads(0);
}

/* ---- several callers ---- */

struct caller {
    pthread_t thread;
    int count[64];
};

static void add_one_beside(void *ctx, size_t unit, int thread)
{
    struct caller *c = ctx;

    assert_in_range(thread, 0, parallel_threads() - 1);
    c->count[unit]++;
}

static void *call_often(void *arg)
{
    for (int job = 0; job < 3000; job++)
        parallel_for(64, add_one_beside, arg);
    return NULL;
}

static void threads_that_call_at_once_have_their_own_work_done(void **state)
{
    struct caller callers[4] = {0};

    (void)state;
    parallel_set_threads(3);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&callers[i].thread, NULL, call_often, &callers[i]), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(callers[i].thread, NULL);
        for (size_t unit = 0; unit < 64; unit++)
            assert_int_equal(callers[i].count[unit], 3000);
    }
    parallel_set_threads(0);
}

static void start_another(void *ctx, size_t unit, int thread)
{
    struct caller *c = ctx;

    (void)thread;
    parallel_for(16, add_one_beside, &c[unit]);
}

static void a_job_that_starts_another_does_it_alone(void **state)
{
    struct caller callers[8] = {0};

    (void)state;
    parallel_set_threads(3);
    parallel_for(8, start_another, callers);
    for (size_t i = 0; i < 8; i++)
        for (size_t unit = 0; unit < 16; unit++)
            assert_int_equal(callers[i].count[unit], 1);
    parallel_set_threads(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_that_call_at_once_have_their_own_work_done),
        cmocka_unit_test(a_job_that_starts_another_does_it_alone),
        cmocka_unit_test(every_unit_is_done_exactly_once_by_a_thread_with_an_index_of_its_own),
        cmocka_unit_test(the_caller_waits_for_the_slowest_unit),
        cmocka_unit_test(many_short_jobs_in_a_row_do_not_mix),
        cmocka_unit_test(workers_that_fell_asleep_wake_up),
        cmocka_unit_test(the_number_of_threads_may_change_between_jobs),
        cmocka_unit_test(without_a_number_there_is_one_thread_a_core),
        cmocka_unit_test(threads_beside_the_pool_s_work_alone),
        cmocka_unit_test(a_child_process_works_with_threads_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
