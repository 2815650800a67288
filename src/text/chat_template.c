/*
 * chat_template.c - the door to the interpreter: a tree that is parsed once, and one arena for each render.
 *
 * The stages, a file each: jinja_lexer.c cuts the text into tokens, jinja_parser.c and jinja_expression.c make a tree of
 * them, jinja_scope.c gives each name its variable. Then jinja_exec.c runs statements, jinja_loop.c loops, jinja_eval.c
 * expressions. Values are jinja_value.c and jinja_dict.c, with jinja_ops.c for operators, jinja_text.c and
 * jinja_unicode.c for what str can do, jinja_repr.c and jinja_format.c for how things print. Filters, tests, methods and
 * globals are tables: jinja_filters_text.c, jinja_filters_list.c, jinja_wrap.c, jinja_tests.c, jinja_methods.c,
 * jinja_globals.c; to add one is a function and a row.
 */
#include "text/chat_template.h"
#include "base/limits.h"
#include "base/size.h"
#include "base/utf8.h"
#include "text/chat_template_internal.h"
#include "text/jinja_ast.h"
#include "text/jinja_builtin.h"

#include <stdlib.h>

struct chat_template {
    struct jinja_program program;
};

bool chat_template_open(struct str source, struct chat_template **out, struct error *err)
{
    struct chat_template *t = calloc(1, sizeof *t);

    const size_t n_valid = utf8_valid(source);

    if (t == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a chat template");
    if (n_valid < source.len) {
        chat_template_close(t);
        return fail(err, ERR_INVALID, "a chat template that is not UTF-8 at byte %zu", n_valid);
    }
    if (!jinja_parse(source, &t->program, err)) {
        chat_template_close(t);
        return false;
    }
    *out = t;
    return true;
}

void chat_template_close(struct chat_template *t)
{
    if (t == NULL)
        return;
    arena_release(&t->program.arena);
    free(t);
}

bool chat_template_reads(const struct chat_template *t, struct str name)
{
    for (const struct jinja_read *r = t->program.reads; r != NULL; r = r->next)
        if (str_eq(r->name, name))
            return true;
    return false;
}

/* ---- JSON to values ---- */

static bool from_json(struct jinja_render *r, const json_t *v, struct jinja_value *out);

/* Texts are views: the caller's tree outlives the render. */
static bool dict_from_json(struct jinja_render *r, const json_t *v, struct jinja_dict *d)
{
    json_t *obj =
        (json_t *)(uintptr_t)v; /* jansson's iterators are not const, and change nothing */

    for (void *it = json_object_iter(obj); it != NULL; it = json_object_iter_next(obj, it)) {
        const struct str name = {json_object_iter_key(it), json_object_iter_key_len(it)};
        struct jinja_value key, value;

        if (!jinja_str_view(r, name, &key) || !from_json(r, json_object_iter_value(it), &value) ||
            !jinja_dict_set(r, d, key, value))
            return false;
    }
    return true;
}

static bool list_from_json(struct jinja_render *r, const json_t *v, struct jinja_value *out)
{
    const size_t n = json_array_size(v);
    struct jinja_value *items;

    if (!jinja_list(r, n, &items, out))
        return false;
    for (size_t i = 0; i < n; i++)
        if (!from_json(r, json_array_get(v, i), &items[i]))
            return false;
    return true;
}

static bool compound_from_json(struct jinja_render *r, const json_t *v, struct jinja_value *out)
{
    struct jinja_dict *d;

    if (json_is_array(v))
        return list_from_json(r, v, out);
    d = jinja_dict_new(r, json_object_size(v));
    if (d == NULL || !dict_from_json(r, v, d))
        return false;
    *out = jinja_dict_value(d);
    return true;
}

static bool from_json(struct jinja_render *r, const json_t *v, struct jinja_value *out)
{
    switch (v == NULL ? JSON_NULL : json_typeof(v)) {
    case JSON_STRING:
        return jinja_str_view(r, json_str(v), out);
    case JSON_INTEGER:
        *out = jinja_int(json_integer_value(v));
        return true;
    case JSON_REAL:
        *out = jinja_float(json_real_value(v));
        return true;
    case JSON_TRUE:
    case JSON_FALSE:
        *out = jinja_bool(json_is_true(v));
        return true;
    case JSON_NULL:
        *out = jinja_none();
        return true;
    case JSON_OBJECT:
    case JSON_ARRAY:
        break;
    }
    if (!jinja_enter_value(r))
        return false;
    const bool ok = compound_from_json(r, v, out);
    r->depth--;
    return ok;
}

/* "self" is the template, whatever the caller names so. */
static bool add_self(struct jinja_render *r, struct jinja_dict *context)
{
    struct jinja_value name;

    return jinja_str_view(r, STR("self"), &name) &&
           jinja_dict_set(r, context, name, (struct jinja_value){.type = JINJA_SELF});
}

static bool render(struct jinja_render *r, const struct chat_template *t, const json_t *vars)
{
    r->context = jinja_dict_new(r, json_object_size(vars) + 8);
    return r->context != NULL && jinja_add_globals(r, r->context) &&
           dict_from_json(r, vars, r->context) && add_self(r, r->context) &&
           jinja_run(r, &t->program) && jinja_put_ok(r);
}

bool chat_template_render_within(const struct chat_template *t, const json_t *vars,
                                 uint64_t max_steps, struct buf *out,
                                 struct chat_template_spans *spans, struct error *err)
{
    struct error mine;
    struct arena arena = {0};
    struct jinja_render r = {
        .arena = &arena, .err = err == NULL ? &mine : err, .max_steps = max_steps};
    const size_t base = out->len;
    bool ok = true;

    buf_init(&r.out, LIMIT_RENDER_BYTES);
    if (spans != NULL && spans->max > 0) {
        r.spans = arena_try(&arena, spans->max, sizeof *r.spans, "spans", r.err);
        r.max_spans = spans->max;
        ok = r.spans != NULL;
    }
    ok = ok && render(&r, t, vars);
    if (ok && r.out.len > out->max_bytes - size_min(base, out->max_bytes))
        ok = fail(r.err, ERR_LIMIT,
                  "the text of a chat template is longer than the %zu bytes allowed",
                  out->max_bytes);
    if (ok) {
        buf_str(out, buf_view(&r.out));
        ok = buf_ok(out, "the text of a chat template", r.err);
    }
    for (size_t i = 0; ok && spans != NULL && i < size_min(r.n_spans, spans->max); i++)
        spans->ptr[i] = (struct generation_span){base + size_min(r.spans[i].from, r.out.len),
                                                 base + size_min(r.spans[i].to, r.out.len)};
    if (ok && spans != NULL)
        spans->n = r.n_spans;
    buf_release(&r.out);
    arena_release(&arena);
    return ok;
}

bool chat_template_render(const struct chat_template *t, const json_t *vars, struct buf *out,
                          struct generation_span *spans, size_t max_spans, size_t *n_spans,
                          struct error *err)
{
    struct chat_template_spans s = {.ptr = spans, .max = spans == NULL ? 0 : max_spans};

    if (!chat_template_render_within(t, vars, JINJA_MAX_STEPS, out, &s, err))
        return false;
    if (n_spans != NULL)
        *n_spans = s.n;
    return true;
}
