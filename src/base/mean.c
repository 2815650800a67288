/*
 * mean.c - two passes, so that no large sums are subtracted from each other.
 */
#include "base/mean.h"

#include <math.h>

static double at(size_t i, const double *from, const double *to)
{
    return from != NULL ? to[i] - from[i] : to[i];
}

struct mean mean_of_differences(size_t n, const double *from, const double *to)
{
    struct mean m = {0};
    double squares = 0;

    for (size_t i = 0; i < n; i++)
        m.mean += at(i, from, to) / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (at(i, from, to) - m.mean) * (at(i, from, to) - m.mean);
    m.error = n > 1 ? sqrt(squares / (double)(n - 1) / (double)n) : 0;
    m.ci95 = 1.96 * m.error;
    return m;
}

struct mean mean_of(size_t n, const double *x)
{
    return mean_of_differences(n, NULL, x);
}
