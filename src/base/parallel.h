/*
 * parallel.h - threads with a fixed division of work.
 *
 * Work is cut into units whose results do not depend on who computes them: a unit owns its outputs whole, and no sum
 * is divided. So the number of threads changes no bit. One job at a time is divided: a thread that comes while another's
 * runs does its own work alone, as with one thread; so does a job that starts another. A thread that must not take the
 * pool from the engine's (a grader that embeds) says so by parallel_alone(true).
 */
#ifndef HONE_BASE_PARALLEL_H
#define HONE_BASE_PARALLEL_H

#include <stdbool.h>
#include <stddef.h>

/* Threads that parallel work will use; n = 0 means one a core. Not while a job runs. */
void parallel_set_threads(int n);
int parallel_threads(void);

/* Calls fn(ctx, unit, thread) for each unit in 0..n_units-1, each once; thread in 0..parallel_threads()-1. */
typedef void parallel_fn(void *ctx, size_t unit, int thread);
void parallel_for(size_t n_units, parallel_fn *fn, void *ctx);

/*
 * Whether the calling thread does its work alone from now on, all units one after another and without the pool, so that
 * any number of such threads may at once; for it, parallel_threads() is 1. Returns what held before: set it back.
 */
bool parallel_alone(bool alone);
#endif
