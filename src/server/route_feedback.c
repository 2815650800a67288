/*
 * route_feedback.c - feedback on stored answers: added by whoever uses a model, exported by whoever trains one.
 */
#include "base/size.h"
#include "server/feedback.h"
#include "server/routes.h"

#include <stdlib.h>

#define MAX_EXPORT_BYTES ((size_t)512 << 20)

static bool create(struct api_call *c, struct error *err)
{
    struct label *labels;
    struct document d;
    size_t n;

    if (!api_need_body(c, err) || !api_metadata(c->body, c->arena, &labels, &n, err) ||
        !feedback_add(c->store, c->who.project_id, c->body, labels, n, c->arena, &d, err))
        return false;
    return api_reply(c, 200, feedback_json(&d));
}

static const char *query_text(struct api_call *c, const char *name)
{
    const struct str s = http_query(c->x, name);

    return s.len > 0 ? arena_text(c->arena, s) : NULL;
}

static bool list(struct api_call *c, struct error *err)
{
    const struct document_filter f = {.kind = FEEDBACK_KIND,
                                      .project_id = c->who.project_id,
                                      .state = query_text(c, "object_id"),
                                      .model = query_text(c, "model")};
    struct store_page page;

    return api_page(c, 20, 100, false, &page, err) &&
           api_reply_documents(c, &f, &page, feedback_json, err);
}

static bool retrieve(struct api_call *c, struct error *err)
{
    struct document d;

    if (!documents_get(c->store, FEEDBACK_KIND, c->who.project_id, c->id[0], c->arena, &d, err))
        return err->kind == ERR_NOT_FOUND ? fail_param(err, ERR_NOT_FOUND, "feedback_id",
                                                       "there is no feedback of this id here")
                                          : false;
    return api_reply(c, 200, feedback_json(&d));
}

static bool delete_feedback(struct api_call *c, struct error *err)
{
    if (!documents_delete(c->store, FEEDBACK_KIND, c->who.project_id, c->id[0], err))
        return err->kind == ERR_NOT_FOUND ? fail_param(err, ERR_NOT_FOUND, "feedback_id",
                                                       "there is no feedback of this id here")
                                          : false;
    return api_reply(c, 200,
                     json_pack("{s:s%, s:s, s:b}", "id", c->id[0].ptr, c->id[0].len, "object",
                               "feedback.deleted", "deleted", 1));
}

static bool do_export(struct api_call *c, struct error *err)
{
    struct http_pair headers[API_MAX_HEADERS + 3];
    enum dataset_format format;
    struct buf text;
    size_t n_rows, n_left_out;

    if (!feedback_format(http_query(c->x, "format"), &format))
        return fail_param(err, ERR_INVALID, "format",
                          "\"format\" is the method that learns from it: supervised, dpo or rft");
    buf_init(&text, MAX_EXPORT_BYTES);
    const bool ok = feedback_export(c->store, c->who.project_id, query_text(c, "model"), format,
                                    &text, &n_rows, &n_left_out, err);
    if (ok) {
        size_t n = api_headers(c, headers);

        headers[n++] = (struct http_pair){STR("content-disposition"),
                                          STR("attachment; filename=\"feedback.jsonl\"")};
        headers[n++] =
            (struct http_pair){STR("hone-rows"), str_of(arena_printf(c->arena, "%zu", n_rows))};
        headers[n++] = (struct http_pair){STR("hone-left-out"),
                                          str_of(arena_printf(c->arena, "%zu", n_left_out))};
        http_answer(c->x, 200, "application/jsonl", buf_view(&text), headers, n);
    }
    buf_release(&text);
    return ok;
}

static bool export(struct api_call *c, struct error *err)
{
    return api_later(c, do_export, err);
}

#define FEEDBACK "/v1/feedback"
static const struct api_route routes[] = {
    {HTTP_POST, FEEDBACK, SCOPE_USE, HTTP_BODY_MEMORY, create, "feedback.create", 0},
    {HTTP_GET, FEEDBACK, SCOPE_USE, HTTP_BODY_NONE, list, NULL, 0},
    {HTTP_GET, FEEDBACK "/export", SCOPE_TRAIN, HTTP_BODY_NONE, export, NULL, 0},
    {HTTP_GET, FEEDBACK "/{}", SCOPE_USE, HTTP_BODY_NONE, retrieve, NULL, 0},
    {HTTP_DELETE, FEEDBACK "/{}", SCOPE_USE, HTTP_BODY_NONE, delete_feedback, "feedback.delete", 0},
};
const struct api_table feedback_routes = {routes, COUNT_OF(routes)};
