/*
 * download.h - the bytes of a file at an address, or a part of them, are passed on as they come.
 *
 * GET over http.h, and unlike there redirects are followed, for hubs lead to where the bytes lie: 8 of them at most, never from https to
 * http. A token goes to the origin (scheme, host and port) that it is for, and to no other that a redirect names.
 */
#ifndef HONE_BASE_DOWNLOAD_H
#define HONE_BASE_DOWNLOAD_H

#include "base/http.h"

/* Scheme, host and port are the same; false where either is no address. */
bool download_same_origin(const char *a, const char *b);
/* http or https to localhost, 127.0.0.0/8 or ::1. */
bool download_is_loopback(const char *url);
/* An address, as seen from base ("../x", "/x", "https://..."); NULL where it makes none. */
const char *download_resolve(const char *base, struct str relative, struct arena *a);

struct download {
    const char *url;       /* of http_check_url */
    const char *token;     /* "Authorization: Bearer TOKEN"; NULL: none */
    const char *token_for; /* an address of the origin that it is for */
    bool ranged;           /* only the bytes first..last, the last included */
    uint64_t first, last;
    http_sink_fn *sink; /* the body of a 200 or 206; NULL: it goes into the reply */
    void *sink_ctx;
    size_t max_reply_bytes; /* of any other body */
    double idle_s;          /* of http_request */
    double deadline;
    const atomic_bool *stop;
};
struct download_reply {
    struct http_reply reply; /* with its head */
    const char *url;         /* that which answered; in the arena */
};
/*
 * Waits for the end of the reply, of whatever status; where this fails, out->url is set all the same once something answered. Fails as
 * http_send does, and with ERR_INVALID for a redirect that is not followed.
 */
MUST_CHECK bool download_get(struct http *h, const struct download *d, struct arena *a,
                             struct download_reply *out, struct error *err);

/* "bytes 5-9/100": all is told, first <= last < total. "bytes 5-9/" and a star: total is UINT64_MAX. False: not told so. */
bool download_content_range(struct str head, uint64_t *first, uint64_t *last, uint64_t *total);
/* "Content-Length: 17" */
bool download_content_length(struct str head, uint64_t *out);
#endif
