/*
 * engine_host.h - the engine process: models, adapters beside them, and the requests of all that ask.
 *
 *     socket <-> [ the host's thread ] --> a base model's queue --> [ its reader ] --> [ its runner ] --> events
 *
 * Each base model that is open has two threads. The reader opens it, reads requests (JSON, template, tokens, grammar) and loads
 * adapters, so that none of that holds up a token of anybody. The runner owns the engine (sample/engine.h) and goes on with all
 * requests together, each with its adapter, a token at a time; new ones are let in between two tokens. A model that embeds has
 * a reader alone.
 */
#ifndef HONE_SERVER_ENGINE_HOST_H
#define HONE_SERVER_ENGINE_HOST_H

#include "base/error.h"
#include "model/model.h"

#include <stdint.h>

struct engine_host_options {
    int64_t
        memory_bytes; /* of all models together; where it is passed the least lately used one goes that has nothing to do; 0: no limit */
    size_t max_positions;             /* of each model; 0: its own context, at most 8192 */
    const char *precision, *kv_cache; /* their names; NULL: what a model was trained in */
};
/* Serves what comes over fd (see engine_wire.h) and closes it. Returns when the other side has closed: true; or has said what nobody understands. */
MUST_CHECK bool engine_host_run(int fd, const struct engine_host_options *opt, struct error *err);
#endif
