/*
 * eval_schema_test.c - what of a schema is checked, and how a row that breaks it is told.
 */
#include "base/size.h"
#include "server/eval_schema.h"
#include "support/support.h"

static json_t *json(const char *text)
{
    json_t *v = json_loads(text, JSON_DECODE_ANY, NULL);

    assert_non_null(v);
    return v;
}

static void what_fits_passes_and_what_does_not_is_named(void **state)
{
    static const struct {
        const char *schema, *value, *match; /* match NULL: it fits */
    } cases[] = {
        {"{}", "3", NULL},
        {"{\"type\":\"object\"}", "{}", NULL},
        {"{\"type\":\"object\"}", "[]", "row is a list"},
        {"{\"type\":\"integer\"}", "3.0", NULL},
        {"{\"type\":\"integer\"}", "3.5", "row is a number"},
        {"{\"type\":\"number\"}", "3", NULL},
        {"{\"type\":[\"string\",\"null\"]}", "null", NULL},
        {"{\"type\":[\"string\",\"null\"]}", "true", "row is "},
        {"{\"required\":[\"a\"]}", "{\"a\":null}", NULL},
        {"{\"required\":[\"a\"]}", "{\"b\":1}", "\"a\" is missing"},
        {"{\"properties\":{\"a\":{\"properties\":{\"b\":{\"type\":\"string\"}}}}}",
         "{\"a\":{\"b\":1}}", "row.a.b is a number"},
        {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"a\":1}", NULL},
        {"{\"properties\":{\"a\":{}},\"additionalProperties\":false}", "{\"z\":1}", "no \"z\""},
        {"{\"additionalProperties\":{\"type\":\"string\"}}", "{\"z\":1}", "row.z is a number"},
        {"{\"items\":{\"type\":\"string\"}}", "[\"x\",2]", "row\\[1\\] is a number"},
        {"{\"enum\":[\"x\",2]}", "2", NULL},
        {"{\"enum\":[\"x\",2]}", "3", "does not allow"},
        {"{\"const\":{\"a\":[1]}}", "{\"a\":[1]}", NULL},
        {"{\"const\":{\"a\":[1]}}", "{\"a\":[2]}", "does not allow"},
        {"{\"properties\":{\"a\":true}}", "{\"a\":1}", NULL},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *schema = json(cases[i].schema), *value = json(cases[i].value);
        struct error err = {0};
        const bool ok = eval_schema_check(schema, value, "row", &err);

        assert_int_equal(ok, cases[i].match == NULL);
        if (!ok) {
            char plain[64] = "";

            for (size_t k = 0, n = 0; cases[i].match[k] != '\0'; k++)
                if (cases[i].match[k] != '\\')
                    plain[n++] = cases[i].match[k];
            assert_int_equal(err.kind, ERR_INVALID);
            assert_non_null(strstr(err.message, plain));
        }
        json_decref(schema);
        json_decref(value);
    }
}

static void a_schema_that_is_none_is_refused(void **state)
{
    static const char *const cases[] = {
        "[]",
        "{\"type\":\"text\"}",
        "{\"type\":[]}",
        "{\"required\":\"a\"}",
        "{\"required\":[1]}",
        "{\"properties\":[]}",
        "{\"properties\":{\"a\":{\"type\":3}}}",
        "{\"items\":3}",
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *schema = json(cases[i]);
        struct error err = {0};

        assert_false(eval_schema_is_sane(schema, "item_schema", &err));
        assert_memory_equal(err.param, "item_schema", 11);
        json_decref(schema);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_fits_passes_and_what_does_not_is_named),
        cmocka_unit_test(a_schema_that_is_none_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
