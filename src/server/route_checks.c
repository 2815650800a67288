/*
 * route_checks.c - checks of jobs to be: asked for, listed, told about, cancelled. The work is a worker's (job/check_work.h).
 */
#include "base/size.h"
#include "job/check_work.h"
#include "server/api_internal.h"
#include "server/job_admit.h"
#include "server/routes.h"

#include <stdlib.h>

#define KEEP_SECONDS (30 * 86400) /* its files and its model may be others by then */

static json_t *shown(const struct document *d)
{
    json_t *body = api_json_of(d->body), *check = json_incref(check_shown(body));

    json_decref(body);
    return check;
}

static bool find(struct api_call *c, struct str id, struct document *out, struct error *err)
{
    return documents_get(c->store, CHECK_KIND, c->who.project_id, id, c->arena, out, err) ||
           (err->kind == ERR_NOT_FOUND &&
            fail_param(err, ERR_NOT_FOUND, "check_id",
                       "there is no check of this id in this project"));
}

/* ---- made ---- */

static json_t *text_or_null(struct str s)
{
    return s.ptr != NULL ? json_stringn(s.ptr, s.len) : json_null();
}

static bool make(struct api_call *c, json_t **answer, struct error *err)
{
    struct job_request r;

    if (!job_admit(c, &r, err))
        return false;
    json_object_set_new(c->body, "seed", json_integer((json_int_t)r.seed));
    json_t *check = json_pack(
        "{s:s, s:s, s:I, s:n, s:n, s:s, s:s, s:o, s:o, s:o, s:I, s:o, s:n, s:n, s:n}", "object",
        "fine_tuning.check", "id", c->new_id, "created_at", (json_int_t)c->new_at, "started_at",
        "finished_at", "status", "queued", "method", r.method, "model", text_or_null(r.model),
        "training_file", text_or_null(r.training_file), "validation_file",
        text_or_null(r.validation_file), "seed", (json_int_t)r.seed, "metadata",
        api_json_of_labels(r.labels, r.n_labels), "progress", "result", "error");
    json_t *body = json_pack("{s:O, s:O, s:i}", "check", check, "request", c->body, "tries", 0);
    const struct document d = {.kind = CHECK_KIND,
                               .id = c->new_id,
                               .project_id = c->who.project_id,
                               .state = "queued",
                               .model = arena_text(c->arena, r.model),
                               .body = api_text_of(body, c->arena),
                               .created_at = c->new_at,
                               .updated_at = c->new_at,
                               .expires_at = c->new_at + KEEP_SECONDS};

    json_decref(body);
    if (!documents_add(c->store, &d, r.labels, r.n_labels, err)) {
        json_decref(check);
        return false;
    }
    *answer = check;
    return true;
}

static bool find_made(struct api_call *c, struct str id, json_t **answer, struct error *err)
{
    struct document d;

    if (!documents_get(c->store, CHECK_KIND, c->who.project_id, id, c->arena, &d, err))
        return err->kind == ERR_NOT_FOUND;
    *answer = shown(&d);
    return true;
}

static bool create(struct api_call *c, struct error *err)
{
    static const struct api_maker check = {
        .prefix = "ftcheck-", .status = 200, .find = find_made, .make = make};

    return api_need_body(c, err) && api_make_once(c, &check, err);
}

/* ---- looked up ---- */

static bool list(struct api_call *c, struct error *err)
{
    const struct document_filter filter = {.kind = CHECK_KIND, .project_id = c->who.project_id};
    struct store_page page;

    return api_page(c, 20, 100, false, &page, err) &&
           api_reply_documents(c, &filter, &page, shown, err);
}

static bool retrieve(struct api_call *c, struct error *err)
{
    struct document d;

    return find(c, c->id[0], &d, err) && api_reply(c, 200, shown(&d));
}

/* ---- ended ---- */

static bool set_cancelled(void *ctx, const struct document *was, struct arena *a,
                          struct document_change *to, struct error *err)
{
    json_t *body = api_json_of(was->body), *check = check_shown(body);
    const struct str status = json_str(json_object_get(check, "status"));
    bool ok = true;

    if (!check_has_ended(status)) {
        json_object_set_new(check, "status", json_string("cancelled"));
        json_object_set_new(check, "progress", json_null());
        json_object_set_new(check, "finished_at", json_integer(*(const json_int_t *)ctx));
        to->body = api_text_of(body, a);
        to->state = "cancelled";
    } else if (!str_is(status, "cancelled")) { /* asked for twice, it is one */
        ok = fail_param(err, ERR_INVALID, "check_id",
                        "the check has " STR_FMT " already and cannot be cancelled",
                        STR_ARG(status));
    }
    json_decref(body);
    return ok;
}

static bool cancel(struct api_call *c, struct error *err)
{
    struct document d;
    int64_t now;

    if (!store_now(c->store, &now, err) || !find(c, c->id[0], &d, err))
        return false;
    json_int_t at = (json_int_t)now;
    return documents_change(c->store, CHECK_KIND, c->who.project_id, c->id[0], set_cancelled, &at,
                            err) &&
           find(c, c->id[0], &d, err) && api_reply(c, 200, shown(&d));
}

#define CHECKS "/v1/fine_tuning/checks"
static const struct api_route routes[] = {
    {HTTP_POST, CHECKS, SCOPE_TRAIN, HTTP_BODY_MEMORY, create, "fine_tuning.check.create",
     MOST_JOB_BYTES},
    {HTTP_GET, CHECKS, SCOPE_TRAIN, HTTP_BODY_NONE, list, NULL, 0},
    {HTTP_GET, CHECKS "/{}", SCOPE_TRAIN, HTTP_BODY_NONE, retrieve, NULL, 0},
    {HTTP_POST, CHECKS "/{}/cancel", SCOPE_TRAIN, HTTP_BODY_MEMORY, cancel,
     "fine_tuning.check.cancel", 0},
};
const struct api_table checks_routes = {routes, COUNT_OF(routes)};
