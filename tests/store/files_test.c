/*
 * files_test.c - files: bytes before rows, each project its own, pages, quota, what is swept away.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/sha256.h"
#include "base/size.h"
#include "store/files.h"
#include "support/stores.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static struct stored_file add(struct test_store *t, const char *project, const char *purpose,
                              struct str text)
{
    struct error err = {0};
    struct stored_file f = {.project_id = arena_text(&t->arena, str_of(project)),
                            .filename = arena_text(&t->arena, STR("train.jsonl")),
                            .purpose = arena_text(&t->arena, str_of(purpose))};

    ASSERT_OK(files_add(t->s, test_incoming(t, text), &f, &t->arena, &err));
    return f;
}

static void a_file_is_there_with_its_bytes_and_its_sum(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    char *path = test_incoming(t, STR("{\"a\":1}\n"));
    struct stored_file f = {.project_id = arena_text(&t->arena, str_of(t->project)),
                            .filename = arena_text(&t->arena, STR("tr\xc3\xa4in.jsonl")),
                            .purpose = arena_text(&t->arena, STR("fine-tune")),
                            .expires_at = 4000000000};
    struct stored_file got;
    struct str bytes;
    struct stat st;

    ASSERT_OK(files_add(t->s, path, &f, &t->arena, &err));
    assert_true(store_id_is(str_of(f.id), "file-"));
    assert_false(file_exists(path));
    ASSERT_OK(files_get(t->s, t->project, str_of(f.id), &t->arena, &got, &err));
    assert_int_equal(got.bytes, 8);
    assert_string_equal(got.sha256, sha256_of("{\"a\":1}\n", 8).hex);
    assert_string_equal(got.filename, "tr\xc3\xa4in.jsonl");
    assert_string_equal(got.purpose, "fine-tune");
    assert_string_equal(got.status, "processed");
    assert_int_equal(got.expires_at, 4000000000);
    assert_true(got.created_at > 1700000000 && got.seq > 0);
    ASSERT_OK(file_read(files_path(t->s, f.id, &t->arena), 100, &t->arena, &bytes, &err));
    ASSERT_STR(bytes, "{\"a\":1}\n");
    assert_int_equal(stat(files_path(t->s, f.id, &t->arena), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    test_store_close(t);
}

static void an_id_that_is_there_is_not_added_again(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct stored_file f = {.id = store_id_of("file-", STR("result of job 1"), &t->arena),
                            .project_id = arena_text(&t->arena, str_of(t->project)),
                            .filename = arena_text(&t->arena, STR("a")),
                            .purpose = arena_text(&t->arena, STR("fine-tune-results"))};
    struct stored_file again = f;
    struct str bytes;

    ASSERT_OK(files_add(t->s, test_incoming(t, STR("one")), &f, &t->arena, &err));
    again.filename = arena_text(&t->arena, STR("b"));
    ASSERT_OK(files_add(t->s, test_incoming(t, STR("other")), &again, &t->arena, &err));
    assert_int_equal(again.seq, f.seq);
    assert_string_equal(again.filename, "a");
    assert_int_equal(again.bytes, 3);
    ASSERT_OK(file_read(files_path(t->s, f.id, &t->arena), 100, &t->arena, &bytes, &err));
    ASSERT_STR(bytes, "one");
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM files", NULL), 1);
    test_store_close(t);
}

static void another_project_sees_nothing(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct stored_file f = add(t, t->project, "fine-tune", STR("x")), got, *list;
    const struct store_page page = {.limit = 10};
    const struct store_page after = {.limit = 10, .after = f.id};
    size_t n;
    bool more;

    ASSERT_FAILS(files_get(t->s, t->other, str_of(f.id), &t->arena, &got, &err), ERR_NOT_FOUND,
                 f.id);
    ASSERT_FAILS(files_delete(t->s, t->other, str_of(f.id), &err), ERR_NOT_FOUND, f.id);
    ASSERT_OK(files_list(t->s, t->other, NULL, &page, &t->arena, &list, &n, &more, &err));
    assert_int_equal(n, 0);
    assert_false(more);
    ASSERT_FAILS(files_list(t->s, t->other, NULL, &after, &t->arena, &list, &n, &more, &err),
                 ERR_NOT_FOUND, "after");
    ASSERT_OK(files_get(t->s, NULL, str_of(f.id), &t->arena, &got, &err)); /* the server's own */
    test_store_close(t);
}

static void an_id_that_is_no_id_is_not_found(void **state)
{
    static const char long_id[500] = "file-";
    static const struct str ids[] = {
        {"", 0},
        {NULL, 0},
        {"../x", 4},
        {"file-", 5},
        {"file-../../hone.db", 18},
        {"file-a/b", 8},
        {"file-\xff\xfe", 7},
        {"file-a\0b", 8},
        {"file-%s%n", 9},
        {"file-' OR 1=1 --", 16},
        {long_id, sizeof long_id},
        {"file-nosuchthing000000000000", 28},
    };
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct stored_file got, *list;
    size_t n;
    bool more;

    for (size_t i = 0; i < COUNT_OF(ids); i++) {
        ASSERT_FAILS(files_get(t->s, t->project, ids[i], &t->arena, &got, &err), ERR_NOT_FOUND,
                     "file");
        ASSERT_FAILS(files_get(t->s, NULL, ids[i], &t->arena, &got, &err), ERR_NOT_FOUND, "file");
        ASSERT_FAILS(files_delete(t->s, t->project, ids[i], &err), ERR_NOT_FOUND, "file");

        const struct store_page page = {.limit = 1, .after = arena_text(&t->arena, ids[i])};

        ASSERT_FAILS(files_list(t->s, t->project, NULL, &page, &t->arena, &list, &n, &more, &err),
                     ERR_NOT_FOUND, "after");
        assert_string_equal(err.param, "after");
    }
    test_store_close(t);
}

static void what_cannot_be_a_file_is_refused(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    char *path = test_incoming(t, STR("x"));
    struct stored_file f = {.project_id = arena_text(&t->arena, str_of(t->project)),
                            .filename = arena_text(&t->arena, STR("\xff.jsonl")),
                            .purpose = arena_text(&t->arena, STR("fine-tune"))};

    ASSERT_FAILS(files_add(t->s, path, &f, &t->arena, &err), ERR_INVALID, "UTF-8");
    f.filename = arena_text(&t->arena, STR("a"));
    f.id = arena_text(&t->arena, STR("file-../x"));
    ASSERT_FAILS(files_add(t->s, path, &f, &t->arena, &err), ERR_INVALID, "no id of a file");
    f.id = NULL;
    f.project_id = arena_text(&t->arena, STR("proj_nobody"));
    ASSERT_FAILS(files_add(t->s, path, &f, &t->arena, &err), ERR_NOT_FOUND, "project");
    f.project_id = arena_text(&t->arena, str_of(t->project));
    ASSERT_FAILS(files_add(t->s, "/nowhere/at/all", &f, &t->arena, &err), ERR_NOT_FOUND,
                 "/nowhere/at/all");
    assert_null(f.id);
    test_store_close(t);
}

/* Ids of a page as one text: "c b a". */
static const char *page_of(struct test_store *t, const char *purpose, struct store_page page,
                           bool *more)
{
    struct error err = {0};
    struct stored_file *list;
    char *text = arena_text(&t->arena, STR(""));
    size_t n;

    ASSERT_OK(files_list(t->s, t->project, purpose, &page, &t->arena, &list, &n, more, &err));
    for (size_t i = 0; i < n; i++)
        text = arena_printf(&t->arena, "%s%s%c", text, i > 0 ? " " : "", list[i].filename[0]);
    return text;
}

static void pages_are_exact_in_both_directions(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    char *ids[6];
    bool more;

    for (int i = 0; i < 6; i++) {
        struct stored_file f = {.project_id = arena_text(&t->arena, str_of(t->project)),
                                .filename = arena_printf(&t->arena, "%c", 'a' + i),
                                .purpose = arena_printf(&t->arena, i % 2 == 0 ? "even" : "odd")};

        ASSERT_OK(files_add(t->s, test_incoming(t, STR("x")), &f, &t->arena, &err));
        ids[i] = f.id;
        add(t, t->other, "even", STR("y")); /* between them */
    }
    assert_string_equal(page_of(t, NULL, (struct store_page){.limit = 4}, &more), "f e d c");
    assert_true(more);
    assert_string_equal(page_of(t, NULL, (struct store_page){.limit = 4, .after = ids[2]}, &more),
                        "b a");
    assert_false(more);
    assert_string_equal(page_of(t, NULL, (struct store_page){.limit = 6}, &more), "f e d c b a");
    assert_false(more);
    assert_string_equal(page_of(t, NULL, (struct store_page){.limit = 5, .ascending = true}, &more),
                        "a b c d e");
    assert_true(more);
    assert_string_equal(page_of(t, NULL,
                                (struct store_page){.limit = 1, .after = ids[4], .ascending = true},
                                &more),
                        "f");
    assert_false(more);
    assert_string_equal(page_of(t, NULL,
                                (struct store_page){.limit = 9, .after = ids[5], .ascending = true},
                                &more),
                        "");
    assert_string_equal(page_of(t, "even", (struct store_page){.limit = 2}, &more), "e c");
    assert_true(more);
    assert_string_equal(page_of(t, "even", (struct store_page){.limit = 2, .after = ids[3]}, &more),
                        "c a");
    assert_false(more);
    assert_string_equal(page_of(t, "none", (struct store_page){.limit = 2}, &more), "");
    assert_string_equal(page_of(t, "\xff", (struct store_page){.limit = 2}, &more), "");
    test_store_close(t);
}

static void a_deleted_file_is_gone_with_its_bytes(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct stored_file f = add(t, t->project, "fine-tune", STR("x")), got;

    ASSERT_OK(files_delete(t->s, t->project, str_of(f.id), &err));
    assert_false(file_exists(files_path(t->s, f.id, &t->arena)));
    ASSERT_FAILS(files_get(t->s, t->project, str_of(f.id), &t->arena, &got, &err), ERR_NOT_FOUND,
                 f.id);
    ASSERT_FAILS(files_delete(t->s, t->project, str_of(f.id), &err), ERR_NOT_FOUND, f.id);
    test_store_close(t);
}

static void a_quota_is_kept_to_the_byte(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct stored_file f = {.project_id = arena_text(&t->arena, str_of(t->project)),
                            .filename = arena_text(&t->arena, STR("a")),
                            .purpose = arena_text(&t->arena, STR("fine-tune"))};
    struct stored_file fits = f;
    struct upload u = {.project_id = f.project_id,
                       .filename = f.filename,
                       .purpose = f.purpose,
                       .mime_type = f.filename,
                       .bytes = 3};

    test_sql(t, "UPDATE projects SET quota_bytes = ?2 WHERE id = ?1", t->project, NULL, 10);
    add(t, t->project, "fine-tune", STR("1234567"));
    ASSERT_FAILS(files_add(t->s, test_incoming(t, STR("1234")), &f, &t->arena, &err), ERR_LIMIT,
                 "quota of 10 bytes");
    ASSERT_OK(uploads_new(t->s, &u, &t->arena, &err));
    ASSERT_FAILS(files_add(t->s, test_incoming(t, STR("1")), &f, &t->arena, &err), ERR_LIMIT,
                 "uploads in progress 3");
    ASSERT_OK(uploads_cancel(t->s, t->project, str_of(u.id), &t->arena, &u, &err));
    ASSERT_OK(files_add(t->s, test_incoming(t, STR("123")), &fits, &t->arena, &err));
    u.bytes = 1;
    ASSERT_FAILS(uploads_new(t->s, &u, &t->arena, &err), ERR_LIMIT, "quota");
    add(t, t->other, "fine-tune", STR("another project has none"));
    assert_int_equal(
        test_sql_int(t, "SELECT COUNT(*) FROM files WHERE project_id = ?1", t->project), 2);
    test_store_close(t);
}

static void what_has_expired_is_swept_away(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct stored_file old = {.project_id = arena_text(&t->arena, str_of(t->project)),
                              .filename = arena_text(&t->arena, STR("a")),
                              .purpose = arena_text(&t->arena, STR("fine-tune")),
                              .expires_at = 2000};
    struct stored_file later = old, kept, got;
    size_t n = 9;

    later.expires_at = 2001;
    ASSERT_OK(files_add(t->s, test_incoming(t, STR("a")), &old, &t->arena, &err));
    ASSERT_OK(files_add(t->s, test_incoming(t, STR("b")), &later, &t->arena, &err));
    kept = add(t, t->project, "fine-tune", STR("c"));
    ASSERT_OK(files_sweep(t->s, 2000, &n, &err));
    assert_int_equal(n, 1);
    assert_false(file_exists(files_path(t->s, old.id, &t->arena)));
    ASSERT_FAILS(files_get(t->s, t->project, str_of(old.id), &t->arena, &got, &err), ERR_NOT_FOUND,
                 old.id);
    ASSERT_OK(files_get(t->s, t->project, str_of(later.id), &t->arena, &got, &err));
    ASSERT_OK(files_sweep(t->s, 3000, &n, &err));
    assert_int_equal(n, 1);
    ASSERT_OK(files_get(t->s, t->project, str_of(kept.id), &t->arena, &got, &err));
    ASSERT_OK(files_sweep(t->s, 3000, NULL, &err));
    test_store_close(t);
}

/* A crash between the rename and the row, and one before the rename: nothing but bytes. */
static void bytes_without_a_row_are_swept_away_after_an_hour(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct stored_file f = add(t, t->project, "fine-tune", STR("kept"));
    char *orphan = files_path(t->s, "file-abcdefghijklmnopqrstuvwx", &t->arena);
    char *incoming = test_incoming(t, STR("half"));
    size_t n;

    ASSERT_OK(file_put(orphan, STR("whole, and without a row"), &err));
    ASSERT_OK(files_sweep(t->s, clock_unix(), &n, &err)); /* perhaps somebody is writing */
    assert_int_equal(n, 0);
    assert_true(file_exists(orphan) && file_exists(incoming));
    ASSERT_OK(files_sweep(t->s, clock_unix() + 3700, &n, &err));
    assert_int_equal(n, 2);
    assert_false(file_exists(orphan));
    assert_false(file_exists(incoming));
    assert_true(file_exists(files_path(t->s, f.id, &t->arena)));
    test_store_close(t);
}

/* The database goes away between bytes and row, in the middle of files_add itself. */
static void a_row_that_fails_leaves_bytes_for_the_sweep(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct stored_file f = {.id = store_id_of("file-", STR("x"), &t->arena),
                            .project_id = arena_text(&t->arena, str_of(t->project)),
                            .filename = arena_text(&t->arena, STR("a")),
                            .purpose = arena_text(&t->arena, STR("fine-tune")),
                            .status = arena_text(&t->arena, STR("processed")),
                            .sha256 = arena_text(&t->arena, STR("00"))};
    struct stored_file again = f;
    size_t n;

    test_sql(t, "ALTER TABLE files RENAME COLUMN purpose TO lost", NULL, NULL, INT64_MIN);
    assert_false(files_add(t->s, test_incoming(t, STR("abc")), &f, &t->arena, &err));
    test_sql(t, "ALTER TABLE files RENAME COLUMN lost TO purpose", NULL, NULL, INT64_MIN);
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM files", NULL), 0);
    ASSERT_OK(files_sweep(t->s, clock_unix() + 3700, &n, &err));
    assert_false(file_exists(files_path(t->s, f.id, &t->arena)));
    ASSERT_OK(files_add(t->s, test_incoming(t, STR("abc")), &again, &t->arena, &err));
    ASSERT_OK(files_sweep(t->s, clock_unix() + 3700, &n, &err));
    assert_true(file_exists(files_path(t->s, f.id, &t->arena)));
    test_store_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(a_file_is_there_with_its_bytes_and_its_sum),
        ON_BOTH(an_id_that_is_there_is_not_added_again),
        ON_BOTH(another_project_sees_nothing),
        ON_BOTH(an_id_that_is_no_id_is_not_found),
        ON_BOTH(what_cannot_be_a_file_is_refused),
        ON_BOTH(pages_are_exact_in_both_directions),
        ON_BOTH(a_deleted_file_is_gone_with_its_bytes),
        ON_BOTH(a_quota_is_kept_to_the_byte),
        ON_BOTH(what_has_expired_is_swept_away),
        ON_BOTH(bytes_without_a_row_are_swept_away_after_an_hour),
        ON_BOTH(a_row_that_fails_leaves_bytes_for_the_sweep),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
