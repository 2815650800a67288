/*
 * db.c - the pool, transactions and doing them again, values and rows.
 */
#include "base/clock.h"
#include "base/condition.h"
#include "base/size.h"
#include "base/utf8.h"
#include "store/db_internal.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#define CONNECTIONS 8
#define TIMEOUT_MS 10000

struct db_pool {
    const struct db_driver *driver;
    struct db_options opt;
    char *address, *place;
    struct db_group *group; /* SQLite's writers; or NULL */
    size_t max_writing;     /* of connections; the rest is left to readers */

    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t freed;
    struct db *idle, *idle_writer; /* SQLite: those that read, the one that writes */
    size_t n_lent, n_writing;
};

/* A transaction within another would wait for a connection, or a lock, that only its own end sets free. */
static _Thread_local bool within;

/* ---- the pool ---- */

static bool driver_of(const char *url, const struct db_driver **driver, const char **address,
                      struct error *err)
{
    static const char sqlite[] = "sqlite:";

    if (strncmp(url, sqlite, sizeof sqlite - 1) == 0 && url[sizeof sqlite - 1] != '\0') {
        *driver = &db_sqlite;
        *address = url + sizeof sqlite - 1;
        return true;
    }
    if (strncmp(url, "postgresql://", 13) == 0 || strncmp(url, "postgres://", 11) == 0) {
        *address = url;
#if HONE_POSTGRES
        *driver = &db_postgres;
        return true;
#else
        return fail(err, ERR_UNSUPPORTED,
                    "this hone was built without PostgreSQL; install libpq-dev and build it again, "
                    "or leave the database out: SQLite is then used");
#endif
    }
    /* not shown: it may hold a password */
    return fail(err, ERR_INVALID,
                "the database's address is neither sqlite:PATH nor postgresql://USER@HOST/NAME");
}

bool db_pool_open(const char *url, const struct db_options *opt, struct db_pool **out,
                  struct error *err)
{
    const struct db_driver *driver = NULL;
    const char *address = NULL;
    struct db_pool *p = NULL;
    struct db *first = NULL;

    if (!driver_of(url, &driver, &address, err))
        return false;
    p = calloc(1, sizeof *p);
    if (p == NULL || (p->address = strdup(address)) == NULL) {
        free(p);
        return fail(err, ERR_NO_MEMORY, "no memory to open the database");
    }
    p->driver = driver;
    p->opt = *opt;
    p->opt.n_connections = opt->n_connections > 0 ? opt->n_connections : CONNECTIONS;
    p->opt.timeout_ms = opt->timeout_ms > 0 ? opt->timeout_ms : TIMEOUT_MS;
    p->max_writing = size_max(1, p->opt.n_connections - p->opt.n_connections / 4);
    pthread_mutex_init(&p->lock, NULL);
    condition_init(&p->freed);
    if (driver->dialect == DB_SQLITE)
        p->group = db_group_open(p);
    bool ok = true;
#if HONE_POSTGRES
    if (driver->dialect == DB_POSTGRES && (p->place = db_postgres_place(address)) == NULL)
        ok = fail(err, ERR_INVALID,
                  "the database's address is none that PostgreSQL understands; one is "
                  "postgresql://USER:PASSWORD@HOST:PORT/NAME, with %%XX for special characters");
#endif
    /* That it is there, and ours to write, is to be known now. Others who make the same file are waited for, a server that is
       not there is not. */
    const double wait = driver->dialect == DB_SQLITE ? p->opt.timeout_ms * 1e-3 : 0;
    ok = ok && db_pool_lend(p, DB_WRITING, clock_seconds() + wait, &first, err);
    if (ok)
        db_pool_give_back(p, first, DB_WRITING);
    if (ok)
        *out = p;
    else
        db_pool_close(p);
    return ok;
}

void db_pool_close(struct db_pool *p)
{
    if (p == NULL)
        return;
    assert(p->n_lent == 0 && p->n_writing == 0);
    for (struct db *db = p->idle, *next; db != NULL; db = next) {
        next = db->next;
        p->driver->disconnect(db);
    }
    if (p->idle_writer != NULL)
        p->driver->disconnect(p->idle_writer);
    db_group_close(p->group);
    pthread_cond_destroy(&p->freed);
    pthread_mutex_destroy(&p->lock);
    free(p->address);
    free(p->place);
    free(p);
}

const char *db_pool_place(const struct db_pool *p)
{
    return p->place != NULL ? p->place : p->address;
}

enum db_dialect db_pool_dialect(const struct db_pool *p)
{
    return p->driver->dialect;
}

const char *db_pool_address(const struct db_pool *p)
{
    return p->address;
}

const struct db_options *db_pool_options(const struct db_pool *p)
{
    return &p->opt;
}

/* A place among the connections that may be used at once; *db: one that is open already, or NULL. */
static bool take_place(struct db_pool *p, bool writes, double deadline, struct db **db)
{
    const bool apart = p->group != NULL && writes; /* SQLite's writer, beside the readers */
    bool ok = true;

    pthread_mutex_lock(&p->lock);
    for (;;) {
        if (apart ? p->n_writing == 0
                  : p->n_lent < p->opt.n_connections && (!writes || p->n_writing < p->max_writing))
            break;
        const double left = deadline - clock_seconds();
        ok = left > 0;
        if (!ok)
            break;
        condition_wait_for(&p->freed, &p->lock, left);
    }
    if (ok) {
        struct db **from = apart ? &p->idle_writer : &p->idle;

        *db = *from;
        if (*db != NULL)
            *from = (*db)->next;
        p->n_writing += writes ? 1 : 0;
        p->n_lent += apart ? 0 : 1;
    }
    pthread_mutex_unlock(&p->lock);
    return ok;
}

static void leave_place(struct db_pool *p, struct db *db, bool writes)
{
    const bool apart = p->group != NULL && writes;

    pthread_mutex_lock(&p->lock);
    if (db != NULL) {
        struct db **to = apart ? &p->idle_writer : &p->idle;

        db->next = *to;
        *to = db;
    }
    p->n_writing -= writes ? 1 : 0;
    p->n_lent -= apart ? 0 : 1;
    pthread_cond_broadcast(&p->freed); /* a reader's place may be no place for a writer */
    pthread_mutex_unlock(&p->lock);
}

/* Longer from try to try, and by chance, so that those who collided do not again. */
static void wait_a_little(unsigned tries)
{
    const double longest = tries < 6 ? 1e-3 * (double)(1U << tries) : 0.05;
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    const uint64_t dice = ((uint64_t)t.tv_nsec ^ (uint64_t)(uintptr_t)&t) * 0x9e3779b97f4a7c15U;
    clock_sleep_until(clock_seconds() + longest * (double)(dice >> 40) / (double)(1 << 24));
}

bool db_pool_lend(struct db_pool *p, enum db_mode mode, double deadline, struct db **out,
                  struct error *err)
{
    struct db *db = NULL;
    bool again = false;

    if (!take_place(p, mode != DB_READING, deadline, &db))
        return fail(err, ERR_TIMEOUT, "all %zu connections to %s were in use for %g seconds",
                    p->opt.n_connections, db_pool_place(p), p->opt.timeout_ms * 1e-3);
    for (unsigned tries = 0; db == NULL; tries++) {
        if (p->driver->connect(p, mode, &db, &again, err))
            break;
        if (!again || clock_seconds() >= deadline) {
            leave_place(p, NULL, mode != DB_READING);
            return false;
        }
        wait_a_little(tries);
    }
    *out = db;
    return true;
}

void db_pool_give_back(struct db_pool *p, struct db *db, enum db_mode mode)
{
    if (db->gone) {
        p->driver->disconnect(db);
        db = NULL;
    }
    leave_place(p, db, mode != DB_READING);
}

/* ---- transactions ---- */

bool db_trouble(struct db *db, enum db_trouble trouble, enum error_kind kind, struct error *err,
                const char *fmt, ...)
{
    struct error e = {.kind = kind};
    va_list args;

    va_start(args, fmt);
    vsnprintf(e.message, sizeof e.message, fmt, args);
    va_end(args);
    if (db->first.kind == ERR_NONE) {
        db->first = e;
        db->trouble = trouble;
    }
    if (trouble == DB_LOST) {
        db->trouble = DB_LOST;
        db->gone = true;
    }
    if (err != NULL)
        *err = e;
    return false;
}

void db_begin_afresh(struct db *db)
{
    db->trouble = DB_FINE;
    db->first.kind = ERR_NONE;
}

bool db_is_whole(struct db *db, struct error *err)
{
    if (db->first.kind == ERR_NONE)
        return true;
    if (err != NULL)
        *err = db->first;
    return false;
}

bool db_once(struct db *db, enum db_mode mode, db_fn *fn, void *ctx, struct error *err)
{
    db_begin_afresh(db);
    if (db->driver->begin(db, mode, err) && fn(db, ctx, err) && db_is_whole(db, err) &&
        db->driver->commit(db, err))
        return true;
    db->driver->rollback(db);
    return false;
}

bool db_transact(struct db_pool *p, enum db_mode mode, db_fn *fn, void *ctx, struct error *err)
{
    const double deadline = clock_seconds() + p->opt.timeout_ms * 1e-3;

    for (unsigned tries = 0;; tries++) {
        struct db *db = NULL;

        if (!db_pool_lend(p, mode, deadline, &db, err))
            return false;
        const bool ok = db_once(db, mode, fn, ctx, err);
        const bool again = db->trouble == DB_AGAIN || db->trouble == DB_LOST;
        db_pool_give_back(p, db, mode);
        if (ok || !again || clock_seconds() >= deadline)
            return ok;
        if (err != NULL)
            *err = (struct error){0};
        wait_a_little(tries);
    }
}

bool db_write(struct db_pool *p, db_fn *fn, void *ctx, struct error *err)
{
    assert(!within && "a transaction within another");
    within = true;
    const bool ok = p->group != NULL ? db_group_write(p->group, fn, ctx, err)
                                     : db_transact(p, DB_WRITING, fn, ctx, err);
    within = false;
    return ok;
}

bool db_read(struct db_pool *p, db_fn *fn, void *ctx, struct error *err)
{
    assert(!within && "a transaction within another");
    within = true;
    const bool ok = db_transact(p, DB_READING, fn, ctx, err);
    within = false;
    return ok;
}

bool db_lock(struct db *db, const char *name, struct error *err)
{
    const struct db_value key = db_int((int64_t)(str_hash(str_of(name)) >> 1));

    return db->driver->dialect == DB_SQLITE ||
           db_run(db, "SELECT pg_advisory_xact_lock(?1)", &key, 1, NULL, NULL, NULL, err);
}

bool db_copy(struct db_pool *p, const char *path, struct error *err)
{
    struct db *db = NULL;

    if (p->driver->copy == NULL)
        return fail(err, ERR_UNSUPPORTED, "the rows are in PostgreSQL (%s): copy them with pg_dump",
                    db_pool_place(p));
    if (!db_pool_lend(p, DB_READING, clock_seconds() + p->opt.timeout_ms * 1e-3, &db, err))
        return false;
    db_begin_afresh(db);
    const bool ok = p->driver->copy(db, path, err);
    db_pool_give_back(p, db, DB_READING);
    return ok;
}

/* ---- statements ---- */

struct db_statement *db_statement_find(const struct db_statements *all, const char *sql,
                                       uint64_t hash, const struct db_statement *after)
{
    struct db_statement *s = after != NULL ? after->next : all->bucket[hash % DB_BUCKETS];

    while (s != NULL && !(s->hash == hash && strcmp(s->sql, sql) == 0))
        s = s->next;
    return s;
}

void db_statement_add(struct db_statements *all, struct db_statement *s)
{
    struct db_statement **to = &all->bucket[s->hash % DB_BUCKETS];

    s->next = *to;
    *to = s;
    all->n++;
}

enum db_dialect db_dialect(const struct db *db)
{
    return db->driver->dialect;
}

bool db_conflict(const struct db *db)
{
    return db->trouble == DB_UNIQUE;
}

size_t db_text_until(struct str s)
{
    const size_t n = utf8_valid(s);
    const char *zero = n > 0 ? memchr(s.ptr, 0, n) : NULL;

    return zero != NULL ? (size_t)(zero - s.ptr) : n;
}

static bool text_is_fit(struct str s, size_t number, struct error *err)
{
    const size_t at = db_text_until(s);

    return at == s.len ||
           (s.ptr[at] == '\0'
                ? fail(err, ERR_INVALID,
                       "value %zu cannot be kept: a text has no zero byte, this one at byte %zu",
                       number, at)
                : fail(err, ERR_INVALID, "value %zu cannot be kept: it is not UTF-8 at byte %zu",
                       number, at));
}

/* The same values are refused by both, before they see them. */
static bool values_are_fit(const struct db_value *v, size_t n, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (v[i].type == DB_TEXT && !text_is_fit(v[i].s, i + 1, err))
            return false;
        if (v[i].type == DB_REAL && isnan(v[i].r))
            return fail(err, ERR_INVALID, "value %zu cannot be kept: it is not a number (NaN)",
                        i + 1);
    }
    return true;
}

bool db_run(struct db *db, const char *sql, const struct db_value *params, size_t n_params,
            db_row_fn *fn, void *ctx, size_t *n, struct error *err)
{
    return db_is_whole(db, err) && values_are_fit(params, n_params, err) &&
           db->driver->run(db, sql, params, n_params, fn, ctx, n, err);
}

bool db_row_is_null(const struct db_row *row, int column)
{
    return row->db->driver->is_null(row, column);
}

int64_t db_row_int(const struct db_row *row, int column)
{
    return row->db->driver->as_int(row, column);
}

double db_row_real(const struct db_row *row, int column)
{
    return row->db->driver->as_real(row, column);
}

struct str db_row_str(const struct db_row *row, int column)
{
    return row->db->driver->as_str(row, column);
}

char *db_row_text(const struct db_row *row, int column, struct arena *a)
{
    const struct str s = db_row_str(row, column);

    return s.ptr != NULL ? arena_text(a, s) : NULL;
}
