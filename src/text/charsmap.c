/*
 * charsmap.c - a walk along a double array for each grapheme cluster, and utf8proc to find where clusters end.
 */
#include "text/charsmap.h"
#include "base/utf8.h"

#include <utf8proc.h>

#define CLUSTER_BYTES 6 /* clusters of so many bytes are looked up character by character */

static uint32_t u32_at(const char *p)
{
    const unsigned char *b = (const unsigned char *)p;

    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

bool charsmap_build(struct charsmap *m, struct str bytes, struct arena *a, struct error *err)
{
    if (bytes.len > LIMIT_CHARSMAP_BYTES)
        return fail(err, ERR_LIMIT, "a precompiled_charsmap of %zu bytes, at most %zu are allowed",
                    bytes.len, LIMIT_CHARSMAP_BYTES);
    const uint32_t size = bytes.len < 4 ? 0 : u32_at(bytes.ptr);

    if (bytes.len < 4 || size % 4 != 0 || size == 0 || size > bytes.len - 4)
        return fail(err, ERR_CORRUPT,
                    "the precompiled_charsmap has %zu bytes, which its table does not fit into",
                    bytes.len);
    const struct str texts = str_from(bytes, 4 + (size_t)size);
    if (utf8_valid(texts) != texts.len)
        return fail(err, ERR_CORRUPT, "the precompiled_charsmap's texts are not UTF-8");
    uint32_t *units = arena_try(a, size / 4, sizeof *units, "the precompiled_charsmap", err);
    if (units == NULL)
        return false;
    for (size_t i = 0; i < size / 4; i++)
        units[i] = u32_at(bytes.ptr + 4 + 4 * i);
    *m = (struct charsmap){.units = units, .n_units = size / 4, .texts = arena_str(a, texts)};
    return true;
}

static int base64_digit(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

bool charsmap_build_base64(struct charsmap *m, struct str base64, struct arena *a,
                           struct error *err)
{
    if (base64.len > 2 * LIMIT_CHARSMAP_BYTES)
        return fail(err, ERR_LIMIT, "a precompiled_charsmap of %zu characters is too long",
                    base64.len);
    char *bytes = arena_try(a, base64.len + 1, 1, "the precompiled_charsmap", err);
    uint32_t held = 0;
    size_t n = 0, bits = 0;

    if (bytes == NULL)
        return false;
    while (base64.len > 0 && base64.ptr[base64.len - 1] == '=')
        base64.len--;
    for (size_t i = 0; i < base64.len; i++) {
        const int digit = base64_digit(base64.ptr[i]);

        if (digit < 0)
            return fail(err, ERR_CORRUPT, "the precompiled_charsmap is not base64 at character %zu",
                        i);
        held = (held << 6 | (uint32_t)digit) & 0xFFFF;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            bytes[n++] = (char)(held >> bits & 0xFF);
        }
    }
    return charsmap_build(m, (struct str){bytes, n}, a, err);
}

static uint32_t offset_of(uint32_t unit)
{
    return unit >> 10 << ((unit & (1u << 9)) >> 6);
}

/* What stands for the shortest entry that part begins with; ptr NULL: there is none. */
static struct str text_for(const struct charsmap *m, struct str part)
{
    uint32_t at = offset_of(m->units[0]);

    for (size_t i = 0; i < part.len; i++) {
        const uint32_t byte = (unsigned char)part.ptr[i];

        at ^= byte;
        if (byte == 0 || at >= m->n_units || (m->units[at] & (1u << 31 | 0xFF)) != byte)
            break;
        const bool has_leaf = (m->units[at] >> 8 & 1) != 0;
        at ^= offset_of(m->units[at]);
        if (!has_leaf)
            continue;
        const size_t from = at < m->n_units ? m->units[at] & 0x7FFFFFFF : m->texts.len + 1;
        if (from > m->texts.len ||
            (from < m->texts.len && ((unsigned char)m->texts.ptr[from] & 0xC0) == 0x80))
            break; /* no file of SentencePiece's has such a place */
        const struct str rest = str_from(m->texts, from);
        return (struct str){rest.ptr, str_find(rest, STR("\0"), 0)};
    }
    return (struct str){NULL, 0};
}

static void put_part(const struct charsmap *m, struct str part, struct buf *out)
{
    const struct str text = text_for(m, part);

    buf_str(out, text.ptr == NULL ? part : text);
}

static size_t cluster_end(struct str in, size_t at)
{
    utf8proc_int32_t state = 0;
    uint32_t c = utf8_next(in, &at);

    while (at < in.len) {
        size_t next = at;
        const uint32_t d = utf8_next(in, &next);

        if (c < 0x80 && d < 0x80 && !(c == '\r' && d == '\n'))
            break; /* most text: without a look at the tables */
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)c, (utf8proc_int32_t)d, &state))
            break;
        at = next;
        c = d;
    }
    return at;
}

void charsmap_apply(const struct charsmap *m, struct str in, struct buf *out)
{
    for (size_t from = 0, to; from < in.len; from = to) {
        to = cluster_end(in, from);
        if (to - from < CLUSTER_BYTES) {
            const struct str text = text_for(m, (struct str){in.ptr + from, to - from});

            if (text.ptr != NULL) {
                buf_str(out, text);
                continue;
            }
        }
        for (size_t at = from; at < to;) {
            const size_t start = at;

            (void)utf8_next(in, &at);
            put_part(m, (struct str){in.ptr + start, at - start}, out);
        }
    }
}
