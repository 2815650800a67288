/*
 * jobs_internal.h - what the files about jobs share.
 *
 *     jobs.c          rows: added, found, listed, asked for something
 *     leases.c        who works on them: taken, renewed, changed, given up; workers
 *     events.c        what they told
 *     checkpoints.c   what they saved
 *     models.c        what they made, and who may use it
 *
 * The order of locks in a transaction: the job's row, then the outbox, then events (events_put). Who holds the events waits
 * for nothing any more.
 */
#ifndef HONE_STORE_JOBS_INTERNAL_H
#define HONE_STORE_JOBS_INTERNAL_H

#include "store/jobs.h"
#include "store/rows_internal.h"

#define JOB_LABELS "fine_tuning.job" /* kind of their labels */

/* Whether somebody works on a job. */
enum job_lease {
    LEASE_NONE,   /* nobody: never taken, or given back; taken again from lease_until on */
    LEASE_HELD,   /* the worker may write until another takes it */
    LEASE_REVOKED /* its worker may no longer write, and has not said yet that it stopped; so nobody else takes it before its end */
};

/* A job and what of it only this folder reads. */
struct job_state {
    struct job_row row;
    int64_t lease;
};
#define JOB_COLUMNS                                                                                \
    "t.seq, t.id, t.project_id, t.method, t.status, t.model, t.suffix, t.training_file, "          \
    "t.validation_file, t.body, t.resolved, t.fine_tuned_model, t.eval_id, t.result_files, "       \
    "t.error_code, t.error_message, t.error_param, t.usage, t.created_at, t.started_at, "          \
    "t.finished_at, t.estimated_finish, t.trained_tokens, t.seed, t.run_dir, t.worker, "           \
    "t.lease_until, t.attempt, t.ask, t.memory_bytes, t.step, t.total_steps, t.lease, t.tries"
void job_state_fill(const struct db_row *row, struct arena *a, void *item);

/*
 * The job of this lease, kept from other writers until the end of the transaction. ERR_CANCELLED where the lease is lost,
 * saying why; *out is then the job as it is, if there is one (id not NULL).
 */
MUST_CHECK bool job_of_lease(struct db *db, const struct lease *l, struct arena *a,
                             struct job_state *out, struct error *err);

/* Tells the project's endpoints that a job has ended. In the transaction that ends it. */
MUST_CHECK bool job_tell_end(struct db *db, const char *project_id, const char *job_id,
                             const char *status, int64_t now, struct arena *a, struct error *err);

/* The last thing of a transaction: see events.c. created_at 0: now. */
MUST_CHECK bool events_put(struct db *db, const char *job_id, const struct job_event *events,
                           size_t n, int64_t now, struct arena *a, struct error *err);

/* outbox_put within a transaction. */
MUST_CHECK bool outbox_put_in(struct db *db, const char *project_id, const char *event_id,
                              const char *type, const char *body, int64_t now, struct arena *a,
                              struct error *err);
#endif
