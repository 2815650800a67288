/*
 * check_work.c - taken, kept, ended.
 */
#include "job/check_work.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/size.h"
#include "job/job_record.h"

#include <stdio.h>

#define LOOK_SECONDS 0.25
#define TELL_SECONDS 1.0
#define MEMORY_SECONDS 2.0
#define REST_SECONDS 5 /* before one that has to wait is looked at again */

json_t *check_shown(const json_t *body)
{
    return json_object_get(body, "check");
}

bool check_has_ended(struct str status)
{
    return status.len > 0 && !str_is(status, "queued") && !str_is(status, "running");
}

static void note(const struct check_work *w, enum log_level level, const char *event,
                 const char *state, const char *code, const char *message)
{
    const struct worker_note n = {.level = level,
                                  .event = event,
                                  .job = w->doc.id,
                                  .state = state,
                                  .code = code,
                                  .message = message};

    if (w->offer->log != NULL)
        w->offer->log(w->offer->ctx, &n);
}

/* ---- what is written ---- */

typedef void put_fn(void *ctx, json_t *body);
struct change {
    const char *state; /* NULL: as it was */
    put_fn *put;
    void *ctx;
};

static bool change_body(void *ctx, const struct document *was, struct arena *a,
                        struct document_change *to, struct error *err)
{
    const struct change *c = ctx;
    json_t *body = NULL;
    struct buf b;

    if (!json_parse(str_of(was->body), was->id, &body, err))
        return false;
    if (check_has_ended(json_str(json_object_get(check_shown(body), "status")))) {
        json_decref(body);
        return fail(err, ERR_CANCELLED, "the check %s was ended by somebody else", was->id);
    }
    c->put(c->ctx, body);
    if (c->state != NULL)
        json_object_set_new(check_shown(body), "status", json_string(c->state));
    buf_init(&b, LIMIT_JSON_BYTES);
    json_write(&b, body, NULL);
    to->body = arena_text(a, buf_view(&b));
    to->state = c->state;
    buf_release(&b);
    json_decref(body);
    return true;
}

static bool change(struct check_work *w, const char *state, put_fn *put, void *ctx,
                   struct error *err)
{
    struct change c = {state, put, ctx};

    return documents_change(w->store, CHECK_KIND, w->doc.project_id, str_of(w->doc.id), change_body,
                            &c, err);
}

static void put_begun(void *ctx, json_t *body)
{
    json_t *check = check_shown(body), *started = json_object_get(check, "started_at");

    (void)ctx;
    if (!json_is_integer(started))
        json_object_set_new(check, "started_at", json_integer((json_int_t)clock_unix()));
    json_object_set_new(body, "tries",
                        json_integer(json_integer_value(json_object_get(body, "tries")) + 1));
}

static void put_progress(void *ctx, json_t *body)
{
    json_object_set(check_shown(body), "progress", ctx);
}

/* It waits, which is no try. */
static void put_waiting(void *ctx, json_t *body)
{
    const json_int_t tries = json_integer_value(json_object_get(body, "tries"));

    json_object_set_new(body, "tries", json_integer(tries > 0 ? tries - 1 : 0));
    put_progress(ctx, body);
}

static void put_end(void *ctx, json_t *body)
{
    json_t *check = check_shown(body);

    json_object_update(check, ctx);
    json_object_set_new(check, "progress", json_null());
    json_object_set_new(check, "finished_at", json_integer((json_int_t)clock_unix()));
}

/* ---- while it is worked on ---- */

static void ask_for(struct check_work *w, enum check_ask ask)
{
    int none = CHECK_GO_ON;

    if (!atomic_compare_exchange_strong(&w->ask, &none, (int)ask) && ask == CHECK_LOST)
        atomic_store(&w->ask, (int)ask);
    atomic_store(&w->stop, true);
}

static void look_whether_wanted(struct check_work *w)
{
    struct arena a = {0};
    struct error err = {0};
    const char *state = NULL;

    if (documents_state(w->store, CHECK_KIND, w->doc.project_id, str_of(w->doc.id), &a, &state,
                        &err)) {
        if (state == NULL || check_has_ended(str_of(state)))
            ask_for(w, CHECK_LOST);
    } else if (err.kind == ERR_NOT_FOUND) {
        ask_for(w, CHECK_LOST);
    } /* a database that is away for a moment: the lease decides */
    arena_release(&a);
}

static void renew(struct check_work *w)
{
    struct error err = {0};

    if (!documents_renew(w->store, CHECK_KIND, w->doc.id, w->worker, w->offer->lease_seconds,
                         &err) &&
        err.kind == ERR_CANCELLED)
        ask_for(w, CHECK_LOST);
    if (w->offer->seen != NULL)
        w->offer->seen(w->offer->seen_ctx, w->doc.id);
}

static bool is_room(struct check_work *w, int64_t need)
{
    int64_t left;
    struct error ignored;

    return need == 0 ||
           !workers_bytes_left(w->store, w->machine, w->machine_bytes, &left, &ignored) ||
           need <= left;
}

/* Under the lock; NULL where nothing new is to be told. */
static json_t *progress(struct check_work *w)
{
    if (!w->changed)
        return NULL;
    w->changed = false;
    return json_pack("{s:s, s:I, s:I}", "phase", w->phase, "done", (json_int_t)w->done, "total",
                     (json_int_t)w->total);
}

static double keep(void *ctx)
{
    struct check_work *w = ctx;
    const double now = clock_seconds();
    struct error ignored;
    json_t *said = NULL;

    if (w->offer->stop != NULL && atomic_load(w->offer->stop))
        ask_for(w, CHECK_LEAVE);
    look_whether_wanted(w);
    if (now >= w->renew_at) {
        w->renew_at = now + (double)w->offer->lease_seconds / 4;
        renew(w);
    }
    pthread_mutex_lock(&w->thread.lock);
    const int64_t need = w->need;
    if (now >= w->told_at)
        said = progress(w);
    pthread_mutex_unlock(&w->thread.lock);
    if (said != NULL && !atomic_load(&w->stop)) {
        w->told_at = now + TELL_SECONDS;
        (void)!change(w, NULL, put_progress, said, &ignored);
    }
    json_decref(said);
    if (now >= w->memory_at) {
        w->memory_at = now + MEMORY_SECONDS;
        if (!is_room(w, need))
            ask_for(w, CHECK_YIELD);
    }
    return LOOK_SECONDS;
}

void check_work_progress(struct check_work *w, const char *phase, size_t done, size_t total)
{
    pthread_mutex_lock(&w->thread.lock);
    snprintf(w->phase, sizeof w->phase, "%s", phase);
    w->done = done;
    w->total = total;
    w->changed = true;
    pthread_mutex_unlock(&w->thread.lock);
}

bool check_work_begin(struct check_work *w, int64_t need, struct error *err)
{
    pthread_mutex_lock(&w->thread.lock);
    w->need = need;
    pthread_mutex_unlock(&w->thread.lock);
    if (is_room(w, need))
        return true;
    ask_for(w, CHECK_YIELD);
    return fail(err, ERR_CANCELLED, "the jobs that run here leave too little memory for the check");
}

/* ---- its ends ---- */

/* Back into the queue, and nobody looks at it for so long. */
static void give_back(struct check_work *w, const char *phase, int64_t rest)
{
    struct error err = {0};
    json_t *said = phase != NULL
                       ? json_pack("{s:s, s:i, s:i}", "phase", phase, "done", 0, "total", 0)
                       : json_null();

    if (!change(w, "queued", put_waiting, said, &err) && err.kind != ERR_CANCELLED)
        note(w, LOG_WARN, "not given back", NULL, NULL, err.message);
    json_decref(said);
    if (!documents_renew(w->store, CHECK_KIND, w->doc.id, w->worker, rest, &err) &&
        err.kind != ERR_CANCELLED)
        note(w, LOG_WARN, "not given back", NULL, NULL, err.message); /* the lease ends by itself */
}

static void end(struct check_work *w, const char *state, json_t *said, const char *code,
                const char *message)
{
    struct error err = {0};

    if (change(w, state, put_end, said, &err))
        note(w, LOG_INFO, "done", state, code, message);
    else if (err.kind == ERR_CANCELLED || err.kind == ERR_NOT_FOUND)
        note(w, LOG_INFO, "done", NULL, NULL, "the check was cancelled");
    else
        note(w, LOG_WARN, "not done", NULL, NULL, err.message); /* it is taken again */
    json_decref(said);
}

static void end_badly(struct check_work *w, const char *code, const struct error *why)
{
    struct buf text;

    /* a message may quote bytes that are no UTF-8 or are cut within a character */
    buf_init(&text, sizeof why->message * 8);
    json_write_string(&text, str_of(why->message), false);
    json_t *message = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    buf_release(&text);
    end(w, "failed",
        json_pack("{s:{s:s, s:o, s:o}}", "error", "code", code, "message",
                  message != NULL ? message : json_string(""), "param",
                  why->param[0] != '\0' ? json_string(why->param) : json_null()),
        code,
        strcmp(code, "server_error") == 0 ? why->message
                                          : "the job cannot be done as it was asked for");
}

/* What the machine is at fault for may go better the next time. */
static bool may_be_tried_again(const struct error *err, int64_t tries)
{
    return (err->kind == ERR_IO || err->kind == ERR_TIMEOUT || err->kind == ERR_CANCELLED) &&
           tries < CHECK_TRIES;
}

static void work_on(struct check_work *w, int64_t tries)
{
    struct error err = {0};
    json_t *result = NULL;
    const bool ok = background_start(&w->thread, keep, w, "keeping the check's lease", &err) &&
                    w->offer->work(w->offer->ctx, w, &result, &err);

    background_stop(&w->thread);
    const enum check_ask ask = (enum check_ask)atomic_load(&w->ask);
    if (ok)
        end(w, "succeeded", json_pack("{s:o, s:n}", "result", result, "error"), NULL, NULL);
    else if (ask == CHECK_LOST)
        note(w, LOG_INFO, "done", NULL, NULL, "the check was cancelled");
    else if (ask == CHECK_LEAVE)
        give_back(w, NULL, 0);
    else if (ask == CHECK_YIELD)
        give_back(w, "waiting for memory", REST_SECONDS);
    else if (may_be_tried_again(&err, tries))
        note(w, LOG_WARN, "not done", NULL, NULL, err.message); /* when its lease ends */
    else
        end_badly(w, job_error_code(&err), &err);
    background_release(&w->thread);
}

/* ---- taken ---- */

static bool begin(struct check_work *w, int64_t *tries, bool *is_ours, struct error *err)
{
    struct error why;
    json_t *body = NULL;

    *is_ours = false;
    if (!json_parse(str_of(w->doc.body), w->doc.id, &body, err))
        return false;
    w->request = json_incref(json_object_get(body, "request"));
    *tries = json_integer_value(json_object_get(body, "tries")) + 1;
    json_decref(body);
    if (*tries > CHECK_TRIES) {
        (void)!fail(&why, ERR_IO,
                    "The check was begun %d times, and each time its worker died: the job may need "
                    "more memory than this machine has. The workers' log tells more",
                    CHECK_TRIES);
        end_badly(w, "server_error", &why);
        return true;
    }
    *is_ours = change(w, "running", put_begun, NULL, err);
    return *is_ours || err->kind == ERR_CANCELLED || err->kind == ERR_NOT_FOUND;
}

bool check_take(const struct check_offer *o, bool *found, struct error *err)
{
    struct arena a = {0};
    struct check_work *w = ARENA_NEW(&a, struct check_work);
    int64_t tries;
    bool is_ours = false;

    *w = (struct check_work){.store = o->store,
                             .machine = o->machine,
                             .machine_bytes = o->machine_bytes,
                             .arena = &a,
                             .offer = o,
                             .renew_at = clock_seconds() + (double)o->lease_seconds / 4};
    /* a name for each piece: one that is lost here and taken again has two threads for a moment */
    snprintf(w->worker, sizeof w->worker, "%.70s:%s", o->worker, store_new_id("", &a));
    bool ok = documents_take(o->store, CHECK_KIND, CHECK_STATES, w->worker, o->lease_seconds, &a,
                             found, &w->doc, err);
    if (ok && *found) {
        ok = begin(w, &tries, &is_ours, err);
        if (ok && is_ours) {
            note(w, LOG_INFO, "taken", "running", NULL, NULL);
            work_on(w, tries);
        }
    }
    json_decref(w->request);
    arena_release(&a);
    return ok;
}
