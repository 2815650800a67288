#include "grade/grade_queue.h"

#include <pthread.h>
#include <stdlib.h>

#define CAPACITY 1024
#define MAX_THREADS 256

struct entry {
    const json_t *item;
    struct grade_sample sample;
    struct grade_result *out;
};

struct grade_queue {
    struct grader *grader;
    int n_threads;
    pthread_t threads[MAX_THREADS];

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t filled, drained, done;
    struct entry ring[CAPACITY];
    size_t first, n_waiting; /* entries that no thread has taken */
    size_t n_open;           /* put in and not graded yet */
    bool closing;
};

static void *grade_main(void *arg)
{
    struct grade_queue *q = arg;

    pthread_mutex_lock(&q->lock);
    for (;;) {
        while (q->n_waiting == 0 && !q->closing)
            pthread_cond_wait(&q->filled, &q->lock);
        if (q->closing)
            break;
        const struct entry e = q->ring[q->first];
        q->first = (q->first + 1) % CAPACITY;
        q->n_waiting--;
        pthread_cond_signal(&q->drained);
        pthread_mutex_unlock(&q->lock);
        grader_run(q->grader, e.item, &e.sample, e.out);
        pthread_mutex_lock(&q->lock);
        if (--q->n_open == 0)
            pthread_cond_broadcast(&q->done);
    }
    pthread_mutex_unlock(&q->lock);
    return NULL;
}

bool grade_queue_open(struct grader *g, int n_threads, struct grade_queue **out, struct error *err)
{
    struct grade_queue *q;

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
    pthread_cond_init(&q->done, NULL);
    while (q->n_threads < n_threads) {
        if (pthread_create(&q->threads[q->n_threads], NULL, grade_main, q) != 0) {
            grade_queue_close(q);
            return fail(err, ERR_IO, "no thread can be started for grading");
        }
        q->n_threads++;
    }
    *out = q;
    return true;
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
        pthread_join(q->threads[i], NULL);
    pthread_cond_destroy(&q->done);
    pthread_cond_destroy(&q->drained);
    pthread_cond_destroy(&q->filled);
    pthread_mutex_destroy(&q->lock);
    free(q);
}

void grade_queue_put(struct grade_queue *q, const json_t *item, const struct grade_sample *sample,
                     struct grade_result *out)
{
    pthread_mutex_lock(&q->lock);
    while (q->n_waiting == CAPACITY)
        pthread_cond_wait(&q->drained, &q->lock);
    q->ring[(q->first + q->n_waiting) % CAPACITY] = (struct entry){item, *sample, out};
    q->n_waiting++;
    q->n_open++;
    pthread_cond_signal(&q->filled);
    pthread_mutex_unlock(&q->lock);
}

void grade_queue_wait(struct grade_queue *q)
{
    pthread_mutex_lock(&q->lock);
    while (q->n_open > 0)
        pthread_cond_wait(&q->done, &q->lock);
    pthread_mutex_unlock(&q->lock);
}
