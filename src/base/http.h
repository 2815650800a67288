/*
 * http.h - a request to an http or https address becomes a status, the few headers that matter, and a bounded body, or one
 * that is passed on as it comes.
 *
 * Over libcurl. Connections stay open and are used again: a client keeps as many as ever were in use at once, and where
 * one of those turns out to be closed, the request goes out again over a new one. TLS certificates are verified against
 * the system's authorities, or those in the file that SSL_CERT_FILE names. Proxies are those of the environment, as in
 * curl: http_proxy, https_proxy, all_proxy, no_proxy. Redirects are not followed: a POST would turn into a GET, and a
 * key would go to an address that nobody named; the reply is the 3xx itself, with its location.
 *
 * Messages name the host and the port, and neither the rest of the address nor a header nor a body: keys may be there.
 * Sockets are closed on exec: what this process starts has no part in its connections.
 */
#ifndef HONE_BASE_HTTP_H
#define HONE_BASE_HTTP_H

#include "base/arena.h"
#include "base/error.h"
#include "base/str.h"

#include <stdatomic.h>
#include <stdint.h>

/* An http or https address with a host and without a name or password in it; param is the setting it came from. */
MUST_CHECK bool http_check_url(const char *url, const char *param, struct error *err);
/*
 * A header that can be sent: a name of token characters, a value without control characters; not Content-Length or
 * Transfer-Encoding, which are ours. The value is never told.
 */
MUST_CHECK bool http_check_header(const char *name, const char *value, const char *param,
                                  struct error *err);

/* "api.openai.com, port 443": what a message may say of an address. */
struct http_place {
    char text[192];
};
struct http_place http_place_of(const char *url);

struct http; /* a client; threads may send through it at once */
MUST_CHECK bool http_open(struct http **out, struct error *err);
void http_close(struct http *h); /* no request may be under way; NULL is fine */

struct http_header {
    const char *name, *value;
};
/*
 * Takes n bytes of a body as they come; status and head (below) are those of the reply. False: no more is wanted; http_send then fails
 * with ERR_CANCELLED, and its caller knows why from ctx.
 */
typedef bool http_sink_fn(void *ctx, int status, struct str head, const char *bytes, size_t n);
struct http_request {
    const char *method; /* "GET", "POST" */
    const char *url;    /* of http_check_url */
    size_t n_headers;
    const struct http_header *headers; /* of http_check_header */
    struct str body;                   /* sent where the method is not GET */
    size_t max_reply_bytes;            /* a longer body is an error */
    double deadline;                   /* of clock_seconds(): all is over by then */
    double connect_timeout_s;          /* 0: 10 */
    const atomic_bool *stop;           /* ends it within some seconds once set; or NULL */
    /*
     * The address is a stranger's: no connection to this machine, a private network or any other address that is not of the public
     * internet, whatever name led there (ERR_INVALID), and no proxy, which would look the name up by itself. Through one client either all
     * requests are so or none is: an open connection is used again.
     */
    bool public_only;
    /* For what is too long to be held: the body of a 200 or 206 goes there and not into the reply; or NULL. */
    http_sink_fn *sink;
    void *sink_ctx;
    double idle_s; /* so long without a byte, and the connection counts as lost; 0: no such limit */
    size_t max_head_bytes; /* of the head, where it is wanted; 0: it is not kept */
};
/* Whether an address (4 bytes of IPv4, or 16 of IPv6) is of the public internet. */
bool http_is_public(const uint8_t *address, size_t n);
struct http_reply {
    int status;            /* 200 ... 599 */
    double retry_after_s;  /* what retry-after-ms or Retry-After ask for, or -1 */
    int should_retry;      /* x-should-retry: 1 true, 0 false, -1 not there */
    char content_type[64]; /* or "" */
    char location[256];    /* of a redirect, cut; or "" */
    struct str body;       /* in the arena of the call, ended by a zero byte */
    struct str head;       /* the header lines as they came, where they were wanted */
    bool reused_connection;
};
/* The value of the first header line of that name, in whatever case; false: there is none. */
bool http_head_value(struct str head, const char *name, struct str *value);
/*
 * Sends and waits for the whole reply, of whatever status. Fails with
 *   ERR_IO       no connection, a lost one, or a reply that is not HTTP: may pass, trying again makes sense
 *   ERR_TIMEOUT  the deadline passed
 *   ERR_INVALID  an address or header that cannot be used, or a certificate that does not hold
 *   ERR_LIMIT    a reply of more than max_reply_bytes
 *   ERR_CANCELLED  *stop was set
 */
MUST_CHECK bool http_send(struct http *h, const struct http_request *rq, struct arena *a,
                          struct http_reply *out, struct error *err);

/* Whether a status may be another one next time: 408, 409, 429, 5xx, or what x-should-retry says. */
bool http_may_pass(const struct http_reply *r);

/*
 * The pauses between tries, as the official client of the OpenAI API makes them:
 *
 *     pause(n) = min(first_pause_s * 2^n, 8 s) * (1 - u / 4)        n = 0, 1, ...;  u in (0, 1), counted, not drawn
 *
 * or what the server asks for and up to a tenth more, so that not all who wait come back at once.
 */
struct http_tries {
    int max_tries;        /* of failures; a reply that says how long to wait (429, 503) is none */
    double first_pause_s; /* 0: 0.5 */
    uint32_t seed;        /* another one for each request: not all come back at the same moment */
    const atomic_bool *stop; /* set: no other try; or NULL */
    int n, n_told;           /* tries that failed, pauses that the server asked for; begin at 0 */
};
/*
 * After a failed try: pauses and says true where another one makes sense, or false at once where it does not: the tries
 * are used up, or the pause would end behind the deadline. retry_after_s is of http_reply, or -1.
 */
bool http_try_again(struct http_tries *t, double retry_after_s, double deadline);
#endif
