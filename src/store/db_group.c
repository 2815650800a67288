/*
 * db_group.c - SQLite: the transactions of several threads become one, because a commit costs a wait for the disk.
 *
 *     BEGIN IMMEDIATE;  SAVEPOINT, first, RELEASE;  SAVEPOINT, second, ROLLBACK TO (it failed);  ...  COMMIT
 *
 * Whoever comes while nobody commits does so at once, alone. Those who come meanwhile wait, and the first of them then
 * takes all of them along; so nobody waits for company. Each sees what those before it wrote, as if they had come
 * one after the other, and nobody is answered before the commit. Where the whole fails (the disk is full), each is done
 * again alone, so that one who asks too much fails alone.
 */
#include "base/clock.h"
#include "store/db_internal.h"

#include <pthread.h>
#include <stdlib.h>

#define TOGETHER 64 /* so many at most, so that the first does not wait for ever */

struct request {
    db_fn *fn;
    void *ctx;
    struct error *err;
    bool ok, done, leads;
    pthread_cond_t wake; /* done or leads was set */
    struct request *next;
};

struct db_group {
    struct db_pool *pool;
    pthread_mutex_t
        lock; /* guards first, last, is_led, and done and leads of what is in the list */
    struct request *first, *last;
    bool is_led; /* somebody has the connection, or is about to */
};

struct db_group *db_group_open(struct db_pool *p)
{
    struct db_group *g = calloc(1, sizeof *g);

    if (g == NULL)
        abort(); /* a few bytes */
    g->pool = p;
    pthread_mutex_init(&g->lock, NULL);
    return g;
}

void db_group_close(struct db_group *g)
{
    if (g == NULL)
        return;
    pthread_mutex_destroy(&g->lock);
    free(g);
}

static void tell(struct error *err, const struct error *e)
{
    if (err != NULL)
        *err = *e;
}

static bool step(struct db *db, const char *sql, struct error *err)
{
    return db->driver->run(db, sql, NULL, 0, NULL, NULL, NULL, err);
}

/* One of several; false: the transaction of all of them is gone. */
static bool one_of_them(struct db *db, struct request *r)
{
    struct error e = {0};

    db_begin_afresh(db);
    if (!step(db, "SAVEPOINT one", &e))
        return false;
    r->ok = r->fn(db, r->ctx, r->err) && db_is_whole(db, r->err);
    if (r->ok)
        return step(db, "RELEASE one", &e);
    db_begin_afresh(db);
    return step(db, "ROLLBACK TO one", &e) && step(db, "RELEASE one", &e);
}

/* True: every request has its answer. */
static bool together(struct db *db, struct request *all)
{
    struct error e = {0};

    db_begin_afresh(db);
    if (!db->driver->begin(db, DB_WRITING, &e)) {
        for (struct request *r = all; r != NULL; r = r->next) {
            r->ok = false;
            tell(r->err, &e);
        }
        return true; /* it was waited for long enough */
    }
    bool ok = true;
    for (struct request *r = all; ok && r != NULL; r = r->next)
        ok = one_of_them(db, r);
    db_begin_afresh(db);
    ok = ok && db->driver->commit(db, &e);
    if (!ok)
        db->driver->rollback(db);
    return ok;
}

static void serve(struct db_group *g, struct request *all)
{
    const double deadline = clock_seconds() + db_pool_options(g->pool)->timeout_ms * 1e-3;
    struct error e = {0};
    struct db *db = NULL;

    if (all->next != NULL) {
        if (!db_pool_lend(g->pool, DB_WRITING, deadline, &db, &e)) {
            for (struct request *r = all; r != NULL; r = r->next) {
                r->ok = false;
                tell(r->err, &e);
            }
            return;
        }
        const bool done = together(db, all);
        db_pool_give_back(g->pool, db, DB_WRITING);
        if (done)
            return;
    }
    for (struct request *r = all; r != NULL; r = r->next) {
        tell(r->err, &(struct error){0});
        r->ok = db_transact(g->pool, DB_WRITING, r->fn, r->ctx, r->err);
    }
}

/* Takes the first few out of the list. The lock is held. */
static struct request *take_some(struct db_group *g)
{
    struct request *first = g->first, *last = first;

    for (size_t n = 1; n < TOGETHER && last->next != NULL; n++)
        last = last->next;
    g->first = last->next;
    if (g->first == NULL)
        g->last = NULL;
    last->next = NULL;
    return first;
}

bool db_group_write(struct db_group *g, db_fn *fn, void *ctx, struct error *err)
{
    struct request own = {.fn = fn, .ctx = ctx, .err = err};

    pthread_cond_init(&own.wake, NULL);
    pthread_mutex_lock(&g->lock);
    if (g->last != NULL)
        g->last->next = &own;
    else
        g->first = &own;
    g->last = &own;
    if (!g->is_led)
        g->is_led = own.leads = true;
    while (!own.done && !own.leads)
        pthread_cond_wait(&own.wake, &g->lock);
    if (own.leads) {
        struct request *all = take_some(g); /* whoever leads is the first */

        pthread_mutex_unlock(&g->lock);
        serve(g, all);
        pthread_mutex_lock(&g->lock);
        for (struct request *r = all, *next; r != NULL; r = next) {
            next = r->next; /* r is gone once it knows */
            r->done = true;
            if (r != &own)
                pthread_cond_signal(&r->wake);
        }
        g->is_led = g->first != NULL;
        if (g->first != NULL) {
            g->first->leads = true;
            pthread_cond_signal(&g->first->wake);
        }
    }
    pthread_mutex_unlock(&g->lock);
    pthread_cond_destroy(&own.wake);
    return own.ok;
}
