/*
 * streams.c - two lists: what anyone added, and what is the thread's.
 */
#include "server/streams.h"

#include <stdlib.h>

bool streams_place(struct streams *s, size_t most, bool *stopping)
{
    pthread_mutex_lock(&s->thread.lock);
    *stopping = s->thread.stopping;
    const bool ok = !*stopping && s->n < most;
    s->n += ok;
    pthread_mutex_unlock(&s->thread.lock);
    return ok;
}

static void on_gone(void *ctx, struct http_exchange *x)
{
    struct stream *one = ctx;

    (void)x;
    atomic_store(&one->gone, true);
}

void streams_end(struct streams *s, struct stream **at, struct str last)
{
    struct stream *one = *at;

    *at = one->next;
    http_stream_end_with(one->x, last);
    free(one);
    pthread_mutex_lock(&s->thread.lock);
    s->n--;
    pthread_mutex_unlock(&s->thread.lock);
}

void streams_add(struct streams *s, struct stream *one, const struct http_stream_options *opt)
{
    struct http_stream_options with = *opt;

    with.gone = on_gone;
    with.ctx = one;
    http_stream_begin(one->x, &with);
    pthread_mutex_lock(&s->thread.lock);
    const bool late = s->thread.stopping;
    if (!late) {
        one->next = s->added;
        s->added = one;
    }
    pthread_mutex_unlock(&s->thread.lock);
    if (late)
        streams_end(s, &one, STR(""));
    else
        background_wake(&s->thread);
}

size_t streams_count(struct streams *s)
{
    pthread_mutex_lock(&s->thread.lock);
    const size_t n = s->n;
    pthread_mutex_unlock(&s->thread.lock);
    return n;
}

void streams_take_added(struct streams *s)
{
    pthread_mutex_lock(&s->thread.lock);
    struct stream *one = s->added;
    s->added = NULL;
    pthread_mutex_unlock(&s->thread.lock);
    while (one != NULL) {
        struct stream *next = one->next;

        one->next = s->first;
        s->first = one;
        one = next;
    }
}

void streams_stop(struct streams *s)
{
    if (!background_stop(&s->thread))
        return;
    streams_take_added(s); /* nothing is added any more */
    while (s->first != NULL)
        streams_end(s, &s->first, STR(""));
}

void streams_release(struct streams *s)
{
    streams_stop(s);
    background_release(&s->thread);
}
