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

#include <pthread.h>
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

/* ---- the interface ---- */

#define GENERATION                                                                                 \
    "{% for m in messages %}{{ m.role }}:{% if m.role == 'assistant' %}"                           \
    "{% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %};"      \
    "{% endfor %}"

static json_t *parse(const char *text)
{
    struct error err = {0};
    json_t *v = NULL;

    ASSERT_OK(json_parse(str_of(text), "vars", &v, &err));
    return v;
}

static json_t *conversation(void)
{
    return parse("{\"messages\": [{\"role\": \"user\", \"content\": \"hi\"},"
                 " {\"role\": \"assistant\", \"content\": \"\u00e9a\"},"
                 " {\"role\": \"assistant\", \"content\": \"b\"}]}");
}

static void spans_tell_what_an_assistant_said(void **state)
{
    struct generation_span spans[1] = {{0}};
    struct chat_template *t = NULL;
    struct error err = {0};
    json_t *vars = conversation();
    struct buf out;
    size_t n_spans = 0;

    (void)state;
    buf_init(&out, 1000);
    buf_text(&out, "<s>");
    ASSERT_OK(chat_template_open(STR(GENERATION), &t, &err));
    ASSERT_OK(chat_template_render(t, vars, &out, spans, 1, &n_spans, &err));
    ASSERT_STR(buf_view(&out), "<s>user:hi;assistant:\xC3\xA9"
                               "a;assistant:b;");
    assert_int_equal(n_spans, 2); /* there were two, one was asked for */
    assert_int_equal(spans[0].from, 21);
    assert_int_equal(spans[0].to, 24);
    ASSERT_OK(chat_template_render(t, vars, &out, NULL, 0, NULL, &err));
    json_decref(vars);
    buf_release(&out);
    chat_template_close(t);
}

static void a_failure_leaves_the_outputs_as_they_were(void **state)
{
    struct chat_template *t = NULL;
    struct error err = {0};
    json_t *vars = parse("{\"n\": 5}");
    size_t n_spans = 77;
    struct buf out;

    (void)state;
    buf_init(&out, 10);
    buf_text(&out, "kept");
    ASSERT_OK(chat_template_open(
        STR("{% generation %}a{% endgeneration %}{{ 'x' * n }}{{ 1 // (n - 5) }}"), &t, &err));
    ASSERT_FAILS(chat_template_render(t, vars, &out, NULL, 0, &n_spans, &err), ERR_INVALID,
                 "line 1");
    ASSERT_STR(buf_view(&out), "kept");
    json_object_set_new(vars, "n", json_integer(6));
    ASSERT_FAILS(chat_template_render(t, vars, &out, NULL, 0, &n_spans, &err), ERR_LIMIT,
                 "longer than the 10 bytes");
    ASSERT_STR(buf_view(&out), "kept");
    assert_false(out.overflowed);
    assert_int_equal(n_spans, 77);
    json_object_set_new(vars, "n", json_integer(3));
    ASSERT_OK(chat_template_render(t, vars, &out, NULL, 0, &n_spans, &err));
    ASSERT_STR(buf_view(&out), "keptaxxx-1");
    assert_int_equal(n_spans, 1);
    json_decref(vars);
    buf_release(&out);
    chat_template_close(t);
}

static void a_template_that_does_not_parse_gives_nothing(void **state)
{
    struct chat_template *t = NULL;
    struct error err = {0};

    (void)state;
    ASSERT_FAILS(chat_template_open(STR("a\n{% if %}"), &t, &err), ERR_INVALID,
                 "chat template, line 2: Expected an expression");
    assert_null(t);
    ASSERT_FAILS(chat_template_open(STR("{% if x %}"), &t, &err), ERR_INVALID, "'if'");
    ASSERT_FAILS(chat_template_open(STR("{% nope %}"), &t, &err), ERR_INVALID,
                 "Encountered unknown tag 'nope'");
    assert_null(t);
    chat_template_close(NULL);
}

struct reader_thread {
    const struct chat_template *t;
    const json_t *vars;
    const char *want;
    bool same;
};

static void *render_often(void *arg)
{
    struct reader_thread *r = arg;

    r->same = true;
    for (int i = 0; i < 200; i++) {
        struct error err = {0};
        struct buf out;

        buf_init(&out, 1000);
        r->same = r->same && chat_template_render(r->t, r->vars, &out, NULL, 0, NULL, &err) &&
                  str_is(buf_view(&out), r->want);
        buf_release(&out);
    }
    return NULL;
}

static void threads_share_one_template(void **state)
{
    struct chat_template *t = NULL;
    struct error err = {0};
    json_t *vars = conversation();
    struct reader_thread readers[4];
    pthread_t threads[4];

    (void)state;
    ASSERT_OK(chat_template_open(STR(GENERATION), &t, &err));
    for (int i = 0; i < 4; i++) {
        readers[i] = (struct reader_thread){.t = t,
                                            .vars = vars,
                                            .want = "user:hi;assistant:\xC3\xA9"
                                                    "a;assistant:b;"};
        assert_int_equal(pthread_create(&threads[i], NULL, render_often, &readers[i]), 0);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        assert_true(readers[i].same);
    }
    json_decref(vars);
    chat_template_close(t);
}

static void bytes_of_every_kind_pass_through(void **state)
{
    struct chat_template *t = NULL;
    struct error err = {0};
    json_t *vars = parse("{\"s\": \"a\\u0000b{{ x }}{% endif %}\"}");
    struct buf out;

    (void)state;
    buf_init(&out, 1000);
    ASSERT_OK(chat_template_open(STR("{{ s }}{{ s | length }}"), &t, &err));
    ASSERT_OK(chat_template_render(t, vars, &out, NULL, 0, NULL, &err));
    assert_true(str_eq(buf_view(&out), STR("a\0b{{ x }}{% endif %}21")));
    json_decref(vars);
    buf_release(&out);
    chat_template_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(templates_render_as_hugging_face_renders_them),
        cmocka_unit_test(expressions_evaluate_as_jinja2_evaluates_them),
        cmocka_unit_test(spans_tell_what_an_assistant_said),
        cmocka_unit_test(a_failure_leaves_the_outputs_as_they_were),
        cmocka_unit_test(a_template_that_does_not_parse_gives_nothing),
        cmocka_unit_test(threads_share_one_template),
        cmocka_unit_test(bytes_of_every_kind_pass_through),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
