/*
 * db_migrate.c - the tables' versions: what was done to this database, and what is still to be done.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/size.h"
#include "store/db_internal.h"

#define MIGRATION_BYTES ((size_t)1 << 20)

struct state {
    const struct db_migration *all;
    size_t n;
    size_t n_done; /* found in the database */
};

/* {int} becomes BIGINT, and so on; what is in no brace that we know stays. */
static void in_dialect(const struct db_driver *driver, const char *sql, struct buf *out)
{
    static const char *const names[] = {"{int}",  "{real}",   "{text}",
                                        "{blob}", "{serial}", "{strict}"};

    while (*sql != '\0') {
        size_t i = 0;

        while (i < COUNT_OF(names) && strncmp(sql, names[i], strlen(names[i])) != 0)
            i++;
        if (i < COUNT_OF(names)) {
            buf_text(out, driver->words[i]);
            sql += strlen(names[i]);
        } else {
            buf_char(out, *sql++);
        }
    }
}

static bool one_done(void *ctx, const struct db_row *row, struct error *err)
{
    struct state *s = ctx;
    const int64_t version = db_row_int(row, 0);
    const struct str name = db_row_str(row, 1);

    if (version > (int64_t)s->n)
        return fail(err, ERR_UNSUPPORTED,
                    "the database is newer than this program: it has had \"" STR_FMT
                    "\" (%lld), this program knows %zu; use the newer hone",
                    STR_ARG(name), (long long)version, s->n);
    if (version != (int64_t)s->n_done + 1 || !str_is(name, s->all[s->n_done].name))
        return fail(err, ERR_CORRUPT,
                    "the database's table schema_migrations has \"" STR_FMT
                    "\" as number %lld, this program has \"%s\" as %zu: it is another program's",
                    STR_ARG(name), (long long)version, s->all[s->n_done].name, s->n_done + 1);
    s->n_done++;
    return true;
}

static bool look(struct db *db, struct state *s, struct error *err)
{
    s->n_done = 0;
    return db_run(db, "SELECT version, name FROM schema_migrations ORDER BY version", NULL, 0,
                  one_done, s, NULL, err);
}

static bool migrate(struct db *db, void *ctx, struct error *err)
{
    struct state *s = ctx;
    struct buf sql;

    buf_init(&sql, MIGRATION_BYTES);
    in_dialect(db->driver,
               "CREATE TABLE IF NOT EXISTS schema_migrations (version {int} PRIMARY KEY, "
               "name {text} NOT NULL, at {int} NOT NULL) {strict}",
               &sql);
    bool ok = db->driver->script(db, sql.ptr, err) && look(db, s, err);
    for (size_t i = s->n_done; ok && i < s->n; i++) {
        const struct db_value v[] = {db_int((int64_t)i + 1), db_text(s->all[i].name),
                                     db_int(clock_unix())};

        buf_clear(&sql);
        in_dialect(db->driver, s->all[i].sql, &sql);
        ok = buf_ok(&sql, s->all[i].name, err) && db->driver->script(db, sql.ptr, err) &&
             db_run(db, "INSERT INTO schema_migrations (version, name, at) VALUES (?1, ?2, ?3)", v,
                    COUNT_OF(v), NULL, NULL, NULL, err);
        if (!ok)
            fail_while(err, "bringing the database to \"%s\"", s->all[i].name);
    }
    buf_release(&sql);
    return ok;
}

static bool one_table(void *ctx, const struct db_row *row, struct error *err)
{
    (void)err;
    *(bool *)ctx = db_row_int(row, 0) > 0;
    return true;
}

/* What is up to date is only read: the start of a worker does not wait for whoever writes. */
static bool is_new(struct db *db, void *ctx, struct error *err)
{
    struct state *s = ctx;
    bool there = false;

    return db_run(db,
                  db->driver->dialect == DB_SQLITE
                      ? "SELECT count(*) FROM sqlite_master WHERE name = 'schema_migrations'"
                      : "SELECT count(*) WHERE to_regclass('schema_migrations') IS NOT NULL",
                  NULL, 0, one_table, &there, NULL, err) &&
           (!there || look(db, s, err));
}

bool db_migrate(struct db_pool *p, const struct db_migration *all, size_t n, struct error *err)
{
    struct state s = {.all = all, .n = n};

    return (db_read(p, is_new, &s, err) &&
            (s.n_done == n || db_transact(p, DB_MIGRATING, migrate, &s, err))) ||
           fail_while(err, "opening the database %s", db_pool_place(p));
}
