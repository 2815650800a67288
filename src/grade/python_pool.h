/*
 * python_pool.h - the warm workers of one grader's Python sources.
 *
 * Workers start when they are needed, up to n_workers, and answer one call at a time each; a call waits for a free one.
 * A worker that dies in a call is started anew and the call made once more; one that is too slow is killed with all it
 * started. A thread of the pool's own starts the processes, because they end with the thread that started them.
 */
#ifndef HONE_GRADE_PYTHON_POOL_H
#define HONE_GRADE_PYTHON_POOL_H

#include "grade/grader.h"

struct python_pool;
/*
 * Chooses a tier of sandbox (see sandbox.h), starts the first worker and loads source[0..n) in it. Where a source does
 * not compile or defines no grade(sample, item), *at_fault is its number and err has Python's own message; otherwise
 * *at_fault is left alone: no sandbox holds here (ERR_UNSUPPORTED, saying what got through), or Python is missing.
 */
MUST_CHECK bool python_pool_open(const struct grade_options *opt, size_t n,
                                 const struct str *source, struct python_pool **out,
                                 size_t *at_fault, struct error *err);
void python_pool_close(struct python_pool *p); /* kills what runs; no call may be under way */

/* The keys of a row that source i reads whatever the row holds: a list of strings. */
const json_t *python_pool_keys(const struct python_pool *p, size_t i);

enum python_outcome {
    PYTHON_REWARD,
    PYTHON_RUNTIME_ERROR, /* the grader raised, ran too long, died, gave no reward */
    PYTHON_SERVER_ERROR,  /* the sandbox failed */
};
/* What a call gives, into the caller's rooms: texts of valid UTF-8, ended by a zero byte. */
struct python_reply {
    double reward; /* where there is one */
    char *details; /* why there is none */
    size_t details_size;
    char *printed; /* what it wrote to its standard output and error, cut; NULL: not wanted */
    size_t printed_size;
};
/* Calls grade() of source i. call is JSON: {"sample": ..., "item": ...}. Any thread; waits for a free worker. */
enum python_outcome python_pool_call(struct python_pool *p, size_t i, struct str call,
                                     struct python_reply *out);
#endif
