/*
 * route_completions.c - what is older or smaller than chat: completions of a text, embeddings; and why there are no moderations.
 */
#include "base/clock.h"
#include "base/size.h"
#include "server/api_error.h"
#include "server/generation.h"
#include "server/routes.h"

#include <nettle/base64.h>

#include <stdlib.h>
#include <string.h>

/* ---- completions ---- */

struct completion {
    const char *id, *model;
    int64_t created;
    bool stream, usage_wanted;
    json_t *choices;
};

static void completion_release(void *ctx)
{
    struct completion *x = ctx;

    json_decref(x->choices);
    free(x);
}

static json_t *body_of(const struct completion *x, json_t *choices)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:o}", "id", x->id, "object", "text_completion",
                     "created", (json_int_t)x->created, "model", x->model, "system_fingerprint",
                     "hone-" HONE_VERSION, "choices", choices);
}

/* {text: log-probability} of the likeliest tokens and of the one that was taken; null where none are wanted. */
static json_t *likeliest_of(const json_t *entry)
{
    json_t *top = json_object_get(entry, "top_logprobs"), *one, *o;
    size_t i;

    if (json_array_size(top) == 0)
        return json_null();
    o = json_object();
    json_array_foreach(top, i, one)
    {
        const char *token = json_string_value(json_object_get(one, "token"));

        if (json_object_get(o, token) == NULL) /* two may look alike: the likelier one */
            json_object_set(o, token, json_object_get(one, "logprob"));
    }
    const char *token = json_string_value(json_object_get(entry, "token"));
    if (json_object_get(o, token) == NULL)
        json_object_set(o, token, json_object_get(entry, "logprob"));
    return o;
}

/* How many characters begin in a token. */
static json_int_t characters_of(const json_t *entry)
{
    json_t *bytes = json_object_get(entry, "bytes"), *byte;
    json_int_t n = 0;
    size_t i;

    json_array_foreach(bytes, i, byte) n += (json_integer_value(byte) & 0xC0) != 0x80;
    return n;
}

/* The entries of chat's log-probabilities in the older form; offset: characters of the choice's text before them. */
static json_t *logprobs_of(const json_t *entries, json_int_t offset)
{
    json_t *tokens, *values, *top, *offsets, *entry;
    size_t i;

    if (!json_is_array(entries))
        return json_null();
    tokens = json_array();
    values = json_array();
    top = json_array();
    offsets = json_array();
    json_array_foreach((json_t *)(uintptr_t)entries, i, entry)
    {
        json_array_append(tokens, json_object_get(entry, "token"));
        json_array_append(values, json_object_get(entry, "logprob"));
        json_array_append_new(top, likeliest_of(entry));
        json_array_append_new(offsets, json_integer(offset));
        offset += characters_of(entry);
    }
    return json_pack("{s:o, s:o, s:o, s:o}", "tokens", tokens, "token_logprobs", values,
                     "top_logprobs", top, "text_offset", offsets);
}

static json_t *choice_of(const json_t *event)
{
    const json_t *logprobs = json_object_get(event, "logprobs");

    return json_pack("{s:O, s:O, s:o, s:O}", "index", json_object_get(event, "choice"), "text",
                     json_object_get(event, "text"), "logprobs",
                     logprobs_of(json_object_get(logprobs, "content"), 0), "finish_reason",
                     json_object_get(event, "finish_reason"));
}

/* What is new of a streamed choice. Its last delta may have log-probabilities alone. */
static json_t *delta_of(const json_t *event)
{
    json_t *text = json_object_get(event, "text");

    return json_pack("{s:O, s:o, s:o, s:n}", "index", json_object_get(event, "choice"), "text",
                     text != NULL ? json_incref(text) : json_string(""), "logprobs",
                     logprobs_of(json_object_get(event, "logprobs"),
                                 json_integer_value(json_object_get(event, "text_offset"))),
                     "finish_reason");
}

static void say_choices(struct generation *g, const struct completion *x, json_t *choices,
                        json_t *usage)
{
    json_t *body = body_of(x, choices);

    if (x->usage_wanted)
        json_object_set_new(body, "usage", usage != NULL ? json_incref(usage) : json_null());
    generation_say(g, NULL, body);
    json_decref(body);
}

/* The end of a streamed choice says no text again. */
static json_t *ending_of(const json_t *event)
{
    return json_pack("{s:O, s:s, s:n, s:O}", "index", json_object_get(event, "choice"), "text", "",
                     "logprobs", "finish_reason", json_object_get(event, "finish_reason"));
}

static void on_choice(struct generation *g, struct completion *x, const json_t *event)
{
    const size_t i = (size_t)json_integer_value(json_object_get(event, "choice"));

    if (x->stream) {
        say_choices(g, x, json_pack("[o]", ending_of(event)), NULL);
        return;
    }
    while (json_array_size(x->choices) <= i)
        json_array_append_new(x->choices, json_null());
    json_array_set_new(x->choices, i, choice_of(event));
}

static void on_done(struct generation *g, struct completion *x, const json_t *event)
{
    json_t *usage = json_object_get(event, "usage");

    if (x->stream) {
        if (x->usage_wanted)
            say_choices(g, x, json_array(), usage);
        generation_end(g, true);
        return;
    }
    json_t *body = body_of(x, json_incref(x->choices));
    json_object_set(body, "usage", usage);
    api_reply(generation_call(g), 200, body);
}

static void on_error(struct generation *g, const json_t *event)
{
    struct error err = {0};

    generation_error(event, &err);
    if (!generation_streams(g)) {
        api_reply_error(generation_call(g), &err);
        return;
    }
    json_t *body = api_error_body(&err);
    generation_say(g, NULL, body);
    json_decref(body);
    generation_end(g, false);
}

static void on_completion(struct generation *g, const json_t *event)
{
    struct completion *x = generation_ctx(g);
    const struct str type = json_str(json_object_get(event, "type"));

    if (str_is(type, "begin") && x->stream) {
        generation_stream(g);
    } else if (str_is(type, "delta") && x->stream) {
        say_choices(g, x, json_pack("[o]", delta_of(event)), NULL);
    } else if (str_is(type, "choice")) {
        on_choice(g, x, event);
    } else if (str_is(type, "done")) {
        on_done(g, x, event);
        completion_release(x);
    } else if (str_is(type, "error")) {
        on_error(g, event);
        completion_release(x);
    }
}

static bool complete(struct api_call *c, struct error *err)
{
    struct generation_options opt = {
        .op = ENGINE_COMPLETE, .on_event = on_completion, .release = completion_release};
    struct completion *x;
    const char *name;
    bool ok;

    if (!api_need_body(c, err) || !api_text(c->body, "model", true, 256, c->arena, &name, err) ||
        !api_model(c, str_of(name), &opt.model, err))
        return false;
    x = calloc(1, sizeof *x);
    if (x == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a request");
    x->id = store_new_id("cmpl-", c->arena);
    x->model = name;
    x->created = clock_unix();
    x->choices = json_array();
    const json_t *options = json_object_get(c->body, "stream_options");
    ok = json_get_bool(c->body, "stream", "the request", false, &x->stream, err) &&
         (!json_is_object(options) ||
          json_get_bool(options, "include_usage", "the request", false, &x->usage_wanted, err));
    json_t *body = json_copy(c->body);
    json_object_del(body, "stream");
    json_object_del(body, "stream_options");
    opt.ctx = x;
    opt.body = body;
    ok = ok && generation_start(c, &opt, err);
    json_decref(body);
    if (!ok)
        completion_release(x);
    return ok;
}

/* ---- embeddings ---- */

struct embedding {
    const char *model;
    bool base64;
};

/* Little-endian floats, as the client decodes them. */
static json_t *base64_of(const json_t *vector)
{
    const size_t n = json_array_size(vector);
    uint8_t *bytes = malloc(4 * n + 1);
    char *text = malloc(BASE64_ENCODE_RAW_LENGTH(4 * n) + 1);
    json_t *out = NULL;

    if (bytes != NULL && text != NULL) {
        for (size_t i = 0; i < n; i++) {
            const float x = (float)json_number_value(json_array_get(vector, i));
            uint32_t bits;

            memcpy(&bits, &x, sizeof bits);
            for (size_t k = 0; k < 4; k++)
                bytes[4 * i + k] = (uint8_t)(bits >> (8 * k));
        }
        base64_encode_raw(text, 4 * n, bytes);
        out = json_stringn(text, BASE64_ENCODE_RAW_LENGTH(4 * n));
    }
    free(bytes);
    free(text);
    return out != NULL ? out : json_null();
}

static void on_embedding(struct generation *g, const json_t *event)
{
    struct embedding *x = generation_ctx(g);
    const struct str type = json_str(json_object_get(event, "type"));
    json_t *data = json_array(), *vector, *tokens = json_object_get(event, "prompt_tokens");
    struct error err = {0};
    size_t i;

    if (str_is(type, "result")) {
        json_array_foreach(json_object_get(event, "embeddings"), i, vector) json_array_append_new(
            data, json_pack("{s:s, s:I, s:o}", "object", "embedding", "index", (json_int_t)i,
                            "embedding", x->base64 ? base64_of(vector) : json_incref(vector)));
        api_reply(generation_call(g), 200,
                  json_pack("{s:s, s:s, s:O, s:{s:O, s:O}}", "object", "list", "model", x->model,
                            "data", data, "usage", "prompt_tokens", tokens, "total_tokens",
                            tokens));
        free(x);
    } else if (str_is(type, "error")) {
        generation_error(event, &err);
        api_reply_error(generation_call(g), &err);
        free(x);
    }
    json_decref(data);
}

static bool read_format(const json_t *body, bool *base64, struct error *err)
{
    const json_t *f = json_object_get(body, "encoding_format");

    *base64 = str_is(json_str(f), "base64");
    return f == NULL || json_is_null(f) || *base64 || str_is(json_str(f), "float") ||
           fail_param(err, ERR_INVALID, "encoding_format",
                      "\"encoding_format\" is neither \"float\" nor \"base64\"");
}

static bool embed(struct api_call *c, struct error *err)
{
    struct generation_options opt = {.op = ENGINE_EMBED, .on_event = on_embedding, .release = free};
    struct embedding *x;
    const char *name;
    bool base64;

    if (!api_need_body(c, err) || !api_text(c->body, "model", true, 256, c->arena, &name, err) ||
        !read_format(c->body, &base64, err) || !api_model(c, str_of(name), &opt.model, err))
        return false;
    x = calloc(1, sizeof *x);
    if (x == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a request");
    *x = (struct embedding){.model = name, .base64 = base64};
    json_t *body = json_object();
    json_object_set(body, "input", json_object_get(c->body, "input"));
    if (json_object_get(c->body, "dimensions") != NULL)
        json_object_set(body, "dimensions", json_object_get(c->body, "dimensions"));
    opt.ctx = x;
    opt.body = body;
    const bool ok = generation_start(c, &opt, err);
    json_decref(body);
    if (!ok)
        free(x);
    return ok;
}

/* ---- moderations ---- */

static bool moderate(struct api_call *c, struct error *err)
{
    (void)c;
    return fail_code(err, ERR_UNSUPPORTED, "not_offered", "",
                     "this server has no moderation model and judges no text: an answer that "
                     "nothing was found would be made up");
}

static const struct api_route routes[] = {
    {HTTP_POST, "/v1/completions", SCOPE_USE, HTTP_BODY_MEMORY, complete, NULL, 0},
    {HTTP_POST, "/v1/embeddings", SCOPE_USE, HTTP_BODY_MEMORY, embed, NULL, 0},
    {HTTP_POST, "/v1/moderations", SCOPE_USE, HTTP_BODY_MEMORY, moderate, NULL, 0},
};
const struct api_table completions_routes = {routes, COUNT_OF(routes)};
