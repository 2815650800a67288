/*
 * mean.h - a mean, and how far from the true one it may be.
 */
#ifndef HONE_BASE_MEAN_H
#define HONE_BASE_MEAN_H

#include <stddef.h>

struct mean {
    double mean;
    double error; /* its standard error: the sample's deviation / sqrt(n); 0 of fewer than two */
    double ci95;  /* half the width of its 95 % interval, as if normal: 1.96 errors */
};
struct mean mean_of(size_t n, const double *x);
struct mean mean_of_differences(size_t n, const double *from, const double *to); /* to - from */
#endif
