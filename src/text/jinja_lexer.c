/*
 * jinja_lexer.c - jinja2's lexer, without its regular expressions.
 *
 * Text up to the next tag is data. What stands around a tag decides what of the data stays: "-" takes all whitespace
 * on its side; without a sign, a statement or comment that is first in its line takes the blanks before it
 * (lstrip_blocks) and the line end behind it (trim_blocks). Within {{ }} and {% %}, a closing mark only counts where
 * all brackets are closed, so that {{ {'a': {}} }} is what it looks like.
 */
#include "text/jinja_lexer.h"
#include "base/limits.h"
#include "base/size.h"
#include "text/jinja_unicode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_BRACKETS 500

struct lexer {
    struct str s; /* the source, its line ends made \n */
    size_t at;
    uint32_t line; /* of counted */
    size_t counted;
    bool line_starting; /* what came last ended with a line end */
    struct arena *texts, *scratch;
    struct jinja_tokens *out;
    struct error *err;
};

static bool lex_fail(struct lexer *lx, const char *what)
{
    return fail(lx->err, ERR_INVALID, "chat template, line %u: %s", lx->line, what);
}

/* Counts lines up to byte at. */
static void count_lines(struct lexer *lx, size_t at)
{
    for (; lx->counted < at; lx->counted++)
        if (lx->s.ptr[lx->counted] == '\n')
            lx->line++;
}

static char peek(const struct lexer *lx, size_t at)
{
    return at < lx->s.len ? lx->s.ptr[at] : '\0';
}

static bool looking_at(const struct lexer *lx, size_t at, const char *text)
{
    return str_starts(str_from(lx->s, size_min(at, lx->s.len)), str_of(text));
}

static size_t skip_space(const struct lexer *lx, size_t at)
{
    return lx->s.len - jinja_lstrip(str_from(lx->s, at)).len;
}

static bool add(struct lexer *lx, enum jinja_token_type type, struct str text, size_t from)
{
    struct jinja_tokens *t = lx->out;

    if (t->n == t->cap) {
        const size_t cap = t->cap == 0 ? 256 : t->cap * 2;
        struct jinja_token *ptr =
            arena_try(lx->scratch, cap, sizeof *ptr, "a template's tokens", lx->err);

        if (ptr == NULL)
            return false;
        if (t->n > 0)
            memcpy(ptr, t->ptr, t->n * sizeof *ptr);
        t->ptr = ptr;
        t->cap = cap;
    }
    count_lines(lx, from);
    t->ptr[t->n++] = (struct jinja_token){.type = type, .line = lx->line, .text = text};
    return true;
}

/* How a statement's or comment's closing mark that begins at at ends: 0 where there is none there. */
static size_t close_end(const struct lexer *lx, size_t at, const char *mark)
{
    const bool minus = peek(lx, at) == '-', plus = peek(lx, at) == '+';

    if (!looking_at(lx, at + (minus || plus), mark))
        return 0;
    const size_t end = at + (minus || plus) + 2;
    if (minus)
        return skip_space(lx, end);
    return !plus && peek(lx, end) == '\n' ? end + 1 : end;
}

/* {% raw %} at at: where its closing mark ends, or 0. */
static size_t raw_begin(const struct lexer *lx, size_t at, const char *word, bool trim_after)
{
    if (!looking_at(lx, at, "{%"))
        return 0;
    at += 2;
    if (peek(lx, at) == '-' || peek(lx, at) == '+')
        at++;
    at = skip_space(lx, at);
    if (!looking_at(lx, at, word))
        return 0;
    at = skip_space(lx, at + strlen(word));
    if (trim_after)
        return close_end(lx, at, "%}");
    if (looking_at(lx, at, "-%}"))
        return skip_space(lx, at + 3);
    return looking_at(lx, at, "%}") ? at + 2 : 0;
}

/* Data before a tag, less what the tag takes away. */
static bool add_data(struct lexer *lx, size_t from, size_t to, char sign, bool is_variable)
{
    struct str text = {lx->s.ptr + from, to - from};

    if (sign == '-') {
        text = jinja_rstrip(text);
    } else if (sign != '+' && !is_variable) {
        size_t line_from = text.len;

        while (line_from > 0 && text.ptr[line_from - 1] != '\n')
            line_from--;
        if ((line_from > 0 || lx->line_starting) &&
            jinja_lstrip(str_from(text, line_from)).len == 0)
            text.len = line_from;
    }
    return text.len == 0 || add(lx, JINJA_T_DATA, arena_str(lx->texts, text), from);
}

/* The four hexadecimal digits, or however many, behind an escape. */
static bool hex_escape(struct lexer *lx, struct str s, size_t *at, size_t n, uint32_t *c)
{
    *c = 0;
    for (size_t i = 0; i < n; i++) {
        const char d = *at < s.len ? s.ptr[*at] : '\0';
        const char lower = (char)(d | 0x20);

        if (d >= '0' && d <= '9')
            *c = *c * 16 + (uint32_t)(d - '0');
        else if (lower >= 'a' && lower <= 'f')
            *c = *c * 16 + (uint32_t)(lower - 'a' + 10);
        else
            return lex_fail(lx, n == 2   ? "truncated \\xXX escape"
                                : n == 4 ? "truncated \\uXXXX escape"
                                         : "truncated \\UXXXXXXXX escape");
        (*at)++;
    }
    if (*c > 0x10FFFF)
        return lex_fail(lx, "illegal Unicode character in an escape");
    if (*c >= 0xD800 && *c < 0xE000)
        return lex_fail(lx, "half of a surrogate pair in an escape is no character");
    return true;
}

/* Python's escapes, as its codec unicode-escape reads them. */
static bool unescape(struct lexer *lx, struct str s, struct str *out)
{
    static const char simple[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    char *p = arena_alloc(lx->texts, s.len * 4 + 1);
    size_t n = 0, at = 0;

    while (at < s.len) {
        const char c = s.ptr[at++];
        uint32_t u = 0;

        if (c != '\\') {
            p[n++] = c;
            continue;
        }
        const char e = at < s.len ? s.ptr[at] : '\0';
        const char *hit = NULL;
        for (size_t i = 0; hit == NULL && i + 1 < sizeof simple; i += 2)
            if (simple[i] == e)
                hit = simple + i + 1;
        if ((unsigned char)e >= 0x80) {
            /* the codec sees \xe9 for an e with accent: the backslash becomes one and the rest is text */
            const uint32_t odd = jinja_char_next(s, &at);

            n += (size_t)snprintf(p + n, sizeof "\\U0010ffff",
                                  odd < 0x100     ? "\\x%02x"
                                  : odd < 0x10000 ? "\\u%04x"
                                                  : "\\U%08x",
                                  odd);
            continue;
        }
        at++;
        if (e == '\n') {
            continue;
        } else if (hit != NULL) {
            p[n++] = *hit;
            continue;
        } else if (e >= '0' && e <= '7') {
            u = (uint32_t)(e - '0');
            for (int i = 0; i < 2 && at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '7'; i++)
                u = u * 8 + (uint32_t)(s.ptr[at++] - '0');
        } else if (e == 'x' || e == 'u' || e == 'U') {
            if (!hex_escape(lx, s, &at, e == 'x' ? 2 : e == 'u' ? 4 : 8, &u))
                return false;
        } else if (e == 'N') {
            return fail(lx->err, ERR_UNSUPPORTED,
                        "chat template, line %u: \\N{name} is not supported, use \\u and digits",
                        lx->line);
        } else {
            p[n++] = '\\';
            p[n++] = e;
            continue;
        }
        n += jinja_char_put(p + n, u);
    }
    *out = (struct str){p, n};
    return true;
}

static bool lex_string(struct lexer *lx)
{
    const char quote = lx->s.ptr[lx->at];
    size_t end = lx->at + 1;

    while (end < lx->s.len && lx->s.ptr[end] != quote)
        end += lx->s.ptr[end] == '\\' ? 2 : 1;
    if (end >= lx->s.len)
        return lex_fail(lx, "a string is not closed");
    struct str text;
    if (!unescape(lx, (struct str){lx->s.ptr + lx->at + 1, end - lx->at - 1}, &text) ||
        !add(lx, JINJA_T_STRING, text, lx->at))
        return false;
    lx->at = end + 1;
    return true;
}

static bool is_base_digit(char c, int base)
{
    const char lower = (char)(c | 0x20);

    return base == 16 ? (c >= '0' && c <= '9') || (lower >= 'a' && lower <= 'f')
                      : c >= '0' && c < '0' + base;
}

/* Digits with single underscores between them, and before them where lead says so. */
static size_t digits_end(const struct lexer *lx, size_t at, int base, bool lead)
{
    for (;;) {
        const size_t digit = at + (peek(lx, at) == '_' && lead);

        if (!is_base_digit(peek(lx, digit), base))
            return at;
        at = digit + 1;
        lead = true;
    }
}

/* The end of a float at at, or at where there is none. */
static size_t float_end(const struct lexer *lx, size_t at)
{
    if (at > 0 && lx->s.ptr[at - 1] == '.')
        return at;
    size_t end = digits_end(lx, at, 10, false);
    if (end == at)
        return at;
    bool is_float = false;
    if (peek(lx, end) == '.' && digits_end(lx, end + 1, 10, false) > end + 1) {
        end = digits_end(lx, end + 1, 10, false);
        is_float = true;
    }
    if ((peek(lx, end) | 0x20) == 'e') {
        const size_t sign = end + 1 + (peek(lx, end + 1) == '+' || peek(lx, end + 1) == '-');
        const size_t exponent_end = digits_end(lx, sign, 10, false);

        if (exponent_end > sign)
            return exponent_end;
    }
    return is_float ? end : at;
}

/* The end of a whole number, and its base. 007 is 00, then 7, as there. */
static size_t integer_end(const struct lexer *lx, size_t at, int *base)
{
    const char kind = (char)(peek(lx, at + 1) | 0x20);

    *base = kind == 'b' ? 2 : kind == 'o' ? 8 : kind == 'x' ? 16 : 10;
    if (peek(lx, at) == '0' && *base != 10 && digits_end(lx, at + 2, *base, true) > at + 2)
        return digits_end(lx, at + 2, *base, true);
    *base = 10;
    if (peek(lx, at) != '0')
        return digits_end(lx, at, 10, false);
    for (at++; peek(lx, at) == '0' || (peek(lx, at) == '_' && peek(lx, at + 1) == '0');)
        at += peek(lx, at) == '_' ? 2 : 1;
    return at;
}

static bool lex_number(struct lexer *lx)
{
    const size_t from = lx->at;
    size_t end = float_end(lx, from);
    const bool is_float = end > from;
    int base = 10;

    if (!is_float)
        end = integer_end(lx, from, &base);
    char *text = arena_alloc(lx->scratch, end - from + 1);
    size_t n = 0;
    for (size_t i = from; i < end; i++)
        if (lx->s.ptr[i] != '_')
            text[n++] = lx->s.ptr[i];
    if (!add(lx, is_float ? JINJA_T_FLOAT : JINJA_T_INTEGER,
             (struct str){lx->s.ptr + from, end - from}, from))
        return false;
    struct jinja_token *t = &lx->out->ptr[lx->out->n - 1];
    if (is_float) {
        t->d = strtod(text, NULL);
    } else {
        errno = 0;
        t->i = strtoll(base == 10 ? text : text + 2, NULL, base);
        if (errno == ERANGE)
            return lex_fail(lx, "a whole number of more than 64 bits");
    }
    lx->at = end;
    return true;
}

static bool is_name_char(uint32_t c)
{
    if (c < 0x80)
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '_';
    return jinja_is_identifier(c);
}

static bool lex_name(struct lexer *lx)
{
    size_t end = lx->at, next = lx->at;

    while (end < lx->s.len && is_name_char(jinja_char_next(lx->s, &next)))
        end = next;
    if (end == lx->at) {
        char text[64];

        jinja_char_next(lx->s, &end);
        snprintf(text, sizeof text, "unexpected character '%.*s'", (int)(end - lx->at),
                 lx->s.ptr + lx->at);
        return lex_fail(lx, text);
    }
    if (!add(lx, JINJA_T_NAME, arena_str(lx->texts, (struct str){lx->s.ptr + lx->at, end - lx->at}),
             lx->at))
        return false;
    lx->at = end;
    return true;
}

static const struct operator_row {
    char text[3];
    enum jinja_token_type type;
} operators[] = {
    {"//", JINJA_T_FLOORDIV}, {"**", JINJA_T_POW},      {"==", JINJA_T_EQ},
    {"!=", JINJA_T_NE},       {">=", JINJA_T_GTEQ},     {"<=", JINJA_T_LTEQ},
    {"+", JINJA_T_ADD},       {"-", JINJA_T_SUB},       {"/", JINJA_T_DIV},
    {"*", JINJA_T_MUL},       {"%", JINJA_T_MOD},       {"~", JINJA_T_TILDE},
    {"[", JINJA_T_LBRACKET},  {"]", JINJA_T_RBRACKET},  {"(", JINJA_T_LPAREN},
    {")", JINJA_T_RPAREN},    {"{", JINJA_T_LBRACE},    {"}", JINJA_T_RBRACE},
    {">", JINJA_T_GT},        {"<", JINJA_T_LT},        {"=", JINJA_T_ASSIGN},
    {".", JINJA_T_DOT},       {":", JINJA_T_COLON},     {"|", JINJA_T_PIPE},
    {",", JINJA_T_COMMA},     {";", JINJA_T_SEMICOLON},
};

/* Keeps the closing brackets that are waited for. */
static bool balance(struct lexer *lx, char c, char *waiting, size_t *n)
{
    const char close = (char)(c == '(' ? ')' : c == '[' ? ']' : c == '{' ? '}' : '\0');

    if (close != '\0') {
        if (*n == MAX_BRACKETS)
            return fail(lx->err, ERR_LIMIT,
                        "chat template, line %u: more than %d brackets in each other", lx->line,
                        MAX_BRACKETS);
        waiting[(*n)++] = close;
    } else if (c == ')' || c == ']' || c == '}') {
        char text[64];

        if (*n == 0) {
            snprintf(text, sizeof text, "unexpected '%c'", c);
            return lex_fail(lx, text);
        }
        if (waiting[--*n] != c) {
            snprintf(text, sizeof text, "unexpected '%c', expected '%c'", c, waiting[*n]);
            return lex_fail(lx, text);
        }
    }
    return true;
}

static bool lex_operator(struct lexer *lx, char *waiting, size_t *n, bool *found)
{
    *found = false;
    for (size_t i = 0; i < COUNT_OF(operators); i++) {
        const struct operator_row *op = &operators[i];

        if (looking_at(lx, lx->at, op->text)) {
            *found = true;
            count_lines(lx, lx->at);
            if (!balance(lx, op->text[0], waiting, n) ||
                !add(lx, op->type, str_of(op->text), lx->at))
                return false;
            lx->at += strlen(op->text);
            return true;
        }
    }
    return true;
}

/* The inside of {{ }} or {% %}, with its closing mark. */
static bool lex_inside(struct lexer *lx, bool is_variable)
{
    char waiting[MAX_BRACKETS];
    size_t n_waiting = 0;

    for (;;) {
        lx->at = skip_space(lx, lx->at);
        if (lx->at >= lx->s.len)
            return true; /* the parser tells what is missing */
        size_t end = 0;
        if (n_waiting == 0 && !is_variable)
            end = close_end(lx, lx->at, "%}");
        else if (n_waiting == 0)
            end = looking_at(lx, lx->at, "-}}")  ? skip_space(lx, lx->at + 3)
                  : looking_at(lx, lx->at, "}}") ? lx->at + 2
                                                 : 0;
        if (end > 0) {
            if (!add(lx, is_variable ? JINJA_T_VARIABLE_END : JINJA_T_BLOCK_END, STR(""), lx->at))
                return false;
            lx->line_starting = lx->s.ptr[end - 1] == '\n';
            lx->at = end;
            return true;
        }
        const char c = lx->s.ptr[lx->at];
        bool done = false;
        count_lines(lx, lx->at);
        if (c >= '0' && c <= '9') {
            if (!lex_number(lx))
                return false;
        } else if (c == '\'' || c == '"') {
            if (!lex_string(lx))
                return false;
        } else if (!lex_operator(lx, waiting, &n_waiting, &done) || (!done && !lex_name(lx))) {
            return false;
        }
    }
}

static bool lex_comment(struct lexer *lx, size_t begin, size_t inside)
{
    for (size_t at = inside; at < lx->s.len; at++) {
        const size_t end = close_end(lx, at, "#}");

        if (end > 0) {
            lx->line_starting = lx->s.ptr[end - 1] == '\n';
            lx->at = end;
            return true;
        }
    }
    count_lines(lx, begin);
    lx->at = lx->s.len;
    return inside == lx->s.len || lex_fail(lx, "Missing end of comment tag"); /* as there */
}

static bool lex_raw(struct lexer *lx, size_t begin, size_t inside)
{
    for (size_t at = inside; at < lx->s.len; at++) {
        const size_t end = raw_begin(lx, at, "endraw", true);

        if (end > 0) {
            lx->line_starting = lx->s.ptr[inside - 1] == '\n';
            if (!add_data(lx, inside, at, peek(lx, at + 2), false))
                return false;
            lx->line_starting = lx->s.ptr[end - 1] == '\n';
            lx->at = end;
            return true;
        }
    }
    count_lines(lx, begin);
    lx->at = lx->s.len;
    return inside == lx->s.len || lex_fail(lx, "Missing end of raw directive");
}

/* Data up to the next tag, and the tag. */
static bool lex_outside(struct lexer *lx)
{
    const size_t from = lx->at;
    size_t at = from;

    while (at < lx->s.len && !looking_at(lx, at, "{{") && !looking_at(lx, at, "{%") &&
           !looking_at(lx, at, "{#"))
        at++;
    lx->at = at;
    if (at >= lx->s.len) {
        struct str rest = {lx->s.ptr + from, at - from};

        return rest.len == 0 || add(lx, JINJA_T_DATA, arena_str(lx->texts, rest), from);
    }
    const char kind = lx->s.ptr[at + 1], sign = peek(lx, at + 2);
    const size_t raw = raw_begin(lx, at, "raw", false);
    if (!add_data(lx, from, at, sign, kind == '{'))
        return false;
    if (raw > 0)
        return lex_raw(lx, at, raw);
    if (kind == '#')
        return lex_comment(lx, at, at + 2 + (sign == '-' || sign == '+'));
    if (!add(lx, kind == '{' ? JINJA_T_VARIABLE_BEGIN : JINJA_T_BLOCK_BEGIN, STR(""), at))
        return false;
    lx->at = at + 2 + (sign == '-' || sign == '+');
    return lex_inside(lx, kind == '{');
}

/* Line ends become \n, and the last one goes. */
static struct str normalize(struct arena *a, struct str source)
{
    char *p = arena_alloc(a, source.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < source.len; i++) {
        if (source.ptr[i] == '\r') {
            p[n++] = '\n';
            i += i + 1 < source.len && source.ptr[i + 1] == '\n';
        } else {
            p[n++] = source.ptr[i];
        }
    }
    if (n > 0 && p[n - 1] == '\n')
        n--;
    return (struct str){p, n};
}

bool jinja_tokenize(struct str source, struct arena *texts, struct arena *scratch,
                    struct jinja_tokens *out, struct error *err)
{
    struct lexer lx = {.line = 1,
                       .line_starting = true,
                       .texts = texts,
                       .scratch = scratch,
                       .out = out,
                       .err = err};

    if (source.len > LIMIT_TEMPLATE_BYTES)
        return fail(err, ERR_LIMIT, "a chat template of %zu bytes is longer than the %zu allowed",
                    source.len, LIMIT_TEMPLATE_BYTES);
    *out = (struct jinja_tokens){0};
    lx.s = normalize(scratch, source);
    while (lx.at < lx.s.len)
        if (!lex_outside(&lx))
            return false;
    return add(&lx, JINJA_T_EOF, STR(""), lx.s.len);
}

const char *jinja_token_name(enum jinja_token_type type)
{
    switch (type) {
    case JINJA_T_EOF:
        return "end of template";
    case JINJA_T_DATA:
        return "template data / text";
    case JINJA_T_VARIABLE_BEGIN:
        return "begin of print statement";
    case JINJA_T_VARIABLE_END:
        return "end of print statement";
    case JINJA_T_BLOCK_BEGIN:
        return "begin of statement block";
    case JINJA_T_BLOCK_END:
        return "end of statement block";
    case JINJA_T_NAME:
        return "name";
    case JINJA_T_STRING:
        return "string";
    case JINJA_T_INTEGER:
        return "integer";
    case JINJA_T_FLOAT:
        return "float";
    default:
        for (size_t i = 0; i < COUNT_OF(operators); i++)
            if (operators[i].type == type)
                return operators[i].text;
        return "token";
    }
}
