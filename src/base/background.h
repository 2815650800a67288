/*
 * background.h - a thread that does one thing again and again, until it is told to stop.
 *
 * It rests between two rounds for as long as the last one said, and less when it is woken. A wake is never lost: one that comes
 * while a round is at work makes another follow it at once. The thread takes signals as the one that starts it does.
 */
#ifndef HONE_BASE_BACKGROUND_H
#define HONE_BASE_BACKGROUND_H

#include "base/error.h"

#include <math.h>
#include <pthread.h>

/* One round, without the lock. How many seconds to rest behind it: 0 for none. */
#define UNTIL_WOKEN HUGE_VAL
typedef double background_fn(void *ctx);

struct background {       /* all zeros: never started */
    pthread_mutex_t lock; /* guards all below, and what the owner shares with the thread */
    bool stopping;        /* read by the owner, too */
    bool is_woken;
    pthread_cond_t changed;
    bool is_started; /* like all below, as it was when it started */
    pthread_t thread;
    background_fn *fn;
    void *ctx;
};

/* The first round begins at once. what, for the message: "the system gives no thread for ...". */
MUST_CHECK bool background_start(struct background *b, background_fn *fn, void *ctx,
                                 const char *what, struct error *err);
void background_wake(struct background *b); /* any thread, without the lock */
/* Waits for the round at work, the last one. True for the first to say so; who comes second does not wait. */
bool background_stop(struct background *b);
/* Stops it, where that is to be done; the lock is there until here. */
void background_release(struct background *b);
#endif
