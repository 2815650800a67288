/*
 * json_disjoint.c - whether two schemas cannot both hold: what makes a oneOf the same as an anyOf.
 *
 * What is shown is shown; what is not may be so all the same.
 */
#include "base/size.h"
#include "text/json_compiler_internal.h"

#include <math.h>

#define MOST_DEPTH 16
#define MOST_COMPARED 20000 /* pairs, for one schema */

static bool is_disjoint(struct json_compiler *c, const json_t *x, const json_t *y, unsigned depth);

/* The kinds of values that a schema may allow, whatever else it says. */
static unsigned kinds_of(struct json_compiler *c, const json_t *schema)
{
    const json_t *one = json_object_get(schema, "const"), *list = json_object_get(schema, "enum");
    unsigned all = 0;

    if (!schema_kinds(c, schema, "", &all) || all == 0)
        all = KIND_ANY;
    if (one != NULL || list != NULL) {
        unsigned of = one != NULL ? schema_kind_of(one) : 0;

        for (size_t i = 0; i < json_array_size(list); i++)
            of |= schema_kind_of(json_array_get(list, i));
        all = (all & KIND_NUMBER) != 0 ? all | KIND_INTEGER : all;
        all &= of;
    }
    return all;
}

static bool is_named(const json_t *list, const char *name)
{
    json_t *v;
    size_t i;

    json_array_foreach(list, i, v)
    {
        if (json_is_string(v) && strcmp(json_string_value(v), name) == 0)
            return true;
    }
    return false;
}

/* Objects: a property that both require differs, or one requires what the other does not have. */
static bool differ_as_objects(struct json_compiler *c, const json_t *x, const json_t *y,
                              unsigned depth)
{
    const json_t *of_x = json_object_get(x, "properties"), *of_y = json_object_get(y, "properties");
    json_t *name;
    size_t i;

    json_array_foreach(json_object_get(x, "required"), i, name)
    {
        const char *key = json_string_value(name);
        const json_t *a = key != NULL ? json_object_get(of_x, key) : NULL,
                     *b = key != NULL ? json_object_get(of_y, key) : NULL;

        if (key == NULL)
            continue;
        if (json_is_false(b) ||
            (b == NULL && json_is_false(json_object_get(y, "additionalProperties")) &&
             json_object_get(y, "patternProperties") == NULL))
            return true;
        if (a != NULL && b != NULL && is_named(json_object_get(y, "required"), key) &&
            is_disjoint(c, a, b, depth + 1))
            return true;
    }
    return false;
}

/* Whether the numbers of min_key .. max_key of both lie apart. */
static bool lie_apart(const json_t *x, const json_t *y, const char *min_key, const char *max_key)
{
    const json_t *most_x = json_object_get(x, max_key), *least_y = json_object_get(y, min_key),
                 *most_y = json_object_get(y, max_key), *least_x = json_object_get(x, min_key);

    return (json_is_number(most_x) && json_is_number(least_y) &&
            json_number_value(most_x) < json_number_value(least_y)) ||
           (json_is_number(most_y) && json_is_number(least_x) &&
            json_number_value(most_y) < json_number_value(least_x));
}

static bool differ_as_numbers(const json_t *x, const json_t *y)
{
    for (int turn = 0; turn < 2; turn++) {
        const json_t *a = turn == 0 ? x : y, *b = turn == 0 ? y : x;
        const json_t *over = json_object_get(a, "exclusiveMinimum"),
                     *under = json_object_get(a, "exclusiveMaximum"),
                     *most = json_object_get(b, "maximum"), *least = json_object_get(b, "minimum");

        if ((json_is_number(over) && json_is_number(most) &&
             json_number_value(over) >= json_number_value(most)) ||
            (json_is_number(under) && json_is_number(least) &&
             json_number_value(under) <= json_number_value(least)))
            return true;
    }
    return lie_apart(x, y, "minimum", "maximum");
}

static bool differ_as_strings(struct json_compiler *c, const json_t *x, const json_t *y)
{
    struct automaton a, b, common;
    uint32_t max = AUTOMATON_FREE;
    bool some_a = false, some_b = false;

    if (lie_apart(x, y, "minLength", "maxLength"))
        return true;
    c->either = true;
    const bool ok = schema_texts(c, x, "", &some_a, &a, &max) &&
                    schema_texts(c, y, "", &some_b, &b, &max) && some_a && some_b &&
                    automaton_join(&c->texts_arena, &a, &b, AUTOMATON_AND, 0, &common, c->err) &&
                    automaton_shortest(&common) == AUTOMATON_NONE;
    c->either = false;
    arena_reset(&c->texts_arena);
    return ok;
}

static const json_t *first_item(const json_t *schema)
{
    const json_t *prefix = json_object_get(schema, "prefixItems");

    return prefix != NULL ? json_array_get(prefix, 0) : json_object_get(schema, "items");
}

static bool differ_as_arrays(struct json_compiler *c, const json_t *x, const json_t *y,
                             unsigned depth)
{
    const json_t *a = first_item(x), *b = first_item(y);
    const bool some = json_number_value(json_object_get(x, "minItems")) >= 1 &&
                      json_number_value(json_object_get(y, "minItems")) >= 1;

    return lie_apart(x, y, "minItems", "maxItems") ||
           (some && a != NULL && b != NULL && is_disjoint(c, a, b, depth + 1));
}

/* Whether a value is none of a schema's: by its kind, or as none of its constants. */
static bool is_outside(struct json_compiler *c, const json_t *v, const json_t *schema)
{
    const json_t *one = json_object_get(schema, "const"), *list = json_object_get(schema, "enum");

    if ((schema_kind_of(v) & kinds_of(c, schema)) == 0)
        return true;
    if (one != NULL)
        return !schema_is_same(v, one);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (schema_is_same(v, json_array_get(list, i)))
            return false;
    return list != NULL;
}

static bool are_outside(struct json_compiler *c, const json_t *of, const json_t *schema)
{
    const json_t *one = json_object_get(of, "const"), *list = json_object_get(of, "enum");

    if (one != NULL)
        return is_outside(c, one, schema);
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!is_outside(c, json_array_get(list, i), schema))
            return false;
    return list != NULL;
}

/* Both are plain: no $ref, no anyOf, no allOf. */
static bool differ(struct json_compiler *c, const json_t *x, const json_t *y, unsigned depth)
{
    const unsigned a = kinds_of(c, x), b = kinds_of(c, y), numbers = KIND_NUMBER | KIND_INTEGER,
                   common = (a & b) | ((a & numbers) != 0 && (b & numbers) != 0 ? KIND_NUMBER : 0);

    if (are_outside(c, x, y) || are_outside(c, y, x))
        return true;
    return (common & (KIND_BOOLEAN | KIND_NULL)) == 0 &&
           ((common & KIND_OBJECT) == 0 || differ_as_objects(c, x, y, depth) ||
            differ_as_objects(c, y, x, depth)) &&
           ((common & KIND_ARRAY) == 0 || differ_as_arrays(c, x, y, depth)) &&
           ((common & KIND_STRING) == 0 || differ_as_strings(c, x, y)) &&
           ((common & numbers) == 0 || differ_as_numbers(x, y));
}

/* x as alternatives, each with what stands beside them. */
static bool is_disjoint(struct json_compiler *c, const json_t *x, const json_t *y, unsigned depth)
{
    const json_t *both[2] = {x, y};

    if (json_is_false(x) || json_is_false(y))
        return true;
    if (!json_is_object(x) || !json_is_object(y) || depth > MOST_DEPTH ||
        c->n_compared++ > MOST_COMPARED || !schema_merged(c, x, "", depth, &both[0]) ||
        !schema_merged(c, y, "", depth, &both[1]))
        return false;
    for (int k = 0; k < 2; k++) {
        const json_t *any = json_object_get(both[k], "anyOf");
        bool all = true;

        if (any == NULL)
            continue;
        for (size_t i = 0; i < json_array_size(any) && all; i++) {
            const json_t *one = NULL;

            all = schema_merged_with(c, both[k], json_array_get(any, i), "", depth + 1, &one) &&
                  is_disjoint(c, one, both[1 - k], depth + 1);
        }
        return all;
    }
    if (json_is_false(both[0]) || json_is_false(both[1]))
        return true;
    return json_is_object(both[0]) && json_is_object(both[1]) && differ(c, both[0], both[1], depth);
}

/* x and y, each together with what is said beside them. */
static bool is_disjoint_beside(struct json_compiler *c, const json_t *x, const json_t *y,
                               const json_t *beside)
{
    if (json_is_object(beside) && json_object_size(beside) > 0 && json_is_object(x) &&
        json_is_object(y) &&
        !(schema_merged_with(c, beside, x, "", 1, &x) &&
          schema_merged_with(c, beside, y, "", 1, &y)))
        return false;
    return is_disjoint(c, x, y, 0);
}

#define MOST_REQUIRED 16 /* names: each is looked for among those of every other schema */

/* The names that a schema requires, where it says nothing else of a value. */
static const json_t *only_required(const json_t *schema)
{
    const json_t *names = json_object_get(schema, "required");
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)schema, key, value)
    {
        if (schema_asserts(key) && strcmp(key, "required") != 0 &&
            !(strcmp(key, "type") == 0 && json_is_string(value) &&
              strcmp(json_string_value(value), "object") == 0))
            return NULL;
    }
    for (size_t i = 0; i < json_array_size(names); i++)
        if (!json_is_string(json_array_get(names, i)))
            return NULL;
    return json_array_size(names) > 0 && json_array_size(names) <= MOST_REQUIRED ? names : NULL;
}

static bool is_among(const json_t *names, const json_t *name)
{
    for (size_t i = 0; i < json_array_size(names); i++)
        if (json_equal(json_array_get(names, i), name))
            return true;
    return false;
}

/* Objects that have the names of list[i], and of each other one lack the first that it does not share; false: it has all of another's. */
static json_t *alone_of(const json_t *list, size_t i)
{
    const json_t *own = only_required(json_array_get(list, i));
    json_t *lacks = json_object();

    for (size_t j = 0; j < json_array_size(list); j++) {
        const json_t *names = only_required(json_array_get(list, j));
        size_t k = 0;

        while (k < json_array_size(names) && is_among(own, json_array_get(names, k)))
            k++;
        if (j != i && k == json_array_size(names)) {
            json_decref(lacks);
            return json_false();
        }
        if (j != i)
            json_object_set_new(lacks, json_string_value(json_array_get(names, k)), json_false());
    }
    return json_pack("{s:s, s:O, s:o}", "type", "object", "required", own, "properties", lacks);
}

const json_t *schema_one_required(struct json_compiler *c, const json_t *list)
{
    const size_t n = json_array_size(list);
    json_t *made;

    if (n < 2 || n > GRAMMAR_ALIKE || schema_known(c, list)->beside != NULL)
        return schema_known(c, list)->beside;
    for (size_t i = 0; i < n; i++)
        if (only_required(json_array_get(list, i)) == NULL)
            return NULL;
    made = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(made, alone_of(list, i));
    json_array_append(c->made, made);
    json_decref(made);
    return schema_known(c, list)->beside = made;
}

bool schema_check_one_of(struct json_compiler *c, const json_t *list, const json_t *beside,
                         const char *path)
{
    const size_t n = json_array_size(list);
    struct error unused = {0}, *const err = c->err;

    if (!json_is_array(list) || n == 0)
        return schema_refuse(c, ERR_INVALID, path, "\"oneOf\" is no list of at least one schema");
    if (n > GRAMMAR_ALIKE)
        return fail(c->err, ERR_LIMIT, "%.300s: more than %d alternatives in one place", path,
                    GRAMMAR_ALIKE);
    c->err = &unused; /* what fails on the way is not shown, no more */
    for (size_t i = 0; i < n; i++)
        for (size_t j = i + 1; j < n; j++)
            if (!is_disjoint_beside(c, json_array_get(list, i), json_array_get(list, j), beside)) {
                c->err = err;
                return fail(err, ERR_UNSUPPORTED,
                            "%.300s: \"oneOf\" is offered where no value fits two of its schemas, "
                            "and %zu and %zu are not seen to differ (in type, in constants, in a "
                            "property that both require, or in bounds); use \"anyOf\"",
                            path, i, j);
            }
    c->err = err;
    return true;
}
