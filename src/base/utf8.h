/*
 * utf8.h - bytes <-> characters, for bytes that may be anything.
 *
 * UTF-8 as the Unicode Standard has it (chapter 3, table 3-7): no surrogates, no overlong forms, nothing past U+10FFFF.
 * Where bytes form no character, each longest beginning of one becomes a U+FFFD, as in Rust's from_utf8_lossy and in
 * Python's bytes.decode("utf-8", errors="replace").
 */
#ifndef HONE_BASE_UTF8_H
#define HONE_BASE_UTF8_H

#include "base/buf.h"

#include <stdint.h>

/* How many bytes at the start of s are whole, valid characters: s.len when all are. */
size_t utf8_valid(struct str s);

/* The character at s.ptr[*at], which must be valid there; moves *at past it. */
static inline uint32_t utf8_next(struct str s, size_t *at)
{
    const unsigned char *p = (const unsigned char *)s.ptr + *at;

    if (p[0] < 0x80) {
        *at += 1;
        return p[0];
    }
    if (p[0] < 0xE0) {
        *at += 2;
        return (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
    }
    if (p[0] < 0xF0) {
        *at += 3;
        return (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    }
    *at += 4;
    return (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
}

/* Where the character before s.ptr[at] begins; at > 0, and s valid up to there. */
static inline size_t utf8_before(struct str s, size_t at)
{
    do
        at--;
    while (at > 0 && ((unsigned char)s.ptr[at] & 0xC0) == 0x80);
    return at;
}

/* The first most bytes of s, or a few less where that would tear a character. */
static inline struct str utf8_cut(struct str s, size_t most)
{
    if (most >= s.len)
        return s;
    for (int i = 0; i < 3 && most > 0 && ((unsigned char)s.ptr[most] & 0xC0) == 0x80; i++)
        most--;
    return (struct str){s.ptr, most};
}

/* Writes c (at most U+10FFFF) and returns how many bytes that took, 1 to 4. */
size_t utf8_write(uint32_t c, char out[4]);

/* Streaming: bytes in, whole characters out; what may still become a character waits (at most 3 bytes). */
struct utf8_stream { /* all zeros is the beginning */
    unsigned char held[4];
    size_t n_held;
};
void utf8_stream_put(struct utf8_stream *s, struct str bytes, struct buf *out);
void utf8_stream_end(struct utf8_stream *s,
                     struct buf *out); /* what waits in vain becomes U+FFFD */
#endif
