/*
 * json_kinds.c - rules of a schema's types: objects, arrays, strings and numbers, each with the keywords that speak of it.
 */
#include "base/limits.h"
#include "base/size.h"
#include "text/json_compiler_internal.h"
#include "text/json_formats.h"
#include "text/string_pattern.h"

#include <inttypes.h>
#include <math.h>

#define LIMIT_LENGTH 1000000000 /* minLength, maxItems, ... */

static const struct {
    const char *name;
    unsigned kind;
} kinds[] = {
    {"object", KIND_OBJECT}, {"array", KIND_ARRAY},     {"string", KIND_STRING},
    {"number", KIND_NUMBER}, {"integer", KIND_INTEGER}, {"boolean", KIND_BOOLEAN},
    {"null", KIND_NULL},
};

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

bool schema_counts(struct json_compiler *c, const json_t *schema, const char *path,
                   const char *min_key, const char *max_key, uint32_t *min, uint32_t *max)
{
    if (!count_at(c, schema, path, min_key, 0, min) ||
        !count_at(c, schema, path, max_key, GRAMMAR_FREE, max))
        return false;
    return *min <= *max || schema_known(c, schema)->merged ||
           fail(c->err, ERR_INVALID, "%.300s: \"%s\" is more than \"%s\"", path, min_key, max_key);
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
            return schema_refuse(c, ERR_INVALID, path,
                                 "\"required\" holds something that is no text");
        if (json_object_getn(properties, json_string_value(name), json_string_length(name)) == NULL)
            return fail(c->err, ERR_UNSUPPORTED,
                        "%.300s: \"required\" names \"%.64s\", which is not among \"properties\"",
                        path, json_string_value(name));
    }
    return true;
}

#define MOST_STEPS (4 * LIMIT_AUTOMATON_STEPS) /* of all patterns of a schema */

/* Whether the work for an automaton is still within what a schema may take. */
static bool is_affordable(struct json_compiler *c, const struct automaton *x, struct error *err)
{
    c->steps += x->steps + 1000;
    return c->steps <= MOST_STEPS ||
           fail(err, ERR_LIMIT, "the patterns of the schema take more than %llu steps together",
                (unsigned long long)MOST_STEPS);
}

#define MOST_PATTERNS 6 /* of patternProperties */

/* patternProperties: their automata and schemas. */
struct key_patterns {
    size_t n;
    struct automaton of[MOST_PATTERNS], unclear[MOST_PATTERNS]; /* unclear: in one dialect alone */
    const json_t *schema[MOST_PATTERNS];
};

static bool read_key_patterns(struct json_compiler *c, const json_t *schema, const char *path,
                              struct key_patterns *out)
{
    const json_t *list = json_object_get(schema, "patternProperties");
    const char *key;
    json_t *value;

    out->n = 0;
    if (list != NULL && !json_is_object(list))
        return schema_refuse(c, ERR_INVALID, path, "\"patternProperties\" is no object");
    json_object_foreach((json_t *)(uintptr_t)list, key, value)
    {
        struct error e = {0};

        if (out->n == MOST_PATTERNS)
            return schema_refuse(c, ERR_LIMIT, path, "more than 6 \"patternProperties\"");
        struct automaton *const of = &out->of[out->n], *const unclear = &out->unclear[out->n];
        if (!string_pattern(&c->texts_arena, str_of(key), PATTERN_BOTH, of, &e) ||
            !string_pattern(&c->texts_arena, str_of(key), PATTERN_EITHER, unclear, &e) ||
            !automaton_join(&c->texts_arena, unclear, of, AUTOMATON_NOT, 0, unclear, &e) ||
            !is_affordable(c, unclear, &e))
            return fail(c->err, e.kind, "%.240s: \"patternProperties\": %s", path, e.message);
        out->schema[out->n++] = value;
    }
    return true;
}

/* All that holds of a value: one schema, or an allOf that the compiler keeps. */
static const json_t *all_of(struct json_compiler *c, const json_t *const *schemas, size_t n)
{
    json_t *list;

    if (n == 1)
        return schemas[0];
    list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_incref((json_t *)(uintptr_t)schemas[i]));
    json_t *const made = json_pack("{s:o}", "allOf", list);
    json_array_append_new(c->made, made);
    return made;
}

/*
 * Objects of any keys: the patterns that a key matches say what its value is, or additionalProperties where it matches none. A key
 * that matches in one dialect alone is not written.
 */
static bool read_map(struct json_compiler *c, const json_t *schema, const char *path,
                     const struct key_patterns *patterns, const struct key_names *names,
                     uint32_t min, uint32_t max, uint32_t *rule)
{
    const json_t *more = json_object_get(schema, "additionalProperties"), *all[MOST_PATTERNS];
    const uint32_t n_labels = (uint32_t)1 << (patterns->n + 1);
    uint32_t of[1 << (MOST_PATTERNS + 1)];
    struct automaton keys;
    struct error e = {0};

    if (min > 1)
        return schema_refuse(
            c, ERR_UNSUPPORTED, path,
            "\"minProperties\" of more than 1 is offered where \"properties\" declares "
            "them: a grammar cannot tell whether keys repeat");
    more = more != NULL ? more : json_true();
    if (patterns->n == 0 && !names->some && min == 0 && max == GRAMMAR_FREE) {
        *rule = json_map_rule(
            &c->b, schema_value(c, more, arena_printf(&c->arena, "%s/additionalProperties", path)));
        return true;
    }
    bool ok = automaton_lengths(&c->texts_arena, 0, AUTOMATON_FREE, &keys, &e) &&
              (!names->some ||
               automaton_join(&c->texts_arena, &keys, &names->texts, AUTOMATON_AND, 0, &keys, &e));
    for (unsigned i = 0; ok && i < patterns->n; i++)
        ok = automaton_join(&c->texts_arena, &keys, &patterns->unclear[i], AUTOMATON_NOT, 0, &keys,
                            &e) &&
             automaton_join(&c->texts_arena, &keys, &patterns->of[i], AUTOMATON_LABEL, i + 1, &keys,
                            &e) &&
             is_affordable(c, &keys, &e);
    if (!ok)
        return fail(c->err, e.kind, "%.240s: the patterns of its keys: %s", path, e.message);
    for (uint32_t label = 1; label < n_labels; label += 2) {
        size_t n = 0;

        for (size_t i = 0; i < patterns->n; i++)
            if ((label >> (i + 1) & 1) != 0)
                all[n++] = patterns->schema[i];
        const json_t *value = n > 0 ? all_of(c, all, n) : more;
        of[label - 1] = GRAMMAR_NONE;
        of[label] =
            json_is_false(value)
                ? GRAMMAR_NONE
                : schema_value(c, value,
                               arena_printf(&c->arena, "%s/%s", path,
                                            n > 0 ? "patternProperties" : "additionalProperties"));
    }
    *rule = json_keys_rule(&c->b, &keys, of, n_labels, min, max);
    return true;
}

static bool read_declared(struct json_compiler *c, const json_t *schema, const char *path,
                          const struct key_patterns *patterns, uint32_t min, uint32_t max,
                          uint32_t *rule)
{
    const json_t *properties = json_object_get(schema, "properties"),
                 *required = json_object_get(schema, "required"), *all[MOST_PATTERNS + 1];
    const size_t n = json_object_size(properties);
    struct json_property *p = ARENA_ARRAY(&c->arena, struct json_property, n + 1);
    uint32_t *values = ARENA_ARRAY(&c->arena, uint32_t, n + 1);
    const char *key;
    json_t *value, *name, *wanted = json_object();
    struct buf text;
    size_t i;

    json_array_foreach(required, i, name)
    {
        json_object_set_new(wanted, json_string_value(name), json_true());
    }
    i = 0;
    buf_init(&text, LIMIT_JSON_BYTES);
    json_object_foreach((json_t *)(uintptr_t)properties, key, value)
    {
        size_t n_all = 0;

        all[n_all++] = value;
        for (size_t k = 0; k < patterns->n; k++)
            if (automaton_label(&patterns->of[k], str_of(key)) != 0 ||
                automaton_label(&patterns->unclear[k], str_of(key)) != 0)
                all[n_all++] = patterns->schema[k];
        buf_clear(&text);
        json_write_string(&text, str_of(key), false);
        buf_char(&text, ':');
        p[i].text = arena_str(&c->arena, buf_view(&text));
        p[i].required = json_object_get(wanted, key) != NULL;
        values[i++] = schema_value(c, all_of(c, all, n_all),
                                   arena_printf(&c->arena, "%s/properties/%s", path, key));
    }
    buf_release(&text);
    json_decref(wanted);
    *rule = json_object_rule(&c->b, p, values, n, min, max);
    return true;
}

static bool read_object(struct json_compiler *c, const json_t *schema, const char *path,
                        uint32_t *rule)
{
    const json_t *properties = json_object_get(schema, "properties"),
                 *required = json_object_get(schema, "required"),
                 *more = json_object_get(schema, "additionalProperties"),
                 *names_at = json_object_get(schema, "propertyNames");
    struct key_patterns patterns;
    struct key_names names;
    uint32_t min, max;

    if (properties != NULL && !json_is_object(properties))
        return schema_refuse(c, ERR_INVALID, path, "\"properties\" is no object");
    if (required != NULL && !json_is_array(required))
        return schema_refuse(c, ERR_INVALID, path, "\"required\" is no list");
    if (more != NULL && !json_is_boolean(more) && !json_is_object(more))
        return schema_refuse(c, ERR_INVALID, path,
                             "\"additionalProperties\" is neither a schema nor true or false");
    if (names_at != NULL && !json_is_boolean(names_at) && !json_is_object(names_at))
        return schema_refuse(c, ERR_INVALID, path, "\"propertyNames\" is no schema");
    if (!schema_names(c, schema, path, &names) ||
        !schema_declared(c, schema, path, &names, &schema))
        return false;
    properties = json_object_get(schema, "properties");
    more = json_object_get(schema, "additionalProperties");
    if (!check_required(c, properties, required, path) ||
        !schema_counts(c, schema, path, "minProperties", "maxProperties", &min, &max))
        return false;
    const bool any_keys = json_object_size(properties) == 0 && !names.none &&
                          (!json_is_false(more) ||
                           json_object_size(json_object_get(schema, "patternProperties")) > 0);
    const bool ok = read_key_patterns(c, schema, path, &patterns) &&
                    (any_keys ? read_map(c, schema, path, &patterns, &names, min, max, rule)
                              : read_declared(c, schema, path, &patterns, min, max, rule));
    arena_reset(&c->texts_arena);
    return ok;
}

bool schema_take_object(struct json_compiler *c, const json_t *schema, const char *path)
{
    uint32_t rule = 0;

    if (schema_known(c, schema)->object == 0) {
        if (!read_object(c, schema, path, &rule))
            return false;
        schema_known(c, schema)->object = rule + 1;
    }
    return schema_put_member(c, schema_known(c, schema)->object - 1, path);
}

static bool kind_named(struct json_compiler *c, const json_t *name, const char *path, unsigned *all)
{
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        if (str_is(json_str(name), kinds[i].name)) {
            *all |= kinds[i].kind;
            return true;
        }
    }
    return schema_refuse(
        c, ERR_INVALID, path,
        "\"type\" must be object, array, string, number, integer, boolean, null or a list of these");
}

/* The kinds that "type" names, or 0 where it is missing. */
bool schema_kinds(struct json_compiler *c, const json_t *schema, const char *path, unsigned *all)
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

unsigned schema_kind_of(const json_t *v)
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
    case JSON_ARRAY:
        return KIND_ARRAY;
    case JSON_OBJECT:
        return KIND_OBJECT;
    default:
        return KIND_NULL;
    }
}

#define MOST_CONSTANTS 32 /* of a set */

void schema_put_constant(const struct json_compiler *c, struct buf *out, const json_t *v)
{
    if (c->python && (json_is_boolean(v) || json_is_null(v)))
        buf_text(out, json_is_true(v) ? "True" : json_is_null(v) ? "None" : "False");
    else
        json_write(out, v, NULL);
}

/* Whether two constants are the same value: 1 and 1.0 are, also within others. (Depth is bounded where JSON is read.) */
bool schema_is_same(const json_t *x, const json_t *y)
{
    const char *key;
    json_t *value;

    if (json_is_number(x) && json_is_number(y))
        return json_equal(x, y) || json_number_value(x) == json_number_value(y);
    if (json_is_array(x) && json_is_array(y) && json_array_size(x) == json_array_size(y)) {
        for (size_t i = 0; i < json_array_size(x); i++)
            if (!schema_is_same(json_array_get(x, i), json_array_get(y, i)))
                return false;
        return true;
    }
    if (json_is_object(x) && json_is_object(y) && json_object_size(x) == json_object_size(y)) {
        json_object_foreach((json_t *)(uintptr_t)x, key, value)
        {
            const json_t *other = json_object_get(y, key);

            if (other == NULL || !schema_is_same(value, other))
                return false;
        }
        return true;
    }
    return json_equal(x, y);
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

    if (!schema_kinds(c, items, path, &all))
        return false;
    buf_clear(texts);
    for (size_t i = 0; i < json_array_size(list); i++) {
        v = json_array_get(list, i);
        if (all != 0 && (all & schema_kind_of(v)) == 0)
            continue;
        if (json_is_array(v) || json_is_object(v))
            return schema_refuse(c, ERR_UNSUPPORTED, path,
                                 "\"uniqueItems\" is offered for an enum of texts, numbers, true, "
                                 "false and null; this one holds an array or an object");
        if (n == MOST_CONSTANTS)
            return schema_refuse(c, ERR_LIMIT, path,
                                 "\"uniqueItems\" is offered for an enum of up to 32 values");
        uint32_t same = 0;
        while (same < n && !schema_is_same(value[same], v))
            same++;
        bit[n] = same < n ? bit[same] : (uint32_t)1 << n_bits++;
        value[n] = v;
        text[n++].len = texts->len;
        schema_put_constant(c, texts, v);
    }
    for (uint32_t i = 0; i < n; i++) {
        const size_t from = text[i].len, to = i + 1 < n ? text[i + 1].len : texts->len;

        text[i] = (struct str){texts->ptr + from, to - from};
    }
    if (min > n_bits)
        return schema_refuse(c, ERR_INVALID, path,
                             "\"minItems\" is more than there are different values");
    *rule = json_set_rule(&c->b, text, bit, n, min, max);
    return true;
}

static bool unique_at(struct json_compiler *c, const json_t *schema, const char *path, uint32_t max,
                      bool *unique)
{
    const json_t *v = json_object_get(schema, "uniqueItems");

    if (v != NULL && !json_is_boolean(v))
        return schema_refuse(c, ERR_INVALID, path, "\"uniqueItems\" is neither true nor false");
    *unique = json_is_true(v) && max > 1;
    return true;
}

/* Whether a schema is an enum, with a type at most beside it. */
static bool is_enum(const json_t *schema)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)schema, key, value)
    {
        const enum schema_role role = schema_role(key);

        if ((role == SCHEMA_ASSERTION || role == SCHEMA_WHOLE) && strcmp(key, "enum") != 0 &&
            strcmp(key, "type") != 0)
            return false;
    }
    return json_is_array(json_object_get(schema, "enum"));
}

static bool read_unique(struct json_compiler *c, const json_t *schema, const char *path,
                        uint32_t min, uint32_t max, uint32_t *rule)
{
    const json_t *items = schema_referred(c, json_object_get(schema, "items"));
    const char *whole, *at = arena_printf(&c->arena, "%s/items", path);
    unsigned speaks_of;

    if (!is_enum(items) || json_object_get(schema, "prefixItems") != NULL)
        return schema_refuse(
            c, ERR_UNSUPPORTED, path,
            "\"uniqueItems\" is offered where \"items\" is an enum; of other values a grammar "
            "cannot tell whether they came before");
    return schema_check_keywords(c, items, at, &whole, &speaks_of) &&
           read_set(c, items, at, min, max, rule);
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
        return schema_refuse(c, ERR_UNSUPPORTED, path,
                             "\"items\" is no schema; one for all items is offered");
    if (prefix != NULL && n == 0)
        return schema_refuse(c, ERR_INVALID, path,
                             "\"prefixItems\" is no list of at least one schema");
    if (!schema_counts(c, schema, path, "minItems", "maxItems", &min, &max) ||
        !unique_at(c, schema, path, max, &unique))
        return false;
    if (unique)
        return read_unique(c, schema, path, min, max, rule);
    const uint32_t of = schema_value(c, items != NULL ? items : json_true(),
                                     arena_printf(&c->arena, "%s/items", path));
    uint32_t *first = ARENA_ARRAY(&c->arena, uint32_t, n + 1);
    for (size_t i = 0; i < n; i++)
        first[i] = schema_value(c, json_array_get(prefix, i),
                                arena_printf(&c->arena, "%s/prefixItems/%zu", path, i));
    *rule = n == 0 ? json_array_rule(&c->b, of, min, max)
                   : json_tuple_rule(&c->b, first, (uint32_t)n, of, min, max);
    return true;
}

bool schema_take_array(struct json_compiler *c, const json_t *schema, const char *path)
{
    uint32_t rule = 0;

    if (schema_known(c, schema)->array == 0) {
        if (!read_array(c, schema, path, &rule))
            return false;
        schema_known(c, schema)->array = rule + 1;
    }
    return schema_put_member(c, schema_known(c, schema)->array - 1, path);
}

/* Narrows x, which has some texts once *some is set, to those that a pattern or a format has, too. */
static bool narrow(struct json_compiler *c, const struct automaton *by, bool *some,
                   struct automaton *x, struct error *err)
{
    if (!is_affordable(c, by, err))
        return false;
    if (*some)
        return automaton_join(&c->texts_arena, x, by, AUTOMATON_AND, 0, x, err) &&
               is_affordable(c, x, err);
    *x = *by;
    *some = true;
    return true;
}

static bool narrow_by_pattern(struct json_compiler *c, const json_t *schema, const json_t *pattern,
                              const char *path, bool *some, struct automaton *x)
{
    struct automaton one;
    struct error e = {0};

    if (json_is_array(pattern) && schema_known(c, schema)->merged) {
        for (size_t i = 0; i < json_array_size(pattern); i++)
            if (!narrow_by_pattern(c, schema, json_array_get(pattern, i), path, some, x))
                return false;
        return true;
    }
    if (!json_is_string(pattern))
        return fail(c->err, ERR_INVALID, "%.300s: \"pattern\" is %s, a text was expected", path,
                    json_kind(pattern));
    return (string_pattern(&c->texts_arena, json_str(pattern),
                           c->either ? PATTERN_EITHER : PATTERN_BOTH, &one, &e) &&
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
    if (json_format_is_foreign(json_string_value(format)))
        return true;
    if (!json_format_texts(&c->texts_arena, json_str(format), &one, &longest, &e) ||
        !narrow(c, &one, some, x, &e))
        return fail(c->err, e.kind, "%.240s: \"format\": %s", path, e.message);
    *max = longest < *max ? longest : *max;
    return true;
}

/* What the pattern and the format of a schema leave; some: it has any. In c->texts_arena; max becomes that of a format. */
bool schema_texts(struct json_compiler *c, const json_t *schema, const char *path, bool *some,
                  struct automaton *x, uint32_t *max)
{
    const json_t *pattern = json_object_get(schema, "pattern"),
                 *format = json_object_get(schema, "format");

    *some = false;
    return (pattern == NULL || narrow_by_pattern(c, schema, pattern, path, some, x)) &&
           (format == NULL || narrow_by_format(c, format, path, some, x, max));
}

/* Lengths are counted beside the automaton; where not every number between two can be had, the least is counted in it. */
static bool texts_rule(struct json_compiler *c, const json_t *schema, const char *path,
                       uint32_t min, uint32_t max, uint32_t *rule)
{
    struct automaton x, lengths;
    struct error e = {0};
    bool some, even = true;

    if (!schema_texts(c, schema, path, &some, &x, &max))
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

bool schema_take_string(struct json_compiler *c, const json_t *schema, const char *path)
{
    uint32_t min, max;
    struct buf name;
    bool is_new;

    if (!schema_counts(c, schema, path, "minLength", "maxLength", &min, &max))
        return false;
    buf_init(&name, LIMIT_JSON_BYTES);
    buf_printf(&name, "string %" PRIu32 " %" PRIu32, min, max);
    for (int i = 0; i < 2; i++) {
        const json_t *v = json_object_get(schema, i == 0 ? "pattern" : "format");

        buf_char(&name, ' ');
        if (v != NULL)
            json_write(&name, v, NULL);
    }
    struct named_rule *r = schema_rule(c, buf_view(&name), &is_new);
    buf_release(&name);
    const bool ok = !is_new || texts_rule(c, schema, path, min, max, &r->rule);
    arena_reset(&c->texts_arena);
    return ok && schema_put_member(c, r->rule, path);
}

/* The narrower of "minimum" and "exclusiveMinimum", or the other two. */
static bool schema_bound(struct json_compiler *c, const json_t *schema, const char *path,
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
           schema_refuse(c, ERR_LIMIT, path,
                         "\"multipleOf\" takes more states than are offered, 40000");
}

bool schema_take_number(struct json_compiler *c, const json_t *schema, const char *path, bool whole)
{
    static const char *const least_keys[] = {"minimum", "exclusiveMinimum"},
                             *const most_keys[] = {"maximum", "exclusiveMaximum"};
    struct json_bound least, most;
    struct json_multiple m;
    struct buf name;
    bool is_new;

    if (!schema_bound(c, schema, path, least_keys, 1, &least) ||
        !schema_bound(c, schema, path, most_keys, -1, &most) || !multiple_at(c, schema, path, &m))
        return false;
    buf_init(&name, 256);
    buf_printf(&name, "number %d %" PRIu32 " %" PRIu32, whole, m.unit, m.decimals);
    for (int i = 0; i < 2; i++) {
        const struct json_bound *x = i == 0 ? &least : &most;

        if (x->given)
            buf_printf(&name, " %d %d%d %" PRId64 ".%.*s", i, x->negative, x->excluded, x->whole,
                       JSON_FRACTION, x->digits);
    }
    struct named_rule *r = schema_rule(c, buf_view(&name), &is_new);
    buf_release(&name);
    return (!is_new || number_rule(c, path, whole, least, most, &m, &r->rule)) &&
           schema_put_member(c, r->rule, path);
}
