/*
 * jinja_text.c - str's operations over UTF-8.
 */
#include "text/jinja_text.h"
#include "base/limits.h"
#include "base/size.h"
#include "text/jinja_unicode.h"

#include <stdlib.h>
#include <utf8proc.h>

bool jinja_text_part(struct jinja_render *r, struct jinja_value text, struct str part,
                     struct jinja_value *out)
{
    if (!jinja_str_view(r, part, out))
        return false;
    out->safe = text.safe;
    return true;
}

static bool take_like(struct jinja_render *r, size_t mark, struct jinja_value like,
                      struct jinja_value *out)
{
    if (!jinja_take(r, mark, out))
        return false;
    out->safe = like.safe;
    return true;
}

/* ---- strip ---- */

static bool has_char(struct str chars, uint32_t c)
{
    for (size_t at = 0; at < chars.len;)
        if (jinja_char_next(chars, &at) == c)
            return true;
    return false;
}

bool jinja_text_strip(struct jinja_render *r, struct jinja_value text, struct jinja_value chars,
                      bool left, bool right, struct jinja_value *out)
{
    struct str s = jinja_view(text);
    const bool blank = chars.type != JINJA_STR;
    const struct str set = blank ? STR("") : jinja_view(chars);
    size_t next = 0, before;

    for (size_t at = 0; left && at < s.len; at = next) {
        const uint32_t c = jinja_char_next(s, &next);

        if (!(blank ? jinja_is_space(c) : has_char(set, c))) {
            next = at;
            break;
        }
    }
    s = str_from(s, next);
    before = s.len;
    while (right && s.len > 0) {
        const uint32_t c = jinja_char_prev(s, &before);

        if (!(blank ? jinja_is_space(c) : has_char(set, c)))
            break;
        s.len = before;
    }
    return jinja_charge(r, (text.text->len - s.len) * (1 + set.len) / 64) &&
           jinja_text_part(r, text, s, out);
}

/* ---- case ---- */

static void put_char(struct jinja_render *r, uint32_t c)
{
    char text[4];

    buf_put(&r->out, text, jinja_char_put(text, c));
}

static void put_mapped(struct jinja_render *r, enum jinja_case to, uint32_t c)
{
    uint32_t mapped[3];
    const size_t n = jinja_map_case(to, c, mapped);

    for (size_t i = 0; i < n; i++)
        put_char(r, mapped[i]);
}

/* A capital sigma at the end of a word has a small letter of its own. at: behind it. */
static bool is_final_sigma(struct str s, size_t at)
{
    size_t before = at - 2; /* a sigma has two bytes */
    bool cased = false;

    while (before > 0) {
        const uint32_t c = jinja_char_prev(s, &before);

        if (!jinja_is_case_ignorable(c)) {
            cased = jinja_is_cased(c);
            break;
        }
    }
    if (!cased)
        return false;
    while (at < s.len) {
        const uint32_t c = jinja_char_next(s, &at);

        if (!jinja_is_case_ignorable(c))
            return !jinja_is_cased(c);
    }
    return true;
}

static void put_lower(struct jinja_render *r, struct str s, size_t end, uint32_t c)
{
    if (c == 0x3A3)
        put_char(r, is_final_sigma(s, end) ? 0x3C2 : 0x3C3);
    else
        put_mapped(r, JINJA_LOWER, c);
}

static bool put_folded(struct jinja_render *r, struct str s)
{
    utf8proc_uint8_t *folded = NULL;
    const utf8proc_ssize_t n = utf8proc_map((const utf8proc_uint8_t *)s.ptr,
                                            (utf8proc_ssize_t)s.len, &folded, UTF8PROC_CASEFOLD);

    if (n < 0)
        return jinja_raise(r, "casefold(): %s", utf8proc_errmsg(n));
    buf_put(&r->out, folded, (size_t)n);
    free(folded);
    return true;
}

static bool ends_word(uint32_t c)
{
    return c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || jinja_is_space(c);
}

/* Each character, by where it stands in its word. */
static void put_cased(struct jinja_render *r, struct str s, enum jinja_letter_case to)
{
    bool inside = false; /* of a word */
    size_t word = 0;     /* where the rest of the word begins: the filter title lowers it alone */

    for (size_t at = 0; at < s.len;) {
        const size_t from = at;
        const uint32_t c = jinja_char_next(s, &at);
        const struct str rest = {s.ptr, s.len};

        if (to == JINJA_TO_UPPER || (to == JINJA_TO_SWAPPED && jinja_is_lower(c)))
            put_mapped(r, JINJA_UPPER, c);
        else if (to == JINJA_TO_SWAPPED && !jinja_is_upper(c))
            put_char(r, c);
        else if ((to == JINJA_TO_CAPITALIZED && from == 0) || (to == JINJA_TO_TITLE && !inside))
            put_mapped(r, JINJA_TITLE, c);
        else if (to == JINJA_TO_WORDS && !inside) {
            put_mapped(r, JINJA_UPPER, c);
            word = at;
        } else if (to == JINJA_TO_WORDS) {
            size_t end = at;

            while (c == 0x3A3 && end < s.len && !ends_word(jinja_char_next(s, &end)))
                ; /* only the sigma looks at what follows in its word */
            put_lower(r, (struct str){s.ptr + word, end - word}, at - word, c);
        } else {
            put_lower(r, rest, at, c);
        }
        inside = to == JINJA_TO_WORDS ? !ends_word(c) : jinja_is_cased(c);
    }
}

bool jinja_text_case(struct jinja_render *r, struct jinja_value text, enum jinja_letter_case to,
                     struct jinja_value *out)
{
    const size_t mark = jinja_mark(r);
    const struct str s = jinja_view(text);

    if (!jinja_charge(r, s.len / 4))
        return false;
    if (to != JINJA_TO_FOLDED)
        put_cased(r, s, to);
    else if (!put_folded(r, s))
        return false;
    return take_like(r, mark, text, out);
}

/* ---- find and replace ---- */

static size_t find_last(struct str s, struct str needle)
{
    for (size_t at = s.len - needle.len + 1; at-- > 0;)
        if (memcmp(s.ptr + at, needle.ptr, needle.len) == 0)
            return at;
    return s.len + 1;
}

bool jinja_text_find(struct jinja_render *r, struct str s, struct str needle, bool last,
                     size_t *out)
{
    size_t scanned;

    *out = s.len + 1;
    if (needle.len > s.len)
        return true;
    if (!last) {
        const size_t at = str_find(s, needle, 0);

        if (at < s.len || needle.len == 0)
            *out = at;
        return jinja_charge(r, at / 64);
    }
    if (!jinja_charge(r, needle.len / 256 *
                             (s.len - needle.len))) /* what a hostile needle would take */
        return false;
    *out = find_last(s, needle);
    scanned = *out > s.len ? s.len : s.len - *out;
    return jinja_charge(r, scanned / 16 + scanned * (needle.len % 256) / 256);
}

/* An empty old text stands before each character and at the end. */
static void put_between(struct jinja_render *r, struct str s, struct str new, int64_t count)
{
    size_t at = 0;

    while (count != 0 && !r->out.overflowed) {
        const size_t from = at;

        jinja_put(r, new);
        if (count > 0)
            count--;
        if (at == s.len)
            return;
        jinja_char_next(s, &at);
        buf_put(&r->out, s.ptr + from, at - from);
    }
    jinja_put(r, str_from(s, at));
}

bool jinja_text_replace(struct jinja_render *r, struct jinja_value text, struct str old,
                        struct str new, int64_t count, struct jinja_value *out)
{
    const size_t mark = jinja_mark(r);
    const struct str s = jinja_view(text);
    size_t from = 0, n = 0;

    if (old.len == 0) {
        n = s.len;
        put_between(r, s, new, count);
    } else {
        while (count != 0 && !r->out.overflowed) {
            const size_t at = str_find(s, old, from);

            if (at >= s.len)
                break;
            buf_put(&r->out, s.ptr + from, at - from);
            jinja_put(r, new);
            from = at + old.len;
            n++;
            if (count > 0)
                count--;
        }
        jinja_put(r, str_from(s, from));
    }
    return jinja_charge(r, n / 8 + (s.len + r->out.len - mark) / 64) &&
           take_like(r, mark, text, out);
}

/* ---- pad ---- */

static void put_fill(struct jinja_render *r, struct str fill, size_t n)
{
    for (size_t i = 0; i < n && !r->out.overflowed; i++)
        jinja_put(r, fill);
}

bool jinja_text_pad(struct jinja_render *r, struct jinja_value text, int64_t width, struct str fill,
                    enum jinja_align align, struct jinja_value *out)
{
    const size_t mark = jinja_mark(r), n = text.text->n_chars;
    struct str s = jinja_view(text);

    if (width <= 0 || (size_t)width <= n) {
        *out = text;
        return true;
    }
    if ((size_t)width > LIMIT_RENDER_BYTES || !jinja_charge(r, (uint64_t)width / 16))
        return jinja_limit(r, "a text padded to more than %zu characters", LIMIT_RENDER_BYTES);
    const size_t pad = (size_t)width - n;
    const size_t left = align == JINJA_ALIGN_LEFT ? 0
                        : align == JINJA_ALIGN_CENTER
                            ? pad / 2 + (pad & (size_t)width & 1) /* as CPython */
                            : pad;
    if (align == JINJA_ALIGN_ZEROS && s.len > 0 && (s.ptr[0] == '+' || s.ptr[0] == '-')) {
        buf_char(&r->out, s.ptr[0]);
        s = str_from(s, 1);
    }
    put_fill(r, fill, left);
    jinja_put(r, s);
    put_fill(r, fill, pad - left);
    return take_like(r, mark, text, out);
}

/* ---- split and join ---- */

static bool add_part(struct jinja_render *r, struct jinja_value text, struct jinja_items *out,
                     struct str part)
{
    struct jinja_value v;

    return jinja_charge(r, 1) && jinja_text_part(r, text, part, &v) && jinja_items_add(r, out, v);
}

static bool split_blank(struct jinja_render *r, struct jinja_value text, int64_t max,
                        struct jinja_items *out)
{
    struct str s = jinja_lstrip(jinja_view(text));

    for (; s.len > 0 && max != 0; max--) {
        size_t end = 0, next = 0;

        while (end < s.len && !jinja_is_space(jinja_char_next(s, &next)))
            end = next;
        if (!add_part(r, text, out, (struct str){s.ptr, end}))
            return false;
        s = jinja_lstrip(str_from(s, end));
    }
    return s.len == 0 || add_part(r, text, out, s); /* what is left keeps its blanks at the end */
}

static bool rsplit_blank(struct jinja_render *r, struct jinja_value text, int64_t max,
                         struct jinja_items *out)
{
    struct str s = jinja_rstrip(jinja_view(text));

    for (; s.len > 0 && max != 0; max--) {
        size_t from = s.len, before = s.len;

        while (from > 0 && !jinja_is_space(jinja_char_prev(s, &before)))
            from = before;
        if (!add_part(r, text, out, str_from(s, from)))
            return false;
        s = jinja_rstrip((struct str){s.ptr, from});
    }
    return s.len == 0 || add_part(r, text, out, s);
}

static bool split_at(struct jinja_render *r, struct jinja_value text, struct str sep, int64_t max,
                     bool from_right, struct jinja_items *out)
{
    struct str s = jinja_view(text);

    for (; max != 0; max--) {
        size_t at;

        if (!jinja_text_find(r, s, sep, from_right, &at))
            return false;
        if (at > s.len)
            break;
        const struct str before = {s.ptr, at}, after = str_from(s, at + sep.len);
        if (!add_part(r, text, out, from_right ? after : before))
            return false;
        s = from_right ? before : after;
    }
    return add_part(r, text, out, s);
}

bool jinja_text_split(struct jinja_render *r, struct jinja_value text, struct jinja_value sep,
                      int64_t max, bool from_right, struct jinja_value *out)
{
    struct jinja_items items = {0};
    bool ok;

    if (sep.type != JINJA_STR)
        ok = from_right ? rsplit_blank(r, text, max, &items) : split_blank(r, text, max, &items);
    else if (sep.text->len == 0)
        return jinja_raise(r, "empty separator");
    else
        ok = split_at(r, text, jinja_view(sep), max, from_right, &items);
    if (!ok || !jinja_charge(r, text.text->len / 64))
        return false;
    for (size_t i = 0; from_right && i < items.n / 2; i++) {
        const struct jinja_value v = items.ptr[i];

        items.ptr[i] = items.ptr[items.n - 1 - i];
        items.ptr[items.n - 1 - i] = v;
    }
    return jinja_items_list(r, &items, out);
}

bool jinja_text_lines(struct jinja_render *r, struct jinja_value text, bool keep_ends,
                      struct jinja_items *out)
{
    const struct str s = jinja_view(text);
    size_t from = 0;

    for (size_t at = 0; at < s.len;) {
        const size_t end = at;
        const uint32_t c = jinja_char_next(s, &at);

        if (!jinja_is_line_end(c))
            continue;
        if (c == '\r' && at < s.len && s.ptr[at] == '\n')
            at++;
        if (!add_part(r, text, out, (struct str){s.ptr + from, (keep_ends ? at : end) - from}))
            return false;
        from = at;
    }
    return (from == s.len || add_part(r, text, out, str_from(s, from))) &&
           jinja_charge(r, s.len / 32);
}

bool jinja_text_join(struct jinja_render *r, struct jinja_value sep, struct jinja_value items,
                     bool strict, struct jinja_value *out)
{
    struct jinja_items list = {0};

    if (!jinja_collect(r, items, &list)) /* first all: a generator may write on its own */
        return false;
    const size_t mark = jinja_mark(r);
    for (size_t i = 0; i < list.n; i++) {
        if (strict && !sep.safe && list.ptr[i].type != JINJA_STR)
            return jinja_raise(r, "sequence item %zu: expected str instance, %s found", i,
                               jinja_type_name(list.ptr[i]));
        if (strict && sep.safe && !jinja_escape(r, list.ptr[i], &list.ptr[i]))
            return false;
        if ((i > 0 && !jinja_put_str(r, sep)) || !jinja_put_str(r, list.ptr[i]))
            return false;
    }
    if (!jinja_take(r, mark, out))
        return false;
    out->safe = strict && sep.safe;
    return true;
}

/* ---- classes ---- */

static bool is_class(uint32_t c, enum jinja_class what)
{
    switch (what) {
    case JINJA_ALNUM:
        return jinja_is_alnum(c);
    case JINJA_ALPHA:
        return jinja_is_alpha(c);
    case JINJA_ASCII:
        return c < 0x80;
    case JINJA_DECIMAL:
        return jinja_is_decimal(c);
    case JINJA_DIGIT:
        return jinja_is_digit(c);
    case JINJA_IDENTIFIER:
        return c == '_' || jinja_is_identifier(c);
    case JINJA_NUMERIC:
        return jinja_is_numeric(c);
    case JINJA_PRINTABLE:
        return jinja_is_printable(c);
    case JINJA_SPACE:
        return jinja_is_space(c);
    default:
        return false;
    }
}

/* islower, isupper: some letter with case, and none of the other. */
static bool is_in_case(struct str s, bool lower)
{
    bool some = false;

    for (size_t at = 0; at < s.len;) {
        const uint32_t c = jinja_char_next(s, &at);

        if (lower ? jinja_is_upper(c) || jinja_is_title(c) : jinja_is_lower(c) || jinja_is_title(c))
            return false;
        some = some || (lower ? jinja_is_lower(c) : jinja_is_upper(c));
    }
    return some;
}

static bool is_titled(struct str s)
{
    bool some = false, inside = false;

    for (size_t at = 0; at < s.len;) {
        const uint32_t c = jinja_char_next(s, &at);

        if (jinja_is_upper(c) || jinja_is_title(c)) {
            if (inside)
                return false;
            some = inside = true;
        } else if (jinja_is_lower(c)) {
            if (!inside)
                return false;
        } else {
            inside = false;
        }
    }
    return some;
}

bool jinja_text_is(struct str s, enum jinja_class what)
{
    if (what == JINJA_LOWERCASE || what == JINJA_UPPERCASE)
        return is_in_case(s, what == JINJA_LOWERCASE);
    if (what == JINJA_TITLECASE)
        return is_titled(s);
    if (s.len == 0)
        return what == JINJA_ASCII || what == JINJA_PRINTABLE;
    if (what == JINJA_IDENTIFIER && s.ptr[0] >= '0' && s.ptr[0] <= '9')
        return false;
    for (size_t at = 0; at < s.len;)
        if (!is_class(jinja_char_next(s, &at), what))
            return false;
    return true;
}
