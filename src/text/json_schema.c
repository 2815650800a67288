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
#include "text/json_compiler_internal.h"

#include <inttypes.h>
#include <stdlib.h>

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
struct known *schema_known(struct json_compiler *c, const json_t *schema)
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

struct named_rule *schema_rule(struct json_compiler *c, struct str name, bool *is_new)
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

bool schema_refuse(struct json_compiler *c, enum error_kind kind, const char *path, const char *why)
{
    return fail(c->err, kind, "%.300s: %s", path, why);
}

/* ---- what a union is made of ---- */

uint32_t schema_value(struct json_compiler *c, const json_t *schema, const char *path)
{
    struct known *k = schema_known(c, schema);

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

bool schema_put_member(struct json_compiler *c, uint32_t rule, const char *path)
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

static void take_text(struct json_compiler *c, const char *text)
{
    buf_text(&c->texts, text);
    buf_char(&c->texts, '\n');
}

static bool take_kinds(struct json_compiler *c, const json_t *schema, const char *path,
                       unsigned all)
{
    if ((all & KIND_NULL) != 0)
        take_text(c, c->python ? "None" : "null");
    if ((all & KIND_BOOLEAN) != 0) {
        take_text(c, c->python ? "True" : "true");
        take_text(c, c->python ? "False" : "false");
    }
    return ((all & KIND_STRING) == 0 || schema_take_string(c, schema, path)) &&
           ((all & KIND_NUMBER) == 0 || schema_take_number(c, schema, path, false)) &&
           ((all & KIND_INTEGER) == 0 || (all & KIND_NUMBER) != 0 ||
            schema_take_number(c, schema, path, true)) &&
           ((all & KIND_ARRAY) == 0 || schema_take_array(c, schema, path)) &&
           ((all & KIND_OBJECT) == 0 || schema_take_object(c, schema, path));
}

/* ---- a schema ---- */

static bool collect(struct json_compiler *c, const json_t *schema, const char *path,
                    unsigned depth);

static bool collect_list(struct json_compiler *c, const json_t *list, const char *key,
                         const char *path, unsigned depth)
{
    if (!json_is_array(list) || json_array_size(list) == 0)
        return fail(c->err, ERR_INVALID, "%.300s: \"%s\" is no list of at least one schema", path,
                    key);
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

const json_t *schema_resolve(struct json_compiler *c, const json_t *ref, const char *path,
                             const char **to_path)
{
    bool rebased;
    const json_t *to = resolve(c, arena_percent_decoded(&c->arena, json_str(ref)), &rebased);

    if (to == NULL) {
        fail(c->err, json_is_string(ref) ? ERR_UNSUPPORTED : ERR_INVALID,
             "%.300s: \"$ref\" is \"%.64s\", and names nothing in this schema", path,
             json_is_string(ref) ? json_string_value(ref) : json_kind(ref));
        return NULL;
    }
    if (rebased) {
        fail(c->err, ERR_UNSUPPORTED,
             "%.300s: \"$ref\" is \"%.64s\", which leads into a schema with an \"$id\"; one is "
             "offered at the top alone",
             path, json_string_value(ref));
        return NULL;
    }
    *to_path = arena_printf(&c->arena, "%s%s", c->what, json_string_value(ref) + 1);
    return to;
}

static bool collect_ref(struct json_compiler *c, const json_t *ref, const char *path,
                        unsigned depth)
{
    const char *to_path;
    const json_t *to = schema_resolve(c, ref, path, &to_path);

    return to != NULL && collect(c, to, to_path, depth + 1);
}

/* The schema that a chain of plain references leads to; schema itself where there is none, or none that is offered. */
const json_t *schema_referred(struct json_compiler *c, const json_t *schema)
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

static size_t characters_of(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return n;
}

/* Whether a constant is what the keywords beside it say. */
static bool constant_fits(struct json_compiler *c, const json_t *v, const json_t *schema,
                          const char *path, bool *fits)
{
    uint32_t min, max;

    *fits = true;
    if (json_is_number(v) && json_object_get(schema, "multipleOf") != NULL)
        return schema_refuse(c, ERR_UNSUPPORTED, path,
                             "\"multipleOf\" beside \"enum\" is not offered");
    if (json_is_number(v)) {
        const double x = json_number_value(v);
        const json_t *least = json_object_get(schema, "minimum"),
                     *most = json_object_get(schema, "maximum"),
                     *over = json_object_get(schema, "exclusiveMinimum"),
                     *under = json_object_get(schema, "exclusiveMaximum");

        *fits = (least == NULL || x >= json_number_value(least)) &&
                (most == NULL || x <= json_number_value(most)) &&
                (over == NULL || x > json_number_value(over)) &&
                (under == NULL || x < json_number_value(under));
    } else if (json_is_string(v)) {
        struct automaton texts;
        bool some;

        if (!schema_counts(c, schema, path, "minLength", "maxLength", &min, &max) ||
            !schema_texts(c, schema, path, &some, &texts, &max))
            return false;
        const size_t n = characters_of(json_str(v));
        *fits = n >= min && n <= max && (!some || automaton_label(&texts, json_str(v)) != 0);
        arena_reset(&c->texts_arena);
    }
    return true;
}

/* A constant of a schema, where it is what else that says: a text, or of an array or object rules of its parts. */
static bool take_constant(struct json_compiler *c, const json_t *v, const json_t *schema,
                          const char *path, unsigned depth, bool *some)
{
    bool fits;

    if (json_is_array(v) || json_is_object(v)) {
        const json_t *const beside = schema_beside_constants(c, schema), *one;

        if (json_is_true(beside))
            one = schema_of_constant(c, v);
        else if (!schema_merged_with(c, beside, schema_of_constant(c, v), path, depth + 1, &one))
            return false;
        *some = *some || !json_is_false(one);
        return collect(c, one, path, depth + 1);
    }
    if (!constant_fits(c, v, schema, path, &fits))
        return false;
    if (fits) {
        schema_put_constant(c, &c->texts, v);
        buf_char(&c->texts, '\n');
    }
    *some = *some || fits;
    return true;
}

static bool collect_constants(struct json_compiler *c, const json_t *schema, const char *path,
                              unsigned depth)
{
    const json_t *one = json_object_get(schema, "const"), *list = json_object_get(schema, "enum");
    bool some = false;
    unsigned all;

    if (!schema_kinds(c, schema, path, &all))
        return false;
    if (list != NULL && (!json_is_array(list) || json_array_size(list) == 0))
        return schema_refuse(c, ERR_INVALID, path, "\"enum\" is no list of at least one value");
    for (size_t i = 0; i < (list == NULL ? 1 : json_array_size(list)); i++) {
        const json_t *v = list == NULL ? one : json_array_get(list, i);

        if ((one != NULL && !schema_is_same(v, one)) ||
            (all != 0 && (all & schema_kind_of(v)) == 0))
            continue;
        if (!take_constant(c, one != NULL ? one : v, schema, path, depth, &some))
            return false;
    }
    return some || schema_known(c, schema)->merged ||
           schema_refuse(c, ERR_INVALID, path,
                         "no constant is what \"type\" and the other keywords say");
}

/* Whether nothing is asserted beside a keyword. */
static bool stands_alone(const json_t *schema, const char *whole)
{
    const char *key;
    json_t *value;

    json_object_foreach((json_t *)(uintptr_t)schema, key, value)
    {
        const enum schema_role role = schema_role(key);

        if ((role == SCHEMA_ASSERTION || role == SCHEMA_WHOLE) && strcmp(key, whole) != 0)
            return false;
    }
    return true;
}

/* Where more than one thing is said of a value: of a schema that is one of all of them. */
static bool collect_merged(struct json_compiler *c, const json_t *schema, const char *path,
                           unsigned depth)
{
    const json_t *merged, *any, *one;

    if (!schema_merged(c, schema, path, depth, &merged))
        return false;
    any = json_object_get(merged, "anyOf");
    if (any == NULL)
        return merged == schema ? collect_constants(c, schema, path, depth)
                                : collect(c, merged, path, depth + 1);
    if (!json_is_array(any) || json_array_size(any) == 0)
        return schema_refuse(c, ERR_INVALID, path, "\"anyOf\" is no list of at least one schema");
    for (size_t i = 0; i < json_array_size(any); i++) {
        const char *at = arena_printf(&c->arena, "%s/anyOf/%zu", path, i);

        if (!schema_merged_with(c, merged, json_array_get(any, i), at, depth + 1, &one) ||
            !collect(c, one, at, depth + 1))
            return false;
    }
    return true;
}

static bool is_constants(const char *whole)
{
    return strcmp(whole, "enum") == 0 || strcmp(whole, "const") == 0;
}

static bool is_simple(const json_t *schema, const char *whole)
{
    return stands_alone(schema, whole) &&
           (strcmp(whole, "allOf") != 0 || json_array_size(json_object_get(schema, whole)) <= 1);
}

/* Puts what a schema allows into the union that is being filled. */
static bool collect(struct json_compiler *c, const json_t *schema, const char *path, unsigned depth)
{
    const char *whole;
    unsigned all, speaks_of;

    if (schema_known(c, schema)->seen == c->filling + 1)
        return true; /* it is in already: an alternative twice, or one that names itself */
    schema_known(c, schema)->seen = c->filling + 1;
    if (json_is_true(schema))
        return take_kinds(c, schema, path, KIND_ANY);
    if (json_is_false(schema))
        return true;
    if (!json_is_object(schema))
        return fail(c->err, ERR_INVALID, "%.300s is %s, a schema was expected", path,
                    json_kind(schema));
    if (depth > GRAMMAR_DEPTH)
        return schema_refuse(c, ERR_LIMIT, path,
                             "too many anyOf, allOf and $ref lead to each other");
    if (has_own_base(c, schema))
        return schema_refuse(c, ERR_UNSUPPORTED, path,
                             "\"$id\" is offered at the top of a schema alone");
    if (!schema_check_keywords(c, schema, path, &whole, &speaks_of))
        return false;
    if (whole != NULL && strcmp(whole, "oneOf") == 0 && stands_alone(schema, whole)) {
        const json_t *one = json_object_get(schema, whole), *parted = schema_one_required(c, one);

        return (parted != NULL || schema_check_one_of(c, one, json_true(), path)) &&
               collect_list(c, parted != NULL ? parted : one, whole, path, depth);
    }
    if (whole != NULL && !is_constants(whole) && !is_simple(schema, whole))
        return collect_merged(c, schema, path, depth);
    if (whole != NULL && strcmp(whole, "$ref") == 0)
        return collect_ref(c, json_object_get(schema, whole), path, depth);
    if (whole != NULL && (strcmp(whole, "anyOf") == 0 || strcmp(whole, "allOf") == 0))
        return collect_list(c, json_object_get(schema, whole), whole, path, depth);
    if (whole != NULL)
        return collect_constants(c, schema, path, depth);
    if (!schema_kinds(c, schema, path, &all))
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
    struct named_rule *r = schema_rule(c, texts, &is_new);
    if (is_new) {
        r->rule = build_rule(&c->b, 0, GRAMMAR_FREE);
        for (size_t at = 0; at < texts.len && !c->b.full;) {
            const size_t end = str_find(texts, STR("\n"), at);

            build_accept(&c->b, build_text(&c->b, c->b.rules[r->rule].start,
                                           (struct str){texts.ptr + at, end - at}, 0));
            at = end + 1;
        }
    }
    return schema_put_member(c, r->rule, path);
}

static bool fill(struct json_compiler *c, const struct pending *p)
{
    c->document = p->document;
    c->what = p->what;
    c->filling = schema_known(c, p->schema)->of - 1;
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
    c->made = json_array();
    *out = c;
    return true;
}

void json_compiler_close(struct json_compiler *c)
{
    if (c == NULL)
        return;
    buf_release(&c->texts);
    buf_release(&c->set_texts);
    json_decref(c->made);
    grammar_builder_release(&c->b);
    arena_release(&c->texts_arena);
    arena_release(&c->arena);
    free(c);
}

void json_compiler_python(struct json_compiler *c)
{
    c->python = true;
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
    return schema_value(c, schema, path);
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
