/*
 * completion.h - the body of a (legacy) completions request becomes the tokens that are to be continued.
 *
 * Understood: prompt (a text, a list of texts, a list of token ids, a list of such lists), max_tokens (16), n, best_of, echo,
 * logprobs (0 to 5), stop, seed, temperature, top_p, frequency_penalty, presence_penalty, logit_bias; of other servers' top_k,
 * min_p, repetition_penalty. suffix is refused, and so is a key that is not known at all.
 *
 * A text's special tokens are read as such, and the model's bos goes before it where the model wants that; token ids are taken
 * as they are.
 */
#ifndef HONE_SERVER_COMPLETION_H
#define HONE_SERVER_COMPLETION_H

#include "model/model.h"
#include "sample/pick.h"
#include "text/json.h"

#define COMPLETION_MAX_N ((size_t)128)
#define COMPLETION_MAX_STOP 4
#define COMPLETION_MAX_LOGPROBS 5

struct completion_prompt {
    token_id *tokens;
    size_t n;     /* one at least */
    size_t n_bos; /* of them that were put before the text */
};

struct completion_request {
    struct completion_prompt *prompts; /* [n_prompts] */
    size_t n_prompts;
    size_t n, best_of; /* answers to each: told, and sampled */
    size_t max_tokens; /* of one, as asked for: there is room for one at least; 0 with echo alone */
    bool echo, logprobs;
    size_t n_top; /* likeliest tokens told with each */
    struct pick_options pick;
    uint64_t seed;
    struct str stop[COMPLETION_MAX_STOP];
    size_t n_stop;
};

/* Everything in *out lives in the arena or in body. Fails as chat_request_read, for "prompt" where that says "messages". */
MUST_CHECK bool completion_read(const json_t *body, const struct model *m, bool stream,
                                struct arena *a, struct completion_request *out, struct error *err);
#endif
