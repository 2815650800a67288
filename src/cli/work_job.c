/*
 * work_job.c - a row becomes job_parts, these a run, and its end the row's next state.
 */
#include "cli/work_job.h"
#include "base/file.h"
#include "cli/run_job.h"
#include "cli/tee.h"
#include "cli/valid_evals.h"
#include "job/job_record.h"
#include "server/job_request.h"
#include "store/files.h"
#include "train/checkpoint.h"
#include "train/memory_need.h"

#include <inttypes.h>
#include <stdio.h>

#define PAUSED "The job was paused on request"

/* One job under way: the command's own settings with the job's stop flag. */
struct doing {
    struct work *work;
    struct cli cli;
    struct project_models requester;
    struct job_parts parts;
    struct run_job run;
    struct job_record record;
    struct valid_evals evals;
    size_t longest; /* prompt of reinforcement, in tokens */
};

/* ---- from the row ---- */

static const char *in_home(struct doing *d, const char *folder, const char *name)
{
    struct arena *a = d->work->arena;

    return file_join(a, file_join(a, store_home(d->work->store), folder), name);
}

static bool find_file(struct doing *d, const char *id, const char *param, const char **path,
                      struct error *err)
{
    struct stored_file f;

    *path = NULL;
    if (id == NULL)
        return true;
    if (!files_get(d->work->store, d->work->job.project_id, str_of(id), d->work->arena, &f, err))
        return fail_param(err, ERR_NOT_FOUND, param, "the file %s is gone: upload it again", id);
    *path = files_path(d->work->store, f.id, d->work->arena);
    return true;
}

static bool read_row(struct doing *d, struct job_file *out, struct error *err)
{
    const struct job_row *job = &d->work->job;
    struct job_file j = {0};

    if (!find_file(d, job->training_file, "training_file", &j.train, err) ||
        !find_file(d, job->validation_file, "validation_file", &j.valid, err) ||
        !project_model_find(&d->requester, str_of(job->model), d->work->arena, &j.model, err) ||
        !json_parse(str_of(job->body), job->id, &j.body, err))
        return false;
    if (!option_on(d->cli.options, OPT_ALLOW_REQUEST_ADDRESSES) && !job_stays_here(j.body, err)) {
        json_decref(j.body);
        return fail_while(err, "reading the job by this worker's options");
    }
    j.no_tools = !option_on(d->cli.options, OPT_ALLOW_REQUEST_ADDRESSES);
    j.file = job->id;
    j.model.name = job->model;
    json_object_set_new(j.body, "seed", json_integer(job->seed));
    *out = j;
    return true;
}

/* Messages name the file as its owner knows it: by the id that was uploaded, not by where we keep it. */
static void name_files(const struct doing *d, const struct job_file *j, struct error *err)
{
    const struct {
        const char *path, *id, *param;
    } files[] = {{j->train, d->work->job.training_file, "training_file"},
                 {j->valid, d->work->job.validation_file, "validation_file"}};
    char text[sizeof err->message];

    for (size_t i = 0; i < 2; i++) {
        const char *at = files[i].path != NULL ? strstr(err->message, files[i].path) : NULL;

        if (at == NULL)
            continue;
        snprintf(text, sizeof text, "%.*s%s%s", (int)(at - err->message), err->message, files[i].id,
                 at + strlen(files[i].path));
        memcpy(err->message, text, sizeof text);
        snprintf(err->param, sizeof err->param, "%s", files[i].param);
    }
}

/* ---- its memory ---- */

/* ERR_NO_MEMORY where no machine that is there lets a job have so much. model_bytes 0: not known. */
static bool fits(struct doing *d, double need, double model_bytes, struct error *err)
{
    const struct work *w = d->work;
    enum train_method method = d->parts.method;
    json_t *body = NULL;
    int64_t most;

    if (!workers_most_bytes(w->store, w->machine, w->machine_bytes, &most, err))
        return false;
    if (d->parts.model == NULL) { /* nothing is open yet */
        if (!json_parse(str_of(w->job.body), w->job.id, &body, err))
            return false;
        const bool ok = recipe_method(body, &method, err);

        json_decref(body);
        if (!ok)
            return false;
    }
    return memory_need_fits(method, need, model_bytes, (double)most, err);
}

/* What was opened: a file may be larger than what is taken of it, though not twice as large; that is not even opened. */
static bool model_fits(struct doing *d, const struct job_file *job, struct error *err)
{
    const double bytes = (double)model_store_bytes(job->model.path, d->work->arena) / 2;

    return fits(d, bytes, bytes, err);
}

static bool parts_fit(struct doing *d, int64_t *need, struct error *err)
{
    const struct job_parts *p = &d->parts;
    const struct memory_need n = memory_need_of(p->model, p->start, &p->recipe, d->longest);

    *need = (int64_t)memory_need_sum(&n);
    return fits(d, memory_need_sum(&n), n.model, err);
}

static bool open_parts(struct doing *d, struct error *err)
{
    struct job_file job = {0}, names;

    if (!read_row(d, &job, err))
        return false;
    if (!model_fits(d, &job, err)) {
        job_file_release(&job);
        return false;
    }
    names = job; /* its paths live in the arena */
    if (job_parts_open_job(&d->cli, &job, &d->parts, err) &&
        job_parts_check(&d->parts, &d->longest, err))
        return true;
    name_files(d, &names, err);
    return false;
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

    if (!open_parts(d, err) || !parts_fit(d, &need, err))
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

    if (d->parts.method == METHOD_REINFORCEMENT) {
        struct reinforce_inputs in = job_parts_inputs(&d->parts, &d->cli);

        in.run_dir = d->run.dir;
        in.resume = d->run.resume;
        in.sink = sink;
        if (!reinforce(&in, &result, err))
            return false;
        *tokens = (int64_t)result.trained_tokens;
        return true;
    }
    struct fit_inputs in = job_parts_fit_inputs(&d->parts, &d->cli);
    in.run_dir = d->run.dir;
    in.resume = d->run.resume;
    in.sink = sink;
    if (!fit(&in, &fitted, err))
        return false;
    *tokens = (int64_t)fitted.trained_tokens;
    return true;
}

static bool train(struct doing *d, struct error *err)
{
    const char *valid = d->parts.job.valid;
    struct tee tee = {.sinks = {run_folder_sink(d->run.folder)}, .n = 1};
    const struct progress_sink sink = tee_sink(&tee);
    int64_t tokens;

    valid_evals_init(&d->evals, d->run.dir, valid != NULL ? d->work->job.validation_file : "",
                     d->parts.valid.n_rows, d->work->arena);
    if (d->parts.method == METHOD_REINFORCEMENT)
        tee.sinks[tee.n++] = valid_evals_sink(&d->evals);
    if (!loop(d, &sink, &tokens, err) || !run_folder_end(d->run.folder, err))
        return end_early(d, err);
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
    if (!fits(d, (double)w->job.memory_bytes, 0, err) || !open_parts(d, err) ||
        !parts_fit(d, &need, err))
        return end_unbegun(d, err);
    d->record.run_dir = in_home(d, "runs", w->job.run_dir);
    d->run = (struct run_job){.c = &d->cli,
                              .parts = &d->parts,
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
    struct doing d = {.work = w, .cli = *(const struct cli *)ctx, .record.work = w};

    d.cli.arena = w->arena;
    d.cli.stop = &w->stop;
    d.requester = (struct project_models){
        .store = w->store, .home = d.cli.home, .project_id = w->job.project_id};
    d.cli.requester = &d.requester;
    const bool ok = strcmp(w->job.status, "validating_files") == 0 ? validate(&d, err)
                    : strcmp(w->job.status, "pausing") == 0        ? /* whose worker died over it */
                        pause_job(&d, PAUSED, err)
                                                            : run(&d, err);
    run_job_close(&d.run);
    job_record_release(&d.record);
    job_parts_close(&d.parts);
    return ok;
}
