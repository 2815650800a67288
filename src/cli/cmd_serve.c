/*
 * cmd_serve.c - the API, as long as nobody stops it.
 */
#include "base/clock.h"
#include "base/size.h"
#include "cli/commands.h"
#include "cli/grader_env.h"
#include "cli/output.h"
#include "cli/served_grader.h"
#include "cli/session.h"
#include "cli/signals.h"
#include "server/api.h"
#include "server/janitor.h"
#include "server/worker_pool.h"
#include "text/log.h"

#include <stdio.h>

#define CONNECTIONS 4096
/*
 * What no client needs and keeps one from taking all there is: a half of the connections from one address, a quarter of them with
 * something under way for one key. The latter counts streams of events, of which a page that watches many jobs has hundreds.
 */
#define CONNECTIONS_PER_ADDRESS (CONNECTIONS / 2)
#define CONCURRENT_REQUESTS (CONNECTIONS / 4)
#define DRAIN_SECONDS 10.0
#define SEND_SECONDS 1.0   /* for answers that come when the drain is over */
#define LEAVE_SECONDS 60.0 /* for workers to save a checkpoint */

struct serving {
    struct store *store;
    struct engine_client *engine;
    struct api *api;
    struct http_server *http;
    struct worker_pool *workers;
    struct janitor *janitor;
};

static void close_all(struct serving *s)
{
    http_server_close(s->http);
    worker_pool_close(s->workers, LEAVE_SECONDS);
    janitor_close(s->janitor);
    api_close(s->api);
    engine_client_close(s->engine);
    store_close(s->store);
}

static void log_worker(const char *event, long pid, const char *message)
{
    struct log_entry e;

    log_begin(&e, LOG_INFO, "workers", event);
    log_int(&e, "pid", pid);
    log_text(&e, "message", message);
    log_end(&e);
}

static void log_http(void *ctx, const char *message)
{
    (void)ctx;
    log_line(LOG_ERROR, "http", "failure", "%s", message);
}

/*
 * The options among ids that are given, as words of another process, NULL at their end. Anyone on the machine can read them: a
 * database's address, which may hold a password, is among them only where it is among ours; a worker finds it where we did.
 */
static const char **words_of(struct cli *c, const enum option_id *ids, size_t n_ids)
{
    const char **words = ARENA_ARRAY(c->arena, const char *, n_ids + 1);
    size_t n = 0;

    for (size_t i = 0; i < n_ids; i++)
        if (ids[i] == OPT_DATABASE ? option_typed(c->options, ids[i])
                                   : option_given(c->options, ids[i]))
            words[n++] = option_row(ids[i])->type == OPTION_SWITCH
                             ? arena_printf(c->arena, "--%s", option_row(ids[i])->name)
                             : arena_printf(c->arena, "--%s=%s", option_row(ids[i])->name,
                                            option_text(c->options, ids[i]));
    words[n] = NULL;
    return words;
}

/*
 * What a worker of this server is told: the settings that hold here, wherever they came from.
 * A job's precision is kept with the job; the server's is its workers' for evals and judges.
 */
static bool open_workers(struct cli *c, struct serving *s, struct error *err)
{
    static const enum option_id passed[] = {
        OPT_HOME,        OPT_DATABASE, OPT_JOB_MEMORY,      OPT_LEASE,
        OPT_NICE,        OPT_THREADS,  OPT_PRECISION,       OPT_KV_CACHE,
        GRADING_OPTIONS, OPT_CONFIG,   OPT_REQUEST_KEY_ENV, OPT_ALLOW_REQUEST_ADDRESSES,
    };
    struct worker_pool_options wo = {.store = s->store,
                                     .extra = words_of(c, passed, COUNT_OF(passed)),
                                     .n_workers = (size_t)option_int(c->options, OPT_WORKERS),
                                     .checks = true,
                                     .log = log_worker};

    return wo.n_workers == 0 || worker_pool_open(&wo, &s->workers, err);
}

/* {"*": WHO} of --judge. */
static json_t *judges_of(const struct cli *c)
{
    const char *who = option_text(c->options, OPT_JUDGE);

    return who != NULL ? json_pack("{s:s}", "*", who) : NULL;
}

static int64_t int_or(const struct options *o, enum option_id id, int64_t otherwise)
{
    return option_given(o, id) ? option_int(o, id) : otherwise;
}

/* Where this machine alone is listened to, its programs and a proxy's clients all have one address: it says nothing of who asks. */
static int64_t connections_per_address(const struct options *o)
{
    const char *host = option_text(o, OPT_HOST);
    const bool is_local =
        strncmp(host, "127.", 4) == 0 || strcmp(host, "::1") == 0 || strcmp(host, "localhost") == 0;

    return int_or(o, OPT_CONNECTIONS_PER_ADDRESS, is_local ? 0 : CONNECTIONS_PER_ADDRESS);
}

static bool open_all(struct cli *c, struct serving *s, char **key, struct error *err)
{
    const struct options *o = c->options;
    const struct store_options so = {.home = c->home, .database = option_text(o, OPT_DATABASE)};
    static const enum option_id computed[] = {OPT_PRECISION, OPT_KV_CACHE};
    const struct engine_client_options eo = {.threads = (int)option_int(o, OPT_THREADS),
                                             .extra = words_of(c, computed, COUNT_OF(computed))};
    json_t *judges = judges_of(c);
    struct api_options ao = {
        .home = c->home,
        .python = grader_env_python(c),
        .anonymous = option_on(o, OPT_ANONYMOUS),
        .judges = judges,
        .request_addresses = option_on(o, OPT_ALLOW_REQUEST_ADDRESSES),
        .request_keys = option_text(o, OPT_REQUEST_KEY_ENV),
        .embedding_model = option_text(o, OPT_EMBEDDING_MODEL),
        .precision = option_text_if_given(o, OPT_PRECISION),
        .kv_cache = option_text_if_given(o, OPT_KV_CACHE),
        .private_webhooks = option_on(o, OPT_ALLOW_PRIVATE_WEBHOOKS),
        .public_url = option_text(o, OPT_PUBLIC_URL),
        .tls = option_text(o, OPT_TLS_CERT) != NULL,
        .keep_answers_s = option_int(o, OPT_KEEP_RESPONSES) * 86400,
        .requests_per_minute = option_int(o, OPT_REQUESTS_PER_MINUTE),
        .concurrent_requests = int_or(o, OPT_CONCURRENT_REQUESTS, CONCURRENT_REQUESTS),
    };
    bool ok = store_open(&so, &s->store, err) && access_begin(s->store, c->arena, key, err) &&
              engine_client_open(&eo, &s->engine, err);

    ao.store = s->store;
    ao.engine = s->engine;
    ok = ok && api_open(&ao, &s->api, err);
    json_decref(judges);
    const struct http_options ho = {.host = option_text(o, OPT_HOST),
                                    .port = (int)option_int(o, OPT_PORT),
                                    .tls_cert = option_text(o, OPT_TLS_CERT),
                                    .tls_key = option_text(o, OPT_TLS_KEY),
                                    .max_connections = CONNECTIONS,
                                    .max_connections_per_address =
                                        (size_t)connections_per_address(o),
                                    .ctx = s->api,
                                    .begin = api_begin,
                                    .handle = api_handle,
                                    .answered = api_answered,
                                    .done = api_done,
                                    .refusal = api_refusal,
                                    .log = log_http};
    if (!ok || !http_server_open(&ho, &s->http, err) ||
        !janitor_open(s->store, 0, &s->janitor, err) || !open_workers(c, s, err))
        return false;
    api_watch(s->api, s->http, s->workers);
    return true;
}

static bool tell(const struct cli *c, const struct serving *s, const char *key, struct error *err)
{
    const char *host = option_text(c->options, OPT_HOST);
    const bool v6 = strchr(host, ':') != NULL;
    const char *at = arena_printf(c->arena, "%s://%s%s%s:%d",
                                  option_given(c->options, OPT_TLS_CERT) ? "https" : "http",
                                  v6 ? "[" : "", host, v6 ? "]" : "", http_server_port(s->http));

    if (c->json)
        return out_json_new(json_pack("{s:o, s:o, s:s?}", "base_url",
                                      json_string(arena_printf(c->arena, "%s/v1", at)), "dashboard",
                                      json_string(arena_printf(c->arena, "%s/", at)), "key", key),
                            err);
    return out_printf(err, "hone serves at %s/v1\n", at) &&
           (key == NULL || out_printf(err, "the first key, told only now: %s\n", key)) &&
           out_printf(err, "for a browser: %s/\n", at) && out_flush(err);
}

static bool run(struct cli *c, struct error *err)
{
    const atomic_bool *stop = signals_watch();
    struct serving s = {0};
    char *key = NULL;

    if (!open_all(c, &s, &key, err)) {
        close_all(&s);
        return false;
    }
    const bool ok = tell(c, &s, key, err);
    while (ok && !atomic_load(stop))
        clock_sleep_unless(stop, clock_seconds() + 3600);
    api_drain(s.api);
    http_server_drain(s.http, clock_seconds() + DRAIN_SECONDS);
    api_stop(s.api);
    engine_client_stop(
        s.engine); /* whoever still waits for it is answered; it may be silent for long */
    http_server_drain(s.http, clock_seconds() + SEND_SECONDS);
    close_all(&s);
    return ok;
}

static const enum option_id ids[] = {
    OPT_HOST,
    OPT_PORT,
    OPT_ANONYMOUS,
    OPT_ALLOW_REQUEST_ADDRESSES,
    OPT_REQUEST_KEY_ENV,
    OPT_ALLOW_PRIVATE_WEBHOOKS,
    OPT_TLS_CERT,
    OPT_TLS_KEY,
    OPT_PUBLIC_URL,
    OPT_KEEP_RESPONSES,
    OPT_REQUESTS_PER_MINUTE,
    OPT_CONCURRENT_REQUESTS,
    OPT_CONNECTIONS_PER_ADDRESS,
    OPT_DATABASE,
    OPT_WORKERS,
    OPT_JOB_MEMORY,
    OPT_LEASE,
    OPT_NICE,
    GRADING_OPTIONS,
    OPT_THREADS,
    OPT_PRECISION,
    OPT_KV_CACHE,
    OPT_HOME,
};

const struct command cmd_serve = {
    .set =
        {.command = "serve",
         .args = "",
         .summary = "the API of OpenAI for fine-tuning, on your own machine",
         .details =
             "Clients of the OpenAI API work with it unchanged: their base address is the one that is "
             "printed. The first start makes a key and prints it. Each call is one line of JSON on "
             "standard error, without anybody's text or key. Ctrl-C ends it.",
         .examples = "  hone serve\n"
                     "  hone serve --host 0.0.0.0 --port 8443\n",
         .ids = ids,
         .n_ids = COUNT_OF(ids)},
    .run = run,
};
