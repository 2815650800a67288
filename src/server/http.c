/*
 * http.c - the server: its start and end, answers, handlers, and the life of an exchange.
 *
 * An exchange has an owner, who alone may look into it, and a connection, until that is through with it:
 *
 *                 headers, no body                     answered by begin()
 *     NETWORK ------------------------------> HANDLER -----------------------------------.
 *        |  ^ headers, body: begin()           |  ^  |                                   |
 *        |  '---- body wanted -----------------'  |  | http_keep, http_stream_begin      |
 *        |                                        |  '-------------> KEEPER -------------+--> NOBODY
 *        '---- body is there: handle() -----------'                     http_answer,     |
 *        |                                                              http_stream_end  |
 *        '---- refused, or the client left while the network had it ---------------------'
 *
 *     ATTACHED ---- the answer was sent, or the client left, or the server stops (on_completed) ----> detached
 *
 * It is over, and freed, when nobody owns it and it is detached, whichever comes first: each of the two holds it, as does
 * whoever passes by (a handler's thread, the watcher, a growing answer), and the last hold that goes frees it.
 *
 * Only the network's threads call into libmicrohttpd about a connection, from its callbacks, with one exception: a suspended connection
 * is resumed by whoever has something for it (http_resume). is_suspended, under the exchange's lock, is set before the connection
 * can be found by anyone else, so that each suspension is ended once. What was to be done is then found by on_request, which libmicrohttpd calls
 * again: a response is queued, or, where is_cut, the connection is closed.
 *
 * Locks, in the order in which they are taken: queue_lock, an exchange's lock, the server's lock.
 */
#include "server/http_internal.h"

#include "base/clock.h"
#include "base/condition.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void http_log(struct http_server *s, const char *fmt, ...)
{
    char line[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (s->opt.log != NULL)
        s->opt.log(s->opt.ctx, line);
}

/* ---- holds ---- */

void http_hold(struct exchange *e)
{
    atomic_fetch_add(&e->holds, 1);
}

static void free_exchange(struct exchange *e)
{
    struct http_server *s = e->server;

    assert(e->response == NULL && e->connection == NULL);
    http_body_release(e); /* first: who is told that it is over finds no files of it */
    if (s->opt.done != NULL)
        s->opt.done(s->opt.ctx, &e->x, e->status, atomic_load(&e->sent_bytes));
    free(e->out.ptr);
    pthread_mutex_destroy(&e->lock);
    pthread_cond_destroy(&e->told);
    arena_release(&e->x.arena);
    free(e);
    pthread_mutex_lock(&s->lock);
    s->n_exchanges--;
    pthread_cond_broadcast(&s->over);
    pthread_mutex_unlock(&s->lock);
}

void http_unhold(struct exchange *e)
{
    if (atomic_fetch_sub(&e->holds, 1) == 1)
        free_exchange(e);
}

void http_resume(struct exchange *e)
{
    if (!e->is_suspended || e->connection == NULL)
        return;
    e->is_suspended = false;
    MHD_resume_connection(e->connection);
}

void http_cut(struct exchange *e)
{
    e->is_cut = true;
    if (e->connection == NULL)
        return;
    shutdown(e->fd, SHUT_RDWR);
    http_resume(e);
}

/* ---- answers ---- */

static void *must_have(void *p)
{
    if (p == NULL) {
        fputs("hone: out of memory for an answer\n", stderr);
        abort();
    }
    return p;
}

static void add_header(struct MHD_Response *r, struct str name, struct str value)
{
    char n[128], v[4096];

    assert(name.len < sizeof n && value.len < sizeof v);
    memcpy(n, name.ptr, name.len);
    n[name.len] = '\0';
    memcpy(v, value.ptr, value.len);
    v[value.len] = '\0';
    MHD_add_response_header(r, n,
                            v); /* false for a line's end in it: then there is no such header */
}

struct MHD_Response *http_dress(struct exchange *e, struct MHD_Response *r, int status,
                                const char *content_type, const struct http_pair *headers,
                                size_t n_headers)
{
    const struct http_options *opt = &e->server->opt;

    must_have(r);
    if (content_type != NULL)
        MHD_add_response_header(r, "content-type", content_type);
    MHD_add_response_header(r, "x-request-id", e->request_id);
    for (size_t i = 0; i < n_headers; i++)
        add_header(r, headers[i].name, headers[i].value);
    if (opt->headers != NULL) {
        struct http_pair more[HTTP_MORE_HEADERS];
        const size_t n = opt->headers(opt->ctx, &e->x, status, more);

        for (size_t i = 0; i < n && i < HTTP_MORE_HEADERS; i++)
            add_header(r, more[i].name, more[i].value);
    }
    if (atomic_load(&e->server->is_draining))
        MHD_add_response_header(r, "connection", "close");
    return r;
}

struct MHD_Response *http_bytes(struct str body)
{
    union { /* libmicrohttpd copies, and asks for a pointer that is not const */
        const char *in;
        void *out;
    } bytes = {.in = body.len == 0 ? "" : body.ptr};

    return MHD_create_response_from_buffer(body.len, bytes.out, MHD_RESPMEM_MUST_COPY);
}

void http_answered(struct exchange *e)
{
    const struct http_options *opt = &e->server->opt;

    if (opt->answered != NULL)
        opt->answered(opt->ctx, &e->x);
}

/* An answer of this file's own making. */
struct MHD_Response *http_refusal(struct exchange *e, int status, const char *message)
{
    const struct http_options *opt = &e->server->opt;
    const struct http_pair later = {STR("retry-after"), STR("1")};
    const bool has_body = opt->refusal != NULL;
    const struct error *why = e->in.is_refused_by_plan ? &e->in.err : NULL;
    struct str body = has_body ? opt->refusal(opt->ctx, status, message, why, &e->x.arena)
                               : str_of(arena_printf(&e->x.arena, "%s\n", message));

    http_answered(e);
    atomic_fetch_add(&e->server->n_refused, 1);
    return http_dress(e, http_bytes(body), status,
                      has_body ? "application/json" : "text/plain; charset=utf-8", &later,
                      status == 503);
}

void http_let_go(struct exchange *e, struct MHD_Response *r, int status)
{
    pthread_mutex_lock(&e->lock);
    assert(e->owner == HTTP_OF_HANDLER || e->owner == HTTP_OF_KEEPER);
    while (e->is_telling && !pthread_equal(e->teller, pthread_self()))
        pthread_cond_wait(&e->told, &e->lock);
    assert(r == NULL || !e->out.open); /* a stream is ended, not answered */
    e->owner = HTTP_OF_NOBODY;
    if (e->out.open) {
        e->out.open = false;
        e->out.ended = true;
        atomic_fetch_sub(&e->server->n_streams, 1);
        http_resume(e);
    } else if (r != NULL && e->connection != NULL && !e->is_cut) {
        e->response = r;
        e->status = status;
        r = NULL;
        http_resume(e);
    }
    pthread_mutex_unlock(&e->lock);
    if (r != NULL)
        MHD_destroy_response(r);
    http_unhold(e);
}

void http_answer(struct http_exchange *x, int status, const char *content_type, struct str body,
                 const struct http_pair *headers, size_t n_headers)
{
    struct exchange *e = (struct exchange *)x;

    assert(status >= 200 && status <= 599);
    http_answered(e);
    atomic_store(&e->sent_bytes, body.len);
    http_let_go(e, http_dress(e, http_bytes(body), status, content_type, headers, n_headers),
                status);
}

void http_answer_file(struct http_exchange *x, const char *path, const char *content_type,
                      const struct http_pair *headers, size_t n_headers)
{
    struct exchange *e = (struct exchange *)x;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        const int status = fd < 0 && errno == ENOENT ? 404 : 500;

        http_log(e->server, "%s: a file that was to be sent cannot be read: %s", e->request_id,
                 fd < 0 ? strerror(errno) : "it is no regular file");
        if (fd >= 0)
            close(fd);
        http_let_go(
            e,
            http_refusal(e, status,
                         status == 404 ? "the file is not there" : "the file cannot be read"),
            status);
        return;
    }
    atomic_store(&e->sent_bytes, (uint64_t)st.st_size);
    http_let_go(e,
                http_dress(e, MHD_create_response_from_fd64((uint64_t)st.st_size, fd), 200,
                           content_type, headers, n_headers),
                200);
}

void http_keep(struct http_exchange *x, void (*gone)(void *ctx, struct http_exchange *x), void *ctx)
{
    struct exchange *e = (struct exchange *)x;

    pthread_mutex_lock(&e->lock);
    assert(e->owner == HTTP_OF_HANDLER);
    e->owner = HTTP_OF_KEEPER;
    e->gone = gone;
    e->gone_ctx = ctx;
    if (e->connection != NULL && gone != NULL)
        http_watch(e);
    if (e->connection == NULL || e->is_left || e->is_cut)
        http_tell_gone(e);
    pthread_mutex_unlock(&e->lock);
}

/* ---- handlers ---- */

static bool is_handlers(struct exchange *e)
{
    pthread_mutex_lock(&e->lock);
    const bool is = e->owner == HTTP_OF_HANDLER;
    pthread_mutex_unlock(&e->lock);
    return is;
}

/* What a handler returned without: an answer. */
static void settle(struct exchange *e, const char *which)
{
    if (!is_handlers(e))
        return;
    http_log(e->server, "%s: %s returned without an answer: 500", e->request_id, which);
    http_let_go(e, http_refusal(e, 500, "the server failed to answer"), 500);
}

static void run_job(struct exchange *e)
{
    const struct http_options *opt = &e->server->opt;

    if (e->step == HTTP_STEP_BEGUN || !e->has_body) {
        if (!opt->begin(opt->ctx, &e->x, &e->plan)) {
            settle(e, "begin");
            return;
        }
        assert(is_handlers(e)); /* true means: not answered */
        if (e->has_body) {
            pthread_mutex_lock(&e->lock);
            e->owner = HTTP_OF_NETWORK;
            http_resume(e);
            /* the client left meanwhile: nobody is there any more to take the body */
            const bool is_alone = e->connection == NULL;
            if (is_alone)
                e->owner = HTTP_OF_NOBODY;
            pthread_mutex_unlock(&e->lock);
            if (is_alone)
                http_unhold(e);
            return;
        }
    }
    if (!e->has_body && e->plan.body == HTTP_BODY_MULTIPART) {
        http_let_go(e, http_refusal(e, 400, "the body is empty; it must be multipart/form-data"),
                    400);
        return;
    }
    opt->handle(opt->ctx, &e->x);
    settle(e, "the handler");
}

static void *handler_thread(void *ctx)
{
    struct http_server *s = ctx;

    for (;;) {
        pthread_mutex_lock(&s->queue_lock);
        while (s->first_job == NULL && !s->is_stopping)
            pthread_cond_wait(&s->queue_filled, &s->queue_lock);
        struct exchange *e = s->first_job;
        const bool is_stopping = s->is_stopping;
        if (e != NULL) {
            s->first_job = e->next_job;
            s->n_jobs--;
        }
        pthread_mutex_unlock(&s->queue_lock);
        if (e == NULL)
            return NULL;
        if (is_stopping)
            http_let_go(e, NULL, 0); /* nobody is there to be answered */
        else
            run_job(e);
#ifndef __clang_analyzer__ /* it cannot count holds, and takes one of others for this one */
        http_unhold(e);
#endif
    }
}

/* ---- start and end ---- */

static void set_defaults(struct http_options *o)
{
    if (o->host == NULL)
        o->host = "127.0.0.1";
    if (o->n_handlers == 0)
        o->n_handlers = 8;
    if (o->max_waiting == 0)
        o->max_waiting = 1024;
    if (o->max_connections == 0)
        o->max_connections = 4096;
    if (o->max_connections < HTTP_NETWORK_THREADS)
        o->max_connections = HTTP_NETWORK_THREADS;
    if (o->idle_seconds <= 0)
        o->idle_seconds = 60;
    if (o->slowest_seconds <= 0)
        o->slowest_seconds = 30;
    if (o->max_header_bytes == 0)
        o->max_header_bytes = (size_t)16 << 10;
    if (o->max_target_bytes == 0)
        o->max_target_bytes = (size_t)8 << 10;
}

static bool start_handlers(struct http_server *s, struct error *err)
{
    s->handlers = calloc(s->opt.n_handlers, sizeof *s->handlers);
    for (size_t i = 0; s->handlers != NULL && i < s->opt.n_handlers; i++) {
        const int failed = pthread_create(&s->handlers[i], NULL, handler_thread, s);

        if (failed != 0) {
            errno = failed;
            return fail_errno(err, "the server cannot start a thread");
        }
        s->n_handlers++;
    }
    return s->handlers != NULL ||
           fail(err, ERR_NO_MEMORY, "no memory for %zu handlers' threads", s->opt.n_handlers);
}

/* Signals are for the program's own threads: those that start now take none. */
static void signals_off(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, before);
}

bool http_server_open(const struct http_options *opt, struct http_server **out, struct error *err)
{
    struct http_server *s = must_have(calloc(1, sizeof *s));
    sigset_t before;

    s->opt = *opt;
    set_defaults(&s->opt);
    s->listener = s->epoll = s->wake = -1;
    pthread_mutex_init(&s->lock, NULL);
    condition_init(&s->over);
    pthread_cond_init(&s->has_place, NULL);
    pthread_mutex_init(&s->queue_lock, NULL);
    pthread_cond_init(&s->queue_filled, NULL);
    s->n_table = s->opt.max_connections;
    s->table = must_have(calloc(s->n_table, sizeof(struct http_connection *)));
    signals_off(&before);
    const bool ok = http_accept_listen(s, err) && http_watch_open(s, err) &&
                    start_handlers(s, err) && http_network_start(s, err) &&
                    http_accept_start(s, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (!ok) {
        http_server_close(s);
        return false;
    }
    atomic_store(&s->is_started, true);
    *out = s;
    return true;
}

int http_server_port(const struct http_server *s)
{
    return s->port;
}

struct http_counts http_server_counts(struct http_server *s)
{
    struct http_counts c = {.requests = atomic_load(&s->n_requests),
                            .refused = atomic_load(&s->n_refused),
                            .streams = atomic_load(&s->n_streams)};

    pthread_mutex_lock(&s->lock);
    c.connections = s->n_connections;
    pthread_mutex_unlock(&s->lock);
    pthread_mutex_lock(&s->queue_lock);
    c.waiting = s->n_jobs;
    pthread_mutex_unlock(&s->queue_lock);
    return c;
}

/* True: none is left. */
static bool wait_until_over(struct http_server *s, double deadline)
{
    pthread_mutex_lock(&s->lock);
    while (s->n_exchanges > 0 && clock_seconds() < deadline)
        condition_wait_for(&s->over, &s->lock, deadline - clock_seconds());
    const bool is_over = s->n_exchanges == 0;
    pthread_mutex_unlock(&s->lock);
    return is_over;
}

/* Calls fn with each exchange that has a connection, its lock held. */
static void each_exchange(struct http_server *s, void (*fn)(struct exchange *e))
{
    size_t n = 0;

    pthread_mutex_lock(&s->lock);
    struct exchange **held = must_have(calloc(s->n_connections + 1, sizeof *held));
    for (size_t i = 0; i < s->n_table; i++)
        if (s->table[i] != NULL && s->table[i]->now != NULL) {
            http_hold(s->table[i]->now);
            held[n++] = s->table[i]->now;
        }
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < n; i++) {
        pthread_mutex_lock(&held[i]->lock);
        fn(held[i]);
        pthread_mutex_unlock(&held[i]->lock);
        http_unhold(held[i]);
    }
    free(held);
}

/* A stream ends as if its writer had ended it: the client sees a whole answer. */
static void end_stream(struct exchange *e)
{
    if (e->out.open && !e->out.broken) {
        e->out.ended = true;
        http_resume(e);
    }
    http_tell_gone(e);
}

static void stop_listening(struct http_server *s)
{
    if (!atomic_exchange(&s->is_draining, true))
        http_accept_end(s);
}

void http_server_drain(struct http_server *s, double deadline)
{
    stop_listening(s);
    if (wait_until_over(s, deadline))
        return;
    each_exchange(s, end_stream);
    wait_until_over(s, clock_seconds() + 1);
}

void http_server_close(struct http_server *s)
{
    if (s == NULL)
        return;
    stop_listening(s);
    pthread_mutex_lock(&s->queue_lock);
    s->is_stopping = true;
    pthread_cond_broadcast(&s->queue_filled);
    pthread_mutex_unlock(&s->queue_lock);
    if (s->daemon != NULL) {
        each_exchange(s, http_cut);
        MHD_stop_daemon(
            s->daemon); /* all that were suspended are resumed: hand_over suspends no more */
    }
    for (size_t i = 0; i < s->n_handlers; i++)
        pthread_join(s->handlers[i], NULL);
    while (!wait_until_over(
        s, clock_seconds() + 1)) /* what is kept, until its keeper has been told and lets go */
        continue;
    http_watch_close(s);
    pthread_mutex_destroy(&s->lock);
    pthread_cond_destroy(&s->over);
    pthread_cond_destroy(&s->has_place);
    pthread_mutex_destroy(&s->queue_lock);
    pthread_cond_destroy(&s->queue_filled);
    free(s->handlers);
    free(s->table);
    free(s);
}
