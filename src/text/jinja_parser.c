/*
 * jinja_parser.c - tokens to a tree, by the same descent as jinja2's parser, so that what one takes the other takes.
 *
 * A function returns NULL once p->err is set. Nesting is bounded where a function calls itself again; what a loop
 * stacks up to the left (a + b + c) is bounded by each node's depth, since evaluation descends there.
 */
#include "text/jinja_ast.h"
#include "text/jinja_builtin.h"
#include "text/jinja_lexer.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

struct parser {
    const struct jinja_token *t; /* the current token */
    struct arena *a;
    struct error *err;
    int nesting;
    bool autoescape;
    const char *open_tag; /* innermost, for the error */
};

static struct jinja_node *expression(struct parser *p);
static struct jinja_node *unary(struct parser *p, bool with_filter);
static bool statements(struct parser *p, const char *const *ends, struct jinja_nodes *out);

static void *parse_fail(struct parser *p, uint32_t line, const char *fmt, ...) PRINTF_LIKE(3, 4);
static void *parse_fail(struct parser *p, uint32_t line, const char *fmt, ...)
{
    char text[400];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    fail(p->err, ERR_INVALID, "chat template, line %u: %s", line, text);
    return NULL;
}

/* What stands here, for a message. */
static const char *found(const struct parser *p)
{
    return p->t->type == JINJA_T_NAME ? p->t->text.ptr : jinja_token_name(p->t->type);
}

static void advance(struct parser *p)
{
    if (p->t->type != JINJA_T_EOF)
        p->t++;
}

static bool at_name(const struct parser *p, const char *name)
{
    return p->t->type == JINJA_T_NAME && str_is(p->t->text, name);
}

static bool skip_name(struct parser *p, const char *name)
{
    const bool here = at_name(p, name);

    if (here)
        advance(p);
    return here;
}

static bool skip(struct parser *p, enum jinja_token_type type)
{
    const bool here = p->t->type == type;

    if (here)
        advance(p);
    return here;
}

static bool expect(struct parser *p, enum jinja_token_type type)
{
    if (skip(p, type))
        return true;
    if (p->t->type == JINJA_T_EOF)
        parse_fail(p, p->t->line, "unexpected end of template, expected '%s'",
                   jinja_token_name(type));
    else
        parse_fail(p, p->t->line, "expected token '%s', got '%s'", jinja_token_name(type),
                   found(p));
    return false;
}

static bool expect_word(struct parser *p, const char *word)
{
    if (skip_name(p, word))
        return true;
    parse_fail(p, p->t->line, "expected token '%s', got '%s'", word, found(p));
    return false;
}

static bool expect_name(struct parser *p, struct str *out)
{
    *out = p->t->text;
    return expect(p, JINJA_T_NAME);
}

static struct jinja_node *node(struct parser *p, enum jinja_kind kind, uint32_t line)
{
    struct jinja_node *n = ARENA_NEW(p->a, struct jinja_node);

    n->kind = (uint8_t)kind;
    n->line = line;
    n->escapes = p->autoescape;
    n->depth = 1;
    return n;
}

static void append(struct jinja_nodes *list, struct jinja_node *n)
{
    if (list->last != NULL)
        list->last->next = n;
    else
        list->first = n;
    list->last = n;
    list->n++;
}

/* n is one deeper than child, which may be NULL. */
static bool deepen(struct parser *p, struct jinja_node *n, const struct jinja_node *child)
{
    if (child != NULL && child->depth >= n->depth)
        n->depth = (uint16_t)(child->depth + 1);
    if (n->depth <= JINJA_MAX_NESTING)
        return true;
    return fail(p->err, ERR_LIMIT, "chat template, line %u: expressions nested more than %d deep",
                n->line, JINJA_MAX_NESTING);
}

static bool enter(struct parser *p)
{
    if (++p->nesting <= JINJA_MAX_NESTING)
        return true;
    return fail(p->err, ERR_LIMIT, "chat template, line %u: nested more than %d deep", p->t->line,
                JINJA_MAX_NESTING);
}

static struct jinja_node *constant(struct parser *p, struct jinja_value v, uint32_t line)
{
    struct jinja_node *n = node(p, JINJA_N_CONST, line);

    n->constant = v;
    return n;
}

static struct jinja_value text_value(struct parser *p, struct str s)
{
    struct jinja_text *t = ARENA_NEW(p->a, struct jinja_text);

    *t = (struct jinja_text){s.ptr, s.len, jinja_count_chars(s)};
    return (struct jinja_value){.type = JINJA_STR, .text = t};
}

static struct jinja_node *pair(struct parser *p, enum jinja_kind kind, struct jinja_node *left,
                               struct jinja_node *right, uint32_t line)
{
    struct jinja_node *n = node(p, kind, line);

    if (left == NULL)
        return NULL;
    n->pair.left = left;
    n->pair.right = right;
    return deepen(p, n, left) && deepen(p, n, right) ? n : NULL;
}

static struct jinja_node *binary(struct parser *p, enum jinja_op op, struct jinja_node *left,
                                 struct jinja_node *right, uint32_t line)
{
    struct jinja_node *n = right == NULL ? NULL : pair(p, JINJA_N_BINARY, left, right, line);

    if (n != NULL)
        n->op = (uint8_t)op;
    return n;
}

static bool add_item(struct parser *p, struct jinja_node *list, struct jinja_node *item)
{
    if (item == NULL || !deepen(p, list, item))
        return false;
    append(&list->items, item);
    return true;
}

/* ---- expressions ---- */

static bool at_tuple_end(const struct parser *p, const char *extra)
{
    return p->t->type == JINJA_T_VARIABLE_END || p->t->type == JINJA_T_BLOCK_END ||
           p->t->type == JINJA_T_RPAREN || (extra != NULL && at_name(p, extra));
}

enum tuple_of { TUPLE_OF_TARGETS, TUPLE_OF_NAMESPACE_TARGETS, TUPLE_OF_PLAIN, TUPLE_OF_ANY };
static struct jinja_node *primary(struct parser *p, bool with_namespace);
static struct jinja_node *or_expression(struct parser *p);

/* One expression, or a tuple of them where there are commas. */
static struct jinja_node *tuple(struct parser *p, enum tuple_of of, const char *end,
                                bool parentheses)
{
    struct jinja_node *list = node(p, JINJA_N_TUPLE, p->t->line);
    bool is_tuple = false;

    for (;;) {
        if (list->items.n > 0 && !expect(p, JINJA_T_COMMA))
            return NULL;
        if (at_tuple_end(p, end))
            break;
        struct jinja_node *item = of == TUPLE_OF_ANY ? expression(p)
                                  : of == TUPLE_OF_PLAIN
                                      ? or_expression(p)
                                      : primary(p, of == TUPLE_OF_NAMESPACE_TARGETS);
        if (!add_item(p, list, item))
            return NULL;
        if (p->t->type != JINJA_T_COMMA)
            break;
        is_tuple = true;
    }
    if (!is_tuple && list->items.n > 0)
        return list->items.first;
    if (!is_tuple && !parentheses)
        return parse_fail(p, p->t->line, "Expected an expression, got '%s'", found(p));
    return list;
}

static struct jinja_node *list_literal(struct parser *p)
{
    struct jinja_node *list = node(p, JINJA_N_LIST, p->t->line);

    advance(p);
    while (p->t->type != JINJA_T_RBRACKET) {
        if (list->items.n > 0 && !expect(p, JINJA_T_COMMA))
            return NULL;
        if (p->t->type == JINJA_T_RBRACKET)
            break;
        if (!add_item(p, list, expression(p)))
            return NULL;
    }
    advance(p);
    return list;
}

static struct jinja_node *dict_literal(struct parser *p)
{
    struct jinja_node *dict = node(p, JINJA_N_DICT, p->t->line);

    advance(p);
    while (p->t->type != JINJA_T_RBRACE) {
        if (dict->items.n > 0 && !expect(p, JINJA_T_COMMA))
            return NULL;
        if (p->t->type == JINJA_T_RBRACE)
            break;
        if (!add_item(p, dict, expression(p)) || !expect(p, JINJA_T_COLON) ||
            !add_item(p, dict, expression(p)))
            return NULL;
    }
    advance(p);
    return dict;
}

static struct jinja_node *name_or_constant(struct parser *p, bool with_namespace)
{
    const struct jinja_token *t = p->t;

    advance(p);
    if (str_is(t->text, "true") || str_is(t->text, "True"))
        return constant(p, jinja_bool(true), t->line);
    if (str_is(t->text, "false") || str_is(t->text, "False"))
        return constant(p, jinja_bool(false), t->line);
    if (str_is(t->text, "none") || str_is(t->text, "None"))
        return constant(p, jinja_none(), t->line);
    struct jinja_node *n = node(p, JINJA_N_NAME, t->line);
    n->name.name = t->text;
    if (with_namespace && skip(p, JINJA_T_DOT)) {
        n->kind = JINJA_N_NSREF;
        if (!expect_name(p, &n->name.attribute))
            return NULL;
    }
    return n;
}

static struct jinja_node *string_literal(struct parser *p)
{
    const struct jinja_token *first = p->t;
    struct str text = first->text;
    size_t len = 0, at = 0;

    for (const struct jinja_token *t = first; t->type == JINJA_T_STRING; t++)
        len += t->text.len;
    if (len != text.len) { /* strings beside each other are one */
        char *joined = arena_alloc(p->a, len + 1);

        for (const struct jinja_token *t = first; t->type == JINJA_T_STRING; t++) {
            memcpy(joined + at, t->text.ptr, t->text.len);
            at += t->text.len;
        }
        text = (struct str){joined, len};
    }
    while (p->t->type == JINJA_T_STRING)
        advance(p);
    return constant(p, text_value(p, text), first->line);
}

static struct jinja_node *primary(struct parser *p, bool with_namespace)
{
    const struct jinja_token *t = p->t;
    struct jinja_node *n;

    switch (t->type) {
    case JINJA_T_NAME:
        return name_or_constant(p, with_namespace);
    case JINJA_T_STRING:
        return string_literal(p);
    case JINJA_T_INTEGER:
        advance(p);
        return constant(p, jinja_int(t->i), t->line);
    case JINJA_T_FLOAT:
        advance(p);
        return constant(p, jinja_float(t->d), t->line);
    case JINJA_T_LPAREN:
        advance(p);
        if (!enter(p))
            return NULL;
        n = tuple(p, TUPLE_OF_ANY, NULL, true);
        p->nesting--;
        return n != NULL && expect(p, JINJA_T_RPAREN) ? n : NULL;
    case JINJA_T_LBRACKET:
    case JINJA_T_LBRACE:
        if (!enter(p))
            return NULL;
        n = t->type == JINJA_T_LBRACKET ? list_literal(p) : dict_literal(p);
        p->nesting--;
        return n;
    default:
        return parse_fail(p, t->line, "unexpected '%s'", found(p));
    }
}

/* One entry of [ ]: an expression or a slice. */
static struct jinja_node *subscribed(struct parser *p)
{
    struct jinja_node *bounds[3] = {NULL};
    const uint32_t line = p->t->line;

    if (p->t->type != JINJA_T_COLON) {
        bounds[0] = expression(p);
        if (bounds[0] == NULL || p->t->type != JINJA_T_COLON)
            return bounds[0];
    }
    for (int i = 1; i < 3 && skip(p, JINJA_T_COLON); i++) {
        if (p->t->type == JINJA_T_COLON || p->t->type == JINJA_T_RBRACKET ||
            p->t->type == JINJA_T_COMMA)
            continue;
        bounds[i] = expression(p);
        if (bounds[i] == NULL)
            return NULL;
    }
    struct jinja_node *n = node(p, JINJA_N_SLICE, line);
    n->slice.start = bounds[0];
    n->slice.stop = bounds[1];
    n->slice.step = bounds[2];
    return deepen(p, n, bounds[0]) && deepen(p, n, bounds[1]) && deepen(p, n, bounds[2]) ? n : NULL;
}

static struct jinja_node *attribute(struct parser *p, struct jinja_node *of, uint32_t line)
{
    const struct jinja_token *t = p->t;

    advance(p);
    if (t->type == JINJA_T_INTEGER)
        return pair(p, JINJA_N_GETITEM, of, constant(p, jinja_int(t->i), t->line), line);
    if (t->type != JINJA_T_NAME)
        return parse_fail(p, t->line, "expected name or number after '.'");
    struct jinja_node *n = pair(p, JINJA_N_GETATTR, of, NULL, line);
    if (n != NULL)
        n->pair.name = t->text;
    return n;
}

static struct jinja_node *subscript(struct parser *p, struct jinja_node *of)
{
    const uint32_t line = p->t->line;
    struct jinja_node *keys = node(p, JINJA_N_TUPLE, line);

    if (skip(p, JINJA_T_DOT))
        return attribute(p, of, line);
    advance(p);
    if (!enter(p))
        return NULL;
    while (p->t->type != JINJA_T_RBRACKET) {
        if ((keys->items.n > 0 && !expect(p, JINJA_T_COMMA)) || !add_item(p, keys, subscribed(p)))
            return NULL;
    }
    advance(p);
    p->nesting--;
    return pair(p, JINJA_N_GETITEM, of, keys->items.n == 1 ? keys->items.first : keys, line);
}

static bool call_argument(struct parser *p, struct jinja_node *owner, struct jinja_invocation *call)
{
    const uint32_t line = p->t->line;
    struct jinja_node *value;
    bool ok;

    if (skip(p, JINJA_T_MUL)) {
        ok = call->star == NULL && call->star_star == NULL;
        value = call->star = expression(p);
    } else if (skip(p, JINJA_T_POW)) {
        ok = call->star_star == NULL;
        value = call->star_star = expression(p);
    } else if (p->t->type == JINJA_T_NAME && p->t[1].type == JINJA_T_ASSIGN) {
        struct str name = p->t->text;

        ok = call->star_star == NULL;
        advance(p);
        advance(p);
        value = pair(p, JINJA_N_KEYWORD, expression(p), NULL, line);
        if (value != NULL) {
            value->pair.name = name;
            append(&call->kwargs, value);
        }
    } else {
        ok = call->star == NULL && call->star_star == NULL && call->kwargs.n == 0;
        value = expression(p);
        if (value != NULL)
            append(&call->args, value);
    }
    if (value == NULL || !deepen(p, owner, value))
        return false;
    if (!ok)
        parse_fail(p, line, "invalid syntax for function call expression");
    return ok;
}

static bool call_arguments(struct parser *p, struct jinja_node *owner,
                           struct jinja_invocation *call)
{
    if (!expect(p, JINJA_T_LPAREN) || !enter(p))
        return false;
    for (bool first = true; p->t->type != JINJA_T_RPAREN; first = false) {
        if (!first && !expect(p, JINJA_T_COMMA))
            return false;
        if (!first && p->t->type == JINJA_T_RPAREN)
            break;
        if (!call_argument(p, owner, call))
            return false;
    }
    p->nesting--;
    return expect(p, JINJA_T_RPAREN);
}

static struct jinja_node *invocation(struct parser *p, enum jinja_kind kind,
                                     struct jinja_node *target, uint32_t line)
{
    struct jinja_node *n = node(p, kind, line);

    n->invocation = ARENA_NEW(p->a, struct jinja_invocation);
    n->invocation->target = target;
    return deepen(p, n, target) ? n : NULL;
}

static struct jinja_node *call(struct parser *p, struct jinja_node *target)
{
    struct jinja_node *n = invocation(p, JINJA_N_CALL, target, p->t->line);

    return n != NULL && call_arguments(p, n, n->invocation) ? n : NULL;
}

static struct jinja_node *postfix(struct parser *p, struct jinja_node *n)
{
    while (n != NULL) {
        if (p->t->type == JINJA_T_DOT || p->t->type == JINJA_T_LBRACKET)
            n = subscript(p, n);
        else if (p->t->type == JINJA_T_LPAREN)
            n = call(p, n);
        else
            break;
    }
    return n;
}

/* The name of a filter or test may have dots. */
static bool dotted_name(struct parser *p, struct str *name)
{
    struct str more;

    if (!expect_name(p, name))
        return false;
    while (skip(p, JINJA_T_DOT)) {
        if (!expect_name(p, &more))
            return false;
        char *joined = arena_printf(p->a, "%s.%s", name->ptr, more.ptr);
        *name = str_of(joined);
    }
    return true;
}

/* A filter behind the bar; target may be NULL, in a block. */
static struct jinja_node *filter(struct parser *p, struct jinja_node *target)
{
    struct jinja_node *n = invocation(p, JINJA_N_FILTER, target, p->t->line);

    if (n == NULL || !dotted_name(p, &n->invocation->name))
        return NULL;
    n->invocation->row = jinja_find_filter(n->invocation->name);
    if (p->t->type == JINJA_T_LPAREN && !call_arguments(p, n, n->invocation))
        return NULL;
    return n;
}

static struct jinja_node *filters(struct parser *p, struct jinja_node *n, bool first_is_inline)
{
    if (first_is_inline)
        n = filter(p, n);
    while ((n != NULL || !first_is_inline) && skip(p, JINJA_T_PIPE)) {
        n = filter(p, n);
        if (n == NULL)
            return NULL;
    }
    return n;
}

static bool at_test_argument(const struct parser *p)
{
    switch (p->t->type) {
    case JINJA_T_NAME:
        return !at_name(p, "else") && !at_name(p, "or") && !at_name(p, "and");
    case JINJA_T_STRING:
    case JINJA_T_INTEGER:
    case JINJA_T_FLOAT:
    case JINJA_T_LBRACKET:
    case JINJA_T_LBRACE:
        return true;
    default:
        return false;
    }
}

static struct jinja_node *test(struct parser *p, struct jinja_node *target)
{
    const uint32_t line = p->t->line;

    advance(p); /* is */
    const bool negated = skip_name(p, "not");
    struct jinja_node *n = invocation(p, JINJA_N_TEST, target, line);
    if (n == NULL || !dotted_name(p, &n->invocation->name))
        return NULL;
    n->invocation->row = jinja_find_test(n->invocation->name);
    if (p->t->type == JINJA_T_LPAREN) {
        if (!call_arguments(p, n, n->invocation))
            return NULL;
    } else if (at_test_argument(p)) {
        if (at_name(p, "is"))
            return parse_fail(p, p->t->line, "You cannot chain multiple tests with is");
        struct jinja_node *argument = postfix(p, primary(p, false));
        if (argument == NULL || !deepen(p, n, argument))
            return NULL;
        append(&n->invocation->args, argument);
    }
    return negated ? pair(p, JINJA_N_NOT, n, NULL, line) : n;
}

static struct jinja_node *filters_and_tests(struct parser *p, struct jinja_node *n)
{
    while (n != NULL) {
        if (skip(p, JINJA_T_PIPE))
            n = filter(p, n);
        else if (at_name(p, "is"))
            n = test(p, n);
        else if (p->t->type == JINJA_T_LPAREN)
            n = call(p, n);
        else
            break;
    }
    return n;
}

static struct jinja_node *unary(struct parser *p, bool with_filter)
{
    const uint32_t line = p->t->line;
    const bool minus = p->t->type == JINJA_T_SUB;
    struct jinja_node *n;

    if (minus || p->t->type == JINJA_T_ADD) {
        advance(p);
        if (!enter(p))
            return NULL;
        n = pair(p, minus ? JINJA_N_NEGATE : JINJA_N_PLUS, unary(p, false), NULL, line);
        p->nesting--;
    } else {
        n = primary(p, false);
    }
    n = postfix(p, n);
    return with_filter ? filters_and_tests(p, n) : n;
}

static struct jinja_node *power(struct parser *p)
{
    uint32_t line = p->t->line;
    struct jinja_node *left = unary(p, true);

    while (left != NULL && skip(p, JINJA_T_POW)) {
        left = binary(p, JINJA_POW, left, unary(p, true), line);
        line = p->t->line;
    }
    return left;
}

static struct jinja_node *product(struct parser *p)
{
    uint32_t line = p->t->line;
    struct jinja_node *left = power(p);

    while (left != NULL) {
        enum jinja_op op;

        if (p->t->type == JINJA_T_MUL)
            op = JINJA_MUL;
        else if (p->t->type == JINJA_T_DIV)
            op = JINJA_DIV;
        else if (p->t->type == JINJA_T_FLOORDIV)
            op = JINJA_FLOORDIV;
        else if (p->t->type == JINJA_T_MOD)
            op = JINJA_MOD;
        else
            break;
        advance(p);
        left = binary(p, op, left, power(p), line);
        line = p->t->line;
    }
    return left;
}

static struct jinja_node *concatenation(struct parser *p)
{
    struct jinja_node *list = node(p, JINJA_N_CONCAT, p->t->line);

    do {
        if (!add_item(p, list, product(p)))
            return NULL;
    } while (skip(p, JINJA_T_TILDE));
    return list->items.n == 1 ? list->items.first : list;
}

static struct jinja_node *sum(struct parser *p)
{
    uint32_t line = p->t->line;
    struct jinja_node *left = concatenation(p);

    while (left != NULL && (p->t->type == JINJA_T_ADD || p->t->type == JINJA_T_SUB)) {
        const enum jinja_op op = p->t->type == JINJA_T_ADD ? JINJA_ADD : JINJA_SUB;

        advance(p);
        left = binary(p, op, left, concatenation(p), line);
        line = p->t->line;
    }
    return left;
}

/* The comparison that stands here, taken; false where there is none. */
static bool comparison(struct parser *p, enum jinja_op *op)
{
    static const struct {
        enum jinja_token_type type;
        enum jinja_op op;
    } rows[] = {
        {JINJA_T_EQ, JINJA_EQ},      {JINJA_T_NE, JINJA_NE},    {JINJA_T_LT, JINJA_OP_LT},
        {JINJA_T_LTEQ, JINJA_OP_LE}, {JINJA_T_GT, JINJA_OP_GT}, {JINJA_T_GTEQ, JINJA_OP_GE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (skip(p, rows[i].type)) {
            *op = rows[i].op;
            return true;
        }
    }
    *op = JINJA_IN;
    if (skip_name(p, "in"))
        return true;
    if (at_name(p, "not") && p->t[1].type == JINJA_T_NAME && str_is(p->t[1].text, "in")) {
        advance(p);
        advance(p);
        *op = JINJA_NOT_IN;
        return true;
    }
    return false;
}

static struct jinja_node *compare(struct parser *p)
{
    const uint32_t line = p->t->line;
    struct jinja_node *first = sum(p), *n = NULL;
    enum jinja_op op;

    while (first != NULL && comparison(p, &op)) {
        struct jinja_node *operand = pair(p, JINJA_N_OPERAND, sum(p), NULL, p->t->line);

        if (n == NULL) {
            n = node(p, JINJA_N_COMPARE, line);
            n->compare.first = first;
        }
        if (operand == NULL || !deepen(p, n, first) || !deepen(p, n, operand))
            return NULL;
        operand->op = (uint8_t)op;
        append(&n->compare.operands, operand);
    }
    return n == NULL ? first : n;
}

static struct jinja_node *negation(struct parser *p)
{
    const uint32_t line = p->t->line;

    if (!skip_name(p, "not"))
        return compare(p);
    if (!enter(p))
        return NULL;
    struct jinja_node *n = pair(p, JINJA_N_NOT, negation(p), NULL, line);
    p->nesting--;
    return n;
}

static struct jinja_node *and_expression(struct parser *p)
{
    uint32_t line = p->t->line;
    struct jinja_node *left = negation(p);

    while (left != NULL && skip_name(p, "and")) {
        struct jinja_node *right = negation(p);

        left = right == NULL ? NULL : pair(p, JINJA_N_AND, left, right, line);
        line = p->t->line;
    }
    return left;
}

static struct jinja_node *or_expression(struct parser *p)
{
    uint32_t line = p->t->line;
    struct jinja_node *left = and_expression(p);

    while (left != NULL && skip_name(p, "or")) {
        struct jinja_node *right = and_expression(p);

        left = right == NULL ? NULL : pair(p, JINJA_N_OR, left, right, line);
        line = p->t->line;
    }
    return left;
}

static struct jinja_node *expression(struct parser *p)
{
    uint32_t line = p->t->line;

    if (!enter(p))
        return NULL;
    struct jinja_node *value = or_expression(p);
    while (value != NULL && skip_name(p, "if")) {
        struct jinja_node *n = node(p, JINJA_N_CONDITIONAL, line);

        n->conditional.then = value;
        n->conditional.test = or_expression(p);
        if (n->conditional.test == NULL)
            return NULL;
        if (skip_name(p, "else")) {
            n->conditional.otherwise = expression(p);
            if (n->conditional.otherwise == NULL)
                return NULL;
        }
        if (!deepen(p, n, n->conditional.then) || !deepen(p, n, n->conditional.test) ||
            !deepen(p, n, n->conditional.otherwise))
            return NULL;
        value = n;
        line = p->t->line;
    }
    p->nesting--;
    return value;
}

/* ---- statements ---- */

static bool can_assign(struct parser *p, struct jinja_node *target)
{
    if (target->kind == JINJA_N_TUPLE) {
        for (struct jinja_node *n = target->items.first; n != NULL; n = n->next)
            if (!can_assign(p, n))
                return false;
        return true;
    }
    if (target->kind == JINJA_N_NAME) {
        target->name.ctx = JINJA_CTX_STORE;
        return true;
    }
    if (target->kind == JINJA_N_NSREF)
        return true;
    parse_fail(p, target->line, "can't assign to this, only to names and namespace attributes");
    return false;
}

static struct jinja_node *assign_target(struct parser *p, bool with_namespace, const char *end)
{
    struct jinja_node *n =
        tuple(p, with_namespace ? TUPLE_OF_NAMESPACE_TARGETS : TUPLE_OF_TARGETS, end, false);

    return n != NULL && can_assign(p, n) ? n : NULL;
}

static struct jinja_node *name_target(struct parser *p)
{
    struct jinja_node *n = node(p, JINJA_N_NAME, p->t->line);

    n->name.ctx = JINJA_CTX_STORE;
    return expect_name(p, &n->name.name) ? n : NULL;
}

/* The body up to an end tag, which is taken whole. */
static bool body_until(struct parser *p, const char *end, struct jinja_nodes *out)
{
    const char *const ends[] = {end, NULL};

    if (!statements(p, ends, out))
        return false;
    advance(p);
    return true;
}

static struct jinja_node *parse_for(struct parser *p)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    struct jinja_node *n = node(p, JINJA_N_FOR, p->t->line);
    struct jinja_for *f = n->loop = ARENA_NEW(p->a, struct jinja_for);

    advance(p);
    f->target = assign_target(p, false, "in");
    if (f->target == NULL || !expect_word(p, "in"))
        return NULL;
    f->iter = tuple(p, TUPLE_OF_PLAIN, "recursive", false);
    if (f->iter == NULL)
        return NULL;
    if (skip_name(p, "if") && (f->test = expression(p)) == NULL)
        return NULL;
    f->recursive = skip_name(p, "recursive");
    f->escapes = p->autoescape;
    if (!statements(p, ends, &f->body))
        return NULL;
    const bool has_else = at_name(p, "else");
    advance(p);
    if (has_else && !body_until(p, "endfor", &f->orelse))
        return NULL;
    f->has_else = f->orelse.n > 0;
    return n;
}

static struct jinja_node *parse_if(struct parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct jinja_node *n = node(p, JINJA_N_IF, p->t->line), *branch = n;

    advance(p);
    for (;;) {
        branch->branch.test = tuple(p, TUPLE_OF_PLAIN, NULL, false);
        if (branch->branch.test == NULL || !statements(p, ends, &branch->branch.body))
            return NULL;
        if (skip_name(p, "elif")) {
            branch = node(p, JINJA_N_IF, p->t->line);
            append(&n->branch.elifs, branch);
            continue;
        }
        if (skip_name(p, "else"))
            return body_until(p, "endif", &n->branch.orelse) ? n : NULL;
        advance(p);
        return n;
    }
}

static struct jinja_node *parse_set(struct parser *p)
{
    struct jinja_node *n = node(p, JINJA_N_SET, p->t->line);

    advance(p);
    struct jinja_node *target = assign_target(p, true, NULL);
    if (target == NULL)
        return NULL;
    if (skip(p, JINJA_T_ASSIGN)) {
        n->set.target = target;
        n->set.value = tuple(p, TUPLE_OF_ANY, NULL, false);
        return n->set.value == NULL ? NULL : n;
    }
    n->kind = JINJA_N_SET_BLOCK;
    n->block.target = target;
    if (p->t->type == JINJA_T_PIPE && (n->block.filter = filters(p, NULL, false)) == NULL)
        return NULL;
    return body_until(p, "endset", &n->block.body) ? n : NULL;
}

/* (name, name=default, ...) of a macro. */
static bool signature(struct parser *p, struct jinja_macro_node *m)
{
    if (!expect(p, JINJA_T_LPAREN))
        return false;
    while (p->t->type != JINJA_T_RPAREN) {
        if (m->params.n > 0 && !expect(p, JINJA_T_COMMA))
            return false;
        struct jinja_node *param = name_target(p);
        if (param == NULL)
            return false;
        param->name.ctx = JINJA_CTX_PARAM;
        if (m->params.n == JINJA_MAX_PARAMETERS)
            return fail(p->err, ERR_LIMIT,
                        "chat template, line %u: a macro of more than %d parameters", param->line,
                        JINJA_MAX_PARAMETERS);
        for (const struct jinja_node *other = m->params.first; other != NULL; other = other->next) {
            if (str_eq(other->name.name, param->name.name)) {
                parse_fail(p, param->line, "duplicate argument '%s'", param->name.name.ptr);
                return false;
            }
        }
        append(&m->params, param);
        if (skip(p, JINJA_T_ASSIGN)) {
            struct jinja_node *value = expression(p);

            if (value == NULL)
                return false;
            append(&m->defaults, value);
        } else if (m->defaults.n > 0) {
            parse_fail(p, param->line, "non-default argument follows default argument");
            return false;
        }
    }
    advance(p);
    return true;
}

static struct jinja_node *macro_node(struct parser *p, enum jinja_kind kind)
{
    struct jinja_node *n = node(p, kind, p->t->line);

    n->macro = ARENA_NEW(p->a, struct jinja_macro_node);
    advance(p);
    return n;
}

static struct jinja_node *parse_macro(struct parser *p)
{
    struct jinja_node *n = macro_node(p, JINJA_N_MACRO);

    return expect_name(p, &n->macro->name) && signature(p, n->macro) &&
                   body_until(p, "endmacro", &n->macro->body)
               ? n
               : NULL;
}

static struct jinja_node *parse_call_block(struct parser *p)
{
    struct jinja_node *n = macro_node(p, JINJA_N_CALL_BLOCK);

    if (p->t->type == JINJA_T_LPAREN && !signature(p, n->macro))
        return NULL;
    n->macro->call = expression(p);
    if (n->macro->call == NULL)
        return NULL;
    if (n->macro->call->kind != JINJA_N_CALL)
        return parse_fail(p, n->line, "expected call");
    return body_until(p, "endcall", &n->macro->body) ? n : NULL;
}

static struct jinja_node *parse_generation(struct parser *p)
{
    struct jinja_node *n = macro_node(p, JINJA_N_GENERATION);

    return body_until(p, "endgeneration", &n->macro->body) ? n : NULL;
}

static struct jinja_node *parse_filter_block(struct parser *p)
{
    struct jinja_node *n = node(p, JINJA_N_FILTER_BLOCK, p->t->line);

    advance(p);
    n->block.filter = filters(p, NULL, true);
    return n->block.filter != NULL && body_until(p, "endfilter", &n->block.body) ? n : NULL;
}

static struct jinja_node *parse_with(struct parser *p)
{
    struct jinja_node *n = node(p, JINJA_N_WITH, p->t->line);

    advance(p);
    while (p->t->type != JINJA_T_BLOCK_END) {
        if (n->block.targets.n > 0 && !expect(p, JINJA_T_COMMA))
            return NULL;
        struct jinja_node *target = assign_target(p, false, NULL);
        if (target == NULL || !expect(p, JINJA_T_ASSIGN))
            return NULL;
        struct jinja_node *value = expression(p);
        if (value == NULL)
            return NULL;
        if (target->kind == JINJA_N_NAME)
            target->name.ctx = JINJA_CTX_PARAM;
        append(&n->block.targets, target);
        append(&n->block.values, value);
    }
    return body_until(p, "endwith", &n->block.body) ? n : NULL;
}

/* {% block %} renders in its place; nothing can extend this template. */
static struct jinja_node *parse_block(struct parser *p)
{
    struct jinja_node *n = node(p, JINJA_N_BLOCK, p->t->line);

    advance(p);
    if (!expect_name(p, &n->block.name))
        return NULL;
    if (at_name(p, "scoped") || at_name(p, "required")) {
        fail(p->err, ERR_UNSUPPORTED, "chat template, line %u: %s blocks are not supported",
             p->t->line, p->t->text.ptr);
        return NULL;
    }
    const bool outer = p->autoescape;
    p->autoescape = false; /* a block is a function of its own */
    const bool ok = body_until(p, "endblock", &n->block.body);
    p->autoescape = outer;
    if (!ok)
        return NULL;
    if (p->t->type == JINJA_T_NAME && str_eq(p->t->text, n->block.name))
        advance(p);
    return n;
}

static struct jinja_node *parse_autoescape(struct parser *p)
{
    struct jinja_node *n = node(p, JINJA_N_AUTOESCAPE, p->t->line);

    advance(p);
    struct jinja_node *on = expression(p);
    if (on == NULL)
        return NULL;
    if (on->kind != JINJA_N_CONST || on->constant.type != JINJA_BOOL) {
        fail(p->err, ERR_UNSUPPORTED, "chat template, line %u: autoescape wants true or false",
             n->line);
        return NULL;
    }
    const bool outer = p->autoescape;
    p->autoescape = n->block.on = on->constant.b;
    const bool ok = body_until(p, "endautoescape", &n->block.body);
    p->autoescape = outer;
    return ok ? n : NULL;
}

static struct jinja_node *parse_print(struct parser *p)
{
    struct jinja_node *n = node(p, JINJA_N_OUTPUT, p->t->line);

    advance(p);
    while (p->t->type != JINJA_T_BLOCK_END)
        if ((n->items.n > 0 && !expect(p, JINJA_T_COMMA)) || !add_item(p, n, expression(p)))
            return NULL;
    return n;
}

/* break and continue; jinja_scope.c looks whether they are in a loop */
static struct jinja_node *parse_break(struct parser *p)
{
    struct jinja_node *n =
        node(p, at_name(p, "break") ? JINJA_N_BREAK : JINJA_N_CONTINUE, p->t->line);

    advance(p);
    return n;
}

/* There are no other templates to include, import or extend. It fails when it is reached, as there. */
static struct jinja_node *parse_refused(struct parser *p)
{
    struct jinja_node *n = node(p, JINJA_N_REFUSED, p->t->line);

    n->pair.name = p->t->text;
    while (p->t->type != JINJA_T_BLOCK_END && p->t->type != JINJA_T_EOF)
        advance(p);
    return n;
}

static struct jinja_node *statement(struct parser *p)
{
    static const struct {
        const char *tag;
        struct jinja_node *(*parse)(struct parser *p);
    } rows[] = {
        {"for", parse_for},
        {"if", parse_if},
        {"set", parse_set},
        {"macro", parse_macro},
        {"call", parse_call_block},
        {"filter", parse_filter_block},
        {"with", parse_with},
        {"generation", parse_generation},
        {"break", parse_break},
        {"continue", parse_break},
        {"print", parse_print},
        {"block", parse_block},
        {"autoescape", parse_autoescape},
        {"include", parse_refused},
        {"import", parse_refused},
        {"from", parse_refused},
        {"extends", parse_refused},
    };

    if (p->t->type != JINJA_T_NAME)
        return parse_fail(p, p->t->line, "tag name expected");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (str_is(p->t->text, rows[i].tag)) {
            const char *outer = p->open_tag;

            p->open_tag = rows[i].tag;
            struct jinja_node *n = enter(p) ? rows[i].parse(p) : NULL;
            p->nesting--;
            p->open_tag = outer;
            return n;
        }
    }
    if (p->open_tag != NULL)
        return parse_fail(
            p, p->t->line,
            "Encountered unknown tag '%s'. The innermost block that needs to be closed is '%s'.",
            found(p), p->open_tag);
    return parse_fail(p, p->t->line, "Encountered unknown tag '%s'.", found(p));
}

static bool at_one_of(const struct parser *p, const char *const *ends)
{
    for (; ends != NULL && *ends != NULL; ends++)
        if (at_name(p, *ends))
            return true;
    return false;
}

/* Statements, data and output up to one of the end tags, whose name is then current. */
static bool body(struct parser *p, const char *const *ends, struct jinja_nodes *out)
{
    while (p->t->type != JINJA_T_EOF) {
        const struct jinja_token *t = p->t;
        struct jinja_node *n = NULL;

        advance(p);
        if (t->type == JINJA_T_DATA) {
            n = node(p, JINJA_N_DATA, t->line);
            n->constant = text_value(p, t->text);
        } else if (t->type == JINJA_T_VARIABLE_BEGIN) {
            struct jinja_node *value = tuple(p, TUPLE_OF_ANY, NULL, false);

            n = node(p, JINJA_N_OUTPUT, t->line);
            if (!add_item(p, n, value) || !expect(p, JINJA_T_VARIABLE_END))
                return false;
        } else {
            assert(t->type == JINJA_T_BLOCK_BEGIN);
            if (at_one_of(p, ends))
                return true;
            n = statement(p);
            if (n == NULL || !expect(p, JINJA_T_BLOCK_END))
                return false;
        }
        append(out, n);
    }
    if (ends == NULL)
        return true;
    parse_fail(p, p->t->line, "Unexpected end of template. '%s' is missing for '%s'.", ends[0],
               p->open_tag == NULL ? "" : p->open_tag);
    return false;
}

static bool statements(struct parser *p, const char *const *ends, struct jinja_nodes *out)
{
    skip(p, JINJA_T_COLON);
    return expect(p, JINJA_T_BLOCK_END) && body(p, ends, out);
}

bool jinja_parse(struct str source, struct jinja_program *out, struct error *err)
{
    struct arena scratch = {0};
    struct jinja_tokens tokens;
    struct parser p = {.a = &out->arena, .err = err};
    bool ok = jinja_tokenize(source, &out->arena, &scratch, &tokens, err);

    if (ok) {
        p.t = tokens.ptr;
        ok = body(&p, NULL, &out->body);
    }
    arena_release(&scratch);
    return ok && jinja_resolve_scopes(out, err);
}
