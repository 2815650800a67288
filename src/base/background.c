/*
 * background.c - a flag to stop, a flag to go on, and one condition for both.
 */
#include "base/background.h"
#include "base/clock.h"
#include "base/condition.h"

static void *run(void *ctx)
{
    struct background *b = ctx;

    pthread_mutex_lock(&b->lock);
    while (!b->stopping) {
        b->is_woken = false;
        pthread_mutex_unlock(&b->lock);
        const double rest = b->fn(b->ctx), next = clock_seconds() + rest;

        pthread_mutex_lock(&b->lock);
        while (!b->stopping && !b->is_woken && clock_seconds() < next)
            condition_wait_for(&b->changed, &b->lock, next - clock_seconds());
    }
    pthread_mutex_unlock(&b->lock);
    return NULL;
}

bool background_start(struct background *b, background_fn *fn, void *ctx, const char *what,
                      struct error *err)
{
    *b = (struct background){.fn = fn, .ctx = ctx, .is_started = true};
    pthread_mutex_init(&b->lock, NULL);
    condition_init(&b->changed);
    if (pthread_create(&b->thread, NULL, run, b) == 0)
        return true;
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    b->is_started = false;
    return fail(err, ERR_IO, "the system gives no thread for %s", what);
}

void background_wake(struct background *b)
{
    pthread_mutex_lock(&b->lock);
    b->is_woken = true;
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

bool background_stop(struct background *b)
{
    if (!b->is_started)
        return false;
    pthread_mutex_lock(&b->lock);
    const bool already = b->stopping;
    b->stopping = true;
    pthread_cond_signal(&b->changed);
    pthread_mutex_unlock(&b->lock);
    if (!already)
        pthread_join(b->thread, NULL);
    return !already;
}

void background_release(struct background *b)
{
    if (!b->is_started)
        return;
    background_stop(b);
    pthread_cond_destroy(&b->changed);
    pthread_mutex_destroy(&b->lock);
    b->is_started = false;
}
