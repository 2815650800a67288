/*
 * eval_schema.c - a walk over schema and value together; both are no deeper than LIMIT_JSON_DEPTH.
 */
#include "server/eval_schema.h"
#include "base/size.h"

#include <math.h>
#include <stdio.h>

static bool has_type(const json_t *value, struct str type)
{
    return (str_is(type, "object") && json_is_object(value)) ||
           (str_is(type, "array") && json_is_array(value)) ||
           (str_is(type, "string") && json_is_string(value)) ||
           (str_is(type, "boolean") && json_is_boolean(value)) ||
           (str_is(type, "null") && json_is_null(value)) ||
           (str_is(type, "number") && json_is_number(value)) ||
           (str_is(type, "integer") &&
            (json_is_integer(value) ||
             (json_is_real(value) && json_real_value(value) == trunc(json_real_value(value)))));
}

static bool is_type_name(const json_t *v)
{
    static const char *const names[] = {"object", "array",  "string", "boolean",
                                        "null",   "number", "integer"};

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_is(json_str(v), names[i]))
            return true;
    return false;
}

static bool type_is_sane(const json_t *type)
{
    bool sane = json_is_array(type) && json_array_size(type) > 0;

    if (type == NULL || is_type_name(type))
        return true;
    for (size_t i = 0; i < json_array_size(type); i++)
        sane = sane && is_type_name(json_array_get(type, i));
    return sane;
}

static bool texts(const json_t *list)
{
    bool all = json_is_array(list);

    for (size_t i = 0; i < json_array_size(list); i++)
        all = all && json_is_string(json_array_get(list, i));
    return all;
}

bool eval_schema_is_sane(const json_t *schema, const char *where, struct error *err)
{
    const json_t *properties = json_object_get(schema, "properties"),
                 *required = json_object_get(schema, "required"),
                 *items = json_object_get(schema, "items");
    const char *key;
    json_t *inner;
    char path[256];

    if (!json_is_object(schema))
        return fail_code(err, ERR_INVALID, "invalid_type", where,
                         "%s is %s, a JSON schema (an object) was expected", where,
                         json_kind(schema));
    if (!type_is_sane(json_object_get(schema, "type")))
        return fail_param(err, ERR_INVALID, where, "%s: \"type\" is no type of JSON Schema", where);
    if (required != NULL && !texts(required))
        return fail_param(err, ERR_INVALID, where, "%s: \"required\" is no list of names", where);
    if (properties != NULL && !json_is_object(properties))
        return fail_param(err, ERR_INVALID, where, "%s: \"properties\" is %s", where,
                          json_kind(properties));
    json_object_foreach((json_t *)(uintptr_t)properties, key, inner)
    {
        snprintf(path, sizeof path, "%.160s.properties.%.60s", where, key);
        if (!json_is_boolean(inner) && !eval_schema_is_sane(inner, path, err))
            return false;
    }
    snprintf(path, sizeof path, "%.200s.items", where);
    return items == NULL || json_is_boolean(items) || eval_schema_is_sane(items, path, err);
}

static bool check_type(const json_t *type, const json_t *value, const char *what, struct error *err)
{
    bool ok = type == NULL || has_type(value, json_str(type));

    for (size_t i = 0; i < json_array_size(type); i++)
        ok = ok || has_type(value, json_str(json_array_get(type, i)));
    return ok ||
           fail(err, ERR_INVALID, "%s is %s, and the eval's item_schema says otherwise (\"type\")",
                what, json_kind(value));
}

static bool check_object(const json_t *schema, const json_t *value, const char *what,
                         struct error *err)
{
    const json_t *properties = json_object_get(schema, "properties"),
                 *more = json_object_get(schema, "additionalProperties"), *name;
    const json_t *required = json_object_get(schema, "required");
    const char *key;
    json_t *member;
    size_t i;
    char path[256];

    json_array_foreach(
        required, i,
        name) if (json_object_get(value, json_string_value(name)) ==
                  NULL) return fail(err, ERR_INVALID,
                                    "%s: \"%.80s\" is missing, which the eval's item_schema "
                                    "requires",
                                    what, json_string_value(name));
    json_object_foreach((json_t *)(uintptr_t)value, key, member)
    {
        const json_t *inner = json_object_get(properties, key);

        if (inner == NULL && json_is_false(more))
            return fail(err, ERR_INVALID, "%s: the eval's item_schema knows no \"%.80s\"", what,
                        key);
        snprintf(path, sizeof path, "%.160s.%.80s", what, key);
        if (inner == NULL)
            inner = more;
        if (json_is_object(inner) && !eval_schema_check(inner, member, path, err))
            return false;
    }
    return true;
}

static bool check_values(const json_t *schema, const json_t *value, const char *what,
                         struct error *err)
{
    const json_t *list = json_object_get(schema, "enum"), *one = json_object_get(schema, "const");
    bool found = !json_is_array(list);

    for (size_t i = 0; i < json_array_size(list); i++)
        found = found || json_equal(json_array_get(list, i), value);
    if (one != NULL && !json_equal(one, value))
        found = false;
    return found || fail(err, ERR_INVALID,
                         "%s has a value that the eval's item_schema does not allow (\"enum\" or "
                         "\"const\")",
                         what);
}

bool eval_schema_check(const json_t *schema, const json_t *value, const char *what,
                       struct error *err)
{
    const json_t *items = json_object_get(schema, "items");
    char path[256];

    if (!check_type(json_object_get(schema, "type"), value, what, err) ||
        !check_values(schema, value, what, err) ||
        (json_is_object(value) && !check_object(schema, value, what, err)))
        return false;
    for (size_t i = 0; json_is_object(items) && i < json_array_size(value); i++) {
        snprintf(path, sizeof path, "%.200s[%zu]", what, i);
        if (!eval_schema_check(items, json_array_get(value, i), path, err))
            return false;
    }
    return true;
}
