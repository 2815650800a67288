/*
 * roof_internal.h - the loops that roof.c times, by the name of the kernels whose instructions they are made of.
 */
#ifndef HONE_TENSOR_CPU_ROOF_INTERNAL_H
#define HONE_TENSOR_CPU_ROOF_INTERNAL_H

#include <stddef.h>

#define ROOF_CHUNK ((size_t)256 << 10) /* bytes that read is given at a time */

struct roof_loops {
    const char *kernels;            /* as in struct kernels */
    double (*read)(const void *at); /* ROOF_CHUNK bytes at a multiple of 64; returns their number */
    double (*f32)(void);  /* some 10 to 100 microseconds of it; each returns operations done */
    double (*bf16)(void); /* f32 where there are no instructions of its own */
    double (*int8)(void);
    double (*int8_wide)(void);
};

/* NULL: there are none for kernels of this name. */
const struct roof_loops *roof_loops_plain(const char *kernels);
const struct roof_loops *roof_loops_x86(const char *kernels); /* NULL on other machines */
#endif
