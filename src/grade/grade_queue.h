/*
 * grade_queue.h - grading beside sampling: answers go in as they end, results lie ready in their own slots.
 *
 * A slow grader delays its own answers alone: the queue takes tens of thousands before a producer waits, and has a thread
 * for each call that is worth making at once. Every wait has an end, since every grader's call has one, and a name.
 */
#ifndef HONE_GRADE_GRADE_QUEUE_H
#define HONE_GRADE_GRADE_QUEUE_H

#include "grade/grader.h"

#include <stdatomic.h>

struct grade_queue;
/* Starts n_threads that grade, 0: as many as the grader is worth; g belongs to the caller. */
MUST_CHECK bool grade_queue_open(struct grader *g, int n_threads, struct grade_queue **out,
                                 struct error *err);
struct grader *grade_queue_grader(const struct grade_queue *q);
void grade_queue_close(struct grade_queue *q); /* waits for what runs, forgets what waits */
/* Grades text for item and writes *out; both and text must stay until grade_queue_wait returns. Waits while the queue is full. */
void grade_queue_put(struct grade_queue *q, const json_t *item, const struct grade_sample *sample,
                     struct grade_result *out);
/* The same; *n_graded is one more once *out is written. */
void grade_queue_put_counted(struct grade_queue *q, const json_t *item,
                             const struct grade_sample *sample, struct grade_result *out,
                             atomic_size_t *n_graded);

/* What is waited for. */
struct grade_wait {
    size_t n_open;     /* answers without a grade */
    size_t part;       /* the grader that has held one of them longest, */
    double seconds;    /* so long, */
    double may_take_s; /* of so many that a call of it may last */
};
struct grade_waiter { /* called from the thread that waits */
    void *ctx;
    void (*waiting)(void *ctx, const struct grade_wait *w); /* after first_s, and again; or NULL */
    double first_s;
    bool steady;             /* again every first_s; else after twice that, four times that, ... */
    const atomic_bool *stop; /* or NULL */
};
/*
 * Until everything put in is graded. False where w->stop is set: what no thread had begun is then forgotten, what had been
 * begun is waited for (grade_options.stop makes that short), and results may be those of a grader that gave up. w may
 * be NULL.
 */
bool grade_queue_wait(struct grade_queue *q, const struct grade_waiter *w);
#endif
