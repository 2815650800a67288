/*
 * download.c - redirects, ranges, and who may see a token.
 */
#include "base/download.h"

#include <assert.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_REDIRECTS 8
#define MAX_HEAD_BYTES ((size_t)128 << 10)

/* ---- addresses ---- */

struct origin {
    char *scheme, *host, *port; /* libcurl's */
};

static void origin_release(struct origin *o)
{
    curl_free(o->scheme);
    curl_free(o->host);
    curl_free(o->port);
}

static struct origin origin_of(const char *url)
{
    CURLU *parts = curl_url();
    struct origin o = {0};

    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK) {
        curl_url_get(parts, CURLUPART_SCHEME, &o.scheme, 0);
        curl_url_get(parts, CURLUPART_HOST, &o.host, 0);
        curl_url_get(parts, CURLUPART_PORT, &o.port, CURLU_DEFAULT_PORT);
    }
    curl_url_cleanup(parts);
    return o;
}

static bool same(const char *a, const char *b)
{
    return a != NULL && b != NULL && strcasecmp(a, b) == 0;
}

bool download_same_origin(const char *a, const char *b)
{
    struct origin x = origin_of(a), y = origin_of(b);
    const bool is = same(x.scheme, y.scheme) && same(x.host, y.host) && same(x.port, y.port);

    origin_release(&x);
    origin_release(&y);
    return is;
}

bool download_is_loopback(const char *url)
{
    struct origin o = origin_of(url);
    unsigned b[4];
    char rest;
    const bool is = o.host != NULL &&
                    (strcasecmp(o.host, "localhost") == 0 || strcmp(o.host, "[::1]") == 0 ||
                     (sscanf(o.host, "%3u.%3u.%3u.%3u%c", &b[0], &b[1], &b[2], &b[3], &rest) == 4 &&
                      b[0] == 127));

    origin_release(&o);
    return is;
}

const char *download_resolve(const char *base, struct str relative, struct arena *a)
{
    CURLU *parts = curl_url();
    char *full = NULL;
    const char *out = NULL;

    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, base, 0) == CURLUE_OK &&
        curl_url_set(parts, CURLUPART_URL, arena_text(a, relative), 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_URL, &full, 0) == CURLUE_OK)
        out = arena_text(a, str_of(full));
    curl_free(full);
    curl_url_cleanup(parts);
    return out;
}

/* ---- heads ---- */

/* The number at the front of *s, which is cut off it. */
static bool take_number(struct str *s, uint64_t *out)
{
    uint64_t x = 0;
    size_t n = 0;

    for (; n < s->len && s->ptr[n] >= '0' && s->ptr[n] <= '9'; n++)
        if (__builtin_mul_overflow(x, 10, &x) ||
            __builtin_add_overflow(x, (uint64_t)(s->ptr[n] - '0'), &x))
            return false;
    *s = str_from(*s, n);
    *out = x;
    return n > 0;
}

static bool take_char(struct str *s, char c)
{
    if (s->len == 0 || s->ptr[0] != c)
        return false;
    *s = str_from(*s, 1);
    return true;
}

bool download_content_range(struct str head, uint64_t *first, uint64_t *last, uint64_t *total)
{
    uint64_t from, to, all = UINT64_MAX;
    struct str s;

    if (!http_head_value(head, "content-range", &s) || s.len < 6 ||
        strncasecmp(s.ptr, "bytes ", 6) != 0)
        return false;
    s = str_trim(str_from(s, 6), " \t");
    if (!take_number(&s, &from) || !take_char(&s, '-') || !take_number(&s, &to) ||
        !take_char(&s, '/'))
        return false;
    if (!str_is(s, "*") && (!take_number(&s, &all) || s.len > 0))
        return false;
    if (from > to || to >= all)
        return false;
    *first = from;
    *last = to;
    *total = all;
    return true;
}

bool download_content_length(struct str head, uint64_t *out)
{
    struct str s;
    uint64_t n;

    if (!http_head_value(head, "content-length", &s) || !take_number(&s, &n) || s.len > 0)
        return false;
    *out = n;
    return true;
}

/* ---- getting ---- */

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static bool ask(struct http *h, const struct download *d, const char *url, struct arena *a,
                struct http_reply *out, struct error *err)
{
    struct http_header headers[2];
    struct http_request rq = {.method = "GET",
                              .url = url,
                              .headers = headers,
                              .max_reply_bytes = d->max_reply_bytes,
                              .deadline = d->deadline,
                              .connect_timeout_s = d->idle_s,
                              .stop = d->stop,
                              .sink = d->sink,
                              .sink_ctx = d->sink_ctx,
                              .idle_s = d->idle_s,
                              .max_head_bytes = MAX_HEAD_BYTES};

    if (d->token != NULL && download_same_origin(url, d->token_for))
        headers[rq.n_headers++] =
            (struct http_header){"Authorization", arena_printf(a, "Bearer %s", d->token)};
    if (d->ranged)
        headers[rq.n_headers++] = (struct http_header){
            "Range", arena_printf(a, "bytes=%" PRIu64 "-%" PRIu64, d->first, d->last)};
    return http_send(h, &rq, a, out, err);
}

/* Where a redirect leads, or NULL with err. */
static const char *next_url(const char *from, struct str head, struct arena *a, struct error *err)
{
    const struct http_place place = http_place_of(from);
    struct str location;
    const char *to;

    if (!http_head_value(head, "location", &location)) {
        fail(err, ERR_IO, "%s: a redirect without a location", place.text);
        return NULL;
    }
    to = download_resolve(from, location, a);
    if (to == NULL || !http_check_url(to, "location", err)) {
        fail(err, ERR_INVALID, "%s: it redirects to what is no http or https address", place.text);
        return NULL;
    }
    if (strncasecmp(from, "https:", 6) == 0 && strncasecmp(to, "https:", 6) != 0) {
        fail(
            err, ERR_INVALID,
            "%s: it redirects from https to http (%s), which is not followed: whoever is on the way "
            "could change the file",
            place.text, http_place_of(to).text);
        return NULL;
    }
    return to;
}

bool download_get(struct http *h, const struct download *d, struct arena *a,
                  struct download_reply *out, struct error *err)
{
    const char *url = d->url;

    assert(d->token == NULL || d->token_for != NULL);
    for (int i = 0; url != NULL && i <= MAX_REDIRECTS; i++) {
        out->url = url;
        if (!ask(h, d, url, a, &out->reply, err))
            return false;
        if (!is_redirect(out->reply.status))
            return true;
        url = next_url(url, out->reply.head, a, err);
    }
    return url != NULL && fail(err, ERR_INVALID, "%s: it redirects more than %d times",
                               http_place_of(d->url).text, MAX_REDIRECTS);
}
