/*
 * tool_servers_test.c - what a tool says comes back, and whatever its server does, something comes back in time.
 */
#include "base/clock.h"
#include "support/http_server.h"
#include "support/support.h"
#include "train/tool_servers.h"

#include <stdio.h>

static struct arena arena;

#define SAID                                                                                       \
    "{\"type\":\"function_call_output\",\"call_id\":\"call_1\",\"output\":\"42\",\"id\":\"x\"}"

static struct tool_servers *open_servers(const char *url, double timeout_s)
{
    const struct tool_servers_options opt = {.timeout_s = timeout_s, .rate = 1000};
    json_t *spec = json_pack("{s:[{s:s, s:s, s:{s:s}}]}", "tools", "name", "search", "server_url",
                             url, "headers", "Authorization", "Bearer top-secret");
    struct tool_servers *s = NULL;
    struct error err;

    ASSERT_OK(tool_servers_open(spec, &opt, &s, &err));
    json_decref(spec);
    return s;
}

static void release_arena(void *a)
{
    arena_release(a);
}

/* Of a thread that asks, as long as the test's own. */
static struct arena *new_arena(void)
{
    struct arena *a = ARENA_NEW(&arena, struct arena);

    arena_defer(&arena, release_arena, a);
    return a;
}

static struct tool_ask ask_of(const char *call_id)
{
    return (struct tool_ask){.name = STR("search"),
                             .arguments = STR("{\"q\": \"a\\n\"}"),
                             .call_id = str_of(call_id),
                             .trace_id = STR("trace_1"),
                             .arena = &arena};
}

static struct tool_ask asked(const struct http_script *script, size_t n, double timeout_s,
                             size_t *n_requests)
{
    struct http_server *server = http_server_start(script, n);
    struct tool_servers *s = open_servers(http_server_url(server), timeout_s);
    struct tool_ask ask = ask_of("call_1");

    tool_servers_put(s, &ask);
    assert_ptr_equal(tool_servers_get(s, 60), &ask);
    assert_null(tool_servers_get(s, 0));
    assert_true(str_find(ask.output, STR("secret"), 0) == ask.output.len);
    if (n_requests != NULL)
        *n_requests = http_server_requests(server);
    tool_servers_close(s);
    http_server_stop(server);
    return ask;
}

static void a_call_is_sent_as_a_function_call(void **state)
{
    static const struct http_script script[] = {{.body = SAID}};
    struct http_server *server = http_server_start(script, 1);
    struct tool_servers *s = open_servers(http_server_url(server), 0);
    struct tool_ask ask = ask_of("call_1");

    (void)state;
    assert_true(tool_servers_has(s, STR("search")));
    assert_false(tool_servers_has(s, STR("searc")));
    assert_int_equal(tool_servers_max_steps(s), 10);
    tool_servers_put(s, &ask);
    assert_ptr_equal(tool_servers_get(s, 60), &ask);
    assert_int_equal(ask.end, TOOL_SAID);
    assert_true(str_is(ask.output, "42"));
    assert_true(str_is(http_server_body(server, 0),
                       "{\"type\":\"function_call\",\"id\":\"fc_call_1\",\"call_id\":\"call_1\","
                       "\"name\":\"search\",\"arguments\":\"{\\\"q\\\": \\\"a\\\\n\\\"}\","
                       "\"trace_id\":\"trace_1\"}"));
    const struct str head = http_server_head(server, 0);
    assert_true(str_find(head, STR("Authorization: Bearer top-secret"), 0) < head.len);
    tool_servers_close(s);
    http_server_stop(server);
}

static void what_a_server_may_do(void **state)
{
    static const struct {
        struct http_script script[2];
        enum tool_end end;
        size_t n_requests;
        const char *says; /* its output has that in it */
    } all[] = {
        {{{.body = SAID, .manner = HTTP_CHUNKED}}, TOOL_SAID, 1, "42"},
        {{{.body = "{\"output\":{\"a\":[1,null]}}"}}, TOOL_SAID, 1, "{\"a\":[1,null]}"},
        {{{.body = "{\"output\":\"\"}"}}, TOOL_SAID, 1, ""},
        {{{.status = 404, .body = "no such \"page\""}},
         TOOL_REFUSED,
         1,
         "Error: status 404: no such \"page\""},
        {{{.status = 400, .body = "\xff\x01!"}},
         TOOL_REFUSED,
         1,
         "Error: status 400: \xef\xbf\xbd\x01!"},
        {{{.status = 422}}, TOOL_REFUSED, 1, "Error: status 422"},
        {{{.status = 500}, {.body = SAID}}, TOOL_SAID, 2, "42"},
        {{{.manner = HTTP_HANG_UP}, {.body = SAID}}, TOOL_SAID, 2, "42"},
        {{{.status = 302}}, TOOL_LOST, 1, "status 302"},
        {{{.body = "sorry"}}, TOOL_LOST, 1, "not JSON"},
        {{{.body = "{\"out\":1}"}}, TOOL_LOST, 1, "\"output\""},
        {{{.body = "[]"}}, TOOL_LOST, 1, "\"output\""},
        {{{.body = "{\"call_id\":\"call_2\",\"output\":\"42\"}"}}, TOOL_LOST, 1, "another call"},
        {{{.body = "0123456789abcdef", .manner = HTTP_ENDLESS}}, TOOL_LOST, 1, "1048576"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const size_t n = 1 + (all[i].script[1].body != NULL);
        size_t n_requests;
        const struct tool_ask ask = asked(all[i].script, n, 20, &n_requests);

        if (ask.end != all[i].end || n_requests < all[i].n_requests ||
            str_find(ask.output, str_of(all[i].says), 0) > ask.output.len ||
            (all[i].says[0] != '\0' &&
             str_find(ask.output, str_of(all[i].says), 0) == ask.output.len))
            fail_msg("case %zu: %s after %zu requests: " STR_FMT, i, tool_end_name(ask.end),
                     n_requests, STR_ARG(ask.output));
    }
}

static void a_server_that_is_down_or_slow_is_given_up(void **state)
{
    static const struct http_script down[] = {{.status = 503, .headers = "Retry-After: 0\r\n"}};
    static const struct http_script failing[] = {{.status = 500}};
    static const struct http_script slow[] = {{.body = SAID, .manner = HTTP_STALL}};
    const double began = clock_seconds();
    size_t n;

    (void)state;
    assert_int_equal(asked(failing, 1, 60, &n).end, TOOL_LOST);
    assert_int_equal(n, 4);
    assert_int_equal(asked(slow, 1, 0.4, &n).end, TOOL_LOST);
    assert_int_equal(n, 1);
    assert_int_equal(asked(down, 1, 0.5, &n).end, TOOL_LOST);
    assert_true(clock_seconds() - began < 30);
}

static void calls_run_side_by_side_and_can_be_dropped(void **state)
{
    static const struct http_script slow[] = {{.body = "{\"output\":\"1\"}", .delay_s = 0.3}};
    static const struct http_script dead[] = {{.body = SAID, .manner = HTTP_STALL}};
    struct http_server *server = http_server_start(slow, 1);
    struct tool_servers *s = open_servers(http_server_url(server), 0);
    struct tool_ask asks[24];
    double began = clock_seconds();

    (void)state;
    for (size_t i = 0; i < 16; i++) {
        asks[i] = ask_of("call_1");
        asks[i].arena = new_arena();
        tool_servers_put(s, &asks[i]);
    }
    for (size_t i = 0; i < 16; i++)
        assert_int_equal(tool_servers_get(s, 60)->end, TOOL_SAID);
    assert_true(clock_seconds() - began < 16 * 0.3 / 2); /* 16 one after another: 4.8 s */
    tool_servers_close(s);
    http_server_stop(server);
    server = http_server_start(dead, 1);
    s = open_servers(http_server_url(server), 0);
    for (size_t i = 0; i < 24; i++) { /* more than there are threads */
        asks[i] = ask_of("call_1");
        asks[i].arena = new_arena();
        tool_servers_put(s, &asks[i]);
    }
    began = clock_seconds();
    tool_servers_drop(s);
    assert_true(clock_seconds() - began < 20);
    assert_null(tool_servers_get(s, 0));
    tool_servers_close(s);
    http_server_stop(server);
}

static void what_is_no_list_of_tools_is_refused_by_its_place(void **state)
{
    static const struct {
        const char *spec, *param;
    } all[] = {
        {"{\"tools\":{}}", "method.reinforcement.tools"},
        {"{\"tools\":[1]}", "method.reinforcement.tools[0]"},
        {"{\"tools\":[{\"name\":\"f\"}]}", "server_url"},
        {"{\"tools\":[{\"name\":\"a b\",\"server_url\":\"http://x\"}]}",
         "method.reinforcement.tools[0]"},
        {"{\"tools\":[{\"name\":\"f\",\"server_url\":\"file:///etc\"}]}",
         "method.reinforcement.tools[0].server_url"},
        {"{\"tools\":[{\"name\":\"f\",\"server_url\":\"http://x\",\"headers\":{\"A\":1}}]}",
         "method.reinforcement.tools[0].headers"},
        {"{\"tools\":[{\"name\":\"f\",\"server_url\":\"http://x\",\"headers\":{\"A\":\"a\\nB: c\"}}]}",
         "method.reinforcement.tools[0].headers"},
        {"{\"tools\":[{\"name\":\"f\",\"server_url\":\"http://x\"},{\"name\":\"f\",\"server_url\":\"http://y\"}]}",
         "method.reinforcement.tools"},
        {"{\"max_episode_steps\":0}", "max_episode_steps"},
        {"{\"max_episode_steps\":\"3\"}", "max_episode_steps"},
    };
    const struct tool_servers_options opt = {0};
    struct tool_servers *s;
    struct error err;
    json_t *spec = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        ASSERT_OK(json_parse(str_of(all[i].spec), "the spec", &spec, &err));
        err = (struct error){0};
        assert_false(tool_servers_open(spec, &opt, &s, &err));
        if (strcmp(err.param, all[i].param) != 0)
            fail_msg("%s: param is \"%s\": %s", all[i].spec, err.param, err.message);
        assert_false(tool_servers_check(spec, &err));
        json_decref(spec);
    }
    ASSERT_OK(json_parse(STR("{\"tools\":[]}"), "the spec", &spec, &err));
    ASSERT_OK(tool_servers_open(spec, &opt, &s, &err));
    assert_null(s);
    json_decref(spec);
}

static int release(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_sent_as_a_function_call),
        cmocka_unit_test(what_a_server_may_do),
        cmocka_unit_test(a_server_that_is_down_or_slow_is_given_up),
        cmocka_unit_test(calls_run_side_by_side_and_can_be_dropped),
        cmocka_unit_test(what_is_no_list_of_tools_is_refused_by_its_place),
    };

    return cmocka_run_group_tests(tests, NULL, release);
}
