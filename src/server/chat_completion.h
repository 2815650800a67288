/*
 * chat_completion.h - the body of a chat-completions request becomes a sampling request, and its answers a response.
 *
 * Understood: messages (text/chat_messages.h), tools and what belongs to them (chat_tools.h), reasoning_effort
 * (sample/effort.h), n, seed, temperature, top_p, stop, max_tokens and max_completion_tokens, frequency_penalty,
 * presence_penalty, logit_bias, logprobs, response_format; of other servers' top_k, min_p, repetition_penalty and
 * chat_template_kwargs. Known and without effect: user, store, metadata and their like. What is
 * known and not offered (top_logprobs, stream: the engine process has them) is refused by name, and so is a key that is not known at all: a
 * typing mistake must not change an answer unnoticed.
 *
 * With a response_format of json_schema or json_object an answer cannot be anything else, "strict" or not; where max_tokens
 * cuts it (finish_reason "length") it is the beginning of one. What of a schema is offered says text/json_schema.h. Beside
 * tools it is of that form, or calls.
 */
#ifndef HONE_SERVER_CHAT_COMPLETION_H
#define HONE_SERVER_CHAT_COMPLETION_H

#include "sample/effort.h"
#include "sample/engine.h"
#include "sample/prompt.h"
#include "server/chat_tools.h"

/* What a request is given that does not say. */
struct chat_defaults {
    const char *model; /* the model's name in the response */
    size_t max_tokens; /* 0: what the context leaves, at most CHAT_MAX_TOKENS */
    struct pick_options pick;
    uint64_t seed;
    uint32_t item; /* counter of the random numbers where the request has no seed of its own */
    size_t max_positions;
    const struct effort_budgets *budgets; /* by reasoning_effort; NULL: effort_budgets_default */
};
#define CHAT_MAX_TOKENS ((size_t)1024)
#define CHAT_MAX_N 128
#define CHAT_MAX_STOP 4

struct chat_request {
    struct prompt prompt;
    struct sample_request sample; /* ready for engine_run */
    struct str stop[CHAT_MAX_STOP];
    struct str model;
    bool logprobs;
    struct constraint *constraint; /* sample.constraint, this request's own; or NULL */
    struct chat_tools tools;       /* this request's own */
};

/*
 * Reads body and renders its messages. Everything in *out lives in the arena or in body, but for what chat_request_release
 * gives back, and out->sample points into *out.
 *
 * Fails with ERR_INVALID and the field in err->param; ERR_UNSUPPORTED for what is not offered; ERR_LIMIT and "messages"
 * where the prompt leaves no room for an answer.
 */
MUST_CHECK bool chat_request_read(const json_t *body, const struct prompter *p,
                                  const struct chat_defaults *def, struct arena *a,
                                  struct chat_request *out, struct error *err);
void chat_request_release(struct chat_request *r); /* all zeros is fine */

/*
 * What a finished sample says, as a message of an assistant: content (null where there are calls and nothing else),
 * reasoning_content, tool_calls. index: of the choice. *finish_reason: "stop", "length", "tool_calls", "function_call". A new
 * tree.
 */
json_t *chat_message(const struct chat_request *r, const struct prompter *p, const struct sample *s,
                     size_t index, const char *id, struct arena *a, const char **finish_reason);
/* "logprobs" of a choice; null where they were not asked for. */
json_t *chat_logprobs(const struct chat_request *r, const struct prompter *p,
                      const struct sample *s);
/* samples [n_samples]. id: "chatcmpl-..." A new tree, the caller's. */
json_t *chat_response(const struct chat_request *r, const struct prompter *p,
                      const struct sample *samples, const char *id, struct arena *a);
#endif
