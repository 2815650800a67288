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
    struct buf schema; /* as it is written; empty: any object */
    struct constraint *constraint;
};

struct forms {
    const struct model *model;
    pthread_mutex_t lock;          /* guards the rest */
    struct vocabulary *vocabulary; /* NULL until a form is asked for; then for good */
    struct kept_form kept[N_KEPT];
};

bool forms_open(const struct model *m, struct forms **out, struct error *err)
{
    struct forms *f = calloc(1, sizeof *f);

    if (f == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the forms of answers");
    f->model = m;
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
    pthread_mutex_destroy(&f->lock);
    free(f);
}

/* Two threads that ask for the first time may both lay out the tree of tokens: one of the two is kept. */
static bool vocabulary_of(struct forms *f, const struct vocabulary **out, struct error *err)
{
    const struct model_config *c = &f->model->config;
    struct vocabulary *made = NULL;

    pthread_mutex_lock(&f->lock);
    *out = f->vocabulary;
    pthread_mutex_unlock(&f->lock);
    if (*out != NULL)
        return true;
    if (!vocabulary_open(model_files_tokenizer(f->model->files), c->vocab, c->eos, c->n_eos, &made,
                         err))
        return false;
    pthread_mutex_lock(&f->lock);
    if (f->vocabulary == NULL) {
        f->vocabulary = made;
        made = NULL;
    }
    *out = f->vocabulary;
    pthread_mutex_unlock(&f->lock);
    vocabulary_close(made);
    return true;
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
        vocabulary_of(f, &v, err) &&
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

/* {"name": "...", "schema": {...}, "strict": bool}: the schema. */
static bool schema_of(const json_t *format, const json_t **schema, struct error *err)
{
    const json_t *told = json_object_get(format, "json_schema"),
                 *strict = json_object_get(told, "strict");

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
