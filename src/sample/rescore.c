#include "sample/rescore.h"
#include "base/size.h"

#include <string.h>

static bool check(const json_t *answer, double temperature, const char *what, struct error *err)
{
    if (!(temperature >= 0.01 && temperature <= 100))
        return fail_param(err, ERR_INVALID, "temperature",
                          "%s: \"temperature\" is %g, 0.01 to 100 were expected", what,
                          temperature);
    return (json_is_array(answer) && json_array_size(answer) > 0) ||
           fail_param(err, ERR_INVALID, "tokens",
                      "%s: \"tokens\" is no list of tokens, or an empty one", what);
}

static bool read_answer(const json_t *list, size_t n, size_t vocab, const char *what, token_id *out,
                        struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        const json_t *v = json_array_get(list, i);

        if (!json_is_integer(v) || json_integer_value(v) < 0 ||
            (size_t)json_integer_value(v) >= vocab)
            return fail_param(err, ERR_INVALID, "tokens",
                              "%s: member %zu of \"tokens\" is no token of this model, whose ids "
                              "are below %zu",
                              what, i, vocab);
        out[i] = (token_id)json_integer_value(v);
    }
    return true;
}

bool drawn_tokens_read(const struct model *m, struct str prompt, const json_t *answer, size_t most,
                       double temperature, const char *what, struct arena *a,
                       struct drawn_tokens *out, struct error *err)
{
    const struct pick_options pick = {.temperature = (float)temperature};
    struct token_list ids = {0};

    if (!check(answer, temperature, what, err))
        return false;
    bool ok = tokenizer_encode(model_files_tokenizer(m->files), prompt, true, &ids, err);
    const size_t n_answer = size_min(most, json_array_size(answer)), n = ids.n + n_answer;
    if (ok && ids.n == 0)
        ok = fail_param(err, ERR_INVALID, "prompt", "%s: \"prompt\" has no token", what);
    if (ok && n > m->max_positions)
        ok = fail_param(err, ERR_LIMIT, "tokens",
                        "prompt and answer are %zu tokens, this model is open for %zu", n,
                        m->max_positions);
    if (ok) {
        struct drawn_tokens d = {.ids = ARENA_ARRAY(a, token_id, n),
                                 .n_prompt = ids.n,
                                 .n = n,
                                 .inv_t = pick_inv_t(&pick)}; /* as tokens are drawn, to the bit */

        memcpy(d.ids, ids.ids, ids.n * sizeof *ids.ids);
        ok = read_answer(answer, n_answer, m->config.vocab, what, d.ids + ids.n, err);
        if (ok)
            *out = d;
    }
    token_list_release(&ids);
    return ok;
}

bool drawn_tokens_score(struct engine *e, const struct adapter *adapter,
                        const struct drawn_tokens *d, struct arena *a, float *logprobs,
                        struct error *err)
{
    float *all = ARENA_ARRAY(a, float, d->n);

    if (!engine_score_from(e, adapter, d->ids, d->n, d->n_prompt, d->inv_t, all, err))
        return false;
    memcpy(logprobs, all + d->n_prompt, (d->n - d->n_prompt) * sizeof *logprobs);
    return true;
}
