/*
 * wordpiece.c - three loops over characters, and look-ups in two tables.
 */
#include "text/wordpiece.h"
#include "base/size.h"
#include "text/characters.h"
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

/*
 * Format characters, nonspacing marks and punctuation that came after Unicode 8, the one that the reference's classes are
 * of: to it they are letters like others. By comparing it with utf8proc 2.8 (Unicode 15), character by character.
 */
static const struct char_range young[] = {
    {0x61D, 0x61D},     {0x7FD, 0x7FD},     {0x890, 0x891},     {0x898, 0x89F},
    {0x8CA, 0x8E2},     {0x9FD, 0x9FE},     {0xA76, 0xA76},     {0xAFA, 0xAFF},
    {0xB55, 0xB55},     {0xC04, 0xC04},     {0xC3C, 0xC3C},     {0xC77, 0xC77},
    {0xC84, 0xC84},     {0xD00, 0xD00},     {0xD3B, 0xD3C},     {0xD81, 0xD81},
    {0xEBA, 0xEBA},     {0xECE, 0xECE},     {0x180F, 0x180F},   {0x1885, 0x1886},
    {0x1ABF, 0x1ACE},   {0x1B7D, 0x1B7E},   {0x1DF6, 0x1DFB},   {0x2E43, 0x2E4F},
    {0x2E52, 0x2E5D},   {0xA82C, 0xA82C},   {0xA8C5, 0xA8C5},   {0xA8FF, 0xA8FF},
    {0xA9BD, 0xA9BD},   {0x10D24, 0x10D27}, {0x10EAB, 0x10EAD}, {0x10EFD, 0x10EFF},
    {0x10F46, 0x10F50}, {0x10F55, 0x10F59}, {0x10F82, 0x10F89}, {0x11070, 0x11070},
    {0x11073, 0x11074}, {0x110C2, 0x110C2}, {0x110CD, 0x110CD}, {0x111CF, 0x111CF},
    {0x1123E, 0x1123E}, {0x11241, 0x11241}, {0x1133B, 0x1133B}, {0x11438, 0x1143F},
    {0x11442, 0x11444}, {0x11446, 0x11446}, {0x1144B, 0x1144F}, {0x1145A, 0x1145B},
    {0x1145D, 0x1145E}, {0x11660, 0x1166C}, {0x116B9, 0x116B9}, {0x1182F, 0x11837},
    {0x11839, 0x1183B}, {0x1193B, 0x1193C}, {0x1193E, 0x1193E}, {0x11943, 0x11946},
    {0x119D4, 0x119D7}, {0x119DA, 0x119DB}, {0x119E0, 0x119E0}, {0x119E2, 0x119E2},
    {0x11A01, 0x11A0A}, {0x11A33, 0x11A38}, {0x11A3B, 0x11A47}, {0x11A51, 0x11A56},
    {0x11A59, 0x11A5B}, {0x11A8A, 0x11A96}, {0x11A98, 0x11A9C}, {0x11A9E, 0x11AA2},
    {0x11B00, 0x11B09}, {0x11C30, 0x11C36}, {0x11C38, 0x11C3D}, {0x11C3F, 0x11C3F},
    {0x11C41, 0x11C45}, {0x11C70, 0x11C71}, {0x11C92, 0x11CA7}, {0x11CAA, 0x11CB0},
    {0x11CB2, 0x11CB3}, {0x11CB5, 0x11CB6}, {0x11D31, 0x11D36}, {0x11D3A, 0x11D3A},
    {0x11D3C, 0x11D3D}, {0x11D3F, 0x11D45}, {0x11D47, 0x11D47}, {0x11D90, 0x11D91},
    {0x11D95, 0x11D95}, {0x11D97, 0x11D97}, {0x11EF3, 0x11EF4}, {0x11EF7, 0x11EF8},
    {0x11F00, 0x11F01}, {0x11F36, 0x11F3A}, {0x11F40, 0x11F40}, {0x11F42, 0x11F4F},
    {0x11FFF, 0x11FFF}, {0x12FF1, 0x12FF2}, {0x13430, 0x13440}, {0x13447, 0x13455},
    {0x16E97, 0x16E9A}, {0x16F4F, 0x16F4F}, {0x16FE2, 0x16FE2}, {0x16FE4, 0x16FE4},
    {0x1CF00, 0x1CF2D}, {0x1CF30, 0x1CF46}, {0x1E000, 0x1E006}, {0x1E008, 0x1E018},
    {0x1E01B, 0x1E021}, {0x1E023, 0x1E024}, {0x1E026, 0x1E02A}, {0x1E08F, 0x1E08F},
    {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF},
    {0x1E944, 0x1E94A}, {0x1E95E, 0x1E95F}};

enum kind { OTHER, BLANK, DROPPED, MARK, PUNCTUATION };

static bool is_young(uint32_t c)
{
    return char_in(c, young, COUNT_OF(young));
}

static enum kind class_of_ascii(uint32_t c)
{
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
        return BLANK;
    if (c < ' ' || c == 0x7F)
        return DROPPED;
    return (c >= '!' && c <= '/') || (c >= ':' && c <= '@') || (c >= '[' && c <= '`') ||
                   (c >= '{' && c <= '~')
               ? PUNCTUATION
               : OTHER;
}

/* As the reference sees it. */
static enum kind class_of(uint32_t c)
{
    if (c < 0x80)
        return class_of_ascii(c);
    if (c == 0x166D || c == 0x111C9) /* three have changed since Unicode 8 */
        return PUNCTUATION;
    if (c == 0x1734)
        return MARK;
    if (c == 0xFFFD)
        return DROPPED;
    enum kind k = OTHER;
    switch (utf8proc_category((utf8proc_int32_t)c)) {
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
        return BLANK;
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CO:
        k = DROPPED;
        break;
    case UTF8PROC_CATEGORY_MN:
        k = MARK;
        break;
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        k = PUNCTUATION;
        break;
    default:
        break;
    }
    return k != OTHER && is_young(c) ? OTHER : k;
}

/* What parts words: Unicode's property White_Space, which has some control characters, too. */
static bool is_white(uint32_t c, enum kind k)
{
    return k == BLANK || (c >= '\t' && c <= '\r') || c == 0x85;
}

/* The blocks that BERT took for Chinese, of which `tokenizers` lost the beginning of one, U+2B820 to U+2B91F. */
static bool is_han(uint32_t c)
{
    return c >= 0x3400 &&
           (c <= 0x4DBF || (c >= 0x4E00 && c <= 0x9FFF) || (c >= 0xF900 && c <= 0xFAFF) ||
            (c >= 0x20000 && c <= 0x2A6DF) || (c >= 0x2A700 && c <= 0x2B81F) ||
            (c >= 0x2B920 && c <= 0x2CEAF) || (c >= 0x2F800 && c <= 0x2FA1F));
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
        const enum kind k = how->clean ? class_of(c) : OTHER;

        if (k == BLANK) {
            buf_char(b, ' ');
        } else if (how->part_han && is_han(c)) {
            buf_char(b, ' ');
            put_char(b, c);
            buf_char(b, ' ');
        } else if (k != DROPPED) {
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

        if (how->strip_accents && c >= 0x300 && class_of(c) == MARK)
            continue;
        small[0] = c;
        if (how->lower && c < 0x80)
            small[0] = c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c;
        else if (how->lower)
            n = char_lower(c, small);
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

bool bert_is_punctuation(uint32_t c)
{
    return class_of(c) == PUNCTUATION;
}

bool bert_words(struct str text, piece_fn *fn, void *ctx, struct error *err)
{
    size_t from = 0; /* text[from..at) is a word that has begun */

    for (size_t at = 0; at < text.len;) {
        size_t next = at;
        const uint32_t c = utf8_next(text, &next);
        const enum kind k = class_of(c);
        const bool mark = k == PUNCTUATION;

        if (mark || is_white(c, k)) {
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
