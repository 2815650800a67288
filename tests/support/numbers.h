/*
 * numbers.h - floats for the tests of the numerical core: made from a seed, compared by their bits.
 */
#ifndef HONE_TESTS_NUMBERS_H
#define HONE_TESTS_NUMBERS_H

#include "support/support.h"

#include <string.h>

/* splitmix64: a stream of numbers, the same on every machine. */
struct dice {
    uint64_t state;
};
uint64_t dice_roll(struct dice *d);
size_t dice_below(struct dice *d, size_t n); /* 0..n-1 */
float dice_float(struct dice *d, float from, float to);

enum flavour {
    ORDINARY, /* about as large as what a model computes with */
    WIDE,     /* every magnitude that a float can have, subnormal ones too; finite */
    SPECIAL,  /* zeros of both signs, subnormals, infinities, NaN, and ordinary ones between them */
    N_FLAVOURS
};
void dice_fill(struct dice *d, enum flavour f, float *x, size_t n);

static inline uint32_t float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The same bits; any NaN is as good as another. */
static inline bool float_same(float a, float b)
{
    return float_bits(a) == float_bits(b) || (a != a && b != b);
}

/* Fails, naming what and the first place, unless all n are the same by float_same. */
#define ASSERT_SAME(what, n, got, want)                                                            \
    do {                                                                                           \
        const size_t at_ = first_difference((n), (got), (want));                                   \
        if (at_ < (size_t)(n))                                                                     \
            fail_msg("%s, value %zu of %zu: %.9g (%08x), expected %.9g (%08x)", what, at_,         \
                     (size_t)(n), (double)(got)[at_], float_bits((got)[at_]), (double)(want)[at_], \
                     float_bits((want)[at_]));                                                     \
    } while (0)
size_t first_difference(size_t n, const float *a, const float *b); /* n: none */

/* Largest |a - b|, and the same as a fraction of the largest |b|; NaN anywhere gives infinity. */
double largest_difference(size_t n, const float *a, const float *b);
double relative_difference(size_t n, const float *a, const float *b);
#endif
