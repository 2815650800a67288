/*
 * run_indexes.c - a short list; what reads and writes files happens outside its lock.
 */
#include "server/run_indexes.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct open_index {
    struct open_index *next;
    char *dir;
    struct rollout_index *index; /* NULL: whoever took it first is opening it */
    bool lent;
    uint64_t used;
    size_t bytes;
};

struct run_indexes {
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t given;
    struct open_index *first;
    uint64_t clock;
};

struct run_indexes *run_indexes_open(void)
{
    struct run_indexes *s = calloc(1, sizeof *s);

    if (s == NULL)
        abort(); /* a few bytes */
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->given, NULL);
    return s;
}

static void close_one(struct open_index *o)
{
    rollout_index_close(o->index);
    free(o->dir);
    free(o);
}

void run_indexes_close(struct run_indexes *s)
{
    if (s == NULL)
        return;
    for (struct open_index *o; (o = s->first) != NULL;) {
        s->first = o->next;
        close_one(o);
    }
    pthread_cond_destroy(&s->given);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

/* Under the lock. */
static struct open_index *find(struct run_indexes *s, const char *dir)
{
    struct open_index *o = s->first;

    while (o != NULL && strcmp(o->dir, dir) != 0)
        o = o->next;
    return o;
}

struct rollout_index *run_indexes_take(struct run_indexes *s, const char *dir)
{
    struct rollout_index *ix;
    struct open_index *o;

    pthread_mutex_lock(&s->lock);
    while ((o = find(s, dir)) != NULL && o->lent)
        pthread_cond_wait(&s->given, &s->lock);
    if (o == NULL) {
        o = calloc(1, sizeof *o);
        if (o == NULL || (o->dir = strdup(dir)) == NULL)
            abort(); /* a few bytes */
        o->next = s->first;
        s->first = o;
    }
    o->lent = true;
    o->used = ++s->clock;
    ix = o->index;
    pthread_mutex_unlock(&s->lock);
    if (ix != NULL)
        return ix;
    ix = rollout_index_open(dir); /* it is lent to us alone */
    pthread_mutex_lock(&s->lock);
    o->index = ix;
    pthread_mutex_unlock(&s->lock);
    return ix;
}

/* Under the lock: takes out the one that was used longest ago, where all are too much. */
static struct open_index *take_oldest(struct run_indexes *s)
{
    struct open_index **oldest = NULL, *o;
    size_t bytes = 0;

    for (struct open_index **at = &s->first; *at != NULL; at = &(*at)->next) {
        bytes += (*at)->bytes;
        if (!(*at)->lent && (oldest == NULL || (*at)->used < (*oldest)->used))
            oldest = at;
    }
    if (bytes <= RUN_INDEXES_BYTES || oldest == NULL || (*oldest)->used == s->clock)
        return NULL;
    o = *oldest;
    *oldest = o->next;
    return o;
}

void run_indexes_give(struct run_indexes *s, struct rollout_index *ix)
{
    const size_t bytes = rollout_index_size(ix).memory_bytes;
    struct open_index *o, *old;

    pthread_mutex_lock(&s->lock);
    for (o = s->first; o->index != ix;)
        o = o->next;
    o->lent = false;
    o->bytes = bytes;
    old = take_oldest(s);
    pthread_cond_broadcast(&s->given);
    pthread_mutex_unlock(&s->lock);
    if (old != NULL)
        close_one(old);
}
