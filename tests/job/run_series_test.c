/*
 * run_series_test.c - columns of metrics.csv, and warnings with their examples, as they are asked for.
 */
#include "support/support.h"

#include "base/file.h"
#include "job/run_read.h"
#include "job/run_series.h"
#include "job/run_warnings.h"

#include <math.h>

static struct error err;
static struct arena arena;

static char *run_with(const char *name, const char *text)
{
    char *dir = test_dir_make(&arena);

    if (text != NULL)
        ASSERT_OK(file_append(file_join(&arena, dir, name), str_of(text), &err));
    return dir;
}

static struct run_series read_series(const char *dir, struct run_series_options opt)
{
    struct run_series s;

    ASSERT_OK(run_series_read(dir, &opt, &arena, &s, &err));
    return s;
}

#define CSV "step,\"a,b\",loss,kl\n1,0.5,,1e-3\n2,nan,x,2\n\n3,7\n4,1,2,3\n5,1,2"

static void columns_are_those_that_were_asked_for(void **state)
{
    const char *dir = run_with("metrics.csv", CSV);
    const struct str wanted[] = {STR("kl"), STR("a,b"), STR("none")};

    (void)state;
    struct run_series s = read_series(
        dir,
        (struct run_series_options){.wanted = wanted, .n_wanted = 3, .after_step = -1, .limit = 9});
    assert_int_equal(s.n_names, 4);
    assert_int_equal(s.n_columns, 2);
    assert_string_equal(s.column[0], "a,b");
    assert_string_equal(s.column[1], "kl");
    assert_int_equal(s.n_rows, 3); /* 3 has too few cells, and 5 is not whole yet */
    assert_true(s.step[2] == 4 && str_is(s.cell[0], "0.5") && str_is(s.cell[1], "1e-3"));
    assert_true(s.cell[2].len == 0 && str_is(s.cell[3], "2") && s.cell[1 * 2].len == 0);
    assert_true(run_csv_number(s.cell[1]) == 1e-3 && isnan(run_csv_number(s.cell[2])));
    assert_false(s.has_more);
    s = read_series(dir, (struct run_series_options){.after_step = 1, .limit = 1});
    assert_int_equal(s.n_columns, 4);
    assert_int_equal(s.n_rows, 1);
    assert_true(s.step[0] == 2 && s.has_more);
}

static void a_run_without_metrics_has_none(void **state)
{
    (void)state;
    const struct run_series s =
        read_series(run_with("x", NULL), (struct run_series_options){.after_step = -1, .limit = 9});
    assert_int_equal(s.n_rows, 0);
    assert_int_equal(s.n_names, 0);
}

#define EVENT(level, step, message)                                                                \
    "{\"id\":\"e" #step "\",\"level\":\"" level "\",\"created_at\":" #step                         \
    ",\"data\":{\"step\":" #step "},\"message\":\"" message "\"}\n"

static void warnings_are_told_once_for_each_kind(void **state)
{
    struct run_warning *w;
    size_t n;

    (void)state;
    const char *dir = run_with(
        "events.jsonl",
        EVENT("warn", 2, "Step 2: 3 of 8 prompts carry no signal.") EVENT("info", 3, "warn") EVENT(
            "warn", 4, "Step 4: 5 of 8 prompts carry no signal.")
            EVENT("error", 5, "It stopped.") "no json \"warn\"\n" EVENT(
                "warn", 6,
                "Alike. It shows: (1) step 6, item 3, sample 5, reward 1.00, g 0.20: \\\"a \\\\\\\"b: c\\\" "
                "(2) step 6, item 4, sample 0, reward 0.50: \\\"...\\\""));
    ASSERT_OK(run_warnings_read(dir, &arena, &w, &n, &err));
    assert_int_equal(n, 3);
    assert_true(str_is(w[0].message, "Alike. It shows:"));
    assert_int_equal(w[0].n_examples, 2);
    assert_int_equal(w[0].example[0].item, 3);
    assert_int_equal(w[0].example[0].sample, 5);
    assert_true(str_is(w[0].example[0].told, "reward 1.00, g 0.20"));
    assert_true(str_is(w[0].example[0].text, "a \\\"b: c"));
    assert_int_equal(w[0].example[1].item, 4);
    assert_true(str_is(w[1].level, "error"));
    assert_int_equal(w[2].n, 2);
    assert_int_equal(w[2].first_step, 2);
    assert_int_equal(w[2].last_step, 4);
    assert_true(str_is(w[2].id, "e4"));
}

static void what_only_looks_like_examples_stays_in_the_message(void **state)
{
    static const char *const texts[] = {
        "x (1) step ",
        "x (1) step 6, item 3",
        "x (1) step 6, item 3, sample 5, reward 1.00",
        "x (1) step 6, item 3, sample 5, reward 1.00: \"never ends",
        "x (2) step 6, item 3, sample 5, reward 1.00: \"a\"",
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct run_warning w = {0};

        run_warning_split(str_of(texts[i]), &w);
        assert_int_equal(w.n_examples, 0);
        assert_true(str_is(w.message, texts[i]));
    }
}

static int remove_all(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(columns_are_those_that_were_asked_for),
        cmocka_unit_test(a_run_without_metrics_has_none),
        cmocka_unit_test(warnings_are_told_once_for_each_kind),
        cmocka_unit_test(what_only_looks_like_examples_stays_in_the_message),
    };
    return cmocka_run_group_tests(tests, NULL, remove_all);
}
