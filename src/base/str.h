/*
 * str.h - text as a view: pointer and length, not ended by a zero byte, living as long as its source.
 */
#ifndef HONE_BASE_STR_H
#define HONE_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct str {
    const char *ptr;
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})
#define STR_SPACE " \t\n\v\f\r" /* what isspace has */
#define STR_FMT "%.*s"
#define STR_ARG(s) (int)(s).len, (s).ptr

static inline struct str str_of(const char *zero_ended)
{
    return (struct str){zero_ended, zero_ended == NULL ? 0 : strlen(zero_ended)};
}

static inline bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

static inline bool str_is(struct str a, const char *zero_ended)
{
    return str_eq(a, str_of(zero_ended));
}

static inline bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq((struct str){s.ptr, prefix.len}, prefix);
}

/* The part from at (0..len) to the end. */
static inline struct str str_from(struct str s, size_t at)
{
    return (struct str){at == 0 ? s.ptr : s.ptr + at,
                        s.len - at}; /* NULL + 0 is not defined in C17 */
}

static inline bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len && str_eq(str_from(s, s.len - suffix.len), suffix);
}

/* Without those bytes of blanks that stand at its ends. */
struct str str_trim(struct str s, const char *blanks);

/* 0 to 15; -1: it is no hexadecimal digit. */
int hex_digit(char c);

/* Position of needle in s at or after from; s.len where there is none. */
size_t str_find(struct str s, struct str needle, size_t from);

/*
 * FNV-1a (Fowler, Noll, Vo; draft-eastlake-fnv), its halves joined: texts that differ by chance have other hashes. Not for
 * whoever chooses texts that collide.
 */
uint64_t str_hash(struct str s);
#endif
