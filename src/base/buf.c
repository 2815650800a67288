/*
 * buf.c - doubles its memory up to the greatest size.
 */
#include "base/buf.h"
#include "base/size.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *b, size_t max_bytes)
{
    *b = (struct buf){.max_bytes = max_bytes};
}

void buf_release(struct buf *b)
{
    free(b->ptr);
    *b = (struct buf){.max_bytes = b->max_bytes};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->overflowed = false;
    if (b->ptr != NULL)
        b->ptr[0] = '\0';
}

/* room for n more bytes and the zero */
static bool reserve(struct buf *b, size_t n)
{
    if (b->overflowed || n > b->max_bytes || b->len > b->max_bytes - n) {
        b->overflowed = true;
        return false;
    }
    if (b->len + n + 1 > b->cap) {
        size_t cap = size_max(size_max(64, b->len + n + 1), size_min(b->cap * 2, b->max_bytes + 1));
        char *p = realloc(b->ptr, cap);

        if (p == NULL) {
            b->overflowed = true;
            return false;
        }
        b->ptr = p;
        b->cap = cap;
    }
    return true;
}

void buf_put(struct buf *b, const void *bytes, size_t n)
{
    if (!reserve(b, n))
        return;
    if (n > 0)
        memcpy(b->ptr + b->len, bytes, n);
    b->len += n;
    b->ptr[b->len] = '\0';
}

void buf_str(struct buf *b, struct str s)
{
    buf_put(b, s.ptr, s.len);
}

void buf_replaced(struct buf *b, struct str s, struct str from, struct str to)
{
    for (size_t at = 0; at <= s.len;) {
        const size_t hit = str_find(s, from, at);

        buf_put(b, s.ptr + at, hit - at);
        if (hit == s.len)
            break;
        buf_str(b, to);
        at = hit + from.len;
    }
}

void buf_text(struct buf *b, const char *zero_ended)
{
    buf_str(b, str_of(zero_ended));
}

void buf_char(struct buf *b, char c)
{
    buf_put(b, &c, 1);
}

void buf_printf(struct buf *b, const char *fmt, ...)
{
    va_list ap, again;

    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0 && reserve(b, (size_t)n)) {
        vsnprintf(b->ptr + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    va_end(ap);
}

struct str buf_view(const struct buf *b)
{
    return (struct str){b->ptr == NULL ? "" : b->ptr, b->len};
}

bool buf_ok(const struct buf *b, const char *what, struct error *err)
{
    if (b->overflowed)
        return fail(err, ERR_LIMIT, "%s is longer than the %zu bytes allowed", what, b->max_bytes);
    return true;
}
