/*
 * engine_score.c - tokens that were drawn before, and how likely each is now (sample/rescore.h).
 */
#include "server/engine_host_internal.h"

#include <math.h>

bool score_read(struct request *r, struct error *err)
{
    const json_t *answer = json_object_get(r->tree, "tokens");
    double temperature;
    struct str prompt;

    if (!json_get_str(r->tree, "prompt", "the request", &prompt, err) ||
        !json_get_double(r->tree, "temperature", "the request", 1, &temperature, err) ||
        !drawn_tokens_read(r->base->model, prompt, answer, json_array_size(answer), temperature,
                           "the request", &r->arena, &r->drawn, err))
        return false;
    r->n_prompt = r->drawn.n_prompt;
    return true;
}

bool score_tell(struct request *r, struct error *err)
{
    const struct drawn_tokens *d = &r->drawn;
    const size_t n = d->n - d->n_prompt;
    float *logprobs = ARENA_ARRAY(&r->arena, float, n);
    json_t *list = json_array();

    const bool ok =
        drawn_tokens_score(r->base->engine, r->tuned->adapter, d, &r->arena, logprobs, err);
    for (size_t i = 0; ok && i < n; i++)
        json_array_append_new(list, isfinite(logprobs[i]) ? json_float(logprobs[i]) : json_null());
    if (ok)
        request_tell(r, json_pack("{s:s, s:O, s:I}", "type", "result", "logprobs", list,
                                  "prompt_tokens", (json_int_t)r->n_prompt));
    json_decref(list);
    return ok;
}
