/*
 * philox.h - random numbers that are counted, not streamed.
 *
 *     block = philox4x32-10(counter, key)
 *
 * Philox 4x32, 10 rounds: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11.
 * A number is a function of (seed, purpose, step, item, sample, position), so that any rollout can be made again alone.
 */
#ifndef HONE_BASE_PHILOX_H
#define HONE_BASE_PHILOX_H

#include <stdint.h>

struct philox_block {
    uint32_t v[4];
};

struct philox_block philox(uint64_t key, const uint32_t counter[4]);

/* What a number is drawn for; two purposes never share a number. */
enum philox_purpose {
    PHILOX_TOKEN = 1, /* step, item, sample, position */
    PHILOX_SHUFFLE,   /* epoch, index */
    PHILOX_ADAPTER,   /* tensor, index */
    PHILOX_EVAL,      /* item, sample, position */
    PHILOX_SUBSET,    /* step, item, sample */
    PHILOX_TEST,
    PHILOX_BENCH, /* prompt, position */
    PHILOX_JUDGE, /* position, as for PHILOX_TOKEN: step, item and sample are 0 */
    PHILOX_RETRY, /* try, pause that was asked for */
};

/* Uniform in (0, 1), 24 bits, never 0 and never 1: (v + 0.5) / 2^24. */
float philox_uniform(uint64_t seed, enum philox_purpose purpose, uint32_t a, uint32_t b, uint32_t c,
                     uint32_t d);

/* Uniform in 0..n-1 (n > 0). */
uint32_t philox_below(uint64_t seed, enum philox_purpose purpose, uint32_t a, uint32_t b,
                      uint32_t n);
#endif
