/*
 * http.c - requests over libcurl.
 *
 * Each request has a handle of libcurl (its "easy" interface) of its own, and what outlives it, the connection and the TLS session, is
 * in a share that the handle is given. Handles are not used twice: up to version 8.0 one keeps a pointer to the last header of
 * the reply before, and a reply whose first header begins with a blank makes it write there (github.com/curl/curl, issue 11101).
 * The client keeps the shares that are not in use in a stack: the one used last is the first to be used again, for its
 * connection is the youngest. A share of connections between threads is what libcurl itself does not offer, so each goes to
 * one request at a time.
 */
#include "base/http.h"

#include "base/buf.h"
#include "base/clock.h"
#include "base/philox.h"
#include "base/size.h"

#include <assert.h>
#include <curl/curl.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>

#define DEFAULT_CONNECT_S 10.0
#define DEFAULT_PAUSE_S 0.5
#define MAX_PAUSE_S 8.0
#define SINK_BYTES (256L << 10) /* read at a time of what is passed on */
#define MAX_TOLD                                                                                   \
    1000 /* pauses that the server asked for: one that does so for ever does not work */

struct kept {
    CURLSH *share;
    struct kept *next; /* of those not in use */
};
struct http {
    pthread_mutex_t lock; /* guards idle */
    struct kept *idle;
};

/* ---- checks ---- */

/* One part of an address, or NULL where it has none; curl_free gives it back. */
static char *url_part(CURLU *parts, CURLUPart part)
{
    char *text = NULL;

    return curl_url_get(parts, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK ? text : NULL;
}

struct http_place http_place_of(const char *url)
{
    CURLU *parts = curl_url();
    struct http_place p = {"the server"};

    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK) {
        char *host = url_part(parts, CURLUPART_HOST), *port = url_part(parts, CURLUPART_PORT);

        if (host != NULL && port != NULL)
            snprintf(p.text, sizeof p.text, "%.160s, port %.8s", host, port);
        curl_free(host);
        curl_free(port);
    }
    curl_url_cleanup(parts);
    return p;
}

static bool is_http(const char *scheme)
{
    return strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0;
}

bool http_check_url(const char *url, const char *param, struct error *err)
{
    CURLU *parts = curl_url();
    bool ok;

    if (parts == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for an address");
    if (curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) != CURLUE_OK) {
        ok = fail_param(err, ERR_INVALID, param, "%s: this is no address such as https://host/path",
                        param);
    } else {
        char *scheme = url_part(parts, CURLUPART_SCHEME), *user = url_part(parts, CURLUPART_USER);

        if (scheme == NULL || !is_http(scheme))
            ok = fail_param(err, ERR_INVALID, param,
                            "%s: expected an address that begins with http:// or https://", param);
        else if (user != NULL)
            ok = fail_param(err, ERR_INVALID, param,
                            "%s: a name and a password do not belong into an address; use a header",
                            param);
        else
            ok = true;
        curl_free(scheme);
        curl_free(user);
    }
    curl_url_cleanup(parts);
    return ok;
}

static bool is_token(const char *name) /* RFC 9110, 5.6.2 */
{
    size_t n = 0;

    for (; name[n] != '\0'; n++) {
        const char c = name[n];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              strchr("!#$%&'*+-.^_`|~", c) != NULL))
            return false;
    }
    return n > 0;
}

bool http_check_header(const char *name, const char *value, const char *param, struct error *err)
{
    if (!is_token(name))
        return fail_param(err, ERR_INVALID, param,
                          "%s: a header's name has letters, digits and hyphens", param);
    if (strcasecmp(name, "Content-Length") == 0 || strcasecmp(name, "Transfer-Encoding") == 0)
        return fail_param(err, ERR_INVALID, param, "%s: %s is set by the request itself", param,
                          name);
    for (const char *c = value; *c != '\0'; c++)
        if (((unsigned char)*c < 0x20 && *c != '\t') || *c == 0x7f)
            return fail_param(err, ERR_INVALID, param,
                              "%s: the value has a line break or another control character in it",
                              param);
    return true;
}

/* ---- the client ---- */

static pthread_once_t global_once = PTHREAD_ONCE_INIT;
static CURLcode global_code;

static void global_start(void)
{
    global_code = curl_global_init(CURL_GLOBAL_DEFAULT);
}

bool http_open(struct http **out, struct error *err)
{
    struct http *h;

    pthread_once(&global_once, global_start);
    if (global_code != CURLE_OK)
        return fail(err, ERR_IO, "libcurl does not start: %s", curl_easy_strerror(global_code));
    h = calloc(1, sizeof *h);
    if (h == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for an HTTP client");
    pthread_mutex_init(&h->lock, NULL);
    *out = h;
    return true;
}

void http_close(struct http *h)
{
    if (h == NULL)
        return;
    while (h->idle != NULL) {
        struct kept *first = h->idle;

        h->idle = first->next;
        curl_share_cleanup(first->share);
        free(first);
    }
    pthread_mutex_destroy(&h->lock);
    free(h);
}

static struct kept *kept_new(void)
{
    struct kept *k = calloc(1, sizeof *k);

    if (k == NULL)
        return NULL;
    k->share = curl_share_init();
    if (k->share != NULL &&
        curl_share_setopt(k->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_CONNECT) == CURLSHE_OK &&
        curl_share_setopt(k->share, CURLSHOPT_SHARE, CURL_LOCK_DATA_SSL_SESSION) == CURLSHE_OK)
        return k;
    curl_share_cleanup(k->share);
    free(k);
    return NULL;
}

/* NULL: no memory. */
static struct kept *take_kept(struct http *h)
{
    struct kept *taken;

    pthread_mutex_lock(&h->lock);
    taken = h->idle;
    if (taken != NULL)
        h->idle = taken->next;
    pthread_mutex_unlock(&h->lock);
    return taken != NULL ? taken : kept_new();
}

static void put_kept(struct http *h, struct kept *kept)
{
    pthread_mutex_lock(&h->lock);
    kept->next = h->idle;
    h->idle = kept;
    pthread_mutex_unlock(&h->lock);
}

/* ---- one request ---- */

struct transfer {
    bool public_only, refused; /* refused: the address led to this machine or a private network */
    const struct http_request *rq;
    CURL *curl;
    struct http_reply reply;
    struct buf body, head;
    bool sink_ended; /* it wanted no more */
    char why[CURL_ERROR_SIZE];
};

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    long status = 0;

    if (t->rq->sink != NULL)
        curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status == 200 || status == 206) {
        t->sink_ended =
            !t->rq->sink(t->rq->sink_ctx, (int)status, buf_view(&t->head), bytes, size * n);
        return t->sink_ended ? 0 : size * n;
    }
    buf_put(&t->body, bytes, size * n);
    return t->body.overflowed ? 0 : size * n;
}

/* The value of a header line where it is the one called name. */
static bool is_header(struct str line, const char *name, struct str *value)
{
    const size_t n = strlen(name);

    if (line.len <= n || strncasecmp(line.ptr, name, n) != 0 || line.ptr[n] != ':')
        return false;
    *value = str_from(line, n + 1);
    while (value->len > 0 && (value->ptr[0] == ' ' || value->ptr[0] == '\t'))
        *value = str_from(*value, 1);
    while (value->len > 0 && strchr(" \t\r\n", value->ptr[value->len - 1]) != NULL)
        value->len--;
    return true;
}

bool http_head_value(struct str head, const char *name, struct str *value)
{
    while (head.len > 0) {
        const size_t end = str_find(head, STR("\n"), 0);

        if (is_header((struct str){head.ptr, end}, name, value))
            return true;
        head = str_from(head, size_min(end + 1, head.len));
    }
    return false;
}

/* Printable ASCII, cut: what a server says here goes into messages. */
static void keep_text(struct str value, char *out, size_t size)
{
    const size_t n = size_min(value.len, size - 1);

    for (size_t i = 0; i < n; i++)
        out[i] = value.ptr[i] > 0x20 && value.ptr[i] < 0x7f ? value.ptr[i] : ' ';
    out[n] = '\0';
}

/* Seconds of "1.5", or of an HTTP date from now; -1 for anything else. */
static double pause_of(struct str value, double unit_s)
{
    char text[64], *end;
    double x;

    keep_text(value, text, sizeof text);
    x = strtod(text, &end);
    if (end != text && *end == '\0')
        return isfinite(x) && x >= 0 ? x * unit_s : -1;
    const time_t when = curl_getdate(text, NULL);
    return when == -1 ? -1 : fmax(0, difftime(when, (time_t)clock_unix()));
}

static size_t on_header(char *bytes, size_t size, size_t n, void *ctx)
{
    struct transfer *t = ctx;
    const struct str line = {bytes, size * n};
    struct str value;

    if (str_starts(line, STR("HTTP/"))) { /* another head: the one before was "100 Continue" */
        t->reply = (struct http_reply){.retry_after_s = -1, .should_retry = -1};
        buf_clear(&t->head);
    } else if (is_header(line, "retry-after-ms", &value)) {
        t->reply.retry_after_s = pause_of(value, 1e-3);
    } else if (is_header(line, "retry-after", &value)) {
        if (t->reply.retry_after_s < 0) /* the milliseconds are the finer word */
            t->reply.retry_after_s = pause_of(value, 1);
    } else if (is_header(line, "x-should-retry", &value)) {
        t->reply.should_retry = str_is(value, "true") ? 1 : str_is(value, "false") ? 0 : -1;
    } else if (is_header(line, "content-type", &value)) {
        keep_text(value, t->reply.content_type, sizeof t->reply.content_type);
    } else if (is_header(line, "location", &value)) {
        keep_text(value, t->reply.location, sizeof t->reply.location);
    }
    if (t->rq->max_head_bytes > 0)
        buf_str(&t->head, line);
    return t->head.overflowed ? 0 : size * n;
}

static bool within(const uint8_t *a, const uint8_t *net, unsigned bits)
{
    const unsigned whole = bits / 8, rest = bits % 8;

    return memcmp(a, net, whole) == 0 &&
           (rest == 0 || ((a[whole] ^ net[whole]) & (uint8_t)(0xff << (8 - rest))) == 0);
}

/* What the registries of special addresses (RFC 6890 and its successors) do not call global. */
static bool is_public_4(const uint8_t *a)
{
    static const struct {
        uint8_t net[4];
        unsigned bits;
    } special[] = {
        {{0}, 8},
        {{10}, 8},
        {{100, 64}, 10},
        {{127}, 8},
        {{169, 254}, 16},
        {{172, 16}, 12},
        {{192, 0, 0}, 24},
        {{192, 0, 2}, 24},
        {{192, 88, 99}, 24},
        {{192, 168}, 16},
        {{198, 18}, 15},
        {{198, 51, 100}, 24},
        {{203, 0, 113}, 24},
        {{224}, 3}, /* multicast, reserved, broadcast */
    };

    for (size_t i = 0; i < COUNT_OF(special); i++)
        if (within(a, special[i].net, special[i].bits))
            return false;
    return true;
}

bool http_is_public(const uint8_t *address, size_t n)
{
    static const uint8_t global[16] = {0x20}, mapped[16] = {[10] = 0xff, [11] = 0xff},
                         nat64[16] = {0, 0x64, 0xff, 0x9b}, six_to_four[16] = {0x20, 0x02},
                         teredo[16] = {0x20, 0x01}, documents[16] = {0x20, 0x01, 0x0d, 0xb8};

    if (n == 4)
        return is_public_4(address);
    if (n != 16)
        return false;
    if (within(address, mapped, 96) || within(address, nat64, 96))
        return is_public_4(address + 12);
    if (within(address, six_to_four, 16))
        return is_public_4(address + 2);
    return within(address, global, 3) && !within(address, teredo, 23) &&
           !within(address, documents, 32);
}

static bool may_reach(const struct sockaddr *to)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;

    if (to->sa_family == AF_INET) {
        memcpy(&v4, to, sizeof v4);
        return http_is_public((const uint8_t *)&v4.sin_addr, 4);
    }
    if (to->sa_family != AF_INET6)
        return false;
    memcpy(&v6, to, sizeof v6);
    return http_is_public((const uint8_t *)&v6.sin6_addr, 16);
}

/* libcurl opens sockets that a process started later would inherit, a Python grader in its sandbox among them. */
static curl_socket_t on_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct transfer *t = ctx;

    (void)purpose;
    if (t->public_only && !may_reach(&address->addr)) {
        t->refused = true;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* Called by libcurl about once a second; other than 0 ends the request. */
static int on_progress(void *ctx, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const atomic_bool *stop = ctx;

    (void)a, (void)b, (void)c, (void)d;
    return atomic_load(stop) ? 1 : 0;
}

static bool add_header(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);

    if (longer != NULL)
        *list = longer;
    return longer != NULL;
}

static bool header_list(const struct http_request *rq, struct arena *a, struct curl_slist **list)
{
    bool ok = add_header(list, "Expect:"); /* no waiting for "100 Continue" */

    for (size_t i = 0; ok && i < rq->n_headers; i++) {
        const struct http_header *header = &rq->headers[i];

        /* "Name;" is libcurl's way to write a header without a value */
        ok = add_header(list, header->value[0] == '\0'
                                  ? arena_printf(a, "%s;", header->name)
                                  : arena_printf(a, "%s: %s", header->name, header->value));
    }
    return ok;
}

/* Whole milliseconds, 1 at least: 0 would mean "no limit". */
static long ms_of(double seconds)
{
    return (long)fmin(fmax(ceil(seconds * 1e3), 1), 1e9);
}

#define SET(option, value) (curl_easy_setopt(c, option, value) == CURLE_OK)

static bool set_options(CURL *c, const struct http_request *rq, struct transfer *t,
                        struct curl_slist *headers, double left_s)
{
    const double connect_s = rq->connect_timeout_s > 0 ? rq->connect_timeout_s : DEFAULT_CONNECT_S;
    const char *authorities = getenv("SSL_CERT_FILE"); /* as the curl program reads it */
    const bool sends_body = strcmp(rq->method, "GET") != 0;

    return SET(CURLOPT_URL, rq->url) && SET(CURLOPT_PROTOCOLS_STR, "http,https") &&
           SET(CURLOPT_FOLLOWLOCATION, 0L) && SET(CURLOPT_NOSIGNAL, 1L) &&
           SET(CURLOPT_QUICK_EXIT, 1L) && /* a name's look-up past the deadline ends by itself */
           SET(CURLOPT_SSL_VERIFYPEER, 1L) && SET(CURLOPT_SSL_VERIFYHOST, 2L) &&
           (authorities == NULL || SET(CURLOPT_CAINFO, authorities)) &&
           SET(CURLOPT_TIMEOUT_MS, ms_of(left_s)) &&
           SET(CURLOPT_CONNECTTIMEOUT_MS, ms_of(fmin(connect_s, left_s))) &&
           SET(CURLOPT_USERAGENT, "hone/" HONE_VERSION) && SET(CURLOPT_HTTPHEADER, headers) &&
           SET(CURLOPT_ERRORBUFFER, t->why) && SET(CURLOPT_OPENSOCKETFUNCTION, on_socket) &&
           SET(CURLOPT_OPENSOCKETDATA, t) &&
           (rq->sink == NULL || SET(CURLOPT_BUFFERSIZE, SINK_BYTES)) &&
           (rq->idle_s <= 0 || (SET(CURLOPT_LOW_SPEED_LIMIT, 1L) &&
                                SET(CURLOPT_LOW_SPEED_TIME, (long)ceil(rq->idle_s)))) &&
           (!rq->public_only || SET(CURLOPT_PROXY, "")) &&
           (rq->stop == NULL || (SET(CURLOPT_XFERINFOFUNCTION, on_progress) &&
                                 SET(CURLOPT_XFERINFODATA, (void *)(uintptr_t)rq->stop) &&
                                 SET(CURLOPT_NOPROGRESS, 0L))) &&
           SET(CURLOPT_WRITEFUNCTION, on_body) && SET(CURLOPT_WRITEDATA, t) &&
           SET(CURLOPT_HEADERFUNCTION, on_header) && SET(CURLOPT_HEADERDATA, t) &&
           (!sends_body || (SET(CURLOPT_POSTFIELDS, rq->body.len > 0 ? rq->body.ptr : "") &&
                            SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)rq->body.len) &&
                            SET(CURLOPT_CUSTOMREQUEST, rq->method)));
}
#undef SET

/* What libcurl's code means here, in words. */
static bool tell(const struct http_request *rq, CURLcode code, const struct transfer *t,
                 struct error *err)
{
    const struct http_place place = http_place_of(rq->url);
    const char *why = t->why[0] != '\0' ? t->why : curl_easy_strerror(code);

    if (t->refused)
        return fail(err, ERR_INVALID,
                    "%s: this leads to an address of this machine or of a private network, where "
                    "nothing is sent",
                    place.text);
    if (t->sink_ended)
        return fail(err, ERR_CANCELLED, "%s: no more of the reply was wanted", place.text);
    if (t->head.overflowed)
        return fail(err, ERR_LIMIT, "%s: the reply's head is longer than the %zu bytes allowed",
                    place.text, rq->max_head_bytes);
    if (t->body.overflowed)
        return fail(err, ERR_LIMIT, "%s: the reply is longer than the %zu bytes allowed",
                    place.text, rq->max_reply_bytes);
    if (code == CURLE_OPERATION_TIMEDOUT && clock_seconds() >= rq->deadline - 0.01)
        return fail(err, ERR_TIMEOUT, "%s: no whole reply within the time there was", place.text);
    switch (code) {
    case CURLE_ABORTED_BY_CALLBACK:
        return fail(err, ERR_CANCELLED, "%s: stopped on request", place.text);
    case CURLE_OPERATION_TIMEDOUT:
        if (rq->idle_s > 0)
            return fail(err, ERR_IO,
                        "%s: no connection, or nothing came over it any more for %.0f s",
                        place.text, rq->idle_s);
        return fail(err, ERR_IO, "%s: no connection within the time for it; is it reachable?",
                    place.text);
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return fail(err, ERR_IO, "%s: no address is known for this name; is it spelt right?",
                    place.text);
    case CURLE_COULDNT_CONNECT:
        return fail(err, ERR_IO, "%s: no connection (%.200s); does the server run?", place.text,
                    why);
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
        return fail(err, ERR_INVALID,
                    "%s: its certificate does not hold (%.200s); name the authority's certificate "
                    "in SSL_CERT_FILE if you trust it",
                    place.text, why);
    case CURLE_SSL_CONNECT_ERROR:
        return fail(err, ERR_IO, "%s: no TLS (%.200s); does the server speak https?", place.text,
                    why);
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
        return fail(err, ERR_IO, "%s: the connection was lost before the reply was whole",
                    place.text);
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_WEIRD_SERVER_REPLY:
        return fail(err, ERR_IO, "%s: what it replies is not HTTP", place.text);
    case CURLE_URL_MALFORMAT:
        return fail(err, ERR_INVALID, "this is no address such as https://host/path");
    case CURLE_OUT_OF_MEMORY:
        return fail(err, ERR_NO_MEMORY, "%s: no memory for the request", place.text);
    default:
        return fail(err, ERR_IO, "%s: %.200s", place.text, why);
    }
}

static bool perform(CURL *c, const struct http_request *rq, struct transfer *t,
                    struct curl_slist *headers, struct error *err)
{
    const double left_s = rq->deadline - clock_seconds();
    long status = 0, n_connects = 1;
    CURLcode code;

    if (left_s <= 0)
        return fail(err, ERR_TIMEOUT, "%s: there is no time left to ask",
                    http_place_of(rq->url).text);
    code = set_options(c, rq, t, headers, left_s) ? curl_easy_perform(c) : CURLE_OUT_OF_MEMORY;
    if (code != CURLE_OK)
        return tell(rq, code, t, err);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(c, CURLINFO_NUM_CONNECTS, &n_connects);
    if (status < 200 || status > 599)
        return fail(err, ERR_IO, "%s: %ld is no status that ends a request",
                    http_place_of(rq->url).text, status);
    t->reply.status = (int)status;
    t->reply.reused_connection = n_connects == 0;
    return true;
}

bool http_send(struct http *h, const struct http_request *rq, struct arena *a,
               struct http_reply *out, struct error *err)
{
    struct transfer t = {.public_only = rq->public_only,
                         .rq = rq,
                         .reply = {.retry_after_s = -1, .should_retry = -1}};
    struct curl_slist *headers = NULL;
    struct kept *kept;
    CURL *c = NULL;
    bool ok;

    if (!http_check_url(rq->url, "url", err))
        return false;
    for (size_t i = 0; i < rq->n_headers; i++)
        if (!http_check_header(rq->headers[i].name, rq->headers[i].value, "headers", err))
            return false;
    kept = take_kept(h);
    if (kept == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a request");
    buf_init(&t.body, rq->max_reply_bytes);
    buf_init(&t.head, rq->max_head_bytes);
    c = t.curl = curl_easy_init();
    ok = c != NULL && curl_easy_setopt(c, CURLOPT_SHARE, kept->share) == CURLE_OK &&
                 header_list(rq, a, &headers)
             ? perform(c, rq, &t, headers, err)
             : fail(err, ERR_NO_MEMORY, "no memory for a request");
    if (ok) {
        *out = t.reply;
        out->body = arena_str(a, buf_view(&t.body));
        out->head = arena_str(a, buf_view(&t.head));
    }
    curl_easy_cleanup(c); /* the connection stays */
    put_kept(h, kept);
    curl_slist_free_all(headers);
    buf_release(&t.body);
    buf_release(&t.head);
    return ok;
}

/* ---- trying again ---- */

bool http_may_pass(const struct http_reply *r)
{
    if (r->should_retry >= 0)
        return r->should_retry == 1;
    return r->status == 408 || r->status == 409 || r->status == 429 || r->status >= 500;
}

bool http_try_again(struct http_tries *t, double retry_after_s, double deadline)
{
    const double first_s = t->first_pause_s > 0 ? t->first_pause_s : DEFAULT_PAUSE_S;
    const bool told = retry_after_s > 0;
    const double u =
        (double)philox_uniform(t->seed, PHILOX_RETRY, (uint32_t)t->n, (uint32_t)t->n_told, 0, 0);
    double pause;

    if (told) {
        pause = fmax(retry_after_s, first_s) * (1 + u / 10); /* not before, and not all at once */
        if (++t->n_told > MAX_TOLD)
            return false;
    } else {
        pause = fmin(first_s * pow(2, fmin(t->n, 30)), MAX_PAUSE_S) * (1 - u / 4);
        if (++t->n >= t->max_tries)
            return false;
    }
    if (clock_seconds() + pause >= deadline)
        return false;
    return clock_sleep_unless(t->stop, clock_seconds() + pause);
}
