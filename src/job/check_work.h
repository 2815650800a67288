/*
 * check_work.h - a check of a job to be ("fine_tuning.check" in store/documents.h) is taken under a lease, worked on, and told.
 *
 *     queued --taken--> running --> succeeded (its result), failed (its error)         every state that is no end --> cancelled
 *       ^                  |
 *       '------------------+ the worker leaves, jobs need the memory, or its lease ended: whoever takes it begins it anew
 *
 * A check computes as a job does, so it is a worker's, beside the jobs and behind them: it is begun where its memory is free, and gives
 * way where jobs need that. The document's body is {"check": as the API shows it, "request": the job's body, "tries"}.
 */
#ifndef HONE_JOB_CHECK_WORK_H
#define HONE_JOB_CHECK_WORK_H

#include "base/background.h"
#include "job/worker.h"
#include "store/documents.h"
#include "text/json.h"

#define CHECK_KIND "fine_tuning.check"
#define CHECK_STATES "queued,running"
#define CHECK_TRIES 3 /* times that it is begun */

enum check_ask {
    CHECK_GO_ON,
    CHECK_LOST,  /* it was cancelled, or is another's by now: nothing more is written */
    CHECK_LEAVE, /* the worker is to end */
    CHECK_YIELD, /* jobs need the memory */
};

/* One check, as it is worked on. */
struct check_work {
    struct store *store;
    struct document doc;
    json_t *request; /* the job's body */
    const char *machine;
    int64_t machine_bytes;
    struct arena *arena;
    atomic_bool stop; /* ask is no longer CHECK_GO_ON: read once a token */
    atomic_int ask;   /* enum check_ask */

    struct check_offer const *offer;
    char worker[120];
    double renew_at, memory_at, told_at;
    struct background thread; /* its lock guards the rest */
    int64_t need;             /* bytes; 0: not known yet */
    char phase[32];
    size_t done, total;
    bool changed; /* what is told is not yet in the store */
};

/*
 * A check_work_fn (worker.h) does it: *result is a new tree. It fails as the job itself would, or with ERR_CANCELLED where stop was set.
 * First it opens what there is to open and asks check_work_begin whether it may go on.
 */
/* Its least memory is known. ERR_CANCELLED: it is not free now, and the check is tried again later. */
MUST_CHECK bool check_work_begin(struct check_work *w, int64_t need, struct error *err);
/* How far it is. */
void check_work_progress(struct check_work *w, const char *phase, size_t done, size_t total);

struct check_offer {
    struct store *store;
    const char *worker, *machine;
    int64_t machine_bytes, lease_seconds;
    const atomic_bool *stop; /* may be NULL */
    check_work_fn *work;
    void *ctx;
    void (*seen)(void *ctx, const char *id); /* now and then while it is worked on; may be NULL */
    void *seen_ctx;
    void (*log)(void *ctx, const struct worker_note *note); /* may be NULL */
};
/* *found: there was one, and it has been worked on. */
MUST_CHECK bool check_take(const struct check_offer *o, bool *found, struct error *err);
/* A stored body's "check"; lent. */
json_t *check_shown(const json_t *body);
bool check_has_ended(struct str status);
#endif
