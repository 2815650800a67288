/*
 * runner.c - takes, works, gives back.
 */
#include "server/runner.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/size.h"
#include "server/api_internal.h"
#include "server/response_call.h"
#include "server/webhook.h"
#include "text/log.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define ROUND_SECONDS 1.0 /* between two looks for work that another server queued or lost */
#define LOOK_SECONDS 0.5  /* between two looks whether work is still wanted */
#define MAX_THREADS 16

static const struct work_kind {
    const char *kind;
    void (*work)(struct task *t);
    size_t n_threads;
} kinds[] = {
    {RUN_KIND, eval_run_work, 2}, /* each has threads of its own for its items */
    {RESPONSE_KIND, response_work, MAX_THREADS},
};

struct runner;
struct crew {
    struct runner *runner;
    const struct work_kind *kind;
    pthread_t threads[MAX_THREADS];
    size_t n;
    bool looking; /* one of them is at the queue */
};
struct runner {
    struct api *api;
    struct crew crews[COUNT_OF(kinds)];
    char worker[96];
    pthread_mutex_t lock; /* guards all below, and crew.looking */
    pthread_cond_t changed;
    bool stop;
    uint64_t n_woken;
};

/* ---- one piece of work ---- */

/* By the state, which follows the body at once (work_end): a body may be large. */
static bool is_wanted(struct task *t)
{
    struct arena a = {0};
    struct error err = {0};
    const char *state = NULL;
    bool wanted = true;

    if (documents_state(t->api->opt.store, t->doc.kind, t->doc.project_id, str_of(t->doc.id), &a,
                        &state, &err))
        wanted = !work_has_ended(str_of(state));
    else if (err.kind == ERR_NOT_FOUND)
        wanted = t->ours = false;
    /* a database that is away for a moment: the lease decides */
    arena_release(&a);
    return wanted;
}

bool task_beat(struct task *t)
{
    const double now = clock_seconds();
    struct error err = {0};

    if (atomic_load(&t->api->stopping))
        atomic_store(&t->stop, true);
    if (!atomic_load(&t->stop) && now >= t->look_at) {
        t->look_at = now + LOOK_SECONDS;
        if (!is_wanted(t))
            atomic_store(&t->stop, true);
    }
    if (!atomic_load(&t->stop) && now >= t->renew_at) {
        t->renew_at = now + WORK_RENEW_SECONDS;
        if (!documents_renew(t->api->opt.store, t->doc.kind, t->doc.id, t->worker,
                             WORK_LEASE_SECONDS, &err) &&
            err.kind == ERR_CANCELLED) {
            t->ours = false;
            atomic_store(&t->stop, true);
        }
    }
    return !atomic_load(&t->stop);
}

struct body_change {
    const char *kind, *state;
    task_fn *fn;
    void *ctx;
};

static bool change(void *ctx, const struct document *was, struct arena *a,
                   struct document_change *to, struct error *err)
{
    const struct body_change *c = ctx;
    json_t *body = api_json_of(was->body);
    bool ok = true;

    if (work_has_ended(work_status(c->kind, body)))
        ok = fail(err, ERR_CANCELLED, "the work was ended by somebody else");
    else if (c->fn(c->ctx, body)) {
        to->body = api_text_of(body, a);
        to->state = c->state;
    }
    json_decref(body);
    return ok;
}

bool task_change(struct task *t, const char *state, task_fn *fn, void *ctx, struct error *err)
{
    struct body_change c = {t->doc.kind, state, fn, ctx};

    return documents_change(t->api->opt.store, t->doc.kind, t->doc.project_id, str_of(t->doc.id),
                            change, &c, err);
}

void task_drop_orphans(struct task *t, const char *kind)
{
    struct store *s = t->api->opt.store;
    const struct document_filter f = {
        .kind = kind, .project_id = t->doc.project_id, .parent = t->doc.id};
    const struct store_page page = {.limit = 1000, .ascending = true};
    struct document d, *all;
    struct error err = {0};
    size_t n = 0;
    bool more;

    if (documents_get(s, t->doc.kind, t->doc.project_id, str_of(t->doc.id), t->arena, &d, &err) ||
        err.kind != ERR_NOT_FOUND || !documents_list(s, &f, &page, t->arena, &all, &n, &more, &err))
        return;
    for (size_t i = 0; i < n; i++)
        (void)!documents_delete(s, kind, t->doc.project_id, str_of(all[i].id), &err);
}

bool work_has_ended(struct str status)
{
    return status.len > 0 && !str_is(status, "queued") && !str_is(status, "in_progress");
}

struct str work_status(const char *kind, const json_t *body)
{
    const char *where = strcmp(kind, RUN_KIND) == 0 ? "run" : "response";

    return json_str(json_object_get(json_object_get(body, where), "status"));
}

static bool set_state(void *ctx, const struct document *was, struct arena *a,
                      struct document_change *to, struct error *err)
{
    (void)was;
    (void)a;
    (void)err;
    to->state = ctx;
    return true;
}

bool work_end(struct store *s, const char *kind, const char *project_id, const char *id,
              const char *type, const char *status, struct error *err)
{
    struct arena a = {0};
    const char *told =
        strcmp(type, "eval.run") == 0 && strcmp(status, "completed") == 0 ? "succeeded" : status;
    const char *name = arena_printf(&a, "%s.%s", type, told);
    const char *event_id = store_id_of("evt_", str_of(arena_printf(&a, "%s %s", id, status)), &a);
    const char *text =
        webhook_event(event_id, name, clock_unix(), json_pack("{s:s}", "id", id), &a);
    char *state = arena_text(&a, str_of(status));
    const bool ok = outbox_put(s, project_id, event_id, name, text, 0, err) &&
                    documents_change(s, kind, project_id, str_of(id), set_state, state, err);

    arena_release(&a);
    return ok;
}

/* ---- the threads ---- */

static void do_work(struct crew *c, struct task *t)
{
    struct error err = {0};

    c->kind->work(t);
    /* what failed for want of the database is tried again when the lease ends, and not at once */
    if (t->ours && atomic_load(&t->api->stopping) &&
        !documents_renew(t->api->opt.store, t->doc.kind, t->doc.id, t->worker, 0, &err) &&
        err.kind != ERR_CANCELLED) /* it was deleted, or ended */
        log_line(LOG_WARN, "runner", "not given back", "%s %s: %s", t->doc.kind, t->doc.id,
                 err.message);
}

/* True: there was something, and it is the caller's. */
static bool take(struct crew *c, struct task *t)
{
    struct error err = {0};
    bool found = false;

    if (!documents_take(c->runner->api->opt.store, c->kind->kind, WORK_STATES, t->worker,
                        WORK_LEASE_SECONDS, t->arena, &found, &t->doc, &err)) {
        log_line(LOG_WARN, "runner", "nothing taken", "%s", err.message);
        return false;
    }
    t->ours = found;
    t->renew_at = clock_seconds() + WORK_RENEW_SECONDS;
    return found;
}

/* Waits for its turn, then until there is work; false: it is time to end. */
static bool find_work(struct crew *c, struct task *t)
{
    struct runner *r = c->runner;
    bool found = false;

    pthread_mutex_lock(&r->lock);
    while (!r->stop && c->looking)
        pthread_cond_wait(&r->changed, &r->lock);
    c->looking = true;
    while (!r->stop && !found) {
        const uint64_t woken = r->n_woken;

        pthread_mutex_unlock(&r->lock);
        found = take(c, t);
        pthread_mutex_lock(&r->lock);
        if (!found && !r->stop && woken == r->n_woken)
            condition_wait_for(&r->changed, &r->lock, ROUND_SECONDS);
    }
    c->looking = false;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return found;
}

static void *serve(void *ctx)
{
    struct crew *c = ctx;
    bool more = true;

    while (more) {
        struct arena a = {0};
        char worker[160];
        struct task t = {.api = c->runner->api, .worker = worker, .arena = &a};

        /* a name for each piece: one that this server lost and took again has two threads for a moment */
        snprintf(worker, sizeof worker, "%s:%s", c->runner->worker, store_new_id("", &a));
        more = find_work(c, &t);
        if (more)
            do_work(c, &t);
        arena_release(&a);
    }
    return NULL;
}

void runner_wake(struct runner *r)
{
    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    r->n_woken++;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

bool runner_open(struct api *api, struct runner **out, struct error *err)
{
    struct runner *r = calloc(1, sizeof *r);
    char host[64] = "";

    if (r == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the runner");
    r->api = api;
    gethostname(host, sizeof host - 1);
    snprintf(r->worker, sizeof r->worker, "%s:%ld", host, (long)getpid());
    pthread_mutex_init(&r->lock, NULL);
    condition_init(&r->changed);
    for (size_t k = 0; k < COUNT_OF(kinds); k++) {
        struct crew *c = &r->crews[k];

        c->runner = r;
        c->kind = &kinds[k];
        while (c->n < c->kind->n_threads && pthread_create(&c->threads[c->n], NULL, serve, c) == 0)
            c->n++;
        if (c->n == 0) {
            runner_stop(r);
            runner_close(r);
            return fail(err, ERR_IO, "the system gives no thread for the runner");
        }
    }
    *out = r;
    return true;
}

void runner_stop(struct runner *r)
{
    if (r == NULL)
        return;
    pthread_mutex_lock(&r->lock);
    r->stop = true;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    for (size_t k = 0; k < COUNT_OF(kinds); k++)
        for (size_t i = 0; i < r->crews[k].n; i++)
            pthread_join(r->crews[k].threads[i], NULL);
    for (size_t k = 0; k < COUNT_OF(kinds); k++)
        r->crews[k].n = 0;
}

void runner_close(struct runner *r)
{
    if (r == NULL)
        return;
    runner_stop(r);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    free(r);
}
