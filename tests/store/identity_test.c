/*
 * identity_test.c - homes and databases that belong together, and those that do not: nothing is swept away there.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"
#include "store/files.h"
#include "support/stores.h"

#include <pthread.h>
#include <unistd.h>

static bool open_store(const char *home, const char *url, struct store **out, struct error *err)
{
    const struct store_options opt = {.home = home, .database = url, .n_connections = 2};

    *out = NULL;
    return store_open(&opt, out, err);
}

static struct str id_of(struct test_store *t, const char *home)
{
    struct str text = {0};
    struct error err = {0};

    ASSERT_OK(file_read(file_join(&t->arena, home, "store.id"), 200, &t->arena, &text, &err));
    assert_true(store_id_is((struct str){text.ptr, text.len - 1}, "store-"));
    assert_int_equal(text.ptr[text.len - 1], '\n');
    return text;
}

/* The path of its bytes. */
static const char *add_file(struct test_store *t)
{
    struct stored_file f = {.project_id = arena_text(&t->arena, str_of(t->project)),
                            .filename = arena_text(&t->arena, STR("a.jsonl")),
                            .purpose = arena_text(&t->arena, STR("fine-tune"))};
    struct error err = {0};

    ASSERT_OK(files_add(t->s, test_incoming(t, STR("{}\n")), &f, &t->arena, &err));
    return files_path(t->s, f.id, &t->arena);
}

static const char *other_database(struct test_store *t)
{
    return arena_printf(&t->arena, "sqlite:%s/../other.db", t->home);
}

static void close_and_reopen(struct test_store *t, const char *url)
{
    struct error err = {0};

    store_close(t->s);
    ASSERT_OK(open_store(t->home, url, &t->s, &err));
}

static void refuses(struct test_store *t, const char *home, const char *url, const char *why)
{
    struct store *s;
    struct error err = {0};

    ASSERT_FAILS(open_store(home, url, &s, &err), ERR_INVALID, why);
    assert_null(s);
    assert_non_null(strstr(err.message, "--database"));
    (void)t;
}

static void a_home_is_named_once(void **state)
{
    struct test_store *t = test_store_open(state);
    const struct str id = id_of(t, t->home);
    struct store *second;
    struct error err = {0};

    close_and_reopen(t, test_database(state)->url);
    ASSERT_OK(open_store(t->home, test_database(state)->url, &second, &err)); /* both at once */
    assert_true(str_eq(id, id_of(t, t->home)));
    store_close(second);
    test_store_close(t);
}

static void another_database_is_refused_and_nothing_is_lost(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *path = add_file(t);
    const char *elsewhere = file_join(&t->arena, test_database(state)->dir, "elsewhere");
    struct store *s;
    struct error err = {0};

    refuses(t, t->home, other_database(t), "is of no store yet");
    ASSERT_OK(open_store(elsewhere, NULL, &s, &err));
    store_close(s);
    refuses(t, t->home, arena_printf(&t->arena, "sqlite:%s/hone.db", elsewhere),
            "is of the store store-");
    refuses(t, elsewhere, test_database(state)->url, "is the home of the store store-");
    assert_true(file_exists(path));
    test_store_close(t);
}

/* From before there were names: neither has one. */
static void forget(struct test_store *t, bool of_home, bool of_rows)
{
    if (of_home)
        assert_int_equal(unlink(file_join(&t->arena, t->home, "store.id")), 0);
    if (of_rows)
        test_sql(t, "DELETE FROM identity", NULL, NULL, INT64_MIN);
}

static void what_is_older_than_names_gets_one(void **state)
{
    struct test_store *t = test_store_open(state);

    add_file(t);
    for (int which = 1; which < 4; which++) {
        forget(t, which & 1, which & 2);
        close_and_reopen(t, test_database(state)->url);
        id_of(t, t->home);
    }
    test_store_close(t);
}

static void without_names_the_files_decide(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *path = add_file(t);
    size_t n = 0;
    struct error err = {0};

    forget(t, true, true);
    refuses(t, t->home, other_database(t), "knows none of them");
    assert_true(file_exists(path));
    close_and_reopen(t, test_database(state)->url);
    ASSERT_OK(files_sweep(t->s, clock_unix() + 7200, &n, &err));
    assert_int_equal(n, 0);
    assert_true(file_exists(path));
    test_store_close(t);
}

static void a_name_that_is_none_is_told(void **state)
{
    static const char *const bad[] = {"", "\n", "store-", "file-1\n", "store-a/b\n"};
    struct test_store *t = test_store_open(state);
    struct store *s;
    struct error err = {0};

    for (size_t i = 0; i < COUNT_OF(bad); i++) {
        ASSERT_OK(file_put(file_join(&t->arena, t->home, "store.id"), str_of(bad[i]), &err));
        ASSERT_FAILS(open_store(t->home, test_database(state)->url, &s, &err), ERR_CORRUPT,
                     "store.id");
    }
    test_store_close(t);
}

static void a_restored_store_keeps_its_name(void **state)
{
    struct test_store *t = test_store_open(state);
    const char *dir = test_database(state)->dir;
    const char *backup = file_join(&t->arena, dir, "backup"),
               *home = file_join(&t->arena, dir, "restored");
    const char *file = strrchr(add_file(t), '/') + 1;
    struct store *s;
    size_t n = 0;
    struct error err = {0};

    /* as test_store_open puts the rows beside the home */
    const char *own = file_join(&t->arena, dir, "own");
    ASSERT_OK(open_store(own, NULL, &s, &err));
    ASSERT_OK(file_put(arena_printf(&t->arena, "%s/files/%s", own, file), STR("x"), &err));
    ASSERT_OK(store_backup(s, backup, &err));
    store_close(s);
    ASSERT_OK(store_restore(backup, home, &err));
    ASSERT_OK(open_store(home, NULL, &s, &err));
    assert_true(str_eq(id_of(t, own), id_of(t, home)));
    ASSERT_OK(files_sweep(s, clock_unix(), &n, &err));
    store_close(s);
    ASSERT_OK(open_store(backup, NULL, &s, &err)); /* a backup opens, too */
    store_close(s);
    ASSERT_OK(open_store(own, NULL, &s, &err));
    store_close(s);
    test_store_close(t);
}

#define N_SERVERS 6
struct opener {
    const char *home, *url;
    struct store *s;
    bool ok;
    struct error err;
};

static void *open_one(void *arg)
{
    struct opener *o = arg;

    o->ok = open_store(o->home, o->url, &o->s, &o->err);
    return NULL;
}

static void servers_that_open_a_new_store_at_once_agree(void **state)
{
    const struct test_database *d = test_database(state);
    struct opener o[N_SERVERS];
    pthread_t threads[N_SERVERS];
    struct arena a = {0};

    for (size_t i = 0; i < N_SERVERS; i++) {
        o[i] = (struct opener){.home = file_join(&a, d->dir, "home"), .url = d->url};
        assert_int_equal(pthread_create(&threads[i], NULL, open_one, &o[i]), 0);
    }
    for (size_t i = 0; i < N_SERVERS; i++) {
        pthread_join(threads[i], NULL);
        if (!o[i].ok)
            print_error("%s\n", o[i].err.message);
        assert_true(o[i].ok);
        store_close(o[i].s);
    }
    arena_release(&a);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(a_home_is_named_once),
        ON_BOTH(another_database_is_refused_and_nothing_is_lost),
        ON_BOTH(what_is_older_than_names_gets_one),
        ON_BOTH(without_names_the_files_decide),
        ON_BOTH(a_name_that_is_none_is_told),
        ON_SQLITE(a_restored_store_keeps_its_name),
        ON_BOTH(servers_that_open_a_new_store_at_once_agree),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
