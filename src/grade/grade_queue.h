/*
 * grade_queue.h - grading beside sampling: answers go in as they end, results lie ready in their own slots.
 */
#ifndef HONE_GRADE_GRADE_QUEUE_H
#define HONE_GRADE_GRADE_QUEUE_H

#include "grade/grader.h"

struct grade_queue;
/* Starts n_threads that grade; g belongs to the caller. */
MUST_CHECK bool grade_queue_open(struct grader *g, int n_threads, struct grade_queue **out,
                                 struct error *err);
void grade_queue_close(struct grade_queue *q); /* waits for what runs, forgets what waits */
/* Grades text for item and writes *out; both and text must stay until grade_queue_wait returns. Waits while the queue is full. */
void grade_queue_put(struct grade_queue *q, const json_t *item, const struct grade_sample *sample,
                     struct grade_result *out);
void grade_queue_wait(struct grade_queue *q); /* until everything put in is graded */
#endif
