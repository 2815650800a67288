/*
 * worker.c - the loop, and the thread that keeps the lease.
 */
#include "job/worker.h"
#include "base/background.h"
#include "base/clock.h"
#include "job/check_work.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define LEASE_SECONDS 15
#define IDLE_MS 500
#define LONGEST_REST 30    /* seconds before a job that could not be worked on is tried again */
#define STORE_PATIENCE 600 /* seconds without the store after which a worker gives up */

#define SEEN_SECONDS (WORKER_SILENT_SECONDS / 4.0) /* a lease may be longer than that by far */

struct worker {
    const struct worker_options *opt;
    char name[80], machine[80];
    int64_t started_at;
    double
        seen; /* clock_seconds() when the store last heard of this worker; of the thread that keeps a lease, while one does */
};

/* Keeps one job's lease while it is worked on. */
struct keeper {
    struct worker *worker; /* it waits meanwhile */
    struct work *work;
    struct background thread;
    double renewed; /* when, by clock_seconds() */
    unsigned n_looks;
};

static void tell(const struct worker *w, const struct worker_note *note)
{
    if (w->opt->log != NULL)
        w->opt->log(w->opt->ctx, note);
}

/* Something that should not be. */
static void warn(const struct worker *w, const char *event, const char *job, const char *message)
{
    tell(w,
         &(struct worker_note){.level = LOG_WARN, .event = event, .job = job, .message = message});
}

static void ask_for(struct work *w, enum work_ask ask)
{
    int none = WORK_GO_ON;

    if (atomic_compare_exchange_strong(&w->ask, &none, (int)ask))
        atomic_store(&w->stop, true);
    else if (ask == WORK_LOST)
        atomic_store(&w->ask, (int)ask); /* it matters more than a pause */
}

static enum work_ask ask_of(const char *text)
{
    return strcmp(text, "pause") == 0 ? WORK_PAUSE : WORK_GO_ON;
}

static void tell_seen(struct worker *w, const char *job)
{
    const double now = clock_seconds();
    struct worker_row row = {.name = w->name,
                             .machine = w->machine,
                             .version = (char *)(uintptr_t)HONE_VERSION,
                             .job_id = (char *)(uintptr_t)job,
                             .started_at = w->started_at,
                             .memory_bytes = w->opt->machine_bytes};
    struct error ignored;

    if (now - w->seen < fmin((double)w->opt->lease_seconds / 3, SEEN_SECONDS))
        return;
    w->seen = now;
    (void)!workers_seen(w->opt->store, &row, &ignored);
}

/* ---- keeping a lease ---- */

/* What was heard of a job last, or that nothing is heard any more: then the lease may be another's already. */
static void renew(struct keeper *k)
{
    const struct worker_options *opt = k->worker->opt;
    struct error err = {0};
    char ask[16] = "";
    const double began = clock_seconds();

    if (jobs_renew(opt->store, &k->work->lease, opt->lease_seconds, ask, &err)) {
        k->renewed = began;
        if (ask_of(ask) != WORK_GO_ON)
            ask_for(k->work, ask_of(ask));
        tell_seen(k->worker, k->work->job.id); /* a job may take days */
    } else if (err.kind == ERR_CANCELLED) {
        ask_for(k->work, WORK_LOST);
    } else if (clock_seconds() - k->renewed > (double)opt->lease_seconds) {
        /* by now, not when it began: a database that is away is waited for as long as a lease */
        warn(k->worker, "cut off", k->work->job.id, err.message);
        ask_for(k->work, WORK_LOST);
    }
}

static double keep(void *ctx)
{
    struct keeper *k = ctx;
    const struct worker_options *opt = k->worker->opt;

    if (opt->stop != NULL && atomic_load(opt->stop))
        ask_for(k->work, WORK_LEAVE);
    if (k->n_looks++ % 4 == 0) /* a stop is heard sooner than a lease needs renewing */
        renew(k);
    return fmin((double)opt->lease_seconds / 20, SEEN_SECONDS / 4);
}

/* ---- one job ---- */

/*
 * Longer from try to try, so that what stands in the way has time to go: another process that still writes the run's folder, a
 * disk that is away. All of them together take some minutes.
 */
static int64_t rest_after(int64_t tries)
{
    return tries > 5 ? LONGEST_REST : (int64_t)1 << (tries - 1);
}

/* Back into the queue, where the lease still is ours. */
static void give_back(struct worker *w, struct work *work)
{
    struct job_change c = job_change_none();
    struct error err = {0};

    if (strcmp(work->job.status, "running") == 0)
        c.status = "queued";
    c.end_lease = true;
    c.rest_seconds = rest_after(work->job.tries);
    if (!jobs_change(w->opt->store, &work->lease, &c, NULL, 0, &err) && err.kind != ERR_CANCELLED)
        warn(w, "not given back", work->job.id, err.message);
}

/* It kills whoever works on it, or cannot be worked on: somebody has to look. */
static void give_up(struct worker *w, struct work *work, const char *why)
{
    struct job_change c = job_change_none();
    char message[600], key[40];
    struct job_row now;
    struct error err = {0}, ignored;
    const struct job_event event = {.key = key,
                                    .level = "error",
                                    .type = "message",
                                    .message = message,
                                    .created_at = clock_unix()};

    snprintf(message, sizeof message, "%s", why);
    snprintf(key, sizeof key, "given up %" PRId64, work->lease.attempt);
    c.status = "failed";
    c.error_code = "server_error";
    c.error_message = message;
    c.end_lease = true;
    c.or_paused = true;
    if (!jobs_change(w->opt->store, &work->lease, &c, &event, 1, &err)) {
        warn(w, "not given up", work->job.id, err.message);
        return;
    }
    const bool paused = jobs_get(w->opt->store, work->job.project_id, str_of(work->job.id),
                                 work->arena, &now, &ignored) &&
                        strcmp(now.status, "paused") == 0;
    tell(w, &(struct worker_note){.level = LOG_ERROR,
                                  .event = "given up",
                                  .job = work->job.id,
                                  .state = paused ? "paused" : c.status,
                                  .code = paused ? NULL : c.error_code,
                                  .message = message});
}

/* Whatever the job became: nobody works on it here any more. */
static void release(struct worker *w, struct work *work)
{
    struct error err = {0};

    if (!jobs_release(w->opt->store, &work->lease, &err) && err.kind != ERR_CANCELLED)
        warn(w, "not released", work->job.id, err.message); /* the lease ends by itself */
}

/*
 * Why a job failed is its owner's to read, in its error: the sentence there may quote the owner's files. Here it is told where it is
 * about the machine, for whoever runs it.
 */
static void tell_done(const struct worker *w, const struct work *work)
{
    struct worker_note n = {
        .event = "done", .job = work->job.id, .state = work->state, .code = work->code};
    const bool failed = n.state != NULL && strcmp(n.state, "failed") == 0;
    const char *code = n.code != NULL ? n.code : "";

    if (n.state == NULL)
        n.message = "the job was cancelled, or another worker has it";
    else if (failed && strcmp(code, "invalid_training_file") == 0)
        n.message = "the training file cannot be used; the job's error says why";
    else if (failed && strcmp(code, "invalid_validation_file") == 0)
        n.message = "the validation file cannot be used; the job's error says why";
    else if (failed && strcmp(code, "out_of_memory") != 0 && strcmp(code, "server_error") != 0)
        n.message = "the job cannot be done as it was asked for; the job's error says why";
    else
        n.message = work->why;
    tell(w, &n);
}

static void work_on(struct worker *w, struct work *work)
{
    struct keeper k = {.worker = w, .work = work, .renewed = clock_seconds()};
    struct error err = {0};
    char message[600];

    tell(w,
         &(struct worker_note){.event = "taken", .job = work->job.id, .state = work->job.status});
    if (work->job.tries > WORKER_TRIES) {
        snprintf(message, sizeof message,
                 "The job was begun %" PRId64
                 " times without a step done, and each time its worker died: %s",
                 work->job.tries - 1,
                 "it may need more memory than this machine has. The workers' log tells more.");
        give_up(w, work, message);
        return;
    }
    const bool ok = background_start(&k.thread, keep, &k, "keeping the job's lease", &err) &&
                    w->opt->work(w->opt->ctx, work, &err);
    background_release(&k.thread);
    if (ok) {
        tell_done(w, work);
        return;
    }
    warn(w, "not done", work->job.id, err.message);
    if (atomic_load(&work->ask) == WORK_LOST)
        return; /* what it became is another's to say */
    if (work->job.tries >= WORKER_TRIES)
        give_up(w, work, err.message);
    else
        give_back(w, work);
}

/* ---- the loop ---- */

char *worker_machine(struct arena *a)
{
    char host[65] = "";

    if (gethostname(host, sizeof host - 1) != 0 || host[0] == '\0')
        snprintf(host, sizeof host, "localhost");
    return arena_text(a, str_of(host));
}

static void name_worker(struct worker *w)
{
    struct arena a = {0};
    unsigned random = 0;

    snprintf(w->machine, sizeof w->machine, "%s", worker_machine(&a));
    (void)!getrandom(&random, sizeof random, 0);
    if (w->opt->name != NULL)
        snprintf(w->name, sizeof w->name, "%s", w->opt->name);
    else
        snprintf(w->name, sizeof w->name, "%.50s:%ld:%08x", w->machine, (long)getpid(), random);
    arena_release(&a);
}

/* *found: there was a job, and it has been worked on. */
static bool take_one(struct worker *w, bool *found, struct error *err)
{
    struct arena a = {0};
    struct work *work = ARENA_NEW(&a, struct work);
    const struct worker_offer offer = {.worker = w->name,
                                       .machine = w->machine,
                                       .machine_bytes = w->opt->machine_bytes,
                                       .lease_seconds = w->opt->lease_seconds};
    const bool ok = jobs_take(w->opt->store, &offer, &a, found, &work->job, &work->lease, err);

    if (ok && *found) {
        work->store = w->opt->store;
        work->machine = w->machine;
        work->machine_bytes = w->opt->machine_bytes;
        work->arena = &a;
        w->seen = 0;
        tell_seen(w, work->job.id);
        work_on(w, work);
        release(w, work);
        w->seen = 0;
    }
    arena_release(&a);
    return ok;
}

static void see_check(void *ctx, const char *id)
{
    tell_seen(ctx, id);
}

static bool take_check(struct worker *w, bool *found, struct error *err)
{
    const struct check_offer offer = {.store = w->opt->store,
                                      .worker = w->name,
                                      .machine = w->machine,
                                      .machine_bytes = w->opt->machine_bytes,
                                      .lease_seconds = w->opt->lease_seconds,
                                      .stop = w->opt->stop,
                                      .work = w->opt->checks,
                                      .ctx = w->opt->ctx,
                                      .seen = see_check,
                                      .seen_ctx = w,
                                      .log = w->opt->log};

    return check_take(&offer, found, err);
}

/* Jobs first. */
static bool take_any(struct worker *w, bool *found, struct error *err)
{
    return (w->opt->work == NULL || take_one(w, found, err)) &&
           (*found || w->opt->checks == NULL || take_check(w, found, err));
}

static bool take_all(struct worker *w, struct error *err)
{
    const struct worker_options *opt = w->opt;
    double heard = clock_seconds();

    while (opt->stop == NULL || !atomic_load(opt->stop)) {
        bool found = false;

        tell_seen(w, NULL);
        if (take_any(w, &found, err)) {
            heard = clock_seconds();
        } else {
            warn(w, "no store", NULL, err->message);
            if (clock_seconds() - heard > STORE_PATIENCE)
                return fail_while(err, "looking for work");
        }
        if (!found && (opt->once || (opt->parent != 0 && (long)getppid() != opt->parent)))
            return true;
        if (!found)
            (void)!clock_sleep_unless(opt->stop, clock_seconds() + (double)opt->idle_ms / 1000);
    }
    return true;
}

bool worker_run(const struct worker_options *options, struct error *err)
{
    struct worker_options opt = *options;
    struct worker w = {.opt = &opt, .started_at = clock_unix(), .seen = -60};
    struct error unheard = {0};

    opt.lease_seconds = opt.lease_seconds > 0 ? opt.lease_seconds : LEASE_SECONDS;
    opt.idle_ms = opt.idle_ms > 0 ? opt.idle_ms : IDLE_MS;
    name_worker(&w);
    if (!take_all(&w, err))
        return false;
    if (!jobs_release_worker(opt.store, w.name, &unheard))
        warn(&w, "end not told", NULL, unheard.message); /* it is not listed for long */
    return true;
}
