/*
 * http_watch.c - one thread that looks after connections which libmicrohttpd does not look at.
 *
 * A suspended connection does not time out, and nobody sees its client leave: so its socket is in an epoll set here, for
 * EPOLLRDHUP, which also comes where data that nobody reads yet stands before it, and under TLS. A connection's
 * own time limit starts again with each byte, so a client could keep one for ever with a byte a minute: here the whole of the headers
 * has a time, and a body a least speed. Whoever fails is cut off by shutdown(), which any thread may call while the socket is open.
 */
#include "server/http_internal.h"

#include "base/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define TICK_MS 100
#define SCAN_SECONDS 0.25
#define LEFT_SECONDS 2.0 /* after a client's end nothing more of its body came for so long */
#define WAKE UINT64_MAX

static uint64_t key_of(const struct http_connection *c)
{
    return (uint64_t)c->generation << 32 | c->slot;
}

/* The exchange's lock is held, so its connection is there. */
void http_watch(struct exchange *e)
{
    struct epoll_event event = {.events = EPOLLRDHUP | EPOLLONESHOT};
    struct http_connection *c = e->conn;

    event.data.u64 = key_of(c);
    if (epoll_ctl(e->server->epoll, c->is_watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, e->fd, &event) ==
        0)
        c->is_watched = true;
}

void http_tell_gone(struct exchange *e)
{
    struct http_server *s = e->server;
    const uint64_t one = 1;

    if (e->gone == NULL || e->is_told || e->owner != HTTP_OF_KEEPER)
        return;
    e->is_told = true;
    http_hold(e);
    pthread_mutex_lock(&s->lock);
    e->next_told = s->to_tell;
    s->to_tell = e;
    pthread_mutex_unlock(&s->lock);
    (void)!write(s->wake, &one, sizeof one);
}

static void tell(struct exchange *e)
{
    pthread_mutex_lock(&e->lock);
    const bool is_wanted = e->owner == HTTP_OF_KEEPER;
    void (*const gone)(void *, struct http_exchange *) = e->gone;
    void *const ctx = e->gone_ctx;
    if (is_wanted) {
        e->is_telling = true;
        e->teller = pthread_self();
    }
    pthread_mutex_unlock(&e->lock);
    if (is_wanted) {
        gone(ctx, &e->x);
        pthread_mutex_lock(&e->lock);
        e->is_telling = false;
        pthread_cond_broadcast(&e->told);
        pthread_mutex_unlock(&e->lock);
    }
    http_unhold(e);
}

static void tell_all(struct http_server *s)
{
    pthread_mutex_lock(&s->lock);
    struct exchange *first = s->to_tell;
    s->to_tell = NULL;
    pthread_mutex_unlock(&s->lock);
    while (first != NULL) {
        struct exchange *e = first;

        first = e->next_told;
        tell(e);
    }
}

/* The exchange of a connection, held; NULL where it is over by now. */
static struct exchange *find(struct http_server *s, uint64_t key)
{
    struct exchange *e = NULL;
    const size_t slot = (size_t)(key & UINT32_MAX);

    pthread_mutex_lock(&s->lock);
    struct http_connection *c = slot < s->n_table ? s->table[slot] : NULL;
    if (c != NULL && key_of(c) == key)
        e = c->now;
    if (e != NULL)
        http_hold(e);
    pthread_mutex_unlock(&s->lock);
    return e;
}

static void client_left(struct http_server *s, uint64_t key, uint32_t events)
{
    struct exchange *e = find(s, key);

    if (e == NULL)
        return;
    pthread_mutex_lock(&e->lock);
    e->is_left = true;
    if (atomic_load(&e->is_in_body))
        atomic_store(&e->left_at, clock_seconds());
    if (e->out.open)
        http_stream_break(e);
    else if ((events & (EPOLLHUP | EPOLLERR)) !=
             0) /* else it may have closed its half alone, and still read */
        http_cut(e);
    http_tell_gone(e);
    pthread_mutex_unlock(&e->lock);
    http_unhold(e);
}

/*
 * A client that left in the middle of its body. libmicrohttpd does not see the end of a connection that came together with its last
 * bytes (epoll tells of both at once, and it reads only the bytes); the whole body may still wait in the socket, so what is on its way
 * is waited for.
 */
static bool has_left(struct exchange *e, double now)
{
    const double left = atomic_load(&e->left_at);
    const uint64_t bytes = atomic_load(&e->body_bytes);

    if (left == 0 || !atomic_load(&e->is_in_body))
        return false;
    if (bytes != e->bytes_when_left) {
        e->bytes_when_left = bytes;
        atomic_store(&e->left_at, now);
        return false;
    }
    return now - left > LEFT_SECONDS;
}

/* Whether a connection has had its time. The server's lock is held. */
static bool is_too_slow(const struct http_server *s, const struct http_connection *c, double now)
{
    const struct http_options *opt = &s->opt;
    struct exchange *e = c->now;

    if (e == NULL)
        return atomic_load(&s->is_draining)
                   ? c->was_used || now - c->since > 1
                   : now - c->since > (c->was_used ? opt->idle_seconds : opt->slowest_seconds);
    if (!atomic_load(&e->has_head))
        return now - e->x.began > opt->slowest_seconds;
    if (atomic_load(&e->is_in_body)) {
        const double late = now - atomic_load(&e->body_began) - opt->slowest_seconds;

        return has_left(e, now) || (late > 0 && (double)atomic_load(&e->body_bytes) <
                                                    late * HTTP_SLOWEST_BYTES_PER_SECOND);
    }
    return false;
}

static void scan(struct http_server *s, double now)
{
    size_t n = 0;

    pthread_mutex_lock(&s->lock);
    struct exchange **held = calloc(s->n_connections + 1, sizeof *held);
    for (size_t i = 0; held != NULL && i < s->n_table; i++) {
        struct http_connection *c = s->table[i];

        if (c == NULL)
            continue;
        if (is_too_slow(s, c, now))
            shutdown(c->fd, SHUT_RDWR);
        else if (c->now != NULL && n < s->n_connections) {
            http_hold(c->now);
            held[n++] = c->now;
        }
    }
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < n; i++) {
        http_stream_ping(held[i], now);
        http_unhold(held[i]);
    }
    free(held);
}

static void *watch(void *ctx)
{
    struct http_server *s = ctx;
    double scanned = clock_seconds();

    while (!atomic_load(&s->watcher_ends)) {
        struct epoll_event events[64];
        const int n = epoll_wait(s->epoll, events, 64, TICK_MS);
        const double now = clock_seconds();

        for (int i = 0; i < n; i++) {
            uint64_t drained;

            if (events[i].data.u64 == WAKE)
                (void)!read(s->wake, &drained, sizeof drained);
            else
                client_left(s, events[i].data.u64, events[i].events);
        }
        tell_all(s);
        if (now - scanned >= SCAN_SECONDS) {
            scanned = now;
            scan(s, now);
        }
    }
    tell_all(s);
    return NULL;
}

bool http_watch_open(struct http_server *s, struct error *err)
{
    struct epoll_event event = {.events = EPOLLIN};

    event.data.u64 = WAKE;
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->epoll < 0 || s->wake < 0 || epoll_ctl(s->epoll, EPOLL_CTL_ADD, s->wake, &event) != 0)
        return fail_errno(err, "the server cannot watch its connections");
    const int failed = pthread_create(&s->watcher, NULL, watch, s);
    if (failed != 0) {
        errno = failed;
        return fail_errno(err, "the server cannot start a thread");
    }
    s->has_watcher = true;
    return true;
}

void http_watch_close(struct http_server *s)
{
    const uint64_t one = 1;

    atomic_store(&s->watcher_ends, true);
    if (s->has_watcher) {
        (void)!write(s->wake, &one, sizeof one);
        pthread_join(s->watcher, NULL);
    }
    if (s->epoll >= 0)
        close(s->epoll);
    if (s->wake >= 0)
        close(s->wake);
    s->has_watcher = false;
    s->epoll = s->wake = -1;
}
