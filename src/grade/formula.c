#include "grade/formula.h"

#include "base/limits.h"
#include "base/size.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define MAX_OPS 2048
#define MAX_DEPTH 64 /* of brackets, functions and signs */
#define MAX_STACK                                                                                  \
    256 /* values waiting; at least what MAX_DEPTH nested calls can hold is checked while compiling */

enum op_code {
    OP_NUMBER,
    OP_NAME,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_DIV,
    OP_POW,
    OP_NEG,
    OP_MIN,
    OP_MAX,
    OP_ABS,
    OP_FLOOR,
    OP_CEIL,
    OP_EXP,
    OP_SQRT,
    OP_LOG,
};
struct op {
    enum op_code code;
    unsigned n;    /* values taken, or the name's number */
    double number; /* OP_NUMBER */
};
struct formula {
    size_t n_ops;
    struct op *ops;
};

static const struct function {
    const char *name;
    enum op_code code;
    bool many;
} functions[] = {
    {"min", OP_MIN, true},      {"max", OP_MAX, true},    {"abs", OP_ABS, false},
    {"floor", OP_FLOOR, false}, {"ceil", OP_CEIL, false}, {"exp", OP_EXP, false},
    {"sqrt", OP_SQRT, false},   {"log", OP_LOG, false},
};

static const char *op_name(enum op_code code)
{
    static const char *const signs[] = {
        [OP_ADD] = "a sum",      [OP_SUB] = "a difference", [OP_MUL] = "a product",
        [OP_DIV] = "a quotient", [OP_POW] = "a power",
    };

    for (size_t i = 0; i < COUNT_OF(functions); i++)
        if (functions[i].code == code)
            return functions[i].name;
    return code < COUNT_OF(signs) && signs[code] != NULL ? signs[code] : "a value";
}

struct parser {
    struct str text;
    size_t at;
    size_t n_names;
    const char *const *names;
    struct op ops[MAX_OPS];
    size_t n_ops;
    size_t stack,
        depth; /* values waiting at this point of the program; nesting at this point of the text */
    struct error *err;
};

static bool parse_sum(struct parser *p);

static bool complain(struct parser *p, const char *expected)
{
    if (p->at >= p->text.len)
        return fail_param(p->err, ERR_INVALID, "calculate_output",
                          "calculate_output ends where %s is expected", expected);
    return fail_param(p->err, ERR_INVALID, "calculate_output",
                      "calculate_output has \"%.*s\" at character %zu, where %s is expected",
                      (int)size_min(p->text.len - p->at, 20), p->text.ptr + p->at, p->at + 1,
                      expected);
}

static bool emit(struct parser *p, enum op_code code, unsigned n, double number)
{
    if (p->n_ops == MAX_OPS)
        return fail_param(p->err, ERR_LIMIT, "calculate_output",
                          "calculate_output has more than %d steps", MAX_OPS);
    p->ops[p->n_ops++] = (struct op){.code = code, .n = n, .number = number};
    if (code == OP_NUMBER || code == OP_NAME)
        p->stack++;
    else
        p->stack -= n - 1;
    if (p->stack > MAX_STACK)
        return fail_param(p->err, ERR_LIMIT, "calculate_output",
                          "calculate_output has more than %d open values", MAX_STACK);
    return true;
}

static bool enter(struct parser *p)
{
    if (++p->depth > MAX_DEPTH)
        return fail_param(p->err, ERR_LIMIT, "calculate_output",
                          "calculate_output is nested more than %d deep", MAX_DEPTH);
    return true;
}

static bool leave(struct parser *p)
{
    p->depth--;
    return true;
}

/* The next character that is not blank, or 0 at the end. */
static char peek(struct parser *p)
{
    while (p->at < p->text.len && strchr(" \t\r\n", p->text.ptr[p->at]) != NULL &&
           p->text.ptr[p->at] != '\0')
        p->at++;
    return p->at < p->text.len ? p->text.ptr[p->at] : '\0';
}

static bool take(struct parser *p, char c)
{
    if (peek(p) != c || p->at >= p->text.len)
        return false;
    p->at++;
    return true;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static char at(const struct parser *p, size_t i)
{
    return i < p->text.len ? p->text.ptr[i] : '\0';
}

/* digits [. digits] [e [sign] digits], or . digits */
static bool parse_number(struct parser *p)
{
    size_t end = p->at, n_digits = 0;
    char copy[64];

    for (; is_digit(at(p, end)); end++)
        n_digits++;
    if (at(p, end) == '.')
        for (end++; is_digit(at(p, end)); end++)
            n_digits++;
    if (n_digits == 0)
        return complain(p, "a number, a name or a bracket");
    if (at(p, end) == 'e' || at(p, end) == 'E') {
        const size_t sign = at(p, end + 1) == '+' || at(p, end + 1) == '-';

        if (is_digit(at(p, end + 1 + sign)))
            for (end += 1 + sign; is_digit(at(p, end));)
                end++;
    }
    if (end - p->at >= sizeof copy)
        return fail_param(p->err, ERR_LIMIT, "calculate_output",
                          "calculate_output has a number of %zu characters", end - p->at);
    memcpy(copy, p->text.ptr + p->at, end - p->at);
    copy[end - p->at] = '\0';
    const double value = strtod(copy, NULL);
    if (!isfinite(value))
        return fail_param(p->err, ERR_INVALID, "calculate_output",
                          "calculate_output has the number %s, which is too "
                          "large",
                          copy);
    p->at = end;
    return emit(p, OP_NUMBER, 0, value);
}

static bool parse_call(struct parser *p, const struct function *f)
{
    unsigned n = 0;

    if (!enter(p))
        return false;
    do {
        if (!parse_sum(p))
            return false;
        n++;
    } while (take(p, ','));
    if (n > 1 && !f->many)
        return fail_param(p->err, ERR_INVALID, "calculate_output",
                          "calculate_output gives %s %u values; it takes one", f->name, n);
    if (!take(p, ')'))
        return complain(p, f->many ? "\",\" or \")\"" : "\")\"");
    return emit(p, f->code, n, 0) && leave(p);
}

static bool parse_word(struct parser *p)
{
    const size_t start = p->at;
    struct str word;

    while (is_name(at(p, p->at)) || is_digit(at(p, p->at)))
        p->at++;
    word = (struct str){p->text.ptr + start, p->at - start};
    if (peek(p) == '(') {
        p->at++;
        for (size_t i = 0; i < COUNT_OF(functions); i++)
            if (str_is(word, functions[i].name))
                return parse_call(p, &functions[i]);
        return fail_param(
            p->err, ERR_INVALID, "calculate_output",
            "calculate_output calls \"%.*s\"; there are min, max, abs, floor, ceil, exp, sqrt, log",
            (int)size_min(word.len, 64), word.ptr);
    }
    for (size_t i = 0; i < p->n_names; i++)
        if (str_is(word, p->names[i]))
            return emit(p, OP_NAME, (unsigned)i, 0);
    return fail_param(p->err, ERR_INVALID, "calculate_output",
                      "calculate_output uses \"%.*s\", which is none of the graders",
                      (int)size_min(word.len, 64), word.ptr);
}

static bool parse_primary(struct parser *p)
{
    const char c = peek(p);

    if (is_name(c))
        return parse_word(p);
    if (c != '(')
        return parse_number(p);
    p->at++;
    if (!enter(p) || !parse_sum(p))
        return false;
    if (!take(p, ')'))
        return complain(p, "\")\" or an operator");
    return leave(p);
}

static bool parse_unary(struct parser *p)
{
    if (take(p, '-'))
        return enter(p) && parse_unary(p) && emit(p, OP_NEG, 1, 0) && leave(p);
    if (!parse_primary(p))
        return false;
    if (take(p, '^'))
        return enter(p) && parse_unary(p) && emit(p, OP_POW, 2, 0) && leave(p);
    return true;
}

static bool parse_product(struct parser *p)
{
    if (!parse_unary(p))
        return false;
    for (;;) {
        const enum op_code code = peek(p) == '*' ? OP_MUL : OP_DIV;

        if (!take(p, '*') && !take(p, '/'))
            return true;
        if (!parse_unary(p) || !emit(p, code, 2, 0))
            return false;
    }
}

static bool parse_sum(struct parser *p)
{
    if (!parse_product(p))
        return false;
    for (;;) {
        const enum op_code code = peek(p) == '+' ? OP_ADD : OP_SUB;

        if (!take(p, '+') && !take(p, '-'))
            return true;
        if (!parse_product(p) || !emit(p, code, 2, 0))
            return false;
    }
}

bool formula_compile(struct arena *a, struct str text, size_t n_names, const char *const *names,
                     const struct formula **out, struct error *err)
{
    struct parser *p = calloc(1, sizeof *p);
    struct formula *f;
    bool ok;

    if (p == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to read calculate_output");
    *p = (struct parser){.text = text, .n_names = n_names, .names = names, .err = err};
    ok = parse_sum(p) &&
         (peek(p) == '\0' && p->at >= text.len ? true : complain(p, "an operator or the end"));
    if (ok) {
        f = ARENA_NEW(a, struct formula);
        f->n_ops = p->n_ops;
        f->ops = ARENA_ARRAY(a, struct op, p->n_ops);
        memcpy(f->ops, p->ops, p->n_ops * sizeof *p->ops);
        *out = f;
    }
    free(p);
    return ok;
}

/* What op makes of v[0..n). */
static double apply(const struct op *op, const double *v)
{
    double m = v[0];

    switch (op->code) {
    case OP_ADD:
        return v[0] + v[1];
    case OP_SUB:
        return v[0] - v[1];
    case OP_MUL:
        return v[0] * v[1];
    case OP_DIV:
        return v[0] / v[1];
    case OP_POW:
        return pow(v[0], v[1]);
    case OP_NEG:
        return -v[0];
    case OP_MIN:
        for (unsigned i = 1; i < op->n; i++)
            m = v[i] < m ? v[i] : m;
        return m;
    case OP_MAX:
        for (unsigned i = 1; i < op->n; i++)
            m = v[i] > m ? v[i] : m;
        return m;
    case OP_ABS:
        return fabs(v[0]);
    case OP_FLOOR:
        return floor(v[0]);
    case OP_CEIL:
        return ceil(v[0]);
    case OP_EXP:
        return exp(v[0]);
    case OP_SQRT:
        return sqrt(v[0]);
    case OP_LOG:
        return log(v[0]);
    case OP_NUMBER:
    case OP_NAME:
        break;
    }
    return op->number;
}

bool formula_run(const struct formula *f, const double *values, double *out, struct error *err)
{
    double stack[MAX_STACK + 1] = {0};
    size_t top = 0;

    for (size_t i = 0; i < f->n_ops; i++) {
        const struct op *op = &f->ops[i];

        if (op->code == OP_NUMBER) {
            stack[top++] = op->number;
        } else if (op->code == OP_NAME) {
            stack[top++] = values[op->n];
        } else {
            top -= op->n;
            stack[top] = apply(op, stack + top);
            top++;
        }
        if (!isfinite(stack[top - 1]))
            return fail(err, ERR_INVALID, "calculate_output: %s is not a finite number",
                        op_name(op->code));
    }
    assert(top == 1);
    *out = stack[0];
    return true;
}
