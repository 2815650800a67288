/*
 * uploads_test.c - files in parts: in parallel, in any order, sent twice, with wrong sums, joined twice.
 */
#include "base/clock.h"
#include "base/file.h"
#include "base/size.h"
#include "store/files.h"
#include "support/stores.h"

#include <nettle/md5.h>
#include <pthread.h>
#include <stdio.h>

static struct upload begin(struct test_store *t, int64_t bytes)
{
    struct error err = {0};
    struct upload u = {.project_id = arena_text(&t->arena, str_of(t->project)),
                       .filename = arena_text(&t->arena, STR("big.jsonl")),
                       .purpose = arena_text(&t->arena, STR("fine-tune")),
                       .mime_type = arena_text(&t->arena, STR("text/jsonl")),
                       .bytes = bytes};

    ASSERT_OK(uploads_new(t->s, &u, &t->arena, &err));
    return u;
}

static struct str part(struct test_store *t, const struct upload *u, struct str text)
{
    struct error err = {0};
    int64_t created_at;
    char *id;

    ASSERT_OK(uploads_part(t->s, t->project, str_of(u->id), test_incoming(t, text), &t->arena, &id,
                           &created_at, &err));
    assert_true(store_id_is(str_of(id), "part_") && created_at > 1700000000);
    return str_of(id);
}

static void expect_bytes(struct test_store *t, const struct stored_file *f, const char *want)
{
    struct error err = {0};
    struct str bytes;

    ASSERT_OK(file_read(files_path(t->s, f->id, &t->arena), 1 << 20, &t->arena, &bytes, &err));
    ASSERT_STR(bytes, want);
}

static void parts_are_joined_in_the_order_asked_for(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct upload u = begin(t, 9), done;
    const struct str c = part(t, &u, STR("ghi")), a = part(t, &u, STR("abc")),
                     b = part(t, &u, STR("def")), ids[] = {a, b, c};
    struct stored_file f, again, *list;
    const struct store_page page = {.limit = 10};
    size_t n;
    bool more;

    assert_string_equal(u.status, "pending");
    assert_int_equal(u.expires_at, u.created_at + 3600);
    ASSERT_OK(uploads_complete(t->s, t->project, str_of(u.id), ids, 3,
                               STR("8AA99B1F439FF71293E95357BAC6FD94"), &t->arena, &done, &f,
                               &err));
    assert_string_equal(done.status, "completed");
    assert_string_equal(done.file_id, f.id);
    assert_int_equal(f.bytes, 9);
    assert_int_equal(f.expires_at, 0);
    assert_string_equal(f.filename, "big.jsonl");
    expect_bytes(t, &f, "abcdefghi");

    /* told again */
    ASSERT_OK(uploads_complete(t->s, t->project, str_of(u.id), ids, 3, (struct str){0}, &t->arena,
                               &done, &again, &err));
    assert_string_equal(again.id, f.id);
    ASSERT_OK(files_list(t->s, t->project, NULL, &page, &t->arena, &list, &n, &more, &err));
    assert_int_equal(n, 1);

    /* ... otherwise */
    const struct str other[] = {b, a, c};

    ASSERT_FAILS(uploads_complete(t->s, t->project, str_of(u.id), other, 3, (struct str){0},
                                  &t->arena, &done, &again, &err),
                 ERR_INVALID, "is completed");
    ASSERT_FAILS(uploads_cancel(t->s, t->project, str_of(u.id), &t->arena, &done, &err),
                 ERR_INVALID, "is completed");
    assert_false(file_exists(arena_printf(&t->arena, "%s/files/uploads/%s", t->home, u.id)));
    test_store_close(t);
}

static void wrong_sums_are_refused_and_can_be_mended(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct upload u = begin(t, 6), done;
    const struct str a = part(t, &u, STR("abc")), b = part(t, &u, STR("def"));
    const struct str both[] = {a, b}, twice[] = {a, b, a}, strange[] = {a, STR("part_x")},
                     path[] = {a, STR("../../hone.db")};
    const struct str md5 = STR("e80b5017098950fc58aad83c8c14978e"); /* of abcdef */
    struct stored_file f;

    ASSERT_FAILS(
        uploads_complete(t->s, t->project, str_of(u.id), both, 1, md5, &t->arena, &done, &f, &err),
        ERR_INVALID, "3 bytes");
    assert_string_equal(err.param, "part_ids");
    ASSERT_FAILS(
        uploads_complete(t->s, t->project, str_of(u.id), twice, 3, md5, &t->arena, &done, &f, &err),
        ERR_INVALID, "at least 9 bytes");
    ASSERT_FAILS(
        uploads_complete(t->s, t->project, str_of(u.id), NULL, 0, md5, &t->arena, &done, &f, &err),
        ERR_INVALID, "0 bytes");
    ASSERT_FAILS(uploads_complete(t->s, t->project, str_of(u.id), strange, 2, md5, &t->arena, &done,
                                  &f, &err),
                 ERR_INVALID, "part_x");
    ASSERT_FAILS(
        uploads_complete(t->s, t->project, str_of(u.id), path, 2, md5, &t->arena, &done, &f, &err),
        ERR_INVALID, "there is no part");
    ASSERT_FAILS(uploads_complete(t->s, t->project, str_of(u.id), both, 2,
                                  STR("00000000000000000000000000000000"), &t->arena, &done, &f,
                                  &err),
                 ERR_INVALID, "MD5");
    assert_string_equal(err.param, "md5");
    ASSERT_FAILS(uploads_complete(t->s, t->project, str_of(u.id), both, 2, STR("short"), &t->arena,
                                  &done, &f, &err),
                 ERR_INVALID, "MD5");
    ASSERT_OK(uploads_get(t->s, t->project, str_of(u.id), &t->arena, &done, &err));
    assert_string_equal(done.status, "pending");
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM files", NULL), 0);
    ASSERT_OK(
        uploads_complete(t->s, t->project, str_of(u.id), both, 2, md5, &t->arena, &done, &f, &err));
    expect_bytes(t, &f, "abcdef");
    test_store_close(t);
}

static void a_part_sent_again_is_the_same_part(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct upload u = begin(t, 8), done;
    const struct str a = part(t, &u, STR("same")), again = part(t, &u, STR("same"));
    const struct str ids[] = {a, again};
    struct stored_file f;
    int64_t created_at;
    char *id;

    assert_true(str_eq(a, again));
    part(t, &u, STR("rest"));
    ASSERT_FAILS(uploads_part(t->s, t->project, str_of(u.id), test_incoming(t, STR("more")),
                              &t->arena, &id, &created_at, &err),
                 ERR_LIMIT, "is of 8 bytes");
    ASSERT_FAILS(uploads_part(t->s, t->project, str_of(u.id), test_incoming(t, STR("123456789")),
                              &t->arena, &id, &created_at, &err),
                 ERR_LIMIT, "this part has 9");
    ASSERT_FAILS(uploads_part(t->s, t->project, str_of(u.id), test_incoming(t, STR("")), &t->arena,
                              &id, &created_at, &err),
                 ERR_INVALID, "no bytes");
    ASSERT_OK(uploads_complete(t->s, t->project, str_of(u.id), ids, 2, (struct str){0}, &t->arena,
                               &done, &f, &err));
    expect_bytes(t, &f, "samesame");
    test_store_close(t);
}

static void what_is_no_longer_pending_takes_nothing(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct upload cancelled = begin(t, 3), expired = begin(t, 3), got;
    const struct str a = part(t, &expired, STR("abc"));
    struct stored_file f;
    int64_t created_at;
    size_t n;
    char *id;

    ASSERT_OK(uploads_cancel(t->s, t->project, str_of(cancelled.id), &t->arena, &got, &err));
    assert_string_equal(got.status, "cancelled");
    ASSERT_OK(uploads_cancel(t->s, t->project, str_of(cancelled.id), &t->arena, &got, &err));
    ASSERT_FAILS(uploads_part(t->s, t->project, str_of(cancelled.id), test_incoming(t, STR("abc")),
                              &t->arena, &id, &created_at, &err),
                 ERR_INVALID, "is cancelled");
    test_sql(t, "UPDATE uploads SET expires_at = ?2 WHERE id = ?1", expired.id, NULL, 1000);
    ASSERT_OK(uploads_get(t->s, t->project, str_of(expired.id), &t->arena, &got, &err));
    assert_string_equal(got.status, "expired");
    ASSERT_FAILS(uploads_complete(t->s, t->project, str_of(expired.id), &a, 1, (struct str){0},
                                  &t->arena, &got, &f, &err),
                 ERR_INVALID, "is expired");
    ASSERT_OK(files_sweep(t->s, clock_unix() + 3700, &n, &err));
    assert_false(file_exists(arena_printf(&t->arena, "%s/files/uploads/%s", t->home, expired.id)));
    ASSERT_OK(uploads_get(t->s, t->project, str_of(expired.id), &t->arena, &got, &err));
    assert_string_equal(got.status, "expired");
    test_store_close(t);
}

static void another_projects_upload_is_not_found(void **state)
{
    static const struct str ids[] = {{"", 0}, {"../x", 4}, {"upload_\xff", 8}, {"upload_\0a", 9}};
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct upload u = begin(t, 3), got;
    const struct str a = part(t, &u, STR("abc"));
    struct stored_file f;
    int64_t created_at;
    char *id;

    ASSERT_FAILS(uploads_get(t->s, t->other, str_of(u.id), &t->arena, &got, &err), ERR_NOT_FOUND,
                 u.id);
    ASSERT_FAILS(uploads_part(t->s, t->other, str_of(u.id), test_incoming(t, STR("x")), &t->arena,
                              &id, &created_at, &err),
                 ERR_NOT_FOUND, u.id);
    ASSERT_FAILS(uploads_complete(t->s, t->other, str_of(u.id), &a, 1, (struct str){0}, &t->arena,
                                  &got, &f, &err),
                 ERR_NOT_FOUND, u.id);
    ASSERT_FAILS(uploads_cancel(t->s, t->other, str_of(u.id), &t->arena, &got, &err), ERR_NOT_FOUND,
                 u.id);
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ASSERT_FAILS(uploads_get(t->s, t->project, ids[i], &t->arena, &got, &err), ERR_NOT_FOUND,
                     "upload");
    test_store_close(t);
}

/* ---- at the same time ---- */

#define N_PARTS 16
#define PART_BYTES 3000

struct sender {
    struct test_store *t;
    const struct upload *u;
    size_t i;
    char id[64];
    bool ok;
    struct error err;
};

static void *send_part(void *ctx)
{
    struct sender *s = ctx;
    struct arena a = {0};
    char text[PART_BYTES], *path, *id;
    int64_t created_at;

    memset(text, 'a' + (char)s->i, sizeof text);
    s->ok =
        files_incoming(s->t->s, &a, &path, &s->err) &&
        file_put(path, (struct str){text, sizeof text}, &s->err) &&
        uploads_part(s->t->s, s->t->project, str_of(s->u->id), path, &a, &id, &created_at, &s->err);
    if (s->ok)
        snprintf(s->id, sizeof s->id, "%s", id);
    arena_release(&a);
    return NULL;
}

struct joiner {
    struct test_store *t;
    const struct upload *u;
    const struct str *ids;
    char file[64];
    bool ok;
    struct error err;
};

static void *join(void *ctx)
{
    struct joiner *j = ctx;
    struct arena a = {0};
    struct upload done;
    struct stored_file f;

    j->ok = uploads_complete(j->t->s, j->t->project, str_of(j->u->id), j->ids, N_PARTS,
                             (struct str){0}, &a, &done, &f, &j->err);
    if (j->ok)
        snprintf(j->file, sizeof j->file, "%s", f.id);
    arena_release(&a);
    return NULL;
}

static void parts_may_come_and_be_joined_at_the_same_time(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct upload u = begin(t, N_PARTS * PART_BYTES);
    struct sender senders[N_PARTS];
    struct joiner joiners[4];
    struct str ids[N_PARTS], bytes;
    pthread_t threads[N_PARTS];

    for (size_t i = 0; i < N_PARTS; i++) {
        senders[i] = (struct sender){.t = t, .u = &u, .i = i};
        assert_int_equal(pthread_create(&threads[i], NULL, send_part, &senders[i]), 0);
    }
    for (size_t i = 0; i < N_PARTS; i++) {
        pthread_join(threads[i], NULL);
        if (!senders[i].ok)
            fail_msg("%s", senders[i].err.message);
        ids[N_PARTS - 1 - i] = str_of(senders[i].id); /* backwards */
    }
    for (size_t i = 0; i < COUNT_OF(joiners); i++) {
        joiners[i] = (struct joiner){.t = t, .u = &u, .ids = ids};
        assert_int_equal(pthread_create(&threads[i], NULL, join, &joiners[i]), 0);
    }
    for (size_t i = 0; i < COUNT_OF(joiners); i++)
        pthread_join(threads[i], NULL);
    for (size_t i = 0; i < COUNT_OF(joiners); i++) {
        if (!joiners[i].ok)
            fail_msg("%s", joiners[i].err.message);
        assert_string_equal(joiners[i].file, joiners[0].file);
    }
    ASSERT_OK(
        file_read(files_path(t->s, joiners[0].file, &t->arena), 1 << 20, &t->arena, &bytes, &err));
    assert_int_equal(bytes.len, N_PARTS * PART_BYTES);
    for (size_t i = 0; i < N_PARTS; i++)
        assert_int_equal(bytes.ptr[i * PART_BYTES + 5], 'a' + (char)(N_PARTS - 1 - i));
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM files", NULL), 1);
    test_store_close(t);
}

static void an_upload_that_cannot_be_is_refused(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct upload u = {.project_id = arena_text(&t->arena, str_of(t->project)),
                       .filename = arena_text(&t->arena, STR("a")),
                       .purpose = arena_text(&t->arena, STR("fine-tune")),
                       .mime_type = arena_text(&t->arena, STR("text/plain"))};

    ASSERT_FAILS(uploads_new(t->s, &u, &t->arena, &err), ERR_INVALID, "at least one");
    assert_string_equal(err.param, "bytes");
    u.bytes = 1;
    u.filename = arena_text(&t->arena, STR("\xc3("));
    ASSERT_FAILS(uploads_new(t->s, &u, &t->arena, &err), ERR_INVALID, "UTF-8");
    assert_string_equal(err.param, "filename");
    u.filename = arena_text(&t->arena, STR("a"));
    u.project_id = arena_text(&t->arena, STR("proj_nobody"));
    ASSERT_FAILS(uploads_new(t->s, &u, &t->arena, &err), ERR_NOT_FOUND, "project");
    test_store_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(parts_are_joined_in_the_order_asked_for),
        ON_BOTH(wrong_sums_are_refused_and_can_be_mended),
        ON_BOTH(a_part_sent_again_is_the_same_part),
        ON_BOTH(what_is_no_longer_pending_takes_nothing),
        ON_BOTH(another_projects_upload_is_not_found),
        ON_BOTH(parts_may_come_and_be_joined_at_the_same_time),
        ON_BOTH(an_upload_that_cannot_be_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
