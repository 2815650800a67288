/*
 * utf8.c - one small machine that knows which byte may follow; validity and streaming both ask it.
 */
#include "base/utf8.h"

#define REPLACEMENT "\xEF\xBF\xBD"

/* Bytes of the character that lead begins: 1 to 4, or 0 where no character begins so. */
static size_t length_of(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead < 0xC2)
        return 0;
    return lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : lead < 0xF5 ? 4 : 0;
}

/* May b be byte number at (1, 2 or 3) of a character that lead begins? */
static bool may_follow(unsigned char lead, size_t at, unsigned char b)
{
    unsigned char low = 0x80, high = 0xBF;

    if (at == 1) { /* only the second byte can make a form overlong, a surrogate or too large */
        low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
        high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
    }
    return b >= low && b <= high;
}

/* Length of the run of ASCII at p, looked at in words. */
static size_t ascii_run(const unsigned char *p, size_t n)
{
    size_t i = 0;

    for (uint64_t word; n - i >= sizeof word; i += sizeof word) {
        memcpy(&word, p + i, sizeof word);
        if ((word & 0x8080808080808080u) != 0)
            break;
    }
    while (i < n && p[i] < 0x80)
        i++;
    return i;
}

size_t utf8_valid(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;
    size_t i = 0;

    while (i < s.len) {
        if (p[i] < 0x80) {
            i += ascii_run(p + i, s.len - i);
            continue;
        }
        const size_t n = length_of(p[i]);

        if (n == 0 || n > s.len - i)
            return i;
        for (size_t k = 1; k < n; k++)
            if (!may_follow(p[i], k, p[i + k]))
                return i;
        i += n;
    }
    return i;
}

size_t utf8_write(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xC0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3F));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xE0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3F));
        out[2] = (char)(0x80 | (c & 0x3F));
        return 3;
    }
    out[0] = (char)(0xF0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3F));
    out[2] = (char)(0x80 | (c >> 6 & 0x3F));
    out[3] = (char)(0x80 | (c & 0x3F));
    return 4;
}

void utf8_stream_put(struct utf8_stream *s, struct str bytes, struct buf *out)
{
    const unsigned char *p = (const unsigned char *)bytes.ptr;
    size_t i = 0;

    while (i < bytes.len) {
        if (s->n_held == 0) {
            /* the characters that are whole here need not pass through held */
            const size_t whole = utf8_valid((struct str){bytes.ptr + i, bytes.len - i});

            buf_put(out, bytes.ptr + i, whole);
            i += whole;
            if (i == bytes.len)
                return;
            if (length_of(p[i]) == 0)
                buf_text(out, REPLACEMENT);
            else
                s->held[s->n_held++] = p[i];
            i++;
        } else if (may_follow(s->held[0], s->n_held, p[i])) {
            s->held[s->n_held++] = p[i++];
            if (s->n_held == length_of(s->held[0])) {
                buf_put(out, s->held, s->n_held);
                s->n_held = 0;
            }
        } else { /* p[i] is looked at again: it may begin a character */
            buf_text(out, REPLACEMENT);
            s->n_held = 0;
        }
    }
}

void utf8_stream_end(struct utf8_stream *s, struct buf *out)
{
    if (s->n_held > 0)
        buf_text(out, REPLACEMENT);
    s->n_held = 0;
}
