#include "support/http_client.h"

#include "base/clock.h"
#include "support/support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/gnutls.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

struct tls {
    gnutls_session_t session;
    gnutls_certificate_credentials_t trust;
};

struct client client_open(int port)
{
    const int on = 1;
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct client c = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

    assert_true(c.fd >= 0);
    if (connect(c.fd, (const struct sockaddr *)&to, sizeof to) != 0)
        fail_msg("no connection to port %d: %s", port, strerror(errno));
    setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    buf_init(&c.in, (size_t)256 << 20);
    return c;
}

static int begin_tls(struct client *c, const char *versions)
{
    struct tls *t = calloc(1, sizeof *t);
    int r;

    assert_non_null(t);
    c->tls = t;
    gnutls_certificate_allocate_credentials(&t->trust);
    gnutls_init(&t->session, GNUTLS_CLIENT | GNUTLS_NO_SIGNAL);
    assert_int_equal(versions == NULL ? gnutls_set_default_priority(t->session)
                                      : gnutls_priority_set_direct(t->session, versions, NULL),
                     0);
    gnutls_credentials_set(t->session, GNUTLS_CRD_CERTIFICATE, t->trust);
    gnutls_transport_set_int(t->session, c->fd);
    do
        r = gnutls_handshake(t->session);
    while (r < 0 && gnutls_error_is_fatal(r) == 0);
    return r;
}

struct client client_open_tls(int port)
{
    struct client c = client_open(port);
    const int r = begin_tls(&c, NULL);

    if (r != 0)
        fail_msg("no TLS: %s", gnutls_strerror(r));
    return c;
}

bool client_agrees(int port, const char *versions)
{
    struct client c = client_open(port);
    const bool agrees = begin_tls(&c, versions) == 0;

    client_close(&c);
    return agrees;
}

void client_close(struct client *c)
{
    struct tls *t = c->tls;

    if (t != NULL) {
        gnutls_deinit(t->session);
        gnutls_certificate_free_credentials(t->trust);
        free(t);
    }
    if (c->fd >= 0)
        close(c->fd);
    buf_release(&c->in);
    *c = (struct client){.fd = -1};
}

bool client_send(struct client *c, struct str bytes)
{
    while (bytes.len > 0) {
        const ssize_t n = c->tls != NULL ? gnutls_record_send(((struct tls *)c->tls)->session,
                                                              bytes.ptr, bytes.len)
                                         : send(c->fd, bytes.ptr, bytes.len, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        bytes = str_from(bytes, (size_t)n);
    }
    return true;
}

bool client_text(struct client *c, const char *fmt, ...)
{
    char text[8192];
    va_list args;

    va_start(args, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    assert_true(n >= 0 && (size_t)n < sizeof text);
    return client_send(c, (struct str){text, (size_t)n});
}

/* Some more bytes; false at the end, or when the time is up. */
static bool more(struct client *c, double deadline)
{
    char bytes[65536];
    struct tls *t = c->tls;

    if (t == NULL || gnutls_record_check_pending(t->session) == 0) {
        struct pollfd p = {.fd = c->fd, .events = POLLIN};
        const double left = deadline - clock_seconds();

        if (left <= 0 || poll(&p, 1, (int)(left * 1e3) + 1) <= 0)
            return false;
    }
    ssize_t n;
    do
        n = t != NULL ? gnutls_record_recv(t->session, bytes, sizeof bytes)
                      : recv(c->fd, bytes, sizeof bytes, 0);
    while (t != NULL && (n == GNUTLS_E_AGAIN || n == GNUTLS_E_INTERRUPTED));
    if (n <= 0)
        return false;
    if (c->at == c->in.len) {
        buf_clear(&c->in);
        c->at = 0;
    } else if (c->at > c->in.len / 2) { /* what was used makes room */
        memmove(c->in.ptr, c->in.ptr + c->at, c->in.len - c->at);
        c->in.len -= c->at;
        c->at = 0;
    }
    buf_put(&c->in, bytes, (size_t)n);
    return true;
}

static struct str unused(const struct client *c)
{
    return c->in.len == 0 ? STR("") : (struct str){c->in.ptr + c->at, c->in.len - c->at};
}

static bool have(struct client *c, const char *text, double deadline, size_t *end)
{
    const struct str want = str_of(text);

    for (;;) {
        const struct str s = unused(c);
        const size_t at = str_find(s, want, 0);

        if (at < s.len) {
            *end = at + want.len;
            return true;
        }
        if (!more(c, deadline))
            return false;
    }
}

bool client_wait_for(struct client *c, const char *text, double seconds)
{
    size_t end;

    if (!have(c, text, clock_seconds() + seconds, &end))
        return false;
    c->at += end;
    return true;
}

bool client_sees_end(struct client *c, double seconds)
{
    const double deadline = clock_seconds() + seconds;

    while (more(c, deadline))
        c->at = c->in.len;
    return clock_seconds() < deadline;
}

const char *reply_header(const struct reply *r, const char *name, struct arena *a)
{
    const char *line = arena_text(a, r->head);
    const size_t n = strlen(name);

    while ((line = strstr(line, "\r\n")) != NULL) {
        line += 2;
        if (strncasecmp(line, name, n) == 0 && line[n] == ':') {
            line += n + 1;
            line += strspn(line, " ");
            return arena_text(a, (struct str){line, strcspn(line, "\r")});
        }
    }
    return "";
}

static bool take(struct client *c, size_t n, double deadline, struct buf *to)
{
    while (c->in.len - c->at < n)
        if (!more(c, deadline))
            break;
    const struct str s = unused(c);
    const size_t got = s.len < n ? s.len : n;
    buf_put(to, s.ptr, got);
    c->at += got;
    return got == n;
}

static bool take_chunks(struct client *c, double deadline, struct buf *to)
{
    for (;;) {
        size_t end;

        if (!have(c, "\r\n", deadline, &end))
            return false;
        const size_t n = strtoul(unused(c).ptr, NULL, 16);
        c->at += end;
        if (!take(c, n, deadline, to) || !have(c, "\r\n", deadline, &end))
            return false;
        c->at += end;
        if (n == 0)
            return true;
    }
}

struct reply client_reply(struct client *c, struct arena *a, bool has_body, double seconds)
{
    const double deadline = clock_seconds() + seconds;
    struct reply r = {0};
    struct buf body;
    size_t end;

    if (!have(c, "\r\n\r\n", deadline, &end))
        return r;
    r.head = arena_str(a, (struct str){unused(c).ptr, end});
    c->at += end;
    if (r.head.len < 12 || sscanf(r.head.ptr, "HTTP/1.%*d %d", &r.status) != 1)
        fail_msg("this is no head: " STR_FMT, STR_ARG(r.head));
    if (r.status == 100)
        return client_reply(c, a, has_body, seconds);
    const char *length = reply_header(&r, "content-length", a);
    r.is_chunked = strcmp(reply_header(&r, "transfer-encoding", a), "chunked") == 0;
    if (!has_body || r.status == 204) {
        r.is_whole = true;
        return r;
    }
    buf_init(&body, (size_t)256 << 20);
    if (r.is_chunked) {
        r.is_whole = take_chunks(c, deadline, &body);
    } else if (length[0] != '\0') {
        r.is_whole = take(c, strtoul(length, NULL, 10), deadline, &body);
    } else {
        while (more(c, deadline))
            continue;
        buf_str(&body, unused(c));
        c->at = c->in.len;
        r.is_whole = clock_seconds() < deadline;
    }
    r.body = arena_str(a, buf_view(&body));
    buf_release(&body);
    return r;
}

struct reply client_once(int port, struct arena *a, const char *method, const char *target,
                         const char *headers, struct str body)
{
    struct client c = client_open(port);
    struct reply r = {0};

    if (client_text(&c, "%s %s HTTP/1.1\r\nHost: test\r\nContent-Length: %zu\r\n%s\r\n", method,
                    target, body.len, headers)) {
        client_send(&c, body);
        r = client_reply(&c, a, strcmp(method, "HEAD") != 0, 20);
    }
    client_close(&c);
    return r;
}
