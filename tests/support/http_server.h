/*
 * http_server.h - an HTTP server on the loopback that does what a test tells it, and keeps what it was sent.
 *
 * Each request, in the order in which they arrive over all connections, gets the next reply of the script; the last
 * one is repeated. Connections stay open unless the reply closes them.
 */
#ifndef HONE_TESTS_HTTP_SERVER_H
#define HONE_TESTS_HTTP_SERVER_H

#include "base/str.h"

enum http_manner {
    HTTP_PLAIN,   /* a head with Content-Length, and the body */
    HTTP_CHUNKED, /* the body in chunks of 3 bytes */
    HTTP_HANG_UP, /* closes the connection without a word */
    HTTP_CUT,     /* promises one byte more than it sends, and closes */
    HTTP_RAW,     /* the body is all there is: no head; then closes */
    HTTP_ENDLESS, /* the body again and again, until the client leaves */
    HTTP_STALL,   /* the head, and then nothing, until the client leaves */
};
struct http_script {
    int status;          /* 0: 200 */
    const char *headers; /* more of them, each ended by "\r\n"; or NULL */
    const char *body;    /* NULL: "" */
    enum http_manner manner;
    double delay_s; /* before anything is sent */
    /* In place of body: makes one of the request's, of malloc; HTTP_PLAIN. Connections' threads. */
    char *(*make)(struct str request);
};

struct http_server;
/* script stays the caller's and must outlive the server. Fails the test where no port can be had. */
struct http_server *http_server_start(const struct http_script *script, size_t n);
void http_server_stop(struct http_server *s);             /* ends what is under way */
const char *http_server_url(const struct http_server *s); /* "http://127.0.0.1:4711" */

size_t http_server_requests(struct http_server *s);
size_t http_server_connections(struct http_server *s);
/* Of request i; as long as the server. */
struct str http_server_head(struct http_server *s, size_t i); /* request line and headers */
struct str http_server_body(struct http_server *s, size_t i);
double http_server_time(struct http_server *s,
                        size_t i); /* when it was read whole, of clock_seconds() */
#endif
