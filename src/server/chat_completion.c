/*
 * chat_completion.c - each field once: its name, its range, where it goes.
 */
#include "server/chat_completion.h"
#include "base/clock.h"
#include "base/size.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const char what[] = "the request";

/* Accepted, and without effect here. */
static const char *const ignored_keys[] = {
    "user",
    "safety_identifier",
    "service_tier",
    "prompt_cache_key",
    "prompt_cache_options",
    "prediction",
    "prompt_cache_retention",
    "modalities",
    "audio",
    "web_search_options",
    "moderation",
    "parallel_tool_calls",
    "store",
    "metadata",
    "verbosity",
    "tool_choice",
    "reasoning_effort",
    "stream_options",
};
/* Read below. */
static const char *const read_keys[] = {
    "model",
    "messages",
    "tools",
    "n",
    "seed",
    "temperature",
    "top_p",
    "frequency_penalty",
    "presence_penalty",
    "stop",
    "logprobs",
    "top_logprobs",
    "top_k",
    "min_p",
    "repetition_penalty",
    "logit_bias",
    "stream",
    "response_format",
    "max_tokens",
    "max_completion_tokens",
    "chat_template_kwargs",
};

static bool is_among(const char *key, size_t n, const char *const *keys)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static bool check_keys(const json_t *body, struct error *err)
{
    json_t *value;
    const char *key;

    json_object_foreach((json_t *)(uintptr_t)body, key, value)
    {
        if (!is_among(key, COUNT_OF(read_keys), read_keys) &&
            !is_among(key, COUNT_OF(ignored_keys), ignored_keys))
            return fail_param(err, ERR_INVALID, key,
                              "%s has the key \"%.64s\", which is none of chat completions", what,
                              key);
    }
    return true;
}

/* A number in a range, as a float; left alone where it is missing or null. */
static bool get_float(const json_t *body, const char *key, double least, double most, float *out,
                      struct error *err)
{
    double x = (double)*out;

    if (!json_get_double(body, key, what, x, &x, err))
        return false;
    if (!(x >= least && x <= most))
        return fail_param(err, ERR_INVALID, key, "%s: \"%s\" is %g, expected %g to %g", what, key,
                          x, least, most);
    *out = (float)x;
    return true;
}

static bool get_size(const json_t *body, const char *key, size_t least, size_t most, size_t *out,
                     struct error *err)
{
    int64_t x = 0;

    if (!json_get_int(body, key, what, (int64_t)*out, (int64_t)least, (int64_t)most, &x, err))
        return false;
    *out = (size_t)x;
    return true;
}

/* ---- what is not offered ---- */

static bool is_nothing(const json_t *v)
{
    return v == NULL || json_is_null(v) || json_is_false(v) ||
           (json_is_object(v) && json_object_size(v) == 0) ||
           (json_is_integer(v) && json_integer_value(v) == 0);
}

static bool check_not_offered(const json_t *body, struct error *err)
{
    static const char *const keys[] = {"top_logprobs", "logit_bias", "stream"};

    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (!is_nothing(json_object_get(body, keys[i])))
            return fail_param(err, ERR_UNSUPPORTED, keys[i], "%s: \"%s\" is not offered here", what,
                              keys[i]);
    return true;
}

void chat_request_release(struct chat_request *r)
{
    constraint_close(r->constraint);
    r->constraint = NULL;
    r->sample.constraint = NULL;
}

/* ---- messages ---- */

static bool check_part(const json_t *part, size_t i, struct error *err)
{
    const struct str type = json_str(json_object_get(part, "type"));

    if (!json_is_object(part) || type.len == 0)
        return fail_param(err, ERR_INVALID, "messages",
                          "\"messages\"[%zu]: a part of \"content\" is no object with a \"type\"",
                          i);
    if (!str_is(type, "text") && !str_is(type, "refusal"))
        return fail_param(err, ERR_UNSUPPORTED, "messages",
                          "\"messages\"[%zu]: a part of type \"%.*s\" is not offered, text is", i,
                          (int)size_min(type.len, 64), type.ptr);
    if (!json_is_string(json_object_get(part, json_string_value(json_object_get(part, "type")))))
        return fail_param(err, ERR_INVALID, "messages",
                          "\"messages\"[%zu]: a part of type \"%.*s\" has no text", i,
                          (int)type.len, type.ptr);
    return true;
}

static bool check_message(const json_t *m, size_t i, struct error *err)
{
    static const char *const roles[] = {"developer", "system", "user",
                                        "assistant", "tool",   "function"};
    const json_t *content = json_object_get(m, "content"), *role = json_object_get(m, "role");

    if (!json_is_object(m))
        return fail_param(err, ERR_INVALID, "messages",
                          "\"messages\"[%zu] is %s, an object was expected", i, json_kind(m));
    if (!json_is_string(role) || !is_among(json_string_value(role), COUNT_OF(roles), roles))
        return fail_param(
            err, ERR_INVALID, "messages",
            "\"messages\"[%zu]: \"role\" must be developer, system, user, assistant or tool", i);
    if (json_is_string(content))
        return true;
    if (json_is_array(content) && json_array_size(content) > 0) {
        for (size_t k = 0; k < json_array_size(content); k++)
            if (!check_part(json_array_get(content, k), i, err))
                return false;
        return true;
    }
    if (strcmp(json_string_value(role), "assistant") == 0 &&
        (content == NULL || json_is_null(content)))
        return true;
    return fail_param(
        err, ERR_INVALID, "messages",
        "\"messages\"[%zu]: \"content\" is %s, a text or a list of parts was expected", i,
        content == NULL ? "missing" : json_kind(content));
}

static bool check_messages(const json_t *messages, struct error *err)
{
    if (!json_is_array(messages) || json_array_size(messages) == 0)
        return fail_param(err, ERR_INVALID, "messages",
                          "%s: \"messages\" is %s, a list of at least one message was expected",
                          what,
                          messages == NULL          ? "missing"
                          : json_is_array(messages) ? "empty"
                                                    : json_kind(messages));
    for (size_t i = 0; i < json_array_size(messages); i++)
        if (!check_message(json_array_get(messages, i), i, err))
            return false;
    return true;
}

/* Text in parts as one text, which is what templates expect. A new tree. */
static json_t *flat_messages(const json_t *messages)
{
    json_t *out = json_deep_copy(messages);

    for (size_t i = 0; i < json_array_size(out); i++) {
        const json_t *content = json_object_get(json_array_get(out, i), "content");
        struct buf text;

        if (!json_is_array(content))
            continue;
        buf_init(&text, (size_t)1 << 30);
        for (size_t k = 0; k < json_array_size(content); k++) {
            const json_t *part = json_array_get(content, k);

            buf_str(&text, json_str(json_object_get(
                               part, json_string_value(json_object_get(part, "type")))));
        }
        json_object_set_new(json_array_get(out, i), "content",
                            json_stringn(buf_view(&text).ptr, text.len));
        buf_release(&text);
    }
    return out;
}

/* ---- the rest ---- */

static bool read_stop(const json_t *body, struct chat_request *r, struct error *err)
{
    const json_t *stop = json_object_get(body, "stop");
    const size_t n = json_is_array(stop) ? json_array_size(stop) : json_is_string(stop) ? 1 : 0;

    if (stop != NULL && !json_is_null(stop) && !json_is_array(stop) && !json_is_string(stop))
        return fail_param(err, ERR_INVALID, "stop",
                          "%s: \"stop\" is %s, a text or a list of texts was expected", what,
                          json_kind(stop));
    if (n > CHAT_MAX_STOP)
        return fail_param(err, ERR_INVALID, "stop",
                          "%s: \"stop\" has %zu texts, at most %d are possible", what, n,
                          CHAT_MAX_STOP);
    for (size_t i = 0; i < n; i++) {
        r->stop[i] = json_str(json_is_array(stop) ? json_array_get(stop, i) : stop);
        if (r->stop[i].len == 0)
            return fail_param(err, ERR_INVALID, "stop",
                              "%s: \"stop\" holds something that is no text, or an empty one",
                              what);
    }
    r->sample.n_stop = n;
    return true;
}

static bool read_pick(const json_t *body, struct pick_options *o, struct error *err)
{
    return get_float(body, "temperature", 0, 2, &o->temperature, err) &&
           get_float(body, "top_p", 0, 1, &o->top_p, err) &&
           get_size(body, "top_k", 0, (size_t)1 << 20, &o->top_k, err) &&
           get_float(body, "min_p", 0, 1, &o->min_p, err) &&
           get_float(body, "frequency_penalty", -2, 2, &o->frequency_penalty, err) &&
           get_float(body, "presence_penalty", -2, 2, &o->presence_penalty, err) &&
           get_float(body, "repetition_penalty", 0.01, 100, &o->repetition_penalty, err);
}

static bool read_numbers(const json_t *body, const struct chat_defaults *def,
                         struct chat_request *r, struct error *err)
{
    size_t seed = (size_t)def->seed;

    r->sample.pick = def->pick;
    r->sample.n_samples = 1;
    r->sample.item = def->item;
    r->sample.purpose = PHILOX_EVAL;
    r->sample.max_tokens = def->max_tokens;
    if (!read_pick(body, &r->sample.pick, err) ||
        !get_size(body, "n", 1, CHAT_MAX_N, &r->sample.n_samples, err) ||
        !get_size(body, "seed", 0, (size_t)INT64_MAX, &seed, err) ||
        !get_size(body, "max_tokens", 1, (size_t)1 << 22, &r->sample.max_tokens, err) ||
        !get_size(body, "max_completion_tokens", 1, (size_t)1 << 22, &r->sample.max_tokens, err) ||
        !json_get_bool(body, "logprobs", what, false, &r->logprobs, err))
        return false;
    r->sample.seed = seed;
    if (json_is_integer(json_object_get(body, "seed")))
        r->sample.item = 0; /* the same request and seed: the same answer, wherever it stands */
    if (r->sample.pick.top_p <= 0)
        r->sample.pick.top_p = 1e-6f; /* none but the likeliest */
    return true;
}

static bool render(const json_t *body, const struct prompter *p, const struct chat_defaults *def,
                   struct arena *a, struct chat_request *r, struct error *err)
{
    const json_t *tools = json_object_get(body, "tools"),
                 *extra = json_object_get(body, "chat_template_kwargs");
    json_t *messages = flat_messages(json_object_get(body, "messages"));
    bool ok = true;

    if (tools != NULL && !json_is_null(tools) && !json_is_array(tools))
        ok = fail_param(err, ERR_INVALID, "tools", "%s: \"tools\" is %s, a list was expected", what,
                        json_kind(tools));
    if (ok && extra != NULL && !json_is_null(extra) && !json_is_object(extra))
        ok = fail_param(err, ERR_INVALID, "chat_template_kwargs",
                        "%s: \"chat_template_kwargs\" is %s, an object was expected", what,
                        json_kind(extra));
    ok = ok && prompter_render(p, messages, json_array_size(tools) > 0 ? tools : NULL,
                               json_is_object(extra) ? extra : NULL, a, &r->prompt, err);
    json_decref(messages);
    if (!ok)
        return false;
    if (r->prompt.n >= def->max_positions)
        return fail_param(
            err, ERR_LIMIT, "messages",
            "the conversation has %zu tokens, and %zu positions are available for it and its answer",
            r->prompt.n, def->max_positions);
    const size_t left = def->max_positions - r->prompt.n;
    if (r->sample.max_tokens == 0)
        r->sample.max_tokens = size_min(left, CHAT_MAX_TOKENS);
    r->sample.max_tokens = size_min(r->sample.max_tokens, left);
    r->sample.prompt = r->prompt.tokens;
    r->sample.n_prompt = r->prompt.n;
    r->sample.thinking = prompter_thinking(p, &r->prompt);
    return true;
}

bool chat_request_read(const json_t *body, const struct prompter *p,
                       const struct chat_defaults *def, struct arena *a, struct chat_request *out,
                       struct error *err)
{
    struct chat_request r = {.model = str_of(def->model)};

    if (!json_is_object(body))
        return fail(err, ERR_INVALID, "%s is %s, an object was expected", what, json_kind(body));
    if (json_is_string(json_object_get(body, "model")))
        r.model = json_str(json_object_get(body, "model"));
    if (!check_keys(body, err) || !check_not_offered(body, err) ||
        !check_messages(json_object_get(body, "messages"), err) ||
        !read_numbers(body, def, &r, err) || !read_stop(body, &r, err) ||
        !render(body, p, def, a, &r, err) ||
        !prompter_form(p, json_object_get(body, "response_format"), &r.constraint, err))
        return false;
    r.sample.constraint = r.constraint;
    *out = r;
    out->sample.stop = out->stop;
    return true;
}

/* ---- the response ---- */

/* One token of logprobs.content. */
static json_t *token_entry(const struct tokenizer *t, token_id id, float logprob)
{
    const struct str bytes = tokenizer_bytes(t, id);
    json_t *list = json_array(), *entry;
    char digits[32];
    struct buf text;

    for (size_t i = 0; i < bytes.len; i++)
        json_array_append_new(list, json_integer((unsigned char)bytes.ptr[i]));
    buf_init(&text, (size_t)1 << 24);
    tokenizer_decode(t, &id, 1, false, &text);
    snprintf(digits, sizeof digits, "%.9g", (double)logprob);
    entry = json_pack("{s:o, s:f, s:o, s:[]}", "token", json_stringn(buf_view(&text).ptr, text.len),
                      "logprob", strtod(digits, NULL), "bytes", list, "top_logprobs");
    buf_release(&text);
    return entry;
}

/* The tokens of the answer: what was thought, ended with or written after the stop text is not part of it. */
static json_t *logprobs_of(const struct prompter *p, const struct sample *s)
{
    const struct tokenizer *t = prompter_tokenizer(p);
    json_t *content = json_array();
    size_t at = 0;

    for (size_t i = 0; i < s->n; i++) {
        const bool last = i + 1 == s->n && s->end == SAMPLE_STOP && s->stop_bytes == SIZE_MAX;

        if (i >= s->n_thinking && at < s->stop_bytes && !last)
            json_array_append_new(content, token_entry(t, s->tokens[i], s->logprobs[i]));
        at += tokenizer_bytes(t, s->tokens[i]).len;
    }
    return json_pack("{s:o, s:n}", "content", content, "refusal");
}

static json_t *choice_of(const struct chat_request *r, const struct prompter *p,
                         const struct sample *s, size_t index, struct arena *a)
{
    struct answer answer;
    json_t *message;

    prompter_answer(p, s, a, &answer);
    message = json_pack("{s:s, s:o, s:n, s:[]}", "role", "assistant", "content",
                        json_stringn(answer.text.ptr, answer.text.len), "refusal", "annotations");
    if (s->n_thinking > 0 || answer.thinking.len > 0)
        json_object_set_new(message, "reasoning_content",
                            json_stringn(answer.thinking.ptr, answer.thinking.len));
    return json_pack("{s:I, s:o, s:o, s:s}", "index", (json_int_t)index, "message", message,
                     "logprobs", r->logprobs ? logprobs_of(p, s) : json_null(), "finish_reason",
                     s->end == SAMPLE_LENGTH ? "length" : "stop");
}

json_t *chat_response(const struct chat_request *r, const struct prompter *p,
                      const struct sample *samples, const char *id, struct arena *a)
{
    json_t *choices = json_array();
    size_t n = 0, thinking = 0;

    for (size_t i = 0; i < r->sample.n_samples; i++) {
        json_array_append_new(choices, choice_of(r, p, &samples[i], i, a));
        n += samples[i].n;
        thinking += samples[i].n_thinking;
    }
    return json_pack("{s:s, s:s, s:I, s:o, s:s, s:o, s:{s:I, s:I, s:I, s:{s:i}, s:{s:I}}}", "id",
                     id, "object", "chat.completion", "created", (json_int_t)clock_unix(), "model",
                     json_stringn(r->model.ptr, r->model.len), "system_fingerprint",
                     "hone-" HONE_VERSION, "choices", choices, "usage", "prompt_tokens",
                     (json_int_t)r->prompt.n, "completion_tokens", (json_int_t)n, "total_tokens",
                     (json_int_t)r->prompt.n + (json_int_t)n, "prompt_tokens_details",
                     "cached_tokens", 0, "completion_tokens_details", "reasoning_tokens",
                     (json_int_t)thinking);
}
