/*
 * str.c - searching in text views, and their hash.
 */
#include "base/str.h"

struct str str_trim(struct str s, const char *blanks)
{
    const size_t n = strlen(blanks);

    while (s.len > 0 && memchr(blanks, s.ptr[0], n) != NULL)
        s = str_from(s, 1);
    while (s.len > 0 && memchr(blanks, s.ptr[s.len - 1], n) != NULL)
        s.len--;
    return s;
}

int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

size_t str_find(struct str s, struct str needle, size_t from)
{
    if (needle.len == 0)
        return from <= s.len ? from : s.len;
    if (from >= s.len)
        return s.len;
    const char *hit = memmem(s.ptr + from, s.len - from, needle.ptr, needle.len);
    return hit == NULL ? s.len : (size_t)(hit - s.ptr);
}

uint64_t str_hash(struct str s)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < s.len; i++)
        h = (h ^ (unsigned char)s.ptr[i]) * 0x100000001b3u;
    return h ^
           h >> 32; /* its lower bits, which tables take, depend on all bytes' lower bits alone */
}
