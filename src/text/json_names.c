/*
 * json_names.c - which keys an object may have: what propertyNames says, and keys that "required" alone names.
 */
#include "text/json_compiler_internal.h"

#include <string.h>

static json_t *shared(const json_t *v)
{
    return json_incref((json_t *)(uintptr_t)v);
}

/* The texts among constants, those with a zero byte aside: others are no names. */
static json_t *texts_of(const json_t *list)
{
    json_t *out = json_array(), *v;
    size_t i;

    json_array_foreach(list, i, v)
    {
        if (json_is_string(v) && strlen(json_string_value(v)) == json_string_length(v))
            json_array_append(out, v);
    }
    return out;
}

/* What propertyNames says, as one schema of texts; NULL: nothing. */
static bool names_schema(struct json_compiler *c, const json_t *schema, const char *path,
                         const json_t **out)
{
    const json_t *names = json_object_get(schema, "propertyNames");

    *out = names;
    if (names == NULL || json_is_boolean(names))
        return true;
    if (!schema_merged(c, names, arena_printf(&c->arena, "%s/propertyNames", path), 1, out))
        return false;
    return !json_is_object(*out) || json_object_get(*out, "anyOf") == NULL ||
           schema_refuse(c, ERR_UNSUPPORTED, path,
                         "\"propertyNames\" with alternatives is not offered; a pattern, a format, "
                         "lengths and an enum are");
}

bool schema_names(struct json_compiler *c, const json_t *schema, const char *path,
                  struct key_names *out)
{
    const json_t *names, *one;
    uint32_t min, max;
    bool some;
    unsigned all;
    struct automaton lengths;
    struct error e = {0};

    *out = (struct key_names){0};
    if (!names_schema(c, schema, path, &names))
        return false;
    if (names == NULL || json_is_true(names))
        return true;
    out->some = true;
    out->none = json_is_false(names);
    if (out->none)
        return true;
    const char *at = arena_printf(&c->arena, "%s/propertyNames", path);
    if (!schema_kinds(c, names, at, &all) ||
        !schema_counts(c, names, at, "minLength", "maxLength", &min, &max) ||
        !schema_texts(c, names, at, &some, &out->texts, &max))
        return false;
    out->none = all != 0 && (all & KIND_STRING) == 0;
    one = json_object_get(names, "const");
    if (one != NULL || json_object_get(names, "enum") != NULL) {
        json_t *list = one != NULL ? json_pack("[O]", one) : shared(json_object_get(names, "enum"));

        out->list = texts_of(list);
        json_array_append_new(c->made, (json_t *)(uintptr_t)out->list);
        json_decref(list);
    }
    return (automaton_lengths(&c->texts_arena, min, max, &lengths, &e) &&
            (!some || automaton_join(&c->texts_arena, &out->texts, &lengths, AUTOMATON_AND, 0,
                                     &lengths, &e)) &&
            (out->texts = lengths, true)) ||
           fail(c->err, e.kind, "%.240s: %s", at, e.message);
}

bool schema_names_allow(const struct key_names *names, const char *key)
{
    if (!names->some)
        return true;
    if (names->none || automaton_label(&names->texts, str_of(key)) == 0)
        return false;
    for (size_t i = 0; names->list != NULL; i++) {
        if (i == json_array_size(names->list))
            return false;
        if (strcmp(json_string_value(json_array_get(names->list, i)), key) == 0)
            return true;
    }
    return true;
}

/* Declares a key that is not, as what additionalProperties says. */
static void declare(const json_t *schema, const char *key, json_t *properties)
{
    const json_t *more = json_object_get(schema, "additionalProperties");

    if (json_object_get(properties, key) == NULL)
        json_object_set(properties, key, more != NULL ? (json_t *)(uintptr_t)more : json_true());
}

bool schema_declared(struct json_compiler *c, const json_t *schema, const char *path,
                     const struct key_names *names, const json_t **out)
{
    const json_t *of = json_object_get(schema, "properties"),
                 *required = json_object_get(schema, "required");
    const bool listed = names->list != NULL && json_object_size(of) == 0;
    json_t *properties, *made, *name, *value, *no = json_false();
    const char *key;
    size_t i;
    void *next;

    *out = schema;
    if (listed && json_object_size(json_object_get(schema, "patternProperties")) > 0)
        return schema_refuse(c, ERR_UNSUPPORTED, path,
                             "\"patternProperties\" beside an enum of \"propertyNames\" is not "
                             "offered; declare them as \"properties\"");
    made = json_copy((json_t *)(uintptr_t)schema);
    json_array_append_new(c->made, made);
    properties = of != NULL ? json_copy((json_t *)(uintptr_t)of) : json_object();
    if (listed)
        json_array_foreach(names->list, i, name)
            declare(schema, json_string_value(name), properties);
    if (json_object_size(json_object_get(schema, "patternProperties")) == 0)
        json_array_foreach(required, i, name)
        {
            if (json_is_string(name))
                declare(schema, json_string_value(name), properties);
        }
    json_object_foreach_safe(properties, next, key, value)
    {
        if (!schema_names_allow(names, key))
            json_object_set(properties, key, no);
    }
    json_object_set_new(made, "properties", properties);
    if (listed || json_object_size(properties) > json_object_size(of))
        json_object_set_new(made, "additionalProperties", json_false());
    schema_known(c, made)->merged = schema_known(c, schema)->merged;
    *out = made;
    return true;
}
