/*
 * jobs.h - fine-tuning jobs: their states, who works on them, what they told, what they made.
 *
 *     validating_files --> queued --> running --> succeeded        every state that is no end --ask "cancel"--> cancelled
 *       |         |        |   ^     |  |   |                      (at once, whoever works on it)
 *       |         |        |   |     |  |   +--> failed
 *       |  ask "pause": at once|     |  |
 *       |         v        v   |     |  | ask "pause", while somebody works on it
 *       |         paused <-----+-----+  v
 *       |           ^      ask "resume" pausing --> succeeded, failed
 *       v           |                     |
 *     failed        +---------------------+ its worker has saved a checkpoint
 *
 * succeeded, failed and cancelled are ends. A running job that nobody works on is paused at once, too; a worker may give a
 * running job back to the queue, or pause it where the machine is at fault (a full disk). A pausing job that is given back
 * stays pausing, and whoever takes it next pauses it.
 *
 * A job is worked on by whoever holds its lease: a worker's name and a time. The holder renews it; when it ends the job
 * may be taken by another, who goes on from the last checkpoint. Every write of a holder names its lease (worker, attempt):
 * one who lost it writes nothing any more (ERR_CANCELLED). So a job has one writer, whatever was killed, stopped or slow.
 * Times of leases are by the database's clock, so no two machines' clocks are compared.
 *
 * A job that is cancelled, or paused before it ran, takes its lease back from its holder, who is told by the next renewal or
 * write, and says jobs_release when it has stopped. Until then, or until the lease's end, its memory counts as used and
 * nobody else takes the job: one run folder, one process.
 *
 * A queued job without resolved has not had its files checked (it was paused before); who takes it checks them.
 */
#ifndef HONE_STORE_JOBS_H
#define HONE_STORE_JOBS_H

#include "store/store.h"

struct job_row {
    int64_t seq;
    char *id, *project_id, *method; /* supervised, dpo, reinforcement */
    char *status;
    char *model;                           /* as asked for */
    char *suffix;                          /* or NULL */
    char *training_file, *validation_file; /* ids; validation_file may be NULL */
    char *body;                            /* JSON: the request as it came, checked */
    char *resolved; /* JSON: hyperparameters as measured, seed, ...; or NULL */
    char
        *fine_tuned_model; /* the name it will have or has; shown once it succeeded or was paused */
    char *eval_id;         /* of a reinforcement job, or NULL */
    char *result_files;    /* JSON list of ids */
    char *error_code, *error_message, *error_param; /* NULL unless failed */
    char *usage;                                    /* JSON: usage_metrics, or NULL */
    int64_t created_at, started_at, finished_at, estimated_finish, trained_tokens,
        seed;      /* 0: not yet; trained_tokens -1: not yet */
    char *run_dir; /* name in HOME/runs */
    /* whoever works on it */
    char *worker;                 /* or NULL */
    int64_t lease_until, attempt; /* lease_until without a worker: the job rests until then */
    int64_t tries;                /* times it was taken since a step was done last */
    char *ask;                    /* "pause" while pausing, else "" */
    int64_t memory_bytes;         /* it needs; 0: not known yet */
    int64_t step, total_steps;
};
/*
 * Adds the job in state validating_files, and its first event. labels: its metadata, n pairs of key and value. What is NULL of
 * id and run_dir, and 0 of created_at, is filled.
 */
struct label {
    struct str key, value;
};
MUST_CHECK bool jobs_add(struct store *s, struct job_row *j, const struct label *labels, size_t n,
                         struct arena *a, struct error *err);
MUST_CHECK bool jobs_get(struct store *s, const char *project_id, struct str id, struct arena *a,
                         struct job_row *out, struct error *err);
MUST_CHECK bool jobs_labels(struct store *s, const char *job_id, struct arena *a,
                            struct label **out, size_t *n, struct error *err);
bool job_has_ended(const char *status); /* succeeded, failed or cancelled */
MUST_CHECK bool jobs_list(struct store *s, const char *project_id, const struct store_page *page,
                          struct arena *a, struct job_row **out, size_t *n, bool *has_more,
                          struct error *err);
/* Asks for what the state allows, and does it at once where nobody works on it. ERR_INVALID (never a conflict) naming the state otherwise. */
enum job_ask { JOB_CANCEL, JOB_PAUSE, JOB_RESUME };
MUST_CHECK bool jobs_ask(struct store *s, const char *project_id, struct str id, enum job_ask ask,
                         struct arena *a, struct job_row *out, struct error *err);

/* ---- the worker's side ---- */

struct lease {
    char job_id[48], worker[80];
    int64_t attempt;
};
/*
 * Takes the oldest job that waits for a worker (validating_files, queued, running or pausing, and nobody's lease on it) and
 * whose memory fits: with the jobs under lease on this machine it needs at most machine_bytes, or it is not known yet. The oldest
 * that would fit here but for those is reserved for: one that is younger is taken only where both fit, whatever else of the
 * younger ones runs. A job that needs more than workers_most_bytes is given to whoever asks: to say that it fits nowhere is
 * its worker's. The state stays as it is; out->status is where to go on. *found false: there is none.
 */
struct worker_offer {
    const char *worker; /* "host:pid:random" */
    const char *machine;
    int64_t machine_bytes; /* memory for jobs on this machine: the sum of its leases stays below */
    int64_t lease_seconds;
};
MUST_CHECK bool jobs_take(struct store *s, const struct worker_offer *w, struct arena *a,
                          bool *found, struct job_row *out, struct lease *lease, struct error *err);
/* Renews; *ask: "pause" or "". ERR_CANCELLED: the job was cancelled, or paused before it ran, or the lease is another's. */
MUST_CHECK bool jobs_renew(struct store *s, const struct lease *l, int64_t lease_seconds,
                           char ask[16], struct error *err);
/* Gives the lease up, also one that was taken back: the worker has stopped, whatever the job's state. Another's stays. */
MUST_CHECK bool jobs_release(struct store *s, const struct lease *l, struct error *err);
/* Gives up the leases of a worker that has ended or is known to be dead: its jobs can be taken at once, and it is listed no more. */
MUST_CHECK bool jobs_release_worker(struct store *s, const char *worker, struct error *err);

struct job_change { /* what is NULL or INT64_MIN stays */
    const char *status, *resolved, *fine_tuned_model, *usage, *result_files;
    const char *error_code, *error_message, *error_param;
    const char
        *last_checkpoint; /* what the newest checkpoint that is listed is called from now on */
    int64_t estimated_finish, trained_tokens, memory_bytes, step, total_steps;
    bool end_lease;
    bool or_paused;       /* a job that was asked to pause is paused instead, without the error */
    int64_t rest_seconds; /* where the lease ends: nobody takes the job for so long; 0: at once */
};
struct job_change job_change_none(void);
/*
 * In one transaction: the change, its events (below), its last checkpoint's name and, where the job ends, its webhooks. Fails with ERR_CANCELLED where the
 * lease is lost, ERR_INVALID for a state that cannot follow. succeeded, failed and paused end the lease, too.
 */
struct job_event {
    int64_t seq;
    const char *
        key; /* what makes it this event and no other, in its job: told again, it is the same event. NULL: never the same */
    const char *id, *level, *type, *message, *data; /* data: JSON; id NULL: of the key */
    int64_t created_at;
};
MUST_CHECK bool jobs_change(struct store *s, const struct lease *l, const struct job_change *c,
                            const struct job_event *events, size_t n_events, struct error *err);

/* ---- events and checkpoints ---- */

MUST_CHECK bool events_list(struct store *s, const char *job_id, const struct store_page *page,
                            struct arena *a, struct job_event **out, size_t *n, bool *has_more,
                            struct error *err);
/* An event of the server's own, outside of any lease. */
MUST_CHECK bool events_tell(struct store *s, const char *job_id, const struct job_event *e,
                            struct error *err);
/* Every event of every job past seq, oldest first, at most limit: what live streams are fed by, one query for all of them. */
struct feed_event {
    struct job_event event;
    char *job_id;
};
MUST_CHECK bool events_after(struct store *s, int64_t seq, size_t limit, struct arena *a,
                             struct feed_event **out, size_t *n, struct error *err);
MUST_CHECK bool events_newest(struct store *s, int64_t *seq, struct error *err);

struct checkpoint_row {
    int64_t seq, step, created_at;
    char *id, *job_id, *name; /* name: "ft:...:ckpt-step-N", or without it the last one's */
    char *metrics;            /* JSON */
    char *dir;                /* name in the run's checkpoints/ */
    bool kept;                /* its files are there */
};
/* By job and step: told again, it is the same, with the newer name, metrics and folder. id NULL: of both. */
MUST_CHECK bool checkpoints_put(struct store *s, const struct lease *l,
                                const struct checkpoint_row *c, struct error *err);
/* These steps are there, no others. */
MUST_CHECK bool checkpoints_keep(struct store *s, const struct lease *l, const int64_t *steps,
                                 size_t n, struct error *err);
/* Those whose files are there and whose model was not deleted. */
MUST_CHECK bool checkpoints_list(struct store *s, const char *job_id, const struct store_page *page,
                                 struct arena *a, struct checkpoint_row **out, size_t *n,
                                 bool *has_more, struct error *err);

/* ---- models that jobs made ---- */

struct tuned_model {
    char *name, *job_id, *project_id, *base; /* base: the model name that was trained */
    char *run_dir,
        *checkpoint_dir; /* names; checkpoint_dir: in the run's checkpoints/; NULL: the run's end */
    int64_t created_at, step;
    bool is_final;
};
/* Of this project, or shared with it by a permission. ERR_NOT_FOUND otherwise. */
MUST_CHECK bool models_get(struct store *s, const char *project_id, struct str name,
                           struct arena *a, struct tuned_model *out, struct error *err);
MUST_CHECK bool models_list(struct store *s, const char *project_id, struct arena *a,
                            struct tuned_model **out, size_t *n, struct error *err);
/* The owner's only. The run stays, and so do the files; checkpoints of that name are no longer listed. */
MUST_CHECK bool models_delete(struct store *s, const char *project_id, struct str name,
                              struct error *err);
/* checkpoint permissions: name is usable by another project of the same organisation; added again, it is the one that was */
struct permission {
    char *id, *checkpoint, *project_id;
    int64_t created_at, seq;
};
MUST_CHECK bool permissions_add(struct store *s, const char *owner_project, struct str checkpoint,
                                const struct str *project_ids, size_t n_ids, struct arena *a,
                                struct permission **out, size_t *n, struct error *err);
MUST_CHECK bool permissions_list(struct store *s, const char *owner_project, struct str checkpoint,
                                 const char *project_id, const struct store_page *page,
                                 struct arena *a, struct permission **out, size_t *n,
                                 bool *has_more, struct error *err);
MUST_CHECK bool permissions_delete(struct store *s, const char *owner_project,
                                   struct str checkpoint, struct str id, struct error *err);

/* ---- workers ---- */

struct worker_row {
    char *name, *machine, *version, *job_id;
    int64_t started_at, seen_at, memory_bytes; /* started_at 0: now; seen_at is not read */
};
#define WORKER_SILENT_SECONDS 120 /* one that was not seen for so long is not taken to be alive */
/* Every few seconds, while it works, too. */
MUST_CHECK bool workers_seen(struct store *s, const struct worker_row *w, struct error *err);
/* Those that are alive. */
MUST_CHECK bool workers_list(struct store *s, struct arena *a, struct worker_row **out, size_t *n,
                             struct error *err);
/* Forgets those that were not seen for a day. now 0: by the database's clock. */
MUST_CHECK bool workers_sweep(struct store *s, int64_t now, struct error *err);
/* The most that one job may need: machine_bytes, or what another machine has that was seen within ten minutes. */
MUST_CHECK bool workers_most_bytes(struct store *s, const char *machine, int64_t machine_bytes,
                                   int64_t *out, struct error *err);
/* What the jobs under lease on this machine leave of machine_bytes. */
MUST_CHECK bool workers_bytes_left(struct store *s, const char *machine, int64_t machine_bytes,
                                   int64_t *out, struct error *err);
#endif
