/*
 * response_feed.c - the poller, and what each stream has been told.
 */
#include "server/response_feed.h"
#include "server/api.h"
#include "server/response_call.h"
#include "server/response_events.h"
#include "server/runner.h"
#include "server/streams.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_STREAMS 1024
#define POLL_SECONDS 0.2
#define KEEP_ALIVE_MS 15000
#define STREAM_WAITING ((size_t)16 << 20) /* bytes that a slow reader may leave unread */
#define ROUND_BYTES ((size_t)1 << 20)     /* of old events that a stream is told at once, about */
#define PAGE 50

struct response_stream {
    struct stream stream;
    char response_id[136], project_id[136];
    char last_id[136]; /* of the last chunk that was read, or "" */
    int64_t after;     /* number of the last event told */
    bool over;
};

struct response_feed {
    struct store *store;
    struct streams streams; /* of struct response_stream */
};

static void tell(struct response_stream *s, const json_t *event)
{
    const struct str type = json_str(json_object_get(event, "type"));
    const json_int_t number = json_integer_value(json_object_get(event, "sequence_number"));
    struct buf b;

    if (number <= s->after)
        return;
    buf_init(&b, (size_t)64 << 20);
    buf_printf(&b, "event: " STR_FMT "\ndata: ", STR_ARG(type));
    json_write(&b, event, NULL);
    buf_text(&b, "\n\n");
    if (b.overflowed || !http_stream_put(s->stream.x, buf_view(&b)))
        atomic_store(&s->stream.gone, true);
    buf_release(&b);
    s->after = number;
    s->over = response_event_is_last(type);
}

/* The chunks behind the last one read; *n: how many there were. */
static bool read_chunks(struct response_feed *f, struct response_stream *s, size_t *n,
                        struct error *err)
{
    const struct document_filter filter = {
        .kind = RESPONSE_EVENTS_KIND, .project_id = s->project_id, .parent = s->response_id};
    const struct store_page page = {
        .limit = PAGE, .after = s->last_id[0] != '\0' ? s->last_id : NULL, .ascending = true};
    struct arena a = {0};
    struct document *all;
    size_t bytes = 0;
    bool more;

    *n = 0;
    const bool ok = documents_list(f->store, &filter, &page, &a, &all, n, &more, err);
    for (size_t i = 0; ok && i < *n && !s->over && bytes < ROUND_BYTES; i++) {
        json_t *events = api_json_of(all[i].body), *event;
        size_t k;

        json_array_foreach(events, k, event) tell(s, event);
        json_decref(events);
        bytes += strlen(all[i].body);
        snprintf(s->last_id, sizeof s->last_id, "%s", all[i].id);
    }
    arena_release(&a);
    return ok;
}

/* Behind its end nothing comes any more: the state is changed last. */
static bool has_ended(struct response_feed *f, const struct response_stream *s)
{
    struct arena a = {0};
    struct error err = {0};
    const char *state = NULL;
    const bool found = documents_state(f->store, RESPONSE_KIND, s->project_id,
                                       str_of(s->response_id), &a, &state, &err);
    const bool ended = found ? work_has_ended(str_of(state)) : err.kind == ERR_NOT_FOUND;

    arena_release(&a);
    return ended;
}

static void feed(struct response_feed *f, struct response_stream *s)
{
    struct error err = {0};
    size_t n = 0;

    /* the state first: what was kept before it changed is read then */
    const bool ended = has_ended(f, s);
    if (!read_chunks(f, s, &n, &err)) {
        s->over = err.kind == ERR_NOT_FOUND; /* the chunk it stood at has gone with its response */
        return;
    }
    if (ended && n == 0)
        s->over = true;
}

static double poll(void *ctx)
{
    struct response_feed *f = ctx;

    streams_take_added(&f->streams);
    for (struct stream **at = &f->streams.first; *at != NULL;) {
        struct response_stream *s = (struct response_stream *)*at;

        if (!atomic_load(&s->stream.gone))
            feed(f, s);
        if (s->over || atomic_load(&s->stream.gone))
            streams_end(&f->streams, at, STR(""));
        else
            at = &s->stream.next;
    }
    return f->streams.first != NULL ? POLL_SECONDS : UNTIL_WOKEN; /* who comes wakes it */
}

bool response_feed_open(struct store *s, struct response_feed **out, struct error *err)
{
    struct response_feed *f = calloc(1, sizeof *f);

    if (f == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the streams of responses");
    f->store = s;
    if (!background_start(&f->streams.thread, poll, f, "the streams of responses", err)) {
        free(f);
        return false;
    }
    *out = f;
    return true;
}

void response_feed_stop(struct response_feed *f)
{
    if (f != NULL)
        streams_stop(&f->streams);
}

void response_feed_close(struct response_feed *f)
{
    if (f == NULL)
        return;
    streams_release(&f->streams);
    free(f);
}

static bool fail_no_place(bool stopping, struct error *err)
{
    return stopping ? fail_code(err, ERR_CANCELLED, "unavailable", "", "the server is stopping")
                    : fail(err, ERR_LIMIT, "%d streams of responses are open, and no more can be",
                           MAX_STREAMS);
}

bool response_feed_add(struct response_feed *f, struct http_exchange *x,
                       const struct http_pair *headers, size_t n_headers, const char *project_id,
                       const char *response_id, int64_t after, struct error *err)
{
    struct response_stream *s = calloc(1, sizeof *s);
    bool stopping;

    if (s == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a stream");
    s->stream.x = x;
    s->after = after;
    snprintf(s->response_id, sizeof s->response_id, "%s", response_id);
    snprintf(s->project_id, sizeof s->project_id, "%s", project_id);
    if (!streams_place(&f->streams, MAX_STREAMS, &stopping)) {
        free(s);
        return fail_no_place(stopping, err);
    }
    const struct http_stream_options opt = {.content_type = "text/event-stream; charset=utf-8",
                                            .max_waiting = STREAM_WAITING,
                                            .keep_alive_ms = KEEP_ALIVE_MS,
                                            .headers = headers,
                                            .n_headers = n_headers};
    streams_add(&f->streams, &s->stream, &opt);
    return true;
}
