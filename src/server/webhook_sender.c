/*
 * webhook_sender.c - take, sign, send, and note what became of it.
 */
#include "server/webhook_sender.h"
#include "base/background.h"
#include "base/clock.h"
#include "base/http.h"
#include "base/size.h"
#include "server/webhook.h"
#include "text/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH 8
#define SLOW_SECONDS 5.0                   /* for a receiver that answers */
#define LEASE_SECONDS 300                  /* more than BATCH timeouts */
#define MAX_REPLY_BYTES ((size_t)64 << 10) /* nobody reads it */

struct webhook_sender {
    struct webhook_sender_options opt;
    struct http *http;
    struct background thread;
    atomic_bool stop; /* what is being sent, too */
};

bool webhook_send(struct webhook_sender *w, const json_t *endpoint, const char *event_id,
                  struct str body, struct arena *a, int *status, struct error *err)
{
    const char *url = json_string_value(json_object_get(endpoint, "url"));
    const int64_t now = clock_unix();
    const char *signature;
    struct http_reply reply;

    if (url == NULL)
        return fail(err, ERR_CORRUPT, "the webhook endpoint has no address");
    if (!webhook_signature(endpoint, event_id, now, body, now, a, &signature, err))
        return false;
    const struct http_header headers[] = {
        {"content-type", "application/json"},
        {"webhook-id", event_id},
        {"webhook-timestamp", arena_printf(a, "%" PRId64, now)},
        {"webhook-signature", signature},
    };
    const struct http_request rq = {.method = "POST",
                                    .url = url,
                                    .n_headers = COUNT_OF(headers),
                                    .headers = headers,
                                    .body = body,
                                    .max_reply_bytes = MAX_REPLY_BYTES,
                                    .deadline = clock_seconds() + SENDER_TIMEOUT_S,
                                    .stop = &w->stop,
                                    .public_only = !w->opt.allow_private};
    if (!http_send(w->http, &rq, a, &reply, err))
        return false;
    *status = reply.status;
    return true;
}

/* Fails saying why, in words that may be kept. */
static bool deliver(struct webhook_sender *w, const struct delivery *d, struct arena *a,
                    struct error *err)
{
    struct document endpoint;
    int status = 0;

    if (!documents_get(w->opt.store, "webhook_endpoint", d->project_id, str_of(d->endpoint_id), a,
                       &endpoint, err))
        return false;
    json_t *body = json_loads(endpoint.body, 0, NULL);
    const bool sent = webhook_send(w, body, d->id, str_of(d->body), a, &status, err);
    json_decref(body);
    return sent && ((status >= 200 && status < 300) ||
                    fail(err, ERR_IO, "the receiver answered with the status %d", status));
}

/* It is sent again when its lease ends: its receiver knows it by its id. */
static void not_noted(const struct delivery *d, const struct error *err)
{
    log_line(LOG_ERROR, "webhooks", "not noted", "%s: what became of it could not be stored: %s",
             d->id, err->message);
}

/* tries: how often it failed, for the pause. */
static void put_off(struct webhook_sender *w, const struct delivery *d, int64_t tries,
                    const char *why)
{
    const int64_t now = clock_unix(), pause = webhook_pause(tries, d->created_at, now);
    struct error err = {0};

    if (!outbox_later(w->opt.store, d->seq, pause > 0 ? now + pause : 0, why, &err))
        not_noted(d, &err);
}

static void settle(struct webhook_sender *w, const struct delivery *d, struct arena *a)
{
    struct error err = {0}, store_err = {0};
    const bool done = deliver(w, d, a, &err);

    if (atomic_load(&w->stop) && !done)
        return;                              /* the lease ends by itself */
    if (done || err.kind == ERR_NOT_FOUND) { /* the endpoint was deleted: nobody waits for it */
        if (!outbox_done(w->opt.store, d->seq, &store_err))
            not_noted(d, &store_err);
    } else {
        put_off(w, d, d->tries + 1, err.message);
    }
}

static bool is_among(const char *project, const char *const *projects, size_t n)
{
    while (n > 0)
        if (strcmp(projects[--n], project) == 0)
            return true;
    return false;
}

/* Takes what is due, a batch of it. */
static double work(void *ctx)
{
    struct webhook_sender *w = ctx;
    struct arena a = {0};
    struct delivery *due;
    struct error err;
    const char *slow[BATCH];
    size_t n = 0, n_slow = 0;

    if (!outbox_take(w->opt.store, clock_unix(), LEASE_SECONDS, BATCH, &a, &due, &n, &err))
        n = 0; /* the database is away for a moment: at the next look */
    /* a round waits long for one receiver of a project at most: those of others are behind it */
    for (size_t i = 0; i < n && !atomic_load(&w->stop); i++) {
        const double began = clock_seconds();

        if (is_among(due[i].project_id, slow, n_slow))
            put_off(w, &due[i], 1, "another receiver of the project took long");
        else
            settle(w, &due[i], &a);
        if (clock_seconds() - began > SLOW_SECONDS)
            slow[n_slow++] = due[i].project_id;
    }
    arena_release(&a);
    return n > 0 ? 0 : w->opt.pause_s;
}

bool webhook_sender_open(const struct webhook_sender_options *opt, struct webhook_sender **out,
                         struct error *err)
{
    struct webhook_sender *w = calloc(1, sizeof *w);

    if (w == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for webhooks");
    w->opt = *opt;
    if (w->opt.pause_s <= 0)
        w->opt.pause_s = 1;
    if (!http_open(&w->http, err)) {
        free(w);
        return false;
    }
    if (!background_start(&w->thread, work, w, "webhooks", err)) {
        http_close(w->http);
        free(w);
        return false;
    }
    *out = w;
    return true;
}

void webhook_sender_close(struct webhook_sender *w)
{
    if (w == NULL)
        return;
    atomic_store(&w->stop, true);
    background_release(&w->thread);
    http_close(w->http);
    free(w);
}
