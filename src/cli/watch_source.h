/*
 * watch_source.h - a job somewhere else, asked now and then what is new of it: on a server, by its API, or in a run's folder.
 *
 * Nothing is changed there: no lock is taken, no file written, no request but GET sent. Whoever looks may leave at any moment.
 */
#ifndef HONE_CLI_WATCH_SOURCE_H
#define HONE_CLI_WATCH_SOURCE_H

#include "base/arena.h"
#include "job/run_read.h"

#include <stdatomic.h>

/* An event of the job as the API shows it; lent. */
typedef bool watch_event_fn(void *ctx, const json_t *event, struct error *err);

struct watch_state {
    char id[128];
    char name[256]; /* what it is called: "organ, SmolLM2-135M-Instruct" */
    char status
        [32]; /* the API's, "running"; of a folder that nobody writes and that has no end "stopped" */
    char model[256]; /* fine-tuned, or "" */
    char error[512]; /* why it failed, or "" */
    bool fit;        /* supervised or dpo */
    bool ended;      /* nothing will be told behind what there is now */
    bool
        went_back; /* a folder's run went on from a checkpoint: what metrics.csv has is what holds of what was told */
};

struct watch_source;
struct watch_place {
    const char *url; /* of the API, with /v1 or without; NULL: job is a run's folder */
    const char *key; /* NULL: none is sent. Never told */
    const char *job; /* id; NULL: the newest one */
    const atomic_bool *stop;
};
/* Fails with ERR_INVALID for an address or an id that is none. Everything in place must stay. */
MUST_CHECK bool watch_source_open(const struct watch_place *place, struct watch_source **out,
                                  struct error *err);
void watch_source_close(struct watch_source *w); /* NULL is fine */
/*
 * How it is now, and what was told since the last call of watch_source_tell, oldest first; in this order, so that of a job that has ended
 * nothing is missed. Both fail with ERR_IO or ERR_TIMEOUT where trying again makes sense (the server is away; what was told is
 * not told again), ERR_CANCELLED when stop was set, ERR_NOT_FOUND, ERR_INVALID; the latter as fn does, too.
 */
MUST_CHECK bool watch_source_look(struct watch_source *w, struct watch_state *out,
                                  struct error *err);
MUST_CHECK bool watch_source_tell(struct watch_source *w, watch_event_fn *fn, void *ctx,
                                  struct error *err);
/*
 * Answers of a step, as lines of rollouts/ (run_folder.h), fn false to stop: of a folder all of them; of a server all where they fit into
 * a page, otherwise the best and the worst, and of the validation then none. A server that does not show answers has none.
 */
MUST_CHECK bool watch_source_answers(struct watch_source *w, size_t step, bool valid,
                                     run_json_fn *fn, void *ctx, struct error *err);
#endif
