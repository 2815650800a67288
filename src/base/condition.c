#include "base/condition.h"

#include <time.h>

#define LONGEST 1e6 /* seconds: eleven days, and no overflow */

void condition_init(pthread_cond_t *c)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(c, &attributes);
    pthread_condattr_destroy(&attributes);
}

void condition_wait_for(pthread_cond_t *c, pthread_mutex_t *lock, double seconds)
{
    struct timespec at;

    seconds = seconds < 1e-3 ? 1e-3 : seconds > LONGEST ? LONGEST : seconds;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)seconds;
    at.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    pthread_cond_timedwait(c, lock, &at);
}
