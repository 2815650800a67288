#include "base/clock.h"
#include "base/file.h"
#include "base/sha256.h"
#include "support/http_app.h"
#include "support/http_client.h"
#include "support/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define BOUNDARY "0123456789abcdef0123456789abcdef"
#define FORM_TYPE "Content-Type: multipart/form-data; boundary=" BOUNDARY "\r\n"
#define FILE_HEAD                                                                                  \
    "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n"      \
    "--" BOUNDARY                                                                                  \
    "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"train.jsonl\"\r\n"              \
    "Content-Type: application/octet-stream\r\n\r\n"
#define FORM_END "\r\n--" BOUNDARY "--\r\n"

static struct app app;

static struct reply post(struct arena *a, const char *target, const char *type, const char *body)
{
    return client_once(app.port, a, "POST", target, type, str_of(body));
}

static void a_form_comes_apart(void **state)
{
    (void)state;
    struct arena a = {0};
    app = (struct app){0};
    app_open(&app);
    struct reply r = post(
        &a, "/form", FORM_TYPE,
        "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nfine-tune\r\n"
        "--" BOUNDARY "\r\nContent-Disposition: form-data; "
        "name=\"expires_after[anchor]\"\r\n\r\ncreated_at\r\n"
        "--" BOUNDARY "\r\ncontent-disposition:form-data;name=same\r\n\r\n\r\n"
        "--" BOUNDARY "\r\ncontent-disposition:form-data;name=same\r\n\r\n--" BOUNDARY "x\r\n\r"
        "\r\n--" BOUNDARY "  \r\n"
        "Content-Type: application/octet-stream\r\nContent-Disposition: form-data; "
        "name=\"file\"; filename=\"a \\\"b\\\" %22c.jsonl\"\r\n\r\n{\"a\":1}\r\n\r\n"
        "--" BOUNDARY "\r\nContent-Disposition: form-data; name=\"file\"; filename=\"\"\r\n\r\n"
        "\r\n--" BOUNDARY "--\r\nwhat follows has no meaning");

    assert_int_equal(r.status, 200);
    ASSERT_STR(r.body, arena_printf(
                           &a,
                           "9 purpose=fine-tune\n10 expires_after[anchor]=created_at\n"
                           "0 same=\n38 same=--" BOUNDARY "x\r\n\r\n"
                           "9 file file=a \"b\" \"c.jsonl type=application/octet-stream sha256=%s\n"
                           "0 file file= type= sha256=%s\n",
                           sha256_of("{\"a\":1}\r\n", 9).hex, sha256_of("", 0).hex));
    app_wait(&app.n_done, 1);
    assert_int_equal(app_files(&app), 0); /* nobody took them */
    r = post(&a, "/form?keep=1", FORM_TYPE, FILE_HEAD "kept" FORM_END);
    assert_int_equal(r.status, 200);
    assert_true(file_exists(file_join(&a, app.dir, "kept")));
    app_close(&app);
    arena_release(&a);
}

static void a_broken_form_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *target, *type, *body, *why;
        int status;
    } cases[] = {
        {"/form", "", "x", "must be multipart/form-data", 400},
        {"/form", "Content-Type: multipart/form-data\r\n", "x", "no boundary", 400},
        {"/form", "Content-Type: multipart/form-data; boundary=\"\"\r\n", "x", "no boundary", 400},
        {"/form", "Content-Type: multipart/form-data; boundary=\"a\r\n", "x", "no boundary", 400},
        {"/form", FORM_TYPE, "", "the body is empty", 400},
        {"/form", FORM_TYPE, FILE_HEAD "abc", "cut short", 400},
        {"/form", FORM_TYPE, FILE_HEAD "abc\r\n--" BOUNDARY, "cut short", 400},
        {"/form", FORM_TYPE, FILE_HEAD "abc\r\n--" BOUNDARY "-\r\n", "behind a boundary", 400},
        {"/form", FORM_TYPE, FILE_HEAD "abc\r\n--" BOUNDARY "x", "behind a boundary", 400},
        {"/form", FORM_TYPE, "--" BOUNDARY "\r\nContent-Type: text/plain\r\n\r\nx" FORM_END,
         "has no name", 400},
        {"/form", FORM_TYPE,
         "--" BOUNDARY "\r\nContent-Disposition: attachment; name=a\r\n\r\nx" FORM_END,
         "must be form-data", 400},
        {"/form", FORM_TYPE,
         "--" BOUNDARY "\r\nContent-Disposition: form-data; name=a; name=b\r\n\r\nx" FORM_END,
         "must be form-data", 400},
        {"/form", FORM_TYPE, "--" BOUNDARY "\r\nno colon\r\n\r\nx" FORM_END, "without a colon",
         400},
        {"/form?refuse=1", FORM_TYPE, FILE_HEAD "x" FORM_END, "not wanted", 400},
    };
    struct arena a = {0};
    app = (struct app){0};
    app_open(&app);

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct reply r = post(&a, cases[i].target, cases[i].type, cases[i].body);

        if (r.status != cases[i].status || strstr(arena_text(&a, r.body), cases[i].why) == NULL)
            fail_msg("case %zu: %d " STR_FMT, i, r.status, STR_ARG(r.body));
    }
    app_wait(&app.n_done, (int)(sizeof cases / sizeof cases[0]));
    assert_int_equal(app_files(&app), 0);
    assert_int_equal(app.n_handled, 0);
    app_close(&app);
    arena_release(&a);
}

static void chunks_may_be_of_any_size_and_have_trailers(void **state)
{
    (void)state;
    struct arena a = {0};
    app = (struct app){0};
    app_open(&app);
    struct client c = client_open(app.port);

    client_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: Chunked\r\n\r\n"
                    "1\r\na\r\n00a;name=value\r\n0123456789\r\n");
    clock_sleep_until(clock_seconds() + 0.05);
    client_text(&c, "0\r\nContent-Length: 5\r\nX-Sum: 1\r\n\r\n"
                    "GET /echo?next=1 HTTP/1.1\r\nHost: t\r\n\r\n");
    ASSERT_STR(client_reply(&c, &a, true, 5).body, "POST /echo\na0123456789");
    ASSERT_STR(client_reply(&c, &a, true, 5).body, "GET /echo\nnext=1\n");
    /* a form, byte by byte, each in a chunk of its own */
    const char *form = FILE_HEAD "abc\r\n-\r\n--\r\n" FORM_END;
    client_text(&c, "POST /form HTTP/1.1\r\nHost: t\r\n" FORM_TYPE
                    "Transfer-Encoding: chunked\r\n\r\n");
    for (size_t i = 0; form[i] != '\0'; i++) {
        client_send(&c, STR("1\r\n"));
        client_send(&c, (struct str){form + i, 1});
        client_send(&c, STR("\r\n"));
    }
    client_text(&c, "0\r\n\r\n");
    const struct reply r = client_reply(&c, &a, true, 5);
    ASSERT_STR(r.body, arena_printf(&a,
                                    "9 purpose=fine-tune\n12 file file=train.jsonl "
                                    "type=application/octet-stream sha256=%s\n",
                                    sha256_of("abc\r\n-\r\n--\r\n", 12).hex));
    client_close(&c);
    app_close(&app);
    arena_release(&a);
}

static void a_body_has_a_greatest_size(void **state)
{
    (void)state;
    struct arena a = {0};
    static char big[200000];
    app = (struct app){0};
    app_open(&app);
    memset(big, 'x', sizeof big);

    /* its length says it: refused before it comes. A short one is read over, and the connection lives on. */
    struct client c = client_open(app.port);
    client_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 200000\r\n\r\n");
    client_send(&c, (struct str){big, sizeof big});
    assert_int_equal(client_reply(&c, &a, true, 5).status, 413);
    client_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 65536\r\n\r\n");
    client_send(&c, (struct str){big, 65536});
    assert_int_equal(client_reply(&c, &a, true, 5).status, 200);
    client_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 4000000000\r\n\r\n");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 413);
    assert_true(client_sees_end(&c, 5));
    client_close(&c);
    /* the same asks first: nothing is sent */
    c = client_open(app.port);
    client_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 65537\r\nExpect: "
                    "100-continue\r\n\r\n");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 413);
    client_close(&c);
    c = client_open(app.port);
    client_text(&c, "POST /denied HTTP/1.1\r\nHost: t\r\nContent-Length: 5\r\nExpect: "
                    "100-continue\r\n\r\n");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 401);
    client_close(&c);
    c = client_open(app.port);
    client_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nExpect: "
                    "100-continue\r\n\r\n");
    assert_true(client_wait_for(&c, "HTTP/1.1 100 Continue\r\n\r\n", 5));
    client_text(&c, "abc");
    ASSERT_STR(client_reply(&c, &a, true, 5).body, "POST /echo\nabc");
    /* without a length: as soon as it is passed, told at its end */
    client_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 2; i++) {
        client_text(&c, "%zx\r\n", sizeof big);
        client_send(&c, (struct str){big, sizeof big});
        client_text(&c, "\r\n");
    }
    client_text(&c, "0\r\n\r\n");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 413);
    client_text(&c, "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 200);
    /* one that never ends is cut */
    client_text(&c, "POST /echo HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    bool sent = true;
    for (int i = 0; i < 1000 && sent; i++) {
        client_text(&c, "%zx\r\n", sizeof big);
        sent = client_send(&c, (struct str){big, sizeof big}) && client_text(&c, "\r\n");
    }
    assert_false(sent);
    client_close(&c);
    app_close(&app);
    arena_release(&a);
}

/* Who is asked for each piece says no: told in his words, whether the length was known or not, and nothing stays. */
static void a_plan_takes_as_much_as_it_likes(void **state)
{
    (void)state;
    struct arena a = {0};
    static char some[70000];
    app = (struct app){.max_taken = 100000};
    app_open(&app);
    memset(some, 'x', sizeof some);

    struct client c = client_open(app.port);
    for (int i = 0; i < 3; i++) {
        if (i == 1) {
            client_text(&c,
                        "POST /form HTTP/1.1\r\nHost: t\r\n" FORM_TYPE
                        "Content-Length: %zu\r\n\r\n" FILE_HEAD,
                        strlen(FILE_HEAD FORM_END) + sizeof some);
            client_send(&c, (struct str){some, sizeof some});
            client_text(&c, FORM_END);
        } else {
            client_text(&c,
                        "POST /form HTTP/1.1\r\nHost: t\r\n" FORM_TYPE
                        "Transfer-Encoding: chunked\r\n\r\n%zx\r\n" FILE_HEAD "\r\n%zx\r\n",
                        strlen(FILE_HEAD), sizeof some);
            client_send(&c, (struct str){some, sizeof some});
            client_text(&c, "\r\n%zx\r\n" FORM_END "\r\n0\r\n\r\n", strlen(FORM_END));
        }
        const struct reply r = client_reply(&c, &a, true, 10);
        assert_int_equal(r.status, i == 0 ? 200 : 400);
        if (i > 0)
            ASSERT_STR(r.body, "{\"refused\":400,\"code\":\"app_is_full\"}");
        app_wait(&app.n_done, i + 1);
        assert_int_equal(app_files(&app), 0);
    }
    assert_int_equal(app.n_handled, 1);
    client_close(&c);
    app_close(&app);
    arena_release(&a);
}

static void who_leaves_in_the_middle_leaves_nothing(void **state)
{
    (void)state;
    app = (struct app){0};
    app_open(&app);
    for (int reset = 0; reset < 3; reset++) {
        struct client c = client_open(app.port);

        if (reset == 2) { /* its end comes together with its last bytes */
            char some[40000];

            memset(some, 'x', sizeof some);
            client_text(&c, "POST /form HTTP/1.1\r\nHost: t\r\n" FORM_TYPE
                            "Content-Length: 1000000\r\n\r\n" FILE_HEAD);
            client_send(&c, (struct str){some, sizeof some});
            client_close(&c);
            app_wait(&app.n_done, reset + 1);
            break;
        }

        client_text(&c, "POST /form HTTP/1.1\r\nHost: t\r\n" FORM_TYPE
                        "Content-Length: 100000\r\n\r\n" FILE_HEAD "some of it");
        const double deadline = clock_seconds() + 5;
        while (app_files(&app) == 0 && clock_seconds() < deadline)
            clock_sleep_until(clock_seconds() + 0.01);
        assert_int_equal(app_files(&app), 1);
        if (reset == 1) {
            const struct linger now = {.l_onoff = 1};

            setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        }
        client_close(&c);
        app_wait(&app.n_done, reset + 1);
        assert_int_equal(app_files(&app), 0);
    }
    assert_int_equal(app.last_status, 0);
    assert_int_equal(app.n_handled, 0);
    app_close(&app);
}

static struct str some_bytes(struct arena *a, size_t n)
{
    char *p = arena_alloc(a, n);

    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 2654435761u >> 11);
    return (struct str){p, n};
}

/* A file that may not grow stands for a disk that is full: write() says EFBIG, as it would ENOSPC. */
static void a_full_disk_is_told_and_leaves_nothing(void **state)
{
    (void)state;
    struct arena a = {0};
    struct rlimit before;
    app = (struct app){.max_form = 8 << 20};
    app_open(&app);
    const struct str bytes = some_bytes(&a, (size_t)2 << 20);
    struct client c = client_open(app.port);

    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &before);
    const struct rlimit small = {.rlim_cur = 1 << 20, .rlim_max = before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    client_text(&c, "POST /form HTTP/1.1\r\nHost: t\r\n" FORM_TYPE "Content-Length: %zu\r\n\r\n",
                strlen(FILE_HEAD FORM_END) + bytes.len);
    client_text(&c, FILE_HEAD);
    client_send(&c, bytes);
    client_text(&c, FORM_END);
    struct reply r = client_reply(&c, &a, true, 10);
    setrlimit(RLIMIT_FSIZE, &before);
    assert_int_equal(r.status, 500);
    assert_non_null(strstr(arena_text(&a, r.body), "cannot be kept"));
    assert_int_equal(app_files(&app), 0);
    assert_int_equal(app.n_handled, 0);
    client_text(&c, "GET /echo HTTP/1.1\r\nHost: t\r\n\r\n");
    assert_int_equal(client_reply(&c, &a, true, 5).status, 200);
    client_close(&c);
    app_close(&app);
    arena_release(&a);
}

static void *upload(void *ctx)
{
    const struct str *bytes = ctx;
    struct arena a = {0};
    struct client c = client_open(app.port);

    client_text(&c, "POST /form HTTP/1.1\r\nHost: t\r\n" FORM_TYPE "Content-Length: %zu\r\n\r\n",
                strlen(FILE_HEAD FORM_END) + bytes->len);
    client_text(&c, FILE_HEAD);
    client_send(&c, *bytes);
    client_text(&c, FORM_END);
    const struct reply r = client_reply(&c, &a, true, 60);
    const bool ok = r.status == 200 &&
                    strstr(arena_text(&a, r.body), sha256_of(bytes->ptr, bytes->len).hex) != NULL;
    client_close(&c);
    arena_release(&a);
    return ok ? ctx : NULL;
}

static void many_upload_at_once(void **state)
{
    (void)state;
    enum { N = 64 };
    struct arena a = {0};
    struct str bytes[N];
    pthread_t t[N];
    app = (struct app){.max_form = 8 << 20};
    app_open(&app);
    const struct str all = some_bytes(&a, ((size_t)2 << 20) + N);

    for (size_t i = 0; i < N; i++) {
        bytes[i] = (struct str){all.ptr + i, (size_t)2 << 20};
        assert_int_equal(pthread_create(&t[i], NULL, upload, &bytes[i]), 0);
    }
    int good = 0;
    for (size_t i = 0; i < N; i++) {
        void *ok;

        pthread_join(t[i], &ok);
        good += ok != NULL;
    }
    assert_int_equal(good, N);
    assert_int_equal(app.n_files, N);
    app_close(&app);
    arena_release(&a);
}

static double processor_seconds(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) +
           1e-6 * (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

/* HONE_UPLOAD_MB: 1200 in the long test. */
static void a_large_upload_takes_no_memory(void **state)
{
    (void)state;
    struct arena a = {0};
    const char *mb = getenv("HONE_UPLOAD_MB");
    const size_t pieces = mb == NULL ? 128 : (size_t)atoi(mb);
    struct sha256_ctx sum;
    app = (struct app){.max_form = (uint64_t)4 << 30};
    app_open(&app);
    const struct str piece = some_bytes(&a, (size_t)1 << 20);
    struct client c = client_open(app.port);

    sha256_init(&sum);
    for (size_t i = 0; i < pieces; i++)
        sha256_update(&sum, piece.len, (const uint8_t *)piece.ptr);
    const size_t before = resident_bytes();
    const double start = clock_seconds(), worked = processor_seconds();
    client_text(&c,
                "POST /form?keep=1 HTTP/1.1\r\nHost: t\r\n" FORM_TYPE "Content-Length: %zu\r\n\r\n",
                strlen(FILE_HEAD FORM_END) + pieces * piece.len);
    client_text(&c, FILE_HEAD);
    size_t most = before;
    for (size_t i = 0; i < pieces; i++) {
        assert_true(client_send(&c, piece));
        const size_t now = resident_bytes();
        most = now > most ? now : most;
    }
    client_text(&c, FORM_END);
    const struct reply r = client_reply(&c, &a, true, 600);
    const double took = clock_seconds() - start, work = processor_seconds() - worked;
    assert_int_equal(r.status, 200);
    assert_non_null(strstr(arena_text(&a, r.body), sha256_finish(&sum).hex));
    print_message(
        "%zu MiB to disk, hashed: %.0f MiB/s, %.2f s of processor (client's part too), memory grew by %zu KiB\n",
        pieces, (double)pieces / took, work, (most - before) >> 10);
#ifndef HONE_SANITIZED
    assert_true(most - before < (size_t)16 << 20);
#endif
    client_close(&c);
    app_close(&app);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_form_comes_apart),
        cmocka_unit_test(a_broken_form_is_refused),
        cmocka_unit_test(chunks_may_be_of_any_size_and_have_trailers),
        cmocka_unit_test(a_body_has_a_greatest_size),
        cmocka_unit_test(a_plan_takes_as_much_as_it_likes),
        cmocka_unit_test(who_leaves_in_the_middle_leaves_nothing),
        cmocka_unit_test(a_full_disk_is_told_and_leaves_nothing),
        cmocka_unit_test(many_upload_at_once),
        cmocka_unit_test(a_large_upload_takes_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
