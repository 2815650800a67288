/*
 * completion.c - prompts in their four forms, and the fields beside them.
 */
#include "server/completion.h"
#include "base/limits.h"
#include "base/size.h"
#include "server/request_fields.h"

#include <string.h>

static const char *const keys[] = {
    "model",
    "prompt",
    "suffix",
    "max_tokens",
    "temperature",
    "top_p",
    "n",
    "stream",
    "stream_options",
    "logprobs",
    "echo",
    "stop",
    "best_of",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "user",
    "seed",
    "top_k",
    "min_p",
    "repetition_penalty",
};

static bool check_keys(const json_t *body, struct error *err)
{
    json_t *value;
    const char *key;

    json_object_foreach((json_t *)(uintptr_t)body, key, value)
    {
        size_t i = 0;

        while (i < COUNT_OF(keys) && strcmp(key, keys[i]) != 0)
            i++;
        if (i == COUNT_OF(keys))
            return fail_param(err, ERR_INVALID, key,
                              "the request has the key \"%.64s\", which is none of completions",
                              key);
    }
    value = json_object_get(body, "suffix");
    if (json_is_string(value) && json_string_length(value) == 0)
        return true;
    if (value != NULL && !json_is_null(value))
        return fail_param(
            err, ERR_UNSUPPORTED, "suffix",
            "the request: \"suffix\" is not offered, models here write on at the end");
    return true;
}

/* ---- prompts ---- */

static bool read_text(const json_t *v, const struct model *m, struct arena *a,
                      struct completion_prompt *out, struct error *err)
{
    struct token_list ids = {0};

    if (m->config.add_bos && m->config.bos >= 0)
        token_list_put(&ids, m->config.bos);
    out->n_bos = ids.n;
    if (!tokenizer_encode(model_files_tokenizer(m->files), json_str(v), true, &ids, err)) {
        token_list_release(&ids);
        snprintf(err->param, sizeof err->param, "prompt");
        return false;
    }
    if (out->n_bos == 1 && ids.n > 1 && ids.ids[1] == m->config.bos) { /* it brought its own */
        out->n_bos = 0;
        ids.n--;
    }
    if (ids.n == 0 && m->config.bos >= 0) { /* something has to be continued */
        token_list_put(&ids, m->config.bos);
        out->n_bos = 1;
    }
    out->n = ids.n;
    out->tokens = ARENA_ARRAY(a, token_id, ids.n + 1);
    if (ids.n > 0)
        memcpy(out->tokens, ids.ids, ids.n * sizeof *ids.ids);
    token_list_release(&ids);
    return true;
}

static bool read_ids(const json_t *list, const struct model *m, struct arena *a,
                     struct completion_prompt *out, struct error *err)
{
    const size_t n = json_array_size(list);

    out->tokens = ARENA_ARRAY(a, token_id, n + 1);
    out->n = n;
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);

        if (!json_is_integer(v) || json_integer_value(v) < 0 ||
            (size_t)json_integer_value(v) >= m->config.vocab)
            return fail_param(
                err, ERR_INVALID, "prompt",
                "the request: \"prompt\" holds something that is no token of this model, whose ids are below %zu",
                m->config.vocab);
        out->tokens[i] = (token_id)json_integer_value(v);
    }
    return true;
}

static bool read_prompt(const json_t *v, const struct model *m, struct arena *a,
                        struct completion_prompt *out, struct error *err)
{
    if (!json_is_string(v) && !json_is_array(v))
        return fail_param(err, ERR_INVALID, "prompt",
                          "the request: \"prompt\" holds %s, a text or a list of token ids was "
                          "expected",
                          json_kind(v));
    if (!(json_is_string(v) ? read_text(v, m, a, out, err) : read_ids(v, m, a, out, err)))
        return false;
    return out->n > 0 ||
           fail_param(err, ERR_INVALID, "prompt",
                      "the request: \"prompt\" is empty, and this model cannot begin with nothing");
}

static bool read_prompts(const json_t *body, const struct model *m, struct arena *a,
                         struct completion_request *r, struct error *err)
{
    const json_t *v = json_object_get(body, "prompt");
    const bool several = json_is_array(v) && !json_is_integer(json_array_get(v, 0));

    if (v == NULL || json_is_null(v))
        return fail_param(err, ERR_INVALID, "prompt", "the request: \"prompt\" is missing");
    r->n_prompts = several ? json_array_size(v) : 1;
    if (r->n_prompts == 0)
        return fail_param(err, ERR_INVALID, "prompt", "the request: \"prompt\" is an empty list");
    if (r->n_prompts > LIMIT_ENGINE_CHOICES / r->best_of)
        return fail_param(err, ERR_LIMIT, "n",
                          "%zu prompts with %zu answers each are more than %zu answers",
                          r->n_prompts, r->best_of, LIMIT_ENGINE_CHOICES);
    r->prompts = ARENA_ARRAY(a, struct completion_prompt, r->n_prompts);
    for (size_t i = 0; i < r->n_prompts; i++) {
        if (!read_prompt(several ? json_array_get(v, i) : v, m, a, &r->prompts[i], err))
            return false;
        if (r->prompts[i].n + size_min(r->max_tokens, 1) > m->max_positions)
            return fail_param(
                err, ERR_LIMIT, "prompt",
                "the prompt has %zu tokens, and %zu positions are available for it and its answer",
                r->prompts[i].n, m->max_positions);
    }
    return true;
}

/* ---- the rest ---- */

static bool read_logprobs(const json_t *body, struct completion_request *r, struct error *err)
{
    const json_t *v = json_object_get(body, "logprobs");

    r->logprobs = v != NULL && !json_is_null(v) && !json_is_false(v);
    return json_is_false(v) ||
           field_size(body, "logprobs", 0, COMPLETION_MAX_LOGPROBS, &r->n_top, err);
}

static bool read_counts(const json_t *body, bool stream, struct completion_request *r,
                        struct error *err)
{
    if (!field_size(body, "n", 1, COMPLETION_MAX_N, &r->n, err))
        return false;
    r->best_of = r->n;
    if (!field_bool(body, "echo", &r->echo, err) ||
        !field_size(body, "best_of", 1, COMPLETION_MAX_N, &r->best_of, err) ||
        !field_size(body, "max_tokens", 0, (size_t)1 << 22, &r->max_tokens, err))
        return false;
    if (r->best_of < r->n)
        return fail_param(err, ERR_INVALID, "best_of",
                          "the request: \"best_of\" is %zu, less than \"n\", which is %zu",
                          r->best_of, r->n);
    if (stream && r->best_of > r->n)
        return fail_param(err, ERR_INVALID, "best_of",
                          "the request: which answer is best is known when all have ended; "
                          "\"best_of\" above \"n\" cannot be streamed");
    if (r->max_tokens == 0 && !r->echo)
        return fail_param(err, ERR_INVALID, "max_tokens",
                          "the request: \"max_tokens\" is 0, which \"echo\" alone makes sense of");
    return true;
}

bool completion_read(const json_t *body, const struct model *m, bool stream, struct arena *a,
                     struct completion_request *out, struct error *err)
{
    struct completion_request r = {.n = 1, .best_of = 1, .max_tokens = 16, .pick = pick_defaults()};
    size_t seed = 0;

    if (!json_is_object(body))
        return fail(err, ERR_INVALID, "the request is %s, an object was expected", json_kind(body));
    if (!check_keys(body, err) || !read_counts(body, stream, &r, err) ||
        !read_logprobs(body, &r, err) || !field_pick(body, &r.pick, err) ||
        !field_logit_bias(body, a, &r.pick, err) ||
        !field_stop(body, COMPLETION_MAX_STOP, r.stop, &r.n_stop, err) ||
        !field_size(body, "seed", 0, (size_t)INT64_MAX, &seed, err) ||
        !read_prompts(body, m, a, &r, err))
        return false;
    r.seed = seed;
    *out = r;
    return true;
}
