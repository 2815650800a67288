/*
 * worker.h - a process that takes jobs from the store, one after another, and works on each under its lease.
 *
 *     take -> work (a thread renews the lease meanwhile) -> the job's next state, or the lease ends and another goes on
 *
 * A worker may be killed at any moment: what it had told the store stays, its lease ends by itself, and the job is taken
 * again from its last checkpoint. One that lost its lease (it was stopped for too long, or cut off from the database) may
 * write nothing any more, and is told by work->stop.
 */
#ifndef HONE_JOB_WORKER_H
#define HONE_JOB_WORKER_H

#include "store/jobs.h"
#include "text/json.h"
#include "text/log.h"

#include <stdatomic.h>

enum work_ask {
    WORK_GO_ON,
    WORK_PAUSE, /* somebody paused the job: a checkpoint, then the state paused */
    WORK_LEAVE, /* the worker is to end: a checkpoint, and the job goes back into the queue */
    WORK_LOST,  /* the job was cancelled, or the lease is another's: nothing more is written */
};

/* One job, as it is worked on. */
struct work {
    struct store *store;
    struct job_row job;
    struct lease lease;
    const char *machine; /* whose memory it takes, and how much jobs may have of that */
    int64_t machine_bytes;
    struct arena *arena; /* as long as the job is worked on */
    atomic_bool stop;    /* ask is no longer WORK_GO_ON: read once a token */
    atomic_int ask;      /* enum work_ask; once it is something else it stays */
    /* what the ends of job_record.h brought the job into; NULL where none did */
    const char *state, *code, *why; /* code, why: of failed (the job's error) and of paused (why) */
};

/*
 * Does what the job's state asks for, and brings it into its next one by jobs_change (job_record.h); true: it is done with it,
 * however that went. False with err where it could not be: the job goes back into the queue and rests there for a second, then
 * two, four, up to half a minute, before any worker tries it again; at most WORKER_TRIES times in a row without a step done. Then
 * it fails, or is paused where somebody had asked for that.
 */
typedef bool work_fn(void *ctx, struct work *w, struct error *err);
#define WORKER_TRIES 20

/* One thing done, for a log. What is NULL is not known or does not apply. */
struct worker_note {
    enum log_level level;
    const char *event; /* "taken", "done", "not done", "given up", ... */
    const char *job;   /* its id, or NULL */
    const char *state; /* that the job now has */
    const char *code;  /* of the error of a failed job */
    const char *message;
};

struct check_work;
typedef bool check_work_fn(void *ctx, struct check_work *w, json_t **result, struct error *err);
struct worker_options {
    struct store *store;
    const char *name;      /* "host:pid:..."; NULL: made */
    int64_t machine_bytes; /* for all jobs on this machine together */
    int64_t lease_seconds; /* 0: 15 */
    int64_t idle_ms;       /* between two looks into the queue; 0: 500 */
    const atomic_bool *stop;
    bool once;     /* ends when there is nothing to do */
    long parent;   /* the process that started it: once that is gone, as with once; 0: none */
    work_fn *work; /* NULL: no jobs are taken */
    check_work_fn *checks; /* what is taken where no job waits (check_work.h); NULL: nothing */
    void *ctx;
    void (*log)(void *ctx, const struct worker_note *note); /* may be NULL */
};
/* Until stop. Fails only where the store could not be reached for long. */
MUST_CHECK bool worker_run(const struct worker_options *opt, struct error *err);

/* "host": what the machine calls itself, and the name under which memory on it is counted. In the arena. */
char *worker_machine(struct arena *a);
#endif
