/*
 * endpoint.c - the grader that sends the answer and its row to an address, which replies with the score.
 *
 *     POST url    {"sample":{as Python graders get it},"item":{...},"trace_id":"trace_<uuid>"}
 *     reply       {"score": 0.5}, a finite number
 *
 * So answers and rows leave this machine for the address. "headers" are sent along and told nowhere.
 *
 * A call is tried up to four times: after no connection, a lost one, 408, 409, 429 and 5xx; its trace_id stays the same,
 * so that the other side can tell a second try from a second answer. All tries together end by grade_options'
 * ask_timeout_s. At most "rate_limit" requests begin in a second (50 unless given), evenly spaced, however many threads
 * grade; who comes too early waits.
 *
 * Whatever goes wrong is other_error, with the cause in details. The API's flags have none for endpoints:
 * unresponsive_reward_error comes nearest, and is kept for answers that leave nothing to score, which count as the
 * model's fault (grade_grader_failed); a server that is down is not.
 */
#include "base/clock.h"
#include "base/http.h"
#include "base/size.h"
#include "grade/chat_reply.h"
#include "grade/grader_internal.h"

#include <errno.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#define MAX_TRIES 4
#define MAX_PAYLOAD ((size_t)1 << 20)
#define MAX_REPLY ((size_t)1 << 20)
#define MAX_HEADERS 64
#define MIN_SECRET 6 /* characters */
#define DEFAULT_RATE 50.0
#define DEFAULT_TIMEOUT_S 600.0

struct state {
    const char *url;
    struct http_place place;
    size_t n_headers;
    const struct http_header *headers;
    struct chat_secrets secrets; /* words of the headers' values */
    struct http *http;
    struct pace *pace;
    const atomic_bool *stop; /* of the grader's options */
};
struct pace {
    double interval_s;    /* between the beginnings of two requests */
    atomic_uint n_calls;  /* numbers the calls, for the pauses between their tries */
    pthread_mutex_t lock; /* guards next */
    double next;          /* when another request may begin */
};

/* ---- opening ---- */

static bool open_headers(struct grader *g, struct grader_part *part, struct state *st,
                         struct error *err)
{
    json_t *map = json_object_get(part->spec, "headers"), *value;
    const char *param = part_param(g, part, "headers"), *key;
    const size_t n = json_object_size(map);
    struct http_header *headers = ARENA_ARRAY(&g->arena, struct http_header, n + 1);
    bool has_type = false;

    if (map != NULL && !json_is_null(map) && !json_is_object(map))
        return fail_param(err, ERR_INVALID, param,
                          "%s: expected a map of names to values, found %s", param, json_kind(map));
    if (n > MAX_HEADERS)
        return fail_param(err, ERR_LIMIT, param, "%s: %zu headers are more than there may be (%d)",
                          param, n, MAX_HEADERS);
    json_object_foreach(map, key, value)
    {
        param = arena_printf(&g->arena, "%s.%.64s", part_param(g, part, "headers"), key);
        if (!json_is_string(value))
            return fail_param(err, ERR_INVALID, param, "%s: expected a string, found %s", param,
                              json_kind(value));
        if (strlen(json_string_value(value)) != json_string_length(value))
            return fail_param(err, ERR_INVALID, param, "%s: the value has a zero byte in it",
                              param);
        if (!http_check_header(key, json_string_value(value), param, err))
            return false;
        has_type = has_type || strcasecmp(key, "Content-Type") == 0;
        headers[st->n_headers++] = (struct http_header){key, json_string_value(value)};
    }
    if (!has_type)
        headers[st->n_headers++] = (struct http_header){"Content-Type", "application/json"};
    st->headers = headers;
    return true;
}

/* The words of the values: "Bearer" and the token behind it; short ones would tear holes into sentences. */
static void open_secrets(struct grader *g, struct state *st)
{
    struct str *words;
    size_t n = 0, n_chars = 0;

    for (size_t i = 0; i < st->n_headers; i++)
        n_chars += strlen(st->headers[i].value);
    words = ARENA_ARRAY(&g->arena, struct str, n_chars / MIN_SECRET + 1);
    for (size_t i = 0; i < st->n_headers; i++)
        for (const char *c = st->headers[i].value; *c != '\0';) {
            const size_t len = strcspn(c, " \t");

            if (len >= MIN_SECRET)
                words[n++] = (struct str){c, len};
            c += len + (c[len] != '\0');
        }
    st->secrets = (struct chat_secrets){n, words};
}

static bool open_rate(struct grader *g, struct grader_part *part, struct state *st,
                      struct error *err)
{
    const json_t *rate = json_object_get(part->spec, "rate_limit");
    const char *param = part_param(g, part, "rate_limit");
    const double x = json_number_value(rate);

    st->pace->interval_s = 1 / DEFAULT_RATE;
    if (rate == NULL || json_is_null(rate))
        return true;
    if (!json_is_number(rate) || !(x > 0 && x <= 1e6))
        return fail_param(err, ERR_INVALID, param,
                          "%s: expected requests a second, more than 0 and at most 1000000", param);
    st->pace->interval_s = 1 / x;
    return true;
}

static bool open_part(struct grader *g, struct grader_part *part, struct error *err)
{
    struct state *st = ARENA_NEW(&g->arena, struct state);
    struct str url = STR("");

    st->pace = ARENA_NEW(&g->arena, struct pace);
    if (!part_str(g, part, "url", &url, err))
        return false;
    st->url = json_string_value(json_object_get(part->spec, "url"));
    if (strlen(st->url) != url.len)
        return fail_param(err, ERR_INVALID, part_param(g, part, "url"),
                          "%s: an address has no zero byte in it", part_param(g, part, "url"));
    if (!http_check_url(st->url, part_param(g, part, "url"), err) ||
        !open_headers(g, part, st, err) || !open_rate(g, part, st, err) ||
        !http_open(&st->http, err))
        return false;
    st->place = http_place_of(st->url);
    open_secrets(g, st);
    pthread_mutex_init(&st->pace->lock, NULL);
    st->stop = g->options.stop;
    part->state = st;
    return true;
}

static void close_part(const struct grader_part *part)
{
    const struct state *st = part->state;

    http_close(st->http);
    pthread_mutex_destroy(&st->pace->lock);
}

/* ---- running ---- */

/* Waits for this request's turn; false where it comes behind the deadline. */
static bool wait_for_turn(struct pace *p, const atomic_bool *stop, double deadline)
{
    pthread_mutex_lock(&p->lock);
    const double turn = fmax(p->next, clock_seconds());
    const bool in_time = turn < deadline;
    if (in_time)
        p->next = turn + p->interval_s;
    pthread_mutex_unlock(&p->lock);
    return in_time && clock_sleep_unless(stop, turn);
}

/* "trace_" and a random UUID (version 4, RFC 9562) */
static void name_trace(char out[48])
{
    uint8_t b[16];

    while (getrandom(b, sizeof b, 0) != (ssize_t)sizeof b)
        if (errno != EINTR)
            abort(); /* Linux has had getrandom since 2014; 16 bytes come whole */
    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    snprintf(out, 48, "trace_%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
             b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7], b[8], b[9], b[10], b[11], b[12], b[13],
             b[14], b[15]);
}

static bool read_score(const struct state *st, struct str body, double *out, struct error *err)
{
    json_t *v = NULL;

    if (!json_parse(body, "its reply", &v, NULL)) /* it would quote the body */
        return fail(err, ERR_CORRUPT, "the endpoint at %s: its reply is not JSON", st->place.text);
    const json_t *score = json_object_get(v, "score");
    const bool ok = json_is_number(score) && isfinite(json_number_value(score));
    if (ok)
        *out = json_number_value(score);
    else
        fail(err, ERR_CORRUPT,
             "the endpoint at %s: expected {\"score\": a number}, and \"score\" is %s",
             st->place.text, score == NULL ? "missing" : json_kind(score));
    json_decref(v);
    return ok;
}

/* One request; *again says whether another makes sense. */
static bool call_once(const struct state *st, struct str body, double deadline, struct arena *a,
                      double *score, bool *again, double *retry_after_s, struct error *err)
{
    const struct http_request rq = {.method = "POST",
                                    .url = st->url,
                                    .n_headers = st->n_headers,
                                    .headers = st->headers,
                                    .body = body,
                                    .max_reply_bytes = MAX_REPLY,
                                    .deadline = deadline,
                                    .stop = st->stop};
    struct http_reply reply = {0};

    *retry_after_s = -1;
    if (!wait_for_turn(st->pace, st->stop, deadline)) {
        *again = false;
        return fail(err, ERR_TIMEOUT, "the endpoint at %s: rate_limit leaves no time for this call",
                    st->place.text);
    }
    if (!http_send(st->http, &rq, a, &reply, err)) {
        *again = err->kind == ERR_IO;
        return false;
    }
    *retry_after_s = reply.retry_after_s;
    if (reply.status >= 200 && reply.status < 300) {
        *again = false;
        return read_score(st, reply.body, score, err);
    }
    *again = http_may_pass(&reply);
    return fail(err, ERR_IO, "the endpoint at %s answers with status %d: " STR_FMT, st->place.text,
                reply.status, STR_ARG(chat_error_of(reply.body, st->secrets, a).message));
}

static void call(const struct state *st, struct str body, double deadline, struct arena *a,
                 struct part_result *out)
{
    struct http_tries tries = {
        .max_tries = MAX_TRIES, .stop = st->stop, .seed = atomic_fetch_add(&st->pace->n_calls, 1)};
    struct error err = {0};
    double retry_after_s;
    bool again;
    int n = 1;

    for (; !call_once(st, body, deadline, a, &out->score, &again, &retry_after_s, &err); n++) {
        if (again && n < MAX_TRIES && http_try_again(&tries, retry_after_s, deadline))
            continue;
        part_fail(out, GRADE_OTHER_ERROR,
                  n == 1 ? err.message : arena_printf(a, "%s (called %d times)", err.message, n));
        return;
    }
}

static void run_part(struct grader *g, const struct grader_part *part, struct grade_scope *s,
                     struct part_result *out)
{
    const struct state *st = part->state;
    const double timeout_s =
        g->options.ask_timeout_s > 0 ? g->options.ask_timeout_s : DEFAULT_TIMEOUT_S;
    const double deadline = clock_seconds() + timeout_s;
    char trace[48];
    struct buf body;

    name_trace(trace);
    buf_init(&body, (size_t)64 << 20); /* to tell how large it is where it is too large */
    buf_char(&body, '{');
    part_write_call(&body, s);
    buf_printf(&body, ",\"trace_id\":\"%s\"}", trace);
    if (body.overflowed || body.len > MAX_PAYLOAD)
        part_fail(out, GRADE_OTHER_ERROR,
                  arena_printf(s->arena,
                               "the answer and its row are %s%zu bytes, and an endpoint is sent at "
                               "most %zu",
                               body.overflowed ? "more than " : "", body.len, MAX_PAYLOAD));
    else
        call(st, buf_view(&body), deadline, s->arena, out);
    buf_release(&body);
}

static bool check_item(const struct grader *g, const struct grader_part *part, const json_t *item,
                       const char *what, struct error *err)
{
    (void)g;
    (void)part;
    (void)item;
    (void)what;
    (void)err;
    return true; /* only the address knows what it reads */
}

static bool is_deterministic(const struct grader_part *part)
{
    (void)part;
    return false; /* only the address knows; "deterministic" in the spec may say so */
}

const struct grader_type grader_endpoint = {.name = "endpoint",
                                            .asks = true,
                                            .open = open_part,
                                            .run = run_part,
                                            .check_item = check_item,
                                            .deterministic = is_deterministic,
                                            .close = close_part};
