/*
 * route_responses.c - responses: asked for, streamed, kept, continued, looked up again.
 */
#include "base/clock.h"
#include "base/size.h"
#include "server/api_error.h"
#include "server/api_internal.h"
#include "server/generation.h"
#include "server/response_call.h"
#include "server/response_events.h"
#include "server/response_feed.h"
#include "server/response_output.h"
#include "server/routes.h"
#include "server/runner.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

/* One request whose client waits. */
struct responding {
    struct response_call call;
    struct response_output *output;
    bool stream, store;
};

static void responding_free(void *ctx)
{
    struct responding *x = ctx;

    response_call_release(&x->call);
    response_output_free(x->output);
    free(x);
}

/* A conversation can be gone on with for as long as its last response is stored: those before it stay as long. */
static bool keep_before(struct api_call *c, const struct responding *x, int64_t expires_at,
                        struct error *err)
{
    return documents_keep_until(c->store, RESPONSE_KIND, c->who.project_id, x->call.before,
                                x->call.n_before, expires_at, err);
}

static bool keep(struct api_call *c, const struct responding *x, const json_t *response,
                 struct error *err)
{
    struct label *labels;
    size_t n;

    if (!api_metadata(x->call.request, c->arena, &labels, &n, err))
        return false;
    const struct document d = {.kind = RESPONSE_KIND,
                               .id = x->call.id,
                               .project_id = c->who.project_id,
                               .state = json_string_value(json_object_get(response, "status")),
                               .model = x->call.model,
                               .body = response_call_document(&x->call, response, c->arena),
                               .created_at = x->call.created_at,
                               .updated_at = x->call.created_at,
                               .expires_at = api_answer_expires(c, x->call.created_at)};
    return (keep_before(c, x, d.expires_at, err) && documents_add(c->store, &d, labels, n, err)) ||
           fail_while(err, "storing the response");
}

static bool is_last(const char *name)
{
    return strcmp(name, "response.completed") == 0 || strcmp(name, "response.incomplete") == 0 ||
           strcmp(name, "response.failed") == 0;
}

static void say_error(struct generation *g, const struct error *err)
{
    json_t *body = api_error_body(err), *e = json_copy(json_object_get(body, "error"));

    json_object_set_new(e, "type", json_string("error"));
    generation_say(g, "error", e);
    json_decref(e);
    json_decref(body);
}

/* Kept before it is told: what a client has seen the end of can be continued. */
static void say(void *ctx, const char *name, const json_t *event)
{
    struct generation *g = ctx;
    const struct responding *x = generation_ctx(g);
    struct error err = {0};

    if (is_last(name) && x->store &&
        !keep(generation_call(g), x, json_object_get(event, "response"), &err))
        say_error(g, &err);
    else
        generation_say(g, name, event);
}

static void reply(struct generation *g, struct responding *x, const json_t *event)
{
    struct api_call *c = generation_call(g);
    struct error err = {0};

    if (str_is(json_str(json_object_get(event, "type")), "error")) {
        generation_error(event, &err);
        api_reply_error(c, &err);
        return;
    }
    json_t *response = response_output_object(x->output);
    if (!x->store || keep(c, x, response, &err))
        api_reply(c, 200, json_incref(response));
    else
        api_reply_error(c, &err);
    json_decref(response);
}

static void on_event(struct generation *g, const json_t *event)
{
    struct responding *x = generation_ctx(g);
    const struct str type = json_str(json_object_get(event, "type"));

    if (str_is(type, "begin") && x->stream)
        generation_stream(g);
    if (x->output == NULL)
        x->output = response_output_new(x->call.request, x->call.id, x->call.model,
                                        x->call.created_at, x->stream ? say : NULL, g);
    if (!x->stream || generation_streams(g))
        response_output_take(x->output, event);
    if (!str_is(type, "done") && !str_is(type, "error"))
        return;
    if (generation_streams(g))
        generation_end(g, false);
    else
        reply(g, x, event);
    responding_free(x);
}

/* ---- asked for ---- */

/* A misspelt setting would change an answer unnoticed. */
static bool check_keys(const json_t *body, struct error *err)
{
    static const char *const known[] = {
        "model", "input", "instructions", "previous_response_id", "conversation", "prompt", "store",
        "stream", "stream_options", "background", "include", "metadata", "reasoning", "text",
        "tools", "tool_choice", "parallel_tool_calls", "max_tool_calls", "max_output_tokens",
        "temperature", "top_p", "top_logprobs", "truncation", "user", "service_tier",
        "safety_identifier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
        "moderation", "context_management",
        /* of other servers */
        "seed", "stop", "top_k", "min_p", "chat_template_kwargs"};
    json_t *value;
    const char *key;

    json_object_foreach((json_t *)(uintptr_t)body, key, value)
    {
        bool is_known = false;

        for (size_t i = 0; i < COUNT_OF(known) && !is_known; i++)
            is_known = strcmp(key, known[i]) == 0;
        if (!is_known)
            return fail_code(err, ERR_INVALID, "unknown_parameter", key,
                             "the request has the key \"%.64s\", which is none of responses", key);
    }
    return true;
}

/* What is known and not offered is refused by name, so that nobody waits for it. */
static bool check_offers(const json_t *body, struct error *err)
{
    const json_t *truncation = json_object_get(body, "truncation");

    if (json_object_get(body, "conversation") != NULL &&
        !json_is_null(json_object_get(body, "conversation")))
        return fail_param(err, ERR_UNSUPPORTED, "conversation",
                          "conversations are not offered: continue by \"previous_response_id\"");
    if (json_object_get(body, "prompt") != NULL && !json_is_null(json_object_get(body, "prompt")))
        return fail_param(err, ERR_UNSUPPORTED, "prompt", "stored prompts are not offered");
    if (truncation != NULL && !json_is_null(truncation) &&
        !str_is(json_str(truncation), "disabled"))
        return fail_param(err, ERR_UNSUPPORTED, "truncation",
                          "\"truncation\" can only be \"disabled\": nothing of a conversation is "
                          "left out silently");
    return true;
}

/* What its answer follows from is fixed here: whoever is asked, and asked again, says the same. */
static void fix_seed(json_t *chat)
{
    uint32_t seed = 0;

    if (json_is_integer(json_object_get(chat, "seed")))
        return;
    if (getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed)
        seed = (uint32_t)clock_unix();
    json_object_set_new(chat, "seed", json_integer((json_int_t)(seed >> 1)));
}

/* The stream's first event, before anybody works on it: a client knows its id from here on. */
static bool keep_created(struct api_call *c, const struct responding *x, json_t *response,
                         struct error *err)
{
    struct response_events e = {.store = c->store,
                                .project_id = c->who.project_id,
                                .response_id = x->call.id,
                                .created_at = x->call.created_at};
    json_t *event = json_pack("{s:O, s:s, s:i}", "response", response, "type", "response.created",
                              "sequence_number", 0);
    const bool ok = response_events_keep(&e, str_of(api_text_of(event, c->arena)), 1, err);

    json_decref(event);
    return ok;
}

static bool keep_queued(struct api_call *c, const struct responding *x, json_t *response,
                        struct error *err)
{
    struct label *labels;
    size_t n;

    if (!api_metadata(x->call.request, c->arena, &labels, &n, err))
        return false;
    fix_seed(x->call.chat);
    json_t *body = json_pack("{s:O, s:O, s:O, s:O}", "request", x->call.request, "input",
                             x->call.input, "response", response, "chat", x->call.chat);
    const struct document d = {.kind = RESPONSE_KIND,
                               .id = x->call.id,
                               .project_id = c->who.project_id,
                               .state = "queued",
                               .model = x->call.model,
                               .body = api_text_of(body, c->arena),
                               .created_at = x->call.created_at,
                               .updated_at = x->call.created_at,
                               .expires_at = api_answer_expires(c, x->call.created_at)};
    json_decref(body);
    return keep_before(c, x, d.expires_at, err) && keep_created(c, x, response, err) &&
           documents_add(c->store, &d, labels, n, err);
}

static bool follow(struct api_call *c, const char *id, int64_t after, struct error *err)
{
    struct http_pair headers[API_MAX_HEADERS + 1];
    size_t n = api_headers(c, headers);

    headers[n++] = (struct http_pair){STR("cache-control"), STR("no-cache")};
    return response_feed_add(c->api->responses, c->x, headers, n, c->who.project_id, id, after,
                             err);
}

/* It is worked on whether or not the client stays: response_runner.c. */
static bool queue(struct api_call *c, struct responding *x, struct error *err)
{
    json_t *o =
        response_object_queued(x->call.request, x->call.id, x->call.model, x->call.created_at);
    bool ok = x->store || fail_param(err, ERR_INVALID, "store",
                                     "a background response is stored: \"store\" cannot be false");

    ok = ok && keep_queued(c, x, o, err);
    if (ok)
        runner_wake(c->api->runner);
    ok = ok && (x->stream ? follow(c, x->call.id, -1, err) : api_reply(c, 200, json_incref(o)));
    json_decref(o);
    return ok;
}

static bool read_flags(struct api_call *c, struct responding *x, bool *background,
                       struct error *err)
{
    struct label *labels;
    size_t n;

    return api_need_body(c, err) &&
           json_get_bool(c->body, "stream", "the request", false, &x->stream, err) &&
           json_get_bool(c->body, "store", "the request", true, &x->store, err) &&
           json_get_bool(c->body, "background", "the request", false, background, err) &&
           api_metadata(c->body, c->arena, &labels, &n, err) && check_keys(c->body, err) &&
           check_offers(c->body, err) &&
           response_call_read(c->api, c->who.project_id, c->body, NULL, clock_unix(), c->arena,
                              &x->call, err);
}

static bool create(struct api_call *c, struct error *err)
{
    struct responding *x = calloc(1, sizeof *x);
    bool background = false;

    if (x == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a request");
    bool ok = read_flags(c, x, &background, err);
    if (ok && background) {
        ok = queue(c, x, err);
        responding_free(x);
        return ok;
    }
    const struct generation_options opt = {.op = ENGINE_CHAT,
                                           .model = x->call.engine_model,
                                           .body = x->call.chat,
                                           .on_event = on_event,
                                           .release = responding_free,
                                           .ctx = x};
    ok = ok && generation_start(c, &opt, err);
    if (!ok)
        responding_free(x);
    return ok;
}

/* ---- counted ---- */

static void on_count(struct generation *g, const json_t *event)
{
    struct error err = {0};

    if (str_is(json_str(json_object_get(event, "type")), "error")) {
        generation_error(event, &err);
        api_reply_error(generation_call(g), &err);
    } else {
        api_reply(generation_call(g), 200,
                  json_pack("{s:s, s:O}", "object", "response.input_tokens", "input_tokens",
                            json_object_get(event, "prompt_tokens")));
    }
}

static bool count_tokens(struct api_call *c, struct error *err)
{
    struct response_call r = {0};

    if (!api_need_body(c, err) ||
        !response_call_read(c->api, c->who.project_id, c->body, NULL, 0, c->arena, &r, err))
        return false;
    const struct generation_options opt = {
        .op = ENGINE_COUNT, .model = r.engine_model, .body = r.chat, .on_event = on_count};
    const bool ok = generation_start(c, &opt, err);
    response_call_release(&r);
    return ok;
}

/* ---- stored ones ---- */

static bool find(struct api_call *c, json_t **body, struct error *err)
{
    struct document d;

    if (!documents_get(c->store, RESPONSE_KIND, c->who.project_id, c->id[0], c->arena, &d, err))
        return err->kind == ERR_NOT_FOUND &&
               fail_param(err, ERR_NOT_FOUND, "response_id",
                          "there is no stored response of this id in this project");
    *body = api_json_of(d.body);
    return true;
}

static bool read_after(const struct api_call *c, int64_t *out, struct error *err)
{
    const struct str text = http_query(c->x, "starting_after");
    int64_t n = 0;

    *out = -1;
    if (text.ptr == NULL)
        return true;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9' || n > INT32_MAX)
            return fail_param(err, ERR_INVALID, "starting_after",
                              "\"starting_after\" is the sequence_number of the last event seen");
        n = 10 * n + (text.ptr[i] - '0');
    }
    if (text.len > 0)
        *out = n;
    return true;
}

static bool stream_again(struct api_call *c, const json_t *body, struct error *err)
{
    const json_t *response = json_object_get(body, "response");
    const int64_t created = json_integer_value(json_object_get(response, "created_at"));
    int64_t after;

    if (!json_is_true(json_object_get(response, "background")))
        return fail_param(err, ERR_UNSUPPORTED, "stream",
                          "only a background response is streamed again: ask without \"stream\"");
    if (work_has_ended(json_str(json_object_get(response, "status"))) &&
        clock_unix() - RESPONSE_EVENTS_SECONDS >= created)
        return fail_param(err, ERR_UNSUPPORTED, "stream",
                          "the events of a background response are kept for a day: ask without "
                          "\"stream\"");
    return read_after(c, &after, err) && follow(c, arena_text(c->arena, c->id[0]), after, err);
}

static bool retrieve(struct api_call *c, struct error *err)
{
    json_t *body;

    if (!find(c, &body, err))
        return false;
    if (str_is(http_query(c->x, "stream"), "true")) {
        const bool ok = stream_again(c, body, err);

        json_decref(body);
        return ok;
    }
    json_t *response = json_incref(json_object_get(body, "response"));
    json_decref(body);
    return api_reply(c, 200, response);
}

static bool delete_response(struct api_call *c, struct error *err)
{
    json_t *body;

    if (!find(c, &body, err))
        return false;
    json_decref(body);
    return documents_delete(c->store, RESPONSE_KIND, c->who.project_id, c->id[0], err) &&
           api_reply(c, 200,
                     json_pack("{s:s%, s:s, s:b}", "id", c->id[0].ptr, c->id[0].len, "object",
                               "response", "deleted", 1));
}

/* A state that can still be left: queued and in progress. */
static bool set_cancelled(void *ctx, const struct document *was, struct arena *a,
                          struct document_change *to, struct error *err)
{
    json_t *body = api_json_of(was->body), *response = json_object_get(body, "response");
    const struct str status = json_str(json_object_get(response, "status"));
    const bool open = str_is(status, "queued") || str_is(status, "in_progress");

    (void)ctx;
    (void)err;
    if (open) {
        json_object_set_new(response, "status", json_string("cancelled"));
        json_object_del(body, "chat");
        to->body = api_text_of(body, a);
    }
    json_decref(body);
    return true;
}

static bool cancel(struct api_call *c, struct error *err)
{
    json_t *body;

    if (!find(c, &body, err))
        return false;
    const bool background =
        json_is_true(json_object_get(json_object_get(body, "response"), "background"));
    json_decref(body);
    if (!background)
        return fail_param(err, ERR_INVALID, "response_id",
                          "only a background response can be cancelled; another ends when its "
                          "client leaves");
    if (!documents_change(c->store, RESPONSE_KIND, c->who.project_id, c->id[0], set_cancelled, NULL,
                          err) ||
        !find(c, &body, err))
        return false;
    json_t *response = json_incref(json_object_get(body, "response"));
    json_decref(body);
    if (str_is(json_str(json_object_get(response, "status")), "cancelled") &&
        !work_end(c->store, RESPONSE_KIND, c->who.project_id, arena_text(c->arena, c->id[0]),
                  "response", "cancelled", err)) {
        json_decref(response);
        return false;
    }
    return api_reply(c, 200, response);
}

static bool input_items(struct api_call *c, struct error *err)
{
    struct store_page page;
    json_t *body;

    if (!api_page(c, 20, 100, false, &page, err) || !find(c, &body, err))
        return false;
    const json_t *all = json_object_get(body, "input");
    const size_t n = json_array_size(all);
    json_t *data = json_array();
    size_t k = 0;
    bool found = page.after == NULL;

    for (; k < n && !found; k++) {
        json_t *item = json_array_get(all, page.ascending ? k : n - 1 - k);

        found = str_is(json_str(json_object_get(item, "id")), page.after);
    }
    for (; found && k < n && json_array_size(data) < page.limit; k++)
        json_array_append(data, json_array_get(all, page.ascending ? k : n - 1 - k));
    json_decref(body);
    if (!found) {
        json_decref(data);
        return fail_param(err, ERR_NOT_FOUND, "after", "there is no item of this id here");
    }
    return api_reply_list(c, data, k < n);
}

static const struct api_route routes[] = {
    {HTTP_POST, "/v1/responses", SCOPE_USE, HTTP_BODY_MEMORY, create, NULL, 0},
    {HTTP_POST, "/v1/responses/input_tokens", SCOPE_USE, HTTP_BODY_MEMORY, count_tokens, NULL, 0},
    {HTTP_GET, "/v1/responses/{}", SCOPE_USE, HTTP_BODY_NONE, retrieve, NULL, 0},
    {HTTP_DELETE, "/v1/responses/{}", SCOPE_USE, HTTP_BODY_NONE, delete_response, "response.delete",
     0},
    {HTTP_POST, "/v1/responses/{}/cancel", SCOPE_USE, HTTP_BODY_MEMORY, cancel, NULL, 0},
    {HTTP_GET, "/v1/responses/{}/input_items", SCOPE_USE, HTTP_BODY_NONE, input_items, NULL, 0},
};
const struct api_table responses_routes = {routes, COUNT_OF(routes)};
