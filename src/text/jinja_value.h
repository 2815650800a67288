/*
 * jinja_value.h - the values of a template: what Python would hold, in an arena that lives for one render.
 *
 * Values are small and copied. What they point to never changes once it is built, but for namespaces, loops and
 * generators; so lists and texts are shared freely, and constants belong to the template itself.
 *
 * Text is UTF-8, and every text knows its number of characters, because Python counts characters.
 */
#ifndef HONE_TEXT_JINJA_VALUE_H
#define HONE_TEXT_JINJA_VALUE_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdint.h>

/* What a hostile template meets first. */
#define JINJA_MAX_STEPS                                                                            \
    ((uint64_t)10000000)          /* evaluations, iterations and 64-byte pieces of text */
#define JINJA_MAX_DEPTH 200       /* macros, loops and calls inside each other */
#define JINJA_MAX_NESTING 250     /* statements and expressions inside each other */
#define JINJA_MAX_VALUE_DEPTH 600 /* lists in lists in lists */
#define JINJA_MAX_MEMORY ((size_t)512 << 20) /* all values of one render */
#define JINJA_MAX_PARAMETERS 250             /* of a macro */
#define JINJA_MAX_BLOCKS 1000
#define JINJA_MAX_RANGE 100000 /* as jinja2's sandbox */

enum jinja_type {
    JINJA_MISSING, /* nothing was stored here yet; never seen by a template */
    JINJA_UNDEFINED,
    JINJA_NONE,
    JINJA_BOOL,
    JINJA_INT,
    JINJA_FLOAT,
    JINJA_STR,
    JINJA_LIST,
    JINJA_TUPLE,
    JINJA_DICT,
    JINJA_NAMESPACE,
    JINJA_RANGE,
    JINJA_VIEW, /* what dict.keys(), .values(), .items() give */
    JINJA_GENERATOR,
    JINJA_LOOP,
    JINJA_MACRO,
    JINJA_FUNCTION, /* a global of ours */
    JINJA_METHOD,   /* a function of ours and the value that it belongs to */
    JINJA_CYCLER,
    JINJA_JOINER,
    JINJA_SELF,  /* the template: has its blocks */
    JINJA_BLOCK, /* one of them, to be called */
};

struct jinja_value {
    uint8_t type; /* enum jinja_type */
    bool safe;    /* a str that is markupsafe's Markup: adding to it escapes */
    bool group;   /* a tuple out of groupby: has .grouper and .list */
    union {
        bool b;
        int64_t i;
        double d;
        const struct jinja_text *text;
        const struct jinja_seq *seq;
        struct jinja_dict *dict; /* of a namespace, too */
        const struct jinja_range *range;
        const struct jinja_view *view;
        struct jinja_gen *gen;
        struct jinja_loop *loop;
        const struct jinja_macro *macro;
        const struct jinja_builtin *function;
        const struct jinja_method *method;
        const struct jinja_undefined *undefined;
        struct jinja_cycler *cycler;
        const struct jinja_node *block;
    };
};

/*
 * A place for later: where a text came from. Tokenizing look-alikes of special tokens inside a message as plain text
 * needs to know which bytes of the output the template wrote and which the caller's data did. A text would carry
 * spans of origin here, concatenation and slicing would carry them on, and jinja_put would lay them beside render.out.
 */
struct jinja_text {
    const char *ptr;
    size_t len;
    size_t n_chars; /* equal to len where all is ASCII */
};

struct jinja_seq {
    size_t n;
    struct jinja_value *items;
};

struct jinja_entry {
    struct jinja_value key, value;
    uint64_t hash;
};

struct jinja_dict {
    size_t n, cap;
    struct jinja_entry *entries; /* in order of insertion */
    uint32_t *index;             /* open addressing, entry + 1; NULL while there are few */
    size_t mask;
    bool printing; /* a namespace may contain itself */
};

struct jinja_range {
    int64_t start, stop, step;
    size_t n;
};

/* Item at of a range, 0..n-1: it fits, though a product on the way need not. */
static inline int64_t jinja_range_item(const struct jinja_range *range, size_t at)
{
    return (int64_t)((uint64_t)range->start + (uint64_t)at * (uint64_t)range->step);
}

enum jinja_view_kind { JINJA_KEYS, JINJA_VALUES, JINJA_ITEMS };
struct jinja_view {
    enum jinja_view_kind kind;
    struct jinja_dict *dict;
};

struct jinja_undefined {
    const char *hint; /* the whole sentence, or NULL */
    bool has_owner;   /* name was looked for in owner */
    struct jinja_value owner, name;
};

struct jinja_method {
    const struct jinja_builtin *function;
    struct jinja_value self;
};

struct jinja_cycler {
    const struct jinja_seq *items;
    size_t at; /* of a joiner: how often it was called */
    struct jinja_value sep;
};

/* Where an iteration stands. */
struct jinja_iter {
    struct jinja_value of;
    size_t at;
};

/* Something that is iterated once, and computes each value when it is asked for. */
struct jinja_render;
struct jinja_gen {
    bool (*next)(struct jinja_render *r, struct jinja_gen *g, struct jinja_value *out, bool *done);
    const char *type_name; /* "generator" */
    bool running, finished;
    struct jinja_iter from;
    void *state;
};

/* One rendering. Belongs to one thread. */
struct jinja_span {
    size_t from, to;
};
struct jinja_render {
    struct arena *arena;
    char *chunk; /* small values are cut from chunks of the arena */
    size_t chunk_left;
    struct error *err;
    uint32_t line; /* that is being evaluated */
    uint64_t steps, max_steps;
    int depth;   /* calls, loops and values inside each other */
    int nesting; /* levels of evaluation on the C stack */

    /* The output so far. What is captured ({% set %}, macros, texts being built) is its tail, taken off when done. */
    struct buf out;
    size_t n_captures,
        outermost_capture; /* where the output proper ends while something is captured */

    struct jinja_dict *context;    /* globals, then the caller's variables */
    struct jinja_activation *root; /* variables of the template's top level */
    const struct jinja_program *program;
    bool autoescape; /* within {% autoescape true %} */

    struct jinja_span *spans; /* of generation blocks; may be NULL */
    size_t max_spans, n_spans;
};

/* Failing: all false. "chat template, line N: " goes in front. */
bool jinja_raise(struct jinja_render *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool jinja_limit(struct jinja_render *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool jinja_unsupported(struct jinja_render *r, const char *fmt, ...) PRINTF_LIKE(2, 3);
bool jinja_raise_undefined(struct jinja_render *r, struct jinja_value undefined);
#ifdef __clang_analyzer__ /* as in error.h */
#define jinja_raise(...) ((void)(jinja_raise)(__VA_ARGS__), false)
#define jinja_limit(...) ((void)(jinja_limit)(__VA_ARGS__), false)
#define jinja_unsupported(...) ((void)(jinja_unsupported)(__VA_ARGS__), false)
#define jinja_raise_undefined(...) ((void)(jinja_raise_undefined)(__VA_ARGS__), false)
#endif

MUST_CHECK bool jinja_charge(struct jinja_render *r, uint64_t steps);
/* One level deeper in values; undone by r->depth--. */
MUST_CHECK bool jinja_enter_value(struct jinja_render *r);
/* Memory of this render, zeroed; NULL past JINJA_MAX_MEMORY, which is told. */
MUST_CHECK void *jinja_alloc(struct jinja_render *r, size_t count, size_t size);

/* ---- making values ---- */

static inline struct jinja_value jinja_none(void)
{
    return (struct jinja_value){.type = JINJA_NONE};
}

static inline struct jinja_value jinja_bool(bool b)
{
    return (struct jinja_value){.type = JINJA_BOOL, .b = b};
}

static inline struct jinja_value jinja_int(int64_t i)
{
    return (struct jinja_value){.type = JINJA_INT, .i = i};
}

static inline struct jinja_value jinja_float(double d)
{
    return (struct jinja_value){.type = JINJA_FLOAT, .d = d};
}

size_t jinja_count_chars(struct str s);
MUST_CHECK bool jinja_str(struct jinja_render *r, struct str s,
                          struct jinja_value *out); /* copies */
MUST_CHECK bool jinja_str_view(struct jinja_render *r, struct str s,
                               struct jinja_value *out); /* does not */
MUST_CHECK bool jinja_list(struct jinja_render *r, size_t n, struct jinja_value **items,
                           struct jinja_value *out);
MUST_CHECK bool jinja_tuple(struct jinja_render *r, size_t n, struct jinja_value **items,
                            struct jinja_value *out);
MUST_CHECK bool jinja_pair(struct jinja_render *r, struct jinja_value a, struct jinja_value b,
                           struct jinja_value *out);
/* hint as by printf; tells what happens when the value is used */
MUST_CHECK bool jinja_undefined_hint(struct jinja_render *r, struct jinja_value *out,
                                     const char *fmt, ...) PRINTF_LIKE(3, 4);
MUST_CHECK bool jinja_undefined_name(struct jinja_render *r, struct str name,
                                     struct jinja_value *out);
MUST_CHECK bool jinja_undefined_in(struct jinja_render *r, struct jinja_value owner,
                                   struct jinja_value name, struct jinja_value *out);

/* A list that grows while it is built. */
struct jinja_items {
    struct jinja_value *ptr;
    size_t n, cap;
};
MUST_CHECK bool jinja_items_add(struct jinja_render *r, struct jinja_items *items,
                                struct jinja_value v);
MUST_CHECK bool jinja_items_list(struct jinja_render *r, const struct jinja_items *items,
                                 struct jinja_value *out);

/* ---- text that is being built: the tail of the output ---- */

static inline size_t jinja_mark(const struct jinja_render *r)
{
    return r->out.len;
}
void jinja_put(struct jinja_render *r, struct str s);
/* Takes off what was put since mark, as a value. */
MUST_CHECK bool jinja_take(struct jinja_render *r, size_t mark, struct jinja_value *out);
MUST_CHECK bool jinja_put_ok(struct jinja_render *r);

/* ---- dictionaries ---- */

MUST_CHECK struct jinja_dict *jinja_dict_new(struct jinja_render *r, size_t expected);
MUST_CHECK bool jinja_dict_set(struct jinja_render *r, struct jinja_dict *d, struct jinja_value key,
                               struct jinja_value value);
/* *out is NULL where there is no such key; fails where the key cannot be hashed. */
MUST_CHECK bool jinja_dict_get(struct jinja_render *r, const struct jinja_dict *d,
                               struct jinja_value key, const struct jinja_value **out);
const struct jinja_value *jinja_dict_find(const struct jinja_dict *d, struct str key);
/* The entries in the order of their keys; strict: keys without an order are an error. */
MUST_CHECK bool jinja_dict_sorted(struct jinja_render *r, const struct jinja_dict *d, bool strict,
                                  struct jinja_entry **out);
static inline struct jinja_value jinja_dict_value(struct jinja_dict *d)
{
    return (struct jinja_value){.type = JINJA_DICT, .dict = d};
}

/* ---- what Python asks of values ---- */

const char *jinja_type_name(struct jinja_value v);
bool jinja_is_number(struct jinja_value v); /* int, float or bool */
/* The whole number in an int or bool. */
bool jinja_as_int(struct jinja_value v, int64_t *out);
bool jinja_as_double(struct jinja_value v, double *out); /* int, float, bool */
MUST_CHECK bool jinja_truth(struct jinja_render *r, struct jinja_value v, bool *out);
/* len(v), or sized = false where there is none. */
bool jinja_length(struct jinja_value v, size_t *out);
MUST_CHECK bool jinja_equal(struct jinja_render *r, struct jinja_value a, struct jinja_value b,
                            bool *out);
bool jinja_same(struct jinja_value a, struct jinja_value b); /* a is b */
enum jinja_order { JINJA_LT, JINJA_LE, JINJA_GT, JINJA_GE };
MUST_CHECK bool jinja_order(struct jinja_render *r, enum jinja_order op, struct jinja_value a,
                            struct jinja_value b, bool *out);
MUST_CHECK bool jinja_contains(struct jinja_render *r, struct jinja_value in, struct jinja_value v,
                               bool *out);
MUST_CHECK bool jinja_hash(struct jinja_render *r, struct jinja_value v, uint64_t *out);

bool jinja_iterable(struct jinja_value v);
MUST_CHECK bool jinja_iter(struct jinja_render *r, struct jinja_value v, struct jinja_iter *out);
MUST_CHECK bool jinja_next(struct jinja_render *r, struct jinja_iter *it, struct jinja_value *out,
                           bool *done);
/* list(v) */
MUST_CHECK bool jinja_collect(struct jinja_render *r, struct jinja_value v,
                              struct jinja_items *out);
MUST_CHECK bool jinja_generator(struct jinja_render *r, const char *type_name,
                                struct jinja_value from,
                                bool (*next)(struct jinja_render *, struct jinja_gen *,
                                             struct jinja_value *, bool *),
                                void *state, struct jinja_value *out);

/* ---- printing, jinja_repr.c: each puts onto the output's tail ---- */

MUST_CHECK bool jinja_put_str(struct jinja_render *r, struct jinja_value v);  /* str(v) */
MUST_CHECK bool jinja_put_repr(struct jinja_render *r, struct jinja_value v); /* repr(v) */
void jinja_put_str_repr(struct jinja_render *r, struct str s);
void jinja_put_double(struct jinja_render *r, double d);
MUST_CHECK bool jinja_to_str(struct jinja_render *r, struct jinja_value v,
                             struct jinja_value *out); /* str(v), a plain str */
MUST_CHECK bool jinja_soft_str(struct jinja_render *r, struct jinja_value v,
                               struct jinja_value *out);      /* keeps a str as it is */
void jinja_put_escaped(struct jinja_render *r, struct str s); /* & < > ' " as HTML */
MUST_CHECK bool jinja_escape(struct jinja_render *r, struct jinja_value v,
                             struct jinja_value *out); /* markupsafe.escape */

struct jinja_json {
    bool ensure_ascii, sort_keys;
    bool pretty;       /* a line for each member */
    struct str indent; /* what one level adds */
    struct str comma, colon;
};
MUST_CHECK bool jinja_put_json(struct jinja_render *r, struct jinja_value v,
                               const struct jinja_json *fmt);

/* ---- operators, jinja_ops.c ---- */

enum jinja_op {
    JINJA_ADD,
    JINJA_SUB,
    JINJA_MUL,
    JINJA_DIV,
    JINJA_FLOORDIV,
    JINJA_MOD,
    JINJA_POW,
    JINJA_EQ,
    JINJA_NE,
    JINJA_OP_LT,
    JINJA_OP_LE,
    JINJA_OP_GT,
    JINJA_OP_GE,
    JINJA_IN,
    JINJA_NOT_IN,
};
MUST_CHECK bool jinja_binary(struct jinja_render *r, enum jinja_op op, struct jinja_value a,
                             struct jinja_value b, struct jinja_value *out);
MUST_CHECK bool jinja_negate(struct jinja_render *r, bool minus, struct jinja_value v,
                             struct jinja_value *out);
/* obj.name: attribute, then item. obj[key]: item, then attribute. Nothing there gives undefined. */
MUST_CHECK bool jinja_getattr(struct jinja_render *r, struct jinja_value obj, struct str name,
                              struct jinja_value *out);
MUST_CHECK bool jinja_getitem(struct jinja_render *r, struct jinja_value obj,
                              struct jinja_value key, struct jinja_value *out);
/* obj[start:stop:step]; a bound that was not written is None. */
MUST_CHECK bool jinja_slice(struct jinja_render *r, struct jinja_value obj,
                            struct jinja_value start, struct jinja_value stop,
                            struct jinja_value step, struct jinja_value *out);
/* The attribute of Python's type, as getattr(obj, name): found says whether there is one. Unsafe ones are undefined. */
MUST_CHECK bool jinja_attribute(struct jinja_render *r, struct jinja_value obj, struct str name,
                                bool *found, struct jinja_value *out);
/* Characters from..to-1 of a text. */
MUST_CHECK bool jinja_substring(struct jinja_render *r, struct jinja_value text, size_t from,
                                size_t to, struct jinja_value *out);
size_t jinja_char_offset(const struct jinja_text *t,
                         size_t at); /* byte offset of character at, 0..n_chars */

/* ---- formatting, jinja_format.c ---- */

MUST_CHECK bool jinja_percent(struct jinja_render *r, struct jinja_value format,
                              struct jinja_value args, struct jinja_value *out);
#endif
