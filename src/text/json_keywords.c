/*
 * json_keywords.c - what each keyword of JSON Schema is here.
 *
 * A word that is none of them says nothing about a value (draft 2020-12, core, section 6.5), unless it looks like a slip: an answer must
 * not look checked where it is not.
 */
#include "base/size.h"
#include "text/json_compiler_internal.h"

#include <strings.h>

static const struct keyword {
    const char *name;
    enum schema_role role;
    unsigned speaks_of; /* kinds */
} keywords[] = {
    {"type", SCHEMA_ASSERTION, 0},
    {"properties", SCHEMA_ASSERTION, KIND_OBJECT},
    {"required", SCHEMA_ASSERTION, KIND_OBJECT},
    {"additionalProperties", SCHEMA_ASSERTION, KIND_OBJECT},
    {"patternProperties", SCHEMA_ASSERTION, KIND_OBJECT},
    {"propertyNames", SCHEMA_ASSERTION, KIND_OBJECT},
    {"minProperties", SCHEMA_ASSERTION, KIND_OBJECT},
    {"maxProperties", SCHEMA_ASSERTION, KIND_OBJECT},
    {"items", SCHEMA_ASSERTION, KIND_ARRAY},
    {"prefixItems", SCHEMA_ASSERTION, KIND_ARRAY},
    {"uniqueItems", SCHEMA_ASSERTION, KIND_ARRAY},
    {"minItems", SCHEMA_ASSERTION, KIND_ARRAY},
    {"maxItems", SCHEMA_ASSERTION, KIND_ARRAY},
    {"pattern", SCHEMA_ASSERTION, KIND_STRING},
    {"format", SCHEMA_ASSERTION, KIND_STRING},
    {"minLength", SCHEMA_ASSERTION, KIND_STRING},
    {"maxLength", SCHEMA_ASSERTION, KIND_STRING},
    {"minimum", SCHEMA_ASSERTION, KIND_NUMBER},
    {"maximum", SCHEMA_ASSERTION, KIND_NUMBER},
    {"exclusiveMinimum", SCHEMA_ASSERTION, KIND_NUMBER},
    {"exclusiveMaximum", SCHEMA_ASSERTION, KIND_NUMBER},
    {"multipleOf", SCHEMA_ASSERTION, KIND_NUMBER},
    {"enum", SCHEMA_WHOLE, 0},
    {"const", SCHEMA_WHOLE, 0},
    {"anyOf", SCHEMA_WHOLE, 0},
    {"oneOf", SCHEMA_WHOLE, 0},
    {"allOf", SCHEMA_WHOLE, 0},
    {"$ref", SCHEMA_WHOLE, 0},
    {"title", SCHEMA_ANNOTATION, 0},
    {"description", SCHEMA_ANNOTATION, 0},
    {"default", SCHEMA_ANNOTATION, 0},
    {"examples", SCHEMA_ANNOTATION, 0},
    {"deprecated", SCHEMA_ANNOTATION, 0},
    {"readOnly", SCHEMA_ANNOTATION, 0},
    {"writeOnly", SCHEMA_ANNOTATION, 0},
    {"$comment", SCHEMA_ANNOTATION, 0},
    {"$schema", SCHEMA_ANNOTATION, 0},
    {"$id", SCHEMA_ANNOTATION, 0},
    {"$defs", SCHEMA_ANNOTATION, 0},
    {"definitions", SCHEMA_ANNOTATION, 0},
    {"$anchor", SCHEMA_ANNOTATION, 0},
    {"$dynamicAnchor", SCHEMA_ANNOTATION, 0},
    {"$vocabulary", SCHEMA_ANNOTATION, 0},
    {"contentEncoding", SCHEMA_ANNOTATION, 0},
    {"contentMediaType", SCHEMA_ANNOTATION, 0},
    {"contentSchema", SCHEMA_ANNOTATION, 0},
    {"not", SCHEMA_REFUSED, 0},
    {"if", SCHEMA_REFUSED, 0},
    {"then", SCHEMA_REFUSED, 0},
    {"else", SCHEMA_REFUSED, 0},
    {"contains", SCHEMA_REFUSED, 0},
    {"minContains", SCHEMA_REFUSED, 0},
    {"maxContains", SCHEMA_REFUSED, 0},
    {"dependentRequired", SCHEMA_REFUSED, 0},
    {"dependentSchemas", SCHEMA_REFUSED, 0},
    {"unevaluatedItems", SCHEMA_REFUSED, 0},
    {"unevaluatedProperties", SCHEMA_REFUSED, 0},
    {"$dynamicRef", SCHEMA_REFUSED, 0},
    {"additionalItems", SCHEMA_ANNOTATION,
     0}, /* of earlier drafts, where "items" is a list, which is refused */
    /* of other drafts, and OpenAPI's */
    {"$recursiveRef", SCHEMA_REFUSED, 0},
    {"dependencies", SCHEMA_REFUSED, 0},
    {"disallow", SCHEMA_REFUSED, 0},
    {"divisibleBy", SCHEMA_REFUSED, 0},
    {"extends", SCHEMA_REFUSED, 0},
    {"nullable", SCHEMA_REFUSED, 0},
};

static const struct keyword *keyword_of(const char *name)
{
    for (size_t i = 0; i < COUNT_OF(keywords); i++)
        if (strcmp(keywords[i].name, name) == 0)
            return &keywords[i];
    return NULL;
}

enum schema_role schema_role(const char *keyword)
{
    const struct keyword *k = keyword_of(keyword);

    return k == NULL ? SCHEMA_UNKNOWN : k->role;
}

bool schema_asserts(const char *keyword)
{
    const enum schema_role role = schema_role(keyword);

    return role != SCHEMA_ANNOTATION && role != SCHEMA_UNKNOWN;
}

/* The same but for one letter more, less or other, or two that changed places (Damerau). */
static bool differ_by_one(const char *x, const char *y)
{
    while (*x != '\0' && *x == *y) {
        x++;
        y++;
    }
    return (*x != '\0' && strcmp(x + 1, y) == 0) || (*y != '\0' && strcmp(x, y + 1) == 0) ||
           (*x != '\0' && *y != '\0' &&
            (strcmp(x + 1, y + 1) == 0 ||
             (x[0] == y[1] && x[1] == y[0] && strcmp(x + 2, y + 2) == 0)));
}

#define LEAST_LETTERS 5 /* "then" and "when" are two words */

bool schema_is_slip(const char *word, const char *of)
{
    if (strcasecmp(word, of) == 0)
        return true;
    /* "_format" is no slip, somebody took it out */
    return strlen(of) >= LEAST_LETTERS && differ_by_one(word, of) && strcmp(word + 1, of) != 0;
}

/* The keyword that asserts something and that a word was meant to be; NULL: none. */
static const char *meant_by(const char *word)
{
    for (size_t i = 0; i < COUNT_OF(keywords); i++)
        if (keywords[i].role != SCHEMA_ANNOTATION && schema_is_slip(word, keywords[i].name))
            return keywords[i].name;
    return NULL;
}

static bool check_unknown(struct json_compiler *c, const char *word, const char *path)
{
    const char *meant = meant_by(word);

    return meant == NULL || fail(c->err, ERR_UNSUPPORTED,
                                 "%.300s: \"%.64s\" is no keyword of JSON Schema; is \"%s\" meant?",
                                 path, word, meant);
}

/* No keyword is refused; whole: one that stands for a whole schema, enum and const last. */
bool schema_check_keywords(struct json_compiler *c, const json_t *schema, const char *path,
                           const char **whole, unsigned *speaks_of)
{
    static const char *const wholes[] = {"$ref", "allOf", "anyOf", "oneOf", "enum", "const"};
    const char *key;
    json_t *value;

    *whole = NULL;
    *speaks_of = 0;
    json_object_foreach((json_t *)(uintptr_t)schema, key, value)
    {
        const struct keyword *k = keyword_of(key);

        if (k == NULL && !check_unknown(c, key, path))
            return false;
        if (k != NULL && k->role == SCHEMA_REFUSED)
            return fail(c->err, ERR_UNSUPPORTED, "%.300s: \"%.64s\" is not offered in a schema",
                        path, key);
        if (k != NULL && k->role == SCHEMA_ASSERTION)
            *speaks_of |= k->speaks_of;
    }
    for (size_t i = COUNT_OF(wholes); i-- > 0;)
        if (json_object_get(schema, wholes[i]) != NULL)
            *whole = wholes[i];
    return true;
}
