/*
 * db.h - SQL over SQLite or PostgreSQL: the same statements, parameters and rows.
 *
 *     sqlite:PATH                        one file, WAL, STRICT tables, one writer at a time
 *     postgresql://user@host/name?...    any libpq address; several machines may share it
 *
 * Statements are written once, in what both understand, with parameters ?1, ?2, ... sqlite.c and postgres.c hide the rest:
 * placeholders, types, busy and lost connections. A statement is prepared once a connection, by its text, so
 * texts are literals, or joined from a few. Values from outside travel as parameters only.
 *
 * On both, transactions that write are serializable, ones that read see one moment, texts compare by their bytes where the
 * column is {text}, and after a statement failed its transaction is over: fn returns false. "Insert unless it is there" is
 * ON CONFLICT DO NOTHING, which does not fail.
 */
#ifndef HONE_STORE_DB_H
#define HONE_STORE_DB_H

#include "base/arena.h"

#include <stdint.h>

enum db_type { DB_NULL, DB_INT, DB_REAL, DB_TEXT, DB_BLOB };
struct db_value {
    enum db_type type;
    int64_t i;
    double r;     /* not NaN: SQLite has none */
    struct str s; /* of a text or blob; texts are UTF-8 without a zero byte */
};
/* How far s is such a text, in bytes: s.len where all of it is. */
size_t db_text_until(struct str s);
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
static inline struct db_value db_blob(struct str s) /* ptr NULL: null */
{
    return (struct db_value){.type = s.ptr != NULL ? DB_BLOB : DB_NULL, .s = s};
}

struct db; /* one connection, in a transaction; one thread at a time */
enum db_dialect { DB_SQLITE, DB_POSTGRES };
enum db_dialect db_dialect(const struct db *db);

/*
 * Runs one statement. fn gets each row and may stop by returning false with err set; NULL where no row is wanted. fn may run
 * statements of its own. *n: rows given, or rows changed by a statement that gives none; may be NULL.
 *
 * Fails with ERR_INVALID where a constraint of the tables forbids it (unique, not null, foreign key; see db_conflict) or a
 * value is none that a database keeps (NaN, a text that is not UTF-8); ERR_IO where the database is not there, full or broken;
 * ERR_TIMEOUT where it stayed locked. A mistake in the statement is ERR_IO, too.
 */
struct db_row; /* the columns of one row, during the call */
typedef bool db_row_fn(void *ctx, const struct db_row *row, struct error *err);
MUST_CHECK bool db_run(struct db *db, const char *sql, const struct db_value *params,
                       size_t n_params, db_row_fn *fn, void *ctx, size_t *n, struct error *err);
bool db_conflict(const struct db *db); /* this transaction failed at a unique constraint */

bool db_row_is_null(const struct db_row *row, int column);
int64_t db_row_int(const struct db_row *row, int column); /* 0 for null; 1 for true */
double db_row_real(const struct db_row *row, int column);
/* A text or blob: a view, during the call; ptr NULL for null. */
struct str db_row_str(const struct db_row *row, int column);
/* A copy; NULL for null. */
char *db_row_text(const struct db_row *row, int column, struct arena *a);

/* Connections to one database, lent to threads. A process that forks opens a pool of its own behind that. */
struct db_pool;
struct db_options {
    size_t n_connections; /* at once; 0: 8 */
    int timeout_ms;       /* of a lock and of a connection; 0: 10,000 */
    bool durable;         /* a committed transaction outlives the power; store.c asks for it */
};
MUST_CHECK bool db_pool_open(const char *url, const struct db_options *opt, struct db_pool **out,
                             struct error *err);
void db_pool_close(struct db_pool *p); /* every connection is back; NULL is fine */
/* For people: a path, or the address without its password. */
const char *db_pool_place(const struct db_pool *p);
enum db_dialect db_pool_dialect(const struct db_pool *p);

/*
 * Runs fn in one transaction and commits it when fn returns true. What failed because others were faster (locked, deadlock,
 * serialization, the connection lost before the commit) is done again from the start, up to the timeout; so fn must have no effect
 * outside of the database but filling ctx, and makes random ids before it. Whether a commit whose answer was lost took place is
 * asked of the server, not guessed.
 *
 * On SQLite the transactions of several threads share one commit, so fn may run in another thread, while its own
 * waits; each keeps its own failure. Readers never wait for a writer. No transaction is begun within another.
 */
typedef bool db_fn(struct db *db, void *ctx, struct error *err);
MUST_CHECK bool db_write(struct db_pool *p, db_fn *fn, void *ctx, struct error *err);
MUST_CHECK bool db_read(struct db_pool *p, db_fn *fn, void *ctx, struct error *err);

/*
 * Until this transaction ends no other one holds the lock of that name. Needed for one thing: PostgreSQL gives out {serial} numbers
 * before the commit, so that a reader who goes on "behind the last number seen" may miss one. Where all that insert into
 * such a table take its lock first, numbers are seen in their order. SQLite has one writer: nothing to do.
 */
MUST_CHECK bool db_lock(struct db *db, const char *name, struct error *err);

/*
 * Brings the tables to the newest version: each migration in order, once, all in one transaction; processes that start together
 * wait for each other. In its text {int}, {real}, {text}, {blob}, {serial}, {strict} become the dialect's words. A database that is
 * newer than this program is refused with ERR_UNSUPPORTED.
 */
struct db_migration {
    const char *name; /* "0001 access" */
    const char *sql;  /* statements parted by ";\n" */
};
MUST_CHECK bool db_migrate(struct db_pool *p, const struct db_migration *all, size_t n,
                           struct error *err);

/*
 * SQLite alone: the rows as of one moment into a new file, beside writers who go on. ERR_UNSUPPORTED for PostgreSQL,
 * naming pg_dump.
 */
MUST_CHECK bool db_copy(struct db_pool *p, const char *path, struct error *err);

const char *db_sqlite_version(void);   /* "3.40.1" */
const char *db_postgres_version(void); /* of libpq: "15.20"; NULL: not built in */
#endif
