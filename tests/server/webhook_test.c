/*
 * webhook_test.c - secrets, signatures and pauses; and a sender with a receiver that does what it is told.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/http.h"
#include "base/size.h"
#include "server/webhook.h"
#include "server/webhook_sender.h"
#include "support/http_server.h"
#include "support/stores.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void a_signature_is_that_of_standard_webhooks(void **state)
{
    /* the example of the specification's reference libraries */
    json_t *endpoint = json_pack("{s:s}", "secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    struct arena a = {0};
    struct error err = {0};
    const char *out;

    (void)state;
    ASSERT_OK(webhook_signature(endpoint, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330,
                                STR("{\"test\": 2432232314}"), 1614265330, &a, &out, &err));
    assert_string_equal(out, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    json_decref(endpoint);
    arena_release(&a);
}

static void an_old_secret_signs_too_for_a_day(void **state)
{
    struct arena a = {0};
    struct error err = {0};
    const char *both, *one, *old;

    (void)state;
    char *first = webhook_new_secret(&a), *second = webhook_new_secret(&a);
    assert_string_not_equal(first, second);
    assert_int_equal(strlen(first), 6 + 44);
    json_t *rotated =
        json_pack("{s:s, s:s, s:i}", "secret", second, "old_secret", first, "old_until", 1000);
    json_t *before = json_pack("{s:s}", "secret", first);
    ASSERT_OK(webhook_signature(rotated, "evt_1", 5, STR("{}"), 999, &a, &both, &err));
    ASSERT_OK(webhook_signature(rotated, "evt_1", 5, STR("{}"), 1000, &a, &one, &err));
    ASSERT_OK(webhook_signature(before, "evt_1", 5, STR("{}"), 0, &a, &old, &err));
    assert_string_equal(both, arena_printf(&a, "%s %s", one, old));
    json_object_set_new(before, "secret", json_string("whsec_!!!"));
    ASSERT_FAILS(webhook_signature(before, "evt_1", 5, STR("{}"), 0, &a, &old, &err), ERR_CORRUPT,
                 "no secret");
    json_decref(rotated);
    json_decref(before);
    arena_release(&a);
}

static void pauses_double_until_three_days_are_over(void **state)
{
    int64_t now = 0, last = 0, tries = 0;

    (void)state;
    for (;;) {
        const int64_t pause = webhook_pause(++tries, 0, now);

        if (pause == 0)
            break;
        assert_true(pause >= last);
        last = pause;
        now += pause;
        assert_true(now <= 72 * 3600);
    }
    assert_int_equal(webhook_pause(1, 0, 0), 5);
    assert_int_equal(webhook_pause(2, 0, 0), 10);
    assert_int_equal(last, 6 * 3600);
    assert_in_range(tries, 15, 40);
    assert_true(now >= 60 * 3600); /* most of the time was used */
}

static bool is_public(const char *text)
{
    uint8_t bytes[16];

    if (inet_pton(AF_INET, text, bytes) == 1)
        return http_is_public(bytes, 4);
    assert_int_equal(inet_pton(AF_INET6, text, bytes), 1);
    return http_is_public(bytes, 16);
}

static void addresses_of_the_public_internet(void **state)
{
    static const char *const yes[] = {"1.1.1.1",     "8.8.8.8",        "172.15.0.1",
                                      "172.32.0.1",  "192.167.1.1",    "100.63.0.1",
                                      "100.128.0.1", "223.255.255.1",  "2606:4700::1111",
                                      "2a00::1",     "::ffff:8.8.8.8", "2002:0808:0808::1"};
    static const char *const no[] = {
        "0.0.0.0",
        "10.1.2.3",
        "127.0.0.1",
        "127.255.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "100.64.0.1",
        "192.0.2.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "fe80::1",
        "fc00::1",
        "fd12::1",
        "ff02::1",
        "2001:db8::1",
        "2001::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "::127.0.0.1",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(yes); i++)
        if (!is_public(yes[i]))
            fail_msg("%s is public", yes[i]);
    for (size_t i = 0; i < COUNT_OF(no); i++)
        if (is_public(no[i]))
            fail_msg("%s is not public", no[i]);
}

/* ---- the sender ---- */

static void add_endpoint(struct test_store *t, const char *url, const char *secret)
{
    struct error err = {0};
    const char *body = arena_printf(&t->arena,
                                    "{\"name\":\"n\",\"url\":\"%s\",\"secret\":\"%s\","
                                    "\"event_types\":[\"fine_tuning.job.succeeded\"]}",
                                    url, secret);
    const struct document d = {.kind = "webhook_endpoint",
                               .id = "whe_1",
                               .project_id = t->project,
                               .body = body,
                               .created_at = 1,
                               .updated_at = 1};

    ASSERT_OK(documents_add(t->s, &d, NULL, 0, &err));
}

static void put(struct test_store *t, const char *id)
{
    struct error err = {0};
    const char *body = webhook_event(id, "fine_tuning.job.succeeded", clock_unix(),
                                     json_pack("{s:s}", "id", "ftjob-1"), &t->arena);

    ASSERT_OK(outbox_put(t->s, t->project, id, "fine_tuning.job.succeeded", body, 0, &err));
}

static void wait_for(struct http_server *server, size_t n)
{
    const double end = clock_seconds() + 30;

    while (http_server_requests(server) < n) {
        if (clock_seconds() > end)
            fail_msg("%zu requests came, %zu were expected", http_server_requests(server), n);
        clock_sleep_until(clock_seconds() + 0.02);
    }
}

static const char *header_of(struct http_server *server, size_t i, const char *name,
                             struct arena *a)
{
    const struct str head = http_server_head(server, i);
    const size_t at = str_find(head, str_of(arena_printf(a, "%s: ", name)), 0);

    if (at == head.len)
        return "";
    const size_t from = at + strlen(name) + 2;
    return arena_text(a, (struct str){head.ptr + from, str_find(head, STR("\r\n"), from) - from});
}

static struct webhook_sender *sender_of(struct test_store *t, bool allow_private)
{
    const struct webhook_sender_options opt = {
        .store = t->s, .allow_private = allow_private, .pause_s = 0.05};
    struct webhook_sender *w;
    struct error err = {0};

    ASSERT_OK(webhook_sender_open(&opt, &w, &err));
    return w;
}

static void an_event_arrives_signed(void **state)
{
    struct test_store *t = test_store_open(state);
    const struct http_script script = {.status = 200};
    struct error err = {0};
    const char *expected;

    struct http_server *server = http_server_start(&script, 1);
    const char *secret = webhook_new_secret(&t->arena);
    add_endpoint(t, arena_printf(&t->arena, "%s/hook", http_server_url(server)), secret);
    put(t, "evt_1");
    struct webhook_sender *w = sender_of(t, true);
    wait_for(server, 1);
    const struct str body = http_server_body(server, 0);
    assert_string_equal(header_of(server, 0, "webhook-id", &t->arena), "evt_1");
    const int64_t when = atoll(header_of(server, 0, "webhook-timestamp", &t->arena));
    assert_in_range(when, clock_unix() - 60, clock_unix());
    json_t *endpoint = json_pack("{s:s}", "secret", secret);
    ASSERT_OK(webhook_signature(endpoint, "evt_1", when, body, when, &t->arena, &expected, &err));
    assert_string_equal(header_of(server, 0, "webhook-signature", &t->arena), expected);
    json_decref(endpoint);
    const double end = clock_seconds() + 10;
    while (test_sql_int(t, "SELECT count(*) FROM outbox WHERE state = 'due'", NULL) > 0 &&
           clock_seconds() < end)
        clock_sleep_until(clock_seconds() + 0.02);
    webhook_sender_close(w);
    assert_int_equal(http_server_requests(server), 1);
    http_server_stop(server);
    test_store_close(t);
}

static void redirects_and_errors_are_tried_again(void **state)
{
    struct test_store *t = test_store_open(state);
    const struct http_script script[] = {
        {.status = 302, .headers = "Location: http://127.0.0.1:1/\r\n"},
        {.status = 500},
        {.manner = HTTP_HANG_UP},
        {.status = 204}};
    struct http_server *server = http_server_start(script, COUNT_OF(script));
    add_endpoint(t, http_server_url(server), webhook_new_secret(&t->arena));
    put(t, "evt_1");
    struct webhook_sender *w = sender_of(t, true);
    for (size_t n = 1; n <= COUNT_OF(script); n++) {
        wait_for(server, n);
        if (n == COUNT_OF(script))
            break;
        const double end =
            clock_seconds() + 10; /* until it is noted, then the pause is taken away */
        while (test_sql_int(t, "SELECT count(*) FROM outbox WHERE next_at > 1 AND why IS NOT NULL",
                            NULL) == 0 &&
               clock_seconds() < end)
            clock_sleep_until(clock_seconds() + 0.02);
        test_sql(t, "UPDATE outbox SET next_at = 1, why = NULL", NULL, NULL, INT64_MIN);
    }
    webhook_sender_close(w);
    http_server_stop(server);
    test_store_close(t);
}

/* Standard error of this process goes there until it is put back. */
static int stderr_to(const char *path)
{
    const int was = dup(STDERR_FILENO), fd = open(path, O_WRONLY | O_CREAT | O_APPEND, 0600);

    assert_true(was >= 0 && fd >= 0 && dup2(fd, STDERR_FILENO) >= 0);
    close(fd);
    return was;
}

static bool log_tells(const char *path, const char *event_id, struct arena *a)
{
    struct str log;
    struct error err = {0};

    ASSERT_OK(file_read(path, 1 << 20, a, &log, &err));
    return str_find(log, STR("\"module\":\"webhooks\",\"event\":\"not noted\""), 0) < log.len &&
           str_find(log, str_of(event_id), 0) < log.len;
}

static void what_cannot_be_noted_is_logged(void **state)
{
    struct test_store *t = test_store_open(state);
    const struct http_script script[] = {{.status = 200}, {.status = 500}};
    struct http_server *server = http_server_start(script, COUNT_OF(script));
    const char *log = arena_printf(&t->arena, "%s/log", t->home);

    add_endpoint(t, http_server_url(server), webhook_new_secret(&t->arena));
    put(t, "evt_delivered");
    put(t, "evt_refused");
    test_sql(
        t,
        "CREATE TRIGGER stuck BEFORE UPDATE OF why ON outbox BEGIN SELECT RAISE(FAIL, 'stuck'); "
        "END",
        NULL, NULL, INT64_MIN);
    const int was = stderr_to(log);
    struct webhook_sender *w = sender_of(t, true);
    const double end = clock_seconds() + 30;
    while (
        !(log_tells(log, "evt_delivered", &t->arena) && log_tells(log, "evt_refused", &t->arena)) &&
        clock_seconds() < end)
        clock_sleep_until(clock_seconds() + 0.02);
    webhook_sender_close(w);
    assert_int_equal(dup2(was, STDERR_FILENO), STDERR_FILENO);
    close(was);
    assert_true(log_tells(log, "evt_delivered", &t->arena));
    assert_true(log_tells(log, "evt_refused", &t->arena));
    http_server_stop(server);
    test_store_close(t);
}

static void private_addresses_are_not_reached(void **state)
{
    struct test_store *t = test_store_open(state);
    const struct http_script script = {.status = 200};
    struct http_server *server = http_server_start(&script, 1);
    struct webhook_sender *w = sender_of(t, false);
    const char *port = strrchr(http_server_url(server), ':');
    static const char *const hosts[] = {
        "127.0.0.1", "localhost", "[::1]", "0.0.0.0", "127.1", "2130706433", "[::ffff:127.0.0.1]"};
    struct error err = {0};
    int status;

    for (size_t i = 0; i < COUNT_OF(hosts); i++) {
        json_t *endpoint =
            json_pack("{s:s, s:s}", "secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "url",
                      arena_printf(&t->arena, "http://%s%s/", hosts[i], port));

        ASSERT_FAILS(webhook_send(w, endpoint, "evt_1", STR("{}"), &t->arena, &status, &err),
                     ERR_INVALID, "private network");
        json_decref(endpoint);
    }
    webhook_sender_close(w);
    assert_int_equal(http_server_connections(server), 0);
    http_server_stop(server);
    test_store_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_signature_is_that_of_standard_webhooks),
        cmocka_unit_test(an_old_secret_signs_too_for_a_day),
        cmocka_unit_test(pauses_double_until_three_days_are_over),
        cmocka_unit_test(addresses_of_the_public_internet),
        ON_BOTH(an_event_arrives_signed),
        ON_SQLITE(redirects_and_errors_are_tried_again),
        ON_SQLITE(what_cannot_be_noted_is_logged),
        ON_SQLITE(private_addresses_are_not_reached),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
