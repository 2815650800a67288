/*
 * parallel.c - OpenMP behind parallel.h.
 */
#include "base/parallel.h"

#include <omp.h>

void parallel_set_threads(int n)
{
    omp_set_num_threads(n > 0 ? n : omp_get_num_procs());
}

int parallel_threads(void)
{
    return omp_get_max_threads();
}

void parallel_for(size_t n_units, parallel_fn *fn, void *ctx)
{
    if (n_units == 0)
        return;
    if (n_units == 1 || omp_get_max_threads() == 1) {
        for (size_t i = 0; i < n_units; i++)
            fn(ctx, i, 0);
        return;
    }
#pragma omp parallel for schedule(dynamic, 1)
    for (size_t i = 0; i < n_units; i++)
        fn(ctx, i, omp_get_thread_num());
}
