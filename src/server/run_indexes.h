/*
 * run_indexes.h - the indexes of runs' answers (job/rollout_index.h) that the server has open.
 *
 * One is made when somebody asks for a job's answers, lent to one call at a time, and goes when others have been asked for since
 * and all together pass RUN_INDEXES_BYTES.
 */
#ifndef HONE_SERVER_RUN_INDEXES_H
#define HONE_SERVER_RUN_INDEXES_H

#include "job/rollout_index.h"

#define RUN_INDEXES_BYTES ((size_t)64 << 20)

struct run_indexes;
struct run_indexes *run_indexes_open(void);
void run_indexes_close(struct run_indexes *s); /* none is lent; NULL is fine */
/* Of a run's folder. Waits while another call has it. */
struct rollout_index *run_indexes_take(struct run_indexes *s, const char *dir);
void run_indexes_give(struct run_indexes *s, struct rollout_index *ix);
#endif
