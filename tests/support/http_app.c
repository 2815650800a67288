#include "support/http_app.h"

#include "base/clock.h"
#include "base/file.h"
#include "support/support.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *name_file(void *ctx, struct http_exchange *x, struct error *err)
{
    struct app *a = ctx;

    if (http_query(x, "refuse").ptr != NULL) {
        fail_param(err, ERR_INVALID, "file", "this file is not wanted");
        return NULL;
    }
    return arena_printf(&x->arena, "%s/in-%d", a->forms, atomic_fetch_add(&a->n_files, 1));
}

static bool take(void *ctx, struct http_exchange *x, size_t bytes, struct error *err)
{
    struct app *a = ctx;

    (void)x;
    if (atomic_fetch_add(&a->n_taken, (int)bytes) + (int)bytes <= a->max_taken)
        return true;
    return fail_code(err, ERR_LIMIT, "app_is_full", "file", "no more is taken");
}

static bool begin(void *ctx, struct http_exchange *x, struct http_plan *plan)
{
    struct app *a = ctx;

    atomic_fetch_add(&a->n_begun, 1);
    if (str_is(x->path, "/denied")) {
        http_answer(x, 401, "text/plain", STR("denied\n"), NULL, 0);
        return false;
    }
    if (str_is(x->path, "/none-begin"))
        return false;
    if (str_is(x->path, "/form"))
        *plan = (struct http_plan){.body = HTTP_BODY_MULTIPART,
                                   .max_bytes = a->max_form == 0 ? 1 << 20 : a->max_form,
                                   .incoming = name_file,
                                   .take = a->max_taken > 0 ? take : NULL};
    else if (str_is(x->path, "/echo"))
        *plan = (struct http_plan){.body = HTTP_BODY_MEMORY, .max_bytes = APP_MAX_BODY};
    return true;
}

static void echo(struct http_exchange *x)
{
    static const char *const names[] = {"GET",   "POST", "DELETE",  "PUT",
                                        "PATCH", "HEAD", "OPTIONS", "OTHER"};
    const struct http_pair more[] = {{STR("x-more"), STR("of it")}};
    struct buf b;

    buf_init(&b, 1 << 20);
    buf_printf(&b, "%s " STR_FMT "\n", names[x->method], STR_ARG(x->path));
    for (size_t i = 0; i < x->n_query; i++)
        buf_printf(&b, STR_FMT "=" STR_FMT "\n", STR_ARG(x->query[i].name),
                   STR_ARG(x->query[i].value));
    buf_str(&b, x->body);
    http_answer(x, 200, "text/plain", buf_view(&b), more, 1);
    buf_release(&b);
}

static void form(struct app *a, struct http_exchange *x)
{
    struct buf b;

    buf_init(&b, 1 << 22);
    for (size_t i = 0; i < x->n_parts; i++) {
        const struct http_part *p = &x->parts[i];

        buf_printf(&b, "%" PRIu64 " " STR_FMT, p->bytes, STR_ARG(p->name));
        if (p->path != NULL) {
            buf_printf(&b, " file=" STR_FMT " type=" STR_FMT " sha256=%s", STR_ARG(p->filename),
                       STR_ARG(p->content_type), p->sha256);
            if (http_query(x, "keep").ptr != NULL)
                assert_int_equal(rename(p->path, arena_printf(&x->arena, "%s/kept", a->dir)), 0);
        } else {
            buf_printf(&b, "=" STR_FMT, STR_ARG(p->value));
        }
        buf_char(&b, '\n');
    }
    http_answer(x, 200, "text/plain", buf_view(&b), NULL, 0);
    buf_release(&b);
}

static void forget(struct http_exchange **list, size_t *n, const struct http_exchange *x)
{
    for (size_t i = 0; i < *n; i++)
        if (list[i] == x) {
            list[i] = list[--*n];
            return;
        }
}

static void gone(void *ctx, struct http_exchange *x)
{
    struct app *a = ctx;
    bool end = false;

    if (a->ends_in_gone) {
        pthread_mutex_lock(&a->lock);
        const size_t before = a->n_streams;
        forget(a->streams, &a->n_streams, x);
        end = a->n_streams < before;
        pthread_mutex_unlock(&a->lock);
    }
    if (end)
        http_stream_end(x);
    atomic_store(&a->gone_at, clock_seconds());
    atomic_fetch_add(&a->n_gone, 1);
}

static void stream(struct app *a, struct http_exchange *x)
{
    const struct http_stream_options opt = {.content_type = "text/event-stream",
                                            .max_waiting = a->max_stream,
                                            .keep_alive_ms = a->keep_alive_ms,
                                            .gone = gone,
                                            .ctx = a};

    pthread_mutex_lock(&a->lock);
    assert_true(a->n_streams < 4096);
    a->streams[a->n_streams++] = x;
    http_stream_begin(x, &opt);
    pthread_mutex_unlock(&a->lock);
}

static void handle(void *ctx, struct http_exchange *x)
{
    struct app *a = ctx;

    atomic_fetch_add(&a->n_handled, 1);
    if (str_is(x->path, "/form")) {
        form(a, x);
    } else if (str_is(x->path, "/slow")) {
        const struct str ms = http_query(x, "ms");

        clock_sleep_until(clock_seconds() +
                          (ms.ptr == NULL ? 0 : atoi(arena_text(&x->arena, ms)) / 1e3));
        while (atomic_load(&a->is_held))
            clock_sleep_until(clock_seconds() + 0.005);
        http_answer(x, 200, "text/plain", STR("slow\n"), NULL, 0);
    } else if (str_is(x->path, "/keep")) {
        pthread_mutex_lock(&a->lock);
        a->kept[a->n_kept++] = x;
        http_keep(x, gone, a);
        pthread_mutex_unlock(&a->lock);
    } else if (str_is(x->path, "/stream")) {
        stream(a, x);
    } else if (str_is(x->path, "/file")) {
        http_answer_file(x, file_join(&x->arena, a->dir, "big.bin"), "application/octet-stream",
                         NULL, 0);
    } else if (str_is(x->path, "/none")) {
        return;
    } else {
        echo(x);
    }
}

static void answered(void *ctx, const struct http_exchange *x)
{
    struct app *a = ctx;

    assert_true(strncmp(x->request_id, "req_", 4) == 0);
    if (a->answered_seconds > 0)
        clock_sleep_until(clock_seconds() + a->answered_seconds);
    atomic_fetch_add(&a->n_answered, 1);
}

static void done(void *ctx, const struct http_exchange *x, int status, uint64_t bytes)
{
    struct app *a = ctx;

    (void)bytes;
    assert_true(strncmp(x->request_id, "req_", 4) == 0);
    atomic_store(&a->last_status, status);
    atomic_fetch_add(&a->n_done, 1);
}

static struct str refusal(void *ctx, int status, const char *message, const struct error *why,
                          struct arena *arena)
{
    (void)ctx;
    if (why != NULL) {
        assert_string_equal(message, why->message);
        return str_of(arena_printf(arena, "{\"refused\":%d,\"code\":\"%s\"}", status, why->code));
    }
    return str_of(arena_printf(arena, "{\"refused\":%d,\"why\":\"%s\"}", status, message));
}

static size_t headers(void *ctx, const struct http_exchange *x, int status,
                      struct http_pair out[HTTP_MORE_HEADERS])
{
    (void)ctx;
    (void)x;
    (void)status;
    out[0] = (struct http_pair){STR("x-every"), STR("answer")};
    return 1;
}

static void note(void *ctx, const char *message)
{
    struct app *a = ctx;

    assert_true(message[0] != '\0');
    atomic_fetch_add(&a->n_logs, 1);
}

void app_open(struct app *a)
{
    struct error err = {0};

    a->dir = test_dir_make(&a->arena);
    if (a->forms == NULL)
        a->forms = a->dir;
    pthread_mutex_init(&a->lock, NULL);
    a->opt.ctx = a;
    a->opt.begin = begin;
    a->opt.handle = handle;
    a->opt.answered = answered;
    a->opt.done = done;
    a->opt.refusal = refusal;
    a->opt.headers = headers;
    a->opt.log = note;
    ASSERT_OK(http_server_open(&a->opt, &a->server, &err));
    a->port = http_server_port(a->server);
    assert_true(a->port > 0);
}

/* What handlers still keep while the server closes. */
static void *let_go(void *ctx)
{
    struct app *a = ctx;

    while (!atomic_load(&a->is_closed)) {
        app_end_streams(a);
        app_answer_kept(a);
        clock_sleep_until(clock_seconds() + 0.002);
    }
    return NULL;
}

void app_close(struct app *a)
{
    pthread_t t;

    assert_int_equal(pthread_create(&t, NULL, let_go, a), 0);
    http_server_close(a->server);
    atomic_store(&a->is_closed, true);
    pthread_join(t, NULL);
    test_dir_remove(a->dir);
    pthread_mutex_destroy(&a->lock);
    arena_release(&a->arena);
}

void app_wait(atomic_int *n, int want)
{
    const double deadline = clock_seconds() + 20;

    while (atomic_load(n) < want) {
        if (clock_seconds() > deadline)
            fail_msg("%d came of %d", atomic_load(n), want);
        clock_sleep_until(clock_seconds() + 0.005);
    }
}

static void wait_list(struct app *a, const size_t *n, size_t want)
{
    const double deadline = clock_seconds() + 30;

    for (;;) {
        pthread_mutex_lock(&a->lock);
        const size_t have = *n;
        pthread_mutex_unlock(&a->lock);
        if (have == want)
            return;
        if (clock_seconds() > deadline)
            fail_msg("%zu are there of %zu", have, want);
        clock_sleep_until(clock_seconds() + 0.005);
    }
}

void app_wait_streams(struct app *a, size_t want)
{
    wait_list(a, &a->n_streams, want);
}

void app_wait_kept(struct app *a, size_t want)
{
    wait_list(a, &a->n_kept, want);
}

size_t app_put(struct app *a, struct str bytes)
{
    size_t n = 0;

    pthread_mutex_lock(&a->lock);
    for (size_t i = 0; i < a->n_streams; i++)
        n += http_stream_put(a->streams[i], bytes);
    pthread_mutex_unlock(&a->lock);
    return n;
}

/* Not under the lock: gone, which http_stream_end waits for, takes it. */
void app_end_streams(struct app *a)
{
    for (;;) {
        pthread_mutex_lock(&a->lock);
        struct http_exchange *x = a->n_streams == 0 ? NULL : a->streams[--a->n_streams];
        pthread_mutex_unlock(&a->lock);
        if (x == NULL)
            return;
        http_stream_end(x);
    }
}

void app_answer_kept(struct app *a)
{
    for (;;) {
        pthread_mutex_lock(&a->lock);
        struct http_exchange *x = a->n_kept == 0 ? NULL : a->kept[--a->n_kept];
        pthread_mutex_unlock(&a->lock);
        if (x == NULL)
            return;
        http_answer(x, 200, "text/plain", STR("kept\n"), NULL, 0);
    }
}

size_t app_files(struct app *a)
{
    DIR *d = opendir(a->forms);
    size_t n = 0;

    assert_non_null(d);
    for (const struct dirent *f; (f = readdir(d)) != NULL;)
        n += strncmp(f->d_name, "in-", 3) == 0;
    closedir(d);
    return n;
}

size_t resident_bytes(void)
{
    FILE *f = fopen("/proc/self/statm", "r");
    size_t pages = 0;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*s %zu", &pages), 1);
    fclose(f);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}
