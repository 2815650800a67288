/*
 * chat_completion.c - each field once: its name, its range, where it goes.
 */
#include "server/chat_completion.h"
#include "base/clock.h"
#include "base/size.h"
#include "server/request_fields.h"
#include "text/chat_messages.h"

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
    "store",
    "metadata",
    "verbosity",
    "stream_options",
};
/* Read below. */
static const char *const read_keys[] = {
    "model",
    "messages",
    "tools",
    "tool_choice",
    "parallel_tool_calls",
    "functions",
    "function_call",
    "reasoning_effort",
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

/* ---- what is not offered ---- */

static bool is_nothing(const json_t *v)
{
    return v == NULL || json_is_null(v) || json_is_false(v) ||
           (json_is_object(v) && json_object_size(v) == 0) ||
           (json_is_integer(v) && json_integer_value(v) == 0);
}

static bool check_not_offered(const json_t *body, struct error *err)
{
    static const char *const keys[] = {"top_logprobs", "stream"};

    for (size_t i = 0; i < COUNT_OF(keys); i++)
        if (!is_nothing(json_object_get(body, keys[i])))
            return fail_param(
                err, ERR_UNSUPPORTED, keys[i],
                "%s: \"%s\" is not offered here, where an answer is one line; hone serve has it",
                what, keys[i]);
    return true;
}

void chat_request_release(struct chat_request *r)
{
    constraint_close(r->constraint);
    r->constraint = NULL;
    r->sample.constraint = NULL;
    chat_tools_release(&r->tools);
}

/* ---- the rest ---- */

static bool read_numbers(const json_t *body, const struct chat_defaults *def, struct arena *a,
                         struct chat_request *r, struct error *err)
{
    size_t seed = (size_t)def->seed;

    r->sample.pick = def->pick;
    r->sample.n_samples = 1;
    r->sample.item = def->item;
    r->sample.purpose = PHILOX_EVAL;
    r->sample.max_tokens = def->max_tokens;
    if (!field_pick(body, &r->sample.pick, err) ||
        !field_logit_bias(body, a, &r->sample.pick, err) ||
        !field_size(body, "n", 1, CHAT_MAX_N, &r->sample.n_samples, err) ||
        !field_size(body, "seed", 0, (size_t)INT64_MAX, &seed, err) ||
        !field_size(body, "max_tokens", 1, (size_t)1 << 22, &r->sample.max_tokens, err) ||
        !field_size(body, "max_completion_tokens", 1, (size_t)1 << 22, &r->sample.max_tokens,
                    err) ||
        !json_get_bool(body, "logprobs", what, false, &r->logprobs, err))
        return false;
    r->sample.seed = seed;
    if (json_is_integer(json_object_get(body, "seed")))
        r->sample.item = 0; /* the same request and seed: the same answer, wherever it stands */
    return true;
}

static bool render(const json_t *body, const struct prompter *p, const struct chat_defaults *def,
                   struct arena *a, struct chat_request *r, struct error *err)
{
    const struct effort_budgets usual = effort_budgets_default(),
                                *budgets = def->budgets != NULL ? def->budgets : &usual;
    const json_t *extra = json_object_get(body, "chat_template_kwargs");
    enum effort effort;

    if (extra != NULL && !json_is_null(extra) && !json_is_object(extra))
        return fail_param(err, ERR_INVALID, "chat_template_kwargs",
                          "%s: \"chat_template_kwargs\" is %s, an object was expected", what,
                          json_kind(extra));
    if (!effort_read(body, &effort, err))
        return false;
    json_t *vars = effort_variables(effort, p, extra);
    const bool ok = prompter_render(p, json_object_get(body, "messages"), r->tools.offered, vars, a,
                                    &r->prompt, err);
    json_decref(vars);
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
    r->sample.thinking = r->tools.required ? prompter_thinking_before_call(p, &r->prompt)
                                           : prompter_thinking(p, &r->prompt);
    effort_apply(effort, budgets, p, &r->sample.thinking);
    return true;
}

/* What the answer must be: calls, where they are required; text of a form, or calls that are held to their schemas. */
static bool constrain(const json_t *body, const struct prompter *p, struct chat_request *r,
                      struct error *err)
{
    const json_t *format = json_object_get(body, "response_format");
    const struct chat_tools *t = &r->tools;
    struct tool_grammar_options o = {.format = prompter_tool_format(p),
                                     .tools = t->callable,
                                     .required = t->required,
                                     .many = !t->single};

    if (!forms_schema(prompter_forms(p), format, &o.said, err))
        return false;
    if (t->callable == NULL || (!t->required && o.said == NULL && (!t->held || o.format->bare)))
        return prompter_form(p, format, &r->constraint, err);
    if (!t->required && o.format->bare)
        return fail_param(err, ERR_UNSUPPORTED, "response_format",
                          "\"response_format\" beside \"tools\" is not offered with this model, "
                          "unless a call is required: its calls are JSON or a list, too");
    return forms_tools(prompter_forms(p), &o, &r->constraint, err);
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
        !chat_messages_check(json_object_get(body, "messages"), err) ||
        !read_numbers(body, def, a, &r, err) ||
        !field_stop(body, CHAT_MAX_STOP, r.stop, &r.sample.n_stop, err) ||
        !chat_tools_read(body, &r.tools, err) || !render(body, p, def, a, &r, err) ||
        !constrain(body, p, &r, err)) {
        chat_request_release(&r);
        return false;
    }
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

json_t *chat_logprobs(const struct chat_request *r, const struct prompter *p,
                      const struct sample *s)
{
    return r->logprobs ? logprobs_of(p, s) : json_null();
}

/* {"name", "arguments"} of the only call, as it was called before there were tools. */
static void put_calls(const struct chat_request *r, const struct tool_calls *calls, const char *id,
                      size_t index, json_t *message)
{
    json_t *list = tool_calls_json(calls, str_of(id), index);

    if (r->tools.legacy)
        json_object_set(message, "function_call",
                        json_object_get(json_array_get(list, 0), "function"));
    else
        json_object_set(message, "tool_calls", list);
    json_decref(list);
}

json_t *chat_message(const struct chat_request *r, const struct prompter *p, const struct sample *s,
                     size_t index, const char *id, struct arena *a, const char **finish_reason)
{
    struct answer answer;
    struct tool_calls calls;
    json_t *message, *content;

    prompter_answer_tools(p, s, r->tools.callable, r->tools.single ? 1 : 0, a, &answer, &calls);
    content = calls.n > 0 && answer.text.len == 0 ? json_null()
                                                  : json_stringn(answer.text.ptr, answer.text.len);
    message = json_pack("{s:s, s:o, s:n, s:[]}", "role", "assistant", "content", content, "refusal",
                        "annotations");
    if (s->n_thinking > 0 || answer.thinking.len > 0)
        json_object_set_new(message, "reasoning_content",
                            json_stringn(answer.thinking.ptr, answer.thinking.len));
    if (calls.n > 0)
        put_calls(r, &calls, id, index, message);
    *finish_reason = s->end == SAMPLE_LENGTH ? "length"
                     : calls.n == 0          ? "stop"
                     : r->tools.legacy       ? "function_call"
                                             : "tool_calls";
    return message;
}

static json_t *choice_of(const struct chat_request *r, const struct prompter *p,
                         const struct sample *s, size_t index, const char *id, struct arena *a)
{
    const char *finish_reason;
    json_t *message = chat_message(r, p, s, index, id, a, &finish_reason);

    return json_pack("{s:I, s:o, s:o, s:s}", "index", (json_int_t)index, "message", message,
                     "logprobs", chat_logprobs(r, p, s), "finish_reason", finish_reason);
}

json_t *chat_response(const struct chat_request *r, const struct prompter *p,
                      const struct sample *samples, const char *id, struct arena *a)
{
    json_t *choices = json_array();
    size_t n = 0, thinking = 0;

    for (size_t i = 0; i < r->sample.n_samples; i++) {
        json_array_append_new(choices, choice_of(r, p, &samples[i], i, id, a));
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
