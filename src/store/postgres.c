/*
 * postgres.c - PostgreSQL over libpq, for a store that several machines share.
 *
 * Parameters travel with the type of their value, results as text; only bytes need decoding. A transaction that writes asks for
 * its number when it begins, in the same message, so that the fate of a commit whose answer was lost can be asked of the
 * server afterwards (pg_xact_status).
 */
#include "store/db_internal.h"

#if HONE_POSTGRES
#include "base/clock.h"
#include "base/size.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_PARAMS 100
#define OLDEST_SERVER 130000           /* pg_current_xact_id */
#define MIGRATION_LOCK "7236824350012" /* any number, the same for all of us */

/* pg_type.dat: what does not change */
enum { OID_BOOL = 16, OID_BYTEA = 17, OID_INT8 = 20, OID_TEXT = 25, OID_FLOAT8 = 701 };

struct postgres_statement {
    struct db_statement common;
    char name[24];
    size_t n_params;
    enum db_type types[MAX_PARAMS]; /* DB_NULL: for the server to find out */
};
struct postgres_db {
    struct db db;
    struct db_pool *pool;
    PGconn *conn;
    char xid[32];     /* of the transaction that writes, or "" */
    bool is_locked;   /* for a migration */
    uint64_t n_named; /* statements so far, for their names */
    struct db_statements statements;
};

static struct postgres_db *own(struct db *db)
{
    return (struct postgres_db *)db;
}

const char *db_postgres_version(void)
{
    static _Thread_local char text[24];
    const int v = PQlibVersion();

    snprintf(text, sizeof text, "%d.%d", v / 10000, v % 10000);
    return text;
}

char *db_postgres_place(const char *address)
{
    PQconninfoOption *all = PQconninfoParse(address, NULL);
    const char *user = NULL, *host = NULL, *port = NULL, *name = NULL;
    char *out = NULL;

    if (all == NULL)
        return NULL;
    for (const PQconninfoOption *o = all; o->keyword != NULL; o++) {
        if (strcmp(o->keyword, "user") == 0)
            user = o->val;
        else if (strcmp(o->keyword, "port") == 0)
            port = o->val;
        else if (strcmp(o->keyword, "dbname") == 0)
            name = o->val;
        else if (strcmp(o->keyword, "host") == 0 ||
                 (strcmp(o->keyword, "hostaddr") == 0 && host == NULL))
            host = o->val;
    }
    if (asprintf(&out, "postgresql://%s%s%s%s%s/%s", user != NULL ? user : "",
                 user != NULL ? "@" : "", host != NULL ? host : "", port != NULL ? ":" : "",
                 port != NULL ? port : "", name != NULL ? name : "") < 0)
        out = NULL;
    PQconninfoFree(all);
    return out;
}

/* ---- connections ---- */

static void say_nothing(void *ctx, const char *message)
{
    (void)ctx;
    (void)message;
}

/* libpq's words without their line end, as one line. */
static const char *one_line(const char *said, char *out, size_t size)
{
    size_t n = 0;

    for (; *said != '\0' && n + 1 < size; said++)
        if (*said != '\n')
            out[n++] = *said;
        else if (said[1] != '\0')
            out[n++] = ' ';
    out[n] = '\0';
    return out;
}

/* A server that is there, and says no for good: a wrong password, no such database. */
static bool will_pass(const char *const *keys, const char *const *values, const char *said)
{
    return PQpingParams(keys, values, 1) != PQPING_OK || strstr(said, "too many") != NULL ||
           strstr(said, "connection slots") != NULL;
}

static PGconn *dial(struct db_pool *p, bool *again, struct error *err)
{
    char seconds[24], text[400];
    const int timeout_ms = db_pool_options(p)->timeout_ms;
    /* The address may say otherwise: what stands behind it wins. A machine that vanished is noticed in half a minute. */
    const char *const keys[] = {"connect_timeout",  "keepalives_idle",  "keepalives_interval",
                                "keepalives_count", "tcp_user_timeout", "fallback_application_name",
                                "dbname",           "client_encoding",  NULL};
    const char *const values[] = {seconds, "15", "5", "3", "30000", "hone", db_pool_address(p),
                                  "UTF8",  NULL};

    snprintf(seconds, sizeof seconds, "%d", timeout_ms < 2000 ? 2 : (timeout_ms + 999) / 1000);
    PGconn *conn = PQconnectdbParams(keys, values, 1);
    if (PQstatus(conn) == CONNECTION_OK)
        return conn;
    one_line(PQerrorMessage(conn), text, sizeof text);
    *again = will_pass(keys, values, text);
    fail(err, ERR_IO, "cannot reach the database %s: %s", db_pool_place(p), text);
    PQfinish(conn);
    return NULL;
}

static void disconnect(struct db *db)
{
    struct postgres_db *p = own(db);

    for (size_t b = 0; b < DB_BUCKETS; b++)
        for (struct db_statement *s = p->statements.bucket[b], *next; s != NULL; s = next) {
            next = s->next;
            free(s->sql);
            free(s);
        }
    PQfinish(p->conn);
    free(p);
}

static bool simple(struct postgres_db *p, const char *sql, struct error *err);

static bool connect(struct db_pool *pool, enum db_mode mode, struct db **out, bool *again,
                    struct error *err)
{
    const struct db_options *opt = db_pool_options(pool);
    struct postgres_db *p = NULL;
    char settings[512];

    (void)mode;
    *again = false;
    PGconn *conn = dial(pool, again, err);
    if (conn == NULL)
        return false;
    p = calloc(1, sizeof *p);
    if (p == NULL) {
        PQfinish(conn);
        return fail(err, ERR_NO_MEMORY, "no memory for a connection to the database");
    }
    *p = (struct postgres_db){.db.driver = &db_postgres, .pool = pool, .conn = conn};
    PQsetNoticeProcessor(conn, say_nothing, NULL);
    const int version = PQserverVersion(conn);
    if (version < OLDEST_SERVER) {
        disconnect(&p->db);
        return fail(err, ERR_UNSUPPORTED, "%s is PostgreSQL %d, at least %d is needed",
                    db_pool_place(pool), version / 10000, OLDEST_SERVER / 10000);
    }
    /* A process that was stopped in the middle of a transaction does not hold its locks for ever. */
    snprintf(settings, sizeof settings,
             "SET lock_timeout = %d; SET idle_in_transaction_session_timeout = 60000; "
             "SET standard_conforming_strings = on; SET extra_float_digits = 1; %s",
             opt->timeout_ms,
             opt->durable ? "SELECT set_config('synchronous_commit', 'on', false) "
                            "WHERE current_setting('synchronous_commit') = 'off'"
                          : "SET synchronous_commit = off");
    if (!simple(p, settings, err)) {
        *again = p->db.trouble == DB_LOST;
        disconnect(&p->db);
        return false;
    }
    *out = &p->db;
    return true;
}

/* ---- failures ---- */

static bool starts(const char *state, const char *class)
{
    return strncmp(state, class, strlen(class)) == 0;
}

/* What the server, or libpq, said of a statement: Appendix A of PostgreSQL's manual, "Error Codes". */
static bool refused(struct postgres_db *p, const PGresult *r, const char *sql, struct error *err)
{
    struct db *db = &p->db;
    const char *place = db_pool_place(p->pool);
    const char *state = r != NULL ? PQresultErrorField(r, PG_DIAG_SQLSTATE) : NULL;
    const char *said = r != NULL ? PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    char text[300];

    if (said == NULL)
        said = one_line(PQerrorMessage(p->conn), text, sizeof text);
    if (PQstatus(p->conn) != CONNECTION_OK || state == NULL || starts(state, "08") ||
        starts(state, "57P") || starts(state, "25P03"))
        return db_trouble(db, DB_LOST, ERR_IO, err,
                          "the connection to the database %s was lost: %s", place, said);
    if (starts(state, "40"))
        return db_trouble(db, DB_AGAIN, ERR_TIMEOUT, err,
                          "others changed the same rows of %s again and again: %s", place, said);
    if (starts(state, "55P03") || starts(state, "57014"))
        return db_trouble(db, DB_AGAIN, ERR_TIMEOUT, err, "%s stayed locked for %g seconds: %s",
                          place, db_pool_options(p->pool)->timeout_ms * 1e-3, said);
    if (starts(state, "23505"))
        return db_trouble(db, DB_UNIQUE, ERR_INVALID, err, "the database refuses it: %s", said);
    if (starts(state, "22") || starts(state, "23"))
        return db_trouble(db, DB_FAILED, ERR_INVALID, err, "the database refuses it: %s", said);
    if (starts(state, "53100"))
        return db_trouble(db, DB_FAILED, ERR_IO, err,
                          "the disk is full where the database %s is: %s; free some space", place,
                          said);
    if (starts(state, "42"))
        return db_trouble(db, DB_FAILED, ERR_IO, err,
                          "the database does not understand \"%.200s\": %s", sql, said);
    return db_trouble(db, DB_FAILED, ERR_IO, err, "the database %s failed: %s (%s)", place, said,
                      state);
}

static bool went_well(const PGresult *r)
{
    const ExecStatusType status = PQresultStatus(r);

    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* One message of statements without parameters. */
static bool simple(struct postgres_db *p, const char *sql, struct error *err)
{
    PGresult *r = PQexec(p->conn, sql);
    const bool ok = went_well(r) || refused(p, r, sql, err);

    PQclear(r);
    return ok;
}

static bool script(struct db *db, const char *sql, struct error *err)
{
    return simple(own(db), sql, err);
}

/* ---- transactions ---- */

static bool begin(struct db *db, enum db_mode mode, struct error *err)
{
    struct postgres_db *p = own(db);

    p->xid[0] = '\0';
    if (mode == DB_READING)
        return simple(p, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", err);
    /* Locked before it begins, so that it sees what whoever held the lock has committed. */
    if (mode == DB_MIGRATING && !simple(p, "SELECT pg_advisory_lock(" MIGRATION_LOCK ")", err))
        return false;
    p->is_locked = mode == DB_MIGRATING;
    PGresult *r =
        PQexec(p->conn, "BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT pg_current_xact_id()");
    const bool ok = went_well(r) || refused(p, r, "BEGIN", err);
    if (ok && PQntuples(r) == 1)
        snprintf(p->xid, sizeof p->xid, "%s", PQgetvalue(r, 0, 0));
    PQclear(r);
    return ok;
}

enum fate { FATE_UNKNOWN, FATE_COMMITTED, FATE_ABORTED, FATE_OPEN };

static enum fate ask_fate(PGconn *conn, const char *xid)
{
    const char *const values[] = {xid};
    PGresult *r =
        PQexecParams(conn, "SELECT pg_xact_status($1::xid8)", 1, NULL, values, NULL, NULL, 0);
    enum fate fate = FATE_UNKNOWN;

    if (PQresultStatus(r) == PGRES_TUPLES_OK && PQntuples(r) == 1) {
        const char *said = PQgetvalue(r, 0, 0);

        fate = strcmp(said, "committed") == 0     ? FATE_COMMITTED
               : strcmp(said, "aborted") == 0     ? FATE_ABORTED
               : strcmp(said, "in progress") == 0 ? FATE_OPEN
                                                  : FATE_UNKNOWN;
    }
    PQclear(r);
    return fate;
}

/* The connection went while a commit was under way; another one asks what became of it. err says that it was lost. */
static bool was_committed(struct postgres_db *p, struct error *err)
{
    const double deadline = clock_seconds() + db_pool_options(p->pool)->timeout_ms * 1e-3;
    enum fate fate = FATE_UNKNOWN;

    while (fate != FATE_COMMITTED && fate != FATE_ABORTED && clock_seconds() < deadline) {
        struct error ignored = {0};
        bool again = false;
        PGconn *conn = dial(p->pool, &again, &ignored);

        if (conn != NULL) {
            fate = ask_fate(conn, p->xid);
            PQfinish(conn);
        }
        if (fate != FATE_COMMITTED && fate != FATE_ABORTED)
            clock_sleep_until(clock_seconds() + 0.05);
    }
    if (fate == FATE_COMMITTED)
        return true;
    if (fate == FATE_ABORTED)
        return false; /* done again, as for any lost connection */
    p->db.trouble = DB_FAILED;
    return fail(err, ERR_IO,
                "the connection to the database %s was lost during a commit, and the server cannot "
                "be asked whether it took place; look before doing it again",
                db_pool_place(p->pool));
}

static void unlock(struct postgres_db *p)
{
    struct error ignored = {0};

    if (p->is_locked && PQstatus(p->conn) == CONNECTION_OK)
        (void)!simple(p, "SELECT pg_advisory_unlock(" MIGRATION_LOCK ")", &ignored);
    p->is_locked = false;
}

static bool commit(struct db *db, struct error *err)
{
    struct postgres_db *p = own(db);
    PGresult *r = PQexec(p->conn, "COMMIT");
    bool ok = went_well(r) || refused(p, r, "COMMIT", err);

    if (ok && strcmp(PQcmdStatus(r), "COMMIT") != 0)
        ok = db_trouble(db, DB_FAILED, ERR_IO, err, "the database %s rolled a transaction back",
                        db_pool_place(p->pool));
    PQclear(r);
    if (!ok && db->trouble == DB_LOST && p->xid[0] != '\0')
        ok = was_committed(p, err);
    if (ok)
        unlock(p);
    return ok;
}

static void rollback(struct db *db)
{
    struct postgres_db *p = own(db);
    struct error ignored = {0};

    if (PQstatus(p->conn) != CONNECTION_OK)
        return;
    if (PQtransactionStatus(p->conn) != PQTRANS_IDLE)
        (void)!simple(p, "ROLLBACK", &ignored);
    unlock(p);
}

/* ---- statements ---- */

/* ?1 becomes $1, but not within quotes or comments. The number of the last parameter in *n. */
static char *with_dollars(const char *sql, size_t *n)
{
    char *out = strdup(sql);

    *n = 0;
    if (out == NULL)
        return NULL;
    for (char *c = out; *c != '\0'; c++) {
        if (*c == '\'' || *c == '"') {
            c = strchr(c + 1, *c); /* a doubled quote ends one and begins the next */
            if (c == NULL)
                break;
        } else if (c[0] == '-' && c[1] == '-') {
            c += strcspn(c, "\n");
            if (*c == '\0')
                break;
        } else if (*c == '?' && c[1] >= '1' && c[1] <= '9') {
            *c = '$';
            *n = size_max(*n, (size_t)strtoul(c + 1, NULL, 10));
        }
    }
    return out;
}

static bool fits(const struct postgres_statement *s, const struct db_value *v)
{
    for (size_t i = 0; i < s->n_params; i++)
        if (v[i].type != DB_NULL && v[i].type != s->types[i])
            return false;
    return true;
}

/* As with SQLite: more than a program has by writing them down. */
static void forget_all(struct postgres_db *p)
{
    struct error ignored = {0};

    for (size_t b = 0; b < DB_BUCKETS; b++) {
        for (struct db_statement *s = p->statements.bucket[b], *next; s != NULL; s = next) {
            next = s->next;
            free(s->sql);
            free(s);
        }
        p->statements.bucket[b] = NULL;
    }
    p->statements.n = 0;
    (void)!simple(p, "DEALLOCATE ALL", &ignored);
}

static bool prepare(struct postgres_db *p, const char *sql, const struct db_value *v, size_t n,
                    struct postgres_statement **out, struct error *err)
{
    static const Oid oids[] = {[DB_NULL] = 0,
                               [DB_INT] = OID_INT8,
                               [DB_REAL] = OID_FLOAT8,
                               [DB_TEXT] = OID_TEXT,
                               [DB_BLOB] = OID_BYTEA};
    const uint64_t hash = str_hash(str_of(sql));
    Oid types[MAX_PARAMS];
    size_t n_in_text = 0;

    for (struct db_statement *s = db_statement_find(&p->statements, sql, hash, NULL); s != NULL;
         s = db_statement_find(&p->statements, sql, hash, s)) {
        assert(((struct postgres_statement *)s)->n_params == n);
        if (fits((struct postgres_statement *)s, v)) {
            *out = (struct postgres_statement *)s;
            return true;
        }
    }
    if (p->statements.n >= DB_STATEMENTS)
        forget_all(p);
    struct postgres_statement *s = calloc(1, sizeof *s);
    char *dollars = with_dollars(sql, &n_in_text);
    if (s == NULL || dollars == NULL || (s->common.sql = strdup(sql)) == NULL) {
        free(s);
        free(dollars);
        return db_trouble(&p->db, DB_FAILED, ERR_NO_MEMORY, err, "no memory for a statement");
    }
    assert(n_in_text == n && "as many values as the statement has");
    s->common.hash = hash;
    s->n_params = n;
    for (size_t i = 0; i < n; i++) {
        s->types[i] = v[i].type;
        types[i] = oids[v[i].type];
    }
    snprintf(s->name, sizeof s->name, "s%" PRIu64, ++p->n_named);
    PGresult *r = PQprepare(p->conn, s->name, dollars, (int)n, types);
    const bool ok = went_well(r) || refused(p, r, sql, err);
    PQclear(r);
    free(dollars);
    if (!ok) {
        free(s->common.sql);
        free(s);
        return false;
    }
    db_statement_add(&p->statements, &s->common);
    *out = s;
    return true;
}

struct sent { /* values as libpq takes them */
    const char *values[MAX_PARAMS];
    int lengths[MAX_PARAMS], formats[MAX_PARAMS];
    char numbers[MAX_PARAMS][32];
};

static bool encode(const struct db_value *v, size_t n, struct sent *out, struct error *err)
{
    for (size_t i = 0; i < n; i++) {
        char *number = out->numbers[i];

        out->values[i] = number;
        out->formats[i] = out->lengths[i] = 0;
        switch (v[i].type) {
        case DB_NULL:
            out->values[i] = NULL;
            break;
        case DB_INT:
            snprintf(number, sizeof out->numbers[i], "%" PRId64, v[i].i);
            break;
        case DB_REAL:
            if (isinf(v[i].r))
                out->values[i] = v[i].r > 0 ? "Infinity" : "-Infinity";
            else
                snprintf(number, sizeof out->numbers[i], "%.17g", v[i].r);
            break;
        case DB_TEXT:
        case DB_BLOB: /* as they are, by their length */
            if (v[i].s.len > (size_t)1 << 30)
                return fail(err, ERR_LIMIT, "value %zu is larger than PostgreSQL takes (1 GB)",
                            i + 1);
            out->values[i] = v[i].s.ptr;
            out->lengths[i] = (int)v[i].s.len;
            out->formats[i] = 1;
            break;
        }
    }
    return true;
}

static bool run(struct db *db, const char *sql, const struct db_value *params, size_t n_params,
                db_row_fn *fn, void *ctx, size_t *n, struct error *err)
{
    struct postgres_db *p = own(db);
    struct postgres_statement *s = NULL;
    struct sent sent;
    struct arena memory = {0};

    assert(n_params <= MAX_PARAMS);
    if (!encode(params, n_params, &sent, err) || !prepare(p, sql, params, n_params, &s, err))
        return false;
    PGresult *r =
        PQexecPrepared(p->conn, s->name, (int)n_params, sent.values, sent.lengths, sent.formats, 0);
    bool ok = went_well(r) || refused(p, r, sql, err);
    for (int i = 0; ok && fn != NULL && i < PQntuples(r); i++) {
        const struct db_row row = {.db = db, .at = r, .row = i, .memory = &memory};

        ok = fn(ctx, &row, err);
        if (memory.used_bytes > 0)
            arena_reset(&memory);
    }
    if (ok && n != NULL)
        *n = PQresultStatus(r) == PGRES_TUPLES_OK ? (size_t)PQntuples(r)
                                                  : (size_t)strtoull(PQcmdTuples(r), NULL, 10);
    PQclear(r);
    arena_release(&memory);
    return ok;
}

/* ---- rows ---- */

static bool is_null(const struct db_row *row, int column)
{
    return PQgetisnull(row->at, row->row, column) != 0;
}

static int64_t as_int(const struct db_row *row, int column)
{
    const char *text = PQgetvalue(row->at, row->row, column);

    if (PQftype(row->at, column) == OID_BOOL)
        return text[0] == 't';
    return strtoll(text, NULL, 10); /* "" for null: 0 */
}

static double as_real(const struct db_row *row, int column)
{
    return strtod(PQgetvalue(row->at, row->row, column), NULL); /* "Infinity" too */
}

static unsigned nibble(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static struct str as_str(const struct db_row *row, int column)
{
    const char *text = PQgetvalue(row->at, row->row, column);
    const size_t len = (size_t)PQgetlength(row->at, row->row, column);

    if (is_null(row, column))
        return (struct str){0};
    if (PQftype(row->at, column) != OID_BYTEA)
        return (struct str){text, len};
    const size_t n = len < 2 ? 0 : (len - 2) / 2; /* "\x00ff" */
    char *out = arena_alloc(row->memory, n + 1);
    for (size_t i = 0; i < n; i++)
        out[i] = (char)(nibble(text[2 + 2 * i]) << 4 | nibble(text[3 + 2 * i]));
    return (struct str){out, n};
}

const struct db_driver db_postgres = {
    .dialect = DB_POSTGRES,
    .connect = connect,
    .disconnect = disconnect,
    .begin = begin,
    .commit = commit,
    .rollback = rollback,
    .run = run,
    .script = script,
    .is_null = is_null,
    .as_int = as_int,
    .as_real = as_real,
    .as_str = as_str,
    .words = {"BIGINT", "DOUBLE PRECISION", "TEXT COLLATE \"C\"", "BYTEA",
              "BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY", ""},
};
#else
const char *db_postgres_version(void)
{
    return NULL;
}
#endif
