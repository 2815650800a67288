/*
 * jinja_ast.h - a template as a tree; read-only once it is parsed, so that threads share it.
 *
 * jinja2 compiles a template to Python, and its scopes are Python's: each macro is a function, each loop or block a
 * frame inside one, and a name is a variable of exactly one frame, chosen before anything runs. jinja_scope.c makes the
 * same choice here: a name becomes a slot of the function it is in, or of one around it.
 */
#ifndef HONE_TEXT_JINJA_AST_H
#define HONE_TEXT_JINJA_AST_H

#include "text/jinja_value.h"

enum jinja_kind {
    /* expressions */
    JINJA_N_CONST,
    JINJA_N_NAME,
    JINJA_N_NSREF, /* ns.attribute as the target of set */
    JINJA_N_TUPLE,
    JINJA_N_LIST,
    JINJA_N_DICT, /* key, value, key, value */
    JINJA_N_CONDITIONAL,
    JINJA_N_AND,
    JINJA_N_OR,
    JINJA_N_NOT,
    JINJA_N_NEGATE,
    JINJA_N_PLUS,
    JINJA_N_BINARY,
    JINJA_N_CONCAT,
    JINJA_N_COMPARE,
    JINJA_N_OPERAND,
    JINJA_N_GETATTR,
    JINJA_N_GETITEM,
    JINJA_N_SLICE,
    JINJA_N_CALL,
    JINJA_N_FILTER,
    JINJA_N_TEST,
    JINJA_N_KEYWORD,
    /* statements */
    JINJA_N_DATA,
    JINJA_N_OUTPUT,
    JINJA_N_IF,
    JINJA_N_FOR,
    JINJA_N_SET,
    JINJA_N_SET_BLOCK,
    JINJA_N_MACRO,
    JINJA_N_CALL_BLOCK,
    JINJA_N_GENERATION,
    JINJA_N_FILTER_BLOCK,
    JINJA_N_WITH,
    JINJA_N_AUTOESCAPE,
    JINJA_N_BLOCK,
    JINJA_N_BREAK,
    JINJA_N_CONTINUE,
    JINJA_N_REFUSED, /* include and the like: fails when it is reached */
};

struct jinja_nodes {
    struct jinja_node *first, *last;
    size_t n;
};

/* A variable: slot of the activation that is up functions further out. */
struct jinja_ref {
    uint16_t up, slot;
};

/* What a frame does to its variables when it is entered. */
enum jinja_load_action {
    JINJA_LOAD_PARAMETER, /* set by who enters */
    JINJA_LOAD_RESOLVE,   /* from the context */
    JINJA_LOAD_ALIAS,     /* the value of an outer frame's variable */
    JINJA_LOAD_UNDEFINED,
    JINJA_LOAD_EXPORTED, /* in a block: what the top level stored, or the context */
};
struct jinja_load {
    enum jinja_load_action action;
    uint16_t slot;
    struct jinja_ref from; /* of an alias */
    struct str name;
};
struct jinja_frame {
    size_t n;
    struct jinja_load *loads;
};

/* What Python would compile to one function: the template, a macro, a block, a loop's filter. */
struct jinja_function {
    size_t n_slots;
    struct jinja_frame frame;
};

struct jinja_invocation { /* of a call, filter or test */
    struct jinja_node *target;
    struct str name;
    const struct jinja_builtin
        *row; /* of a filter or test; NULL where unknown: fails when reached */
    struct jinja_nodes args, kwargs;
    struct jinja_node *star, *star_star;
};

struct jinja_for {
    struct jinja_node *target, *iter, *test, *test_target;
    struct jinja_nodes body, orelse;
    bool recursive, extended, has_else, escapes;
    struct jinja_ref loop;
    struct jinja_frame body_frame, else_frame;
    struct jinja_function *test_function;
    struct jinja_function *recursive_function; /* the body, where the loop is recursive */
};

struct jinja_macro_node {
    struct str name;
    struct jinja_nodes params;   /* names */
    struct jinja_nodes defaults; /* of the last ones */
    struct jinja_nodes body;
    struct jinja_node *call; /* of a call block */
    struct jinja_ref ref;    /* where a macro is stored */
    bool uses_caller, uses_kwargs, uses_varargs, explicit_caller;
    uint16_t caller, kwargs, varargs; /* slots */
    struct jinja_function *function;
};

/* A macro as a value: its definition, and the variables that were around it. */
struct jinja_macro {
    struct str name; /* "" for a call block's caller */
    const struct jinja_macro_node *node;
    struct jinja_activation *around;
};

struct jinja_node {
    uint8_t kind; /* enum jinja_kind */
    uint8_t op;   /* enum jinja_op */
    bool escapes; /* within {% autoescape true %}: output, concat, filter block, loop */
    uint16_t depth;
    uint32_t line;
    struct jinja_node *next; /* in a list */
    union {
        struct jinja_value constant; /* data, too */
        struct {
            struct str name, attribute;
            struct jinja_ref ref;
            enum { JINJA_CTX_LOAD, JINJA_CTX_STORE, JINJA_CTX_PARAM } ctx;
        } name;
        struct jinja_nodes items; /* tuple, list, dict, concat, output */
        struct {
            struct jinja_node *left, *right; /* unary: left */
            struct str name;                 /* of an attribute, a keyword, a refused tag */
        } pair;
        struct {
            struct jinja_node *first;
            struct jinja_nodes operands;
        } compare;
        struct {
            struct jinja_node *test, *then, *otherwise; /* otherwise may be NULL */
        } conditional;
        struct {
            struct jinja_node *start, *stop, *step; /* each may be NULL */
        } slice;
        struct jinja_invocation *invocation;
        struct {
            struct jinja_node *test;
            struct jinja_nodes body, elifs, orelse;
        } branch;
        struct jinja_for *loop;
        struct {
            struct jinja_node *target, *value;
        } set;
        struct {
            struct jinja_node *target;          /* set block */
            struct jinja_node *filter;          /* may be NULL in a set block */
            struct jinja_nodes targets, values; /* with */
            bool on;                            /* autoescape */
            struct jinja_nodes body;
            struct jinja_frame frame;
            struct jinja_function *function; /* block */
            struct str name;
        } block;
        struct jinja_macro_node *macro;
    };
};

/* A variable that the template reads from its caller. */
struct jinja_read {
    struct str name;
    struct jinja_read *next;
};

/* A whole template. */
struct jinja_program {
    struct arena arena;
    struct jinja_nodes body;
    struct jinja_function *function;
    struct jinja_node **blocks;
    size_t n_blocks;
    struct jinja_read *reads; /* a name may be there more than once */
};

/* source: UTF-8. The program's arena holds all of it. */
MUST_CHECK bool jinja_parse(struct str source, struct jinja_program *out, struct error *err);
/* Chooses the slots. */
MUST_CHECK bool jinja_resolve_scopes(struct jinja_program *p, struct error *err);
/* self.name: false where there is no such block. */
bool jinja_find_block(const struct jinja_render *r, struct str name, struct jinja_value *out);
/* Runs it; what it writes is r->out. */
MUST_CHECK bool jinja_run(struct jinja_render *r, const struct jinja_program *p);
#endif
