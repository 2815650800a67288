/*
 * db_test.c - the same statements, values and failures over both databases; transactions are done whole, once, or not.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"
#include "store/db.h"
#include "support/postgres.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static const struct db_migration tables[] = {
    {"0001 things", "CREATE TABLE things (seq {serial}, name {text} NOT NULL UNIQUE, n {int}, "
                    "r {real}, t {text}, b {blob}) {strict};\n"
                    "CREATE TABLE counts (name {text} PRIMARY KEY, n {int} NOT NULL) {strict};\n"
                    "CREATE TABLE parts (thing {int} NOT NULL REFERENCES things (seq)) {strict};\n"
                    "INSERT INTO counts (name, n) VALUES ('all', 0);\n"},
};

static struct db_pool *open_with(const char *url, struct db_options opt)
{
    struct db_pool *p = NULL;
    struct error err = {0};

    ASSERT_OK(db_pool_open(url, &opt, &p, &err));
    ASSERT_OK(db_migrate(p, tables, COUNT_OF(tables), &err));
    return p;
}

static struct db_pool *open_pool(const char *url, size_t n_connections, int timeout_ms)
{
    return open_with(url,
                     (struct db_options){.n_connections = n_connections, .timeout_ms = timeout_ms});
}

/* One statement as a whole transaction. */
struct one {
    const char *sql;
    const struct db_value *v;
    size_t n_v, n;
    db_row_fn *fn;
    void *ctx;
    bool conflict;
};

static bool do_one(struct db *db, void *ctx, struct error *err)
{
    struct one *o = ctx;
    const bool ok = db_run(db, o->sql, o->v, o->n_v, o->fn, o->ctx, &o->n, err);

    o->conflict = db_conflict(db);
    return ok;
}

static bool row_int(void *ctx, const struct db_row *row, struct error *err)
{
    (void)err;
    *(int64_t *)ctx = db_row_int(row, 0);
    return true;
}

static int64_t number(struct db_pool *p, const char *sql)
{
    int64_t n = -1;
    struct one o = {.sql = sql, .fn = row_int, .ctx = &n};
    struct error err = {0};

    ASSERT_OK(db_read(p, do_one, &o, &err));
    return n;
}

static bool put_thing(struct db *db, const char *name, struct error *err)
{
    const struct db_value v[] = {db_text(name)};

    return db_run(db, "INSERT INTO things (name) VALUES (?1)", v, 1, NULL, NULL, NULL, err);
}

static bool put_one_thing(struct db *db, void *ctx, struct error *err)
{
    return put_thing(db, ctx, err);
}

/* ---- values ---- */

struct thing {
    struct arena *a;
    bool nulls[4];
    int64_t n;
    double r;
    struct str t, b;
    size_t rows;
};

static bool row_thing(void *ctx, const struct db_row *row, struct error *err)
{
    struct thing *t = ctx;

    (void)err;
    for (int i = 0; i < 4; i++)
        t->nulls[i] = db_row_is_null(row, i);
    t->n = db_row_int(row, 0);
    t->r = db_row_real(row, 1);
    if (db_row_str(row, 2).ptr != NULL)
        t->t = arena_str(t->a, db_row_str(row, 2));
    if (db_row_str(row, 3).ptr != NULL)
        t->b = arena_str(t->a, db_row_str(row, 3));
    assert_int_equal(db_row_text(row, 2, t->a) == NULL, t->nulls[2]);
    t->rows++;
    return true;
}

static struct thing there_and_back(struct test_database *d, struct db_pool *p, const char *name,
                                   struct db_value n, struct db_value r, struct db_value t,
                                   struct db_value b)
{
    const struct db_value v[] = {db_text(name), n, r, t, b};
    struct thing out = {.a = &d->arena};
    struct one put = {.sql = "INSERT INTO things (name, n, r, t, b) VALUES (?1, ?2, ?3, ?4, ?5)",
                      .v = v,
                      .n_v = 5};
    struct one get = {.sql = "SELECT n, r, t, b FROM things WHERE name = ?1",
                      .v = v,
                      .n_v = 1,
                      .fn = row_thing,
                      .ctx = &out};
    struct error err = {0};

    ASSERT_OK(db_write(p, do_one, &put, &err));
    assert_int_equal(put.n, 1);
    ASSERT_OK(db_read(p, do_one, &get, &err));
    assert_int_equal(get.n, 1);
    assert_int_equal(out.rows, 1);
    return out;
}

static void values_come_back_as_they_were(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_pool(d->url, 2, 0);
    const struct db_value null = {.type = DB_NULL};
    const int64_t ints[] = {0, -1, INT64_MAX, INT64_MIN, (int64_t)1 << 53 | 1};
    const double reals[] = {
        0.1,       -0.0, (double)INFINITY, -(double)INFINITY, 5e-324, 1.7976931348623157e308,
        1.0 / 3.0, 1e22};
    const char *texts[] = {"", "x", "it's \"?1\" -- ?2 $3 \\ \n",
                           "\xc3\xa4\xe2\x82\xac\xf0\x9f\x8d\xaf"};
    char name[32];
    unsigned made = 0;

    for (size_t i = 0; i < COUNT_OF(ints); i++) {
        snprintf(name, sizeof name, "%u", made++);
        const struct thing t = there_and_back(d, p, name, db_int(ints[i]), null, null, null);
        assert_true(t.n == ints[i] && !t.nulls[0] && t.nulls[1] && t.nulls[2] && t.nulls[3]);
        assert_true(t.r == 0 && t.t.ptr == NULL && t.b.ptr == NULL);
    }
    for (size_t i = 0; i < COUNT_OF(reals); i++) {
        snprintf(name, sizeof name, "%u", made++);
        const struct thing t = there_and_back(d, p, name, null, db_real(reals[i]), null, null);
        assert_true(t.r == reals[i] && !t.nulls[1] && t.nulls[0] && t.n == 0);
    }
    for (size_t i = 0; i < COUNT_OF(texts); i++) {
        snprintf(name, sizeof name, "%u", made++);
        const struct thing t =
            there_and_back(d, p, name, null, null, db_text(texts[i]), db_blob(str_of(texts[i])));
        assert_non_null(t.t.ptr);
        assert_non_null(t.b.ptr);
        ASSERT_STR(t.t, texts[i]);
        ASSERT_STR(t.b, texts[i]);
    }
    db_pool_close(p);
}

static void large_values_and_every_byte_come_back(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_pool(d->url, 2, 0);
    const size_t n = (size_t)1 << 20;
    char *text = arena_alloc(&d->arena, n), *bytes = arena_alloc(&d->arena, n);

    for (size_t i = 0; i < n; i++) {
        text[i] = (char)('a' + i % 26);
        bytes[i] = (char)(i * 7 + (i >> 8));
    }
    const struct thing t =
        there_and_back(d, p, "large", db_int(1), db_real(1), db_str((struct str){text, n}),
                       db_blob((struct str){bytes, n}));
    assert_true(str_eq(t.t, (struct str){text, n}));
    assert_true(str_eq(t.b, (struct str){bytes, n}));
    db_pool_close(p);
}

static void values_that_no_database_keeps_are_refused(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_pool(d->url, 2, 0);
    const struct {
        struct db_value v;
        const char *says;
    } bad[] = {
        {db_str(STR("a\0b")), "no zero byte, this one at byte 1"},
        {db_text("ab\xff"), "not UTF-8 at byte 2"},
        {db_text("\xc3"), "not UTF-8 at byte 0"},             /* cut short */
        {db_text("\xc0\xaf"), "not UTF-8 at byte 0"},         /* longer than it need be */
        {db_text("x\xed\xa0\x80"), "not UTF-8 at byte 1"},    /* half of a surrogate pair */
        {db_text("\xf4\x90\x80\x80"), "not UTF-8 at byte 0"}, /* behind the last */
        {db_real((double)NAN), "not a number (NaN)"},
    };
    struct error err = {0};

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        const struct db_value v[] = {db_text("x"), bad[i].v};
        struct one put = {.sql = bad[i].v.type == DB_REAL
                                     ? "INSERT INTO things (name, r) VALUES (?1, ?2)"
                                     : "INSERT INTO things (name, t) VALUES (?1, ?2)",
                          .v = v,
                          .n_v = 2};

        ASSERT_FAILS(db_write(p, do_one, &put, &err), ERR_INVALID, bad[i].says);
        assert_non_null(strstr(err.message, "value 2"));
    }
    assert_int_equal(number(p, "SELECT count(*) FROM things"), 0);
    db_pool_close(p);
}

static void statements_mean_the_same_on_both(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_pool(d->url, 2, 0);
    const struct db_value seven = db_int(7), null = {.type = DB_NULL}, text = db_text("b");
    int64_t got = 0;
    struct one o = {.sql = "SELECT ?1", .v = &seven, .n_v = 1, .fn = row_int, .ctx = &got};
    struct error err = {0};

    ASSERT_OK(db_read(p, do_one, &o, &err));
    assert_int_equal(got, 7);
    assert_int_equal(number(p, "SELECT 2 > 1"), 1);
    assert_int_equal(number(p, "SELECT 2 < 1"), 0);
    assert_int_equal(number(p, "SELECT count(*) FROM things WHERE 1 = 2"), 0);
    assert_int_equal(number(p, "SELECT CASE WHEN '?1' = '?' || '1' THEN 4 END -- ?2"), 4);
    /* texts are ordered by their bytes */
    ASSERT_OK(db_write(p, put_one_thing, "a", &err));
    ASSERT_OK(db_write(p, put_one_thing, "B", &err));
    ASSERT_OK(db_write(p, put_one_thing, "\xc3\xa4", &err));
    assert_int_equal(number(p, "SELECT count(*) FROM things WHERE name < 'a'"), 1);
    assert_int_equal(number(p, "SELECT sum(seq) FROM things"), 6);
    assert_int_equal(number(p, "SELECT max(seq) FROM things WHERE name = 'no'"), 0);
    o = (struct one){.sql = "SELECT count(*) FROM things WHERE (name = ?1 OR ?1 IS NULL)",
                     .n_v = 1,
                     .fn = row_int,
                     .ctx = &got};
    o.v = &null;
    ASSERT_OK(db_read(p, do_one, &o, &err));
    assert_int_equal(got, 3);
    o.v = &text;
    ASSERT_OK(db_read(p, do_one, &o, &err));
    assert_int_equal(got, 0);
    /* rows of RETURNING are counted, and changed ones */
    o = (struct one){.sql = "UPDATE things SET n = 3 WHERE name < 'b' RETURNING seq",
                     .fn = row_int,
                     .ctx = &got};
    ASSERT_OK(db_write(p, do_one, &o, &err));
    assert_int_equal(o.n, 2);
    o = (struct one){.sql = "UPDATE things SET n = 4"};
    ASSERT_OK(db_write(p, do_one, &o, &err));
    assert_int_equal(o.n, 3);
    ASSERT_FAILS(db_write(p, do_one, &(struct one){.sql = "SELEKT 1"}, &err), ERR_IO,
                 "does not understand \"SELEKT 1\"");
    ASSERT_FAILS(db_read(p, do_one, &(struct one){.sql = "UPDATE things SET n = 5"}, &err), ERR_IO,
                 "");
    assert_int_equal(number(p, "SELECT max(n) FROM things"), 4);
    db_pool_close(p);
}

/* ---- rows that ask more, and stop ---- */

struct walk {
    struct db *db;
    int64_t sum;
    size_t rows, stop_after;
};

static bool row_of_inner(void *ctx, const struct db_row *row, struct error *err)
{
    struct walk *w = ctx;

    (void)err;
    w->sum += db_row_int(row, 0);
    return true;
}

static const char walk_sql[] = "SELECT seq FROM things ORDER BY seq";

static bool row_of_outer(void *ctx, const struct db_row *row, struct error *err)
{
    struct walk *w = ctx;

    (void)row;
    if (++w->rows == w->stop_after)
        return fail(err, ERR_CANCELLED, "enough");
    return db_run(w->db, walk_sql, NULL, 0, row_of_inner, w, NULL, err);
}

static bool walk(struct db *db, void *ctx, struct error *err)
{
    struct walk *w = ctx;

    *w = (struct walk){.db = db, .stop_after = w->stop_after};
    return db_run(db, walk_sql, NULL, 0, row_of_outer, w, NULL, err);
}

static void a_row_may_ask_more_and_may_stop(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_pool(d->url, 2, 0);
    struct walk w = {0};
    struct error err = {0};

    for (int i = 0; i < 4; i++)
        ASSERT_OK(db_write(p, put_one_thing, arena_printf(&d->arena, "%d", i), &err));
    ASSERT_OK(db_read(p, walk, &w, &err));
    assert_int_equal(w.sum, 4 * (1 + 2 + 3 + 4));
    w.stop_after = 3;
    ASSERT_FAILS(db_read(p, walk, &w, &err), ERR_CANCELLED, "enough");
    assert_int_equal(w.rows, 3);
    w.stop_after = 0;
    ASSERT_OK(db_read(p, walk, &w, &err));
    db_pool_close(p);
}

static bool many_statements(struct db *db, void *ctx, struct error *err)
{
    char sql[64];

    for (int i = 0; i < 1000; i++) {
        snprintf(sql, sizeof sql, "SELECT %d WHERE ?1 = 5", i);
        const struct db_value five = db_int(5);
        if (!db_run(db, sql, &five, 1, row_int, ctx, NULL, err))
            return false;
    }
    return true;
}

static void a_thousand_statements_are_no_trouble(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_pool(d->url, 2, 0);
    int64_t last = 0;
    struct error err = {0};

    ASSERT_OK(db_read(p, many_statements, &last, &err));
    assert_int_equal(last, 999);
    db_pool_close(p);
}

/* ---- failures ---- */

static void what_a_constraint_forbids_is_told(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_pool(d->url, 2, 0);
    const struct db_value x = db_text("x"), n = db_int(99);
    struct one put = {.sql = "INSERT INTO things (name) VALUES (?1)", .v = &x, .n_v = 1};
    struct one part = {.sql = "INSERT INTO parts (thing) VALUES (?1)", .v = &n, .n_v = 1};
    struct one nameless = {.sql = "INSERT INTO things (n) VALUES (?1)", .v = &n, .n_v = 1};
    struct one calm = {
        .sql = "INSERT INTO things (name) VALUES (?1) ON CONFLICT DO NOTHING", .v = &x, .n_v = 1};
    struct error err = {0};

    ASSERT_OK(db_write(p, do_one, &put, &err));
    assert_false(put.conflict);
    ASSERT_FAILS(db_write(p, do_one, &put, &err), ERR_INVALID, "the database refuses it");
    assert_true(put.conflict);
    ASSERT_FAILS(db_write(p, do_one, &part, &err), ERR_INVALID, "the database refuses it");
    assert_false(part.conflict);
    ASSERT_FAILS(db_write(p, do_one, &nameless, &err), ERR_INVALID, "the database refuses it");
    assert_false(nameless.conflict);
    ASSERT_OK(db_write(p, do_one, &calm, &err));
    assert_int_equal(calm.n, 0);
    assert_int_equal(number(p, "SELECT count(*) FROM things"), 1);
    db_pool_close(p);
}

static bool two_things_then_fail(struct db *db, void *ctx, struct error *err)
{
    (void)ctx;
    return put_thing(db, "one", err) && put_thing(db, "two", err) &&
           fail(err, ERR_LIMIT, "that is too much");
}

/* A failure that is swallowed. */
static bool twice_the_same(struct db *db, void *ctx, struct error *err)
{
    struct error inner = {0};

    (void)ctx;
    (void)!(put_thing(db, "same", err) && put_thing(db, "same", &inner));
    assert_int_equal(inner.kind, ERR_INVALID);
    assert_false(put_thing(db, "other", &inner)); /* it is over */
    return true;
}

static void what_failed_leaves_nothing(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_pool(d->url, 2, 0);
    struct error err = {0};

    ASSERT_FAILS(db_write(p, two_things_then_fail, NULL, &err), ERR_LIMIT, "that is too much");
    assert_int_equal(number(p, "SELECT count(*) FROM things"), 0);
    ASSERT_FAILS(db_write(p, twice_the_same, NULL, &err), ERR_INVALID, "the database refuses it");
    assert_int_equal(number(p, "SELECT count(*) FROM things"), 0);
    ASSERT_OK(db_write(p, put_one_thing, "same", &err));
    db_pool_close(p);
}

static void a_bad_address_is_told_without_its_password(void **state)
{
    const char *const bad[] = {"mysql://me:secret@host/db", "hone.db", "sqlite:", ""};
    const struct db_options opt = {.timeout_ms = 1000};
    struct db_pool *p = NULL;
    struct error err = {0};

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ASSERT_FAILS(db_pool_open(bad[i], &opt, &p, &err), ERR_INVALID, "neither sqlite:PATH nor");
        assert_null(strstr(err.message, "secret"));
    }
    ASSERT_FAILS(db_pool_open("sqlite:/no/such/folder/hone.db", &opt, &p, &err), ERR_NOT_FOUND,
                 "/no/such/folder/hone.db");
    if (db_postgres_version() == NULL) {
        ASSERT_FAILS(db_pool_open("postgresql://me:secret@127.0.0.1:1/db", &opt, &p, &err),
                     ERR_UNSUPPORTED, "built without PostgreSQL");
        return;
    }
    ASSERT_FAILS(db_pool_open("postgresql://me:secret@127.0.0.1:1/db", &opt, &p, &err), ERR_IO,
                 "cannot reach the database postgresql://me@127.0.0.1:1/db: ");
    assert_null(strstr(err.message, "secret"));
    ASSERT_FAILS(db_pool_open("postgresql://me:secret%@127.0.0.1/db", &opt, &p, &err), ERR_INVALID,
                 "none that PostgreSQL understands");
    assert_null(strstr(err.message, "secret"));
}

static void a_file_that_is_no_database_is_told(void **state)
{
    struct test_database *d = test_database(state);
    const struct db_options opt = {0};
    struct db_pool *p = NULL;
    struct error err = {0};

    ASSERT_OK(file_put(file_join(&d->arena, d->dir, "hone.db"),
                       STR("this is a letter to my aunt, and no database at all, but long enough "
                           "that somebody could take it for one if he did not look at it well"),
                       &err));
    ASSERT_FAILS(db_pool_open(d->url, &opt, &p, &err), ERR_CORRUPT, "is damaged or no database");
}

/* ---- several at once ---- */

struct slow {
    atomic_bool holds, go;
    bool waited;
};

/* Reads the count, waits, writes it: done twice at once, one of them would be lost. */
static bool add_slowly(struct db *db, void *ctx, struct error *err)
{
    int64_t n = 0;

    (void)ctx;
    if (!db_run(db, "SELECT n FROM counts WHERE name = 'all'", NULL, 0, row_int, &n, NULL, err))
        return false;
    clock_sleep_until(clock_seconds() + 0.003);
    const struct db_value v = db_int(n + 1);
    return db_run(db, "UPDATE counts SET n = ?1 WHERE name = 'all'", &v, 1, NULL, NULL, NULL, err);
}

static void *add_many_slowly(void *ctx)
{
    struct db_pool *p = ctx;
    struct error err = {0};

    for (int i = 0; i < 20; i++)
        if (!db_write(p, add_slowly, NULL, &err)) {
            print_error("%s\n", err.message);
            return p;
        }
    return NULL;
}

static void two_who_change_the_same_row_wait_for_each_other(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p[2] = {open_pool(d->url, 2, 0), open_pool(d->url, 2, 0)};
    pthread_t threads[4];
    void *failed = NULL;

    for (size_t i = 0; i < 4; i++) /* two of a pool, two pools: as two processes would */
        assert_int_equal(pthread_create(&threads[i], NULL, add_many_slowly, p[i % 2]), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_int_equal(number(p[0], "SELECT n FROM counts"), 80);
    db_pool_close(p[0]);
    db_pool_close(p[1]);
}

static bool hold(struct db *db, void *ctx, struct error *err)
{
    struct slow *s = ctx;
    const double until = clock_seconds() + 30;

    if (!db_run(db, "UPDATE counts SET n = n + 1", NULL, 0, NULL, NULL, NULL, err))
        return false;
    atomic_store(&s->holds, true);
    while (!atomic_load(&s->go) && clock_seconds() < until)
        clock_sleep_until(clock_seconds() + 0.001);
    return true;
}

struct holder {
    struct db_pool *pool;
    struct slow slow;
};

static void *hold_it(void *ctx)
{
    struct holder *h = ctx;
    struct error err = {0};

    ASSERT_OK(db_write(h->pool, hold, &h->slow, &err));
    return NULL;
}

static void what_stays_locked_is_a_timeout_and_readers_do_not_wait(void **state)
{
    struct test_database *d = test_database(state);
    struct holder h = {.pool = open_pool(d->url, 4, 0)};
    struct db_pool *other = open_pool(d->url, 4, 300);
    struct one add = {.sql = "UPDATE counts SET n = n + 1"};
    struct error err = {0};
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, hold_it, &h), 0);
    while (!atomic_load(&h.slow.holds))
        clock_sleep_until(clock_seconds() + 0.001);
    assert_int_equal(number(h.pool, "SELECT n FROM counts"), 0); /* with the holder still there */
    assert_int_equal(number(other, "SELECT n FROM counts"), 0);
    ASSERT_FAILS(db_write(other, do_one, &add, &err), ERR_TIMEOUT, "locked");
    assert_false(atomic_load(&h.slow.go));
    atomic_store(&h.slow.go, true);
    pthread_join(thread, NULL);
    ASSERT_OK(db_write(other, do_one, &add, &err));
    assert_int_equal(number(other, "SELECT n FROM counts"), 2);
    db_pool_close(h.pool);
    db_pool_close(other);
}

static bool look_twice(struct db *db, void *ctx, struct error *err)
{
    struct db_pool *p = ctx;
    struct one add = {.sql = "UPDATE counts SET n = n + 1"};
    int64_t before = -1, after = -1;

    if (!db_run(db, "SELECT n FROM counts", NULL, 0, row_int, &before, NULL, err))
        return false;
    pthread_t thread;
    struct holder h = {.pool = p};
    atomic_store(&h.slow.go, true);
    assert_int_equal(pthread_create(&thread, NULL, hold_it, &h), 0);
    pthread_join(thread, NULL); /* committed */
    (void)add;
    if (!db_run(db, "SELECT n FROM counts", NULL, 0, row_int, &after, NULL, err))
        return false;
    assert_int_equal(before, after);
    return true;
}

static void a_reader_sees_one_moment(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_pool(d->url, 4, 0);
    struct error err = {0};

    ASSERT_OK(db_read(p, look_twice, p, &err));
    assert_int_equal(number(p, "SELECT n FROM counts"), 1);
    db_pool_close(p);
}

struct writer {
    struct db_pool *pool;
    unsigned id, n_conflicts;
    bool failed;
};

struct named {
    char name[32];
    bool fail, conflict;
};

static bool put_named(struct db *db, void *ctx, struct error *err)
{
    struct named *n = ctx;
    const bool ok = put_thing(db, n->name, err);

    n->conflict = db_conflict(db);
    return ok &&
           db_run(db, "UPDATE counts SET n = n + 1 WHERE name = 'all'", NULL, 0, NULL, NULL, NULL,
                  err) &&
           (!n->fail || fail(err, ERR_LIMIT, "refused on purpose"));
}

#define WRITERS 16
#define WRITES 200

/* Every tenth fails by its own will, and every tenth is there already. */
static void *write_many(void *ctx)
{
    struct writer *w = ctx;

    for (unsigned i = 0; i < WRITES && !w->failed; i++) {
        struct named n = {.fail = i % 10 == 3};
        struct error err = {0};

        snprintf(n.name, sizeof n.name, "%u-%u", w->id, i % 10 == 7 ? i - 1 : i);
        const bool ok = db_write(w->pool, put_named, &n, &err);
        if (n.fail)
            w->failed = ok || err.kind != ERR_LIMIT;
        else if (i % 10 == 7)
            w->failed = ok || err.kind != ERR_INVALID || !n.conflict;
        else
            w->failed = !ok;
        if (w->failed)
            print_error("%s: %s\n", n.name, err.message);
    }
    return NULL;
}

static void sixteen_threads_write_and_each_has_its_own_failures(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_pool(d->url, 8, 60000);
    struct writer w[WRITERS];
    pthread_t threads[WRITERS];

    for (unsigned i = 0; i < WRITERS; i++) {
        w[i] = (struct writer){.pool = p, .id = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, &w[i]), 0);
    }
    for (unsigned i = 0; i < WRITERS; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < WRITERS; i++)
        assert_false(w[i].failed);
    assert_int_equal(number(p, "SELECT count(*) FROM things"), WRITERS * WRITES * 8 / 10);
    assert_int_equal(number(p, "SELECT n FROM counts"), WRITERS * WRITES * 8 / 10);
    db_pool_close(p);
}

/* A few rows a transaction, with the lock, and time between a number and its commit. */
static bool put_in_order(struct db *db, void *ctx, struct error *err)
{
    struct named *n = ctx;

    if (!db_lock(db, "things", err) || !put_thing(db, n->name, err))
        return false;
    clock_sleep_until(clock_seconds() + 0.001);
    return true;
}

static void *write_in_order(void *ctx)
{
    struct writer *w = ctx;

    for (unsigned i = 0; i < 40 && !w->failed; i++) {
        struct named n = {0};
        struct error err = {0};

        snprintf(n.name, sizeof n.name, "%u-%u", w->id, i);
        w->failed = !db_write(w->pool, put_in_order, &n, &err);
        if (w->failed)
            print_error("%s\n", err.message);
    }
    return NULL;
}

struct follower {
    int64_t last;
    size_t seen;
};

static bool row_of_follower(void *ctx, const struct db_row *row, struct error *err)
{
    struct follower *f = ctx;

    (void)err;
    assert_true(db_row_int(row, 0) > f->last);
    f->last = db_row_int(row, 0);
    f->seen++;
    return true;
}

static bool follow(struct db *db, void *ctx, struct error *err)
{
    struct follower *f = ctx;
    const struct db_value last = db_int(f->last);

    return db_run(db, "SELECT seq FROM things WHERE seq > ?1 ORDER BY seq", &last, 1,
                  row_of_follower, f, NULL, err);
}

static void who_reads_behind_the_last_number_misses_none(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_pool(d->url, 8, 60000);
    struct follower f = {0};
    struct writer w[5];
    pthread_t threads[5];
    const double deadline = clock_seconds() + 60;
    struct error err = {0};

    for (unsigned i = 0; i < 5; i++) {
        w[i] = (struct writer){.pool = p, .id = i};
        assert_int_equal(pthread_create(&threads[i], NULL, write_in_order, &w[i]), 0);
    }
    while (f.seen < 200 && clock_seconds() < deadline)
        ASSERT_OK(db_read(p, follow, &f, &err));
    for (unsigned i = 0; i < 5; i++) {
        pthread_join(threads[i], NULL);
        assert_false(w[i].failed);
    }
    assert_int_equal(f.seen, 200);
    db_pool_close(p);
}

/* ---- connections that are lost ---- */

struct victim {
    struct db_pool *killer; /* another pool */
    unsigned tries;
};

static bool kill_backend(struct db *db, void *ctx, struct error *err)
{
    const struct db_value v = db_int(*(int64_t *)ctx);

    return db_run(db, "SELECT pg_terminate_backend(CAST(?1 AS INTEGER))", &v, 1, NULL, NULL, NULL,
                  err);
}

static void *kill_it(void *ctx)
{
    struct writer *w = ctx;
    int64_t pid = w->id;
    struct error err = {0};

    ASSERT_OK(db_read(w->pool, kill_backend, &pid, &err));
    return NULL;
}

static bool be_killed_once(struct db *db, void *ctx, struct error *err)
{
    struct victim *v = ctx;
    int64_t pid = 0;

    if (!put_thing(db, "survivor", err) ||
        !db_run(db, "SELECT pg_backend_pid()", NULL, 0, row_int, &pid, NULL, err))
        return false;
    if (v->tries++ == 0) {
        struct writer w = {.pool = v->killer, .id = (unsigned)pid};
        pthread_t thread;

        assert_int_equal(pthread_create(&thread, NULL, kill_it, &w), 0);
        pthread_join(thread, NULL);
    }
    return db_run(db, "UPDATE counts SET n = n + 1", NULL, 0, NULL, NULL, NULL, err);
}

static void a_transaction_whose_connection_was_killed_is_done_again(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_pool(d->url, 2, 0), *killer = open_pool(d->url, 1, 0);
    struct victim v = {.killer = killer};
    struct error err = {0};

    ASSERT_OK(db_write(p, be_killed_once, &v, &err));
    assert_int_equal(v.tries, 2);
    assert_int_equal(number(p, "SELECT count(*) FROM things"), 1);
    assert_int_equal(number(p, "SELECT n FROM counts"), 1);
    db_pool_close(p);
    db_pool_close(killer);
}

static void a_server_that_crashed_and_came_back_is_found_again(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_with(d->url, (struct db_options){.durable = true});
    struct error err = {0};

    ASSERT_OK(db_write(p, put_one_thing, "before", &err));
    postgres_crash();
    assert_int_equal(number(p, "SELECT count(*) FROM things"), 1);
    postgres_crash();
    ASSERT_OK(db_write(p, put_one_thing, "after", &err));
    assert_int_equal(number(p, "SELECT count(*) FROM things"), 2);
    db_pool_close(p);
}

/* Between the pool and the server: passes everything on, and loses the answer to the first few commits. */
struct lossy {
    char path[108], server[108];
    int listener;
    atomic_bool stop;
    atomic_int losses, lost;
    pthread_t thread;
};
#define PAIRS 8

static int connect_to(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

/* False: this connection is over. */
static bool pass_on(struct lossy *l, int from, int to, bool from_client)
{
    char bytes[65536];
    const ssize_t n = recv(from, bytes, sizeof bytes, 0);

    if (n <= 0 || send(to, bytes, (size_t)n, MSG_NOSIGNAL) != n)
        return false;
    if (from_client && memmem(bytes, (size_t)n, "COMMIT", 6) != NULL &&
        atomic_load(&l->losses) > 0) {
        (void)!recv(to, bytes, sizeof bytes, 0); /* the server has answered */
        atomic_fetch_sub(&l->losses, 1);
        atomic_fetch_add(&l->lost, 1);
        return false;
    }
    return true;
}

static void *stand_between(void *ctx)
{
    struct lossy *l = ctx;
    struct pollfd fds[1 + 2 * PAIRS] = {{.fd = l->listener, .events = POLLIN}};

    for (size_t i = 1; i < COUNT_OF(fds); i++)
        fds[i] = (struct pollfd){.fd = -1, .events = POLLIN};
    while (!atomic_load(&l->stop)) {
        if (poll(fds, COUNT_OF(fds), 20) <= 0)
            continue;
        for (size_t i = 1; i < COUNT_OF(fds); i += 2) {
            bool ok = true;

            if (fds[i].fd < 0) {
                if (fds[0].revents != 0) {
                    fds[i].fd = accept(l->listener, NULL, NULL);
                    fds[i + 1].fd = connect_to(l->server);
                    fds[0].revents = fds[i].revents = fds[i + 1].revents = 0;
                }
                continue;
            }
            if (fds[i].revents != 0)
                ok = pass_on(l, fds[i].fd, fds[i + 1].fd, true);
            if (ok && fds[i + 1].revents != 0)
                ok = pass_on(l, fds[i + 1].fd, fds[i].fd, false);
            if (!ok) {
                close(fds[i].fd);
                close(fds[i + 1].fd);
                fds[i].fd = fds[i + 1].fd = -1;
            }
        }
    }
    for (size_t i = 1; i < COUNT_OF(fds); i++)
        if (fds[i].fd >= 0)
            close(fds[i].fd);
    close(l->listener);
    return NULL;
}

/* url: the server's, "...?host=DIR"; returns one that leads through l. */
static const char *through(struct lossy *l, struct test_database *d)
{
    static const char host[] = "host=";
    const char *dir = strstr(d->url, host) + sizeof host - 1;
    struct sockaddr_un at = {.sun_family = AF_UNIX};

    snprintf(l->server, sizeof l->server, "%s/.s.PGSQL.5432", dir);
    snprintf(l->path, sizeof l->path, "%s/.s.PGSQL.5432", d->dir);
    snprintf(at.sun_path, sizeof at.sun_path, "%s", l->path);
    l->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(l->listener, (struct sockaddr *)&at, sizeof at), 0);
    assert_int_equal(listen(l->listener, 16), 0);
    assert_int_equal(pthread_create(&l->thread, NULL, stand_between, l), 0);
    return arena_printf(&d->arena, "%.*s%s", (int)(dir - d->url), d->url, d->dir);
}

static void a_commit_whose_answer_was_lost_is_not_done_twice(void **state)
{
    struct test_database *d = test_database(state);
    struct lossy l = {.losses = 0};
    struct db_pool *p = open_pool(through(&l, d), 2, 0);
    struct error err = {0};

    ASSERT_OK(db_write(p, put_one_thing, "before", &err));
    for (int i = 0; i < 5; i++) {
        struct named n = {0};

        snprintf(n.name, sizeof n.name, "lost-%d", i);
        atomic_store(&l.losses, 1);
        ASSERT_OK(db_write(p, put_named, &n, &err));
        assert_int_equal(atomic_load(&l.lost), i + 1);
    }
    assert_int_equal(number(p, "SELECT n FROM counts"), 5); /* once each */
    assert_int_equal(number(p, "SELECT count(*) FROM things"), 6);
    db_pool_close(p);
    atomic_store(&l.stop, true);
    pthread_join(l.thread, NULL);
}

/* The first commit ends its own connection, from within; a sequence does not roll back, so the second one does not. */
static const char kills_a_commit[] =
    "CREATE SEQUENCE kills;\n"
    "CREATE FUNCTION kill_one() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
    "IF nextval('kills') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); "
    "PERFORM pg_sleep(5); END IF; RETURN NULL; END $$;\n"
    "CREATE CONSTRAINT TRIGGER kill_at_commit AFTER INSERT ON things DEFERRABLE INITIALLY DEFERRED "
    "FOR EACH ROW EXECUTE FUNCTION kill_one()";

static void a_commit_that_was_killed_is_done_again(void **state)
{
    struct test_database *d = test_database(state);
    const struct db_migration more[] = {tables[0], {"0002 kills", kills_a_commit}};
    struct db_pool *p = open_pool(d->url, 2, 0);
    struct named n = {.name = "survivor"};
    struct error err = {0};

    ASSERT_OK(db_migrate(p, more, COUNT_OF(more), &err));
    ASSERT_OK(db_write(p, put_named, &n, &err));
    assert_int_equal(number(p, "SELECT last_value FROM kills"), 2);
    assert_int_equal(number(p, "SELECT count(*) FROM things"), 1);
    assert_int_equal(number(p, "SELECT n FROM counts"), 1);
    db_pool_close(p);
}

/* ---- the tables' versions ---- */

static const struct db_migration versions[] = {
    {"0001 one", "CREATE TABLE one (n {int}) {strict};\nINSERT INTO one VALUES (1);\n"},
    {"0002 two", "INSERT INTO one VALUES (2)"},
    {"0003 three", "CREATE TABLE three (n {int}) {strict};\nINSERT INTO three SELECT n FROM one"},
};

static struct db_pool *bare_pool(const char *url)
{
    const struct db_options opt = {0};
    struct db_pool *p = NULL;
    struct error err = {0};

    ASSERT_OK(db_pool_open(url, &opt, &p, &err));
    return p;
}

static void four_processes_migrate_once(void **state)
{
    struct test_database *d = test_database(state);
    pid_t child[4];
    int gate[2];

    assert_int_equal(pipe(gate), 0);
    for (int i = 0; i < 4; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            const struct db_options opt = {0};
            struct db_pool *p = NULL;
            struct error err = {0};
            char c;

            close(gate[1]);
            (void)!read(gate[0], &c, 1); /* all at once: the end of the pipe */
            const bool ok = db_pool_open(d->url, &opt, &p, &err) &&
                            db_migrate(p, versions, COUNT_OF(versions), &err);
            if (!ok)
                fprintf(stderr, "%s\n", err.message);
            db_pool_close(p);
            _exit(ok ? 0 : 1);
        }
    }
    close(gate[0]);
    close(gate[1]);
    for (int i = 0; i < 4; i++) {
        int status = -1;

        waitpid(child[i], &status, 0);
        assert_int_equal(status, 0);
    }
    struct db_pool *p = bare_pool(d->url);
    assert_int_equal(number(p, "SELECT count(*) FROM one"), 2);
    assert_int_equal(number(p, "SELECT sum(n) FROM three"), 3);
    assert_int_equal(number(p, "SELECT count(*) FROM schema_migrations"), 3);
    db_pool_close(p);
}

static void versions_go_on_and_a_newer_one_is_refused(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = bare_pool(d->url);
    const struct db_migration other[] = {versions[0], {"0002 other", "SELECT 1"}};
    const struct db_migration broken[] = {versions[0],
                                          versions[1],
                                          versions[2],
                                          {"0004 four", "INSERT INTO one VALUES (4);\nSELEKT"}};
    struct error err = {0};

    ASSERT_OK(db_migrate(p, versions, 1, &err));
    assert_int_equal(number(p, "SELECT count(*) FROM one"), 1);
    ASSERT_OK(db_migrate(p, versions, 3, &err));
    ASSERT_OK(db_migrate(p, versions, 3, &err));
    assert_int_equal(number(p, "SELECT count(*) FROM one"), 2);
    ASSERT_FAILS(db_migrate(p, versions, 2, &err), ERR_UNSUPPORTED, "newer than this program");
    ASSERT_FAILS(db_migrate(p, other, 2, &err), ERR_CORRUPT, "another program's");
    ASSERT_FAILS(db_migrate(p, broken, 4, &err), ERR_IO, "0004 four");
    assert_int_equal(number(p, "SELECT count(*) FROM one"), 2);
    assert_int_equal(number(p, "SELECT count(*) FROM schema_migrations"), 3);
    db_pool_close(p);
}

/* ---- the disk ---- */

static bool put_a_lot(struct db *db, void *ctx, struct error *err)
{
    struct test_database *d = ctx;
    const size_t n = (size_t)4 << 20;
    const struct db_value v = db_blob((struct str){arena_alloc(&d->arena, n), n});

    return db_run(db, "INSERT INTO things (name, b) VALUES ('large', ?1)", &v, 1, NULL, NULL, NULL,
                  err);
}

static void a_full_disk_is_told_and_what_was_there_stays(void **state)
{
    struct test_database *d = test_database(state);
    struct db_pool *p = open_pool(d->url, 2, 0);
    struct rlimit was, small;
    struct error err = {0};

    ASSERT_OK(db_write(p, put_one_thing, "before", &err));
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    small = (struct rlimit){.rlim_cur = 1 << 20, .rlim_max = was.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
    const bool ok = db_write(p, put_a_lot, d, &err);
    setrlimit(RLIMIT_FSIZE, &was);
    assert_false(ok);
    assert_int_equal(err.kind, ERR_IO);
    if (strstr(err.message, "the disk is full") == NULL)
        fail_msg("\"%s\" does not say that the disk is full", err.message);
    assert_int_equal(number(p, "SELECT count(*) FROM things"), 1);
    ASSERT_OK(db_write(p, put_one_thing, "after", &err));
    ASSERT_OK(db_write(p, put_a_lot, d, &err));
    assert_int_equal(number(p, "SELECT count(*) FROM things"), 3);
    db_pool_close(p);
}

static void no_write_succeeds_from_now_on(void)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

    if (filter == NULL ||
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSPC), SCMP_SYS(pwrite64), 0) != 0 ||
        seccomp_load(filter) != 0)
        _exit(90);
    seccomp_release(filter);
}

/* As the system tells it: ENOSPC, at the first byte. In a child, for it cannot be taken back. */
static void a_disk_without_a_byte_left_is_told(void **state)
{
    struct test_database *d = test_database(state);
    int status = -1;
    struct error err = {0};

    db_pool_close(open_pool(d->url, 2, 0));
    const pid_t child = fork();
    if (child == 0) {
        struct db_pool *p = open_with(d->url, (struct db_options){.durable = true});
        struct named n = {.name = "during"};

        if (!db_write(p, put_one_thing, "before", &err))
            _exit(91);
        no_write_succeeds_from_now_on();
        if (db_write(p, put_named, &n, &err))
            _exit(92);
        if (err.kind != ERR_IO || strstr(err.message, "the disk is full") == NULL ||
            strstr(err.message, "free some space") == NULL) {
            fprintf(stderr, "%s\n", err.message);
            _exit(93);
        }
        _exit(number(p, "SELECT count(*) FROM things") == 1 ? 0 : 94);
    }
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    struct db_pool *p = open_pool(d->url, 2, 0);
    assert_int_equal(number(p, "SELECT count(*) FROM things"), 1);
    ASSERT_OK(db_write(p, put_one_thing, "during", &err));
    db_pool_close(p);
}

/* A child that writes, each row told to the pipe once it is committed, until it is killed. */
static void write_until_killed(const char *url, int out, unsigned round)
{
    const struct db_options opt = {.durable = true};
    struct db_pool *p = NULL;
    struct error err = {0};

    if (!db_pool_open(url, &opt, &p, &err))
        _exit(1);
    for (uint32_t i = 0;; i++) {
        struct named n = {0};

        snprintf(n.name, sizeof n.name, "%u-%u", round, (unsigned)i);
        if (!db_write(p, put_named, &n, &err) || write(out, &i, sizeof i) != sizeof i)
            _exit(2);
    }
}

/* PostgreSQL's process of a client that was killed may still be committing what it was sent last. */
static void wait_for_their_ends(struct db_pool *p)
{
    const double until = clock_seconds() + 60;

    while (db_pool_dialect(p) == DB_POSTGRES &&
           number(p, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                     "AND backend_type = 'client backend' AND pid <> pg_backend_pid()") > 0) {
        assert_true(clock_seconds() < until);
        clock_sleep_until(clock_seconds() + 0.002);
    }
}

static void a_kill_loses_no_row_that_was_committed(void **state)
{
    struct test_database *d = test_database(state);
    int64_t committed = 0;

    db_pool_close(open_pool(d->url, 1, 0));
    for (unsigned round = 0; round < 20; round++) {
        int out[2];

        assert_int_equal(pipe(out), 0);
        const pid_t child = fork();
        if (child == 0)
            write_until_killed(d->url, out[1], round);
        close(out[1]);
        uint32_t i = 0, n = 0;
        while (n < 3 + round && read(out[0], &i, sizeof i) == sizeof i)
            n++;
        clock_sleep_until(clock_seconds() + 0.0007 * round);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        while (read(out[0], &i, sizeof i) == sizeof i)
            n++;
        close(out[0]);
        assert_true(n >= 3 + round);
        committed += n;
        struct db_pool *p = open_pool(d->url, 1, 0);
        wait_for_their_ends(p);
        const int64_t rows = number(p, "SELECT count(*) FROM things");
        assert_int_equal(rows, number(p, "SELECT n FROM counts")); /* whole transactions alone */
        assert_true(rows >= committed && rows <= committed + 1);   /* one may not have been told */
        committed = rows;
        db_pool_close(p);
    }
}

/* ---- the copy ---- */

static void *keep_writing(void *ctx)
{
    struct holder *h = ctx;

    for (unsigned i = 0; !atomic_load(&h->slow.go); i++) {
        struct named n = {0};
        struct error err = {0};

        snprintf(n.name, sizeof n.name, "live-%u", i);
        ASSERT_OK(db_write(h->pool, put_named, &n, &err));
        atomic_store(&h->slow.holds, true);
    }
    return NULL;
}

static void a_copy_is_whole_beside_a_writer(void **state)
{
    struct test_database *d = test_database(state);
    struct holder h = {.pool = open_pool(d->url, 4, 0)};
    struct error err = {0};
    pthread_t thread;

    if (d->on_postgres) {
        ASSERT_FAILS(db_copy(h.pool, "/nowhere", &err), ERR_UNSUPPORTED, "pg_dump");
        db_pool_close(h.pool);
        return;
    }
    assert_int_equal(pthread_create(&thread, NULL, keep_writing, &h), 0);
    while (!atomic_load(&h.slow.holds))
        clock_sleep_until(clock_seconds() + 0.001);
    for (int i = 0; i < 5; i++) {
        char *path = arena_printf(&d->arena, "%s/copy-%d.db", d->dir, i);
        const int64_t least = number(h.pool, "SELECT count(*) FROM things");

        ASSERT_OK(db_copy(h.pool, path, &err));
        struct db_pool *copy = open_pool(arena_printf(&d->arena, "sqlite:%s", path), 1, 0);
        const int64_t rows = number(copy, "SELECT count(*) FROM things");
        assert_true(rows >= least);
        assert_int_equal(rows, number(copy, "SELECT n FROM counts"));
        db_pool_close(copy);
    }
    atomic_store(&h.slow.go, true);
    pthread_join(thread, NULL);
    db_pool_close(h.pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(values_come_back_as_they_were),
        ON_BOTH(large_values_and_every_byte_come_back),
        ON_BOTH(values_that_no_database_keeps_are_refused),
        ON_BOTH(statements_mean_the_same_on_both),
        ON_BOTH(a_row_may_ask_more_and_may_stop),
        ON_BOTH(a_thousand_statements_are_no_trouble),
        ON_BOTH(what_a_constraint_forbids_is_told),
        ON_BOTH(what_failed_leaves_nothing),
        cmocka_unit_test(a_bad_address_is_told_without_its_password),
        ON_SQLITE(a_file_that_is_no_database_is_told),
        ON_BOTH(two_who_change_the_same_row_wait_for_each_other),
        ON_BOTH(what_stays_locked_is_a_timeout_and_readers_do_not_wait),
        ON_BOTH(a_reader_sees_one_moment),
        ON_BOTH(sixteen_threads_write_and_each_has_its_own_failures),
        ON_BOTH(who_reads_behind_the_last_number_misses_none),
        ON_POSTGRES(a_transaction_whose_connection_was_killed_is_done_again),
        ON_POSTGRES(a_server_that_crashed_and_came_back_is_found_again),
        ON_POSTGRES(a_commit_whose_answer_was_lost_is_not_done_twice),
        ON_POSTGRES(a_commit_that_was_killed_is_done_again),
        ON_BOTH(four_processes_migrate_once),
        ON_BOTH(versions_go_on_and_a_newer_one_is_refused),
        ON_SQLITE(a_full_disk_is_told_and_what_was_there_stays),
        ON_SQLITE(a_disk_without_a_byte_left_is_told),
        ON_BOTH(a_kill_loses_no_row_that_was_committed),
        ON_BOTH(a_copy_is_whole_beside_a_writer),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
