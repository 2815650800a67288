/*
 * db_internal.h - what a dialect gives, and what is common to all of them.
 *
 *     db.c            the pool, transactions and doing them again, values, rows
 *     db_group.c      SQLite: transactions of several threads, one commit
 *     db_migrate.c    the tables' versions
 *     sqlite.c, postgres.c    the dialects
 */
#ifndef HONE_STORE_DB_INTERNAL_H
#define HONE_STORE_DB_INTERNAL_H

#include "store/db.h"

enum db_trouble {            /* of the first failure in a transaction */
                  DB_FINE,   /* none of the database's */
                  DB_UNIQUE, /* a unique constraint */
                  DB_AGAIN,  /* others were faster: done again, it may succeed */
                  DB_LOST,   /* the connection is gone, and the transaction with it */
                  DB_FAILED, /* anything else */
};
enum db_mode { DB_READING, DB_WRITING, DB_MIGRATING };

struct db_driver {
    enum db_dialect dialect;
    /* To db_pool_address(p). *again: it failed, and a later try may succeed. */
    bool (*connect)(struct db_pool *p, enum db_mode mode, struct db **out, bool *again,
                    struct error *err);
    void (*disconnect)(struct db *db);
    bool (*begin)(struct db *db, enum db_mode mode, struct error *err);
    bool (*commit)(struct db *db, struct error *err);
    void (*rollback)(struct db *db); /* also where nothing is begun, or the connection is lost */
    bool (*run)(struct db *db, const char *sql, const struct db_value *params, size_t n_params,
                db_row_fn *fn, void *ctx, size_t *n, struct error *err);
    bool (*script)(struct db *db, const char *sql, struct error *err); /* several statements */
    bool (*copy)(struct db *db, const char *path, struct error *err);  /* db_copy; or NULL */
    bool (*is_null)(const struct db_row *row, int column);
    int64_t (*as_int)(const struct db_row *row, int column);
    double (*as_real)(const struct db_row *row, int column);
    struct str (*as_str)(const struct db_row *row, int column);
    const char *words[6]; /* for {int} {real} {text} {blob} {serial} {strict} */
};
extern const struct db_driver db_sqlite, db_postgres;

struct db { /* the first member of a dialect's own */
    const struct db_driver *driver;
    enum db_trouble trouble;
    struct error first; /* what a statement failed with; kind ERR_NONE: none did */
    bool gone;          /* the connection is of no use any more: it is closed, not lent again */
    struct db *next;    /* in the pool's list */
};
/* Sets trouble and first, if nothing had failed before, and err; false. */
bool db_trouble(struct db *db, enum db_trouble trouble, enum error_kind kind, struct error *err,
                const char *fmt, ...) PRINTF_LIKE(5, 6);

struct db_row {
    const struct db *db;
    void *at; /* sqlite3_stmt or PGresult */
    int row;
    struct arena *memory; /* for what is decoded; until the next row */
};

char *db_postgres_place(const char *address); /* without its password; to be freed */

/* What a dialect sees of the pool. */
const char *db_pool_address(const struct db_pool *p);
const struct db_options *db_pool_options(const struct db_pool *p);

/* A transaction on a connection, once; the trouble is left in db. */
bool db_once(struct db *db, enum db_mode mode, db_fn *fn, void *ctx, struct error *err);
/* The same on a connection of the pool's, and again while that may help. */
bool db_transact(struct db_pool *p, enum db_mode mode, db_fn *fn, void *ctx, struct error *err);
void db_begin_afresh(struct db *db);                /* no failure yet */
bool db_is_whole(struct db *db, struct error *err); /* no statement failed, or err says which */

/* SQLite's writers: one connection, one commit for all that wait. */
struct db_group;
struct db_group *db_group_open(struct db_pool *p);
void db_group_close(struct db_group *g);
bool db_group_write(struct db_group *g, db_fn *fn, void *ctx, struct error *err);
/* A connection for this; of SQLite's there is one that writes. ERR_TIMEOUT where none came free in time. */
bool db_pool_lend(struct db_pool *p, enum db_mode mode, double deadline, struct db **out,
                  struct error *err);
void db_pool_give_back(struct db_pool *p, struct db *db, enum db_mode mode);

/* Statements by their text; the first member of a dialect's own. */
#define DB_STATEMENTS 256 /* of a connection; one more, and all of them are prepared anew */
#define DB_BUCKETS 64
struct db_statement {
    char *sql;
    uint64_t hash;
    bool in_use; /* a row of it is being looked at */
    struct db_statement *next;
};
struct db_statements {
    struct db_statement *bucket[DB_BUCKETS];
    size_t n;
};
/* The first of this text, or the next one behind after; NULL: no more. */
struct db_statement *db_statement_find(const struct db_statements *all, const char *sql,
                                       uint64_t hash, const struct db_statement *after);
void db_statement_add(struct db_statements *all, struct db_statement *s);
#endif
