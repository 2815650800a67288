/*
 * events_test.c - what jobs told: once each, in one order, none missed by whoever follows.
 */
#include "base/clock.h"
#include "base/size.h"
#include "support/jobs.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

static struct lease running(struct test_store *t)
{
    struct lease l;

    test_job_in(t, "running", &l);
    return l;
}

static void tell(struct test_store *t, const struct lease *l, const struct job_event *e, size_t n)
{
    const struct job_change c = job_change_none();
    struct error err = {0};

    ASSERT_OK(jobs_change(t->s, l, &c, e, n, &err));
}

static void an_event_told_twice_is_one(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    const struct lease l = running(t), other = running(t);
    const struct job_event e = {.key = "step 1",
                                .level = "info",
                                .type = "metrics",
                                .message = "Step 1",
                                .data = "{\"step\":1}"},
                           changed = {.key = "step 1", .message = "otherwise"};
    const struct job_event free_ones[] = {{.message = "same"}, {.message = "same"}};
    const struct store_page page = {.limit = 10, .ascending = true};
    struct job_event *list;
    size_t n;
    bool more;

    tell(t, &l, &e, 1);
    tell(t, &l, &e, 1);
    tell(t, &l, &changed, 1);
    tell(t, &other, &e, 1); /* the key of another job */
    ASSERT_OK(events_list(t->s, l.job_id, &page, &t->arena, &list, &n, &more, &err));
    assert_int_equal(n, 2);
    assert_string_equal(list[1].message, "Step 1");
    assert_string_equal(list[1].data, "{\"step\":1}");
    assert_string_equal(list[1].type, "metrics");
    assert_string_equal(list[1].key, "step 1");
    assert_string_equal(
        list[1].id,
        store_id_of("ftevent-", str_of(arena_printf(&t->arena, "%s step 1", l.job_id)), &t->arena));
    ASSERT_OK(events_list(t->s, other.job_id, &page, &t->arena, &list, &n, &more, &err));
    assert_int_equal(n, 2);

    tell(t, &l, free_ones, 2); /* without a key each is its own */
    ASSERT_OK(events_list(t->s, l.job_id, &page, &t->arena, &list, &n, &more, &err));
    assert_int_equal(n, 4);
    assert_string_equal(list[3].level, "info");
    assert_string_equal(list[3].type, "message");
    test_store_close(t);
}

static void events_page_newest_first(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    const struct lease l = running(t), other = running(t);
    struct store_page page = {.limit = 2};
    struct job_event *list;
    size_t n;
    bool more;

    for (int i = 1; i <= 3; i++) {
        const struct job_event e = {.key = arena_printf(&t->arena, "%d", i),
                                    .message = arena_printf(&t->arena, "%d", i)};

        tell(t, &l, &e, 1);
        tell(t, &other, &e, 1);
    }
    ASSERT_OK(events_list(t->s, l.job_id, &page, &t->arena, &list, &n, &more, &err));
    assert_int_equal(n, 2);
    assert_true(more);
    assert_string_equal(list[0].message, "3");
    page.after = list[1].id;
    ASSERT_OK(events_list(t->s, l.job_id, &page, &t->arena, &list, &n, &more, &err));
    assert_int_equal(n, 2);
    assert_false(more);
    assert_string_equal(list[0].message, "1");
    ASSERT_FAILS(events_list(t->s, other.job_id, &page, &t->arena, &list, &n, &more, &err),
                 ERR_NOT_FOUND, "after"); /* an event of another job */
    test_store_close(t);
}

static void a_change_that_is_refused_tells_nothing(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    const struct lease l = running(t);
    const struct job_event e = {.message = "never"};
    struct job_change c = job_change_none();
    int64_t before, after;

    ASSERT_OK(events_newest(t->s, &before, &err));
    c.status = "validating_files";
    ASSERT_FAILS(jobs_change(t->s, &l, &c, &e, 1, &err), ERR_INVALID, "is running");
    ASSERT_OK(events_newest(t->s, &after, &err));
    assert_int_equal(before, after);
    test_store_close(t);
}

static void the_feed_goes_on_from_a_number(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct feed_event *feed;
    int64_t newest;
    size_t n;

    ASSERT_OK(events_newest(t->s, &newest, &err));
    assert_int_equal(newest, 0);
    ASSERT_OK(events_after(t->s, 0, 10, &t->arena, &feed, &n, &err));
    assert_int_equal(n, 0);

    const struct job_row a = test_job(t, t->project), b = test_job(t, t->foreign);

    ASSERT_OK(events_after(t->s, 0, 10, &t->arena, &feed, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(feed[0].job_id, a.id);
    assert_string_equal(feed[1].job_id, b.id);
    assert_true(feed[0].event.seq < feed[1].event.seq);
    ASSERT_OK(events_after(t->s, feed[0].event.seq, 10, &t->arena, &feed, &n, &err));
    assert_int_equal(n, 1);
    ASSERT_OK(events_after(t->s, 0, 1, &t->arena, &feed, &n, &err));
    assert_int_equal(n, 1);
    ASSERT_OK(events_newest(t->s, &newest, &err));
    assert_int_equal(newest, feed[0].event.seq + 1);
    test_store_close(t);
}

/* ---- many tell, one follows ---- */

#define N_TELLERS 8
#define N_TOLD 40

struct teller {
    struct test_store *t;
    struct lease l;
    atomic_int *n_running;
    bool ok;
    struct error err;
};

static void *tell_many(void *ctx)
{
    struct teller *w = ctx;
    const struct job_change c = job_change_none();

    w->ok = true;
    for (int i = 0; i < N_TOLD && w->ok; i++) {
        const struct job_event e[] = {{.message = "1"}, {.message = "2"}, {.message = "3"}};

        w->ok = jobs_change(w->t->s, &w->l, &c, e, 1 + (size_t)i % 3, &w->err);
    }
    atomic_fetch_sub(w->n_running, 1);
    return NULL;
}

/* Follows until all have finished and nothing more comes; how many it saw. */
static size_t follow(struct test_store *t, int64_t from, atomic_int *n_running)
{
    struct arena a = {0};
    struct error err = {0};
    size_t total = 0, n;
    bool last;

    do {
        struct feed_event *feed;

        last = atomic_load(n_running) == 0;
        ASSERT_OK(events_after(t->s, from, 1000, &a, &feed, &n, &err));
        for (size_t i = 0; i < n; i++) {
            assert_true(feed[i].event.seq > from);
            from = feed[i].event.seq;
        }
        total += n;
        arena_reset(&a);
    } while (!last || n > 0);
    arena_release(&a);
    return total;
}

static void whoever_follows_misses_none(void **state)
{
    struct test_store *t = test_store_open(state);
    struct teller tellers[N_TELLERS];
    pthread_t threads[N_TELLERS];
    atomic_int n_running = N_TELLERS;
    struct error err = {0};
    size_t want = 0;
    int64_t from;

    for (size_t i = 0; i < N_TELLERS; i++)
        tellers[i] = (struct teller){.t = t, .l = running(t), .n_running = &n_running};
    for (int i = 0; i < N_TOLD; i++)
        want += N_TELLERS * (1 + (size_t)i % 3);
    ASSERT_OK(events_newest(t->s, &from, &err));
    for (size_t i = 0; i < N_TELLERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, tell_many, &tellers[i]), 0);

    const size_t seen = follow(t, from, &n_running);

    for (size_t i = 0; i < N_TELLERS; i++) {
        pthread_join(threads[i], NULL);
        if (!tellers[i].ok)
            fail_msg("%s", tellers[i].err.message);
    }
    assert_int_equal(seen, want);
    test_store_close(t);
}

/* Told, not asserted: how long a page and the feed take behind ten thousand events. */
static void ten_thousand_events_are_no_burden(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    const struct lease l = running(t);
    const struct store_page page = {.limit = 20};
    static struct job_event e[1000];
    struct job_event *list;
    struct feed_event *feed;
    double start, took[3];
    int64_t newest;
    size_t n;
    bool more;

    start = clock_seconds();
    for (size_t i = 0; i < 10; i++) {
        for (size_t k = 0; k < COUNT_OF(e); k++)
            e[k] = (struct job_event){.key = arena_printf(&t->arena, "%zu-%zu", i, k),
                                      .type = "metrics",
                                      .message = "Step 1/10: training loss=0.00",
                                      .data = "{\"step\":1,\"total_steps\":10,\"train_loss\":0}"};
        tell(t, &l, e, COUNT_OF(e));
    }
    took[0] = clock_seconds() - start;
    ASSERT_OK(events_newest(t->s, &newest, &err));
    start = clock_seconds();
    for (int i = 0; i < 100; i++)
        ASSERT_OK(events_list(t->s, l.job_id, &page, &t->arena, &list, &n, &more, &err));
    took[1] = clock_seconds() - start;
    assert_true(n == 20 && more);
    start = clock_seconds();
    for (int i = 0; i < 100; i++)
        ASSERT_OK(events_after(t->s, newest - 20, 100, &t->arena, &feed, &n, &err));
    took[2] = clock_seconds() - start;
    assert_int_equal(n, 20);
    print_message("10,000 events in %.2f s; first page %.2f ms, the newest 20 of all %.2f ms\n",
                  took[0], 10 * took[1], 10 * took[2]);
    test_store_close(t);
}

/* Machines' clocks differ: what is told is dated by the one clock that all share, the database's, like the job's first event. */
static void what_is_told_has_the_databases_time(void **state)
{
    struct test_store *t = test_store_open(state);
    const struct job_row j = test_job(t, t->project);
    const struct job_event e = {.message = "told"};
    const struct store_page page = {.limit = 1};
    struct job_event *list;
    struct error err = {0};
    size_t n;
    bool more;

    test_sql(t,
             "CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql AS "
             "'SELECT to_timestamp(1234567890)'",
             NULL, NULL, INT64_MIN);
    test_sql(t,
             "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path = public, pg_catalog', "
             "current_database()); END $$",
             NULL, NULL, INT64_MIN);
    const struct store_options opt = {.home = t->home, .database = test_database(state)->url};
    store_close(t->s); /* a new connection looks there first */
    ASSERT_OK(store_open(&opt, &t->s, &err));
    ASSERT_OK(events_tell(t->s, j.id, &e, &err));
    ASSERT_OK(events_list(t->s, j.id, &page, &t->arena, &list, &n, &more, &err));
    assert_string_equal(list[0].message, "told");
    assert_int_equal(list[0].created_at, 1234567890);
    test_store_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(an_event_told_twice_is_one),
        ON_BOTH(events_page_newest_first),
        ON_BOTH(a_change_that_is_refused_tells_nothing),
        ON_BOTH(the_feed_goes_on_from_a_number),
        ON_BOTH(whoever_follows_misses_none),
        ON_BOTH(ten_thousand_events_are_no_burden),
        ON_POSTGRES(what_is_told_has_the_databases_time),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
