/*
 * route_eval_runs.c - runs of an eval and their output items. The work is the runner's (eval_run.h); the runs of a job's eval are
 * read from its folder (eval_of_job.h).
 */
#include "base/size.h"
#include "server/api_internal.h"
#include "server/eval_list.h"
#include "server/eval_of_job.h"
#include "server/eval_run.h"
#include "server/routes.h"

/* The eval of the path: its document, and its body as a tree, which the arena gives back. */
struct found {
    struct document d;
    json_t *eval;
    bool of_job;
};

static void release_json(void *v)
{
    json_decref(v);
}

static json_t *lent(struct api_call *c, json_t *v)
{
    arena_defer(c->arena, release_json, v);
    return v;
}

static bool find_eval(struct api_call *c, struct found *out, struct error *err)
{
    if (!documents_get(c->store, EVAL_KIND, c->who.project_id, c->id[0], c->arena, &out->d, err))
        return err->kind == ERR_NOT_FOUND &&
               fail_param(err, ERR_NOT_FOUND, "eval_id",
                          "there is no eval of this id in this project");
    out->eval = lent(c, api_json_of(out->d.body));
    out->of_job = eval_is_of_job(&out->d);
    return true;
}

static bool no_run(struct error *err)
{
    return fail_param(err, ERR_NOT_FOUND, "run_id", "there is no run of this id of this eval");
}

/* The run of the path, of an eval that is no job's. */
static bool find_run(struct api_call *c, const struct found *f, struct document *out,
                     struct error *err)
{
    if (documents_get(c->store, RUN_KIND, c->who.project_id, c->id[1], c->arena, out, err))
        return (out->parent != NULL && strcmp(out->parent, f->d.id) == 0) || no_run(err);
    return err->kind == ERR_NOT_FOUND && no_run(err);
}

static json_t *run_of(const struct document *d)
{
    json_t *body = api_json_of(d->body), *run = json_incref(json_object_get(body, "run"));

    json_decref(body);
    return run;
}

/* ---- made ---- */

static json_t *new_run(struct api_call *c, const struct found *f, const char *name,
                       const struct eval_source *s, json_t *metadata)
{
    struct eval_tally tally = {.criteria = json_object_get(f->eval, "testing_criteria")};
    json_t *run = json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:s, s:o, s:n, s:O, s:b}", "object", "eval.run", "id",
        c->new_id, "eval_id", f->d.id, "name", name != NULL ? name : c->new_id, "model",
        s->asks ? s->model.name : "", "status", "queued", "created_at", (json_int_t)c->new_at,
        "report_url",
        arena_printf(c->arena, "%s/evals/%s/runs/%s", api_base_url(c), f->d.id, c->new_id),
        "metadata", metadata, "error", "data_source", json_object_get(c->body, "data_source"),
        "shared_with_openai", 0);

    eval_tally_put(&tally, run);
    json_object_set_new(json_object_get(run, "result_counts"), "total",
                        json_integer((json_int_t)s->n_rows));
    return run;
}

static bool add_run(struct api_call *c, const struct found *f, const struct eval_source *s,
                    const char *name, json_t **answer, struct error *err)
{
    struct label *labels;
    size_t n_labels;

    if (!api_metadata(c->body, c->arena, &labels, &n_labels, err))
        return false;
    json_t *run = new_run(c, f, name, s, api_json_of_labels(labels, n_labels));
    json_t *body = json_pack("{s:O, s:o}", "run", run, "picked",
                             s->picked != NULL ? json_incref(s->picked) : json_null());
    const struct document d = {.kind = RUN_KIND,
                               .id = c->new_id,
                               .project_id = c->who.project_id,
                               .parent = f->d.id,
                               .state = "queued",
                               .model =
                                   s->asks ? arena_text(c->arena, str_of(s->model.name)) : NULL,
                               .body = api_text_of(body, c->arena),
                               .created_at = c->new_at,
                               .updated_at = c->new_at};
    json_decref(body);
    if (!documents_add(c->store, &d, labels, n_labels, err)) {
        json_decref(run);
        return false;
    }
    runner_wake(c->api->runner);
    *answer = run;
    return true;
}

static bool make(struct api_call *c, json_t **answer, struct error *err)
{
    const json_t *source = json_object_get(c->body, "data_source");
    struct eval_source s = {0};
    struct found f;
    const char *name;

    if (!find_eval(c, &f, err) || !api_text(c->body, "name", false, 512, c->arena, &name, err))
        return false;
    if (f.of_job)
        return fail_param(err, ERR_UNSUPPORTED, "eval_id",
                          "the runs of this eval are the validation steps of %s: make an eval of "
                          "your own for others",
                          f.d.parent);
    if (!json_is_object(source))
        return fail_code(err, ERR_INVALID,
                         source == NULL ? "missing_required_parameter" : "invalid_type",
                         "data_source", "\"data_source\" is %s, an object was expected",
                         source == NULL ? "missing" : json_kind(source));
    if (!eval_source_open(c->api, c->who.project_id, source, eval_item_schema(f.eval), NULL,
                          c->arena, &s, err)) {
        if (err->kind == ERR_NOT_FOUND) /* of something in the request */
            err->kind = ERR_INVALID;
        return false;
    }
    const bool ok = add_run(c, &f, &s, name, answer, err);
    eval_source_release(&s);
    return ok;
}

static bool find_made(struct api_call *c, struct str id, json_t **answer, struct error *err)
{
    struct document d;

    if (!documents_get(c->store, RUN_KIND, c->who.project_id, id, c->arena, &d, err))
        return err->kind == ERR_NOT_FOUND;
    *answer = run_of(&d);
    return true;
}

static bool create(struct api_call *c, struct error *err)
{
    static const struct api_maker run = {
        .prefix = "evalrun_", .status = 201, .find = find_made, .make = make};

    /* in a thread of its own: a file may be long */
    return api_need_body(c, err) && api_make_once(c, &run, err);
}

/* ---- looked up ---- */

static json_t *with_status(json_t *all, struct str status)
{
    json_t *some, *x;
    size_t i;

    if (status.len == 0)
        return all;
    some = json_array();
    json_array_foreach(all, i, x) if (str_eq(json_str(json_object_get(x, "status")), status))
        json_array_append(some, x);
    json_decref(all);
    return some;
}

static bool list(struct api_call *c, struct error *err)
{
    const struct str status = http_query(c->x, "status");
    struct document_filter filter = {.kind = RUN_KIND, .project_id = c->who.project_id};
    struct store_page page;
    struct found f;
    json_t *runs;

    if (!find_eval(c, &f, err) || !api_page(c, 20, 100, true, &page, err))
        return false;
    if (f.of_job)
        return eval_of_job_runs(c, &f.d, f.eval, c->arena, &runs, err) &&
               eval_reply_page(c, with_status(runs, status), &page, err);
    filter.parent = f.d.id;
    filter.state = status.len > 0 ? arena_text(c->arena, status) : NULL;
    return api_reply_documents(c, &filter, &page, run_of, err);
}

/* The object of this id in a list, which is taken. */
static bool reply_one(struct api_call *c, json_t *all, struct str id, const char *param,
                      struct error *err)
{
    json_t *x, *found = NULL;
    size_t i;

    json_array_foreach(all, i, x) if (str_eq(json_str(json_object_get(x, "id")), id)) found = x;
    json_incref(found);
    json_decref(all);
    return found != NULL ? api_reply(c, 200, found)
                         : fail_param(err, ERR_NOT_FOUND, param, "there is nothing of this id");
}

static bool retrieve(struct api_call *c, struct error *err)
{
    struct document d;
    struct found f;
    json_t *runs;

    if (!find_eval(c, &f, err))
        return false;
    if (f.of_job)
        return eval_of_job_runs(c, &f.d, f.eval, c->arena, &runs, err) &&
               reply_one(c, runs, c->id[1], "run_id", err);
    return find_run(c, &f, &d, err) && api_reply(c, 200, run_of(&d));
}

/* ---- ended ---- */

static bool set_canceled(void *ctx, const struct document *was, struct arena *a,
                         struct document_change *to, struct error *err)
{
    json_t *body = api_json_of(was->body), *run = json_object_get(body, "run");
    const struct str status = work_status(RUN_KIND, body);
    bool ok = true;

    (void)ctx;
    if (!work_has_ended(status)) {
        json_object_set_new(run, "status", json_string("canceled"));
        to->body = api_text_of(body, a);
    } else if (!str_is(status, "canceled")) {
        ok = fail_param(err, ERR_INVALID, "run_id",
                        "the run is " STR_FMT " already and cannot be canceled", STR_ARG(status));
    }
    json_decref(body);
    return ok;
}

static bool refuse_of_job(const struct found *f, struct error *err)
{
    return !f->of_job ||
           fail_param(err, ERR_UNSUPPORTED, "run_id",
                      "this run is a validation step of %s: it lives and ends with the job",
                      f->d.parent);
}

static bool cancel(struct api_call *c, struct error *err)
{
    struct document d;
    struct found f;

    return find_eval(c, &f, err) && refuse_of_job(&f, err) && find_run(c, &f, &d, err) &&
           documents_change(c->store, RUN_KIND, c->who.project_id, c->id[1], set_canceled, NULL,
                            err) &&
           work_end(c->store, RUN_KIND, c->who.project_id, d.id, "eval.run", "canceled", err) &&
           find_run(c, &f, &d, err) && api_reply(c, 200, run_of(&d));
}

static bool delete_run(struct api_call *c, struct error *err)
{
    struct document d;
    struct found f;

    return find_eval(c, &f, err) && refuse_of_job(&f, err) && find_run(c, &f, &d, err) &&
           documents_delete(c->store, RUN_KIND, c->who.project_id, c->id[1], err) &&
           api_reply(c, 200,
                     json_pack("{s:s, s:b, s:s}", "object", "eval.run.deleted", "deleted", 1,
                               "run_id", d.id));
}

/* ---- output items ---- */

static bool check_status(struct str status, struct error *err)
{
    return status.len == 0 || str_is(status, "pass") || str_is(status, "fail") ||
           fail_param(err, ERR_INVALID, "status", "\"status\" is neither pass nor fail");
}

static json_t *item_of(const struct document *d)
{
    json_t *body = api_json_of(d->body), *item = json_incref(json_object_get(body, "item"));

    json_decref(body);
    return item;
}

static bool list_items(struct api_call *c, struct error *err)
{
    const struct str status = http_query(c->x, "status");
    struct document_filter filter = {.kind = EVAL_ITEM_KIND, .project_id = c->who.project_id};
    struct store_page page;
    struct document run;
    struct found f;
    json_t *items;

    if (!find_eval(c, &f, err) || !check_status(status, err) ||
        !api_page(c, 20, 100, true, &page, err))
        return false;
    if (f.of_job)
        return eval_of_job_items(c->api, &f.d, f.eval, c->id[1], c->arena, &items, err) &&
               eval_reply_page(c, with_status(items, status), &page, err);
    if (!find_run(c, &f, &run, err))
        return false;
    filter.parent = run.id;
    filter.state = status.len > 0 ? arena_text(c->arena, status) : NULL;
    return api_reply_documents(c, &filter, &page, item_of, err);
}

static bool retrieve_item(struct api_call *c, struct error *err)
{
    struct document run, d;
    struct found f;
    json_t *items;

    if (!find_eval(c, &f, err))
        return false;
    if (f.of_job)
        return eval_of_job_items(c->api, &f.d, f.eval, c->id[1], c->arena, &items, err) &&
               reply_one(c, items, c->id[2], "output_item_id", err);
    if (!find_run(c, &f, &run, err))
        return false;
    if (!documents_get(c->store, EVAL_ITEM_KIND, c->who.project_id, c->id[2], c->arena, &d, err))
        return false;
    return d.parent != NULL && strcmp(d.parent, run.id) == 0
               ? api_reply(c, 200, item_of(&d))
               : fail_param(err, ERR_NOT_FOUND, "output_item_id",
                            "there is no output item of this id of this run");
}

#define RUNS "/v1/evals/{}/runs"
static const struct api_route routes[] = {
    {HTTP_POST, RUNS, SCOPE_TRAIN, HTTP_BODY_MEMORY, create, "eval.run.create", 0},
    {HTTP_GET, RUNS, SCOPE_TRAIN, HTTP_BODY_NONE, list, NULL, 0},
    {HTTP_GET, RUNS "/{}", SCOPE_TRAIN, HTTP_BODY_NONE, retrieve, NULL, 0},
    {HTTP_POST, RUNS "/{}", SCOPE_TRAIN, HTTP_BODY_MEMORY, cancel, "eval.run.cancel", 0},
    {HTTP_POST, RUNS "/{}/cancel", SCOPE_TRAIN, HTTP_BODY_MEMORY, cancel, "eval.run.cancel", 0},
    {HTTP_DELETE, RUNS "/{}", SCOPE_TRAIN, HTTP_BODY_NONE, delete_run, "eval.run.delete", 0},
    {HTTP_GET, RUNS "/{}/output_items", SCOPE_TRAIN, HTTP_BODY_NONE, list_items, NULL, 0},
    {HTTP_GET, RUNS "/{}/output_items/{}", SCOPE_TRAIN, HTTP_BODY_NONE, retrieve_item, NULL, 0},
};
const struct api_table eval_runs_routes = {routes, COUNT_OF(routes)};
