/*
 * tool_servers.c - two lists, of calls that wait and of those that came back, and threads between them.
 */
#include "train/tool_servers.h"
#include "base/clock.h"
#include "base/condition.h"
#include "base/http.h"
#include "base/size.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MOST_HEADERS 64
#define MOST_STEPS 100
#define DEFAULT_STEPS 10
#define MOST_THREADS 256
#define MOST_BYTES ((size_t)1 << 20)
#define MOST_TOLD 4096 /* bytes of a refusal */
#define MAX_TRIES 4
#define WHERE "method.reinforcement.tools"

struct tool {
    struct str name;
    const char *url;
    size_t n_headers;
    struct http_header *headers;
};

struct list {
    struct tool_ask *first, **last;
};

struct tool_servers {
    struct arena arena;
    json_t *spec;
    struct tool *tools;
    size_t n_tools, max_steps, n_threads;
    double timeout_s, interval_s;
    struct http *http;
    pthread_t threads[MOST_THREADS];
    atomic_bool dropping; /* ends requests under way */
    atomic_uint n_calls;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t filled, done;
    struct list waiting, back;
    size_t n_open; /* put in, and not taken out yet */
    bool closing;
    double next; /* when another request may begin */
};

const char *tool_end_name(enum tool_end e)
{
    static const char *const names[] = {"said", "refused", "lost"};

    return names[e];
}

/* ---- opening ---- */

static bool is_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        const char c = s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_' || c == '-'))
            return false;
    }
    return s.len > 0 && s.len <= 64;
}

static bool read_headers(struct arena *a, const json_t *map, const char *param, struct tool *t,
                         struct error *err)
{
    const char *key;
    json_t *v;

    if (!json_absent(map) && !json_is_object(map))
        return fail_param(err, ERR_INVALID, param,
                          "\"%s\" is %s, a map of names to values was "
                          "expected",
                          param, json_kind(map));
    if (json_object_size(map) > MOST_HEADERS)
        return fail_param(err, ERR_LIMIT, param,
                          "\"%s\": %zu headers are more than there may be "
                          "(%d)",
                          param, json_object_size(map), MOST_HEADERS);
    t->headers = ARENA_ARRAY(a, struct http_header, json_object_size(map) + 1);
    t->headers[t->n_headers++] = (struct http_header){"Content-Type", "application/json"};
    json_object_foreach((json_t *)(uintptr_t)map, key, v)
    {
        if (!json_is_string(v) || strlen(json_string_value(v)) != json_string_length(v))
            return fail_param(err, ERR_INVALID, param,
                              "\"%s.%.64s\" is %s, a text without zero bytes was expected", param,
                              key, json_kind(v));
        if (!http_check_header(key, json_string_value(v), param, err))
            return false;
        if (strcasecmp(key, "Content-Type") == 0)
            t->headers[0].value = json_string_value(v);
        else
            t->headers[t->n_headers++] = (struct http_header){key, json_string_value(v)};
    }
    return true;
}

static bool read_tool(struct arena *a, const json_t *v, size_t i, struct tool *t, struct error *err)
{
    const char *param = arena_printf(a, WHERE "[%zu]", i);
    struct str url;

    *t = (struct tool){0};
    if (!json_is_object(v))
        return fail_param(err, ERR_INVALID, param,
                          "\"%s\" is %s, an object with \"name\" and \"server_url\" was expected",
                          param, json_kind(v));
    if (!json_get_str(v, "name", param, &t->name, err) ||
        !json_get_str(v, "server_url", param, &url, err))
        return false;
    if (!is_name(t->name))
        return fail_param(err, ERR_INVALID, param,
                          "\"%s.name\": a function's name is 1 to 64 letters, digits, \"_\" and "
                          "\"-\"",
                          param);
    t->url = json_string_value(json_object_get(v, "server_url"));
    param = arena_printf(a, WHERE "[%zu].server_url", i);
    if (strlen(t->url) != url.len)
        return fail_param(err, ERR_INVALID, param, "\"%s\": an address has no zero byte in it",
                          param);
    return http_check_url(t->url, param, err) &&
           read_headers(a, json_object_get(v, "headers"), arena_printf(a, WHERE "[%zu].headers", i),
                        t, err);
}

/* Views point into spec. */
static bool read_tools(const json_t *spec, struct tool_servers *s, struct error *err)
{
    const json_t *all = json_object_get(spec, "tools");
    const size_t n = json_array_size(all);
    int64_t steps = DEFAULT_STEPS;

    if (!json_absent(all) && !json_is_array(all))
        return fail_param(err, ERR_INVALID, WHERE, "\"" WHERE "\" is %s, a list was expected",
                          json_kind(all));
    if (n > TOOL_SERVERS_MOST)
        return fail_param(err, ERR_LIMIT, WHERE, "\"" WHERE "\" has %zu tools, there may be %d", n,
                          TOOL_SERVERS_MOST);
    s->tools = ARENA_ARRAY(&s->arena, struct tool, n);
    for (size_t i = 0; i < n; i++) {
        if (!read_tool(&s->arena, json_array_get(all, i), i, &s->tools[i], err))
            return false;
        for (size_t k = 0; k < i; k++)
            if (str_eq(s->tools[k].name, s->tools[i].name))
                return fail_param(err, ERR_INVALID, WHERE,
                                  "\"" WHERE "\" has two tools of the name \"" STR_FMT "\"",
                                  STR_ARG(s->tools[i].name));
    }
    s->n_tools = n;
    if (!json_get_int(spec, "max_episode_steps", "method.reinforcement", DEFAULT_STEPS, 1,
                      MOST_STEPS, &steps, err))
        return false;
    s->max_steps = (size_t)steps;
    return true;
}

bool tool_servers_check(const json_t *spec, struct error *err)
{
    struct tool_servers s = {0};
    const bool ok = read_tools(spec, &s, err);

    arena_release(&s.arena);
    return ok;
}

static void list_init(struct list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

static void list_put(struct list *l, struct tool_ask *ask)
{
    ask->next = NULL;
    *l->last = ask;
    l->last = &ask->next;
}

static struct tool_ask *list_take(struct list *l)
{
    struct tool_ask *ask = l->first;

    if (ask == NULL)
        return NULL;
    l->first = ask->next;
    if (l->first == NULL)
        l->last = &l->first;
    return ask;
}

static void *tool_main(void *arg);

bool tool_servers_open(const json_t *spec, const struct tool_servers_options *opt,
                       struct tool_servers **out, struct error *err)
{
    const size_t wanted = opt->n_threads > 0 ? size_min(opt->n_threads, MOST_THREADS) : 16;
    struct tool_servers *s = calloc(1, sizeof *s);

    *out = NULL;
    if (s == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the tools");
    s->spec = json_deep_copy(spec);
    s->timeout_s = opt->timeout_s > 0 ? opt->timeout_s : 600;
    s->interval_s = 1 / (opt->rate > 0 ? opt->rate : 50);
    list_init(&s->waiting);
    list_init(&s->back);
    pthread_mutex_init(&s->lock, NULL);
    condition_init(&s->filled);
    condition_init(&s->done);
    bool ok = read_tools(s->spec, s, err);
    if (!ok || s->n_tools == 0) {
        tool_servers_close(s);
        return ok;
    }
    ok = http_open(&s->http, err);
    while (ok && s->n_threads < wanted) {
        ok = pthread_create(&s->threads[s->n_threads], NULL, tool_main, s) == 0 ||
             fail(err, ERR_IO, "no thread can be started for calls of tools");
        s->n_threads += ok;
    }
    if (!ok) {
        tool_servers_close(s);
        return false;
    }
    *out = s;
    return true;
}

void tool_servers_close(struct tool_servers *s)
{
    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    s->closing = true;
    pthread_cond_broadcast(&s->filled);
    pthread_mutex_unlock(&s->lock);
    for (size_t i = 0; i < s->n_threads; i++)
        pthread_join(s->threads[i], NULL);
    http_close(s->http);
    pthread_cond_destroy(&s->filled);
    pthread_cond_destroy(&s->done);
    pthread_mutex_destroy(&s->lock);
    json_decref(s->spec);
    arena_release(&s->arena);
    free(s);
}

size_t tool_servers_max_steps(const struct tool_servers *s)
{
    return s->max_steps;
}

size_t tool_servers_count(const struct tool_servers *s)
{
    return s->n_tools;
}

struct str tool_servers_name(const struct tool_servers *s, size_t i)
{
    return s->tools[i].name;
}

static const struct tool *find(const struct tool_servers *s, struct str name)
{
    for (size_t i = 0; i < s->n_tools; i++)
        if (str_eq(s->tools[i].name, name))
            return &s->tools[i];
    return NULL;
}

bool tool_servers_has(const struct tool_servers *s, struct str name)
{
    return find(s, name) != NULL;
}

/* ---- a call ---- */

/* Waits for this request's turn; false where it comes behind the deadline, or nobody wants it any more. */
static bool wait_for_turn(struct tool_servers *s, double deadline)
{
    pthread_mutex_lock(&s->lock);
    const double turn = fmax(s->next, clock_seconds());
    s->next = turn + s->interval_s;
    pthread_mutex_unlock(&s->lock);
    return turn < deadline && clock_sleep_unless(&s->dropping, turn);
}

bool tool_reply_read(struct str body, struct str call_id, const char *place, struct arena *a,
                     struct str *out, struct error *err)
{
    const json_t *output, *id;
    json_t *v = NULL;
    bool ok = true;

    if (!json_parse(body, "its reply", &v, NULL)) /* it would quote the body */
        return fail(err, ERR_CORRUPT, "%s: its reply is not JSON", place);
    output = json_object_get(v, "output");
    id = json_object_get(v, "call_id");
    if (output == NULL)
        ok = fail(err, ERR_CORRUPT,
                  "%s: its reply has no \"output\"; {\"type\":\"function_call_output\",\"call_id\":"
                  "\"...\",\"output\":\"...\"} was expected",
                  place);
    else if (!json_absent(id) && !str_eq(json_str(id), call_id))
        ok = fail(err, ERR_CORRUPT, "%s: its reply is to another call (\"call_id\")", place);
    if (ok && json_is_string(output)) {
        *out = arena_str(a, json_str(output));
    } else if (ok) {
        struct buf text;

        buf_init(&text, 8 * MOST_BYTES); /* numbers may become longer than they were */
        json_write(&text, output, NULL);
        ok = buf_ok(&text, "what a tool said", err);
        if (ok)
            *out = arena_str(a, buf_view(&text));
        buf_release(&text);
    }
    json_decref(v);
    return ok;
}

/* What the model is told of a 4xx: the body, as far as it is text. */
static struct str refusal(const struct tool_ask *ask, const struct http_reply *reply)
{
    struct str body = reply->body;
    struct buf text;

    body.len = size_min(body.len, MOST_TOLD);
    buf_init(&text, 8 * MOST_TOLD);
    json_write_string(&text, body, false); /* what is no UTF-8 becomes U+FFFD */
    json_t *clean = json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    const struct str said = json_str(clean);
    const struct str out =
        str_of(arena_printf(ask->arena, "Error: status %d%s" STR_FMT, reply->status,
                            said.len > 0 ? ": " : "", STR_ARG(said)));
    json_decref(clean);
    buf_release(&text);
    return out;
}

/* One request. *again: another may do better. */
static bool call_once(struct tool_servers *s, const struct tool *t, struct tool_ask *ask,
                      struct str body, double deadline, bool *again, double *retry_after_s,
                      struct error *err)
{
    const struct http_request rq = {.method = "POST",
                                    .url = t->url,
                                    .n_headers = t->n_headers,
                                    .headers = t->headers,
                                    .body = body,
                                    .max_reply_bytes = MOST_BYTES,
                                    .deadline = deadline,
                                    .stop = &s->dropping};
    const struct http_place place = http_place_of(t->url);
    struct http_reply reply = {0};

    *retry_after_s = -1;
    *again = false;
    if (!wait_for_turn(s, deadline))
        return fail(err, ERR_TIMEOUT, "%s: no time was left for the call", place.text);
    if (!http_send(s->http, &rq, ask->arena, &reply, err)) {
        *again = err->kind == ERR_IO;
        return false;
    }
    *retry_after_s = reply.retry_after_s;
    if (reply.status >= 200 && reply.status < 300)
        return tool_reply_read(reply.body, ask->call_id, place.text, ask->arena, &ask->output, err);
    *again = http_may_pass(&reply);
    if (reply.status >= 400 && reply.status < 500) {
        ask->end = TOOL_REFUSED;
        ask->output = refusal(ask, &reply);
    }
    return fail(err, ERR_IO, "%s answers with status %d", place.text, reply.status);
}

static struct str write_call(const struct tool_ask *ask)
{
    struct buf b;

    buf_init(&b, 2 * MOST_BYTES);
    buf_text(&b, "{\"type\":\"function_call\",\"id\":");
    json_write_string(&b, str_of(arena_printf(ask->arena, "fc_" STR_FMT, STR_ARG(ask->call_id))),
                      false);
    buf_text(&b, ",\"call_id\":");
    json_write_string(&b, ask->call_id, false);
    buf_text(&b, ",\"name\":");
    json_write_string(&b, ask->name, false);
    buf_text(&b, ",\"arguments\":");
    json_write_string(&b, ask->arguments, false);
    buf_text(&b, ",\"trace_id\":");
    json_write_string(&b, ask->trace_id, false);
    buf_char(&b, '}');
    const struct str out =
        b.overflowed ? (struct str){NULL, SIZE_MAX} : arena_str(ask->arena, buf_view(&b));
    buf_release(&b);
    return out;
}

static void call(struct tool_servers *s, struct tool_ask *ask)
{
    const struct tool *t = find(s, ask->name);
    const double began = clock_seconds(), deadline = began + s->timeout_s;
    struct http_tries tries = {
        .max_tries = MAX_TRIES, .stop = &s->dropping, .seed = atomic_fetch_add(&s->n_calls, 1)};
    const struct str body = write_call(ask);
    double retry_after_s = -1;
    bool again = false, ok;
    struct error err = {0};

    do {
        ask->end = TOOL_LOST;
        if (atomic_load(&s->dropping))
            ok = fail(&err, ERR_CANCELLED, "stopped on request");
        else if (t == NULL || body.len > MOST_BYTES)
            ok = fail(&err, ERR_LIMIT, "the call has more than %zu bytes", MOST_BYTES);
        else
            ok = call_once(s, t, ask, body, deadline, &again, &retry_after_s, &err);
    } while (!ok && again && http_try_again(&tries, retry_after_s, deadline));
    if (ok)
        ask->end = TOOL_SAID;
    else if (ask->end != TOOL_REFUSED)
        ask->output = str_of(arena_printf(ask->arena, "%s", err.message));
    ask->seconds = clock_seconds() - began;
}

static void *tool_main(void *arg)
{
    struct tool_servers *s = arg;

    pthread_mutex_lock(&s->lock);
    while (!s->closing) {
        struct tool_ask *ask = list_take(&s->waiting);

        if (ask == NULL) {
            pthread_cond_wait(&s->filled, &s->lock);
            continue;
        }
        pthread_mutex_unlock(&s->lock);
        call(s, ask);
        pthread_mutex_lock(&s->lock);
        list_put(&s->back, ask);
        pthread_cond_signal(&s->done);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

void tool_servers_put(struct tool_servers *s, struct tool_ask *ask)
{
    pthread_mutex_lock(&s->lock);
    list_put(&s->waiting, ask);
    s->n_open++;
    pthread_cond_signal(&s->filled);
    pthread_mutex_unlock(&s->lock);
}

struct tool_ask *tool_servers_get(struct tool_servers *s, double wait_s)
{
    const double until = clock_seconds() + wait_s;
    struct tool_ask *ask;

    pthread_mutex_lock(&s->lock);
    while ((ask = list_take(&s->back)) == NULL && clock_seconds() < until)
        condition_wait_for(&s->done, &s->lock, until - clock_seconds());
    s->n_open -= ask != NULL;
    pthread_mutex_unlock(&s->lock);
    return ask;
}

void tool_servers_drop(struct tool_servers *s)
{
    atomic_store(&s->dropping, true);
    pthread_mutex_lock(&s->lock);
    while (s->n_open > 0) {
        if (list_take(&s->back) != NULL)
            s->n_open--;
        else
            condition_wait_for(&s->done, &s->lock, 0.1);
    }
    pthread_mutex_unlock(&s->lock);
    atomic_store(&s->dropping, false);
}
