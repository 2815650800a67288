/*
 * http_network.c - the network's threads: what libmicrohttpd calls, and how it is started.
 *
 *     on_connection -> on_request_line -> on_request, again and again -> on_completed -> on_request_line or on_connection
 *
 * on_request is called with the headers, with each piece of the body, with the end of it, and after each suspension; e->step says what
 * it is for. Nothing here waits.
 */
#include "server/http_internal.h"

#include "base/clock.h"
#include "base/file.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/socket.h>

#define MAX_PEM_BYTES ((size_t)1 << 20)
#define TLS_VERSIONS                                                                               \
    "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2" /* RFC 8996: 1.0 and 1.1 are over */

static enum MHD_Result queue(struct exchange *e, struct MHD_Connection *c, struct MHD_Response *r,
                             int status)
{
    const enum MHD_Result ok = MHD_queue_response(c, (unsigned)status, r);

    e->step = HTTP_STEP_SENDING;
    MHD_destroy_response(r);
    return ok;
}

/* The network has the exchange, and says no. */
static void keep_refusal(struct exchange *e, int status, const char *message)
{
    struct MHD_Response *r = http_refusal(e, status, message);

    pthread_mutex_lock(&e->lock);
    assert(e->owner == HTTP_OF_NETWORK);
    e->owner = HTTP_OF_NOBODY;
    e->response = r;
    e->status = status;
    pthread_mutex_unlock(&e->lock);
    http_unhold(e); /* the connection's hold is still there */
}

/* The answer that is there, to be queued; NULL and *is_cut: none, the connection is to be closed. */
static struct MHD_Response *take_response(struct exchange *e, int *status, bool *is_cut)
{
    pthread_mutex_lock(&e->lock);
    struct MHD_Response *r = e->response;
    *status = e->status;
    *is_cut = e->is_cut;
    e->response = NULL;
    pthread_mutex_unlock(&e->lock);
    return r;
}

static enum MHD_Result queue_response(struct exchange *e, struct MHD_Connection *c)
{
    int status;
    bool is_cut;
    struct MHD_Response *r = take_response(e, &status, &is_cut);

    if (r != NULL && !is_cut)
        return queue(e, c, r, status);
    if (r != NULL)
        MHD_destroy_response(r);
    return MHD_NO;
}

/* The watcher sees to it that the client goes on sending. */
static void begin_reading(struct exchange *e)
{
    atomic_store(&e->body_began, clock_seconds());
    atomic_store(&e->is_in_body, true);
    pthread_mutex_lock(&e->lock);
    http_watch(e);
    pthread_mutex_unlock(&e->lock);
}

/*
 * An answer before the body: libmicrohttpd closes the connection behind it, and a client that still writes may lose it. So a
 * short body is read over first.
 */
static enum MHD_Result answer_before_body(struct exchange *e, struct MHD_Connection *c)
{
    if (!e->is_chunked && !e->expects_continue && e->content_length <= HTTP_READ_OVER_BYTES) {
        e->step = HTTP_STEP_DISCARD;
        begin_reading(e);
        return MHD_YES;
    }
    return queue_response(e, c);
}

/* To a handler's thread; refused where the queue is full, unless its begin() was let in: a body that was taken is not lost. */
static enum MHD_Result hand_over(struct exchange *e, struct MHD_Connection *c, bool before_body)
{
    struct http_server *s = e->server;

    pthread_mutex_lock(&s->queue_lock);
    const bool is_full = !e->is_admitted && s->n_jobs >= s->opt.max_waiting;
    const bool is_stopping = s->is_stopping;
    if (!is_full && !is_stopping) {
        pthread_mutex_lock(&e->lock);
        e->owner = HTTP_OF_HANDLER;
        e->is_suspended = true;
        MHD_suspend_connection(c);
        pthread_mutex_unlock(&e->lock);
        http_hold(e);
        e->is_admitted = true;
        e->next_job = NULL;
        if (s->first_job == NULL)
            s->first_job = e;
        else
            s->last_job->next_job = e;
        s->last_job = e;
        s->n_jobs++;
        pthread_cond_signal(&s->queue_filled);
    }
    pthread_mutex_unlock(&s->queue_lock);
    if (is_stopping)
        return MHD_NO;
    if (is_full) {
        keep_refusal(e, 503, "the server has more requests than it can take; try again later");
        return before_body ? answer_before_body(e, c) : queue_response(e, c);
    }
    return MHD_YES;
}

static enum MHD_Result first_call(struct exchange *e, struct MHD_Connection *c, const char *method,
                                  const char *version)
{
    const char *message = NULL;
    const int status = http_read_head(e, c, method, version, &message);

    atomic_store(&e->has_head, true);
    if (status != 0) {
        keep_refusal(e, status, message);
        return queue_response(e, c); /* and closes: who knows where this request ends */
    }
    if (!e->has_body) {
        e->step = HTTP_STEP_WHOLE; /* called again at once, and may then keep the connection */
        return MHD_YES;
    }
    e->step = HTTP_STEP_BEGUN;
    return hand_over(e, c, true);
}

static enum MHD_Result answer_options(struct exchange *e, struct MHD_Connection *c)
{
    const char *allow = e->server->opt.allow;
    const struct http_pair header = {
        STR("allow"), allow == NULL ? STR("GET, HEAD, POST, DELETE, OPTIONS") : str_of(allow)};
    struct MHD_Response *r = http_dress(e, http_bytes((struct str){0}), 204, NULL, &header, 1);

    pthread_mutex_lock(&e->lock);
    e->owner = HTTP_OF_NOBODY;
    e->status = 204;
    pthread_mutex_unlock(&e->lock);
    http_unhold(e);
    return queue(e, c, r, 204);
}

static enum MHD_Result whole(struct exchange *e, struct MHD_Connection *c)
{
    if (e->x.method == HTTP_OPTIONS && e->x.path.ptr[0] == '*')
        return answer_options(e, c);
    e->step = HTTP_STEP_HANDLED;
    return hand_over(e, c, false);
}

/* begin() is through: wanted, refused, answered or kept. */
static enum MHD_Result before_body(struct exchange *e, struct MHD_Connection *c)
{
    pthread_mutex_lock(&e->lock);
    const bool is_ours = e->owner == HTTP_OF_NETWORK;
    pthread_mutex_unlock(&e->lock);
    if (!is_ours)
        return answer_before_body(e, c);
    if (!http_body_open(e)) {
        keep_refusal(e, e->in.status, e->in.err.message);
        return answer_before_body(e, c);
    }
    e->step = HTTP_STEP_BODY;
    begin_reading(e);
    return MHD_YES;
}

static enum MHD_Result take_body(struct exchange *e, const char *bytes, size_t n)
{
    if (e->step == HTTP_STEP_BODY) {
        if (http_body_take(e, (struct str){bytes, n}))
            return MHD_YES;
        /* libmicrohttpd sends nothing before the body's end: what comes is read and forgotten */
        http_body_release(e);
        keep_refusal(e, e->in.status, e->in.err.message);
        e->step = HTTP_STEP_DISCARD;
        return MHD_YES;
    }
    atomic_fetch_add(&e->body_bytes, n);
    e->discarded += n;
    return e->is_chunked && e->discarded > HTTP_READ_OVER_CHUNKED ? MHD_NO : MHD_YES;
}

static enum MHD_Result after_body(struct exchange *e, struct MHD_Connection *c)
{
    atomic_store(&e->is_in_body, false);
    if (http_body_end(e))
        return whole(e, c);
    http_body_release(e);
    keep_refusal(e, e->in.status, e->in.err.message);
    return queue_response(e, c);
}

static bool is_cut(struct exchange *e)
{
    pthread_mutex_lock(&e->lock);
    const bool is = e->is_cut;
    pthread_mutex_unlock(&e->lock);
    return is;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *c, const char *url,
                                  const char *method, const char *version, const char *bytes,
                                  size_t *n, void **of_request)
{
    struct exchange *e = *of_request;

    (void)ctx;
    (void)url;
    if (e == NULL || is_cut(e))
        return MHD_NO;
    if (*n > 0) {
        const size_t len = *n;

        *n = 0;
        return take_body(e, bytes, len);
    }
    switch (e->step) {
    case HTTP_STEP_HEAD:
        return first_call(e, c, method, version);
    case HTTP_STEP_WHOLE:
        return whole(e, c);
    case HTTP_STEP_BEGUN:
        return before_body(e, c);
    case HTTP_STEP_BODY:
        return after_body(e, c);
    case HTTP_STEP_DISCARD:
        atomic_store(&e->is_in_body, false);
        return queue_response(e, c);
    case HTTP_STEP_HANDLED:
        return queue_response(e, c);
    case HTTP_STEP_SENDING:
        break;
    }
    return MHD_YES;
}

static void make_id(char id[static 40])
{
    static const char digits[] = "0123456789abcdef";
    unsigned char bytes[16];

    while (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
        continue;
    memcpy(id, "req_", 4);
    for (size_t i = 0; i < sizeof bytes; i++) {
        id[4 + 2 * i] = digits[bytes[i] >> 4];
        id[5 + 2 * i] = digits[bytes[i] & 15];
    }
    id[36] = '\0';
}

static struct http_connection *connection_of(struct MHD_Connection *c)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info == NULL ? NULL : info->socket_context;
}

/* The request line is there: an exchange begins. */
static void *on_request_line(void *ctx, const char *target, struct MHD_Connection *c)
{
    struct http_server *s = ctx;
    struct http_connection *conn = connection_of(c);
    struct exchange *e = conn == NULL ? NULL : calloc(1, sizeof *e);

    if (e == NULL)
        return NULL;
    e->server = s;
    atomic_store(&e->holds, 2); /* the connection's and the owner's */
    e->in.fd = -1;
    e->connection = c;
    e->conn = conn;
    e->fd = conn->fd;
    pthread_mutex_init(&e->lock, NULL);
    pthread_cond_init(&e->told, NULL);
    make_id(e->request_id);
    e->x.request_id = e->request_id;
    e->x.began = clock_seconds();
    e->target_at = target;
    e->target = str_of(target);
    if (e->target.len <= s->opt.max_target_bytes)
        e->target = arena_str(&e->x.arena, e->target);
    atomic_fetch_add(&s->n_requests, 1);
    pthread_mutex_lock(&s->lock);
    conn->now = e;
    s->n_exchanges++;
    pthread_mutex_unlock(&s->lock);
    return e;
}

static void on_completed(void *ctx, struct MHD_Connection *c, void **of_request,
                         enum MHD_RequestTerminationCode why)
{
    struct http_server *s = ctx;
    struct exchange *e = *of_request;

    *of_request = NULL;
    if (e == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    struct http_connection *conn = e->conn;
    conn->now = NULL;
    conn->since = clock_seconds();
    conn->was_used = true;
    pthread_mutex_unlock(&s->lock);
    const union MHD_ConnectionInfo *sent =
        MHD_get_connection_info(c, MHD_CONNECTION_INFO_HTTP_STATUS);

    pthread_mutex_lock(&e->lock);
    e->connection = NULL;
    e->conn = NULL;
    e->is_suspended = false;
    if (sent == NULL)
        e->status = 0;
    else if (e->status == 0)
        e->status = (int)sent->http_status;    /* libmicrohttpd's own refusal */
    struct MHD_Response *unsent = e->response; /* a growing one holds the exchange */
    e->response = NULL;
    const bool is_ours = e->owner == HTTP_OF_NETWORK;
    if (is_ours)
        e->owner = HTTP_OF_NOBODY;
    if (e->owner != HTTP_OF_NOBODY) {
        e->is_left = true;
        if (e->out.open)
            http_stream_break(e);
        http_tell_gone(e);
    }
    pthread_mutex_unlock(&e->lock);
    (void)why;
    if (unsent != NULL)
        MHD_destroy_response(unsent);
    if (is_ours)
        http_unhold(e);
    http_unhold(e);
}

static void set_socket(int fd)
{
    const int on = 1, idle = 30, interval = 10, count = 3, unheard_ms = 120000;

    /* a client whose machine is gone says nothing: ask it, and do not wait for ever for what it does not acknowledge */
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unheard_ms, sizeof unheard_ms);
}

static void on_connection(void *ctx, struct MHD_Connection *c, void **of_socket,
                          enum MHD_ConnectionNotificationCode code)
{
    static atomic_uint generations;
    struct http_server *s = ctx;
    struct http_connection *conn = *of_socket;

    if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (conn == NULL)
            return;
        pthread_mutex_lock(&s->lock);
        s->table[conn->slot] = NULL;
        s->n_connections--;
        pthread_cond_signal(&s->has_place);
        pthread_mutex_unlock(&s->lock);
        free(conn); /* its socket leaves the watcher's epoll when it is closed, which comes next */
        *of_socket = NULL;
        return;
    }
    const int fd = MHD_get_connection_info(c, MHD_CONNECTION_INFO_CONNECTION_FD)->connect_fd;
    conn = calloc(1, sizeof *conn);
    set_socket(fd);
    pthread_mutex_lock(&s->lock);
    s->n_coming--;
    if (conn != NULL) {
        conn->fd = fd;
        conn->since = clock_seconds();
        conn->generation = atomic_fetch_add(&generations, 1);
        while (s->table[conn->slot] != NULL) /* http_accept.c lets in as many as have a slot */
            conn->slot++;
        s->table[conn->slot] = conn;
        s->n_connections++;
    } else {
        shutdown(fd, SHUT_RDWR);
        pthread_cond_signal(&s->has_place);
    }
    pthread_mutex_unlock(&s->lock);
    *of_socket = conn;
}

/* Which escapes mean what is for handlers to say: after the path was split. */
static size_t leave_escaped(void *ctx, struct MHD_Connection *c, char *s)
{
    (void)ctx;
    (void)c;
    return strlen(s);
}

__attribute__((format(printf, 2, 0))) static void on_log(void *ctx, const char *fmt, va_list args)
{
    struct http_server *s = ctx;

    /* while it runs, all it has to say is about clients that break rules */
    if (atomic_load(&s->is_started))
        return;
    vsnprintf(s->log_line, sizeof s->log_line, fmt, args);
    s->log_line[strcspn(s->log_line, "\n")] = '\0';
}

static bool read_pem(const char *path, const char *what, const char *mark, struct arena *a,
                     const char **out, struct error *err)
{
    struct str text;

    if (path == NULL)
        return fail(err, ERR_INVALID, "TLS needs a certificate and a key, and the %s was not given",
                    what);
    if (!file_read(path, MAX_PEM_BYTES, a, &text, err))
        return fail_while(err, "reading the TLS %s", what);
    if (strlen(text.ptr) != text.len || strstr(text.ptr, mark) == NULL)
        return fail(err, ERR_INVALID, "%s holds no TLS %s: there is no \"%s\" in it", path, what,
                    mark);
    *out = text.ptr;
    return true;
}

bool http_network_start(struct http_server *s, struct error *err)
{
    const struct http_options *o = &s->opt;
    const bool has_tls = o->tls_cert != NULL || o->tls_key != NULL;
    const size_t needed = o->max_header_bytes + o->max_target_bytes + 8192;
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                     MHD_USE_NO_LISTEN_SOCKET;
    struct arena a = {0};
    const char *cert = NULL, *key = NULL;

    if (has_tls &&
        (!read_pem(o->tls_cert, "certificate", "-----BEGIN CERTIFICATE", &a, &cert, err) ||
         !read_pem(o->tls_key, "key", "PRIVATE KEY-----", &a, &key, err))) {
        arena_release(&a);
        return false;
    }
    if (has_tls)
        flags |= MHD_USE_TLS;
    union { /* the list's pointers are not const; nothing writes through them */
        const char *in;
        void *out;
    } cert_text = {.in = cert}, key_text = {.in = key};
    static char versions[] = TLS_VERSIONS; /* not const, either */
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, cert_text.out},
                                   {MHD_OPTION_HTTPS_MEM_KEY, 0, key_text.out},
                                   {MHD_OPTION_HTTPS_PRIORITIES, 0, versions},
                                   {MHD_OPTION_END, 0, NULL}};
    if (!has_tls)
        tls[0] = tls[3];
    s->daemon = MHD_start_daemon(
        flags, 0, NULL, NULL, on_request, NULL, MHD_OPTION_EXTERNAL_LOGGER, on_log, s,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)HTTP_NETWORK_THREADS, MHD_OPTION_CONNECTION_LIMIT,
        (unsigned)s->n_table * HTTP_NETWORK_THREADS, MHD_OPTION_PER_IP_CONNECTION_LIMIT,
        (unsigned)o->max_connections_per_address, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)o->idle_seconds, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        needed < 32768 ? (size_t)32768 : needed, MHD_OPTION_URI_LOG_CALLBACK, on_request_line, s,
        MHD_OPTION_UNESCAPE_CALLBACK, leave_escaped, NULL, MHD_OPTION_NOTIFY_COMPLETED,
        on_completed, s, MHD_OPTION_NOTIFY_CONNECTION, on_connection, s, MHD_OPTION_ARRAY, tls,
        MHD_OPTION_END);
    if (s->daemon == NULL && has_tls)
        (void)fail(err, ERR_INVALID,
                   "TLS cannot be started with the certificate %s and the key %s: %s", o->tls_cert,
                   o->tls_key, s->log_line);
    else if (s->daemon == NULL)
        (void)fail(err, ERR_IO, "the HTTP server cannot be started: %s", s->log_line);
    arena_release(&a);
    return s->daemon != NULL;
}
