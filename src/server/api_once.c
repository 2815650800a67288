/*
 * api_once.c - calls that make something once, however often they are sent.
 *
 * The official client sends a request again that was not answered in time, and its first try may still be at work, here or at
 * another server of the same store: the second waits for what becomes of it. A reservation in the store (creations.h) says who
 * is at work; one thread renews those of this server, and asks for those that others wait for.
 */
#include "base/background.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "base/size.h"
#include "server/api_error.h"
#include "server/api_internal.h"
#include "store/creations.h"
#include "text/log.h"

#include <stdlib.h>

#define LEASE_SECONDS 15
#define RENEW_SECONDS 5.0
#define LOOK_SECONDS 0.2 /* whoever waits looks so often */
#define SAME_SECONDS 600 /* in which a client's second try, that has no key, is the first one */

/* One call's; in its arena. */
struct api_making {
    struct api_making *next, **at; /* in the list of held ones, or of waiting ones (next alone) */
    struct api_call *call;
    const struct api_maker *maker;
    const char *name, *digest;
    bool again;
    int64_t since_seconds;
    const char *id; /* of the reservation: ours, once held, or awaited */
    bool held;
};

struct once {
    struct api *api;
    char *holder;
    struct arena arena;
    double renewed;           /* when, by clock_seconds(); the thread's alone */
    struct background thread; /* its lock guards all below */
    struct api_making *held, *waiting;
};

/* ---- reservations that are ours ---- */

static void hold(struct once *o, struct api_making *m)
{
    m->held = true;
    pthread_mutex_lock(&o->thread.lock);
    m->next = o->held;
    m->at = &o->held;
    if (o->held != NULL)
        o->held->at = &m->next;
    o->held = m;
    pthread_mutex_unlock(&o->thread.lock);
    background_wake(&o->thread);
}

static void let_go(struct once *o, struct api_making *m, bool made)
{
    struct error err = {0};

    if (!m->held)
        return;
    m->held = false;
    pthread_mutex_lock(&o->thread.lock);
    *m->at = m->next;
    if (m->next != NULL)
        m->next->at = m->at;
    pthread_mutex_unlock(&o->thread.lock);
    if (!creations_end(o->api->opt.store, o->holder, m->id, made, &err)) /* its lease ends it */
        log_line(LOG_ERROR, "api", "reservation", "%s: %s", m->id, err.message);
    background_wake(&o->thread); /* whoever waits for it looks at once */
}

void api_once_drop(struct api_call *c)
{
    if (c->making != NULL)
        let_go(c->api->once, c->making, false);
}

static void renew(struct once *o)
{
    struct arena a = {0};
    struct error err = {0};
    const char **ids = NULL;
    size_t n = 0;

    pthread_mutex_lock(&o->thread.lock);
    for (const struct api_making *m = o->held; m != NULL; m = m->next)
        n++;
    if (n > 0)
        ids = ARENA_ARRAY(&a, const char *, n);
    n = 0;
    for (const struct api_making *m = o->held; m != NULL; m = m->next)
        ids[n++] = arena_text(&a, str_of(m->id));
    pthread_mutex_unlock(&o->thread.lock);
    if (!creations_renew(o->api->opt.store, o->holder, ids, n, LEASE_SECONDS, &err))
        log_line(LOG_ERROR, "api", "reservations", "not renewed: %s", err.message);
    arena_release(&a);
}

/* ---- made ---- */

/* In a thread of the grading pool, with the reservation held. */
static bool make(struct api_call *c, struct error *err)
{
    struct once *o = c->api->once;
    struct api_making *m = c->making;
    struct error ignored = {0};
    json_t *answer = NULL;

    /* another may have made it, whom we took for dead or who took us for it */
    if (!m->maker->make(c, &answer, err) &&
        (!m->maker->find(c, str_of(m->id), &answer, &ignored) || answer == NULL))
        return false;
    let_go(o, m, true);
    return api_reply(c, m->maker->status, answer);
}

/* What is known of the request now; asked often while one waits, so only what is new goes into the call's arena. */
static bool ask_store(struct api_call *c, struct creation *out, struct error *err)
{
    const struct api_making *m = c->making;
    struct arena a = {0};
    const struct creation_ask ask = {.project_id = c->who.project_id,
                                     .name = m->name,
                                     .digest = m->digest,
                                     .again = m->again,
                                     .awaited = m->id,
                                     .since_seconds = m->since_seconds,
                                     .id = store_new_id(m->maker->prefix, &a),
                                     .holder = c->api->once->holder,
                                     .lease_seconds = LEASE_SECONDS};
    const bool ok = creations_begin(c->store, &ask, &a, out, err);

    if (ok)
        out->id = m->id != NULL && strcmp(m->id, out->id) == 0
                      ? (char *)(uintptr_t)m->id
                      : arena_text(c->arena, str_of(out->id));
    arena_release(&a);
    return ok;
}

/* Answers, begins to make it, or says that it is to wait. kept: the exchange is. */
static bool go_on(struct api_call *c, bool kept, bool *wait, struct error *err)
{
    struct once *o = c->api->once;
    struct api_making *m = c->making;
    struct creation found;
    json_t *answer = NULL;

    *wait = false;
    if (!ask_store(c, &found, err))
        return false;
    m->id = found.id;
    if (found.state == CREATION_BUSY) {
        *wait = true;
        return true;
    }
    if (found.state == CREATION_MINE) {
        hold(o, m);
        c->new_id = found.id;
        c->new_at = found.created_at;
    }
    if ((found.state == CREATION_MADE || found.was_left) &&
        !m->maker->find(c, str_of(found.id), &answer, err))
        return false;
    if (answer != NULL) {
        let_go(o, m, true);
        return api_reply(c, m->maker->status, answer);
    }
    if (found.state == CREATION_MADE)
        return fail_code(err, ERR_NOT_FOUND, "not_found", "",
                         "this request was answered before, and what it made (%s) is gone", m->id);
    if (!kept)
        api_later_keep(c);
    return api_later_put(c, make, err);
}

/* ---- waiting ---- */

static bool start_waiting(struct once *o, struct api_making *m)
{
    pthread_mutex_lock(&o->thread.lock);
    const bool stopping = o->thread.stopping;
    if (!stopping) {
        m->next = o->waiting;
        o->waiting = m;
    }
    pthread_mutex_unlock(&o->thread.lock);
    return !stopping;
}

/* Every call that waits looks; those that still have to are put back. */
static void look(struct once *o, bool stopping)
{
    pthread_mutex_lock(&o->thread.lock);
    struct api_making *m = o->waiting;
    o->waiting = NULL;
    pthread_mutex_unlock(&o->thread.lock);
    while (m != NULL) {
        struct api_making *next = m->next;
        struct api_call *c = m->call;
        struct error err = {0};
        bool wait = false;
        const bool over = stopping || atomic_load(&c->gone);
        bool ok = over ? api_fail_stopping(&err) : go_on(c, true, &wait, &err);

        if (ok && wait)
            ok = start_waiting(o, m) || api_fail_stopping(&err);
        if (!ok) {
            api_once_drop(c);
            api_reply_error(c, &err);
        }
        m = next;
    }
}

static double keep(void *ctx)
{
    struct once *o = ctx;

    if (clock_seconds() - o->renewed >= RENEW_SECONDS) {
        renew(o);
        o->renewed = clock_seconds();
    }
    look(o, false);
    pthread_mutex_lock(&o->thread.lock);
    const double rest = o->waiting != NULL ? LOOK_SECONDS
                        : o->held != NULL  ? RENEW_SECONDS
                                           : UNTIL_WOKEN;
    pthread_mutex_unlock(&o->thread.lock);
    return rest;
}

/* ---- a route's ---- */

/* What is asked, to the letter: the path with what stands for its {}, and the body. */
static struct sha256_text digest_of(const struct api_call *c)
{
    struct arena a = {0};
    const char *said = c->route->path;

    for (size_t i = 0; i < COUNT_OF(c->id) && c->id[i].ptr != NULL; i++)
        said = arena_printf(&a, "%s " STR_FMT, said, STR_ARG(c->id[i]));
    said = arena_printf(&a, "%s %s", said, api_text_of(c->body, &a));
    const struct sha256_text digest = sha256_of(said, strlen(said));

    arena_release(&a);
    return digest;
}

bool api_make_once(struct api_call *c, const struct api_maker *maker, struct error *err)
{
    struct once *o = c->api->once; /* the call may be over before this function is */
    const struct str key = http_header(c->x, "idempotency-key");
    struct api_making *m = ARENA_NEW(c->arena, struct api_making);
    const struct sha256_text digest = digest_of(c), of_key = sha256_of(key.ptr, key.len);
    const bool has_key = key.len > 0;
    bool wait;

    *m = (struct api_making){
        .call = c,
        .maker = maker,
        .digest = arena_text(c->arena, str_of(digest.hex)),
        .name = arena_printf(c->arena, "%s %s", has_key ? "key" : "body",
                             has_key ? of_key.hex : digest.hex),
        .again = has_key || api_is_retry(c),
        .since_seconds = has_key ? CREATION_SECONDS : SAME_SECONDS,
    };
    c->making = m;
    if (!go_on(c, false, &wait, err)) {
        api_once_drop(c);
        return false;
    }
    if (!wait)
        return true;
    api_later_keep(c);
    if (!start_waiting(o, m))
        return api_fail_stopping(err);
    background_wake(&o->thread);
    return true;
}

/* ---- the whole ---- */

bool once_open(struct api *a, struct once **out, struct error *err)
{
    struct once *o = calloc(1, sizeof *o);

    if (o == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for what requests make");
    o->api = a;
    o->holder = store_new_id("server-", &o->arena);
    o->renewed = clock_seconds();
    if (!background_start(&o->thread, keep, o, "what requests make", err)) {
        once_close(o);
        return false;
    }
    *out = o;
    return true;
}

void once_stop(struct once *o)
{
    if (background_stop(&o->thread))
        look(o, true);
}

void once_close(struct once *o)
{
    if (o == NULL)
        return;
    once_stop(o);
    background_release(&o->thread);
    arena_release(&o->arena);
    free(o);
}
