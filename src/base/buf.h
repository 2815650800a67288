/*
 * buf.h - a growing byte buffer that is born with its greatest size.
 *
 * Appending past max_bytes sets overflowed and appends nothing more: check once at the end.
 */
#ifndef HONE_BASE_BUF_H
#define HONE_BASE_BUF_H

#include "base/error.h"
#include "base/str.h"

#include <stdint.h>

struct buf {
    char *ptr; /* owned; ended by a zero byte beyond len once anything was appended */
    size_t len, cap, max_bytes;
    bool overflowed;
};

void buf_init(struct buf *b, size_t max_bytes); /* takes no memory yet */
void buf_release(struct buf *b);                /* all zeros is fine */
void buf_clear(struct buf *b);                  /* empty, memory kept */
void buf_put(struct buf *b, const void *bytes, size_t n);
void buf_str(struct buf *b, struct str s);
/* s with `to` in the place of each `from`, from left to right; from is not empty. */
void buf_replaced(struct buf *b, struct str s, struct str from, struct str to);
void buf_text(struct buf *b, const char *zero_ended);
void buf_char(struct buf *b, char c);
void buf_printf(struct buf *b, const char *fmt, ...) PRINTF_LIKE(2, 3);
struct str buf_view(const struct buf *b); /* valid until the next append */
MUST_CHECK bool buf_ok(const struct buf *b, const char *what,
                       struct error *err); /* ERR_LIMIT when overflowed */
#endif
