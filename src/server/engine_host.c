/*
 * engine_host.c - the host's thread: lines in, lines out, and which base a request goes to.
 */
#include "server/engine_host.h"
#include "base/limits.h"
#include "base/size.h"
#include "job/run_habits.h"
#include "server/engine_host_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define OUTBOX_BYTES ((size_t)64 << 20) /* that wait for a slow reader before an engine does */

/* ---- events out ---- */

static int64_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "re");
    long long all = 0, resident = 0;

    if (f != NULL) {
        if (fscanf(f, "%lld %lld", &all, &resident) != 2)
            resident = 0;
        fclose(f);
    }
    return resident * sysconf(_SC_PAGESIZE);
}

/* Under the lock. */
static void add_figures(struct host *h, int64_t resident)
{
    struct engine_counts sum = h->closed;

    for (const struct base *b = h->bases; b != NULL; b = b->next) {
        sum.sampled_tokens += b->counts.sampled_tokens;
        sum.prompt_tokens += b->counts.prompt_tokens;
        sum.cached_tokens += b->counts.cached_tokens;
    }
    const struct engine_figures f = {.tokens_sampled = sum.sampled_tokens,
                                     .tokens_prompt = sum.prompt_tokens,
                                     .tokens_cached = sum.cached_tokens,
                                     .resident_bytes = resident};
    wire_put_figures(&h->outbox, &f);
}

void host_post(struct host *h, struct str lines, bool ends, bool wait)
{
    const int64_t resident = ends ? resident_bytes() : 0;
    const uint64_t one = 1;

    pthread_mutex_lock(&h->lock);
    while (wait && h->outbox.len > OUTBOX_BYTES && !h->ending)
        pthread_cond_wait(&h->changed, &h->lock);
    if (ends)
        add_figures(h, resident); /* so that who has heard the end finds them */
    buf_str(&h->outbox, lines);
    pthread_mutex_unlock(&h->lock);
    if (write(h->poke, &one, sizeof one) < 0)
        return; /* full: the thread is awake */
}

/* ---- bases ---- */

/* Under the lock: takes no more requests, and goes when it has answered those that it has. */
static void begin_closing(struct host *h, struct base *b)
{
    struct base **at = &h->bases;

    while (*at != b)
        at = &(*at)->next;
    *at = b->next;
    b->closing = true;
    h->n_closing++;
    h->closed.sampled_tokens += b->counts.sampled_tokens;
    h->closed.prompt_tokens += b->counts.prompt_tokens;
    h->closed.cached_tokens += b->counts.cached_tokens;
    pthread_cond_broadcast(&b->wake);
}

void host_make_room(struct host *h, const struct base *keep, size_t more)
{
    for (;;) {
        struct base *oldest = NULL;
        size_t bytes = more;

        for (struct base *b = h->bases; b != NULL; b = b->next) {
            bytes += b == keep && more > 0 ? 0 : b->bytes;
            if (b != keep && b->n_requests == 0 && (oldest == NULL || b->used < oldest->used))
                oldest = b;
        }
        if (h->opt.memory_bytes <= 0 || bytes <= (size_t)h->opt.memory_bytes || oldest == NULL)
            return;
        begin_closing(h, oldest);
    }
}

/* What r is computed in: what the server was told, else what its model was trained in. */
static void choose_arithmetic(const struct host *h, const struct request *r, struct base *out)
{
    const struct engine_model *m = &r->lead.model;
    struct run_habits habits;

    run_habits_read(m->adapter != NULL || r->lead.op == ENGINE_SCORE ? m->run : NULL, &habits);
    run_habits_override(&habits, h->opt.precision, h->opt.kv_cache);
    out->precision = habits.precision;
    out->kv_cache = habits.kv_cache;
    run_habits_release(&habits);
}

static bool is_like(const struct base *b, const struct base *wanted)
{
    return b->embeds == wanted->embeds && b->precision == wanted->precision &&
           b->kv_cache == wanted->kv_cache && strcmp(b->path, wanted->path) == 0;
}

/* Under the lock. */
static bool base_of(struct host *h, const struct request *r, struct base **out, struct error *err)
{
    struct base wanted = {.path = (char *)(uintptr_t)r->lead.model.path,
                          .embeds = r->lead.op == ENGINE_EMBED};
    struct base *b = h->bases;

    /* where its adapter is open, its run has been read, and says the same ever since */
    while (b != NULL && (b->embeds != wanted.embeds || !base_has(b, &r->lead.model)))
        b = b->next;
    if (b == NULL) {
        choose_arithmetic(h, r, &wanted);
        for (b = h->bases; b != NULL && !is_like(b, &wanted);)
            b = b->next;
    }
    if (b == NULL) {
        b = calloc(1, sizeof *b);
        if (b == NULL)
            return fail(err, ERR_NO_MEMORY, "no memory for another model");
        *b = wanted;
        b->host = h;
        b->path = strdup(wanted.path);
        if (!base_start(b, err)) {
            free(b->path);
            free(b);
            return false;
        }
        b->next = h->bases;
        h->bases = b;
        h->n_bases++;
    }
    *out = b;
    return true;
}

/* ---- requests ---- */

static struct request *find_request(struct host *h, uint64_t id)
{
    struct request *r = h->requests;

    while (r != NULL && r->lead.id != id)
        r = r->next;
    return r;
}

static void request_free(struct request *r)
{
    request_release(r);
    wire_message_release(&r->lead);
    json_decref(r->tree);
    free((char *)(uintptr_t)r->body.ptr);
    arena_release(&r->arena);
    free(r);
}

void request_end(struct request *r)
{
    struct host *h = r->host;

    request_release(r);
    pthread_mutex_lock(&h->lock);
    struct request **at = &h->requests;
    while (*at != r)
        at = &(*at)->next;
    *at = r->next;
    if (r->tuned != NULL)
        r->tuned->n_users--;
    r->base->n_requests--;
    if (r->base->n_requests == 0) {
        host_make_room(h, r->base, 0);
        pthread_cond_broadcast(&r->base->wake); /* its last one, where it is closing */
    }
    pthread_mutex_unlock(&h->lock);
    request_free(r);
}

/* A request that has its body goes to its base. */
static void begin_request(struct host *h, struct request *r)
{
    struct error err = {0};

    pthread_mutex_lock(&h->lock);
    const bool ok = base_of(h, r, &r->base, &err);
    if (ok) {
        r->next = h->requests;
        h->requests = r;
        r->base->n_requests++;
        r->base->used = ++h->clock;
        queue_put(&r->base->waiting, r);
        pthread_cond_broadcast(&r->base->wake);
    }
    pthread_mutex_unlock(&h->lock);
    if (!ok) {
        request_tell_error(r, &err);
        request_free(r);
    }
}

static void cancel_request(struct host *h, uint64_t id)
{
    pthread_mutex_lock(&h->lock);
    struct request *r = find_request(h, id);
    if (r != NULL)
        atomic_store(&r->cancelled, true); /* its base looks once a token */
    pthread_mutex_unlock(&h->lock);
}

/* ---- lines in ---- */

static bool new_request(struct host *h, struct wire_message *lead, struct request **out,
                        struct error *err)
{
    struct request *r = calloc(1, sizeof *r);

    if (r == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a request");
    r->host = h;
    r->lead = *lead; /* taken */
    *lead = (struct wire_message){0};
    *out = r;
    return true;
}

/* begun: a request whose body is the next line, or NULL. */
static bool take_line(struct host *h, struct str line, struct request **begun, struct error *err)
{
    struct wire_message m = {0};
    bool ok = true;

    if (*begun != NULL) {
        struct request *r = *begun;
        char *copy = malloc(line.len + 1);

        if (copy == NULL)
            return fail(err, ERR_NO_MEMORY, "no memory for a request");
        memcpy(copy, line.ptr, line.len);
        r->body = (struct str){copy, line.len};
        *begun = NULL;
        begin_request(h, r);
        return true;
    }
    if (!wire_read(line, &m, err))
        return false;
    if (m.kind == WIRE_ASK)
        ok = new_request(h, &m, begun, err);
    else if (m.kind == WIRE_CANCEL)
        cancel_request(h, m.id);
    else
        ok = fail(err, ERR_CORRUPT, "the server sent what only an engine says");
    wire_message_release(&m);
    return ok;
}

/* False: nothing was taken, as there is nothing or the wire is busy. */
static bool take_outbox(struct host *h)
{
    pthread_mutex_lock(&h->lock);
    const bool takes = h->outbox.len > 0 && !wire_sending(&h->wire);
    if (takes) { /* one is sent while the other fills */
        const struct buf empty = h->wire.out;

        h->wire.out = h->outbox;
        h->outbox = empty;
        buf_clear(&h->outbox);
        pthread_cond_broadcast(&h->changed);
    }
    pthread_mutex_unlock(&h->lock);
    return takes;
}

static bool serve(struct host *h, struct error *err)
{
    struct request *begun = NULL;
    bool open = true, ok = true;

    while (ok && open) {
        do /* what came while the last was on its way has no other to wake us */
            open = wire_send(&h->wire);
        while (open && take_outbox(h));
        struct pollfd p[2] = {
            {.fd = h->wire.fd, .events = (short)(POLLIN | (wire_sending(&h->wire) ? POLLOUT : 0))},
            {.fd = h->poke, .events = POLLIN}};
        uint64_t ignored;
        struct str line;

        if (!open || poll(p, 2, -1) < 0)
            continue;
        if (p[1].revents != 0 && read(h->poke, &ignored, sizeof ignored) < 0 && errno != EAGAIN)
            ok = fail_errno(err, "reading an event");
        if (p[0].revents & (POLLIN | POLLHUP | POLLERR))
            open = wire_receive(&h->wire);
        while (ok && wire_line(&h->wire, &line))
            ok = take_line(h, line, &begun, err);
    }
    if (begun != NULL)
        request_free(begun);
    return ok;
}

static void end_all(struct host *h)
{
    pthread_mutex_lock(&h->lock);
    h->ending = true;
    for (struct request *r = h->requests; r != NULL; r = r->next)
        atomic_store(&r->cancelled, true);
    while (h->bases != NULL)
        begin_closing(h, h->bases);
    pthread_cond_broadcast(&h->changed);
    while (h->n_bases > 0)
        pthread_cond_wait(&h->changed, &h->lock);
    pthread_mutex_unlock(&h->lock);
}

bool engine_host_run(int fd, const struct engine_host_options *opt, struct error *err)
{
    struct host h = {.opt = *opt, .lock = PTHREAD_MUTEX_INITIALIZER};

    wire_init(&h.wire, fd, LIMIT_ENGINE_ASK);
    buf_init(&h.outbox, SIZE_MAX / 2);
    pthread_cond_init(&h.changed, NULL);
    h.poke = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    const bool ok = h.poke >= 0 ? serve(&h, err) : fail_errno(err, "making an event");
    end_all(&h);
    if (h.poke >= 0)
        close(h.poke);
    buf_release(&h.outbox);
    wire_release(&h.wire);
    pthread_cond_destroy(&h.changed);
    pthread_mutex_destroy(&h.lock);
    return ok;
}
