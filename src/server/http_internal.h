/*
 * http_internal.h - what the files of http.h share. The life of an exchange is drawn at the top of http.c.
 */
#ifndef HONE_SERVER_HTTP_INTERNAL_H
#define HONE_SERVER_HTTP_INTERNAL_H

#include "server/http.h"
#include "server/http_multipart.h"

#include <microhttpd.h>
#include <nettle/sha2.h>
#include <pthread.h>
#include <stdatomic.h>

#define HTTP_NETWORK_THREADS 2
#define HTTP_MAX_PAIRS 256                     /* of a query; of headers */
#define HTTP_MAX_PARTS 256                     /* of a multipart body */
#define HTTP_MAX_FIELD_BYTES ((size_t)1 << 20) /* of all parts that are no files */
#define HTTP_READ_OVER_BYTES                                                                       \
    ((uint64_t)256 << 10) /* of a body that nobody wants: read to the end */
#define HTTP_READ_OVER_CHUNKED                                                                     \
    ((uint64_t)16 << 20) /* the same of one without a length, behind its limit */
#define HTTP_SLOWEST_BYTES_PER_SECOND ((double)1024) /* of a body, after slowest_seconds */

/* What the network thread waits for; its own. */
enum http_step {
    HTTP_STEP_HEAD,    /* the headers */
    HTTP_STEP_BEGUN,   /* begin(), of a request with a body */
    HTTP_STEP_BODY,    /* the body */
    HTTP_STEP_DISCARD, /* the end of a body that nobody wants; the answer is there */
    HTTP_STEP_WHOLE,   /* the next call: all of the request is there */
    HTTP_STEP_HANDLED, /* the answer */
    HTTP_STEP_SENDING  /* the client, to read it */
};

enum http_owner { HTTP_OF_NETWORK, HTTP_OF_HANDLER, HTTP_OF_KEEPER, HTTP_OF_NOBODY };

/* A body on its way in: http_body.c. The network thread's. */
struct http_incoming {
    struct buf memory;
    struct multipart *form;
    size_t field_bytes, cap_parts;
    struct buf field; /* the value of the part that is being read */
    int fd;           /* its file, or -1 */
    struct sha256_ctx sha256;
    int status; /* that is answered when it failed */
    struct error err;
    bool is_refused_by_plan; /* err is what plan.take said */
};

/* What waits to be sent: http_stream.c. Under the exchange's lock. */
struct http_outgoing {
    char *ptr; /* [cap]; what waits is [from, from + len) */
    size_t from, len, cap;
    size_t max_waiting;
    bool open;                       /* http_stream_begin came, http_stream_end did not */
    bool ended;                      /* the client shall see the end when it has read the rest */
    bool broken;                     /* the client left, read too slowly, or the server stops */
    double keep_alive_seconds, said; /* when something was last put */
};

/* One TCP connection. Under the server's lock; fd is open as long as it is in the server's table. */
struct http_connection {
    size_t slot;
    uint32_t generation;
    int fd;
    bool is_watched; /* its fd is in the watcher's epoll */
    bool was_used;   /* an exchange came to its end on it */
    double since;    /* accepted, or its last exchange ended */
    struct exchange *now;
};

struct exchange {
    struct http_exchange x; /* first: handlers have a pointer to it */
    struct http_server *server;
    atomic_int holds; /* of the connection, the owner, and who passes by; freed with the last */

    /* the network thread's */
    enum http_step step;
    const char *target_at; /* where libmicrohttpd has it */
    struct str target;
    char request_id[40], address[64];
    bool is_http11, has_body, is_chunked, expects_continue, is_admitted;
    uint64_t content_length, discarded;
    struct http_plan plan;
    struct http_incoming in;

    /* read by the watcher */
    atomic_bool has_head, is_in_body;
    _Atomic double body_began;
    _Atomic double left_at; /* the client closed its half while its body was read; 0: it did not */
    uint64_t bytes_when_left; /* the watcher's: what had come of the body then */
    atomic_uint_fast64_t body_bytes, sent_bytes;

    pthread_mutex_t
        lock; /* guards what follows; taken after the server's queue lock, before none of ours */
    pthread_cond_t told;
    enum http_owner owner;
    struct MHD_Connection *connection; /* NULL: the connection is through with it */
    struct http_connection *conn;      /* as long as connection is there */
    int fd;                            /* the same */
    bool is_suspended;
    bool is_cut;  /* whatever comes, the connection is closed */
    bool is_left; /* the client went away */
    struct MHD_Response *response;
    int status; /* 0: none yet */
    void (*gone)(void *ctx, struct http_exchange *x);
    void *gone_ctx;
    bool is_told, is_telling;
    pthread_t teller;
    struct http_outgoing out;

    struct exchange *next_job;  /* under the queue's lock */
    struct exchange *next_told; /* under the server's lock */
};

struct http_server {
    struct http_options opt;
    struct MHD_Daemon *daemon;
    int port;

    pthread_mutex_t
        lock; /* guards what follows; while it is held nothing else is locked or called */
    pthread_cond_t over;            /* n_exchanges fell */
    struct http_connection **table; /* [n_table] by slot; NULL is free */
    size_t n_table, n_connections, n_exchanges;
    pthread_cond_t has_place; /* a connection ended */
    size_t n_coming;          /* let in, and not yet among the connections */
    struct exchange *to_tell;

    pthread_mutex_t queue_lock; /* guards what follows */
    pthread_cond_t queue_filled;
    struct exchange *first_job, *last_job;
    size_t n_jobs;
    bool is_stopping;

    pthread_t *handlers; /* [n_handlers] */
    size_t n_handlers;
    pthread_t watcher;
    bool has_watcher;
    int epoll, wake; /* the watcher's */
    int listener;    /* http_accept.c's; -1: closed */
    pthread_t accepter;
    bool has_accepter;
    atomic_bool watcher_ends, is_draining;
    atomic_uint_fast64_t n_requests, n_refused, n_streams;
    char log_line[512]; /* libmicrohttpd's last words while it starts */
    atomic_bool is_started;
};

/* ---- http.c ---- */
void http_hold(struct exchange *e);
void http_unhold(struct exchange *e);
void http_resume(struct exchange *e); /* its lock is held */
void http_cut(struct exchange *e);    /* its lock is held: the connection ends, now */
struct MHD_Response *http_dress(struct exchange *e, struct MHD_Response *r, int status,
                                const char *content_type, const struct http_pair *headers,
                                size_t n_headers);
struct MHD_Response *http_refusal(struct exchange *e, int status, const char *message);
void http_answered(struct exchange *e); /* its owner's: the end of the answer comes next */
/* The owner gives the exchange back, with an answer (or NULL: the stream's). */
void http_let_go(struct exchange *e, struct MHD_Response *r, int status);
void http_log(struct http_server *s, const char *fmt, ...) PRINTF_LIKE(2, 3);

struct MHD_Response *http_bytes(struct str body); /* copied; NULL: no memory */

/* ---- http_network.c ---- */
/* Starts libmicrohttpd, in s->daemon, which takes the connections that it is given. */
MUST_CHECK bool http_network_start(struct http_server *s, struct error *err);

/* ---- http_accept.c: a thread that lets clients in ---- */
MUST_CHECK bool http_accept_listen(struct http_server *s, struct error *err);
MUST_CHECK bool http_accept_start(struct http_server *s, struct error *err);
void http_accept_end(struct http_server *s);

/* ---- http_watch.c: a thread that sees who left, who is too slow, and who was told nothing for long ---- */
MUST_CHECK bool http_watch_open(struct http_server *s, struct error *err);
void http_watch_close(struct http_server *s);
void http_watch(struct exchange *e);     /* its lock is held; connection is there */
void http_tell_gone(struct exchange *e); /* its lock is held: what gone is for has happened */

/* ---- http_head.c: the request line and the headers ---- */
/* 0, or the status of what is refused with *message. */
int http_read_head(struct exchange *e, struct MHD_Connection *c, const char *method,
                   const char *version, const char **message);

/* ---- http_body.c ---- */
/* False: refused, in e->in.status and e->in.err. */
MUST_CHECK bool http_body_open(struct exchange *e);
MUST_CHECK bool http_body_take(struct exchange *e, struct str bytes);
MUST_CHECK bool http_body_end(struct exchange *e);
void http_body_release(struct exchange *e); /* what was written and not taken away is removed */

/* ---- http_stream.c ---- */
void http_stream_ping(struct exchange *e, double now);
void http_stream_break(struct exchange *e); /* its lock is held */
#endif
