/*
 * generation.h - what an engine process says to a request, on its way into the answer of an exchange.
 *
 *     route -> generation_start: keeps the exchange, asks -> on_event for each event -> the last one: on_event answers
 *
 * A client that leaves ends its own generation: at its next token nothing more is computed for it.
 */
#ifndef HONE_SERVER_GENERATION_H
#define HONE_SERVER_GENERATION_H

#include "server/api.h"

struct generation;
/*
 * From a thread of the engine client's, one call at a time. event is one of engine_client.h; of the last one ("done", "result",
 * "error") the function must answer the call (api_reply, or generation_end after generation_stream), and the call is gone then.
 */
typedef void generation_fn(struct generation *g, const json_t *event);

struct generation_options {
    enum engine_op op;
    struct engine_model model;
    const json_t *body;
    generation_fn *on_event;
    /* The client has left, and no event will come any more: what ctx holds goes back. on_event's last call says it, too. */
    void (*release)(void *ctx);
    void *ctx;
};
/* True: the call is the generation's from now on, and must not be looked at any more. False: it still is the caller's, ctx too. */
MUST_CHECK bool generation_start(struct api_call *c, const struct generation_options *opt,
                                 struct error *err);

struct api_call *generation_call(const struct generation *g);
void *generation_ctx(const struct generation *g);

/* Server-sent events: headers go out; then data (one line of JSON), under a name or without one. */
void generation_stream(struct generation *g);
bool generation_streams(const struct generation *g);
void generation_say(struct generation *g, const char *name, const json_t *data);
/* [DONE] where done, and the end of the stream. */
void generation_end(struct generation *g, bool done);

/* An "error" event as an error of ours. */
void generation_error(const json_t *event, struct error *err);
#endif
