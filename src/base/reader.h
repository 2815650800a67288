/*
 * reader.h - the one bounded reader of hostile little-endian bytes.
 *
 * After the first short read it stays failed and gives zeros, so that a record is read in one go and checked once.
 */
#ifndef HONE_BASE_READER_H
#define HONE_BASE_READER_H

#include "base/str.h"

#include <stdint.h>

struct reader {
    const uint8_t *ptr;
    size_t len, pos;
    bool failed;
};

static inline struct reader reader_of(const void *ptr, size_t len)
{
    return (struct reader){.ptr = ptr, .len = len};
}

/* The next n bytes, or NULL with failed set. */
static inline const void *reader_bytes(struct reader *r, uint64_t n)
{
    if (r->failed || n > r->len - r->pos) {
        r->failed = true;
        return NULL;
    }
    const void *p = r->ptr + r->pos;
    r->pos += (size_t)n;
    return p;
}

#define READER_NUMBER(name, type)                                                                  \
    static inline type reader_##name(struct reader *r)                                             \
    {                                                                                              \
        type value = 0;                                                                            \
        const void *p = reader_bytes(r, sizeof value);                                             \
                                                                                                   \
        if (p != NULL)                                                                             \
            memcpy(&value, p, sizeof value);                                                       \
        return value;                                                                              \
    }
READER_NUMBER(u8, uint8_t)
READER_NUMBER(i8, int8_t)
READER_NUMBER(u16, uint16_t)
READER_NUMBER(i16, int16_t)
READER_NUMBER(u32, uint32_t)
READER_NUMBER(i32, int32_t)
READER_NUMBER(u64, uint64_t)
READER_NUMBER(i64, int64_t)
READER_NUMBER(f32, float)
READER_NUMBER(f64, double)
#undef READER_NUMBER

/* A length of 64 bits, then that many bytes. */
static inline struct str reader_str64(struct reader *r)
{
    const uint64_t n = reader_u64(r);
    const char *p = reader_bytes(r, n);

    return p == NULL ? (struct str){"", 0} : (struct str){p, (size_t)n};
}
#endif
