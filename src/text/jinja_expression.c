/*
 * jinja_expression.c - tokens to a tree: expressions, from literals up to the inline if.
 */
#include "text/jinja_builtin.h"
#include "text/jinja_parser.h"

static struct jinja_node *primary(struct jinja_parser *p, bool with_namespace);
static struct jinja_node *or_expression(struct jinja_parser *p);
static struct jinja_node *unary(struct jinja_parser *p, bool with_filter);

static struct jinja_node *constant(struct jinja_parser *p, struct jinja_value v, uint32_t line)
{
    struct jinja_node *n = jinja_node_new(p, JINJA_N_CONST, line);

    n->constant = v;
    return n;
}

static struct jinja_node *pair(struct jinja_parser *p, enum jinja_kind kind,
                               struct jinja_node *left, struct jinja_node *right, uint32_t line)
{
    struct jinja_node *n = jinja_node_new(p, kind, line);

    if (left == NULL)
        return NULL;
    n->pair.left = left;
    n->pair.right = right;
    return jinja_deepen(p, n, left) && jinja_deepen(p, n, right) ? n : NULL;
}

static struct jinja_node *binary(struct jinja_parser *p, enum jinja_op op, struct jinja_node *left,
                                 struct jinja_node *right, uint32_t line)
{
    struct jinja_node *n = right == NULL ? NULL : pair(p, JINJA_N_BINARY, left, right, line);

    if (n != NULL)
        n->op = (uint8_t)op;
    return n;
}

static bool at_tuple_end(const struct jinja_parser *p, const char *extra)
{
    return p->t->type == JINJA_T_VARIABLE_END || p->t->type == JINJA_T_BLOCK_END ||
           p->t->type == JINJA_T_RPAREN || (extra != NULL && jinja_at_word(p, extra));
}

struct jinja_node *jinja_tuple_expression(struct jinja_parser *p, enum jinja_tuple_of of,
                                          const char *end, bool parentheses)
{
    struct jinja_node *list = jinja_node_new(p, JINJA_N_TUPLE, p->t->line);
    bool is_tuple = false;

    for (;;) {
        if (list->items.n > 0 && !jinja_expect(p, JINJA_T_COMMA))
            return NULL;
        if (at_tuple_end(p, end))
            break;
        struct jinja_node *item = of == JINJA_TUPLE_OF_ANY ? jinja_expression(p)
                                  : of == JINJA_TUPLE_OF_PLAIN
                                      ? or_expression(p)
                                      : primary(p, of == JINJA_TUPLE_OF_NAMESPACE_TARGETS);
        if (!jinja_add_item(p, list, item))
            return NULL;
        if (p->t->type != JINJA_T_COMMA)
            break;
        is_tuple = true;
    }
    if (!is_tuple && list->items.n > 0)
        return list->items.first;
    if (!is_tuple && !parentheses)
        return jinja_parse_fail(p, p->t->line, "Expected an expression, got '%s'", jinja_found(p));
    return list;
}

static struct jinja_node *list_literal(struct jinja_parser *p)
{
    struct jinja_node *list = jinja_node_new(p, JINJA_N_LIST, p->t->line);

    jinja_advance(p);
    while (p->t->type != JINJA_T_RBRACKET) {
        if (list->items.n > 0 && !jinja_expect(p, JINJA_T_COMMA))
            return NULL;
        if (p->t->type == JINJA_T_RBRACKET)
            break;
        if (!jinja_add_item(p, list, jinja_expression(p)))
            return NULL;
    }
    jinja_advance(p);
    return list;
}

static struct jinja_node *dict_literal(struct jinja_parser *p)
{
    struct jinja_node *dict = jinja_node_new(p, JINJA_N_DICT, p->t->line);

    jinja_advance(p);
    while (p->t->type != JINJA_T_RBRACE) {
        if (dict->items.n > 0 && !jinja_expect(p, JINJA_T_COMMA))
            return NULL;
        if (p->t->type == JINJA_T_RBRACE)
            break;
        if (!jinja_add_item(p, dict, jinja_expression(p)) || !jinja_expect(p, JINJA_T_COLON) ||
            !jinja_add_item(p, dict, jinja_expression(p)))
            return NULL;
    }
    jinja_advance(p);
    return dict;
}

static struct jinja_node *name_or_constant(struct jinja_parser *p, bool with_namespace)
{
    const struct jinja_token *t = p->t;

    jinja_advance(p);
    if (str_is(t->text, "true") || str_is(t->text, "True"))
        return constant(p, jinja_bool(true), t->line);
    if (str_is(t->text, "false") || str_is(t->text, "False"))
        return constant(p, jinja_bool(false), t->line);
    if (str_is(t->text, "none") || str_is(t->text, "None"))
        return constant(p, jinja_none(), t->line);
    struct jinja_node *n = jinja_node_new(p, JINJA_N_NAME, t->line);
    n->name.name = t->text;
    if (with_namespace && jinja_skip(p, JINJA_T_DOT)) {
        n->kind = JINJA_N_NSREF;
        if (!jinja_expect_name(p, &n->name.attribute))
            return NULL;
    }
    return n;
}

static struct jinja_node *string_literal(struct jinja_parser *p)
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
        jinja_advance(p);
    return constant(p, jinja_text_constant(p, text), first->line);
}

static struct jinja_node *primary(struct jinja_parser *p, bool with_namespace)
{
    const struct jinja_token *t = p->t;
    struct jinja_node *n;

    switch (t->type) {
    case JINJA_T_NAME:
        return name_or_constant(p, with_namespace);
    case JINJA_T_STRING:
        return string_literal(p);
    case JINJA_T_INTEGER:
        jinja_advance(p);
        return constant(p, jinja_int(t->i), t->line);
    case JINJA_T_FLOAT:
        jinja_advance(p);
        return constant(p, jinja_float(t->d), t->line);
    case JINJA_T_LPAREN:
        jinja_advance(p);
        if (!jinja_deeper(p))
            return NULL;
        n = jinja_tuple_expression(p, JINJA_TUPLE_OF_ANY, NULL, true);
        p->nesting--;
        return n != NULL && jinja_expect(p, JINJA_T_RPAREN) ? n : NULL;
    case JINJA_T_LBRACKET:
    case JINJA_T_LBRACE:
        if (!jinja_deeper(p))
            return NULL;
        n = t->type == JINJA_T_LBRACKET ? list_literal(p) : dict_literal(p);
        p->nesting--;
        return n;
    default:
        return jinja_parse_fail(p, t->line, "unexpected '%s'", jinja_found(p));
    }
}

/* One entry of [ ]: an expression or a slice. */
static struct jinja_node *subscribed(struct jinja_parser *p)
{
    struct jinja_node *bounds[3] = {NULL};
    const uint32_t line = p->t->line;

    if (p->t->type != JINJA_T_COLON) {
        bounds[0] = jinja_expression(p);
        if (bounds[0] == NULL || p->t->type != JINJA_T_COLON)
            return bounds[0];
    }
    for (int i = 1; i < 3 && jinja_skip(p, JINJA_T_COLON); i++) {
        if (p->t->type == JINJA_T_COLON || p->t->type == JINJA_T_RBRACKET ||
            p->t->type == JINJA_T_COMMA)
            continue;
        bounds[i] = jinja_expression(p);
        if (bounds[i] == NULL)
            return NULL;
    }
    struct jinja_node *n = jinja_node_new(p, JINJA_N_SLICE, line);
    n->slice.start = bounds[0];
    n->slice.stop = bounds[1];
    n->slice.step = bounds[2];
    return jinja_deepen(p, n, bounds[0]) && jinja_deepen(p, n, bounds[1]) &&
                   jinja_deepen(p, n, bounds[2])
               ? n
               : NULL;
}

static struct jinja_node *attribute(struct jinja_parser *p, struct jinja_node *of, uint32_t line)
{
    const struct jinja_token *t = p->t;

    jinja_advance(p);
    if (t->type == JINJA_T_INTEGER)
        return pair(p, JINJA_N_GETITEM, of, constant(p, jinja_int(t->i), t->line), line);
    if (t->type != JINJA_T_NAME)
        return jinja_parse_fail(p, t->line, "expected name or number after '.'");
    struct jinja_node *n = pair(p, JINJA_N_GETATTR, of, NULL, line);
    if (n != NULL)
        n->pair.name = t->text;
    return n;
}

static struct jinja_node *subscript(struct jinja_parser *p, struct jinja_node *of)
{
    const uint32_t line = p->t->line;
    struct jinja_node *keys = jinja_node_new(p, JINJA_N_TUPLE, line);

    if (jinja_skip(p, JINJA_T_DOT))
        return attribute(p, of, line);
    jinja_advance(p);
    if (!jinja_deeper(p))
        return NULL;
    while (p->t->type != JINJA_T_RBRACKET) {
        if ((keys->items.n > 0 && !jinja_expect(p, JINJA_T_COMMA)) ||
            !jinja_add_item(p, keys, subscribed(p)))
            return NULL;
    }
    jinja_advance(p);
    p->nesting--;
    return pair(p, JINJA_N_GETITEM, of, keys->items.n == 1 ? keys->items.first : keys, line);
}

static bool call_argument(struct jinja_parser *p, struct jinja_node *owner,
                          struct jinja_invocation *call)
{
    const uint32_t line = p->t->line;
    struct jinja_node *value;
    bool ok;

    if (jinja_skip(p, JINJA_T_MUL)) {
        ok = call->star == NULL && call->star_star == NULL;
        value = call->star = jinja_expression(p);
    } else if (jinja_skip(p, JINJA_T_POW)) {
        ok = call->star_star == NULL;
        value = call->star_star = jinja_expression(p);
    } else if (p->t->type == JINJA_T_NAME && p->t[1].type == JINJA_T_ASSIGN) {
        struct str name = p->t->text;

        ok = call->star_star == NULL;
        jinja_advance(p);
        jinja_advance(p);
        value = pair(p, JINJA_N_KEYWORD, jinja_expression(p), NULL, line);
        if (value != NULL) {
            value->pair.name = name;
            jinja_append(&call->kwargs, value);
        }
    } else {
        ok = call->star == NULL && call->star_star == NULL && call->kwargs.n == 0;
        value = jinja_expression(p);
        if (value != NULL)
            jinja_append(&call->args, value);
    }
    if (value == NULL || !jinja_deepen(p, owner, value))
        return false;
    if (!ok)
        jinja_parse_fail(p, line, "invalid syntax for function call expression");
    return ok;
}

static bool call_arguments(struct jinja_parser *p, struct jinja_node *owner,
                           struct jinja_invocation *call)
{
    if (!jinja_expect(p, JINJA_T_LPAREN) || !jinja_deeper(p))
        return false;
    for (bool first = true; p->t->type != JINJA_T_RPAREN; first = false) {
        if (!first && !jinja_expect(p, JINJA_T_COMMA))
            return false;
        if (!first && p->t->type == JINJA_T_RPAREN)
            break;
        if (!call_argument(p, owner, call))
            return false;
    }
    p->nesting--;
    return jinja_expect(p, JINJA_T_RPAREN);
}

static struct jinja_node *invocation(struct jinja_parser *p, enum jinja_kind kind,
                                     struct jinja_node *target, uint32_t line)
{
    struct jinja_node *n = jinja_node_new(p, kind, line);

    n->invocation = ARENA_NEW(p->a, struct jinja_invocation);
    n->invocation->target = target;
    return jinja_deepen(p, n, target) ? n : NULL;
}

static struct jinja_node *call(struct jinja_parser *p, struct jinja_node *target)
{
    struct jinja_node *n = invocation(p, JINJA_N_CALL, target, p->t->line);

    return n != NULL && call_arguments(p, n, n->invocation) ? n : NULL;
}

static struct jinja_node *postfix(struct jinja_parser *p, struct jinja_node *n)
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
static bool dotted_name(struct jinja_parser *p, struct str *name)
{
    struct str more;

    if (!jinja_expect_name(p, name))
        return false;
    while (jinja_skip(p, JINJA_T_DOT)) {
        if (!jinja_expect_name(p, &more))
            return false;
        char *joined = arena_printf(p->a, "%s.%s", name->ptr, more.ptr);
        *name = str_of(joined);
    }
    return true;
}

/* A filter behind the bar; target may be NULL, in a block. */
static struct jinja_node *filter(struct jinja_parser *p, struct jinja_node *target)
{
    struct jinja_node *n = invocation(p, JINJA_N_FILTER, target, p->t->line);

    if (n == NULL || !dotted_name(p, &n->invocation->name))
        return NULL;
    n->invocation->row = jinja_find_filter(n->invocation->name);
    if (p->t->type == JINJA_T_LPAREN && !call_arguments(p, n, n->invocation))
        return NULL;
    return n;
}

struct jinja_node *jinja_filters(struct jinja_parser *p, struct jinja_node *n, bool first_is_inline)
{
    if (first_is_inline)
        n = filter(p, n);
    while ((n != NULL || !first_is_inline) && jinja_skip(p, JINJA_T_PIPE)) {
        n = filter(p, n);
        if (n == NULL)
            return NULL;
    }
    return n;
}

static bool at_test_argument(const struct jinja_parser *p)
{
    switch (p->t->type) {
    case JINJA_T_NAME:
        return !jinja_at_word(p, "else") && !jinja_at_word(p, "or") && !jinja_at_word(p, "and");
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

static struct jinja_node *test(struct jinja_parser *p, struct jinja_node *target)
{
    const uint32_t line = p->t->line;

    jinja_advance(p); /* is */
    const bool negated = jinja_skip_word(p, "not");
    struct jinja_node *n = invocation(p, JINJA_N_TEST, target, line);
    if (n == NULL || !dotted_name(p, &n->invocation->name))
        return NULL;
    n->invocation->row = jinja_find_test(n->invocation->name);
    if (p->t->type == JINJA_T_LPAREN) {
        if (!call_arguments(p, n, n->invocation))
            return NULL;
    } else if (at_test_argument(p)) {
        if (jinja_at_word(p, "is"))
            return jinja_parse_fail(p, p->t->line, "You cannot chain multiple tests with is");
        struct jinja_node *argument = postfix(p, primary(p, false));
        if (argument == NULL || !jinja_deepen(p, n, argument))
            return NULL;
        jinja_append(&n->invocation->args, argument);
    }
    return negated ? pair(p, JINJA_N_NOT, n, NULL, line) : n;
}

static struct jinja_node *filters_and_tests(struct jinja_parser *p, struct jinja_node *n)
{
    while (n != NULL) {
        if (jinja_skip(p, JINJA_T_PIPE))
            n = filter(p, n);
        else if (jinja_at_word(p, "is"))
            n = test(p, n);
        else if (p->t->type == JINJA_T_LPAREN)
            n = call(p, n);
        else
            break;
    }
    return n;
}

static struct jinja_node *unary(struct jinja_parser *p, bool with_filter)
{
    const uint32_t line = p->t->line;
    const bool minus = p->t->type == JINJA_T_SUB;
    struct jinja_node *n;

    if (minus || p->t->type == JINJA_T_ADD) {
        jinja_advance(p);
        if (!jinja_deeper(p))
            return NULL;
        n = pair(p, minus ? JINJA_N_NEGATE : JINJA_N_PLUS, unary(p, false), NULL, line);
        p->nesting--;
    } else {
        n = primary(p, false);
    }
    n = postfix(p, n);
    return with_filter ? filters_and_tests(p, n) : n;
}

static struct jinja_node *power(struct jinja_parser *p)
{
    uint32_t line = p->t->line;
    struct jinja_node *left = unary(p, true);

    while (left != NULL && jinja_skip(p, JINJA_T_POW)) {
        left = binary(p, JINJA_POW, left, unary(p, true), line);
        line = p->t->line;
    }
    return left;
}

static struct jinja_node *product(struct jinja_parser *p)
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
        jinja_advance(p);
        left = binary(p, op, left, power(p), line);
        line = p->t->line;
    }
    return left;
}

static struct jinja_node *concatenation(struct jinja_parser *p)
{
    struct jinja_node *list = jinja_node_new(p, JINJA_N_CONCAT, p->t->line);

    do {
        if (!jinja_add_item(p, list, product(p)))
            return NULL;
    } while (jinja_skip(p, JINJA_T_TILDE));
    return list->items.n == 1 ? list->items.first : list;
}

static struct jinja_node *sum(struct jinja_parser *p)
{
    uint32_t line = p->t->line;
    struct jinja_node *left = concatenation(p);

    while (left != NULL && (p->t->type == JINJA_T_ADD || p->t->type == JINJA_T_SUB)) {
        const enum jinja_op op = p->t->type == JINJA_T_ADD ? JINJA_ADD : JINJA_SUB;

        jinja_advance(p);
        left = binary(p, op, left, concatenation(p), line);
        line = p->t->line;
    }
    return left;
}

/* The comparison that stands here, taken; false where there is none. */
static bool comparison(struct jinja_parser *p, enum jinja_op *op)
{
    static const struct {
        enum jinja_token_type type;
        enum jinja_op op;
    } rows[] = {
        {JINJA_T_EQ, JINJA_EQ},      {JINJA_T_NE, JINJA_NE},    {JINJA_T_LT, JINJA_OP_LT},
        {JINJA_T_LTEQ, JINJA_OP_LE}, {JINJA_T_GT, JINJA_OP_GT}, {JINJA_T_GTEQ, JINJA_OP_GE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (jinja_skip(p, rows[i].type)) {
            *op = rows[i].op;
            return true;
        }
    }
    *op = JINJA_IN;
    if (jinja_skip_word(p, "in"))
        return true;
    if (jinja_at_word(p, "not") && p->t[1].type == JINJA_T_NAME && str_is(p->t[1].text, "in")) {
        jinja_advance(p);
        jinja_advance(p);
        *op = JINJA_NOT_IN;
        return true;
    }
    return false;
}

static struct jinja_node *compare(struct jinja_parser *p)
{
    const uint32_t line = p->t->line;
    struct jinja_node *first = sum(p), *n = NULL;
    enum jinja_op op;

    while (first != NULL && comparison(p, &op)) {
        struct jinja_node *operand = pair(p, JINJA_N_OPERAND, sum(p), NULL, p->t->line);

        if (n == NULL) {
            n = jinja_node_new(p, JINJA_N_COMPARE, line);
            n->compare.first = first;
        }
        if (operand == NULL || !jinja_deepen(p, n, first) || !jinja_deepen(p, n, operand))
            return NULL;
        operand->op = (uint8_t)op;
        jinja_append(&n->compare.operands, operand);
    }
    return n == NULL ? first : n;
}

static struct jinja_node *negation(struct jinja_parser *p)
{
    const uint32_t line = p->t->line;

    if (!jinja_skip_word(p, "not"))
        return compare(p);
    if (!jinja_deeper(p))
        return NULL;
    struct jinja_node *n = pair(p, JINJA_N_NOT, negation(p), NULL, line);
    p->nesting--;
    return n;
}

static struct jinja_node *and_expression(struct jinja_parser *p)
{
    uint32_t line = p->t->line;
    struct jinja_node *left = negation(p);

    while (left != NULL && jinja_skip_word(p, "and")) {
        struct jinja_node *right = negation(p);

        left = right == NULL ? NULL : pair(p, JINJA_N_AND, left, right, line);
        line = p->t->line;
    }
    return left;
}

static struct jinja_node *or_expression(struct jinja_parser *p)
{
    uint32_t line = p->t->line;
    struct jinja_node *left = and_expression(p);

    while (left != NULL && jinja_skip_word(p, "or")) {
        struct jinja_node *right = and_expression(p);

        left = right == NULL ? NULL : pair(p, JINJA_N_OR, left, right, line);
        line = p->t->line;
    }
    return left;
}

struct jinja_node *jinja_expression(struct jinja_parser *p)
{
    uint32_t line = p->t->line;

    if (!jinja_deeper(p))
        return NULL;
    struct jinja_node *value = or_expression(p);
    while (value != NULL && jinja_skip_word(p, "if")) {
        struct jinja_node *n = jinja_node_new(p, JINJA_N_CONDITIONAL, line);

        n->conditional.then = value;
        n->conditional.test = or_expression(p);
        if (n->conditional.test == NULL)
            return NULL;
        if (jinja_skip_word(p, "else")) {
            n->conditional.otherwise = jinja_expression(p);
            if (n->conditional.otherwise == NULL)
                return NULL;
        }
        if (!jinja_deepen(p, n, n->conditional.then) || !jinja_deepen(p, n, n->conditional.test) ||
            !jinja_deepen(p, n, n->conditional.otherwise))
            return NULL;
        value = n;
        line = p->t->line;
    }
    p->nesting--;
    return value;
}
