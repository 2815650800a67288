/*
 * clock.h - the two clocks.
 */
#ifndef HONE_BASE_CLOCK_H
#define HONE_BASE_CLOCK_H

#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
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

/* The same, or earlier once *stop is set, within a tenth of a second; stop NULL: never. False: stopped. */
static inline bool clock_sleep_unless(const atomic_bool *stop, double when)
{
    while (stop != NULL && !atomic_load(stop) && clock_seconds() + 0.1 < when)
        clock_sleep_until(clock_seconds() + 0.1);
    if (stop != NULL && atomic_load(stop))
        return false;
    clock_sleep_until(when);
    return true;
}

/* Unix time in seconds, for what people and the API read. */
static inline int64_t clock_unix(void)
{
    return (int64_t)time(NULL);
}
#endif
