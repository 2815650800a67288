/*
 * http_head.c - the request line and the headers, held against what two readers could understand in two ways.
 *
 * libmicrohttpd 0.9.75 is lenient: it takes two Content-Lengths, one beside a Transfer-Encoding, a name with a blank
 * behind it, lets a request without Host through, mistakes a header that is folded into two lines for another one, and ends words
 * at a zero byte that came from outside. A proxy in front may read such a request another way and so be
 * made to pass on a second one that nobody checked (request smuggling; RFC 9112, section 11.2). None gets further than here.
 */
#include "server/http_internal.h"
#include "server/http_query.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <strings.h>

struct walk {
    struct exchange *e;
    const char *word_end; /* of the line before */
    bool has_gap;
    size_t bytes, n_hosts, n_lengths, n_codings, n_expect, room;
    struct str length, coding;
    const char *broken;
};

static bool same_name(struct str name, const char *want)
{
    return name.len == strlen(want) && strncasecmp(name.ptr, want, name.len) == 0;
}

static bool is_plain(struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        const unsigned char c = (unsigned char)value.ptr[i];

        if ((c < ' ' && c != '\t') || c == 0x7f)
            return false;
    }
    return true;
}

/*
 * libmicrohttpd leaves the lines where they were read, with zero bytes for a colon and for a line's end. So the lines of a sound
 * head touch each other, and where one does not, there was a zero byte inside of it, or it was folded.
 */
static void see_place(struct walk *w, struct str name, struct str value)
{
    const ptrdiff_t gap = name.ptr - w->word_end;

    if (gap < 1 || gap > 2 || value.ptr <= name.ptr + name.len)
        w->has_gap = true;
    else
        for (const char *p = name.ptr + name.len + 1; p < value.ptr; p++)
            w->has_gap = w->has_gap || (*p != ' ' && *p != '\t');
    w->word_end = value.ptr + value.len;
}

static bool is_head_whole(const struct walk *w, struct MHD_Connection *c, const char *method)
{
    const union MHD_ConnectionInfo *size =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const ptrdiff_t rest = size == NULL ? 0 : method + size->header_size - w->word_end;

    return !w->has_gap && rest >= 2 && rest <= 4; /* two line ends of one or two bytes */
}

static enum MHD_Result on_header(void *ctx, enum MHD_ValueKind kind, const char *key, size_t n_key,
                                 const char *text, size_t n_text)
{
    struct walk *w = ctx;
    struct http_exchange *x = &w->e->x;
    const struct str name = {key, n_key};
    struct str value = {text, text == NULL ? 0 : n_text};

    (void)kind;
    see_place(w, name, value);
    while (value.len > 0 && (value.ptr[value.len - 1] == ' ' || value.ptr[value.len - 1] == '\t'))
        value.len--;
    w->bytes += name.len + value.len + 4;
    if (!http_is_token(name))
        w->broken = "the name of a header has a character that may not be in one; no blank may "
                    "stand before its colon";
    if (!is_plain(value))
        w->broken = "a header has a control character in its value";
    if (x->n_headers == w->room) {
        w->broken = "the request has too many headers";
        return MHD_NO;
    }
    x->headers[x->n_headers++] =
        (struct http_pair){arena_str(&x->arena, name), arena_str(&x->arena, value)};
    if (same_name(name, "host")) {
        w->n_hosts++;
    } else if (same_name(name, "content-length")) {
        w->n_lengths++;
        w->length = value;
    } else if (same_name(name, "transfer-encoding")) {
        w->n_codings++;
        w->coding = value;
    } else if (same_name(name, "expect") && same_name(value, "100-continue")) {
        w->n_expect++;
    }
    return MHD_YES;
}

static enum http_method read_method(const char *s)
{
    static const char *const names[] = {"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(s, names[i]) == 0)
            return (enum http_method)i;
    return HTTP_OTHER;
}

static void read_address(struct exchange *e, struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *a = info == NULL ? NULL : info->client_addr;

    e->x.address = e->address;
    if (a != NULL && a->sa_family == AF_INET) {
        struct sockaddr_in v4;

        memcpy(&v4, a, sizeof v4);
        inet_ntop(AF_INET, &v4.sin_addr, e->address, sizeof e->address);
        e->x.loopback = (ntohl(v4.sin_addr.s_addr) >> 24) == 127;
    } else if (a != NULL && a->sa_family == AF_INET6) {
        struct sockaddr_in6 v6;

        memcpy(&v6, a, sizeof v6);
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
            inet_ntop(AF_INET, &v6.sin6_addr.s6_addr[12], e->address, sizeof e->address);
            e->x.loopback = v6.sin6_addr.s6_addr[12] == 127;
        } else {
            inet_ntop(AF_INET6, &v6.sin6_addr, e->address, sizeof e->address);
            e->x.loopback = IN6_IS_ADDR_LOOPBACK(&v6.sin6_addr);
        }
    }
}

/* How the body's end is found: there is one way, or none. */
static const char *read_framing(struct exchange *e, const struct walk *w)
{
    if (w->n_codings > 0 && w->n_lengths > 0)
        return "the request has a Content-Length and a Transfer-Encoding; it may have one of them";
    if (w->n_codings > 1 || w->n_lengths > 1)
        return "the request has more than one Content-Length or Transfer-Encoding";
    if (w->n_codings == 1) {
        if (!same_name(w->coding, "chunked"))
            return "the only Transfer-Encoding that is understood is chunked";
        if (!e->is_http11)
            return "HTTP/1.0 has no Transfer-Encoding";
        e->is_chunked = e->has_body = true;
    }
    if (w->n_lengths == 1 && !http_read_length(w->length, &e->content_length))
        return "the Content-Length is no number";
    if (e->content_length > 0)
        e->has_body = true;
    return NULL;
}

int http_read_head(struct exchange *e, struct MHD_Connection *c, const char *method,
                   const char *version, const char **message)
{
    struct http_exchange *x = &e->x;
    const struct http_options *opt = &e->server->opt;
    struct walk w = {.e = e, .room = HTTP_MAX_PAIRS, .word_end = version + strlen(version)};
    struct str query;

    x->method = read_method(method);
    x->method_name = arena_str(&x->arena, str_of(method));
    e->is_http11 = strcmp(version, "HTTP/1.0") != 0;
    const int n_headers = MHD_get_connection_values_n(c, MHD_HEADER_KIND, NULL, NULL);
    if (n_headers >= 0 && (size_t)n_headers < w.room)
        w.room = (size_t)n_headers;
    x->headers = ARENA_ARRAY(&x->arena, struct http_pair, w.room);
    MHD_get_connection_values_n(c, MHD_HEADER_KIND, on_header, &w);
    e->expects_continue = w.n_expect > 0;
    read_address(e, c);
    if (e->target.len > opt->max_target_bytes) {
        *message = "the address of the request is too long";
        return 414;
    }
    if (w.bytes > opt->max_header_bytes || n_headers > HTTP_MAX_PAIRS) {
        *message = "the headers of the request are too large";
        return 431;
    }
    *message = w.broken;
    if (*message == NULL && !is_head_whole(&w, c, method))
        *message =
            "the headers of the request are broken: there is a zero byte in one, or it goes on in "
            "a second line";
    if (*message == NULL)
        *message = read_framing(e, &w);
    if (*message == NULL && (w.n_hosts > 1 || (w.n_hosts == 0 && e->is_http11)))
        *message = "the request must have exactly one Host";
    /* libmicrohttpd ends the line's words with zero bytes: one that was there before makes a word short */
    if (*message == NULL &&
        (method + strlen(method) + 1 != e->target_at ||
         e->target_at + e->target.len + 1 != version || !http_is_token(str_of(method)) ||
         !http_split_target(e->target, &x->path, &query)))
        *message = "the address of the request is not a path with an optional query";
    if (*message == NULL && x->path.ptr[0] == '*' && x->method != HTTP_OPTIONS)
        *message = "only OPTIONS may be asked of *";
    if (*message == NULL &&
        !http_split_query(query, HTTP_MAX_PAIRS, &x->arena, &x->query, &x->n_query))
        *message =
            "the query of the address is broken: a % without two digits behind it, text that "
            "is not UTF-8, or too many parameters";
    return *message == NULL ? 0 : 400;
}
