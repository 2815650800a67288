/*
 * http_stream.c - answers that grow.
 *
 *     http_stream_put -> what waits -> the network thread takes as much as the client reads -> connection suspended
 *             ^                                                                                      |
 *             '--- any one thread ---------------------------------- the next put wakes it up again -'
 *
 * The network asks for bytes (MHD's content reader) when the client can take some. Where none wait the connection is
 * suspended, which costs nothing until the next put. A writer never waits: past max_waiting the stream is broken off.
 */
#include "server/http_internal.h"

#include "base/clock.h"
#include "base/size.h"

#include <assert.h>
#include <stdlib.h>

#define WAITING_DEFAULT ((size_t)1 << 20)
#define WAITING_FIRST ((size_t)4096) /* the first buffer */
#define WAITING_KEPT                                                                               \
    ((size_t)32768) /* a buffer beyond this goes back to the system when it is empty */

/* The lock is held for all that follows, where nothing else is said. */

void http_stream_break(struct exchange *e)
{
    if (e->out.broken)
        return;
    e->out.broken = true;
    free(e->out.ptr);
    e->out.ptr = NULL;
    e->out.from = e->out.len = e->out.cap = 0;
    http_cut(e);
}

/* A network thread's, without the lock. */
static ssize_t read_stream(void *ctx, uint64_t at, char *to, size_t max)
{
    struct exchange *e = ctx;
    struct http_outgoing *o = &e->out;
    ssize_t n = 0;

    (void)at;
    pthread_mutex_lock(&e->lock);
    if (o->broken || e->is_cut) {
        n = MHD_CONTENT_READER_END_WITH_ERROR;
    } else if (o->len > 0) {
        n = (ssize_t)size_min(max, o->len);
        memcpy(to, o->ptr + o->from, (size_t)n);
        o->from += (size_t)n;
        o->len -= (size_t)n;
        atomic_fetch_add(&e->sent_bytes, (uint64_t)n);
        if (o->len == 0) {
            o->from = 0;
            if (o->cap > WAITING_KEPT) {
                free(o->ptr);
                o->ptr = NULL;
                o->cap = 0;
            }
        }
    } else if (o->ended) {
        n = MHD_CONTENT_READER_END_OF_STREAM;
    } else {
        e->is_suspended = true;
        MHD_suspend_connection(e->connection);
    }
    pthread_mutex_unlock(&e->lock);
    return n;
}

static void drop_hold(void *ctx)
{
    http_unhold(ctx);
}

void http_stream_begin(struct http_exchange *x, const struct http_stream_options *opt)
{
    struct exchange *e = (struct exchange *)x;
    struct MHD_Response *r;

    if (x->method == HTTP_HEAD) { /* libmicrohttpd would send the end of a chunked body */
        r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
        http_answered(e); /* the client waits for nothing more, whatever is put */
    } else {
        http_hold(e); /* the response's */
        r = MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, 4096, read_stream, e, drop_hold);
    }
    r = http_dress(e, r, 200, opt->content_type, opt->headers, opt->n_headers);
    pthread_mutex_lock(&e->lock);
    assert(e->owner == HTTP_OF_HANDLER || e->owner == HTTP_OF_KEEPER);
    assert(e->status == 0);
    e->owner = HTTP_OF_KEEPER;
    e->gone = opt->gone;
    e->gone_ctx = opt->ctx;
    e->out = (struct http_outgoing){.open = true,
                                    .max_waiting =
                                        opt->max_waiting == 0 ? WAITING_DEFAULT : opt->max_waiting,
                                    .keep_alive_seconds = opt->keep_alive_ms / 1e3,
                                    .said = clock_seconds()};
    atomic_fetch_add(&e->server->n_streams, 1);
    e->status = 200;
    if (e->connection != NULL && !e->is_cut) {
        e->response = r;
        r = NULL;
        http_watch(e);
        http_resume(e);
    } else {
        e->out.broken = true;
    }
    if (e->is_left || e->out.broken)
        http_tell_gone(e);
    pthread_mutex_unlock(&e->lock);
    if (r != NULL)
        MHD_destroy_response(r);
}

static bool make_room(struct http_outgoing *o, size_t n)
{
    if (o->from + o->len + n <= o->cap)
        return true;
    if (o->len + n > o->cap) {
        const size_t cap = size_max(size_max(o->len + n, 2 * o->cap), WAITING_FIRST);
        char *ptr = malloc(cap);

        if (ptr == NULL)
            return false;
        if (o->len > 0)
            memcpy(ptr, o->ptr + o->from, o->len);
        free(o->ptr);
        o->ptr = ptr;
        o->cap = cap;
    } else {
        memmove(o->ptr, o->ptr + o->from, o->len);
    }
    o->from = 0;
    return true;
}

static void append(struct exchange *e, struct str bytes)
{
    struct http_outgoing *o = &e->out;

    if (bytes.len > o->max_waiting - o->len || !make_room(o, bytes.len)) {
        http_stream_break(e);
        http_tell_gone(e);
        return;
    }
    memcpy(o->ptr + o->from + o->len, bytes.ptr, bytes.len);
    o->len += bytes.len;
    http_resume(e);
}

bool http_stream_put(struct http_exchange *x, struct str bytes)
{
    struct exchange *e = (struct exchange *)x;

    pthread_mutex_lock(&e->lock);
    assert(e->out.open);
    if (!e->out.broken && !e->out.ended && bytes.len > 0) {
        append(e, bytes);
        e->out.said = clock_seconds();
    }
    const bool is_heard = !e->out.broken && !e->out.ended;
    pthread_mutex_unlock(&e->lock);
    return is_heard;
}

size_t http_stream_waiting(struct http_exchange *x)
{
    struct exchange *e = (struct exchange *)x;

    pthread_mutex_lock(&e->lock);
    const size_t n = e->out.len;
    pthread_mutex_unlock(&e->lock);
    return n;
}

/* The watcher's, without the lock. */
void http_stream_ping(struct exchange *e, double now)
{
    struct http_outgoing *o = &e->out;

    pthread_mutex_lock(&e->lock);
    if (o->open && !o->broken && !o->ended && o->keep_alive_seconds > 0 && o->len == 0 &&
        now - o->said >= o->keep_alive_seconds) {
        append(e, STR(": ping\n\n"));
        o->said = now;
    }
    pthread_mutex_unlock(&e->lock);
}

void http_stream_end_with(struct http_exchange *x, struct str last)
{
    struct exchange *e = (struct exchange *)x;

    assert(e->out.open);
    http_answered(e);
    (void)http_stream_put(x, last);
    http_let_go(e, NULL, 0);
}

void http_stream_end(struct http_exchange *x)
{
    http_stream_end_with(x, STR(""));
}
