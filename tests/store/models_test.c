/*
 * models_test.c - checkpoints while their files are there, models by name, and who else may use them.
 */
#include "base/size.h"
#include "support/jobs.h"

static void put(struct test_store *t, const struct lease *l, int64_t step, const char *name)
{
    struct error err = {0};
    const struct checkpoint_row c = {.step = step,
                                     .name = arena_text(&t->arena, str_of(name)),
                                     .metrics = arena_text(&t->arena, STR("{\"step\":1}")),
                                     .dir = arena_printf(&t->arena, "step-%d", (int)step)};

    ASSERT_OK(checkpoints_put(t->s, l, &c, &err));
}

/* Names of the project's models: "a b". */
static const char *models_of(struct test_store *t, const char *project)
{
    struct error err = {0};
    struct tuned_model *list;
    char *text = arena_text(&t->arena, STR(""));
    size_t n;

    ASSERT_OK(models_list(t->s, project, &t->arena, &list, &n, &err));
    for (size_t i = 0; i < n; i++)
        text = arena_printf(&t->arena, "%s%s%s", text, i > 0 ? " " : "", list[i].name);
    return text;
}

static const char *checkpoints_of(struct test_store *t, const char *job_id, struct store_page page,
                                  bool *more)
{
    struct error err = {0};
    struct checkpoint_row *list;
    char *text = arena_text(&t->arena, STR(""));
    size_t n;

    ASSERT_OK(checkpoints_list(t->s, job_id, &page, &t->arena, &list, &n, more, &err));
    for (size_t i = 0; i < n; i++)
        text = arena_printf(&t->arena, "%s%s%d", text, i > 0 ? " " : "", (int)list[i].step);
    return text;
}

static void end_as(struct test_store *t, const struct lease *l, const char *status,
                   const char *name)
{
    struct error err = {0};
    struct job_change c = job_change_none();

    c.status = status;
    c.fine_tuned_model = name;
    c.step = 30;
    ASSERT_OK(jobs_change(t->s, l, &c, NULL, 0, &err));
}

static void checkpoints_are_listed_while_they_are_there(void **state)
{
    static const int64_t steps[] = {20, 30};
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct job_row j = test_job_in(t, "running", &l);
    struct checkpoint_row *list;
    const struct store_page all = {.limit = 10};
    struct store_page page = {.limit = 1};
    size_t n;
    bool more;

    put(t, &l, 10, "ft:m:a::1:ckpt-step-10");
    put(t, &l, 20, "ft:m:a::1:ckpt-step-20");
    put(t, &l, 30, "ft:m:a::1");
    put(t, &l, 20, "ft:m:a::1:ckpt-step-20"); /* told again */
    assert_string_equal(checkpoints_of(t, j.id, all, &more), "30 20 10");
    ASSERT_OK(checkpoints_list(t->s, j.id, &all, &t->arena, &list, &n, &more, &err));
    assert_string_equal(list[1].name, "ft:m:a::1:ckpt-step-20");
    assert_string_equal(list[1].dir, "step-20");
    assert_string_equal(list[1].metrics, "{\"step\":1}");
    assert_true(list[1].kept && list[1].created_at > 1700000000);
    assert_string_equal(
        list[1].id,
        store_id_of("ftckpt_", str_of(arena_printf(&t->arena, "%s 20", j.id)), &t->arena));

    assert_string_equal(checkpoints_of(t, j.id, page, &more), "30");
    assert_true(more);
    page.after = list[0].id;
    assert_string_equal(checkpoints_of(t, j.id, page, &more), "20");
    assert_true(more);
    page.after = list[1].id;
    ASSERT_OK(checkpoints_keep(t->s, &l, steps, 2, &err));
    assert_string_equal(checkpoints_of(t, j.id, page, &more), "");
    assert_false(more);
    assert_string_equal(checkpoints_of(t, j.id, all, &more), "30 20");
    put(t, &l, 10, "ft:m:a::1:ckpt-step-10"); /* made again after a crash */
    assert_string_equal(checkpoints_of(t, j.id, all, &more), "30 20 10");
    ASSERT_OK(checkpoints_keep(t->s, &l, NULL, 0, &err));
    assert_string_equal(checkpoints_of(t, j.id, all, &more), "");
    page.after = "ftckpt_nothing";
    ASSERT_FAILS(checkpoints_list(t->s, j.id, &page, &t->arena, &list, &n, &more, &err),
                 ERR_NOT_FOUND, "after");
    test_store_close(t);
}

static void a_checkpoint_of_a_strange_name_is_refused(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct checkpoint_row c = {.step = 1,
                               .name = arena_text(&t->arena, STR("\xff")),
                               .dir = arena_text(&t->arena, STR("step-1"))};

    test_job_in(t, "running", &l);
    ASSERT_FAILS(checkpoints_put(t->s, &l, &c, &err), ERR_INVALID, "UTF-8");
    c.name = arena_text(&t->arena, STR("ft:x"));
    c.dir = arena_text(&t->arena, STR("../x"));
    ASSERT_FAILS(checkpoints_put(t->s, &l, &c, &err), ERR_INVALID, "folder");
    test_store_close(t);
}

static void a_model_is_there_from_its_first_checkpoint(void **state)
{
    static const int64_t last[] = {20};
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct job_row j = test_job_in(t, "running", &l);
    struct tuned_model m;

    assert_string_equal(models_of(t, t->project), "");
    put(t, &l, 10, "ft:m:c10");
    put(t, &l, 20, "ft:m:c20");
    assert_string_equal(models_of(t, t->project), "ft:m:c10 ft:m:c20");
    ASSERT_OK(models_get(t->s, t->project, STR("ft:m:c10"), &t->arena, &m, &err));
    assert_string_equal(m.job_id, j.id);
    assert_string_equal(m.base, "qwen3-0.6b");
    assert_string_equal(m.run_dir, j.run_dir);
    assert_string_equal(m.checkpoint_dir, "step-10");
    assert_int_equal(m.step, 10);
    assert_false(m.is_final);

    ASSERT_OK(checkpoints_keep(t->s, &l, last, 1, &err));
    ASSERT_FAILS(models_get(t->s, t->project, STR("ft:m:c10"), &t->arena, &m, &err), ERR_NOT_FOUND,
                 "ft:m:c10");
    end_as(t, &l, "succeeded", "ft:m:end"); /* without a checkpoint of that name */
    assert_string_equal(models_of(t, t->project), "ft:m:c20 ft:m:end");
    ASSERT_OK(models_get(t->s, t->project, STR("ft:m:end"), &t->arena, &m, &err));
    assert_null(m.checkpoint_dir);
    assert_true(m.is_final);
    assert_int_equal(m.step, 30);
    test_store_close(t);
}

static void the_last_checkpoint_carries_the_models_name_once(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct tuned_model m;

    test_job_in(t, "running", &l);
    put(t, &l, 30, "ft:m:end");
    assert_string_equal(models_of(t, t->project), "ft:m:end");
    end_as(t, &l, "succeeded", "ft:m:end");
    assert_string_equal(models_of(t, t->project), "ft:m:end");
    ASSERT_OK(models_get(t->s, t->project, STR("ft:m:end"), &t->arena, &m, &err));
    assert_string_equal(m.checkpoint_dir, "step-30");
    assert_true(m.is_final);
    test_store_close(t);
}

/* It was listed by that name while the job ran. */
static void the_last_checkpoint_is_found_by_its_step_too(void **state)
{
    static const char *const others[] = {"ft:m:end:ckpt-step-29",
                                         "ft:m:end:ckpt-step-",
                                         "ft:m:end:ckpt-step-30x",
                                         "ft:m:end:ckpt-step--30",
                                         "ft:m:end:ckpt-step-99999999999999999999",
                                         ":ckpt-step-30",
                                         "ft:m:ckpt-step-30"};
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct tuned_model m;

    test_job_in(t, "running", &l);
    put(t, &l, 30, "ft:m:end:ckpt-step-30");
    put(t, &l, 30, "ft:m:end");
    end_as(t, &l, "succeeded", "ft:m:end");
    ASSERT_OK(models_get(t->s, t->project, STR("ft:m:end:ckpt-step-30"), &t->arena, &m, &err));
    assert_string_equal(m.checkpoint_dir, "step-30");
    assert_int_equal(m.step, 30);
    ASSERT_FAILS(models_get(t->s, t->other, STR("ft:m:end:ckpt-step-30"), &t->arena, &m, &err),
                 ERR_NOT_FOUND, "ckpt-step-30");
    for (size_t i = 0; i < COUNT_OF(others); i++)
        ASSERT_FAILS(models_get(t->s, t->project, str_of(others[i]), &t->arena, &m, &err),
                     ERR_NOT_FOUND, "model");
    ASSERT_OK(models_delete(t->s, t->project, STR("ft:m:end"), &err));
    ASSERT_FAILS(models_get(t->s, t->project, STR("ft:m:end:ckpt-step-30"), &t->arena, &m, &err),
                 ERR_NOT_FOUND, "ckpt-step-30");
    test_store_close(t);
}

/* Ends as job_record.c does: the model's name goes to the last checkpoint. */
static void succeed_as(struct test_store *t, const struct lease *l, const char *model)
{
    struct job_change c = job_change_none();
    struct error err = {0};

    c.status = "succeeded";
    c.fine_tuned_model = c.last_checkpoint = model;
    ASSERT_OK(jobs_change(t->s, l, &c, NULL, 0, &err));
}

static void the_model_is_the_last_step_and_no_other(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct tuned_model m;
    struct lease l;

    test_job_in(t, "running", &l);
    put(t, &l, 30, "ft:m:one:ckpt-step-30");
    put(t, &l, 20, "ft:m:one:ckpt-step-20"); /* told later */
    succeed_as(t, &l, "ft:m:one");
    ASSERT_OK(models_get(t->s, t->project, STR("ft:m:one"), &t->arena, &m, &err));
    assert_int_equal(m.step, 30);

    test_job_in(t, "running", &l);
    put(t, &l, 20, "ft:m:two:ckpt-step-20");
    put(t, &l, 30, "ft:m:two:ckpt-step-30");
    ASSERT_OK(models_delete(t->s, t->project, STR("ft:m:two:ckpt-step-30"), &err));
    succeed_as(t, &l, "ft:m:two");
    ASSERT_OK(models_get(t->s, t->project, STR("ft:m:two"), &t->arena, &m, &err));
    assert_null(m.checkpoint_dir); /* the run's end, not step 20 */
    ASSERT_OK(models_get(t->s, t->project, STR("ft:m:two:ckpt-step-20"), &t->arena, &m, &err));
    assert_int_equal(m.step, 20);
    test_store_close(t);
}

static void a_model_is_deleted_by_its_step_too(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    const struct str model = STR("ft:m:end"), alias = STR("ft:m:end:ckpt-step-30");
    struct lease l;
    struct tuned_model m;

    test_job_in(t, "running", &l);
    put(t, &l, 10, "ft:m:end:ckpt-step-10");
    put(t, &l, 30, "ft:m:end:ckpt-step-30");
    put(t, &l, 30, "ft:m:end");
    end_as(t, &l, "succeeded", "ft:m:end");
    ASSERT_FAILS(models_delete(t->s, t->other, alias, &err), ERR_NOT_FOUND, "ckpt-step-30");
    ASSERT_OK(models_delete(t->s, t->project, alias, &err));
    ASSERT_FAILS(models_get(t->s, t->project, model, &t->arena, &m, &err), ERR_NOT_FOUND, "end");
    ASSERT_FAILS(models_get(t->s, t->project, alias, &t->arena, &m, &err), ERR_NOT_FOUND, "end");
    ASSERT_FAILS(models_delete(t->s, t->project, alias, &err), ERR_NOT_FOUND, "end");
    assert_string_equal(models_of(t, t->project), "ft:m:end:ckpt-step-10");
    test_store_close(t);
}

static void a_paused_job_is_its_newest_checkpoint(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct job_row j = test_job_in(t, "pausing", &l);
    struct tuned_model m;

    put(t, &l, 10, "ft:m:c10");
    put(t, &l, 17, "ft:m:c17");
    end_as(t, &l, "paused", "ft:m:end");
    ASSERT_OK(models_get(t->s, t->project, STR("ft:m:end"), &t->arena, &m, &err));
    assert_string_equal(m.checkpoint_dir, "step-17");
    assert_int_equal(m.step, 17);
    ASSERT_OK(jobs_ask(t->s, t->project, str_of(j.id), JOB_RESUME, &t->arena, &j, &err));
    ASSERT_FAILS(models_get(t->s, t->project, STR("ft:m:end"), &t->arena, &m, &err), ERR_NOT_FOUND,
                 "ft:m:end");
    assert_string_equal(models_of(t, t->project), "ft:m:c10 ft:m:c17");
    test_store_close(t);
}

static void names_of_nothing_are_not_found(void **state)
{
    static char long_name[5000];
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct tuned_model m;
    struct lease l;

    memset(long_name, 'x', sizeof long_name);

    const struct str names[] = {{"", 0},        {NULL, 0},     {"../../x", 7},
                                {"ft:\xff", 4}, {"ft:\0x", 5}, {long_name, sizeof long_name},
                                {"ft:m", 4}};

    test_job_in(t, "running", &l);
    put(t, &l, 1, "ft:mine");
    for (size_t i = 0; i < COUNT_OF(names); i++) {
        ASSERT_FAILS(models_get(t->s, t->project, names[i], &t->arena, &m, &err), ERR_NOT_FOUND,
                     "no fine-tuned model");
        ASSERT_FAILS(models_delete(t->s, t->project, names[i], &err), ERR_NOT_FOUND,
                     "no fine-tuned model");
    }
    ASSERT_FAILS(models_get(t->s, t->other, STR("ft:mine"), &t->arena, &m, &err), ERR_NOT_FOUND,
                 "ft:mine");
    ASSERT_FAILS(models_delete(t->s, t->other, STR("ft:mine"), &err), ERR_NOT_FOUND, "ft:mine");
    assert_string_equal(models_of(t, t->other), "");
    test_store_close(t);
}

static void a_deleted_model_is_gone_and_its_run_stays(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct job_row j = test_job_in(t, "running", &l);
    struct tuned_model m;
    const struct store_page all = {.limit = 10};
    bool more;

    put(t, &l, 10, "ft:m:c10");
    put(t, &l, 30, "ft:m:end");
    end_as(t, &l, "succeeded", "ft:m:end");
    ASSERT_OK(models_delete(t->s, t->project, STR("ft:m:end"), &err));
    assert_string_equal(models_of(t, t->project), "ft:m:c10");
    ASSERT_FAILS(models_get(t->s, t->project, STR("ft:m:end"), &t->arena, &m, &err), ERR_NOT_FOUND,
                 "ft:m:end");
    ASSERT_FAILS(models_delete(t->s, t->project, STR("ft:m:end"), &err), ERR_NOT_FOUND, "ft:m:end");
    assert_string_equal(checkpoints_of(t, j.id, all, &more), "10");
    assert_string_equal(test_job_now(t, j.id).fine_tuned_model, "ft:m:end");
    test_store_close(t);
}

static void a_permission_lets_another_project_in(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct permission *p, *again;
    struct tuned_model m;
    const struct str other[] = {str_of(t->other)},
                     foreign[] = {str_of(t->other), str_of(t->foreign)}, strange[] = {STR("../x")},
                     nobody[] = {STR("proj_nobody")};
    const struct str name = STR("ft:m:c10");
    size_t n;

    test_job_in(t, "running", &l);
    put(t, &l, 10, "ft:m:c10");
    ASSERT_FAILS(permissions_add(t->s, t->project, name, foreign, 2, &t->arena, &p, &n, &err),
                 ERR_INVALID, "in this organisation");
    assert_string_equal(err.param, "project_ids");
    assert_string_equal(models_of(t, t->other), ""); /* nothing of a list that failed */
    ASSERT_FAILS(permissions_add(t->s, t->project, name, strange, 1, &t->arena, &p, &n, &err),
                 ERR_INVALID, "in this organisation");
    ASSERT_FAILS(permissions_add(t->s, t->project, name, nobody, 1, &t->arena, &p, &n, &err),
                 ERR_INVALID, "proj_nobody");
    ASSERT_FAILS(permissions_add(t->s, t->other, name, other, 1, &t->arena, &p, &n, &err),
                 ERR_NOT_FOUND, "ft:m:c10");

    ASSERT_OK(permissions_add(t->s, t->project, name, other, 1, &t->arena, &p, &n, &err));
    assert_int_equal(n, 1);
    assert_string_equal(p[0].project_id, t->other);
    assert_true(store_id_is(str_of(p[0].id), "cp_"));
    ASSERT_OK(permissions_add(t->s, t->project, name, other, 1, &t->arena, &again, &n, &err));
    assert_string_equal(again[0].id, p[0].id);

    assert_string_equal(models_of(t, t->other), "ft:m:c10");
    assert_string_equal(models_of(t, t->foreign), "");
    ASSERT_OK(models_get(t->s, t->other, name, &t->arena, &m, &err));
    assert_string_equal(m.project_id, t->project);
    ASSERT_FAILS(models_delete(t->s, t->other, name, &err), ERR_NOT_FOUND, "ft:m:c10");
    ASSERT_FAILS(permissions_add(t->s, t->other, name, other, 1, &t->arena, &again, &n, &err),
                 ERR_NOT_FOUND, "ft:m:c10"); /* nor can it be passed on */
    ASSERT_FAILS(permissions_delete(t->s, t->other, name, str_of(p[0].id), &err), ERR_NOT_FOUND,
                 p[0].id);
    ASSERT_FAILS(permissions_delete(t->s, t->project, STR("ft:x"), str_of(p[0].id), &err),
                 ERR_NOT_FOUND, p[0].id);
    ASSERT_FAILS(permissions_delete(t->s, t->project, name, STR("../x"), &err), ERR_NOT_FOUND,
                 "permission");
    ASSERT_OK(permissions_delete(t->s, t->project, name, str_of(p[0].id), &err));
    assert_string_equal(models_of(t, t->other), "");

    ASSERT_OK(permissions_add(t->s, t->project, name, other, 1, &t->arena, &p, &n, &err));
    ASSERT_OK(models_delete(t->s, t->project, name, &err));
    assert_string_equal(models_of(t, t->other), "");
    test_store_close(t);
}

static const char *permitted(struct test_store *t, const char *name)
{
    const struct store_page all = {.limit = 10, .ascending = true};
    struct error err = {0};
    struct permission *list;
    char *text = arena_text(&t->arena, STR(""));
    size_t n;
    bool more;

    ASSERT_OK(permissions_list(t->s, t->project, str_of(name), NULL, &all, &t->arena, &list, &n,
                               &more, &err));
    for (size_t i = 0; i < n; i++)
        text = arena_printf(&t->arena, "%s%s%s", text, i > 0 ? " " : "", list[i].project_id);
    return text;
}

/* It was MODEL:ckpt-step-N while its job ran, and is MODEL; whichever of the two a permission was given by. */
static void the_last_checkpoint_is_permitted_by_either_name(void **state)
{
    const char *run = "ft:m:ckpt-step-30", *end = "ft:m", *given[] = {run, run, end};
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct permission *p, *again;
    struct tuned_model m;
    const struct str other[] = {str_of(t->other)};
    size_t n;

    test_job_in(t, "running", &l);
    put(t, &l, 20, "ft:m:ckpt-step-20");
    put(t, &l, 30, run);
    for (size_t i = 0; i < COUNT_OF(given); i++) { /* while it runs, and twice when it has ended */
        ASSERT_OK(
            permissions_add(t->s, t->project, str_of(given[i]), other, 1, &t->arena, &p, &n, &err));
        if (i == 0) {
            assert_string_equal(models_of(t, t->other), run);
            put(t, &l, 30, end);
            end_as(t, &l, "succeeded", end);
        }
        ASSERT_OK(permissions_add(t->s, t->project, str_of(i == 1 ? end : run), other, 1, &t->arena,
                                  &again, &n, &err));
        assert_string_equal(again[0].id, p[0].id);
        assert_string_equal(permitted(t, run), t->other);
        assert_string_equal(permitted(t, end), t->other);
        assert_string_equal(models_of(t, t->other), end);
        ASSERT_OK(models_get(t->s, t->other, str_of(run), &t->arena, &m, &err));
        ASSERT_OK(models_get(t->s, t->other, str_of(end), &t->arena, &m, &err));
        assert_string_equal(m.name, end);
        assert_string_equal(permitted(t, "ft:m:ckpt-step-20"), "");
        ASSERT_OK(permissions_delete(t->s, t->project, str_of(i == 0 ? end : run), str_of(p[0].id),
                                     &err));
        assert_string_equal(permitted(t, end), "");
        assert_string_equal(models_of(t, t->other), "");
        ASSERT_FAILS(models_get(t->s, t->other, str_of(run), &t->arena, &m, &err), ERR_NOT_FOUND,
                     run);
    }
    ASSERT_FAILS(models_get(t->s, t->other, STR("ft:m:ckpt-step-20"), &t->arena, &m, &err),
                 ERR_NOT_FOUND, "step-20");
    test_store_close(t);
}

/* A job of another project that makes the same name does not come in by a permission for this one's. */
static void a_permission_is_for_its_owners_model_alone(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct permission *p;
    struct tuned_model m;
    const struct str other[] = {str_of(t->other)};
    size_t n;

    test_job_in(t, "running", &l);
    put(t, &l, 10, "ft:same");
    ASSERT_OK(permissions_add(t->s, t->project, STR("ft:same"), other, 1, &t->arena, &p, &n, &err));
    test_job(t, t->foreign);

    struct lease theirs = test_take(t, "w");

    put(t, &theirs, 99, "ft:same");
    ASSERT_OK(models_get(t->s, t->other, STR("ft:same"), &t->arena, &m, &err));
    assert_string_equal(m.project_id, t->project);
    assert_int_equal(m.step, 10);
    ASSERT_OK(models_get(t->s, t->foreign, STR("ft:same"), &t->arena, &m, &err));
    assert_int_equal(m.step, 99);
    test_store_close(t);
}

static void permissions_page(void **state)
{
    struct test_store *t = test_store_open(state);
    struct error err = {0};
    struct lease l;
    struct permission *p, *list;
    const struct str ids[] = {str_of(t->project), str_of(t->other)}, name = STR("ft:m");
    struct store_page page = {.limit = 1};
    size_t n;
    bool more;

    test_job_in(t, "running", &l);
    put(t, &l, 10, "ft:m");
    ASSERT_OK(permissions_add(t->s, t->project, name, ids, 2, &t->arena, &p, &n, &err));
    ASSERT_OK(
        permissions_list(t->s, t->project, name, NULL, &page, &t->arena, &list, &n, &more, &err));
    assert_int_equal(n, 1);
    assert_true(more);
    assert_string_equal(list[0].project_id, t->other);
    page.after = list[0].id;
    ASSERT_OK(
        permissions_list(t->s, t->project, name, NULL, &page, &t->arena, &list, &n, &more, &err));
    assert_string_equal(list[0].project_id, t->project);
    assert_false(more);
    page = (struct store_page){.limit = 5, .ascending = true};
    ASSERT_OK(permissions_list(t->s, t->project, name, t->other, &page, &t->arena, &list, &n, &more,
                               &err));
    assert_int_equal(n, 1);
    ASSERT_OK(
        permissions_list(t->s, t->project, name, "\xff", &page, &t->arena, &list, &n, &more, &err));
    assert_int_equal(n, 0);
    page.after = "cp_nothing";
    ASSERT_FAILS(
        permissions_list(t->s, t->project, name, NULL, &page, &t->arena, &list, &n, &more, &err),
        ERR_NOT_FOUND, "after");
    ASSERT_FAILS(
        permissions_list(t->s, t->other, name, NULL, &page, &t->arena, &list, &n, &more, &err),
        ERR_NOT_FOUND, "ft:m");
    test_store_close(t);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        ON_BOTH(checkpoints_are_listed_while_they_are_there),
        ON_BOTH(a_checkpoint_of_a_strange_name_is_refused),
        ON_BOTH(a_model_is_there_from_its_first_checkpoint),
        ON_BOTH(the_last_checkpoint_carries_the_models_name_once),
        ON_BOTH(the_last_checkpoint_is_found_by_its_step_too),
        ON_BOTH(the_model_is_the_last_step_and_no_other),
        ON_BOTH(a_model_is_deleted_by_its_step_too),
        ON_BOTH(a_paused_job_is_its_newest_checkpoint),
        ON_BOTH(names_of_nothing_are_not_found),
        ON_BOTH(a_deleted_model_is_gone_and_its_run_stays),
        ON_BOTH(a_permission_lets_another_project_in),
        ON_BOTH(the_last_checkpoint_is_permitted_by_either_name),
        ON_BOTH(a_permission_is_for_its_owners_model_alone),
        ON_BOTH(permissions_page),
    };

    return cmocka_run_group_tests(tests, NULL, postgres_stop);
}
