/*
 * chat_messages_test.c - messages that are turned for templates, tools as text, and what is refused by its place.
 */
#include "base/size.h"
#include "support/support.h"
#include "text/chat_messages.h"
#include "text/tool_format.h"

static struct error err;

static json_t *parsed(const char *text)
{
    json_t *v = NULL;

    ASSERT_OK(json_parse(str_of(text), "a test's messages", &v, &err));
    return v;
}

static void assert_json(json_t *got, const char *want)
{
    json_t *wanted = parsed(want);

    if (!json_equal(got, wanted))
        fail_msg("%s\nis not %s", json_dumps(got, JSON_ENCODE_ANY), want);
    json_decref(got);
    json_decref(wanted);
}

static void turns(const struct chat_messages_form *form, const char *text, const char *want)
{
    json_t *messages = parsed(text), *before = json_deep_copy(messages);

    assert_json(chat_messages_for_template(messages, form), want);
    assert_true(json_equal(messages, before));
    json_decref(messages);
    json_decref(before);
}

#define CALLED(content, arguments)                                                                               \
    "[{\"role\":\"assistant\",\"content\":" content                                                              \
    ",\"tool_calls\":[{\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":" arguments \
    "}}]}]"

static void messages_are_turned_for_templates(void **state)
{
    static const struct chat_messages_form plain = {0}, text = {.arguments_as_text = true},
                                           null = {.null_beside_calls = true};

    (void)state;
    turns(
        &plain,
        "[{\"role\":\"user\",\"content\":\"a\",\"name\":\"n\"},{\"role\":\"assistant\",\"content\":null}]",
        "[{\"role\":\"user\",\"content\":\"a\",\"name\":\"n\"},{\"role\":\"assistant\",\"content\":null}]");
    turns(
        &plain,
        "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"text\",\"text\":\"b\"}]}]",
        "[{\"role\":\"user\",\"content\":\"ab\"}]");
    turns(&plain, CALLED("null", "\"{\\\"x\\\":1}\""), CALLED("\"\"", "{\"x\":1}"));
    turns(&plain, CALLED("\"So\"", "{\"x\":1}"), CALLED("\"So\"", "{\"x\":1}"));
    turns(&plain, CALLED("\"\"", "\"\""), CALLED("\"\"", "{}"));
    turns(&plain, CALLED("\"\"", "\"[1]\""), CALLED("\"\"", "\"[1]\""));
    turns(&plain, CALLED("\"\"", "\"{x\""), CALLED("\"\"", "\"{x\""));
    turns(&text, CALLED("\"\"", "\"{\\\"x\\\":1}\""), CALLED("\"\"", "\"{\\\"x\\\": 1}\""));
    turns(&null, CALLED("\"\"", "{}"), CALLED("null", "{}"));
    turns(
        &plain,
        "[{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\",\"arguments\":\"{}\"}},"
        "{\"role\":\"function\",\"name\":\"f\",\"content\":\"1\"}]",
        "[{\"role\":\"assistant\",\"content\":\"\",\"tool_calls\":[{\"type\":\"function\",\"function\":{\"name\":\"f\","
        "\"arguments\":{}}}]},{\"role\":\"tool\",\"name\":\"f\",\"content\":\"1\"}]");
    turns(
        &plain,
        "[{\"role\":\"assistant\",\"content\":\"a\",\"reasoning\":\"r\",\"tool_calls\":[]}]",
        "[{\"role\":\"assistant\",\"content\":\"a\",\"reasoning\":\"r\",\"reasoning_content\":\"r\"}]");
    turns(
        &plain, "[{\"role\":\"assistant\",\"content\":\"a\",\"reasoning_content\":\"r\"}]",
        "[{\"role\":\"assistant\",\"content\":\"a\",\"reasoning\":\"r\",\"reasoning_content\":\"r\"}]");
}

static void what_is_wrong_is_named_by_its_place(void **state)
{
    static const struct {
        const char *text, *param;
    } rows[] = {
        {"[]", "messages"},
        {"[{\"role\":\"robot\",\"content\":\"\"}]", "messages"},
        {"[{\"role\":\"user\",\"content\":null}]", "messages"},
        {"[{\"role\":\"assistant\",\"tool_calls\":{}}]", "messages[0].tool_calls"},
        {"[{\"role\":\"assistant\",\"tool_calls\":[{\"type\":\"custom\"}]}]",
         "messages[0].tool_calls[0].type"},
        {"[{\"role\":\"assistant\",\"tool_calls\":[{}]}]", "messages[0].tool_calls[0].function"},
        {"[{\"role\":\"assistant\",\"tool_calls\":[{\"function\":{}}]}]",
         "messages[0].tool_calls[0].function.name"},
        {CALLED("\"\"", "{}"), "messages[0].tool_calls[0].function.arguments"},
        {"[{\"role\":\"assistant\",\"function_call\":{\"name\":\"f\"}}]",
         "messages[0].function_call.arguments"},
        {"[{\"role\":\"assistant\",\"content\":\"\",\"reasoning\":[]}]", "messages[0].reasoning"},
        {"[{\"role\":\"tool\",\"content\":\"\",\"tool_call_id\":1}]", "messages[0].tool_call_id"},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        json_t *messages = parsed(rows[i].text);

        err = (struct error){0};
        assert_false(chat_messages_check(messages, &err));
        assert_string_equal(err.param, rows[i].param);
        json_decref(messages);
    }
    json_t *good = parsed(
        "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{"
        "\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},"
        "{\"role\":\"tool\",\"tool_call_id\":\"a\",\"content\":\"1\"}]");
    ASSERT_OK(chat_messages_check(good, &err));
    json_decref(good);
}

/* The very words that the header promises. */
static void tools_calls_and_results_become_text(void **state)
{
    static const char tools_said[] =
        "# Tools\\n\\nYou may call one or more functions to assist with the user query.\\n\\nYou are provided with "
        "function signatures within <tools></tools> XML tags:\\n<tools>\\n{\\\"type\\\": \\\"function\\\", \\\"function\\\": "
        "{\\\"name\\\": \\\"f\\\"}}\\n</tools>\\n\\nFor each function call, return a json object with function name and "
        "arguments within <tool_call></tool_call> XML tags:\\n<tool_call>\\n{\\\"name\\\": <function-name>, \\\"arguments\\\": "
        "<args-json-object>}\\n</tool_call>";
    struct arena a = {0};
    json_t *
        tools = parsed("[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"),
       *messages = parsed(
           "[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"So\",\"tool_calls\":[{\"function\":{"
           "\"name\":\"f\",\"arguments\":{\"x\":[1]}}},{\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]},{\"role\":\"tool\","
           "\"content\":\"1\"},{\"role\":\"tool\",\"content\":\"2\"},{\"role\":\"assistant\",\"content\":\"b\"}]"),
       *system = parsed("[{\"role\":\"developer\",\"content\":\"Be brief.\"}]");
    static const char rest[] =
        "{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"So\\n<tool_call>\\n{\\\"name\\\": "
        "\\\"f\\\", \\\"arguments\\\": {\\\"x\\\": [1]}}\\n</tool_call>\\n<tool_call>\\n{\\\"name\\\": \\\"f\\\", \\\"arguments\\\": "
        "{}}\\n</tool_call>\"},{\"role\":\"user\",\"content\":\"<tool_response>\\n1\\n</tool_response>\\n<tool_response>\\n2\\n"
        "</tool_response>\"},{\"role\":\"assistant\",\"content\":\"b\"}]";

    (void)state;
    assert_json(tool_text_messages(messages, NULL), arena_printf(&a, "[%s", rest));
    assert_json(tool_text_messages(messages, tools),
                arena_printf(&a, "[{\"role\":\"system\",\"content\":\"%s\"},%s", tools_said, rest));
    assert_json(tool_text_messages(system, tools),
                arena_printf(&a, "[{\"role\":\"developer\",\"content\":\"Be brief.\\n\\n%s\"}]",
                             tools_said));
    json_decref(tools);
    json_decref(messages);
    json_decref(system);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_turned_for_templates),
        cmocka_unit_test(what_is_wrong_is_named_by_its_place),
        cmocka_unit_test(tools_calls_and_results_become_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
