/*
 * endpoint_test.c - an address is sent the answer and its row, and replies with the score; else why not, in time.
 */
#include "base/clock.h"
#include "base/size.h"
#include "grade_support.h"
#include "support/http_server.h"

#include <pthread.h>
#include <stdlib.h>

#define SECRET "tok-very-secret"

/* An endpoint grader for the server, with these members more (JSON with ' for "). */
static json_t *spec_of(struct http_server *s, const char *more)
{
    struct arena a = {0};
    json_t *spec =
        json_of(arena_printf(&a, "{'type':'endpoint','url':'%s/grade'%s}",
                             s == NULL ? "http://127.0.0.1:9" : http_server_url(s), more));

    arena_release(&a);
    return spec;
}

struct graded {
    struct grade_result result;
    size_t n;
    double seconds;
};
/* Grades one answer with a server of this script. */
static struct graded grade_with(const struct http_script *script, size_t n, double timeout_s)
{
    struct http_server *s = http_server_start(script, n);
    struct grade_options options = grade_defaults();
    struct graded out = {0};
    const double start = clock_seconds();

    options.ask_timeout_s = timeout_s;
    struct grader *g =
        grader_of(spec_of(s, ",'headers':{'Authorization':'Bearer " SECRET "'}"), &options);
    out.result = grade_text(g, "{'answer':'x'}", "hello");
    out.seconds = clock_seconds() - start;
    out.n = http_server_requests(s);
    assert_null(strstr(out.result.details, SECRET));
    grader_close(g);
    http_server_stop(s);
    return out;
}

static void the_answer_and_its_row_are_sent(void **state)
{
    (void)state;
    const struct http_script script = {.body = "{\"score\":0.75}"};
    struct http_server *s = http_server_start(&script, 1);
    struct arena a = {0};
    struct error err = {0};
    struct grader *g = grader_of(
        spec_of(s, ",'headers':{'Authorization':'Bearer " SECRET "','X-Empty':''}"), NULL);
    json_t *item = json_of("{'answer':'x','n':1.5}"), *tools = json_of("[{'id':'call_1'}]"),
           *parsed = json_of("{'a':1}"), *body = NULL;
    const struct grade_sample sample = {
        .output_text = STR("h\xc3\xa9"), .output_json = parsed, .output_tools = tools};
    struct grade_result r;

    assert_string_equal(grader_name(g, 0), "endpoint");
    grader_run(g, item, &sample, &r);
    assert_int_equal(r.flags, 0);
    assert_true(r.reward == 0.75);
    const char *head = arena_text(&a, http_server_head(s, 0));
    assert_non_null(strstr(head, "POST /grade HTTP/1.1\r\n"));
    assert_non_null(strstr(head, "Authorization: Bearer " SECRET "\r\n"));
    assert_non_null(strstr(head, "X-Empty:\r\n"));
    assert_non_null(strstr(head, "Content-Type: application/json\r\n"));
    ASSERT_OK(json_parse(http_server_body(s, 0), "the body", &body, &err));
    const json_t *sent = json_object_get(body, "sample");
    assert_int_equal(json_object_size(body), 3);
    assert_int_equal(json_object_size(sent), 5);
    assert_true(json_equal(json_object_get(body, "item"), item));
    assert_true(json_equal(json_object_get(sent, "output_json"), parsed));
    assert_true(json_equal(json_object_get(sent, "output_tools"), tools));
    assert_true(json_is_null(json_object_get(sent, "output_audio")));
    assert_string_equal(json_string_value(json_object_get(sent, "output_text")), "h\xc3\xa9");
    assert_int_equal(json_array_size(json_object_get(sent, "choices")), 1);
    const char *trace = json_string_value(json_object_get(body, "trace_id"));
    assert_int_equal(strlen(trace), 6 + 36);
    assert_int_equal(strncmp(trace, "trace_", 6), 0);
    assert_true(trace[6 + 14] == '4' && strchr("89ab", trace[6 + 19]) != NULL);
    json_decref(body);
    json_decref(item);
    json_decref(tools);
    json_decref(parsed);
    grader_close(g);
    http_server_stop(s);
    arena_release(&a);
}

static void a_call_is_tried_four_times_with_one_trace_id(void **state)
{
    (void)state;
    const struct http_script script[] = {
        {.manner = HTTP_HANG_UP}, {.status = 500}, {.status = 429}, {.body = "{\"score\":-2}"}};
    struct http_server *s = http_server_start(script, COUNT_OF(script));
    struct grader *g = grader_of(spec_of(s, ""), NULL);
    const double start = clock_seconds();
    const struct grade_result r = grade_text(g, "{}", "x");

    assert_int_equal(r.flags, 0);
    assert_true(r.reward == -2);
    assert_int_equal(http_server_requests(s), 4);
    assert_true(clock_seconds() - start >= 0.75 * 3.5); /* 0.5 + 1 + 2 */
    for (size_t i = 1; i < 4; i++)
        assert_true(str_eq(http_server_body(s, i), http_server_body(s, 0)));
    grader_close(g);
    http_server_stop(s);
}

static void a_server_that_asks_to_wait_is_tried_no_more_often(void **state)
{
    (void)state;
    const struct http_script script = {.status = 429, .headers = "retry-after-ms: 10\r\n"};
    const struct graded g = grade_with(&script, 1, 20);

    assert_int_equal(g.n, 4);
    assert_int_equal(g.result.flags, GRADE_OTHER_ERROR);
    ASSERT_SAYS(g.result, "status 429:  (called 4 times)");
}

static void what_is_no_score_is_other_error(void **state)
{
    (void)state;
    static const struct {
        struct http_script script;
        const char *says;
    } cases[] = {
        {{.body = "{\"score\":\"1\"}"}, "\"score\" is a string"},
        {{.body = "{\"score\":null}"}, "\"score\" is null"},
        {{.body = "{\"score\":true}"}, "expected {\"score\": a number}"},
        {{.body = "{\"reward\":1}"}, "\"score\" is missing"},
        {{.body = "1"}, "\"score\" is missing"},
        {{.body = "{\"score\":NaN}"}, "not JSON"},
        {{.body = "{\"score\":1e999}"}, "not JSON"},
        {{.body = "\xff\xfe"}, "not JSON"},
        {{.body = ""}, "not JSON"},
        {{.status = 400, .body = "{\"error\":\"no such Bearer " SECRET "\"}"},
         "answers with status 400: no such ... ..."},
        {{.status = 302, .headers = "Location: http://x/\r\n"}, "answers with status 302"},
        {{.body = "{\"score\":1}", .manner = HTTP_ENDLESS}, "longer than the 1048576 bytes"},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct graded g = grade_with(&cases[i].script, 1, 20);

        assert_int_equal(g.result.flags, GRADE_OTHER_ERROR);
        assert_true(grade_grader_failed(&g.result));
        assert_true(g.result.reward == 0);
        ASSERT_SAYS(g.result, cases[i].says);
        assert_int_equal(g.n, 1);
    }
}

static void a_score_is_taken_from_chunks_and_large_heads(void **state)
{
    (void)state;
    char headers[10100] = "X-Long: ";

    memset(headers + 8, 'x', 10000);
    strcpy(headers + 10008, "\r\n");
    const struct http_script script = {
        .headers = headers, .body = "{\"score\": 1}", .manner = HTTP_CHUNKED};
    const struct graded g = grade_with(&script, 1, 20);
    assert_int_equal(g.result.flags, 0);
    assert_true(g.result.reward == 1);
}

static void an_endpoint_that_stalls_ends_by_the_deadline(void **state)
{
    (void)state;
    const struct http_script stalls = {.manner = HTTP_STALL}, late = {.status = 503};
    struct graded g = grade_with(&stalls, 1, 0.4);

    assert_int_equal(g.result.flags, GRADE_OTHER_ERROR);
    ASSERT_SAYS(g.result, "no whole reply");
    assert_true(g.seconds > 0.39 && g.seconds < 1.5);
    g = grade_with(&late, 1, 1.2); /* the second pause would end behind it */
    assert_int_equal(g.n, 2);
    assert_true(g.seconds < 1.5);
    ASSERT_SAYS(g.result, "(called 2 times)");
}

static void too_large_a_payload_is_not_sent(void **state)
{
    (void)state;
    const struct http_script script = {.body = "{\"score\":1}"};
    struct http_server *s = http_server_start(&script, 1);
    struct grader *g = grader_of(spec_of(s, ""), NULL);
    char *text = malloc(1 << 20);

    memset(text, 'x', 1 << 19); /* it goes out twice: as output_text and in choices */
    text[1 << 19] = '\0';
    struct grade_result r = grade_text(g, "{}", text);
    assert_int_equal(r.flags, GRADE_OTHER_ERROR);
    ASSERT_SAYS(r, " bytes, and an endpoint is sent at most 1048576");
    assert_int_equal(http_server_requests(s), 0);
    text[500000] = '\0';
    r = grade_text(g, "{}", text);
    assert_int_equal(r.flags, 0);
    free(text);
    grader_close(g);
    http_server_stop(s);
}

struct caller {
    struct grader *g;
    int n;
};
static void *call_many(void *arg)
{
    const struct caller *me = arg;

    for (int i = 0; i < me->n; i++)
        assert_true(grade_text(me->g, "{}", "x").reward == 1);
    return NULL;
}

static void requests_keep_to_their_rate_over_all_threads(void **state)
{
    (void)state;
    enum { N = 4, EACH = 5 };
    const struct http_script script = {.body = "{\"score\":1}"};
    struct http_server *s = http_server_start(&script, 1);
    struct grader *g = grader_of(spec_of(s, ",'rate_limit':40"), NULL);
    struct caller caller = {g, EACH};
    pthread_t threads[N];
    const double start = clock_seconds();

    for (int i = 0; i < N; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_many, &caller), 0);
    for (int i = 0; i < N; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(http_server_requests(s), N * EACH);
    assert_true(clock_seconds() - start >= (N * EACH - 1) / 40.0);
    assert_in_range(http_server_connections(s), 1, N);
    grader_close(g);
    http_server_stop(s);
}

static void a_turn_behind_the_deadline_is_not_waited_for(void **state)
{
    (void)state;
    const struct http_script script = {.body = "{\"score\":1}"};
    struct http_server *s = http_server_start(&script, 1);
    struct grade_options options = grade_defaults();

    options.ask_timeout_s = 1;
    struct grader *g = grader_of(spec_of(s, ",'rate_limit':0.01"), &options);
    const double start = clock_seconds();
    assert_int_equal(grade_text(g, "{}", "x").flags, 0);
    const struct grade_result r = grade_text(g, "{}", "x");
    assert_int_equal(r.flags, GRADE_OTHER_ERROR);
    ASSERT_SAYS(r, "rate_limit leaves no time");
    assert_true(clock_seconds() - start < 1);
    grader_close(g);
    http_server_stop(s);
}

static void wrong_specs_are_refused_by_their_path(void **state)
{
    (void)state;
    ASSERT_REFUSED(json_of("{'type':'endpoint'}"), ERR_INVALID, "url", "it is missing");
    ASSERT_REFUSED(json_of("{'type':'endpoint','url':7}"), ERR_INVALID, "url", "found a number");
    ASSERT_REFUSED(json_of("{'type':'endpoint','url':'ftp://h/'}"), ERR_INVALID, "url",
                   "http:// or https://");
    ASSERT_REFUSED(json_of("{'type':'endpoint','url':'http://h/\\u0000'}"), ERR_INVALID, "url",
                   "zero byte");
    ASSERT_REFUSED(spec_of(NULL, ",'headers':[]"), ERR_INVALID, "headers", "expected a map");
    ASSERT_REFUSED(spec_of(NULL, ",'headers':{'X':1}"), ERR_INVALID, "headers.X", "found a number");
    ASSERT_REFUSED(spec_of(NULL, ",'headers':{'X Y':'1'}"), ERR_INVALID, "headers.X Y",
                   "a header's name");
    ASSERT_REFUSED(spec_of(NULL, ",'headers':{'X':'a\\u0000b'}"), ERR_INVALID, "headers.X",
                   "zero byte");
    ASSERT_REFUSED(spec_of(NULL, ",'headers':{'Content-Length':'1'}"), ERR_INVALID,
                   "headers.Content-Length", "is set by");
    ASSERT_REFUSED(spec_of(NULL, ",'rate_limit':0"), ERR_INVALID, "rate_limit", "more than 0");
    ASSERT_REFUSED(spec_of(NULL, ",'rate_limit':'50'"), ERR_INVALID, "rate_limit", "more than 0");
    struct error err;
    refuse(spec_of(NULL, ",'headers':{'X':'" SECRET "\\r\\nY: 1'}"), &err);
    assert_string_equal(err.param, "headers.X");
    assert_null(strstr(err.message, SECRET));
    grader_close(
        grader_of(spec_of(NULL, ",'headers':null,'rate_limit':null,'pass_threshold':1"), NULL));
}

static void graders_that_wait_are_worth_more_threads(void **state)
{
    (void)state;
    struct grader *waits = grader_of(spec_of(NULL, ""), NULL);
    struct grader *counts = grader_of(
        json_of("{'type':'string_check','name':'n','input':'','reference':'','operation':'eq'}"),
        NULL);

    assert_in_range(grader_concurrency(waits), 16, 4096);
    assert_in_range(grader_concurrency(counts), 1, grader_concurrency(waits));
    grader_close(waits);
    grader_close(counts);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_answer_and_its_row_are_sent),
        cmocka_unit_test(a_call_is_tried_four_times_with_one_trace_id),
        cmocka_unit_test(a_server_that_asks_to_wait_is_tried_no_more_often),
        cmocka_unit_test(what_is_no_score_is_other_error),
        cmocka_unit_test(a_score_is_taken_from_chunks_and_large_heads),
        cmocka_unit_test(an_endpoint_that_stalls_ends_by_the_deadline),
        cmocka_unit_test(too_large_a_payload_is_not_sent),
        cmocka_unit_test(requests_keep_to_their_rate_over_all_threads),
        cmocka_unit_test(a_turn_behind_the_deadline_is_not_waited_for),
        cmocka_unit_test(wrong_specs_are_refused_by_their_path),
        cmocka_unit_test(graders_that_wait_are_worth_more_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
