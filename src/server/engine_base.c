/*
 * engine_base.c - one base model: its reader, which makes requests ready, and its runner, which goes on with all of them.
 */
#include "base/size.h"
#include "job/run_habits.h"
#include "model/model_files.h"
#include "server/engine_host_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PREFIX_BYTES                                                                               \
    ((size_t)256 << 20) /* of conversations that may go on: some 12,000 tokens of a small model */
#define MOST_TUNED 64   /* adapters that one base keeps while nobody asks for them */

void queue_put(struct request_queue *q, struct request *r)
{
    if (q->last == NULL)
        q->last = &q->first;
    r->queued = NULL;
    *q->last = r;
    q->last = &r->queued;
}

struct request *queue_take(struct request_queue *q)
{
    struct request *r = q->first;

    if (r != NULL && (q->first = r->queued) == NULL)
        q->last = &q->first;
    return r;
}

/* ---- adapters ---- */

static void tuned_free(struct tuned *t)
{
    prompter_close(t->prompter);
    adapter_close(t->adapter);
    free(t->folder);
    free(t->run);
    free(t);
}

static bool same_text(const char *a, const char *b)
{
    return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

static char *copy_of(const char *text)
{
    char *copy = text != NULL ? strdup(text) : NULL;

    if (text != NULL && copy == NULL)
        abort(); /* a few bytes */
    return copy;
}

/* Under the lock. */
static struct tuned *find_tuned(const struct base *b, const char *folder, const char *run)
{
    struct tuned *t = b->tuned;

    while (t != NULL && (!same_text(t->folder, folder) || !same_text(t->run, run)))
        t = t->next;
    return t;
}

bool base_has(const struct base *b, const struct engine_model *m)
{
    return m->adapter != NULL && strcmp(b->path, m->path) == 0 &&
           find_tuned(b, m->adapter, m->run) != NULL;
}

/* The reader's: gives r its adapter, which stays open as long as r does. */
static bool load_tuned(struct base *b, struct request *r, struct error *err)
{
    const char *folder = r->lead.model.adapter, *run = folder != NULL ? r->lead.model.run : NULL;
    struct host *h = b->host;

    pthread_mutex_lock(&h->lock);
    struct tuned *t = find_tuned(b, folder, run);
    if (t != NULL) {
        t->n_users++;
        t->used = ++h->clock;
        r->tuned = t;
    }
    pthread_mutex_unlock(&h->lock);
    if (t != NULL)
        return true;
    t = calloc(1, sizeof *t);
    if (t == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for an adapter");
    if (folder != NULL && !adapter_load(&b->model->config, folder, &t->adapter, err)) {
        free(t);
        return false;
    }
    t->folder = copy_of(folder);
    t->run = copy_of(run);
    t->n_users = 1;
    pthread_mutex_lock(&h->lock);
    t->used = ++h->clock;
    t->next = b->tuned;
    b->tuned = t;
    pthread_mutex_unlock(&h->lock);
    r->tuned = t;
    return true;
}

/* The reader's: the template and the way of thinking that belong to r's adapter. */
static bool open_prompter(struct base *b, struct tuned *t, struct error *err)
{
    struct run_habits habits;

    if (t->prompter != NULL)
        return true;
    run_habits_read(t->run, &habits);
    const bool ok = run_habits_prompter(&habits, b->model, NULL, &t->prompter, err);
    run_habits_release(&habits);
    return ok;
}

/* Under the lock: takes out the adapter that nobody uses and that was used longest ago, where there are too many. */
static struct tuned *take_oldest(struct base *b)
{
    struct tuned **oldest = NULL, *t;
    size_t n = 0;

    for (struct tuned **at = &b->tuned; *at != NULL; at = &(*at)->next) {
        n += (*at)->adapter != NULL;
        if ((*at)->adapter != NULL && (*at)->n_users == 0 &&
            (oldest == NULL || (*at)->used < (*oldest)->used))
            oldest = at;
    }
    if (n <= MOST_TUNED || oldest == NULL)
        return NULL;
    t = *oldest;
    *oldest = t->next;
    return t;
}

/* ---- the runner ---- */

static void flush(struct base *b)
{
    if (b->out.len > 0)
        host_post(b->host, buf_view(&b->out), b->out_ends, true);
    buf_clear(&b->out);
    b->out_ends = false;
}

static void run_on(struct base *b, struct request *r)
{
    struct error err = {0};

    r->queued = NULL;
    r->in_runner = true;
    if (request_submit(r, &err)) {
        struct request **at = &b->running;

        while (*at != NULL)
            at = &(*at)->queued;
        *at = r;
        return;
    }
    request_tell_error(r, &err);
    flush(b);
    request_end(r);
}

/* Lets go of those that are answered, or that nobody waits for any more. */
static void sweep(struct base *b)
{
    for (struct request **at = &b->running; *at != NULL;) {
        struct request *r = *at;

        if (!request_is_over(r) && !atomic_load(&r->cancelled)) {
            at = &r->queued;
            continue;
        }
        *at = r->queued;
        request_end(r);
    }
}

/* There is no memory to go on: the request that came last is the one that does not fit. */
static void give_up_one(struct base *b, const struct error *err)
{
    struct request **at = &b->running;

    while ((*at)->queued != NULL)
        at = &(*at)->queued;
    struct request *r = *at;
    *at = NULL;
    request_tell_error(r, err);
    flush(b);
    request_end(r);
}

static void note_counts(struct base *b)
{
    const struct engine_counts counts = engine_counts(b->engine);
    size_t bytes = model_bytes(b->model) + engine_bytes(b->engine);

    pthread_mutex_lock(&b->host->lock);
    for (const struct tuned *t = b->tuned; t != NULL; t = t->next)
        if (t->adapter != NULL)
            bytes += 2 * t->adapter->n_values * sizeof(float); /* and as the forward reads them */
    b->counts = counts;
    b->bytes = bytes;
    pthread_mutex_unlock(&b->host->lock);
}

/* All that are ready, once there is something to do; false: it is time to end. */
static bool take_ready(struct base *b, struct request_queue *out, struct tuned **old)
{
    struct host *h = b->host;

    pthread_mutex_lock(&h->lock);
    while (b->ready.first == NULL && b->running == NULL && !(b->closing && b->n_requests == 0))
        pthread_cond_wait(&b->wake, &h->lock);
    *out = (struct request_queue){0};
    for (struct request *r; (r = queue_take(&b->ready)) != NULL;)
        queue_put(out, r);
    *old = take_oldest(b);
    const bool more = out->first != NULL || b->running != NULL;
    pthread_mutex_unlock(&h->lock);
    return more;
}

static void *runner_main(void *arg)
{
    struct base *b = arg;
    struct request_queue ready;
    struct tuned *old;

    while (take_ready(b, &ready, &old)) {
        struct error err = {0};
        size_t n_live = 0;

        for (struct request *r; (r = queue_take(&ready)) != NULL;)
            run_on(b, r);
        if (old != NULL) {
            engine_forget(b->engine, old->adapter);
            tuned_free(old);
        }
        sweep(b);
        if (b->running != NULL && !engine_turn(b->engine, &n_live, &err))
            give_up_one(b, &err);
        note_counts(b);
        flush(b);
        sweep(b);
    }
    return NULL;
}

/* ---- the reader ---- */

/* What a model will take, before it is open: the files it is in. */
static size_t bytes_on_disk(const char *path)
{
    char weights[4096];
    struct stat st;

    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode) &&
        (size_t)snprintf(weights, sizeof weights, "%s/model.safetensors", path) < sizeof weights)
        (void)!stat(weights, &st);
    return st.st_size > 0 ? (size_t)st.st_size : 0;
}

static bool open_decoder(struct base *b, struct error *err)
{
    bool ok = model_open(b->path, b->host->opt.max_positions, &b->model, err);

    if (ok) {
        b->model->precision = b->precision;
        b->model->config.kv_cache = b->kv_cache;
        struct engine_options opt = engine_defaults(b->model);

        opt.prefix_bytes = PREFIX_BYTES;
        ok = engine_open(b->model, model_files_tokenizer(b->model->files), &opt, &b->engine, err);
    }
    if (ok) {
        note_counts(b);
        b->has_runner = pthread_create(&b->runner, NULL, runner_main, b) == 0;
        ok = b->has_runner || fail(err, ERR_IO, "no thread can be started for a model");
    }
    return ok;
}

static bool open_base(struct base *b, struct error *err)
{
    struct host *h = b->host;
    const size_t bytes = bytes_on_disk(b->path);

    pthread_mutex_lock(&h->lock);
    host_make_room(h, b, bytes);
    while (h->n_closing > 0 && !h->ending) /* their memory is what this one takes */
        pthread_cond_wait(&h->changed, &h->lock);
    const bool ending = h->ending;
    b->bytes = bytes;
    pthread_mutex_unlock(&h->lock);
    if (ending)
        return fail(err, ERR_CANCELLED, "the server ends");
    return b->embeds ? encoder_open(b->path, &b->encoder, err) : open_decoder(b, err);
}

static void close_base(struct base *b)
{
    struct host *h = b->host;

    if (b->has_runner)
        pthread_join(b->runner, NULL);
    engine_close(b->engine);
    for (struct tuned *t; (t = b->tuned) != NULL;) {
        b->tuned = t->next;
        tuned_free(t);
    }
    model_close(b->model);
    encoder_close(b->encoder);
    buf_release(&b->out);
    pthread_cond_destroy(&b->wake);
    free(b->path);
    free(b);
    pthread_mutex_lock(&h->lock);
    h->n_bases--;
    h->n_closing--;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock); /* the host may be gone from here on */
}

/* The next request to be read; NULL: it is time to end. */
static struct request *next_waiting(struct base *b)
{
    struct host *h = b->host;
    struct request *r;

    pthread_mutex_lock(&h->lock);
    while ((r = queue_take(&b->waiting)) == NULL && !(b->closing && b->n_requests == 0))
        pthread_cond_wait(&b->wake, &h->lock);
    pthread_mutex_unlock(&h->lock);
    return r;
}

static void pass_on(struct base *b, struct request *r)
{
    pthread_mutex_lock(&b->host->lock);
    queue_put(&b->ready, r);
    pthread_cond_broadcast(&b->wake);
    pthread_mutex_unlock(&b->host->lock);
}

static void put_without(struct buf *out, struct str text, const char *path, const char *name)
{
    const struct str p = path != NULL ? str_of(path) : (struct str){0};

    for (size_t at; p.len > 0 && (at = str_find(text, p, 0)) < text.len;
         text = str_from(text, at + p.len)) {
        buf_put(out, text.ptr, at);
        buf_text(out, name);
    }
    buf_str(out, text);
}

/* Why a model did not open, with the name that it was asked by in place of where its files are. */
static void tell_closed(struct request *r, const struct error *why)
{
    const struct engine_model *m = &r->lead.model;
    const char *const paths[] = {m->adapter, m->run, m->path}; /* an adapter lies within its run */
    struct error err = {0};
    struct buf text[2];

    buf_init(&text[0], 8 * sizeof why->message);
    buf_init(&text[1], 8 * sizeof why->message);
    buf_text(&text[0], why->message);
    for (size_t i = 0; i < COUNT_OF(paths); i++) {
        buf_clear(&text[(i + 1) % 2]);
        put_without(&text[(i + 1) % 2], buf_view(&text[i % 2]), paths[i], m->name);
    }
    fail_param(&err, why->kind, "model", STR_FMT, STR_ARG(buf_view(&text[COUNT_OF(paths) % 2])));
    buf_release(&text[0]);
    buf_release(&text[1]);
    request_tell_error(r, &err);
}

static void read_one(struct base *b, struct request *r)
{
    struct error err = {0};

    bool ok = atomic_load(&r->cancelled) ? fail(&err, ERR_CANCELLED, "cancelled") : true;
    if (ok && !b->embeds && /* the adapter may have been removed since it was found */
        !(load_tuned(b, r, &err) && (r->lead.op == ENGINE_COMPLETE || r->lead.op == ENGINE_SCORE ||
                                     open_prompter(b, r->tuned, &err)))) {
        tell_closed(r, &err);
        request_end(r);
        return;
    }
    ok = ok && request_read(r, &err);
    if (ok && r->n_parts > 0) {
        pass_on(b, r);
        return;
    }
    if (!ok)
        request_tell_error(r, &err);
    request_end(r);
}

/* Nothing can be asked of a model that does not open; who asks again has it tried again. */
static void refuse_all(struct base *b, const struct error *err)
{
    struct host *h = b->host;
    struct request *r;

    pthread_mutex_lock(&h->lock);
    if (!b->closing) {
        struct base **at = &h->bases;

        while (*at != b)
            at = &(*at)->next;
        *at = b->next;
        b->closing = true;
        h->n_closing++;
    }
    pthread_mutex_unlock(&h->lock);
    while ((r = next_waiting(b)) != NULL) {
        tell_closed(r, err);
        request_end(r);
    }
}

static void *reader_main(void *arg)
{
    struct base *b = arg;
    struct error err = {0};
    struct request *r;

    if (!open_base(b, &err))
        refuse_all(b, &err);
    while ((r = next_waiting(b)) != NULL)
        read_one(b, r);
    pthread_mutex_lock(&b->host->lock);
    pthread_cond_broadcast(&b->wake); /* the runner, too */
    pthread_mutex_unlock(&b->host->lock);
    close_base(b);
    return NULL;
}

bool base_start(struct base *b, struct error *err)
{
    pthread_attr_t attr;
    pthread_t thread;

    buf_init(&b->out, SIZE_MAX / 2);
    pthread_cond_init(&b->wake, NULL);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    const int rc = pthread_create(&thread, &attr, reader_main, b);
    pthread_attr_destroy(&attr);
    if (rc != 0)
        pthread_cond_destroy(&b->wake);
    return rc == 0 || fail(err, ERR_IO, "no thread can be started for a model: %s", strerror(rc));
}
