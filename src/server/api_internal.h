/*
 * api_internal.h - what only api*.c and the routes that need a service of the server's see.
 */
#ifndef HONE_SERVER_API_INTERNAL_H
#define HONE_SERVER_API_INTERNAL_H

#include "server/api.h"
#include "server/arrivals.h"
#include "server/limits.h"

#include <pthread.h>

struct key_cache;
struct judges;
struct event_feed;
struct grading_pool;
struct webhook_sender;
struct runner;
struct response_feed;
struct call_counts;
struct once;
struct run_indexes;
struct api {
    struct api_options opt;
    struct key_cache *keys;
    struct limits *limits;
    struct arrivals *arrivals;
    struct judges *judges; /* the operator's */
    struct event_feed *feed;
    struct grading_pool *grading;
    struct webhook_sender *sender;
    struct response_feed *responses;
    struct runner *runner;
    struct call_counts *counts;
    struct once *once; /* api_once.c */
    struct run_indexes *runs;
    struct http_server *_Atomic http;
    struct worker_pool *_Atomic workers;
    atomic_bool draining;
    atomic_bool stopping;       /* what takes long gives up */
    pthread_mutex_t later_lock; /* guards later, and what links the calls in it */
    struct api_call *later;     /* calls that take their time, and are not answered yet */
};

/* ---- api_access.c ---- */

struct key_cache *key_cache_open(void);
void key_cache_close(struct key_cache *k);
void key_cache_clear(struct key_cache *k);
/* Who asks: fills c->who, checks the scope of c->route and the organisation and project that the headers name. */
MUST_CHECK bool api_admit(struct api_call *c, struct error *err);

/* The call comes from this machine, neither through a proxy nor for a web page of another address. */
bool api_is_this_machine(const struct http_exchange *x);
/* Of an admitted call: an admin key of the organisation that was there first, whose members run this server. */
MUST_CHECK bool api_is_operator(struct api_call *c, bool *is_operator, struct error *err);

/* ---- api_later.c ---- */

/* 503: what was interrupted may be asked again. Where the client is gone instead, nobody hears it. */
bool api_fail_stopping(struct error *err);
/* The two halves of api_later, for calls that wait before they go on. */
void api_later_keep(struct api_call *c);
MUST_CHECK bool api_later_put(struct api_call *c, api_fn *fn, struct error *err);
void api_later_done(
    struct api_call *c); /* it is over: nobody tells it to give up any more; any call */
void api_later_give_up(struct api *a); /* tells all of them */

/* ---- api_once.c ---- */

MUST_CHECK bool once_open(struct api *a, struct once **out, struct error *err);
void once_stop(struct once *o);         /* answers whoever waits */
void once_close(struct once *o);        /* NULL is fine */
void api_once_drop(struct api_call *c); /* it failed: another may begin anew; any call */

/* ---- api_grading.c ---- */

MUST_CHECK bool judges_open(const struct api_options *opt, struct judges **out, struct error *err);
void judges_close(struct judges *j); /* NULL is fine */
#endif
