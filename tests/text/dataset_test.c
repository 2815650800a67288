/*
 * dataset_test.c - good rows arrive whole; the first bad one is named by file, line and field before anything is done.
 */
#include "base/file.h"
#include "base/limits.h"
#include "base/size.h"
#include "support/support.h"
#include "text/dataset.h"

#include <stdio.h>
#include <stdlib.h>

struct fixture {
    struct arena arena;
    char *dir;
    char *path;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->dir = test_dir_make(&f->arena);
    f->path = file_join(&f->arena, f->dir, "train.jsonl");
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;

    test_dir_remove(f->dir);
    arena_release(&f->arena);
    free(f);
    return 0;
}

static void put(const struct fixture *f, struct str text)
{
    struct error err;

    ASSERT_OK(file_put(f->path, text, &err));
}

#define USER(content) "{\"role\":\"user\",\"content\":" content "}"
#define ROW(messages) "{\"messages\":[" messages "],\"answer\":7}\n"

static void rows_keep_their_fields_and_their_line_numbers(void **state)
{
    const struct fixture *f = *state;
    struct dataset d = {0};
    struct error err;

    put(f,
        STR("\xEF\xBB\xBF" ROW("{\"role\":\"system\",\"content\":\"Be brief.\"}," USER(
            "\"2+2?\"")) "\r\n  \n"
                         "{\"messages\":[" USER(
                             "\"hi\"") "],\"tools\":[{\"type\":\"function\"}],\"deep\":{\"a\":[1]}}\r\n"
                                       "{\"messages\":[" USER(
                                           "[{\"type\":\"text\",\"text\":\"a\"}]") "],\"tools\":null}"));
    ASSERT_OK(dataset_open(f->path, &d, &err));
    assert_int_equal(d.n_rows, 3);
    assert_string_equal(d.path, f->path);
    assert_true(d.size_bytes > 100);
    assert_int_equal(d.rows[0].line, 1);
    assert_int_equal(d.rows[1].line, 4);
    assert_int_equal(d.rows[2].line, 5);
    assert_int_equal(json_array_size(d.rows[0].messages), 2);
    assert_int_equal(json_integer_value(json_object_get(d.rows[0].item, "answer")), 7);
    assert_null(d.rows[0].tools);
    assert_int_equal(json_array_size(d.rows[1].tools), 1);
    assert_null(d.rows[2].tools);
    dataset_close(&d);
    dataset_close(&d);
}

static void a_conversation_may_hold_calls_of_tools(void **state)
{
    const struct fixture *f = *state;
    struct dataset d = {0};
    struct error err;

    put(f, STR(ROW(USER(
               "\"weather?\"") ",{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]},"
                               "{\"role\":\"assistant\",\"tool_calls\":[{}]},"
                               "{\"role\":\"tool\",\"content\":\"rain\"},"
                               "{\"role\":\"developer\",\"content\":\"\"}," USER("\"thanks\""))));
    ASSERT_OK(dataset_open(f->path, &d, &err));
    assert_int_equal(json_array_size(d.rows[0].messages), 6);
    dataset_close(&d);
}

/* The bad row stands on line 3. */
static void assert_row_refused(const struct fixture *f, const char *row, enum error_kind kind,
                               const char *text)
{
    struct dataset d = {0};
    struct error err;
    struct arena a = {0};

    put(f, str_of(arena_printf(&a, ROW(USER("\"good\"")) "\n%s\n" ROW(USER("\"good\"")), row)));
    ASSERT_FAILS(dataset_open(f->path, &d, &err), kind,
                 arena_printf(&a, "train.jsonl, line 3: %s", text));
    assert_null(d.rows);
    arena_release(&a);
}

static void the_first_bad_row_is_named(void **state)
{
    const struct fixture *f = *state;
    static const struct {
        const char *row;
        enum error_kind kind;
        const char *text;
    } cases[] = {
        {"{", ERR_INVALID, "not valid JSON"},
        {"{\"messages\":[" USER("\"\xFF\"") "]}", ERR_INVALID, "not valid JSON"},
        {"{\"a\":1,\"a\":2}", ERR_INVALID, "not valid JSON"},
        {"[1]", ERR_INVALID, "the line is a list, an object was expected"},
        {"7", ERR_INVALID, "the line is a number, an object was expected"},
        {"{\"prompt\":\"x\"}", ERR_INVALID, "\"messages\" is missing"},
        {"{\"messages\":\"x\"}", ERR_INVALID, "\"messages\" is a string, a list was expected"},
        {"{\"messages\":[]}", ERR_INVALID, "\"messages\" is empty"},
        {"{\"messages\":[\"x\"]}", ERR_INVALID, "messages[0] is a string, an object was expected"},
        {"{\"messages\":[{\"content\":\"x\"}]}", ERR_INVALID,
         "messages[0].role is nothing, a string was expected"},
        {"{\"messages\":[{\"role\":\"bot\",\"content\":\"x\"}]}", ERR_INVALID,
         "messages[0].role is \"bot\", expected is system, developer, user, assistant or tool"},
        {"{\"messages\":[{\"role\":\"user\"}]}", ERR_INVALID,
         "messages[0].content is nothing, a string or a list of text parts was expected"},
        {"{\"messages\":[" USER("5") "]}", ERR_INVALID, "messages[0].content is a number"},
        {"{\"messages\":[{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[]}]}",
         ERR_INVALID, "messages[0].content is null"},
        {"{\"messages\":[" USER("[]") "]}", ERR_INVALID, "messages[0].content is an empty list"},
        {"{\"messages\":[" USER("[\"x\"]") "]}", ERR_INVALID,
         "part 0 of messages[0].content is a string"},
        {"{\"messages\":[" USER("[{\"type\":\"text\"}]") "]}", ERR_INVALID,
         "the text of part 0 of messages[0].content is nothing"},
        {"{\"messages\":[" USER("[{\"type\":\"image_url\",\"image_url\":{}}]") "]}",
         ERR_UNSUPPORTED,
         "part 0 of messages[0].content is of type \"image_url\", only \"text\" is offered"},
        {"{\"messages\":[" USER("\"x\"") ",{\"role\":\"assistant\",\"content\":\"y\"}]}",
         ERR_INVALID, "the last message is of role \"assistant\", \"user\" was expected"},
        {"{\"messages\":[" USER("\"x\"") "],\"tools\":{}}", ERR_INVALID,
         "\"tools\" is an object, a list was expected"},
        {"{\"messages\":[" USER("\"x\"") "],\"tools\":[1]}", ERR_INVALID,
         "tools[0] is a number, an object was expected"},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_row_refused(f, cases[i].row, cases[i].kind, cases[i].text);
}

static void the_field_at_fault_is_in_the_error(void **state)
{
    const struct fixture *f = *state;
    struct dataset d = {0};
    struct error err = {0};

    put(f, STR(ROW(USER("\"x\"") ",{\"role\":\"bot\",\"content\":\"y\"}")));
    assert_false(dataset_open(f->path, &d, &err));
    assert_string_equal(err.param, "messages[1].role");
}

/* ---- rows that say what to answer ---- */

#define SAID(content) "{\"role\":\"assistant\",\"content\":" content "}"
#define PAIR(better, worse)                                                                        \
    "{\"input\":{\"messages\":[" USER("\"x\"") "],\"tools\":[],\"parallel_tool_calls\":true},"     \
                                               "\"preferred_output\":[" better                     \
                                               "],\"non_preferred_output\":[" worse "]}\n"

static void conversations_are_read(void **state)
{
    const struct fixture *f = *state;
    struct dataset d = {0};
    struct error err;

    put(f,
        STR("{\"messages\":[" USER("\"hi\"") "," SAID(
            "\"ho\"") "]}\n"
                      "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\",\"weight\":0}," USER(
                          "\"b\"") ",{\"role\":\"assistant\",\"content\":[{\"type\":\"text\",\"text\":\"c\"}],"
                                   "\"weight\":1}],\"tools\":[],\"parallel_tool_calls\":false}\n"
                                   "{\"prompt\":\"once\",\"completion\":\" upon\"}\n"));
    ASSERT_OK(dataset_open_as(f->path, DATASET_SUPERVISED, &d, &err));
    assert_int_equal(d.n_rows, 3);
    assert_int_equal(json_array_size(d.rows[1].messages), 3);
    assert_null(d.rows[2].messages);
    ASSERT_STR(json_str(d.rows[2].prompt), "once");
    ASSERT_STR(json_str(d.rows[2].completion), " upon");
    dataset_close(&d);
}

static void calls_become_what_templates_want(void **state)
{
    const struct fixture *f = *state;
    struct dataset d = {0};
    struct error err;
    struct buf b;

    put(f,
        STR("{\"functions\":[{\"name\":\"add\"}],\"messages\":[" USER(
            "\"1+2\"") ",{\"role\":\"assistant\",\"function_call\":{\"name\":\"add\","
                       "\"arguments\":\"{\\\"a\\\": 1, \\\"b\\\": 2}\"}},"
                       "{\"role\":\"function\",\"name\":\"add\",\"content\":\"3\"},"
                       "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\","
                       "\"type\":\"function\",\"function\":{\"name\":\"say\",\"arguments\":\"{}\"}}]}]}"));
    ASSERT_OK(dataset_open_as(f->path, DATASET_SUPERVISED, &d, &err));
    buf_init(&b, 1 << 12);
    json_write(&b, d.rows[0].messages, NULL);
    ASSERT_STR(buf_view(&b),
               "[{\"role\":\"user\",\"content\":\"1+2\"},{\"role\":\"assistant\",\"tool_calls\":"
               "[{\"type\":\"function\",\"function\":{\"name\":\"add\",\"arguments\":{\"a\":1,"
               "\"b\":2}}}]},{\"role\":\"tool\",\"name\":\"add\",\"content\":\"3\"},"
               "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"c\",\"type\":"
               "\"function\",\"function\":{\"name\":\"say\",\"arguments\":{}}}]}]");
    buf_clear(&b);
    json_write(&b, d.rows[0].tools, NULL);
    ASSERT_STR(buf_view(&b), "[{\"type\":\"function\",\"function\":{\"name\":\"add\"}}]");
    buf_release(&b);
    dataset_close(&d);
}

static void pairs_are_read(void **state)
{
    const struct fixture *f = *state;
    struct dataset d = {0};
    struct error err;

    put(f, STR(PAIR(SAID("\"good\""), SAID("\"bad\""))));
    ASSERT_OK(dataset_open_as(f->path, DATASET_PREFERENCE, &d, &err));
    ASSERT_STR(json_str(json_object_get(d.rows[0].preferred, "content")), "good");
    ASSERT_STR(json_str(json_object_get(d.rows[0].rejected, "content")), "bad");
    assert_int_equal(json_array_size(d.rows[0].messages), 1);
    assert_int_equal(json_array_size(d.rows[0].tools), 0);
    dataset_close(&d);
}

static void what_cannot_be_learned_is_named(void **state)
{
    const struct fixture *f = *state;
    static const struct {
        enum dataset_format format;
        const char *row;
        enum error_kind kind;
        const char *text;
    } cases[] = {
        {DATASET_SUPERVISED,
         "{\"messages\":[" USER("\"x\"") ",{\"role\":\"tool\",\"content\":\"y\"}]}", ERR_INVALID,
         ": the last message is of role \"tool\", \"assistant\" was expected"},
        {DATASET_SUPERVISED,
         "{\"messages\":[" USER(
             "\"x\"") ",{\"role\":\"assistant\",\"content\":\"y\",\"weight\":0}]}",
         ERR_INVALID, ": every message of the assistant has \"weight\" 0"},
        {DATASET_SUPERVISED,
         "{\"messages\":[" USER(
             "\"x\"") ",{\"role\":\"assistant\",\"content\":\"y\",\"weight\":2}]}",
         ERR_INVALID, ": messages[1].weight is another number, 0 or 1 was expected"},
        {DATASET_SUPERVISED,
         "{\"messages\":[{\"role\":\"user\",\"content\":\"x\",\"weight\":1}," SAID("\"y\"") "]}",
         ERR_INVALID, ": messages[0].weight stands in a message that is not the assistant's"},
        {DATASET_SUPERVISED,
         "{\"messages\":[" USER("\"x\"") ",{\"role\":\"assistant\",\"tool_calls\":[{\"function\":"
                                         "{\"name\":\"f\",\"arguments\":\"[\"}}]}]}",
         ERR_INVALID,
         ": messages[1].tool_calls[0].function.arguments is a string that holds no JSON object"},
        {DATASET_SUPERVISED,
         "{\"messages\":[" USER("\"x\"") ",{\"role\":\"assistant\",\"tool_calls\":[{\"function\":"
                                         "{\"arguments\":\"{}\"}}]}]}",
         ERR_INVALID,
         ": messages[1].tool_calls[0].function.name is nothing, a string was expected"},
        {DATASET_SUPERVISED, "{\"messages\":[" USER("\"x\"") "," SAID("3") "]}", ERR_INVALID,
         ": messages[1].content is a number"},
        {DATASET_SUPERVISED, "{\"messages\":[" SAID("\"x\"") "],\"functions\":[1]}", ERR_INVALID,
         ": functions[0] is a number, an object was expected"},
        {DATASET_SUPERVISED, "{\"messages\":[" SAID("\"x\"") "],\"parallel_tool_calls\":1}",
         ERR_INVALID, ": \"parallel_tool_calls\" is a number, true or false was expected"},
        {DATASET_SUPERVISED, "{\"prompt\":\"x\"}", ERR_INVALID, ": \"completion\" is missing"},
        {DATASET_SUPERVISED, "{\"completion\":\"x\"}", ERR_INVALID, ": \"prompt\" is missing"},
        {DATASET_SUPERVISED, "{}", ERR_INVALID, ": \"messages\" is missing"},
        {DATASET_PREFERENCE, "{}", ERR_INVALID, ": \"input\" is missing, an object was expected"},
        {DATASET_PREFERENCE, PAIR(SAID("\"a\"") "," SAID("\"b\""), SAID("\"c\"")), ERR_INVALID,
         ": \"preferred_output\" has 2 messages, exactly one was expected"},
        {DATASET_PREFERENCE, PAIR(SAID("\"a\""), ""), ERR_INVALID,
         ": \"non_preferred_output\" is empty"},
        {DATASET_PREFERENCE, PAIR(SAID("\"a\""), USER("\"b\"")), ERR_INVALID,
         ": non_preferred_output[0] is of role \"user\", \"assistant\" was expected"},
        {DATASET_PREFERENCE,
         PAIR("{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{}]}", SAID("\"b\"")),
         ERR_UNSUPPORTED, ": preferred_output[0] calls tools"},
        {DATASET_PREFERENCE, PAIR(SAID("[{\"type\":\"image_url\"}]"), SAID("\"b\"")),
         ERR_UNSUPPORTED, ": part 0 of preferred_output[0].content is of type \"image_url\""},
        {DATASET_PREFERENCE,
         "{\"input\":{\"messages\":[" SAID("\"x\"") "]},\"preferred_output\":[" SAID(
             "\"a\"") "],\"non_preferred_output\":[" SAID("\"b\"") "]}",
         ERR_INVALID, ": the last message of \"input\" is the assistant's"},
        /* of another method */
        {DATASET_SUPERVISED, PAIR(SAID("\"a\""), SAID("\"b\"")), ERR_INVALID,
         " has \"preferred_output\": that is a file for method dpo, and this job's method is "
         "supervised"},
        {DATASET_SUPERVISED, "{\"messages\":[" USER("\"x\"") "]}", ERR_INVALID,
         " has \"messages\" that end with one of the user: that is a file for method "
         "reinforcement, and this job's method is supervised"},
        {DATASET_PREFERENCE, "{\"messages\":[" SAID("\"x\"") "]}", ERR_INVALID,
         " has \"messages\" that end with one of the assistant: that is a file for method "
         "supervised, and this job's method is dpo"},
        {DATASET_PREFERENCE, "{\"prompt\":\"a\",\"completion\":\"b\"}", ERR_INVALID,
         " has \"completion\": that is a file for method supervised"},
        {DATASET_PROMPTS, PAIR(SAID("\"a\""), SAID("\"b\"")), ERR_INVALID,
         " has \"preferred_output\": that is a file for method dpo, and rows for the model to "
         "answer are expected here"},
        {DATASET_PROMPTS, "{\"messages\":[" SAID("\"x\"") "]}", ERR_INVALID,
         "the model answers it; files for method supervised end so"},
    };
    struct dataset d = {0};
    struct error err;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put(f, str_of(cases[i].row));
        ASSERT_FAILS(dataset_open_as(f->path, cases[i].format, &d, &err), cases[i].kind,
                     cases[i].text);
        ASSERT_FAILS(dataset_open_as(f->path, cases[i].format, &d, &err), cases[i].kind,
                     "train.jsonl, line 1");
        assert_true(err.param[0] != '\0');
    }
}

static void a_file_without_rows_is_refused(void **state)
{
    const struct fixture *f = *state;
    struct dataset d = {0};
    struct error err;

    put(f, STR(""));
    ASSERT_FAILS(dataset_open(f->path, &d, &err), ERR_INVALID, "train.jsonl: the file has no rows");
    put(f, STR("\xEF\xBB\xBF\n \n\n"));
    ASSERT_FAILS(dataset_open(f->path, &d, &err), ERR_INVALID, "train.jsonl: the file has no rows");
}

static void a_file_that_is_not_there_or_not_utf8_is_refused(void **state)
{
    const struct fixture *f = *state;
    struct dataset d = {0};
    struct error err;

    ASSERT_FAILS(dataset_open(f->path, &d, &err), ERR_NOT_FOUND, "train.jsonl");
    ASSERT_FAILS(dataset_open(f->dir, &d, &err), ERR_INVALID, "is not a file");
    put(f, STR("\xFF\xFE{\0"));
    ASSERT_FAILS(dataset_open(f->path, &d, &err), ERR_INVALID, "train.jsonl: the file is UTF-16");
}

static void a_line_past_the_limit_is_refused(void **state)
{
    const struct fixture *f = *state;
    struct dataset d = {0};
    struct error err;
    const size_t n = LIMIT_LINE_BYTES + 10;
    char *text = malloc(n);

    memset(text, ' ', n);
    memcpy(text, "{}\n", 3);
    text[3] = '"';
    text[n - 1] = '"';
    put(f, (struct str){text + 3, n - 3});
    ASSERT_FAILS(dataset_open(f->path, &d, &err), ERR_LIMIT,
                 "train.jsonl, line 1: 16777223 bytes are more");
    text[0] = '[';
    memset(text + 1, ',', LIMIT_JSON_VALUES);
    put(f, (struct str){text, LIMIT_JSON_VALUES + 1});
    ASSERT_FAILS(dataset_open(f->path, &d, &err), ERR_LIMIT,
                 "train.jsonl, line 1: more than the 1000000 values");
    free(text);
}

static bool count_to_three(void *ctx, json_t *value, const char *what, size_t line,
                           struct error *err)
{
    int *n = ctx;

    assert_true(json_is_integer(value));
    assert_int_equal(line, json_integer_value(value) + (json_integer_value(value) > 1));
    return ++*n < 3 || fail(err, ERR_CANCELLED, "%s: enough", what);
}

static void any_jsonl_file_can_be_read_and_left_early(void **state)
{
    const struct fixture *f = *state;
    struct error err;
    int n = 0;

    put(f, STR("1\n\n2"));
    ASSERT_OK(jsonl_each(f->path, count_to_three, &n, &err));
    assert_int_equal(n, 2);
    n = 0;
    put(f, STR("1\n\n2\n3\n4\n"));
    ASSERT_FAILS(jsonl_each(f->path, count_to_three, &n, &err), ERR_CANCELLED,
                 "train.jsonl, line 4: enough");
    assert_int_equal(n, 3);
}

static void many_rows_are_read(void **state)
{
    const struct fixture *f = *state;
    struct dataset d = {0};
    struct error err;
    struct buf b;

    buf_init(&b, 64 << 20);
    for (int i = 0; i < 20000; i++)
        buf_printf(&b, ROW(USER("\"question %d\"")), i);
    put(f, buf_view(&b));
    ASSERT_OK(dataset_open(f->path, &d, &err));
    assert_int_equal(d.n_rows, 20000);
    ASSERT_STR(json_str(json_object_get(json_array_get(d.rows[19999].messages, 0), "content")),
               "question 19999");
    dataset_close(&d);
    buf_release(&b);
}

struct looked {
    size_t n_good, n_bad, last_line, most;
    char said[16][512];
};

static bool look(void *ctx, const struct dataset_line *line)
{
    struct looked *k = ctx;

    assert_true(line->line > k->last_line);
    k->last_line = line->line;
    if (line->row != NULL)
        k->n_good++;
    else
        snprintf(k->said[k->n_bad++], sizeof k->said[0], "%s", line->why->message);
    return k->n_good + k->n_bad < k->most;
}

static void every_line_is_looked_at_and_each_mistake_is_what_opening_says(void **state)
{
    const struct fixture *f = *state;
    static const char *const bad[] = {"{\"messages\":[]}", "{no", "[]",
                                      "{\"messages\":[{\"role\":\"user\"}]}"};
    struct looked k = {.most = 100};
    struct dataset d = {0};
    struct error err;
    struct arena a = {0};
    const char *all = ROW(USER("\"hi\""));

    for (size_t i = 0; i < COUNT_OF(bad); i++)
        all = arena_printf(&a, "%s\n%s\n", all, bad[i]);
    put(f, str_of(arena_printf(&a, "%s" ROW(USER("\"last\"")), all)));
    ASSERT_OK(dataset_look(f->path, "file-x", DATASET_PROMPTS, look, &k, &err));
    assert_int_equal(k.n_good, 2);
    assert_int_equal(k.n_bad, COUNT_OF(bad));
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const char *blank =
            arena_printf(&a, "%.*s%s\n", (int)(2 * i + 2), "\n\n\n\n\n\n\n\n\n\n", bad[i]);

        put(f, str_of(blank)); /* at the line where it was */
        assert_false(dataset_open(f->path, &d, &err));
        const size_t len = strlen(f->path);
        assert_memory_equal(err.message, f->path, len);
        assert_string_equal(strchr(k.said[i], ',') != NULL ? k.said[i] : "",
                            arena_printf(&a, "file-x%s", err.message + len));
    }
    arena_release(&a);
}

static void a_look_ends_when_enough_was_seen(void **state)
{
    const struct fixture *f = *state;
    struct looked k = {.most = 1};
    struct error err;

    put(f, STR(ROW(USER("\"a\"")) ROW(USER("\"b\""))));
    ASSERT_OK(dataset_look(f->path, "x", DATASET_PROMPTS, look, &k, &err));
    assert_int_equal(k.n_good, 1);
    put(f, STR("\xFF\xFE"));
    assert_false(dataset_look(f->path, "x", DATASET_PROMPTS, look, &k, &err));
    assert_string_equal(err.message, "x: the file is UTF-16, UTF-8 was expected");
}

static void the_first_line_tells_the_method(void **state)
{
    const struct fixture *f = *state;
    static const struct {
        const char *text;
        enum dataset_format format;
    } of[] = {
        {ROW(USER("\"a\"")), DATASET_PROMPTS},
        {ROW(USER("\"a\"") ",{\"role\":\"assistant\",\"content\":\"b\"}"), DATASET_SUPERVISED},
        {"{\"prompt\":\"a\",\"completion\":\"b\"}", DATASET_SUPERVISED},
        {"\n{\"preferred_output\":[]}", DATASET_PREFERENCE},
        {"{", DATASET_PROMPTS},
        {"7\n", DATASET_PROMPTS},
        {"", DATASET_PROMPTS}};

    for (size_t i = 0; i < COUNT_OF(of); i++) {
        put(f, str_of(of[i].text));
        assert_int_equal(dataset_guess(f->path), of[i].format);
    }
    assert_string_equal(dataset_method(DATASET_PREFERENCE), "dpo");
}

static void one_row_is_checked_and_left_as_it_was(void **state)
{
    struct error err;
    json_t *calls = json_pack("{s:[{s:s, s:s}, {s:s, s:[{s:{s:s, s:s}}]}]}", "messages", "role",
                              "user", "content", "x", "role", "assistant", "tool_calls", "function",
                              "name", "f", "arguments", "{}");
    json_t *before = json_deep_copy(calls);

    (void)state;
    ASSERT_OK(dataset_takes(calls, DATASET_SUPERVISED, "the row", &err));
    assert_true(json_equal(calls, before));
    assert_false(dataset_takes(calls, DATASET_PROMPTS, "the row", &err));
    assert_int_equal(err.kind, ERR_INVALID);
    json_decref(calls);
    json_decref(before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_row_is_checked_and_left_as_it_was),
        cmocka_unit_test_setup_teardown(rows_keep_their_fields_and_their_line_numbers, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_conversation_may_hold_calls_of_tools, set_up, tear_down),
        cmocka_unit_test_setup_teardown(conversations_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(calls_become_what_templates_want, set_up, tear_down),
        cmocka_unit_test_setup_teardown(pairs_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_cannot_be_learned_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_bad_row_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_field_at_fault_is_in_the_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_without_rows_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_file_that_is_not_there_or_not_utf8_is_refused, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_line_past_the_limit_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(any_jsonl_file_can_be_read_and_left_early, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(many_rows_are_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            every_line_is_looked_at_and_each_mistake_is_what_opening_says, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_look_ends_when_enough_was_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_first_line_tells_the_method, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
