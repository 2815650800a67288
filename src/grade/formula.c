#include "grade/formula.h"

#include "base/limits.h"
#include "base/size.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
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

/* What stands at a place, for a message: 20 bytes at most, one line, whole characters. */
static struct str shown(const struct parser *p, size_t start)
{
    struct str s = {p->text.ptr + start, size_min(p->text.len - start, 20)};
    size_t n = 0;

    while (n < s.len && (unsigned char)s.ptr[n] >= ' ')
        n++;
    while (n > 0 && start + n < p->text.len && ((unsigned char)s.ptr[n] & 0xc0) == 0x80)
        n--;
    return (struct str){s.ptr, n};
}

/* All that is accepted is ASCII: up to the place of an error a byte is a character. */
static bool complain(struct parser *p, const char *expected)
{
    if (p->at >= p->text.len)
        return fail_param(p->err, ERR_INVALID, "calculate_output",
                          "calculate_output ends where %s is expected", expected);
    return fail_param(p->err, ERR_INVALID, "calculate_output",
                      "calculate_output has \"" STR_FMT "\" at character %zu, where %s is expected",
                      STR_ARG(shown(p, p->at)), p->at + 1, expected);
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

static size_t digits_end(const struct parser *p, size_t i)
{
    while (is_digit(at(p, i)))
        i++;
    return i;
}

/* Where the number at p->at ends: digits [. digits] [e [sign] digits], or . digits; p->at where there is none. */
static size_t number_end(const struct parser *p)
{
    const size_t point = digits_end(p, p->at);
    const size_t end = at(p, point) == '.' ? digits_end(p, point + 1) : point;

    if (end - p->at == (end > point)) /* no digit at all */
        return p->at;
    if (at(p, end) != 'e' && at(p, end) != 'E')
        return end;
    const size_t sign = at(p, end + 1) == '+' || at(p, end + 1) == '-';
    return is_digit(at(p, end + 1 + sign)) ? digits_end(p, end + 1 + sign) : end;
}

static bool parse_number(struct parser *p)
{
    const size_t end = number_end(p), len = end - p->at;
    char copy[64];

    if (len == 0)
        return complain(p, "a number, a name or a bracket");
    if (len >= sizeof copy)
        return fail_param(p->err, ERR_LIMIT, "calculate_output",
                          "calculate_output has a number of %zu characters at character %zu", len,
                          p->at + 1);
    memcpy(copy, p->text.ptr + p->at, len);
    copy[len] = '\0';
    if (strspn(copy, "0123456789") == len && copy[0] == '0' && strspn(copy, "0") < len)
        return complain(p, "a number without zeros in front"); /* it may be meant as octal */
    const double value = strtod(copy, NULL);
    if (!isfinite(value))
        return fail_param(p->err, ERR_INVALID, "calculate_output",
                          "calculate_output has the number %s at character %zu, which is too large",
                          copy, p->at + 1);
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
    } while (f->many && take(p, ','));
    if (!f->many && peek(p) == ',')
        return fail_param(p->err, ERR_INVALID, "calculate_output",
                          "calculate_output gives %s more than one value at character %zu; it "
                          "takes one",
                          f->name, p->at + 1);
    if (!take(p, ')'))
        return complain(p, f->many ? "an operator, \",\" or \")\"" : "an operator or \")\"");
    return emit(p, f->code, n, 0) && leave(p);
}

static const struct function *function_named(struct str word)
{
    for (size_t i = 0; i < COUNT_OF(functions); i++)
        if (str_is(word, functions[i].name))
            return &functions[i];
    return NULL;
}

/* A function's name is the function where a bracket follows, and otherwise a variable like any other. */
static bool parse_word(struct parser *p)
{
    const size_t start = p->at;

    while (is_name(at(p, p->at)) || is_digit(at(p, p->at)))
        p->at++;
    const struct str word = {p->text.ptr + start, p->at - start};
    const struct function *f = function_named(word);
    if (take(p, '(')) {
        if (f != NULL)
            return parse_call(p, f);
        return fail_param(p->err, ERR_INVALID, "calculate_output",
                          "calculate_output calls \"%.*s\" at character %zu; there are min, max, "
                          "abs, floor, ceil, exp, sqrt, log",
                          (int)size_min(word.len, 64), word.ptr, start + 1);
    }
    for (size_t i = 0; i < p->n_names; i++)
        if (str_is(word, p->names[i]))
            return emit(p, OP_NAME, (unsigned)i, 0);
    if (f != NULL)
        return complain(p, "\"(\"");
    return fail_param(p->err, ERR_INVALID, "calculate_output",
                      "calculate_output uses \"%.*s\" at character %zu, which is none of the "
                      "graders",
                      (int)size_min(word.len, 64), word.ptr, start + 1);
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
        return complain(p, "an operator or \")\"");
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

static bool is_identifier(const char *name)
{
    size_t n = 0;

    while (is_name(name[n]) || (n > 0 && is_digit(name[n])))
        n++;
    return n > 0 && name[n] == '\0';
}

/* A text that failed may be meant to use a grader such as "a-b", which reads as a minus b: then err says so, too. */
static bool blame_name(const struct parser *p, struct error *err)
{
    const size_t len = err == NULL ? 0 : strlen(err->message);

    for (size_t i = 0; err != NULL && i < p->n_names; i++)
        if (!is_identifier(p->names[i]) && p->names[i][0] != '\0' &&
            str_find(p->text, str_of(p->names[i]), 0) < p->text.len) {
            snprintf(err->message + len, sizeof err->message - len,
                     "; no formula can use the name \"%.64s\" (a name is of letters, digits and "
                     "_, and begins with no digit)",
                     p->names[i]);
            break;
        }
    return false;
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
    ok = (parse_sum(p) &&
          (peek(p) == '\0' && p->at >= text.len ? true : complain(p, "an operator or the end"))) ||
         blame_name(p, err);
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
        return floor(v[0]) + 0.0; /* whole numbers have no -0: in Python these are integers */
    case OP_CEIL:
        return ceil(v[0]) + 0.0;
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
