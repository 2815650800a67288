/*
 * response_call.c - the conversation before, then what is new.
 */
#include "server/response_call.h"
#include "server/api_internal.h"
#include "server/response_input.h"

#include <string.h>

#define MAX_CHAIN 1000

struct looking {
    struct store *store;
    const char *project_id;
    struct arena *a;
};

/* The stored response of this id; *body the caller's. */
static bool get_stored(const struct looking *l, struct str id, json_t **body, struct error *err)
{
    struct document d;

    if (!documents_get(l->store, RESPONSE_KIND, l->project_id, id, l->a, &d, err))
        return false;
    *body = api_json_of(d.body);
    return true;
}

static json_t *item_in(const json_t *items, struct str id)
{
    json_t *item;
    size_t i;

    json_array_foreach(items, i, item) if (str_eq(json_str(json_object_get(item, "id")),
                                                  id)) return json_incref(item);
    return NULL;
}

/* Ids of items carry their response's: "msg_KEY_o0" is of resp_KEY. */
static json_t *find_item(void *ctx, struct str id)
{
    const struct looking *l = ctx;
    const size_t begin = str_find(id, STR("_"), 0) + 1;
    const size_t end = begin < id.len ? str_find(id, STR("_"), begin) : id.len;
    json_t *body, *found;
    struct error ignored;

    if (begin >= id.len || end >= id.len)
        return NULL;
    const char *response = arena_printf(l->a, "resp_%.*s", (int)(end - begin), id.ptr + begin);
    if (!store_id_is(str_of(response), "resp_") ||
        !get_stored(l, str_of(response), &body, &ignored))
        return NULL;
    found = item_in(json_object_get(body, "input"), id);
    if (found == NULL)
        found = item_in(json_object_get(json_object_get(body, "response"), "output"), id);
    json_decref(body);
    return found;
}

/* Puts the conversation that ends with this response in front of what comes after it; and ids has its responses, newest first. */
static bool put_before(const struct looking *l, const char *previous, json_t *messages,
                       const char *ids[MAX_CHAIN], size_t *n_ids, struct error *err)
{
    json_t *bodies[MAX_CHAIN];
    size_t n = 0;
    bool ok = true;

    while (ok && previous != NULL) {
        if (n == MAX_CHAIN) {
            ok = fail_param(err, ERR_LIMIT, "previous_response_id",
                            "the conversation before has more than %d responses", MAX_CHAIN);
            break;
        }
        if (!get_stored(l, str_of(previous), &bodies[n], err)) {
            ok = err->kind == ERR_NOT_FOUND &&
                 fail_code(err, ERR_INVALID, "previous_response_not_found", "previous_response_id",
                           "the response %.80s is not stored here: it was asked for with "
                           "\"store\": false, deleted, or never made",
                           previous);
            break;
        }
        ids[n] = arena_text(l->a, str_of(previous));
        const json_t *response = json_object_get(bodies[n++], "response");
        const struct str status = json_str(json_object_get(response, "status"));
        if (str_is(status, "queued") || str_is(status, "in_progress"))
            ok = fail_param(err, ERR_INVALID, "previous_response_id",
                            "the response %.80s has not ended yet", previous);
        previous = json_string_value(json_object_get(response, "previous_response_id"));
    }
    for (size_t i = n; i > 0; i--) {
        if (ok) {
            response_messages(json_object_get(bodies[i - 1], "input"), messages);
            response_messages(json_object_get(json_object_get(bodies[i - 1], "response"), "output"),
                              messages);
        }
        json_decref(bodies[i - 1]);
    }
    *n_ids = n;
    return ok;
}

static bool make_chat(const struct looking *l, struct response_call *r, struct error *err)
{
    const char *instructions, *previous, *before[MAX_CHAIN];
    json_t *messages = json_array();

    bool ok = api_text(r->request, "previous_response_id", false, 128, l->a, &previous, err);
    const json_t *said = json_object_get(r->request, "instructions");
    if (ok && said != NULL && !json_is_null(said) && !json_is_string(said))
        ok = fail_code(err, ERR_INVALID, "invalid_type", "instructions",
                       "\"instructions\" is %s, a text was expected", json_kind(said));
    instructions = json_string_value(said);
    if (ok && instructions != NULL && json_string_length(said) > 0)
        json_array_append_new(messages, json_pack("{s:s, s:O}", "role", "system", "content", said));
    ok = ok && put_before(l, previous, messages, before, &r->n_before, err);
    if (ok && json_array_size(r->input) > 0)
        response_messages(r->input, messages);
    if (!ok) {
        json_decref(messages);
        return false;
    }
    r->before = ARENA_ARRAY(l->a, const char *, r->n_before);
    for (size_t i = 0; i < r->n_before; i++)
        r->before[i] = before[i];
    return response_chat_body(r->request, messages, &r->chat, err);
}

bool response_conversation(struct store *s, const char *project_id, const json_t *document,
                           struct arena *a, json_t **out, struct error *err)
{
    const struct looking l = {.store = s, .project_id = project_id, .a = a};
    struct response_call r = {.request = json_object_get(document, "request"),
                              .input = json_object_get(document, "input")};

    if (!make_chat(&l, &r, err))
        return false;
    *out = r.chat;
    return true;
}

bool response_call_read(struct api *api, const char *project_id, json_t *request, const char *id,
                        int64_t created_at, struct arena *a, struct response_call *out,
                        struct error *err)
{
    struct looking l = {.store = api->opt.store, .project_id = project_id, .a = a};
    struct response_call r = {.created_at = created_at};
    const char *model;

    r.id = id != NULL ? arena_text(a, str_of(id)) : store_new_id("resp_", a);
    r.request = json_incref(request);
    bool ok = api_text(request, "model", true, 256, a, &model, err) &&
              api_model_of(api, project_id, str_of(model), a, &r.engine_model, err);
    if (ok)
        r.model = arena_text(a, str_of(model));
    ok = ok && response_items(request, r.id + strlen("resp_"), find_item, &l, &r.input, err) &&
         make_chat(&l, &r, err);
    if (!ok) {
        response_call_release(&r);
        return false;
    }
    *out = r;
    return true;
}

void response_call_release(struct response_call *r)
{
    json_decref(r->request);
    json_decref(r->input);
    json_decref(r->chat);
    *r = (struct response_call){0};
}

const char *response_call_document(const struct response_call *r, const json_t *response,
                                   struct arena *a)
{
    json_t *body = json_pack("{s:O, s:O, s:O}", "request", r->request, "input", r->input,
                             "response", response);
    const char *text = api_text_of(body, a);

    json_decref(body);
    return text;
}
