/*
 * engine_client_driver.c - the engine's client by lines of JSON, for tests in Python.
 *
 *     engine_client_driver '{"program":"/path/of/hone","threads":2,"memory":0,"max_open":0}'
 *
 *     in   {"ask":"a", "op":"chat", "model":{"name","path","adapter","run"}, "body":{...}, "stream":true, "leave_after":3}
 *          {"cancel":"a"}   {"answer":"b", ..., "seconds":5}   {"figures":true}
 *     out  {"of":"a","event":{...}}   {"of":"a","refused":{"kind","message","param"}}   {"of":"a","cancelled":true}   {"figures":{...}}
 *
 * leave_after: cancelled from within the event of that number. The end of the input closes the client.
 */
#include "base/clock.h"
#include "base/size.h"
#include "server/engine_client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct engine_client *client;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards standard output */

struct told { /* never freed: an event may come until the client is closed */
    struct told *next;
    char *name;
    uint64_t ticket;
    json_int_t leave_after, n;
    bool cancelled;
};
static struct told *all;

static void out(json_t *line)
{
    char *text = json_dumps(line, JSON_COMPACT);

    pthread_mutex_lock(&lock);
    puts(text);
    fflush(stdout);
    pthread_mutex_unlock(&lock);
    free(text);
    json_decref(line);
}

static void refused(const char *name, const struct error *err)
{
    out(json_pack("{s:s, s:{s:s, s:s, s:s}}", "of", name, "refused", "kind",
                  error_kind_name(err->kind), "message", err->message, "param", err->param));
}

static void on_event(void *ctx, const json_t *event)
{
    struct told *t = ctx;

    if (t->cancelled)
        abort(); /* the promise of engine_client_cancel */
    out(json_pack("{s:s, s:o}", "of", t->name, "event", json_deep_copy(event)));
    if (++t->n == t->leave_after) {
        engine_client_cancel(client, t->ticket);
        t->cancelled = true;
    }
}

static enum engine_op op_of(const json_t *line)
{
    static const char *const names[] = {"chat", "complete", "embed", "count"};
    const char *op = json_string_value(json_object_get(line, "op"));

    for (size_t i = 0; i < COUNT_OF(names); i++)
        if (op != NULL && strcmp(op, names[i]) == 0)
            return (enum engine_op)i;
    return ENGINE_CHAT;
}

static struct engine_model model_of(const json_t *line)
{
    const json_t *m = json_object_get(line, "model");

    return (struct engine_model){.name = json_string_value(json_object_get(m, "name")),
                                 .path = json_string_value(json_object_get(m, "path")),
                                 .adapter = json_string_value(json_object_get(m, "adapter")),
                                 .run = json_string_value(json_object_get(m, "run"))};
}

static void ask(const json_t *line)
{
    struct told *t = calloc(1, sizeof *t);
    const struct engine_listener l = {t, on_event};
    const struct engine_model m = model_of(line);
    struct error err = {0};

    t->name = strdup(json_string_value(json_object_get(line, "ask")));
    t->leave_after = json_integer_value(json_object_get(line, "leave_after"));
    t->next = all;
    all = t;
    if (!engine_client_ask(client, op_of(line), &m, json_object_get(line, "body"),
                           json_is_true(json_object_get(line, "stream")), &l, &t->ticket, &err))
        refused(t->name, &err);
}

static void cancel(const char *name)
{
    for (struct told *t = all; t != NULL; t = t->next)
        if (strcmp(t->name, name) == 0) {
            engine_client_cancel(client, t->ticket);
            t->cancelled = true;
        }
    out(json_pack("{s:s, s:b}", "of", name, "cancelled", 1));
}

static void answer(const json_t *line)
{
    const char *name = json_string_value(json_object_get(line, "answer"));
    const json_t *seconds = json_object_get(line, "seconds");
    const struct engine_model m = model_of(line);
    struct error err = {0};
    json_t *told;

    if (engine_client_answer(client, op_of(line), &m, json_object_get(line, "body"),
                             seconds != NULL ? clock_seconds() + json_number_value(seconds) : 0,
                             &told, &err))
        out(json_pack("{s:s, s:o}", "of", name, "event", told));
    else
        refused(name, &err);
}

static void figures(void)
{
    const struct engine_figures f = engine_client_figures(client);

    out(json_pack("{s:{s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I}}", "figures", "alive", (int)f.alive,
                  "starts", (json_int_t)f.starts, "open", (json_int_t)f.open, "asked",
                  (json_int_t)f.asked, "tokens_sampled", (json_int_t)f.tokens_sampled,
                  "tokens_prompt", (json_int_t)f.tokens_prompt, "tokens_cached",
                  (json_int_t)f.tokens_cached, "resident_bytes", (json_int_t)f.resident_bytes));
}

static void take(const json_t *line)
{
    const char *name = json_string_value(json_object_get(line, "cancel"));

    if (json_object_get(line, "ask") != NULL)
        ask(line);
    else if (json_object_get(line, "answer") != NULL)
        answer(line);
    else if (name != NULL)
        cancel(name);
    else
        figures();
}

int main(int argc, char **argv)
{
    json_t *o = argc > 1 ? json_loads(argv[1], 0, NULL) : NULL;
    const struct engine_client_options opt = {
        .program = json_string_value(json_object_get(o, "program")),
        .threads = (int)json_integer_value(json_object_get(o, "threads")),
        .memory_bytes = json_integer_value(json_object_get(o, "memory")),
        .max_open = (size_t)json_integer_value(json_object_get(o, "max_open")),
    };
    struct error err = {0};
    char *text = NULL;
    size_t size = 0;

    if (!engine_client_open(&opt, &client, &err)) {
        refused("open", &err);
        json_decref(o);
        return 1;
    }
    while (getline(&text, &size, stdin) > 0) {
        json_t *line = json_loads(text, JSON_ALLOW_NUL, NULL);

        take(line);
        json_decref(line);
    }
    engine_client_close(client);
    for (struct told *t; (t = all) != NULL;) {
        all = t->next;
        free(t->name);
        free(t);
    }
    free(text);
    json_decref(o);
    return 0;
}
