/*
 * route_fine_tuning.c - jobs: made, listed, told about, asked to pause, resume or stop; their events and checkpoints.
 */
#include "base/size.h"
#include "server/api_internal.h"
#include "server/event_feed.h"
#include "server/job_admit.h"
#include "server/job_json.h"
#include "server/routes.h"

#include <stdio.h>
#include <stdlib.h>

static bool reply_job(struct api_call *c, const struct job_row *j, struct error *err)
{
    struct label *labels;
    size_t n;

    return jobs_labels(c->store, j->id, c->arena, &labels, &n, err) &&
           api_reply(c, 200, job_json(j, labels, n, c->who.org_id));
}

/* ---- create ---- */

/* "ft:BASE:ORG:SUFFIX:ID"; what is trained from a tuned model carries the base that this was trained from. */
static char *model_name(const struct api_call *c, const struct job_request *r)
{
    struct str base = r->model;
    char id[9];

    if (str_starts(base, STR("ft:"))) {
        base = str_from(base, 3);
        base.len = str_find(base, STR(":"), 0);
    }
    snprintf(id, sizeof id, "%s", store_new_id("", c->arena));
    return arena_printf(c->arena, "ft:" STR_FMT ":%s:%s:%s", STR_ARG(base), c->who.org_slug,
                        r->suffix != NULL ? r->suffix : "", id);
}

/* Before the job: a job that is there has its eval. */
static bool add_eval(struct api_call *c, struct job_row *j, const struct job_request *r,
                     struct error *err)
{
    if (r->grader == NULL)
        return true;
    j->eval_id = store_id_of("eval_", str_of(j->id), c->arena);
    json_t *body = job_eval_json(j, j->eval_id, r->grader);
    const struct document d = {.kind = "eval",
                               .id = j->eval_id,
                               .project_id = j->project_id,
                               .parent = j->id, /* what eval_of_job.h knows it by */
                               .body = api_text_of(body, c->arena),
                               .created_at = j->created_at,
                               .updated_at = j->created_at};

    json_decref(body);
    return documents_add(c->store, &d, NULL, 0, err);
}

/* What a job may say and what means nothing here is told where its owner will look. */
static bool tell_of_nothing(struct api_call *c, const struct job_row *j,
                            const struct job_request *r, struct error *err)
{
    const struct job_event wandb = {
        .key = "wandb",
        .level = "warn",
        .message =
            "The integration with Weights & Biases is kept with the job, but nothing is sent "
            "there: this server has no connection to it. Events and the result file have "
            "all metrics."};
    const struct job_event tools = {
        .key = "tools",
        .level = "warn",
        .message =
            "\"method.reinforcement.tools\" is kept with the job, but nothing is called: this server "
            "sends nothing to addresses that requests name, so an episode here is one answer. Tools "
            "that stand in a row are offered to the model, and sample.output_tools has what it would "
            "call. Whoever runs the server may allow calls with --allow-request-addresses."};
    const bool unheard = r->has_tools && !c->opt->request_addresses;

    return (!r->has_wandb || events_tell(c->store, j->id, &wandb, err)) &&
           (!unheard || events_tell(c->store, j->id, &tools, err));
}

static bool make(struct api_call *c, json_t **answer, struct error *err)
{
    struct job_request r;

    if (!job_admit(c, &r, err))
        return false;
    struct job_row j = {
        .id = arena_text(c->arena, str_of(c->new_id)),
        .project_id = c->who.project_id,
        .method = arena_text(c->arena, str_of(r.method)),
        .status = arena_text(c->arena, STR("validating_files")),
        .model = arena_text(c->arena, r.model),
        .suffix = r.suffix != NULL ? arena_text(c->arena, str_of(r.suffix)) : NULL,
        .training_file = arena_text(c->arena, r.training_file),
        .validation_file =
            r.validation_file.ptr != NULL ? arena_text(c->arena, r.validation_file) : NULL,
        .body = api_text_of(c->body, c->arena),
        .fine_tuned_model = model_name(c, &r),
        .created_at = c->new_at,
        .trained_tokens = -1,
        .seed = r.seed,
    };
    j.run_dir = j.id;
    if (!add_eval(c, &j, &r, err) || !jobs_add(c->store, &j, r.labels, r.n_labels, c->arena, err) ||
        !tell_of_nothing(c, &j, &r, err))
        return false;
    *answer = job_json(&j, r.labels, r.n_labels, c->who.org_id);
    return true;
}

static bool find(struct api_call *c, struct str id, json_t **answer, struct error *err)
{
    struct job_row j;
    struct label *labels;
    size_t n;

    if (!jobs_get(c->store, c->who.project_id, id, c->arena, &j, err))
        return err->kind == ERR_NOT_FOUND;
    if (!jobs_labels(c->store, j.id, c->arena, &labels, &n, err))
        return false;
    *answer = job_json(&j, labels, n, c->who.org_id);
    return true;
}

static bool create(struct api_call *c, struct error *err)
{
    static const struct api_maker job = {
        .prefix = "ftjob-", .status = 200, .find = find, .make = make};

    /* a Python grader is loaded to see whether it can be: not in a handler's thread, and a client may not wait for it */
    return api_need_body(c, err) && api_make_once(c, &job, err);
}

/* ---- read ---- */

static bool list(struct api_call *c, struct error *err)
{
    struct store_page page;
    struct job_row *jobs;
    size_t n;
    bool more;

    if (!api_page(c, 20, 100, false, &page, err) ||
        !jobs_list(c->store, c->who.project_id, &page, c->arena, &jobs, &n, &more, err))
        return false;
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++) {
        struct label *labels;
        size_t n_labels;

        if (!jobs_labels(c->store, jobs[i].id, c->arena, &labels, &n_labels, err)) {
            json_decref(data);
            return false;
        }
        json_array_append_new(data, job_json(&jobs[i], labels, n_labels, c->who.org_id));
    }
    return api_reply_list(c, data, more);
}

static bool get(struct api_call *c, struct job_row *out, struct error *err)
{
    return jobs_get(c->store, c->who.project_id, c->id[0], c->arena, out, err);
}

static bool retrieve(struct api_call *c, struct error *err)
{
    struct job_row j;

    return get(c, &j, err) && reply_job(c, &j, err);
}

static bool ask(struct api_call *c, enum job_ask what, struct error *err)
{
    struct job_row j;

    return jobs_ask(c->store, c->who.project_id, c->id[0], what, c->arena, &j, err) &&
           reply_job(c, &j, err);
}

/* A job that has ended cannot be cancelled; but whoever asks again, having heard no answer, has cancelled it. */
static bool cancel(struct api_call *c, struct error *err)
{
    struct job_row j;
    struct error ignored;

    return ask(c, JOB_CANCEL, err) ||
           (api_is_retry(c) && err->kind == ERR_INVALID && get(c, &j, &ignored) &&
            strcmp(j.status, "cancelled") == 0 && reply_job(c, &j, err));
}

static bool pause_job(struct api_call *c, struct error *err)
{
    return ask(c, JOB_PAUSE, err);
}

static bool resume(struct api_call *c, struct error *err)
{
    return ask(c, JOB_RESUME, err);
}

/* ---- events and checkpoints ---- */

static bool stream_events(struct api_call *c, const struct job_row *j, struct error *err)
{
    struct http_pair headers[API_MAX_HEADERS + 1];
    size_t n = api_headers(c, headers), n_events;
    struct job_event *events;
    struct store_page page;
    bool more;

    if (!api_page(c, 1, 1, true, &page, err) || /* after is an event of this job */
        !events_list(c->store, j->id, &page, c->arena, &events, &n_events, &more, err))
        return false;

    headers[n++] = (struct http_pair){STR("cache-control"), STR("no-cache")};
    return event_feed_add(c->api->feed, c->x, headers, n, c->who.project_id, j->id, page.after,
                          err);
}

static bool list_events(struct api_call *c, struct error *err)
{
    struct store_page page;
    struct job_row j;
    struct job_event *events;
    size_t n;
    bool more;

    if (!get(c, &j, err))
        return false;
    if (str_is(http_query(c->x, "stream"), "true"))
        return stream_events(c, &j, err);
    if (!api_page(c, 20, 1000, false, &page, err) ||
        !events_list(c->store, j.id, &page, c->arena, &events, &n, &more, err))
        return false;
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(data, job_event_json(&events[i]));
    return api_reply_list(c, data, more);
}

static bool list_checkpoints(struct api_call *c, struct error *err)
{
    struct store_page page;
    struct job_row j;
    struct checkpoint_row *rows;
    size_t n;
    bool more;

    if (!get(c, &j, err) || !api_page(c, 10, 100, false, &page, err) ||
        !checkpoints_list(c->store, j.id, &page, c->arena, &rows, &n, &more, err))
        return false;
    json_t *data = json_array();
    for (size_t i = 0; i < n; i++)
        if (rows[i].kept)
            json_array_append_new(data, checkpoint_json(&rows[i]));
    return api_reply_list(c, data, more);
}

/* ---- permissions ---- */

static json_t *permission_json(const struct permission *p)
{
    return json_pack("{s:s, s:s, s:I, s:s}", "object", "checkpoint.permission", "id", p->id,
                     "created_at", (json_int_t)p->created_at, "project_id", p->project_id);
}

static json_t *permissions_json(const struct permission *p, size_t n)
{
    json_t *data = json_array();

    for (size_t i = 0; i < n; i++)
        json_array_append_new(data, permission_json(&p[i]));
    return data;
}

#define MOST_PROJECTS 100

static bool permit(struct api_call *c, struct error *err)
{
    const json_t *ids = json_object_get(c->body, "project_ids");
    const size_t n_ids = json_array_size(ids);
    struct str list_of[MOST_PROJECTS];
    struct permission *made;
    size_t n;

    if (!api_need_body(c, err))
        return false;
    if (n_ids == 0 || n_ids > MOST_PROJECTS)
        return fail_param(err, ERR_INVALID, "project_ids",
                          "\"project_ids\" is a list of 1 to %d ids of projects", MOST_PROJECTS);
    for (size_t i = 0; i < n_ids; i++) {
        struct project p;

        list_of[i] = json_str(json_array_get(ids, i));
        if (!store_id_is(list_of[i], "") ||
            !access_project(c->store, arena_text(c->arena, list_of[i]), c->arena, &p, err) ||
            strcmp(p.org_id, c->who.org_id) != 0)
            return fail_code(err, ERR_NOT_FOUND, "not_found", "project_ids",
                             "member %zu of \"project_ids\" is no project of this organisation", i);
    }
    return permissions_add(c->store, c->who.project_id, c->id[0], list_of, n_ids, c->arena, &made,
                           &n, err) &&
           api_reply_list(c, permissions_json(made, n), false);
}

static bool list_permissions(struct api_call *c, struct error *err)
{
    const struct str project = http_query(c->x, "project_id");
    struct store_page page;
    struct permission *rows;
    size_t n;
    bool more;

    return api_page(c, 10, 100, false, &page, err) &&
           permissions_list(c->store, c->who.project_id, c->id[0],
                            project.len > 0 ? arena_text(c->arena, project) : NULL, &page, c->arena,
                            &rows, &n, &more, err) &&
           api_reply_list(c, permissions_json(rows, n), more);
}

static bool forbid(struct api_call *c, struct error *err)
{
    if (!permissions_delete(c->store, c->who.project_id, c->id[0], c->id[1], err))
        return false;
    c->target = arena_text(c->arena, c->id[1]);
    return api_reply(c, 200,
                     json_pack("{s:s%, s:s, s:b}", "id", c->id[1].ptr, c->id[1].len, "object",
                               "checkpoint.permission", "deleted", 1));
}

#define JOBS "/v1/fine_tuning/jobs"
#define PERMISSIONS "/v1/fine_tuning/checkpoints/{}/permissions"
static const struct api_route routes[] = {
    {HTTP_POST, JOBS, SCOPE_TRAIN, HTTP_BODY_MEMORY, create, "fine_tuning.job.create",
     MOST_JOB_BYTES},
    {HTTP_GET, JOBS, SCOPE_TRAIN, HTTP_BODY_NONE, list, NULL, 0},
    {HTTP_GET, JOBS "/{}", SCOPE_TRAIN, HTTP_BODY_NONE, retrieve, NULL, 0},
    {HTTP_POST, JOBS "/{}/cancel", SCOPE_TRAIN, HTTP_BODY_MEMORY, cancel, "fine_tuning.job.cancel",
     0},
    {HTTP_POST, JOBS "/{}/pause", SCOPE_TRAIN, HTTP_BODY_MEMORY, pause_job, "fine_tuning.job.pause",
     0},
    {HTTP_POST, JOBS "/{}/resume", SCOPE_TRAIN, HTTP_BODY_MEMORY, resume, "fine_tuning.job.resume",
     0},
    {HTTP_GET, JOBS "/{}/events", SCOPE_TRAIN, HTTP_BODY_NONE, list_events, NULL, 0},
    {HTTP_GET, JOBS "/{}/checkpoints", SCOPE_TRAIN, HTTP_BODY_NONE, list_checkpoints, NULL, 0},
    {HTTP_POST, PERMISSIONS, SCOPE_ADMIN, HTTP_BODY_MEMORY, permit, "checkpoint.permission.create",
     0},
    {HTTP_GET, PERMISSIONS, SCOPE_ADMIN, HTTP_BODY_NONE, list_permissions, NULL, 0},
    {HTTP_DELETE, PERMISSIONS "/{}", SCOPE_ADMIN, HTTP_BODY_NONE, forbid,
     "checkpoint.permission.delete", 0},
};
const struct api_table fine_tuning_routes = {routes, COUNT_OF(routes)};
