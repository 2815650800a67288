/*
 * options_test.c - where a value comes from, which one wins, and what is said of a mistake.
 */
#include "support/support.h"

#include "base/file.h"
#include "base/size.h"
#include "cli/options.h"

#include <stdlib.h>

static const enum option_id ids[] = {OPT_MODEL, OPT_THREADS, OPT_TEMPERATURE, OPT_DEVICE,
                                     OPT_SET,   OPT_SAMPLES, OPT_GREEDY,      OPT_RESUME,
                                     OPT_HOME,  OPT_KERNELS};
static const struct option_set set = {.command = "try",
                                      .args = "[FILE]",
                                      .max_args = 1,
                                      .summary = "a command for the tests",
                                      .details = "",
                                      .examples = "  hone try x\n",
                                      .ids = ids,
                                      .n_ids = COUNT_OF(ids)};

static struct arena arena;
static struct options o;
static struct error err;
static const char *home; /* an empty store, unless a test puts something there */

static char *no_environment(const char *name)
{
    return strcmp(name, "HONE_HOME") == 0 ? arena_text(&arena, str_of(home)) : NULL;
}

static char *some_environment(const char *name)
{
    if (strcmp(name, "HONE_THREADS") == 0)
        return arena_text(&arena, STR("3"));
    if (strcmp(name, "HONE_MODEL") == 0)
        return arena_text(&arena, STR("")); /* as good as not there */
    if (strcmp(name, "HONE_SAMPLES") == 0)
        return arena_text(&arena, STR("99")); /* no setting: not looked at */
    return no_environment(name);
}

static char *bad_environment(const char *name)
{
    return strcmp(name, "HONE_THREADS") == 0 ? arena_text(&arena, STR("many"))
                                             : no_environment(name);
}

/* The words of line, parted by single spaces. */
static bool read_with(option_env_fn *env, const char *line)
{
    char *words[32], *text = arena_text(&arena, str_of(line));
    size_t n = 0;

    for (char *word = strtok(text, " "); word != NULL; word = strtok(NULL, " "))
        words[n++] = word;
    return options_read(&set, n, words, env, &arena, &o, &err);
}

static bool read_line(const char *line)
{
    return read_with(no_environment, line);
}

static void put_config(const char *text)
{
    ASSERT_OK(file_put(file_join(&arena, home, "hone.conf"), str_of(text), &err));
}

static int set_up(void **state)
{
    (void)state;
    err = (struct error){0};
    home = test_dir_make(&arena);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    test_dir_remove(home);
    arena_release(&arena);
    return 0;
}

static void what_is_not_given_has_its_default(void **state)
{
    (void)state;
    ASSERT_OK(read_line(""));
    assert_null(option_text(&o, OPT_MODEL));
    assert_false(option_given(&o, OPT_THREADS));
    assert_int_equal(option_int(&o, OPT_SAMPLES), 1);
    ASSERT_NEAR(option_real(&o, OPT_TEMPERATURE), 1, 0);
    assert_string_equal(option_text(&o, OPT_DEVICE), "cpu");
    assert_false(option_on(&o, OPT_GREEDY));
}

static void a_value_stands_behind_the_option_or_an_equals_sign(void **state)
{
    (void)state;
    ASSERT_OK(read_line("--model a --threads=2 --greedy file --temperature=0.5"));
    assert_string_equal(option_text(&o, OPT_MODEL), "a");
    assert_int_equal(option_int(&o, OPT_THREADS), 2);
    ASSERT_NEAR(option_real(&o, OPT_TEMPERATURE), 0.5, 0);
    assert_true(option_on(&o, OPT_GREEDY));
    assert_true(option_typed(&o, OPT_MODEL));
    assert_int_equal(o.n_args, 1);
    assert_string_equal(o.args[0], "file");
}

static void after_two_dashes_everything_is_an_argument(void **state)
{
    (void)state;
    ASSERT_OK(read_line("-- --model"));
    assert_string_equal(o.args[0], "--model");
    ASSERT_OK(read_line("-"));
    assert_string_equal(o.args[0], "-");
}

static void a_list_keeps_every_value_in_order(void **state)
{
    (void)state;
    ASSERT_OK(read_line("--set a=1 --set b=2 --set a=3"));
    assert_int_equal(o.value[OPT_SET].n, 3);
    assert_string_equal(o.value[OPT_SET].list[0], "a=1");
    assert_string_equal(o.value[OPT_SET].list[2], "a=3");
}

static void an_unknown_option_is_told_with_its_neighbour(void **state)
{
    (void)state;
    ASSERT_FAILS(read_line("--modle a"), ERR_INVALID,
                 "try has no option --modle; did you mean --model?");
    ASSERT_FAILS(read_line("--temp 1"), ERR_INVALID, "did you mean --temperature?");
    ASSERT_FAILS(read_line("--grader g"), ERR_INVALID, "though other commands have");
    ASSERT_FAILS(read_line("--qwertyuiop"), ERR_INVALID, "hone try --help lists them");
    ASSERT_FAILS(read_line("-m a"), ERR_INVALID, "two dashes");
}

/* --answers is a file to grade and a number to bench. */
static void a_name_may_mean_another_thing_to_another_command(void **state)
{
    static const enum option_id number[] = {OPT_N_ANSWERS}, file[] = {OPT_ANSWERS};
    struct option_set other = set;
    char option[] = "--answers=5x", *const word[] = {option};

    (void)state;
    other.n_ids = 1;
    other.ids = file;
    ASSERT_OK(options_read(&other, 1, word, no_environment, &arena, &o, &err));
    assert_string_equal(option_text(&o, OPT_ANSWERS), "5x");
    assert_false(option_given(&o, OPT_N_ANSWERS));
    other.ids = number;
    ASSERT_FAILS(options_read(&other, 1, word, no_environment, &arena, &o, &err), ERR_INVALID,
                 "--answers is \"5x\", a whole number");
    option[sizeof option - 2] = '\0';
    ASSERT_OK(options_read(&other, 1, word, no_environment, &arena, &o, &err));
    assert_int_equal(option_int(&o, OPT_N_ANSWERS), 5);
    ASSERT_FAILS(read_line("--answers 5"), ERR_INVALID, "though other commands have");
}

static void a_value_out_of_its_range_is_refused(void **state)
{
    (void)state;
    ASSERT_FAILS(read_line("--threads 257"), ERR_INVALID,
                 "--threads is \"257\", a whole number from 0 to 256 was expected");
    ASSERT_FAILS(read_line("--threads 1.5"), ERR_INVALID, "a whole number");
    ASSERT_FAILS(read_line("--threads 99999999999999999999"), ERR_INVALID, "a whole number");
    ASSERT_FAILS(read_line("--threads="), ERR_INVALID, "a whole number");
    ASSERT_FAILS(read_line("--temperature nan"), ERR_INVALID, "a number from 0 to 5 was expected");
    ASSERT_FAILS(read_line("--temperature -1"), ERR_INVALID, "a number from 0 to 5 was expected");
    ASSERT_FAILS(read_line("--device cuda"), ERR_INVALID,
                 "--device is \"cuda\", this hone offers cpu");
    ASSERT_FAILS(read_line("--kernels avx"), ERR_INVALID,
                 "auto|plain|avx2|avxvnni|avx512|avx512vnni|avx512bf16|amx");
    ASSERT_FAILS(read_line("--model"), ERR_INVALID, "--model needs a value");
    ASSERT_FAILS(read_line("--greedy=yes"), ERR_INVALID, "--greedy takes no value");
}

static void too_many_arguments_are_refused(void **state)
{
    (void)state;
    ASSERT_FAILS(read_line("a b"), ERR_INVALID, "\"b\" is too much");
}

static void too_few_arguments_are_refused_but_not_with_help(void **state)
{
    struct option_set strict = set;
    char word[] = "--help", *const words[] = {word};

    (void)state;
    strict.min_args = 1;
    ASSERT_FAILS(options_read(&strict, 0, NULL, no_environment, &arena, &o, &err), ERR_INVALID,
                 "try needs [FILE]");
    ASSERT_OK(options_read(&strict, 1, words, no_environment, &arena, &o, &err));
    assert_true(option_on(&o, OPT_HELP));
}

static void an_option_beats_a_variable_which_beats_the_file(void **state)
{
    (void)state;
    put_config("# settings\n\n  threads = 5\nmodel=m\n");
    ASSERT_OK(read_with(some_environment, "--threads 2"));
    assert_int_equal(option_int(&o, OPT_THREADS), 2);
    assert_true(option_typed(&o, OPT_THREADS));
    ASSERT_OK(read_with(some_environment, ""));
    assert_int_equal(option_int(&o, OPT_THREADS), 3);
    assert_true(option_given(&o, OPT_THREADS));
    assert_false(option_typed(&o, OPT_THREADS));
    assert_string_equal(option_text(&o, OPT_MODEL), "m");
    assert_int_equal(option_int(&o, OPT_SAMPLES), 1);
    ASSERT_OK(read_line(""));
    assert_int_equal(option_int(&o, OPT_THREADS), 5);
}

static void a_variable_that_makes_no_sense_is_named(void **state)
{
    (void)state;
    ASSERT_FAILS(read_with(bad_environment, ""), ERR_INVALID, "HONE_THREADS is \"many\"");
    ASSERT_OK(read_with(bad_environment, "--threads 1"));
}

static void a_bad_line_of_the_file_is_named(void **state)
{
    (void)state;
    put_config("threads = 1\nthread = 2\n");
    ASSERT_FAILS(read_line(""), ERR_INVALID,
                 "hone.conf, line 2: \"thread\" is no setting; did you mean \"threads\"?");
    put_config("threads = x");
    ASSERT_FAILS(read_line(""), ERR_INVALID, "hone.conf, line 1: threads is \"x\"");
    put_config("threads = 1\nthreads = 2");
    ASSERT_FAILS(read_line(""), ERR_INVALID, "twice");
    put_config("threads");
    ASSERT_FAILS(read_line(""), ERR_INVALID, "\"name = value\" was expected");
    put_config("samples = 3");
    ASSERT_FAILS(read_line(""), ERR_INVALID, "\"samples\" is no setting");
}

static void a_setting_of_another_command_is_passed_over_but_checked(void **state)
{
    (void)state;
    put_config("grader-timeout = 5\n");
    ASSERT_OK(read_line(""));
    put_config("grader-timeout = soon\n");
    ASSERT_FAILS(read_line(""), ERR_INVALID, "grader-timeout is \"soon\"");
}

static void a_file_can_be_named_and_must_then_be_there(void **state)
{
    const char *path = file_join(&arena, home, "other");

    (void)state;
    ASSERT_OK(file_put(path, STR("threads = 7\n"), &err));
    ASSERT_OK(read_line(arena_printf(&arena, "--config %s", path)));
    assert_int_equal(option_int(&o, OPT_THREADS), 7);
    ASSERT_FAILS(read_line("--config /no/such/file"), ERR_NOT_FOUND, "/no/such/file");
}

static void help_shows_every_option_with_its_range_and_the_example(void **state)
{
    struct buf b;

    (void)state;
    buf_init(&b, 1 << 16);
    options_help(&set, &b);
    assert_non_null(strstr(b.ptr, "hone try [FILE] [options]"));
    assert_non_null(strstr(b.ptr, "--threads N *"));
    assert_non_null(strstr(b.ptr, "0 to 256; 0 unless given"));
    assert_non_null(strstr(b.ptr, "--json"));
    assert_non_null(strstr(b.ptr, "hone try x"));
    assert_null(strstr(b.ptr, "--kernels")); /* hidden */
    assert_null(strstr(b.ptr, "--grader"));  /* of other commands */
    for (const char *line = b.ptr; line != NULL && *line != '\0';) {
        const char *end = strchr(line, '\n');

        assert_true((end != NULL ? (size_t)(end - line) : strlen(line)) <= 100);
        line = end != NULL ? end + 1 : NULL;
    }
    buf_release(&b);
}

static void every_row_of_the_table_is_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_OPTIONS; i++) {
        const struct option *row = option_row((enum option_id)i);

        assert_non_null(row->name);
        assert_non_null(row->help);
        assert_true((row->type == OPTION_SWITCH) == (row->value == NULL));
        if (row->type == OPTION_INT || row->type == OPTION_REAL)
            assert_true(row->max > row->min);
    }
}

static void a_closest_word_is_close(void **state)
{
    static const char *const words[] = {"train", "tokenize", "report"};

    (void)state;
    assert_string_equal(closest_word("trian", 3, words), "train");
    assert_string_equal(closest_word("tok", 3, words), "tokenize");
    assert_string_equal(closest_word("rpeort", 3, words), "report");
    assert_null(closest_word("xyz", 3, words));
    assert_null(closest_word("", 3, words));
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_is_not_given_has_its_default),
        TEST(a_value_stands_behind_the_option_or_an_equals_sign),
        TEST(after_two_dashes_everything_is_an_argument),
        TEST(a_list_keeps_every_value_in_order),
        TEST(an_unknown_option_is_told_with_its_neighbour),
        TEST(a_name_may_mean_another_thing_to_another_command),
        TEST(a_value_out_of_its_range_is_refused),
        TEST(too_many_arguments_are_refused),
        TEST(too_few_arguments_are_refused_but_not_with_help),
        TEST(an_option_beats_a_variable_which_beats_the_file),
        TEST(a_variable_that_makes_no_sense_is_named),
        TEST(a_bad_line_of_the_file_is_named),
        TEST(a_setting_of_another_command_is_passed_over_but_checked),
        TEST(a_file_can_be_named_and_must_then_be_there),
        TEST(help_shows_every_option_with_its_range_and_the_example),
        TEST(every_row_of_the_table_is_whole),
        TEST(a_closest_word_is_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
