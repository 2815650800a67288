/*
 * generation.c - one request, three parties: the client's exchange, the engine, the route.
 *
 * The exchange's gone() only sets a flag, for it may come while an event is being told, and must not wait for it. The
 * flag is looked at with the next event, on the thread that tells them: there the request is cancelled, and the exchange ended.
 */
#include "server/generation.h"
#include "base/clock.h"
#include "server/api_error.h"
#include "server/api_internal.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_WAITING ((size_t)4 << 20) /* bytes that a slow reader may leave unread */
#define KEEP_ALIVE_MS 15000

struct generation {
    struct generation_options opt;
    struct api_call *call;   /* NULL once it is answered */
    atomic_bool *left;       /* in the exchange's arena: gone() may come as long as that lives */
    _Atomic uint64_t ticket; /* 0: not known yet */
    atomic_int refs;         /* the starter's and the events' */
    bool streams, cancelled;
};

struct api_call *generation_call(const struct generation *g)
{
    return g->call;
}

void *generation_ctx(const struct generation *g)
{
    return g->opt.ctx;
}

bool generation_streams(const struct generation *g)
{
    return g->streams;
}

static void let_go(struct generation *g)
{
    if (atomic_fetch_sub(&g->refs, 1) == 1)
        free(g);
}

static void on_gone(void *ctx, struct http_exchange *x)
{
    atomic_bool *left = ctx;

    (void)x;
    atomic_store(left, true);
}

static bool is_last(const json_t *event)
{
    const struct str type = json_str(json_object_get(event, "type"));

    return str_is(type, "done") || str_is(type, "result") || str_is(type, "error");
}

/* Nobody is there to be told, or the server's time is over: everything goes back. */
static void abandon(struct generation *g)
{
    struct api_call *c = g->call;
    struct error err = {0};

    g->cancelled = true;
    engine_client_cancel(c->opt->engine, atomic_load(&g->ticket));
    if (g->opt.release != NULL)
        g->opt.release(g->opt.ctx);
    if (g->streams)
        http_stream_end(c->x);
    else if (atomic_load(&c->api->draining)) { /* its client may well be there */
        (void)fail_code(&err, ERR_CANCELLED, "unavailable", "",
                        "the server is stopping: try again in a moment");
        api_reply_error(c, &err);
    } else {
        http_answer(c->x, 499, "application/json", STR("{}"), NULL, 0);
    }
    let_go(g);
}

static void on_event(void *ctx, const json_t *event)
{
    struct generation *g = ctx;
    const bool last = is_last(event);

    if (g->cancelled)
        return;
    if (!last && atomic_load(g->left) && atomic_load(&g->ticket) != 0) {
        abandon(g);
        return;
    }
    g->opt.on_event(g, event);
    if (last)
        let_go(g);
}

bool generation_start(struct api_call *c, const struct generation_options *opt, struct error *err)
{
    struct generation *g;
    uint64_t ticket = 0;

    if (c->opt->engine == NULL)
        return fail_code(err, ERR_UNSUPPORTED, "unavailable", "",
                         "this server was started without an engine and answers for no model");
    g = calloc(1, sizeof *g);
    if (g == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a request");
    g->opt = *opt;
    g->call = c;
    g->left = ARENA_NEW(c->arena, atomic_bool);
    atomic_init(&g->refs, 2);
    const struct engine_listener l = {.ctx = g, .event = on_event};
    http_keep(c->x, on_gone, g->left);
    if (!engine_client_ask(c->opt->engine, opt->op, &opt->model, opt->body, true, &l, &ticket,
                           err)) {
        free(g);
        return false;
    }
    atomic_store(&g->ticket, ticket);
    let_go(g);
    return true;
}

/* ---- streams ---- */

void generation_stream(struct generation *g)
{
    struct http_pair headers[API_MAX_HEADERS + 1];
    size_t n = api_headers(g->call, headers);

    headers[n++] = (struct http_pair){STR("cache-control"), STR("no-cache")};
    const struct http_stream_options opt = {.content_type = "text/event-stream; charset=utf-8",
                                            .max_waiting = STREAM_WAITING,
                                            .keep_alive_ms = KEEP_ALIVE_MS,
                                            .gone = on_gone,
                                            .ctx = g->left,
                                            .headers = headers,
                                            .n_headers = n};
    g->streams = true;
    http_stream_begin(g->call->x, &opt);
}

void generation_say(struct generation *g, const char *name, const json_t *data)
{
    struct buf b;

    buf_init(&b, (size_t)64 << 20);
    if (name != NULL)
        buf_printf(&b, "event: %s\n", name);
    buf_text(&b, "data: ");
    json_write(&b, data, NULL);
    buf_text(&b, "\n\n");
    if (!http_stream_put(g->call->x, buf_view(&b)))
        atomic_store(g->left, true);
    buf_release(&b);
}

void generation_end(struct generation *g, bool done)
{
    http_stream_end_with(g->call->x, done ? STR("data: [DONE]\n\n") : STR(""));
}

/* ---- errors ---- */

void generation_error(const json_t *event, struct error *err)
{
    static const enum error_kind kinds[] = {ERR_INVALID, ERR_NOT_FOUND, ERR_LIMIT,
                                            ERR_CORRUPT, ERR_IO,        ERR_NO_MEMORY,
                                            ERR_TIMEOUT, ERR_CANCELLED, ERR_UNSUPPORTED};
    const struct str kind = json_str(json_object_get(event, "kind"));
    const struct str param = json_str(json_object_get(event, "param"));
    const struct str message = json_str(json_object_get(event, "message"));
    enum error_kind k = ERR_IO;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (str_is(kind, error_kind_name(kinds[i])))
            k = kinds[i];
    (void)fail(err, k, STR_FMT, STR_ARG(message));
    snprintf(err->param, sizeof err->param, STR_FMT, STR_ARG(param));
}
