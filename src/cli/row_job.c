/*
 * row_job.c - the files and the model by their ids, then everything that they hold.
 */
#include "cli/row_job.h"
#include "server/job_request.h"
#include "store/files.h"
#include "train/memory_need.h"

#include <inttypes.h>
#include <stdio.h>

static bool find_file(struct row_job *r, const char *id, const char *param, const char **path,
                      struct error *err)
{
    struct stored_file f;

    *path = NULL;
    if (id == NULL)
        return true;
    if (!files_get(r->store, r->row->project_id, str_of(id), r->arena, &f, err))
        return fail_param(err, ERR_NOT_FOUND, param, "the file %s is gone: upload it again", id);
    *path = files_path(r->store, f.id, r->arena);
    return true;
}

static bool read_row(struct row_job *r, struct job_file *out, struct error *err)
{
    const struct job_row *job = r->row;
    struct job_file j = {0};

    if (!find_file(r, job->training_file, "training_file", &j.train, err) ||
        !find_file(r, job->validation_file, "validation_file", &j.valid, err) ||
        !project_model_find(&r->requester, str_of(job->model), r->arena, &j.model, err) ||
        !json_parse(str_of(job->body), job->id, &j.body, err))
        return false;
    if (!option_on(r->cli.options, OPT_ALLOW_REQUEST_ADDRESSES) && !job_stays_here(j.body, err)) {
        json_decref(j.body);
        return fail_while(err, "reading the job by this worker's options");
    }
    j.no_tools = !option_on(r->cli.options, OPT_ALLOW_REQUEST_ADDRESSES);
    j.file = job->id;
    j.model.name = job->model;
    json_object_set_new(j.body, "seed", json_integer(job->seed));
    *out = j;
    return true;
}

/* Messages name the file as its owner knows it: by the id that was uploaded, not by where we keep it. */
static void name_files(const struct row_job *r, const struct job_file *j, struct error *err)
{
    const struct {
        const char *path, *id, *param;
    } files[] = {{j->train, r->row->training_file, "training_file"},
                 {j->valid, r->row->validation_file, "validation_file"}};
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

bool row_job_fits(struct row_job *r, double need, double model_bytes, struct error *err)
{
    enum train_method method = r->parts.method;
    json_t *body = NULL;
    int64_t most;

    if (!workers_most_bytes(r->store, r->machine, r->machine_bytes, &most, err))
        return false;
    if (r->parts.model == NULL) { /* nothing is open yet */
        if (!json_parse(str_of(r->row->body), r->row->id, &body, err))
            return false;
        const bool ok = recipe_method(body, &method, err);

        json_decref(body);
        if (!ok)
            return false;
    }
    return memory_need_fits(method, need, model_bytes, (double)most, err);
}

/* What was opened: a file may be larger than what is taken of it, though not twice as large; that is not even opened. */
static bool model_fits(struct row_job *r, const struct job_file *job, struct error *err)
{
    const double bytes = (double)model_store_bytes(job->model.path, r->arena) / 2;

    return row_job_fits(r, bytes, bytes, err);
}

static bool parts_fit(struct row_job *r, int64_t *need, struct error *err)
{
    const struct job_parts *p = &r->parts;
    const struct memory_need n = memory_need_of(p->model, p->start, &p->recipe, r->longest);

    *need = (int64_t)memory_need_sum(&n);
    return row_job_fits(r, memory_need_sum(&n), n.model, err);
}

static bool open_parts(struct row_job *r, struct error *err)
{
    struct job_file job = {0}, names;

    if (!read_row(r, &job, err))
        return false;
    if (!model_fits(r, &job, err)) {
        job_file_release(&job);
        return false;
    }
    names = job; /* its paths live in the arena */
    if (job_parts_open_job(&r->cli, &job, &r->parts, err) &&
        job_parts_check(&r->parts, &r->longest, err))
        return true;
    name_files(r, &names, err);
    return false;
}

bool row_job_open(struct row_job *r, int64_t *need, struct error *err)
{
    return open_parts(r, err) && parts_fit(r, need, err);
}

void row_job_init(struct row_job *r, const struct cli *c, const atomic_bool *stop)
{
    r->cli = *c;
    r->cli.arena = r->arena;
    r->cli.stop = stop;
    r->requester = (struct project_models){
        .store = r->store, .home = r->cli.home, .project_id = r->row->project_id};
    r->cli.requester = &r->requester;
}

void row_job_close(struct row_job *r)
{
    job_parts_close(&r->parts);
}
