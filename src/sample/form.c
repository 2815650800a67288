/*
 * form.c - reading the format, and a small cache, the newest first.
 */
#include "sample/form.h"
#include "base/limits.h"
#include "text/json_schema.h"

#include <pthread.h>
#include <stdlib.h>

#define N_KEPT 8

struct kept_form {
    struct buf schema; /* as it is written, or what the tools are; empty: any object */
    struct constraint *constraint;
};

struct forms {
    const struct model *model;
    pthread_mutex_t lock;          /* guards the rest */
    struct vocabulary *vocabulary; /* NULL until a form is asked for; then for good */
    struct vocabulary *marked;     /* the same for tools, where their marks are special tokens */
    json_t *any_object;
    struct kept_form kept[N_KEPT];
};

bool forms_open(const struct model *m, struct forms **out, struct error *err)
{
    struct forms *f = calloc(1, sizeof *f);

    if (f == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the forms of answers");
    f->model = m;
    f->any_object = json_pack("{s:s}", "type", "object");
    pthread_mutex_init(&f->lock, NULL);
    *out = f;
    return true;
}

void forms_close(struct forms *f)
{
    if (f == NULL)
        return;
    for (size_t i = 0; i < N_KEPT; i++) {
        buf_release(&f->kept[i].schema);
        constraint_close(f->kept[i].constraint);
    }
    vocabulary_close(f->vocabulary);
    vocabulary_close(f->marked);
    json_decref(f->any_object);
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* Special tokens that a format marks calls with. */
static void marks_of(const struct forms *f, const struct tool_format *format,
                     struct token_list *out)
{
    const struct tokenizer *t = model_files_tokenizer(f->model->files);

    for (size_t i = 0; format != NULL && i < tokenizer_size(t); i++)
        if (tokenizer_is_special(t, (token_id)i) &&
            tool_format_marks(format, tokenizer_bytes(t, (token_id)i)))
            token_list_put(out, (token_id)i);
}

/* Two threads that ask for the first time may both lay out the tree of tokens: one of the two is kept. */
static bool vocabulary_in(struct forms *f, struct vocabulary **place,
                          const struct token_list *marks, const struct vocabulary **out,
                          struct error *err)
{
    const struct model_config *c = &f->model->config;
    struct vocabulary *made = NULL;

    pthread_mutex_lock(&f->lock);
    *out = *place;
    pthread_mutex_unlock(&f->lock);
    if (*out != NULL)
        return true;
    if (!vocabulary_open_with(model_files_tokenizer(f->model->files), c->vocab, c->eos, c->n_eos,
                              marks->ids, marks->n, &made, err))
        return false;
    pthread_mutex_lock(&f->lock);
    if (*place == NULL) {
        *place = made;
        made = NULL;
    }
    *out = *place;
    pthread_mutex_unlock(&f->lock);
    vocabulary_close(made);
    return true;
}

/* format NULL: without marks. A model has one format. */
static bool vocabulary_of(struct forms *f, const struct tool_format *format,
                          const struct vocabulary **out, struct error *err)
{
    struct token_list marks = {0};

    marks_of(f, format, &marks);
    const bool ok = vocabulary_in(f, marks.n > 0 ? &f->marked : &f->vocabulary, &marks, out, err);
    token_list_release(&marks);
    return ok;
}

/* A share of the form that is kept, and now the newest; NULL where none is. */
static struct constraint *find(struct forms *f, struct str schema)
{
    struct constraint *found = NULL;

    pthread_mutex_lock(&f->lock);
    for (size_t i = 0; i < N_KEPT && found == NULL; i++) {
        const struct kept_form it = f->kept[i];

        if (it.constraint == NULL || !str_eq(buf_view(&it.schema), schema))
            continue;
        memmove(f->kept + 1, f->kept, i * sizeof it);
        f->kept[0] = it;
        found = constraint_share(it.constraint);
    }
    pthread_mutex_unlock(&f->lock);
    return found;
}

/* Takes schema over, and a share of c, in place of the oldest. (Two threads may keep the same: it then is there twice.) */
static void keep(struct forms *f, struct buf *schema, struct constraint *c)
{
    pthread_mutex_lock(&f->lock);
    struct kept_form oldest = f->kept[N_KEPT - 1];
    memmove(f->kept + 1, f->kept, (N_KEPT - 1) * sizeof oldest);
    f->kept[0] = (struct kept_form){*schema, constraint_share(c)};
    pthread_mutex_unlock(&f->lock);
    buf_release(&oldest.schema);
    constraint_close(oldest.constraint);
}

/* schema NULL: any object. */
static bool constraint_of(struct forms *f, const json_t *schema, struct constraint **out,
                          struct error *err)
{
    const struct vocabulary *v;
    struct grammar *g;
    struct buf text;

    buf_init(&text, LIMIT_JSON_BYTES);
    if (schema != NULL)
        json_write(&text, schema, NULL);
    *out = find(f, buf_view(&text));
    if (*out != NULL) {
        buf_release(&text);
        return true;
    }
    const bool ok =
        vocabulary_of(f, NULL, &v, err) &&
        (schema != NULL ? json_schema_grammar(schema, "response_format.json_schema.schema", &g, err)
                        : json_object_grammar(&g, err)) &&
        constraint_open(g, v, out, err);
    if (ok)
        keep(f, &text, *out);
    else
        buf_release(&text);
    return ok;
}

/* ---- the format ---- */

static bool bad(struct error *err, enum error_kind kind, const char *why)
{
    return fail_param(err, kind, "response_format", "%s", why);
}

/* The schema of {"name": "...", "schema": {...}, "strict": bool}, which stands in "json_schema" or, as responses and some programs have it, beside "type". */
static bool schema_of(const json_t *format, const json_t **schema, struct error *err)
{
    const json_t *inner = json_object_get(format, "json_schema");
    const json_t *told =
        inner == NULL && json_object_get(format, "schema") != NULL ? format : inner;
    const json_t *strict = json_object_get(told, "strict");

    *schema = json_object_get(told, "schema");
    if (!json_is_object(told))
        return bad(err, ERR_INVALID, "\"response_format\" has no object \"json_schema\"");
    if (json_str(json_object_get(told, "name")).len == 0)
        return bad(err, ERR_INVALID, "\"response_format.json_schema\" has no text \"name\"");
    if (strict != NULL && !json_is_boolean(strict) && !json_is_null(strict))
        return bad(err, ERR_INVALID,
                   "\"response_format.json_schema.strict\" is neither true nor false");
    return *schema != NULL ||
           bad(err, ERR_INVALID, "\"response_format.json_schema\" has no \"schema\"");
}

bool forms_get(struct forms *f, const json_t *format, struct constraint **out, struct error *err)
{
    const struct str type = json_str(json_object_get(format, "type"));
    const json_t *schema = NULL;
    struct constraint *c = NULL;
    struct error why = {0};

    if (format == NULL || json_is_null(format) || str_is(type, "text")) {
        *out = NULL;
        return true;
    }
    if (!str_is(type, "json_schema") && !str_is(type, "json_object"))
        return bad(
            err, ERR_UNSUPPORTED,
            "of \"response_format\" the types text, json_object and json_schema are offered");
    if (str_is(type, "json_schema") && !schema_of(format, &schema, err))
        return false;
    if (!constraint_of(f, schema, &c, &why))
        return bad(err, why.kind, why.message);
    *out = c;
    return true;
}

bool forms_schema(struct forms *f, const json_t *format, const json_t **out, struct error *err)
{
    const struct str type = json_str(json_object_get(format, "type"));

    *out = NULL;
    if (format == NULL || json_is_null(format) || str_is(type, "text"))
        return true;
    if (str_is(type, "json_object")) {
        *out = f->any_object;
        return true;
    }
    if (str_is(type, "json_schema"))
        return schema_of(format, out, err);
    return bad(err, ERR_UNSUPPORTED,
               "of \"response_format\" the types text, json_object and json_schema are offered");
}

/* ---- tools ---- */

static void write_tools(struct buf *key, const struct tool_grammar_options *o)
{
    buf_printf(key, "tools %s %d %d ", o->format->name, o->required, o->many);
    json_write(key, o->tools, NULL);
    if (o->said != NULL)
        json_write(key, o->said, NULL);
}

bool forms_tools(struct forms *f, const struct tool_grammar_options *o, struct constraint **out,
                 struct error *err)
{
    const struct vocabulary *v;
    struct grammar *g;
    struct error why = {0};
    struct buf key;

    buf_init(&key, LIMIT_JSON_BYTES);
    write_tools(&key, o);
    *out = find(f, buf_view(&key));
    if (*out == NULL && vocabulary_of(f, o->format, &v, &why) && tool_grammar(o, &g, &why) &&
        constraint_open(g, v, out, &why)) {
        keep(f, &key, *out);
        return true;
    }
    buf_release(&key);
    return *out != NULL || fail_param(err, why.kind, "tools", "%s", why.message);
}
