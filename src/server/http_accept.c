/*
 * http_accept.c - the listening socket, and one thread that lets clients in.
 *
 * libmicrohttpd could do this itself, but not end it: its MHD_quiesce_daemon (0.9.75) and its threads take the socket out of the same
 * epoll sets, and where they meet, or find it closed, it ends the process. So it is given connections that are already open. Clients for
 * whom there is no place wait in the kernel's queue.
 */
#include "server/http_internal.h"

#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define BREATH_SECONDS 0.05 /* where the machine has no room for one more socket */

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int listen_at(const struct addrinfo *a)
{
    const int on = 1;
    const int fd = socket(a->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, a->ai_addr, a->ai_addrlen) == 0 && listen(fd, 1024) == 0)
        return fd;
    const int why = errno;
    close(fd);
    errno = why;
    return -1;
}

bool http_accept_listen(struct http_server *s, struct error *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *found = NULL;
    union address at = {.v6 = {0}};
    socklen_t n = sizeof at;
    char port[16];
    int fd = -1;

    snprintf(port, sizeof port, "%d", s->opt.port);
    const int failed = getaddrinfo(s->opt.host, port, &hints, &found);
    if (failed != 0)
        return fail(err, ERR_INVALID, "the host \"%s\" to listen on has no address: %s",
                    s->opt.host, gai_strerror(failed));
    for (const struct addrinfo *a = found; a != NULL && fd < 0; a = a->ai_next)
        fd = listen_at(a);
    freeaddrinfo(found);
    if (fd < 0)
        return fail_errno(err, "the server cannot listen on %s, port %d", s->opt.host, s->opt.port);
    if (getsockname(fd, &at.any, &n) != 0) {
        close(fd);
        return fail_errno(err, "the server cannot learn its port");
    }
    s->port = ntohs(at.any.sa_family == AF_INET6 ? at.v6.sin6_port : at.v4.sin_port);
    s->listener = fd;
    return true;
}

/* Takes a place; false: the server drains. */
static bool take_place(struct http_server *s)
{
    pthread_mutex_lock(&s->lock);
    while (!atomic_load(&s->is_draining) &&
           s->n_connections + s->n_coming >= s->opt.max_connections)
        pthread_cond_wait(&s->has_place, &s->lock);
    s->n_coming++;
    pthread_mutex_unlock(&s->lock);
    return !atomic_load(&s->is_draining);
}

/* The place goes on to the connection, which http_network.c counts; where libmicrohttpd finds no memory for it later, it is lost. */
static bool let_in(struct http_server *s)
{
    union address from = {.v6 = {0}};
    socklen_t n = sizeof from;
    const int fd = accept4(s->listener, &from.any, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

    if (fd >= 0)
        return MHD_add_connection(s->daemon, fd, &from.any, n) == MHD_YES;
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
        clock_sleep_until(clock_seconds() + BREATH_SECONDS);
    return false; /* its client left already, or the server drains */
}

static void *accept_clients(void *ctx)
{
    struct http_server *s = ctx;

    while (take_place(s))
        if (!let_in(s)) {
            pthread_mutex_lock(&s->lock);
            s->n_coming--;
            pthread_mutex_unlock(&s->lock);
        }
    return NULL;
}

bool http_accept_start(struct http_server *s, struct error *err)
{
    const int failed = pthread_create(&s->accepter, NULL, accept_clients, s);

    errno = failed;
    s->has_accepter = failed == 0;
    return s->has_accepter || fail_errno(err, "the server cannot start a thread");
}

void http_accept_end(struct http_server *s)
{
    if (s->has_accepter) {
        shutdown(s->listener,
                 SHUT_RDWR); /* ends an accept that waits, and whatever waits for one */
        pthread_mutex_lock(&s->lock);
        pthread_cond_broadcast(&s->has_place);
        pthread_mutex_unlock(&s->lock);
        pthread_join(s->accepter, NULL);
    }
    if (s->listener >= 0)
        close(s->listener);
    s->has_accepter = false;
    s->listener = -1;
}
