/*
 * jinja_format.c - str.format with its format specifications, and the % operator.
 *
 * Both end in one place: a number or text, and how it is to be written.
 */
#include "base/limits.h"
#include "base/size.h"
#include "text/jinja_builtin.h"
#include "text/jinja_text.h"
#include "text/jinja_unicode.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_PRECISION 1000

/* [[fill]align][sign][z][#][0][width][grouping][.precision][type] */
struct spec {
    char fill[4];
    size_t fill_len;
    char align; /* < > ^ = or 0 */
    char sign;  /* + - space */
    bool alternate;
    int64_t width, precision; /* precision < 0: not given */
    char grouping;            /* , _ or 0 */
    char type;                /* 0: not given */
};

double jinja_round(double d, int64_t digits)
{
    char text[400 + MAX_PRECISION];

    if (!isfinite(d) || digits > 323)
        return d;
    if (digits >= 0) { /* printf rounds the exact value half to even, as Python does */
        snprintf(text, sizeof text, "%.*f", (int)digits, d);
        return strtod(text, NULL);
    }
    if (digits < -308)
        return copysign(0, d);
    const double unit = pow(10, (double)-digits), rest = fmod(fabs(d), unit);
    double whole = fabs(d) - rest;
    if (rest * 2 > unit || (rest * 2 == unit && fmod(whole / unit, 2) != 0))
        whole += unit;
    return copysign(whole, d);
}

static struct str view_from(const struct jinja_render *r, size_t mark)
{
    return (struct str){r->out.ptr + mark, r->out.len - mark};
}

/* ---- numbers to digits ---- */

/* Digits in base 2, 8, 10 or 16, without sign. */
static struct str digits_of(uint64_t n, unsigned base, bool upper, char text[66])
{
    const char *const set = upper ? "0123456789ABCDEF" : "0123456789abcdef";
    size_t at = 66;

    do {
        text[--at] = set[n % base];
        n /= base;
    } while (n > 0);
    return (struct str){text + at, 66 - at};
}

/* %g as Python writes it without a type: repr, or g with at least one digit behind the point. */
static void float_text(double d, const struct spec *s, char *text, size_t size)
{
    const int precision = s->precision < 0 ? 6 : (int)s->precision;

    switch (s->type) {
    case 'e':
    case 'E':
        snprintf(text, size, s->alternate ? "%#.*e" : "%.*e", precision, d);
        break;
    case 'f':
    case 'F':
        snprintf(text, size, s->alternate ? "%#.*f" : "%.*f", precision, d);
        break;
    case '%':
        snprintf(text, size, s->alternate ? "%#.*f%%" : "%.*f%%", precision, d * 100);
        break;
    default:
        snprintf(text, size, s->alternate ? "%#.*g" : "%.*g", precision == 0 ? 1 : precision, d);
        break;
    }
    for (char *p = text; *p != '\0' && (s->type == 'E' || s->type == 'F' || s->type == 'G'); p++)
        *p = (char)(*p >= 'a' && *p <= 'z' ? *p - 32 : *p);
}

/* A precision and no type: as %g, but with a digit behind the point, and an exponent where there is no room for it. */
static void short_float_text(double d, const struct spec *s, char *text, size_t size)
{
    const int precision = s->precision == 0 ? 1 : (int)s->precision;
    char *e;

    snprintf(text, size, "%.*e", precision - 1, d);
    e = strchr(text, 'e');
    const int before_point = e == NULL ? 0 : atoi(e + 1) + 1;
    if (e == NULL) /* inf, nan */
        return;
    if (before_point > -4 && before_point <= precision - 1) {
        snprintf(text, size, s->alternate ? "%#.*g" : "%.*g", precision, d);
        if (strchr(text, '.') == NULL)
            strcat(text, ".0");
        return;
    }
    char *end = e; /* the mantissa without zeros at its end */
    while (!s->alternate && precision > 1 && end[-1] == '0')
        end--;
    if (!s->alternate && end[-1] == '.')
        end--;
    memmove(end, e, strlen(e) + 1);
    if (s->alternate && precision == 1) {
        memmove(text + 2, text + 1, strlen(text + 1) + 1);
        text[1] = '.';
    }
}

/* Digits of an absolute value; with no type, those of repr. */
static bool float_digits(struct jinja_render *r, double d, const struct spec *s, char *text,
                         size_t size)
{
    const size_t mark = jinja_mark(r);

    if (s->type != 0) {
        float_text(d, s, text, size);
        return true;
    }
    if (s->precision >= 0) {
        short_float_text(d, s, text, size);
        return true;
    }
    jinja_put_double(r, d);
    const struct str digits = view_from(r, mark);
    if (!jinja_put_ok(r) || digits.len + 2 >= size)
        return false;
    memcpy(text, digits.ptr, digits.len);
    text[digits.len] = '\0';
    r->out.len = mark;
    char *e = strchr(text, 'e');
    if (s->alternate && e != NULL && strchr(text, '.') == NULL) { /* 1.e+22 */
        memmove(e + 1, e, strlen(e) + 1);
        *e = '.';
    }
    return true;
}

/* Puts digits with grouping; the part before the point is filled with zeros up to width. */
static void put_grouped(struct jinja_render *r, struct str digits, char separator, unsigned every,
                        int64_t width)
{
    size_t whole = 0;

    while (whole < digits.len && strchr("0123456789abcdefABCDEF", digits.ptr[whole]) != NULL &&
           (every == 4 || (digits.ptr[whole] >= '0' && digits.ptr[whole] <= '9')))
        whole++;
    const int64_t rest = (int64_t)(digits.len - whole);
    size_t total = whole; /* digits before the point, zeros included */
    while ((int64_t)(total + (separator != 0 && total > 0 ? (total - 1) / every : 0)) + rest <
           width)
        total++;
    for (size_t i = 0; i < total && !r->out.overflowed; i++) {
        const size_t left = total - i;

        if (i > 0 && separator != 0 && left % every == 0)
            buf_char(&r->out, separator);
        buf_char(&r->out, i < total - whole ? '0' : digits.ptr[i - (total - whole)]);
    }
    jinja_put(r, str_from(digits, whole));
}

static void put_fill(struct jinja_render *r, const struct spec *s, int64_t n)
{
    for (; n > 0 && !r->out.overflowed; n--)
        buf_put(&r->out, s->fill, s->fill_len);
}

/* Puts body, which is in scratch memory, with its fill; "=" fills behind the prefix, which counts its ASCII bytes. */
static bool put_padded(struct jinja_render *r, const struct spec *s, struct str prefix,
                       struct str body, char default_align)
{
    const char align = s->align != 0 ? s->align : default_align;
    const int64_t n = (int64_t)(prefix.len + jinja_count_chars(body));
    const int64_t pad = s->width > n ? s->width - n : 0;
    const int64_t left = align == '<' || align == '=' ? 0 : align == '^' ? pad / 2 : pad;

    if (s->width > (int64_t)LIMIT_RENDER_BYTES || !jinja_charge(r, (uint64_t)pad / 16))
        return jinja_limit(r, "a text padded to more than %zu characters", LIMIT_RENDER_BYTES);
    put_fill(r, s, left);
    jinja_put(r, prefix);
    if (align == '=')
        put_fill(r, s, pad);
    jinja_put(r, body);
    put_fill(r, s, align == '=' ? 0 : pad - left);
    return true;
}

static bool put_number(struct jinja_render *r, const struct spec *s, bool negative,
                       const char *base, struct str digits, unsigned every)
{
    char prefix[8];
    const char sign = (char)(negative ? '-' : s->sign == '-' ? 0 : s->sign);
    const int n = snprintf(prefix, sizeof prefix, "%.1s%s", sign == '\0' ? "" : &sign, base);
    const bool zeros = s->align == '=' && s->fill[0] == '0' && s->grouping != 0;
    struct jinja_value body;
    const size_t mark = jinja_mark(r);

    if (s->width > (int64_t)LIMIT_RENDER_BYTES)
        return jinja_limit(r, "a text padded to more than %zu characters", LIMIT_RENDER_BYTES);
    put_grouped(r, digits, s->grouping, every, zeros ? s->width - n : 0);
    return jinja_take(r, mark, &body) &&
           put_padded(r, s, (struct str){prefix, (size_t)n}, jinja_view(body), '>');
}

static bool bad_type(struct jinja_render *r, char type, struct jinja_value v)
{
    return jinja_raise(r, "Unknown format code '%c' for object of type '%s'", type,
                       jinja_type_name(v));
}

static bool put_float(struct jinja_render *r, double d, const struct spec *s)
{
    char text[400 + MAX_PRECISION];

    if (!float_digits(r, fabs(d), s, text, sizeof text))
        return false;
    return put_number(r, s, signbit(d) && !isnan(d), "", str_of(text), 3);
}

static bool put_int(struct jinja_render *r, int64_t i, const struct spec *s)
{
    const uint64_t n = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    char text[66];

    if (s->precision >= 0 && strchr("eEfFgG%", s->type == 0 ? 'd' : s->type) == NULL)
        return jinja_raise(r, "Precision not allowed in integer format specifier");
    switch (s->type) {
    case 0:
    case 'd':
    case 'n':
        return put_number(r, s, i < 0, "", digits_of(n, 10, false, text), 3);
    case 'b':
        return put_number(r, s, i < 0, s->alternate ? "0b" : "", digits_of(n, 2, false, text), 4);
    case 'o':
        return put_number(r, s, i < 0, s->alternate ? "0o" : "", digits_of(n, 8, false, text), 4);
    case 'x':
        return put_number(r, s, i < 0, s->alternate ? "0x" : "", digits_of(n, 16, false, text), 4);
    case 'X':
        return put_number(r, s, i < 0, s->alternate ? "0X" : "", digits_of(n, 16, true, text), 4);
    case 'c':
        if (i < 0 || i > 0x10FFFF || (i >= 0xD800 && i < 0xE000))
            return jinja_raise(r, "%%c arg not in range(0x110000)");
        if (s->sign != 0 || s->alternate)
            return jinja_raise(r, "Sign and # are not allowed with integer format specifier 'c'");
        return put_padded(r, s, STR(""), (struct str){text, jinja_char_put(text, (uint32_t)i)},
                          '>');
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
    case '%':
        return put_float(r, (double)i, s);
    default:
        return bad_type(r, s->type, jinja_int(i));
    }
}

static bool put_text(struct jinja_render *r, struct jinja_value v, const struct spec *s)
{
    struct jinja_value text = v;

    if (s->type != 0 && s->type != 's')
        return bad_type(r, s->type, v);
    if (s->align == '=' || s->alternate || s->sign != 0)
        return jinja_raise(r, "'=', # and a sign are not allowed in string format specifier");
    if (s->precision >= 0 && (size_t)s->precision < v.text->n_chars &&
        !jinja_substring(r, v, 0, (size_t)s->precision, &text))
        return false;
    return put_padded(r, s, STR(""), jinja_view(text), '<');
}

/* ---- format specifications ---- */

static bool is_align(char c)
{
    return c == '<' || c == '>' || c == '=' || c == '^';
}

static bool read_number(struct str s, size_t *at, int64_t *out)
{
    const size_t from = *at;

    *out = 0;
    while (*at < s.len && s.ptr[*at] >= '0' && s.ptr[*at] <= '9' && *out < INT32_MAX)
        *out = *out * 10 + (s.ptr[(*at)++] - '0');
    return *at > from;
}

static bool read_spec(struct jinja_render *r, struct str text, struct spec *s)
{
    size_t at = 0, next = 0;
    bool filled = false;

    *s = (struct spec){.fill = " ", .fill_len = 1, .precision = -1};
    if (text.len > 0)
        jinja_char_next(text, &next);
    if (next > 0 && next < text.len && is_align(text.ptr[next])) {
        memcpy(s->fill, text.ptr, next);
        s->fill_len = next;
        s->align = text.ptr[next];
        filled = true;
        at = next + 1;
    } else if (text.len > 0 && is_align(text.ptr[0])) {
        s->align = text.ptr[0];
        at = 1;
    }
    if (at < text.len && (text.ptr[at] == '+' || text.ptr[at] == '-' || text.ptr[at] == ' '))
        s->sign = text.ptr[at++];
    if (at < text.len && text.ptr[at] == '#') {
        s->alternate = true;
        at++;
    }
    if (at < text.len && text.ptr[at] == '0' && !filled) {
        s->fill[0] = '0';
        s->align = s->align == 0 ? '=' : s->align;
        at++;
    }
    read_number(text, &at, &s->width);
    if (at < text.len && (text.ptr[at] == ',' || text.ptr[at] == '_'))
        s->grouping = text.ptr[at++];
    if (at < text.len && text.ptr[at] == '.') {
        at++;
        if (!read_number(text, &at, &s->precision))
            return jinja_raise(r, "Format specifier missing precision");
        if (s->precision > MAX_PRECISION)
            return jinja_limit(r, "a format precision of more than %d", MAX_PRECISION);
    }
    if (at < text.len)
        s->type = text.ptr[at++];
    if (at < text.len)
        return jinja_raise(r, "Invalid format specifier");
    /* a comma goes with decimal digits, an underscore with others, too */
    if (s->grouping != 0 && s->type != 0 &&
        strchr(s->grouping == ',' ? "deEfFgG%" : "deEfFgG%boxX", s->type) == NULL)
        return jinja_raise(r, "Cannot specify '%c' with '%c'.", s->grouping, s->type);
    return true;
}

static bool put_spec(struct jinja_render *r, struct jinja_value v, struct str text)
{
    struct spec s;

    if (text.len == 0)
        return jinja_put_str(r, v);
    if (!read_spec(r, text, &s))
        return false;
    switch ((enum jinja_type)v.type) {
    case JINJA_STR:
        if (s.grouping != 0)
            return jinja_raise(r, "Cannot specify '%c' with 's'.", s.grouping);
        if (s.align == '=' && s.fill[0] == '0' && text.ptr[0] == '0')
            s.align = '<'; /* a width with a zero in front fills a text at its end */
        return put_text(r, v, &s);
    case JINJA_BOOL:
        return put_int(r, v.b, &s);
    case JINJA_INT:
        return put_int(r, v.i, &s);
    case JINJA_FLOAT:
        return s.type != 0 && strchr("eEfFgGn%", s.type) == NULL ? bad_type(r, s.type, v)
                                                                 : put_float(r, v.d, &s);
    default:
        return jinja_raise(r, "unsupported format string passed to %s.__format__",
                           jinja_type_name(v));
    }
}

/* ---- str.format ---- */

struct formatting {
    struct jinja_render *r;
    const struct jinja_args *args;
    size_t next; /* of {} */
    bool automatic, manual;
    bool safe;
};

static bool find_keyword(const struct jinja_args *args, struct str name, struct jinja_value *out)
{
    for (size_t i = 0; i < args->n_kw; i++) {
        if (str_eq(args->kw[i].name, name)) {
            *out = args->kw[i].value;
            return true;
        }
    }
    return false;
}

/* A whole number, or false. */
static bool as_index(struct str s, int64_t *out)
{
    size_t at = 0;

    return read_number(s, &at, out) && at == s.len;
}

/* The argument that a field names first: by position, by number, by keyword. */
static bool field_argument(struct formatting *f, struct str name, struct jinja_value *out)
{
    int64_t index;

    if (name.len == 0) {
        if (f->manual)
            return jinja_raise(f->r, "cannot switch from manual field specification to automatic "
                                     "field numbering");
        f->automatic = true;
        index = (int64_t)f->next++;
    } else if (as_index(name, &index)) {
        if (f->automatic)
            return jinja_raise(f->r, "cannot switch from automatic field numbering to manual field "
                                     "specification");
        f->manual = true;
    } else {
        return find_keyword(f->args, name, out) ||
               jinja_raise(f->r, "format(): there is no argument '" STR_FMT "'", STR_ARG(name));
    }
    if (index < 0 || (size_t)index >= f->args->n_pos)
        return jinja_raise(
            f->r, "Replacement index %" PRId64 " out of range for positional args tuple", index);
    *out = f->args->pos[index];
    return true;
}

/* name.attribute[key] */
static bool field_value(struct formatting *f, struct str field, struct jinja_value *out)
{
    size_t at = 0;

    while (at < field.len && field.ptr[at] != '.' && field.ptr[at] != '[')
        at++;
    if (!field_argument(f, (struct str){field.ptr, at}, out))
        return false;
    while (at < field.len) {
        const bool is_item = field.ptr[at] == '[';
        const size_t from = ++at;
        struct jinja_value key;
        int64_t index;

        while (at < field.len &&
               (is_item ? field.ptr[at] != ']' : field.ptr[at] != '.' && field.ptr[at] != '['))
            at++;
        const struct str name = {field.ptr + from, at - from};
        if (name.len == 0)
            return jinja_raise(f->r, "Empty attribute in format string");
        if (is_item && at++ == field.len)
            return jinja_raise(f->r, "Missing ']' in format string");
        if (!is_item) {
            if (!jinja_getattr(f->r, *out, name, out))
                return false;
            continue;
        }
        if (as_index(name, &index))
            key = jinja_int(index);
        else if (!jinja_str(f->r, name, &key))
            return false;
        if (!jinja_getitem(f->r, *out, key, out))
            return false;
    }
    return true;
}

static bool convert(struct formatting *f, char how, struct jinja_value *v)
{
    const size_t mark = jinja_mark(f->r);

    if (how == 's')
        return jinja_to_str(f->r, *v, v);
    if (how == 'r')
        return jinja_put_repr(f->r, *v) && jinja_take(f->r, mark, v);
    return jinja_unsupported(f->r, "the conversion !%c is not supported", how);
}

static bool put_format(struct formatting *f, struct str s, int depth);

/* The text between { and }. */
static bool put_field(struct formatting *f, struct str field, int depth)
{
    struct str spec = STR("");
    struct jinja_value v, nested;
    size_t at = 0;
    char how = 0;

    for (bool in_key = false; at < field.len; at++) { /* a key in brackets may have any character */
        const char c = field.ptr[at];

        if (!in_key && (c == '!' || c == ':'))
            break;
        in_key = c == '[' || (in_key && c != ']');
    }
    const struct str name = {field.ptr, at};
    if (at < field.len && field.ptr[at] == '!') {
        if (at + 1 >= field.len || (at + 2 < field.len && field.ptr[at + 2] != ':'))
            return jinja_raise(f->r, "expected ':' after conversion specifier");
        how = field.ptr[at + 1];
        at += 2;
    }
    if (at < field.len)
        spec = str_from(field, at + 1);
    if (!field_value(f, name, &v) || (how != 0 && !convert(f, how, &v)))
        return false;
    if (memchr(spec.ptr, '{', spec.len) != NULL) {
        const size_t mark = jinja_mark(f->r);

        if (!put_format(f, spec, depth - 1) || !jinja_take(f->r, mark, &nested))
            return false;
        spec = jinja_view(nested);
    }
    const size_t mark = jinja_mark(f->r);
    if (!put_spec(f->r, v, spec))
        return false;
    if (f->safe && !(v.type == JINJA_STR && v.safe)) {
        if (!jinja_take(f->r, mark, &v) || !jinja_escape(f->r, v, &v))
            return false;
        jinja_put(f->r, jinja_view(v));
    }
    return true;
}

static bool put_format(struct formatting *f, struct str s, int depth)
{
    if (depth < 0)
        return jinja_raise(f->r, "Max string recursion exceeded");
    for (size_t at = 0; at < s.len; at++) {
        const char c = s.ptr[at];

        if ((c == '{' || c == '}') && at + 1 < s.len && s.ptr[at + 1] == c) {
            buf_char(&f->r->out, c);
            at++;
        } else if (c == '}') {
            return jinja_raise(f->r, "Single '}' encountered in format string");
        } else if (c != '{') {
            buf_char(&f->r->out, c);
        } else {
            size_t end = at + 1;

            for (int open = 1; end < s.len; end++) {
                open += (s.ptr[end] == '{') - (s.ptr[end] == '}');
                if (open == 0)
                    break;
            }
            if (end >= s.len)
                return jinja_raise(f->r, "expected '}' before end of string");
            if (!jinja_charge(f->r, 1) ||
                !put_field(f, (struct str){s.ptr + at + 1, end - at - 1}, depth))
                return false;
            at = end;
        }
    }
    return true;
}

bool jinja_format(struct jinja_render *r, struct jinja_value format, const struct jinja_args *args,
                  struct jinja_value *out)
{
    struct formatting f = {.r = r, .args = args, .safe = format.safe};
    const size_t mark = jinja_mark(r);

    if (!put_format(&f, jinja_view(format), 2) || !jinja_charge(r, format.text->len / 16) ||
        !jinja_take(r, mark, out))
        return false;
    out->safe = format.safe;
    return true;
}

/* ---- % ---- */

struct percent {
    struct jinja_render *r;
    struct jinja_value args; /* as given */
    size_t next;             /* of a tuple, or 1 once the only one is used */
    bool safe;
};

static bool next_argument(struct percent *p, struct jinja_value *out)
{
    if (p->args.type == JINJA_TUPLE && p->next < p->args.seq->n) {
        *out = p->args.seq->items[p->next++];
        return true;
    }
    if (p->args.type != JINJA_TUPLE && p->next++ == 0) {
        *out = p->args;
        return true;
    }
    return jinja_raise(p->r, "not enough arguments for format string");
}

/* A width or precision: digits, or * for the next argument. */
static bool percent_number(struct percent *p, struct str s, size_t *at, int64_t *out)
{
    struct jinja_value v;

    if (*at >= s.len || s.ptr[*at] != '*') {
        read_number(s, at, out);
        return true;
    }
    (*at)++;
    if (!next_argument(p, &v))
        return false;
    return jinja_as_int(v, out) || jinja_raise(p->r, "* wants int");
}

/* (key) */
static bool percent_key(struct percent *p, struct str s, size_t *at, struct jinja_value *out)
{
    const size_t from = ++*at;
    const struct jinja_value *hit;
    struct jinja_value key;
    int open = 1;

    while (*at < s.len && open > 0) {
        open += (s.ptr[*at] == '(') - (s.ptr[*at] == ')');
        (*at)++;
    }
    if (open > 0)
        return jinja_raise(p->r, "incomplete format key");
    if (p->args.type != JINJA_DICT)
        return jinja_raise(p->r, "format requires a mapping");
    if (!jinja_str(p->r, (struct str){s.ptr + from, *at - from - 1}, &key) ||
        !jinja_dict_get(p->r, p->args.dict, key, &hit))
        return false;
    if (hit == NULL)
        return jinja_raise(p->r, "there is no key '" STR_FMT "' for a format",
                           STR_ARG(jinja_view(key)));
    *out = *hit;
    p->next = 1;
    return true;
}

static bool percent_text(struct percent *p, struct jinja_value v, struct spec *s)
{
    int64_t i;
    const size_t mark = jinja_mark(p->r);

    if (s->type == 'a')
        return jinja_unsupported(p->r, "%%a is not supported");
    if (s->type == 'c')
        s->precision = -1;
    if (s->type == 'c' && jinja_as_int(v, &i))
        return put_int(p->r, i, s);
    if (s->type == 'c' && v.type != JINJA_STR)
        return jinja_raise(p->r, "%%c requires int or char");
    if (s->type == 'c' && v.text->n_chars != 1)
        return jinja_raise(p->r, "%%c requires int or char");
    if (s->type == 'r' ? !jinja_put_repr(p->r, v) : !jinja_put_str(p->r, v))
        return false;
    if (!jinja_take(p->r, mark, &v))
        return false;
    s->type = 's';
    return put_text(p->r, v, s);
}

/* A precision is the least number of digits. */
static bool percent_int(struct percent *p, int64_t i, struct spec *s)
{
    const uint64_t n = i < 0 ? 0 - (uint64_t)i : (uint64_t)i;
    const unsigned base = s->type == 'o' ? 8 : s->type == 'd' ? 10 : 16;
    const char *prefix = !s->alternate || base == 10 ? ""
                         : s->type == 'o'            ? "0o"
                         : s->type == 'x'            ? "0x"
                                                     : "0X";
    char text[MAX_PRECISION + 66], tail[66];
    const struct str digits = digits_of(n, base, s->type == 'X', tail);
    const size_t zeros = s->precision > (int64_t)digits.len ? (size_t)s->precision - digits.len : 0;

    memset(text, '0', zeros);
    memcpy(text + zeros, digits.ptr, digits.len);
    return put_number(p->r, s, i < 0, prefix, (struct str){text, zeros + digits.len}, 4);
}

static bool percent_number_value(struct percent *p, struct jinja_value v, struct spec *s)
{
    int64_t i = 0;
    double d = 0;

    if (strchr("diuoxX", s->type) != NULL) {
        const bool whole = strchr("diu", s->type) != NULL;

        if (whole && v.type == JINJA_FLOAT && !(v.d > -0x1p63 && v.d < 0x1p63))
            return jinja_raise(p->r, "a whole number of more than 64 bits");
        if (whole && v.type == JINJA_FLOAT)
            v = jinja_int((int64_t)v.d);
        if (!jinja_as_int(v, &i))
            return jinja_raise(p->r, "%%%c format: %s is required, not %s", s->type,
                               whole ? "a real number" : "an integer", jinja_type_name(v));
        s->type = whole ? 'd' : s->type;
        return percent_int(p, i, s);
    }
    if (!jinja_as_double(v, &d))
        return jinja_raise(p->r, "must be real number, not %s", jinja_type_name(v));
    return put_float(p->r, d, s);
}

static bool percent_value(struct percent *p, struct jinja_value v, struct spec *s)
{
    const size_t mark = jinja_mark(p->r);
    const bool is_text = strchr("srac", s->type) != NULL;

    if (s->type == '\0' || (!is_text && strchr("diuoxXeEfFgG", s->type) == NULL))
        return jinja_raise(p->r, "unsupported format character '%c'", s->type);
    if (is_text && s->align == '=')
        s->align = '>';
    if (is_text) { /* neither means anything here */
        s->fill[0] = ' ';
        s->alternate = false;
        s->sign = 0;
    }
    if (!(is_text ? percent_text(p, v, s) : percent_number_value(p, v, s)))
        return false;
    if (p->safe && is_text && !(v.type == JINJA_STR && v.safe)) {
        if (!jinja_take(p->r, mark, &v) || !jinja_escape(p->r, v, &v))
            return false;
        jinja_put(p->r, jinja_view(v));
    }
    return true;
}

/* One conversion, from behind its %. */
static bool put_conversion(struct percent *p, struct str s, size_t *at)
{
    struct spec spec = {.fill = " ", .fill_len = 1, .align = '>', .precision = -1};
    struct jinja_value v = {.type = JINJA_MISSING};
    bool zero = false;

    if (*at < s.len && s.ptr[*at] == '(' && !percent_key(p, s, at, &v))
        return false;
    for (; *at < s.len && strchr("-+ #0", s.ptr[*at]) != NULL && s.ptr[*at] != '\0'; (*at)++) {
        if (s.ptr[*at] == '-')
            spec.align = '<';
        else if (s.ptr[*at] == '#')
            spec.alternate = true;
        else if (s.ptr[*at] == '0')
            zero = true;
        else if (spec.sign != '+')
            spec.sign = s.ptr[*at];
    }
    if (!percent_number(p, s, at, &spec.width))
        return false;
    if (spec.width < 0) {
        spec.align = '<';
        spec.width = -spec.width;
    }
    if (*at < s.len && s.ptr[*at] == '.') {
        (*at)++;
        spec.precision = 0;
        if (!percent_number(p, s, at, &spec.precision))
            return false;
        if (spec.precision > MAX_PRECISION)
            return jinja_limit(p->r, "a format precision of more than %d", MAX_PRECISION);
    }
    while (*at < s.len && (s.ptr[*at] == 'h' || s.ptr[*at] == 'l' || s.ptr[*at] == 'L'))
        (*at)++;
    if (*at >= s.len)
        return jinja_raise(p->r, "incomplete format");
    spec.type = s.ptr[(*at)++];
    if (spec.type == '%') {
        buf_char(&p->r->out, '%');
        return true;
    }
    if (zero && spec.align == '>') {
        spec.fill[0] = '0';
        spec.align = '=';
    }
    return (v.type != JINJA_MISSING || next_argument(p, &v)) && percent_value(p, v, &spec);
}

bool jinja_percent(struct jinja_render *r, struct jinja_value format, struct jinja_value args,
                   struct jinja_value *out)
{
    struct percent p = {.r = r, .args = args, .safe = format.safe};
    const struct str s = jinja_view(format);
    const size_t mark = jinja_mark(r);

    for (size_t at = 0; at < s.len;) {
        const size_t from = at;

        while (at < s.len && s.ptr[at] != '%')
            at++;
        buf_put(&r->out, s.ptr + from, at - from);
        if (at++ < s.len && (!jinja_charge(r, 1) || !put_conversion(&p, s, &at)))
            return false;
    }
    /* whatever can be asked for an item counts as a mapping, which need not be used up */
    const bool may_stay = args.type == JINJA_DICT || args.type == JINJA_LIST ||
                          args.type == JINJA_UNDEFINED || args.type == JINJA_RANGE;
    if (args.type == JINJA_TUPLE ? p.next < args.seq->n : p.next == 0 && !may_stay)
        return jinja_raise(r, "not all arguments converted during string formatting");
    if (!jinja_charge(r, s.len / 64) || !jinja_take(r, mark, out))
        return false;
    out->safe = format.safe;
    return true;
}
