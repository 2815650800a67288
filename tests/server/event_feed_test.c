/*
 * event_feed_test.c - many streams, one poller: everyone is told everything once, in order, and those who leave are let go.
 */
#include "base/clock.h"
#include "base/size.h"
#include "server/event_feed.h"
#include "support/http_client.h"
#include "support/stores.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct rig {
    struct test_store *t;
    struct event_feed *feed;
    struct http_server *http;
    const char *job[2];
};

static bool begin_exchange(void *ctx, struct http_exchange *x, struct http_plan *plan)
{
    (void)ctx, (void)x;
    *plan = (struct http_plan){.body = HTTP_BODY_NONE};
    return true;
}

/* /0 and /1: the two jobs */
static void handle(void *ctx, struct http_exchange *x)
{
    struct rig *r = ctx;
    struct error err = {0};

    if (!event_feed_add(r->feed, x, NULL, 0, r->t->project, r->job[x->path.ptr[1] == '1'], NULL,
                        &err))
        http_answer(x, 429, "text/plain", str_of(err.message), NULL, 0);
}

static const char *add_job(struct test_store *t)
{
    struct error err = {0};
    struct job_row j = {.project_id = (char *)(uintptr_t)t->project,
                        .method = (char *)(uintptr_t) "supervised",
                        .model = (char *)(uintptr_t) "m",
                        .training_file = (char *)(uintptr_t) "file-a",
                        .body = (char *)(uintptr_t) "{}",
                        .trained_tokens = -1};

    ASSERT_OK(jobs_add(t->s, &j, NULL, 0, &t->arena, &err));
    return j.id;
}

static void begin(struct rig *r, void **state)
{
    struct error err = {0};

    *r = (struct rig){.t = test_store_open(state)};
    r->job[0] = add_job(r->t);
    r->job[1] = add_job(r->t);
    ASSERT_OK(event_feed_open(r->t->s, &r->feed, &err));
    const struct http_options ho = {
        .host = "127.0.0.1", .ctx = r, .begin = begin_exchange, .handle = handle};
    ASSERT_OK(http_server_open(&ho, &r->http, &err));
}

static void end(struct rig *r)
{
    event_feed_stop(r->feed);
    http_server_close(r->http);
    event_feed_close(r->feed);
    test_store_close(r->t);
}

static void tell(struct rig *r, int job, int n)
{
    struct error err = {0};
    const struct job_event e = {.message = arena_printf(&r->t->arena, "news %d", n)};

    ASSERT_OK(events_tell(r->t->s, r->job[job], &e, &err));
}

static struct client listen_to(struct rig *r, int job)
{
    struct client c = client_open(http_server_port(r->http));

    assert_true(client_text(&c, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\n", job));
    return c;
}

static void wait_for_streams(struct rig *r, size_t n)
{
    const double deadline = clock_seconds() + 60;

    while (event_feed_streams(r->feed) != n && clock_seconds() < deadline)
        clock_sleep_until(clock_seconds() + 0.01);
    assert_int_equal(event_feed_streams(r->feed), n);
}

#define N_STREAMS 200

static void everyone_hears_everything_once(void **state)
{
    struct rig r;
    struct client c[N_STREAMS];
    struct error err = {0};
    struct job_row job;

    begin(&r, state);
    for (int i = 0; i < 20; i++)
        tell(&r, i % 2, i); /* before they came */
    for (int i = 0; i < N_STREAMS; i++) {
        c[i] = listen_to(&r, i % 2);
        if (i % 10 == 0)
            tell(&r, i / 10 % 2, 20 + i / 10); /* while they come */
    }
    wait_for_streams(&r, N_STREAMS);
    for (int i = 40; i < 60; i++)
        tell(&r, i % 2, i);
    for (int i = 0; i < 2; i++)
        ASSERT_OK(
            jobs_ask(r.t->s, r.t->project, str_of(r.job[i]), JOB_CANCEL, &r.t->arena, &job, &err));
    for (int i = 0; i < N_STREAMS; i++) {
        struct reply reply = client_reply(&c[i], &r.t->arena, true, 60);
        struct str left = reply.body;

        assert_int_equal(reply.status, 200);
        assert_true(reply.is_whole);
        for (int k = i % 2; k < 60; k += 2) { /* each once and in order */
            const struct str what = str_of(arena_printf(&r.t->arena, "\"news %d\"", k));
            const size_t at = str_find(left, what, 0);

            if (at == left.len)
                fail_msg("stream %d was not told of %d, or not in order", i, k);
            left = str_from(left, at + what.len);
            if (str_find(left, what, 0) != left.len)
                fail_msg("stream %d was told twice of %d", i, k);
        }
        assert_true(str_ends(left, STR("data: [DONE]\n\n")));
        client_close(&c[i]);
    }
    wait_for_streams(&r, 0);
    end(&r);
}

/* More than may wait in a stream: who reads is told all of it, at his pace; who does not is told no more than fits. */
static void a_long_past_is_told_as_it_is_read(void **state)
{
    enum { N = 3000 };
    struct rig r;
    struct error err = {0};
    struct job_row job;

    begin(&r, state);
    char *long_text = arena_alloc(&r.t->arena, 1001);
    memset(long_text, 'x', 1000);
    long_text[1000] = '\0';
    for (int i = 0; i < N; i++) {
        const struct job_event e = {.message =
                                        arena_printf(&r.t->arena, "past %d %s", i, long_text)};
        ASSERT_OK(events_tell(r.t->s, r.job[0], &e, &err));
    }
    struct client stalled = listen_to(&r, 0), slow = listen_to(&r, 0);
    wait_for_streams(&r, 2);
    clock_sleep_until(clock_seconds() + 1); /* nobody reads yet */
    assert_int_equal(event_feed_streams(r.feed), 2);
    tell(&r, 0, 1);
    ASSERT_OK(
        jobs_ask(r.t->s, r.t->project, str_of(r.job[0]), JOB_CANCEL, &r.t->arena, &job, &err));
    const struct reply reply = client_reply(&slow, &r.t->arena, true, 60);
    assert_true(reply.is_whole);
    struct str left = reply.body;
    for (int i = 0; i < N; i++) {
        const struct str what = str_of(arena_printf(&r.t->arena, "\"past %d x", i));
        const size_t at = str_find(left, what, 0);

        if (at == left.len)
            fail_msg("%d of the past was not told, or not in order", i);
        left = str_from(left, at + what.len);
    }
    assert_true(str_find(left, STR("\"news 1\""), 0) < left.len);
    assert_true(str_ends(left, STR("data: [DONE]\n\n")));
    client_close(&slow);
    client_close(&stalled);
    wait_for_streams(&r, 0);
    end(&r);
}

static void who_leaves_is_let_go(void **state)
{
    struct rig r;
    struct client c[20];

    begin(&r, state);
    for (size_t i = 0; i < COUNT_OF(c); i++)
        c[i] = listen_to(&r, 0);
    wait_for_streams(&r, COUNT_OF(c));
    for (size_t i = 1; i < COUNT_OF(c); i++)
        client_close(&c[i]);
    wait_for_streams(&r, 1);
    tell(&r, 0, 7);
    assert_true(client_wait_for(&c[0], "\"news 7\"", 30));
    client_close(&c[0]);
    wait_for_streams(&r, 0);
    end(&r);
}

static void stopping_ends_streams(void **state)
{
    struct rig r;

    begin(&r, state);
    struct client c = listen_to(&r, 0);
    wait_for_streams(&r, 1);
    assert_true(client_wait_for(&c, "data: ", 30));
    event_feed_stop(r.feed);
    const struct reply late =
        client_once(http_server_port(r.http), &r.t->arena, "GET", "/0", "", STR(""));
    assert_int_equal(late.status, 429);
    client_close(&c);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(everyone_hears_everything_once),
        ON_SQLITE(a_long_past_is_told_as_it_is_read),
        ON_SQLITE(who_leaves_is_let_go),
        ON_SQLITE(stopping_ends_streams),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
