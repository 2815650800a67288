/*
 * tool_servers.h - a call that a model made in an answer becomes what its tool says: over HTTP, several at a time.
 *
 *     "tools": [{"name": "search", "server_url": "https://...", "headers": {"Authorization": "..."}}], "max_episode_steps": 5
 *
 *     POST server_url    {"type":"function_call","id":"fc_..","call_id":"call_..","name":"search","arguments":"{..}","trace_id":".."}
 *     reply              {"type":"function_call_output","call_id":"call_..","output":"...","id":".."}
 *
 * A call and its reply have at most a megabyte each. The trace_id is that of the answer that the call stands in, the call_id
 * stays the same however often a call is tried. After no connection, a lost one, 408, 409, 429 and 5xx it is tried up to three
 * times again; what is 4xx in the end is told to the model (TOOL_REFUSED). Anything else is no answer: TOOL_LOST.
 * At most 50 calls begin in a second. Arguments go to the address and headers are told nowhere.
 */
#ifndef HONE_TRAIN_TOOL_SERVERS_H
#define HONE_TRAIN_TOOL_SERVERS_H

#include "base/arena.h"
#include "text/json.h"

#define TOOL_SERVERS_MOST 128

struct tool_servers_options {
    double timeout_s; /* of a call, all its tries together; 0: 600 */
    size_t n_threads; /* calls at a time; 0: 16 */
    double rate;      /* calls that begin in a second; 0: 50 */
};

struct tool_servers;
/*
 * spec: "method.reinforcement" of a job. *out is NULL where it has no tools. Fails with ERR_INVALID or ERR_LIMIT and the path
 * of the setting for what is no such list.
 */
MUST_CHECK bool tool_servers_open(const json_t *spec, const struct tool_servers_options *opt,
                                  struct tool_servers **out, struct error *err);
/* The check alone. */
MUST_CHECK bool tool_servers_check(const json_t *spec, struct error *err);
void tool_servers_close(struct tool_servers *s); /* nothing is under way; NULL is fine */
/* Turns that an answer may have, the last one included. */
size_t tool_servers_max_steps(const struct tool_servers *s);
size_t tool_servers_count(const struct tool_servers *s);
struct str tool_servers_name(const struct tool_servers *s, size_t i);
bool tool_servers_has(const struct tool_servers *s, struct str name);

enum tool_end { TOOL_SAID, TOOL_REFUSED, TOOL_LOST };
const char *tool_end_name(enum tool_end e); /* "said", "refused", "lost" */

/* A call on its way: the caller's, who does not touch it until tool_servers_get gives it back. */
struct tool_ask {
    struct str name, arguments, call_id, trace_id;
    /* what came of it */
    enum tool_end end;
    struct str output; /* in arena: what the model is told; of one that was lost, why */
    double seconds;
    struct arena *arena; /* the caller's, for this call alone */
    void *ctx;           /* the caller's */
    struct tool_ask *next;
};
void tool_servers_put(struct tool_servers *s, struct tool_ask *ask);
/* The next one that came back, waiting wait_s for it at most; NULL: none. */
struct tool_ask *tool_servers_get(struct tool_servers *s, double wait_s);
/*
 * What a reply's body tells the model, in the arena: "output", a text, or anything else as the JSON that it is. place: whose it is, for the
 * message. ERR_CORRUPT for what is no reply to this call.
 */
MUST_CHECK bool tool_reply_read(struct str body, struct str call_id, const char *place,
                                struct arena *a, struct str *out, struct error *err);
/* Nobody wants what is under way any more: it ends within some seconds, and is forgotten when this returns. */
void tool_servers_drop(struct tool_servers *s);
#endif
