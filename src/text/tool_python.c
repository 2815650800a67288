/*
 * tool_python.c - a call as Python writes it:  NAME(key="text", n=-1.5, on=True, none=None, list=[1, {"a": "b"}])
 *
 * Where its arguments end is found byte by byte, by quotes and brackets; then they are read, once. Strings are Python's without
 * prefixes, in one, or three, quotes of either kind; JSON's true, false, null and \/ are understood, too, and a pair of surrogates is
 * one character: templates write values as JSON, and so does what holds answers to schemas (text/tool_grammar.h).
 */
#include "base/limits.h"
#include "base/size.h"
#include "base/utf8.h"
#include "text/tool_parser_internal.h"

#include <string.h>

/* ---- where the arguments end ---- */

static enum found scan(struct tool_python *s, char c)
{
    if (s->escaped) {
        s->escaped = false;
        return FOUND_MORE;
    }
    if (s->quote != 0 && s->opening) {
        if (c == s->quote) {
            s->triple = ++s->run == 3;
            s->opening = !s->triple;
            s->run = s->triple ? 0 : s->run;
            return FOUND_MORE;
        }
        s->opening = false;
        if (s->run == 2) /* it was empty */
            s->quote = 0;
        s->run = 0;
    }
    if (s->quote != 0) {
        s->escaped = c == '\\';
        s->run = c == s->quote ? (uint8_t)(s->run + 1) : 0;
        if (s->run == (s->triple ? 3 : 1))
            s->quote = 0;
        return FOUND_MORE;
    }
    if (c == '"' || c == '\'') {
        s->quote = c;
        s->opening = true;
        s->triple = false;
        s->run = 1;
        return FOUND_MORE;
    }
    if (c == ')' && s->depth == 0)
        return FOUND_YES;
    if (c == '[' || c == '{')
        return ++s->depth > LIMIT_JSON_DEPTH ? FOUND_NO : FOUND_MORE;
    if (c == ']' || c == '}')
        return s->depth-- == 0 ? FOUND_NO : FOUND_MORE;
    return c == '(' || c == ')' ? FOUND_NO : FOUND_MORE;
}

/* ---- reading them ---- */

static json_t *read_value(struct str *s, size_t depth);

static bool take_char(struct str *s, char c)
{
    *s = str_trim(*s, TOOL_SPACES);
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    *s = str_from(*s, 1);
    return true;
}

static int digit_of(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : 16;
}

/* Up to most digits of a base; how many there were. */
static size_t take_digits(struct str *s, int base, size_t most, uint32_t *out)
{
    size_t n = 0;

    for (*out = 0; n < most && n < s->len && digit_of(s->ptr[n]) < base; n++)
        *out = *out * (uint32_t)base + (uint32_t)digit_of(s->ptr[n]);
    *s = str_from(*s, n);
    return n;
}

static void put_character(struct buf *b, uint32_t c)
{
    char bytes[4];

    buf_str(b, (struct str){
                   bytes, utf8_write(c > 0x10FFFF || (c & ~0x7FFu) == 0xD800 ? 0xFFFD : c, bytes)});
}

/* Behind "\u" or the like, whose n digits are there. */
static bool put_code(struct str *s, size_t n, struct buf *out)
{
    uint32_t c, low;

    if (take_digits(s, 16, n, &c) != n)
        return false;
    if (n == 4 && c >= 0xD800 && c < 0xDC00 && str_starts(*s, STR("\\u"))) {
        struct str rest = str_from(*s, 2);

        if (take_digits(&rest, 16, 4, &low) == 4 && low >= 0xDC00 && low < 0xE000) {
            c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
            *s = rest;
        }
    }
    put_character(out, c);
    return true;
}

/* Behind a backslash. */
static bool put_escape(struct str *s, struct buf *out)
{
    static const char from[] = "ntrabfv\\'\"/", to[] = "\n\t\r\a\b\f\v\\'\"/";
    const char c = s->ptr[0], *known = c != '\0' ? strchr(from, c) : NULL;
    uint32_t octal;

    if (known != NULL) {
        buf_char(out, to[known - from]);
        *s = str_from(*s, 1);
        return true;
    }
    if (take_digits(s, 8, 3, &octal) > 0) {
        put_character(out, octal);
        return true;
    }
    *s = str_from(*s, 1);
    switch (c) {
    case '\n': /* the line goes on */
        return true;
    case 'x':
        return put_code(s, 2, out);
    case 'u':
        return put_code(s, 4, out);
    case 'U':
        return put_code(s, 8, out);
    default: /* Python keeps both */
        buf_char(out, '\\');
        buf_char(out, c);
        return true;
    }
}

static json_t *read_string(struct str *s)
{
    const char quote[] = {s->ptr[0], s->ptr[0], s->ptr[0]};
    const size_t n = str_starts(*s, (struct str){quote, 3}) ? 3 : 1;
    struct buf text;
    json_t *out = NULL;
    bool ok = true;

    buf_init(&text, LIMIT_RENDER_BYTES);
    *s = str_from(*s, n);
    while (ok && s->len > 0 && !str_starts(*s, (struct str){quote, n})) {
        const char c = s->ptr[0];

        *s = str_from(*s, 1);
        if (c == '\\')
            ok = s->len > 0 && put_escape(s, &text);
        else
            buf_char(&text, c);
    }
    if (ok && s->len > 0)
        out = json_stringn(buf_view(&text).ptr, text.len); /* NULL where it is no UTF-8 */
    *s = str_from(*s, size_min(n, s->len));
    buf_release(&text);
    return out;
}

/* As JSON has it: 1. and .5 with the digit that is left out, + not at all. */
static json_t *read_number(struct str *s)
{
    struct error unheard = {0};
    struct buf text;
    json_t *out = NULL;
    bool digit = false;

    buf_init(&text, LIMIT_RENDER_BYTES);
    for (; s->len > 0 && (strchr("+-.eE", s->ptr[0]) != NULL || digit_of(s->ptr[0]) < 10);
         *s = str_from(*s, 1)) {
        const char c = s->ptr[0];

        if (c == '.' && !digit)
            buf_char(&text, '0');
        if (c != '+' || text.len > 0)
            buf_char(&text, c);
        digit = digit_of(c) < 10;
        if (c == '.' && (s->len == 1 || digit_of(s->ptr[1]) >= 10))
            buf_char(&text, '0');
    }
    if (!json_parse(buf_view(&text), "a number", &out, &unheard))
        out = NULL;
    buf_release(&text);
    return out;
}

static json_t *read_word(struct str *s)
{
    struct str word = {s->ptr, 0};

    while (word.len < s->len && tool_is_name_byte(s->ptr[word.len]))
        word.len++;
    *s = str_from(*s, word.len);
    if (str_is(word, "None") || str_is(word, "null"))
        return json_null();
    if (str_is(word, "True") || str_is(word, "true"))
        return json_true();
    return str_is(word, "False") || str_is(word, "false") ? json_false() : NULL;
}

static json_t *read_list(struct str *s, size_t depth)
{
    json_t *out = json_array();

    while (!take_char(s, ']')) {
        json_t *v = read_value(s, depth + 1);

        *s = str_trim(*s, TOOL_SPACES);
        if (v == NULL || (!take_char(s, ',') && (s->len == 0 || s->ptr[0] != ']'))) {
            json_decref(v);
            json_decref(out);
            return NULL;
        }
        json_array_append_new(out, v);
    }
    return out;
}

/* The last of equal keys counts. */
static json_t *read_dict(struct str *s, size_t depth)
{
    json_t *out = json_object();

    while (!take_char(s, '}')) {
        json_t *key = s->len > 0 && (s->ptr[0] == '"' || s->ptr[0] == '\'') ? read_string(s) : NULL,
               *v = key != NULL && take_char(s, ':') ? read_value(s, depth + 1) : NULL;

        *s = str_trim(*s, TOOL_SPACES);
        const bool ok = v != NULL && (take_char(s, ',') || (s->len > 0 && s->ptr[0] == '}'));
        if (ok)
            json_object_setn(out, json_string_value(key), json_string_length(key), v);
        json_decref(key);
        json_decref(v);
        if (!ok) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

/* NULL: there is none, or one that JSON has not. */
static json_t *read_value(struct str *s, size_t depth)
{
    *s = str_trim(*s, TOOL_SPACES);
    if (s->len == 0 || depth > LIMIT_JSON_DEPTH)
        return NULL;
    const char c = s->ptr[0];
    if (c == '"' || c == '\'')
        return read_string(s);
    if (c == '[' || c == '{') {
        *s = str_from(*s, 1);
        return c == '[' ? read_list(s, depth) : read_dict(s, depth);
    }
    return digit_of(c) < 10 || c == '-' || c == '+' || c == '.' ? read_number(s) : read_word(s);
}

static json_t *read_arguments(struct str s)
{
    json_t *out = json_object();

    while ((s = str_trim(s, TOOL_SPACES)).len > 0) {
        struct str key = {s.ptr, 0};

        while (key.len < s.len && tool_is_name_byte(s.ptr[key.len]))
            key.len++;
        s = str_from(s, key.len);
        json_t *v =
            key.len > 0 && take_char(&s, '=') && json_object_getn(out, key.ptr, key.len) == NULL
                ? read_value(&s, 1)
                : NULL;
        s = str_trim(s, TOOL_SPACES);
        if (v == NULL || (!take_char(&s, ',') && s.len > 0)) {
            json_decref(v);
            json_decref(out);
            return NULL;
        }
        json_object_setn_new(out, key.ptr, key.len, v);
    }
    return out;
}

/* ---- the step ---- */

bool tool_step_arguments(struct tool_parser *p, bool end)
{
    enum found x = FOUND_MORE;

    while (x == FOUND_MORE && p->at < p->held.len)
        x = scan(&p->python, p->held.ptr[p->at++]);
    if (x == FOUND_MORE)
        return end && tool_no_call(p);
    if (x == FOUND_YES)
        p->xml = read_arguments((struct str){p->held.ptr + p->given, p->at - 1 - p->given});
    return p->xml != NULL ? tool_whole_call(p) : tool_no_call(p);
}
