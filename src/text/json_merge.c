/*
 * json_merge.c - one schema of several that hold together: allOf, and what stands beside $ref, anyOf and oneOf.
 *
 * Schemas are merged as JSON, keyword by keyword; where two speak of the same part, that part becomes an allOf of both, which is
 * merged when it is met. A pair is merged once, so that schemas that hold themselves come to an end.
 */
#include "base/size.h"
#include "text/json_compiler_internal.h"

#include <math.h>

#define MOST_MERGES 2000

struct merge { /* of two schemas, by their nodes */
    const json_t *x, *y, *out;
    struct merge *next;
};

/* The compiler keeps v until it is closed. */
static json_t *keep(struct json_compiler *c, json_t *v)
{
    json_array_append_new(c->made, v);
    return v;
}

static json_t *shared(const json_t *v)
{
    return json_incref((json_t *)(uintptr_t)v);
}

static bool has_assertions(const json_t *schema)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)schema, key, value)
    {
        if (schema_asserts(key))
            return true;
    }
    return false;
}

static json_t *both(const json_t *x, const json_t *y)
{
    if (x == y || json_is_true(y) || json_is_false(x))
        return shared(x);
    if (json_is_true(x) || json_is_false(y))
        return shared(y);
    return json_pack("{s:[o,o]}", "allOf", shared(x), shared(y));
}

static bool is_one_of(const char *key, const char *const *among, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(key, among[i]) == 0)
            return true;
    return false;
}

static const char *const object_keys[] = {"properties", "additionalProperties",
                                          "patternProperties"};
static const char *const array_keys[] = {"items", "prefixItems"};

static bool has_any(const json_t *schema, const char *const *keys, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (json_object_get(schema, keys[i]) != NULL)
            return true;
    return false;
}

/* Where one of two at most says any of the keys, out says what that one does; false: both do. */
static bool take_from_one(const json_t *x, const json_t *y, const char *const *keys, size_t n,
                          json_t *out)
{
    if (has_any(x, keys, n) && has_any(y, keys, n))
        return false;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_object_get(x, keys[i]);

        v = v != NULL ? v : json_object_get(y, keys[i]);
        if (v != NULL)
            json_object_set_new(out, keys[i], shared(v));
    }
    return true;
}

/* What x's properties become beside y's: of out, what is not there yet. */
static void merge_properties(const json_t *x, const json_t *y, json_t *out)
{
    const json_t *of_y = json_object_get(y, "properties"),
                 *more = json_object_get(y, "additionalProperties");
    const char *key;
    json_t *value;

    json_object_foreach(json_object_get(x, "properties"), key, value)
    {
        const json_t *other = json_object_get(of_y, key);

        if (json_object_get(out, key) == NULL)
            json_object_set_new(out, key,
                                other != NULL  ? both(value, other)
                                : more != NULL ? both(value, more)
                                               : shared(value));
    }
}

static bool merge_objects(struct json_compiler *c, const json_t *x, const json_t *y,
                          const char *path, json_t *out)
{
    const json_t *more_x = json_object_get(x, "additionalProperties"),
                 *more_y = json_object_get(y, "additionalProperties");

    if (take_from_one(x, y, object_keys, COUNT_OF(object_keys), out))
        return true;
    if (json_object_get(x, "patternProperties") != NULL ||
        json_object_get(y, "patternProperties") != NULL)
        return schema_refuse(
            c, ERR_UNSUPPORTED, path,
            "\"patternProperties\" of one schema and properties of another that holds "
            "together with it are not offered");
    json_t *properties = json_object();
    merge_properties(x, y, properties);
    merge_properties(y, x, properties);
    json_object_set_new(out, "properties", properties);
    if (more_x != NULL || more_y != NULL)
        json_object_set_new(out, "additionalProperties",
                            more_x == NULL   ? shared(more_y)
                            : more_y == NULL ? shared(more_x)
                                             : both(more_x, more_y));
    return true;
}

/* What an array's item i is. */
static const json_t *item_at(const json_t *schema, size_t i)
{
    const json_t *item = json_array_get(json_object_get(schema, "prefixItems"), i);

    item = item != NULL ? item : json_object_get(schema, "items");
    return item != NULL ? item : json_true();
}

static void merge_arrays(const json_t *x, const json_t *y, json_t *out)
{
    const json_t *items_x = json_object_get(x, "items"), *items_y = json_object_get(y, "items");

    if (take_from_one(x, y, array_keys, COUNT_OF(array_keys), out))
        return;
    const size_t n_x = json_array_size(json_object_get(x, "prefixItems")),
                 n_y = json_array_size(json_object_get(y, "prefixItems"));
    json_t *prefix = json_array();
    for (size_t i = 0; i < size_max(n_x, n_y); i++)
        json_array_append_new(prefix, both(item_at(x, i), item_at(y, i)));
    if (json_array_size(prefix) > 0)
        json_object_set(out, "prefixItems", prefix);
    json_decref(prefix);
    if (items_x != NULL || items_y != NULL)
        json_object_set_new(
            out, "items",
            both(items_x != NULL ? items_x : json_true(), items_y != NULL ? items_y : json_true()));
}

/* The names of both lists of types; "number" and "integer" are integers together. */
static json_t *merge_types(const json_t *x, const json_t *y)
{
    json_t *out = json_array(), *of_x = json_is_array(x) ? shared(x) : json_pack("[o]", shared(x)),
           *of_y = json_is_array(y) ? shared(y) : json_pack("[o]", shared(y)), *a, *b;
    size_t i, j;

    json_array_foreach(of_x, i, a)
    {
        json_array_foreach(of_y, j, b)
        {
            const char *one = json_string_value(a), *other = json_string_value(b);

            if (one == NULL || other == NULL)
                continue;
            if (strcmp(one, other) == 0 ||
                (strcmp(one, "integer") == 0 && strcmp(other, "number") == 0))
                json_array_append_new(out, shared(a));
            else if (strcmp(one, "number") == 0 && strcmp(other, "integer") == 0)
                json_array_append_new(out, shared(b));
        }
    }
    json_decref(of_x);
    json_decref(of_y);
    return out;
}

static json_t *merge_names(const json_t *x, const json_t *y)
{
    json_t *out = json_copy((json_t *)(uintptr_t)x);

    json_array_extend(out, (json_t *)(uintptr_t)y);
    return out;
}

/* The constants of both lists. */
static json_t *merge_constants(const json_t *x, const json_t *y)
{
    json_t *out = json_array(), *v;
    size_t i, j;

    json_array_foreach(x, i, v)
    {
        for (j = 0; j < json_array_size(y) && !schema_is_same(v, json_array_get(y, j)); j++)
            ;
        if (j < json_array_size(y))
            json_array_append_new(out, shared(v));
    }
    return out;
}

/* Each alternative of one list together with each of the other. */
static bool merge_alternatives(struct json_compiler *c, const json_t *x, const json_t *y,
                               const char *path, json_t **out)
{
    if (json_array_size(x) * json_array_size(y) > GRAMMAR_ALIKE)
        return schema_refuse(c, ERR_LIMIT, path, "too many alternatives hold together");
    *out = json_array();
    for (size_t i = 0; i < json_array_size(x); i++)
        for (size_t j = 0; j < json_array_size(y); j++)
            json_array_append_new(*out, both(json_array_get(x, i), json_array_get(y, j)));
    return true;
}

static bool is_whole(double x)
{
    return x == floor(x) && fabs(x) < 1e9;
}

/* Of two numbers; NULL: it takes what is not offered. */
static json_t *merge_multiples(const json_t *x, const json_t *y)
{
    const double a = json_number_value(x), b = json_number_value(y);

    if (a == b)
        return shared(x);
    if (!is_whole(a) || !is_whole(b) || a < 1 || b < 1)
        return NULL;
    json_int_t p = (json_int_t)a, q = (json_int_t)b;
    while (q != 0) {
        const json_int_t rest = p % q;

        p = q;
        q = rest;
    }
    return json_integer((json_int_t)a / p * (json_int_t)b);
}

static json_t *merge_patterns(const json_t *x, const json_t *y)
{
    json_t *out =
        json_is_array(x) ? json_copy((json_t *)(uintptr_t)x) : json_pack("[o]", shared(x));

    if (json_is_array(y))
        json_array_extend(out, (json_t *)(uintptr_t)y);
    else
        json_array_append_new(out, shared(y));
    return out;
}

/* A keyword that both have. */
static bool merge_key(struct json_compiler *c, const char *key, const json_t *x, const json_t *y,
                      const char *path, json_t **out)
{
    static const char *const least[] = {"minimum", "exclusiveMinimum", "minLength", "minItems",
                                        "minProperties"},
                             *const most[] = {"maximum", "exclusiveMaximum", "maxLength",
                                              "maxItems", "maxProperties"};

    *out = NULL;
    if (json_equal(x, y))
        *out = shared(x);
    else if (strcmp(key, "type") == 0)
        *out = merge_types(x, y);
    else if (is_one_of(key, least, COUNT_OF(least)))
        *out = shared(json_number_value(x) >= json_number_value(y) ? x : y);
    else if (is_one_of(key, most, COUNT_OF(most)))
        *out = shared(json_number_value(x) <= json_number_value(y) ? x : y);
    else if (strcmp(key, "required") == 0)
        *out = merge_names(x, y);
    else if (strcmp(key, "propertyNames") == 0)
        *out = both(x, y);
    else if (strcmp(key, "uniqueItems") == 0)
        *out = json_true();
    else if (strcmp(key, "pattern") == 0)
        *out = merge_patterns(x, y);
    else if (strcmp(key, "multipleOf") == 0)
        *out = merge_multiples(x, y);
    else if (strcmp(key, "enum") == 0)
        *out = merge_constants(x, y);
    else if (strcmp(key, "anyOf") == 0)
        return merge_alternatives(c, x, y, path, out);
    return *out != NULL ||
           fail(c->err, ERR_UNSUPPORTED, "%.300s: two schemas that hold together differ in \"%s\"",
                path, key);
}

static bool merge_all(struct json_compiler *c, const json_t *x, const json_t *y, const char *path,
                      json_t *out)
{
    const char *key;
    json_t *value, *merged;

    for (int of_y = 0; of_y < 2; of_y++)
        json_object_foreach((json_t *)(uintptr_t)(of_y ? y : x), key, value)
        {
            if (!schema_asserts(key) || is_one_of(key, object_keys, COUNT_OF(object_keys)) ||
                is_one_of(key, array_keys, COUNT_OF(array_keys)))
                continue;
            const json_t *other = json_object_get(of_y ? x : y, key);
            if (of_y && other != NULL)
                continue;
            merged = other == NULL ? shared(value) : NULL;
            if (merged == NULL && !merge_key(c, key, value, other, path, &merged))
                return false;
            json_object_set_new(out, key, merged);
        }
    merge_arrays(x, y, out);
    return merge_objects(c, x, y, path, out);
}

/* Two schemas without $ref, allOf and oneOf at their top. */
static bool merge(struct json_compiler *c, const json_t *x, const json_t *y, const char *path,
                  const json_t **out)
{
    struct merge *m = c->merges;

    if (json_is_false(x) || json_is_false(y)) {
        *out = json_false();
        return true;
    }
    if (x == y || json_is_true(y) || !has_assertions(y)) {
        *out = x;
        return true;
    }
    if (json_is_true(x) || !has_assertions(x)) {
        *out = y;
        return true;
    }
    while (m != NULL && !(m->x == x && m->y == y))
        m = m->next;
    if (m == NULL) {
        json_t *made = keep(c, json_object());

        if (c->n_merges++ == MOST_MERGES)
            return schema_refuse(c, ERR_LIMIT, path, "too many schemas hold together");
        if (!merge_all(c, x, y, path, made))
            return false;
        const json_t *types = json_object_get(made, "type"), *list = json_object_get(made, "enum");
        const bool none = (json_is_array(types) && json_array_size(types) == 0) ||
                          (json_is_array(list) && json_array_size(list) == 0);
        m = ARENA_NEW(&c->arena, struct merge);
        *m = (struct merge){.x = x, .y = y, .out = none ? json_false() : made, .next = c->merges};
        c->merges = m;
        schema_known(c, made)->merged = true;
    }
    *out = m->out;
    return true;
}

/* schema without what stands for a whole schema, "const" as an enum of one. */
static const json_t *rest_of(struct json_compiler *c, const json_t *schema)
{
    static const char *const wholes[] = {"$ref", "allOf", "anyOf", "oneOf", "const"};
    struct known *k = schema_known(c, schema);
    const json_t *one = json_object_get(schema, "const"), *list = json_object_get(schema, "enum");
    const char *key;
    json_t *value;

    if (k->rest == NULL) {
        json_t *rest = keep(c, json_object());

        json_object_foreach((json_t *)(uintptr_t)schema, key, value)
        {
            if (schema_asserts(key) && !is_one_of(key, wholes, COUNT_OF(wholes)))
                json_object_set_new(rest, key, shared(value));
        }
        if (one != NULL) {
            json_t *values = json_pack("[o]", shared(one));

            json_object_set_new(rest, "enum",
                                list != NULL ? merge_constants(values, list) : shared(values));
            json_decref(values);
        }
        schema_known(c, rest)->merged = schema_known(c, schema)->merged;
        k = schema_known(c, schema);
        k->rest = rest;
    }
    return k->rest;
}

static json_t *schema_of_one(const json_t *v)
{
    return json_pack("{s:O}", "const", v);
}

const json_t *schema_of_constant(struct json_compiler *c, const json_t *v)
{
    const size_t n = json_is_array(v) ? json_array_size(v) : json_object_size(v);
    json_t *made = schema_known(c, v)->constant == NULL ? json_object() : NULL, *parts, *names;
    const char *key;
    json_t *value;

    if (made == NULL)
        return schema_known(c, v)->constant;
    json_object_set_new(made, "type", json_string(json_is_array(v) ? "array" : "object"));
    if (json_is_array(v)) {
        parts = json_array();
        for (size_t i = 0; i < n; i++)
            json_array_append_new(parts, schema_of_one(json_array_get(v, i)));
        if (n > 0)
            json_object_set(made, "prefixItems", parts);
        json_object_set_new(made, "minItems", json_integer((json_int_t)n));
        json_object_set_new(made, "maxItems", json_integer((json_int_t)n));
    } else {
        parts = json_object();
        names = json_array();
        json_object_foreach((json_t *)(uintptr_t)v, key, value)
        {
            json_object_set_new(parts, key, schema_of_one(value));
            json_array_append_new(names, json_string(key));
        }
        json_object_set(made, "properties", parts);
        json_object_set_new(made, "required", names);
        json_object_set_new(made, "additionalProperties", json_false());
    }
    json_decref(parts);
    return schema_known(c, v)->constant = keep(c, made);
}

const json_t *schema_beside_constants(struct json_compiler *c, const json_t *schema)
{
    static const char *const constants[] = {"enum", "const"};
    const char *key;
    json_t *value, *made;
    bool some = false;

    if (schema_known(c, schema)->beside != NULL)
        return schema_known(c, schema)->beside;
    made = keep(c, json_object());
    json_object_foreach((json_t *)(uintptr_t)schema, key, value)
    {
        if (!schema_asserts(key) || is_one_of(key, constants, COUNT_OF(constants)))
            continue;
        json_object_set_new(made, key, shared(value));
        some = some || strcmp(key, "type") != 0;
    }
    schema_known(c, made)->merged = schema_known(c, schema)->merged;
    return schema_known(c, schema)->beside = some ? made : json_true();
}

static bool add_alternatives(struct json_compiler *c, const json_t *list, const char *path,
                             const json_t **sum)
{
    struct known *k = schema_known(c, list);

    if (k->rest == NULL) {
        json_t *made = keep(c, json_pack("{s:o}", "anyOf", shared(list)));

        k = schema_known(c, list);
        k->rest = made;
    }
    return merge(c, *sum, k->rest, path, sum);
}

bool schema_merged(struct json_compiler *c, const json_t *schema, const char *path, unsigned depth,
                   const json_t **out)
{
    const json_t *all = json_object_get(schema, "allOf"), *sum, *part,
                 *any = json_object_get(schema, "anyOf"), *one = json_object_get(schema, "oneOf");
    const char *whole;
    unsigned speaks_of;

    *out = schema;
    if (!json_is_object(schema))
        return json_is_boolean(schema) ||
               fail(c->err, ERR_INVALID, "%.300s is %s, a schema was expected", path,
                    json_kind(schema));
    if (depth > GRAMMAR_DEPTH)
        return schema_refuse(c, ERR_LIMIT, path,
                             "too many anyOf, allOf and $ref lead to each other");
    if (!schema_check_keywords(c, schema, path, &whole, &speaks_of))
        return false;
    if (whole == NULL || (strcmp(whole, "enum") == 0 && json_object_size(schema) == 1))
        return true;
    sum = rest_of(c, schema);
    if (json_object_get(schema, "$ref") != NULL) {
        const char *to_path;
        const json_t *to = schema_resolve(c, json_object_get(schema, "$ref"), path, &to_path);

        if (to == NULL || !schema_merged(c, to, to_path, depth + 1, &part) ||
            !merge(c, sum, part, path, &sum))
            return false;
    }
    for (size_t i = 0; i < json_array_size(all); i++)
        if (!schema_merged(c, json_array_get(all, i),
                           arena_printf(&c->arena, "%s/allOf/%zu", path, i), depth + 1, &part) ||
            !merge(c, sum, part, path, &sum))
            return false;
    const json_t *parted = one != NULL ? schema_one_required(c, one) : NULL;
    if (one != NULL && parted == NULL && !schema_check_one_of(c, one, sum, path))
        return false;
    one = parted != NULL ? parted : one;
    if ((any != NULL && !add_alternatives(c, any, path, &sum)) ||
        (one != NULL && !add_alternatives(c, one, path, &sum)))
        return false;
    *out = sum;
    return true;
}

bool schema_merged_with(struct json_compiler *c, const json_t *schema, const json_t *more,
                        const char *path, unsigned depth, const json_t **out)
{
    const json_t *const rest = rest_of(c, schema), *part;

    return schema_merged(c, more, path, depth, &part) && merge(c, rest, part, path, out);
}
