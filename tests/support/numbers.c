/*
 * numbers.c - random floats, comparisons.
 */
#include "support/numbers.h"

#include <math.h>

uint64_t dice_roll(struct dice *d)
{
    uint64_t z = d->state += 0x9E3779B97F4A7C15u;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
}

size_t dice_below(struct dice *d, size_t n)
{
    return (size_t)(dice_roll(d) % n);
}

float dice_float(struct dice *d, float from, float to)
{
    return from + (to - from) * ((float)(dice_roll(d) >> 40) * 0x1p-24f);
}

static float wide(struct dice *d)
{
    float x;

    do
        x = float_of_bits((uint32_t)dice_roll(d));
    while (!isfinite(x));
    return x;
}

static float special(struct dice *d)
{
    static const float chosen[] = {0,           -0.0f, 0x1p-149f, -0x1p-149f,      0x1p-126f,
                                   0x1.8p-130f, 1,     -1,        0x1.fffffep127f, INFINITY,
                                   -INFINITY,   NAN,   88.3f,     -87.3f};
    const size_t n = sizeof chosen / sizeof *chosen, i = dice_below(d, 2 * n);

    return i < n ? chosen[i] : dice_float(d, -4, 4);
}

void dice_fill(struct dice *d, enum flavour f, float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = f == ORDINARY ? dice_float(d, -2, 2) * dice_float(d, 0, 2)
               : f == WIDE   ? wide(d)
                             : special(d);
}

size_t first_difference(size_t n, const float *a, const float *b)
{
    size_t i = 0;

    while (i < n && float_same(a[i], b[i]))
        i++;
    return i;
}

double largest_difference(size_t n, const float *a, const float *b)
{
    double most = 0;

    for (size_t i = 0; i < n; i++) {
        const double d = fabs((double)a[i] - (double)b[i]);

        if (isnan(d))
            return (double)INFINITY;
        most = d > most ? d : most;
    }
    return most;
}

double relative_difference(size_t n, const float *a, const float *b)
{
    double most = 0;

    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)b[i]));
    return largest_difference(n, a, b) / (most > 0 ? most : 1);
}
