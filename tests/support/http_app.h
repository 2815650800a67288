/*
 * http_app.h - a small application behind the server of http.h, for its tests.
 *
 *     ANY  /echo            "METHOD path", a line "name=value" for each of the query, and the body (at most 64 KiB)
 *     POST /form            multipart; a line for each part. ?keep=1: its files stay
 *     GET  /slow?ms=N       after so long
 *     GET  /keep            kept, until app_answer_kept
 *     GET  /stream          grows by app_put, until app_end_streams
 *     GET  /file            the file big.bin of the application's folder
 *     GET  /none            returns without an answer
 *     ANY  /denied          401, before the body is read
 */
#ifndef HONE_TESTS_HTTP_APP_H
#define HONE_TESTS_HTTP_APP_H

#include "server/http.h"

#include <pthread.h>
#include <stdatomic.h>

#define APP_MAX_BODY ((uint64_t)65536)

struct app {
    struct http_options opt; /* set before app_open; the callbacks are the application's */
    struct http_server *server;
    int port;
    uint64_t max_form;       /* 0: 1 MiB */
    int keep_alive_ms;       /* of streams */
    size_t max_stream;       /* the same: max_waiting */
    int max_taken;           /* bytes of files, of all forms together; 0: any number */
    const char *forms;       /* where files of forms go; NULL: dir */
    double answered_seconds; /* that answered takes */
    bool ends_in_gone;       /* a stream is ended by gone itself */
    struct arena arena;
    char *dir;
    atomic_int n_begun, n_handled, n_answered, n_done, n_gone, n_files, n_logs, last_status,
        n_taken;
    _Atomic double gone_at; /* the last one */
    atomic_bool is_closed;
    atomic_bool is_held; /* handlers of /slow wait until it is false */

    pthread_mutex_t lock; /* guards what follows */
    struct http_exchange *kept[4096], *streams[4096];
    size_t n_kept, n_streams;
};

void app_open(struct app *a);
void app_close(struct app *a);
/* Until *n is at least want; fails the test after some seconds. */
void app_wait(atomic_int *n, int want);
void app_wait_streams(struct app *a, size_t want); /* so many were begun and not ended */
void app_wait_kept(struct app *a, size_t want);
size_t app_put(struct app *a, struct str bytes); /* to all streams; how many are heard */
void app_end_streams(struct app *a);
void app_answer_kept(struct app *a);
size_t app_files(struct app *a); /* in its folder for forms */
/* The resident memory of this process. */
size_t resident_bytes(void);
#endif
