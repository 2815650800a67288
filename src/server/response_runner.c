/*
 * response_runner.c - a background response: asked, its events kept as they come, its result kept; or cancelled.
 *
 *     engine's thread:  event -> response_output -> stream events, as text in a buffer
 *     runner's thread:  buffer -> response_events, a few times a second;  the last -> the response's document
 */
#include "base/clock.h"
#include "base/condition.h"
#include "server/api_internal.h"
#include "server/engine_wire.h"
#include "server/response_call.h"
#include "server/response_events.h"
#include "server/response_output.h"
#include "server/runner.h"
#include "text/log.h"

#include <pthread.h>

#define KEEP_SECONDS 0.25
#define MAX_PENDING ((size_t)256 << 20)

struct answering {
    struct task *task;
    json_t *body; /* the document's */
    struct response_events kept;
    struct response_output *output;
    uint64_t ticket;

    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    struct buf
        pending; /* events that are not kept yet, joined by commas; never the last one, which end_it makes */
    int64_t next; /* number behind them */
    int64_t skip; /* events up to this number are kept already */
    bool ended;
};

static void append(struct buf *b, const json_t *event)
{
    if (b->len > 0)
        buf_char(b, ',');
    json_write(b, event, NULL);
}

/* Under the lock. */
static void say(void *ctx, const char *name, const json_t *event)
{
    struct answering *x = ctx;
    const json_int_t number = json_integer_value(json_object_get(event, "sequence_number"));

    if (!response_event_is_last(str_of(name)) && number >= x->skip) {
        append(&x->pending, event);
        x->next = number + 1;
    }
}

static void on_event(void *ctx, const json_t *event)
{
    struct answering *x = ctx;
    const struct str type = json_str(json_object_get(event, "type"));

    pthread_mutex_lock(&x->lock);
    response_output_take(x->output, event);
    if (str_is(type, "done") || str_is(type, "error")) {
        x->ended = true;
        pthread_cond_signal(&x->changed);
    }
    pthread_mutex_unlock(&x->lock);
}

/* Another kept events of this response meanwhile, who has lost it now: what it kept is what comes from here, too. */
static bool drop_kept(struct answering *x, struct str events, struct buf *rest, int64_t next,
                      struct error *err)
{
    struct buf all = {0};
    json_t *list = NULL, *event;
    size_t i;

    if (!response_events_count(&x->kept, err))
        return false;
    buf_init(&all, MAX_PENDING + 2);
    buf_char(&all, '[');
    buf_str(&all, events);
    buf_char(&all, ']');
    const bool ok = json_parse(buf_view(&all), "events", &list, err);
    if (ok && x->kept.next <= next)
        json_array_foreach(
            list, i, event) if (json_integer_value(json_object_get(event, "sequence_number")) >=
                                x->kept.next) append(rest, event);
    json_decref(list);
    buf_release(&all);
    return ok;
}

/* Keeps what came since the last time. What cannot be kept now stays. */
static bool keep_pending(struct answering *x, struct error *err)
{
    struct buf taken, rest;
    bool ok = true;

    buf_init(&taken, MAX_PENDING);
    buf_init(&rest, MAX_PENDING);
    pthread_mutex_lock(&x->lock);
    buf_str(&taken, buf_view(&x->pending));
    const size_t len = x->pending.len;
    const int64_t next = x->next;
    pthread_mutex_unlock(&x->lock);
    if (len > 0 && !response_events_keep(&x->kept, buf_view(&taken), next, err)) {
        if (err->kind != ERR_INVALID || !drop_kept(x, buf_view(&taken), &rest, next, err))
            ok = false;
        else if (rest.len > 0)
            ok = response_events_keep(&x->kept, buf_view(&rest), next, err);
    }
    if (ok && len > 0) { /* what came meanwhile stands behind a comma */
        pthread_mutex_lock(&x->lock);
        buf_clear(&taken);
        if (x->pending.len > len)
            buf_str(&taken, str_from(buf_view(&x->pending), len + 1));
        buf_clear(&x->pending);
        buf_str(&x->pending, buf_view(&taken));
        pthread_mutex_unlock(&x->lock);
    }
    buf_release(&taken);
    buf_release(&rest);
    return ok;
}

static bool put_response(void *ctx, json_t *body)
{
    json_object_set(body, "response", ctx);
    json_object_del(body, "chat");
    return true;
}

static bool put_begun(void *ctx, json_t *body)
{
    (void)ctx;
    json_object_set_new(json_object_get(body, "response"), "status", json_string("in_progress"));
    return true;
}

/* The event behind an end that the body says, where a crash came between. */
static bool keep_end(struct answering *x, struct error *err)
{
    json_t *response = json_object_get(x->body, "response");
    const struct str status = json_str(json_object_get(response, "status"));
    struct arena *a = x->task->arena;

    if (x->kept.ended || str_is(status, "cancelled"))
        return true;
    json_t *event = json_pack("{s:o, s:s, s:I}", "response", json_deep_copy(response), "type",
                              arena_printf(a, "response." STR_FMT, STR_ARG(status)),
                              "sequence_number", (json_int_t)x->kept.next);
    const bool ok =
        response_events_keep(&x->kept, str_of(api_text_of(event, a)), x->kept.next + 1, err);
    json_decref(event);
    return ok;
}

static bool end_it(struct answering *x, struct error *err)
{
    struct task *t = x->task;
    const struct str status = work_status(RESPONSE_KIND, x->body);
    const char *text = arena_text(t->arena, status);

    return keep_end(x, err) && work_end(t->api->opt.store, RESPONSE_KIND, t->doc.project_id,
                                        t->doc.id, "response", text, err);
}

/* Asks; waits where too much is asked already. */
static bool ask(struct answering *x, struct error *err)
{
    struct task *t = x->task;
    const struct engine_listener l = {x, on_event};
    struct engine_client *engine = t->api->opt.engine;
    struct engine_model model;
    const struct str name = json_str(json_object_get(json_object_get(x->body, "request"), "model"));

    if (engine == NULL)
        return fail(err, ERR_UNSUPPORTED,
                    "this server was started without an engine and answers for no model");
    if (!api_model_of(t->api, t->doc.project_id, name, t->arena, &model, err))
        return false;
    while (!engine_client_ask(engine, ENGINE_CHAT, &model, json_object_get(x->body, "chat"), true,
                              &l, &x->ticket, err)) {
        if (err->kind != ERR_LIMIT || err->param[0] != '\0')
            return false;
        *err = (struct error){0};
        if (!task_beat(t))
            return fail(err, ERR_CANCELLED, "it is not wanted any more");
        clock_sleep_until(clock_seconds() + KEEP_SECONDS);
    }
    return true;
}

/* True: it has ended, or cannot be asked, which is an end, too. */
static bool answer(struct answering *x, struct error *err)
{
    bool ended = false;

    if (!ask(x, err)) {
        json_t *event = wire_error(err);

        if (err->kind != ERR_CANCELLED)
            on_event(x, event);
        json_decref(event);
        return err->kind != ERR_CANCELLED;
    }
    while (!ended && task_beat(x->task)) {
        struct error ignored = {0}; /* a database that is away for a moment */

        pthread_mutex_lock(&x->lock);
        if (!x->ended)
            condition_wait_for(&x->changed, &x->lock, KEEP_SECONDS);
        ended = x->ended;
        pthread_mutex_unlock(&x->lock);
        if (!ended)
            (void)!keep_pending(x, &ignored);
    }
    if (!ended)
        engine_client_cancel(x->task->api->opt.engine, x->ticket); /* no event comes from here on */
    return ended;
}

static bool work(struct answering *x, struct error *err)
{
    struct task *t = x->task;

    if (!response_events_count(&x->kept, err))
        return false;
    if (work_has_ended(work_status(RESPONSE_KIND, x->body)))
        return end_it(x, err);
    x->skip = x->next = x->kept.next;
    if (!task_change(t, "in_progress", put_begun, NULL, err))
        return false;
    x->output = response_output_new(
        json_object_get(x->body, "request"), t->doc.id,
        json_string_value(json_object_get(json_object_get(x->body, "request"), "model")),
        t->doc.created_at, say, x);
    if (x->output == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a response");
    if (!answer(x, err))
        return true;
    json_t *response = response_output_object(x->output);
    json_object_set_new(x->body, "response", json_deep_copy(response));
    const bool ok =
        keep_pending(x, err) && task_change(t, NULL, put_response, response, err) && end_it(x, err);
    json_decref(response);
    return ok;
}

void response_work(struct task *t)
{
    struct answering x = {.task = t,
                          .body = api_json_of(t->doc.body),
                          .kept = {.store = t->api->opt.store,
                                   .project_id = t->doc.project_id,
                                   .response_id = t->doc.id,
                                   .created_at = t->doc.created_at},
                          .lock = PTHREAD_MUTEX_INITIALIZER};
    struct error err = {0};

    condition_init(&x.changed);
    buf_init(&x.pending, MAX_PENDING);
    if (!work(&x, &err) && err.kind != ERR_CANCELLED && err.kind != ERR_NOT_FOUND)
        log_line(LOG_ERROR, "runner", "response not finished", "%s: %s", t->doc.id, err.message);
    if (!t->ours)
        task_drop_orphans(t, RESPONSE_EVENTS_KIND);
    response_output_free(x.output);
    buf_release(&x.pending);
    json_decref(x.body);
    pthread_cond_destroy(&x.changed);
    pthread_mutex_destroy(&x.lock);
}
