/*
 * eval_messages_test.c - templates and references become messages.
 */
#include "base/size.h"
#include "server/eval_messages.h"
#include "support/support.h"

static json_t *json(const char *text)
{
    json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);

    assert_non_null(v);
    return v;
}

#define TEMPLATE(content)                                                                          \
    "{\"type\":\"template\",\"template\":[{\"role\":\"user\",\"content\":" content "}]}"
#define REFERENCE(path) "{\"type\":\"item_reference\",\"item_reference\":\"" path "\"}"

static void messages_are_filled_in(void **state)
{
    static const char item[] =
        "{\"q\":\"2+2\",\"n\":4,\"in\":{\"text\":\"hi\",\"list\":[{\"role\":\"user\","
        "\"content\":[{\"type\":\"input_text\",\"text\":\"yo\"}]}]},\"input\":\"bare\"}";
    static const struct {
        const char *input;
        bool responses;
        const char *messages;
    } cases[] = {
        {TEMPLATE("\"{{item.q}} = {{ item.n }}\""), false,
         "[{\"role\":\"user\",\"content\":\"2+2 = 4\"}]"},
        {TEMPLATE("{\"type\":\"input_text\",\"text\":\"{{item.q}}\"}"), true,
         "[{\"role\":\"user\",\"content\":\"2+2\"}]"},
        {TEMPLATE("[\"a\",{\"type\":\"output_text\",\"text\":\"{{item.n}}\"}]"), false,
         "[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
         "{\"type\":\"text\",\"text\":\"4\"}]}]"},
        {REFERENCE("item.in.text"), false, "[{\"role\":\"user\",\"content\":\"hi\"}]"},
        {REFERENCE("item.in.list"), false,
         "[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\",\"text\":\"yo\"}]}]"},
        {NULL, false, "[{\"role\":\"user\",\"content\":\"bare\"}]"},
    };
    json_t *row = json(item);

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *input = cases[i].input != NULL ? json(cases[i].input) : NULL,
               *expected = json(cases[i].messages), *got;
        struct arena a = {0};
        struct error err = {0};

        if (input != NULL)
            ASSERT_OK(eval_messages_check(input, &err));
        ASSERT_OK(eval_messages(input, cases[i].responses, row, &a, &got, &err));
        assert_true(json_equal(got, expected));
        json_decref(got);
        json_decref(expected);
        json_decref(input);
        arena_release(&a);
    }
    json_decref(row);
}

static void what_a_row_lacks_is_named(void **state)
{
    static const char *const cases[][2] = {
        {TEMPLATE("\"{{item.z}}\""), "z"},
        {REFERENCE("item.z"), "no item.z"},
        {REFERENCE("item.q.z"), "no item.q.z"},
        {REFERENCE("item.n"), "a number"},
    };
    json_t *row = json("{\"q\":\"x\",\"n\":4}");

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *input = json(cases[i][0]), *got;
        struct arena a = {0};
        struct error err = {0};

        ASSERT_OK(eval_messages_check(input, &err));
        assert_false(eval_messages(input, false, row, &a, &got, &err));
        assert_non_null(strstr(err.message, cases[i][1]));
        json_decref(input);
        arena_release(&a);
    }
    json_decref(row);
}

static void what_cannot_be_asked_is_refused(void **state)
{
    static const struct {
        const char *input, *match;
        enum error_kind kind;
    } cases[] = {
        {"{\"type\":\"x\"}", "item_reference", ERR_INVALID},
        {"{\"type\":\"template\",\"template\":[]}", "one message", ERR_INVALID},
        {REFERENCE("sample.x"), "item.input", ERR_INVALID},
        {TEMPLATE("\"{{ sample.output_text }}\""), "sample", ERR_INVALID},
        {TEMPLATE("\"{{item.q\""), "", ERR_INVALID},
        {TEMPLATE("3"), "a text or a part", ERR_INVALID},
        {TEMPLATE("{\"type\":\"input_image\",\"image_url\":\"x\"}"), "input_image",
         ERR_UNSUPPORTED},
        {"{\"type\":\"template\",\"template\":[{\"role\":\"boss\",\"content\":\"x\"}]}", "role",
         ERR_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *input = json(cases[i].input);
        struct error err = {0};

        ASSERT_FAILS(eval_messages_check(input, &err), cases[i].kind, cases[i].match);
        assert_non_null(strstr(err.param, "data_source.input_messages"));
        json_decref(input);
    }
}

static void messages_are_shown_as_texts(void **state)
{
    json_t *messages =
               json("[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"user\",\"content\":"
                    "[{\"type\":\"text\",\"text\":\"b\"},{\"type\":\"text\",\"text\":"
                    "\"c\"}]},{\"role\":\"assistant\",\"content\":null}]"),
           *expected = json("[{\"role\":\"system\",\"content\":\"a\"},{\"role\":\"user\","
                            "\"content\":\"bc\"},{\"role\":\"assistant\",\"content\":\"\"}]");
    json_t *shown = eval_messages_shown(messages);

    (void)state;
    assert_true(json_equal(shown, expected));
    json_decref(shown);
    json_decref(expected);
    json_decref(messages);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_filled_in),
        cmocka_unit_test(what_a_row_lacks_is_named),
        cmocka_unit_test(what_cannot_be_asked_is_refused),
        cmocka_unit_test(messages_are_shown_as_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
