/*
 * store_test.c - a home, ids, and backups of a store that is in use.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"
#include "store/access.h"
#include "store/store.h"
#include "support/postgres.h"

#include <limits.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static struct store *open_home(const char *home)
{
    const struct store_options opt = {.home = home};
    struct store *s = NULL;
    struct error err = {0};

    ASSERT_OK(store_open(&opt, &s, &err));
    return s;
}

static unsigned mode_of(const char *path)
{
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    return st.st_mode & 0777;
}

static void a_home_is_made_for_its_owner_alone(void **state)
{
    struct test_database *d = test_database(state);
    char *home = file_join(&d->arena, d->dir, "deep/down/home/");
    struct error err = {0};

    const mode_t was = umask(0);
    struct store *s = open_home(home);
    ASSERT_OK(store_ping(s, &err));
    umask(was);
    ASSERT_STR(str_of(store_home(s)), file_join(&d->arena, d->dir, "deep/down/home"));
    assert_int_equal(mode_of(home), 0700);
    assert_int_equal(mode_of(file_join(&d->arena, home, "files")), 0700);
    assert_int_equal(mode_of(file_join(&d->arena, home, "runs")), 0700);
    assert_int_equal(mode_of(file_join(&d->arena, home, "hone.db")), 0600);
    store_close(s);
    store_close(open_home(home));
    store_close(NULL);
}

static void a_home_that_is_none_is_told(void **state)
{
    struct test_database *d = test_database(state);
    const char *file = file_join(&d->arena, d->dir, "file");
    const struct store_options opt = {.home = file};
    struct store *s = NULL;
    struct error err = {0};

    ASSERT_OK(file_put(file, STR("x"), &err));
    ASSERT_FAILS(store_open(&opt, &s, &err), ERR_INVALID, "file is not a folder");
    const struct store_options elsewhere = {.home = d->dir, .database = "mysql://me:secret@x/y"};
    ASSERT_FAILS(store_open(&elsewhere, &s, &err), ERR_INVALID, "postgresql://USER@HOST/NAME");
    assert_null(s);
}

static void rows_may_be_in_postgresql(void **state)
{
    struct test_database *d = test_database(state);
    const struct store_options opt = {
        .home = file_join(&d->arena, d->dir, "home"), .database = d->url, .n_connections = 2};
    struct store *s = NULL;
    struct error err = {0};

    ASSERT_OK(store_open(&opt, &s, &err));
    ASSERT_OK(store_ping(s, &err));
    assert_false(file_exists(file_join(&d->arena, opt.home, "hone.db")));
    ASSERT_FAILS(store_backup(s, file_join(&d->arena, d->dir, "backup"), &err), ERR_UNSUPPORTED,
                 "pg_dump");
    assert_false(file_exists(file_join(&d->arena, d->dir, "backup.part")));
    store_close(s);
}

static void ids_are_letters_and_digits_and_differ(void **state)
{
    struct arena a = {0};
    unsigned seen[256] = {0};

    (void)state;
    for (int i = 0; i < 2000; i++) {
        const char *id = store_new_id("file-", &a);

        assert_int_equal(strlen(id), 5 + 24);
        assert_true(store_id_is(str_of(id), "file-"));
        for (const char *c = id + 5; *c != '\0'; c++)
            seen[(unsigned char)*c]++;
    }
    for (int c = 0; c < 256; c++) { /* 774 of each are expected; 6 deviations are 165 */
        const bool is_letter =
            (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        assert_true(is_letter ? seen[c] > 600 && seen[c] < 950 : seen[c] == 0);
    }
    assert_string_not_equal(store_new_id("x-", &a), store_new_id("x-", &a));
    arena_release(&a);
}

static void an_id_of_a_text_is_always_the_same(void **state)
{
    struct arena a = {0};

    (void)state;
    const char *id = store_id_of("evt_", STR("job 1, step 2"), &a);
    assert_string_equal(id, store_id_of("evt_", STR("job 1, step 2"), &a));
    assert_string_not_equal(id, store_id_of("evt_", STR("job 1, step 3"), &a));
    /* of SHA-256 of nothing, e3b0c442 98fc1c14 ...: bytes modulo 62 */
    assert_string_equal(store_id_of("", STR(""), &a), "fqA4S4SKU3wETnzado3gcVNE");
    assert_true(store_id_is(str_of(id), "evt_"));
    arena_release(&a);
}

static void no_path_is_an_id(void **state)
{
    static const char *const bad[] = {
        "",          "file-",    "file-a/b",    "file-..", "file-a.b", "file-\xc3\xa4",
        "ftjob-abc", "file-a b", "/etc/passwd", "file-a\n"};
    char longest[5 + 65 + 1];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(bad); i++)
        assert_false(store_id_is(str_of(bad[i]), "file-"));
    assert_false(store_id_is(STR("file-a\0b"), "file-"));
    assert_true(store_id_is(STR("file-a_B-9"), "file-"));
    snprintf(longest, sizeof longest, "file-%065d", 0);
    assert_false(store_id_is(str_of(longest), "file-"));
    longest[5 + 64] = '\0';
    assert_true(store_id_is(str_of(longest), "file-"));
}

/* ---- backups ---- */

struct busy {
    struct store *store;
    const char *home;
    atomic_bool stop, failed;
    atomic_int orgs;
};

/* A row, a file of its name, a line of a run; a checkpoint now and then, those of half a second ago removed. */
static void *keep_busy(void *ctx)
{
    struct busy *b = ctx;
    struct arena a = {0};
    struct error err = {0};
    const char *run = arena_printf(&a, "%s/runs/ftjob-1", b->home);

    for (int i = 0; !atomic_load(&b->stop) && !b->failed; i++) {
        struct arena one = {0};
        struct org o;
        const char *line = arena_printf(&one, "{\"step\":%d,\"text\":\"%0200d\"}\n", i, i);
        /* as files.h has it: bytes first, whole, then the row. The name stands for both. */
        bool ok =
            file_put(arena_printf(&one, "%s/files/file-%d", b->home, i), str_of(line), &err) &&
            access_new_org(b->store, arena_printf(&one, "file-%d", i), &one, &o, &err) &&
            file_append(arena_printf(&one, "%s/events.jsonl", run), str_of(line), &err);

        if (ok && i % 5 == 0) {
            const char *beside = arena_printf(&one, "%s/checkpoints/.step-%d.part", run, i);

            ok = file_make_dirs(beside, &err) &&
                 file_put(file_join(&one, beside, "adapter"), str_of(line), &err) &&
                 file_put(file_join(&one, beside, "state.json"), str_of(line), &err) &&
                 rename(beside, arena_printf(&one, "%s/checkpoints/step-%d", run, i)) == 0 &&
                 file_remove_tree(arena_printf(&one, "%s/checkpoints/step-%d", run, i - 100), &err);
        }
        clock_sleep_until(clock_seconds() + 0.005);
        atomic_store(&b->orgs, i + 1);
        b->failed = !ok;
        arena_release(&one);
    }
    if (b->failed)
        print_error("%s\n", err.message);
    arena_release(&a);
    return NULL;
}

static void check_backup(const char *dir, int least)
{
    struct arena a = {0};
    struct store *s = open_home(dir);
    struct org *orgs = NULL;
    size_t n = 0, n_checkpoints = 0;
    struct str events;
    struct error err = {0};

    ASSERT_OK(access_orgs(s, &a, &orgs, &n, &err));
    assert_true((int)n >= least);
    for (size_t i = 0; i < n; i++) {
        struct str bytes;

        ASSERT_OK(
            file_read(arena_printf(&a, "%s/files/%s", dir, orgs[i].name), 1000, &a, &bytes, &err));
        assert_true(str_ends(bytes, STR("\"}\n")));
    }
    ASSERT_OK(file_read(arena_printf(&a, "%s/runs/ftjob-1/events.jsonl", dir), 1 << 26, &a, &events,
                        &err));
    assert_true(str_ends(events, STR("\"}\n")));
    for (size_t i = 0; i < n + 200; i += 5) {
        const char *step = arena_printf(&a, "%s/runs/ftjob-1/checkpoints/step-%zu", dir, i);

        if (!file_exists(step))
            continue;
        n_checkpoints++;
        assert_true(file_exists(file_join(&a, step, "adapter")));
        assert_true(file_exists(file_join(&a, step, "state.json")));
    }
    assert_true(n_checkpoints > 0);
    assert_false(file_exists(arena_printf(&a, "%s/files/incoming", dir)));
    store_close(s);
    arena_release(&a);
}

static void a_backup_of_a_live_store_opens_and_has_all_it_names(void **state)
{
    struct test_database *d = test_database(state);
    struct busy b = {.home = file_join(&d->arena, d->dir, "home")};
    struct error err = {0};
    pthread_t thread;

    b.store = open_home(b.home);
    ASSERT_OK(file_make_dirs(arena_printf(&d->arena, "%s/files/incoming", b.home), &err));
    ASSERT_OK(file_put(arena_printf(&d->arena, "%s/files/incoming/x", b.home), STR("half"), &err));
    ASSERT_OK(file_make_dirs(arena_printf(&d->arena, "%s/runs/ftjob-1/rollouts", b.home), &err));
    ASSERT_OK(file_put(arena_printf(&d->arena, "%s/runs/ftjob-1/rollouts/step-1.jsonl", b.home),
                       STR("{\"whole\":1}\n{\"half\":"), &err));
    ASSERT_OK(file_put(arena_printf(&d->arena, "%s/runs/ftjob-1/job.json", b.home),
                       STR("{\"a\":1}"), &err));
    assert_int_equal(pthread_create(&thread, NULL, keep_busy, &b), 0);
    while (atomic_load(&b.orgs) < 120 && !b.failed)
        clock_sleep_until(clock_seconds() + 0.001);
    for (int i = 0; i < 3; i++) {
        const char *dir = arena_printf(&d->arena, "%s/backup-%d%s", d->dir, i, i == 1 ? "/" : "");
        const int least = atomic_load(&b.orgs) - 1;

        ASSERT_OK(store_backup(b.store, dir, &err));
        assert_int_equal(mode_of(dir), 0700);
        check_backup(dir, least);
        const char *home = arena_printf(&d->arena, "%s/restored-%d", d->dir, i);
        ASSERT_OK(store_restore(dir, home, &err));
        check_backup(home, least);
        ASSERT_FAILS(store_restore(dir, home, &err), ERR_INVALID, "is not empty");
        ASSERT_FAILS(store_backup(b.store, dir, &err), ERR_INVALID, "is there already");
    }
    atomic_store(&b.stop, true);
    pthread_join(thread, NULL);
    assert_false(b.failed);
    struct str bytes;
    ASSERT_OK(file_read(file_join(&d->arena, d->dir, "backup-0/runs/ftjob-1/rollouts/step-1.jsonl"),
                        100, &d->arena, &bytes, &err));
    ASSERT_STR(bytes, "{\"whole\":1}\n"); /* the line that is being written is not in it */
    ASSERT_OK(file_read(file_join(&d->arena, d->dir, "backup-0/runs/ftjob-1/job.json"), 100,
                        &d->arena, &bytes, &err));
    ASSERT_STR(bytes, "{\"a\":1}");
    /* what goes from the store stays in the backup */
    ASSERT_OK(file_remove_tree(file_join(&d->arena, b.home, "files/file-0"), &err));
    assert_true(file_exists(file_join(&d->arena, d->dir, "backup-0/files/file-0")));
    store_close(b.store);
}

/* Made by somebody else: what it names instead of holding it is not taken along. */
static void a_backup_of_links_is_none(void **state)
{
    struct test_database *d = test_database(state);
    struct error err = {0};
    struct store *s = open_home(file_join(&d->arena, d->dir, "home"));
    const char *dir = file_join(&d->arena, d->dir, "backup"),
               *home = file_join(&d->arena, d->dir, "new");
    static const char *const parts[] = {"files", "runs", "hone.db"};

    ASSERT_OK(store_backup(s, dir, &err));
    store_close(s);
    for (size_t i = 0; i < COUNT_OF(parts); i++) {
        const char *part = file_join(&d->arena, dir, parts[i]),
                   *away = file_join(&d->arena, d->dir, parts[i]);

        assert_int_equal(rename(part, away), 0);
        assert_int_equal(symlink(away, part), 0);
        ASSERT_FAILS(store_restore(dir, home, &err), ERR_INVALID, parts[i]);
        assert_false(file_exists(home));
        assert_int_equal(unlink(part), 0);
        assert_int_equal(mkfifo(part, 0600), 0); /* nobody writes: who opens it waits for ever */
        ASSERT_FAILS(store_restore(dir, home, &err), ERR_INVALID, parts[i]);
        assert_int_equal(unlink(part), 0);
        assert_int_equal(rename(away, part), 0);
    }
    ASSERT_OK(store_restore(dir, home, &err));
}

static bool name_elsewhere(struct db *db, void *ctx, struct error *err)
{
    static const char *const statements[] = {
        "INSERT INTO orgs (id, name, slug, created_at) VALUES ('org-1', 'O', 'o', 1)",
        "INSERT INTO projects (id, org_id, name, quota_bytes, created_at) "
        "VALUES ('proj_1', 'org-1', 'p', 0, 1)",
        "INSERT INTO files (id, project_id, filename, purpose, status, sha256, bytes, created_at, "
        "expires_at) VALUES ('../../file-1', 'proj_1', 'a', 'fine-tune', 'processed', 'x', 1, 1, 2)",
    };

    (void)ctx;
    for (size_t i = 0; i < COUNT_OF(statements); i++)
        if (!db_run(db, statements[i], NULL, 0, NULL, NULL, NULL, err))
            return false;
    return true;
}

/* The sweeper would remove the file that is named so. */
static void a_backup_whose_rows_lead_elsewhere_is_none(void **state)
{
    struct test_database *d = test_database(state);
    struct error err = {0};
    struct store *s = open_home(file_join(&d->arena, d->dir, "home"));
    const char *dir = file_join(&d->arena, d->dir, "backup"),
               *home = file_join(&d->arena, d->dir, "new");

    ASSERT_OK(db_write(store_db(s), name_elsewhere, NULL, &err));
    ASSERT_OK(store_backup(s, dir, &err));
    store_close(s);
    ASSERT_FAILS(store_restore(dir, home, &err), ERR_CORRUPT, "files.id");
    assert_false(file_exists(file_join(&d->arena, home, "hone.db")));
    ASSERT_OK(file_remove_tree(home, &err));
    ASSERT_OK(file_put(file_join(&d->arena, dir, "hone.db"), STR("no rows at all"), &err));
    ASSERT_FAILS(store_restore(dir, home, &err), ERR_CORRUPT, "while restoring");
}

/* Statements on a backup's hone.db, by SQLite itself: as whoever made it up. */
static void alter(const char *dir, const char *sql)
{
    char path[PATH_MAX], *why = NULL;
    sqlite3 *db;

    snprintf(path, sizeof path, "%s/hone.db", dir);
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    if (sqlite3_exec(db, sql, NULL, NULL, &why) != SQLITE_OK)
        fail_msg("%s: %s", sql, why);
    sqlite3_close(db);
}

/* What is checked is what will be read: nothing that computes its rows, and no name behind the checks' back. */
static void a_backup_with_tables_of_its_own_is_none(void **state)
{
    static const struct {
        const char *sql, *says;
    } made_up[] = {
        {"CREATE TRIGGER t AFTER UPDATE ON jobs BEGIN UPDATE files SET id = '../../x'; END",
         "views, triggers"},
        {"CREATE VIEW v AS SELECT 1", "views, triggers"},
        {"CREATE VIRTUAL TABLE v USING rtree(id, a, b)", "tables of another kind"},
        {"PRAGMA foreign_keys = OFF; DROP TABLE upload_parts; CREATE TABLE upload_parts (id, "
         "upload_id); INSERT INTO upload_parts VALUES (x'2e2e2f2e2e2f78', 'upload_1')",
         "upload_parts.id"},
        /* an index of one name, a table of another */
        {"PRAGMA foreign_keys = OFF; DROP TABLE upload_parts; "
         "CREATE TABLE upload_parts (id TEXT, other TEXT); "
         "INSERT INTO upload_parts VALUES ('../../x', 'part_1'); "
         "CREATE INDEX i ON upload_parts (other); PRAGMA writable_schema = ON; "
         "UPDATE sqlite_master SET sql = 'CREATE INDEX i ON upload_parts (id)' WHERE name = 'i'",
         "are damaged"},
    };
    struct test_database *d = test_database(state);
    struct error err = {0};
    struct store *s = open_home(file_join(&d->arena, d->dir, "home"));

    for (size_t i = 0; i < COUNT_OF(made_up); i++) {
        const char *dir = arena_printf(&d->arena, "%s/backup-%zu", d->dir, i),
                   *home = arena_printf(&d->arena, "%s/new-%zu", d->dir, i);

        ASSERT_OK(store_backup(s, dir, &err));
        alter(dir, made_up[i].sql);
        ASSERT_FAILS(store_restore(dir, home, &err), ERR_CORRUPT, made_up[i].says);
        assert_false(file_exists(file_join(&d->arena, home, "hone.db")));
    }
    store_close(s);
}

static void a_backup_that_fails_leaves_nothing(void **state)
{
    struct test_database *d = test_database(state);
    struct store *s = open_home(file_join(&d->arena, d->dir, "home"));
    struct error err = {0};

    ASSERT_FAILS(store_backup(s, file_join(&d->arena, d->dir, "no/such/folder"), &err),
                 ERR_NOT_FOUND, "while making the backup");
    ASSERT_OK(file_remove_tree(file_join(&d->arena, d->dir, "home/files"), &err));
    ASSERT_OK(file_put(file_join(&d->arena, d->dir, "home/files"), STR("no folder"), &err));
    ASSERT_FAILS(store_backup(s, file_join(&d->arena, d->dir, "backup"), &err), ERR_IO,
                 "while making the backup");
    assert_false(file_exists(file_join(&d->arena, d->dir, "backup")));
    assert_false(file_exists(file_join(&d->arena, d->dir, "backup.part")));
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_SQLITE(a_home_is_made_for_its_owner_alone),
        ON_SQLITE(a_home_that_is_none_is_told),
        ON_POSTGRES(rows_may_be_in_postgresql),
        cmocka_unit_test(ids_are_letters_and_digits_and_differ),
        cmocka_unit_test(an_id_of_a_text_is_always_the_same),
        cmocka_unit_test(no_path_is_an_id),
        ON_SQLITE(a_backup_of_a_live_store_opens_and_has_all_it_names),
        ON_SQLITE(a_backup_of_links_is_none),
        ON_SQLITE(a_backup_whose_rows_lead_elsewhere_is_none),
        ON_SQLITE(a_backup_with_tables_of_its_own_is_none),
        ON_SQLITE(a_backup_that_fails_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
