/*
 * http_client.h - a client that sends any bytes, well formed or not, and reads what a server answers, piece by piece.
 */
#ifndef HONE_TESTS_HTTP_CLIENT_H
#define HONE_TESTS_HTTP_CLIENT_H

#include "base/arena.h"
#include "base/buf.h"

struct client {
    int fd;
    void *tls;     /* a session, or NULL */
    struct buf in; /* what was read; [at, len) is not used yet */
    size_t at;
};
struct client client_open(int port);     /* fails the test where there is no connection */
struct client client_open_tls(int port); /* takes any certificate */
/* Whether both sides find a version of TLS; versions: as GnuTLS writes priorities. */
bool client_agrees(int port, const char *versions);
void client_close(struct client *c);
/* All of it, or as much as the server takes: false. */
bool client_send(struct client *c, struct str bytes);
bool client_text(struct client *c, const char *fmt, ...) PRINTF_LIKE(2, 3);

struct reply {
    int status; /* 0: the connection ended or time was up before a whole head was there */
    struct str head, body; /* in the arena; body is decoded */
    bool is_whole;         /* the body came to its end */
    bool is_chunked;
};
/* The next reply. has_body: false after a HEAD. */
struct reply client_reply(struct client *c, struct arena *a, bool has_body, double seconds);
/* A header's value from a head; "" where there is none. */
const char *reply_header(const struct reply *r, const char *name, struct arena *a);
/* Until the text was seen in what comes, which is then used up to its end. */
bool client_wait_for(struct client *c, const char *text, double seconds);
/* Whether the server ends the connection within the time; what comes before is dropped. */
bool client_sees_end(struct client *c, double seconds);
/* One request on a connection of its own. */
struct reply client_once(int port, struct arena *a, const char *method, const char *target,
                         const char *headers, struct str body);
#endif
