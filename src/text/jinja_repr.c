/*
 * jinja_repr.c - values as text: Python's str() and repr(), json.dumps(), and HTML escapes.
 *
 * Everything is put onto the tail of the output, which is where it goes most of the time.
 */
#include "text/jinja_ast.h"
#include "text/jinja_builtin.h"
#include "text/jinja_unicode.h"
#include "text/jinja_value.h"
#include "text/json.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static bool deeper(struct jinja_render *r)
{
    return jinja_charge(r, 1) && jinja_put_ok(r) && jinja_enter_value(r);
}

void jinja_put_double(struct jinja_render *r, double d)
{
    if (isnan(d))
        jinja_put(r, STR("nan"));
    else if (isinf(d))
        jinja_put(r, d > 0 ? STR("inf") : STR("-inf"));
    else
        json_write_double(&r->out, d);
}

/* \\u and so many digits. */
static void put_hex(struct jinja_render *r, char kind, uint32_t c, size_t n)
{
    char text[10] = {'\\', kind};

    for (size_t i = 0; i < n; i++)
        text[2 + i] = "0123456789abcdef"[c >> 4 * (n - 1 - i) & 15];
    buf_put(&r->out, text, 2 + n);
}

/* As Python: single quotes, unless that spares escapes; what cannot be printed as \x, \u or \U. */
void jinja_put_str_repr(struct jinja_render *r, struct str s)
{
    const bool has_single = memchr(s.ptr, '\'', s.len) != NULL;
    const char quote = has_single && memchr(s.ptr, '"', s.len) == NULL ? '"' : '\'';
    size_t from = 0;

    buf_char(&r->out, quote);
    for (size_t at = 0; at < s.len;) {
        const size_t start = at;
        const uint32_t c = jinja_char_next(s, &at);

        if (c != (uint32_t)quote && c != '\\' && (c < 0x7F ? c >= 0x20 : jinja_is_printable(c)))
            continue;
        buf_put(&r->out, s.ptr + from, start - from);
        from = at;
        if (c == (uint32_t)quote || c == '\\')
            buf_printf(&r->out, "\\%c", (char)c);
        else if (c == '\n' || c == '\r' || c == '\t')
            buf_text(&r->out, c == '\n' ? "\\n" : c == '\r' ? "\\r" : "\\t");
        else if (c < 0x100)
            put_hex(r, 'x', c, 2);
        else
            put_hex(r, c < 0x10000 ? 'u' : 'U', c, c < 0x10000 ? 4 : 8);
    }
    buf_put(&r->out, s.ptr + from, s.len - from);
    buf_char(&r->out, quote);
}

static bool put_items(struct jinja_render *r, const struct jinja_seq *seq, const char *open,
                      const char *close)
{
    buf_text(&r->out, open);
    for (size_t i = 0; i < seq->n; i++) {
        if (i > 0)
            jinja_put(r, STR(", "));
        if (!jinja_put_repr(r, seq->items[i]))
            return false;
    }
    buf_text(&r->out, close);
    return true;
}

static bool put_dict(struct jinja_render *r, struct jinja_dict *d)
{
    if (d->printing) { /* a namespace that contains itself */
        jinja_put(r, STR("{...}"));
        return true;
    }
    d->printing = true;
    buf_char(&r->out, '{');
    for (size_t i = 0; i < d->n; i++) {
        if (i > 0)
            jinja_put(r, STR(", "));
        if (!jinja_put_repr(r, d->entries[i].key))
            return false;
        jinja_put(r, STR(": "));
        if (!jinja_put_repr(r, d->entries[i].value))
            return false;
    }
    buf_char(&r->out, '}');
    d->printing = false;
    return true;
}

static bool put_view(struct jinja_render *r, struct jinja_value v)
{
    struct jinja_items items = {0};
    struct jinja_value list;

    buf_printf(&r->out, "%s(", jinja_type_name(v));
    if (!jinja_collect(r, v, &items) || !jinja_items_list(r, &items, &list) ||
        !jinja_put_repr(r, list))
        return false;
    buf_char(&r->out, ')');
    return true;
}

static void put_range(struct jinja_render *r, const struct jinja_range *range)
{
    buf_printf(&r->out, "range(%" PRId64 ", %" PRId64, range->start, range->stop);
    if (range->step != 1)
        buf_printf(&r->out, ", %" PRId64, range->step);
    buf_char(&r->out, ')');
}

/* Python prints an address for these; ours are all the same. */
static bool put_object(struct jinja_render *r, struct jinja_value v)
{
    if (v.type == JINJA_SELF) {
        jinja_put(r, STR("<TemplateReference None>"));
    } else if (v.type == JINJA_MACRO) {
        jinja_put(r, STR("<Macro "));
        if (v.macro->name.len > 0)
            jinja_put_str_repr(r, v.macro->name);
        else
            jinja_put(r, STR("anonymous"));
        buf_char(&r->out, '>');
    } else {
        buf_printf(&r->out, "<%s object>", jinja_type_name(v));
    }
    return true;
}

static bool put_repr(struct jinja_render *r, struct jinja_value v)
{
    switch ((enum jinja_type)v.type) {
    case JINJA_UNDEFINED:
        jinja_put(r, STR("Undefined"));
        return true;
    case JINJA_NONE:
        jinja_put(r, STR("None"));
        return true;
    case JINJA_BOOL:
        jinja_put(r, v.b ? STR("True") : STR("False"));
        return true;
    case JINJA_INT:
        buf_printf(&r->out, "%" PRId64, v.i);
        return true;
    case JINJA_FLOAT:
        jinja_put_double(r, v.d);
        return jinja_charge(r, 8); /* the shortest digits take some search */
    case JINJA_STR:
        if (v.safe)
            jinja_put(r, STR("Markup("));
        jinja_put_str_repr(r, (struct str){v.text->ptr, v.text->len});
        if (v.safe)
            buf_char(&r->out, ')');
        return jinja_charge(r, v.text->len / 16);
    case JINJA_LIST:
        return put_items(r, v.seq, "[", "]");
    case JINJA_TUPLE:
        return put_items(r, v.seq, "(", v.seq->n == 1 ? ",)" : ")");
    case JINJA_DICT:
        return put_dict(r, v.dict);
    case JINJA_NAMESPACE:
        jinja_put(r, STR("<Namespace "));
        if (!put_dict(r, v.dict))
            return false;
        buf_char(&r->out, '>');
        return true;
    case JINJA_RANGE:
        put_range(r, v.range);
        return true;
    case JINJA_VIEW:
        return put_view(r, v);
    default:
        return put_object(r, v);
    }
}

bool jinja_put_repr(struct jinja_render *r, struct jinja_value v)
{
    if (!deeper(r) || !put_repr(r, v))
        return false;
    r->depth--;
    return jinja_put_ok(r);
}

bool jinja_put_str(struct jinja_render *r, struct jinja_value v)
{
    if (v.type == JINJA_UNDEFINED)
        return true;
    if (v.type != JINJA_STR)
        return jinja_put_repr(r, v);
    jinja_put(r, (struct str){v.text->ptr, v.text->len});
    return jinja_put_ok(r) && jinja_charge(r, 1 + v.text->len / 64);
}

bool jinja_to_str(struct jinja_render *r, struct jinja_value v, struct jinja_value *out)
{
    const size_t mark = jinja_mark(r);

    if (v.type == JINJA_STR) {
        *out = v;
        out->safe = false;
        return true;
    }
    return jinja_put_str(r, v) && jinja_take(r, mark, out);
}

bool jinja_soft_str(struct jinja_render *r, struct jinja_value v, struct jinja_value *out)
{
    if (v.type != JINJA_STR)
        return jinja_to_str(r, v, out);
    *out = v;
    return true;
}

/* ---- HTML ---- */

void jinja_put_escaped(struct jinja_render *r, struct str s)
{
    size_t from = 0;

    for (size_t i = 0; i < s.len; i++) {
        const char *entity = s.ptr[i] == '&'    ? "&amp;"
                             : s.ptr[i] == '<'  ? "&lt;"
                             : s.ptr[i] == '>'  ? "&gt;"
                             : s.ptr[i] == '\'' ? "&#39;"
                             : s.ptr[i] == '"'  ? "&#34;"
                                                : NULL;

        if (entity == NULL)
            continue;
        buf_put(&r->out, s.ptr + from, i - from);
        buf_text(&r->out, entity);
        from = i + 1;
    }
    buf_put(&r->out, s.ptr + from, s.len - from);
}

bool jinja_escape(struct jinja_render *r, struct jinja_value v, struct jinja_value *out)
{
    const size_t mark = jinja_mark(r);
    struct jinja_value text;

    if (v.type == JINJA_STR && v.safe) {
        *out = v;
        return true;
    }
    if (!jinja_to_str(r, v, &text))
        return false;
    jinja_put_escaped(r, (struct str){text.text->ptr, text.text->len});
    if (!jinja_charge(r, text.text->len / 64) || !jinja_take(r, mark, out))
        return false;
    out->safe = true;
    return true;
}

/* ---- JSON, as json.dumps writes it ---- */

static void put_json_str(struct jinja_render *r, struct str s, const struct jinja_json *fmt)
{
    size_t from = 0;

    buf_char(&r->out, '"');
    for (size_t at = 0; at < s.len;) {
        static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";
        const size_t start = at;
        const uint32_t c = jinja_char_next(s, &at);
        const bool plain = c >= 0x20 && c != '"' && c != '\\';

        if (plain && (c < 0x7F || !fmt->ensure_ascii))
            continue;
        buf_put(&r->out, s.ptr + from, start - from);
        from = at;
        const char *hit = c < 0x80 && c != 0 ? strchr(names, (int)c) : NULL;
        if (!plain && hit != NULL) {
            buf_put(&r->out, (const char[]){'\\', hit[1]}, 2);
        } else if (c >= 0x10000) {
            put_hex(r, 'u', 0xD800 + ((c - 0x10000) >> 10), 4);
            put_hex(r, 'u', 0xDC00 + ((c - 0x10000) & 0x3FF), 4);
        } else {
            put_hex(r, 'u', c, 4);
        }
    }
    jinja_put(r, str_from(s, from));
    buf_char(&r->out, '"');
}

static void put_json_double(struct jinja_render *r, double d)
{
    if (isnan(d))
        jinja_put(r, STR("NaN"));
    else if (isinf(d))
        jinja_put(r, d > 0 ? STR("Infinity") : STR("-Infinity"));
    else
        json_write_double(&r->out, d);
}

static void put_json_line(struct jinja_render *r, const struct jinja_json *fmt, size_t level)
{
    if (!fmt->pretty)
        return;
    buf_char(&r->out, '\n');
    for (size_t i = 0; i < level && !r->out.overflowed; i++)
        jinja_put(r, fmt->indent);
}

static bool put_json(struct jinja_render *r, struct jinja_value v, const struct jinja_json *fmt,
                     size_t level);

static bool put_json_list(struct jinja_render *r, const struct jinja_seq *seq,
                          const struct jinja_json *fmt, size_t level)
{
    if (seq->n == 0) {
        jinja_put(r, STR("[]"));
        return true;
    }
    buf_char(&r->out, '[');
    for (size_t i = 0; i < seq->n; i++) {
        if (i > 0)
            jinja_put(r, fmt->comma);
        put_json_line(r, fmt, level + 1);
        if (!put_json(r, seq->items[i], fmt, level + 1))
            return false;
    }
    put_json_line(r, fmt, level);
    buf_char(&r->out, ']');
    return true;
}

static bool put_json_key(struct jinja_render *r, struct jinja_value key,
                         const struct jinja_json *fmt)
{
    const size_t mark = jinja_mark(r);
    struct jinja_value text;

    switch ((enum jinja_type)key.type) {
    case JINJA_STR:
        put_json_str(r, (struct str){key.text->ptr, key.text->len}, fmt);
        return true;
    case JINJA_NONE:
    case JINJA_BOOL:
    case JINJA_INT:
    case JINJA_FLOAT:
        if (!put_json(r, key, fmt, 0) || !jinja_take(r, mark, &text))
            return false;
        put_json_str(r, (struct str){text.text->ptr, text.text->len}, fmt);
        return true;
    default:
        return jinja_raise(r, "keys must be str, int, float, bool or None, not %s",
                           jinja_type_name(key));
    }
}

static bool put_json_dict(struct jinja_render *r, const struct jinja_dict *d,
                          const struct jinja_json *fmt, size_t level)
{
    struct jinja_entry *entries = d->entries;

    if (d->n == 0) {
        jinja_put(r, STR("{}"));
        return true;
    }
    if (fmt->sort_keys && !jinja_dict_sorted(r, d, true, &entries))
        return false;
    buf_char(&r->out, '{');
    for (size_t i = 0; i < d->n; i++) {
        if (i > 0)
            jinja_put(r, fmt->comma);
        put_json_line(r, fmt, level + 1);
        if (!put_json_key(r, entries[i].key, fmt))
            return false;
        jinja_put(r, fmt->colon);
        if (!put_json(r, entries[i].value, fmt, level + 1))
            return false;
    }
    put_json_line(r, fmt, level);
    buf_char(&r->out, '}');
    return true;
}

static bool put_json_value(struct jinja_render *r, struct jinja_value v,
                           const struct jinja_json *fmt, size_t level)
{
    switch ((enum jinja_type)v.type) {
    case JINJA_NONE:
        jinja_put(r, STR("null"));
        return true;
    case JINJA_BOOL:
        jinja_put(r, v.b ? STR("true") : STR("false"));
        return true;
    case JINJA_INT:
        buf_printf(&r->out, "%" PRId64, v.i);
        return true;
    case JINJA_FLOAT:
        put_json_double(r, v.d);
        return jinja_charge(r, 8);
    case JINJA_STR:
        put_json_str(r, (struct str){v.text->ptr, v.text->len}, fmt);
        return jinja_charge(r, v.text->len / 16);
    case JINJA_LIST:
    case JINJA_TUPLE:
        return put_json_list(r, v.seq, fmt, level);
    case JINJA_DICT:
        return put_json_dict(r, v.dict, fmt, level);
    default:
        return jinja_raise(r, "Object of type %s is not JSON serializable", jinja_type_name(v));
    }
}

static bool put_json(struct jinja_render *r, struct jinja_value v, const struct jinja_json *fmt,
                     size_t level)
{
    if (!deeper(r) || !put_json_value(r, v, fmt, level))
        return false;
    r->depth--;
    return jinja_put_ok(r);
}

bool jinja_put_json(struct jinja_render *r, struct jinja_value v, const struct jinja_json *fmt)
{
    return put_json(r, v, fmt, 0);
}
