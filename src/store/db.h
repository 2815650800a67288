/*
 * db.h - SQL over SQLite or PostgreSQL: the same statements, parameters and rows.
 *
 *     sqlite:PATH                        one file, WAL, STRICT tables, one writer at a time
 *     postgresql://user@host/name?...    any libpq address; several machines may share it
 *
 * Statements are written once, in what both understand, with parameters ?1, ?2, ... sqlite.c and postgres.c hide the rest:
 * placeholders, types, busy and lost connections. A statement is prepared once a connection, by its text, which must
 * be a literal. Values from outside travel as parameters only.
 */
#ifndef HONE_STORE_DB_H
#define HONE_STORE_DB_H

#include "base/arena.h"

#include <stdint.h>

enum db_type { DB_NULL, DB_INT, DB_REAL, DB_TEXT, DB_BLOB };
struct db_value {
    enum db_type type;
    int64_t i;
    double r;
    struct str s; /* of a text or blob; texts are UTF-8 without a zero byte */
};
static inline struct db_value db_int(int64_t i)
{
    return (struct db_value){.type = DB_INT, .i = i};
}
static inline struct db_value db_real(double r)
{
    return (struct db_value){.type = DB_REAL, .r = r};
}
static inline struct db_value db_str(struct str s) /* ptr NULL: null */
{
    return (struct db_value){.type = s.ptr != NULL ? DB_TEXT : DB_NULL, .s = s};
}
static inline struct db_value db_text(const char *s) /* NULL: null */
{
    return db_str(s != NULL ? str_of(s) : (struct str){0});
}

struct db; /* one connection, in a transaction or between two; one thread at a time */
enum db_dialect { DB_SQLITE, DB_POSTGRES };
enum db_dialect db_dialect(const struct db *db);

/*
 * Runs one statement. fn gets each row and may stop by returning false with err set; NULL where no row is wanted.
 * *n: rows changed, or rows given; may be NULL.
 *
 * Fails with ERR_INVALID where a constraint of the tables forbids it (unique, not null, foreign key): see db_conflict;
 * ERR_IO where the database is not there, full or broken; ERR_TIMEOUT where it stayed locked.
 */
struct db_row; /* the columns of one row, during the call */
typedef bool db_row_fn(void *ctx, const struct db_row *row, struct error *err);
MUST_CHECK bool db_run(struct db *db, const char *sql, const struct db_value *params,
                       size_t n_params, db_row_fn *fn, void *ctx, size_t *n, struct error *err);
bool db_conflict(const struct db *db); /* the last failure was of a unique constraint */

bool db_row_is_null(const struct db_row *row, int column);
int64_t db_row_int(const struct db_row *row, int column); /* 0 for null */
double db_row_real(const struct db_row *row, int column);
struct str db_row_str(const struct db_row *row,
                      int column); /* a view, during the call; ptr NULL for null */
char *db_row_text(const struct db_row *row, int column,
                  struct arena *a); /* a copy; NULL for null */

/* Connections to one database, lent to threads. */
struct db_pool;
struct db_options {
    size_t n_connections; /* at once; 0: 8 */
    int timeout_ms;       /* of a lock and of a connection; 0: 10,000 */
    bool
        durable; /* a committed transaction outlives the power (SQLite: synchronous=FULL); on by default in store.c */
};
MUST_CHECK bool db_pool_open(const char *url, const struct db_options *opt, struct db_pool **out,
                             struct error *err);
void db_pool_close(struct db_pool *p); /* every connection is back; NULL is fine */
const char *db_pool_place(
    const struct db_pool *p); /* for people: a path, or the address without its password */

/*
 * Runs fn in one transaction (SQLite: BEGIN IMMEDIATE where it writes) and commits it when fn returns true. What failed because
 * others were faster (locked, deadlock, serialization, the connection lost before the commit) is done again from the start,
 * up to the timeout, so fn must have no effect outside of the database. Whether a commit whose answer was lost took place is
 * found out, not guessed: the caller's statements are such that doing them twice is harmless, or say so by keys.
 */
typedef bool db_fn(struct db *db, void *ctx, struct error *err);
MUST_CHECK bool db_write(struct db_pool *p, db_fn *fn, void *ctx, struct error *err);
MUST_CHECK bool db_read(struct db_pool *p, db_fn *fn, void *ctx, struct error *err);

/*
 * Brings the tables to the newest version: each migration in order, once, in a transaction; two processes that start together
 * wait for each other. In its text {int}, {real}, {text}, {blob}, {serial}, {strict} become the dialect's words. A database that is newer
 * than this program is refused.
 */
struct db_migration {
    const char *name; /* "0001 start" */
    const char *sql;  /* statements parted by ";\n" */
};
MUST_CHECK bool db_migrate(struct db_pool *p, const struct db_migration *all, size_t n,
                           struct error *err);
#endif
