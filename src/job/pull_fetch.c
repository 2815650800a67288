/*
 * pull_fetch.c - several connections fetch the pieces of several files.
 *
 * A thread a connection takes the first piece that nobody is at, asks for what is missing of it, and writes what comes. Whether the
 * reply is what was asked for is seen from its head, before a byte is written. A server that answers a range with the whole file gets
 * one connection at a time for that file, and what is there is passed over. A file is checked by the thread that finds it complete.
 *
 * A failure that may pass is tried again after a pause; tries are counted until some bytes come. Where a hub led to (an address that is
 * good for an hour or so) is asked directly until it refuses.
 */
#include "base/clock.h"
#include "base/condition.h"
#include "base/size.h"
#include "job/pull_internal.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/statvfs.h>

#define MAX_TRIES 8       /* without a byte: half a minute */
#define MAX_WRONG 3       /* replies that contradict what was asked */
#define MAX_TEXT_TRIES 4  /* of a listing */
#define MAX_PAUSE_S 900.0 /* a server that wants to wait longer is told of instead */
#define IDLE_S 30.0
#define LONGEST_S (24 * 3600.0) /* of one request */
#define MAX_REFUSAL_BYTES ((size_t)1 << 20)
#define TELL_S 0.2
#define SPEED_S 5.0 /* speed is that of about so long */
#define MAX_CONNECTIONS 64

struct crew {
    const struct pull_fetch *fetch;
    struct pull_part *part;
    size_t n_parts;
    pthread_mutex_t
        lock; /* guards what is below, and the parts but for done of pieces that are busy */
    pthread_cond_t changed;
    size_t n_running;
    bool failed, waits; /* waits: there is news in why */
    struct error err;
    char why[512];
    struct arena kept;           /* addresses */
    atomic_bool ended;           /* no more requests */
    atomic_uint_least64_t there; /* bytes of all files */
};

enum outcome {
    OUT_BROKEN,   /* as far as it went it was right */
    OUT_COMPLETE, /* all that was asked for is there */
    OUT_WHOLE,    /* the whole file came where a range was asked for */
    OUT_CHANGED,  /* the file is another one by now */
    OUT_WRONG,    /* the reply contradicts what was asked or told; err says how */
    OUT_UNWRITTEN /* err says why */
};
/* One request: bytes first..end-1 of a part. */
struct errand {
    struct crew *crew;
    struct pull_part *part;
    size_t piece; /* unless it is whole */
    bool whole, check, begun;
    uint64_t first, pos, end;
    uint64_t got; /* new bytes */
    enum outcome outcome;
    struct error err;
};

/* ---- taking ---- */

static bool is_complete(const struct pull_part *p)
{
    for (size_t i = 0; i < p->n_pieces; i++)
        if (p->busy[i] || p->done[i] < pull_part_piece_size(p, i))
            return false;
    return true;
}

/* An errand of this part, or false where there is none now. */
static bool errand_of(struct pull_part *p, struct errand *e)
{
    if (p->checked || p->at_check || (p->whole && p->n_busy > 0))
        return false;
    if (is_complete(p)) {
        p->at_check = e->check = true;
        return true;
    }
    for (size_t i = 0; i < p->n_pieces; i++) {
        const uint64_t size = pull_part_piece_size(p, i);

        if (p->busy[i] || p->done[i] == size)
            continue;
        p->busy[i] = true;
        p->n_busy++;
        e->piece = i;
        e->whole = p->whole;
        e->first = e->pos = i * p->piece_bytes + p->done[i];
        e->end = p->whole ? p->file->size : i * p->piece_bytes + size;
        return true;
    }
    return false;
}

/* Waits for something to do; false: all is done, or has ended. */
static bool take(struct crew *c, struct errand *e)
{
    bool found = false;

    pthread_mutex_lock(&c->lock);
    for (;;) {
        bool unfinished = false;

        for (size_t i = 0; !found && !c->failed && i < c->n_parts; i++) {
            *e = (struct errand){.crew = c, .part = &c->part[i]};
            found = errand_of(&c->part[i], e);
            unfinished = unfinished || !c->part[i].checked;
        }
        if (found || c->failed || !unfinished)
            break;
        pthread_cond_wait(&c->changed, &c->lock);
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

static void put_back(struct errand *e)
{
    struct crew *c = e->crew;

    pthread_mutex_lock(&c->lock);
    if (e->check) {
        e->part->at_check = false;
    } else {
        e->part->busy[e->piece] = false;
        e->part->n_busy--;
    }
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

/* The first failure is the one that is told. */
static void end_all(struct crew *c, const struct error *err)
{
    pthread_mutex_lock(&c->lock);
    if (!c->failed)
        c->err = *err;
    c->failed = true;
    atomic_store(&c->ended, true);
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

/* ---- the reply's head ---- */

/* "ETag:..." where it is a strong one, else the date; "" where there is neither. */
static void validator_of(struct str head, char out[200])
{
    struct str v;

    out[0] = '\0';
    if (http_head_value(head, "etag", &v) && !str_starts(v, STR("W/")) && v.len > 0 && v.len < 180)
        snprintf(out, 200, "ETag:" STR_FMT, STR_ARG(v));
    else if (http_head_value(head, "last-modified", &v) && v.len > 0 && v.len < 180)
        snprintf(out, 200, "Last-Modified:" STR_FMT, STR_ARG(v));
}

static bool is_hashed(const struct pull_file *f)
{
    return f->sha256[0] != '\0' || f->git_sha1[0] != '\0';
}

/* Whether what the reply says of the file is what was told of it. A hash says more than this; where there is none it is all there is. */
static bool is_same_file(const struct pull_file *f, struct str head)
{
    char validator[200];

    if (is_hashed(f))
        return true;
    validator_of(head, validator);
    return validator[0] == '\0' || f->validator[0] == '\0' || strcmp(validator, f->validator) == 0;
}

static bool wrong(struct errand *e, uint64_t told, const char *of_what)
{
    const struct pull_file *f = e->part->file;

    e->outcome = is_hashed(f) ? OUT_WRONG : OUT_CHANGED;
    return fail(&e->err, ERR_CORRUPT,
                "%s: the server says %s%" PRIu64 " where the file of %" PRIu64
                " bytes was expected from byte %" PRIu64 " on",
                f->path, of_what, told, f->size, e->first);
}

/* Sets where the body begins in the file, or an outcome. */
static bool head_fits(struct errand *e, int status, struct str head)
{
    const struct pull_file *f = e->part->file;
    uint64_t first, last, total;

    if (!is_same_file(f, head)) {
        e->outcome = OUT_CHANGED;
        return false;
    }
    if (status == 200) {
        if (download_content_length(head, &total) && total != f->size)
            return wrong(e, total, "Content-Length ");
        if (!e->whole && e->part->n_pieces > 1) {
            e->outcome = OUT_WHOLE;
            return false;
        }
        e->pos = 0;
        return true;
    }
    if (!download_content_range(head, &first, &last, &total)) {
        e->outcome = OUT_WRONG;
        return fail(&e->err, ERR_CORRUPT,
                    "%s: the server sends a part without a usable Content-Range", f->path);
    }
    if (total != UINT64_MAX && total != f->size)
        return wrong(e, total, "that of all bytes there are ");
    if (first != e->first || last >= e->end) {
        e->outcome = OUT_WRONG;
        return fail(&e->err, ERR_CORRUPT,
                    "%s: bytes %" PRIu64 " to %" PRIu64
                    " were asked for, and the server sends %" PRIu64 " to %" PRIu64,
                    f->path, e->first, e->end - 1, first, last);
    }
    return true;
}

static bool on_bytes(void *ctx, int status, struct str head, const char *bytes, size_t n)
{
    struct errand *e = ctx;
    uint64_t added;

    if (!e->begun && !head_fits(e, status, head))
        return false;
    e->begun = true;
    if (atomic_load(&e->crew->ended))
        return false;
    const size_t k = n < e->end - e->pos ? n : (size_t)(e->end - e->pos);
    if (!pull_part_put(e->part, e->pos, bytes, k, &added, &e->err)) {
        e->outcome = OUT_UNWRITTEN;
        return false;
    }
    e->pos += k;
    e->got += added;
    atomic_fetch_add(&e->crew->there, added);
    if (e->pos == e->end)
        e->outcome = OUT_COMPLETE;
    return k == n; /* what stands behind the end nobody asked for */
}

/* ---- a request and what follows from it ---- */

/* What went wrong may pass: a pause, or false where there were enough tries. */
static bool again(struct crew *c, struct http_tries *t, const struct errand *e,
                  double retry_after_s, const struct error *err)
{
    if (e->outcome == OUT_WRONG && t->n + 1 >= MAX_WRONG)
        return false;
    if (e->got > 0) { /* the line is bad and not dead */
        t->n = 0;
        return clock_sleep_unless(&c->ended, clock_seconds() + 0.05);
    }
    pthread_mutex_lock(&c->lock);
    c->waits = true;
    snprintf(c->why, sizeof c->why, "%s", err->message);
    pthread_mutex_unlock(&c->lock);
    return http_try_again(t, retry_after_s, clock_seconds() + MAX_PAUSE_S);
}

static void keep_where(struct crew *c, struct pull_part *p, const char *url)
{
    pthread_mutex_lock(&c->lock);
    if (strcmp(url, p->led_to != NULL ? p->led_to : p->file->url) != 0)
        p->led_to = arena_text(&c->kept, str_of(url));
    pthread_mutex_unlock(&c->lock);
}

static bool changed(const struct errand *e, struct error *err)
{
    return fail_code(err, ERR_CORRUPT, "changed", "",
                     "%s: the file at the other side is another one than when it was begun",
                     e->part->file->path);
}

/* After a reply. True: go on with whatever is to do; *retry: after a pause. */
static bool judge(struct errand *e, const struct download_reply *r, bool answered, bool direct,
                  bool *retry, struct error *err)
{
    const int status = r->reply.status;

    switch (e->outcome) {
    case OUT_COMPLETE:
        return true;
    case OUT_WHOLE:
        return true;
    case OUT_CHANGED:
        return changed(e, err);
    case OUT_UNWRITTEN:
        *err = e->err;
        return false;
    case OUT_WRONG:
        *err = e->err;
        *retry = true;
        return false;
    case OUT_BROKEN:
        break;
    }
    if (!answered) { /* err says why */
        *retry = err->kind == ERR_IO || err->kind == ERR_TIMEOUT || err->kind == ERR_LIMIT;
        return false;
    }
    if (status == 200 || status == 206) {
        *retry = true;
        return fail(err, ERR_IO, "%s: %s ends before the file does", e->part->file->path,
                    http_place_of(r->url).text);
    }
    if (status == 416 && !is_hashed(e->part->file))
        return changed(e, err);
    *retry = direct || http_may_pass(&r->reply) || status == 416;
    return pull_refused(e->crew->fetch->source, e->part->file->path, r, err);
}

static bool fetch(struct errand *e, struct http_tries *tries, struct arena *a, struct error *err)
{
    struct crew *c = e->crew;
    struct pull_part *p = e->part;
    const struct pull_source *s = c->fetch->source;
    struct download_reply r = {.reply = {.retry_after_s = -1}};
    bool retry = false, answered;

    pthread_mutex_lock(&c->lock);
    const char *led_to = p->led_to;
    pthread_mutex_unlock(&c->lock);
    const struct download d = {.url = led_to != NULL ? led_to : p->file->url,
                               .token = s->token,
                               .token_for = s->endpoint,
                               .ranged = e->first > 0 || e->end < p->file->size,
                               .first = e->first,
                               .last = e->end - 1,
                               .sink = on_bytes,
                               .sink_ctx = e,
                               .max_reply_bytes = MAX_REFUSAL_BYTES,
                               .idle_s = IDLE_S,
                               .deadline = clock_seconds() + LONGEST_S,
                               .stop = &c->ended};
    answered = download_get(c->fetch->http, &d, a, &r, err);
    if (r.url != NULL && e->begun)
        keep_where(c, p, r.url);
    if (judge(e, &r, answered, led_to != NULL, &retry, err)) {
        tries->n = 0;
        pthread_mutex_lock(&c->lock);
        p->whole = p->whole || e->outcome == OUT_WHOLE;
        pthread_mutex_unlock(&c->lock);
        return true;
    }
    if (!retry || atomic_load(&c->ended))
        return false;
    if (led_to != NULL && e->got == 0) { /* it may be good no more */
        pthread_mutex_lock(&c->lock);
        p->led_to = NULL;
        pthread_mutex_unlock(&c->lock);
    }
    return again(c, tries, e, answered ? r.reply.retry_after_s : -1, err);
}

static bool check(struct errand *e, struct error *err)
{
    struct pull_part *p = e->part;
    struct crew *c = e->crew;
    bool right = false;

    if (!pull_part_check(p, &c->ended, &right, err))
        return false;
    if (right) {
        pthread_mutex_lock(&c->lock);
        p->checked = true;
        pthread_mutex_unlock(&c->lock);
        return true;
    }
    if (!pull_part_anew(p, err))
        return false;
    atomic_fetch_sub(&c->there, p->file->size);
    if (p->n_anew++ == 0)
        return true;
    return fail(err, ERR_CORRUPT,
                "%s: its %s is not the one that the hub tells (%s), after fetching it twice",
                p->file->path, p->file->sha256[0] != '\0' ? "SHA-256" : "git SHA-1",
                p->file->sha256[0] != '\0' ? p->file->sha256 : p->file->git_sha1);
}

struct worker {
    struct crew *crew;
    uint32_t seed;
    pthread_t thread;
};

static void *work(void *ctx)
{
    struct worker *w = ctx;
    struct crew *c = w->crew;
    struct http_tries tries = {.max_tries = MAX_TRIES, .seed = w->seed, .stop = &c->ended};
    struct arena a = {0};
    struct errand e;

    while (take(c, &e)) {
        struct error err = {0};
        const bool ok = e.check ? check(&e, &err) : fetch(&e, &tries, &a, &err);

        if (!ok)
            end_all(c, &err);
        put_back(&e);
        arena_reset(&a);
    }
    arena_release(&a);
    pthread_mutex_lock(&c->lock);
    c->n_running--;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- all of them ---- */

struct speed {
    double at, per_s;
    uint64_t bytes;
};

/* A mean over the last seconds, older ones counting less and less. */
static void speed_add(struct speed *v, uint64_t bytes)
{
    const double now = clock_seconds(), dt = now - v->at;
    const double share = dt / (dt + SPEED_S);
    const double fresh = dt > 0 && bytes > v->bytes ? (double)(bytes - v->bytes) / dt : 0;

    if (dt <= 0)
        return;
    v->per_s = v->per_s > 0 ? v->per_s + share * (fresh - v->per_s) : fresh;
    v->at = now;
    v->bytes = bytes;
}

/* What there is to tell, without the lock while it is told. */
static void tell(struct crew *c, uint64_t total, struct speed *v)
{
    const struct pull_request *rq = c->fetch->rq;
    struct pull_news news = {.event = PULL_PROGRESS,
                             .bytes = atomic_load(&c->there),
                             .total_bytes = total,
                             .seconds_left = -1};
    char why[sizeof c->why] = "";

    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->n_parts; i++) {
        if (!c->part[i].checked || c->part[i].at_check || c->part[i].told)
            continue;
        c->part[i].told = true;
        pthread_mutex_unlock(&c->lock);
        rq->tell(rq->ctx, &(struct pull_news){.event = PULL_CHECKED,
                                              .name = c->part[i].file->path,
                                              .bytes = news.bytes,
                                              .total_bytes = total});
        pthread_mutex_lock(&c->lock);
    }
    if (c->waits)
        memcpy(why, c->why, sizeof why);
    c->waits = false;
    pthread_mutex_unlock(&c->lock);
    if (why[0] != '\0')
        rq->tell(rq->ctx, &(struct pull_news){.event = PULL_WAITS, .text = why});
    speed_add(v, news.bytes);
    news.bytes_per_s = v->per_s;
    if (v->per_s > 0 && news.bytes <= total)
        news.seconds_left = (double)(total - news.bytes) / v->per_s;
    rq->tell(rq->ctx, &news);
}

static void watch(struct crew *c, uint64_t total)
{
    const atomic_bool *stop = c->fetch->rq->stop;
    struct speed v = {.at = clock_seconds(), .bytes = atomic_load(&c->there)};
    bool running = true;

    while (running) {
        pthread_mutex_lock(&c->lock);
        if (c->n_running > 0)
            condition_wait_for(&c->changed, &c->lock, TELL_S);
        running = c->n_running > 0;
        pthread_mutex_unlock(&c->lock);
        if (stop != NULL && atomic_load(stop)) {
            struct error err;

            fail(&err, ERR_CANCELLED, "stopped on request");
            end_all(c, &err);
        }
        if (!running || clock_seconds() >= v.at + TELL_S)
            tell(c, total, &v);
    }
}

static bool run_crew(struct crew *c, size_t n_wanted, uint64_t total, struct error *err)
{
    struct worker worker[MAX_CONNECTIONS];
    const size_t most = size_min(n_wanted > 0 ? n_wanted : PULL_CONNECTIONS, MAX_CONNECTIONS);
    size_t n = 0;

    pthread_mutex_init(&c->lock, NULL);
    condition_init(&c->changed);
    c->n_running = most;
    for (; n < most; n++) {
        worker[n] = (struct worker){.crew = c, .seed = (uint32_t)n};
        if (pthread_create(&worker[n].thread, NULL, work, &worker[n]) != 0)
            break;
    }
    pthread_mutex_lock(&c->lock);
    c->n_running -= most - n;
    pthread_mutex_unlock(&c->lock);
    if (n == 0)
        c->failed = !fail(&c->err, ERR_IO, "the system gives no thread to fetch with");
    watch(c, total);
    for (size_t i = 0; i < n; i++)
        pthread_join(worker[i].thread, NULL);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    arena_release(&c->kept);
    if (c->failed)
        *err = c->err;
    return !c->failed;
}

/* Whether what is missing fits. */
static bool has_room(const char *dir, uint64_t missing, struct error *err)
{
    struct statvfs v;

    if (statvfs(dir, &v) != 0)
        return fail_errno(err, "cannot see how much room there is in %s", dir);
    const uint64_t room = (uint64_t)v.f_bavail * v.f_frsize;
    if (missing <= room)
        return true;
    return fail(
        err, ERR_LIMIT,
        "%.1f MB are still to be fetched, and the disk of %s has room for %.1f MB: make room, "
        "or name another store with --home",
        (double)missing / 1e6, dir, (double)room / 1e6);
}

static void tell_plan(const struct pull_fetch *f, const struct pull_list *files, uint64_t there,
                      uint64_t total, struct arena *a)
{
    struct pull_item *items = ARENA_ARRAY(a, struct pull_item, files->n);

    for (size_t i = 0; i < files->n; i++)
        items[i] = (struct pull_item){files->file[i].path, files->file[i].size};
    f->rq->tell(f->rq->ctx, &(struct pull_news){.event = PULL_PLAN,
                                                .n_items = files->n,
                                                .items = items,
                                                .bytes = there,
                                                .total_bytes = total});
}

bool pull_fetch_all(struct pull_fetch *f, const struct pull_list *files, struct arena *a,
                    struct error *err)
{
    struct crew c = {.fetch = f, .part = ARENA_ARRAY(a, struct pull_part, files->n)};
    const uint64_t piece_bytes = f->rq->piece_bytes > 0 ? f->rq->piece_bytes : PULL_PIECE_BYTES;
    uint64_t there = 0, total = 0;
    bool ok = true;

    for (; ok && c.n_parts < files->n; c.n_parts += ok) {
        const struct pull_file *file = &files->file[c.n_parts];

        ok = pull_part_open(&c.part[c.n_parts], f->dir, file, piece_bytes, a, err);
        if (ok) {
            there += pull_part_there(&c.part[c.n_parts]);
            total += file->size;
        }
    }
    ok = ok && has_room(f->dir, total - there, err);
    if (ok) {
        tell_plan(f, files, there, total, a);
        atomic_init(&c.there, there);
        ok = run_crew(&c, f->rq->n_connections, total, err);
        f->fetched_bytes += atomic_load(&c.there) > there ? atomic_load(&c.there) - there : 0;
    }
    for (size_t i = 0; i < c.n_parts; i++)
        pull_part_close(&c.part[i]);
    return ok;
}

/* ---- small things ---- */

/* One request, again where that may help. */
static bool ask(const struct pull_request *rq, struct http *h, struct download d, struct arena *a,
                struct download_reply *out, struct error *err)
{
    struct http_tries tries = {.max_tries = MAX_TEXT_TRIES, .stop = rq->stop};

    for (;;) {
        d.deadline = clock_seconds() + 300;
        const bool answered = download_get(h, &d, a, out, err);
        const bool may_pass =
            answered ? http_may_pass(&out->reply) : err->kind == ERR_IO || err->kind == ERR_TIMEOUT;

        if (!may_pass || (rq->stop != NULL && atomic_load(rq->stop)))
            return answered;
        if (!http_try_again(&tries, answered ? out->reply.retry_after_s : -1,
                            clock_seconds() + MAX_PAUSE_S))
            return answered;
    }
}

bool pull_get_text(const struct pull_request *rq, const struct pull_source *s, struct http *h,
                   const char *url, size_t max_bytes, struct arena *a, struct download_reply *out,
                   struct error *err)
{
    const struct download d = {.url = url,
                               .token = s->token,
                               .token_for = s->endpoint,
                               .max_reply_bytes = max_bytes,
                               .idle_s = IDLE_S,
                               .stop = rq->stop};

    return ask(rq, h, d, a, out, err) &&
           (out->reply.status == 200 || pull_refused(s, NULL, out, err));
}

struct probe {
    int status;
    uint64_t size;
    bool told;
    char validator[200];
};

static bool on_probe(void *ctx, int status, struct str head, const char *bytes, size_t n)
{
    struct probe *p = ctx;
    uint64_t first, last;

    (void)bytes, (void)n;
    p->status = status;
    p->told = status == 206
                  ? download_content_range(head, &first, &last, &p->size) && p->size != UINT64_MAX
                  : download_content_length(head, &p->size);
    validator_of(head, p->validator);
    return false; /* the head is what was wanted */
}

bool pull_probe(const struct pull_request *rq, const struct pull_source *s, struct http *h,
                struct pull_file *file, bool optional, bool *there, struct arena *a,
                struct error *err)
{
    struct probe p = {0};
    const struct download d = {.url = file->url,
                               .token = s->token,
                               .token_for = s->endpoint,
                               .ranged = true,
                               .sink = on_probe,
                               .sink_ctx = &p,
                               .max_reply_bytes = MAX_REFUSAL_BYTES,
                               .idle_s = IDLE_S,
                               .stop = rq->stop};
    struct download_reply r = {0};
    const bool answered = ask(rq, h, d, a, &r, err);

    *there = true;
    if (p.status == 0) { /* no byte of a body came */
        if (!answered)
            return false;
        const int status = r.reply.status;
        if (optional && (status == 404 || status == 410 || status == 403)) {
            *there = false;
            return true;
        }
        if (status != 200 && status != 206 && status != 416)
            return pull_refused(s, file->path, &r, err);
        return fail(err, ERR_CORRUPT, "%s: the file is empty", file->url);
    }
    if (!p.told || p.size > (uint64_t)1 << 50)
        return fail(
            err, ERR_UNSUPPORTED,
            "%s: the server does not say how long the file is, so nothing could be checked; "
            "fetch it by hand, then hone import",
            file->path);
    file->size = p.size;
    memcpy(file->validator, p.validator, sizeof file->validator);
    return true;
}
