/*
 * route_webhooks.c - where a project wants to be told what happens.
 */
#include "base/clock.h"
#include "base/http.h"
#include "base/size.h"
#include "server/api_internal.h"
#include "server/routes.h"
#include "server/webhook.h"
#include "server/webhook_sender.h"

#include <stdlib.h>

#define KIND "webhook_endpoint"
#define MOST_ENDPOINTS 100
#define MOST_URL_BYTES 2048

/* ---- the object ---- */

static json_t *hint_of(struct str secret)
{
    return json_sprintf("whsec_...%.4s", secret.len >= 4 ? secret.ptr + secret.len - 4 : "");
}

static json_t *endpoint_json(const struct document *d)
{
    json_t *body = api_json_of(d->body), *o = json_object();
    json_t *key = json_object_get(body, "secret");
    static const char *const shown[] = {"name", "url", "event_types"};

    json_object_set_new(o, "object", json_string("webhook_endpoint"));
    json_object_set_new(o, "id", json_string(d->id));
    json_object_set_new(o, "created_at", json_integer(d->created_at));
    json_object_set_new(o, "updated_at", json_integer(d->updated_at));
    for (size_t i = 0; i < COUNT_OF(shown); i++)
        json_object_set(o, shown[i], json_object_get(body, shown[i]));
    json_object_set_new(o, "signing_secret_hint", hint_of(json_str(key)));
    json_decref(body);
    return o;
}

/* As only making and rotating tell it. */
static json_t *endpoint_with_secret(const struct document *d)
{
    json_t *body = api_json_of(d->body), *o = endpoint_json(d);

    json_object_set(o, "signing_secret", json_object_get(body, "secret"));
    json_decref(body);
    return o;
}

static bool get(struct api_call *c, struct document *out, struct error *err)
{
    return documents_get(c->store, KIND, c->who.project_id, c->id[0], c->arena, out, err);
}

/* ---- what a body says ---- */

static bool check_types(const json_t *v, struct error *err)
{
    if (!json_is_array(v) || json_array_size(v) == 0)
        return fail_code(err, ERR_INVALID, "invalid_type", "event_types",
                         "\"event_types\" is a list of one type or more; /v1/webhook_event_types "
                         "lists them");
    for (size_t i = 0; i < json_array_size(v); i++) {
        const struct str type = json_str(json_array_get(v, i));

        if (!webhook_is_type(type))
            return fail_param(err, ERR_INVALID, "event_types",
                              "\"" STR_FMT "\" is no type of event; /v1/webhook_event_types lists "
                              "them",
                              (int)size_min(type.len, 64), type.ptr);
    }
    return json_array_size(v) <= n_webhook_event_types ||
           fail_param(err, ERR_INVALID, "event_types", "\"event_types\" names a type twice");
}

/* Puts what the body says over what was; needed: all of it must be there. */
static bool read_endpoint(struct api_call *c, bool needed, json_t *to, struct error *err)
{
    const char *name, *url;
    json_t *types = json_object_get(c->body, "event_types");

    if (!api_need_body(c, err) || !api_text(c->body, "name", needed, 200, c->arena, &name, err) ||
        !api_text(c->body, "url", needed, MOST_URL_BYTES, c->arena, &url, err) ||
        (url != NULL && !http_check_url(url, "url", err)) ||
        ((needed || types != NULL) && !check_types(types, err)))
        return false;
    if (name != NULL)
        json_object_set_new(to, "name", json_string(name));
    if (url != NULL)
        json_object_set_new(to, "url", json_string(url));
    if (types != NULL)
        json_object_set(to, "event_types", types);
    return true;
}

/* ---- routes ---- */

static bool has_room(struct api_call *c, struct error *err)
{
    const struct document_filter f = {.kind = KIND, .project_id = c->who.project_id};
    const struct store_page page = {.limit = MOST_ENDPOINTS};
    struct document *all;
    size_t n;
    bool more;

    return documents_list(c->store, &f, &page, c->arena, &all, &n, &more, err) &&
           (n < MOST_ENDPOINTS ||
            fail_param(err, ERR_LIMIT, "url", "a project may have %d webhook endpoints",
                       MOST_ENDPOINTS));
}

static bool create(struct api_call *c, struct error *err)
{
    json_t *body = json_object();
    struct document d = {.kind = KIND,
                         .id = store_new_id("whe_", c->arena),
                         .project_id = c->who.project_id,
                         .created_at = clock_unix()};

    if (!read_endpoint(c, true, body, err) || !has_room(c, err)) {
        json_decref(body);
        return false;
    }
    json_object_set_new(body, "secret", json_string(webhook_new_secret(c->arena)));
    d.body = api_text_of(body, c->arena);
    d.updated_at = d.created_at;
    json_decref(body);
    return documents_add(c->store, &d, NULL, 0, err) && api_reply(c, 200, endpoint_with_secret(&d));
}

static bool list(struct api_call *c, struct error *err)
{
    const struct document_filter f = {.kind = KIND, .project_id = c->who.project_id};
    struct store_page page;

    return api_page(c, 20, 100, false, &page, err) &&
           api_reply_documents(c, &f, &page, endpoint_json, err);
}

static bool retrieve(struct api_call *c, struct error *err)
{
    struct document d;

    return get(c, &d, err) && api_reply(c, 200, endpoint_json(&d));
}

static bool change(void *ctx, const struct document *was, struct arena *a,
                   struct document_change *to, struct error *err)
{
    struct api_call *c = ctx;
    json_t *body = api_json_of(was->body);
    const bool ok = read_endpoint(c, false, body, err);

    if (ok)
        to->body = api_text_of(body, a);
    json_decref(body);
    return ok;
}

static bool update(struct api_call *c, struct error *err)
{
    return documents_change(c->store, KIND, c->who.project_id, c->id[0], change, c, err) &&
           retrieve(c, err);
}

static bool new_secret(void *ctx, const struct document *was, struct arena *a,
                       struct document_change *to, struct error *err)
{
    const bool *keep = ctx;
    json_t *body = api_json_of(was->body);

    (void)err;
    json_object_del(body, "old_secret");
    if (*keep) {
        json_object_set(body, "old_secret", json_object_get(body, "secret"));
        json_object_set_new(body, "old_until",
                            json_integer(clock_unix() + WEBHOOK_KEEP_OLD_SECONDS));
    }
    json_object_set_new(body, "secret", json_string(webhook_new_secret(a)));
    to->body = api_text_of(body, a);
    json_decref(body);
    return true;
}

static bool rotate(struct api_call *c, struct error *err)
{
    bool keep;
    struct document d;

    return json_get_bool(c->body, "keep_old_secret_active_for_24_hours", "the request", false,
                         &keep, err) &&
           documents_change(c->store, KIND, c->who.project_id, c->id[0], new_secret, &keep, err) &&
           get(c, &d, err) && api_reply(c, 200, endpoint_with_secret(&d));
}

static bool delete_endpoint(struct api_call *c, struct error *err)
{
    if (!documents_delete(c->store, KIND, c->who.project_id, c->id[0], err))
        return false;
    return api_reply(c, 200,
                     json_pack("{s:s%, s:s, s:b}", "id", c->id[0].ptr, c->id[0].len, "object",
                               "webhook_endpoint.deleted", "deleted", 1));
}

/* An event of something that does not exist, sent at once. */
static bool do_test(struct api_call *c, struct error *err)
{
    const char *type;
    struct document d;
    int status = 0;

    if (!api_text(c->body, "event_type", true, 64, c->arena, &type, err))
        return false;
    if (!webhook_is_type(str_of(type)))
        return fail_param(err, ERR_INVALID, "event_type", "\"%s\" is no type of event", type);
    if (!get(c, &d, err))
        return false;
    const char *id = store_new_id("evt_", c->arena);
    const char *text =
        webhook_event(id, type, clock_unix(), json_pack("{s:s}", "id", "test_object"), c->arena);
    json_t *endpoint = api_json_of(d.body);
    const bool sent =
        webhook_send(c->api->sender, endpoint, id, str_of(text), c->arena, &status, err);
    json_decref(endpoint);
    if (!sent) /* the receiver's fault or its address's: the caller's to mend, and not to be tried again */
        return fail_code(err, ERR_INVALID, "webhook_failed", "url", "%s", err->message);
    return api_reply(c, 200,
                     json_pack("{s:s, s:s, s:s, s:i, s:b}", "object", "webhook_endpoint.test",
                               "webhook_endpoint_id", d.id, "event_type", type, "status_code",
                               status, "success", status >= 200 && status < 300));
}

static bool test(struct api_call *c, struct error *err)
{
    return api_need_body(c, err) && api_later(c, do_test, err);
}

static bool list_types(struct api_call *c, struct error *err)
{
    json_t *data = json_array();

    (void)err;
    for (size_t i = 0; i < n_webhook_event_types; i++)
        json_array_append_new(data, json_string(webhook_event_types[i]));
    return api_reply(c, 200, json_pack("{s:s, s:o}", "object", "list", "data", data));
}

#define ENDPOINTS "/v1/webhook_endpoints"
static const struct api_route routes[] = {
    {HTTP_POST, ENDPOINTS, SCOPE_TRAIN, HTTP_BODY_MEMORY, create, "webhook_endpoint.create", 0},
    {HTTP_GET, ENDPOINTS, SCOPE_TRAIN, HTTP_BODY_NONE, list, NULL, 0},
    {HTTP_GET, ENDPOINTS "/{}", SCOPE_TRAIN, HTTP_BODY_NONE, retrieve, NULL, 0},
    {HTTP_POST, ENDPOINTS "/{}", SCOPE_TRAIN, HTTP_BODY_MEMORY, update, "webhook_endpoint.update",
     0},
    {HTTP_DELETE, ENDPOINTS "/{}", SCOPE_TRAIN, HTTP_BODY_NONE, delete_endpoint,
     "webhook_endpoint.delete", 0},
    {HTTP_POST, ENDPOINTS "/{}/rotate_secret", SCOPE_TRAIN, HTTP_BODY_MEMORY, rotate,
     "webhook_endpoint.rotate_secret", 0},
    {HTTP_POST, ENDPOINTS "/{}/test", SCOPE_TRAIN, HTTP_BODY_MEMORY, test, NULL, 0},
    {HTTP_GET, "/v1/webhook_event_types", SCOPE_TRAIN, HTTP_BODY_NONE, list_types, NULL, 0},
};
const struct api_table webhooks_routes = {routes, COUNT_OF(routes)};
