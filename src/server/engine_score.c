/*
 * engine_score.c - tokens that were drawn before, and how likely each is now.
 *
 * The prompt comes as text, and is read with its special tokens, for it was rendered by a template; a text like one of them that a
 * user wrote is read as one, too, which training did not.
 */
#include "server/engine_host_internal.h"

#include <math.h>
#include <string.h>

static bool read_temperature(const json_t *body, float *inv_t, struct error *err)
{
    double temperature;

    if (!json_get_double(body, "temperature", "the request", 1, &temperature, err))
        return false;
    if (!(temperature >= 0.01 && temperature <= 100))
        return fail_param(err, ERR_INVALID, "temperature",
                          "the request: \"temperature\" is %g, 0.01 to 100 were expected",
                          temperature);
    const struct pick_options pick = {.temperature = (float)temperature};
    *inv_t = pick_inv_t(&pick); /* as tokens are drawn, to the bit */
    return true;
}

static bool read_answer(const json_t *list, size_t vocab, token_id *out, struct error *err)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);

        if (!json_is_integer(v) || json_integer_value(v) < 0 ||
            (size_t)json_integer_value(v) >= vocab)
            return fail_param(err, ERR_INVALID, "tokens",
                              "the request: member %zu of \"tokens\" is no token of this model, "
                              "whose ids are below %zu",
                              i, vocab);
        out[i] = (token_id)json_integer_value(v);
    }
    return true;
}

bool score_read(struct request *r, struct error *err)
{
    const struct model *m = r->base->model;
    const json_t *answer = json_object_get(r->tree, "tokens");
    struct token_list prompt = {0};
    struct str text;

    if (!json_get_str(r->tree, "prompt", "the request", &text, err) ||
        !read_temperature(r->tree, &r->drawn.inv_t, err))
        return false;
    if (!json_is_array(answer) || json_array_size(answer) == 0)
        return fail_param(err, ERR_INVALID, "tokens",
                          "the request: \"tokens\" is no list of tokens, or an empty one");
    bool ok = tokenizer_encode(model_files_tokenizer(m->files), text, true, &prompt, err);
    const size_t n = prompt.n + json_array_size(answer);
    if (ok && prompt.n == 0)
        ok = fail_param(err, ERR_INVALID, "prompt", "the request: \"prompt\" has no token");
    if (ok && n > m->max_positions)
        ok = fail_param(err, ERR_LIMIT, "tokens",
                        "prompt and answer are %zu tokens, this model is open for %zu", n,
                        m->max_positions);
    if (ok) {
        r->drawn.ids = ARENA_ARRAY(&r->arena, token_id, n);
        r->drawn.n_prompt = r->n_prompt = prompt.n;
        r->drawn.n = n;
        memcpy(r->drawn.ids, prompt.ids, prompt.n * sizeof *prompt.ids);
        ok = read_answer(answer, m->config.vocab, r->drawn.ids + prompt.n, err);
    }
    token_list_release(&prompt);
    return ok;
}

bool score_tell(struct request *r, struct error *err)
{
    const struct drawn_tokens *d = &r->drawn;
    float *logprobs = ARENA_ARRAY(&r->arena, float, d->n);
    json_t *list = json_array();

    const bool ok =
        engine_score(r->base->engine, r->tuned->adapter, d->ids, d->n, d->inv_t, logprobs, err);
    for (size_t i = d->n_prompt; ok && i < d->n; i++)
        json_array_append_new(list, isfinite(logprobs[i]) ? json_float(logprobs[i]) : json_null());
    if (ok)
        request_tell(r, json_pack("{s:s, s:O, s:I}", "type", "result", "logprobs", list,
                                  "prompt_tokens", (json_int_t)r->n_prompt));
    json_decref(list);
    return ok;
}
