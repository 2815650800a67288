#include "support/http_server.h"

#include "base/clock.h"
#include "base/size.h"
#include "support/support.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_CONNECTIONS 256
#define MAX_REQUESTS 4096
#define MAX_REQUEST_BYTES ((size_t)4 << 20)

struct seen {
    char *bytes; /* of malloc */
    size_t head_len, len;
    double time;
};
struct connection {
    struct http_server *server;
    pthread_t thread;
    int fd;
};
struct http_server {
    const struct http_script *script;
    size_t n_script;
    int listener;
    char url[64];
    pthread_t thread;
    atomic_bool stopping;

    pthread_mutex_t lock; /* guards all below */
    size_t n_connections, n_requests;
    struct connection connections[MAX_CONNECTIONS];
    struct seen seen[MAX_REQUESTS];
};

/* Whether the client is still there after at most seconds of waiting for it to leave. */
static bool wait_for_leaving(struct http_server *s, int fd, double seconds)
{
    const double end = clock_seconds() + seconds;

    while (!atomic_load(&s->stopping) && clock_seconds() < end) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char c;

        if (poll(&p, 1, 10) > 0 && recv(fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 0)
            return false;
    }
    return !atomic_load(&s->stopping);
}

static bool send_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        const ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return false;
        bytes += sent;
        n -= (size_t)sent;
    }
    return true;
}

static bool send_text(int fd, const char *text)
{
    return send_all(fd, text, strlen(text));
}

/* Plays one reply; whether the connection stays open. */
static bool reply(struct http_server *s, int fd, const struct http_script *r);

static bool reply_made(struct http_server *s, int fd, const struct http_script *r,
                       struct str request)
{
    struct http_script made = *r;
    char *body = r->make(request);

    made.body = body;
    made.make = NULL;
    const bool open = reply(s, fd, &made);
    free(body);
    return open;
}

static bool reply(struct http_server *s, int fd, const struct http_script *r)
{
    const char *body = r->body == NULL ? "" : r->body;
    const size_t n = strlen(body);
    char head[256];

    if (r->delay_s > 0 && !wait_for_leaving(s, fd, r->delay_s))
        return false;
    if (r->manner == HTTP_HANG_UP)
        return false;
    if (r->manner == HTTP_RAW)
        return send_text(fd, body) && false;
    snprintf(head, sizeof head, "HTTP/1.1 %d Told\r\n", r->status == 0 ? 200 : r->status);
    if (!send_text(fd, head) || (r->headers != NULL && !send_text(fd, r->headers)))
        return false;
    if (r->manner == HTTP_CHUNKED)
        snprintf(head, sizeof head, "Transfer-Encoding: chunked\r\n\r\n");
    else if (r->manner == HTTP_ENDLESS)
        snprintf(head, sizeof head, "Connection: close\r\n\r\n");
    else
        snprintf(head, sizeof head, "Content-Length: %zu\r\n\r\n",
                 n + (r->manner == HTTP_CUT || r->manner == HTTP_STALL));
    if (!send_text(fd, head))
        return false;
    switch (r->manner) {
    case HTTP_CHUNKED:
        for (size_t at = 0; at < n; at += 3) {
            const size_t size = size_min(3, n - at);

            snprintf(head, sizeof head, "%zx\r\n%.*s\r\n", size, (int)size, body + at);
            if (!send_text(fd, head))
                return false;
        }
        return send_text(fd, "0\r\n\r\n");
    case HTTP_ENDLESS:
        while (!atomic_load(&s->stopping) && send_all(fd, body, n))
            continue;
        return false;
    case HTTP_STALL:
        return wait_for_leaving(s, fd, 3600) && false;
    case HTTP_CUT:
        return send_all(fd, body, n) && false;
    default:
        return send_all(fd, body, n);
    }
}

/* Length of the body that a head promises. */
static size_t content_length(const char *head)
{
    for (const char *line = strstr(head, "\r\n"); line != NULL; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, "Content-Length:", 15) == 0)
            return (size_t)strtoul(line + 17, NULL, 10);
    return 0;
}

/* Reads one request; false where the client left. */
static bool read_request(int fd, struct seen *out)
{
    struct seen r = {.bytes = calloc(1, MAX_REQUEST_BYTES + 1)};
    size_t whole = SIZE_MAX;

    while (r.bytes != NULL && r.len < whole && r.len < MAX_REQUEST_BYTES) {
        const ssize_t n = recv(fd, r.bytes + r.len, size_min(whole, MAX_REQUEST_BYTES) - r.len, 0);

        if (n <= 0)
            break;
        r.len += (size_t)n;
        r.bytes[r.len] = '\0';
        const char *end = whole == SIZE_MAX ? strstr(r.bytes, "\r\n\r\n") : NULL;
        if (end != NULL) {
            r.head_len = (size_t)(end + 4 - r.bytes);
            whole = r.head_len + content_length(r.bytes);
        }
    }
    if (r.len != whole) {
        free(r.bytes);
        return false;
    }
    char *exact = realloc(r.bytes, r.len + 1);
    r.bytes = exact != NULL ? exact : r.bytes;
    r.time = clock_seconds();
    *out = r;
    return true;
}

static void *serve(void *arg)
{
    struct connection *c = arg;
    struct http_server *s = c->server;
    struct seen seen;
    bool open = true;

    while (open && read_request(c->fd, &seen)) {
        pthread_mutex_lock(&s->lock);
        const size_t i = s->n_requests;
        if (i < MAX_REQUESTS)
            s->seen[s->n_requests++] = seen;
        pthread_mutex_unlock(&s->lock);
        if (i == MAX_REQUESTS) {
            free(seen.bytes);
            break;
        }
        const struct http_script *r = &s->script[size_min(i, s->n_script - 1)];
        const struct str body = {seen.bytes + seen.head_len, seen.len - seen.head_len};
        open = r->make != NULL ? reply_made(s, c->fd, r, body) : reply(s, c->fd, r);
    }
    shutdown(c->fd, SHUT_RDWR);
    return NULL;
}

static void *accept_all(void *arg)
{
    struct http_server *s = arg;

    for (;;) {
        const int fd = accept(s->listener, NULL, NULL);

        const int at_once = 1; /* heads and bodies are sent apart: no waiting for each other */

        if (fd < 0)
            return NULL;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once);
        pthread_mutex_lock(&s->lock);
        if (s->n_connections < MAX_CONNECTIONS && !atomic_load(&s->stopping)) {
            struct connection *c = &s->connections[s->n_connections];

            *c = (struct connection){.server = s, .fd = fd};
            if (pthread_create(&c->thread, NULL, serve, c) == 0)
                s->n_connections++;
            else
                close(fd);
        } else {
            close(fd);
        }
        pthread_mutex_unlock(&s->lock);
    }
}

struct http_server *http_server_start(const struct http_script *script, size_t n)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct http_server *s = calloc(1, sizeof *s);

    setenv("no_proxy", "127.0.0.1,localhost", 1);
    assert_non_null(s);
    s->script = script;
    s->n_script = n;
    pthread_mutex_init(&s->lock, NULL);
    s->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(s->listener >= 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->listener, 64), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%d", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, accept_all, s), 0);
    return s;
}

void http_server_stop(struct http_server *s)
{
    if (s == NULL)
        return;
    atomic_store(&s->stopping, true);
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    for (size_t i = 0; i < s->n_connections; i++) {
        shutdown(s->connections[i].fd, SHUT_RDWR);
        pthread_join(s->connections[i].thread, NULL);
        close(s->connections[i].fd);
    }
    for (size_t i = 0; i < s->n_requests; i++)
        free(s->seen[i].bytes);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

const char *http_server_url(const struct http_server *s)
{
    return s->url;
}

size_t http_server_requests(struct http_server *s)
{
    pthread_mutex_lock(&s->lock);
    const size_t n = s->n_requests;
    pthread_mutex_unlock(&s->lock);
    return n;
}

size_t http_server_connections(struct http_server *s)
{
    pthread_mutex_lock(&s->lock);
    const size_t n = s->n_connections;
    pthread_mutex_unlock(&s->lock);
    return n;
}

static struct seen seen_of(struct http_server *s, size_t i)
{
    pthread_mutex_lock(&s->lock);
    const bool there = i < s->n_requests;
    const struct seen seen = s->seen[there ? i : 0];
    pthread_mutex_unlock(&s->lock);
    assert_true(there);
    return seen;
}

struct str http_server_head(struct http_server *s, size_t i)
{
    const struct seen seen = seen_of(s, i);

    return (struct str){seen.bytes, seen.head_len};
}

struct str http_server_body(struct http_server *s, size_t i)
{
    const struct seen seen = seen_of(s, i);

    return (struct str){seen.bytes + seen.head_len, seen.len - seen.head_len};
}

double http_server_time(struct http_server *s, size_t i)
{
    return seen_of(s, i).time;
}
