/*
 * leases_test.c - one job, one writer: races for jobs, leases that end, memory that is shared, and what a worker may write.
 */
#include "base/clock.h"
#include "base/size.h"
#include "store/documents.h"
#include "store/figures.h"
#include "support/jobs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

/* ---- races ---- */

#define N_JOBS 50
#define N_WORKERS 8

struct racer {
    struct test_store *t;
    int number;
    pthread_barrier_t *start;
    size_t n;
    char taken[N_JOBS][48];
    bool ok;
    struct error err;
};

static void *race(void *ctx)
{
    struct racer *r = ctx;
    char worker[32], machine[32];
    const struct worker_offer w = {
        .worker = worker, .machine = machine, .machine_bytes = 1000000, .lease_seconds = 600};
    struct arena a = {0};
    int none = 0;

    snprintf(worker, sizeof worker, "worker-%d", r->number);
    snprintf(machine, sizeof machine, "machine-%d", r->number % 3);
    r->ok = true;
    r->n = 0;
    pthread_barrier_wait(r->start);
    while (r->ok && none < 20 && r->n < N_JOBS) {
        struct job_row j;
        struct lease l;
        bool found = false;

        r->ok = jobs_take(r->t->s, &w, &a, &found, &j, &l, &r->err);
        if (found) {
            none = 0;
            snprintf(r->taken[r->n++], sizeof r->taken[0], "%s", j.id);
        } else {
            none++; /* rows that another looks at are passed over */
        }
        arena_reset(&a);
    }
    arena_release(&a);
    return NULL;
}

/* All workers at once, number i being step * i. */
static void race_all(struct test_store *t, struct racer racers[N_WORKERS], int step)
{
    pthread_t threads[N_WORKERS];
    pthread_barrier_t start;

    assert_int_equal(pthread_barrier_init(&start, NULL, N_WORKERS), 0);
    for (int i = 0; i < N_WORKERS; i++) {
        racers[i].t = t;
        racers[i].number = step * i;
        racers[i].start = &start;
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    for (int i = 0; i < N_WORKERS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&start);
    for (int i = 0; i < N_WORKERS; i++)
        if (!racers[i].ok)
            fail_msg("%s", racers[i].err.message);
}

/* The database of the release before workers had an end (migration 0009), while a job runs. */
static void a_running_job_survives_an_upgrade(void **state)
{
    struct test_database *d = test_database(state);
    struct test_store *t = test_store_open(state);
    const struct store_options opt = {.home = t->home, .database = d->url};
    const struct worker_offer offer = {
        .worker = "w", .machine = "m", .machine_bytes = 1000000, .lease_seconds = 600};
    const struct worker_row seen = {.name = arena_text(&t->arena, STR("w")),
                                    .machine = arena_text(&t->arena, STR("m")),
                                    .version = arena_text(&t->arena, STR("0")),
                                    .memory_bytes = 1000000};
    struct job_change c = job_change_none();
    struct worker_row *workers;
    struct job_row j;
    struct lease l;
    struct error err = {0};
    char ask[16];
    size_t n;
    bool found;

    test_job(t, t->project);
    ASSERT_OK(jobs_take(t->s, &offer, &t->arena, &found, &j, &l, &err));
    c.status = "running";
    c.step = 7;
    ASSERT_OK(jobs_change(t->s, &l, &c, NULL, 0, &err));
    ASSERT_OK(workers_seen(t->s, &seen, &err));
    test_sql(t, "ALTER TABLE workers DROP COLUMN ended_at", NULL, NULL, INT64_MIN);
    test_sql(t, "DELETE FROM schema_migrations WHERE version >= ?1", NULL, NULL, 9);
    store_close(t->s);
    ASSERT_OK(store_open(&opt, &t->s, &err));
    ASSERT_OK(workers_list(t->s, &t->arena, &workers, &n, &err));
    assert_int_equal(n, 1);
    assert_string_equal(workers[0].name, "w");
    ASSERT_OK(jobs_renew(t->s, &l, 600, ask, &err)); /* its worker went on meanwhile */
    ASSERT_OK(jobs_get(t->s, t->project, str_of(j.id), &t->arena, &j, &err));
    assert_string_equal(j.status, "running");
    assert_int_equal(j.step, 7);
    ASSERT_OK(jobs_release_worker(t->s, "w", &err));
    ASSERT_OK(jobs_take(t->s, &offer, &t->arena, &found, &j, &l, &err));
    assert_true(found);
    test_store_close(t);
}

static void each_job_is_taken_exactly_once(void **state)
{
    struct test_store *t = test_store_open(state);
    static struct racer racers[N_WORKERS];
    size_t n = 0;

    for (int i = 0; i < N_JOBS; i++)
        test_job(t, t->project);
    race_all(t, racers, 1);
    for (int i = 0; i < N_WORKERS; i++)
        for (size_t k = 0; k < racers[i].n; k++, n++)
            for (int other = 0; other < N_WORKERS; other++)
                for (size_t m = 0; m < racers[other].n; m++)
                    assert_true((other == i && m == k) ||
                                strcmp(racers[other].taken[m], racers[i].taken[k]) != 0);
    assert_int_equal(n, N_JOBS);
    assert_int_equal(
        test_sql_int(t, "SELECT COUNT(*) FROM jobs WHERE attempt = 1 AND lease = 1", NULL), N_JOBS);
    test_store_close(t);
}

static bool take(struct test_store *t, const char *worker, int64_t bytes, int64_t seconds,
                 struct job_row *j, struct lease *l)
{
    const struct worker_offer w = {
        .worker = worker, .machine = "m", .machine_bytes = bytes, .lease_seconds = seconds};
    struct error err = {0};
    bool found;

    ASSERT_OK(jobs_take(t->s, &w, &t->arena, &found, j, l, &err));
    return found;
}

static void the_oldest_job_comes_first_whatever_its_state(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct job_row first = test_job_in(t, "running", &l), second = test_job(t, t->other), got;

    ASSERT_OK(jobs_release_worker(t->s, "worker", &err)); /* it was killed */
    assert_true(take(t, "w", 1000, 60, &got, &l));
    assert_string_equal(got.id, first.id);
    assert_string_equal(got.status, "running");
    assert_string_equal(got.worker, "w");
    assert_true(take(t, "w", 1000, 60, &got, &l));
    assert_string_equal(got.id, second.id);
    assert_string_equal(got.status, "validating_files");
    assert_false(take(t, "w", 1000, 60, &got, &l));
    test_store_close(t);
}

static void a_job_that_rests_is_taken_by_nobody_until_somebody_asks_for_it(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l, other;
    struct job_row j = test_job_in(t, "queued", &l), got;
    struct job_change c = job_change_none();

    ASSERT_OK(jobs_release_worker(t->s, "worker", &err));
    assert_true(take(t, "w", 1000, 60, &got, &l));
    c.end_lease = true;
    c.rest_seconds = 3600;
    ASSERT_OK(jobs_change(t->s, &l, &c, NULL, 0, &err));
    assert_false(take(t, "other", 1000, 60, &got, &other));
    ASSERT_OK(jobs_release(t->s, &l, &err)); /* who has stopped says so, and ends no rest by it */
    ASSERT_OK(jobs_release_worker(t->s, "w", &err));
    assert_false(take(t, "other", 1000, 60, &got, &other));
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM jobs WHERE lease <> 0", NULL), 0);
    ASSERT_OK(jobs_ask(t->s, t->project, str_of(j.id), JOB_PAUSE, &t->arena, &got, &err));
    assert_string_equal(got.status, "paused"); /* at once: nobody works on it */
    ASSERT_OK(jobs_ask(t->s, t->project, str_of(j.id), JOB_RESUME, &t->arena, &got, &err));
    assert_true(take(t, "other", 1000, 60, &got, &other));
    c.rest_seconds = 3600;
    ASSERT_OK(jobs_change(t->s, &other, &c, NULL, 0, &err));
    test_sql(t, "UPDATE jobs SET lease_until = 1 WHERE id = ?1", j.id, NULL, INT64_MIN);
    assert_true(take(t, "w", 1000, 60, &got, &l)); /* it is over by itself */
    test_store_close(t);
}

static void only_some_states_are_worked_on(void **state)
{
    static const struct {
        const char *state;
        bool is_taken;
    } all[] = {{"validating_files", true}, {"queued", true},    {"running", true},
               {"pausing", true},          {"paused", false},   {"succeeded", false},
               {"failed", false},          {"cancelled", false}};
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct job_row got;

    for (size_t i = 0; i < COUNT_OF(all); i++) {
        const struct job_row j = test_job_in(t, all[i].state, &l);

        ASSERT_OK(jobs_release_worker(t->s, "worker", &err));
        assert_int_equal(take(t, "w", 1000, 60, &got, &l), all[i].is_taken);
        if (all[i].is_taken) {
            assert_string_equal(got.id, j.id);
            assert_string_equal(got.status, all[i].state);
        }
        test_sql(t, "UPDATE jobs SET status = 'failed', lease = 0", NULL, NULL, INT64_MIN);
    }
    test_store_close(t);
}

static void a_pause_outlives_its_worker(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct job_row j = test_job_in(t, "pausing", &l);
    char ask[16];

    ASSERT_OK(jobs_release_worker(t->s, "worker", &err));
    l = test_take(t, "next");
    ASSERT_OK(jobs_renew(t->s, &l, 60, ask, &err));
    assert_string_equal(ask, "pause");
    ASSERT_FAILS(test_change(t, &l, "running", &err), ERR_INVALID, "is pausing");
    ASSERT_OK(test_change(t, &l, "paused", &err));
    assert_string_equal(test_job_now(t, j.id).status, "paused");
    test_store_close(t);
}

/* Its worker gives it back to the queue before it heard of the pause, and asks twice, as one whose answer was lost. */
static void a_worker_that_leaves_does_not_undo_a_pause(void **state)
{
    struct test_store *t = test_store_open(state);
    struct job_change c = job_change_none();
    struct error err = {0};
    struct lease l;
    const char *id = test_job_in(t, "pausing", &l).id;
    char ask[16];

    c.status = "queued";
    c.end_lease = true;
    ASSERT_OK(jobs_change(t->s, &l, &c, NULL, 0, &err));
    ASSERT_OK(jobs_change(t->s, &l, &c, NULL, 0, &err));
    assert_string_equal(test_job_now(t, id).status, "pausing");
    l = test_take(t, "next");
    ASSERT_OK(jobs_renew(t->s, &l, 60, ask, &err));
    assert_string_equal(ask, "pause");
    ASSERT_OK(test_change(t, &l, "paused", &err));
    assert_int_equal(test_job_now(t, id).tries, 0);
    test_store_close(t);
}

/* ---- leases that end ---- */

static void who_lost_the_lease_writes_nothing(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    const struct job_row j = test_job(t, t->project);
    const struct checkpoint_row ckpt = {.step = 1,
                                        .name = arena_text(&t->arena, STR("ft:x")),
                                        .dir = arena_text(&t->arena, STR("step-1"))};
    const struct job_event event = {.key = "k", .level = "info", .type = "message", .message = "x"};
    const int64_t step = 1;
    struct job_change c = job_change_none();
    struct lease old, l;
    struct job_row got;
    char ask[16] = "as it was";

    assert_true(take(t, "old", 1000, 0, &got, &old)); /* it has ended already */
    ASSERT_OK(jobs_renew(t->s, &old, 0, ask, &err));  /* ... but nobody has it */
    assert_string_equal(ask, "");
    assert_true(take(t, "new", 1000, 60, &got, &l));
    assert_string_equal(got.id, j.id);
    assert_int_equal(l.attempt, old.attempt + 1);
    assert_string_equal(got.worker, "new");

    c.status = "failed";
    ASSERT_FAILS(jobs_renew(t->s, &old, 60, ask, &err), ERR_CANCELLED, "another worker");
    ASSERT_FAILS(jobs_change(t->s, &old, &c, &event, 1, &err), ERR_CANCELLED, "another worker");
    ASSERT_FAILS(checkpoints_put(t->s, &old, &ckpt, &err), ERR_CANCELLED, "another worker");
    ASSERT_FAILS(checkpoints_keep(t->s, &old, &step, 1, &err), ERR_CANCELLED, "another worker");
    ASSERT_OK(jobs_release(t->s, &old, &err)); /* it has stopped; the lease is another's */
    ASSERT_OK(jobs_release_worker(t->s, "old", &err));
    ASSERT_OK(jobs_renew(t->s, &l, 60, ask, &err));
    assert_string_equal(test_job_now(t, j.id).status, "validating_files");
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM events", NULL), 1);
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM checkpoints", NULL), 0);

    /* a stranger with the right number */
    struct lease stranger = l;

    snprintf(stranger.worker, sizeof stranger.worker, "stranger");
    ASSERT_FAILS(jobs_renew(t->s, &stranger, 60, ask, &err), ERR_CANCELLED, "its lease was ended");
    snprintf(stranger.job_id, sizeof stranger.job_id, "ftjob-nothing");
    ASSERT_FAILS(jobs_renew(t->s, &stranger, 60, ask, &err), ERR_CANCELLED, "no longer there");
    test_store_close(t);
}

static void a_lease_is_not_taken_before_its_end(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l, next;
    struct job_row got;
    char ask[16];

    test_job(t, t->project);
    assert_true(take(t, "a", 1000, 60, &got, &l));
    assert_false(take(t, "b", 1000, 60, &got, &next));
    ASSERT_OK(jobs_renew(t->s, &l, 600, ask, &err));
    assert_true(test_sql_int(t, "SELECT MIN(lease_until) FROM jobs", NULL) > clock_unix() + 500);
    ASSERT_OK(jobs_release(t->s, &l, &err));
    ASSERT_FAILS(jobs_renew(t->s, &l, 600, ask, &err), ERR_CANCELLED, "lease was ended");
    assert_true(take(t, "b", 1000, 60, &got, &next));
    test_store_close(t);
}

/* Its worker has a run folder open until it says otherwise, so nobody else may. */
static void a_job_that_was_taken_back_waits_for_its_worker(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l, next;
    struct job_row j = test_job_in(t, "queued", &l), got;

    ASSERT_OK(jobs_ask(t->s, t->project, str_of(j.id), JOB_PAUSE, &t->arena, &got, &err));
    ASSERT_OK(jobs_ask(t->s, t->project, str_of(j.id), JOB_RESUME, &t->arena, &got, &err));
    assert_string_equal(got.status, "queued");
    ASSERT_FAILS(test_change(t, &l, "running", &err), ERR_CANCELLED, "lease was ended");
    assert_false(take(t, "b", 1000, 60, &got, &next));
    ASSERT_OK(jobs_release(t->s, &l, &err));
    assert_true(take(t, "b", 1000, 60, &got, &next));
    assert_string_equal(got.id, j.id);
    test_store_close(t);
}

/* ---- memory ---- */

static void needs(struct test_store *t, const char *id, int64_t bytes)
{
    test_sql(t, "UPDATE jobs SET memory_bytes = ?2 WHERE id = ?1", id, NULL, bytes);
}

static void a_job_waits_until_its_memory_is_free(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    const struct worker_offer elsewhere = {
        .worker = "e", .machine = "other", .machine_bytes = 100, .lease_seconds = 60};
    struct job_row a = test_job(t, t->project), b = test_job(t, t->project),
                   c = test_job(t, t->project), got;
    struct lease la, lb, lc;
    bool found;

    needs(t, a.id, 60);
    needs(t, b.id, 41);
    needs(t, c.id, 40);
    assert_true(take(t, "1", 100, 60, &got, &la));
    assert_string_equal(got.id, a.id);
    assert_true(take(t, "2", 100, 60, &got, &lc)); /* b does not fit by one byte */
    assert_string_equal(got.id, c.id);
    assert_false(take(t, "3", 100, 60, &got, &lb));
    ASSERT_OK(jobs_take(t->s, &elsewhere, &t->arena, &found, &got, &lb, &err));
    assert_true(found);
    assert_string_equal(got.id, b.id);
    ASSERT_OK(jobs_release(t->s, &lb, &err));

    /* a cancelled one counts until its worker has stopped */
    ASSERT_OK(jobs_ask(t->s, t->project, str_of(a.id), JOB_CANCEL, &t->arena, &got, &err));
    assert_false(take(t, "3", 100, 60, &got, &lb));
    ASSERT_OK(jobs_release(t->s, &la, &err));
    assert_true(take(t, "3", 100, 60, &got, &lb));
    assert_string_equal(got.id, b.id);
    test_store_close(t);
}

/* Waiting would not help it: who takes it says so. */
static void a_job_that_fits_nowhere_is_given_to_whoever_asks(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct worker_row large = {.name = arena_text(&t->arena, STR("large:1")),
                               .machine = arena_text(&t->arena, STR("large")),
                               .version = arena_text(&t->arena, STR("1")),
                               .memory_bytes = 1000};
    struct job_row small = test_job(t, t->project), big = test_job(t, t->project), got;
    struct lease l, lb;
    int64_t most;

    needs(t, small.id, 1);
    needs(t, big.id, 1000);
    ASSERT_OK(workers_seen(t->s, &large, &err));
    ASSERT_OK(workers_most_bytes(t->s, "m", 100, &most, &err));
    assert_int_equal(most, 1000);
    assert_true(take(t, "1", 100, 60, &got, &l));
    assert_string_equal(got.id, small.id);
    assert_false(take(t, "2", 100, 60, &got, &lb)); /* the large machine's to take */
    ASSERT_OK(jobs_release(t->s, &l, &err));
    assert_true(take(t, "1", 100, 60, &got, &l));
    assert_string_equal(got.id, small.id);
    assert_false(take(t, "2", 100, 60, &got, &lb));

    test_sql(t, "UPDATE workers SET memory_bytes = 999", NULL, NULL, INT64_MIN);
    assert_true(take(t, "2", 100, 60, &got, &lb));
    assert_string_equal(got.id, big.id);
    ASSERT_OK(jobs_release(t->s, &lb, &err));

    /* a machine that was away for a moment is waited for, one that is gone is not */
    test_sql(t, "UPDATE workers SET memory_bytes = 1000, seen_at = seen_at - 500", NULL, NULL,
             INT64_MIN);
    assert_false(take(t, "2", 100, 60, &got, &lb));
    test_sql(t, "UPDATE workers SET seen_at = seen_at - 500", NULL, NULL, INT64_MIN);
    assert_true(take(t, "2", 100, 60, &got, &lb));
    ASSERT_OK(workers_most_bytes(t->s, "m", 100, &most, &err));
    assert_int_equal(most, 100);

    /* what this machine had before it was started with less does not count */
    large.machine = arena_text(&t->arena, STR("m"));
    ASSERT_OK(workers_seen(t->s, &large, &err));
    ASSERT_OK(workers_most_bytes(t->s, "m", 100, &most, &err));
    assert_int_equal(most, 100);
    test_store_close(t);
}

/* Small jobs that keep coming: the large one is begun once those that ran before it have ended. */
static void a_large_job_does_not_wait_for_ever(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct job_row got, small[4], large;
    struct lease l[4], ll;

    for (int i = 0; i < 4; i++) {
        if (i == 2) {
            large = test_job(t, t->project);
            needs(t, large.id, 80);
        }
        small[i] = test_job(t, t->project);
        needs(t, small[i].id, 20);
    }
    for (
        int i = 0; i < 3;
        i++) { /* beside two older ones there is no room for it; a younger one is let in, for it will fit beside that */
        assert_true(take(t, "w", 100, 60, &got, &l[i]));
        assert_string_equal(got.id, small[i].id);
    }
    assert_false(
        take(t, "w", 100, 60, &got,
             &l[3])); /* 20 are free, but with two younger ones the large one does not fit */
    ASSERT_OK(test_change(t, &l[0], "failed", &err));
    assert_false(take(t, "w", 100, 60, &got, &l[3]));
    ASSERT_OK(test_change(t, &l[1], "failed", &err));
    assert_true(take(t, "w", 100, 60, &got, &ll));
    assert_string_equal(got.id, large.id);
    assert_false(take(t, "w", 100, 60, &got, &l[3]));
    ASSERT_OK(test_change(t, &ll, "failed", &err));
    assert_true(take(t, "w", 100, 60, &got, &l[3]));
    assert_string_equal(got.id, small[3].id);
    test_store_close(t);
}

/* A job whose memory is not known yet has its files checked meanwhile. */
static void files_are_checked_while_a_large_job_waits(void **state)
{
    struct test_store *t = test_store_open(state);
    struct job_row a = test_job(t, t->project), large = test_job(t, t->project),
                   c = test_job(t, t->project), got;
    struct lease l;

    needs(t, a.id, 50);
    needs(t, large.id, 100);
    assert_true(take(t, "w", 100, 60, &got, &l));
    assert_true(take(t, "w", 100, 60, &got, &l));
    assert_string_equal(got.id, c.id);
    assert_false(take(t, "w", 100, 60, &got, &l));
    test_store_close(t);
}

static void a_job_of_unknown_memory_fits(void **state)
{
    struct test_store *t = test_store_open(state);
    struct job_row a = test_job(t, t->project), b = test_job(t, t->project), got;
    struct lease l;

    needs(t, a.id, 100);
    assert_true(take(t, "1", 100, 60, &got, &l));
    assert_true(take(t, "2", 100, 60, &got, &l));
    assert_string_equal(got.id, b.id);
    test_store_close(t);
}

/* Workers of one machine that take at the same moment: one job fits, not two. */
static void the_memory_of_a_machine_is_not_given_twice(void **state)
{
    struct test_store *t = test_store_open(state);
    static struct racer racers[N_WORKERS];

    for (int i = 0; i < N_WORKERS; i++)
        needs(t, test_job(t, t->project).id, 600000); /* of 1,000,000 */
    for (int round = 0; round < 5; round++) {
        size_t n = 0;

        race_all(t, racers, 3); /* all of machine 0 */
        for (int i = 0; i < N_WORKERS; i++)
            n += racers[i].n;
        assert_int_equal(n, 1);
        test_sql(t, "UPDATE jobs SET lease = 0", NULL, NULL, INT64_MIN);
    }
    test_store_close(t);
}

/* ---- what a worker may write ---- */

/* Row: from; column: to, in the order of job_states. A worker neither cancels nor resumes of itself, and pauses where the machine is at fault. */
static const char *const may[] = {
    /* validating_files */ "11100010",
    /* queued           */ "01100010",
    /* running          */ "01101110",
    /* pausing          */ "00011110",
};

static void a_worker_changes_states_as_drawn(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;

    for (size_t from = 0; from < COUNT_OF(may); from++)
        for (size_t to = 0; to < COUNT_OF(job_states); to++) {
            const struct job_row j = test_job_in(t, job_states[from], &l);

            if (from == 0)
                l = test_take(t, "worker");
            if (may[from][to] == '1') {
                ASSERT_OK(test_change(t, &l, job_states[to], &err));
                assert_string_equal(test_job_now(t, j.id).status, job_states[to]);
            } else {
                ASSERT_FAILS(test_change(t, &l, job_states[to], &err), ERR_INVALID,
                             arena_printf(&t->arena, "is %s, and a worker cannot make it %s",
                                          job_states[from], job_states[to]));
                assert_string_equal(test_job_now(t, j.id).status, job_states[from]);
            }
            test_sql(t, "UPDATE jobs SET status = 'failed', lease = 0", NULL, NULL, INT64_MIN);
        }
    test_store_close(t);
}

/* What is counted are takings in a row that no step came of; a run that goes back tells old steps again. */
static void tries_are_counted_until_a_step_is_done(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    const char *id = test_job_in(t, "running", &l).id;
    struct job_change c = job_change_none();

    assert_int_equal(test_job_now(t, id).tries, 0); /* its files were checked: that was a step */
    for (int64_t i = 1; i <= 3; i++) {
        ASSERT_OK(jobs_release(t->s, &l, &err));
        l = test_take(t, "worker");
        assert_int_equal(test_job_now(t, id).tries, i);
    }
    c.step = 7;
    ASSERT_OK(jobs_change(t->s, &l, &c, NULL, 0, &err));
    assert_int_equal(test_job_now(t, id).tries, 0);
    ASSERT_OK(jobs_release(t->s, &l, &err));
    l = test_take(t, "worker");
    c.step = 6;
    ASSERT_OK(jobs_change(t->s, &l, &c, NULL, 0, &err));
    assert_int_equal(test_job_now(t, id).tries, 1);
    assert_int_equal(test_job_now(t, id).step, 7);
    test_store_close(t);
}

static void a_job_that_has_ended_takes_no_more_writes(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;

    for (size_t i = 4; i < COUNT_OF(job_states); i++) { /* paused and the ends */
        const struct job_row j = test_job_in(t, job_states[i], &l);
        struct job_change c = job_change_none();

        c.step = 99;
        ASSERT_FAILS(jobs_change(t->s, &l, &c, NULL, 0, &err), ERR_CANCELLED, job_states[i]);
        assert_int_equal(test_job_now(t, j.id).step, j.step);
    }
    test_store_close(t);
}

static void a_change_writes_what_it_names_and_nothing_else(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct job_row j = test_job_in(t, "running", &l);
    struct job_change c = job_change_none();
    const struct job_event event = {.key = "step 3",
                                    .level = "info",
                                    .type = "metrics",
                                    .message = "Step 3",
                                    .data = "{\"step\":3}"};

    c.resolved = "{\"n\":1}";
    c.fine_tuned_model = "ft:m";
    c.usage = "{}";
    c.step = 3;
    c.total_steps = 10;
    c.memory_bytes = 77;
    c.estimated_finish = 5000;
    ASSERT_OK(jobs_change(t->s, &l, &c, &event, 1, &err));
    j = test_job_now(t, j.id);
    assert_string_equal(j.status, "running");
    assert_string_equal(j.resolved, "{\"n\":1}");
    assert_string_equal(j.fine_tuned_model, "ft:m");
    assert_int_equal(j.step, 3);
    assert_int_equal(j.total_steps, 10);
    assert_int_equal(j.memory_bytes, 77);
    assert_int_equal(j.estimated_finish, 5000);
    assert_int_equal(j.trained_tokens, -1);
    assert_null(j.result_files);
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM events WHERE job_id = ?1", j.id), 2);

    c = job_change_none();
    c.status = "succeeded";
    c.trained_tokens = 1234;
    c.result_files = "[\"file-r\"]";
    ASSERT_OK(jobs_change(t->s, &l, &c, NULL, 0, &err));
    j = test_job_now(t, j.id);
    assert_string_equal(j.status, "succeeded");
    assert_string_equal(j.resolved, "{\"n\":1}");
    assert_string_equal(j.result_files, "[\"file-r\"]");
    assert_int_equal(j.trained_tokens, 1234);
    assert_int_equal(j.estimated_finish, 0);
    assert_true(j.finished_at > 1700000000 && j.started_at > 1700000000);
    assert_null(j.worker);
    test_store_close(t);
}

static struct checkpoint_row last_of(struct test_store *t, const char *job)
{
    const struct store_page newest = {.limit = 1};
    struct checkpoint_row *c;
    struct error err = {0};
    size_t n;
    bool more;

    ASSERT_OK(checkpoints_list(t->s, job, &newest, &t->arena, &c, &n, &more, &err));
    assert_int_equal(n, 1);
    return c[0];
}

/* Between the two there is no moment at which a kill, or a cancel, could come. */
static void a_model_has_its_name_when_its_job_has_succeeded(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    const struct job_row j = test_job_in(t, "running", &l);
    const struct job_event torn = {.message = "\xff"};
    struct job_change c = job_change_none();
    struct job_row now;

    for (int64_t step = 1; step <= 2; step++) {
        const struct checkpoint_row row = {
            .step = step,
            .name = arena_printf(&t->arena, "ft:x:ckpt-step-%d", (int)step),
            .dir = arena_printf(&t->arena, "step-%d", (int)step)};

        ASSERT_OK(checkpoints_put(t->s, &l, &row, &err));
    }
    c.status = "succeeded";
    c.last_checkpoint = "ft:x";
    assert_false(jobs_change(t->s, &l, &c, &torn, 1, &err)); /* the last thing of it fails */
    assert_string_equal(test_job_now(t, j.id).status, "running");
    assert_string_equal(last_of(t, j.id).name, "ft:x:ckpt-step-2");
    ASSERT_OK(jobs_ask(t->s, t->project, str_of(j.id), JOB_CANCEL, &t->arena, &now, &err));
    ASSERT_FAILS(jobs_change(t->s, &l, &c, NULL, 0, &err), ERR_CANCELLED, "cancelled");
    assert_string_equal(last_of(t, j.id).name, "ft:x:ckpt-step-2");

    const struct job_row other = test_job_in(t, "running", &l);
    const struct checkpoint_row row = {.step = 7,
                                       .name = arena_text(&t->arena, STR("ft:y:ckpt-step-7")),
                                       .dir = arena_text(&t->arena, STR("step-7"))};
    ASSERT_OK(checkpoints_put(t->s, &l, &row, &err));
    c.last_checkpoint = "ft:y";
    ASSERT_OK(jobs_change(t->s, &l, &c, NULL, 0, &err));
    assert_string_equal(test_job_now(t, other.id).status, "succeeded");
    assert_string_equal(last_of(t, other.id).name, "ft:y");
    assert_string_equal(last_of(t, j.id).name, "ft:x:ckpt-step-2"); /* another's */
    test_store_close(t);
}

static void a_failed_job_says_why(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct job_row j;
    struct job_change c = job_change_none();

    test_job(t, t->project);
    l = test_take(t, "w");
    c.status = "failed";
    c.error_code = "invalid_training_file";
    c.error_message = "line 3";
    c.error_param = "training_file";
    ASSERT_OK(jobs_change(t->s, &l, &c, NULL, 0, &err));
    j = test_job_now(t, l.job_id);
    assert_string_equal(j.error_code, "invalid_training_file");
    assert_string_equal(j.error_message, "line 3");
    assert_string_equal(j.error_param, "training_file");
    test_store_close(t);
}

/* ---- the end is told ---- */

static void the_end_of_a_job_is_told_to_endpoints_once(void **state)
{
    static const char *const ends[] = {"succeeded", "failed", "cancelled"};
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    const struct document endpoint = {
        .kind = "webhook_endpoint",
        .id = "we_1",
        .project_id = t->project,
        .body = "{\"event_types\":[\"fine_tuning.job.succeeded\",\"fine_tuning.job.cancelled\"]}"};
    struct delivery *d;
    struct lease l;
    size_t n;

    ASSERT_OK(documents_add(t->s, &endpoint, NULL, 0, &err));
    for (size_t i = 0; i < COUNT_OF(ends); i++) {
        const struct job_row j = test_job_in(t, ends[i], &l);

        ASSERT_OK(outbox_take(t->s, 0, 600, 10, &t->arena, &d, &n, &err));
        assert_int_equal(n, strcmp(ends[i], "failed") != 0);
        if (n == 1) {
            const char *want = arena_printf(&t->arena,
                                            "{\"object\":\"event\",\"id\":\"%s\",\"type\":"
                                            "\"fine_tuning.job.%s\",\"created_at\":%lld,"
                                            "\"data\":{\"id\":\"%s\"}}",
                                            d->id, ends[i], (long long)j.finished_at, j.id);

            assert_string_equal(d->body, want);
            assert_string_equal(d->endpoint_id, "we_1");
            assert_string_equal(
                d->id, store_id_of("evt_", str_of(arena_printf(&t->arena, "%s %s", j.id, ends[i])),
                                   &t->arena));
        }
    }
    test_store_close(t);
}

/* ---- workers ---- */

static void workers_are_seen_and_forgotten(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct worker_row w = {.name = arena_text(&t->arena, STR("a")),
                           .machine = arena_text(&t->arena, STR("m")),
                           .version = arena_text(&t->arena, STR("1")),
                           .memory_bytes = 5},
                      *list;
    struct store_figures figures;
    size_t n;

    ASSERT_OK(workers_seen(t->s, &w, &err));
    w.job_id = arena_text(&t->arena, STR("ftjob-1"));
    ASSERT_OK(workers_seen(t->s, &w, &err));
    ASSERT_OK(workers_list(t->s, &t->arena, &list, &n, &err));
    assert_int_equal(n, 1);
    assert_string_equal(list[0].job_id, "ftjob-1");
    assert_true(list[0].seen_at > 1700000000 && list[0].started_at > 1700000000);
    const int64_t now = list[0].seen_at, day = 86400;
    w.name = arena_text(&t->arena, STR("b"));
    ASSERT_OK(workers_seen(t->s, &w, &err));
    test_sql(t, "UPDATE workers SET seen_at = ?2 WHERE name = ?1", "a", NULL,
             now - WORKER_SILENT_SECONDS - 60); /* killed, maybe */
    ASSERT_OK(workers_list(t->s, &t->arena, &list, &n, &err));
    assert_int_equal(n, 1);
    assert_string_equal(list[0].name, "b");
    ASSERT_OK(store_count(t->s, &figures, &err));
    assert_int_equal(figures.workers, 1);
    ASSERT_OK(jobs_release_worker(t->s, "b", &err)); /* ended */
    ASSERT_OK(workers_list(t->s, &t->arena, &list, &n, &err));
    assert_int_equal(n, 0);
    ASSERT_OK(store_count(t->s, &figures, &err));
    assert_int_equal(figures.workers, 0);
    ASSERT_OK(workers_seen(t->s, &w, &err)); /* the same name, again */
    ASSERT_OK(workers_list(t->s, &t->arena, &list, &n, &err));
    assert_int_equal(n, 1);
    ASSERT_OK(workers_sweep(t->s, 0, &err));
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM workers", NULL), 2);
    ASSERT_OK(workers_sweep(t->s, now + day - WORKER_SILENT_SECONDS, &err));
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM workers", NULL), 1);
    ASSERT_OK(workers_sweep(t->s, now + day + 60, &err));
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM workers", NULL), 0);
    test_store_close(t);
}

/* It is started anew: its jobs wait for it, and are not told that they fit nowhere. */
static void a_machine_whose_worker_ended_is_remembered_for_a_while(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    const struct worker_row large = {.name = arena_text(&t->arena, STR("large")),
                                     .machine = arena_text(&t->arena, STR("other")),
                                     .version = arena_text(&t->arena, STR("1")),
                                     .memory_bytes = 1000};
    int64_t most;

    ASSERT_OK(workers_seen(t->s, &large, &err));
    ASSERT_OK(jobs_release_worker(t->s, "large", &err));
    ASSERT_OK(workers_most_bytes(t->s, "m", 10, &most, &err));
    assert_int_equal(most, 1000);
    test_store_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(a_running_job_survives_an_upgrade),
        ON_BOTH(each_job_is_taken_exactly_once),
        ON_BOTH(the_oldest_job_comes_first_whatever_its_state),
        ON_BOTH(a_job_that_rests_is_taken_by_nobody_until_somebody_asks_for_it),
        ON_BOTH(only_some_states_are_worked_on),
        ON_BOTH(a_pause_outlives_its_worker),
        ON_BOTH(a_worker_that_leaves_does_not_undo_a_pause),
        ON_BOTH(who_lost_the_lease_writes_nothing),
        ON_BOTH(a_lease_is_not_taken_before_its_end),
        ON_BOTH(a_job_that_was_taken_back_waits_for_its_worker),
        ON_BOTH(a_job_waits_until_its_memory_is_free),
        ON_BOTH(a_job_that_fits_nowhere_is_given_to_whoever_asks),
        ON_BOTH(a_large_job_does_not_wait_for_ever),
        ON_BOTH(files_are_checked_while_a_large_job_waits),
        ON_BOTH(a_job_of_unknown_memory_fits),
        ON_BOTH(the_memory_of_a_machine_is_not_given_twice),
        ON_BOTH(a_worker_changes_states_as_drawn),
        ON_BOTH(tries_are_counted_until_a_step_is_done),
        ON_BOTH(a_job_that_has_ended_takes_no_more_writes),
        ON_BOTH(a_change_writes_what_it_names_and_nothing_else),
        ON_BOTH(a_model_has_its_name_when_its_job_has_succeeded),
        ON_BOTH(a_failed_job_says_why),
        ON_BOTH(the_end_of_a_job_is_told_to_endpoints_once),
        ON_BOTH(workers_are_seen_and_forgotten),
        ON_BOTH(a_machine_whose_worker_ended_is_remembered_for_a_while),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
