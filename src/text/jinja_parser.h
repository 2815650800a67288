/*
 * jinja_parser.h - what parsing statements and parsing expressions share: the tokens, and making nodes.
 *
 * A function that makes a node returns NULL once p->err is set. Nesting is bounded where a function calls itself again;
 * what a loop stacks up to the left (a + b + c) is bounded by each node's depth, since evaluation descends there.
 */
#ifndef HONE_TEXT_JINJA_PARSER_H
#define HONE_TEXT_JINJA_PARSER_H

#include "text/jinja_ast.h"
#include "text/jinja_lexer.h"

struct jinja_parser {
    const struct jinja_token *t; /* the current token */
    struct arena *a;
    struct error *err;
    int nesting;
    bool autoescape;
    const char *open_tag; /* innermost, for the error */
};

static inline void jinja_advance(struct jinja_parser *p)
{
    if (p->t->type != JINJA_T_EOF)
        p->t++;
}

static inline bool jinja_at_word(const struct jinja_parser *p, const char *name)
{
    return p->t->type == JINJA_T_NAME && str_is(p->t->text, name);
}

static inline bool jinja_skip_word(struct jinja_parser *p, const char *name)
{
    const bool here = jinja_at_word(p, name);

    if (here)
        jinja_advance(p);
    return here;
}

static inline bool jinja_skip(struct jinja_parser *p, enum jinja_token_type type)
{
    const bool here = p->t->type == type;

    if (here)
        jinja_advance(p);
    return here;
}

static inline void jinja_append(struct jinja_nodes *list, struct jinja_node *n)
{
    if (list->last != NULL)
        list->last->next = n;
    else
        list->first = n;
    list->last = n;
    list->n++;
}

/* What stands here, for a message. */
const char *jinja_found(const struct jinja_parser *p);
/* Tells of a mistake; always NULL. */
void *jinja_parse_fail(struct jinja_parser *p, uint32_t line, const char *fmt, ...)
    PRINTF_LIKE(3, 4);
MUST_CHECK bool jinja_expect(struct jinja_parser *p, enum jinja_token_type type);
MUST_CHECK bool jinja_expect_word(struct jinja_parser *p, const char *word);
MUST_CHECK bool jinja_expect_name(struct jinja_parser *p, struct str *out);

struct jinja_node *jinja_node_new(struct jinja_parser *p, enum jinja_kind kind, uint32_t line);
struct jinja_value jinja_text_constant(struct jinja_parser *p, struct str s);
/* n is one deeper than child, which may be NULL. */
MUST_CHECK bool jinja_deepen(struct jinja_parser *p, struct jinja_node *n,
                             const struct jinja_node *child);
MUST_CHECK bool jinja_add_item(struct jinja_parser *p, struct jinja_node *list,
                               struct jinja_node *item);
/* One level deeper; undone by p->nesting--. */
MUST_CHECK bool jinja_deeper(struct jinja_parser *p);

/* ---- jinja_expression.c ---- */

enum jinja_tuple_of {
    JINJA_TUPLE_OF_TARGETS,
    JINJA_TUPLE_OF_NAMESPACE_TARGETS,
    JINJA_TUPLE_OF_PLAIN, /* no inline if */
    JINJA_TUPLE_OF_ANY,
};
struct jinja_node *jinja_expression(struct jinja_parser *p);
/* One expression, or a tuple where there are commas; end: a word that ends it, or NULL. */
struct jinja_node *jinja_tuple_expression(struct jinja_parser *p, enum jinja_tuple_of of,
                                          const char *end, bool parentheses);
/* |a|b of a block: what they apply to comes later. */
struct jinja_node *jinja_filters(struct jinja_parser *p, struct jinja_node *n,
                                 bool first_is_inline);
#endif
