/*
 * api.c - what happens around a route's function: finding it, admitting the caller, reading the body, the log.
 */
#include "server/api.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/size.h"
#include "base/utf8.h"
#include "server/api_error.h"
#include "server/api_internal.h"
#include "server/call_counts.h"
#include "server/event_feed.h"
#include "server/file_json.h"
#include "server/grading_pool.h"
#include "server/response_feed.h"
#include "server/run_indexes.h"
#include "server/runner.h"
#include "server/webhook_sender.h"
#include "text/log.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_ID_BYTES 512 /* of what stands for a {}: model names are the longest */

/* ---- routing ---- */

static struct str next_segment(struct str *path)
{
    const size_t slash = str_find(*path, STR("/"), 0);
    const struct str s = {path->ptr, slash};

    *path = slash < path->len ? str_from(*path, slash + 1) : (struct str){0};
    return s;
}

/* Whether the path has the pattern's form; raw: what stands for each {}; *n: how many. */
static bool matches(struct str pattern, struct str path, struct str raw[3], size_t *n)
{
    *n = 0;
    while (pattern.ptr != NULL && path.ptr != NULL) {
        const struct str want = next_segment(&pattern), is = next_segment(&path);

        if (str_is(want, "{}")) {
            if (is.len == 0 || *n == 3)
                return false;
            raw[(*n)++] = is;
        } else if (!str_eq(want, is)) {
            return false;
        }
    }
    return pattern.ptr == NULL && path.ptr == NULL;
}

static const char *const method_names[] = {
    [HTTP_GET] = "GET",     [HTTP_POST] = "POST", [HTTP_DELETE] = "DELETE",   [HTTP_PUT] = "PUT",
    [HTTP_PATCH] = "PATCH", [HTTP_HEAD] = "HEAD", [HTTP_OPTIONS] = "OPTIONS", [HTTP_OTHER] = "?",
};

/* "GET, HEAD, POST, OPTIONS": what is offered for one pattern. */
static const char *allowed(const char *pattern, struct arena *a)
{
    bool has[COUNT_OF(method_names)] = {[HTTP_OPTIONS] = true};
    const char *text = "";

    for (size_t t = 0; t < n_api_tables; t++)
        for (size_t i = 0; i < api_tables[t]->n; i++)
            if (strcmp(api_tables[t]->routes[i].path, pattern) == 0)
                has[api_tables[t]->routes[i].method] = true;
    has[HTTP_HEAD] = has[HTTP_HEAD] || has[HTTP_GET];
    static const enum http_method order[] = {HTTP_GET,   HTTP_HEAD,   HTTP_POST,   HTTP_PUT,
                                             HTTP_PATCH, HTTP_DELETE, HTTP_OPTIONS};
    for (size_t i = 0; i < COUNT_OF(order); i++)
        if (has[order[i]])
            text =
                arena_printf(a, "%s%s%s", text, *text != '\0' ? ", " : "", method_names[order[i]]);
    return text;
}

static bool decode_ids(const struct str *raw, size_t n, struct arena *a, struct str id[3],
                       struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (!http_decode(raw[i], false, a, &id[i]) || id[i].len == 0 || id[i].len > MAX_ID_BYTES)
            return fail(err, ERR_INVALID,
                        "a part of the path is no name: up to %d bytes of UTF-8, percent-encoded, "
                        "were expected",
                        MAX_ID_BYTES);
        for (size_t k = 0; k < id[i].len; k++)
            if ((unsigned char)id[i].ptr[k] < 0x20 || id[i].ptr[k] == 0x7f)
                return fail(err, ERR_INVALID, "a part of the path holds a control character");
    }
    return true;
}

bool api_find_route(enum http_method method, struct str path, struct arena *a,
                    const struct api_route **out, const char **allow, struct str id[3],
                    struct error *err)
{
    const enum http_method wanted = method == HTTP_HEAD ? HTTP_GET : method;
    struct str raw[3], best_raw[3] = {0};
    size_t n, best_n = SIZE_MAX;
    const struct api_route *best = NULL;

    *allow = "";
    *out = NULL;
    for (size_t t = 0; t < n_api_tables; t++)
        for (size_t i = 0; i < api_tables[t]->n; i++) {
            const struct api_route *r = &api_tables[t]->routes[i];

            if (matches(str_of(r->path), path, raw, &n) &&
                (n < best_n || (n == best_n && r->method == wanted))) {
                best = r;
                best_n = n;
                memcpy(best_raw, raw, sizeof raw);
            }
        }
    if (best == NULL)
        return true;
    if (best->method != wanted) {
        *allow = allowed(best->path, a);
        return true;
    }
    if (!decode_ids(best_raw, best_n, a, id, err))
        return false;
    *out = best;
    return true;
}

/* ---- before the route's function ---- */

static bool take_limits(struct api_call *c, struct error *err)
{
    struct limit_state *state = ARENA_NEW(c->arena, struct limit_state);

    if (c->who.key_id == NULL) /* anonymous */
        return true;
    if (c->who.requests_per_minute == 0)
        c->who.requests_per_minute = c->opt->requests_per_minute;
    if (c->who.concurrent_requests == 0)
        c->who.concurrent_requests = c->opt->concurrent_requests;
    if (c->who.requests_per_minute > 0)
        c->limit = state;
    c->counted = limits_take(c->api->limits, c->who.key_id, c->who.requests_per_minute,
                             c->who.concurrent_requests, clock_seconds(), state, err);
    if (!c->counted)
        c->limit = state; /* how long to wait */
    return c->counted;
}

static const char *incoming(void *ctx, struct http_exchange *x, struct error *err)
{
    struct api *a = ctx;
    char *path;

    return files_incoming(a->opt.store, &x->arena, &path, err) ? path : NULL;
}

/* What an upload brings, piece by piece. */
static bool take(void *ctx, struct http_exchange *x, size_t bytes, struct error *err)
{
    struct api_call *c = x->user;

    (void)ctx;
    return arrival_take(c->arrival, (int64_t)bytes, err) || file_quota_code(err);
}

static void make_plan(const struct api_call *c, struct http_plan *plan)
{
    const struct api_options *o = c->opt;
    const uint64_t json = o->max_json_bytes != 0 ? o->max_json_bytes : API_JSON_BYTES;
    const uint64_t file = o->max_file_bytes != 0 ? o->max_file_bytes : API_FILE_BYTES;

    *plan = (struct http_plan){.body = c->route->body, .incoming = incoming};
    if (c->arrival != NULL)
        plan->take = take;
    plan->max_bytes = c->route->max_bytes != 0 ? c->route->max_bytes
                      : c->route->body == HTTP_BODY_MULTIPART
                          ? file + ((uint64_t)1 << 20) /* what is around it */
                          : json;
}

#define MAX_METHOD_BYTES 20 /* that a message repeats */

static bool no_route(struct api_call *c, const char *allow, struct error *err)
{
    if (allow[0] != '\0')
        return fail_code(err, ERR_UNSUPPORTED, "method_not_allowed", "",
                         STR_FMT " is not offered for this address: %s",
                         STR_ARG(utf8_cut(c->x->method_name, MAX_METHOD_BYTES)), allow);
    return fail_code(err, ERR_NOT_FOUND, "unknown_url", "",
                     "there is nothing at this address (" STR_FMT " " STR_FMT ")",
                     STR_ARG(utf8_cut(c->x->method_name, MAX_METHOD_BYTES)),
                     STR_ARG(utf8_cut(c->x->path, 200)));
}

#define FORM_BYTES 4096 /* of a form around its file, at the least */

/* As far as the head tells; 0: it is not told. */
static int64_t body_bytes(const struct http_exchange *x)
{
    const struct str length = http_header(x, "content-length");
    int64_t bytes = 0;

    for (size_t i = 0; i < length.len && i < 18; i++) /* http.c has seen that it is a number */
        bytes = 10 * bytes + (length.ptr[i] - '0');
    return bytes;
}

/*
 * A file that cannot fit is refused before it comes, where its length is known, else as soon as it has grown too long. A part's
 * bytes were announced by its upload, and are counted with it: parts may bring what is announced, and the quota's rest.
 */
static bool has_room(struct api_call *c, struct error *err)
{
    const bool is_part = c->route->max_bytes != 0;
    struct arrival *a;
    int64_t bytes;

    if (c->route->body != HTTP_BODY_MULTIPART)
        return true;
    bytes = body_bytes(c->x);
    a = ARENA_NEW(c->arena, struct arrival);
    arrival_begin(c->api->arrivals, c->who.project_id, a); /* before the store is asked: who ends
                                                              meanwhile is seen in one of the two */
    c->arrival = a;
    if (!store_room_of(c->store, c->who.project_id, &a->room, err))
        return false;
    if (a->room.quota <= 0) {
        arrival_end(a);
        c->arrival = NULL;
        return true;
    }
    if (is_part)
        a->room.uploads = 0;
    return arrival_fits(a, bytes > FORM_BYTES ? bytes - FORM_BYTES : 0, err) ||
           file_quota_code(err);
}

/* Answered where it fails. */
static bool admit(struct api_call *c, struct error *err)
{
    const char *allow;

    if (!api_find_route(c->x->method, c->x->path, c->arena, &c->route, &allow, c->id, err))
        return false;
    if (c->route == NULL)
        return no_route(c, allow, err);
    return c->route->scope == 0 || (api_admit(c, err) && take_limits(c, err) && has_room(c, err));
}

/* A method that the path does not know is told which ones it does; OPTIONS asks for nothing else. */
static void refuse(struct api_call *c, const struct error *err)
{
    const struct api_route *route;
    const char *allow;
    struct str id[3];
    struct error ignored;

    if (api_find_route(c->x->method, c->x->path, c->arena, &route, &allow, id, &ignored) &&
        route == NULL && allow[0] != '\0') {
        const struct http_pair header = {STR("allow"), str_of(allow)};

        if (c->x->method == HTTP_OPTIONS) {
            http_answer(c->x, 204, NULL, (struct str){0}, &header, 1);
            return;
        }
        json_t *body = api_error_body(err);
        const char *text = api_text_of(body, c->arena);

        json_decref(body);
        http_answer(c->x, 405, "application/json", str_of(text), &header, 1);
        return;
    }
    api_reply_error(c, err);
}

bool api_begin(void *api, struct http_exchange *x, struct http_plan *plan)
{
    struct api *a = api;
    struct api_call *c = ARENA_NEW(&x->arena, struct api_call);
    struct error err = {0};

    *c = (struct api_call){
        .api = a, .opt = &a->opt, .store = a->opt.store, .x = x, .arena = &x->arena};
    x->user = c;
    if (!admit(c, &err)) {
        refuse(c, &err);
        return false;
    }
    make_plan(c, plan);
    return true;
}

static bool read_body(struct api_call *c, struct error *err)
{
    const struct str text = c->x->body;
    size_t blank = 0;

    if (c->route->body != HTTP_BODY_MEMORY)
        return true;
    while (blank < text.len && strchr(" \t\r\n", text.ptr[blank]) != NULL &&
           text.ptr[blank] != '\0')
        blank++;
    if (blank == text.len)
        return true;
    if (json_has_more(text, LIMIT_JSON_VALUES))
        return fail_code(err, ERR_LIMIT, "request_too_large", "",
                         "the request's body has more than %zu values", LIMIT_JSON_VALUES);
    if (!json_parse(text, "the request's body", &c->body, err)) {
        err->kind = ERR_INVALID;
        err->code = "invalid_json";
        return false;
    }
    return json_is_object(c->body) ||
           fail_code(err, ERR_INVALID, "invalid_type", "",
                     "the request's body is %s, an object was expected", json_kind(c->body));
}

void api_handle(void *api, struct http_exchange *x)
{
    struct api_call *c = x->user;
    struct error err = {0};

    (void)api;
    if (!read_body(c, &err) || !c->route->fn(c, &err))
        api_reply_error(c, &err);
}

/* ---- after it ---- */

/* One line a call: what was asked for in form, never what stood in it. */
static void log_call(const struct api_call *c, const struct http_exchange *x, int status,
                     uint64_t bytes)
{
    struct log_entry e;

    log_begin(&e, LOG_INFO, "api", "call");
    log_text(&e, "request", x->request_id);
    log_text(&e, "method", method_names[x->method]);
    log_text(&e, "route", c->route != NULL ? c->route->path : "");
    log_int(&e, "status", status);
    log_double(&e, "ms", 1e3 * (clock_seconds() - x->began));
    log_int(&e, "bytes", (int64_t)bytes);
    log_text(&e, "key", c->who.key_id != NULL ? c->who.key_id : "");
    log_text(&e, "project", c->who.project_id != NULL ? c->who.project_id : "");
    log_end(&e);
}

/* The call counts no more among its key's concurrent requests, nor what it brought among what is on its way. */
static void give_back(struct api_call *c)
{
    if (c->arrival != NULL)
        arrival_end(c->arrival);
    if (c->counted)
        limits_give(c->api->limits, c->who.key_id);
    c->counted = false;
}

void api_answered(void *api, const struct http_exchange *x)
{
    (void)api;
    if (x->user != NULL)
        give_back(x->user);
}

void api_done(void *api, const struct http_exchange *x, int status, uint64_t bytes_sent)
{
    struct api *a = api;
    struct api_call *c = x->user;

    if (c == NULL)
        return;
    api_later_done(c);
    give_back(c); /* a file's, or nobody was answered */
    call_counts_add(a->counts, c->route, status, clock_seconds() - x->began);
    if (!a->opt.quiet)
        log_call(c, x, status, bytes_sent);
    json_decref(c->body);
}

struct str api_refusal(void *api, int status, const char *message, const struct error *why,
                       struct arena *a)
{
    struct error err = {0};

    (void)api;
    if (why != NULL)
        err = *why;
    else if (status == 413)
        (void)fail_code(&err, ERR_LIMIT, "request_too_large", "", "%s", message);
    else if (status >= 500)
        (void)fail_code(&err, ERR_IO, status == 503 ? "unavailable" : "server_error", "", "%s",
                        message);
    else
        (void)fail_code(&err, ERR_INVALID, "invalid_request", "", "%s", message);
    json_t *body = api_error_body(&err);
    const char *text = api_text_of(body, a);
    json_decref(body);
    return str_of(text);
}

/* ---- the whole ---- */

bool api_open(const struct api_options *opt, struct api **out, struct error *err)
{
    struct api *a = calloc(1, sizeof *a);

    if (a == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the API");
    a->opt = *opt;
    pthread_mutex_init(&a->later_lock, NULL);
    a->keys = key_cache_open();
    a->limits = limits_open();
    a->arrivals = arrivals_open();
    a->counts = call_counts_open();
    a->runs = run_indexes_open();
    const struct webhook_sender_options sending = {.store = opt->store,
                                                   .allow_private = opt->private_webhooks};
    if (!judges_open(&a->opt, &a->judges, err) || !grading_pool_open(NULL, &a->grading, err) ||
        !once_open(a, &a->once, err) || !event_feed_open(opt->store, &a->feed, err) ||
        !webhook_sender_open(&sending, &a->sender, err) ||
        !response_feed_open(opt->store, &a->responses, err) || !runner_open(a, &a->runner, err)) {
        api_close(a);
        return false;
    }
    *out = a;
    return true;
}

void api_stop(struct api *a)
{
    atomic_store(&a->stopping, true);
    api_later_give_up(a);
    once_stop(a->once);
    event_feed_stop(a->feed);
    response_feed_stop(a->responses);
    runner_stop(a->runner);
    grading_pool_stop(a->grading);
}

void api_close(struct api *a)
{
    if (a == NULL)
        return;
    atomic_store(&a->stopping, true);
    grading_pool_close(a->grading); /* whose calls queue work */
    once_close(a->once);
    runner_close(a->runner);
    response_feed_close(a->responses);
    webhook_sender_close(a->sender);
    event_feed_close(a->feed);
    pthread_mutex_destroy(&a->later_lock);
    judges_close(a->judges);
    run_indexes_close(a->runs);
    limits_close(a->limits);
    arrivals_close(a->arrivals);
    call_counts_close(a->counts);
    key_cache_close(a->keys);
    free(a);
}

void api_watch(struct api *a, struct http_server *http, struct worker_pool *workers)
{
    atomic_store(&a->http, http);
    atomic_store(&a->workers, workers);
}

void api_drain(struct api *a)
{
    atomic_store(&a->draining, true);
}

void api_forget_keys(struct api *a)
{
    key_cache_clear(a->keys);
}
