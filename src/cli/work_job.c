/*
 * work_job.c - a row becomes job_parts, these a run, and its end the row's next state.
 */
#include "cli/work_job.h"
#include "base/file.h"
#include "cli/row_job.h"
#include "cli/run_job.h"
#include "cli/tee.h"
#include "cli/valid_evals.h"
#include "job/job_record.h"
#include "job/report_score.h"

#include <inttypes.h>
#include <stdio.h>

#define PAUSED "The job was paused on request"
#define SCORE_SECONDS 20 /* for what the job's report shows of tokens */

/* One job under way. */
struct doing {
    struct work *work;
    struct row_job row;
    struct run_job run;
    struct job_record record;
    struct valid_evals evals;
};

static const char *in_home(struct doing *d, const char *folder, const char *name)
{
    struct arena *a = d->work->arena;

    return file_join(a, file_join(a, store_home(d->work->store), folder), name);
}

/* ---- states ---- */

/* Whether the job itself is at fault, and another try would meet the same. */
static bool is_final(const struct error *err)
{
    switch (err->kind) {
    case ERR_INVALID:
    case ERR_NOT_FOUND:
    case ERR_LIMIT:
    case ERR_CORRUPT:
    case ERR_UNSUPPORTED:
    case ERR_NO_MEMORY:
        return true;
    default:
        return false;
    }
}

static bool end_badly(struct doing *d, struct error *err)
{
    const struct error why = *err;

    return is_final(&why) && job_failed(d->work, &why, err);
}

static bool validate(struct doing *d, struct error *err)
{
    struct work *w = d->work;
    const char *files =
        w->job.validation_file == NULL
            ? arena_printf(w->arena, "Validating training file: %s", w->job.training_file)
            : arena_printf(w->arena, "Validating training file: %s and validation file: %s",
                           w->job.training_file, w->job.validation_file);

    if (!job_record_event(w, "info", "validating", files, err))
        return false;
    int64_t need;

    if (!row_job_open(&d->row, &need, err))
        return end_badly(d, err);
    return job_validated(w, need, err);
}

/*
 * What it has come to is a model until it goes on, and a checkpoint from then on; where that cannot be written (the disk is full),
 * the job is paused all the same.
 */
static bool pause_job(struct doing *d, const char *why, struct error *err)
{
    struct work *w = d->work;

    d->record.run_dir = in_home(d, "runs", w->job.run_dir);
    return (job_record_keep_last(&d->record, err) || err->kind != ERR_CANCELLED) &&
           job_paused(w, w->job.fine_tuned_model, why, err);
}

/* The loop ended before its end: because somebody asked, or because it could not go on. */
static bool end_early(struct doing *d, struct error *err)
{
    struct work *w = d->work;
    const struct error why = *err;

    switch ((enum work_ask)atomic_load(&w->ask)) {
    case WORK_PAUSE:
        return pause_job(d, PAUSED, err);
    case WORK_LEAVE:
        return job_requeued(w, err);
    case WORK_LOST:
        return true; /* what it became was written by another */
    case WORK_GO_ON:
        break;
    }
    if (d->record.database_is_away)
        return false; /* later */
    if (why.kind == ERR_IO)
        return pause_job(
            d,
            arena_printf(w->arena,
                         "The job was paused because of this machine: %s. Nothing that was done is "
                         "lost; resume the job when that is mended",
                         why.message),
            err);
    return end_badly(d, err);
}

/* It has not been begun here. What has done steps elsewhere, or before, is not lost for want of memory. */
static bool end_unbegun(struct doing *d, struct error *err)
{
    struct work *w = d->work;

    if (err->kind == ERR_NO_MEMORY && w->job.step > 0)
        return pause_job(
            d,
            arena_printf(w->arena,
                         "The job was paused because of this machine: %s. Nothing that "
                         "was done is lost; resume the job when there is enough",
                         err->message),
            err);
    return end_badly(d, err);
}

/* The loop of the job's method; *tokens: trained on. */
static bool loop(struct doing *d, const struct progress_sink *sink, int64_t *tokens,
                 struct error *err)
{
    struct reinforce_result result;
    struct fit_result fitted;

    if (d->row.parts.method == METHOD_REINFORCEMENT) {
        struct reinforce_inputs in = job_parts_inputs(&d->row.parts, &d->row.cli);

        in.run_dir = d->run.dir;
        in.resume = d->run.resume;
        in.sink = sink;
        if (!reinforce(&in, &result, err))
            return false;
        *tokens = (int64_t)result.trained_tokens;
        return true;
    }
    struct fit_inputs in = job_parts_fit_inputs(&d->row.parts, &d->row.cli);
    in.run_dir = d->run.dir;
    in.resume = d->run.resume;
    in.sink = sink;
    if (!fit(&in, &fitted, err))
        return false;
    *tokens = (int64_t)fitted.trained_tokens;
    return true;
}

static bool open_model(void *ctx, const struct model **out, struct error *err)
{
    const struct doing *d = ctx;

    (void)err;
    *out = d->row.parts.model;
    return true;
}

/*
 * What the report shows of tokens is computed while the model is here: the server that writes the report multiplies no matrix. Weights that
 * were trained in place are no base any more. A report can do without.
 */
static void score(struct doing *d)
{
    const struct report_scorer s = {
        .model = open_model, .ctx = d, .seconds = SCORE_SECONDS, .stop = &d->work->stop};
    struct error ignored;
    size_t n_left;

    if (d->row.parts.method == METHOD_REINFORCEMENT && d->row.parts.recipe.lora_rank > 0)
        (void)!report_score(d->run.dir, &s, &n_left, &ignored);
}

static bool train(struct doing *d, struct error *err)
{
    const char *valid = d->row.parts.job.valid;
    struct tee tee = {.sinks = {run_folder_sink(d->run.folder)}, .n = 1};
    const struct progress_sink sink = tee_sink(&tee);
    int64_t tokens;

    valid_evals_init(&d->evals, d->run.dir, valid != NULL ? d->work->job.validation_file : "",
                     d->row.parts.valid.n_rows, d->work->arena);
    if (d->row.parts.method == METHOD_REINFORCEMENT)
        tee.sinks[tee.n++] = valid_evals_sink(&d->evals);
    if (!loop(d, &sink, &tokens, err) || !run_folder_end(d->run.folder, err))
        return end_early(d, err);
    score(d);
    return job_succeeded(d->work, d->run.model_name,
                         file_join(d->work->arena, d->run.dir, "metrics.csv"), tokens, err);
}

static bool run(struct doing *d, struct error *err)
{
    struct work *w = d->work;
    int64_t need;

    if (!job_started(w, err))
        return false;
    /* checked by another worker, maybe, who had more; or never, where it was paused before that */
    if (!row_job_fits(&d->row, (double)w->job.memory_bytes, 0, err) ||
        !row_job_open(&d->row, &need, err))
        return end_unbegun(d, err);
    d->record.run_dir = in_home(d, "runs", w->job.run_dir);
    d->run = (struct run_job){.c = &d->row.cli,
                              .parts = &d->row.parts,
                              .dir = d->record.run_dir,
                              .id = w->job.id,
                              .model_name = w->job.fine_tuned_model,
                              .listener = job_record_listener(&d->record)};
    d->run.resume = file_exists(file_join(w->arena, d->run.dir, "job.json"));
    if (!run_job_open(&d->run, err))
        return end_badly(d, err); /* not where another still writes there: later */
    return train(d, err);
}

bool work_job(void *ctx, struct work *w, struct error *err)
{
    struct doing d = {.work = w,
                      .record.work = w,
                      .row = {.store = w->store,
                              .row = &w->job,
                              .machine = w->machine,
                              .machine_bytes = w->machine_bytes,
                              .arena = w->arena}};

    row_job_init(&d.row, ctx, &w->stop);
    const bool ok = strcmp(w->job.status, "validating_files") == 0 ? validate(&d, err)
                    : strcmp(w->job.status, "pausing") == 0        ? /* whose worker died over it */
                        pause_job(&d, PAUSED, err)
                                                            : run(&d, err);
    run_job_close(&d.run);
    job_record_release(&d.record);
    row_job_close(&d.row);
    return ok;
}
