#include "base/clock.h"
#include "base/file.h"
#include "support/http_app.h"
#include "support/http_client.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>

#define ASK_STREAM "GET /stream HTTP/1.1\r\nHost: t\r\n\r\n"

static struct app app;

static void an_answer_grows_and_ends(void **state)
{
    (void)state;
    struct arena a = {0};
    app = (struct app){0};
    app_open(&app);
    struct client c = client_open(app.port);

    client_text(&c, ASK_STREAM);
    app_wait_streams(&app, 1);
    assert_true(client_wait_for(&c, "\r\n\r\n", 5)); /* the head comes before anything is put */
    assert_int_equal(app_put(&app, STR("data: one\n\n")), 1);
    assert_true(client_wait_for(&c, "data: one\n\n", 5));
    assert_int_equal(app_put(&app, STR("")), 1); /* nothing is not the end */
    assert_int_equal(app_put(&app, STR("data: two\n\n")), 1);
    assert_true(client_wait_for(&c, "data: two\n\n", 5));
    assert_int_equal(http_server_counts(app.server).streams, 1);
    app_put(&app, STR("data: [DONE]\n\n"));
    app_end_streams(&app);
    assert_true(client_wait_for(&c, "data: [DONE]\n\n\r\n0\r\n\r\n", 5));
    client_text(&c, "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n"); /* and the connection lives on */
    assert_int_equal(client_reply(&c, &a, true, 5).status, 200);
    client_close(&c);
    assert_int_equal(http_server_counts(app.server).streams, 0);
    assert_int_equal(app.n_gone, 0);
    app_close(&app);
    assert_int_equal(app.n_done, 2);
    arena_release(&a);
}

static void an_old_client_gets_a_stream_that_ends_with_the_connection(void **state)
{
    (void)state;
    struct arena a = {0};
    app = (struct app){0};
    app_open(&app);
    struct client c = client_open(app.port);

    client_text(&c, "GET /stream HTTP/1.0\r\n\r\n");
    app_wait_streams(&app, 1);
    app_put(&app, STR("data: one\n\n"));
    app_end_streams(&app);
    const struct reply r = client_reply(&c, &a, true, 5);
    assert_true(r.is_whole && !r.is_chunked);
    ASSERT_STR(r.body, "data: one\n\n");
    client_close(&c);
    app_close(&app);
    arena_release(&a);
}

static void silence_is_filled_with_comments(void **state)
{
    (void)state;
    app = (struct app){.keep_alive_ms = 300};
    app_open(&app);
    struct client c = client_open(app.port);

    client_text(&c, ASK_STREAM);
    app_wait_streams(&app, 1);
    assert_true(client_wait_for(&c, ": ping\n\n", 5));
    assert_true(client_wait_for(&c, ": ping\n\n", 5));
    app_put(&app, STR("data: one\n\n"));
    assert_true(client_wait_for(&c, "data: one\n\n", 5));
    client_close(&c);
    app_close(&app);
}

/* A thousand clients, each of which gets each event. */
static void a_thousand_streams_wait_at_once(void **state)
{
    (void)state;
    enum { N = 1000 };
    static struct client c[N];
    char event[64];
    struct rusage before, after;
    app = (struct app){0};
    app_open(&app);
    const size_t memory = resident_bytes();

    for (int i = 0; i < N; i++) {
        c[i] = client_open(app.port);
        client_text(&c[i], ASK_STREAM);
    }
    app_wait_streams(&app, N);
    for (int i = 0; i < N; i++)
        assert_true(client_wait_for(&c[i], "\r\n\r\n", 10));
    const size_t each = (resident_bytes() - memory) / N;
    getrusage(RUSAGE_SELF, &before);
    clock_sleep_until(clock_seconds() + 1);
    getrusage(RUSAGE_SELF, &after);
    const double start = clock_seconds();
    for (int k = 0; k < 5; k++) {
        snprintf(event, sizeof event, "data: %d\n\n", k);
        assert_int_equal(app_put(&app, str_of(event)), N);
    }
    for (int i = 0; i < N; i++)
        assert_true(client_wait_for(&c[i], "data: 4\n\n", 10));
    print_message(
        "1000 streams: %zu KiB each (client's part too), %.3f s of processor in an idle second, "
        "5 events to all in %.3f s\n",
        each >> 10,
        (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
            1e-6 * (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) +
            (double)(after.ru_stime.tv_sec - before.ru_stime.tv_sec) +
            1e-6 * (double)(after.ru_stime.tv_usec - before.ru_stime.tv_usec),
        clock_seconds() - start);
    for (int i = 0; i < N / 2; i++) /* half of them leave */
        client_close(&c[i]);
    app_wait(&app.n_gone, N / 2);
    assert_int_equal(app_put(&app, STR("data: x\n\n")), N / 2);
    app_end_streams(&app);
    for (int i = N / 2; i < N; i++) {
        assert_true(client_wait_for(&c[i], "data: x\n\n\r\n0\r\n\r\n", 10));
        client_close(&c[i]);
    }
    app_close(&app);
    assert_int_equal(app.n_gone, N / 2);
    assert_int_equal(app.n_done, N);
}

/* One reads nothing of a stream without end; it is broken off, and the others get all of it. */
static void who_reads_too_slowly_is_broken_off(void **state)
{
    (void)state;
    enum { N = 8, PIECE = 16384, PIECES = 4000 };
    static struct client c[N];
    static char piece[PIECE];
    app = (struct app){.max_stream = 256 << 10};
    app_open(&app);

    for (int i = 0; i < N; i++) {
        c[i] = client_open(app.port);
        client_text(&c[i], ASK_STREAM);
        app_wait_streams(&app, (size_t)i + 1);
        assert_true(client_wait_for(&c[i], "\r\n\r\n", 10));
    }
    memset(piece, 'x', sizeof piece);
    piece[PIECE - 1] = '\n';
    const size_t memory = resident_bytes();
    size_t most = 0, heard = N;
    for (int k = 0; k < PIECES; k++) {
        heard = app_put(&app, (struct str){piece, PIECE});
        for (int i = 1; i < N; i++)
            assert_true(client_wait_for(&c[i], "x\n", 10)); /* all but the first read */
        const size_t now = resident_bytes();
        if (now > memory && now - memory > most)
            most = now - memory;
    }
    assert_int_equal(heard, N - 1);
    assert_int_equal(app.n_gone, 1);
#ifndef HONE_SANITIZED
    print_message("64 MiB to each of 7, one stalled: memory grew by %zu KiB\n", most >> 10);
    assert_true(most < (size_t)16 << 20);
#endif
    assert_true(client_sees_end(&c[0], 10)); /* broken off, and not ended: no last chunk */
    app_end_streams(&app);
    for (int i = 0; i < N; i++)
        client_close(&c[i]);
    app_close(&app);
    assert_int_equal(app.n_gone, 1);
}

/* A client that leaves while nothing is said is seen within a second, in the middle of anything. */
static void leave_and_be_told(bool tls, const char *target, bool reset)
{
    app_open(&app);
    struct client c = tls ? client_open_tls(app.port) : client_open(app.port);

    client_text(&c, "GET %s HTTP/1.1\r\nHost: t\r\n\r\n", target);
    if (reset) /* in front of the end, where nobody reads it yet */
        client_text(&c, "GET /echo HTTP/1.1\r\n");
    if (strcmp(target, "/stream") == 0)
        app_wait_streams(&app, 1);
    else
        app_wait_kept(&app, 1);
    clock_sleep_until(clock_seconds() + 0.3);
    assert_int_equal(app.n_gone, 0);
    const double left = clock_seconds();
    if (reset) {
        const struct linger now = {.l_onoff = 1};

        setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    }
    client_close(&c);
    app_wait(&app.n_gone, 1);
    assert_true(atomic_load(&app.gone_at) - left < 1);
    app_put(&app, STR("data: nobody\n\n"));
    app_close(&app);
    assert_int_equal(app.n_gone, 1);
    assert_int_equal(app.n_done, 1);
}

static void who_leaves_is_told_of_within_a_second(void **state)
{
    (void)state;
    for (int reset = 0; reset < 2; reset++) {
        app = (struct app){0};
        leave_and_be_told(false, "/stream", reset == 1);
        app = (struct app){0};
        leave_and_be_told(false, "/keep", reset == 1);
        app = (struct app){.ends_in_gone = true};
        leave_and_be_told(false, "/stream", reset == 1);
    }
}

/* A certificate of its own in the folder; false where there is no openssl. */
static void make_certificate(const char *dir, struct arena *a, const char **cert, const char **key)
{
    *cert = file_join(a, dir, "cert.pem");
    *key = file_join(a, dir, "key.pem");
    if (system(arena_printf(
            a,
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes "
            "-subj /CN=localhost -days 2 -keyout %s -out %s 2>/dev/null",
            *key, *cert)) != 0)
        fail_msg("openssl made no certificate");
}

static void tls_carries_all_of_it(void **state)
{
    (void)state;
    struct arena a = {0};
    char *dir = test_dir_make(&a);
    struct http_options opt = {0};
    make_certificate(dir, &a, &opt.tls_cert, &opt.tls_key);
    app = (struct app){.opt = opt};
    leave_and_be_told(true, "/stream", false);
    app = (struct app){.opt = opt};
    leave_and_be_told(true, "/keep", true);

    app = (struct app){.opt = opt};
    app_open(&app);
    struct client c = client_open_tls(app.port);
    client_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc");
    ASSERT_STR(client_reply(&c, &a, true, 5).body, "POST /echo\nabc");
    client_text(&c, ASK_STREAM);
    app_wait_streams(&app, 1);
    for (int i = 0; i < 100; i++)
        app_put(&app, STR("data: one\n\n"));
    app_end_streams(&app);
    assert_int_equal(client_reply(&c, &a, true, 5).body.len, 1100);
    assert_true(client_agrees(app.port, "NORMAL:-VERS-ALL:+VERS-TLS1.2"));
    assert_false(client_agrees(app.port, "NORMAL:-VERS-ALL:+VERS-TLS1.1:+VERS-TLS1.0"));
    struct client plain = client_open(app.port); /* no TLS: closed, nothing else happens */
    client_text(&plain, "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n");
    client_sees_end(&plain, 5);
    client_close(&plain);
    client_text(&c, "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 200);
    client_close(&c);
    app_close(&app);
    test_dir_remove(dir);
    arena_release(&a);
}

static void what_is_kept_is_answered_later(void **state)
{
    (void)state;
    struct arena a = {0};
    app = (struct app){.opt = {.n_handlers = 1}};
    app_open(&app);
    struct client c[20];

    for (size_t i = 0; i < 20; i++) {
        c[i] = client_open(app.port);
        client_text(&c[i], "GET /keep HTTP/1.1\r\nHost: t\r\n\r\n");
    }
    app_wait_kept(&app, 20); /* one thread has done with all of them */
    app_answer_kept(&app);
    for (size_t i = 0; i < 20; i++) {
        ASSERT_STR(client_reply(&c[i], &a, true, 5).body, "kept\n");
        client_close(&c[i]);
    }
    app_close(&app);
    assert_int_equal(app.n_gone, 0);
    arena_release(&a);
}

static void a_drain_ends_streams_and_finishes_requests(void **state)
{
    (void)state;
    struct arena a = {0};
    app = (struct app){.ends_in_gone = true};
    app_open(&app);
    struct client idle = client_open(app.port), slow = client_open(app.port),
                  growing = client_open(app.port);

    client_text(&idle, "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_int_equal(client_reply(&idle, &a, true, 5).status, 200);
    client_text(&growing, ASK_STREAM);
    app_wait_streams(&app, 1);
    app_put(&app, STR("data: one\n\n"));
    client_text(&slow, "GET /slow?ms=500 HTTP/1.1\r\nHost: t\r\n\r\n");
    app_wait(&app.n_handled, 3);
    const double start = clock_seconds();
    http_server_drain(app.server, start + 1);
    assert_true(clock_seconds() - start >= 1 && clock_seconds() - start < 2.5);
    const struct reply r = client_reply(&slow, &a, true, 5);
    assert_int_equal(r.status, 200);
    assert_string_equal(reply_header(&r, "connection", &a), "close");
    const struct reply s = client_reply(&growing, &a, true, 5);
    assert_true(s.is_whole); /* its end is an end, not a loss */
    ASSERT_STR(s.body, "data: one\n\n");
    assert_int_equal(app.n_gone, 1);
    assert_true(client_sees_end(&idle, 5));
    client_close(&idle);
    client_close(&slow);
    client_close(&growing);
    app_close(&app);
    assert_int_equal(app.n_done, 3);
    arena_release(&a);
}

static void *end_all(void *ctx)
{
    clock_sleep_until(clock_seconds() + 0.3);
    app_end_streams(ctx);
    app_answer_kept(ctx);
    return NULL;
}

static void a_close_waits_for_those_who_keep_something(void **state)
{
    (void)state;
    app = (struct app){0};
    app_open(&app);
    struct client c[30];
    pthread_t t;

    for (size_t i = 0; i < 30; i++) {
        c[i] = client_open(app.port);
        client_text(&c[i], "GET %s HTTP/1.1\r\nHost: t\r\n\r\n",
                    i % 3 == 0   ? "/stream"
                    : i % 3 == 1 ? "/keep"
                                 : "/slow?ms=300");
    }
    app_wait_streams(&app, 10);
    app_wait_kept(&app, 10);
    assert_int_equal(pthread_create(&t, NULL, end_all, &app), 0);
    http_server_close(app.server);
    assert_int_equal(app.n_done, 30);
    assert_int_equal(app.n_gone, 20);
    pthread_join(t, NULL);
    app.server = NULL;
    for (size_t i = 0; i < 30; i++)
        client_close(&c[i]);
    app_close(&app);
}

/* Clients, writers and the end of streams in any order. */
static void *come_and_go(void *ctx)
{
    unsigned seed = (unsigned)(uintptr_t)ctx;

    for (int i = 0; i < 60; i++) {
        struct client c = client_open(app.port);
        struct arena a = {0};

        switch (rand_r(&seed) % 5) {
        case 0:
            client_text(&c, ASK_STREAM);
            client_wait_for(&c, "data", 0.001 * (rand_r(&seed) % 20));
            break;
        case 1:
            client_text(&c, "GET /keep HTTP/1.1\r\nHost: t\r\n\r\n");
            client_reply(&c, &a, true, 0.001 * (rand_r(&seed) % 20));
            break;
        case 2:
            client_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\nab");
            break;
        case 3:
            client_text(&c, "GET /slow?ms=3 HTTP/1.1\r\nHost: t\r\n\r\n");
            break;
        default:
            client_text(&c, "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n");
            client_reply(&c, &a, true, 5);
        }
        client_close(&c);
        arena_release(&a);
    }
    return NULL;
}

static void exchanges_end_once_whatever_comes_first(void **state)
{
    (void)state;
    app = (struct app){.keep_alive_ms = 50};
    app_open(&app);
    pthread_t t[6];

    for (size_t i = 0; i < 6; i++)
        assert_int_equal(pthread_create(&t[i], NULL, come_and_go, (void *)(i + 1)), 0);
    for (int i = 0; i < 60; i++) {
        app_put(&app, STR("data: x\n\n"));
        clock_sleep_until(clock_seconds() + 0.005);
        app_end_streams(&app);
        app_answer_kept(&app);
    }
    for (size_t i = 0; i < 6; i++)
        pthread_join(t[i], NULL);
    const int n = (int)http_server_counts(app.server).requests;
    app_close(&app);
    assert_true(app.n_done >= n); /* some came between the count and the end */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_grows_and_ends),
        cmocka_unit_test(an_old_client_gets_a_stream_that_ends_with_the_connection),
        cmocka_unit_test(silence_is_filled_with_comments),
        cmocka_unit_test(a_thousand_streams_wait_at_once),
        cmocka_unit_test(who_reads_too_slowly_is_broken_off),
        cmocka_unit_test(who_leaves_is_told_of_within_a_second),
        cmocka_unit_test(tls_carries_all_of_it),
        cmocka_unit_test(what_is_kept_is_answered_later),
        cmocka_unit_test(a_drain_ends_streams_and_finishes_requests),
        cmocka_unit_test(a_close_waits_for_those_who_keep_something),
        cmocka_unit_test(exchanges_end_once_whatever_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
