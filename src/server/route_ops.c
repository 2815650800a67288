/*
 * route_ops.c - for whoever runs the server: is it alive, can it work, what does it do.
 *
 * What says more than yes or no is for this machine and for admin keys of the operator's organisation. A call that a proxy
 * passed on is not this machine's, wherever the proxy runs.
 */
#include "base/size.h"
#include "server/api_internal.h"
#include "server/call_counts.h"
#include "server/routes.h"
#include "server/worker_pool.h"
#include "store/figures.h"

#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>

#define MAX_METRICS_BYTES ((size_t)4 << 20)

/* ---- who may know more ---- */

static bool may_know(struct api_call *c, bool *may, struct error *err)
{
    *may = api_is_this_machine(c->x);
    return *may || (api_admit(c, err) && api_is_operator(c, may, err));
}

/* ---- alive, ready ---- */

static bool health(struct api_call *c, struct error *err)
{
    (void)err;
    return api_reply(c, 200, json_pack("{s:s}", "status", "ok"));
}

static bool ready(struct api_call *c, struct error *err)
{
    const bool store = store_ping(c->store, err),
               engine = c->opt->engine == NULL || engine_client_figures(c->opt->engine).alive,
               draining = atomic_load(&c->api->draining);
    const bool ok = store && engine && !draining;

    return api_reply(c, ok ? 200 : 503,
                     json_pack("{s:s, s:s, s:s, s:b}", "status", ok ? "ok" : "unavailable", "store",
                               store ? "ok" : "does not answer", "engine",
                               engine ? "ok" : "is not running", "draining", draining));
}

/* ---- figures ---- */

static void head(struct buf *b, const char *name, const char *type, const char *help)
{
    buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void one(struct buf *b, const char *name, const char *type, const char *help, uint64_t value)
{
    head(b, name, type, help);
    buf_printf(b, "%s %" PRIu64 "\n", name, value);
}

static void put_server(struct api *a, struct buf *b)
{
    struct http_server *http = atomic_load(&a->http);
    struct worker_pool *workers = atomic_load(&a->workers);

    if (http != NULL) {
        const struct http_counts n = http_server_counts(http);

        one(b, "hone_http_connections", "gauge", "Open connections.", n.connections);
        one(b, "hone_http_streams", "gauge", "Answers that are being streamed.", n.streams);
        one(b, "hone_http_waiting", "gauge", "Requests that wait for a handler.", n.waiting);
        one(b, "hone_http_refused_total", "counter", "Requests refused before their route.",
            n.refused);
    }
    if (workers != NULL) {
        size_t alive, starts;

        worker_pool_counts(workers, &alive, &starts);
        one(b, "hone_workers", "gauge", "Worker processes of this server.", alive);
        one(b, "hone_worker_starts_total", "counter", "Worker processes that this server started.",
            starts);
    }
}

static void put_engine(const struct engine_client *e, struct buf *b)
{
    const struct engine_figures f = engine_client_figures(e);

    one(b, "hone_engine_up", "gauge", "Whether the engine process runs.", f.alive);
    one(b, "hone_engine_starts_total", "counter", "Times the engine process was started.",
        f.starts);
    one(b, "hone_engine_open_requests", "gauge", "Requests that the engine works on.", f.open);
    one(b, "hone_engine_requests_total", "counter", "Requests that the engine was asked.", f.asked);
    one(b, "hone_engine_resident_bytes", "gauge", "Memory of the engine process.",
        (uint64_t)(f.resident_bytes > 0 ? f.resident_bytes : 0));
    head(b, "hone_tokens_total", "counter",
         "Tokens of prompts, those of them not computed again, "
         "and tokens of answers.");
    buf_printf(b,
               "hone_tokens_total{kind=\"prompt\"} %" PRIu64
               "\nhone_tokens_total{kind=\"cached\"} %" PRIu64
               "\nhone_tokens_total{kind=\"sampled\"} %" PRIu64 "\n",
               f.tokens_prompt, f.tokens_cached, f.tokens_sampled);
}

static void put_store(struct api_call *c, const struct store_figures *f, struct buf *b)
{
    struct stat st;

    head(b, "hone_jobs", "gauge", "Jobs by their state.");
    for (size_t i = 0; i < FIGURE_STATES; i++)
        buf_printf(b, "hone_jobs{state=\"%s\"} %" PRId64 "\n", figure_states[i], f->jobs[i]);
    one(b, "hone_store_files", "gauge", "Files in the store.", (uint64_t)f->files);
    one(b, "hone_store_file_bytes", "gauge", "Their bytes.", (uint64_t)f->file_bytes);
    if (stat(arena_printf(c->arena, "%s/hone.db", c->opt->home), &st) == 0)
        one(b, "hone_store_database_bytes", "gauge", "Bytes of hone.db.", (uint64_t)st.st_size);
    one(b, "hone_webhooks_due", "gauge", "Events that wait to be told to webhooks.",
        (uint64_t)f->webhooks_due);
    one(b, "hone_store_workers", "gauge", "Workers on any machine seen in the last two minutes.",
        (uint64_t)f->workers);
}

static bool metrics(struct api_call *c, struct error *err)
{
    struct store_figures f;
    struct buf b;
    bool may;

    if (!may_know(c, &may, err))
        return false;
    if (!may)
        return fail_code(err, ERR_INVALID, "forbidden", "",
                         "metrics are for the server's machine and for admin keys of the "
                         "organisation that runs it");
    buf_init(&b, MAX_METRICS_BYTES);
    head(&b, "hone_info", "gauge", "The version.");
    buf_text(&b, "hone_info{version=\"" HONE_VERSION "\"} 1\n");
    call_counts_write(c->api->counts, &b);
    put_server(c->api, &b);
    if (c->opt->engine != NULL)
        put_engine(c->opt->engine, &b);
    const bool counted = store_count(c->store, &f, err);
    one(&b, "hone_store_up", "gauge", "Whether the database answers.", counted);
    if (counted)
        put_store(c, &f, &b);
    http_answer(c->x, 200, "text/plain; version=0.0.4; charset=utf-8", buf_view(&b), NULL, 0);
    buf_release(&b);
    return true;
}

static const struct api_route routes[] = {
    {HTTP_GET, "/healthz", 0, HTTP_BODY_NONE, health, NULL, 0},
    {HTTP_GET, "/readyz", 0, HTTP_BODY_NONE, ready, NULL, 0},
    {HTTP_GET, "/metrics", 0, HTTP_BODY_NONE, metrics, NULL, 0},
};
const struct api_table ops_routes = {routes, COUNT_OF(routes)};
