/*
 * condition.h - condition variables that are waited for a time, by the clock that never goes back.
 */
#ifndef HONE_BASE_CONDITION_H
#define HONE_BASE_CONDITION_H

#include <pthread.h>

void condition_init(pthread_cond_t *c); /* as pthread_cond_init, for condition_wait_for */
/* Until c is signalled, or so many seconds (a millisecond at least) have passed, or for no reason; lock is held. */
void condition_wait_for(pthread_cond_t *c, pthread_mutex_t *lock, double seconds);
#endif
