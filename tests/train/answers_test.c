/*
 * answers_test.c - an answer of a row as graders see it, with the calls of tools in it.
 */
#include "support/said.h"
#include "support/support.h"
#include "train/answers.h"

static struct arena arena;
static struct error err;
static struct model *model;
static struct prompter *prompter;

static int open_all(void **state)
{
    (void)state;
    return model_open(golden_path(&arena, "tiny/hf"), 0, &model, &err) &&
                   prompter_open(model, "{% for m in messages %}{{ m.content }}{% endfor %}",
                                 &prompter, &err)
               ? 0
               : -1;
}

static int close_all(void **state)
{
    (void)state;
    prompter_close(prompter);
    model_close(model);
    arena_release(&arena);
    return 0;
}

static struct grade_sample input_of(const char *tools, const char *text, enum sample_end end,
                                    struct arena *a)
{
    struct sample s = sample_of_text(model, text, a);
    struct dataset_row row = {.line = 7};
    struct answer answer;
    json_t *list = NULL;

    if (tools != NULL)
        ASSERT_OK(json_parse(str_of(tools), "tools", &list, &err));
    row.tools = list;
    s.end = end;
    s.stop_bytes = SIZE_MAX;
    const struct grade_sample g = answers_input(prompter, &row, &s, NULL, a, &answer);
    assert_true(str_eq(g.output_text, answer.text));
    json_decref(list);
    return g;
}

#define TOOLS "[{\"type\":\"function\",\"function\":{\"name\":\"f\"}}]"
#define CALL "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>"

static void calls_are_parted_from_text_where_the_row_has_tools(void **state)
{
    struct arena a = {0};
    struct grade_sample g = input_of(TOOLS, "So:\n" CALL "\n" CALL, SAMPLE_STOP, &a);
    const json_t *first = json_array_get(g.output_tools, 0),
                 *f = json_object_get(first, "function");

    (void)state;
    ASSERT_STR(g.output_text, "So:");
    assert_int_equal(json_array_size(g.output_tools), 2);
    assert_string_equal(json_string_value(json_object_get(first, "type")), "function");
    assert_string_equal(json_string_value(json_object_get(f, "name")), "f");
    assert_string_equal(json_string_value(json_object_get(f, "arguments")), "{\"x\": 1}");
    /* the same answer of the same row has the same ids: it is graded once */
    const struct grade_sample again = input_of(TOOLS, "So:\n" CALL "\n" CALL, SAMPLE_STOP, &a);
    assert_true(json_equal(g.output_tools, again.output_tools));
    g = input_of(TOOLS, CALL, SAMPLE_STOP, &a);
    assert_int_equal(g.output_text.len, 0);
    assert_false(g.unanswered);
    arena_release(&a); /* the lists go with it */
}

static void what_is_no_call_is_text_and_no_tools_are_null(void **state)
{
    struct arena a = {0};
    struct grade_sample g = input_of(NULL, CALL, SAMPLE_STOP, &a);

    (void)state;
    ASSERT_STR(g.output_text, CALL);
    assert_null(g.output_tools);
    g = input_of("[]", CALL, SAMPLE_STOP, &a);
    assert_null(g.output_tools);
    g = input_of(TOOLS, "eye", SAMPLE_STOP, &a);
    assert_true(json_is_array(g.output_tools) && json_array_size(g.output_tools) == 0);
    g = input_of(TOOLS, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\"", SAMPLE_LENGTH, &a);
    ASSERT_STR(g.output_text, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\"");
    assert_int_equal(json_array_size(g.output_tools), 0);
    assert_true(g.truncated);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calls_are_parted_from_text_where_the_row_has_tools),
        cmocka_unit_test(what_is_no_call_is_text_and_no_tools_are_null),
    };

    return cmocka_run_group_tests(tests, open_all, close_all);
}
