/*
 * stores.c - fresh stores, and statements past the modules that are tested.
 */
#include "support/stores.h"
#include "base/file.h"
#include "base/size.h"
#include "store/files.h"

#include <stdio.h>
#include <stdlib.h>

static bool add_projects(struct db *db, void *ctx, struct error *err)
{
    static const char *const statements[] = {
        "INSERT INTO orgs (id, name, slug, created_at) VALUES ('org-a', 'A', 'a', 1)",
        "INSERT INTO orgs (id, name, slug, created_at) VALUES ('org-b', 'B', 'b', 1)",
        "INSERT INTO projects (id, org_id, name, quota_bytes, created_at) "
        "VALUES ('proj_a', 'org-a', 'a', 0, 1)",
        "INSERT INTO projects (id, org_id, name, quota_bytes, created_at) "
        "VALUES ('proj_b', 'org-a', 'b', 0, 1)",
        "INSERT INTO projects (id, org_id, name, quota_bytes, created_at) "
        "VALUES ('proj_c', 'org-b', 'c', 0, 1)",
    };

    (void)ctx;
    for (size_t i = 0; i < COUNT_OF(statements); i++)
        if (!db_run(db, statements[i], NULL, 0, NULL, NULL, NULL, err))
            return false;
    return true;
}

struct test_store *test_store_open(void **state)
{
    const struct test_database *d = test_database(state);
    struct test_store *t = calloc(1, sizeof *t);
    struct error err = {0};

    assert_non_null(t);
    t->on_postgres = d->on_postgres;
    t->home = arena_printf(&t->arena, "%s/home", d->dir);

    const struct store_options opt = {.home = t->home, .database = d->url};

    ASSERT_OK(store_open(&opt, &t->s, &err));
    ASSERT_OK(db_write(store_db(t->s), add_projects, NULL, &err));
    t->project = "proj_a";
    t->other = "proj_b";
    t->foreign = "proj_c";
    return t;
}

void test_store_close(struct test_store *t)
{
    store_close(t->s);
    arena_release(&t->arena);
    free(t);
}

struct statement {
    const char *sql, *a, *b;
    int64_t n, result;
};

static bool run_statement(struct db *db, void *ctx, struct error *err)
{
    struct statement *s = ctx;
    struct db_value params[3];
    size_t n = 0;

    if (s->a != NULL)
        params[n++] = db_text(s->a);
    if (s->b != NULL)
        params[n++] = db_text(s->b);
    if (s->n != INT64_MIN)
        params[n++] = db_int(s->n);
    return db_run(db, s->sql, params, n, NULL, NULL, NULL, err);
}

void test_sql(struct test_store *t, const char *sql, const char *a, const char *b, int64_t n)
{
    struct statement s = {.sql = sql, .a = a, .b = b, .n = n};
    struct error err = {0};

    ASSERT_OK(db_write(store_db(t->s), run_statement, &s, &err));
}

static bool take_int(void *ctx, const struct db_row *row, struct error *err)
{
    (void)err;
    ((struct statement *)ctx)->result = db_row_int(row, 0);
    return true;
}

static bool ask_int(struct db *db, void *ctx, struct error *err)
{
    struct statement *s = ctx;
    const struct db_value params[] = {db_text(s->a)};

    return db_run(db, s->sql, params, s->a != NULL ? 1 : 0, take_int, s, NULL, err);
}

int64_t test_sql_int(struct test_store *t, const char *sql, const char *a)
{
    struct statement s = {.sql = sql, .a = a, .result = INT64_MIN};
    struct error err = {0};

    ASSERT_OK(db_read(store_db(t->s), ask_int, &s, &err));
    return s.result;
}

char *test_incoming(struct test_store *t, struct str text)
{
    struct error err = {0};
    char *path;

    ASSERT_OK(files_incoming(t->s, &t->arena, &path, &err));
    ASSERT_OK(file_put(path, text, &err));
    return path;
}
