/*
 * worker_pool.h - the worker processes that a server starts, and starts again when one dies.
 *
 * A worker is `hone worker` of this program. When one ends without being asked to, its jobs are released at once, rather
 * than when their leases end, and another takes its place: at first at once, then later and later, for one that dies at every start
 * would do nothing else. A server that is killed leaves its workers at work; each leaves by itself when it has no job.
 */
#ifndef HONE_SERVER_WORKER_POOL_H
#define HONE_SERVER_WORKER_POOL_H

#include "store/store.h"

struct worker_pool_options {
    struct store *store;
    const char *program;      /* NULL: this program */
    const char *const *extra; /* further arguments of `hone worker`, NULL-ended; or NULL */
    size_t n_workers;
    bool checks; /* one more, which does checks alone: they need not wait for jobs */
    /* One line a thing that happened, for the log. May be NULL. */
    void (*log)(const char *event, long pid, const char *message);
};
struct worker_pool;
MUST_CHECK bool worker_pool_open(const struct worker_pool_options *opt, struct worker_pool **out,
                                 struct error *err);
/* Asks them to save and leave, waits so long, and ends those that have not left. NULL is fine. */
void worker_pool_close(struct worker_pool *p, double seconds);
/* How many work on jobs, and how often one was started. */
void worker_pool_counts(struct worker_pool *p, size_t *n_alive, size_t *n_starts);
#endif
