/*
 * http.h - HTTP/1.1 on one side, handlers that may take their time on the other. Stands on libmicrohttpd, which no other file
 * sees.
 *
 *     connection -> request line and headers -> begin() -> body, to memory or to a file -> handle() -> answer
 *
 * Two threads keep all connections (epoll); handlers run on threads of their own, fed by a bounded queue, and may
 * block for as long as a query takes. What takes longer (a generation, a stream) keeps the exchange, returns, and answers later from any
 * thread. A slow or silent client costs a connection, never a thread.
 *
 * Refused before any handler sees it: two Content-Lengths, Content-Length beside Transfer-Encoding, any Transfer-Encoding but chunked,
 * a header name that ends in a blank, no Host or two, header fields past their limits (431), a target past its own (414), a body past the plan's (413).
 * A line that is no header, a Content-Length that is no number, broken chunks, a line longer than a connection's memory (some 30 KiB), some hundreds of short fields or query parameters and
 * another version than HTTP/1 libmicrohttpd refuses itself, with a page of its own and without x-request-id; done() is called for these, too.
 */
#ifndef HONE_SERVER_HTTP_H
#define HONE_SERVER_HTTP_H

#include "base/arena.h"
#include "base/buf.h"

#include <stdint.h>

enum http_method {
    HTTP_GET,
    HTTP_POST,
    HTTP_DELETE,
    HTTP_PUT,
    HTTP_PATCH,
    HTTP_HEAD,
    HTTP_OPTIONS,
    HTTP_OTHER
};

struct http_pair {
    struct str name, value;
};

/* One part of a multipart body. Files go to the disk as they come. */
struct http_part {
    struct str name, filename, content_type;
    struct str value; /* of a part without a filename */
    const char *
        path; /* of a part with one: what was written, the handler's to rename; removed at the end if it still is there */
    uint64_t bytes;
    const char *sha256; /* hex, of a file's bytes */
};

/*
 * One request and its answer. Views live as long as the exchange. It belongs to the handler's thread, or to whoever kept it.
 */
struct http_exchange {
    enum http_method method;
    struct str method_name; /* as sent: a token, "TRACE" */
    struct str path;        /* as sent, percent-encoded, without the query; begins with '/' */
    struct http_pair
        *query; /* [n_query] decoded, in order: metadata[k]=v has the name "metadata[k]" */
    size_t n_query;
    struct http_pair *headers; /* [n_headers] */
    size_t n_headers;
    struct str body;         /* kept in memory, where the plan said so */
    struct http_part *parts; /* [n_parts] of a multipart body */
    size_t n_parts;
    const char *address;    /* of the client, as text */
    bool loopback;          /* it is this machine's */
    const char *request_id; /* "req_..."; sent back as x-request-id with every answer */
    double began;           /* clock_seconds(), when the request line was there */
    struct arena arena;     /* the exchange's; one thread at a time */
    void *user;             /* the handler's */
};
struct str http_header(const struct http_exchange *x,
                       const char *name); /* case-insensitive; ptr NULL: none */
struct str http_query(const struct http_exchange *x,
                      const char *name); /* the first; ptr NULL: none */
/* %XX in one segment of a path or a query. False for a broken or zero byte, or what is no UTF-8. */
MUST_CHECK bool http_decode(struct str in, bool plus_is_blank, struct arena *a, struct str *out);

enum http_body { HTTP_BODY_NONE, HTTP_BODY_MEMORY, HTTP_BODY_MULTIPART };
struct http_plan {
    enum http_body body;
    /*
     * Of the whole body. 413 where Content-Length says more, before a byte of it is kept (a short one is read over, so that the
     * connection lives on; before a long one the answer comes at once); without a length as soon as it is passed.
     */
    uint64_t max_bytes;
    /* Names a file for a multipart's file part, made or yet to be made; NULL with err: refused. On a network thread: it may not wait. */
    const char *(*incoming)(void *ctx, struct http_exchange *x, struct error *err);
    /*
     * So many bytes of a file came, and are kept only if this allows it; false with err: refused with 400, and err goes to
     * http_options.refusal as it is. NULL: all are. On a network thread: it may not wait.
     */
    bool (*take)(void *ctx, struct http_exchange *x, size_t bytes, struct error *err);
};

/*
 * ---- answers; each exchange gets exactly one, from its handler or from whoever kept it ----
 *
 * x-request-id, content-length, date and what http_options.headers says are added. The body of an answer to HEAD is not sent.
 * http_answer, http_answer_file and http_stream_end wait for a gone that is running (unless it is gone itself that calls them):
 * do not call them with a lock held that gone takes. Then x and ctx are never touched again.
 */

/* status 200 ... 599. content_type NULL: none. body is copied. Any thread; the exchange is over when it returns. */
void http_answer(struct http_exchange *x, int status, const char *content_type, struct str body,
                 const struct http_pair *headers, size_t n_headers);
/* A whole file, as long as it is now, sent as the client reads: memory does not grow with it. 404 or 500 where it cannot be opened. */
void http_answer_file(struct http_exchange *x, const char *path, const char *content_type,
                      const struct http_pair *headers, size_t n_headers);

/*
 * An answer that grows: headers go out now. Puts may come from any one thread at a time, and never block: what the client has not read waits in
 * a buffer; when that holds more than max_waiting bytes the stream is broken off (http_stream_put returns false from then on), for one slow
 * reader may not cost memory or hold up others. A comment may come between any two puts, so that with keep_alive_ms each put is whole events.
 * gone is called at most once, from a thread of the server's, as soon as the client has left or was
 * broken off, or when the server drains or closes: it may not wait. The exchange stays valid until http_stream_end, which must always be called, and
 * when that has returned gone is not called any more.
 */
struct http_stream_options {
    const char *content_type; /* "text/event-stream" */
    size_t max_waiting;       /* 0: 1 MiB */
    int keep_alive_ms; /* a comment line ": ping" when nothing was said for so long; 0: none */
    void (*gone)(void *ctx, struct http_exchange *x);
    void *ctx;
    const struct http_pair *headers;
    size_t n_headers;
};
void http_stream_begin(struct http_exchange *x, const struct http_stream_options *opt);
bool http_stream_put(struct http_exchange *x, struct str bytes);
void http_stream_end(struct http_exchange *x);
/* The same, with a last put: one that tells the client that nothing follows, so that it may ask for something else at once. */
void http_stream_end_with(struct http_exchange *x, struct str last);
/* Bytes that the client has not taken yet: for writers that have much to say, and would rather wait than be broken off. */
size_t http_stream_waiting(struct http_exchange *x);

/*
 * Keeps the exchange beyond the handler's return: it must be answered later, by an answer or by http_stream_begin. gone as above, until
 * it is answered; may be NULL. A client that closed its sending half counts as left, and still gets the answer if it reads on.
 */
void http_keep(struct http_exchange *x, void (*gone)(void *ctx, struct http_exchange *x),
               void *ctx);

/* ---- the server ---- */

#define HTTP_MORE_HEADERS 16

struct http_options {
    const char *host;               /* "127.0.0.1", "::1", "0.0.0.0", a name */
    int port;                       /* 0: any free one */
    const char *tls_cert, *tls_key; /* PEM files; NULL: plain HTTP */
    size_t n_handlers;              /* threads; 0: 8 */
    size_t max_waiting;             /* requests in the queue before 503 with retry-after; 0: 1024 */
    size_t max_connections;         /* 0: 4096 */
    size_t max_connections_per_address; /* 0: none */
    int idle_seconds; /* of a connection between requests, and of a client that stops sending one; 0: 60 */
    int slowest_seconds; /* for the headers of a request to come whole, whatever trickles (slow-loris); 0: 30 */
    size_t max_header_bytes; /* 0: 16 KiB */
    size_t max_target_bytes; /* 0: 8 KiB */
    const char
        *allow; /* what OPTIONS of * is answered with; NULL: "GET, HEAD, POST, DELETE, OPTIONS" */
    void *ctx;
    /*
     * The headers are there. Says what becomes of the body, or answers at once (and returns false). Runs on a handler's thread, so that a key can be
     * looked up before a byte of a large body is taken.
     */
    bool (*begin)(void *ctx, struct http_exchange *x, struct http_plan *plan);
    void (*handle)(void *ctx, struct http_exchange *x);
    /*
     * An answer is there, and its client has not seen the end of it: what this request took, and the client's next one may need, is given back here.
     * At the begin of http_answer, http_stream_end and http_stream_end_with, of a refusal of this module's, and of a stream for HEAD; not of
     * http_answer_file, nor where nothing is answered: then done comes alone. May come twice for an exchange. From its owner; NULL: nobody asks.
     */
    void (*answered)(void *ctx, const struct http_exchange *x);
    /* An exchange is over (answered, or its client left): for logs and figures. status 0: no answer was sent. Any thread. */
    void (*done)(void *ctx, const struct http_exchange *x, int status, uint64_t bytes_sent);
    /*
     * The body of an answer that this module makes itself (400, 404, 413, 414, 431, 500, 503): an error envelope, JSON. In the arena.
     * why: what http_plan.take said; NULL: it is none of its refusals.
     */
    struct str (*refusal)(void *ctx, int status, const char *message, const struct error *why,
                          struct arena *a);
    /* Headers for every answer, as for CORS: fills out, and returns how many. Any thread; NULL: none. */
    size_t (*headers)(void *ctx, const struct http_exchange *x, int status,
                      struct http_pair out[HTTP_MORE_HEADERS]);
    void (*log)(void *ctx, const char *message); /* what an operator should see; NULL: nowhere */
};
struct http_server;
MUST_CHECK bool http_server_open(const struct http_options *opt, struct http_server **out,
                                 struct error *err);
int http_server_port(const struct http_server *s);
struct http_counts {
    uint64_t connections, requests, refused, streams,
        waiting; /* now, since the start, since the start, now, now */
};
struct http_counts http_server_counts(struct http_server *s);
/*
 * No new connections; exchanges under way may end until the deadline (clock_seconds()), streams are ended then: their clients see a whole
 * answer, their writers gone. Returns when all are over, a second after the deadline at the latest.
 */
void http_server_drain(struct http_server *s, double deadline);
/* Cuts what is left, tells who kept something (gone), and waits until all is answered or ended. NULL is fine. */
void http_server_close(struct http_server *s);
#endif
