/*
 * route_chat.c - chat completions: asked for, streamed, stored, looked up again.
 */
#include "base/clock.h"
#include "base/size.h"
#include "server/api_error.h"
#include "server/generation.h"
#include "server/routes.h"

#include <stdlib.h>
#include <string.h>

#define KIND "chat.completion"
#define MAX_LIST 100

/* One request under way; on the heap, its texts in the call's arena. */
struct chat {
    struct api *api;
    const char *id, *model;
    int64_t created;
    bool stream, usage_wanted, store;
    json_t *request; /* as it came */
    json_t *choices; /* those that have ended */
    json_t *usage;   /* of the end */
    size_t n;
    struct label *labels; /* metadata */
    size_t n_labels;
};

static void chat_release(void *ctx)
{
    struct chat *x = ctx;

    json_decref(x->request);
    json_decref(x->choices);
    json_decref(x->usage);
    free(x);
}

/* ---- answers ---- */

static json_t *response_of(const struct chat *x, const json_t *usage)
{
    json_t *choices = json_array(), *choice;
    size_t i;

    json_array_foreach(x->choices, i, choice) json_array_append_new(
        choices, json_pack("{s:I, s:O, s:O, s:O}", "index", (json_int_t)i, "message",
                           json_object_get(choice, "message"), "logprobs",
                           json_object_get(choice, "logprobs"), "finish_reason",
                           json_object_get(choice, "finish_reason")));
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:o, s:O}", "id", x->id, "object",
                     "chat.completion", "created", (json_int_t)x->created, "model", x->model,
                     "system_fingerprint", "hone-" HONE_VERSION, "service_tier", "default",
                     "choices", choices, "usage", usage);
}

/* What is kept: the request, so that it can be learned from, and the response as it went out. */
static bool keep(struct api_call *c, const struct chat *x, const json_t *response,
                 struct error *err)
{
    json_t *body = json_pack("{s:O, s:O, s:o}", "request", x->request, "response", response,
                             "metadata", api_json_of_labels(x->labels, x->n_labels));
    const struct document d = {.kind = KIND,
                               .id = x->id,
                               .project_id = c->who.project_id,
                               .model = x->model,
                               .body = api_text_of(body, c->arena),
                               .created_at = x->created,
                               .updated_at = x->created,
                               .expires_at = api_answer_expires(c, x->created)};

    json_decref(body);
    return documents_add(c->store, &d, x->labels, x->n_labels, err) ||
           fail_while(err, "storing the completion");
}

static json_t *chunk_of(const struct chat *x, json_t *choices)
{
    json_t *chunk = json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:o}", "id", x->id, "object",
                              "chat.completion.chunk", "created", (json_int_t)x->created, "model",
                              x->model, "system_fingerprint", "hone-" HONE_VERSION, "service_tier",
                              "default", "choices", choices);

    if (x->usage_wanted)
        json_object_set_new(chunk, "usage", json_null());
    return chunk;
}

/* delta and logprobs are taken; finish may be NULL. */
static void say_choice(struct generation *g, const struct chat *x, json_int_t index, json_t *delta,
                       json_t *logprobs, const json_t *finish)
{
    json_t *choice = json_pack("{s:I, s:o, s:o, s:O?}", "index", index, "delta", delta, "logprobs",
                               logprobs, "finish_reason", (json_t *)(uintptr_t)finish);

    if (finish == NULL)
        json_object_set_new(choice, "finish_reason", json_null());
    json_t *chunk = chunk_of(x, json_pack("[o]", choice));
    generation_say(g, NULL, chunk);
    json_decref(chunk);
}

static void begin_stream(struct generation *g, const struct chat *x)
{
    generation_stream(g);
    for (size_t i = 0; i < x->n; i++)
        say_choice(g, x, (json_int_t)i,
                   json_pack("{s:s, s:s, s:n}", "role", "assistant", "content", "", "refusal"),
                   json_null(), NULL);
}

static void say_delta(struct generation *g, const struct chat *x, const json_t *event)
{
    json_t *delta = json_object(), *logprobs = json_object_get(event, "logprobs");
    json_t *reasoning = json_object_get(event, "reasoning");

    if (reasoning != NULL) { /* the two names that are in use for it */
        json_object_set(delta, "reasoning_content", reasoning);
        json_object_set(delta, "reasoning", reasoning);
    }
    if (json_object_get(event, "content") != NULL)
        json_object_set(delta, "content", json_object_get(event, "content"));
    if (json_object_get(event, "tool_calls") != NULL)
        json_object_set(delta, "tool_calls", json_object_get(event, "tool_calls"));
    say_choice(g, x, json_integer_value(json_object_get(event, "choice")), delta,
               logprobs != NULL ? json_pack("{s:O, s:n}", "content", logprobs, "refusal")
                                : json_null(),
               NULL);
}

static void end_stream(struct generation *g, const struct chat *x, const json_t *usage)
{
    if (x->usage_wanted) {
        json_t *chunk = chunk_of(x, json_array());

        json_object_set(chunk, "usage", (json_t *)(uintptr_t)usage);
        generation_say(g, NULL, chunk);
        json_decref(chunk);
    }
    generation_end(g, true);
}

static void break_stream(struct generation *g, const struct error *err)
{
    json_t *body = api_error_body(err);

    generation_say(g, NULL, body);
    json_decref(body);
    generation_end(g, false);
}

static void on_done(struct generation *g, struct chat *x, const json_t *event)
{
    struct api_call *c = generation_call(g);
    json_t *response = response_of(x, json_object_get(event, "usage"));
    struct error err = {0};
    const bool kept = !x->store || keep(c, x, response, &err);

    if (generation_streams(g) && kept)
        end_stream(g, x, json_object_get(event, "usage"));
    else if (generation_streams(g))
        break_stream(g, &err);
    else if (kept)
        api_reply(c, 200, json_incref(response));
    else
        api_reply_error(c, &err);
    json_decref(response);
}

static void on_error(struct generation *g, const json_t *event)
{
    struct error err = {0};

    generation_error(event, &err);
    if (generation_streams(g))
        break_stream(g, &err);
    else
        api_reply_error(generation_call(g), &err);
}

static void on_event(struct generation *g, const json_t *event)
{
    struct chat *x = generation_ctx(g);
    const struct str type = json_str(json_object_get(event, "type"));
    const size_t i = (size_t)json_integer_value(json_object_get(event, "choice"));

    if (str_is(type, "begin") && x->stream) {
        begin_stream(g, x);
    } else if (str_is(type, "delta") && x->stream) {
        say_delta(g, x, event);
    } else if (str_is(type, "choice")) {
        while (json_array_size(x->choices) <= i)
            json_array_append_new(x->choices, json_null());
        json_array_set(x->choices, i, (json_t *)(uintptr_t)event);
        if (x->stream)
            say_choice(g, x, (json_int_t)i, json_object(), json_null(),
                       json_object_get(event, "finish_reason"));
    } else if (str_is(type, "done")) {
        on_done(g, x, event);
        chat_release(x);
    } else if (str_is(type, "error")) {
        on_error(g, event);
        chat_release(x);
    }
}

/* ---- the request ---- */

static bool get_bool(const json_t *body, const char *key, bool *out, struct error *err)
{
    return json_get_bool(body, key, "the request", false, out, err);
}

/* What is the server's business and not the model's goes away. */
static json_t *body_for_engine(const json_t *body)
{
    static const char *const ours[] = {"stream", "stream_options", "store", "metadata"};
    json_t *b = json_copy((json_t *)(uintptr_t)body);

    for (size_t i = 0; i < COUNT_OF(ours); i++)
        json_object_del(b, ours[i]);
    return b;
}

static bool read_request(struct api_call *c, struct chat *x, struct error *err)
{
    const json_t *options = json_object_get(c->body, "stream_options");
    int64_t n = 1;

    if (!get_bool(c->body, "stream", &x->stream, err) ||
        !get_bool(c->body, "store", &x->store, err) ||
        !json_get_int(c->body, "n", "the request", 1, 1, 128, &n, err) ||
        !api_metadata(c->body, c->arena, &x->labels, &x->n_labels, err))
        return false;
    if (options != NULL && !json_is_null(options)) {
        if (!json_is_object(options))
            return fail_code(err, ERR_INVALID, "invalid_type", "stream_options",
                             "\"stream_options\" is %s, an object was expected",
                             json_kind(options));
        if (!x->stream)
            return fail_param(err, ERR_INVALID, "stream_options",
                              "\"stream_options\" is possible only with \"stream\": true");
        if (!get_bool(options, "include_usage", &x->usage_wanted, err))
            return false;
    }
    x->n = (size_t)n;
    x->id = store_new_id("chatcmpl-", c->arena);
    x->created = clock_unix();
    x->request = json_incref(c->body);
    x->choices = json_array();
    return true;
}

static bool create(struct api_call *c, struct error *err)
{
    struct generation_options opt = {
        .op = ENGINE_CHAT, .on_event = on_event, .release = chat_release};
    struct chat *x;
    const char *name;

    if (!api_need_body(c, err) || !api_text(c->body, "model", true, 256, c->arena, &name, err) ||
        !api_model(c, str_of(name), &opt.model, err))
        return false;
    x = calloc(1, sizeof *x);
    if (x == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a request");
    x->api = c->api;
    x->model = name;
    json_t *body = body_for_engine(c->body);
    opt.ctx = x;
    opt.body = body;
    const bool ok = read_request(c, x, err) && generation_start(c, &opt, err);
    json_decref(body);
    if (!ok)
        chat_release(x);
    return ok;
}

/* ---- stored ones ---- */

static json_t *stored_json(const struct document *d)
{
    json_t *body = api_json_of(d->body), *response = json_copy(json_object_get(body, "response"));

    if (response == NULL)
        response = json_object();
    json_object_set(response, "metadata", json_object_get(body, "metadata"));
    json_decref(body);
    return response;
}

static bool list(struct api_call *c, struct error *err)
{
    const struct str model = http_query(c->x, "model");
    const struct document_filter f = {.kind = KIND,
                                      .project_id = c->who.project_id,
                                      .model =
                                          model.ptr != NULL ? arena_text(c->arena, model) : NULL};
    struct store_page page;

    return api_page(c, 20, MAX_LIST, true, &page, err) &&
           api_reply_documents(c, &f, &page, stored_json, err);
}

static bool find(struct api_call *c, struct document *d, struct error *err)
{
    if (documents_get(c->store, KIND, c->who.project_id, c->id[0], c->arena, d, err))
        return true;
    return err->kind == ERR_NOT_FOUND &&
           fail_param(err, ERR_NOT_FOUND, "completion_id",
                      "there is no stored completion of this id: only those asked for with "
                      "\"store\": true are kept");
}

static bool retrieve(struct api_call *c, struct error *err)
{
    struct document d;

    return find(c, &d, err) && api_reply(c, 200, stored_json(&d));
}

static bool set_labels(void *ctx, const struct document *was, struct arena *a,
                       struct document_change *to, struct error *err)
{
    const struct document_change *wanted = ctx;
    json_t *body = api_json_of(was->body);

    (void)err;
    *to = *wanted;
    json_object_set_new(body, "metadata", api_json_of_labels(wanted->labels, wanted->n_labels));
    to->body = api_text_of(body, a);
    json_decref(body);
    return true;
}

static bool update(struct api_call *c, struct error *err)
{
    struct document_change change = {.set_labels = true};
    struct label *labels;
    struct document d;

    if (!api_need_body(c, err) || !find(c, &d, err))
        return false;
    if (json_object_get(c->body, "metadata") == NULL)
        return fail_code(err, ERR_INVALID, "missing_required_parameter", "metadata",
                         "\"metadata\" is missing: nothing else of a stored completion can be "
                         "changed");
    if (!api_metadata(c->body, c->arena, &labels, &change.n_labels, err))
        return false;
    change.labels = labels;
    return documents_change(c->store, KIND, c->who.project_id, c->id[0], set_labels, &change,
                            err) &&
           find(c, &d, err) && api_reply(c, 200, stored_json(&d));
}

static bool delete_stored(struct api_call *c, struct error *err)
{
    struct document d;

    return find(c, &d, err) && documents_delete(c->store, KIND, c->who.project_id, c->id[0], err) &&
           api_reply(c, 200,
                     json_pack("{s:s, s:s, s:b}", "id", d.id, "object", "chat.completion.deleted",
                               "deleted", 1));
}

/* A message of the request as the list shows it: with an id, and parts apart. */
static json_t *message_json(const char *completion, size_t i, const json_t *m, struct arena *a)
{
    json_t *o = json_copy((json_t *)(uintptr_t)m), *content = json_object_get(o, "content");

    json_object_set_new(o, "id", json_string(arena_printf(a, "%s-%zu", completion, i)));
    json_object_set_new(o, "content_parts",
                        json_is_array(content) ? json_incref(content) : json_null());
    if (json_is_array(content))
        json_object_set_new(o, "content", json_null());
    return o;
}

static bool messages(struct api_call *c, struct error *err)
{
    struct store_page page;
    struct document d;

    if (!find(c, &d, err) || !api_page(c, 20, MAX_LIST, true, &page, err))
        return false;
    json_t *body = api_json_of(d.body), *data = json_array();
    const json_t *all = json_object_get(json_object_get(body, "request"), "messages");
    const size_t n = json_array_size(all);
    size_t begin = 0;
    bool found = page.after == NULL;
    for (size_t k = 0; k < n && !found; k++) {
        const size_t i = page.ascending ? k : n - 1 - k;

        found = strcmp(arena_printf(c->arena, "%s-%zu", d.id, i), page.after) == 0;
        begin = k + 1;
    }
    for (size_t k = begin; found && k < n && json_array_size(data) < page.limit; k++) {
        const size_t i = page.ascending ? k : n - 1 - k;

        json_array_append_new(data, message_json(d.id, i, json_array_get(all, i), c->arena));
    }
    const bool more = begin + json_array_size(data) < n;
    json_decref(body);
    if (!found) {
        json_decref(data);
        return fail_param(err, ERR_NOT_FOUND, "after", "there is no message of this id here");
    }
    return api_reply_list(c, data, more);
}

static const struct api_route routes[] = {
    {HTTP_POST, "/v1/chat/completions", SCOPE_USE, HTTP_BODY_MEMORY, create, NULL, 0},
    {HTTP_GET, "/v1/chat/completions", SCOPE_USE, HTTP_BODY_NONE, list, NULL, 0},
    {HTTP_GET, "/v1/chat/completions/{}", SCOPE_USE, HTTP_BODY_NONE, retrieve, NULL, 0},
    {HTTP_POST, "/v1/chat/completions/{}", SCOPE_USE, HTTP_BODY_MEMORY, update, NULL, 0},
    {HTTP_DELETE, "/v1/chat/completions/{}", SCOPE_USE, HTTP_BODY_NONE, delete_stored,
     "chat.completion.delete", 0},
    {HTTP_GET, "/v1/chat/completions/{}/messages", SCOPE_USE, HTTP_BODY_NONE, messages, NULL, 0},
};
const struct api_table chat_routes = {routes, COUNT_OF(routes)};
