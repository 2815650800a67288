/*
 * figures_test.c - what is in the store is counted, and what would not fit is said before it comes.
 */
#include "store/access.h"
#include "store/figures.h"
#include "store/files.h"
#include "store/jobs.h"
#include "support/stores.h"

static void what_is_there_is_counted(void **state)
{
    struct test_store *t = test_store_open(state);
    struct store_figures f;
    struct error err = {0};

    ASSERT_OK(store_count(t->s, &f, &err));
    assert_int_equal(f.files, 0);
    assert_int_equal(f.file_bytes, 0);
    for (int i = 0; i < 3; i++) {
        struct stored_file file = {.project_id = arena_text(&t->arena, str_of(t->project)),
                                   .filename = arena_text(&t->arena, STR("a")),
                                   .purpose = arena_text(&t->arena, STR("fine-tune")),
                                   .status = arena_text(&t->arena, STR("processed"))};
        struct job_row job = {.project_id = arena_text(&t->arena, str_of(t->project)),
                              .method = arena_text(&t->arena, STR("dpo")),
                              .model = arena_text(&t->arena, STR("m")),
                              .training_file = arena_text(&t->arena, STR("file-x")),
                              .body = arena_text(&t->arena, STR("{}"))};

        ASSERT_OK(files_add(t->s, test_incoming(t, STR("12345")), &file, &t->arena, &err));
        ASSERT_OK(jobs_add(t->s, &job, NULL, 0, &t->arena, &err));
    }
    ASSERT_OK(store_count(t->s, &f, &err));
    assert_int_equal(f.files, 3);
    assert_int_equal(f.file_bytes, 15);
    assert_string_equal(figure_states[0], "validating_files");
    assert_int_equal(f.jobs[0], 3);
    for (size_t i = 1; i < FIGURE_STATES; i++)
        assert_int_equal(f.jobs[i], 0);
    assert_int_equal(f.webhooks_due, 0);
    assert_int_equal(f.workers, 0);
    test_store_close(t);
}

static void room_is_what_the_quota_leaves(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};

    struct store_room r;
    struct stored_file file = {.project_id = arena_text(&t->arena, str_of(t->project)),
                               .filename = arena_text(&t->arena, STR("a")),
                               .purpose = arena_text(&t->arena, STR("fine-tune")),
                               .status = arena_text(&t->arena, STR("processed"))};
    struct upload u = {.project_id = file.project_id,
                       .filename = file.filename,
                       .purpose = file.purpose,
                       .mime_type = arena_text(&t->arena, STR("text/plain")),
                       .bytes = 20};

    ASSERT_OK(files_add(t->s, test_incoming(t, STR("12345")), &file, &t->arena, &err));
    ASSERT_OK(uploads_new(t->s, &u, &t->arena, &err));
    ASSERT_OK(store_room_of(t->s, t->project, &r, &err));
    assert_int_equal(r.quota, 0);
    ASSERT_OK(store_room_fits(&r, INT64_MAX, &err));
    ASSERT_OK(access_set_quota(t->s, t->project, 100, &err));
    ASSERT_OK(store_room_of(t->s, t->project, &r, &err));
    assert_true(r.quota == 100 && r.files == 5 && r.uploads == 20);
    ASSERT_OK(store_room_fits(&r, 75, &err));
    ASSERT_FAILS(store_room_fits(&r, 76, &err), ERR_LIMIT, "files have 5 bytes");
    ASSERT_FAILS(store_room_fits(&r, INT64_MAX, &err), ERR_LIMIT, "quota of 100 bytes");
    ASSERT_OK(store_room_of(t->s, t->other, &r, &err));
    assert_int_equal(r.quota, 0);
    ASSERT_FAILS(store_room_of(t->s, "proj_none", &r, &err), ERR_NOT_FOUND, "proj_none");
    test_store_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(what_is_there_is_counted),
        ON_BOTH(room_is_what_the_quota_leaves),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
