/*
 * json.c - jansson's reader behind our errors, and our own writer (jansson's prints 0.1 as 0.10000000000000001).
 */
#include "text/json.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/utf8.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static bool too_deep(struct str text)
{
    size_t depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        const char c = text.ptr[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > LIMIT_JSON_DEPTH)
                return true;
        } else if ((c == ']' || c == '}') && depth > 0) {
            depth--;
        }
    }
    return false;
}

bool json_has_more(struct str text, size_t most)
{
    size_t n = 1;
    bool in_string = false;

    for (size_t i = 0; i < text.len && n <= most; i++) {
        const char c = text.ptr[i];

        if (in_string && c == '\\')
            i++;
        else if (c == '"')
            in_string = !in_string;
        else if (!in_string && (c == '[' || c == '{' || c == ','))
            n++;
    }
    return n > most;
}

static bool parse(struct str text, const char *what, size_t flags, json_t **out, struct error *err)
{
    json_error_t e;

    if (text.len > LIMIT_JSON_BYTES)
        return fail(err, ERR_LIMIT, "%s: %zu bytes of JSON are more than the %zu allowed", what,
                    text.len, LIMIT_JSON_BYTES);
    if (too_deep(text))
        return fail(err, ERR_LIMIT, "%s: JSON nested more than %d deep", what, LIMIT_JSON_DEPTH);
    json_t *v = json_loadb(text.ptr, text.len,
                           JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL | flags, &e);
    if (v == NULL)
        return fail(err, ERR_INVALID, "%s: not valid JSON at line %d, column %d: %s", what, e.line,
                    e.column, e.text);
    *out = v;
    return true;
}

bool json_parse(struct str text, const char *what, json_t **out, struct error *err)
{
    return parse(text, what, 0, out, err);
}

static bool read_file(const char *path, size_t flags, json_t **out, struct error *err)
{
    struct arena a = {0};
    struct str text;
    bool ok =
        file_read(path, LIMIT_JSON_BYTES, &a, &text, err) && parse(text, path, flags, out, err);

    arena_release(&a);
    return ok;
}

bool json_read_file(const char *path, json_t **out, struct error *err)
{
    return read_file(path, 0, out, err);
}

bool json_read_file_of_reals(const char *path, json_t **out, struct error *err)
{
    return read_file(path, JSON_DECODE_INT_AS_REAL, out, err);
}

/* The bytes of one character at p, or 0 where they are not valid UTF-8. */
static size_t utf8_at(const unsigned char *p, size_t n, uint32_t *cp)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t len = p[0] < 0x80 ? 1 : p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : p[0] >= 0xC0 ? 2 : 0;

    if (len == 0 || len > n || p[0] > 0xF4)
        return 0;
    uint32_t c = len == 1 ? p[0] : p[0] & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++) {
        if ((p[i] & 0xC0) != 0x80)
            return 0;
        c = c << 6 | (p[i] & 0x3Fu);
    }
    if (c < least[len] || c > 0x10FFFF || (c >= 0xD800 && c < 0xE000))
        return 0;
    *cp = c;
    return len;
}

static void write_escape(struct buf *b, uint32_t c)
{
    static const char names[] = "\"\"\\\\\bb\ff\nn\rr\tt";

    for (size_t i = 0; i + 1 < sizeof names - 1; i += 2) {
        if (c == (unsigned char)names[i]) {
            buf_char(b, '\\');
            buf_char(b, names[i + 1]);
            return;
        }
    }
    if (c >= 0x10000) {
        c -= 0x10000;
        buf_printf(b, "\\u%04x\\u%04x", 0xD800 + (c >> 10), 0xDC00 + (c & 0x3FF));
    } else {
        buf_printf(b, "\\u%04x", c);
    }
}

void json_write_string(struct buf *b, struct str s, bool ensure_ascii)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t from = 0, i = 0;

    buf_char(b, '"');
    while (i < s.len) {
        uint32_t c = 0xFFFD;
        const size_t n = utf8_at(p + i, s.len - i, &c);

        if (n > 0 && c >= 0x20 && c != '"' && c != '\\' && !(ensure_ascii && c >= 0x7F)) {
            i += n;
            continue;
        }
        buf_put(b, s.ptr + from, i - from);
        if (n == 0 && !ensure_ascii)
            buf_text(b, "\xEF\xBF\xBD");
        else
            write_escape(b, n == 0 ? 0xFFFD : c);
        i += n == 0 ? 1 : n;
        from = i;
    }
    const struct str rest = str_from(s, from);
    buf_put(b, rest.ptr, rest.len);
    buf_char(b, '"');
}

void json_write_double(struct buf *b, double x)
{
    char digits[40];

    if (!isfinite(x)) {
        buf_text(b, "null");
        return;
    }
    /* 15 digits always survive in a double, so that is where to begin; only subnormal ones may need fewer */
    for (int precision = fabs(x) < DBL_MIN ? 1 : 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*e", precision - 1, x);
        if (strtod(digits, NULL) == x) /* NOLINT: equal bits are what is asked for */
            break;
    }
    /* the shortest digits as Python's repr places them: plain for 1e-4 <= |x| < 1e16 */
    char *e = strchr(digits, 'e');
    const int exponent = atoi(e + 1);
    char mantissa[32] = "";
    size_t n = 0;
    for (const char *p = digits; p < e; p++)
        if (*p >= '0' && *p <= '9')
            mantissa[n++] = *p;
    while (n > 1 && mantissa[n - 1] == '0')
        n--;
    if (digits[0] == '-')
        buf_char(b, '-');
    if (exponent < -4 || exponent >= 16) {
        buf_char(b, mantissa[0]);
        if (n > 1) {
            buf_char(b, '.');
            buf_put(b, mantissa + 1, n - 1);
        }
        buf_printf(b, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        buf_text(b, "0.");
        for (int i = -1; i > exponent; i--)
            buf_char(b, '0');
        buf_put(b, mantissa, n);
    } else {
        for (int i = 0; i <= exponent; i++)
            buf_char(b, (size_t)i < n ? mantissa[i] : '0');
        buf_char(b, '.');
        if (n > (size_t)exponent + 1)
            buf_put(b, mantissa + exponent + 1, n - (size_t)exponent - 1);
        else
            buf_char(b, '0');
    }
}

static void new_line(struct buf *b, const struct json_format *fmt, int level)
{
    buf_char(b, '\n');
    for (int i = 0; i < level * fmt->indent; i++)
        buf_char(b, ' ');
}

static void write_value(struct buf *b, const json_t *v, const struct json_format *fmt, int level);

static void between(struct buf *b, const struct json_format *fmt, int level, bool first)
{
    if (!first)
        buf_text(b, fmt->style == JSON_STYLE_PYTHON && fmt->indent == 0 ? ", " : ",");
    if (fmt->indent > 0)
        new_line(b, fmt, level);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_member(struct buf *b, struct str key, const json_t *value,
                         const struct json_format *fmt, int level, bool first)
{
    between(b, fmt, level + 1, first);
    json_write_string(b, key, fmt->ensure_ascii);
    buf_text(b, fmt->style == JSON_STYLE_PYTHON || fmt->indent > 0 ? ": " : ":");
    write_value(b, value, fmt, level + 1);
}

static void write_object(struct buf *b, const json_t *v, const struct json_format *fmt, int level)
{
    json_t *obj =
        (json_t *)(uintptr_t)v; /* jansson's iterators are not const, and change nothing */
    const size_t n = json_object_size(v);

    if (n == 0) {
        buf_text(b, "{}");
        return;
    }
    buf_char(b, '{');
    if (fmt->sort_keys) {
        const char **keys = malloc(n * sizeof *keys);
        size_t k = 0;

        for (void *it = json_object_iter(obj); it != NULL && keys != NULL;
             it = json_object_iter_next(obj, it))
            keys[k++] = json_object_iter_key(it);
        if (k > 0)
            qsort(keys, k, sizeof *keys, by_key);
        for (size_t i = 0; i < k; i++)
            write_member(b, str_of(keys[i]), json_object_get(v, keys[i]), fmt, level, i == 0);
        free(keys);
    } else {
        bool first = true;

        for (void *it = json_object_iter(obj); it != NULL; it = json_object_iter_next(obj, it)) {
            write_member(b, (struct str){json_object_iter_key(it), json_object_iter_key_len(it)},
                         json_object_iter_value(it), fmt, level, first);
            first = false;
        }
    }
    if (fmt->indent > 0)
        new_line(b, fmt, level);
    buf_char(b, '}');
}

static void write_value(struct buf *b, const json_t *v, const struct json_format *fmt, int level)
{
    switch (v == NULL ? JSON_NULL : json_typeof(v)) {
    case JSON_OBJECT:
        write_object(b, v, fmt, level);
        return;
    case JSON_ARRAY:
        if (json_array_size(v) == 0) {
            buf_text(b, "[]");
            return;
        }
        buf_char(b, '[');
        for (size_t i = 0; i < json_array_size(v); i++) {
            between(b, fmt, level + 1, i == 0);
            write_value(b, json_array_get(v, i), fmt, level + 1);
        }
        if (fmt->indent > 0)
            new_line(b, fmt, level);
        buf_char(b, ']');
        return;
    case JSON_STRING:
        json_write_string(b, json_str(v), fmt->ensure_ascii);
        return;
    case JSON_INTEGER:
        buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return;
    case JSON_REAL:
        json_write_double(b, json_real_value(v));
        return;
    case JSON_TRUE:
        buf_text(b, "true");
        return;
    case JSON_FALSE:
        buf_text(b, "false");
        return;
    case JSON_NULL:
        buf_text(b, "null");
        return;
    }
}

void json_write(struct buf *b, const json_t *value, const struct json_format *fmt)
{
    static const struct json_format compact = {.style = JSON_STYLE_COMPACT};

    write_value(b, value, fmt == NULL ? &compact : fmt, 0);
}

bool json_absent(const json_t *value)
{
    return value == NULL || json_is_null(value);
}

struct str json_str(const json_t *value)
{
    if (!json_is_string(value))
        return (struct str){"", 0};
    return (struct str){json_string_value(value), json_string_length(value)};
}

const char *json_kind(const json_t *value)
{
    if (value == NULL)
        return "nothing";
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "an object";
    case JSON_ARRAY:
        return "a list";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
    case JSON_REAL:
        return "a number";
    case JSON_TRUE:
    case JSON_FALSE:
        return "true or false";
    case JSON_NULL:
        return "null";
    }
    return "something else";
}

static bool wrong_type(const json_t *v, const char *key, const char *what, const char *want,
                       struct error *err)
{
    return fail_code(err, ERR_INVALID, "invalid_type", key, "%s: \"%s\" is %s, %s was expected",
                     what, key, json_kind(v), want);
}

bool json_get_str(const json_t *obj, const char *key, const char *what, struct str *out,
                  struct error *err)
{
    const json_t *v = json_object_get(obj, key);

    if (v == NULL)
        return fail_code(err, ERR_INVALID, "missing_required_parameter", key,
                         "%s: \"%s\" is missing", what, key);
    if (!json_is_string(v))
        return wrong_type(v, key, what, "a string", err);
    *out = json_str(v);
    return true;
}

bool json_get_int(const json_t *obj, const char *key, const char *what, int64_t def, int64_t min,
                  int64_t max, int64_t *out, struct error *err)
{
    const json_t *v = json_object_get(obj, key);

    if (v == NULL || json_is_null(v)) {
        *out = def;
        return true;
    }
    if (!json_is_integer(v))
        return wrong_type(v, key, what, "a whole number", err);
    if (json_integer_value(v) < min || json_integer_value(v) > max)
        return fail_param(err, ERR_INVALID, key,
                          "%s: \"%s\" is %" JSON_INTEGER_FORMAT ", expected %" PRId64
                          " to %" PRId64,
                          what, key, json_integer_value(v), min, max);
    *out = json_integer_value(v);
    return true;
}

bool json_get_double(const json_t *obj, const char *key, const char *what, double def, double *out,
                     struct error *err)
{
    const json_t *v = json_object_get(obj, key);

    if (v == NULL || json_is_null(v)) {
        *out = def;
        return true;
    }
    if (!json_is_number(v))
        return wrong_type(v, key, what, "a number", err);
    *out = json_number_value(v);
    return true;
}

bool json_get_bool(const json_t *obj, const char *key, const char *what, bool def, bool *out,
                   struct error *err)
{
    const json_t *v = json_object_get(obj, key);

    if (v == NULL || json_is_null(v)) {
        *out = def;
        return true;
    }
    if (!json_is_boolean(v))
        return wrong_type(v, key, what, "true or false", err);
    *out = json_is_true(v);
    return true;
}

/* ---- two trees ---- */

bool json_same(const json_t *a, const json_t *b)
{
    return a == b || json_equal((json_t *)(uintptr_t)a, (json_t *)(uintptr_t)b);
}

/* A member of a that b does not have so; NULL: there is none. */
static const char *other_member(const json_t *a, const json_t *b)
{
    json_t *value;
    const char *key;

    json_object_foreach((json_t *)(uintptr_t)a, key, value)
    {
        if (!json_same(value, json_object_get(b, key)))
            return key;
    }
    return NULL;
}

static void add_to_path(char *path, size_t size, const char *key)
{
    const size_t len = strlen(path), dot = len > 0 ? 1 : 0;

    if (len + dot + 1 >= size)
        return;
    const struct str cut = utf8_cut(str_of(key), size - len - dot - 1);
    snprintf(path + len, size - len, "%s" STR_FMT, dot > 0 ? "." : "", STR_ARG(cut));
}

bool json_difference(const json_t *was, const json_t *is, struct json_difference *out)
{
    *out = (struct json_difference){.was = was, .is = is};
    if (json_same(was, is))
        return false;
    while (json_is_object(out->was) && json_is_object(out->is)) {
        const char *key = other_member(out->was, out->is);

        if (key == NULL) /* all that was is there: something is new */
            key = other_member(out->is, out->was);
        add_to_path(out->path, sizeof out->path, key);
        out->was = json_object_get(out->was, key);
        out->is = json_object_get(out->is, key);
    }
    return true;
}

struct json_shown json_show(const json_t *value)
{
    struct json_shown out;
    struct buf b;

    buf_init(&b, LIMIT_JSON_BYTES);
    if (value == NULL)
        buf_text(&b, "nothing");
    else
        json_write(&b, value, NULL);
    const struct str all = buf_view(&b), cut = utf8_cut(all, 100);
    snprintf(out.text, sizeof out.text, STR_FMT "%s", STR_ARG(cut), cut.len < all.len ? "..." : "");
    buf_release(&b);
    return out;
}
