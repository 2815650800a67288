/*
 * ask_remote_test.c - a judge behind an address is asked as chat completions are, again where that is worth it, in time.
 */
#include "base/clock.h"
#include "base/size.h"
#include "grade/ask_remote.h"
#include "grade_support.h"
#include "support/http_server.h"

#include <pthread.h>
#include <stdlib.h>

#define SECRET "sk-very-secret"
#define HI                                                                                            \
    "{\"model\":\"m-1\",\"choices\":[{\"message\":{\"content\":\"hi\"},\"finish_reason\":\"stop\"}]," \
    "\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":1}}"
#define FORM                                                                                       \
    "{'type':'json_schema','json_schema':{'name':'v','strict':true,'schema':{'type':'object'}}}"

/* A server with a script, a judge behind it, and what came of one question. */
struct rig {
    struct http_server *server;
    struct ask_remote *judge;
    json_t *messages, *form, *sampling;
    struct arena arena;
    struct grade_reply reply;
    struct error err;
    double seconds;
    size_t n;
};

static void rig_open(struct rig *r, const struct http_script *script, size_t n)
{
    *r = (struct rig){.server = http_server_start(script, n),
                      .messages = json_of("[{'role':'system','content':'Judge.'},"
                                          "{'role':'user','content':'It is \xc3\xa9.'}]"),
                      .form = json_of(FORM),
                      .sampling = json_of("{'seed':7,'temperature':0.5,'top_p':null,"
                                          "'max_completions_tokens':64,'reasoning_effort':'low'}")};
    const struct ask_remote_settings settings = {
        .base_url = arena_printf(&r->arena, "%s/v1/", http_server_url(r->server)),
        .api_key = SECRET,
        .first_pause_s = 0.01,
        .max_reply_bytes = 4096};
    assert_true(ask_remote_open(&settings, &r->judge, &r->err));
}

static bool rig_ask(struct rig *r, double seconds)
{
    const double start = clock_seconds();
    const struct grade_question q = {.model = "judge-1",
                                     .messages = r->messages,
                                     .response_format = r->form,
                                     .sampling = r->sampling,
                                     .deadline = start + seconds};

    r->err = (struct error){0};
    r->reply = (struct grade_reply){0};
    const bool ok = ask_remote_ask(r->judge, &q, &r->arena, &r->reply, &r->err);
    r->seconds = clock_seconds() - start;
    r->n = http_server_requests(r->server);
    if (strstr(r->err.message, "very-secret") != NULL)
        fail_msg("\"%s\" tells the key", r->err.message);
    return ok;
}

static void rig_close(struct rig *r)
{
    ask_remote_close(r->judge);
    http_server_stop(r->server);
    json_decref(r->messages);
    json_decref(r->form);
    json_decref(r->sampling);
    arena_release(&r->arena);
}

#define ASSERT_SAYS_ALSO(r, want_kind, text)                                                       \
    do {                                                                                           \
        if ((r).err.kind != want_kind || strstr((r).err.message, text) == NULL)                    \
            fail_msg("\"%s\" (%s) does not say \"%s\"", (r).err.message,                           \
                     error_kind_name((r).err.kind), text);                                         \
    } while (0)

static void the_question_goes_out_as_a_chat_completion(void **state)
{
    (void)state;
    const struct http_script script = {.body = HI};
    struct rig r;

    rig_open(&r, &script, 1);
    assert_true(rig_ask(&r, 10));
    ASSERT_STR(r.reply.text, "hi");
    assert_string_equal(r.reply.model, "m-1");
    assert_true(r.reply.usage.prompt == 3 && r.reply.usage.completion == 1);
    const char *head = arena_text(&r.arena, http_server_head(r.server, 0));
    assert_non_null(strstr(head, "POST /v1/chat/completions HTTP/1.1\r\n"));
    assert_non_null(strstr(head, "Authorization: Bearer " SECRET "\r\n"));
    assert_non_null(strstr(head, "Content-Type: application/json\r\n"));
    ASSERT_STR(http_server_body(r.server, 0),
               "{\"model\":\"judge-1\",\"messages\":[{\"role\":\"system\",\"content\":\"Judge.\"},"
               "{\"role\":\"user\",\"content\":\"It is \xc3\xa9.\"}],\"response_format\":{\"type\":"
               "\"json_schema\",\"json_schema\":{\"name\":\"v\",\"strict\":true,\"schema\":{"
               "\"type\":\"object\"}}},\"seed\":7,\"temperature\":0.5,\"reasoning_effort\":\"low\","
               "\"max_completion_tokens\":64}");
    rig_close(&r);
}

static void a_model_can_stand_in_for_the_one_named(void **state)
{
    (void)state;
    const struct http_script script = {.body = HI};
    struct rig r;
    struct error err = {0};

    rig_open(&r, &script, 1);
    ask_remote_close(r.judge);
    const struct ask_remote_settings settings = {
        .base_url = arena_printf(&r.arena, "%s?api-version=1", http_server_url(r.server)),
        .api_key = "",
        .model = "mine"};
    ASSERT_OK(ask_remote_open(&settings, &r.judge, &err));
    json_decref(r.sampling);
    r.sampling = NULL;
    assert_true(rig_ask(&r, 10));
    const char *head = arena_text(&r.arena, http_server_head(r.server, 0));
    assert_non_null(strstr(head, "POST /chat/completions?api-version=1 HTTP/1.1\r\n"));
    assert_null(strstr(head, "Authorization"));
    assert_true(str_starts(http_server_body(r.server, 0), STR("{\"model\":\"mine\",")));
    rig_close(&r);
}

static void what_may_pass_is_tried_again(void **state)
{
    (void)state;
    const struct http_script script[] = {{.manner = HTTP_HANG_UP},
                                         {.status = 503, .body = "busy"},
                                         {.body = "<html>", .status = 200},
                                         {.body = "{\"choi", .manner = HTTP_CUT},
                                         {.status = 408},
                                         {.body = HI}};
    struct rig r;

    rig_open(&r, script, COUNT_OF(script));
    assert_true(rig_ask(&r, 10));
    assert_int_equal(r.n, 6);
    ASSERT_STR(r.reply.text, "hi");
    rig_close(&r);
}

static void tries_have_an_end(void **state)
{
    (void)state;
    const struct http_script script = {.status = 500, .body = "{\"error\":{\"message\":\"oh\"}}"};
    struct rig r;

    rig_open(&r, &script, 1);
    assert_false(rig_ask(&r, 60));
    assert_int_equal(r.n, 6);
    ASSERT_SAYS_ALSO(r, ERR_IO, "answers with status 500: oh (asked 6 times)");
    /* 0.01 + 0.02 + 0.04 + 0.08 + 0.16, each less a quarter at most */
    assert_true(r.seconds >= 0.75 * 0.31 && r.seconds < 5);
    for (size_t i = 1; i < 6; i++)
        assert_true(http_server_time(r.server, i) - http_server_time(r.server, i - 1) >=
                    0.75 * 0.01 * (1 << (i - 1)));
    rig_close(&r);
}

static void a_server_that_says_how_long_to_wait_is_waited_for(void **state)
{
    (void)state;
    struct http_script script[12];
    struct rig r;

    for (size_t i = 0; i < 11; i++)
        script[i] = (struct http_script){.status = 429, .headers = "retry-after-ms: 20\r\n"};
    script[11] = (struct http_script){.body = HI};
    rig_open(&r, script, COUNT_OF(script));
    assert_true(rig_ask(&r, 30)); /* more of them than tries */
    assert_int_equal(r.n, 12);
    assert_true(r.seconds >= 11 * 0.02);
    rig_close(&r);
}

static void a_pause_behind_the_deadline_is_not_begun(void **state)
{
    (void)state;
    const struct http_script script = {
        .status = 429, .headers = "Retry-After: 30\r\n", .body = "slow"};
    struct rig r;

    rig_open(&r, &script, 1);
    assert_false(rig_ask(&r, 5));
    assert_int_equal(r.n, 1);
    assert_true(r.seconds < 2);
    ASSERT_SAYS_ALSO(r, ERR_IO, "answers with status 429: slow");
    rig_close(&r);
}

static void what_lasts_is_not_tried_again(void **state)
{
    (void)state;
    static const struct {
        struct http_script script;
        const char *says;
        enum error_kind kind;
    } cases[] = {
        {{.status = 400, .body = "{\"error\":{\"message\":\"bad " SECRET "\"}}"},
         "status 400: bad ...",
         ERR_INVALID},
        {{.status = 401, .body = "{\"error\":{\"message\":\"Incorrect key: sk-v*****cret.\"}}"},
         "does not take the key it was given: Incorrect key: ...",
         ERR_INVALID},
        {{.status = 403, .body = SECRET}, "status 403: ...", ERR_INVALID},
        {{.status = 404, .body = "{\"error\":\"none\"}"},
         "knows no model \"judge-1\", or base_url is not where chat/completions is",
         ERR_INVALID},
        {{.status = 308, .headers = "Location: http://other:81/?k=" SECRET "\r\n"},
         "status 308, and sends on to other, port 81; base_url",
         ERR_INVALID},
        {{.status = 503, .headers = "x-should-retry: false\r\n", .body = "gone"},
         "status 503: gone",
         ERR_INVALID},
        {{.status = 429,
          .body = "{\"error\":{\"message\":\"pay\",\"code\":\"insufficient_quota\"}}"},
         "status 429: pay",
         ERR_IO},
        {{.body = "{\"choices\":[{\"message\":{\"content\":\"\"},\"finish_reason\":\"length\"}]}"},
         "cut at the token limit",
         ERR_LIMIT},
        {{.body = HI, .manner = HTTP_ENDLESS}, "longer than the 4096 bytes", ERR_LIMIT},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        struct rig r;

        rig_open(&r, &cases[i].script, 1);
        assert_false(rig_ask(&r, 10));
        assert_int_equal(r.n, 1);
        ASSERT_SAYS_ALSO(r, cases[i].kind, cases[i].says);
        assert_null(strstr(r.err.message, "asked"));
        rig_close(&r);
    }
}

static void a_judge_that_stalls_ends_by_the_deadline(void **state)
{
    (void)state;
    const struct http_script script = {.manner = HTTP_STALL};
    struct rig r;

    rig_open(&r, &script, 1);
    assert_false(rig_ask(&r, 0.4));
    assert_true(r.seconds > 0.39 && r.seconds < 1.5);
    assert_int_equal(r.n, 1);
    ASSERT_SAYS_ALSO(r, ERR_TIMEOUT, "no whole reply");
    rig_close(&r);
}

static void a_server_without_schemas_is_asked_in_words_from_then_on(void **state)
{
    (void)state;
    const struct http_script script[] = {
        {.status = 400,
         .body = "{\"error\":{\"message\":\"response_format json_schema is not supported\"}}"},
        {.body = HI}};
    struct rig r;

    rig_open(&r, script, COUNT_OF(script));
    assert_true(rig_ask(&r, 10));
    assert_int_equal(r.n, 2);
    json_t *body = NULL;
    assert_true(json_parse(http_server_body(r.server, 1), "the body", &body, &r.err));
    assert_null(json_object_get(body, "response_format"));
    const json_t *messages = json_object_get(body, "messages");
    assert_int_equal(json_array_size(messages), 2);
    assert_string_equal(
        json_string_value(json_object_get(json_array_get(messages, 0), "content")),
        "Judge.\n\nReply with one JSON object and nothing else, valid under this JSON schema: "
        "{\"type\":\"object\"}");
    json_decref(body);
    /* remembered; and without a system message there will be one */
    json_decref(r.messages);
    r.messages = json_of("[{'role':'user','content':[{'type':'text','text':'x'}]}]");
    assert_true(rig_ask(&r, 10));
    assert_int_equal(r.n, 3);
    assert_true(json_parse(http_server_body(r.server, 2), "the body", &body, &r.err));
    messages = json_object_get(body, "messages");
    assert_int_equal(json_array_size(messages), 2);
    assert_string_equal(json_string_value(json_object_get(json_array_get(messages, 0), "role")),
                        "system");
    assert_string_equal(json_string_value(json_object_get(json_array_get(messages, 1), "role")),
                        "user");
    json_decref(body);
    rig_close(&r);
}

static void a_refusal_comes_back_as_one(void **state)
{
    (void)state;
    const struct http_script script = {
        .body = "{\"choices\":[{\"message\":{\"content\":null,\"refusal\":\"no\"}}]}"};
    struct rig r;

    rig_open(&r, &script, 1);
    assert_true(rig_ask(&r, 10));
    assert_true(r.reply.refused);
    ASSERT_STR(r.reply.text, "no");
    assert_string_equal(r.reply.model, "judge-1");
    rig_close(&r);
}

struct asker {
    struct ask_remote *judge;
    const json_t *messages;
    int n_ok;
};
static void *ask_many(void *arg)
{
    struct asker *me = arg;

    for (int i = 0; i < 20; i++) {
        struct arena a = {0};
        struct error err = {0};
        struct grade_reply reply = {0};
        const struct grade_question q = {
            .model = "m", .messages = me->messages, .deadline = clock_seconds() + 20};

        me->n_ok += ask_remote_ask(me->judge, &q, &a, &reply, &err) && str_is(reply.text, "hi");
        arena_release(&a);
    }
    return NULL;
}

static void threads_ask_at_once_over_connections_that_stay_open(void **state)
{
    (void)state;
    enum { N = 4 };
    const struct http_script script = {.body = HI, .delay_s = 0.002};
    struct asker askers[N];
    pthread_t threads[N];
    struct rig r;

    rig_open(&r, &script, 1);
    for (int i = 0; i < N; i++) {
        askers[i] = (struct asker){r.judge, r.messages, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, ask_many, &askers[i]), 0);
    }
    for (int i = 0; i < N; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(askers[i].n_ok, 20);
    }
    assert_int_equal(http_server_requests(r.server), N * 20);
    assert_in_range(http_server_connections(r.server), 1, N);
    rig_close(&r);
}

static void wrong_settings_are_refused(void **state)
{
    (void)state;
    struct ask_remote *judge = NULL;
    struct error err = {0};

    ASSERT_FAILS(
        ask_remote_open(&(struct ask_remote_settings){.base_url = "host/v1"}, &judge, &err),
        ERR_INVALID, "base_url: this is no address such as https://");
    assert_string_equal(err.param, "base_url");
    ASSERT_FAILS(ask_remote_open(&(struct ask_remote_settings){0}, &judge, &err), ERR_INVALID,
                 "base_url");
    ASSERT_FAILS(ask_remote_open(&(struct ask_remote_settings){.base_url = "http://h/v1",
                                                               .api_key = SECRET "\n"},
                                 &judge, &err),
                 ERR_INVALID, "a line break");
    assert_string_equal(err.param, "api_key");
    assert_null(strstr(err.message, SECRET));
    assert_null(judge);
    ask_remote_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_question_goes_out_as_a_chat_completion),
        cmocka_unit_test(a_model_can_stand_in_for_the_one_named),
        cmocka_unit_test(what_may_pass_is_tried_again),
        cmocka_unit_test(tries_have_an_end),
        cmocka_unit_test(a_server_that_says_how_long_to_wait_is_waited_for),
        cmocka_unit_test(a_pause_behind_the_deadline_is_not_begun),
        cmocka_unit_test(what_lasts_is_not_tried_again),
        cmocka_unit_test(a_judge_that_stalls_ends_by_the_deadline),
        cmocka_unit_test(a_server_without_schemas_is_asked_in_words_from_then_on),
        cmocka_unit_test(a_refusal_comes_back_as_one),
        cmocka_unit_test(threads_ask_at_once_over_connections_that_stay_open),
        cmocka_unit_test(wrong_settings_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
