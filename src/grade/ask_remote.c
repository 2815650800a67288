#include "grade/ask_remote.h"

#include "base/http.h"
#include "base/size.h"
#include "grade/chat_reply.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_TRIES 6
#define DEFAULT_REPLY_BYTES ((size_t)4 << 20)
#define MAX_QUESTION_BYTES ((size_t)256 << 20) /* images and audio go along as text */

struct ask_remote {
    struct arena arena; /* all strings below */
    const char *url;
    struct http_place place;
    struct str api_key; /* or "" */
    const char *model;  /* or NULL */
    int max_tries;
    double first_pause_s;
    size_t max_reply_bytes;
    size_t n_headers;
    struct http_header headers[3];
    struct http *http;
    atomic_bool without_schema; /* the server refuses response_format */
    atomic_uint n_asked;        /* numbers the questions, for their pauses */
};

bool ask_remote_open(const struct ask_remote_settings *settings, struct ask_remote **out,
                     struct error *err)
{
    struct ask_remote *r;
    struct str base = str_of(settings->base_url), query;

    if (!http_check_url(settings->base_url, "base_url", err))
        return false;
    r = calloc(1, sizeof *r);
    if (r == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a judge");
    arena_init(&r->arena);
    query = str_from(base, str_find(base, STR("?"), 0));
    base.len -= query.len;
    while (base.len > 0 && base.ptr[base.len - 1] == '/')
        base.len--;
    r->url =
        arena_printf(&r->arena, STR_FMT "/chat/completions" STR_FMT, STR_ARG(base), STR_ARG(query));
    r->place = http_place_of(r->url);
    r->max_tries = settings->max_tries > 0 ? settings->max_tries : DEFAULT_TRIES;
    r->first_pause_s = settings->first_pause_s;
    r->max_reply_bytes =
        settings->max_reply_bytes > 0 ? settings->max_reply_bytes : DEFAULT_REPLY_BYTES;
    if (settings->model != NULL && settings->model[0] != '\0')
        r->model = arena_text(&r->arena, str_of(settings->model));
    r->headers[r->n_headers++] = (struct http_header){"Content-Type", "application/json"};
    r->headers[r->n_headers++] = (struct http_header){"Accept", "application/json"};
    if (settings->api_key != NULL && settings->api_key[0] != '\0') {
        r->api_key = arena_str(&r->arena, str_of(settings->api_key));
        r->headers[r->n_headers++] = (struct http_header){
            "Authorization", arena_printf(&r->arena, "Bearer %s", settings->api_key)};
        if (!http_check_header("Authorization", settings->api_key, "api_key", err)) {
            ask_remote_close(r);
            return false;
        }
    }
    if (!http_open(&r->http, err)) {
        ask_remote_close(r);
        return false;
    }
    *out = r;
    return true;
}

void ask_remote_close(struct ask_remote *r)
{
    if (r == NULL)
        return;
    http_close(r->http);
    arena_release(&r->arena);
    free(r);
}

/* ---- the question ---- */

static void write_sampling(struct buf *b, const json_t *sampling)
{
    static const struct {
        const char *ours, *theirs;
    } keys[] = {
        {"seed", "seed"},
        {"temperature", "temperature"},
        {"top_p", "top_p"},
        {"reasoning_effort", "reasoning_effort"},
        {"max_completions_tokens", "max_completion_tokens"},
        /* what people write, pages of the API among them, and mean the same by */
        {"max_completion_tokens", "max_completion_tokens"},
        {"max_tokens", "max_completion_tokens"},
    };
    const char *last = "";

    for (size_t i = 0; i < COUNT_OF(keys); i++) {
        const json_t *v = json_object_get(sampling, keys[i].ours);

        if (v == NULL || json_is_null(v) || strcmp(keys[i].theirs, last) == 0)
            continue;
        last = keys[i].theirs;
        buf_printf(b, ",\"%s\":", last);
        json_write(b, v, NULL);
    }
}

/* "Reply with ... {schema}", for servers that cannot hold a model to it */
static struct str schema_sentence(const json_t *response_format, struct arena *a)
{
    const json_t *schema =
        json_object_get(json_object_get(response_format, "json_schema"), "schema");
    struct buf b;

    buf_init(&b, MAX_QUESTION_BYTES);
    buf_text(&b, "Reply with one JSON object and nothing else, valid under this JSON schema: ");
    json_write(&b, schema, NULL);
    const struct str s = arena_str(a, buf_view(&b));
    buf_release(&b);
    return s;
}

static void write_message(struct buf *b, const char *role, struct str content)
{
    buf_printf(b, "{\"role\":\"%s\",\"content\":", role);
    json_write_string(b, content, false);
    buf_char(b, '}');
}

/* The messages with sentence at the end of the system message, which is put in front where there is none. */
static void write_messages(struct buf *b, const json_t *messages, struct str sentence,
                           struct arena *a)
{
    const json_t *first = json_array_get(messages, 0), *content = json_object_get(first, "content");
    const bool has_system =
        str_is(json_str(json_object_get(first, "role")), "system") && json_is_string(content);

    buf_char(b, '[');
    if (has_system) {
        const struct str text = json_str(content);

        write_message(
            b, "system",
            str_of(arena_printf(a, STR_FMT "\n\n" STR_FMT, STR_ARG(text), STR_ARG(sentence))));
    } else {
        write_message(b, "system", sentence);
    }
    for (size_t i = has_system ? 1 : 0; i < json_array_size(messages); i++) {
        buf_char(b, ',');
        json_write(b, json_array_get(messages, i), NULL);
    }
    buf_char(b, ']');
}

static const char *model_of(const struct ask_remote *r, const struct grade_question *q)
{
    return r->model != NULL ? r->model : q->model;
}

static bool write_question(const struct ask_remote *r, const struct grade_question *q,
                           bool without_schema, struct arena *a, struct buf *b, struct error *err)
{
    buf_text(b, "{\"model\":");
    json_write_string(b, str_of(model_of(r, q)), false);
    buf_text(b, ",\"messages\":");
    if (q->response_format != NULL && without_schema)
        write_messages(b, q->messages, schema_sentence(q->response_format, a), a);
    else
        json_write(b, q->messages, NULL);
    if (q->response_format != NULL && !without_schema) {
        buf_text(b, ",\"response_format\":");
        json_write(b, q->response_format, NULL);
    }
    write_sampling(b, q->sampling);
    buf_char(b, '}');
    return buf_ok(b, "a question to a judge", err);
}

/* ---- the reply ---- */

enum outcome {
    REPLIED,
    MAY_PASS,       /* worth another try */
    WITHOUT_SCHEMA, /* at once, without response_format */
    LASTING,
};

static bool contains(struct str s, struct str word)
{
    return str_find(s, word, 0) < s.len;
}

static bool refuses_schema(const struct http_reply *reply)
{
    return (reply->status == 400 || reply->status == 422 || reply->status == 501) &&
           (contains(reply->body, STR("response_format")) ||
            contains(reply->body, STR("json_schema")));
}

static struct chat_secrets secrets_of(const struct ask_remote *r)
{
    return (struct chat_secrets){r->api_key.len > 0, &r->api_key};
}

static enum outcome tell_status(const struct ask_remote *r, const struct grade_question *q,
                                const struct http_reply *reply, struct arena *a, struct error *err)
{
    const char *place = r->place.text, *model = model_of(r, q);
    const struct chat_error said = chat_error_of(reply->body, secrets_of(r), a);

    if (reply->status < 400) {
        fail(err, ERR_INVALID,
             "the judge at %s answers with status %d%s%s; base_url must be the address itself",
             place, reply->status, reply->location[0] != '\0' ? ", and sends on to " : "",
             reply->location[0] != '\0' ? http_place_of(reply->location).text : "");
        return LASTING;
    }
    switch (reply->status) {
    case 401:
        fail(err, ERR_INVALID, "the judge at %s does not take %s: " STR_FMT, place,
             r->api_key.len > 0 ? "the key it was given"
                                : "questions without a key, and none is set",
             STR_ARG(said.message));
        break;
    case 404:
        fail(err, ERR_INVALID,
             "the judge at %s knows no model \"%.64s\", or base_url is not where chat/completions "
             "is (it often ends in /v1): " STR_FMT,
             place, model, STR_ARG(said.message));
        break;
    default:
        fail(err, http_may_pass(reply) ? ERR_IO : ERR_INVALID,
             "the judge at %s answers with status %d: " STR_FMT, place, reply->status,
             STR_ARG(said.message));
    }
    if (reply->status == 429 && str_is(said.code, "insufficient_quota"))
        return LASTING;
    return http_may_pass(reply) ? MAY_PASS : LASTING;
}

static enum outcome ask_once(struct ask_remote *r, const struct grade_question *q,
                             bool without_schema, struct arena *a, struct grade_reply *out,
                             double *retry_after_s, struct error *err)
{
    struct http_request rq = {.method = "POST",
                              .url = r->url,
                              .n_headers = r->n_headers,
                              .headers = r->headers,
                              .max_reply_bytes = r->max_reply_bytes,
                              .deadline = q->deadline,
                              .stop = q->stop};
    struct http_reply reply = {0};
    struct buf body;
    bool sent;

    *retry_after_s = -1;
    buf_init(&body, MAX_QUESTION_BYTES);
    sent = write_question(r, q, without_schema, a, &body, err);
    if (sent) {
        rq.body = buf_view(&body);
        sent = http_send(r->http, &rq, a, &reply, err);
    }
    buf_release(&body);
    if (!sent)
        return err->kind == ERR_IO ? MAY_PASS : LASTING;
    *retry_after_s = reply.retry_after_s;
    if (reply.status >= 200 && reply.status < 300) {
        if (chat_reply_parse(reply.body, model_of(r, q), secrets_of(r), a, out, err))
            return REPLIED;
        fail(err, err->kind, "the judge at %s: %s", r->place.text, err->message);
        return err->kind == ERR_CORRUPT ? MAY_PASS : LASTING;
    }
    if (!without_schema && q->response_format != NULL && refuses_schema(&reply))
        return WITHOUT_SCHEMA;
    return tell_status(r, q, &reply, a, err);
}

bool ask_remote_ask(void *ctx, const struct grade_question *q, struct arena *a,
                    struct grade_reply *out, struct error *err)
{
    struct ask_remote *r = ctx;
    struct http_tries tries = {.max_tries = r->max_tries,
                               .first_pause_s = r->first_pause_s,
                               .stop = q->stop,
                               .seed = atomic_fetch_add(&r->n_asked, 1)};
    struct error why = {0};
    double retry_after_s = -1;
    int n = 0;

    for (;;) {
        const bool without_schema = atomic_load(&r->without_schema);
        const enum outcome outcome = ask_once(r, q, without_schema, a, out, &retry_after_s, &why);

        n++;
        if (outcome == REPLIED)
            return true;
        if (outcome == WITHOUT_SCHEMA) {
            atomic_store(&r->without_schema, true);
            continue;
        }
        if (outcome == LASTING || !http_try_again(&tries, retry_after_s, q->deadline))
            break;
    }
    if (n > 1)
        return fail(err, why.kind, "%s (asked %d times)", why.message, n);
    return fail(err, why.kind, "%s", why.message);
}
