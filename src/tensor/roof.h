/*
 * roof.h - what this machine can do at most: how fast its threads together read memory, and multiply.
 *
 * Measured with the instructions of the kernels in force and on the threads that compute (parallel_threads()), some forty times
 * for some thousandths of a second each; every thread looks at the clock itself, and a rate is the work of all threads over the
 * time from the first one's beginning to the last one's end. So a thread that is held up by other programs lowers it: the best
 * of them is the limit, the median says how much of it was there. No loop does anything else than what is measured, so what
 * a model computes cannot be faster (Williams, Waterman, Patterson, "Roofline", CACM 52(4), 2009).
 */
#ifndef HONE_TENSOR_ROOF_H
#define HONE_TENSOR_ROOF_H

#include "base/error.h"

#include <stddef.h>

#define ROOF_LEAST_BYTES ((size_t)1 << 20) /* a smaller buffer is made as large as this */

struct roof_rate {
    double best, median, least;
};

struct roof {
    size_t buffer_bytes;   /* that were read again and again, each thread its own part */
    struct roof_rate read; /* bytes a second */
    struct roof_rate f32;  /* operations a second on floats, a fused multiply-add counting as two */
    struct roof_rate
        bf16; /* the same on bfloats that are summed in floats; f32's where a machine has no instruction for them */
    /* The same on bytes whose products are summed in whole numbers: weights of five bits at most, and of eight, whose sums have
       room in fewer places (where there is VNNI, as fast). */
    struct roof_rate int8, int8_wide;
};

/*
 * buffer_bytes: of what is to be read, such as a model's weights; what fits a cache is read from there, here as there. Takes
 * about a second. Fails with ERR_NO_MEMORY, and with ERR_UNSUPPORTED for kernels
 * that nobody has written loops for.
 */
MUST_CHECK bool roof_measure(size_t buffer_bytes, struct roof *out, struct error *err);
#endif
