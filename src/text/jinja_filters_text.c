/*
 * jinja_filters_text.c - filters that make a text, a number or a choice of one value.
 */
#include "base/limits.h"
#include "base/size.h"
#include "text/jinja_builtin.h"
#include "text/jinja_text.h"
#include "text/jinja_unicode.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool f_default(struct jinja_call *c)
{
    bool boolean, truth = true;

    if (!jinja_arg_bool(c, 1, false, &boolean))
        return false;
    *c->out = c->self;
    if (boolean && c->self.type != JINJA_UNDEFINED && !jinja_truth(c->r, c->self, &truth))
        return false;
    if (c->self.type != JINJA_UNDEFINED && truth)
        return true;
    *c->out = c->a[0];
    return jinja_given(c, 0) || jinja_str_view(c->r, STR(""), c->out);
}

static bool f_string(struct jinja_call *c)
{
    return jinja_soft_str(c->r, c->self, c->out);
}

static bool f_safe(struct jinja_call *c)
{
    if (!jinja_to_str(c->r, c->self, c->out))
        return false;
    c->out->safe = true;
    return true;
}

static bool f_escape(struct jinja_call *c)
{
    return jinja_escape(c->r, c->self, c->out);
}

static bool f_forceescape(struct jinja_call *c)
{
    struct jinja_value text;

    return jinja_to_str(c->r, c->self, &text) && jinja_escape(c->r, text, c->out);
}

static bool f_case(struct jinja_call *c)
{
    const char first = c->row->name[0];
    const enum jinja_letter_case to = first == 'l'   ? JINJA_TO_LOWER
                                      : first == 'u' ? JINJA_TO_UPPER
                                      : first == 'c' ? JINJA_TO_CAPITALIZED
                                                     : JINJA_TO_WORDS;
    struct jinja_value text;

    if (!jinja_soft_str(c->r, c->self, &text) || !jinja_text_case(c->r, text, to, c->out))
        return false;
    if (to == JINJA_TO_WORDS) /* put together from pieces, which are plain */
        c->out->safe = false;
    return true;
}

static bool f_trim(struct jinja_call *c)
{
    struct jinja_value text;

    if (jinja_given(c, 0) && c->a[0].type != JINJA_NONE && c->a[0].type != JINJA_STR)
        return jinja_raise(c->r, "strip arg must be None or str");
    return jinja_soft_str(c->r, c->self, &text) &&
           jinja_text_strip(c->r, text, c->a[0], true, true, c->out);
}

static bool f_replace(struct jinja_call *c)
{
    struct jinja_value text, old, new;
    int64_t count = -1;

    if (c->a[2].type != JINJA_NONE && !jinja_arg_int(c, 2, -1, &count))
        return false;
    if (!jinja_soft_str(c->r, c->self, &text) || !jinja_soft_str(c->r, c->a[0], &old) ||
        !jinja_soft_str(c->r, c->a[1], &new))
        return false;
    if (!c->r->autoescape)
        text.safe = false;
    else if ((old.safe || (new.safe && !text.safe)) && !jinja_escape(c->r, text, &text))
        return false;
    if (text.safe && !jinja_escape(c->r, new, &new))
        return false;
    return jinja_text_replace(c->r, text, jinja_view(old), jinja_view(new), count, c->out);
}

static bool f_center(struct jinja_call *c)
{
    struct jinja_value text;
    int64_t width;

    return jinja_arg_int(c, 0, 80, &width) && jinja_soft_str(c->r, c->self, &text) &&
           jinja_text_pad(c->r, text, width, STR(" "), JINJA_ALIGN_CENTER, c->out);
}

/* The value as a str; what else it is gets the error that Python would give for using it as one. */
static bool need_str(struct jinja_call *c)
{
    if (c->self.type == JINJA_UNDEFINED)
        return jinja_raise_undefined(c->r, c->self);
    return c->self.type == JINJA_STR || jinja_raise(c->r, "%s: a string was expected, not %s",
                                                    c->row->name, jinja_type_name(c->self));
}

static bool indention(struct jinja_call *c, struct jinja_value *out)
{
    struct jinja_value space;
    int64_t width;

    if (c->a[0].type == JINJA_STR) {
        *out = c->a[0];
        return true;
    }
    return jinja_arg_int(c, 0, 4, &width) && jinja_str_view(c->r, STR(""), &space) &&
           jinja_text_pad(c->r, space, width, STR(" "), JINJA_ALIGN_LEFT, out);
}

static bool f_indent(struct jinja_call *c)
{
    struct jinja_render *r = c->r;
    struct jinja_items lines = {0};
    struct jinja_value indent, text;
    bool first, blank;

    if (!need_str(c) || !indention(c, &indent) || !jinja_arg_bool(c, 1, false, &first) ||
        !jinja_arg_bool(c, 2, false, &blank))
        return false;
    size_t mark = jinja_mark(r);
    jinja_put(r, jinja_view(c->self));
    jinja_put(r, STR("\n")); /* so that a last empty line is one */
    if (!jinja_take(r, mark, &text) || !jinja_text_lines(r, text, false, &lines))
        return false;
    mark = jinja_mark(r);
    if (first)
        jinja_put(r, jinja_view(indent));
    for (size_t i = 0; i < lines.n; i++) {
        const struct str line = jinja_view(lines.ptr[i]);

        if (i > 0)
            jinja_put(r, STR("\n"));
        if (i > 0 && (blank || line.len > 0))
            jinja_put(r, jinja_view(indent));
        jinja_put(r, line);
        if (!jinja_charge(r, 1 + (line.len + indent.text->len) / 64) || !jinja_put_ok(r))
            return false;
    }
    if (!jinja_take(r, mark, c->out))
        return false;
    c->out->safe = c->self.safe;
    return true;
}

static bool f_truncate(struct jinja_call *c)
{
    struct jinja_render *r = c->r;
    struct str end;
    int64_t length, leeway = 5;
    struct jinja_value cut = c->self;
    size_t n_chars;
    bool kill;

    if (!jinja_length(c->self, &n_chars) && !need_str(c))
        return false;
    if (!jinja_arg_int(c, 0, 255, &length) || !jinja_arg_bool(c, 1, false, &kill) ||
        !jinja_arg_str(c, 2, STR("..."), &end) ||
        (c->a[3].type != JINJA_NONE && !jinja_arg_int(c, 3, 5, &leeway)))
        return false;
    const int64_t n_end = (int64_t)jinja_count_chars(end), n = (int64_t)n_chars;
    if (length < n_end || leeway < 0)
        return jinja_raise(
            r, "truncate: the length must be at least that of the end, the leeway not below 0");
    *c->out = c->self;
    if (length > n || n - length <= leeway)
        return true; /* whatever it is: only its length is asked for */
    if (!need_str(c) || !jinja_substring(r, c->self, 0, (size_t)(length - n_end), &cut))
        return false;
    struct str kept = jinja_view(cut);
    for (size_t at = kept.len; !kill && at-- > 0;) {
        if (kept.ptr[at] == ' ') {
            kept.len = at;
            break;
        }
    }
    const size_t mark = jinja_mark(r);
    jinja_put(r, kept);
    if (c->self.safe && jinja_given(c, 2) && c->a[2].safe)
        jinja_put(r, end);
    else if (c->self.safe)
        jinja_put_escaped(r, end);
    else
        jinja_put(r, end);
    if (!jinja_take(r, mark, c->out))
        return false;
    c->out->safe = c->self.safe;
    return true;
}

static bool f_wordcount(struct jinja_call *c)
{
    struct jinja_value text;
    bool inside = false;
    int64_t n = 0;

    if (!jinja_soft_str(c->r, c->self, &text))
        return false;
    const struct str s = jinja_view(text);
    for (size_t at = 0; at < s.len;) {
        const uint32_t u = jinja_char_next(s, &at);
        const bool word = u == '_' || jinja_is_alnum(u);

        n += word && !inside;
        inside = word;
    }
    *c->out = jinja_int(n);
    return jinja_charge(c->r, s.len / 16);
}

static bool f_format(struct jinja_call *c)
{
    struct jinja_value text, args, *items;
    struct jinja_dict *d;

    if (!jinja_soft_str(c->r, c->self, &text))
        return false;
    if (c->args->n_pos > 0 && c->args->n_kw > 0)
        return jinja_raise(c->r, "can't handle positional and keyword arguments at the same time");
    if (c->args->n_kw > 0) {
        d = jinja_dict_new(c->r, c->args->n_kw);
        if (d == NULL)
            return false;
        for (size_t i = 0; i < c->args->n_kw; i++) {
            struct jinja_value key;

            if (!jinja_str_view(c->r, c->args->kw[i].name, &key) ||
                !jinja_dict_set(c->r, d, key, c->args->kw[i].value))
                return false;
        }
        args = jinja_dict_value(d);
    } else {
        if (!jinja_tuple(c->r, c->args->n_pos, &items, &args))
            return false;
        for (size_t i = 0; i < c->args->n_pos; i++)
            items[i] = c->args->pos[i];
    }
    return jinja_percent(c->r, text, args, c->out);
}

/* ---- HTML and URLs ---- */

/* Takes out everything from begin to end, as often as there is both. */
static bool remove_between(struct jinja_render *r, struct jinja_value *text, struct str begin,
                           struct str end)
{
    const struct str s = jinja_view(*text);
    const size_t mark = jinja_mark(r);
    size_t from = 0;

    for (;;) {
        const size_t open = str_find(s, begin, from);
        const size_t close = open >= s.len ? s.len : str_find(s, end, open);

        if (close >= s.len)
            break;
        buf_put(&r->out, s.ptr + from, open - from);
        from = close + end.len;
    }
    jinja_put(r, str_from(s, from));
    return jinja_charge(r, s.len / 32) && jinja_take(r, mark, text);
}

/* The character of an entity at s.ptr[at], "&...;", which at moves behind; 0 where we know none. */
static uint32_t entity(struct str s, size_t *at)
{
    static const struct {
        const char *name;
        uint32_t c;
    } names[] = {{"amp", '&'},  {"lt", '<'},    {"gt", '>'},
                 {"quot", '"'}, {"apos", '\''}, {"nbsp", 0xA0}};
    const char *semicolon = memchr(s.ptr + *at, ';', size_min(s.len - *at, 12));
    uint32_t c = 0;

    if (semicolon == NULL)
        return 0;
    const struct str name = {s.ptr + *at + 1, (size_t)(semicolon - s.ptr) - *at - 1};
    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (str_is(name, names[i].name))
            c = names[i].c;
    if (name.len > 1 && name.ptr[0] == '#') {
        const bool hex = name.ptr[1] == 'x' || name.ptr[1] == 'X';
        char *end;

        c = (uint32_t)strtoul(name.ptr + 1 + hex, &end, hex ? 16 : 10);
        if (end != semicolon || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
            c = 0;
    }
    if (c != 0)
        *at = (size_t)(semicolon - s.ptr) + 1;
    return c;
}

static bool f_striptags(struct jinja_call *c)
{
    struct jinja_render *r = c->r;
    struct jinja_value text, words, space;

    if (!jinja_to_str(r, c->self, &text) || !remove_between(r, &text, STR("<!--"), STR("-->")) ||
        !remove_between(r, &text, STR("<"), STR(">")) ||
        !jinja_text_split(r, text, jinja_none(), -1, false, &words) ||
        !jinja_str_view(r, STR(" "), &space) || !jinja_text_join(r, space, words, true, &text))
        return false;
    const struct str s = jinja_view(text);
    const size_t mark = jinja_mark(r);
    for (size_t at = 0; at < s.len;) {
        char utf8[4];
        const uint32_t u = s.ptr[at] == '&' ? entity(s, &at) : 0;

        if (u != 0)
            buf_put(&r->out, utf8, jinja_char_put(utf8, u));
        else
            buf_char(&r->out, s.ptr[at++]);
    }
    return jinja_charge(r, s.len / 16) && jinja_take(r, mark, c->out);
}

/* Percent-encodes; in a query string, a slash too, and a blank becomes a plus. */
static bool put_quoted(struct jinja_render *r, struct jinja_value v, bool query)
{
    static const char safe[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~";
    static const char hex[] = "0123456789ABCDEF";
    struct jinja_value text;

    if (!jinja_to_str(r, v, &text))
        return false;
    const struct str s = jinja_view(text);
    for (size_t i = 0; i < s.len; i++) {
        const char ch = s.ptr[i];

        if (memchr(safe, ch, sizeof safe - 1) != NULL || (ch == '/' && !query))
            buf_char(&r->out, ch);
        else if (ch == ' ' && query)
            buf_char(&r->out, '+');
        else
            buf_put(&r->out,
                    (const char[]){'%', hex[(unsigned char)ch >> 4], hex[(unsigned char)ch & 15]},
                    3);
    }
    return jinja_charge(r, s.len / 8) && jinja_put_ok(r);
}

static bool f_urlencode(struct jinja_call *c)
{
    struct jinja_render *r = c->r;
    struct jinja_value from = c->self;
    struct jinja_items items = {0};

    if (from.type == JINJA_STR || !jinja_iterable(from)) {
        const size_t mark = jinja_mark(r);

        return put_quoted(r, from, false) && jinja_take(r, mark, c->out);
    }
    if (from.type == JINJA_DICT) {
        struct jinja_view *v = jinja_alloc(r, 1, sizeof *v);

        if (v == NULL)
            return false;
        *v = (struct jinja_view){JINJA_ITEMS, from.dict};
        from = (struct jinja_value){.type = JINJA_VIEW, .view = v};
    }
    if (!jinja_collect(r, from, &items))
        return false;
    const size_t mark = jinja_mark(r);
    for (size_t i = 0; i < items.n; i++) {
        struct jinja_items pair = {0};

        if (!jinja_collect(r, items.ptr[i], &pair))
            return false;
        if (pair.n != 2)
            return jinja_raise(r, "urlencode: pairs were expected");
        if (i > 0)
            jinja_put(r, STR("&"));
        if (!put_quoted(r, pair.ptr[0], true))
            return false;
        jinja_put(r, STR("="));
        if (!put_quoted(r, pair.ptr[1], true))
            return false;
    }
    return jinja_take(r, mark, c->out);
}

static bool f_xmlattr(struct jinja_call *c)
{
    struct jinja_render *r = c->r;
    const size_t mark = jinja_mark(r);
    bool autospace;

    if (c->self.type != JINJA_DICT)
        return jinja_raise(r, "xmlattr: a mapping was expected, not %s", jinja_type_name(c->self));
    if (!jinja_arg_bool(c, 0, true, &autospace))
        return false;
    for (size_t i = 0; i < c->self.dict->n; i++) {
        struct jinja_value key = c->self.dict->entries[i].key,
                           value = c->self.dict->entries[i].value;

        if (value.type == JINJA_NONE || value.type == JINJA_UNDEFINED)
            continue;
        if (key.type != JINJA_STR)
            return jinja_raise(r, "expected string or bytes-like object, got '%s'",
                               jinja_type_name(key));
        const struct str s = jinja_view(key);
        for (size_t k = 0; k < s.len; k++)
            if (s.ptr[k] != '\0' && strchr(" \t\n\r\f\v/>=", s.ptr[k]) != NULL)
                return jinja_raise(r, "Invalid character in attribute name");
        if (!jinja_escape(r, key, &key) || !jinja_escape(r, value, &value))
            return false;
        if (autospace || jinja_mark(r) > mark)
            jinja_put(r, STR(" "));
        jinja_put(r, jinja_view(key));
        jinja_put(r, STR("=\""));
        jinja_put(r, jinja_view(value));
        jinja_put(r, STR("\""));
    }
    if (!jinja_take(r, mark, c->out))
        return false;
    c->out->safe = r->autoescape;
    return true;
}

/* ---- numbers ---- */

/* A text as int(text, base) reads it: blanks around, a sign, a prefix, underscores between digits. */
static bool parse_int(struct str s, int base, int64_t *out, bool *wide)
{
    bool negative = false, last_digit = false;
    uint64_t n = 0;
    size_t at = 0;

    *wide = false;
    s = jinja_rstrip(jinja_lstrip(s));
    if (at < s.len && (s.ptr[at] == '+' || s.ptr[at] == '-'))
        negative = s.ptr[at++] == '-';
    if (s.len - at > 2 && s.ptr[at] == '0') {
        const char kind = (char)(s.ptr[at + 1] | 0x20);
        const int named = kind == 'x' ? 16 : kind == 'o' ? 8 : kind == 'b' ? 2 : 0;

        if (named != 0 && (base == named || base == 0)) {
            at += 2;
            base = named;
            last_digit = s.ptr[at] == '_';
        }
    }
    if (base == 0) { /* 010 is neither octal nor decimal */
        if (s.len - at > 1 && s.ptr[at] == '0' && strspn(s.ptr + at, "0_") < s.len - at)
            return false;
        base = 10;
    }
    for (; at < s.len; at++) {
        const char c = s.ptr[at], lower = (char)(c | 0x20);
        const int digit = c >= '0' && c <= '9'           ? c - '0'
                          : lower >= 'a' && lower <= 'z' ? lower - 'a' + 10
                                                         : 99;

        if (c == '_' && last_digit && at + 1 < s.len) {
            last_digit = false;
            continue;
        }
        if (digit >= base)
            return false;
        last_digit = true;
        *wide = *wide || __builtin_mul_overflow(n, (uint64_t)base, &n) ||
                __builtin_add_overflow(n, (uint64_t)digit, &n);
    }
    if (!last_digit)
        return false;
    *wide = *wide || n > (uint64_t)INT64_MAX + negative;
    *out = (int64_t)(negative ? 0 - n : n);
    return true;
}

/* A text as float(text) reads it. */
static bool parse_float(struct str s, double *out)
{
    char text[512];
    size_t n = 0;
    char *end;

    s = jinja_rstrip(jinja_lstrip(s));
    if (s.len == 0 || s.len >= sizeof text)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        const bool digits_around = i > 0 && i + 1 < s.len && s.ptr[i - 1] >= '0' &&
                                   s.ptr[i - 1] <= '9' && s.ptr[i + 1] >= '0' &&
                                   s.ptr[i + 1] <= '9';

        if (s.ptr[i] == '_' && digits_around)
            continue;
        if (strchr("xXpP(_", s.ptr[i]) !=
            NULL) /* strtod takes hexadecimal, Python does not; strchr finds the zero byte */
            return false;
        text[n++] = s.ptr[i];
    }
    text[n] = '\0';
    *out = strtod(text, &end);
    return *end == '\0';
}

static bool float_to_int(struct jinja_call *c, double d, bool *ok)
{
    *ok = isfinite(d);
    if (!*ok)
        return true;
    if (d >= 0x1p63 || d < -0x1p63)
        return jinja_raise(c->r, "a whole number of more than 64 bits");
    *c->out = jinja_int((int64_t)d);
    return true;
}

static bool f_int(struct jinja_call *c)
{
    int64_t base, i = 0;
    bool ok = false, wide = false;
    double d;

    if (!jinja_arg_int(c, 1, 10, &base))
        return false;
    if (c->self.type == JINJA_UNDEFINED)
        return jinja_raise_undefined(c->r, c->self);
    if (jinja_as_int(c->self, &i)) {
        *c->out = jinja_int(i);
        return true;
    }
    if (c->self.type == JINJA_STR && (base == 0 || (base >= 2 && base <= 36)) &&
        parse_int(jinja_view(c->self), (int)base, &i, &wide)) {
        *c->out = jinja_int(i);
        return !wide || jinja_raise(c->r, "a whole number of more than 64 bits");
    }
    if (c->self.type == JINJA_FLOAT && isinf(c->self.d))
        return jinja_raise(c->r, "cannot convert float infinity to integer");
    if (c->self.type == JINJA_FLOAT
            ? !float_to_int(c, c->self.d, &ok)
            : c->self.type == JINJA_STR && parse_float(jinja_view(c->self), &d) &&
                  !float_to_int(c, d, &ok))
        return false;
    if (!ok)
        *c->out = jinja_given(c, 0) ? c->a[0] : jinja_int(0);
    return true;
}

static bool f_float(struct jinja_call *c)
{
    double d;

    if (c->self.type == JINJA_UNDEFINED)
        return jinja_raise_undefined(c->r, c->self);
    if (jinja_as_double(c->self, &d) ||
        (c->self.type == JINJA_STR && parse_float(jinja_view(c->self), &d)))
        *c->out = jinja_float(d);
    else
        *c->out = jinja_given(c, 0) ? c->a[0] : jinja_float(0);
    return true;
}

static bool f_abs(struct jinja_call *c)
{
    int64_t i;

    if (c->self.type == JINJA_FLOAT) {
        *c->out = jinja_float(fabs(c->self.d));
        return true;
    }
    if (c->self.type == JINJA_UNDEFINED || !jinja_as_int(c->self, &i))
        return jinja_raise(c->r, "bad operand type for abs(): '%s'", jinja_type_name(c->self));
    return i < 0 ? jinja_negate(c->r, true, jinja_int(i), c->out) : (*c->out = jinja_int(i), true);
}

/* Half to even, in whole numbers. */
static bool round_int(struct jinja_call *c, int64_t i, int64_t digits)
{
    int64_t unit = 1;

    *c->out = jinja_int(i);
    if (digits >= 0)
        return true;
    for (; digits < 0; digits++) {
        if (unit > INT64_MAX / 20) {
            *c->out = jinja_int(0);
            return true;
        }
        unit *= 10;
    }
    int64_t rest = i % unit, whole = i - rest;
    const int64_t twice = rest < 0 ? -rest * 2 : rest * 2;
    if (twice > unit || (twice == unit && whole / unit % 2 != 0))
        return __builtin_add_overflow(whole, i < 0 ? -unit : unit, &whole)
                   ? jinja_raise(c->r, "a whole number of more than 64 bits")
                   : (*c->out = jinja_int(whole), true);
    *c->out = jinja_int(whole);
    return true;
}

static bool f_round(struct jinja_call *c)
{
    int64_t digits, i;
    struct str method;
    double d;

    if (!jinja_arg_int(c, 0, 0, &digits) || !jinja_arg_str(c, 1, STR("common"), &method))
        return false;
    if (!str_is(method, "common") && !str_is(method, "ceil") && !str_is(method, "floor"))
        return jinja_raise(c->r, "method must be common, ceil or floor");
    if (c->self.type == JINJA_UNDEFINED)
        return str_is(method, "common")
                   ? jinja_raise(c->r, "type Undefined doesn't define __round__ method")
                   : jinja_raise_undefined(c->r, c->self);
    if (!jinja_as_double(c->self, &d))
        return jinja_raise(c->r, "type %s doesn't define __round__ method",
                           jinja_type_name(c->self));
    if (str_is(method, "common") && jinja_as_int(c->self, &i))
        return round_int(c, i, digits);
    if (str_is(method, "common")) {
        *c->out = jinja_float(jinja_round(d, digits));
        return true;
    }
    const double unit = pow(10, (double)digits), scaled = d * unit;
    if (!isfinite(scaled))
        return jinja_raise(c->r, "cannot convert float infinity to integer");
    /* Python's ceil and floor give whole numbers, which know no -0 */
    *c->out = jinja_float((str_is(method, "ceil") ? ceil(scaled) : floor(scaled)) / unit + 0.0);
    return true;
}

static bool f_filesizeformat(struct jinja_call *c)
{
    static const char *const decimal[] = {"kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"};
    static const char *const binary[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"};
    char text[400];
    bool is_binary;
    double bytes;

    if (!jinja_arg_bool(c, 0, false, &is_binary))
        return false;
    if (c->self.type == JINJA_UNDEFINED)
        return jinja_raise_undefined(c->r, c->self);
    if (!jinja_as_double(c->self, &bytes) &&
        !(c->self.type == JINJA_STR && parse_float(jinja_view(c->self), &bytes)))
        return jinja_raise(c->r, "filesizeformat: a number was expected, not %s",
                           jinja_type_name(c->self));
    const double base = is_binary ? 1024 : 1000;
    double unit;
    size_t i = 0;
    if (bytes == 1) {
        snprintf(text, sizeof text, "1 Byte");
    } else if (bytes < base) {
        snprintf(text, sizeof text, "%.0f Bytes", trunc(bytes) + 0.0); /* not -0 */
    } else {
        for (unit = base * base; i < 7 && bytes >= unit; i++)
            unit *= base;
        snprintf(text, sizeof text, "%.1f %s", base * bytes / unit,
                 is_binary ? binary[i] : decimal[i]);
    }
    return jinja_str(c->r, str_of(text), c->out);
}

/* ---- JSON ---- */

static bool json_separators(struct jinja_call *c, struct jinja_json *fmt)
{
    const struct jinja_value v = c->a[2];

    if (!jinja_given(c, 2) || v.type == JINJA_NONE)
        return true;
    if ((v.type != JINJA_TUPLE && v.type != JINJA_LIST) || v.seq->n != 2 ||
        v.seq->items[0].type != JINJA_STR || v.seq->items[1].type != JINJA_STR)
        return jinja_raise(c->r, "tojson: separators must be two strings");
    fmt->comma = jinja_view(v.seq->items[0]);
    fmt->colon = jinja_view(v.seq->items[1]);
    return true;
}

/* transformers' tojson: json.dumps(x, ensure_ascii, indent, separators, sort_keys) */
static bool f_tojson(struct jinja_call *c)
{
    struct jinja_json fmt = {.comma = STR(", "), .colon = STR(": ")};
    const size_t mark = jinja_mark(c->r);
    struct jinja_value indent = c->a[1];
    int64_t width;

    if (!jinja_arg_bool(c, 0, false, &fmt.ensure_ascii) ||
        !jinja_arg_bool(c, 3, false, &fmt.sort_keys))
        return false;
    if (jinja_given(c, 1) && indent.type != JINJA_NONE) {
        fmt.pretty = true;
        fmt.comma = STR(",");
        if (indent.type != JINJA_STR) {
            struct jinja_value none;

            if (!jinja_arg_int(c, 1, 0, &width) || !jinja_str_view(c->r, STR(""), &none) ||
                !jinja_text_pad(c->r, none, width, STR(" "), JINJA_ALIGN_LEFT, &indent))
                return false;
        }
        fmt.indent = jinja_view(indent);
    }
    return json_separators(c, &fmt) && jinja_put_json(c->r, c->self, &fmt) &&
           jinja_take(c->r, mark, c->out);
}

const struct jinja_builtin jinja_filters_text[] = {
    {"abs", f_abs, ""},
    {"capitalize", f_case, ""},
    {"center", f_center, "width"},
    {"d", f_default, "default_value boolean"},
    {"default", f_default, "default_value boolean"},
    {"e", f_escape, ""},
    {"escape", f_escape, ""},
    {"filesizeformat", f_filesizeformat, "binary"},
    {"float", f_float, "default"},
    {"forceescape", f_forceescape, ""},
    {"format", f_format, "*"},
    {"indent", f_indent, "width first blank"},
    {"int", f_int, "default base"},
    {"lower", f_case, ""},
    {"pprint", jinja_f_pprint, ""},
    {"replace", f_replace, "old! new! count"},
    {"round", f_round, "precision method"},
    {"safe", f_safe, ""},
    {"string", f_string, ""},
    {"striptags", f_striptags, ""},
    {"title", f_case, ""},
    {"tojson", f_tojson, "ensure_ascii indent separators sort_keys"},
    {"trim", f_trim, "chars"},
    {"truncate", f_truncate, "length killwords end leeway"},
    {"upper", f_case, ""},
    {"urlencode", f_urlencode, ""},
    {"urlize", NULL, "*"},
    {"wordcount", f_wordcount, ""},
    {"wordwrap", jinja_f_wordwrap, "width break_long_words wrapstring break_on_hyphens"},
    {"xmlattr", f_xmlattr, "autospace"},
    {0},
};
