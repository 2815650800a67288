/*
 * json_schema.c - schemas become rules.
 *
 * What a place wants is a union of rules; it is made when the place is met and filled later, from a queue: so schemas that
 * hold themselves need no care, and depth costs no stack. Scalar rules that are equal are one, and what is alive twice is
 * then alive once.
 */
#include "text/json_schema.h"
#include "base/limits.h"
#include "base/size.h"
#include "text/json_formats.h"
#include "text/json_rules_internal.h"
#include "text/json_schema_internal.h"
#include "text/string_pattern.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>

#define LIMIT_LENGTH 1000000000 /* minLength, maxItems, ... */

enum kind {
    KIND_OBJECT = 1,
    KIND_ARRAY = 2,
    KIND_STRING = 4,
    KIND_NUMBER = 8,
    KIND_INTEGER = 16,
    KIND_BOOLEAN = 32,
    KIND_NULL = 64,
    KIND_ANY = KIND_OBJECT | KIND_ARRAY | KIND_STRING | KIND_NUMBER | KIND_BOOLEAN | KIND_NULL
};

enum role { ANNOTATION, ASSERTION, SUBSCHEMAS };

static const struct keyword {
    const char *name;
    enum role role;
    unsigned speaks_of; /* kinds */
} keywords[] = {
    {"type", ASSERTION, 0},
    {"properties", ASSERTION, KIND_OBJECT},
    {"required", ASSERTION, KIND_OBJECT},
    {"additionalProperties", ASSERTION, KIND_OBJECT},
    {"items", ASSERTION, KIND_ARRAY},
    {"prefixItems", ASSERTION, KIND_ARRAY},
    {"uniqueItems", ASSERTION, KIND_ARRAY},
    {"minItems", ASSERTION, KIND_ARRAY},
    {"maxItems", ASSERTION, KIND_ARRAY},
    {"pattern", ASSERTION, KIND_STRING},
    {"format", ASSERTION, KIND_STRING},
    {"minLength", ASSERTION, KIND_STRING},
    {"maxLength", ASSERTION, KIND_STRING},
    {"minimum", ASSERTION, KIND_NUMBER},
    {"maximum", ASSERTION, KIND_NUMBER},
    {"exclusiveMinimum", ASSERTION, KIND_NUMBER},
    {"exclusiveMaximum", ASSERTION, KIND_NUMBER},
    {"multipleOf", ASSERTION, KIND_NUMBER},
    {"enum", SUBSCHEMAS, 0},
    {"const", SUBSCHEMAS, 0},
    {"anyOf", SUBSCHEMAS, 0},
    {"allOf", SUBSCHEMAS, 0},
    {"$ref", SUBSCHEMAS, 0},
    {"title", ANNOTATION, 0},
    {"description", ANNOTATION, 0},
    {"default", ANNOTATION, 0},
    {"examples", ANNOTATION, 0},
    {"deprecated", ANNOTATION, 0},
    {"readOnly", ANNOTATION, 0},
    {"writeOnly", ANNOTATION, 0},
    {"$comment", ANNOTATION, 0},
    {"$schema", ANNOTATION, 0},
    {"$id", ANNOTATION, 0},
    {"$defs", ANNOTATION, 0},
    {"definitions", ANNOTATION, 0},
};

static const struct {
    const char *name;
    unsigned kind;
} kinds[] = {
    {"object", KIND_OBJECT}, {"array", KIND_ARRAY},     {"string", KIND_STRING},
    {"number", KIND_NUMBER}, {"integer", KIND_INTEGER}, {"boolean", KIND_BOOLEAN},
    {"null", KIND_NULL},
};

/* What was made of a schema, by its node in the tree. */
struct known {
    const json_t *schema;
    uint32_t of, object, array; /* a union, rules; plus one, 0: not yet */
    uint32_t seen;              /* the last union that took it in, plus one */
};

struct pending {
    const json_t *schema, *document; /* it, and what it is part of */
    const char *path, *what;
    struct pending *next;
};

struct named_rule { /* a scalar rule by what it is */
    struct str name;
    uint32_t rule;
    struct named_rule *next;
};

struct json_compiler {
    const json_t *document;
    const char *what;
    struct grammar_builder b;
    struct arena arena;
    struct known *known; /* open addressing, a power of two */
    size_t n_known, cap_known;
    struct pending *first, **last;
    struct named_rule *named[256];
    /* of the union that is being filled */
    uint32_t filling;
    uint32_t members[GRAMMAR_ALIKE];
    size_t n_members;
    struct buf texts;         /* its constants, one a line */
    struct buf set_texts;     /* of an array whose items differ */
    struct arena texts_arena; /* automata, until their rule is made */
    struct error *err;
};

/* ---- tables ---- */

static struct known *known_slot(struct known *table, size_t cap, const json_t *schema)
{
    size_t at = ((uintptr_t)schema >> 4) * 0x9E3779B97F4A7C15u >> 20;

    for (;; at++) {
        struct known *k = &table[at & (cap - 1)];

        if (k->schema == NULL || k->schema == schema)
            return k;
    }
}

/* Valid until the next call. */
static struct known *known_of(struct json_compiler *c, const json_t *schema)
{
    if (2 * c->n_known >= c->cap_known) {
        const size_t cap = size_max(64, 2 * c->cap_known);
        struct known *grown = ARENA_ARRAY(&c->arena, struct known, cap);

        for (size_t i = 0; i < c->cap_known; i++)
            if (c->known[i].schema != NULL)
                *known_slot(grown, cap, c->known[i].schema) = c->known[i];
        c->known = grown;
        c->cap_known = cap;
    }
    struct known *k = known_slot(c->known, c->cap_known, schema);
    if (k->schema == NULL) {
        k->schema = schema;
        c->n_known++;
    }
    return k;
}

static struct named_rule *named_rule(struct json_compiler *c, struct str name, bool *is_new)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < name.len; i++)
        h = (h ^ (unsigned char)name.ptr[i]) * 16777619u;
    struct named_rule **head = &c->named[h >> 24];
    for (struct named_rule *r = *head; r != NULL; r = r->next) {
        if (str_eq(r->name, name)) {
            *is_new = false;
            return r;
        }
    }
    struct named_rule *r = ARENA_NEW(&c->arena, struct named_rule);
    *r = (struct named_rule){.name = arena_str(&c->arena, name), .next = *head};
    *is_new = true;
    return *head = r;
}

/* ---- errors ---- */

static bool refuse(struct json_compiler *c, enum error_kind kind, const char *path, const char *why)
{
    return fail(c->err, kind, "%.300s: %s", path, why);
}

/* A count may be written as 2.0, too. */
static bool count_at(struct json_compiler *c, const json_t *schema, const char *path,
                     const char *key, uint32_t missing, uint32_t *out)
{
    const json_t *v = json_object_get(schema, key);
    const double x = json_number_value(v);

    *out = missing;
    if (v == NULL)
        return true;
    if (!json_is_number(v) || !(x >= 0 && x <= LIMIT_LENGTH) || x != floor(x))
        return fail(c->err, ERR_INVALID, "%.300s: \"%s\" must be a whole number, 0 to %d", path,
                    key, LIMIT_LENGTH);
    *out = (uint32_t)x;
    return true;
}

static bool counts_at(struct json_compiler *c, const json_t *schema, const char *path,
                      const char *min_key, const char *max_key, uint32_t *min, uint32_t *max)
{
    if (!count_at(c, schema, path, min_key, 0, min) ||
        !count_at(c, schema, path, max_key, GRAMMAR_FREE, max))
        return false;
    return *min <= *max ||
           fail(c->err, ERR_INVALID, "%.300s: \"%s\" is more than \"%s\"", path, min_key, max_key);
}

/* ---- what a union is made of ---- */

static uint32_t value_of(struct json_compiler *c, const json_t *schema, const char *path)
{
    struct known *k = known_of(c, schema);

    if (k->of == 0) {
        struct pending *p = ARENA_NEW(&c->arena, struct pending);

        *p = (struct pending){
            .schema = schema, .document = c->document, .path = path, .what = c->what};
        *c->last = p;
        c->last = &p->next;
        k->of = build_union(&c->b) + 1;
    }
    return k->of - 1;
}

static bool put_member(struct json_compiler *c, uint32_t rule, const char *path)
{
    for (size_t i = 0; i < c->n_members; i++)
        if (c->members[i] == rule)
            return true;
    if (c->n_members == GRAMMAR_ALIKE)
        return fail(c->err, ERR_LIMIT, "%.300s: more than %d alternatives in one place", path,
                    GRAMMAR_ALIKE);
    c->members[c->n_members++] = rule;
    build_member(&c->b, c->filling, rule);
    return true;
}

/* ---- a schema's kinds ---- */

static bool check_required(struct json_compiler *c, const json_t *properties,
                           const json_t *required, const char *path)
{
    json_t *name;
    size_t i;

    json_array_foreach(required, i, name)
    {
        if (!json_is_string(name))
            return refuse(c, ERR_INVALID, path, "\"required\" holds something that is no text");
        if (json_object_getn(properties, json_string_value(name), json_string_length(name)) == NULL)
            return fail(c->err, ERR_UNSUPPORTED,
                        "%.300s: \"required\" names \"%.64s\", which is not among \"properties\"",
                        path, json_string_value(name));
    }
    return true;
}

static bool read_object(struct json_compiler *c, const json_t *schema, const char *path,
                        uint32_t *rule)
{
    const json_t *properties = json_object_get(schema, "properties"),
                 *required = json_object_get(schema, "required"),
                 *more = json_object_get(schema, "additionalProperties");
    const size_t n = json_object_size(properties);
    const char *key;
    json_t *value, *name, *wanted = NULL;
    size_t i;

    if (properties != NULL && !json_is_object(properties))
        return refuse(c, ERR_INVALID, path, "\"properties\" is no object");
    if (required != NULL && !json_is_array(required))
        return refuse(c, ERR_INVALID, path, "\"required\" is no list");
    if (more != NULL && !json_is_boolean(more) && !json_is_object(more))
        return refuse(c, ERR_INVALID, path,
                      "\"additionalProperties\" is neither a schema nor true or false");
    if (!check_required(c, properties, required, path))
        return false;
    if (n == 0 && !json_is_false(more)) {
        *rule = json_map_rule(&c->b,
                              value_of(c, more != NULL ? more : json_true(),
                                       arena_printf(&c->arena, "%s/additionalProperties", path)));
        return true;
    }
    struct json_property *p = ARENA_ARRAY(&c->arena, struct json_property, n + 1);
    uint32_t *values = ARENA_ARRAY(&c->arena, uint32_t, n + 1);
    struct buf text;
    wanted = json_object();
    json_array_foreach(required, i, name)
    {
        json_object_set_new(wanted, json_string_value(name), json_true());
    }
    i = 0;
    buf_init(&text, LIMIT_JSON_BYTES);
    json_object_foreach((json_t *)(uintptr_t)properties, key, value)
    {
        buf_clear(&text);
        json_write_string(&text, str_of(key), false);
        buf_char(&text, ':');
        p[i].text = arena_str(&c->arena, buf_view(&text));
        p[i].required = json_object_get(wanted, key) != NULL;
        values[i++] = value_of(c, value, arena_printf(&c->arena, "%s/properties/%s", path, key));
    }
    buf_release(&text);
    json_decref(wanted);
    *rule = json_object_rule(&c->b, p, values, n);
    return true;
}

static bool take_object(struct json_compiler *c, const json_t *schema, const char *path)
{
    uint32_t rule = 0;

    if (known_of(c, schema)->object == 0) {
        if (!read_object(c, schema, path, &rule))
            return false;
        known_of(c, schema)->object = rule + 1;
    }
    return put_member(c, known_of(c, schema)->object - 1, path);
}

static bool kind_named(struct json_compiler *c, const json_t *name, const char *path, unsigned *all)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (str_is(json_str(name), kinds[i].name)) {
            *all |= kinds[i].kind;
            return true;
        }
    }
    return refuse(
        c, ERR_INVALID, path,
        "\"type\" must be object, array, string, number, integer, boolean, null or a list of these");
}

/* The kinds that "type" names, or 0 where it is missing. */
static bool kinds_at(struct json_compiler *c, const json_t *schema, const char *path, unsigned *all)
{
    const json_t *type = json_object_get(schema, "type");

    *all = 0;
    if (type == NULL)
        return true;
    if (!json_is_array(type) || json_array_size(type) == 0)
        return kind_named(c, type, path, all);
    for (size_t i = 0; i < json_array_size(type); i++)
        if (!kind_named(c, json_array_get(type, i), path, all))
            return false;
    return true;
}

static unsigned kind_of(const json_t *v)
{
    switch (json_typeof(v)) {
    case JSON_STRING:
        return KIND_STRING;
    case JSON_INTEGER:
        return KIND_NUMBER | KIND_INTEGER;
    case JSON_REAL: /* 1.0 is an integer, too */
        return json_real_value(v) == floor(json_real_value(v)) ? KIND_NUMBER | KIND_INTEGER
                                                               : KIND_NUMBER;
    case JSON_TRUE:
    case JSON_FALSE:
        return KIND_BOOLEAN;
    case JSON_NULL:
        return KIND_NULL;
    default:
        return 0;
    }
}

#define MOST_CONSTANTS 32 /* of a set */

static const json_t *referred(struct json_compiler *c, const json_t *schema);
static bool check_keywords(struct json_compiler *c, const json_t *schema, const char *path,
                           const char **whole, unsigned *speaks_of);

/* Whether two constants are the same value: 1 and 1.0 are. */
static bool is_same_value(const json_t *x, const json_t *y)
{
    return json_equal(x, y) ||
           (json_is_number(x) && json_is_number(y) && json_number_value(x) == json_number_value(y));
}

/* Arrays in which each of an enum's values comes once. */
static bool read_set(struct json_compiler *c, const json_t *items, const char *path, uint32_t min,
                     uint32_t max, uint32_t *rule)
{
    const json_t *list = json_object_get(items, "enum"), *v;
    struct buf *const texts = &c->set_texts;
    struct str text[MOST_CONSTANTS];
    const json_t *value[MOST_CONSTANTS];
    uint32_t bit[MOST_CONSTANTS], n = 0, n_bits = 0;
    unsigned all;

    if (!kinds_at(c, items, path, &all))
        return false;
    buf_clear(texts);
    for (size_t i = 0; i < json_array_size(list); i++) {
        v = json_array_get(list, i);
        if (kind_of(v) == 0 || (all != 0 && (all & kind_of(v)) == 0))
            continue;
        if (n == MOST_CONSTANTS)
            return refuse(c, ERR_LIMIT, path,
                          "\"uniqueItems\" is offered for an enum of up to 32 values");
        uint32_t same = 0;
        while (same < n && !is_same_value(value[same], v))
            same++;
        bit[n] = same < n ? bit[same] : (uint32_t)1 << n_bits++;
        value[n] = v;
        text[n++].len = texts->len;
        json_write(texts, v, NULL);
    }
    for (uint32_t i = 0; i < n; i++) {
        const size_t from = text[i].len, to = i + 1 < n ? text[i + 1].len : texts->len;

        text[i] = (struct str){texts->ptr + from, to - from};
    }
    if (min > n_bits)
        return refuse(c, ERR_INVALID, path, "\"minItems\" is more than there are different values");
    *rule = json_set_rule(&c->b, text, bit, n, min, max);
    return true;
}

static bool unique_at(struct json_compiler *c, const json_t *schema, const char *path, uint32_t max,
                      bool *unique)
{
    const json_t *v = json_object_get(schema, "uniqueItems");

    if (v != NULL && !json_is_boolean(v))
        return refuse(c, ERR_INVALID, path, "\"uniqueItems\" is neither true nor false");
    *unique = json_is_true(v) && max > 1;
    return true;
}

static bool read_unique(struct json_compiler *c, const json_t *schema, const char *path,
                        uint32_t min, uint32_t max, uint32_t *rule)
{
    const json_t *items = referred(c, json_object_get(schema, "items"));
    const char *whole, *at = arena_printf(&c->arena, "%s/items", path);
    unsigned speaks_of;

    if (!json_is_object(items) || json_object_get(items, "enum") == NULL ||
        json_object_get(schema, "prefixItems") != NULL)
        return refuse(
            c, ERR_UNSUPPORTED, path,
            "\"uniqueItems\" is offered where \"items\" is an enum; of other values a grammar "
            "cannot tell whether they came before");
    if (!check_keywords(c, items, at, &whole, &speaks_of))
        return false;
    buf_clear(&c->set_texts);
    return read_set(c, items, at, min, max, rule);
}

static bool read_array(struct json_compiler *c, const json_t *schema, const char *path,
                       uint32_t *rule)
{
    const json_t *items = json_object_get(schema, "items"),
                 *prefix = json_object_get(schema, "prefixItems");
    const size_t n = json_array_size(prefix);
    uint32_t min, max;
    bool unique = false;

    if (items != NULL && !json_is_object(items) && !json_is_boolean(items))
        return refuse(c, ERR_UNSUPPORTED, path,
                      "\"items\" is no schema; one for all items is offered");
    if (prefix != NULL && n == 0)
        return refuse(c, ERR_INVALID, path, "\"prefixItems\" is no list of at least one schema");
    if (!counts_at(c, schema, path, "minItems", "maxItems", &min, &max) ||
        !unique_at(c, schema, path, max, &unique))
        return false;
    if (unique)
        return read_unique(c, schema, path, min, max, rule);
    const uint32_t of =
        value_of(c, items != NULL ? items : json_true(), arena_printf(&c->arena, "%s/items", path));
    uint32_t *first = ARENA_ARRAY(&c->arena, uint32_t, n + 1);
    for (size_t i = 0; i < n; i++)
        first[i] = value_of(c, json_array_get(prefix, i),
                            arena_printf(&c->arena, "%s/prefixItems/%zu", path, i));
    *rule = n == 0 ? json_array_rule(&c->b, of, min, max)
                   : json_tuple_rule(&c->b, first, (uint32_t)n, of, min, max);
    return true;
}

static bool take_array(struct json_compiler *c, const json_t *schema, const char *path)
{
    uint32_t rule = 0;

    if (known_of(c, schema)->array == 0) {
        if (!read_array(c, schema, path, &rule))
            return false;
        known_of(c, schema)->array = rule + 1;
    }
    return put_member(c, known_of(c, schema)->array - 1, path);
}

/* Narrows x, which has some texts once *some is set, to those that a pattern or a format has, too. */
static bool narrow(struct json_compiler *c, const struct automaton *by, bool *some,
                   struct automaton *x, struct error *err)
{
    if (*some)
        return automaton_join(&c->texts_arena, x, by, AUTOMATON_AND, 0, x, err);
    *x = *by;
    *some = true;
    return true;
}

static bool narrow_by_pattern(struct json_compiler *c, const json_t *pattern, const char *path,
                              bool *some, struct automaton *x)
{
    struct automaton one;
    struct error e = {0};

    if (!json_is_string(pattern))
        return fail(c->err, ERR_INVALID, "%.300s: \"pattern\" is %s, a text was expected", path,
                    json_kind(pattern));
    return (string_pattern(&c->texts_arena, json_str(pattern), &one, &e) &&
            narrow(c, &one, some, x, &e)) ||
           fail(c->err, e.kind, "%.240s: \"pattern\": %s", path, e.message);
}

static bool narrow_by_format(struct json_compiler *c, const json_t *format, const char *path,
                             bool *some, struct automaton *x, uint32_t *max)
{
    uint32_t longest;
    struct automaton one;
    struct error e = {0};

    if (!json_is_string(format))
        return fail(c->err, ERR_INVALID, "%.300s: \"format\" is %s, a text was expected", path,
                    json_kind(format));
    if (!json_format_texts(&c->texts_arena, json_str(format), &one, &longest, &e) ||
        !narrow(c, &one, some, x, &e))
        return fail(c->err, e.kind, "%.240s: \"format\": %s", path, e.message);
    *max = longest < *max ? longest : *max;
    return true;
}

/* What the pattern and the format of a schema leave; some: it has any. In c->texts_arena; max becomes that of a format. */
static bool texts_at(struct json_compiler *c, const json_t *schema, const char *path, bool *some,
                     struct automaton *x, uint32_t *max)
{
    const json_t *pattern = json_object_get(schema, "pattern"),
                 *format = json_object_get(schema, "format");

    *some = false;
    return (pattern == NULL || narrow_by_pattern(c, pattern, path, some, x)) &&
           (format == NULL || narrow_by_format(c, format, path, some, x, max));
}

/* Lengths are counted beside the automaton; where not every number between two can be had, the least is counted in it. */
static bool texts_rule(struct json_compiler *c, const json_t *schema, const char *path,
                       uint32_t min, uint32_t max, uint32_t *rule)
{
    struct automaton x, lengths;
    struct error e = {0};
    bool some, even = true;

    if (!texts_at(c, schema, path, &some, &x, &max))
        return false;
    if (!some) {
        *rule = json_string_rule(&c->b, min, max);
        return true;
    }
    if (min <= automaton_shortest(&x)) /* or there is none */
        min = 0;
    bool ok = min == 0 || max == GRAMMAR_FREE || automaton_lengths_are_even(&x, max, &even, &e);
    if (ok && !even) {
        ok = automaton_lengths(&c->texts_arena, min, AUTOMATON_FREE, &lengths, &e) &&
             automaton_join(&c->texts_arena, &x, &lengths, AUTOMATON_AND, 0, &x, &e);
        min = 0; /* a most alone can always be counted beside it */
    }
    if (!ok)
        return fail(c->err, e.kind, "%.240s: \"minLength\" beside a pattern or format: %s", path,
                    e.message);
    *rule = json_texts_rule(&c->b, &x, min, max);
    return true;
}

static bool take_string(struct json_compiler *c, const json_t *schema, const char *path)
{
    uint32_t min, max;
    struct buf name;
    bool is_new;

    if (!counts_at(c, schema, path, "minLength", "maxLength", &min, &max))
        return false;
    buf_init(&name, LIMIT_JSON_BYTES);
    buf_printf(&name, "string %" PRIu32 " %" PRIu32, min, max);
    for (int i = 0; i < 2; i++) {
        const json_t *v = json_object_get(schema, i == 0 ? "pattern" : "format");

        buf_char(&name, ' ');
        if (v != NULL)
            json_write(&name, v, NULL);
    }
    struct named_rule *r = named_rule(c, buf_view(&name), &is_new);
    buf_release(&name);
    const bool ok = !is_new || texts_rule(c, schema, path, min, max, &r->rule);
    arena_reset(&c->texts_arena);
    return ok && put_member(c, r->rule, path);
}

/* The narrower of "minimum" and "exclusiveMinimum", or the other two. */
static bool bound_at(struct json_compiler *c, const json_t *schema, const char *path,
                     const char *const keys[2], int sign, struct json_bound *out)
{
    double best = 0;

    *out = (struct json_bound){0};
    for (int excluded = 0; excluded < 2; excluded++) {
        const json_t *v = json_object_get(schema, keys[excluded]);
        struct json_bound b;

        if (v == NULL)
            continue;
        if (!json_is_number(v))
            return fail(c->err, ERR_INVALID, "%.300s: \"%s\" is %s, a number was expected", path,
                        keys[excluded], json_kind(v));
        if (!json_bound_of(v, excluded == 1, &b))
            return fail(
                c->err, ERR_UNSUPPORTED,
                "%.300s: \"%s\" has more digits than are offered: %d before the point, %d behind it",
                path, keys[excluded], JSON_DIGITS, JSON_FRACTION);
        if (!out->given || sign * (json_number_value(v) - best) >= 0) {
            *out = b;
            best = json_number_value(v);
        }
    }
    return true;
}

/* Whether x is nearer to 0 than y. */
static bool is_smaller(const struct json_bound *x, const struct json_bound *y)
{
    return x->whole != y->whole ? x->whole < y->whole
                                : memcmp(x->digits, y->digits, sizeof x->digits) < 0;
}

/* Bounds that leave no number more digits than a multiple may have. */
static void narrow_bounds(const struct json_multiple *m, struct json_bound *least,
                          struct json_bound *most)
{
    const struct json_bound low = json_multiple_bound(m, true),
                            high = json_multiple_bound(m, false);

    if (!least->given || (least->negative && is_smaller(&low, least)))
        *least = low;
    if (!most->given || (!most->negative && is_smaller(&high, most)))
        *most = high;
}

static bool multiple_at(struct json_compiler *c, const json_t *schema, const char *path,
                        struct json_multiple *out)
{
    const json_t *v = json_object_get(schema, "multipleOf");

    *out = (struct json_multiple){0};
    if (v == NULL)
        return true;
    if (!json_is_number(v) || json_number_value(v) <= 0)
        return fail(c->err, ERR_INVALID, "%.300s: \"multipleOf\" must be a number above 0", path);
    return json_multiple_of(v, out) ||
           fail(c->err, ERR_UNSUPPORTED,
                "%.300s: \"multipleOf\" has more digits than are offered: up to 40000 without its "
                "point, and up to %d behind it",
                path, JSON_MULTIPLE_DECIMALS);
}

static bool number_rule(struct json_compiler *c, const char *path, bool whole,
                        struct json_bound least, struct json_bound most,
                        const struct json_multiple *m, uint32_t *rule)
{
    if (m->unit == 0) {
        *rule = json_number_rule(&c->b, whole, &least, &most);
        return true;
    }
    if (!whole)
        narrow_bounds(m, &least, &most);
    return json_multiples_rule(&c->b, json_number_rule(&c->b, whole, &least, &most), m, rule) ||
           refuse(c, ERR_LIMIT, path, "\"multipleOf\" takes more states than are offered, 40000");
}

static bool take_number(struct json_compiler *c, const json_t *schema, const char *path, bool whole)
{
    static const char *const least_keys[] = {"minimum", "exclusiveMinimum"},
                             *const most_keys[] = {"maximum", "exclusiveMaximum"};
    struct json_bound least, most;
    struct json_multiple m;
    struct buf name;
    bool is_new;

    if (!bound_at(c, schema, path, least_keys, 1, &least) ||
        !bound_at(c, schema, path, most_keys, -1, &most) || !multiple_at(c, schema, path, &m))
        return false;
    buf_init(&name, 256);
    buf_printf(&name, "number %d %" PRIu32 " %" PRIu32, whole, m.unit, m.decimals);
    for (int i = 0; i < 2; i++) {
        const struct json_bound *x = i == 0 ? &least : &most;

        if (x->given)
            buf_printf(&name, " %d %d%d %" PRId64 ".%.*s", i, x->negative, x->excluded, x->whole,
                       JSON_FRACTION, x->digits);
    }
    struct named_rule *r = named_rule(c, buf_view(&name), &is_new);
    buf_release(&name);
    return (!is_new || number_rule(c, path, whole, least, most, &m, &r->rule)) &&
           put_member(c, r->rule, path);
}

static void take_text(struct json_compiler *c, const char *text)
{
    buf_text(&c->texts, text);
    buf_char(&c->texts, '\n');
}

static bool take_kinds(struct json_compiler *c, const json_t *schema, const char *path,
                       unsigned all)
{
    if ((all & KIND_NULL) != 0)
        take_text(c, "null");
    if ((all & KIND_BOOLEAN) != 0) {
        take_text(c, "true");
        take_text(c, "false");
    }
    return ((all & KIND_STRING) == 0 || take_string(c, schema, path)) &&
           ((all & KIND_NUMBER) == 0 || take_number(c, schema, path, false)) &&
           ((all & KIND_INTEGER) == 0 || (all & KIND_NUMBER) != 0 ||
            take_number(c, schema, path, true)) &&
           ((all & KIND_ARRAY) == 0 || take_array(c, schema, path)) &&
           ((all & KIND_OBJECT) == 0 || take_object(c, schema, path));
}

/* ---- a schema ---- */

static const struct keyword *keyword_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(keywords); i++)
        if (strcmp(keywords[i].name, name) == 0)
            return &keywords[i];
    return NULL;
}

static bool take_constant(struct json_compiler *c, const json_t *v, const char *path, unsigned all)
{
    if (kind_of(v) == 0)
        return fail(
            c->err, ERR_UNSUPPORTED,
            "%.300s: %s as a constant is not offered; texts, numbers, true, false and null are",
            path, json_kind(v));
    if (all != 0 && (all & kind_of(v)) == 0)
        return true; /* "type" leaves it out */
    json_write(&c->texts, v, NULL);
    buf_char(&c->texts, '\n');
    return true;
}

static bool collect(struct json_compiler *c, const json_t *schema, const char *path,
                    unsigned depth);

static bool collect_list(struct json_compiler *c, const json_t *list, const char *key,
                         const char *path, unsigned depth)
{
    if (!json_is_array(list) || json_array_size(list) == 0)
        return fail(c->err, ERR_INVALID, "%.300s: \"%s\" is no list of at least one schema", path,
                    key);
    if (strcmp(key, "allOf") == 0 && json_array_size(list) > 1)
        return refuse(c, ERR_UNSUPPORTED, path, "\"allOf\" of more than one schema is not offered");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!collect(c, json_array_get(list, i), arena_printf(&c->arena, "%s/%s/%zu", path, key, i),
                     depth + 1))
            return false;
    return true;
}

/* Whether "#/..." within a schema names something else than it does in the document. */
static bool has_own_base(const struct json_compiler *c, const json_t *schema)
{
    return schema != c->document && json_is_string(json_object_get(schema, "$id"));
}

/* One name of a JSON pointer, from its byte *i on; false: it is longer than any that is offered. */
static bool pointer_name(struct str pointer, size_t *i, char *name, size_t size, size_t *n)
{
    for (*n = 0; *i < pointer.len && pointer.ptr[*i] != '/' && *n + 1 < size; ++*i) {
        char ch = pointer.ptr[*i];

        if (ch == '~' && *i + 1 < pointer.len && pointer.ptr[*i + 1] <= '1' &&
            pointer.ptr[*i + 1] >= '0')
            ch = pointer.ptr[++*i] == '0' ? '~' : '/';
        name[(*n)++] = ch;
    }
    name[*n] = '\0';
    return *i == pointer.len || pointer.ptr[*i] == '/';
}

/* What a JSON pointer (RFC 6901) names in the document; *rebased: it leads into what has an "$id" of its own. */
static const json_t *resolve(const struct json_compiler *c, struct str pointer, bool *rebased)
{
    const json_t *at = c->document;
    char name[512];
    size_t n;

    *rebased = false;
    if (pointer.len == 0 || pointer.ptr[0] != '#')
        return NULL;
    for (size_t i = 1; i < pointer.len && at != NULL;) {
        if (pointer.ptr[i++] != '/' || !pointer_name(pointer, &i, name, sizeof name, &n))
            return NULL;
        if (json_is_array(at)) {
            char *end;
            const unsigned long index = strtoul(name, &end, 10);

            at = n > 0 && *end == '\0' && name[0] != '-' ? json_array_get(at, index) : NULL;
        } else {
            at = json_object_getn(at, name, n);
        }
        *rebased = *rebased || has_own_base(c, at);
    }
    return at;
}

static bool collect_ref(struct json_compiler *c, const json_t *ref, const char *path,
                        unsigned depth)
{
    bool rebased;
    const json_t *to = resolve(c, arena_percent_decoded(&c->arena, json_str(ref)), &rebased);

    if (to == NULL)
        return fail(c->err, json_is_string(ref) ? ERR_UNSUPPORTED : ERR_INVALID,
                    "%.300s: \"$ref\" is \"%.64s\", and names nothing in this schema", path,
                    json_is_string(ref) ? json_string_value(ref) : json_kind(ref));
    if (rebased)
        return fail(
            c->err, ERR_UNSUPPORTED,
            "%.300s: \"$ref\" is \"%.64s\", which leads into a schema with an \"$id\"; one is "
            "offered at the top alone",
            path, json_string_value(ref));
    return collect(c, to, arena_printf(&c->arena, "%s%s", c->what, json_string_value(ref) + 1),
                   depth + 1);
}

/* The schema that a chain of plain references leads to; schema itself where there is none, or none that is offered. */
static const json_t *referred(struct json_compiler *c, const json_t *schema)
{
    const json_t *at = schema;

    for (int i = 0; i < GRAMMAR_DEPTH && json_is_string(json_object_get(at, "$ref")); i++) {
        bool rebased;
        const json_t *to = resolve(
            c, arena_percent_decoded(&c->arena, json_str(json_object_get(at, "$ref"))), &rebased);

        if (to == NULL || rebased || json_object_size(at) != 1)
            return at;
        at = to;
    }
    return at;
}

static bool collect_constants(struct json_compiler *c, const json_t *schema, const char *path)
{
    const json_t *one = json_object_get(schema, "const"), *list = json_object_get(schema, "enum");
    const size_t before = c->texts.len;
    unsigned all;

    if (!kinds_at(c, schema, path, &all))
        return false;
    if (one != NULL && !take_constant(c, one, path, all))
        return false;
    if (list != NULL && (!json_is_array(list) || json_array_size(list) == 0))
        return refuse(c, ERR_INVALID, path, "\"enum\" is no list of at least one value");
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!take_constant(c, json_array_get(list, i), path, all))
            return false;
    return c->texts.len > before ||
           refuse(c, ERR_INVALID, path, "no constant is of the type that \"type\" names");
}

/* Each keyword is known, and those that stand for a whole schema stand alone. */
static bool check_keywords(struct json_compiler *c, const json_t *schema, const char *path,
                           const char **whole, unsigned *speaks_of)
{
    const char *key, *other = NULL;
    json_t *value;

    *whole = NULL;
    *speaks_of = 0;
    json_object_foreach((json_t *)(uintptr_t)schema, key, value)
    {
        const struct keyword *k = keyword_of(key);

        if (k == NULL && strncmp(key, "x-", 2) == 0)
            continue;
        if (k == NULL)
            return fail(c->err, ERR_UNSUPPORTED, "%.300s: \"%.64s\" is not offered in a schema",
                        path, key);
        if (k->role == SUBSCHEMAS && *whole == NULL)
            *whole = key;
        else if (k->role != ANNOTATION && strcmp(key, "type") != 0)
            other = key;
        if (k->role == ASSERTION)
            *speaks_of |= k->speaks_of;
    }
    const bool constants =
        *whole != NULL && (strcmp(*whole, "enum") == 0 || strcmp(*whole, "const") == 0);
    if (*whole != NULL && other == NULL && !constants && json_object_get(schema, "type") != NULL)
        other = "type";
    if (*whole != NULL && other != NULL)
        return fail(c->err, ERR_UNSUPPORTED, "%.300s: \"%s\" beside \"%s\" is not offered", path,
                    other, *whole);
    return true;
}

/* Puts what a schema allows into the union that is being filled. */
static bool collect(struct json_compiler *c, const json_t *schema, const char *path, unsigned depth)
{
    const char *whole;
    unsigned all, speaks_of;

    if (known_of(c, schema)->seen == c->filling + 1)
        return true; /* it is in already: an alternative twice, or one that names itself */
    known_of(c, schema)->seen = c->filling + 1;
    if (json_is_true(schema))
        return take_kinds(c, schema, path, KIND_ANY);
    if (json_is_false(schema))
        return true;
    if (!json_is_object(schema))
        return fail(c->err, ERR_INVALID, "%.300s is %s, a schema was expected", path,
                    json_kind(schema));
    if (depth > GRAMMAR_DEPTH)
        return refuse(c, ERR_LIMIT, path, "too many anyOf, allOf and $ref lead to each other");
    if (has_own_base(c, schema))
        return refuse(c, ERR_UNSUPPORTED, path, "\"$id\" is offered at the top of a schema alone");
    if (!check_keywords(c, schema, path, &whole, &speaks_of))
        return false;
    if (whole != NULL && strcmp(whole, "$ref") == 0)
        return collect_ref(c, json_object_get(schema, whole), path, depth);
    if (whole != NULL && (strcmp(whole, "anyOf") == 0 || strcmp(whole, "allOf") == 0))
        return collect_list(c, json_object_get(schema, whole), whole, path, depth);
    if (whole != NULL)
        return collect_constants(c, schema, path);
    if (!kinds_at(c, schema, path, &all))
        return false;
    return take_kinds(c, schema, path, all != 0 ? all : speaks_of != 0 ? speaks_of : KIND_ANY);
}

/* The constants of one union are one rule: a tree of their texts. */
static bool take_constants_in(struct json_compiler *c, const char *path)
{
    const struct str texts = buf_view(&c->texts);
    bool is_new;

    if (texts.len == 0)
        return true;
    struct named_rule *r = named_rule(c, texts, &is_new);
    if (is_new) {
        r->rule = build_rule(&c->b, 0, GRAMMAR_FREE);
        for (size_t at = 0; at < texts.len && !c->b.full;) {
            const size_t end = str_find(texts, STR("\n"), at);

            build_accept(&c->b, build_text(&c->b, c->b.rules[r->rule].start,
                                           (struct str){texts.ptr + at, end - at}));
            at = end + 1;
        }
    }
    return put_member(c, r->rule, path);
}

static bool fill(struct json_compiler *c, const struct pending *p)
{
    c->document = p->document;
    c->what = p->what;
    c->filling = known_of(c, p->schema)->of - 1;
    c->n_members = 0;
    buf_clear(&c->texts);
    return collect(c, p->schema, p->path, 0) && buf_ok(&c->texts, "a schema's constants", c->err) &&
           take_constants_in(c, p->path);
}

bool json_compiler_open(struct json_compiler **out, struct error *err)
{
    struct json_compiler *c = calloc(1, sizeof *c);

    if (c == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a schema");
    c->last = &c->first;
    grammar_builder_init(&c->b);
    buf_init(&c->texts, (size_t)16 << 20);
    buf_init(&c->set_texts, (size_t)16 << 20);
    *out = c;
    return true;
}

void json_compiler_close(struct json_compiler *c)
{
    if (c == NULL)
        return;
    buf_release(&c->texts);
    buf_release(&c->set_texts);
    grammar_builder_release(&c->b);
    arena_release(&c->texts_arena);
    arena_release(&c->arena);
    free(c);
}

struct grammar_builder *json_compiler_builder(struct json_compiler *c)
{
    return &c->b;
}

uint32_t json_compiler_value(struct json_compiler *c, const json_t *document, const char *what,
                             const json_t *schema, const char *path)
{
    c->document = document;
    c->what = what;
    return value_of(c, schema, path);
}

static bool fill_all(struct json_compiler *c, struct error *err)
{
    c->err = err;
    for (const struct pending *p = c->first; p != NULL && !c->b.full; p = p->next)
        if (!fill(c, p))
            return false;
    return true;
}

bool json_compiler_grammar(struct json_compiler *c, uint32_t root, struct grammar **out,
                           struct error *err)
{
    return fill_all(c, err) && build_grammar(&c->b, root, out, err);
}

bool json_schema_grammar(const json_t *schema, const char *what, struct grammar **out,
                         struct error *err)
{
    struct json_compiler *c = NULL;

    if (!json_is_object(schema) && !json_is_boolean(schema))
        return fail(err, ERR_INVALID, "%s is %s, a schema was expected", what, json_kind(schema));
    if (!json_compiler_open(&c, err))
        return false;
    const uint32_t root = json_compiler_value(c, schema, what, schema, what);
    const bool ok = fill_all(c, err) &&
                    (build_grammar(&c->b, root, out, err) || fail_while(err, "reading %s", what));
    json_compiler_close(c);
    return ok;
}

bool json_object_grammar(struct grammar **out, struct error *err)
{
    json_t *schema = json_pack("{s:s}", "type", "object");
    const bool ok = json_schema_grammar(schema, "any object", out, err);

    json_decref(schema);
    return ok;
}
