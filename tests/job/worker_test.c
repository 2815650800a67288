/*
 * worker_test.c - what a worker does with a job whose work is a function of the test's, over both databases.
 */
#include "support/jobs.h"
#include "support/support.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "job/job_record.h"
#include "job/worker.h"
#include "store/files.h"
#include "text/json.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct error err;

#define SUITE_SECONDS 30 /* how long a test waits for what must come */

/* One worker in a thread of its own. */
struct bench {
    struct test_store *t;
    struct worker_options opt;
    atomic_bool stop;
    pthread_t thread;
    atomic_int n_begun; /* times that work was called */
    atomic_int ask;     /* what the last work was asked for */
    atomic_bool writes; /* whether its last write was accepted */
    char said[4096];    /* its log: "event state code message" a line; for after stop() */
};

static void note(void *ctx, const struct worker_note *n)
{
    struct bench *b = ctx;
    const size_t len = strlen(b->said);

    snprintf(b->said + len, sizeof b->said - len, "%s %s %s %s\n", n->event,
             n->state != NULL ? n->state : "-", n->code != NULL ? n->code : "-",
             n->message != NULL ? n->message : "-");
}

static void *run_worker(void *ctx)
{
    struct bench *b = ctx;
    struct error e = {0};

    if (!worker_run(&b->opt, &e))
        print_error("%s\n", e.message);
    return NULL;
}

static void start(struct bench *b, struct test_store *t, work_fn *work)
{
    *b = (struct bench){.t = t};
    b->opt = (struct worker_options){.store = t->s,
                                     .machine_bytes = (int64_t)1 << 30,
                                     .lease_seconds = 3,
                                     .idle_ms = 20,
                                     .stop = &b->stop,
                                     .work = work,
                                     .ctx = b,
                                     .log = note};
    assert_int_equal(pthread_create(&b->thread, NULL, run_worker, b), 0);
}

static void stop(struct bench *b)
{
    atomic_store(&b->stop, true);
    pthread_join(b->thread, NULL);
}

static const char *new_job(struct test_store *t)
{
    struct job_row j = {.project_id = (char *)(uintptr_t)t->project,
                        .method = arena_text(&t->arena, STR("reinforcement")),
                        .model = arena_text(&t->arena, STR("tiny")),
                        .training_file = arena_text(&t->arena, STR("file-none")),
                        .body = arena_text(&t->arena, STR("{}")),
                        .seed = 1};

    ASSERT_OK(jobs_add(t->s, &j, NULL, 0, &t->arena, &err));
    return j.id;
}

static struct job_row get(struct test_store *t, const char *id)
{
    struct job_row j;

    ASSERT_OK(jobs_get(t->s, t->project, str_of(id), &t->arena, &j, &err));
    return j;
}

static void wait_for_state(struct test_store *t, const char *id, const char *state)
{
    const double until = clock_seconds() + SUITE_SECONDS;

    while (strcmp(get(t, id).status, state) != 0) {
        if (clock_seconds() > until)
            fail_msg("the job is %s, not %s", get(t, id).status, state);
        usleep(10000);
    }
}

static void wait_for(atomic_int *n, int at_least)
{
    const double until = clock_seconds() + SUITE_SECONDS;

    while (atomic_load(n) < at_least) {
        if (clock_seconds() > until)
            fail_msg("%d, not %d", atomic_load(n), at_least);
        usleep(10000);
    }
}

/* The files' check takes no time; then it works until it is asked for something. */
static bool work_until_asked(void *ctx, struct work *w, struct error *e)
{
    struct bench *b = ctx;

    if (strcmp(w->job.status, "validating_files") == 0)
        return job_validated(w, 1000, e);
    if (!job_started(w, e))
        return false;
    atomic_fetch_add(&b->n_begun, 1);
    while (!atomic_load(&w->stop))
        usleep(1000);
    const enum work_ask ask = (enum work_ask)atomic_load(&w->ask);
    atomic_store(&b->ask, (int)ask);
    if (ask == WORK_PAUSE)
        return job_paused(w, "ft:tiny:o::x", "paused", e);
    if (ask == WORK_LEAVE)
        return job_requeued(w, e);
    struct error unheard = {0};
    atomic_store(&b->writes, job_record_event(w, "info", "late", "said too late", &unheard));
    return true;
}

/* A listener is not told how much an event may have. */
static bool tell_too_much(void *ctx, struct work *w, struct error *e)
{
    struct job_record record = {.work = w};
    const struct run_listener l = job_record_listener(&record);
    const size_t n = LIMIT_LINE_BYTES + 1;
    char *text = malloc(n);

    if (strcmp(w->job.status, "validating_files") == 0) {
        free(text);
        return job_validated(w, 1000, e);
    }
    assert_non_null(text);
    memset(text, 'x', n);
    json_t *event = json_pack("{s:s, s:s, s:s, s:s, s:I, s:{s:i, s:s%}}", "id", "ftevent-large",
                              "level", "info", "type", "metrics", "message", "Step 1", "created_at",
                              (json_int_t)1, "data", "step", 1, "notes", text, n);
    const bool ok = job_started(w, e) && l.event(l.ctx, event, NULL, e);

    free(text);
    json_decref(event);
    job_record_release(&record);
    atomic_fetch_add(&((struct bench *)ctx)->n_begun, 1);
    return ok && job_requeued(w, e);
}

static void what_is_too_long_for_an_event_is_left_out_of_it(void **state)
{
    struct test_store *t = test_store_open(state);
    const struct store_page newest = {.limit = 1};
    const char *id = new_job(t);
    struct job_event *events;
    json_t *data = NULL;
    struct bench b;
    size_t n;
    bool more;

    start(&b, t, tell_too_much);
    wait_for(&b.n_begun, 1);
    stop(&b);
    ASSERT_OK(events_list(t->s, id, &newest, &t->arena, &events, &n, &more, &err));
    assert_int_equal(n, 1);
    assert_string_equal(events[0].id, "ftevent-large");
    assert_non_null(strstr(events[0].message, "Step 1 (its data is left out: "));
    ASSERT_OK(json_parse(str_of(events[0].data), "the data", &data, &err));
    json_decref(data);
    test_store_close(t);
}

static int64_t n_alive(struct test_store *t)
{
    struct worker_row *list;
    size_t n;

    ASSERT_OK(workers_list(t->s, &t->arena, &list, &n, &err));
    return (int64_t)n;
}

static void a_worker_is_heard_of_while_it_works_and_not_when_it_has_ended(void **state)
{
    struct test_store *t = test_store_open(state);
    const double until = clock_seconds() + SUITE_SECONDS;
    struct bench b;

    new_job(t);
    start(&b, t, work_until_asked);
    wait_for(&b.n_begun, 1);
    assert_int_equal(n_alive(t), 1);
    test_sql(t, "UPDATE workers SET seen_at = 5", NULL, NULL, INT64_MIN); /* hours later */
    assert_int_equal(n_alive(t), 0);
    while (n_alive(t) == 0) {
        assert_true(clock_seconds() < until);
        usleep(10000);
    }
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM workers WHERE job_id IS NOT NULL", NULL),
                     1);
    stop(&b);
    assert_int_equal(n_alive(t), 0);
    test_store_close(t);
}

static bool nobody_works(struct test_store *t)
{
    return test_sql_int(t, "SELECT COUNT(*) FROM jobs WHERE lease <> 0", NULL) == 0;
}

static void a_job_is_paused_and_goes_on(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *id = new_job(t);
    struct job_row j;
    struct bench b;

    start(&b, t, work_until_asked);
    wait_for(&b.n_begun, 1);
    assert_string_equal(get(t, id).status, "running");
    ASSERT_OK(jobs_ask(t->s, t->project, str_of(id), JOB_PAUSE, &t->arena, &j, &err));
    wait_for_state(t, id, "paused");
    assert_true(nobody_works(t));
    assert_int_equal(atomic_load(&b.ask), WORK_PAUSE);
    ASSERT_OK(jobs_ask(t->s, t->project, str_of(id), JOB_RESUME, &t->arena, &j, &err));
    assert_string_equal(j.status, "queued");
    wait_for(&b.n_begun, 2);
    stop(&b);
    assert_int_equal(atomic_load(&b.ask), WORK_LEAVE);
    assert_string_equal(get(t, id).status, "queued"); /* for the next worker */
    assert_string_equal(b.said, "taken validating_files - -\ndone queued - -\n"
                                "taken queued - -\ndone paused - paused\n"
                                "taken queued - -\ndone queued - -\n");
    assert_true(nobody_works(t));
    test_store_close(t);
}

static void a_cancelled_job_is_left_at_once_and_nothing_more_is_written(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *id = new_job(t);
    struct job_row j;
    struct bench b;

    start(&b, t, work_until_asked);
    wait_for(&b.n_begun, 1);
    ASSERT_OK(jobs_ask(t->s, t->project, str_of(id), JOB_CANCEL, &t->arena, &j, &err));
    assert_string_equal(j.status, "cancelled");
    atomic_store(&b.writes, true);
    wait_for(&b.ask, WORK_LOST);
    stop(&b);
    assert_false(atomic_load(&b.writes));
    assert_non_null(strstr(b.said, "done - - the job was cancelled, or another worker has it\n"));
    assert_string_equal(get(t, id).status, "cancelled");
    assert_true(nobody_works(t));
    assert_int_equal(
        test_sql_int(t, "SELECT COUNT(*) FROM events WHERE message = ?1", "said too late"), 0);
    test_store_close(t);
}

static void who_lost_the_lease_writes_nothing(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *id = new_job(t);
    struct bench b;

    start(&b, t, work_until_asked);
    wait_for(&b.n_begun, 1);
    /* as another worker takes it whose clock saw this one's lease end */
    test_sql(t,
             "UPDATE jobs SET attempt = attempt + 1, worker = 'another', lease_until = 99999999999 "
             "WHERE id = ?1",
             id, NULL, INT64_MIN);
    atomic_store(&b.writes, true);
    wait_for(&b.ask, WORK_LOST);
    stop(&b);
    assert_false(atomic_load(&b.writes));
    assert_string_equal(get(t, id).worker, "another");
    assert_string_equal(get(t, id).status, "running");
    test_store_close(t);
}

/* Cannot be done here, whoever tries. */
static bool fail_always(void *ctx, struct work *w, struct error *e)
{
    struct bench *b = ctx;

    (void)w;
    atomic_fetch_add(&b->n_begun, 1);
    return fail(e, ERR_IO, "the disk is on fire");
}

#define RESTS "lease = 0 AND lease_until > 0"

static void a_job_that_cannot_be_worked_on_is_tried_again_and_then_fails(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *id = new_job(t);
    const double until = clock_seconds() + SUITE_SECONDS;
    struct bench b;
    int n_rests = 0;

    start(&b, t, fail_always);
    while (strcmp(get(t, id).status, "failed") != 0) {
        if (test_sql_int(t, "SELECT COUNT(*) FROM jobs WHERE " RESTS, NULL) == 1) {
            n_rests++;
            assert_int_equal(atomic_load(&b.n_begun), n_rests); /* not again meanwhile */
            test_sql(t, "UPDATE jobs SET lease_until = 0 WHERE " RESTS, NULL, NULL, INT64_MIN);
        }
        assert_true(clock_seconds() < until);
        usleep(5000);
    }
    assert_int_equal(n_rests, WORKER_TRIES - 1);
    stop(&b);
    assert_int_equal(atomic_load(&b.n_begun), WORKER_TRIES);
    assert_non_null(strstr(get(t, id).error_message, "the disk is on fire"));
    assert_non_null(strstr(b.said, "not done - - the disk is on fire\n"));
    assert_non_null(strstr(b.said, "given up failed server_error the disk is on fire\n"));
    assert_true(nobody_works(t));
    test_store_close(t);
}

/* Somebody asks for a pause, which the worker has not heard of when the work fails. */
static bool fail_while_pausing(void *ctx, struct work *w, struct error *e)
{
    struct bench *b = ctx;
    struct job_row j;

    return (strcmp(w->job.status, "pausing") == 0 || job_started(w, e)) &&
           (strcmp(w->job.status, "pausing") == 0 ||
            jobs_ask(w->store, b->t->project, str_of(w->job.id), JOB_PAUSE, w->arena, &j, e)) &&
           fail_always(ctx, w, e);
}

static void a_job_that_is_to_be_paused_does_not_fail_for_its_tries(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *id = new_job(t);
    struct job_row j;
    struct bench b;

    test_sql(t, "UPDATE jobs SET status = 'queued', tries = ?2 WHERE id = ?1", id, NULL,
             WORKER_TRIES - 1);
    start(&b, t, fail_while_pausing);
    wait_for_state(t, id, "paused");
    stop(&b);
    j = get(t, id);
    assert_null(j.error_code);
    assert_null(j.error_message);
    assert_int_equal(j.finished_at, 0);
    assert_int_equal(j.tries, 0); /* resumed, it has all of them again */
    assert_non_null(strstr(b.said, "given up paused - the disk is on fire\n"));
    assert_true(nobody_works(t));
    assert_int_equal(
        test_sql_int(t, "SELECT COUNT(*) FROM events WHERE message = ?1", "the disk is on fire"),
        1);
    ASSERT_OK(jobs_ask(t->s, t->project, str_of(id), JOB_RESUME, &t->arena, &j, &err));
    assert_string_equal(j.status, "queued");

    /* one that killed its workers, and is taken once more */
    test_sql(t, "UPDATE jobs SET status = 'pausing', ask = 'pause', tries = ?2 WHERE id = ?1", id,
             NULL, WORKER_TRIES);
    start(&b, t, fail_while_pausing);
    wait_for_state(t, id, "paused");
    stop(&b);
    assert_int_equal(atomic_load(&b.n_begun), 0);
    assert_null(get(t, id).error_code);
    test_store_close(t);
}

static bool fail_under_way(void *ctx, struct work *w, struct error *e)
{
    if (strcmp(w->job.status, "validating_files") == 0)
        return job_validated(w, 1000, e);
    return job_started(w, e) && fail_always(ctx, w, e);
}

static void a_job_that_rests_is_queued(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *id = new_job(t);
    struct bench b;

    start(&b, t, fail_under_way);
    wait_for(&b.n_begun, 1);
    stop(&b);
    assert_true(nobody_works(t));
    assert_string_equal(get(t, id).status, "queued");
    test_store_close(t);
}

/* All of a job's ends, as they are when nothing goes wrong; then again, as after a kill right behind them. */
static bool succeed(void *ctx, struct work *w, struct error *e)
{
    struct bench *b = ctx;
    const struct checkpoint_row c = {.step = 3,
                                     .created_at = 1,
                                     .job_id = w->job.id,
                                     .name = arena_text(w->arena, STR("ft:tiny:o::x:ckpt-step-3")),
                                     .metrics = arena_text(w->arena, STR("{\"step\":3}")),
                                     .dir = arena_text(w->arena, STR("step-3")),
                                     .kept = true};
    const char *csv = arena_printf(w->arena, "%s/metrics.csv", store_home(w->store));

    if (strcmp(w->job.status, "validating_files") == 0)
        return job_validated(w, 1000, e);
    atomic_fetch_add(&b->n_begun, 1);
    return job_started(w, e) && checkpoints_put(w->store, &w->lease, &c, e) &&
           file_put(csv, STR("step,train_mean_reward\n1,0.5\n"), e) &&
           job_succeeded(w, "ft:tiny:o::x", csv, 1234, e);
}

static void a_job_ends_with_its_model_and_its_result_file(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *id = new_job(t);
    struct tuned_model m;
    struct stored_file f;
    struct bench b;

    start(&b, t, succeed);
    wait_for_state(t, id, "succeeded");
    stop(&b);
    const struct job_row j = get(t, id);
    assert_non_null(strstr(b.said, "done succeeded - -\n"));
    assert_string_equal(j.fine_tuned_model, "ft:tiny:o::x");
    assert_int_equal(j.trained_tokens, 1234);
    assert_true(j.finished_at > 0);
    ASSERT_OK(models_get(t->s, t->project, STR("ft:tiny:o::x"), &t->arena, &m, &err));
    assert_string_equal(m.checkpoint_dir, "step-3");
    assert_int_equal(
        test_sql_int(t, "SELECT COUNT(*) FROM checkpoints WHERE name = ?1", "ft:tiny:o::x"), 1);
    const char *file =
        arena_printf(&t->arena, "%.*s", (int)strlen(j.result_files) - 4, j.result_files + 2);
    ASSERT_OK(files_get(t->s, t->project, str_of(file), &t->arena, &f, &err));
    assert_string_equal(f.purpose, "fine-tune-results");
    assert_true(file_exists(files_path(t->s, f.id, &t->arena)));
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM events WHERE message = ?1",
                                  "The job has successfully completed"),
                     1);
    /* killed right before the end was written: done again */
    test_sql(t, "UPDATE jobs SET status = 'running', finished_at = 0 WHERE id = ?1", id, NULL,
             INT64_MIN);
    start(&b, t, succeed);
    wait_for_state(t, id, "succeeded");
    stop(&b);
    assert_string_equal(get(t, id).result_files, j.result_files);
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM events WHERE message = ?1",
                                  "The job has successfully completed"),
                     1);
    assert_int_equal(
        test_sql_int(t, "SELECT COUNT(*) FROM files WHERE purpose = ?1", "fine-tune-results"), 1);
    test_store_close(t);
}

/* Its owner filled the quota while it ran. */
static void a_job_ends_with_its_result_file_whatever_the_quota(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *id = new_job(t);
    struct stored_file f = {.project_id = (char *)(uintptr_t)t->project,
                            .filename = arena_text(&t->arena, STR("a.jsonl")),
                            .purpose = arena_text(&t->arena, STR("fine-tune"))};
    struct bench b;

    test_sql(t, "UPDATE projects SET quota_bytes = 1 WHERE id = ?1", t->project, NULL, INT64_MIN);
    start(&b, t, succeed);
    wait_for_state(t, id, "succeeded");
    stop(&b);
    assert_int_equal(
        test_sql_int(t, "SELECT COUNT(*) FROM files WHERE purpose = ?1", "fine-tune-results"), 1);
    /* it counts against what its owner uploads */
    ASSERT_FAILS(files_add(t->s, test_incoming(t, STR("x")), &f, &t->arena, &err), ERR_LIMIT,
                 "quota");
    test_store_close(t);
}

/* A run of six steps without a model, with checkpoints after the third and the last; done already, it goes on from there. */
static bool run_six_steps(void *ctx, struct work *w, struct error *e)
{
    struct bench *b = ctx;
    const char *dir = arena_printf(w->arena, "%s/runs/%s", store_home(w->store), w->job.id);
    struct job_record record = {.work = w, .run_dir = dir};
    const struct run_folder_options opt = {.method = METHOD_SUPERVISED,
                                           .id = w->job.id,
                                           .fine_tuned_model = "ft:tiny:o::x",
                                           .resume =
                                               file_exists(file_join(w->arena, dir, "job.json")),
                                           .listener = job_record_listener(&record)};
    struct run_folder *folder = NULL;

    if (strcmp(w->job.status, "validating_files") == 0)
        return job_validated(w, 1000, e);
    bool ok = job_started(w, e) && run_folder_open(dir, &opt, &folder, e);
    const struct progress_sink sink = ok ? run_folder_sink(folder) : (struct progress_sink){0};
    if (opt.resume)
        ok = ok && sink.rewind(sink.ctx, 6, e);
    for (size_t step = 1; ok && !opt.resume && step <= 6; step++) {
        const struct fit_metrics m = {.step = step, .total_steps = 6, .train.loss = 1};
        const struct checkpoint_info c = {.step = step, .fit = &m};

        ok = sink.fit_step(sink.ctx, &m, e);
        if (ok && step % 3 == 0)
            ok = file_make_dirs(arena_printf(w->arena, "%s/checkpoints/step-%zu", dir, step), e) &&
                 sink.checkpoint(sink.ctx, &c, e);
    }
    run_folder_close(folder);
    job_record_release(&record);
    atomic_fetch_add(&b->n_begun, 1);
    return ok && job_succeeded(w, "ft:tiny:o::x", file_join(w->arena, dir, "metrics.csv"), 9, e);
}

static void rows_that_are_older_than_the_runs_folder_are_made_up_for(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *id = new_job(t);
    struct tuned_model m;
    struct bench b;

    start(&b, t, run_six_steps);
    wait_for_state(t, id, "succeeded");
    stop(&b);
    const int64_t n_events = test_sql_int(t, "SELECT COUNT(*) FROM events", NULL);
    /* the rows as of step 2, as in a backup, whose rows are copied before the runs' folders are */
    test_sql(t,
             "DELETE FROM events WHERE seq > (SELECT seq FROM events WHERE job_id = ?1 "
             "AND event_key = 'metrics 2')",
             id, NULL, INT64_MIN);
    test_sql(t, "DELETE FROM checkpoints WHERE job_id = ?1", id, NULL, INT64_MIN);
    test_sql(
        t,
        "UPDATE jobs SET status = 'running', step = 2, finished_at = 0, fine_tuned_model = NULL "
        "WHERE id = ?1",
        id, NULL, INT64_MIN);
    start(&b, t, run_six_steps);
    wait_for_state(t, id, "succeeded");
    stop(&b);
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM events", NULL), n_events);
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM checkpoints WHERE kept = 1", NULL), 2);
    assert_int_equal(get(t, id).step, 6);
    ASSERT_OK(models_get(t->s, t->project, STR("ft:tiny:o::x"), &t->arena, &m, &err));
    assert_int_equal(m.step, 6); /* and not what the rows had last */
    assert_string_equal(m.checkpoint_dir, "step-6");
    ASSERT_OK(models_get(t->s, t->project, STR("ft:tiny:o::x:ckpt-step-3"), &t->arena, &m, &err));
    test_store_close(t);
}

static void a_database_that_is_away_is_told_from_a_machine_at_fault(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *id = new_job(t);
    struct work w = {.store = t->s, .lease = test_take(t, "worker"), .arena = &t->arena};
    struct job_record record = {.work = &w, .run_dir = "none"};
    const struct run_listener l = job_record_listener(&record);
    json_t *event = json_pack("{s:s,s:s,s:s,s:s,s:{}}", "id", "ftevent-1", "level", "info", "type",
                              "message", "message", "hello", "data");

    ASSERT_OK(l.event(l.ctx, event, "first", &err));
    test_sql(t, "ALTER TABLE events RENAME TO events_away", NULL, NULL, INT64_MIN);
    assert_false(l.event(l.ctx, event, "second", &err));
    assert_int_equal(err.kind, ERR_IO);
    /* of SQLite it is this machine's disk that is at fault */
    assert_int_equal(record.database_is_away, t->on_postgres);
    test_sql(t, "ALTER TABLE events_away RENAME TO events", NULL, NULL, INT64_MIN);
    job_record_release(&record);
    record = (struct job_record){.work = &w, .run_dir = "none"};
    test_sql(t, "UPDATE jobs SET attempt = attempt + 1 WHERE id = ?1", id, NULL, INT64_MIN);
    err = (struct error){0};
    ASSERT_FAILS(l.event(l.ctx, event, "third", &err), ERR_CANCELLED, "another worker");
    assert_false(record.database_is_away);
    json_decref(event);
    job_record_release(&record);
    test_store_close(t);
}

static bool be_refused(void *ctx, struct work *w, struct error *e)
{
    struct error why = {0};

    (void)ctx;
    (void)!fail_param(&why, ERR_INVALID, "training_file",
                      "file-none, line 3: \"messages\" is missing");
    return job_failed(w, &why, e);
}

static void a_bad_file_fails_the_job_and_says_where(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *id = new_job(t);
    struct bench b;

    start(&b, t, be_refused);
    wait_for_state(t, id, "failed");
    stop(&b);
    const struct job_row j = get(t, id);
    assert_string_equal(j.error_code, "invalid_training_file");
    assert_string_equal(j.error_param, "training_file");
    assert_string_equal(j.error_message, "file-none, line 3: \"messages\" is missing");
    /* the log quotes no file */
    assert_string_equal(b.said, "taken validating_files - -\n"
                                "done failed invalid_training_file the training file cannot be "
                                "used; the job's error says why\n");
    test_store_close(t);
}

static bool need_too_much(void *ctx, struct work *w, struct error *e)
{
    struct error why = {0};

    (void)ctx;
    (void)!fail(&why, ERR_NO_MEMORY, "the job needs 9 GB, and 1 GB is there");
    return job_failed(w, &why, e);
}

static void the_log_says_what_is_about_the_machine(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *id = new_job(t);
    struct bench b;

    start(&b, t, need_too_much);
    wait_for_state(t, id, "failed");
    stop(&b);
    assert_non_null(
        strstr(b.said, "done failed out_of_memory the job needs 9 GB, and 1 GB is there\n"));
    test_store_close(t);
}

static void ends_when_nothing_waits(void **state)
{
    struct test_store *t = test_store_open(state);
    struct bench b = {.t = t};

    b.opt = (struct worker_options){.store = t->s, .work = fail_always, .ctx = &b, .once = true};
    ASSERT_OK(worker_run(&b.opt, &err));
    assert_int_equal(atomic_load(&b.n_begun), 0);
    b.opt.once = false;
    b.opt.parent = 1; /* which is not ours: it is gone */
    ASSERT_OK(worker_run(&b.opt, &err));
    test_store_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(a_job_is_paused_and_goes_on),
        ON_BOTH(a_cancelled_job_is_left_at_once_and_nothing_more_is_written),
        ON_BOTH(who_lost_the_lease_writes_nothing),
        ON_BOTH(a_job_that_cannot_be_worked_on_is_tried_again_and_then_fails),
        ON_BOTH(a_job_that_is_to_be_paused_does_not_fail_for_its_tries),
        ON_BOTH(a_job_that_rests_is_queued),
        ON_BOTH(a_job_ends_with_its_model_and_its_result_file),
        ON_BOTH(a_job_ends_with_its_result_file_whatever_the_quota),
        ON_BOTH(rows_that_are_older_than_the_runs_folder_are_made_up_for),
        ON_BOTH(a_database_that_is_away_is_told_from_a_machine_at_fault),
        ON_BOTH(a_bad_file_fails_the_job_and_says_where),
        ON_BOTH(the_log_says_what_is_about_the_machine),
        ON_BOTH(ends_when_nothing_waits),
        ON_BOTH(what_is_too_long_for_an_event_is_left_out_of_it),
        ON_BOTH(a_worker_is_heard_of_while_it_works_and_not_when_it_has_ended),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
