/*
 * grading_pool.h - a few threads for what may take minutes: opening graders and running them. Handlers' threads stay free.
 *
 * A project may fill all threads but one, so that another's request is not held up by it. What waits is bounded; a full queue is an
 * answer (429), not a wait.
 */
#ifndef HONE_SERVER_GRADING_POOL_H
#define HONE_SERVER_GRADING_POOL_H

#include "base/error.h"

#include <stddef.h>

struct grading_pool;
struct grading_options {
    size_t n_threads;   /* 0: 4 */
    size_t max_waiting; /* 0: 64 */
};
MUST_CHECK bool grading_pool_open(const struct grading_options *opt, struct grading_pool **out,
                                  struct error *err);
/* Waits for what runs, calls what waits with stopping set, and takes no more. */
void grading_pool_stop(struct grading_pool *p);
void grading_pool_close(struct grading_pool *p); /* NULL is fine */
typedef void grading_fn(void *ctx, bool stopping);
/* fn(ctx) in a thread of the pool. ERR_LIMIT, code rate_limit_exceeded, where too much waits; project is copied. */
MUST_CHECK bool grading_pool_put(struct grading_pool *p, const char *project, grading_fn *fn,
                                 void *ctx, struct error *err);
#endif
