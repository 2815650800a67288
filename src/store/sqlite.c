/*
 * sqlite.c - one file, in WAL mode: readers see the last commit and never wait; one writes at a time.
 *
 * A commit is on the disk when it returns (synchronous=FULL) where the pool is durable. Threads of one process share a commit
 * (db_group.c); processes wait for each other in busy().
 */
#include "base/clock.h"
#include "base/size.h"
#include "store/db_internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct sqlite_statement {
    struct db_statement common;
    sqlite3_stmt *stmt;
};
struct sqlite_db {
    struct db db;
    sqlite3 *handle;
    double busy_since; /* the first refusal of this wait */
    double timeout;    /* seconds */
    struct db_statements statements;
};

static struct sqlite_db *own(struct db *db)
{
    return (struct sqlite_db *)db;
}

const char *db_sqlite_version(void)
{
    return sqlite3_libversion();
}

/* Short sleeps: another process's transaction takes milliseconds, SQLite's own handler goes up to 100 of them. */
static int busy(void *ctx, int count)
{
    struct sqlite_db *s = ctx;
    const double now = clock_seconds();

    if (count == 0)
        s->busy_since = now;
    if (now - s->busy_since >= s->timeout)
        return 0;
    clock_sleep_until(now + (count < 5 ? 0.0005 : count < 20 ? 0.002 : 0.008));
    return 1;
}

/* What SQLite said last, as our failure. */
static bool refused(struct sqlite_db *s, const char *sql, struct error *err)
{
    const int left = errno; /* SQLite does not keep it for every write that failed */
    const int code = sqlite3_extended_errcode(s->handle);
    const int os = sqlite3_system_errno(s->handle) != 0 ? sqlite3_system_errno(s->handle) : left;
    const char *said = sqlite3_errmsg(s->handle);
    const char *place = sqlite3_db_filename(s->handle, "main");

    switch (code & 0xff) {
    case SQLITE_CONSTRAINT: {
        const bool unique = code == SQLITE_CONSTRAINT_UNIQUE ||
                            code == SQLITE_CONSTRAINT_PRIMARYKEY || code == SQLITE_CONSTRAINT_ROWID;

        return db_trouble(&s->db, unique ? DB_UNIQUE : DB_FAILED, ERR_INVALID, err,
                          "the database refuses it: %s", said);
    }
    case SQLITE_MISMATCH:
        return db_trouble(&s->db, DB_FAILED, ERR_INVALID, err, "the database refuses it: %s", said);
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return db_trouble(&s->db, DB_AGAIN, ERR_TIMEOUT, err,
                          "%s stayed locked by another process for %g seconds", place, s->timeout);
    case SQLITE_FULL:
        return db_trouble(&s->db, DB_FAILED, ERR_IO, err,
                          "the disk is full: %s cannot grow; free some space", place);
    case SQLITE_IOERR:
        if (os == ENOSPC || os == EDQUOT || os == EFBIG)
            return db_trouble(&s->db, DB_FAILED, ERR_IO, err,
                              "the disk is full: %s cannot grow (%s); free some space", place,
                              strerror(os));
        return db_trouble(&s->db, DB_FAILED, ERR_IO, err, "cannot read or write %s: %s%s%s", place,
                          said, os != 0 ? ": " : "", os != 0 ? strerror(os) : "");
    case SQLITE_NOMEM:
        return db_trouble(&s->db, DB_FAILED, ERR_NO_MEMORY, err, "no memory for a statement on %s",
                          place);
    case SQLITE_TOOBIG:
        return db_trouble(&s->db, DB_FAILED, ERR_LIMIT, err,
                          "a value is larger than SQLite takes: %s", said);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return db_trouble(&s->db, DB_FAILED, ERR_CORRUPT, err,
                          "%s is damaged or no database: %s; take it from the last backup", place,
                          said);
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
        return db_trouble(&s->db, DB_FAILED, ERR_IO, err, "cannot open %s for writing: %s%s%s",
                          place, said, os != 0 ? ": " : "", os != 0 ? strerror(os) : "");
    default:
        return db_trouble(&s->db, DB_FAILED, ERR_IO, err,
                          "the database does not understand \"%.200s\": %s", sql, said);
    }
}

static bool script(struct db *db, const char *sql, struct error *err)
{
    struct sqlite_db *s = own(db);

    errno = 0;
    return sqlite3_exec(s->handle, sql, NULL, NULL, NULL) == SQLITE_OK || refused(s, sql, err);
}

static void disconnect(struct db *db)
{
    struct sqlite_db *s = own(db);

    for (size_t b = 0; b < DB_BUCKETS; b++)
        for (struct db_statement *st = s->statements.bucket[b], *next; st != NULL; st = next) {
            next = st->next;
            sqlite3_finalize(((struct sqlite_statement *)st)->stmt);
            free(st->sql);
            free(st);
        }
    sqlite3_close_v2(s->handle);
    free(s);
}

/* The file is made here, so that nobody else may read it, whatever the umask; SQLite gives its companions the same mode. */
static bool make_file(const char *path, struct error *err)
{
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return fail_errno(err, "cannot open the database %s", path);
    close(fd);
    return true;
}

static bool connect(struct db_pool *p, enum db_mode mode, struct db **out, bool *again,
                    struct error *err)
{
    const char *path = db_pool_address(p);
    const struct db_options *opt = db_pool_options(p);
    struct sqlite_db *s = NULL;
    char settings[512];

    *again = false;
    if (mode != DB_READING && !make_file(path, err))
        return false;
    s = calloc(1, sizeof *s);
    if (s == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory to open %s", path);
    s->db.driver = &db_sqlite;
    s->timeout = opt->timeout_ms * 1e-3;
    if (sqlite3_open_v2(path, &s->handle,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
                        NULL) != SQLITE_OK) {
        fail(err, ERR_IO, "cannot open the database %s: %s", path,
             s->handle != NULL ? sqlite3_errmsg(s->handle) : "no memory");
        disconnect(&s->db);
        return false;
    }
    sqlite3_busy_handler(s->handle, busy, s);
    /* A WAL that a burst made long is cut to 64 MB again; query_only: what reads cannot write by mistake. */
    snprintf(settings, sizeof settings,
             "PRAGMA synchronous=%s; PRAGMA foreign_keys=ON; PRAGMA trusted_schema=OFF; "
             "PRAGMA cell_size_check=ON; PRAGMA journal_size_limit=67108864; "
             "PRAGMA cache_size=-8192; PRAGMA query_only=%s;",
             opt->durable ? "FULL" : "NORMAL", mode == DB_READING ? "ON" : "OFF");
    bool ok = (mode == DB_READING || script(&s->db, "PRAGMA journal_mode=WAL", err)) &&
              script(&s->db, settings, err);
    if (!ok) {
        *again = s->db.trouble == DB_AGAIN;
        disconnect(&s->db);
        return false;
    }
    *out = &s->db;
    return true;
}

static bool prepare(struct sqlite_db *s, const char *sql, struct sqlite_statement **out,
                    struct error *err)
{
    const uint64_t hash = str_hash(str_of(sql));
    struct db_statement *st = NULL;

    while ((st = db_statement_find(&s->statements, sql, hash, st)) != NULL)
        if (!st->in_use) {
            *out = (struct sqlite_statement *)st;
            return true;
        }
    struct sqlite_statement *fresh = calloc(1, sizeof *fresh);
    const char *rest = NULL;
    if (fresh == NULL || (fresh->common.sql = strdup(sql)) == NULL) {
        free(fresh);
        return db_trouble(&s->db, DB_FAILED, ERR_NO_MEMORY, err, "no memory for a statement");
    }
    if (sqlite3_prepare_v3(s->handle, sql, -1, SQLITE_PREPARE_PERSISTENT, &fresh->stmt, &rest) !=
        SQLITE_OK) {
        free(fresh->common.sql);
        free(fresh);
        return refused(s, sql, err);
    }
    assert(rest[strspn(rest, " \t\n;")] == '\0' && "one statement at a time");
    fresh->common.hash = hash;
    db_statement_add(&s->statements, &fresh->common);
    *out = fresh;
    return true;
}

/* More of them than a program has by writing them down: the oldest use is not known, so all that are idle go. */
static void forget_some(struct sqlite_db *s)
{
    if (s->statements.n < DB_STATEMENTS)
        return;
    for (size_t b = 0; b < DB_BUCKETS; b++)
        for (struct db_statement **at = &s->statements.bucket[b]; *at != NULL;) {
            struct db_statement *st = *at;

            if (st->in_use) {
                at = &st->next;
                continue;
            }
            *at = st->next;
            s->statements.n--;
            sqlite3_finalize(((struct sqlite_statement *)st)->stmt);
            free(st->sql);
            free(st);
        }
}

static int bind(sqlite3_stmt *stmt, int i, const struct db_value *v)
{
    switch (v->type) {
    case DB_INT:
        return sqlite3_bind_int64(stmt, i, v->i);
    case DB_REAL:
        return sqlite3_bind_double(stmt, i, v->r);
    case DB_TEXT:
        return sqlite3_bind_text64(stmt, i, v->s.ptr, v->s.len, SQLITE_STATIC, SQLITE_UTF8);
    case DB_BLOB:
        return v->s.len == 0 ? sqlite3_bind_zeroblob(stmt, i, 0)
                             : sqlite3_bind_blob64(stmt, i, v->s.ptr, v->s.len, SQLITE_STATIC);
    case DB_NULL:
        break;
    }
    return sqlite3_bind_null(stmt, i);
}

static bool run(struct db *db, const char *sql, const struct db_value *params, size_t n_params,
                db_row_fn *fn, void *ctx, size_t *n, struct error *err)
{
    struct sqlite_db *s = own(db);
    struct sqlite_statement *st = NULL;
    size_t rows = 0;
    int code = SQLITE_OK;
    bool ok = true;

    forget_some(s);
    if (!prepare(s, sql, &st, err) || st == NULL)
        return false;
    sqlite3_stmt *stmt = st->stmt;
    assert(sqlite3_bind_parameter_count(stmt) == (int)n_params);
    st->common.in_use = true;
    for (size_t i = 0; code == SQLITE_OK && i < n_params; i++)
        code = bind(stmt, (int)i + 1, &params[i]);
    errno = 0;
    while (code == SQLITE_OK || code == SQLITE_ROW) {
        code = sqlite3_step(stmt);
        if (code != SQLITE_ROW)
            break;
        const struct db_row row = {.db = db, .at = stmt};
        rows++;
        if (fn != NULL && !fn(ctx, &row, err)) {
            ok = false;
            break;
        }
    }
    if (code != SQLITE_ROW && code != SQLITE_DONE)
        ok = refused(s, sql, err);
    if (ok && n != NULL)
        *n = sqlite3_column_count(stmt) > 0 ? rows : (size_t)sqlite3_changes64(s->handle);
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
    st->common.in_use = false;
    return ok;
}

static bool begin(struct db *db, enum db_mode mode, struct error *err)
{
    return run(db, mode == DB_READING ? "BEGIN" : "BEGIN IMMEDIATE", NULL, 0, NULL, NULL, NULL,
               err);
}

static bool commit(struct db *db, struct error *err)
{
    return run(db, "COMMIT", NULL, 0, NULL, NULL, NULL, err);
}

static void rollback(struct db *db)
{
    struct error ignored = {0};

    if (sqlite3_get_autocommit(own(db)->handle) == 0 &&
        !run(db, "ROLLBACK", NULL, 0, NULL, NULL, NULL, &ignored))
        db->gone = true; /* who knows what state it is in */
}

static bool copy(struct db *db, const char *path, struct error *err)
{
    struct sqlite_db *s = own(db);
    sqlite3 *to = NULL;

    if (!make_file(path, err))
        return false;
    if (sqlite3_open_v2(path, &to, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        sqlite3_close_v2(to);
        return fail(err, ERR_IO, "cannot open %s for the copy", path);
    }
    sqlite3_backup *b = sqlite3_backup_init(to, "main", s->handle, "main");
    /* All pages in one step: one moment, and writers go on beside it, for this only reads. */
    errno = 0;
    const int code = b != NULL ? sqlite3_backup_step(b, -1) : sqlite3_errcode(to);
    const int left = errno;
    if (b != NULL)
        sqlite3_backup_finish(b);
    const int os = sqlite3_system_errno(to) != 0 ? sqlite3_system_errno(to) : left;
    bool ok = code == SQLITE_DONE;
    if (!ok && ((code & 0xff) == SQLITE_FULL || os == ENOSPC || os == EDQUOT || os == EFBIG))
        fail(err, ERR_IO, "the disk is full: the copy %s cannot grow; free some space", path);
    else if (!ok)
        fail(err, ERR_IO, "cannot copy the database to %s: %s", path, sqlite3_errstr(code));
    sqlite3_close_v2(to);
    return ok;
}

static bool is_null(const struct db_row *row, int column)
{
    return sqlite3_column_type(row->at, column) == SQLITE_NULL;
}

static int64_t as_int(const struct db_row *row, int column)
{
    return sqlite3_column_int64(row->at, column);
}

static double as_real(const struct db_row *row, int column)
{
    return sqlite3_column_double(row->at, column);
}

static struct str as_str(const struct db_row *row, int column)
{
    const int type = sqlite3_column_type(row->at, column);
    const void *p = NULL;

    if (type == SQLITE_NULL)
        return (struct str){0};
    p = type == SQLITE_BLOB ? sqlite3_column_blob(row->at, column)
                            : (const void *)sqlite3_column_text(row->at, column);
    return p == NULL ? STR("") : (struct str){p, (size_t)sqlite3_column_bytes(row->at, column)};
}

const struct db_driver db_sqlite = {
    .dialect = DB_SQLITE,
    .connect = connect,
    .disconnect = disconnect,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .run = run,
    .script = script,
    .copy = copy,
    .is_null = is_null,
    .as_int = as_int,
    .as_real = as_real,
    .as_str = as_str,
    .words = {"INTEGER", "REAL", "TEXT", "BLOB", "INTEGER PRIMARY KEY AUTOINCREMENT", "STRICT"},
};
