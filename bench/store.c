/*
 * store.c - reads and durable writes a second, and how long a read takes beside writers:
 *
 *     bench_store URL [SECONDS]       sqlite:/tmp/x.db, postgresql://... (an empty database; the table "timed" is left there)
 */
#include "base/clock.h"
#include "base/size.h"
#include "store/db.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_THREADS 16
#define MAX_TIMES 4000000
#define ROWS 1000

static const struct db_migration tables[] = {
    {"0001 timed", "CREATE TABLE timed (id {int} PRIMARY KEY, n {int} NOT NULL, t {text} NOT NULL) "
                   "{strict}"},
};

struct worker {
    struct db_pool *pool;
    atomic_bool *stop;
    db_fn *fn;
    bool writes;
    uint32_t dice;
    size_t n;
    double *times; /* or NULL */
    struct error err;
};

static bool row(void *ctx, const struct db_row *r, struct error *err)
{
    (void)err;
    *(int64_t *)ctx += db_row_int(r, 0) + (int64_t)db_row_str(r, 1).len;
    return true;
}

static struct db_value some_id(struct worker *w)
{
    w->dice = w->dice * 1664525 + 1013904223;
    return db_int((w->dice >> 8) % ROWS);
}

static bool get(struct db *db, void *ctx, struct error *err)
{
    const struct db_value id = some_id(ctx);
    int64_t sum = 0;

    return db_run(db, "SELECT n, t FROM timed WHERE id = ?1", &id, 1, row, &sum, NULL, err);
}

static bool put(struct db *db, void *ctx, struct error *err)
{
    const struct db_value id = some_id(ctx);

    return db_run(db, "UPDATE timed SET n = n + 1 WHERE id = ?1", &id, 1, NULL, NULL, NULL, err);
}

static bool fill(struct db *db, void *ctx, struct error *err)
{
    (void)ctx;
    for (int i = 0; i < ROWS; i++) {
        const struct db_value v[] = {db_int(i), db_text("some text of a row as long as this")};

        if (!db_run(db, "INSERT INTO timed VALUES (?1, 0, ?2) ON CONFLICT DO NOTHING", v, 2, NULL,
                    NULL, NULL, err))
            return false;
    }
    return true;
}

static void *work(void *ctx)
{
    struct worker *w = ctx;

    while (!atomic_load(w->stop)) {
        const double t = clock_seconds();

        if (!(w->writes ? db_write : db_read)(w->pool, w->fn, w, &w->err)) {
            fprintf(stderr, "%s\n", w->err.message);
            exit(1);
        }
        if (w->times != NULL && w->n < MAX_TIMES)
            w->times[w->n] = clock_seconds() - t;
        w->n++;
    }
    return NULL;
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* readers first; the times of the first reader, or of the first writer where nobody reads, are told */
static void measure(struct db_pool *p, size_t readers, size_t writers, double seconds)
{
    static struct worker w[MAX_THREADS];
    pthread_t threads[MAX_THREADS];
    atomic_bool stop = false;
    double *times = malloc(MAX_TIMES * sizeof *times);
    size_t n_read = 0, n_written = 0;

    if (times == NULL)
        exit(1);
    for (size_t i = 0; i < readers + writers; i++) {
        w[i] = (struct worker){.pool = p,
                               .stop = &stop,
                               .fn = i < readers ? get : put,
                               .writes = i >= readers,
                               .dice = (uint32_t)i * 7919,
                               .times = i == 0 ? times : NULL};
        pthread_create(&threads[i], NULL, work, &w[i]);
    }
    const double start = clock_seconds();
    clock_sleep_until(start + seconds);
    atomic_store(&stop, true);
    for (size_t i = 0; i < readers + writers; i++) {
        pthread_join(threads[i], NULL);
        *(i < readers ? &n_read : &n_written) += w[i].n;
    }
    const double took = clock_seconds() - start;
    const size_t n = size_min(w[0].n, MAX_TIMES);
    qsort(times, n, sizeof *times, by_size);
    printf("%zu reading, %zu writing: %8.0f reads/s %8.0f writes/s; a %s %.3f ms, p99 %.3f ms, "
           "longest %.1f ms\n",
           readers, writers, (double)n_read / took, (double)n_written / took,
           readers > 0 ? "read" : "write", times[n / 2] * 1e3, times[n * 99 / 100] * 1e3,
           times[n - 1] * 1e3);
    free(times);
}

int main(int argc, char **argv)
{
    const struct db_options opt = {.n_connections = 8, .durable = true};
    const double seconds = argc > 2 ? strtod(argv[2], NULL) : 3;
    struct db_pool *p = NULL;
    struct error err = {0};

    if (argc < 2) {
        fprintf(stderr, "usage: %s URL [SECONDS]\n", argv[0]);
        return 2;
    }
    if (!db_pool_open(argv[1], &opt, &p, &err) || !db_migrate(p, tables, COUNT_OF(tables), &err) ||
        !db_write(p, fill, NULL, &err)) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    measure(p, 1, 0, seconds);
    measure(p, 8, 0, seconds);
    measure(p, 0, 1, seconds);
    measure(p, 0, 8, seconds);
    measure(p, 1, 8, seconds);
    measure(p, 4, 4, seconds);
    db_pool_close(p);
    return 0;
}
