/*
 * clock.h - the two clocks.
 */
#ifndef HONE_BASE_CLOCK_H
#define HONE_BASE_CLOCK_H

#include <errno.h>
#include <stdint.h>
#include <time.h>

/* Seconds since some fixed moment; never goes back. */
static inline double clock_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Returns when clock_seconds() has reached when; at once where it has. */
static inline void clock_sleep_until(double when)
{
    const struct timespec t = {(time_t)when, (long)((when - (double)(time_t)when) * 1e9)};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
        continue;
}

/* Unix time in seconds, for what people and the API read. */
static inline int64_t clock_unix(void)
{
    return (int64_t)time(NULL);
}
#endif
