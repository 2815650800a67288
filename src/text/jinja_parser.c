/*
 * jinja_parser.c - tokens to a tree: statements, and what all parsing shares.
 *
 * The same descent as jinja2's parser, so that what one takes the other takes.
 */
#include "text/jinja_parser.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

static bool statements(struct jinja_parser *p, const char *const *ends, struct jinja_nodes *out);

void *jinja_parse_fail(struct jinja_parser *p, uint32_t line, const char *fmt, ...)
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
const char *jinja_found(const struct jinja_parser *p)
{
    return p->t->type == JINJA_T_NAME ? p->t->text.ptr : jinja_token_name(p->t->type);
}

bool jinja_expect(struct jinja_parser *p, enum jinja_token_type type)
{
    if (jinja_skip(p, type))
        return true;
    if (p->t->type == JINJA_T_EOF)
        jinja_parse_fail(p, p->t->line, "unexpected end of template, expected '%s'",
                         jinja_token_name(type));
    else
        jinja_parse_fail(p, p->t->line, "expected token '%s', got '%s'", jinja_token_name(type),
                         jinja_found(p));
    return false;
}

bool jinja_expect_word(struct jinja_parser *p, const char *word)
{
    if (jinja_skip_word(p, word))
        return true;
    jinja_parse_fail(p, p->t->line, "expected token '%s', got '%s'", word, jinja_found(p));
    return false;
}

bool jinja_expect_name(struct jinja_parser *p, struct str *out)
{
    *out = p->t->text;
    return jinja_expect(p, JINJA_T_NAME);
}

struct jinja_node *jinja_node_new(struct jinja_parser *p, enum jinja_kind kind, uint32_t line)
{
    struct jinja_node *n = ARENA_NEW(p->a, struct jinja_node);

    n->kind = (uint8_t)kind;
    n->line = line;
    n->escapes = p->autoescape;
    n->depth = 1;
    return n;
}

/* n is one deeper than child, which may be NULL. */
bool jinja_deepen(struct jinja_parser *p, struct jinja_node *n, const struct jinja_node *child)
{
    if (child != NULL && child->depth >= n->depth)
        n->depth = (uint16_t)(child->depth + 1);
    if (n->depth <= JINJA_MAX_NESTING)
        return true;
    return fail(p->err, ERR_LIMIT, "chat template, line %u: expressions nested more than %d deep",
                n->line, JINJA_MAX_NESTING);
}

bool jinja_deeper(struct jinja_parser *p)
{
    if (++p->nesting <= JINJA_MAX_NESTING)
        return true;
    return fail(p->err, ERR_LIMIT, "chat template, line %u: nested more than %d deep", p->t->line,
                JINJA_MAX_NESTING);
}

struct jinja_value jinja_text_constant(struct jinja_parser *p, struct str s)
{
    struct jinja_text *t = ARENA_NEW(p->a, struct jinja_text);

    *t = (struct jinja_text){s.ptr, s.len, jinja_count_chars(s)};
    return (struct jinja_value){.type = JINJA_STR, .text = t};
}

bool jinja_add_item(struct jinja_parser *p, struct jinja_node *list, struct jinja_node *item)
{
    if (item == NULL || !jinja_deepen(p, list, item))
        return false;
    jinja_append(&list->items, item);
    return true;
}

/* ---- statements ---- */

static bool can_assign(struct jinja_parser *p, struct jinja_node *target)
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
    jinja_parse_fail(p, target->line,
                     "can't assign to this, only to names and namespace attributes");
    return false;
}

static struct jinja_node *assign_target(struct jinja_parser *p, bool with_namespace,
                                        const char *end)
{
    struct jinja_node *n = jinja_tuple_expression(
        p, with_namespace ? JINJA_TUPLE_OF_NAMESPACE_TARGETS : JINJA_TUPLE_OF_TARGETS, end, false);

    return n != NULL && can_assign(p, n) ? n : NULL;
}

static struct jinja_node *name_target(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node_new(p, JINJA_N_NAME, p->t->line);

    n->name.ctx = JINJA_CTX_STORE;
    return jinja_expect_name(p, &n->name.name) ? n : NULL;
}

/* The body up to an end tag, which is taken whole. */
static bool body_until(struct jinja_parser *p, const char *end, struct jinja_nodes *out)
{
    const char *const ends[] = {end, NULL};

    if (!statements(p, ends, out))
        return false;
    jinja_advance(p);
    return true;
}

static struct jinja_node *parse_for(struct jinja_parser *p)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    struct jinja_node *n = jinja_node_new(p, JINJA_N_FOR, p->t->line);
    struct jinja_for *f = n->loop = ARENA_NEW(p->a, struct jinja_for);

    jinja_advance(p);
    f->target = assign_target(p, false, "in");
    if (f->target == NULL || !jinja_expect_word(p, "in"))
        return NULL;
    f->iter = jinja_tuple_expression(p, JINJA_TUPLE_OF_PLAIN, "recursive", false);
    if (f->iter == NULL)
        return NULL;
    if (jinja_skip_word(p, "if") && (f->test = jinja_expression(p)) == NULL)
        return NULL;
    f->recursive = jinja_skip_word(p, "recursive");
    f->escapes = p->autoescape;
    if (!statements(p, ends, &f->body))
        return NULL;
    const bool has_else = jinja_at_word(p, "else");
    jinja_advance(p);
    if (has_else && !body_until(p, "endfor", &f->orelse))
        return NULL;
    f->has_else = f->orelse.n > 0;
    return n;
}

static struct jinja_node *parse_if(struct jinja_parser *p)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    struct jinja_node *n = jinja_node_new(p, JINJA_N_IF, p->t->line), *branch = n;

    jinja_advance(p);
    for (;;) {
        branch->branch.test = jinja_tuple_expression(p, JINJA_TUPLE_OF_PLAIN, NULL, false);
        if (branch->branch.test == NULL || !statements(p, ends, &branch->branch.body))
            return NULL;
        if (jinja_skip_word(p, "elif")) {
            branch = jinja_node_new(p, JINJA_N_IF, p->t->line);
            jinja_append(&n->branch.elifs, branch);
            continue;
        }
        if (jinja_skip_word(p, "else"))
            return body_until(p, "endif", &n->branch.orelse) ? n : NULL;
        jinja_advance(p);
        return n;
    }
}

static struct jinja_node *parse_set(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node_new(p, JINJA_N_SET, p->t->line);

    jinja_advance(p);
    struct jinja_node *target = assign_target(p, true, NULL);
    if (target == NULL)
        return NULL;
    if (jinja_skip(p, JINJA_T_ASSIGN)) {
        n->set.target = target;
        n->set.value = jinja_tuple_expression(p, JINJA_TUPLE_OF_ANY, NULL, false);
        return n->set.value == NULL ? NULL : n;
    }
    n->kind = JINJA_N_SET_BLOCK;
    n->block.target = target;
    if (p->t->type == JINJA_T_PIPE && (n->block.filter = jinja_filters(p, NULL, false)) == NULL)
        return NULL;
    return body_until(p, "endset", &n->block.body) ? n : NULL;
}

/* (name, name=default, ...) of a macro. */
static bool signature(struct jinja_parser *p, struct jinja_macro_node *m)
{
    if (!jinja_expect(p, JINJA_T_LPAREN))
        return false;
    while (p->t->type != JINJA_T_RPAREN) {
        if (m->params.n > 0 && !jinja_expect(p, JINJA_T_COMMA))
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
                jinja_parse_fail(p, param->line, "duplicate argument '%s'", param->name.name.ptr);
                return false;
            }
        }
        jinja_append(&m->params, param);
        if (jinja_skip(p, JINJA_T_ASSIGN)) {
            struct jinja_node *value = jinja_expression(p);

            if (value == NULL)
                return false;
            jinja_append(&m->defaults, value);
        } else if (m->defaults.n > 0) {
            jinja_parse_fail(p, param->line, "non-default argument follows default argument");
            return false;
        }
    }
    jinja_advance(p);
    return true;
}

static struct jinja_node *macro_node(struct jinja_parser *p, enum jinja_kind kind)
{
    struct jinja_node *n = jinja_node_new(p, kind, p->t->line);

    n->macro = ARENA_NEW(p->a, struct jinja_macro_node);
    jinja_advance(p);
    return n;
}

static struct jinja_node *parse_macro(struct jinja_parser *p)
{
    struct jinja_node *n = macro_node(p, JINJA_N_MACRO);

    return jinja_expect_name(p, &n->macro->name) && signature(p, n->macro) &&
                   body_until(p, "endmacro", &n->macro->body)
               ? n
               : NULL;
}

static struct jinja_node *parse_call_block(struct jinja_parser *p)
{
    struct jinja_node *n = macro_node(p, JINJA_N_CALL_BLOCK);

    if (p->t->type == JINJA_T_LPAREN && !signature(p, n->macro))
        return NULL;
    n->macro->call = jinja_expression(p);
    if (n->macro->call == NULL)
        return NULL;
    if (n->macro->call->kind != JINJA_N_CALL)
        return jinja_parse_fail(p, n->line, "expected call");
    return body_until(p, "endcall", &n->macro->body) ? n : NULL;
}

static struct jinja_node *parse_generation(struct jinja_parser *p)
{
    struct jinja_node *n = macro_node(p, JINJA_N_GENERATION);

    return body_until(p, "endgeneration", &n->macro->body) ? n : NULL;
}

static struct jinja_node *parse_filter_block(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node_new(p, JINJA_N_FILTER_BLOCK, p->t->line);

    jinja_advance(p);
    n->block.filter = jinja_filters(p, NULL, true);
    return n->block.filter != NULL && body_until(p, "endfilter", &n->block.body) ? n : NULL;
}

static struct jinja_node *parse_with(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node_new(p, JINJA_N_WITH, p->t->line);

    jinja_advance(p);
    while (p->t->type != JINJA_T_BLOCK_END) {
        if (n->block.targets.n > 0 && !jinja_expect(p, JINJA_T_COMMA))
            return NULL;
        struct jinja_node *target = assign_target(p, false, NULL);
        if (target == NULL || !jinja_expect(p, JINJA_T_ASSIGN))
            return NULL;
        struct jinja_node *value = jinja_expression(p);
        if (value == NULL)
            return NULL;
        if (target->kind == JINJA_N_NAME)
            target->name.ctx = JINJA_CTX_PARAM;
        jinja_append(&n->block.targets, target);
        jinja_append(&n->block.values, value);
    }
    return body_until(p, "endwith", &n->block.body) ? n : NULL;
}

/* {% block %} renders in its place; nothing can extend this template. */
static struct jinja_node *parse_block(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node_new(p, JINJA_N_BLOCK, p->t->line);

    jinja_advance(p);
    if (!jinja_expect_name(p, &n->block.name))
        return NULL;
    if (jinja_at_word(p, "scoped") || jinja_at_word(p, "required")) {
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
        jinja_advance(p);
    return n;
}

static struct jinja_node *parse_autoescape(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node_new(p, JINJA_N_AUTOESCAPE, p->t->line);

    jinja_advance(p);
    struct jinja_node *on = jinja_expression(p);
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

static struct jinja_node *parse_print(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node_new(p, JINJA_N_OUTPUT, p->t->line);

    jinja_advance(p);
    while (p->t->type != JINJA_T_BLOCK_END)
        if ((n->items.n > 0 && !jinja_expect(p, JINJA_T_COMMA)) ||
            !jinja_add_item(p, n, jinja_expression(p)))
            return NULL;
    return n;
}

/* break and continue; jinja_scope.c looks whether they are in a loop */
static struct jinja_node *parse_break(struct jinja_parser *p)
{
    struct jinja_node *n =
        jinja_node_new(p, jinja_at_word(p, "break") ? JINJA_N_BREAK : JINJA_N_CONTINUE, p->t->line);

    jinja_advance(p);
    return n;
}

/* There are no other templates to include, import or extend. It fails when it is reached, as there. */
static struct jinja_node *parse_refused(struct jinja_parser *p)
{
    struct jinja_node *n = jinja_node_new(p, JINJA_N_REFUSED, p->t->line);

    n->pair.name = p->t->text;
    while (p->t->type != JINJA_T_BLOCK_END && p->t->type != JINJA_T_EOF)
        jinja_advance(p);
    return n;
}

static struct jinja_node *statement(struct jinja_parser *p)
{
    static const struct {
        const char *tag;
        struct jinja_node *(*parse)(struct jinja_parser *p);
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
        return jinja_parse_fail(p, p->t->line, "tag name expected");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        if (str_is(p->t->text, rows[i].tag)) {
            const char *outer = p->open_tag;

            p->open_tag = rows[i].tag;
            struct jinja_node *n = jinja_deeper(p) ? rows[i].parse(p) : NULL;
            p->nesting--;
            p->open_tag = outer;
            return n;
        }
    }
    if (p->open_tag != NULL)
        return jinja_parse_fail(
            p, p->t->line,
            "Encountered unknown tag '%s'. The innermost block that needs to be closed is '%s'.",
            jinja_found(p), p->open_tag);
    return jinja_parse_fail(p, p->t->line, "Encountered unknown tag '%s'.", jinja_found(p));
}

static bool at_one_of(const struct jinja_parser *p, const char *const *ends)
{
    for (; ends != NULL && *ends != NULL; ends++)
        if (jinja_at_word(p, *ends))
            return true;
    return false;
}

/* Statements, data and output up to one of the end tags, whose name is then current. */
static bool body(struct jinja_parser *p, const char *const *ends, struct jinja_nodes *out)
{
    while (p->t->type != JINJA_T_EOF) {
        const struct jinja_token *t = p->t;
        struct jinja_node *n = NULL;

        jinja_advance(p);
        if (t->type == JINJA_T_DATA) {
            n = jinja_node_new(p, JINJA_N_DATA, t->line);
            n->constant = jinja_text_constant(p, t->text);
        } else if (t->type == JINJA_T_VARIABLE_BEGIN) {
            struct jinja_node *value = jinja_tuple_expression(p, JINJA_TUPLE_OF_ANY, NULL, false);

            n = jinja_node_new(p, JINJA_N_OUTPUT, t->line);
            if (!jinja_add_item(p, n, value) || !jinja_expect(p, JINJA_T_VARIABLE_END))
                return false;
        } else {
            assert(t->type == JINJA_T_BLOCK_BEGIN);
            if (at_one_of(p, ends))
                return true;
            n = statement(p);
            if (n == NULL || !jinja_expect(p, JINJA_T_BLOCK_END))
                return false;
        }
        jinja_append(out, n);
    }
    if (ends == NULL)
        return true;
    jinja_parse_fail(p, p->t->line, "Unexpected end of template. '%s' is missing for '%s'.",
                     ends[0], p->open_tag == NULL ? "" : p->open_tag);
    return false;
}

static bool statements(struct jinja_parser *p, const char *const *ends, struct jinja_nodes *out)
{
    jinja_skip(p, JINJA_T_COLON);
    return jinja_expect(p, JINJA_T_BLOCK_END) && body(p, ends, out);
}

bool jinja_parse(struct str source, struct jinja_program *out, struct error *err)
{
    struct arena scratch = {0};
    struct jinja_tokens tokens;
    struct jinja_parser p = {.a = &out->arena, .err = err};
    bool ok = jinja_tokenize(source, &out->arena, &scratch, &tokens, err);

    if (ok) {
        p.t = tokens.ptr;
        ok = body(&p, NULL, &out->body);
    }
    arena_release(&scratch);
    return ok && jinja_resolve_scopes(out, err);
}
