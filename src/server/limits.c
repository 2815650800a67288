/*
 * limits.c - a table of keys by the hash of their ids; the lock is held for a few comparisons.
 */
#include "server/limits.h"
#include "base/str.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#define N_CHAINS 1024
#define FORGET_SECONDS 120.0 /* a bucket fills in 60 */

struct key {
    struct key *next;
    double tokens, at; /* in the bucket at this time */
    int64_t open;
    char id[];
};

struct limits {
    pthread_mutex_t lock; /* guards all below */
    struct key *chain[N_CHAINS];
    size_t n;
};

struct limits *limits_open(void)
{
    struct limits *l = calloc(1, sizeof *l);

    if (l == NULL)
        abort(); /* a few kilobytes */
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

void limits_close(struct limits *l)
{
    if (l == NULL)
        return;
    for (size_t i = 0; i < N_CHAINS; i++)
        for (struct key *k = l->chain[i], *next; k != NULL; k = next) {
            next = k->next;
            free(k);
        }
    pthread_mutex_destroy(&l->lock);
    free(l);
}

static struct key **chain_of(struct limits *l, const char *id)
{
    return &l->chain[str_hash(str_of(id)) % N_CHAINS];
}

/* The key, made where it is new; its neighbours that have been idle for long are let go on the way. */
static struct key *find(struct limits *l, const char *id, double now, double full)
{
    struct key **at = chain_of(l, id), **chain = at, *found = NULL;

    while (*at != NULL) {
        struct key *k = *at;

        if (strcmp(k->id, id) == 0)
            found = k;
        if (k != found && k->open == 0 && now - k->at > FORGET_SECONDS) {
            *at = k->next;
            free(k);
            l->n--;
        } else {
            at = &k->next;
        }
    }
    if (found != NULL)
        return found;
    struct key *k = calloc(1, sizeof *k + strlen(id) + 1);
    if (k == NULL)
        abort();
    memcpy(k->id, id, strlen(id) + 1);
    k->tokens = full;
    k->at = now;
    k->next = *chain;
    *chain = k;
    l->n++;
    return k;
}

bool limits_take(struct limits *l, const char *key_id, int64_t per_minute, int64_t at_once,
                 double now, struct limit_state *state, struct error *err)
{
    const double full = per_minute > 0 ? (double)per_minute : 0, rate = full / 60;
    bool ok = true;

    *state = (struct limit_state){.per_minute = per_minute};
    pthread_mutex_lock(&l->lock);
    struct key *k = find(l, key_id, now, full);
    if (per_minute > 0)
        k->tokens = fmin(full, k->tokens + fmax(0, now - k->at) * rate);
    k->at = now;
    if (at_once > 0 && k->open >= at_once) {
        ok = fail_code(err, ERR_LIMIT, "rate_limit_exceeded", "",
                       "this key has %" PRId64 " requests under way, and %" PRId64
                       " at once is its limit: wait for one of them to end",
                       k->open, at_once);
        state->retry_after_s = 1;
    } else if (per_minute > 0 && k->tokens < 1) {
        state->retry_after_s = (1 - k->tokens) / rate;
        ok =
            fail_code(err, ERR_LIMIT, "rate_limit_exceeded", "",
                      "this key has made its %" PRId64 " requests of a minute: try again in %.3g s",
                      per_minute, state->retry_after_s);
    } else {
        k->open++;
        if (per_minute > 0)
            k->tokens -= 1;
    }
    if (per_minute > 0) {
        state->remaining = (int64_t)k->tokens;
        state->reset_s = (full - k->tokens) / rate;
    }
    pthread_mutex_unlock(&l->lock);
    return ok;
}

void limits_give(struct limits *l, const char *key_id)
{
    pthread_mutex_lock(&l->lock);
    struct key *k = *chain_of(l, key_id);
    while (k != NULL && strcmp(k->id, key_id) != 0)
        k = k->next;
    assert(k != NULL && k->open > 0); /* a key with open requests is never let go */
    k->open--;
    pthread_mutex_unlock(&l->lock);
}

size_t limits_n_keys(struct limits *l)
{
    pthread_mutex_lock(&l->lock);
    const size_t n = l->n;
    pthread_mutex_unlock(&l->lock);
    return n;
}
