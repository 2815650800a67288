/* Redirects and who gets the token, ranges, bodies that are passed on. */
#include "support/http_server.h"
#include "support/support.h"
#include "support/tls_server.h"

#include "base/clock.h"
#include "base/download.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TOKEN "geheimnis"
#define RIG_OK(call)                                                                               \
    do {                                                                                           \
        if (!(call))                                                                               \
            fail_msg("%s: %s", #call, r.err.message);                                              \
    } while (0)

static void origins_are_told_apart(void **state)
{
    (void)state;
    assert_true(download_same_origin("https://a.org/x", "https://A.org:443/y?z"));
    assert_false(download_same_origin("https://a.org/x", "http://a.org/x"));
    assert_false(download_same_origin("https://a.org/x", "https://a.org:444/x"));
    assert_false(download_same_origin("https://a.org/x", "https://a.org.evil.org/x"));
    assert_false(download_same_origin("https://a.org/x", "https://a.org@evil.org/x"));
    assert_false(download_same_origin("nonsense", "nonsense:x y"));
    assert_true(download_is_loopback("http://127.0.0.1:80/x"));
    assert_true(download_is_loopback("http://localhost/x"));
    assert_true(download_is_loopback("http://[::1]:80/x"));
    assert_false(download_is_loopback("http://127.0.0.1.evil.org/x"));
    assert_false(download_is_loopback("http://evil.org/127.0.0.1"));
    assert_false(download_is_loopback("http://localhost.evil.org/x"));
    assert_false(download_is_loopback("http://localhost@evil.org/x"));
}

static void addresses_are_seen_from_another(void **state)
{
    (void)state;
    struct arena a = {0};

    assert_string_equal(download_resolve("https://a.org/b/c?d", STR("/e"), &a), "https://a.org/e");
    assert_string_equal(download_resolve("https://a.org/b/c?d", STR("e"), &a), "https://a.org/b/e");
    assert_string_equal(download_resolve("https://a.org/b", STR("//c.org/d"), &a),
                        "https://c.org/d");
    assert_string_equal(download_resolve("https://a.org/b", STR("http://c.org/d?e=%20"), &a),
                        "http://c.org/d?e=%20");
    assert_null(download_resolve("https://a.org/b", STR("http://:x"), &a));
    arena_release(&a);
}

static bool range_of(const char *line, uint64_t *first, uint64_t *last, uint64_t *total)
{
    return download_content_range(str_of(line), first, last, total);
}

static void ranges_are_read_strictly(void **state)
{
    (void)state;
    uint64_t first, last, total, n;
    const char *const bad[] = {
        "Content-Range: bytes 5-4/100\r\n",
        "Content-Range: bytes 5-100/100\r\n",
        "Content-Range: bytes */100\r\n",
        "Content-Range: bytes 5-9\r\n",
        "Content-Range: 5-9/100\r\n",
        "Content-Range: bytes -9/100\r\n",
        "Content-Range: bytes 5-9/100x\r\n",
        "Content-Range: bytes 5-99999999999999999999/*\r\n",
        "Content-Range:\r\n",
        "X-Content-Range: bytes 5-9/100\r\n",
    };

    assert_true(
        range_of("HTTP/1.1 206 OK\r\ncontent-range:  bytes 5-9/100 \r\n", &first, &last, &total));
    assert_true(first == 5 && last == 9 && total == 100);
    assert_true(range_of("Content-Range: bytes 0-0/*\r\n", &first, &last, &total));
    assert_true(first == 0 && last == 0 && total == UINT64_MAX);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(range_of(bad[i], &first, &last, &total));
    assert_true(download_content_length(STR("Content-Length: 17\r\n"), &n) && n == 17);
    assert_false(download_content_length(STR("Content-Length: 17, 18\r\n"), &n));
}

/* ---- over a connection ---- */

struct rig {
    struct arena a;
    struct http *http;
    struct error err;
    char got[64];
    size_t n, most;
    int status;
};

static bool on_bytes(void *ctx, int status, struct str head, const char *bytes, size_t n)
{
    struct rig *r = ctx;
    struct str type;

    assert_true(http_head_value(head, "x-kind", &type) && str_is(type, "bytes"));
    r->status = status;
    for (size_t i = 0; i < n; i++) {
        if (r->n == r->most)
            return false;
        r->got[r->n++] = bytes[i];
    }
    return true;
}

static struct rig rig_make(void)
{
    struct rig r = {.most = sizeof r.got};

    setenv("no_proxy", "127.0.0.1,localhost", 1);
    RIG_OK(http_open(&r.http, &r.err));
    return r;
}

static struct download download_of(struct rig *r, const char *url)
{
    return (struct download){.url = url,
                             .token = TOKEN,
                             .token_for = url,
                             .sink = on_bytes,
                             .sink_ctx = r,
                             .max_reply_bytes = 1000,
                             .idle_s = 20,
                             .deadline = clock_seconds() + 20};
}

static void rig_release(struct rig *r)
{
    http_close(r->http);
    arena_release(&r->a);
}

static bool holds(struct str s, const char *what)
{
    return str_find(s, str_of(what), 0) < s.len;
}

static void a_token_stays_with_its_origin(void **state)
{
    (void)state;
    struct rig r = rig_make();
    const struct http_script last = {.status = 206, .headers = "X-Kind: bytes\r\n", .body = "abc"};
    struct http_server *far = http_server_start(&last, 1);
    const struct http_script steps[] = {
        {.status = 302, .headers = "Location: /elsewhere\r\n", .body = "not this"},
        {.status = 307,
         .headers = arena_printf(&r.a, "Location: %s/x?signed=1\r\n", http_server_url(far))},
    };
    struct http_server *near = http_server_start(steps, 2);
    struct download d = download_of(&r, arena_printf(&r.a, "%s/begin", http_server_url(near)));
    struct download_reply out;

    d.ranged = true;
    d.first = 5;
    d.last = 7;
    RIG_OK(download_get(r.http, &d, &r.a, &out, &r.err));
    assert_int_equal(out.reply.status, 206);
    assert_int_equal(r.status, 206);
    assert_memory_equal(r.got, "abc", 3);
    assert_int_equal(r.n, 3);
    assert_int_equal(out.reply.body.len, 0);
    assert_true(strncmp(out.url, http_server_url(far), strlen(http_server_url(far))) == 0);
    for (size_t i = 0; i < 2; i++)
        assert_true(holds(http_server_head(near, i), "Authorization: Bearer " TOKEN "\r\n"));
    assert_true(holds(http_server_head(near, 1), "GET /elsewhere "));
    assert_false(holds(http_server_head(far, 0), TOKEN));
    assert_true(holds(http_server_head(far, 0), "Range: bytes=5-7\r\n"));
    http_server_stop(near);
    http_server_stop(far);
    rig_release(&r);
}

static void redirects_end(void **state)
{
    (void)state;
    struct rig r = rig_make();
    const struct http_script around = {.status = 302, .headers = "Location: /again\r\n"},
                             nowhere = {.status = 302},
                             odd = {.status = 302, .headers = "Location: file:///etc/passwd\r\n"};
    const struct {
        const struct http_script *script;
        enum error_kind kind;
        const char *says;
        size_t n;
    } is[] = {{&around, ERR_INVALID, "more than 8 times", 9},
              {&nowhere, ERR_IO, "without a location", 1},
              {&odd, ERR_INVALID, "no http or https", 1}};

    for (size_t i = 0; i < sizeof is / sizeof *is; i++) {
        struct http_server *s = http_server_start(is[i].script, 1);
        struct download d = download_of(&r, http_server_url(s));
        struct download_reply out;

        assert_false(download_get(r.http, &d, &r.a, &out, &r.err));
        assert_int_equal(r.err.kind, is[i].kind);
        assert_non_null(strstr(r.err.message, is[i].says));
        assert_int_equal(http_server_requests(s), is[i].n);
        http_server_stop(s);
    }
    rig_release(&r);
}

static void a_body_is_passed_on_until_no_more_is_wanted(void **state)
{
    (void)state;
    struct rig r = rig_make();
    const struct http_script endless = {
        .headers = "X-Kind: bytes\r\n", .body = "0123456789", .manner = HTTP_ENDLESS};
    struct http_server *s = http_server_start(&endless, 1);
    struct download d = download_of(&r, http_server_url(s));
    struct download_reply out;

    r.most = 25;
    assert_false(download_get(r.http, &d, &r.a, &out, &r.err));
    assert_int_equal(r.err.kind, ERR_CANCELLED);
    assert_memory_equal(r.got, "0123456789012345678901234", 25);
    http_server_stop(s);
    rig_release(&r);
}

static void other_statuses_stay_bounded_bodies(void **state)
{
    (void)state;
    struct rig r = rig_make();
    const struct http_script refusal = {
        .status = 403, .headers = "X-Error-Code: Gated\r\n", .body = "no"};
    struct http_server *s = http_server_start(&refusal, 1);
    struct download d = download_of(&r, http_server_url(s));
    struct download_reply out;
    struct str code;

    RIG_OK(download_get(r.http, &d, &r.a, &out, &r.err));
    assert_int_equal(out.reply.status, 403);
    assert_true(str_is(out.reply.body, "no"));
    assert_true(http_head_value(out.reply.head, "x-error-code", &code) && str_is(code, "Gated"));
    assert_int_equal(r.n, 0);
    http_server_stop(s);
    rig_release(&r);
}

static void a_line_that_went_silent_is_lost(void **state)
{
    (void)state;
    struct rig r = rig_make();
    const struct http_script stall = {
        .headers = "X-Kind: bytes\r\n", .body = "0123456789", .manner = HTTP_STALL};
    struct http_server *s = http_server_start(&stall, 1);
    struct download d = download_of(&r, http_server_url(s));
    struct download_reply out;
    const double began = clock_seconds();

    d.idle_s = 1;
    assert_false(download_get(r.http, &d, &r.a, &out, &r.err));
    assert_int_equal(r.err.kind, ERR_IO);
    assert_non_null(strstr(r.err.message, "nothing came"));
    assert_true(clock_seconds() - began < 15);
    http_server_stop(s);
    rig_release(&r);
}

static void https_does_not_lead_to_http(void **state)
{
    (void)state;
    struct rig r = rig_make();
    char *dir = test_dir_make(&r.a);
    const struct http_script body = {.headers = "X-Kind: bytes\r\n", .body = "changed"};
    struct download_reply out;
    int port;

    if (!tls_certificate_make(dir)) {
        test_dir_remove(dir);
        rig_release(&r);
        print_message("no openssl program here\n");
        skip();
    }
    struct http_server *plain = http_server_start(&body, 1);
    const char *reply =
        arena_printf(&r.a, "HTTP/1.1 302 Found\r\nLocation: %s/x\r\n\r\n", http_server_url(plain));
    RIG_OK(file_put(arena_printf(&r.a, "%s/x", dir), str_of(reply), &r.err));
    const pid_t pid = tls_server_start(dir, "-HTTP", &port);
    setenv("SSL_CERT_FILE", arena_printf(&r.a, "%s/cert.pem", dir), 1);
    struct download d = download_of(&r, arena_printf(&r.a, "https://127.0.0.1:%d/x", port));
    assert_false(download_get(r.http, &d, &r.a, &out, &r.err));
    assert_int_equal(r.err.kind, ERR_INVALID);
    assert_non_null(strstr(r.err.message, "from https to http"));
    assert_int_equal(http_server_requests(plain), 0);
    unsetenv("SSL_CERT_FILE");
    tls_server_stop(pid);
    http_server_stop(plain);
    test_dir_remove(dir);
    rig_release(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(origins_are_told_apart),
        cmocka_unit_test(addresses_are_seen_from_another),
        cmocka_unit_test(ranges_are_read_strictly),
        cmocka_unit_test(a_token_stays_with_its_origin),
        cmocka_unit_test(redirects_end),
        cmocka_unit_test(a_body_is_passed_on_until_no_more_is_wanted),
        cmocka_unit_test(other_statuses_stay_bounded_bodies),
        cmocka_unit_test(a_line_that_went_silent_is_lost),
        cmocka_unit_test(https_does_not_lead_to_http),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
