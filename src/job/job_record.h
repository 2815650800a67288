/*
 * job_record.h - what a run tells (run_folder.h) becomes rows of the store: events, checkpoints, progress.
 *
 * Everything is written under the job's lease, and before the run goes on: when a checkpoint is on the disk, the store has
 * heard of all that came before it. What is told again after a resume has the same key, and changes nothing.
 */
#ifndef HONE_JOB_JOB_RECORD_H
#define HONE_JOB_JOB_RECORD_H

#include "job/run_folder.h"
#include "job/worker.h"

struct job_record {
    struct work *work;
    const char *run_dir;
    json_t *metrics; /* data of the newest metrics event, or NULL */
    json_t *usage;   /* the job's usage_metrics with the newest step, or NULL: as in the row */
    int64_t counted; /* the furthest step that is in it */
    struct job_change progress;
    bool has_progress;     /* it is to be written with the next event */
    bool database_is_away; /* PostgreSQL could not be told: no fault of this machine's disk */
};
/* A listener for run_folder_open; the record must outlive the folder. */
struct run_listener job_record_listener(struct job_record *r);
/* The run's last checkpoint is listed from now on, and stays: before a pause, whose model it is. */
MUST_CHECK bool job_record_keep_last(struct job_record *r, struct error *err);
void job_record_release(struct job_record *r); /* all zeros is fine */

/* One event beside the run's own, such as those of the files' check. key: unique in the job. */
MUST_CHECK bool job_record_event(struct work *w, const char *level, const char *key,
                                 const char *message, struct error *err);

/*
 * The ends of a piece of work. Each is one transaction: the state, the events that say so, and the end of the lease.
 * Done twice (a worker died right behind it) nothing happens twice.
 */

/* The files are good: into the queue, with the memory that it will need. */
MUST_CHECK bool job_validated(struct work *w, int64_t memory_bytes, struct error *err);
MUST_CHECK bool job_started(struct work *w, struct error *err); /* running; the lease goes on */
/* trained_tokens; metrics_csv: becomes the result file. The last checkpoint is the model: it is called model from then on. */
MUST_CHECK bool job_succeeded(struct work *w, const char *model, const char *metrics_csv,
                              int64_t trained_tokens, struct error *err);
MUST_CHECK bool job_paused(struct work *w, const char *model, const char *why, struct error *err);
/* The error's code, by kind and param. */
const char *job_error_code(const struct error *why);
MUST_CHECK bool job_failed(struct work *w, const struct error *why, struct error *err);
MUST_CHECK bool job_requeued(struct work *w, struct error *err); /* the worker leaves */
#endif
