/*
 * run_job.c - names, then the folder.
 */
#include "cli/run_job.h"
#include "base/file.h"
#include "cli/run_place.h"
#include "job/run_read.h"
#include "sample/machine.h"
#include "store/store.h"

/* ft:BASE:local:SUFFIX:ID, with the first eight letters of the job's own id */
static void make_names(struct run_job *r)
{
    struct arena *a = r->c->arena;

    if (r->id == NULL)
        r->id = store_new_id("ftjob-", a);
    if (r->model_name == NULL)
        r->model_name =
            arena_printf(a, "ft:%s:local:%s:%.8s", model_plain_name(r->parts->job.model.name, a),
                         r->parts->recipe.suffix, r->id + strlen("ftjob-"));
}

/* On resume: what the run was named when it began. */
static bool read_names(struct run_job *r, struct error *err)
{
    json_t *file = NULL;

    if (!run_read_job(r->dir, &file, err))
        return false;
    const json_t *name = json_object_get(json_object_get(file, "resolved"), "fine_tuned_model");
    r->model_name = json_is_string(name) ? arena_text(r->c->arena, json_str(name)) : NULL;
    json_decref(file);
    return true;
}

/* Where the job's files lie as seen from the run, and what the job does not know; the loop tells what its "auto"s became. */
static json_t *resolved_of(const struct run_job *r)
{
    const struct job_file *job = &r->parts->job;
    struct arena *a = r->c->arena;
    json_t *o = json_object();

    json_object_set_new(o, "model_path", json_string(path_from(r->dir, job->model.path, a)));
    if (job->model.adapter != NULL)
        json_object_set_new(o, "start_path", json_string(path_from(r->dir, job->model.adapter, a)));
    json_object_set_new(o, "training_path", json_string(path_from(r->dir, job->train, a)));
    if (job->valid != NULL)
        json_object_set_new(o, "validation_path", json_string(path_from(r->dir, job->valid, a)));
    if (r->template != NULL)
        json_object_set_new(o, "template", json_string(r->template));
    json_object_set_new(o, "fine_tuned_model", json_string(r->model_name));
    return o;
}

static struct str token_text(void *ctx, int32_t id)
{
    return tokenizer_bytes(ctx, id);
}

bool run_job_origin(const struct run_job *r, json_t **out, struct error *err)
{
    const struct job_file *job = &r->parts->job;
    const struct certificate_origin o = {.job = job->body,
                                         .model = job->model.path,
                                         .start = job->model.adapter,
                                         .train = job->train,
                                         .valid = job->valid,
                                         .template = r->template,
                                         .context = r->parts->model->max_positions,
                                         .kernels = machine_kernels()};

    return certificate_head(&o, out, err);
}

bool run_job_open(struct run_job *r, struct error *err)
{
    const struct grader *g = r->parts->grader.grader;
    const size_t n = g != NULL ? grader_count(g) : 0;
    const char **names = ARENA_ARRAY(r->c->arena, const char *, n);
    const char **types = ARENA_ARRAY(r->c->arena, const char *, n);
    const char **models = ARENA_ARRAY(r->c->arena, const char *, n);
    bool *shadows = ARENA_ARRAY(r->c->arena, bool, n);
    const struct tool_servers *servers = r->parts->tools;
    const size_t n_tools = servers != NULL ? tool_servers_count(servers) : 0;
    const char **tools = ARENA_ARRAY(r->c->arena, const char *, n_tools);

    for (size_t i = 0; i < n_tools; i++)
        tools[i] = arena_text(r->c->arena, tool_servers_name(servers, i));

    for (size_t i = 0; i < n; i++) {
        names[i] = grader_name(g, i);
        types[i] = grader_type(g, i);
        models[i] = grader_model(g, i);
        shadows[i] = grader_is_shadow(g, i);
    }
    if (r->resume ? !read_names(r, err) : !file_make_dirs(r->dir, err))
        return false;
    if (!r->resume)
        make_names(r);
    json_t *resolved = r->resume ? NULL : resolved_of(r), *origin = NULL;
    if (r->origin == NULL && !run_job_origin(r, &origin, err)) {
        json_decref(resolved);
        return false;
    }
    const struct run_folder_options opt = {
        .job = r->parts->job.body,
        .resolved = resolved,
        .id = r->resume ? NULL : r->id,
        .fine_tuned_model = r->model_name,
        .method = r->parts->method,
        .n_graders = n,
        .grader_names = names,
        .grader_types = types,
        .grader_models = models,
        .grader_shadows = shadows,
        .origin = r->origin != NULL ? r->origin : origin,
        .n_tools = n_tools,
        .tool_names = tools,
        .resume = r->resume,
        .tokens = {.text = token_text,
                   .ctx = (void *)(uintptr_t)prompter_tokenizer(r->parts->prompter)},
        .listener = r->listener,
    };
    const bool ok = run_folder_open(r->dir, &opt, &r->folder, err);
    json_decref(resolved);
    json_decref(origin);
    return ok;
}

void run_job_close(struct run_job *r)
{
    run_folder_close(r->folder);
    r->folder = NULL;
}
