/*
 * jinja_globals.c - finding filters, tests and methods by name, typed arguments, and the global functions:
 * those of jinja2, and those that transformers gives to chat templates.
 */
#include "base/size.h"
#include "text/jinja_builtin.h"

#include <limits.h>
#include <time.h>

static const struct jinja_builtin *find(const struct jinja_builtin *table, struct str name)
{
    for (; table->name != NULL; table++)
        if (str_is(name, table->name))
            return table;
    return NULL;
}

const struct jinja_builtin *jinja_find_filter(struct str name)
{
    const struct jinja_builtin *row = find(jinja_filters_text, name);

    return row != NULL ? row : find(jinja_filters_list, name);
}

const struct jinja_builtin *jinja_find_test(struct str name)
{
    return find(jinja_tests, name);
}

/* ---- arguments ---- */

/* The name of parameter i, for a message. */
static struct str param_name(const struct jinja_call *c, size_t i)
{
    const char *p = c->row->params;

    for (; i > 0; i--)
        p += strcspn(p, " ") + 1;
    return (struct str){p, strcspn(p, " !")};
}

static bool wrong_argument(struct jinja_call *c, size_t i, const char *want)
{
    return jinja_raise(c->r, "%s(): '" STR_FMT "' is of type %s, %s was expected", c->row->name,
                       STR_ARG(param_name(c, i)), jinja_type_name(c->a[i]), want);
}

bool jinja_arg_int(struct jinja_call *c, size_t i, int64_t def, int64_t *out)
{
    *out = def;
    if (!jinja_given(c, i) || jinja_as_int(c->a[i], out))
        return true;
    if (c->a[i].type == JINJA_UNDEFINED)
        return jinja_raise_undefined(c->r, c->a[i]);
    return wrong_argument(c, i, "an integer");
}

bool jinja_arg_bool(struct jinja_call *c, size_t i, bool def, bool *out)
{
    *out = def;
    return !jinja_given(c, i) || jinja_truth(c->r, c->a[i], out);
}

bool jinja_arg_str(struct jinja_call *c, size_t i, struct str def, struct str *out)
{
    *out = def;
    if (!jinja_given(c, i))
        return true;
    if (c->a[i].type != JINJA_STR)
        return wrong_argument(c, i, "a string");
    *out = (struct str){c->a[i].text->ptr, c->a[i].text->len};
    return true;
}

/* ---- global functions ---- */

static bool raise_exception(struct jinja_call *c)
{
    const size_t mark = jinja_mark(c->r);

    if (!jinja_put_str(c->r, c->a[0]))
        return false;
    return jinja_raise(c->r, STR_FMT, (int)size_min(c->r->out.len - mark, INT_MAX),
                       c->r->out.ptr == NULL ? "" : c->r->out.ptr + mark);
}

static bool strftime_now(struct jinja_call *c)
{
    const time_t now = time(NULL);
    char format[256], text[1024];
    struct str s;
    struct tm tm;

    if (!jinja_arg_str(c, 0, STR(""), &s))
        return false;
    if (s.len >= sizeof format || memchr(s.ptr, '\0', s.len) != NULL)
        return jinja_limit(c->r, "a time format of more than %zu characters", sizeof format);
    memcpy(format, s.ptr, s.len);
    format[s.len] = '\0';
    localtime_r(&now, &tm);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored                                                                     \
    "-Wformat-nonliteral" /* the template chooses; strftime only reads tm */
    const size_t n = strftime(text, sizeof text, format, &tm);
#pragma GCC diagnostic pop
    return jinja_str(c->r, (struct str){text, n}, c->out);
}

/* dict(mapping or pairs, **more) */
static bool fill_dict(struct jinja_call *c, struct jinja_dict *d)
{
    struct jinja_render *r = c->r;
    const struct jinja_args *args = c->args;
    struct jinja_items pairs = {0};
    struct jinja_value from = args->n_pos > 0 ? args->pos[0] : jinja_none();

    if (args->n_pos > 1)
        return jinja_raise(r, "dict expected at most 1 argument, got %zu", args->n_pos);
    if (from.type == JINJA_DICT || from.type == JINJA_NAMESPACE) {
        for (size_t i = 0; i < from.dict->n; i++)
            if (!jinja_dict_set(r, d, from.dict->entries[i].key, from.dict->entries[i].value))
                return false;
    } else if (args->n_pos > 0 && !jinja_collect(r, from, &pairs)) {
        return false;
    }
    for (size_t i = 0; i < pairs.n; i++) {
        struct jinja_items pair = {0};

        if (!jinja_collect(r, pairs.ptr[i], &pair))
            return false;
        if (pair.n != 2)
            return jinja_raise(
                r, "dictionary update sequence element #%zu has length %zu; 2 is required", i,
                pair.n);
        if (!jinja_dict_set(r, d, pair.ptr[0], pair.ptr[1]))
            return false;
    }
    for (size_t i = 0; i < args->n_kw; i++) {
        struct jinja_value key;

        if (!jinja_str_view(r, args->kw[i].name, &key) ||
            !jinja_dict_set(r, d, key, args->kw[i].value))
            return false;
    }
    return true;
}

static bool make_dict(struct jinja_call *c)
{
    struct jinja_dict *d = jinja_dict_new(c->r, c->args->n_kw);

    if (d == NULL || !fill_dict(c, d))
        return false;
    *c->out = jinja_dict_value(d);
    return true;
}

static bool make_namespace(struct jinja_call *c)
{
    struct jinja_dict *d = jinja_dict_new(c->r, c->args->n_kw);

    if (d == NULL || !fill_dict(c, d))
        return false;
    for (size_t i = 0; i < d->n; i++) {
        const struct jinja_value key = d->entries[i].key;

        if (key.type == JINJA_STR && key.text->len > 0 && key.text->ptr[0] == '_')
            return jinja_raise(c->r,
                               "Chat templates cannot store underscore-prefixed attributes on a "
                               "namespace, but got '%.*s'. Please rename the attribute.",
                               (int)key.text->len, key.text->ptr);
    }
    *c->out = (struct jinja_value){.type = JINJA_NAMESPACE, .dict = d};
    return true;
}

static bool make_range(struct jinja_call *c)
{
    struct jinja_range *range = jinja_alloc(c->r, 1, sizeof *range);
    int64_t start, stop, step;

    if (range == NULL || !jinja_arg_int(c, 0, 0, &start) || !jinja_arg_int(c, 1, 0, &stop) ||
        !jinja_arg_int(c, 2, 1, &step))
        return false;
    if (!jinja_given(c, 1)) {
        stop = start;
        start = 0;
    }
    if (step == 0)
        return jinja_raise(c->r, "range() arg 3 must not be zero");
    uint64_t n = 0; /* in unsigned numbers, where the distance always fits */
    if (step > 0 && start < stop)
        n = ((uint64_t)stop - (uint64_t)start - 1) / (uint64_t)step + 1;
    else if (step < 0 && stop < start)
        n = ((uint64_t)start - (uint64_t)stop - 1) / (0 - (uint64_t)step) + 1;
    if (n > JINJA_MAX_RANGE)
        return jinja_limit(c->r,
                           "Range too big. The sandbox blocks ranges larger than MAX_RANGE (%d).",
                           JINJA_MAX_RANGE);
    *range = (struct jinja_range){start, stop, step, (size_t)n};
    *c->out = (struct jinja_value){.type = JINJA_RANGE, .range = range};
    return true;
}

static bool make_cycler(struct jinja_call *c)
{
    struct jinja_cycler *cycler = jinja_alloc(c->r, 1, sizeof *cycler);
    struct jinja_value *items, tuple;

    if (c->args->n_pos == 0)
        return jinja_raise(c->r, "at least one item has to be provided");
    if (cycler == NULL || !jinja_tuple(c->r, c->args->n_pos, &items, &tuple))
        return false;
    for (size_t i = 0; i < c->args->n_pos; i++)
        items[i] = c->args->pos[i];
    cycler->items = tuple.seq;
    *c->out = (struct jinja_value){.type = JINJA_CYCLER, .cycler = cycler};
    return true;
}

static bool make_joiner(struct jinja_call *c)
{
    struct jinja_cycler *joiner = jinja_alloc(c->r, 1, sizeof *joiner);

    if (joiner == NULL || (!jinja_given(c, 0) && !jinja_str_view(c->r, STR(", "), &c->a[0])))
        return false;
    joiner->sep = c->a[0];
    *c->out = (struct jinja_value){.type = JINJA_JOINER, .cycler = joiner};
    return true;
}

static const struct jinja_builtin globals[] = {
    {"raise_exception", raise_exception, "message!"},
    {"strftime_now", strftime_now, "format!"},
    {"dict", make_dict, "*"},
    {"namespace", make_namespace, "*"},
    {"range", make_range, "start! stop step"},
    {"cycler", make_cycler, "*"},
    {"joiner", make_joiner, "sep"},
    {"lipsum", NULL, "*"},
};

bool jinja_add_globals(struct jinja_render *r, struct jinja_dict *context)
{
    for (size_t i = 0; i < COUNT_OF(globals); i++) {
        const struct jinja_value f = {.type = JINJA_FUNCTION, .function = &globals[i]};
        struct jinja_value name;

        if (!jinja_str_view(r, str_of(globals[i].name), &name) ||
            !jinja_dict_set(r, context, name, f))
            return false;
    }
    return true;
}
