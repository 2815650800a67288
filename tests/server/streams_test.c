/*
 * streams_test.c - places, who is told and ended, who has left, and a stop before, while and after a stream is added.
 */
#include "server/streams.h"

#include "base/clock.h"
#include "base/size.h"
#include "support/http_client.h"
#include "support/support.h"

#include <stdlib.h>

#define MOST 3

struct rig {
    struct arena arena;
    struct streams streams;
    struct http_server *http;
};

struct greeted {
    struct stream stream;
    bool ends, is_greeted;
};

static double greet(void *ctx)
{
    struct rig *r = ctx;

    streams_take_added(&r->streams);
    for (struct stream **at = &r->streams.first; *at != NULL;) {
        struct greeted *g = (struct greeted *)*at;

        if (!g->is_greeted && !http_stream_put(g->stream.x, STR("data: hello\n\n")))
            atomic_store(&g->stream.gone, true);
        g->is_greeted = true;
        if (g->ends || atomic_load(&g->stream.gone))
            streams_end(&r->streams, at, STR("data: over\n\n"));
        else
            at = &g->stream.next;
    }
    return 0.01;
}

static bool begin_exchange(void *ctx, struct http_exchange *x, struct http_plan *plan)
{
    (void)ctx, (void)x;
    *plan = (struct http_plan){.body = HTTP_BODY_NONE};
    return true;
}

/* /stay is greeted, /end is ended behind it, and /late meets a stop between its place and its beginning. */
static void handle(void *ctx, struct http_exchange *x)
{
    const struct http_stream_options opt = {.content_type = "text/event-stream"};
    struct rig *r = ctx;
    struct greeted *g;
    bool stopping;

    if (!streams_place(&r->streams, MOST, &stopping)) {
        http_answer(x, stopping ? 503 : 429, "text/plain", STR(""), NULL, 0);
        return;
    }
    if (str_is(x->path, "/late"))
        streams_stop(&r->streams);
    g = calloc(1, sizeof *g);
    assert_non_null(g);
    g->stream.x = x;
    g->ends = str_is(x->path, "/end");
    streams_add(&r->streams, &g->stream, &opt);
}

static void begin(struct rig *r)
{
    const struct http_options ho = {
        .host = "127.0.0.1", .ctx = r, .begin = begin_exchange, .handle = handle};
    struct error err = {0};

    *r = (struct rig){.http = NULL};
    assert_true(background_start(&r->streams.thread, greet, r, "a test", &err));
    assert_true(http_server_open(&ho, &r->http, &err));
}

static void end(struct rig *r)
{
    streams_stop(&r->streams);
    http_server_close(r->http);
    assert_int_equal(streams_count(&r->streams), 0);
    streams_release(&r->streams);
    arena_release(&r->arena);
}

static struct client listen_to(struct rig *r, const char *path)
{
    struct client c = client_open(http_server_port(r->http));

    assert_true(client_text(&c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path));
    return c;
}

static int status_of(struct rig *r, const char *path)
{
    return client_once(http_server_port(r->http), &r->arena, "GET", path, "", STR("")).status;
}

static void wait_for_streams(struct rig *r, size_t n)
{
    const double deadline = clock_seconds() + 60;

    while (streams_count(&r->streams) != n && clock_seconds() < deadline)
        clock_sleep_until(clock_seconds() + 0.01);
    assert_int_equal(streams_count(&r->streams), n);
}

static void a_stream_is_told_and_ended(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    struct client stays = listen_to(&r, "/stay"), ends = listen_to(&r, "/end");
    assert_true(client_wait_for(&stays, "data: hello", 30));
    assert_true(client_wait_for(&ends, "data: over", 30));
    wait_for_streams(&r, 1);
    client_close(&ends);
    client_close(&stays);
    wait_for_streams(&r, 0);
    end(&r);
}

static void who_leaves_makes_room(void **state)
{
    struct rig r;
    struct client c[MOST];

    (void)state;
    begin(&r);
    for (size_t i = 0; i < COUNT_OF(c); i++) {
        c[i] = listen_to(&r, "/stay");
        assert_true(client_wait_for(&c[i], "data: hello", 30));
    }
    assert_int_equal(status_of(&r, "/stay"), 429);
    client_close(&c[1]);
    wait_for_streams(&r, MOST - 1);
    c[1] = listen_to(&r, "/stay");
    assert_true(client_wait_for(&c[1], "data: hello", 30));
    for (size_t i = 0; i < COUNT_OF(c); i++)
        client_close(&c[i]);
    end(&r);
}

static void a_stop_ends_all_and_takes_no_more(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    struct client c = listen_to(&r, "/stay");
    assert_true(client_wait_for(&c, "data: hello", 30));
    streams_stop(&r.streams);
    assert_int_equal(streams_count(&r.streams), 0);
    assert_int_equal(status_of(&r, "/stay"), 503);
    client_close(&c);
    end(&r);
}

static void a_stream_that_comes_with_the_stop_is_ended(void **state)
{
    struct rig r;

    (void)state;
    begin(&r);
    assert_int_equal(status_of(&r, "/late"), 200); /* to its end */
    wait_for_streams(&r, 0);
    end(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_is_told_and_ended),
        cmocka_unit_test(who_leaves_makes_room),
        cmocka_unit_test(a_stop_ends_all_and_takes_no_more),
        cmocka_unit_test(a_stream_that_comes_with_the_stop_is_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
