#include "server/http.h"

#include "base/clock.h"
#include "base/file.h"
#include "support/http_app.h"
#include "support/http_client.h"
#include "support/support.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define COUNT_OF(a) (sizeof(a) / sizeof(a)[0])

static struct reply get(struct app *app, struct arena *a, const char *target)
{
    return client_once(app->port, a, "GET", target, "", STR(""));
}

static void a_request_becomes_an_answer(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    app = (struct app){0};
    app_open(&app);
    struct reply r = get(&app, &a, "/echo?limit=2&metadata%5Bk%5D=a+b%20c&x&=&include[]=%C3%BC&&");

    assert_int_equal(r.status, 200);
    ASSERT_STR(r.body, "GET /echo\nlimit=2\nmetadata[k]=a b c\nx=\n=\ninclude[]=ü\n");
    assert_string_equal(reply_header(&r, "content-type", &a), "text/plain");
    assert_string_equal(reply_header(&r, "x-more", &a), "of it");
    assert_string_equal(reply_header(&r, "x-every", &a), "answer");
    assert_int_equal(strlen(reply_header(&r, "x-request-id", &a)), 36);
    r = client_once(app.port, &a, "POST", "/echo/a%2Fb", "", STR("x"));
    assert_int_equal(r.status, 200); /* a body that no plan wants is read over */
    ASSERT_STR(r.body, "POST /echo/a%2Fb\n");
    r = client_once(app.port, &a, "DELETE", "/echo", "Content-Type: application/json\r\n", STR(""));
    ASSERT_STR(r.body, "DELETE /echo\n");
    r = client_once(app.port, &a, "TRACE", "/echo", "", STR(""));
    ASSERT_STR(r.body, "OTHER /echo\n");
    r = get(&app, &a, "http://test:80/echo?a=1");
    ASSERT_STR(r.body, "GET /echo\na=1\n");
    app_close(&app);
    assert_int_equal(app.n_done, 5);
    assert_int_equal(app.n_begun, 5);
    arena_release(&a);
}

static void head_has_no_body_and_options_says_what_is_allowed(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    app = (struct app){0};
    app_open(&app);
    struct client c = client_open(app.port);
    client_text(&c, "HEAD /echo HTTP/1.1\r\nHost: t\r\n\r\n");
    struct reply r = client_reply(&c, &a, false, 5);

    assert_int_equal(r.status, 200);
    assert_string_equal(reply_header(&r, "content-length", &a), "11");
    client_text(&c, "OPTIONS * HTTP/1.1\r\nHost: t\r\n\r\n");
    r = client_reply(&c, &a, true, 5);
    assert_int_equal(r.status, 204);
    assert_non_null(strstr(reply_header(&r, "allow", &a), "POST"));
    assert_string_equal(reply_header(&r, "x-every", &a), "answer");
    assert_int_equal(strlen(reply_header(&r, "x-request-id", &a)), 36);
    assert_string_equal(reply_header(&r, "access-control-allow-origin", &a), "");
    client_text(&c, "HEAD /stream HTTP/1.1\r\nHost: t\r\n\r\n");
    r = client_reply(&c, &a, false, 5);
    assert_int_equal(r.status, 200);
    client_text(&c,
                "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n"); /* the same connection, still in step */
    r = client_reply(&c, &a, true, 5);
    ASSERT_STR(r.body, "GET /echo\n");
    app_wait(&app.n_gone, 1); /* the stream's writer need not go on */
    client_close(&c);
    app_close(&app);
    arena_release(&a);
}

/* What comes too late is not there yet when the client has read: it takes its time. */
static void answered_comes_before_the_client_sees_the_end(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        int status, n; /* how often it is called; a file may still be on its way */
    } calls[] = {
        {"GET /echo HTTP/1.1\r\nHost: t\r\n\r\n", 200, 1},
        {"POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc", 200, 1},
        {"POST /denied HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n12345", 401, 1},
        {"POST /form HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n12345", 400, 1},
        {"GET /none HTTP/1.1\r\nHost: t\r\n\r\n", 500, 1},
        {"GET /file HTTP/1.1\r\nHost: t\r\n\r\n", 200, 0},
    };
    static struct app app;
    struct arena a = {0};
    struct error err = {0};
    int n = 0;
    app = (struct app){.answered_seconds = 0.03};
    app_open(&app);
    ASSERT_OK(file_put(file_join(&a, app.dir, "big.bin"), STR("of a file"), &err));
    struct client c = client_open(app.port);

    for (size_t i = 0; i < COUNT_OF(calls); i++) {
        client_text(&c, "%s", calls[i].request);
        assert_int_equal(client_reply(&c, &a, true, 5).status, calls[i].status);
        assert_int_equal(atomic_load(&app.n_answered), n += calls[i].n);
    }
    client_text(&c, "GET /stream HTTP/1.1\r\nHost: t\r\n\r\n");
    app_wait_streams(&app, 1);
    assert_int_equal(app_put(&app, STR("some")), 1);
    assert_true(client_wait_for(&c, "some", 5));
    assert_int_equal(atomic_load(&app.n_answered), n);
    pthread_mutex_lock(&app.lock);
    struct http_exchange *x = app.streams[--app.n_streams];
    pthread_mutex_unlock(&app.lock);
    http_stream_end_with(x, STR("last"));
    assert_true(client_wait_for(&c, "last", 5));
    assert_int_equal(atomic_load(&app.n_answered), n + 1);
    client_close(&c);
    app_close(&app);
    assert_int_equal(app.n_answered, n + 1);
    assert_int_equal(app.n_done, COUNT_OF(calls) + 1);
    arena_release(&a);
}

static void requests_follow_each_other_on_one_connection(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    app = (struct app){0};
    app_open(&app);
    struct client c = client_open(app.port);

    /* at once: answered in order, each whole */
    client_text(&c, "GET /echo?n=1 HTTP/1.1\r\nHost: t\r\n\r\n"
                    "POST /echo?n=2 HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabc"
                    "GET /slow?ms=50 HTTP/1.1\r\nHost: t\r\n\r\n"
                    "GET /echo?n=3 HTTP/1.1\r\nHost: t\r\n\r\n");
    ASSERT_STR(client_reply(&c, &a, true, 5).body, "GET /echo\nn=1\n");
    ASSERT_STR(client_reply(&c, &a, true, 5).body, "POST /echo\nn=2\nabc");
    ASSERT_STR(client_reply(&c, &a, true, 5).body, "slow\n");
    ASSERT_STR(client_reply(&c, &a, true, 5).body, "GET /echo\nn=3\n");
    /* errors that leave no doubt where the request ended cost no connection */
    client_text(&c, "GET /none HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 500);
    client_text(&c, "POST /denied HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n12345");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 401);
    client_text(&c, "POST /form HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n12345");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 400);
    client_text(&c, "POST /none-begin HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\n\r\n12345");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 500);
    client_text(&c, "GET /echo HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 200);
    assert_true(client_sees_end(&c, 5));
    client_close(&c);
    assert_int_equal(app.n_logs, 2);
    app_close(&app);
    assert_int_equal(app.n_done, 9);
    arena_release(&a);
}

static void what_stands_behind_a_body_is_the_next_request(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    app = (struct app){.opt = {.slowest_seconds = 1}};
    app_open(&app);
    struct client c = client_open(app.port);

    client_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\nabcdef\r\n\r\n");
    ASSERT_STR(client_reply(&c, &a, true, 5).body, "POST /echo\nabc"); /* longer than it said */
    assert_true(client_sees_end(&c, 5));
    client_close(&c);
    c = client_open(app.port); /* shorter: waited for, and not for ever */
    client_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc");
    assert_true(client_sees_end(&c, 5));
    client_close(&c);
    c = client_open(app.port); /* shorter, and then its end: no answer, for there was no request */
    client_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 9\r\n\r\nabc");
    shutdown(c.fd, SHUT_WR);
    assert_int_equal(client_reply(&c, &a, true, 5).status, 0);
    client_close(&c);
    assert_int_equal(app.n_handled, 1);
    app_close(&app);
    arena_release(&a);
}

static void an_answer_of_our_own_is_in_the_applications_words(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    app = (struct app){0};
    app_open(&app);
    const struct reply r = get(&app, &a, "/none");

    ASSERT_STR(r.body, "{\"refused\":500,\"why\":\"the server failed to answer\"}");
    assert_string_equal(reply_header(&r, "content-type", &a), "application/json");
    assert_int_equal(strlen(reply_header(&r, "x-request-id", &a)), 36);
    assert_int_equal(http_server_counts(app.server).refused, 1);
    app_close(&app);
    arena_release(&a);
}

static void what_two_readers_could_understand_differently_is_refused(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: identity\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: "
        "chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: \x0b"
        "chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length : 3\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length\t: 3\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: +3\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: -3\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 0x3\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3,3\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length:\r\n\r\nabc",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length:\r\n 3\r\n\r\nabc",
        "POST /echo HTTP/1.0\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\n 0\r\n\r\n0123456789",
        "POST /echo HTTP/1.1\r\nHost: t\r\nX: 1\r\n\tY: 2\r\nContent-Length: 3\r\n\r\nabc",
        "GET /echo HTTP/1.1\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /echo HTTP/1.1\r\n Host: a\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: a\r\nX: a\rContent-Length: 3\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET /echo HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n",
        "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET echo HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /echo?a=%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /echo?a=%00 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /echo?a=%ff HTTP/1.1\r\nHost: a\r\n\r\n",
        "G(T /echo HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /echo HTTP/x.1\r\nHost: a\r\n\r\n",
        "GET /echo\r\nHost: a\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3x\r\nabc\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
        "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    };
    static struct app app;
    struct arena a = {0};
    app = (struct app){0};
    app_open(&app);

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct client c = client_open(app.port);

        client_send(&c, str_of(cases[i]));
        client_text(&c, "GET /echo?smuggled=1 HTTP/1.1\r\nHost: t\r\n\r\n");
        const struct reply r = client_reply(&c, &a, true, 5);
        if (r.status != 400)
            fail_msg("%d and not 400 for: %s", r.status, cases[i]);
        if (!client_sees_end(&c, 5))
            fail_msg("the connection stays open after: %s", cases[i]);
        client_close(&c);
    }
    const struct str zeros[] = {
        STR("GET /echo\0/x HTTP/1.1\r\nHost: a\r\n\r\n"),
        STR("GET\0 /echo HTTP/1.1\r\nHost: a\r\n\r\n"),
        STR("GET /echo HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n"),
        STR("GET /echo HTTP/1.1\r\nHost: a\r\nX\0a: b\r\n\r\n"),
        STR("GET /echo HTTP/1.1\r\nHost: a\r\nX: a\r\nY: a\0\r\n\r\n"),
    };
    for (size_t i = 0; i < COUNT_OF(zeros); i++) {
        struct client c = client_open(app.port);

        client_send(&c, zeros[i]);
        const int status = client_reply(&c, &a, true, 5).status;
        if (status != 400)
            fail_msg("%d and not 400 for the zero byte of case %zu", status, i);
        client_close(&c);
    }
    /* line ends without '\r' are no doubt: every reader ends a line there */
    struct client c = client_open(app.port);
    client_text(&c, "GET /echo HTTP/1.1\nHost: a\nX: \t y  \r\nZ:\n\n");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 200);
    client_close(&c);
    assert_int_equal(app.n_handled, 1);
    app_close(&app);
    arena_release(&a);
}

static void sizes_have_limits(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    app = (struct app){0};
    app_open(&app);
    char *long_text = arena_alloc(&a, 200001);
    memset(long_text, 'x', 200000);

    for (int over = 0; over < 3; over++) { /* ours, and libmicrohttpd's own behind it */
        const int sizes[] = {8000, 9000, 200000};
        struct client c = client_open(app.port);

        client_text(&c, "GET /echo");
        client_send(&c, (struct str){long_text, (size_t)sizes[over]});
        client_text(&c, " HTTP/1.1\r\nHost: t\r\n\r\n");
        const struct reply r = client_reply(&c, &a, true, 5);
        assert_int_equal(r.status, over == 0 ? 200 : 414);
        client_close(&c);
    }
    for (int over = 0; over < 3; over++) {
        const int sizes[] = {16000, 16500, 200000};
        struct client c = client_open(app.port);

        client_text(&c, "GET /echo HTTP/1.1\r\nHost: t\r\nX: ");
        client_send(&c, (struct str){long_text, (size_t)sizes[over]});
        client_text(&c, "\r\n\r\n");
        const struct reply r = client_reply(&c, &a, true, 5);
        assert_int_equal(r.status, over == 0 ? 200 : 431);
        client_close(&c);
    }
    struct client c = client_open(app.port); /* as many as there may be in the limit of bytes */
    client_text(&c, "GET /echo HTTP/1.1\r\nHost: t\r\n");
    for (int i = 0; i < 300; i++)
        client_text(&c, "a: b\r\n");
    client_text(&c, "\r\n");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 431);
    client_close(&c);
    app_close(&app);
    arena_release(&a);
}

static void a_silent_or_trickling_client_costs_a_connection_for_a_while(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    app = (struct app){.opt = {.slowest_seconds = 1, .idle_seconds = 2}};
    app_open(&app);
    struct client silent = client_open(app.port), used = client_open(app.port);
    struct client line = client_open(app.port), head = client_open(app.port),
                  body = client_open(app.port), fine = client_open(app.port);
    const double start = clock_seconds();

    client_text(&used, "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_int_equal(client_reply(&used, &a, true, 5).status, 200);
    client_text(&line, "GET /ec");
    client_text(&head, "GET /echo HTTP/1.1\r\nHost: t\r\nX: ");
    client_text(&body, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 60000\r\n\r\n");
    client_text(&fine, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 20000\r\n\r\n");
    bool line_ends = false, head_ends = false, body_ends = false;
    for (int i = 0; i < 40; i++) { /* a byte, ten times a second; 4 KiB a second are not too slow */
        char some[500];

        memset(some, 'x', sizeof some);
        clock_sleep_until(start + 0.1 * i);
        line_ends = line_ends || !client_text(&line, "x");
        head_ends = head_ends || !client_text(&head, "x");
        body_ends = body_ends || !client_text(&body, "x");
        assert_true(client_send(&fine, (struct str){some, sizeof some}));
    }
    assert_true(line_ends && head_ends && body_ends);
    assert_int_equal(client_reply(&fine, &a, true, 5).status, 200);
    assert_true(client_sees_end(&silent, 1) && client_sees_end(&used, 1));
    client_close(&silent);
    client_close(&used);
    client_close(&line);
    client_close(&head);
    client_close(&body);
    client_close(&fine);
    app_close(&app);
    assert_int_equal(app.n_done, 4);
    arena_release(&a);
}

static void a_full_queue_is_an_answer(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    struct client c[8];
    app = (struct app){.opt = {.n_handlers = 1, .max_waiting = 2}};
    app_open(&app);
    atomic_store(&app.is_held, true);
    for (size_t i = 0; i < COUNT_OF(c); i++) {
        c[i] = client_open(app.port);
        client_text(&c[i], "GET /slow HTTP/1.1\r\nHost: t\r\n\r\n");
        if (i == 0)
            app_wait(&app.n_handled, 1);
    }
    int refused = 0;
    while (refused < 5) { /* one is handled, two wait */
        struct pollfd p[COUNT_OF(c)];

        for (size_t i = 0; i < COUNT_OF(c); i++)
            p[i] = (struct pollfd){.fd = c[i].fd, .events = POLLIN};
        assert_true(poll(p, COUNT_OF(c), 5000) > 0);
        for (size_t i = 0; i < COUNT_OF(c); i++)
            if (p[i].revents != 0) {
                const struct reply r = client_reply(&c[i], &a, true, 5);

                assert_int_equal(r.status, 503);
                assert_string_equal(reply_header(&r, "retry-after", &a), "1");
                client_close(&c[i]);
                refused++;
            }
    }
    assert_int_equal(http_server_counts(app.server).waiting, 2);
    atomic_store(&app.is_held, false);
    for (size_t i = 0; i < COUNT_OF(c); i++)
        if (c[i].fd >= 0) {
            assert_int_equal(client_reply(&c[i], &a, true, 5).status, 200);
            client_close(&c[i]);
        }
    app_close(&app);
    assert_int_equal(app.n_done, 8);
    arena_release(&a);
}

static void a_body_that_was_let_in_is_not_lost_to_a_full_queue(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    struct client c[2];
    app = (struct app){.opt = {.n_handlers = 1, .max_waiting = 1}};
    app_open(&app);
    struct client body = client_open(app.port);

    client_text(&body, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\n\r\n");
    app_wait(&app.n_begun, 1);
    atomic_store(&app.is_held, true);
    for (size_t i = 0; i < 2; i++) {
        c[i] = client_open(app.port);
        client_text(&c[i], "GET /slow HTTP/1.1\r\nHost: t\r\n\r\n");
        app_wait(&app.n_handled, 1);
    }
    const double deadline = clock_seconds() + 5;
    while (http_server_counts(app.server).waiting < 1 && clock_seconds() < deadline)
        clock_sleep_until(clock_seconds() + 0.005);
    client_text(&body, "abc");
    while (http_server_counts(app.server).waiting < 2 && clock_seconds() < deadline)
        clock_sleep_until(clock_seconds() + 0.005);
    assert_int_equal(http_server_counts(app.server).waiting, 2);
    atomic_store(&app.is_held, false);
    ASSERT_STR(client_reply(&body, &a, true, 5).body, "POST /echo\nabc");
    client_close(&body);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(client_reply(&c[i], &a, true, 5).status, 200);
        client_close(&c[i]);
    }
    app_close(&app);
    arena_release(&a);
}

static void a_client_that_closes_its_half_gets_its_answer(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    app = (struct app){0};
    app_open(&app);
    struct client c = client_open(app.port);

    client_text(&c, "GET /slow?ms=100 HTTP/1.1\r\nHost: t\r\n\r\n");
    shutdown(c.fd, SHUT_WR);
    assert_int_equal(client_reply(&c, &a, true, 5).status, 200);
    assert_true(client_sees_end(&c, 5));
    client_close(&c);
    c = client_open(app.port);
    client_text(&c, "GET /keep HTTP/1.1\r\nHost: t\r\n\r\n");
    shutdown(c.fd, SHUT_WR);
    app_wait(&app.n_gone, 1); /* who knows; the answer may still be wanted */
    app_answer_kept(&app);
    ASSERT_STR(client_reply(&c, &a, true, 5).body, "kept\n");
    client_close(&c);
    app_close(&app);
    arena_release(&a);
}

static void clients_have_a_limit_of_connections(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    app = (struct app){.opt = {.max_connections_per_address = 3}};
    app_open(&app);
    struct client c[3];

    for (size_t i = 0; i < COUNT_OF(c); i++) {
        c[i] = client_open(app.port);
        client_text(&c[i], "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n");
        assert_int_equal(client_reply(&c[i], &a, true, 5).status, 200);
    }
    assert_int_equal(http_server_counts(app.server).connections, 3);
    struct client one_more = client_open(app.port);
    assert_true(client_sees_end(&one_more, 5));
    client_close(&one_more);
    for (size_t i = 0; i < COUNT_OF(c); i++)
        client_close(&c[i]);
    app_close(&app);
    arena_release(&a);
}

static void who_finds_no_place_waits_for_one(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    app = (struct app){.opt = {.max_connections = 4}};
    app_open(&app);
    struct client c[12];

    for (size_t i = 0; i < COUNT_OF(c); i++) {
        c[i] = client_open(app.port); /* the kernel's: the server may take it later */
        client_text(&c[i], "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n");
        if (i < 4)
            assert_int_equal(client_reply(&c[i], &a, true, 5).status, 200);
    }
    assert_int_equal(http_server_counts(app.server).connections, 4);
    for (size_t i = 0; i + 4 < COUNT_OF(c); i++) {
        client_close(&c[i]);
        assert_int_equal(client_reply(&c[i + 4], &a, true, 5).status, 200);
        assert_true(http_server_counts(app.server).connections <= 4);
    }
    for (size_t i = COUNT_OF(c) - 4; i < COUNT_OF(c); i++)
        client_close(&c[i]);
    app_close(&app);
    assert_int_equal(app.n_done, COUNT_OF(c));
    arena_release(&a);
}

static atomic_bool is_slow;

/* For libmicrohttpd: to take a socket out of an epoll set takes its time, so that what may happen meanwhile does. */
__attribute__((visibility("default"))) int epoll_ctl(int epoll, int op, int fd,
                                                     struct epoll_event *event)
{
    if (op == EPOLL_CTL_DEL && atomic_load(&is_slow))
        clock_sleep_until(clock_seconds() + 0.003);
    return (int)syscall(SYS_epoll_ctl, epoll, op, fd, event);
}

struct comers {
    atomic_int port; /* 0: none */
    atomic_bool is_over;
    atomic_int n_came;
};

/* Connects again and again, and leaves at once or after a request. */
static void *come_and_go(void *ctx)
{
    const struct str request = STR("GET /echo HTTP/1.1\r\nHost: t\r\n\r\n");
    struct comers *c = ctx;
    unsigned n = 0;

    while (!atomic_load(&c->is_over)) {
        const struct sockaddr_in to = {.sin_family = AF_INET,
                                       .sin_port = htons((uint16_t)atomic_load(&c->port)),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_true(fd >= 0);
        if (connect(fd, (const struct sockaddr *)&to, sizeof to) == 0) {
            atomic_fetch_add(&c->n_came, 1);
            if (n++ % 2 == 0)
                (void)!send(fd, request.ptr, request.len, MSG_NOSIGNAL);
        }
        close(fd);
    }
    return NULL;
}

/* libmicrohttpd's MHD_quiesce_daemon ends the process where a thread of its own is taking the listening socket out, too. */
static void a_server_ends_while_clients_come(void **state)
{
    (void)state;
    static struct app app;
    struct comers comers = {0};
    pthread_t thread[2];

    atomic_store(&is_slow, true);
    for (size_t i = 0; i < COUNT_OF(thread); i++)
        assert_int_equal(pthread_create(&thread[i], NULL, come_and_go, &comers), 0);
    for (size_t i = 0; i < 50; i++) {
        app = (struct app){0};
        app_open(&app);
        const int before = atomic_load(&comers.n_came);
        atomic_store(&comers.port, app.port);
        app_wait(&comers.n_came, before + 1 + (int)(i % 7));
        app_close(&app);
    }
    atomic_store(&comers.is_over, true);
    for (size_t i = 0; i < COUNT_OF(thread); i++)
        pthread_join(thread[i], NULL);
    atomic_store(&is_slow, false);
}

static void a_file_is_sent_as_it_is_read(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    struct error err = {0};
    app = (struct app){0};
    app_open(&app);
    assert_int_equal(get(&app, &a, "/file").status, 404);
    const size_t n = (size_t)8 << 20;
    char *bytes = arena_alloc(&a, n);
    for (size_t i = 0; i < n; i++)
        bytes[i] = (char)(i * 2654435761u >> 13);
    ASSERT_OK(file_put(file_join(&a, app.dir, "big.bin"), (struct str){bytes, n}, &err));
    const struct reply r = get(&app, &a, "/file");
    assert_int_equal(r.status, 200);
    assert_true(r.is_whole && str_eq(r.body, (struct str){bytes, n}));
    struct client c = client_open(app.port); /* leaves in the middle */
    client_text(&c, "GET /file HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_true(client_wait_for(&c, "\r\n\r\n", 5));
    client_close(&c);
    app_close(&app);
    assert_int_equal(app.n_done, 3);
    arena_release(&a);
}

static size_t open_files(void)
{
    DIR *d = opendir("/proc/self/fd");
    size_t n = 0;

    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

static void what_cannot_be_opened_is_told(void **state)
{
    (void)state;
    static struct app app;
    struct arena a = {0};
    struct error err = {0};
    struct http_server *s = NULL;
    app = (struct app){0};
    app_open(&app);
    struct http_options opt = app.opt;
    const size_t files = open_files();

    opt.port = app.port;
    ASSERT_FAILS(http_server_open(&opt, &s, &err), ERR_IO, "Address already in use");
    opt.port = 0;
    opt.host = "no.such.host.invalid";
    ASSERT_FAILS(http_server_open(&opt, &s, &err), ERR_INVALID, "no.such.host.invalid");
    opt.host = "127.0.0.1";
    opt.tls_cert = file_join(&a, app.dir, "cert.pem");
    ASSERT_FAILS(http_server_open(&opt, &s, &err), ERR_NOT_FOUND, "cert.pem");
    ASSERT_OK(file_put(opt.tls_cert, STR("no certificate"), &err));
    opt.tls_key = opt.tls_cert;
    ASSERT_FAILS(http_server_open(&opt, &s, &err), ERR_INVALID, "-----BEGIN CERTIFICATE");
    ASSERT_OK(file_put(opt.tls_cert,
                       STR("-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n"), &err));
    ASSERT_FAILS(http_server_open(&opt, &s, &err), ERR_INVALID, "TLS cannot be started");
    opt.tls_key = NULL;
    ASSERT_FAILS(http_server_open(&opt, &s, &err), ERR_INVALID, "the key was not given");
    assert_null(s);
    assert_int_equal(open_files(), files);
    http_server_close(NULL);
    app_close(&app);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_becomes_an_answer),
        cmocka_unit_test(head_has_no_body_and_options_says_what_is_allowed),
        cmocka_unit_test(answered_comes_before_the_client_sees_the_end),
        cmocka_unit_test(requests_follow_each_other_on_one_connection),
        cmocka_unit_test(what_stands_behind_a_body_is_the_next_request),
        cmocka_unit_test(an_answer_of_our_own_is_in_the_applications_words),
        cmocka_unit_test(what_two_readers_could_understand_differently_is_refused),
        cmocka_unit_test(sizes_have_limits),
        cmocka_unit_test(a_silent_or_trickling_client_costs_a_connection_for_a_while),
        cmocka_unit_test(a_full_queue_is_an_answer),
        cmocka_unit_test(a_body_that_was_let_in_is_not_lost_to_a_full_queue),
        cmocka_unit_test(a_client_that_closes_its_half_gets_its_answer),
        cmocka_unit_test(clients_have_a_limit_of_connections),
        cmocka_unit_test(who_finds_no_place_waits_for_one),
        cmocka_unit_test(a_server_ends_while_clients_come),
        cmocka_unit_test(a_file_is_sent_as_it_is_read),
        cmocka_unit_test(what_cannot_be_opened_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
