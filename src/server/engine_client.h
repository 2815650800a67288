/*
 * engine_client.h - the server asks, an engine process answers: `hone serve` itself never multiplies a matrix.
 *
 * The engine process (engine_host.h) is this program started again. It holds each base model once, any adapters beside it, and computes whatever
 * is asked of all of them together. Frames of JSON lines go both ways (engine_wire.h). When the process dies it is started anew, and what was under
 * way is asked again: an answer is a function of its request (every request carries a seed), so what its listener has already heard is left out, and
 * the rest follows as if nothing had happened. A request that kills the process twice is answered with an error.
 *
 * Events, each a JSON object with a "type":
 *
 *     begin   {"prompt_tokens":n, "cached_tokens":n}
 *     delta   {"choice":i, "reasoning"?:"...", "content"?:"...", "tool_calls"?:[delta as in chat chunks], "logprobs"?:[entries]}   only with stream;
 *             "function_call" in place of "tool_calls" where the request speaks of functions; of a completion {"text", "text_offset", "logprobs"?}
 *     choice  {"choice":i, "finish_reason":"stop|length|tool_calls|function_call", "message":{as in a chat response, with reasoning_content and tool_calls},
 *              "logprobs":{"content":[...]}|null, "completion_tokens":n, "reasoning_tokens":n}
 *     done    {"usage":{as in a chat response}}                     last
 *     result  {...}                                                 last, for ENGINE_EMBED, ENGINE_COUNT, ENGINE_SCORE
 *     error   {"kind":"ERR_INVALID"..., "message":"...", "param":"..."}   last
 */
#ifndef HONE_SERVER_ENGINE_CLIENT_H
#define HONE_SERVER_ENGINE_CLIENT_H

#include "text/json.h"

#include <stdatomic.h>
#include <stdint.h>

enum engine_op {
    ENGINE_CHAT, /* body: a chat-completions request */
    ENGINE_COMPLETE, /* body: a (legacy) completions request; choices come as "text" in delta and choice */
    ENGINE_EMBED, /* body: {"input":a text, a list of tokens (of this model, without [CLS] and [SEP]), or a list of these; "dimensions"?} -> result {"embeddings":[[...]], "prompt_tokens":n} */
    ENGINE_COUNT, /* body: as ENGINE_CHAT -> result {"prompt_tokens":n} */
    /*
     * body: {"prompt": a rendered text, "tokens": [ids that came after it], "temperature"?: 1} -> result {"logprobs":[n]}: of each token, as
     * an answer of these tokens would have them. The model's run says in which arithmetic, also where no adapter is named.
     */
    ENGINE_SCORE,
};

/* What a model's name stands for: files of this machine. Texts live as long as the call. */
struct engine_model {
    const char *name;    /* as asked for: stands in answers */
    const char *path;    /* the base: a .gguf file or a folder */
    const char *adapter; /* folder in PEFT's layout, or NULL */
    const char
        *run; /* folder of the run that made it, for its template and way of thinking, or NULL */
};

struct engine_listener {
    void *ctx;
    /* From a thread of the client's, one call at a time for one request, in order. event is lent. May call engine_client_ask and _cancel. */
    void (*event)(void *ctx, const json_t *event);
};

struct engine_client;
struct engine_client_options {
    const char *program; /* this program's path; NULL: /proc/self/exe */
    int threads;         /* of the engine; 0: one a core */
    int64_t
        memory_bytes; /* for models and caches; the least lately used model goes when it is passed; 0: 60 % of the machine's */
    size_t max_open;  /* requests at once; 0: 256; more: ERR_LIMIT, which becomes 429 */
    const char *const *extra; /* further arguments of `hone engine`, NULL-ended; or NULL */
};
MUST_CHECK bool engine_client_open(const struct engine_client_options *opt,
                                   struct engine_client **out, struct error *err);
/* Ends the process; what is open is told ERR_CANCELLED, whether or not the process still speaks, and no more is taken. NULL is fine. */
void engine_client_stop(struct engine_client *c);
void engine_client_close(
    struct engine_client *c); /* asks the process to end, and sees to it; NULL is fine */

/* *ticket: for cancelling. The body is copied; without an integer "seed" it is given one. Fails at once with ERR_LIMIT where too many are open. */
MUST_CHECK bool engine_client_ask(struct engine_client *c, enum engine_op op,
                                  const struct engine_model *m, const json_t *body, bool stream,
                                  const struct engine_listener *l, uint64_t *ticket,
                                  struct error *err);
/*
 * No event comes after it has returned (unless it is called from within one): where the request is being told one at this moment, it waits for that to
 * end, so hold no lock that the listener takes. One that is done already: nothing happens.
 */
void engine_client_cancel(struct engine_client *c, uint64_t ticket);
/* Asks and waits for the last event, which is the caller's (json_decref): choices collected under "choices". deadline: clock_seconds(), 0: none. */
MUST_CHECK bool engine_client_answer(struct engine_client *c, enum engine_op op,
                                     const struct engine_model *m, const json_t *body,
                                     double deadline, json_t **out, struct error *err);
/* The same, given up within a tenth of a second once *stop is set (ERR_CANCELLED). */
MUST_CHECK bool engine_client_answer_unless(struct engine_client *c, enum engine_op op,
                                            const struct engine_model *m, const json_t *body,
                                            double deadline, const atomic_bool *stop, json_t **out,
                                            struct error *err);

struct engine_figures {
    bool alive;
    uint64_t starts, open, asked, tokens_sampled, tokens_prompt, tokens_cached;
    int64_t resident_bytes;
};
struct engine_figures engine_client_figures(const struct engine_client *c);
#endif
