/*
 * report_score_test.c - the model is asked for what is missing and for nothing else, and no longer than it may be.
 */
#include "support/support.h"

#include "base/file.h"
#include "job/fake_run.h"
#include "job/report_data.h"
#include "job/report_score.h"
#include "model/model.h"
#include "text/json.h"

static struct error err;
static struct arena arena;
static struct fake_words words;
static struct model *model;
static size_t n_opened;

static bool lend(void *ctx, const struct model **out, struct error *e)
{
    (void)ctx;
    (void)e;
    n_opened++;
    *out = model;
    return true;
}

static bool refuse(void *ctx, const struct model **out, struct error *e)
{
    (void)ctx;
    (void)out;
    return fail(e, ERR_NOT_FOUND, "it is no longer there");
}

/* A run of words that the tiny model has tokens for; its last checkpoint has an adapter that changes nothing. */
static const char *make_run(bool with_adapter)
{
    struct fake_run f = fake_run_defaults();
    char *dir = test_dir_make(&arena);
    struct run_folder *folder = NULL;
    struct adapter *adapter = NULL;

    f.n_steps = 10;
    f.n_groups = 3;
    f.n_samples = 4;
    f.n_valid = 6;
    f.dir = dir;
    ASSERT_OK(fake_folder_open(dir, &f, &words, false, &folder, &err));
    ASSERT_OK(fake_run_tell(&f, run_folder_sink(folder), &words, 0, f.n_steps, &err));
    run_folder_close(folder);
    assert_true(words.n < model->config.vocab);
    if (with_adapter) {
        ASSERT_OK(adapter_new(&model->config, 4, 8, 1, &adapter, &err));
        ASSERT_OK(adapter_save(adapter, file_join(&arena, dir, "checkpoints/step-10"), &err));
        adapter_close(adapter);
    }
    return dir;
}

static struct str kept(const char *dir)
{
    struct str text;

    ASSERT_OK(file_read(file_join(&arena, dir, TOKEN_CHANGES_FILE), 1 << 24, &arena, &text, &err));
    return text;
}

static void what_is_there_is_not_asked_for_again(void **state)
{
    const struct report_scorer s = {.model = lend, .seconds = 600};
    const char *dir = make_run(true);
    struct report_data d = {0};
    size_t n_left = 9;

    (void)state;
    n_opened = 0;
    ASSERT_OK(report_score(dir, &s, &n_left, &err));
    assert_int_equal(n_left, 0);
    assert_int_equal(n_opened, 1);
    ASSERT_OK(report_data_read(dir, &arena, &d, &err));
    assert_true(d.n_changed > 10);
    assert_int_equal(d.n_models, 3);
    assert_string_equal(d.model[1], "base");
    assert_string_equal(d.model[2], "step-10");
    for (size_t i = 0; i < d.n_changed; i++)
        for (size_t t = 0; t < d.changed[i].n; t++) { /* a new adapter changes nothing */
            assert_true(d.changed[i].logprob[1][t] < 0);
            assert_true(d.changed[i].logprob[1][t] == d.changed[i].logprob[2][t]);
        }
    report_data_release(&d);

    const struct str before = kept(dir);
    ASSERT_OK(report_score(dir, &s, &n_left, &err));
    assert_int_equal(n_opened, 1);
    /* a line is lost: it alone is computed, and comes back in its place */
    const size_t second = str_find(before, STR("\n"), 0) + 1;
    ASSERT_OK(file_put(file_join(&arena, dir, TOKEN_CHANGES_FILE), str_from(before, second), &err));
    ASSERT_OK(report_score(dir, &s, &n_left, &err));
    assert_int_equal(n_opened, 2);
    assert_true(str_eq(kept(dir), before));
    test_dir_remove(dir);
}

static void no_longer_than_it_may_be(void **state)
{
    const atomic_bool stop = true;
    const struct report_scorer none = {.model = lend, .seconds = -1},
                               stopped = {.model = lend, .seconds = 600, .stop = &stop},
                               all = {.model = lend, .seconds = 600};
    const char *dir = make_run(true);
    size_t n_late, n_stopped, n_left;

    (void)state;
    ASSERT_OK(report_score(dir, &none, &n_late, &err));
    assert_true(n_late > 10);
    assert_int_equal(kept(dir).len, 0);
    ASSERT_OK(report_score(dir, &stopped, &n_stopped, &err));
    assert_int_equal(n_stopped, n_late);
    ASSERT_OK(report_score(dir, &all, &n_left, &err));
    assert_int_equal(n_left, 0);
    assert_int_equal(count_lines(kept(dir)), n_late);
    ASSERT_OK(report_score(dir, &stopped, &n_left, &err)); /* nothing is missing */
    assert_int_equal(n_left, 0);
    assert_int_equal(count_lines(kept(dir)), n_late);
    test_dir_remove(dir);
}

static void without_model_or_checkpoint_nothing_is_written(void **state)
{
    const struct report_scorer gone = {.model = refuse, .seconds = 600},
                               all = {.model = lend, .seconds = 600};
    const char *with = make_run(true), *without = make_run(false);
    size_t n_left;

    (void)state;
    ASSERT_FAILS(report_score(with, &gone, &n_left, &err), ERR_NOT_FOUND, "no longer there");
    assert_false(file_exists(file_join(&arena, with, TOKEN_CHANGES_FILE)));
    n_opened = 0;
    ASSERT_OK(report_score(without, &all, &n_left, &err));
    assert_int_equal(n_opened, 0);
    assert_int_equal(n_left, 0);
    assert_false(file_exists(file_join(&arena, without, TOKEN_CHANGES_FILE)));
    ASSERT_FAILS(report_score(TEST_DIR "/golden", &all, &n_left, &err), ERR_NOT_FOUND, "golden");
    test_dir_remove(with);
    test_dir_remove(without);
}

static int setup(void **state)
{
    (void)state;
    return model_open(TEST_DIR "/golden/tiny/hf", 0, &model, &err) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    model_close(model);
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_there_is_not_asked_for_again),
        cmocka_unit_test(no_longer_than_it_may_be),
        cmocka_unit_test(without_model_or_checkpoint_nothing_is_written),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
