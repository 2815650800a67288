/*
 * parallel.c - a pool of threads that wait briefly, then sleep.
 *
 * Not OpenMP: libgomp's threads spin at every barrier, and how long can only be said in the environment before the
 * program starts. On a machine with other work that made sampling ten times slower (22 against 215 tokens/s on two
 * cores, one of them busy), and the thread sanitizer does not understand it. What is needed is small: one job at a
 * time, units taken from a counter.
 */
#include "base/parallel.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#define MAX_THREADS 256
#define SPINS 4000 /* some 20 microseconds: the gap between two operations of one layer */

static struct {
    pthread_mutex_t lock; /* guards fn, ctx, n_units, open, quit, n_sleeping */
    pthread_cond_t wake, left;
    parallel_fn *fn;
    void *ctx;
    size_t n_units;
    bool open, quit;
    int n_sleeping;
    atomic_uint epoch;  /* one more with each job */
    atomic_int inside;  /* workers in the present job */
    atomic_size_t next; /* the unit that is taken next */
    atomic_bool taken;  /* by a thread whose job runs */
    int n_threads;      /* 0: not yet asked */
    int n_workers;      /* threads that run beside the caller's */
    pthread_t workers[MAX_THREADS];
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER,
          .wake = PTHREAD_COND_INITIALIZER,
          .left = PTHREAD_COND_INITIALIZER};
static _Thread_local bool is_alone;

static void pause_briefly(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

static void take_units(parallel_fn *fn, void *ctx, size_t n_units, int thread)
{
    for (size_t u; (u = atomic_fetch_add(&pool.next, 1)) < n_units;)
        fn(ctx, u, thread);
}

static void *work(void *arg)
{
    const int thread = (int)(intptr_t)arg;
    unsigned seen = 0;

    for (;;) {
        for (int i = 0; i < SPINS && atomic_load(&pool.epoch) == seen; i++)
            pause_briefly();
        pthread_mutex_lock(&pool.lock);
        while (atomic_load(&pool.epoch) == seen && !pool.quit) {
            pool.n_sleeping++;
            pthread_cond_wait(&pool.wake, &pool.lock);
            pool.n_sleeping--;
        }
        seen = atomic_load(&pool.epoch);
        if (pool.quit) {
            pthread_mutex_unlock(&pool.lock);
            return NULL;
        }
        if (!pool.open) { /* came too late: the job is done */
            pthread_mutex_unlock(&pool.lock);
            continue;
        }
        parallel_fn *fn = pool.fn;
        void *ctx = pool.ctx;
        const size_t n_units = pool.n_units;
        atomic_fetch_add(&pool.inside, 1);
        pthread_mutex_unlock(&pool.lock);
        take_units(fn, ctx, n_units, thread);
        pthread_mutex_lock(&pool.lock);
        if (atomic_fetch_sub(&pool.inside, 1) == 1)
            pthread_cond_signal(&pool.left);
        pthread_mutex_unlock(&pool.lock);
    }
}

static void stop_workers(void)
{
    pthread_mutex_lock(&pool.lock);
    pool.quit = true;
    pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
    atomic_fetch_add(&pool.epoch, 1); /* those that spin look up */
    for (int i = 0; i < pool.n_workers; i++)
        pthread_join(pool.workers[i], NULL);
    pool.n_workers = 0;
    pool.quit = false;
}

/*
 * After fork() the child has no workers: it starts its own when it needs them. The lock may have been held by one of
 * the parent's, and the conditions remember sleepers that are not there: all begin anew.
 */
static void forget_workers(void)
{
    pthread_mutex_init(&pool.lock, NULL);
    pthread_cond_init(&pool.wake, NULL);
    pthread_cond_init(&pool.left, NULL);
    atomic_store(&pool.inside, 0);
    atomic_store(&pool.taken, false);
    pool.open = false;
    pool.n_sleeping = 0;
    pool.n_workers = 0;
}

static void start_workers(void)
{
    static bool known;

    if (!known) {
        known = true;
        pthread_atfork(NULL, NULL, forget_workers);
        atexit(stop_workers);
    }
    while (pool.n_workers < pool.n_threads - 1) {
        if (pthread_create(&pool.workers[pool.n_workers], NULL, work,
                           (void *)(intptr_t)(pool.n_workers + 1)) != 0)
            break; /* fewer threads are slower, not wrong */
        pool.n_workers++;
    }
}

void parallel_set_threads(int n)
{
    cpu_set_t set;

    if (n <= 0)
        n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set)
                                                        : (int)sysconf(_SC_NPROCESSORS_ONLN);
    n = n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : n;
    if (n != pool.n_threads && pool.n_workers > 0)
        stop_workers();
    pool.n_threads = n;
}

bool parallel_alone(bool alone)
{
    const bool before = is_alone;

    is_alone = alone;
    return before;
}

int parallel_threads(void)
{
    if (is_alone)
        return 1;
    if (pool.n_threads == 0)
        parallel_set_threads(0);
    return pool.n_threads;
}

/* With the pool's workers; it is ours. */
static void divide(size_t n_units, parallel_fn *fn, void *ctx)
{
    if (pool.n_workers < pool.n_threads - 1)
        start_workers();
    pthread_mutex_lock(&pool.lock);
    pool.fn = fn;
    pool.ctx = ctx;
    pool.n_units = n_units;
    pool.open = true;
    atomic_store(&pool.next, 0);
    atomic_fetch_add(&pool.epoch, 1);
    if (pool.n_sleeping > 0)
        pthread_cond_broadcast(&pool.wake);
    pthread_mutex_unlock(&pool.lock);
    take_units(fn, ctx, n_units, 0);
    pthread_mutex_lock(&pool.lock);
    pool.open = false; /* from here on nobody comes in */
    pthread_mutex_unlock(&pool.lock);
    for (int i = 0; i < SPINS && atomic_load(&pool.inside) > 0; i++)
        pause_briefly();
    pthread_mutex_lock(&pool.lock);
    while (atomic_load(&pool.inside) > 0)
        pthread_cond_wait(&pool.left, &pool.lock);
    pthread_mutex_unlock(&pool.lock);
}

void parallel_for(size_t n_units, parallel_fn *fn, void *ctx)
{
    if (n_units < 2 || parallel_threads() == 1 || atomic_exchange(&pool.taken, true)) {
        for (size_t i = 0; i < n_units; i++)
            fn(ctx, i, 0);
        return;
    }
    divide(n_units, fn, ctx);
    atomic_store(&pool.taken, false);
}
