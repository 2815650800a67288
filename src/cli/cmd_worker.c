/*
 * cmd_worker.c - a process that works on the jobs of a server: `hone serve` starts its own, more may run elsewhere.
 */
#include "base/memory.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/job_file.h"
#include "cli/session.h"
#include "cli/work_check.h"
#include "cli/work_job.h"
#include "store/store.h"
#include "text/log.h"

#include <string.h>
#include <unistd.h>

#define CHECKS_NICE 5 /* beyond jobs */

static void log_note(void *ctx, const struct worker_note *n)
{
    struct log_entry e;

    (void)ctx;
    log_begin(&e, n->level, "worker", n->event);
    log_int(&e, "pid", (int64_t)getpid());
    log_text(&e, "job", n->job);
    log_text(&e, "state", n->state);
    log_text(&e, "code", n->code);
    log_text(&e, "message", n->message);
    log_end(&e);
}

static bool run(struct cli *c, struct error *err)
{
    const struct options *o = c->options;
    const int64_t mb = option_int(o, OPT_JOB_MEMORY);
    const struct store_options so = {.home = c->home, .database = option_text(o, OPT_DATABASE)};
    struct store *store = NULL;

    const char *take = option_text(o, OPT_TAKE);
    const bool checks_alone = strcmp(take, "checks") == 0;

    /* what is asked before a job takes nothing from those that run */
    (void)!nice((int)option_int(o, OPT_NICE) + (checks_alone ? CHECKS_NICE : 0));
    if (!machine_setup(c, err) || !store_open(&so, &store, err))
        return false;
    const struct worker_options wo = {.store = store,
                                      .name = option_text(o, OPT_WORKER_NAME),
                                      .parent = (long)option_int(o, OPT_LEAVE_WITHOUT),
                                      .machine_bytes =
                                          mb > 0 ? mb << 20 : (int64_t)(0.8 * memory_total()),
                                      .lease_seconds = option_int(o, OPT_LEASE),
                                      .stop = c->stop,
                                      .once = option_on(o, OPT_ONCE),
                                      .work = checks_alone ? NULL : work_job,
                                      .checks = strcmp(take, "jobs") == 0 ? NULL : work_check,
                                      .ctx = c,
                                      .log = log_note};
    const bool ok = worker_run(&wo, err);
    store_close(store);
    return ok;
}

static const enum option_id ids[] = {
    OPT_DATABASE,
    OPT_JOB_MEMORY,
    OPT_LEASE,
    OPT_NICE,
    OPT_ONCE,
    OPT_TAKE,
    GRADING_OPTIONS,
    OPT_DEVICE,
    OPT_THREADS,
    OPT_PRECISION,
    OPT_KV_CACHE,
    OPT_CONTEXT,
    OPT_KERNELS,
    OPT_HOME,
    OPT_WORKER_NAME,
    OPT_LEAVE_WITHOUT,
    OPT_REQUEST_KEY_ENV,
    OPT_ALLOW_REQUEST_ADDRESSES,
};

const struct command cmd_worker = {
    .set =
        {.command = "worker",
         .args = "",
         .summary = "work on the jobs of a server; hone serve starts workers of its own",
         .details =
             "Takes jobs from the store one after another, under a lease: a worker that dies loses its "
             "job to another, which goes on from the last step. Any number may run, on any "
             "number of machines that share the database and the store's folders. Checks of jobs to be are "
             "done where no job waits. Ctrl-C saves a checkpoint and gives the job back.",
         .examples = "  hone worker\n"
                     "  HONE_DATABASE=postgresql://hone@db/hone hone worker --home /srv/hone\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
