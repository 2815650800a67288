/*
 * route_completions.c - what is older or smaller than chat: completions of a text, embeddings; and why there are no moderations.
 */
#include "base/clock.h"
#include "base/size.h"
#include "base/utf8.h"
#include "server/api_error.h"
#include "server/generation.h"
#include "server/routes.h"

#include <nettle/base64.h>

#include <stdlib.h>
#include <string.h>

/* ---- completions: one request ---- */

struct completion {
    const char *id, *model;
    int64_t created;
    bool stream, usage_wanted;
    json_t *choices;
    json_t *offsets; /* of each choice: characters whose tokens have been told */
};

static void completion_release(void *ctx)
{
    struct completion *x = ctx;

    json_decref(x->choices);
    json_decref(x->offsets);
    free(x);
}

/* ---- log-probabilities: lists side by side, where chat has a list of objects ---- */

static struct str bytes_of(const json_t *entry, struct buf *out)
{
    const json_t *bytes = json_object_get(entry, "bytes");

    buf_clear(out);
    for (size_t i = 0; i < json_array_size(bytes); i++)
        buf_char(out, (char)json_integer_value(json_array_get(bytes, i)));
    return buf_view(out);
}

/* A token's text; one that is no text by itself is told by its bytes, for "\uFFFD" could be any. */
static struct str token_name(const json_t *entry, struct buf *bytes, struct buf *name)
{
    const struct str b = bytes_of(entry, bytes);

    if (utf8_valid(b) == b.len)
        return json_str(json_object_get(entry, "token"));
    buf_clear(name);
    buf_text(name, "bytes:");
    for (size_t i = 0; i < b.len; i++)
        buf_printf(name, "\\x%02x", (unsigned char)b.ptr[i]);
    return buf_view(name);
}

static size_t n_characters(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.ptr[i] & 0xC0) != 0x80;
    return n;
}

struct logprobs {
    json_t *tokens, *logps, *tops, *offsets;
    json_int_t offset;
    bool any_top;
};

/* {"token": logprob} of the likeliest; null where nothing is known, as of a prompt's tokens. */
static json_t *tops_of(struct logprobs *l, const json_t *entry, struct buf *bytes, struct buf *name)
{
    const json_t *list = json_object_get(entry, "top_logprobs"), *one;
    json_t *tops = json_array_size(list) > 0 ? json_object() : json_null();
    size_t i;

    json_array_foreach(list, i, one)
    {
        const struct str key = token_name(one, bytes, name);

        json_object_setn(tops, key.ptr, key.len, json_object_get(one, "logprob"));
    }
    l->any_top = l->any_top || json_is_object(tops);
    return tops;
}

static void put_token(struct logprobs *l, const json_t *entry)
{
    struct buf bytes, name;

    buf_init(&bytes, SIZE_MAX / 2);
    buf_init(&name, SIZE_MAX / 2);
    const struct str text = token_name(entry, &bytes, &name);
    json_array_append_new(l->tokens, json_stringn(text.ptr, text.len));
    json_array_append_new(l->offsets, json_integer(l->offset));
    l->offset += (json_int_t)n_characters(bytes_of(entry, &bytes));
    json_array_append(l->logps, json_object_get(entry, "logprob"));
    json_array_append_new(l->tops, tops_of(l, entry, &bytes, &name));
    buf_release(&bytes);
    buf_release(&name);
}

/* Of entries as chat has them, or NULL. Offsets go on from choice i's last token. */
static json_t *logprobs_of(struct completion *x, size_t i, const json_t *entries)
{
    struct logprobs l = {json_array(), json_array(), json_array(), json_array(), 0, false};
    const json_t *entry;
    size_t k;

    while (json_array_size(x->offsets) <= i)
        json_array_append_new(x->offsets, json_integer(0));
    l.offset = json_integer_value(json_array_get(x->offsets, i));
    json_array_foreach(entries, k, entry) put_token(&l, entry);
    json_array_set_new(x->offsets, i, json_integer(l.offset));
    if (!l.any_top) {
        json_decref(l.tops);
        l.tops = json_null();
    }
    json_t *out = json_pack("{s:o, s:o, s:o, s:o}", "tokens", l.tokens, "token_logprobs", l.logps,
                            "top_logprobs", l.tops, "text_offset", l.offsets);
    if (json_is_array(entries))
        return out;
    json_decref(out);
    return json_null();
}

/* ---- chunks and choices ---- */

static json_t *body_of(const struct completion *x, json_t *choices)
{
    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:o}", "id", x->id, "object", "text_completion",
                     "created", (json_int_t)x->created, "model", x->model, "system_fingerprint",
                     "hone-" HONE_VERSION, "choices", choices);
}

static json_t *choice_of(const json_t *event, json_t *text, json_t *logprobs, bool ended)
{
    return json_pack("{s:O, s:o, s:o, s:o}", "index", json_object_get(event, "choice"), "text",
                     text != NULL ? json_incref(text) : json_string(""), "logprobs", logprobs,
                     "finish_reason",
                     ended ? json_incref(json_object_get(event, "finish_reason")) : json_null());
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

static void on_choice(struct generation *g, struct completion *x, const json_t *event)
{
    const size_t i = (size_t)json_integer_value(json_object_get(event, "choice"));

    if (x->stream) {
        say_choices(g, x, json_pack("[o]", choice_of(event, NULL, json_null(), true)), NULL);
        return;
    }
    while (json_array_size(x->choices) <= i)
        json_array_append_new(x->choices, json_null());
    const json_t *entries = json_object_get(json_object_get(event, "logprobs"), "content");
    json_array_set_new(
        x->choices, i,
        choice_of(event, json_object_get(event, "text"), logprobs_of(x, i, entries), true));
}

static void on_delta(struct generation *g, struct completion *x, const json_t *event)
{
    const size_t i = (size_t)json_integer_value(json_object_get(event, "choice"));
    json_t *logprobs = logprobs_of(x, i, json_object_get(event, "logprobs"));

    say_choices(g, x,
                json_pack("[o]", choice_of(event, json_object_get(event, "text"), logprobs, false)),
                NULL);
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
        on_delta(g, x, event);
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
    x->offsets = json_array();
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
