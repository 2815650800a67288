/*
 * template_test.c - "{{ item.answer }}" becomes text, and what cannot be there is told when it is compiled.
 */
#include "grade/template.h"
#include "grade_support.h"

#include <stdio.h>

static struct arena arena;
static unsigned flag;

static struct str render(const char *text, const char *item, const struct grade_sample *sample,
                         struct error *err)
{
    const struct grade_sample none = {.output_text = STR("")};
    const struct template *t = NULL;
    struct grade_scope scope;
    struct str out = STR("(failed)");
    json_t *row = json_of(item);

    if (!template_compile(&arena, str_of(text), "input", &t, err))
        fail_msg("%s", err->message);
    scope_init(&scope, row, sample == NULL ? &none : sample, &arena);
    flag = 0;
    if (template_render(t, &scope, &out, &flag, err))
        out = arena_str(&arena, out);
    scope_release(&scope);
    json_decref(row);
    return out;
}

static void strings_are_inserted_as_they_are(void **state)
{
    (void)state;
    struct error err = {0};

    ASSERT_STR(render("{{item.a}}", "{'a':'x \\\\ \\u00e9'}", NULL, &err), "x \\ \xc3\xa9");
    ASSERT_STR(render("<{{ item.a }}|{{item.b}}>", "{'a':'1','b':'2'}", NULL, &err), "<1|2>");
    ASSERT_STR(render("no braces", "{}", NULL, &err), "no braces");
    ASSERT_STR(render("", "{}", NULL, &err), "");
    ASSERT_STR(render("a } b }} c { d", "{}", NULL, &err), "a } b }} c { d");
}

static void other_values_become_compact_json(void **state)
{
    (void)state;
    struct error err = {0};

    ASSERT_STR(render("{{item.a}}", "{'a':1}", NULL, &err), "1");
    ASSERT_STR(render("{{item.a}}", "{'a':1.0}", NULL, &err), "1.0");
    ASSERT_STR(render("{{item.a}}", "{'a':true}", NULL, &err), "true");
    ASSERT_STR(render("{{item.a}}", "{'a':null}", NULL, &err), "null");
    ASSERT_STR(render("{{item.a}}", "{'a':[1, {'b': 'c'}]}", NULL, &err), "[1,{\"b\":\"c\"}]");
}

static void paths_go_through_keys_and_indices(void **state)
{
    (void)state;
    struct error err = {0};
    const char *item = "{'a':{'b-c d':[['x','y'],7]}, 'l':[{'k':'v'}]}";

    ASSERT_STR(render("{{item.a.b-c d[0][1]}}", item, NULL, &err), "y");
    ASSERT_STR(render("{{ item.l[0].k }}", item, NULL, &err), "v");
    ASSERT_STR(render("{{\n item.a.b-c d[1]\t}}", item, NULL, &err), "7");
}

static void a_sample_has_its_five_fields(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *json = json_of("{'ok':true}"), *tools = json_of("[{'function':{'name':'f'}}]");
    const struct grade_sample s = {
        .output_text = STR("hi"), .output_json = json, .output_tools = tools, .truncated = true};

    ASSERT_STR(render("{{sample.output_text}}", "{}", &s, &err), "hi");
    ASSERT_STR(render("{{sample.output_json.ok}}", "{}", &s, &err), "true");
    ASSERT_STR(render("{{sample.output_json}}", "{}", &s, &err), "{\"ok\":true}");
    ASSERT_STR(render("{{sample.output_tools[0].function.name}}", "{}", &s, &err), "f");
    ASSERT_STR(render("{{sample.choices[0].message.content}}", "{}", &s, &err), "hi");
    ASSERT_STR(render("{{sample.choices[0].finish_reason}}", "{}", &s, &err), "length");
    ASSERT_STR(render("{{sample.choices[0].message.tool_calls[0].function.name}}", "{}", &s, &err),
               "f");
    json_decref(json);
    json_decref(tools);
}

static void a_path_goes_on_within_the_arguments_of_a_tool_call(void **state)
{
    (void)state;
    struct error err = {0};
    json_t *tools =
        json_pack("[{s:{s:s, s:s}}, {s:{s:s}}, {s:{s:s}}]", "function", "name", "f", "arguments",
                  "{\"a\": [{\"b\": \"x\"}], \"name\": \"{\\\"c\\\": 1}\"}", "function",
                  "arguments", "{\"a\": 1", "function", "other", "{\"a\": 1}");
    const struct grade_sample s = {.output_text = STR(""), .output_tools = tools};
    static const char *const nowhere[] = {
        "{{sample.output_tools[0].function.arguments.z}}",
        "{{sample.output_tools[0].function.arguments[0]}}",
        "{{sample.output_tools[0].function.arguments.name.c}}", /* one level, and no other key */
        "{{sample.output_tools[1].function.arguments.a}}",      /* cut off */
        "{{sample.output_tools[2].function.other.a}}",
        "{{item.arguments.a}}",
    };

    ASSERT_STR(render("{{sample.output_tools[0].function.arguments.a[0].b}}", "{}", &s, &err), "x");
    ASSERT_STR(render("<{{sample.output_tools[0].function.arguments.a}}>", "{}", &s, &err),
               "<[{\"b\":\"x\"}]>");
    ASSERT_STR(render("{{sample.choices[0].message.tool_calls[0].function.arguments.a[0].b}}", "{}",
                      &s, &err),
               "x");
    ASSERT_STR(render("{{sample.output_tools[1].function.arguments}}", "{}", &s, &err),
               "{\"a\": 1");
    for (size_t i = 0; i < sizeof nowhere / sizeof *nowhere; i++) {
        ASSERT_STR(render(nowhere[i], "{'arguments':'{}'}", &s, &err), "(failed)");
        assert_int_equal(flag, GRADE_INVALID_VARIABLE_ERROR);
    }
    assert_string_equal(err.message, "the row has no item.arguments.a");
    json_decref(tools);
}

static void what_leads_nowhere_is_flagged_and_named(void **state)
{
    (void)state;
    struct error err = {0};
    static const struct {
        const char *template, *says;
        unsigned flag;
    } rows[] = {
        {"{{item.b}}", "the row has no item.b", GRADE_INVALID_VARIABLE_ERROR},
        {"x{{item.a.b.c}}", "the row has no item.a.b", GRADE_INVALID_VARIABLE_ERROR},
        {"{{item.l[2]}}", "the row has no item.l[2]", GRADE_INVALID_VARIABLE_ERROR},
        {"{{item.a[0]}}", "the row has no item.a[0]", GRADE_INVALID_VARIABLE_ERROR},
        {"{{sample.output_text.x}}", "the sample has no", GRADE_INVALID_VARIABLE_ERROR},
        {"{{sample.output_audio.data}}", "the sample has no", GRADE_INVALID_VARIABLE_ERROR},
        {"{{sample.output_tools[0]}}", "the sample has no", GRADE_INVALID_VARIABLE_ERROR},
        {"{{sample.output_json.x}}", "the answer is not JSON", GRADE_SAMPLE_PARSE_ERROR},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ASSERT_STR(render(rows[i].template, "{'a':'s','l':[1,2]}", NULL, &err), "(failed)");
        assert_int_equal(flag, rows[i].flag);
        if (strstr(err.message, rows[i].says) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", err.message, rows[i].says);
    }
}

static void a_broken_template_is_refused(void **state)
{
    (void)state;
    struct error err;
    const struct template *t;
    static const char *const rows[][2] = {
        {"{{ item.a", "never closed"},
        {"a {{item.a}} {{", "at byte 13 is never closed"},
        {"{{ }}", "names nothing"},
        {"{{ items.a }}", "only item and sample"},
        {"{{ foo }}", "only item and sample"},
        {"{{ item }}", "not a path"},
        {"{{ item. }}", "not a path"},
        {"{{ item.a..b }}", "not a path"},
        {"{{ item.a[x] }}", "not a path"},
        {"{{ item.a[ }}", "not a path"},
        {"{{ item.a[] }}", "not a path"},
        {"{{ item.a[-1] }}", "not a path"},
        {"{{ item.a[1 }}", "not a path"},
        {"{{ item.a[99999999999] }}", "not a path"},
        {"{{ item.a] }}", "not a path"},
        {"{{ item.a[0]b }}", "not a path"},
        {"{{ sample.text }}", "a sample has output_text"},
        {"{{ sample[0] }}", "a sample has output_text"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ASSERT_FAILS(template_compile(&arena, str_of(rows[i][0]), "input", &t, &err), ERR_INVALID,
                     rows[i][1]);
        assert_string_equal(err.param, "input");
    }
}

static void a_path_has_at_most_32_steps(void **state)
{
    (void)state;
    struct error err = {0};
    const struct template *t;
    char text[200];

    for (int n = 32; n <= 33; n++) {
        size_t len = (size_t)snprintf(text, sizeof text, "{{item");

        for (int i = 0; i < n; i++)
            len += (size_t)snprintf(text + len, sizeof text - len, ".a");
        snprintf(text + len, sizeof text - len, "}}");
        if (n == 32)
            ASSERT_OK(template_compile(&arena, str_of(text), "input", &t, &err));
        else
            ASSERT_FAILS(template_compile(&arena, str_of(text), "input", &t, &err), ERR_INVALID,
                         "not a path");
    }
}

static void a_row_without_a_path_is_named(void **state)
{
    (void)state;
    struct error err = {0};
    const struct template *t;
    json_t *item = json_of("{'a':{'b':null}}");

    ASSERT_OK(
        template_compile(&arena, STR("{{item.a.b}} {{sample.output_text}}"), "input", &t, &err));
    ASSERT_OK(template_check_item(t, item, "train.jsonl, line 3", &err));
    ASSERT_OK(template_compile(&arena, STR("{{item.a.c}}"), "input", &t, &err));
    ASSERT_FAILS(template_check_item(t, item, "train.jsonl, line 3", &err), ERR_INVALID,
                 "train.jsonl, line 3 has no item.a.c");
    json_decref(item);
}

static void bytes_that_are_not_utf8_become_replacement_characters(void **state)
{
    (void)state;
    ASSERT_STR(grade_utf8(&arena, STR("a\xff\xc3")), "a\xef\xbf\xbd\xef\xbf\xbd");
    ASSERT_STR(grade_utf8(&arena, STR("\xc3\xa9")), "\xc3\xa9");
    ASSERT_STR(grade_utf8(&arena, STR("\xed\xa0\x80")), "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
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
        cmocka_unit_test(strings_are_inserted_as_they_are),
        cmocka_unit_test(other_values_become_compact_json),
        cmocka_unit_test(paths_go_through_keys_and_indices),
        cmocka_unit_test(a_sample_has_its_five_fields),
        cmocka_unit_test(a_path_goes_on_within_the_arguments_of_a_tool_call),
        cmocka_unit_test(what_leads_nowhere_is_flagged_and_named),
        cmocka_unit_test(a_broken_template_is_refused),
        cmocka_unit_test(a_path_has_at_most_32_steps),
        cmocka_unit_test(a_row_without_a_path_is_named),
        cmocka_unit_test(bytes_that_are_not_utf8_become_replacement_characters),
    };

    return cmocka_run_group_tests(tests, NULL, release);
}
