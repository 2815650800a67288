/*
 * watch_source.c - asks; what both kinds of places have in common is the form of an event.
 *
 * Of a server the job is asked for first and its events afterwards, so that those of a job that has ended are all there. The key
 * goes into one header and nowhere else.
 */
#include "cli/watch_source.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/http.h"
#include "base/limits.h"
#include "job/model_store.h"
#include "job/run_read.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPLY_BYTES ((size_t)256 << 20)
#define REPLY_SECONDS 30
#define EVENTS_AT_ONCE 200
#define ANSWERS_AT_ONCE 100
#define READ_BYTES ((size_t)1 << 20)

struct watch_source {
    struct watch_place place;
    struct arena arena; /* as long as it is open */
    struct arena reply; /* of one answer */
    struct http *http;
    char base[512]; /* address up to /v1 */
    char id[128];
    char last[160];  /* id of the event told last, or "" */
    bool no_answers; /* it does not show any */
    /* of a folder */
    const char *events;
    uint64_t at;     /* bytes of it that were told */
    struct buf line; /* the beginning of one */
};

/* ---- a server ---- */

/* "http://host:8080/" -> "http://host:8080/v1" */
static bool put_base(struct watch_source *w, struct error *err)
{
    struct str s = str_of(w->place.url);

    while (s.len > 0 && s.ptr[s.len - 1] == '/')
        s.len--;
    const bool versioned = str_ends(s, STR("/v1"));
    const int n =
        snprintf(w->base, sizeof w->base, STR_FMT "%s", STR_ARG(s), versioned ? "" : "/v1");
    if (n < 0 || (size_t)n >= sizeof w->base)
        return fail_param(err, ERR_INVALID, "url", "--url is longer than an address");
    return http_check_url(w->base, "--url", err);
}

static bool check_id(const char *id, struct error *err)
{
    const size_t n = strspn(id, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");

    return (n > 0 && n < 120 && id[n] == '\0') ||
           fail(err, ERR_INVALID, "\"%.100s\" is neither the folder of a run nor the id of a job",
                id);
}

static bool open_server(struct watch_source *w, struct error *err)
{
    if (!put_base(w, err) || (w->place.job != NULL && !check_id(w->place.job, err)))
        return false;
    if (w->place.job != NULL)
        snprintf(w->id, sizeof w->id, "%s", w->place.job);
    return (w->place.key == NULL ||
            http_check_header("Authorization", w->place.key, "the API key", err)) &&
           http_open(&w->http, err);
}

/* What a reply that is no success says, with what to do about it. */
static bool tell_refusal(const struct watch_source *w, const struct http_reply *r,
                         const json_t *body, struct error *err)
{
    const char *said =
        json_string_value(json_object_get(json_object_get(body, "error"), "message"));
    const struct http_place at = http_place_of(w->base);
    const char *what = said != NULL ? said : "an answer that is none of the API's";

    if (r->status == 401 || r->status == 403)
        return fail(err, ERR_INVALID,
                    "%s: %.300s; a key is taken from --api-key, HONE_API_KEY or OPENAI_API_KEY",
                    at.text, what);
    if (http_may_pass(r))
        return fail(err, ERR_IO, "%s answers with status %d: %.200s", at.text, r->status, what);
    if (r->status == 404)
        return fail(err, ERR_NOT_FOUND, "%s: %.300s", at.text, what);
    return fail(err, ERR_INVALID, "%s answers with status %d: %.300s", at.text, r->status, what);
}

/* *out: the caller's. */
static bool get(struct watch_source *w, const char *path, json_t **out, struct error *err)
{
    struct http_header header[2] = {{"Accept", "application/json"}};
    struct http_reply reply;
    json_t *body = NULL;
    struct error ignored;

    arena_reset(&w->reply);
    if (w->place.key != NULL)
        header[1] = (struct http_header){"Authorization",
                                         arena_printf(&w->reply, "Bearer %s", w->place.key)};
    const struct http_request rq = {.method = "GET",
                                    .url = arena_printf(&w->reply, "%s%s", w->base, path),
                                    .n_headers = w->place.key != NULL ? 2 : 1,
                                    .headers = header,
                                    .max_reply_bytes = REPLY_BYTES,
                                    .deadline = clock_seconds() + REPLY_SECONDS,
                                    .stop = w->place.stop};
    if (!http_send(w->http, &rq, &w->reply, &reply, err))
        return false;
    const bool is_json = json_parse(reply.body, "the answer", &body, &ignored);
    bool ok = reply.status == 200 && is_json && json_is_object(body);
    if (!ok && reply.status == 200)
        fail(err, ERR_INVALID, "%s answers, but not as hone's API does",
             http_place_of(w->base).text);
    else if (!ok)
        tell_refusal(w, &reply, body, err);
    if (ok)
        *out = body;
    else
        json_decref(body);
    return ok;
}

static bool find_newest(struct watch_source *w, struct error *err)
{
    json_t *list;

    if (w->id[0] != '\0')
        return true;
    if (!get(w, "/fine_tuning/jobs?limit=1", &list, err))
        return false;
    const char *id =
        json_string_value(json_object_get(json_array_get(json_object_get(list, "data"), 0), "id"));
    const bool ok = id != NULL ? check_id(id, err)
                               : fail(err, ERR_NOT_FOUND, "there is no job on %s yet",
                                      http_place_of(w->base).text);
    if (ok)
        snprintf(w->id, sizeof w->id, "%s", id);
    json_decref(list);
    return ok;
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *text = json_string_value(json_object_get(o, key));

    return text != NULL ? text : "";
}

/* A job that names no method is supervised. */
static bool is_fit(const json_t *method)
{
    return strcmp(text_of(method, "type"), "reinforcement") != 0;
}

static void put_state(const json_t *job, struct watch_state *out)
{
    static const char *const ends[] = {"succeeded", "failed", "cancelled"};
    const char *suffix = text_of(job, "user_provided_suffix"), *model = text_of(job, "model");

    *out = (struct watch_state){0};
    snprintf(out->id, sizeof out->id, "%s", text_of(job, "id"));
    snprintf(out->status, sizeof out->status, "%s", text_of(job, "status"));
    snprintf(out->model, sizeof out->model, "%s", text_of(job, "fine_tuned_model"));
    snprintf(out->error, sizeof out->error, "%s",
             text_of(json_object_get(job, "error"), "message"));
    snprintf(out->name, sizeof out->name, "%s, %s", suffix[0] != '\0' ? suffix : out->id, model);
    out->fit = is_fit(json_object_get(job, "method"));
    for (size_t i = 0; i < 3; i++)
        out->ended = out->ended || strcmp(out->status, ends[i]) == 0;
}

/* One page; *more: there is another. */
static bool server_page(struct watch_source *w, watch_event_fn *fn, void *ctx, bool *more,
                        struct error *err)
{
    char path[512];
    json_t *list, *event;
    bool ok = true;
    size_t i;

    snprintf(path, sizeof path, "/fine_tuning/jobs/%s/events?order=asc&limit=%d%s%s", w->id,
             EVENTS_AT_ONCE, w->last[0] != '\0' ? "&after=" : "", w->last);
    if (!get(w, path, &list, err))
        return false;
    const json_t *data = json_object_get(list, "data");
    json_array_foreach(data, i, event)
    {
        if (!(ok = fn(ctx, event, err)))
            break;
        if (check_id(text_of(event, "id"), &(struct error){0}))
            snprintf(w->last, sizeof w->last, "%s", text_of(event, "id"));
    }
    *more = json_array_size(data) > 0 && json_is_true(json_object_get(list, "has_more"));
    json_decref(list);
    return ok;
}

static bool server_look(struct watch_source *w, struct watch_state *out, struct error *err)
{
    char path[256];
    json_t *job;

    if (!find_newest(w, err))
        return false;
    snprintf(path, sizeof path, "/fine_tuning/jobs/%s", w->id);
    if (!get(w, path, &job, err))
        return false;
    put_state(job, out);
    json_decref(job);
    return true;
}

static bool server_tell(struct watch_source *w, watch_event_fn *fn, void *ctx, struct error *err)
{
    bool more = true;

    while (more)
        if (!server_page(w, fn, ctx, &more, err))
            return false;
    return true;
}

/* One page of answers in an order; *out: the caller's. */
static bool answers_page(struct watch_source *w, size_t step, bool valid, const char *order,
                         json_t **out, struct error *err)
{
    char path[512];

    snprintf(path, sizeof path, "/fine_tuning/jobs/%s/rollouts?step=%zu&split=%s&order=%s&limit=%d",
             w->id, step, valid ? "valid" : "train", order, ANSWERS_AT_ONCE);
    return get(w, path, out, err);
}

static void tell_answers(const json_t *list, run_json_fn *fn, void *ctx)
{
    json_t *line;
    size_t i;

    json_array_foreach(json_object_get(list, "data"), i, line) if (!fn(ctx, line)) break;
}

static bool server_answers(struct watch_source *w, size_t step, bool valid, run_json_fn *fn,
                           void *ctx, struct error *err)
{
    json_t *best, *worst;

    if (w->no_answers)
        return true;
    if (!answers_page(w, step, valid, "best", &best, err)) {
        w->no_answers = err->kind == ERR_NOT_FOUND;
        return w->no_answers;
    }
    const bool all = !json_is_true(json_object_get(best, "has_more"));
    if (all || !valid)
        tell_answers(best, fn, ctx);
    json_decref(best);
    if (all || valid)
        return true;
    if (!answers_page(w, step, valid, "worst", &worst, err))
        return false;
    tell_answers(worst, fn, ctx);
    json_decref(worst);
    return true;
}

/* ---- a folder ---- */

static bool open_folder(struct watch_source *w, struct error *err)
{
    json_t *job = NULL;

    if (!run_read_job(w->place.job, &job, err)) /* that it is a run */
        return false;
    snprintf(w->id, sizeof w->id, "%s", text_of(job, "id"));
    json_decref(job);
    w->events = file_join(&w->arena, w->place.job, "events.jsonl");
    buf_init(&w->line, LIMIT_LINE_BYTES);
    return true;
}

/*
 * Whether a process has the folder locked (run_folder.c), without asking for the lock, which could keep one from beginning. Devices
 * are not compared: some file systems have another number there than in stat.
 */
static bool is_written(const char *dir)
{
    FILE *locks = fopen("/proc/locks", "re");
    unsigned long long inode;
    struct stat st;
    char line[256];
    bool found = false;

    if (locks == NULL)
        return true; /* not known: keep looking */
    if (stat(dir, &st) == 0)
        while (!found && fgets(line, sizeof line, locks) != NULL)
            found = sscanf(line, "%*s FLOCK %*s %*s %*d %*x:%*x:%llu", &inode) == 1 &&
                    inode == (unsigned long long)st.st_ino;
    fclose(locks);
    return found;
}

static bool folder_line(struct watch_source *w, watch_event_fn *fn, void *ctx, struct error *err)
{
    struct error ignored;
    json_t *event = NULL;
    bool ok = true;

    if (!w->line.overflowed && json_parse(buf_view(&w->line), "an event", &event, &ignored) &&
        json_is_object(event))
        ok = fn(ctx, event, err);
    json_decref(event);
    return ok;
}

/* Whole lines from w->at to the end of the file. */
static bool folder_lines(struct watch_source *w, int fd, watch_event_fn *fn, void *ctx,
                         struct error *err)
{
    char *bytes = arena_alloc(&w->reply, READ_BYTES);
    uint64_t at = w->at;
    ssize_t n;

    buf_clear(&w->line);
    w->line.overflowed = false;
    while ((n = pread(fd, bytes, READ_BYTES, (off_t)at)) > 0) {
        at += (uint64_t)n;
        for (const char *p = bytes, *end = bytes + n; p < end;) {
            const char *stop = memchr(p, '\n', (size_t)(end - p));

            buf_put(&w->line, p, (size_t)((stop != NULL ? stop : end) - p));
            if (stop == NULL)
                break;
            if (!folder_line(w, fn, ctx, err))
                return false;
            p = stop + 1;
            w->at = at - (uint64_t)(end - p);
            buf_clear(&w->line);
            w->line.overflowed = false;
        }
    }
    return n == 0 || fail_errno(err, "cannot read %s", w->events);
}

static bool folder_look(struct watch_source *w, struct watch_state *out, struct error *err)
{
    struct stat st;
    json_t *file = NULL;

    arena_reset(&w->reply);
    if (!run_read_job(w->place.job, &file, err))
        return false;
    const json_t *job = json_object_get(file, "job");
    *out = (struct watch_state){.fit = is_fit(json_object_get(job, "method")),
                                .ended = !is_written(w->place.job)};
    snprintf(out->id, sizeof out->id, "%s", text_of(file, "id"));
    snprintf(out->name, sizeof out->name, "%s, %s", model_plain_name(w->place.job, &w->reply),
             model_plain_name(text_of(job, "model"), &w->reply));
    json_decref(file);
    if (stat(w->events, &st) == 0 && (uint64_t)st.st_size < w->at) {
        w->at = (uint64_t)st.st_size;
        out->went_back = true;
    }
    snprintf(out->status, sizeof out->status, "%s", out->ended ? "stopped" : "running");
    return true;
}

static bool folder_tell(struct watch_source *w, watch_event_fn *fn, void *ctx, struct error *err)
{
    const int fd = open(w->events, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return true; /* nothing yet */
    const bool ok = folder_lines(w, fd, fn, ctx, err);
    close(fd);
    return ok;
}

/* ---- both ---- */

bool watch_source_open(const struct watch_place *place, struct watch_source **out,
                       struct error *err)
{
    struct watch_source *w = calloc(1, sizeof *w);

    if (w == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to watch a job");
    w->place = *place;
    if (!(place->url != NULL ? open_server(w, err) : open_folder(w, err))) {
        watch_source_close(w);
        return false;
    }
    *out = w;
    return true;
}

void watch_source_close(struct watch_source *w)
{
    if (w == NULL)
        return;
    http_close(w->http);
    buf_release(&w->line);
    arena_release(&w->reply);
    arena_release(&w->arena);
    free(w);
}

bool watch_source_look(struct watch_source *w, struct watch_state *out, struct error *err)
{
    return w->place.url != NULL ? server_look(w, out, err) : folder_look(w, out, err);
}

bool watch_source_tell(struct watch_source *w, watch_event_fn *fn, void *ctx, struct error *err)
{
    return w->place.url != NULL ? server_tell(w, fn, ctx, err) : folder_tell(w, fn, ctx, err);
}

bool watch_source_answers(struct watch_source *w, size_t step, bool valid, run_json_fn *fn,
                          void *ctx, struct error *err)
{
    return w->place.url != NULL ? server_answers(w, step, valid, fn, ctx, err)
                                : run_read_rollouts(w->place.job, step, valid, fn, ctx, NULL, err);
}
