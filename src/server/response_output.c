/*
 * response_output.c - one open item at a time.
 */
#include "server/response_output.h"
#include "base/clock.h"
#include "base/size.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TEXT ((size_t)256 << 20)

enum open_item { OPEN_NONE, OPEN_REASONING, OPEN_MESSAGE, OPEN_CALL };

struct response_output {
    json_t *base; /* what does not change: the request's settings */
    json_t *done; /* items that are whole */
    const char *status;
    json_t *error, *incomplete, *usage;
    int64_t completed_at;

    enum open_item open;
    json_t *item;     /* the open one, as it was when it was added */
    struct buf text;  /* of the open one */
    json_t *logprobs; /* of the open message */
    json_int_t call;  /* index of the open call */
    bool summary;     /* thinking stands in "summary" */
    char key[64];     /* of ids */

    json_int_t sequence;
    response_say_fn *say;
    void *ctx;
};

/* ---- the object ---- */

static json_t *or_default(const json_t *request, const char *key, json_t *def)
{
    json_t *v = json_object_get(request, key);

    if (v == NULL || json_is_null(v))
        return def;
    json_decref(def);
    return json_incref(v);
}

static json_t *base_of(const json_t *request, const char *id, const char *model, int64_t created)
{
    static const char *const nullable[] = {
        "instructions", "max_output_tokens", "max_tool_calls",   "previous_response_id",
        "user",         "prompt_cache_key",  "safety_identifier"};
    const json_t *reasoning = json_object_get(request, "reasoning");
    const json_t *text = json_object_get(request, "text");
    json_t *format = json_object_get(text, "format");
    json_t *o = json_pack("{s:s, s:s, s:I, s:s}", "id", id, "object", "response", "created_at",
                          (json_int_t)created, "model", model);

    for (size_t i = 0; i < COUNT_OF(nullable); i++)
        json_object_set_new(o, nullable[i], or_default(request, nullable[i], json_null()));
    json_object_set_new(o, "store", or_default(request, "store", json_true()));
    json_object_set_new(o, "background", or_default(request, "background", json_false()));
    json_object_set_new(o, "parallel_tool_calls",
                        or_default(request, "parallel_tool_calls", json_true()));
    json_object_set_new(o, "temperature", or_default(request, "temperature", json_real(1)));
    json_object_set_new(o, "top_p", or_default(request, "top_p", json_real(1)));
    json_object_set_new(o, "top_logprobs", or_default(request, "top_logprobs", json_integer(0)));
    json_object_set_new(o, "truncation",
                        or_default(request, "truncation", json_string("disabled")));
    json_object_set_new(o, "tool_choice", or_default(request, "tool_choice", json_string("auto")));
    json_object_set_new(o, "tools", or_default(request, "tools", json_array()));
    json_object_set_new(o, "metadata", or_default(request, "metadata", json_object()));
    json_object_set_new(o, "service_tier", json_string("default"));
    json_object_set_new(o, "reasoning",
                        json_pack("{s:o, s:o}", "effort",
                                  or_default(reasoning, "effort", json_null()), "summary",
                                  or_default(reasoning, "summary", json_null())));
    json_object_set_new(o, "text",
                        json_pack("{s:o}", "format",
                                  json_is_object(format) ? json_incref(format)
                                                         : json_pack("{s:s}", "type", "text")));
    return o;
}

static json_t *object_of(const json_t *base, const char *status, json_t *output)
{
    json_t *o = json_copy((json_t *)(uintptr_t)base);

    json_object_set_new(o, "status", json_string(status));
    json_object_set_new(o, "output", output);
    json_object_set_new(o, "error", json_null());
    json_object_set_new(o, "incomplete_details", json_null());
    json_object_set_new(o, "completed_at", json_null());
    json_object_set_new(o, "usage", json_null());
    return o;
}

json_t *response_output_object(const struct response_output *x)
{
    json_t *o = object_of(x->base, x->status, json_copy(x->done));

    if (x->error != NULL)
        json_object_set(o, "error", x->error);
    if (x->incomplete != NULL)
        json_object_set(o, "incomplete_details", x->incomplete);
    if (x->completed_at != 0)
        json_object_set_new(o, "completed_at", json_integer(x->completed_at));
    if (x->usage != NULL)
        json_object_set(o, "usage", x->usage);
    return o;
}

json_t *response_object_queued(const json_t *request, const char *id, const char *model,
                               int64_t created_at)
{
    json_t *base = base_of(request, id, model, created_at),
           *o = object_of(base, "queued", json_array());

    json_decref(base);
    return o;
}

struct response_output *response_output_new(const json_t *request, const char *id,
                                            const char *model, int64_t created_at,
                                            response_say_fn *say, void *ctx)
{
    struct response_output *x = calloc(1, sizeof *x);
    const json_t *reasoning = json_object_get(request, "reasoning");
    const char *under = strchr(id, '_');

    if (x == NULL)
        return NULL;
    x->base = base_of(request, id, model, created_at);
    x->done = json_array();
    x->status = "in_progress";
    x->say = say;
    x->ctx = ctx;
    x->summary = json_is_string(json_object_get(reasoning, "summary")) ||
                 json_is_string(json_object_get(reasoning, "generate_summary"));
    snprintf(x->key, sizeof x->key, "%s", under != NULL ? under + 1 : id);
    buf_init(&x->text, MAX_TEXT);
    return x;
}

void response_output_free(struct response_output *x)
{
    if (x == NULL)
        return;
    json_decref(x->base);
    json_decref(x->done);
    json_decref(x->error);
    json_decref(x->incomplete);
    json_decref(x->usage);
    json_decref(x->item);
    json_decref(x->logprobs);
    buf_release(&x->text);
    free(x);
}

/* ---- stream events ---- */

/* event is given up. */
static void say(struct response_output *x, const char *name, json_t *event)
{
    json_object_set_new(event, "type", json_string(name));
    json_object_set_new(event, "sequence_number", json_integer(x->sequence++));
    if (x->say != NULL)
        x->say(x->ctx, name, event);
    json_decref(event);
}

static void say_response(struct response_output *x, const char *name)
{
    say(x, name, json_pack("{s:o}", "response", response_output_object(x)));
}

static json_int_t place(const struct response_output *x)
{
    return (json_int_t)json_array_size(x->done);
}

static json_t *text_now(const struct response_output *x)
{
    return json_stringn(x->text.len > 0 ? x->text.ptr : "", x->text.len);
}

/* {"item_id","output_index", INDEX: 0}, which the parts' events begin with */
static json_t *of_part(const struct response_output *x, const char *index)
{
    return json_pack("{s:O, s:I, s:i}", "item_id", json_object_get(x->item, "id"), "output_index",
                     place(x), index, 0);
}

static void say_part(struct response_output *x, const char *name, const char *index, json_t *part)
{
    json_t *e = of_part(x, index);

    json_object_set_new(e, "part", part);
    say(x, name, e);
}

static json_t *text_part(const char *type, json_t *text)
{
    return json_pack("{s:s, s:o}", "type", type, "text", text);
}

static json_t *output_part(json_t *text, json_t *logprobs)
{
    return json_pack("{s:s, s:o, s:[], s:o}", "type", "output_text", "text", text, "annotations",
                     "logprobs", logprobs != NULL ? logprobs : json_array());
}

/* ---- items ---- */

static json_t *new_id(const struct response_output *x, const char *prefix)
{
    char id[96];

    snprintf(id, sizeof id, "%s%s_o%lld", prefix, x->key, (long long)place(x));
    return json_string(id);
}

/* item is given up. */
static void open_with(struct response_output *x, enum open_item kind, json_t *item)
{
    x->open = kind;
    x->item = item;
    buf_clear(&x->text);
    say(x, "response.output_item.added",
        json_pack("{s:I, s:O}", "output_index", place(x), "item", item));
}

static void open_reasoning(struct response_output *x)
{
    open_with(x, OPEN_REASONING,
              json_pack("{s:o, s:s, s:[], s:s}", "id", new_id(x, "rs_"), "type", "reasoning",
                        "summary", "status", "in_progress"));
    if (x->summary)
        say_part(x, "response.reasoning_summary_part.added", "summary_index",
                 text_part("summary_text", json_string("")));
    else
        say_part(x, "response.content_part.added", "content_index",
                 text_part("reasoning_text", json_string("")));
}

static void open_message(struct response_output *x)
{
    open_with(x, OPEN_MESSAGE,
              json_pack("{s:o, s:s, s:s, s:s, s:[]}", "id", new_id(x, "msg_"), "type", "message",
                        "role", "assistant", "status", "in_progress", "content"));
    json_decref(x->logprobs);
    x->logprobs = json_array();
    say_part(x, "response.content_part.added", "content_index", output_part(json_string(""), NULL));
}

static void close_reasoning(struct response_output *x, json_t *item)
{
    json_t *e = of_part(x, x->summary ? "summary_index" : "content_index");
    json_t *part = text_part(x->summary ? "summary_text" : "reasoning_text", text_now(x));

    json_object_set_new(e, "text", text_now(x));
    say(x, x->summary ? "response.reasoning_summary_text.done" : "response.reasoning_text.done", e);
    say_part(x, x->summary ? "response.reasoning_summary_part.done" : "response.content_part.done",
             x->summary ? "summary_index" : "content_index", json_incref(part));
    json_object_set_new(item, x->summary ? "summary" : "content", json_pack("[o]", part));
}

static void close_message(struct response_output *x, json_t *item)
{
    json_t *e = of_part(x, "content_index"),
           *part = output_part(text_now(x), json_incref(x->logprobs));

    json_object_set_new(e, "text", text_now(x));
    json_object_set(e, "logprobs", x->logprobs);
    say(x, "response.output_text.done", e);
    say_part(x, "response.content_part.done", "content_index", json_incref(part));
    json_object_set_new(item, "content", json_pack("[o]", part));
}

static void close_call(struct response_output *x, json_t *item)
{
    json_object_set_new(item, "arguments", text_now(x));
    say(x, "response.function_call_arguments.done",
        json_pack("{s:O, s:I, s:O, s:O}", "item_id", json_object_get(item, "id"), "output_index",
                  place(x), "name", json_object_get(item, "name"), "arguments",
                  json_object_get(item, "arguments")));
}

/* status: of the item; what was cut off is "incomplete". */
static void close_item(struct response_output *x, const char *status)
{
    json_t *item = x->item != NULL ? json_copy(x->item) : NULL;

    if (x->open == OPEN_NONE || item == NULL)
        return;
    if (x->open == OPEN_REASONING)
        close_reasoning(x, item);
    else if (x->open == OPEN_MESSAGE)
        close_message(x, item);
    else
        close_call(x, item);
    json_object_set_new(item, "status", json_string(status));
    say(x, "response.output_item.done",
        json_pack("{s:I, s:O}", "output_index", place(x), "item", item));
    json_array_append_new(x->done, item);
    json_decref(x->item);
    x->item = NULL;
    x->open = OPEN_NONE;
}

/* ---- what the engine says ---- */

static void take_text(struct response_output *x, enum open_item kind, struct str text,
                      json_t *logprobs)
{
    json_t *e;

    if (x->open != kind) {
        close_item(x, "completed");
        if (kind == OPEN_REASONING)
            open_reasoning(x);
        else
            open_message(x);
    }
    buf_str(&x->text, text);
    e = of_part(x, kind == OPEN_REASONING && x->summary ? "summary_index" : "content_index");
    json_object_set_new(e, "delta", json_stringn(text.ptr, text.len));
    if (kind == OPEN_MESSAGE) {
        json_object_set_new(e, "logprobs", logprobs != NULL ? json_incref(logprobs) : json_array());
        if (logprobs != NULL)
            json_array_extend(x->logprobs, logprobs);
        say(x, "response.output_text.delta", e);
    } else {
        say(x,
            x->summary ? "response.reasoning_summary_text.delta" : "response.reasoning_text.delta",
            e);
    }
}

static void take_call(struct response_output *x, const json_t *delta)
{
    const json_int_t index = json_integer_value(json_object_get(delta, "index"));
    const json_t *function = json_object_get(delta, "function");
    const struct str arguments = json_str(json_object_get(function, "arguments"));
    json_t *name = json_object_get(function, "name");

    if (x->open != OPEN_CALL || x->call != index) {
        close_item(x, "completed");
        x->call = index;
        open_with(x, OPEN_CALL,
                  json_pack("{s:o, s:s, s:O?, s:O?, s:s, s:s}", "id", new_id(x, "fc_"), "type",
                            "function_call", "call_id", json_object_get(delta, "id"), "name", name,
                            "arguments", "", "status", "in_progress"));
    }
    if (arguments.len == 0)
        return;
    buf_str(&x->text, arguments);
    say(x, "response.function_call_arguments.delta",
        json_pack("{s:O, s:I, s:s%}", "item_id", json_object_get(x->item, "id"), "output_index",
                  place(x), "delta", arguments.ptr, arguments.len));
}

static void take_delta(struct response_output *x, const json_t *event)
{
    const struct str reasoning = json_str(json_object_get(event, "reasoning")),
                     content = json_str(json_object_get(event, "content"));
    const json_t *calls = json_object_get(event, "tool_calls");
    json_t *call;
    size_t i;

    if (reasoning.len > 0)
        take_text(x, OPEN_REASONING, reasoning, NULL);
    if (content.len > 0 || json_array_size(json_object_get(event, "logprobs")) > 0)
        take_text(x, OPEN_MESSAGE, content, json_object_get(event, "logprobs"));
    json_array_foreach(calls, i, call) take_call(x, call);
}

/* The answer has ended; one that said nothing at all is an empty message. */
static void take_choice(struct response_output *x, const json_t *event)
{
    const bool cut = str_is(json_str(json_object_get(event, "finish_reason")), "length");
    bool said = x->open == OPEN_MESSAGE || x->open == OPEN_CALL;

    for (size_t i = 0; i < json_array_size(x->done); i++)
        said = said ||
               !str_is(json_str(json_object_get(json_array_get(x->done, i), "type")), "reasoning");
    if (!said && !cut) {
        close_item(x, "completed");
        open_message(x);
    }
    close_item(x, cut ? "incomplete" : "completed");
    if (cut)
        x->incomplete = json_pack("{s:s}", "reason", "max_output_tokens");
}

static json_t *count_in(const json_t *o, const char *inner, const char *key)
{
    const json_t *n = json_object_get(inner != NULL ? json_object_get(o, inner) : o, key);

    return json_integer(json_integer_value(n));
}

static void take_done(struct response_output *x, const json_t *event)
{
    const json_t *u = json_object_get(event, "usage");

    x->usage =
        json_pack("{s:o, s:{s:o, s:i}, s:o, s:{s:o}, s:o}", "input_tokens",
                  count_in(u, NULL, "prompt_tokens"), "input_tokens_details", "cached_tokens",
                  count_in(u, "prompt_tokens_details", "cached_tokens"), "cache_write_tokens", 0,
                  "output_tokens", count_in(u, NULL, "completion_tokens"), "output_tokens_details",
                  "reasoning_tokens", count_in(u, "completion_tokens_details", "reasoning_tokens"),
                  "total_tokens", count_in(u, NULL, "total_tokens"));
    x->completed_at = clock_unix();
    x->status = x->incomplete != NULL ? "incomplete" : "completed";
    say_response(x, x->incomplete != NULL ? "response.incomplete" : "response.completed");
}

static void take_error(struct response_output *x, const json_t *event)
{
    json_t *message = json_object_get(event, "message");

    close_item(x, "incomplete");
    x->status = "failed";
    x->error = json_pack("{s:s, s:o}", "code", "server_error", "message",
                         message != NULL ? json_incref(message) : json_string("the model failed"));
    say_response(x, "response.failed");
}

void response_output_take(struct response_output *x, const json_t *event)
{
    const struct str type = json_str(json_object_get(event, "type"));

    if (str_is(type, "begin")) {
        say_response(x, "response.created");
        say_response(x, "response.in_progress");
    } else if (str_is(type, "delta")) {
        take_delta(x, event);
    } else if (str_is(type, "choice")) {
        take_choice(x, event);
    } else if (str_is(type, "done")) {
        take_done(x, event);
    } else if (str_is(type, "error")) {
        take_error(x, event);
    }
}
