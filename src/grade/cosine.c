/*
 * cosine.c - three sums.
 */
#include "grade/cosine.h"

#include <math.h>

double cosine_similarity(size_t n, const float *a, const float *b)
{
    double ab = 0, aa = 0, bb = 0;

    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * (double)b[i];
        aa += (double)a[i] * (double)a[i];
        bb += (double)b[i] * (double)b[i];
    }
    if (!(aa > 0 && bb > 0))
        return 0;
    const double c = ab / (sqrt(aa) * sqrt(bb));
    return c < 0 ? 0 : c > 1 - 1e-15 ? 1 : c; /* sqrt(x) sqrt(x) may miss x by its last digit */
}
