/*
 * tool_grammar.c - one rule: marker, a tree of the functions' names, a value, and what closes it.
 */
#include "text/tool_grammar.h"
#include "base/limits.h"
#include "base/size.h"
#include "text/json_schema.h"
#include "text/json_schema_internal.h"

#include <assert.h>
#include <string.h>

#define MOST_MARKED 160 /* states of markers that a text is looked through for */

static const char said_what[] = "response_format.json_schema.schema";

struct making {
    const struct tool_grammar_options *o;
    const struct tool_format *f;
    struct json_compiler *c;
    struct grammar_builder *b;
    uint32_t rule;
    struct arena a;
    json_t *any, *none; /* schemas: any object, {} */
};

/* From one state to another along a text of at least one byte. */
static void link_text(struct grammar_builder *b, uint32_t from, struct str text, uint32_t to)
{
    const uint32_t last = build_text(b, from, (struct str){text.ptr, text.len - 1}, 0);
    const unsigned byte = (unsigned char)text.ptr[text.len - 1];

    build_edge(b, last, byte, byte, to, 0);
}

/* ---- any text, up to and with a marker ---- */

static void byte_runs(struct grammar_builder *b, uint32_t from, const uint32_t to[256])
{
    for (unsigned lo = 0, hi; lo < 256; lo = hi + 1) {
        for (hi = lo; hi < 255 && to[hi + 1] == to[lo];)
            hi++;
        if (to[lo] != GRAMMAR_NONE)
            build_edge(b, from, lo, hi, to[lo], 0);
    }
}

/* A marker, and where it leads; GRAMMAR_NONE: it must not come. */
struct marker {
    struct str text;
    uint32_t to;
};

/* The automaton of Aho and Corasick: a tree of the markers, state 0 where none has begun, and a row of what follows each. */
struct marked {
    uint8_t next[MOST_MARKED][256];
    uint8_t back[MOST_MARKED],
        order[MOST_MARKED]; /* the longest beginning that its end is; states by length */
    const struct marker *whole[MOST_MARKED];
    size_t n;
};

static void mark_add(struct marked *t, const struct marker *m)
{
    uint8_t at = 0;

    for (size_t i = 0; i < m->text.len; i++) {
        uint8_t *next = &t->next[at][(unsigned char)m->text.ptr[i]];

        assert(t->n < MOST_MARKED);
        if (*next == 0)
            *next = (uint8_t)t->n++;
        at = *next;
    }
    t->whole[at] = m;
}

/* Rows in the order of their length: what a shorter beginning does not know is done as its own end would. */
static void mark_close(struct marked *t)
{
    size_t n = 1;

    for (size_t i = 0; i < n; i++) {
        const uint8_t at = t->order[i], back = t->back[at];

        for (size_t byte = 0; byte < 256; byte++) {
            uint8_t *next = &t->next[at][byte];
            const uint8_t other = at == 0 ? 0 : t->next[back][byte];

            if (*next == 0) {
                *next = other;
                continue;
            }
            t->back[*next] = other;
            t->order[n++] = *next;
        }
    }
}

/* Any text from a state on, up to and with one of the markers; none is within another. accepts: it may end before. */
static void build_until(struct making *m, uint32_t from, const struct marker *markers, size_t n,
                        bool accepts)
{
    struct marked tree = {.n = 1}, *t = &tree;
    uint32_t states[MOST_MARKED], edges[256];

    for (size_t i = 0; i < n; i++)
        mark_add(t, &markers[i]);
    mark_close(t);
    for (size_t k = 0; k < t->n; k++)
        states[k] = k == 0                ? from
                    : t->whole[k] != NULL ? t->whole[k]->to
                                          : build_state(m->b, m->rule);
    for (size_t k = 0; k < t->n && !m->b->full; k++) {
        if (t->whole[k] != NULL)
            continue;
        for (size_t byte = 0; byte < 256; byte++)
            edges[byte] = states[t->next[k][byte]];
        byte_runs(m->b, states[k], edges);
        if (accepts)
            build_accept(m->b, states[k]);
    }
}

/* ---- a function ---- */

static const json_t *function_at(const struct making *m, size_t i)
{
    return tool_function(json_array_get(m->o->tools, i));
}

/* What its arguments are held to, and whether that is offered; one that is strict must be. */
static bool schema_of(struct making *m, size_t i, const json_t **schema, const char **what,
                      bool *offered, struct error *err)
{
    const json_t *f = function_at(m, i), *own = json_object_get(f, "parameters");
    struct grammar *tried = NULL;

    *what = arena_printf(&m->a, "tools[%zu].function.parameters", i);
    *schema = own != NULL && !json_is_null(own) ? own : m->none;
    *offered = json_schema_grammar(*schema, *what, &tried, err);
    grammar_close(tried);
    return *offered || !json_is_true(json_object_get(f, "strict"));
}

/* Its arguments as one JSON object, from a state to another. */
static bool build_arguments(struct making *m, size_t i, uint32_t from, uint32_t to,
                            struct error *err)
{
    const json_t *schema;
    const char *what;
    bool offered;

    if (!schema_of(m, i, &schema, &what, &offered, err))
        return false;
    schema = offered ? schema : m->any;
    build_value(m->b, from, json_compiler_value(m->c, schema, what, schema, what), to);
    return true;
}

/* ---- keys and values, as XML or Python ---- */

struct parameter {
    const char *key;
    const json_t *schema;
    bool required;
    uint32_t opened, behind;
};

static bool is_required(const json_t *parameters, const char *key)
{
    const json_t *list = json_object_get(parameters, "required");

    for (size_t i = 0; i < json_array_size(list); i++)
        if (str_is(json_str(json_array_get(list, i)), key))
            return true;
    return false;
}

/* The value of a parameter that is a text, and its closing. */
static void build_text_parameter(struct making *m, const struct parameter *p)
{
    const json_t *texts = json_object_get(p->schema, "enum"),
                 *one = json_object_get(p->schema, "const");
    const size_t n = json_is_string(one) ? 1 : json_array_size(texts);

    for (size_t i = 0; i < n; i++) {
        const json_t *text = json_is_string(one) ? one : json_array_get(texts, i);

        if (json_is_string(text))
            link_text(m->b, build_text(m->b, p->opened, json_str(text), 0), STR("\n</parameter>\n"),
                      p->behind);
    }
    if (n == 0) {
        const uint32_t closed = build_state(m->b, m->rule);

        build_until(m, p->opened, &(struct marker){STR("</parameter>"), closed}, 1, false);
        build_edge(m->b, closed, '\n', '\n', p->behind, 0);
    }
}

static bool is_xml_key(const char *key)
{
    return strpbrk(key, ">\n") == NULL;
}

static bool is_identifier(const char *key)
{
    for (size_t i = 0; key[i] != '\0'; i++) {
        const char c = key[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
              (i > 0 && c >= '0' && c <= '9')))
            return false;
    }
    return key[0] != '\0';
}

/* How a format writes keys and values. */
struct parameter_form {
    const char *first, *next; /* before the first key that is written, and before each other */
    const char *after;        /* behind a key */
    struct str end, close;    /* behind a value, and behind all */
    bool bare_texts;          /* a parameter that is a text is that text, without quotes */
    bool (*is_key)(const char *key);
};
static const struct parameter_form xml_parameters = {.first = "<parameter=",
                                                     .next = "<parameter=",
                                                     .after = ">\n",
                                                     .end = {"\n</parameter>\n", 14},
                                                     .close = {"</function>", 11},
                                                     .bare_texts = true,
                                                     .is_key = is_xml_key};
static const struct parameter_form python_parameters = {
    .first = "", .next = ", ", .after = "=", .close = {")", 1}, .is_key = is_identifier};

/* Parameters in their order; those that are not required may be left out. */
static void link_parameters(struct making *m, const struct parameter_form *form,
                            const struct parameter *p, size_t n, uint32_t from, uint32_t to)
{
    for (size_t k = 0; k <= n && !m->b->full; k++) { /* k are settled */
        const uint32_t at = k == 0 ? from : p[k - 1].behind;
        const char *before = k == 0 ? form->first : form->next;
        size_t j = k;

        for (; j < n; j++) {
            link_text(m->b, at,
                      str_of(arena_printf(&m->a, "%s%s%s", before, p[j].key, form->after)),
                      p[j].opened);
            if (p[j].required)
                break;
        }
        if (j == n)
            link_text(m->b, at, form->close, to);
    }
}

static bool build_parameters(struct making *m, const struct parameter_form *form, size_t i,
                             uint32_t from, uint32_t to, struct error *err)
{
    const json_t *schema;
    const char *what, *key;
    json_t *value;
    bool offered;
    size_t n = 0;

    if (!schema_of(m, i, &schema, &what, &offered, err))
        return false;
    json_t *properties = json_object_get(schema, "properties");
    struct parameter *all = ARENA_ARRAY(&m->a, struct parameter, json_object_size(properties) + 1);
    json_object_foreach(properties, key, value)
    {
        struct parameter *p = &all[n++];
        const json_t *held = offered ? value : json_true(); /* any value */

        if (!form->is_key(key))
            return fail(err, ERR_UNSUPPORTED,
                        "%.200s: the key \"%.64s\" cannot be written by this model", what, key);
        *p = (struct parameter){.key = key,
                                .schema = value,
                                .required = is_required(schema, key),
                                .opened = build_state(m->b, m->rule),
                                .behind = build_state(m->b, m->rule)};
        if (form->bare_texts && str_is(json_str(json_object_get(value, "type")), "string")) {
            build_text_parameter(m, p);
            continue;
        }
        const uint32_t behind = form->end.len > 0 ? build_state(m->b, m->rule) : p->behind;
        build_value(m->b, p->opened,
                    json_compiler_value(m->c, offered ? schema : held, what, held,
                                        arena_printf(&m->a, "%s/properties/%s", what, key)),
                    behind);
        if (form->end.len > 0)
            link_text(m->b, behind, form->end, p->behind);
    }
    link_parameters(m, form, all, n, from, to);
    return true;
}

/* ---- calls ---- */

static struct str joined(struct making *m, struct str x, struct str y)
{
    return str_of(arena_printf(&m->a, STR_FMT STR_FMT, STR_ARG(x), STR_ARG(y)));
}

/* What opens a function, and its name. */
static struct str begin_of(struct making *m, size_t i)
{
    const struct tool_format *f = m->f;
    const struct str name = json_str(json_object_get(function_at(m, i), "name"));

    switch (f->body) {
    case TOOL_BODY_JSON:
        return str_of(arena_printf(&m->a, "{\"name\": \"" STR_FMT "\", \"%s\": ", STR_ARG(name),
                                   f->arguments));
    case TOOL_BODY_NAMED:
    case TOOL_BODY_CHANNELS:
        return joined(m, joined(m, f->lead, name), f->mid);
    case TOOL_BODY_PYTHON:
        return joined(m, name, STR("("));
    default:
        return str_of(arena_printf(&m->a, "<function=" STR_FMT ">\n", STR_ARG(name)));
    }
}

/* Any of the functions with its arguments, from a state to another. */
static bool build_functions(struct making *m, uint32_t opened, uint32_t closed, struct error *err)
{
    const struct tool_format *f = m->f;
    const struct parameter_form *form = f->body == TOOL_BODY_XML      ? &xml_parameters
                                        : f->body == TOOL_BODY_PYTHON ? &python_parameters
                                                                      : NULL; /* JSON */
    const struct str end = f->body == TOOL_BODY_JSON    ? STR("}")
                           : f->body == TOOL_BODY_NAMED ? joined(m, f->tail, f->close)
                                                        : STR("");
    const uint32_t behind = end.len > 0 ? build_state(m->b, m->rule) : closed;

    for (size_t i = 0; i < json_array_size(m->o->tools) && !m->b->full; i++) {
        const uint32_t from = build_text(m->b, opened, begin_of(m, i), 0);

        if (!(form != NULL ? build_parameters(m, form, i, from, closed, err)
                           : build_arguments(m, i, from, behind, err)))
            return false;
    }
    if (end.len > 0)
        link_text(m->b, behind, end, closed);
    return true;
}

/*
 * From behind the first marker to `done`:
 *
 *     marked --head--> opened --a function--> closed --foot--> done
 *                        ^-----------more-------+---------------/
 */
static bool build_calls(struct making *m, uint32_t marked, uint32_t done, bool more,
                        struct error *err)
{
    const struct tool_format *f = m->f;
    const bool python = f->body == TOOL_BODY_PYTHON,
               lines = !f->bare && !f->list && f->body != TOOL_BODY_NAMED;
    const struct str open = f->before.len > 0 ? f->open : STR(""),
                     head = joined(m, open,
                                   f->list ? STR("[")
                                   : lines ? STR("\n")
                                           : STR("")),
                     foot = f->body == TOOL_BODY_NAMED      ? f->after
                            : f->list && python && !f->bare ? joined(m, STR("]"), f->close)
                            : f->list                       ? STR("]")
                            : lines                         ? joined(m, STR("\n"), f->close)
                                                            : STR("");
    const uint32_t opened = build_text(m->b, marked, head, 0),
                   closed = foot.len > 0 ? build_state(m->b, m->rule) : done;

    if (!build_functions(m, opened, closed, err))
        return false;
    if (foot.len > 0)
        link_text(m->b, closed, foot, done);
    if (!m->o->many || (f->bare && !python))
        return true;
    if (f->list)
        link_text(m->b, closed, STR(", "), opened);
    else if (python) /* behind the line break the closing may come, too */
        return build_functions(m, build_text(m->b, closed, f->between, 0), closed, err);
    else if (f->before.len > 0)
        link_text(m->b, closed, joined(m, f->between, f->open), opened);
    else if (more)
        link_text(m->b, done, joined(m, joined(m, f->between, f->open), head), opened);
    return true;
}

/* Text of any kind with calls in it; behind the only one, text alone. */
static bool build_text_or_calls(struct making *m, uint32_t start, struct str marker,
                                struct error *err)
{
    const uint32_t marked = build_state(m->b, m->rule);
    uint32_t done = start, self[256];

    build_until(m, start, &(struct marker){marker, marked}, 1, true);
    if (!m->o->many) {
        done = build_state(m->b, m->rule);
        for (size_t i = 0; i < 256; i++)
            self[i] = done;
        byte_runs(m->b, done, self);
        build_accept(m->b, done);
    }
    return build_calls(m, marked, done, false, err);
}

/* ---- harmony ---- */

/*
 * What is no call: messages to the user beside which one may stand, or the answer. Of the marks that messages are made of none is
 * in them but the end of the first kind.
 *
 *     start --<|channel|>commentary<|message|>--> said --any text, <|end|><|start|>assistant--> start
 *     start --<|channel|>final<|message|>--> answered: any text, or a value of the schema
 */
static void build_messages(struct making *m, uint32_t start, uint32_t said_end)
{
    const struct tool_format *f = m->f;
    const uint32_t said = build_text(m->b, start, STR("<|channel|>commentary<|message|>"), 0),
                   behind = build_state(m->b, m->rule),
                   answered = build_text(m->b, start, STR("<|channel|>final<|message|>"), 0);
    struct marker markers[] = {
        {f->close, behind},
        {STR("<|start|>"), GRAMMAR_NONE},
        {STR("<|channel|>"), GRAMMAR_NONE},
        {STR("<|constrain|>"), GRAMMAR_NONE},
        {STR("<|message|>"), GRAMMAR_NONE},
    };

    build_until(m, said, markers, COUNT_OF(markers), false);
    link_text(m->b, behind, f->between, start);
    if (m->o->said != NULL) {
        build_value(m->b, answered,
                    json_compiler_value(m->c, m->o->said, said_what, m->o->said, said_what),
                    said_end);
        return;
    }
    markers[0].to = GRAMMAR_NONE;
    build_until(m, answered, markers, COUNT_OF(markers), true);
}

/* One call at most: the token behind it ends the turn. */
static bool build_channels(struct making *m, struct error *err)
{
    const uint32_t start = m->b->rules[m->rule].start, done = build_state(m->b, m->rule);

    build_accept(m->b, done);
    if (!m->o->required)
        build_messages(m, start, done);
    return build_functions(m, build_text(m->b, start, m->f->open, 0), done, err);
}

static bool build_answer(struct making *m, struct error *err)
{
    if (m->f->body == TOOL_BODY_CHANNELS)
        return build_channels(m, err);
    const struct str marker = m->f->before.len > 0 ? m->f->before : m->f->open;
    const uint32_t start = m->b->rules[m->rule].start;

    if (!m->o->required && m->o->said == NULL)
        return build_text_or_calls(m, start, marker, err);
    const uint32_t done = build_state(m->b, m->rule);
    build_accept(m->b, done);
    return build_calls(m, m->f->bare ? start : build_text(m->b, start, marker, 0), done, true, err);
}

bool tool_grammar(const struct tool_grammar_options *o, struct grammar **out, struct error *err)
{
    struct making m = {.o = o, .f = o->format};

    if (!o->required && o->format->bare)
        return fail(err, ERR_UNSUPPORTED,
                    "this model writes a call as an answer that is one and nothing else, so that "
                    "calls can be forced (\"tool_choice\": \"required\") and not more than that");
    if (!json_compiler_open(&m.c, err))
        return false;
    if (m.f->body == TOOL_BODY_PYTHON && (o->required || o->said == NULL))
        json_compiler_python(m.c);
    m.b = json_compiler_builder(m.c);
    m.any = json_pack("{s:s}", "type", "object");
    m.none = json_pack("{s:s, s:b}", "type", "object", "additionalProperties", 0);
    m.rule = build_rule(m.b, 0, GRAMMAR_FREE);
    const bool alone = o->required || o->said == NULL || o->format->body == TOOL_BODY_CHANNELS;
    const uint32_t root =
        alone ? build_union(m.b) : json_compiler_value(m.c, o->said, said_what, o->said, said_what);
    build_member(m.b, root, m.rule);
    const bool ok = build_answer(&m, err) && json_compiler_grammar(m.c, root, out, err);
    json_compiler_close(m.c);
    json_decref(m.any);
    json_decref(m.none);
    arena_release(&m.a);
    return ok;
}
