/*
 * jobs_test.c - jobs added, found, listed by label, and asked: every state with every wish.
 */
#include "base/clock.h"
#include "base/size.h"
#include "store/jobs.h"
#include "support/jobs.h"

#include <stdio.h>

static void a_job_is_what_was_added(void **state)
{
    struct test_store *t = test_store_open(state);
    struct arena *a = &t->arena;
    struct error err = {0};
    const struct label labels[] = {{STR("team"), STR("bio")}, {STR("empty"), STR("")}};
    struct job_row j = {.project_id = arena_text(a, str_of(t->project)),
                        .method = arena_text(a, STR("dpo")),
                        .model = arena_text(a, STR("m\xc3\xb6")),
                        .suffix = arena_text(a, STR("x")),
                        .training_file = arena_text(a, STR("file-a")),
                        .validation_file = arena_text(a, STR("file-b")),
                        .body = arena_text(a, STR("{}")),
                        .fine_tuned_model = arena_text(a, STR("ft:m:a:x:1")),
                        .eval_id = arena_text(a, STR("eval_1")),
                        .seed = 7};
    struct job_row got;
    struct label *found;
    struct job_event *events;
    const struct store_page page = {.limit = 5};
    size_t n;
    bool more;

    ASSERT_OK(jobs_add(t->s, &j, labels, 2, a, &err));
    ASSERT_OK(jobs_get(t->s, t->project, str_of(j.id), a, &got, &err));
    assert_string_equal(got.status, "validating_files");
    assert_string_equal(got.method, "dpo");
    assert_string_equal(got.model, "m\xc3\xb6");
    assert_string_equal(got.suffix, "x");
    assert_string_equal(got.validation_file, "file-b");
    assert_string_equal(got.run_dir, j.id);
    assert_string_equal(got.eval_id, "eval_1");
    assert_string_equal(got.ask, "");
    assert_null(got.resolved);
    assert_null(got.worker);
    assert_null(got.error_code);
    assert_int_equal(got.seed, 7);
    assert_int_equal(got.trained_tokens, -1);
    assert_int_equal(got.finished_at, 0);
    assert_true(got.created_at > 1700000000);
    ASSERT_OK(jobs_labels(t->s, j.id, a, &found, &n, &err));
    assert_int_equal(n, 2);
    ASSERT_STR(found[0].key, "empty");
    ASSERT_STR(found[0].value, "");
    ASSERT_STR(found[1].value, "bio");
    ASSERT_OK(events_list(t->s, j.id, &page, a, &events, &n, &more, &err));
    assert_int_equal(n, 1);
    assert_string_equal(events[0].message, arena_printf(a, "Created fine-tuning job: %s", j.id));
    assert_string_equal(events[0].level, "info");
    test_store_close(t);
}

static void another_projects_job_is_not_found(void **state)
{
    static const char long_id[500] = "ftjob-";
    static const struct str ids[] = {
        {"", 0},         {NULL, 0},       {"../x", 4},
        {"ftjob-", 6},   {"ftjob-/", 7},  {"ftjob-\x80", 7},
        {"ftjob-\0", 7}, {"file-aaa", 8}, {long_id, sizeof long_id},
    };
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct job_row j = test_job(t, t->project), got;

    ASSERT_FAILS(jobs_get(t->s, t->other, str_of(j.id), &t->arena, &got, &err), ERR_NOT_FOUND,
                 j.id);
    for (size_t i = 0; i < COUNT_OF(ids); i++)
        ASSERT_FAILS(jobs_get(t->s, t->project, ids[i], &t->arena, &got, &err), ERR_NOT_FOUND,
                     "fine-tuning job");
    for (enum job_ask ask = JOB_CANCEL; ask <= JOB_RESUME; ask++) {
        ASSERT_FAILS(jobs_ask(t->s, t->other, str_of(j.id), ask, &t->arena, &got, &err),
                     ERR_NOT_FOUND, j.id);
        for (size_t i = 0; i < COUNT_OF(ids); i++)
            ASSERT_FAILS(jobs_ask(t->s, t->project, ids[i], ask, &t->arena, &got, &err),
                         ERR_NOT_FOUND, "fine-tuning job");
    }
    assert_string_equal(test_job_now(t, j.id).status, "validating_files");
    test_store_close(t);
}

static void what_cannot_be_a_job_is_refused(void **state)
{
    struct test_store *t = test_store_open(state);
    struct arena *a = &t->arena;
    struct error err = {0};
    const struct label bad = {STR("k"), STR("\xff")};
    struct job_row j = {.project_id = arena_text(a, str_of(t->project)),
                        .method = arena_text(a, STR("dpo")),
                        .model = arena_text(a, STR("\xff")),
                        .training_file = arena_text(a, STR("file-a")),
                        .body = arena_text(a, STR("{}"))};

    ASSERT_FAILS(jobs_add(t->s, &j, NULL, 0, a, &err), ERR_INVALID, "UTF-8");
    assert_string_equal(err.param, "model");
    j.model = arena_text(a, STR("m"));
    j.training_file = arena_text(a, STR("../../etc/passwd"));
    ASSERT_FAILS(jobs_add(t->s, &j, NULL, 0, a, &err), ERR_INVALID, "id of a file");
    j.training_file = arena_text(a, STR("file-a"));
    j.run_dir = arena_text(a, STR("../x"));
    ASSERT_FAILS(jobs_add(t->s, &j, NULL, 0, a, &err), ERR_INVALID, "folder");
    j.run_dir = NULL;
    ASSERT_FAILS(jobs_add(t->s, &j, &bad, 1, a, &err), ERR_INVALID, "metadata");
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM jobs", NULL), 0); /* nor half of it */
    assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM events", NULL), 0);
    test_store_close(t);
}

/* ---- lists ---- */

static void add_labelled(struct test_store *t, const char *project, const char *name,
                         const struct label *labels, size_t n)
{
    struct arena *a = &t->arena;
    struct error err = {0};
    struct job_row j = {.id = arena_printf(a, "ftjob-%s", name),
                        .project_id = arena_text(a, str_of(project)),
                        .method = arena_text(a, STR("dpo")),
                        .model = arena_text(a, STR("m")),
                        .training_file = arena_text(a, STR("file-a")),
                        .body = arena_text(a, STR("{}"))};

    ASSERT_OK(jobs_add(t->s, &j, labels, n, a, &err));
}

static const char *page_of(struct test_store *t, struct store_page page, bool *more)
{
    struct error err = {0};
    struct job_row *list;
    char *text = arena_text(&t->arena, STR(""));
    size_t n;

    ASSERT_OK(jobs_list(t->s, t->project, &page, &t->arena, &list, &n, more, &err));
    for (size_t i = 0; i < n; i++)
        text = arena_printf(&t->arena, "%s%s%s", text, i > 0 ? " " : "", list[i].id + 6);
    return text;
}

static void lists_go_by_label_and_page_exactly(void **state)
{
    const struct label red[] = {{STR("color"), STR("red")}, {STR("n"), STR("1")}},
                       none[] = {{STR("color"), STR("")}}, blue[] = {{STR("color"), STR("blue")}};
    struct test_store *t = test_store_open(state);
    struct store_page by = {.limit = 10, .key = STR("color"), .value = STR("red")};
    bool more;

    add_labelled(t, t->project, "a", red, 2);
    add_labelled(t, t->other, "hers", red, 2);
    add_labelled(t, t->project, "b", blue, 1);
    add_labelled(t, t->project, "c", NULL, 0);
    add_labelled(t, t->project, "d", red, 1);
    add_labelled(t, t->project, "e", none, 1);
    add_labelled(t, t->project, "f", NULL, 0);
    add_labelled(t, t->project, "g", red, 2);

    assert_string_equal(page_of(t, (struct store_page){.limit = 10}, &more), "g f e d c b a");
    assert_false(more);
    assert_string_equal(page_of(t, (struct store_page){.limit = 7}, &more), "g f e d c b a");
    assert_false(more);
    assert_string_equal(page_of(t, (struct store_page){.limit = 6}, &more), "g f e d c b");
    assert_true(more);
    assert_string_equal(
        page_of(t, (struct store_page){.limit = 2, .after = "ftjob-c", .ascending = true}, &more),
        "d e");
    assert_true(more);

    assert_string_equal(page_of(t, by, &more), "g d a");
    assert_false(more);
    by.limit = 2;
    assert_string_equal(page_of(t, by, &more), "g d");
    assert_true(more);
    by.after = "ftjob-d";
    assert_string_equal(page_of(t, by, &more), "a");
    assert_false(more);
    by.after = "ftjob-f"; /* in the list of all, without the label: its place still counts */
    assert_string_equal(page_of(t, by, &more), "d a");
    assert_false(more);
    by = (struct store_page){
        .limit = 2, .key = STR("color"), .value = STR("red"), .ascending = true};
    assert_string_equal(page_of(t, by, &more), "a d");
    assert_true(more);
    by.value = (struct str){"", 0};
    assert_string_equal(page_of(t, by, &more), "e");
    assert_false(more);
    by.value = (struct str){0};
    assert_string_equal(page_of(t, by, &more), "e");
    by.key = STR("colour");
    assert_string_equal(page_of(t, by, &more), "");
    by.key = STR("\xff\xfe");
    assert_string_equal(page_of(t, by, &more), "");
    by.key = STR("a\0b");
    assert_string_equal(page_of(t, by, &more), "");
    assert_false(more);

    by = (struct store_page){.limit = 1, .without_labels = true};
    assert_string_equal(page_of(t, by, &more), "f");
    assert_true(more);
    by.after = "ftjob-f";
    assert_string_equal(page_of(t, by, &more), "c");
    assert_false(more);
    by.ascending = true;
    assert_string_equal(page_of(t, by, &more), "");
    test_store_close(t);
}

static void a_cursor_that_is_nowhere_is_not_page_one(void **state)
{
    static const char *const cursors[] = {"", "ftjob-nothing", "../x", "\xff", "ftjob-hers"};
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct job_row *list;
    size_t n;
    bool more;

    add_labelled(t, t->project, "a", NULL, 0);
    add_labelled(t, t->other, "hers", NULL, 0);
    for (size_t i = 0; i < COUNT_OF(cursors); i++) {
        const struct store_page page = {.limit = 1, .after = cursors[i]};

        ASSERT_FAILS(jobs_list(t->s, t->project, &page, &t->arena, &list, &n, &more, &err),
                     ERR_NOT_FOUND, "after");
        assert_string_equal(err.param, "after");
    }
    test_store_close(t);
}

/* ---- asked ---- */

/* What each state becomes by each wish; NULL: refused. A lease is held, except in validating_files and the ends. */
static const struct {
    const char *from, *cancel, *pause, *resume;
} becomes[] = {
    {"validating_files", "cancelled", "paused", NULL},
    {"queued", "cancelled", "paused", NULL},
    {"running", "cancelled", "pausing", NULL},
    {"pausing", "cancelled", NULL, NULL},
    {"paused", "cancelled", NULL, "queued"},
    {"succeeded", NULL, NULL, NULL},
    {"failed", NULL, NULL, NULL},
    {"cancelled", NULL, NULL, NULL},
};

static void check_ask(struct test_store *t, const char *from, enum job_ask ask, const char *to)
{
    struct error err = {0};
    struct lease lease;
    const struct job_row was = test_job_in(t, from, &lease);
    struct job_row got;
    const int64_t before = test_sql_int(t, "SELECT COUNT(*) FROM events WHERE job_id = ?1", was.id);

    if (to == NULL) {
        ASSERT_FAILS(jobs_ask(t->s, t->project, str_of(was.id), ask, &t->arena, &got, &err),
                     ERR_INVALID, arena_printf(&t->arena, "is %s and cannot be", from));
        got = test_job_now(t, was.id);
        assert_string_equal(got.status, from);
        assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM events WHERE job_id = ?1", was.id),
                         before);
    } else {
        ASSERT_OK(jobs_ask(t->s, t->project, str_of(was.id), ask, &t->arena, &got, &err));
        assert_string_equal(got.status, to);
        assert_string_equal(got.ask, strcmp(to, "pausing") == 0 ? "pause" : "");
        assert_int_equal(got.finished_at != 0, strcmp(to, "cancelled") == 0);
        assert_int_equal(test_sql_int(t, "SELECT COUNT(*) FROM events WHERE job_id = ?1", was.id),
                         before + 1);
    }
    test_sql(t, "UPDATE jobs SET status = 'failed' WHERE id = ?1", was.id, NULL, INT64_MIN);
}

static void every_state_answers_every_wish(void **state)
{
    struct test_store *t = test_store_open(state);

    assert_int_equal(COUNT_OF(becomes), COUNT_OF(job_states));
    for (size_t i = 0; i < COUNT_OF(becomes); i++) {
        check_ask(t, becomes[i].from, JOB_CANCEL, becomes[i].cancel);
        check_ask(t, becomes[i].from, JOB_PAUSE, becomes[i].pause);
        check_ask(t, becomes[i].from, JOB_RESUME, becomes[i].resume);
    }
    test_store_close(t);
}

static void a_running_job_that_nobody_works_on_is_paused_at_once(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct job_row j = test_job_in(t, "running", &l), got;
    char ask[16];

    test_sql(t, "UPDATE jobs SET lease_until = 1000 WHERE id = ?1", j.id, NULL, INT64_MIN);
    ASSERT_OK(jobs_ask(t->s, t->project, str_of(j.id), JOB_PAUSE, &t->arena, &got, &err));
    assert_string_equal(got.status, "paused");
    ASSERT_FAILS(jobs_renew(t->s, &l, 60, ask, &err), ERR_CANCELLED, "paused"); /* it was slow */
    test_store_close(t);
}

static void the_worker_of_a_cancelled_job_is_told(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct job_row j = test_job_in(t, "running", &l), got;
    struct job_event *events;
    const struct store_page page = {.limit = 1};
    size_t n;
    bool more;
    char ask[16];

    ASSERT_OK(jobs_ask(t->s, t->project, str_of(j.id), JOB_CANCEL, &t->arena, &got, &err));
    assert_true(got.finished_at > 1700000000);
    ASSERT_OK(events_list(t->s, j.id, &page, &t->arena, &events, &n, &more, &err));
    assert_string_equal(events[0].message, "The job was cancelled");
    ASSERT_FAILS(jobs_renew(t->s, &l, 60, ask, &err), ERR_CANCELLED, "is cancelled");
    ASSERT_FAILS(test_change(t, &l, "succeeded", &err), ERR_CANCELLED, "is cancelled");
    assert_string_equal(test_job_now(t, j.id).status, "cancelled");
    test_store_close(t);
}

static void a_pause_waits_for_the_workers_checkpoint(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l, next;
    struct job_row j = test_job_in(t, "running", &l), got;
    struct job_change c = job_change_none();
    char ask[16];

    ASSERT_OK(jobs_renew(t->s, &l, 60, ask, &err));
    assert_string_equal(ask, "");
    ASSERT_OK(jobs_ask(t->s, t->project, str_of(j.id), JOB_PAUSE, &t->arena, &got, &err));
    ASSERT_OK(jobs_renew(t->s, &l, 60, ask, &err));
    assert_string_equal(ask, "pause");
    c.step = 7; /* it still writes */
    ASSERT_OK(jobs_change(t->s, &l, &c, NULL, 0, &err));
    c.status = "paused";
    c.end_lease = true;
    ASSERT_OK(jobs_change(t->s, &l, &c, NULL, 0, &err));
    ASSERT_OK(jobs_change(t->s, &l, &c, NULL, 0, &err)); /* its answer was lost */
    got = test_job_now(t, j.id);
    assert_string_equal(got.status, "paused");
    assert_string_equal(got.ask, "");
    assert_int_equal(got.step, 7);
    assert_null(got.worker);
    ASSERT_FAILS(jobs_renew(t->s, &l, 60, ask, &err), ERR_CANCELLED, "paused");

    ASSERT_OK(jobs_ask(t->s, t->project, str_of(j.id), JOB_RESUME, &t->arena, &got, &err));
    next = test_take(t, "another");
    assert_string_equal(next.job_id, j.id);
    assert_int_equal(next.attempt, l.attempt + 1);
    ASSERT_OK(test_change(t, &next, "running", &err));
    assert_int_equal(test_job_now(t, j.id).started_at, j.started_at); /* its first start */
    test_store_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(a_job_is_what_was_added),
        ON_BOTH(another_projects_job_is_not_found),
        ON_BOTH(what_cannot_be_a_job_is_refused),
        ON_BOTH(lists_go_by_label_and_page_exactly),
        ON_BOTH(a_cursor_that_is_nowhere_is_not_page_one),
        ON_BOTH(every_state_answers_every_wish),
        ON_BOTH(a_running_job_that_nobody_works_on_is_paused_at_once),
        ON_BOTH(the_worker_of_a_cancelled_job_is_told),
        ON_BOTH(a_pause_waits_for_the_workers_checkpoint),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
