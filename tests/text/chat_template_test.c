/*
 * chat_template_test.c - templates render byte for byte as Hugging Face renders them, and fail where it fails.
 *
 * The golden files are made by tools/golden/make_templates.py. Each line of cases.jsonl and snippets.jsonl must agree;
 * the first that does not is told, and all are counted.
 */
#include "base/file.h"
#include "base/limits.h"
#include "support/support.h"
#include "text/chat_template.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- golden files ---- */

#define MAX_SPANS 32

/* Each line of a JSONL file as one JSON array. */
static json_t *read_lines(struct arena *a, const char *name)
{
    struct error err = {0};
    json_t *rows = json_array();
    struct str text;

    ASSERT_OK(file_read(golden_path(a, name), LIMIT_JSON_BYTES, a, &text, &err));
    while (text.len > 0) {
        const size_t end = str_find(text, STR("\n"), 0);
        json_t *row;

        ASSERT_OK(json_parse((struct str){text.ptr, end}, name, &row, &err));
        json_array_append_new(rows, row);
        text = str_from(text, end + (end < text.len));
    }
    return rows;
}

static bool same_spans(const json_t *want, const struct generation_span *spans, size_t n)
{
    if (json_array_size(want) != n || n > MAX_SPANS)
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(want, i);

        if ((json_int_t)spans[i].from != json_integer_value(json_array_get(pair, 0)) ||
            (json_int_t)spans[i].to != json_integer_value(json_array_get(pair, 1)))
            return false;
    }
    return true;
}

/* Renders and compares with a row's "text" and "spans", or "error" and, where the template raises, "message". */
static bool agrees(struct str source, const json_t *vars, const json_t *row)
{
    const char *error = json_string_value(json_object_get(row, "error"));
    const json_t *text = json_object_get(row, "text");
    struct generation_span spans[MAX_SPANS];
    struct chat_template *t = NULL;
    struct error err = {0};
    struct buf out;
    size_t n_spans = 0;
    bool same;

    buf_init(&out, LIMIT_RENDER_BYTES);
    const bool opened = chat_template_open(source, &t, &err);
    const bool rendered =
        opened && chat_template_render(t, vars, &out, spans, MAX_SPANS, &n_spans, &err);
    if (text != NULL)
        same = rendered && str_eq(buf_view(&out), json_str(text)) &&
               same_spans(json_object_get(row, "spans"), spans, n_spans);
    else if (strcmp(error, "raise") == 0)
        same = opened && !rendered && err.kind == ERR_INVALID &&
               strstr(err.message, json_string_value(json_object_get(row, "message"))) != NULL;
    else
        same = !rendered && strncmp(err.message, "chat template, line ", 20) == 0;
    if (!same)
        print_error("%.*s\n  gives: %s" STR_FMT "\n", (int)source.len, source.ptr, err.message,
                    STR_ARG(buf_view(&out)));
    chat_template_close(t);
    buf_release(&out);
    return same;
}

/* The row of this name. */
static const json_t *named(const json_t *rows, const json_t *name)
{
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (json_equal(json_object_get(json_array_get(rows, i), "name"), name))
            return json_array_get(rows, i);
    fail_msg("\"%s\" is not in the golden files", json_string_value(name));
    return NULL;
}

static void templates_render_as_hugging_face_renders_them(void **state)
{
    struct arena a = {0};
    json_t *templates = read_lines(&a, "templates/templates.jsonl");
    json_t *fixtures = read_lines(&a, "templates/fixtures.jsonl");
    json_t *cases = read_lines(&a, "templates/cases.jsonl");
    size_t n_different = 0;

    (void)state;
    assert_true(json_array_size(cases) >= 600);
    for (size_t i = 0; i < json_array_size(cases); i++) {
        const json_t *row = json_array_get(cases, i);
        const json_t *template = named(templates, json_object_get(row, "template"));
        const json_t *fixture = named(fixtures, json_object_get(row, "fixture"));

        n_different += !agrees(json_str(json_object_get(template, "template")),
                               json_object_get(fixture, "vars"), row);
    }
    assert_int_equal(n_different, 0);
    json_decref(templates);
    json_decref(fixtures);
    json_decref(cases);
    arena_release(&a);
}

static void expressions_evaluate_as_jinja2_evaluates_them(void **state)
{
    struct arena a = {0};
    json_t *snippets = read_lines(&a, "templates/snippets.jsonl");
    size_t n_different = 0;

    (void)state;
    assert_true(json_array_size(snippets) >= 800);
    for (size_t i = 0; i < json_array_size(snippets); i++) {
        const json_t *row = json_array_get(snippets, i);

        n_different +=
            !agrees(json_str(json_object_get(row, "template")), json_object_get(row, "vars"), row);
    }
    assert_int_equal(n_different, 0);
    json_decref(snippets);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_render_as_hugging_face_renders_them),
        cmocka_unit_test(expressions_evaluate_as_jinja2_evaluates_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
