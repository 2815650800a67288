/*
 * jinja_render.h - for the tests of chat templates: a template, its variables and what must come of it, in one line.
 */
#ifndef HONE_TESTS_TEXT_JINJA_RENDER_H
#define HONE_TESTS_TEXT_JINJA_RENDER_H

#include "base/limits.h"
#include "support/support.h"
#include "text/chat_template.h"

struct rendering {
    const char *template, *vars, *text; /* vars: a JSON object */
};

static inline bool render_template(struct str source, const char *vars, struct buf *out,
                                   struct error *err)
{
    struct chat_template *t = NULL;
    struct error json_err = {0};
    json_t *v = NULL;

    if (!json_parse(str_of(vars), "vars", &v, &json_err))
        fail_msg("%s", json_err.message);
    const bool ok =
        chat_template_open(source, &t, err) && chat_template_render(t, v, out, NULL, 0, NULL, err);
    chat_template_close(t);
    json_decref(v);
    return ok;
}

/* Fails the test unless the template gives exactly this text. */
static inline void check_rendering(const struct rendering *r)
{
    struct error err = {0};
    struct buf out;

    buf_init(&out, LIMIT_RENDER_BYTES);
    if (!render_template(str_of(r->template), r->vars, &out, &err))
        fail_msg("%s\n  fails: %s", r->template, err.message);
    if (!str_is(buf_view(&out), r->text))
        fail_msg("%s\n  gives: " STR_FMT "\n  not:   %s", r->template, STR_ARG(buf_view(&out)),
                 r->text);
    buf_release(&out);
}

/* Fails the test unless the template fails with this kind, and says text. */
static inline void check_refusal(struct str source, enum error_kind kind, const char *text)
{
    struct error err = {0};
    struct buf out;

    buf_init(&out, LIMIT_RENDER_BYTES);
    if (render_template(source, "{\"x\": 1, \"l\": [1, 2, 3]}", &out, &err))
        fail_msg(STR_FMT "\n  gives: " STR_FMT, STR_ARG(source), STR_ARG(buf_view(&out)));
    if (err.kind != kind || strstr(err.message, text) == NULL)
        fail_msg("%.*s\n  fails: %s: %s\n  not:   %s: %s",
                 (int)(source.len < 500 ? source.len : 500), source.ptr, error_kind_name(err.kind),
                 err.message, error_kind_name(kind), text);
    buf_release(&out);
}

#define CHECK_RENDERINGS(...)                                                                      \
    do {                                                                                           \
        static const struct rendering rows_[] = {__VA_ARGS__};                                     \
        for (size_t i_ = 0; i_ < sizeof rows_ / sizeof *rows_; i_++)                               \
            check_rendering(&rows_[i_]);                                                           \
    } while (0)
#endif
