/*
 * event_feed.c - the poller: what is new of any job goes to the streams of that job.
 *
 * The store shows no event behind a larger number (events.c), so one number says what the poller has seen of all jobs, and
 * each stream remembers the last that it was told: none is missed, and none is told twice.
 *
 * What happened before a stream came may be much: it is told as fast as its client reads, a piece a look. A stream that does not
 * keep up with what is new is told that in the same way, so a slow client costs a little memory, and one that stalls is let go.
 */
#include "server/event_feed.h"
#include "base/clock.h"
#include "server/streams.h"

#include <stdio.h>
#include <stdlib.h>

#define MAX_STREAMS 4096
#define POLL_SECONDS 0.5
#define CHECK_SECONDS 30.0 /* an ended job is noticed by its last event, or after so long */
#define KEEP_ALIVE_MS 15000
#define PAGE 1000
#define CATCH_UP_PAGE 256
#define CATCH_UP_BYTES                                                                             \
    ((size_t)128 << 10)       /* that a stream may have waiting before more of the past is told */
#define CATCH_UP_SECONDS 0.02 /* from look to look, while clients take the past */
#define STALLED_SECONDS 20.0  /* without taking any of the past: the client does not read */

struct job_stream {
    struct stream stream;
    char job_id[72], project_id[72];
    int64_t seq;      /* of the last event told */
    char last_id[72]; /* its id, or "" */
    bool caught_up;   /* everything before it came to the poller is told */
    double moved_at;  /* when it was last told something of the past */
    bool news;        /* something was told since its job's state was looked at */
    double checked_at;
};

struct event_feed {
    struct store *store;
    struct streams streams; /* of struct job_stream */
    bool listening;         /* the poller's alone, like all below */
    int64_t at;             /* the last number seen */
};

static struct job_stream *first(const struct event_feed *f)
{
    return (struct job_stream *)f->streams.first;
}

static struct job_stream *after(const struct job_stream *s)
{
    return (struct job_stream *)s->stream.next;
}

json_t *job_event_json(const struct job_event *e)
{
    json_t *data = e->data != NULL ? json_loads(e->data, JSON_DECODE_ANY, NULL) : NULL;

    return json_pack("{s:s, s:s, s:I, s:s, s:s, s:s, s:o}", "object", "fine_tuning.job.event", "id",
                     e->id, "created_at", (json_int_t)e->created_at, "level", e->level, "message",
                     e->message, "type", e->type, "data", data != NULL ? data : json_object());
}

static void write_event(struct buf *b, const struct job_event *e)
{
    json_t *json = job_event_json(e);

    buf_init(b, 1 << 20);
    buf_text(b, "data: ");
    json_write(b, json, NULL);
    buf_text(b, "\n\n");
    json_decref(json);
}

/* text: of the event, by write_event; one for all streams. */
static void tell(struct job_stream *s, const struct job_event *e, const struct buf *text)
{
    if (!text->overflowed && !http_stream_put(s->stream.x, buf_view(text)))
        atomic_store(&s->stream.gone, true);
    s->seq = e->seq;
    s->news = true;
    snprintf(s->last_id, sizeof s->last_id, "%s", e->id);
}

static bool has_enough(const struct job_stream *s)
{
    return http_stream_waiting(s->stream.x) >= CATCH_UP_BYTES;
}

/*
 * What the store has of the job past what was told, as much as the client takes now; true when that is all. False, with err untouched
 * or set: more at the next look.
 */
static bool catch_up(struct event_feed *f, struct job_stream *s, struct error *err)
{
    bool more = true;

    while (more && !atomic_load(&s->stream.gone) && !has_enough(s)) {
        const struct store_page page = {.limit = CATCH_UP_PAGE,
                                        .after = s->last_id[0] != '\0' ? s->last_id : NULL,
                                        .ascending = true};
        struct arena a = {0};
        struct job_event *events;
        size_t n = 0, told = 0;

        if (!events_list(f->store, s->job_id, &page, &a, &events, &n, &more, err)) {
            arena_release(&a);
            return false;
        }
        for (; told < n && !has_enough(s); told++) {
            struct buf text;

            write_event(&text, &events[told]);
            tell(s, &events[told], &text);
            buf_release(&text);
        }
        s->moved_at = told > 0 ? clock_seconds() : s->moved_at;
        more = told < n || (more && n > 0);
        arena_release(&a);
    }
    return !more;
}

/* What the store says of one job; most streams in a row are of the same. */
struct job_state {
    const struct job_stream *of; /* NULL: of none yet */
    bool has_ended, is_gone;
};

static void look_at_job(struct event_feed *f, const struct job_stream *s, struct job_state *state)
{
    struct arena a = {0};
    struct error err;
    struct job_row job;

    if (state->of != NULL && strcmp(state->of->job_id, s->job_id) == 0 &&
        strcmp(state->of->project_id, s->project_id) == 0)
        return;
    *state = (struct job_state){.of = s};
    if (jobs_get(f->store, s->project_id, str_of(s->job_id), &a, &job, &err))
        state->has_ended = job_has_ended(job.status);
    else
        state->is_gone = err.kind == ERR_NOT_FOUND;
    arena_release(&a);
}

/* Whether the stream is over: its client has left or does not read, or its job has ended or is gone. */
static bool is_over(struct event_feed *f, struct job_stream *s, struct job_state *state, bool *done)
{
    struct error err;

    *done = false;
    if (atomic_load(&s->stream.gone))
        return true;
    if (!s->caught_up)
        return clock_seconds() > s->moved_at + STALLED_SECONDS;
    if (!s->news && clock_seconds() < s->checked_at + CHECK_SECONDS)
        return false;
    s->news = false;
    s->checked_at = clock_seconds();
    look_at_job(f, s, state);
    /* what was told between the last look at events and this one at the state */
    if (state->has_ended && !catch_up(f, s, &err)) {
        s->caught_up = false;
        s->news = true;
        return false;
    }
    *done = state->has_ended;
    return state->has_ended || state->is_gone;
}

/*
 * Takes over what was added. A stream that cannot be fed now is fed at the next look. Whether some client takes the past and there is
 * more of it.
 */
static bool take_added(struct event_feed *f)
{
    const double now = clock_seconds();
    bool is_moving = false;
    struct error err;

    streams_take_added(&f->streams);
    for (struct job_stream *s = first(f); s != NULL; s = after(s))
        if (!s->caught_up) {
            s->caught_up = catch_up(f, s, &err);
            is_moving |= !s->caught_up && s->moved_at >= now;
        }
    return is_moving;
}

/* To everyone who is told as it comes. */
static void tell_all(struct event_feed *f, const struct feed_event *e)
{
    struct buf text = {0};
    bool is_written = false;

    for (struct job_stream *s = first(f); s != NULL; s = after(s)) {
        if (!s->caught_up || e->event.seq <= s->seq || strcmp(s->job_id, e->job_id) != 0)
            continue;
        if (has_enough(s)) {
            s->caught_up = false;
            s->moved_at = clock_seconds();
            continue;
        }
        if (!is_written)
            write_event(&text, &e->event);
        is_written = true;
        tell(s, &e->event, &text);
    }
    if (is_written)
        buf_release(&text);
}

static void feed_new(struct event_feed *f)
{
    bool more = true;

    while (more) {
        struct arena a = {0};
        struct feed_event *events;
        struct error err;
        size_t n = 0;

        if (!events_after(f->store, f->at, PAGE, &a, &events, &n, &err))
            n = 0; /* the database is away for a moment: at the next look */
        for (size_t i = 0; i < n; i++) {
            tell_all(f, &events[i]);
            f->at = events[i].event.seq;
        }
        more = n == PAGE;
        arena_release(&a);
    }
}

static void drop_over(struct event_feed *f)
{
    struct job_state state = {0};

    for (struct stream **at = &f->streams.first; *at != NULL;) {
        struct job_stream *s = (struct job_stream *)*at;
        bool done;

        if (is_over(f, s, &state, &done)) {
            if (state.of == s)
                state.of = NULL;
            streams_end(&f->streams, at, done ? STR("data: [DONE]\n\n") : STR(""));
        } else {
            at = &s->stream.next;
        }
    }
}

static double poll(void *ctx)
{
    struct event_feed *f = ctx;
    struct error err;
    bool is_moving = false;

    if (event_feed_streams(f) == 0) {
        f->listening = false;
        return UNTIL_WOKEN; /* who comes wakes it */
    }
    if (!f->listening) /* before the streams catch up: nothing falls between */
        f->listening = events_newest(f->store, &f->at, &err);
    if (f->listening) {
        is_moving = take_added(f);
        feed_new(f);
    }
    drop_over(f);
    return is_moving ? CATCH_UP_SECONDS : POLL_SECONDS;
}

bool event_feed_open(struct store *s, struct event_feed **out, struct error *err)
{
    struct event_feed *f = calloc(1, sizeof *f);

    if (f == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the event streams");
    f->store = s;
    if (!background_start(&f->streams.thread, poll, f, "the event streams", err)) {
        free(f);
        return false;
    }
    *out = f;
    return true;
}

void event_feed_stop(struct event_feed *f)
{
    streams_stop(&f->streams);
}

void event_feed_close(struct event_feed *f)
{
    if (f == NULL)
        return;
    streams_release(&f->streams);
    free(f);
}

bool event_feed_add(struct event_feed *f, struct http_exchange *x, const struct http_pair *headers,
                    size_t n_headers, const char *project_id, const char *job_id,
                    const char *after_id, struct error *err)
{
    struct job_stream *s = calloc(1, sizeof *s);
    bool stopping;

    if (s == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a stream");
    s->stream.x = x;
    s->moved_at = clock_seconds();
    s->checked_at = -CHECK_SECONDS;
    s->news = true;
    snprintf(s->job_id, sizeof s->job_id, "%s", job_id);
    snprintf(s->project_id, sizeof s->project_id, "%s", project_id);
    snprintf(s->last_id, sizeof s->last_id, "%s", after_id != NULL ? after_id : "");
    if (!streams_place(&f->streams, MAX_STREAMS, &stopping)) {
        free(s);
        return fail_code(err, ERR_LIMIT, "rate_limit_exceeded", "",
                         "%d event streams are open already, or the server is stopping: ask for "
                         "events without stream",
                         MAX_STREAMS);
    }
    const struct http_stream_options opt = {.content_type = "text/event-stream",
                                            .keep_alive_ms = KEEP_ALIVE_MS,
                                            .headers = headers,
                                            .n_headers = n_headers};
    streams_add(&f->streams, &s->stream, &opt);
    return true;
}

size_t event_feed_streams(struct event_feed *f)
{
    return streams_count(&f->streams);
}
