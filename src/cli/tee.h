/*
 * tee.h - what one run tells, told to several.
 */
#ifndef HONE_CLI_TEE_H
#define HONE_CLI_TEE_H

#include "train/progress.h"

#define TEE_MAX 4

struct tee { /* in this order; the first that fails ends the run */
    struct progress_sink sinks[TEE_MAX];
    size_t n;
};
struct progress_sink tee_sink(struct tee *t); /* valid as long as t */
#endif
