/*
 * wordpiece.c - three loops over characters, and look-ups in two tables.
 */
#include "text/wordpiece.h"
#include "base/size.h"
#include "text/jinja_unicode.h"
#include "text/tokenizer_internal.h"

#include <utf8proc.h>

#define MAX_NORMALIZED                                                                             \
    (16 * LIMIT_TEXT_BYTES) /* a character becomes three at most, of four bytes */

void bert_scratch_release(struct bert_scratch *s)
{
    normalizer_release(&s->normalizer);
    buf_release(&s->cleaned);
    buf_release(&s->lowered);
}

static utf8proc_category_t category_of(uint32_t c)
{
    return utf8proc_category((utf8proc_int32_t)c);
}

/* The reference's words for white space: here by category, in bert_words by Unicode's property White_Space. */
static bool is_blank(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || c == '\t' || c == '\n' || c == '\r';
    const utf8proc_category_t k = category_of(c);
    return k == UTF8PROC_CATEGORY_ZS || k == UTF8PROC_CATEGORY_ZL || k == UTF8PROC_CATEGORY_ZP;
}

static bool is_white(uint32_t c)
{
    return (c >= '\t' && c <= '\r') || c == 0x85 || is_blank(c);
}

static bool is_dropped(uint32_t c)
{
    if (c < 0x80)
        return c < ' ' || c == 0x7F; /* after is_blank */
    const utf8proc_category_t k = category_of(c);
    return c == 0xFFFD || k == UTF8PROC_CATEGORY_CC || k == UTF8PROC_CATEGORY_CF ||
           k == UTF8PROC_CATEGORY_CO;
}

/* The blocks that BERT took for Chinese, of which one (U+2B820 to U+2B91F) was overlooked in `tokenizers`. */
static bool is_han(uint32_t c)
{
    return c >= 0x3400 &&
           (c <= 0x4DBF || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
            (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) ||
            (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0x2F800 && c <= 0x2FA1F));
}

static bool is_punctuation(uint32_t c)
{
    if (c < 0x80)
        return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
               (c >= '{' && c <= '~');
    switch (category_of(c)) {
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return true;
    default:
        return false;
    }
}

static void put_char(struct buf *b, uint32_t c)
{
    char bytes[4];

    buf_put(b, bytes, utf8_write(c, bytes));
}

static void begin(struct buf *b)
{
    b->max_bytes = MAX_NORMALIZED;
    buf_clear(b);
}

static bool ended(const struct buf *b, struct str *out, struct error *err)
{
    if (b->overflowed)
        return fail(err, ERR_NO_MEMORY, "no memory for %zu bytes of normalised text", b->len);
    *out = b->ptr == NULL ? STR("") : buf_view(b);
    return true;
}

static bool clean(const struct bert_normalizer *how, struct str in, struct buf *b, struct str *out,
                  struct error *err)
{
    begin(b);
    for (size_t at = 0; at < in.len;) {
        const uint32_t c = utf8_next(in, &at);

        if (how->clean && is_blank(c)) {
            buf_char(b, ' ');
        } else if (how->part_han && is_han(c)) {
            buf_char(b, ' ');
            put_char(b, c);
            buf_char(b, ' ');
        } else if (!how->clean || !is_dropped(c)) {
            put_char(b, c);
        }
    }
    return ended(b, out, err);
}

static bool lower(const struct bert_normalizer *how, struct str in, struct buf *b, struct str *out,
                  struct error *err)
{
    begin(b);
    for (size_t at = 0; at < in.len;) {
        uint32_t c = utf8_next(in, &at), small[3];
        size_t n = 1;

        if (how->strip_accents && c >= 0x300 && category_of(c) == UTF8PROC_CATEGORY_MN)
            continue;
        small[0] = c;
        if (how->lower && c < 0x80)
            small[0] = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
        else if (how->lower)
            n = jinja_map_case(JINJA_LOWER, c, small);
        for (size_t i = 0; i < n; i++)
            put_char(b, small[i]);
    }
    return ended(b, out, err);
}

bool bert_normalize(const struct bert_normalizer *how, struct bert_scratch *s, struct str in,
                    struct str *out, struct error *err)
{
    struct str text = in;

    if (((how->clean || how->part_han) && !clean(how, text, &s->cleaned, &text, err)) ||
        (how->strip_accents && !normalize(&s->normalizer, NORMAL_NFD, text, &text, err)) ||
        ((how->strip_accents || how->lower) && !lower(how, text, &s->lowered, &text, err)))
        return false;
    *out = text;
    return true;
}

bool bert_words(struct str text, piece_fn *fn, void *ctx, struct error *err)
{
    size_t from = 0; /* text[from..at) is a word that has begun */

    for (size_t at = 0; at < text.len;) {
        size_t next = at;
        const uint32_t c = utf8_next(text, &next);
        const bool mark = is_punctuation(c);

        if (mark || is_white(c)) {
            if (from < at && !fn(ctx, (struct str){text.ptr + from, at - from}, err))
                return false;
            if (mark && !fn(ctx, (struct str){text.ptr + at, next - at}, err))
                return false;
            from = next;
        }
        at = next;
    }
    return from == text.len || fn(ctx, str_from(text, from), err);
}

bool wordpiece_build(struct wordpiece *w, const struct str *spelling, size_t n, struct str prefix,
                     struct arena *a, struct error *err)
{
    struct str *later = arena_try(a, n, sizeof *later, "the tokenizer's tokens", err);
    token_id before;

    if (later == NULL || !text_table_init(&w->first, spelling, n, a, err) ||
        !text_table_init(&w->later, later, n, a, err))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (spelling[i].ptr == NULL)
            continue;
        if (!text_table_put(&w->first, (token_id)i, &before, err))
            return false;
        w->first_bytes = size_max(w->first_bytes, spelling[i].len);
        if (!str_starts(spelling[i], prefix))
            continue;
        later[i] = str_from(spelling[i], prefix.len);
        if (!text_table_put(&w->later, (token_id)i, &before, err))
            return false;
        w->later_bytes = size_max(w->later_bytes, later[i].len);
    }
    return true;
}

static bool is_too_long(const struct wordpiece *w, struct str word)
{
    size_t n = 0;

    if (word.len <= w->max_chars)
        return false;
    for (size_t at = 0; at < word.len && n <= w->max_chars; n++)
        (void)utf8_next(word, &at);
    return n > w->max_chars;
}

/* The longest token at word[from..), and where it ends; -1: there is none. */
static token_id longest(const struct wordpiece *w, struct str word, size_t from, size_t *end)
{
    const struct text_table *t = from == 0 ? &w->first : &w->later;
    size_t to = from + (from == 0 ? w->first_bytes : w->later_bytes);

    if (to >= word.len)
        to = word.len;
    else
        while (((unsigned char)word.ptr[to] & 0xC0) == 0x80)
            to--; /* not in the middle of a character */
    for (; to > from; to = utf8_before(word, to)) {
        const token_id id = text_table_find(t, (struct str){word.ptr + from, to - from});

        if (id >= 0) {
            *end = to;
            return id;
        }
    }
    return -1;
}

bool wordpiece_encode(const struct wordpiece *w, struct str word, struct token_list *out,
                      struct error *err)
{
    const size_t n_before = out->n;
    bool known = !is_too_long(w, word);

    for (size_t at = 0; known && at < word.len;) {
        const token_id id = longest(w, word, at, &at);

        known = id >= 0;
        if (known) {
            if (!token_list_reserve(out, 1, err))
                return false;
            out->ids[out->n++] = id;
        }
    }
    if (known)
        return true;
    out->n = n_before;
    if (!token_list_reserve(out, 1, err))
        return false;
    out->ids[out->n++] = w->unknown;
    return true;
}
