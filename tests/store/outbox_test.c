/*
 * outbox_test.c - what is to be told to endpoints: to those that want it, once, again until it has been.
 */
#include "base/clock.h"
#include "base/size.h"
#include "store/documents.h"
#include "support/stores.h"

#include <pthread.h>
#include <stdio.h>

static void endpoint(struct test_store *t, const char *project, const char *id, const char *body)
{
    struct error err = {0};
    const struct document d = {
        .kind = "webhook_endpoint", .id = id, .project_id = project, .body = body};

    ASSERT_OK(documents_add(t->s, &d, NULL, 0, &err));
}

static size_t due(struct test_store *t, int64_t now, struct delivery **out)
{
    struct error err = {0};
    size_t n;

    ASSERT_OK(outbox_take(t->s, now, 30, 100, &t->arena, out, &n, &err));
    return n;
}

static void those_that_want_it_are_told_once(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct delivery *d;

    endpoint(t, t->project, "we_1", "{\"event_types\":[\"a\",\"b\"]}");
    endpoint(t, t->project, "we_2", "{\"event_types\":[\"b\"]}");
    endpoint(t, t->project, "we_3", "{\"event_types\":[]}");
    endpoint(t, t->project, "we_4", "{\"event_types\":[7,null,\"bb\"]}");
    endpoint(t, t->project, "we_5", "no JSON");
    endpoint(t, t->other, "we_6", "{\"event_types\":[\"b\"]}");
    ASSERT_OK(outbox_put(t->s, t->project, "evt_1", "b", "{\"n\":1}", 1000, &err));
    ASSERT_OK(outbox_put(t->s, t->project, "evt_1", "b", "{\"n\":1}", 1001, &err));
    ASSERT_OK(outbox_put(t->s, t->project, "evt_2", "c", "{}", 1000, &err));
    assert_int_equal(due(t, 999, &d), 0);
    assert_int_equal(due(t, 1000, &d), 2);
    assert_string_equal(d[0].endpoint_id, "we_1");
    assert_string_equal(d[1].endpoint_id, "we_2");
    assert_string_equal(d[0].id, "evt_1");
    assert_string_equal(d[0].body, "{\"n\":1}");
    assert_string_equal(d[0].project_id, t->project);
    assert_int_equal(d[0].created_at, 1000);
    assert_int_equal(d[0].tries, 1);
    test_store_close(t);
}

static void one_projects_many_do_not_hold_up_anothers(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct delivery *d;
    size_t n;

    endpoint(t, t->project, "we_1", "{\"event_types\":[\"a\"]}");
    endpoint(t, t->other, "we_2", "{\"event_types\":[\"a\"]}");
    ASSERT_OK(outbox_put(t->s, t->project, "evt_1", "a", "{}", 1000, &err));
    ASSERT_OK(outbox_put(t->s, t->project, "evt_2", "a", "{}", 1001, &err));
    ASSERT_OK(outbox_put(t->s, t->project, "evt_3", "a", "{}", 1002, &err));
    ASSERT_OK(outbox_put(t->s, t->other, "evt_4", "a", "{}", 1003, &err));
    ASSERT_OK(outbox_take(t->s, 1010, 30, 2, &t->arena, &d, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(d[0].id, "evt_1");
    assert_string_equal(d[1].id, "evt_4");
    ASSERT_OK(outbox_take(t->s, 1010, 30, 5, &t->arena, &d, &n, &err));
    assert_int_equal(n, 2);
    assert_string_equal(d[0].id, "evt_2");
    assert_string_equal(d[1].id, "evt_3");
    test_store_close(t);
}

static void what_was_not_answered_is_told_again(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct delivery *d;

    endpoint(t, t->project, "we_1", "{\"event_types\":[\"a\"]}");
    ASSERT_OK(outbox_put(t->s, t->project, "evt_1", "a", "{}", 1000, &err));
    assert_int_equal(due(t, 1000, &d), 1);
    assert_int_equal(due(t, 1029, &d), 0); /* leased */
    assert_int_equal(due(t, 1030, &d), 1); /* who had it is gone */
    assert_int_equal(d[0].tries, 2);
    ASSERT_OK(outbox_later(t->s, d[0].seq, 2000, "it answered 500", &err));
    assert_int_equal(due(t, 1999, &d), 0);
    assert_int_equal(due(t, 2000, &d), 1);
    assert_int_equal(d[0].tries, 3);
    ASSERT_OK(outbox_done(t->s, d[0].seq, &err));
    ASSERT_OK(outbox_later(t->s, d[0].seq, 2001, "\xff", &err)); /* a second deliverer, late */
    assert_int_equal(due(t, 9000, &d), 0);
    ASSERT_OK(outbox_put(t->s, t->project, "evt_1", "a", "{}", 9000, &err)); /* it is known */
    assert_int_equal(due(t, 9000, &d), 0);
    test_store_close(t);
}

static void what_was_given_up_is_not_told(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct delivery *d;

    endpoint(t, t->project, "we_1", "{\"event_types\":[\"a\"]}");
    ASSERT_OK(outbox_put(t->s, t->project, "evt_1", "a", "{}", 1000, &err));
    assert_int_equal(due(t, 1000, &d), 1);
    ASSERT_OK(outbox_later(t->s, d[0].seq, 0, "three days", &err));
    assert_int_equal(due(t, 100000, &d), 0);
    ASSERT_OK(outbox_sweep(t->s, 1000 + 29 * 86400, &err));
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM outbox", NULL), 1);
    ASSERT_OK(outbox_put(t->s, t->project, "evt_2", "a", "{}", 1000, &err)); /* still due */
    ASSERT_OK(outbox_sweep(t->s, 1000 + 31 * 86400, &err));
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM outbox", NULL), 1);
    assert_int_equal(due(t, 100000, &d), 1);
    assert_string_equal(d[0].id, "evt_2");
    test_store_close(t);
}

static void time_is_the_databases_where_none_is_given(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct delivery *d;

    endpoint(t, t->project, "we_1", "{\"event_types\":[\"a\"]}");
    ASSERT_OK(outbox_put(t->s, t->project, "evt_1", "a", "{}", 0, &err));
    assert_int_equal(due(t, 1000, &d), 0);
    assert_int_equal(due(t, 0, &d), 1);
    assert_true(d[0].created_at > 1700000000 && d[0].next_at >= d[0].created_at + 30);
    test_store_close(t);
}

/* ---- several deliver ---- */

#define N_DELIVERIES 60

struct deliverer {
    struct test_store *t;
    size_t n;
    int64_t seq[N_DELIVERIES];
    bool ok;
    struct error err;
};

static void *deliver(void *ctx)
{
    struct deliverer *w = ctx;
    struct arena a = {0};

    w->ok = true;
    for (int none = 0; w->ok && none < 10;) {
        struct delivery *d;
        size_t n = 0;

        w->ok = outbox_take(w->t->s, 1000, 600, 4, &a, &d, &n, &w->err);
        none = n == 0 ? none + 1 : 0;
        for (size_t i = 0; w->ok && i < n && w->n < N_DELIVERIES; i++)
            w->seq[w->n++] = d[i].seq;
    }
    arena_release(&a);
    return NULL;
}

static void several_deliverers_share_what_is_due(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    static struct deliverer workers[4];
    pthread_t threads[COUNT_OF(workers)];
    size_t total = 0;

    memset(workers, 0, sizeof workers);
    endpoint(t, t->project, "we_1", "{\"event_types\":[\"a\"]}");
    for (int i = 0; i < N_DELIVERIES; i++)
        ASSERT_OK(
            outbox_put(t->s, t->project, arena_printf(&t->arena, "evt_%d", i), "a", "{}", 1, &err));
    for (size_t i = 0; i < COUNT_OF(workers); i++) {
        workers[i].t = t;
        assert_int_equal(pthread_create(&threads[i], NULL, deliver, &workers[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(workers); i++) {
        pthread_join(threads[i], NULL);
        if (!workers[i].ok)
            fail_msg("%s", workers[i].err.message);
        total += workers[i].n;
    }
    assert_int_equal(total, N_DELIVERIES);
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM outbox WHERE tries = 1", NULL),
                     N_DELIVERIES);
    test_store_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(those_that_want_it_are_told_once),
        ON_BOTH(one_projects_many_do_not_hold_up_anothers),
        ON_BOTH(what_was_not_answered_is_told_again),
        ON_BOTH(what_was_given_up_is_not_told),
        ON_BOTH(time_is_the_databases_where_none_is_given),
        ON_BOTH(several_deliverers_share_what_is_due),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
