/*
 * engine_host_internal.h - what the engine process's sources share: the host, its models, their requests.
 */
#ifndef HONE_SERVER_ENGINE_HOST_INTERNAL_H
#define HONE_SERVER_ENGINE_HOST_INTERNAL_H

#include "model/encoder.h"
#include "sample/rescore.h"
#include "server/answer_events.h"
#include "server/chat_completion.h"
#include "server/completion.h"
#include "server/engine_host.h"
#include "server/engine_wire.h"

#include <pthread.h>

struct host {
    struct engine_host_options opt;
    struct wire wire; /* the host's thread's */
    int poke;         /* an eventfd: there is something in the outbox */

    pthread_mutex_t lock;   /* guards all below, and of bases and requests what says so */
    pthread_cond_t changed; /* a base is gone, or the outbox has been emptied */
    struct buf outbox;
    bool ending;
    struct base *bases; /* those that take requests */
    size_t n_bases;     /* with those that are closing */
    size_t n_closing;
    struct request *requests;    /* until their last event */
    uint64_t clock;              /* one more with each request: which base was used last */
    struct engine_counts closed; /* of bases that are gone */
};

struct request_queue {
    struct request *first, **last;
};

/* An adapter of a base, or the base as it is, with the template and the way of thinking that belong to it. */
struct tuned {
    struct tuned *next;
    char *folder, *run;        /* NULL: none */
    struct adapter *adapter;   /* NULL: the base as it is */
    struct prompter *prompter; /* the reader's; NULL: no conversation has been asked for yet */
    size_t n_users;            /* requests; guarded by the host's lock, as next and used are */
    uint64_t used;
};

struct base {
    struct host *host;
    char *path;
    bool embeds; /* it is asked for vectors */
    enum precision precision;
    enum kv_cache kv_cache;

    /* guarded by the host's lock */
    struct base *next;
    struct request_queue waiting, ready; /* to be read; to be run */
    size_t n_requests;                   /* until their last event */
    bool closing;
    uint64_t used;
    size_t bytes;
    struct engine_counts counts;
    struct tuned *tuned;
    pthread_cond_t wake; /* the reader and the runner */

    /* the reader's until the runner has started */
    struct model *model;
    struct encoder *encoder;
    struct engine *engine; /* the runner's */
    pthread_t runner;
    bool has_runner;

    /* the runner's */
    struct request *running;
    struct buf out; /* events of this turn */
    bool out_ends;  /* one of them is a request's last */
};

/* One prompt of a request: what the engine is given. */
struct part {
    struct request *request;
    size_t first;                 /* number of its first choice */
    struct sample_request sample; /* max_tokens 0: there is nothing to sample */
    struct engine_ticket *ticket;
    struct answer_events *events; /* [sample.n_samples] */
    json_t **choices;             /* [sample.n_samples] of best_of, until all are there; or NULL */
    size_t n_done;
};

struct request {
    struct request *next;   /* of the host's list */
    struct request *queued; /* of a base's queue, or of those that run */
    struct host *host;
    struct base *base;
    struct wire_message lead; /* what was asked, apart from the body */
    struct str body;          /* its text; owned */
    json_t *tree;             /* and as a tree, from request_read on */
    atomic_bool cancelled;

    struct arena arena;
    struct tuned *tuned;
    struct chat_request chat;
    struct completion_request completion;
    struct drawn_tokens drawn; /* for ENGINE_SCORE */
    struct answer_events_options look;
    struct part *parts; /* [n_parts] */
    size_t n_parts, n_ended, n_prompt, n_sampled, n_thinking;
    bool in_runner; /* it is told through base->out */
    bool begun;
};

/* ---- engine_host.c ---- */

/* Lines for the other side; ends: a request's last event is among them. wait: where too much waits already, which
   the host's own thread must not. */
void host_post(struct host *h, struct str lines, bool ends, bool wait);
/* Under the lock: closes bases that have nothing to do, until the others and `more` bytes fit; never keep. */
void host_make_room(struct host *h, const struct base *keep, size_t more);
/* The request has had its last event: it goes. */
void request_end(struct request *r);

/* ---- engine_base.c ---- */

/* Whether an adapter is open with it. Under the lock. */
bool base_has(const struct base *b, const struct engine_model *m);
/* Starts its reader. Under the lock; base belongs to its threads from then on. */
MUST_CHECK bool base_start(struct base *b, struct error *err);
void queue_put(struct request_queue *q, struct request *r); /* under the lock */
struct request *queue_take(struct request_queue *q);        /* NULL: it is empty */

/* ---- engine_request.c ---- */

/* The reader's part: checks the body and makes parts of it, or tells the answer at once and returns with n_parts 0. */
MUST_CHECK bool request_read(struct request *r, struct error *err);
/* The runner's part. */
MUST_CHECK bool request_submit(struct request *r, struct error *err);
bool request_is_over(const struct request *r);
void request_tell(struct request *r, json_t *event); /* taken */
void request_tell_error(struct request *r, const struct error *err);
/* Gives back what the engine and the arena hold of it. */
void request_release(struct request *r);

/* ---- engine_score.c ---- */

/* The reader's part and the runner's of ENGINE_SCORE. */
MUST_CHECK bool score_read(struct request *r, struct error *err);
MUST_CHECK bool score_tell(struct request *r, struct error *err);

#endif
