/*
 * http_test.c - replies of every kind come in whole or as a sentence, by the deadline, over connections used again.
 */
#include "base/clock.h"
#include "base/http.h"
#include "base/size.h"
#include "support/http_server.h"
#include "support/support.h"
#include "support/tls_server.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECRET "sk-very-secret"

static const struct http_header KEY[] = {{"Authorization", "Bearer " SECRET},
                                         {"Content-Type", "application/json"}};

static struct http_request post(const char *url, double seconds)
{
    return (struct http_request){.method = "POST",
                                 .url = url,
                                 .n_headers = COUNT_OF(KEY),
                                 .headers = KEY,
                                 .body = STR("{\"a\":1}"),
                                 .max_reply_bytes = 1 << 20,
                                 .deadline = clock_seconds() + seconds};
}

/* One request to a server with this script. */
struct asked {
    struct http_reply reply;
    struct error err;
    double seconds;
    bool ok;
};
static struct asked ask_with(struct http_script script, struct arena *a, double seconds,
                             size_t max_bytes)
{
    struct http_server *s = http_server_start(&script, 1);
    struct http *h = NULL;
    struct asked r = {0};
    struct http_request rq = post(http_server_url(s), seconds);
    const double start = clock_seconds();

    rq.max_reply_bytes = max_bytes;
    assert_true(http_open(&h, &r.err));
    r.ok = http_send(h, &rq, a, &r.reply, &r.err);
    r.seconds = clock_seconds() - start;
    http_close(h);
    http_server_stop(s);
    assert_null(strstr(r.err.message, SECRET));
    return r;
}
#define ASSERT_SENTENCE(r, want_kind, text)                                                        \
    do {                                                                                           \
        assert_false((r).ok);                                                                      \
        if ((r).err.kind != want_kind || strstr((r).err.message, text) == NULL)                    \
            fail_msg("\"%s\" (%s) does not say \"%s\"", (r).err.message,                           \
                     error_kind_name((r).err.kind), text);                                         \
    } while (0)

static void a_post_is_sent_and_its_reply_comes_back(void **state)
{
    (void)state;
    const struct http_script script = {
        .status = 201, .headers = "Content-Type: application/json\r\n", .body = "{\"b\":2}"};
    struct http_server *s = http_server_start(&script, 1);
    struct arena a = {0};
    struct error err = {0};
    struct http *h = NULL;
    struct http_reply r = {0};
    struct http_request rq = post(arena_printf(&a, "%s/v1/x?key=" SECRET, http_server_url(s)), 10);

    ASSERT_OK(http_open(&h, &err));
    ASSERT_OK(http_send(h, &rq, &a, &r, &err));
    assert_int_equal(r.status, 201);
    assert_string_equal(r.content_type, "application/json");
    assert_true(r.retry_after_s == -1 && r.should_retry == -1 && r.location[0] == '\0');
    ASSERT_STR(r.body, "{\"b\":2}");
    const char *head = arena_text(&a, http_server_head(s, 0));
    assert_non_null(strstr(head, "POST /v1/x?key=" SECRET " HTTP/1.1\r\n"));
    assert_non_null(strstr(head, "Authorization: Bearer " SECRET "\r\n"));
    assert_non_null(strstr(head, "User-Agent: hone/"));
    assert_null(strstr(head, "Expect:"));
    ASSERT_STR(http_server_body(s, 0), "{\"a\":1}");
    rq.method = "GET";
    ASSERT_OK(http_send(h, &rq, &a, &r, &err));
    assert_true(str_starts(http_server_head(s, 1), STR("GET /v1/x")));
    assert_int_equal(http_server_body(s, 1).len, 0);
    http_close(h);
    http_server_stop(s);
    arena_release(&a);
}

static void a_status_is_no_error_and_what_to_wait_for_is_read(void **state)
{
    (void)state;
    static const struct {
        const char *headers;
        double want_s;
        int should_retry;
    } cases[] = {
        {"Retry-After: 2\r\n", 2, -1},
        {"RETRY-AFTER:  0.25 \r\n", 0.25, -1},
        {"retry-after-ms: 1500\r\nRetry-After: 9\r\n", 1.5, -1},
        {"Retry-After: 9\r\nretry-after-ms: 1500\r\n", 1.5, -1},
        {"Retry-After: soon\r\nx-should-retry: false\r\n", -1, 0},
        {"Retry-After: -3\r\nx-should-retry: true\r\n", -1, 1},
        {"Retry-After: nan\r\nx-should-retry: maybe\r\n", -1, -1},
        {"Retry-After: Wed, 21 Oct 2015 07:28:00 GMT\r\n", 0, -1},
        {"Retry-After:\r\n", -1, -1},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct arena a = {0};
        const struct asked r =
            ask_with((struct http_script){.status = 429, .headers = cases[i].headers}, &a, 10, 100);

        assert_true(r.ok);
        assert_int_equal(r.reply.status, 429);
        assert_true(r.reply.retry_after_s == cases[i].want_s);
        assert_int_equal(r.reply.should_retry, cases[i].should_retry);
        arena_release(&a);
    }
}

static void a_redirect_is_told_and_not_followed(void **state)
{
    (void)state;
    struct arena a = {0};
    const struct asked r =
        ask_with((struct http_script){.status = 308, .headers = "Location: file:///etc/passwd\r\n"},
                 &a, 10, 100);

    assert_true(r.ok);
    assert_int_equal(r.reply.status, 308);
    assert_string_equal(r.reply.location, "file:///etc/passwd");
    arena_release(&a);
}

static void bodies_come_whole_or_not_at_all(void **state)
{
    (void)state;
    struct arena a = {0};
    struct asked r =
        ask_with((struct http_script){.body = "0123456789", .manner = HTTP_CHUNKED}, &a, 10, 10);

    assert_true(r.ok);
    ASSERT_STR(r.reply.body, "0123456789");
    assert_int_equal(r.reply.body.ptr[10], '\0');
    r = ask_with((struct http_script){.body = "0123456789", .manner = HTTP_CHUNKED}, &a, 10, 9);
    ASSERT_SENTENCE(r, ERR_LIMIT, "longer than the 9 bytes");
    r = ask_with((struct http_script){.body = "0123456789"}, &a, 10, 9);
    ASSERT_SENTENCE(r, ERR_LIMIT, "longer than the 9 bytes");
    r = ask_with((struct http_script){.body = "0123456789", .manner = HTTP_ENDLESS}, &a, 10,
                 1 << 20);
    ASSERT_SENTENCE(r, ERR_LIMIT, "longer than the 1048576 bytes");
    assert_true(r.seconds < 5);
    r = ask_with((struct http_script){.body = "0123", .manner = HTTP_CUT}, &a, 10, 100);
    ASSERT_SENTENCE(r, ERR_IO, "the connection was lost");
    r = ask_with((struct http_script){.manner = HTTP_HANG_UP}, &a, 10, 100);
    ASSERT_SENTENCE(r, ERR_IO, "the connection was lost");
    r = ask_with((struct http_script){.body = "SSH-2.0-x\r\n", .manner = HTTP_RAW}, &a, 10, 100);
    ASSERT_SENTENCE(r, ERR_IO, "is not HTTP");
    r = ask_with((struct http_script){.body = "HTTP/1.1 9\r\n\r\n", .manner = HTTP_RAW}, &a, 10,
                 100);
    assert_false(r.ok);
    assert_int_equal(r.err.kind, ERR_IO);
    arena_release(&a);
}

static void large_headers_are_read_past(void **state)
{
    (void)state;
    struct arena a = {0};
    char *headers = arena_alloc(&a, 10100);

    strcpy(headers, "X-Long: ");
    memset(headers + 8, 'x', 10000);
    strcpy(headers + 10008, "\r\nRetry-After: 3\r\n");
    const struct asked r =
        ask_with((struct http_script){.headers = headers, .body = "b"}, &a, 10, 100);
    assert_true(r.ok && r.reply.retry_after_s == 3);
    ASSERT_STR(r.reply.body, "b");
    arena_release(&a);
}

static void a_server_that_stalls_costs_no_more_than_the_deadline(void **state)
{
    (void)state;
    struct arena a = {0};
    struct asked r = ask_with((struct http_script){.manner = HTTP_STALL}, &a, 0.3, 100);

    ASSERT_SENTENCE(r, ERR_TIMEOUT, "no whole reply within the time");
    assert_true(r.seconds > 0.29 && r.seconds < 1.5);
    r = ask_with((struct http_script){.delay_s = 60}, &a, 0.3, 100);
    ASSERT_SENTENCE(r, ERR_TIMEOUT, "127.0.0.1, port ");
    assert_true(r.seconds > 0.29 && r.seconds < 1.5);
    r = ask_with((struct http_script){.body = "x"}, &a, -1, 100);
    ASSERT_SENTENCE(r, ERR_TIMEOUT, "no time left");
    arena_release(&a);
}

/* The C library's, but for one name, whose server of names is deaf. libcurl calls it, in a thread of its own. */
#define DEAF "deaf.example"
#define DEAF_SECONDS 3
static atomic_bool is_resolved;
typedef int resolve_fn(const char *, const char *, const struct addrinfo *, struct addrinfo **);

int getaddrinfo(const char *restrict name, const char *restrict service,
                const struct addrinfo *restrict hints, struct addrinfo **restrict out)
{
    void *found = dlsym(RTLD_NEXT, "getaddrinfo");
    resolve_fn *resolve;

    if (name != NULL && strcmp(name, DEAF) == 0) {
        clock_sleep_until(clock_seconds() + DEAF_SECONDS);
        atomic_store(&is_resolved, true);
        return EAI_AGAIN;
    }
    memcpy(&resolve, &found, sizeof resolve);
    return resolve(name, service, hints, out);
}

static void a_name_that_nobody_resolves_costs_no_more_than_the_deadline(void **state)
{
    (void)state;
    struct arena a = {0};
    struct error err = {0};
    struct http *h = NULL;
    struct http_reply r;
    const struct http_request rq = post("http://" DEAF "/", 0.3);
    const double start = clock_seconds();

    ASSERT_OK(http_open(&h, &err));
    ASSERT_FAILS(http_send(h, &rq, &a, &r, &err), ERR_TIMEOUT, DEAF ", port 80");
    assert_true(clock_seconds() - start < DEAF_SECONDS - 1);
    http_close(h);
    while (!atomic_load(&is_resolved))
        clock_sleep_until(clock_seconds() + 0.01);
    clock_sleep_until(clock_seconds() + 0.1); /* its thread ends */
    arena_release(&a);
}

static void no_server_is_a_sentence_with_its_place(void **state)
{
    (void)state;
    const struct http_script script = {.body = "x"};
    struct http_server *s = http_server_start(&script, 1);
    struct arena a = {0};
    struct error err = {0};
    struct http *h = NULL;
    struct http_reply r = {.status = 7};
    const char *url = arena_printf(&a, "%s/?key=" SECRET, http_server_url(s));
    struct http_request rq = post(url, 5);

    http_server_stop(s);
    ASSERT_OK(http_open(&h, &err));
    ASSERT_FAILS(http_send(h, &rq, &a, &r, &err), ERR_IO, "127.0.0.1, port ");
    assert_non_null(strstr(err.message, "no connection"));
    assert_null(strstr(err.message, SECRET));
    assert_int_equal(r.status, 7); /* as it was */
    /* a label of more than 63 characters is refused by the resolver itself, without asking anyone */
    rq.url = "http://a-name-that-is-longer-than-any-label-of-a-domain-name-may-ever-get-to-be/x";
    ASSERT_FAILS(http_send(h, &rq, &a, &r, &err), ERR_IO, "port 80: no address is known");
    http_close(h);
    http_close(NULL);
    arena_release(&a);
}

static void a_connection_is_used_again(void **state)
{
    (void)state;
    const struct http_script script[] = {
        {.body = "1"}, {.body = "2", .manner = HTTP_CHUNKED}, {.status = 500}, {.body = "4"}};
    struct http_server *s = http_server_start(script, COUNT_OF(script));
    struct arena a = {0};
    struct error err = {0};
    struct http *h = NULL;
    struct http_reply r = {0};

    ASSERT_OK(http_open(&h, &err));
    for (int i = 0; i < 50; i++) {
        struct http_request rq = post(http_server_url(s), 10);

        ASSERT_OK(http_send(h, &rq, &a, &r, &err));
        assert_int_equal(r.reused_connection, i > 0);
    }
    assert_int_equal(http_server_requests(s), 50);
    assert_int_equal(http_server_connections(s), 1);
    http_close(h);
    http_server_stop(s);
    arena_release(&a);
}

struct sender {
    struct http *h;
    const char *url;
    int n_ok;
};
static void *send_many(void *arg)
{
    struct sender *me = arg;

    for (int i = 0; i < 25; i++) {
        struct arena a = {0};
        struct error err = {0};
        struct http_reply r = {0};
        struct http_request rq = post(me->url, 10);

        me->n_ok += http_send(me->h, &rq, &a, &r, &err) && str_is(r.body, "yes");
        arena_release(&a);
    }
    return NULL;
}

static void threads_send_at_once_over_a_connection_each(void **state)
{
    (void)state;
    enum { N = 8 };
    const struct http_script script = {.body = "yes", .delay_s = 0.005};
    struct http_server *s = http_server_start(&script, 1);
    struct error err = {0};
    struct http *h = NULL;
    struct sender senders[N];
    pthread_t threads[N];

    ASSERT_OK(http_open(&h, &err));
    for (int i = 0; i < N; i++) {
        senders[i] = (struct sender){.h = h, .url = http_server_url(s)};
        assert_int_equal(pthread_create(&threads[i], NULL, send_many, &senders[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(senders[i].n_ok, 25);
    }
    assert_int_equal(http_server_requests(s), N * 25);
    assert_in_range(http_server_connections(s), 2, N);
    http_close(h);
    http_server_stop(s);
}

static void addresses_and_headers_are_checked(void **state)
{
    (void)state;
    struct error err = {0};
    static const char *const wrong[] = {"ftp://host/x", "file:///etc/passwd", "host/path",  "",
                                        "http://",      "javascript:1",       "http://a b/"};

    for (size_t i = 0; i < COUNT_OF(wrong); i++) {
        ASSERT_FAILS(http_check_url(wrong[i], "url", &err), ERR_INVALID, "url: ");
        assert_string_equal(err.param, "url");
    }
    ASSERT_FAILS(http_check_url("https://me:" SECRET "@host/", "url", &err), ERR_INVALID,
                 "use a header");
    assert_null(strstr(err.message, SECRET));
    ASSERT_OK(http_check_url("HTTPS://Host:8443/v1?x=y", "url", &err));
    ASSERT_OK(http_check_url("http://[::1]:80", "url", &err));

    ASSERT_OK(http_check_header("X-Key", "", "h", &err));
    ASSERT_OK(http_check_header("Authorization", "Bearer \xc3\xa9", "h", &err));
    ASSERT_FAILS(http_check_header("X Key", "v", "h", &err), ERR_INVALID, "letters, digits");
    ASSERT_FAILS(http_check_header("", "v", "h", &err), ERR_INVALID, "letters, digits");
    ASSERT_FAILS(http_check_header("X", SECRET "\r\nHost: b", "h", &err), ERR_INVALID,
                 "a line break");
    assert_null(strstr(err.message, SECRET));
    ASSERT_FAILS(http_check_header("content-length", "1", "h", &err), ERR_INVALID, "is set by");
}

static void an_address_or_header_that_cannot_be_sent_is_refused_when_sending(void **state)
{
    (void)state;
    struct arena a = {0};
    struct error err = {0};
    struct http *h = NULL;
    struct http_reply r;
    struct http_request rq = post("file:///etc/passwd", 5);
    const struct http_header broken = {"X", "a\nb"};

    ASSERT_OK(http_open(&h, &err));
    ASSERT_FAILS(http_send(h, &rq, &a, &r, &err), ERR_INVALID, "http:// or https://");
    rq = post("http://127.0.0.1:1", 5);
    rq.n_headers = 1;
    rq.headers = &broken;
    ASSERT_FAILS(http_send(h, &rq, &a, &r, &err), ERR_INVALID, "a line break");
    http_close(h);
    arena_release(&a);
}

static void a_socket_is_not_inherited(void **state)
{
    (void)state;
    const struct http_script script = {.body = "x"};
    struct http_server *s = http_server_start(&script, 1);
    struct arena a = {0};
    struct error err = {0};
    struct http *h = NULL;
    struct http_reply r;
    struct http_request rq = post(http_server_url(s), 10);
    int n_closed_on_exec = 0;

    ASSERT_OK(http_open(&h, &err));
    ASSERT_OK(http_send(h, &rq, &a, &r, &err));
    for (int fd = 3; fd < 64; fd++) {
        char path[64], target[64] = "";

        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        if (readlink(path, target, sizeof target - 1) < 0 || strncmp(target, "socket:", 7) != 0)
            continue;
        n_closed_on_exec += (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
    }
    /* the test server's listener and the client's connection; not the test server's end of that */
    assert_int_equal(n_closed_on_exec, 2);
    http_close(h);
    http_server_stop(s);
    arena_release(&a);
}

static void pauses_double_up_to_a_limit_and_end_with_the_tries(void **state)
{
    (void)state;
    struct http_tries t = {.max_tries = 4, .first_pause_s = 0.02};
    const double deadline = clock_seconds() + 10;
    double at = clock_seconds();

    for (int i = 0; i < 3; i++) {
        assert_true(http_try_again(&t, -1, deadline));
        const double want = 0.02 * (1 << i), pause = clock_seconds() - at;
        assert_true(pause >= 0.75 * want && pause < want + 0.2);
        at = clock_seconds();
    }
    assert_false(http_try_again(&t, -1, deadline));
    assert_true(clock_seconds() - at < 0.02);
    /* what the server asks for is waited for, and is no failed try */
    t = (struct http_tries){.max_tries = 1, .first_pause_s = 0.01};
    for (int i = 0; i < 3; i++) {
        at = clock_seconds();
        assert_true(http_try_again(&t, 0.05, deadline));
        assert_true(clock_seconds() - at >= 0.05);
    }
    assert_false(http_try_again(&t, -1, deadline));
    /* no pause that ends too late */
    t = (struct http_tries){.max_tries = 9};
    at = clock_seconds();
    assert_false(http_try_again(&t, 20, at + 10));
    assert_false(http_try_again(&t, -1, at + 0.1));
    assert_true(clock_seconds() - at < 0.05);
}

static void statuses_that_may_pass_are_told_apart(void **state)
{
    (void)state;
    static const int passing[] = {408, 409, 429, 500, 502, 503, 529},
                     lasting[] = {200, 301, 400, 401, 403, 404, 413, 422};

    for (size_t i = 0; i < COUNT_OF(passing); i++) {
        assert_true(http_may_pass(&(struct http_reply){.status = passing[i], .should_retry = -1}));
        assert_false(http_may_pass(&(struct http_reply){.status = passing[i], .should_retry = 0}));
    }
    for (size_t i = 0; i < COUNT_OF(lasting); i++) {
        assert_false(http_may_pass(&(struct http_reply){.status = lasting[i], .should_retry = -1}));
        assert_true(http_may_pass(&(struct http_reply){.status = lasting[i], .should_retry = 1}));
    }
}

static void a_certificate_must_hold(void **state)
{
    (void)state;
    struct arena a = {0};
    struct error err = {0};
    struct http *h = NULL;
    struct http_reply r = {0};
    char *dir = test_dir_make(&a);
    const char *cert = arena_printf(&a, "%s/cert.pem", dir);
    int port;

    if (!tls_certificate_make(dir)) {
        test_dir_remove(dir);
        arena_release(&a);
        print_message("no openssl program here\n");
        skip();
    }
    const pid_t pid = tls_server_start(dir, "-www", &port);
    setenv("no_proxy", "127.0.0.1,localhost", 1);
    unsetenv("SSL_CERT_FILE");
    struct http_request rq = post(arena_printf(&a, "https://127.0.0.1:%d/", port), 20);
    rq.method = "GET";
    ASSERT_OK(http_open(&h, &err));
    ASSERT_FAILS(http_send(h, &rq, &a, &r, &err), ERR_INVALID, "certificate does not hold");
    assert_null(strstr(err.message, SECRET));
    setenv("SSL_CERT_FILE", cert, 1);
    ASSERT_OK(http_send(h, &rq, &a, &r, &err));
    assert_int_equal(r.status, 200);
    /* trusted, and for another name */
    rq.url = arena_printf(&a, "https://localhost:%d/", port);
    ASSERT_FAILS(http_send(h, &rq, &a, &r, &err), ERR_INVALID, "certificate does not hold");
    setenv("SSL_CERT_FILE", "/no/such/file", 1);
    rq.url = arena_printf(&a, "https://127.0.0.1:%d/", port);
    http_close(h);
    ASSERT_OK(http_open(&h, &err));
    ASSERT_FAILS(http_send(h, &rq, &a, &r, &err), ERR_INVALID, "SSL_CERT_FILE");
    unsetenv("SSL_CERT_FILE");
    tls_server_stop(pid);
    http_close(h);
    test_dir_remove(dir);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_post_is_sent_and_its_reply_comes_back),
        cmocka_unit_test(a_status_is_no_error_and_what_to_wait_for_is_read),
        cmocka_unit_test(a_redirect_is_told_and_not_followed),
        cmocka_unit_test(bodies_come_whole_or_not_at_all),
        cmocka_unit_test(large_headers_are_read_past),
        cmocka_unit_test(a_server_that_stalls_costs_no_more_than_the_deadline),
        cmocka_unit_test(a_name_that_nobody_resolves_costs_no_more_than_the_deadline),
        cmocka_unit_test(no_server_is_a_sentence_with_its_place),
        cmocka_unit_test(a_connection_is_used_again),
        cmocka_unit_test(threads_send_at_once_over_a_connection_each),
        cmocka_unit_test(addresses_and_headers_are_checked),
        cmocka_unit_test(an_address_or_header_that_cannot_be_sent_is_refused_when_sending),
        cmocka_unit_test(a_socket_is_not_inherited),
        cmocka_unit_test(pauses_double_up_to_a_limit_and_end_with_the_tries),
        cmocka_unit_test(statuses_that_may_pass_are_told_apart),
        cmocka_unit_test(a_certificate_must_hold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
