/*
 * size.h - products and sums of numbers that came from outside, checked.
 */
#ifndef HONE_BASE_SIZE_H
#define HONE_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* *out = a * b, or false where that does not fit. */
static inline bool size_mul(uint64_t a, uint64_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

/* *out = a + b, or false where that does not fit. */
static inline bool size_add(uint64_t a, uint64_t b, size_t *out)
{
    return !__builtin_add_overflow(a, b, out);
}

static inline size_t size_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline size_t size_max(size_t a, size_t b)
{
    return a > b ? a : b;
}

/* n rounded up to a multiple of unit (> 0). */
static inline size_t size_round_up(size_t n, size_t unit)
{
    return (n + unit - 1) / unit * unit;
}

#define COUNT_OF(array) (sizeof(array) / sizeof *(array))
#endif
