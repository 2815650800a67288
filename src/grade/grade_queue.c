#include "grade/grade_queue.h"

#include "base/clock.h"
#include "base/condition.h"

#include <pthread.h>
#include <stdlib.h>

#define CAPACITY 65536
#define MAX_THREADS 256
#define LOOK_SECONDS 0.1 /* how often a waiting thread looks for a stop */

struct entry {
    const json_t *item;
    struct grade_sample sample;
    struct grade_result *out;
    atomic_size_t *n_graded; /* or NULL */
};

/* A thread that grades. */
struct hand {
    struct grade_queue *queue;
    pthread_t thread;
    bool busy;                   /* under the queue's lock */
    atomic_size_t part;          /* at work, where busy */
    _Atomic double part_started; /* clock_seconds() */
};

struct grade_queue {
    struct grader *grader;
    int n_threads;
    struct hand hands[MAX_THREADS];

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t filled, drained, done;
    size_t first, n_waiting; /* entries that no thread has taken */
    size_t n_open;           /* put in and not graded yet */
    bool closing;
    struct entry ring[CAPACITY];
};

static void on_part(void *ctx, size_t part)
{
    struct hand *h = ctx;

    atomic_store(&h->part_started, clock_seconds());
    atomic_store(&h->part, part);
}

static void *grade_main(void *arg)
{
    struct hand *h = arg;
    struct grade_queue *q = h->queue;

    pthread_mutex_lock(&q->lock);
    for (;;) {
        while (q->n_waiting == 0 && !q->closing)
            pthread_cond_wait(&q->filled, &q->lock);
        if (q->closing)
            break;
        struct entry e = q->ring[q->first];
        q->first = (q->first + 1) % CAPACITY;
        q->n_waiting--;
        on_part(h, 0);
        h->busy = true;
        pthread_cond_signal(&q->drained);
        pthread_mutex_unlock(&q->lock);
        e.sample.on_part = on_part;
        e.sample.on_part_ctx = h;
        grader_run(q->grader, e.item, &e.sample, e.out);
        if (e.n_graded != NULL)
            atomic_fetch_add(e.n_graded, 1);
        pthread_mutex_lock(&q->lock);
        h->busy = false;
        if (--q->n_open == 0)
            pthread_cond_broadcast(&q->done);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

bool grade_queue_open(struct grader *g, int n_threads, struct grade_queue **out, struct error *err)
{
    struct grade_queue *q;

    n_threads = n_threads == 0 ? grader_concurrency(g) : n_threads;
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return fail(err, ERR_INVALID, "%d grading threads: expected 1 to %d", n_threads,
                    MAX_THREADS);
    q = calloc(1, sizeof *q);
    if (q == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the grading queue");
    q->grader = g;
    pthread_mutex_init(&q->lock, NULL);
    pthread_cond_init(&q->filled, NULL);
    pthread_cond_init(&q->drained, NULL);
    condition_init(&q->done);
    while (q->n_threads < n_threads) {
        struct hand *h = &q->hands[q->n_threads];

        h->queue = q;
        if (pthread_create(&h->thread, NULL, grade_main, h) != 0) {
            grade_queue_close(q);
            return fail(err, ERR_IO, "no thread can be started for grading");
        }
        q->n_threads++;
    }
    *out = q;
    return true;
}

struct grader *grade_queue_grader(const struct grade_queue *q)
{
    return q->grader;
}

void grade_queue_close(struct grade_queue *q)
{
    if (q == NULL)
        return;
    pthread_mutex_lock(&q->lock);
    q->closing = true;
    pthread_cond_broadcast(&q->filled);
    pthread_mutex_unlock(&q->lock);
    for (int i = 0; i < q->n_threads; i++)
        pthread_join(q->hands[i].thread, NULL);
    pthread_cond_destroy(&q->done);
    pthread_cond_destroy(&q->drained);
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

void grade_queue_put(struct grade_queue *q, const json_t *item, const struct grade_sample *sample,
                     struct grade_result *out)
{
    grade_queue_put_counted(q, item, sample, out, NULL);
}

void grade_queue_put_counted(struct grade_queue *q, const json_t *item,
                             const struct grade_sample *sample, struct grade_result *out,
                             atomic_size_t *n_graded)
{
    pthread_mutex_lock(&q->lock);
    while (q->n_waiting == CAPACITY)
        pthread_cond_wait(&q->drained, &q->lock);
    q->ring[(q->first + q->n_waiting) % CAPACITY] = (struct entry){item, *sample, out, n_graded};
    q->n_waiting++;
    q->n_open++;
    pthread_cond_signal(&q->filled);
    pthread_mutex_unlock(&q->lock);
}

/* The one that has been at a part longest; under the lock. */
static struct grade_wait longest(struct grade_queue *q, double now)
{
    struct grade_wait w = {.n_open = q->n_open};

    for (int i = 0; i < q->n_threads; i++) {
        struct hand *h = &q->hands[i];
        const double seconds = now - atomic_load(&h->part_started);

        if (h->busy && seconds >= w.seconds) {
            w.seconds = seconds;
            w.part = atomic_load(&h->part);
        }
    }
    w.may_take_s = grader_may_take_s(q->grader, w.part);
    return w;
}

bool grade_queue_wait(struct grade_queue *q, const struct grade_waiter *w)
{
    static const struct grade_waiter patient = {0};
    const double began = clock_seconds();
    bool stopped = false;

    w = w == NULL ? &patient : w;
    double tell_after = w->first_s;
    pthread_mutex_lock(&q->lock);
    while (q->n_open > 0) {
        const double now = clock_seconds();

        if (!stopped && w->stop != NULL && atomic_load(w->stop)) {
            stopped = true;
            q->n_open -= q->n_waiting;
            q->n_waiting = 0;
            pthread_cond_broadcast(&q->drained);
        } else if (w->waiting != NULL && now - began >= tell_after) {
            const struct grade_wait what = longest(q, now);

            tell_after = w->steady ? tell_after + w->first_s : 2 * tell_after;
            pthread_mutex_unlock(&q->lock);
            w->waiting(w->ctx, &what);
            pthread_mutex_lock(&q->lock);
        } else {
            condition_wait_for(&q->done, &q->lock, LOOK_SECONDS);
        }
    }
    pthread_mutex_unlock(&q->lock);
    /* also where the stop came last: graders that were waited for may have given up because of it */
    return !stopped && !(w->stop != NULL && atomic_load(w->stop));
}
