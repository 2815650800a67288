/*
 * json_compiler_internal.h - what the parts of the compiler share: json_schema.c goes through schemas, json_kinds.c makes rules of
 * their types, json_merge.c makes one schema of several.
 */
#ifndef HONE_TEXT_JSON_COMPILER_INTERNAL_H
#define HONE_TEXT_JSON_COMPILER_INTERNAL_H

#include "text/json_rules_internal.h"
#include "text/json_schema_internal.h"

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

/* What was made of a schema, by its node in the tree. */
struct known {
    const json_t *schema;
    uint32_t of, object, array; /* a union, rules; plus one, 0: not yet */
    uint32_t seen;              /* the last union that took it in, plus one */
    const json_t *rest;         /* it without $ref, allOf, ...; see json_merge.c */
    const json_t *constant;     /* of an array or object as a constant: a schema of it alone */
    const json_t *beside;       /* it without enum and const, where that says something */
    bool merged; /* made of others: "pattern" may be a list, and it may allow nothing */
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

/* A schema and what becomes of it. */
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
    uint64_t steps;           /* of all automata */
    size_t n_compared;        /* pairs of schemas, see json_disjoint.c */
    bool python;              /* constants are True, False and None */
    bool either;              /* patterns are read as PATTERN_EITHER */
    json_t *made;             /* a list of the schemas that were made of others */
    struct merge *merges;
    size_t n_merges;
    struct error *err;
};

bool schema_refuse(struct json_compiler *c, enum error_kind kind, const char *path,
                   const char *why); /* always false */
struct known *schema_known(struct json_compiler *c,
                           const json_t *schema); /* valid until the next call */
struct named_rule *schema_rule(struct json_compiler *c, struct str name, bool *is_new);
uint32_t schema_value(struct json_compiler *c, const json_t *schema, const char *path);
bool schema_put_member(struct json_compiler *c, uint32_t rule, const char *path);
/* The schema that a chain of plain references leads to; schema itself where there is none, or none that is offered. */
const json_t *schema_referred(struct json_compiler *c, const json_t *schema);
bool schema_check_keywords(struct json_compiler *c, const json_t *schema, const char *path,
                           const char **whole, unsigned *speaks_of);

/* Of a keyword: none; it says nothing about a value; something; a whole schema or values; something that is not offered. */
enum schema_role {
    SCHEMA_UNKNOWN,
    SCHEMA_ANNOTATION,
    SCHEMA_ASSERTION,
    SCHEMA_WHOLE,
    SCHEMA_REFUSED
};
enum schema_role schema_role(const char *keyword);
/* Whether it says something about a value, offered or not. */
bool schema_asserts(const char *keyword);
/* Whether a word looks as if another was meant. */
bool schema_is_slip(const char *word, const char *of);
/* What a "$ref" names, and its place; NULL, with an error, where that is nothing. */
const json_t *schema_resolve(struct json_compiler *c, const json_t *ref, const char *path,
                             const char **to_path);

/*
 * schema with all that holds together in one: without $ref, allOf and oneOf, and with an anyOf at most whose alternatives hold
 * beside the rest. It lives as long as the compiler.
 */
bool schema_merged(struct json_compiler *c, const json_t *schema, const char *path, unsigned depth,
                   const json_t **out);
/* What a merged schema says beside its anyOf, together with one more. */
bool schema_merged_with(struct json_compiler *c, const json_t *schema, const json_t *more,
                        const char *path, unsigned depth, const json_t **out);
/* An array or object as a constant, as a schema that it alone fits, its members in their order. */
const json_t *schema_of_constant(struct json_compiler *c, const json_t *v);
/* What a schema says beside enum, const and type; true: nothing. */
const json_t *schema_beside_constants(struct json_compiler *c, const json_t *schema);
/*
 * Of a oneOf whose schemas do nothing but require names: schemas that no value fits two of, each of a part of what the old one and no
 * other fits. NULL: it is no such list.
 */
const json_t *schema_one_required(struct json_compiler *c, const json_t *list);
/* Fails where two of oneOf's schemas are not seen to differ, each together with what is said beside them. */
bool schema_check_one_of(struct json_compiler *c, const json_t *list, const json_t *beside,
                         const char *path);

/* The kinds that "type" names, or 0 where it is missing. */
bool schema_kinds(struct json_compiler *c, const json_t *schema, const char *path, unsigned *all);
unsigned schema_kind_of(const json_t *v);
bool schema_is_same(const json_t *x, const json_t *y); /* the same value: 1 and 1.0 are */
/* As what is written has it: of Python True, False and None. */
void schema_put_constant(const struct json_compiler *c, struct buf *out, const json_t *v);
bool schema_counts(struct json_compiler *c, const json_t *schema, const char *path,
                   const char *min_key, const char *max_key, uint32_t *min, uint32_t *max);
bool schema_take_object(struct json_compiler *c, const json_t *schema, const char *path);
bool schema_take_array(struct json_compiler *c, const json_t *schema, const char *path);
bool schema_take_string(struct json_compiler *c, const json_t *schema, const char *path);
bool schema_take_number(struct json_compiler *c, const json_t *schema, const char *path,
                        bool whole);
/* What propertyNames says. Its automaton is in c->texts_arena. */
struct key_names {
    bool some, none;        /* anything; that there is no key */
    struct automaton texts; /* of the names' pattern, format and lengths */
    const json_t *list;     /* of texts, where they are an enum or a constant; or NULL */
};
bool schema_names(struct json_compiler *c, const json_t *schema, const char *path,
                  struct key_names *out);
bool schema_names_allow(const struct key_names *names, const char *key);
/* An object's schema in which the keys of an enum of names, and those that "required" alone names, are declared. */
bool schema_declared(struct json_compiler *c, const json_t *schema, const char *path,
                     const struct key_names *names, const json_t **out);
/* What the pattern and the format of a schema leave; some: it has any. In c->texts_arena; max becomes that of a format. */
bool schema_texts(struct json_compiler *c, const json_t *schema, const char *path, bool *some,
                  struct automaton *x, uint32_t *max);
#endif
