/*
 * runner.h - work that outlives its request: runs of evals, background responses.
 *
 *     document "queued" --taken--> "in_progress" --> its end        (store/documents.h: leases)
 *         ^                             |
 *         '---- lease ended: the server was killed, and whoever takes it goes on
 *
 * Each kind of work has a few threads; one of them looks for what waits, the others work or wait for their turn to look. Several
 * servers on one database share the queue. A piece of work must stand being begun again: what it writes has ids made of its own.
 *
 * An end has two steps, so that neither a result nor the telling of it is lost: first the body says it (task_change with no new
 * state), then its webhook event is put, then the state leaves the queue (work_end).
 */
#ifndef HONE_SERVER_RUNNER_H
#define HONE_SERVER_RUNNER_H

#include "server/api.h"

#define RUN_KIND "eval.run"
#define WORK_STATES "queued,in_progress"
#define WORK_LEASE_SECONDS 12
#define WORK_RENEW_SECONDS 3.0

struct runner;
/* A document that is being worked on, in one thread. */
struct task {
    struct api *api;
    struct document doc; /* as it was taken */
    const char *worker;
    struct arena *arena; /* the task's */
    atomic_bool stop;    /* set by task_beat: nothing more is wanted of it */
    double renew_at, look_at;
    bool ours; /* the lease holds */
};

MUST_CHECK bool runner_open(struct api *api, struct runner **out, struct error *err);
void runner_stop(struct runner *r);  /* work under way goes back to the queue; waits for it */
void runner_close(struct runner *r); /* NULL is fine */
/* Something was queued: it is looked for at once, and not with the next round. */
void runner_wake(struct runner *r);

/* ---- for those who work ---- */

/*
 * To be called several times a second: renews the lease, and looks twice a second whether the work is still wanted. False (and
 * stop set): it was cancelled, deleted, taken by another, or the server stops.
 */
bool task_beat(struct task *t);
/*
 * Changes the body, unless the work was ended by another: fn gets the parsed body and changes it; false: no change. state NULL: as
 * it was.
 */
typedef bool task_fn(void *ctx, json_t *body);
MUST_CHECK bool task_change(struct task *t, const char *state, task_fn *fn, void *ctx,
                            struct error *err);
/* Where the document was deleted meanwhile: what of this kind was still put below it goes, too. */
void task_drop_orphans(struct task *t, const char *kind);
bool work_has_ended(struct str status);
/*
 * What comes behind an end that the body says already: the webhook event ("TYPE.STATUS"), then the state. Told again after a crash, it is the
 * same event. type: "eval.run", "response".
 */
MUST_CHECK bool work_end(struct store *s, const char *kind, const char *project_id, const char *id,
                         const char *type, const char *status, struct error *err);
/* The body's status, wherever the kind keeps it. */
struct str work_status(const char *kind, const json_t *body);

/* ---- the kinds of work ---- */

void eval_run_work(struct task *t);
void response_work(struct task *t);
#endif
