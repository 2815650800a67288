/*
 * ranking_test.c - where in an answer the right name stands, and the way from one folder to another.
 */
#include "support/support.h"

#include "base/file.h"
#include "cli/ranking.h"
#include "cli/run_place.h"

#include <unistd.h>

static struct arena arena;
static struct error err;

static size_t place(const char *ranked, const char *item, const char *answer)
{
    const struct ranking_options o = {
        .ranked = ranked, .reference = "item.gene", .among = "item.among"};
    json_t *row = NULL;

    ASSERT_OK(json_parse(str_of(item), "the row", &row, &err));
    const size_t at = ranking_place(&o, row, str_of(answer), &arena);
    json_decref(row);
    arena_release(&arena);
    return at;
}

static size_t in_json(const char *answer)
{
    return place("sample.output_json.genes", "{\"gene\":\"FBN1\"}", answer);
}

static size_t in_text(const char *answer)
{
    return place("text",
                 "{\"gene\":\"FBN1\",\"among\":[\"CHD8\",\"FBN1\",\"NF1\",\"NF1\",\"Fanconi A\"]}",
                 answer);
}

static void a_list_in_json_ranks_in_its_order(void **state)
{
    (void)state;
    assert_int_equal(in_json("{\"genes\":[\"FBN1\",\"NF1\"]}"), 1);
    assert_int_equal(in_json("{\"genes\":[\"NF1\",\" fbn1 \"]}"), 2);
    assert_int_equal(in_json("{\"genes\":[\"NF1\"]}"), 0);
    assert_int_equal(in_json("Here: {\"genes\":[\"NF1\",\"FBN1\"]} as asked"), 2);
}

static void repeated_and_empty_names_take_no_place(void **state)
{
    (void)state;
    assert_int_equal(in_json("{\"genes\":[\"NF1\",\"nf1\",\"\",5,null,\"FBN1\",\"FBN1\"]}"), 2);
}

static void an_answer_that_is_no_such_json_ranks_nothing(void **state)
{
    static const char *const answers[] = {"",
                                          "FBN1",
                                          "{",
                                          "}{",
                                          "[\"FBN1\"]",
                                          "{\"genes\":\"FBN1\"}",
                                          "{\"genes\":{\"0\":\"FBN1\"}}",
                                          "{\"gene\":[\"FBN1\"]}"};

    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++)
        assert_int_equal(in_json(answers[i]), 0);
}

static void a_text_ranks_by_first_mention(void **state)
{
    (void)state;
    assert_int_equal(in_text("FBN1, then NF1"), 1);
    assert_int_equal(in_text("nf1 or fbn1"), 2);
    assert_int_equal(in_text("NF1, NF1, CHD8, FBN1"), 3);
    assert_int_equal(in_text("Fanconi A. FBN1."), 2);
    assert_int_equal(in_text("CHD8"), 0);
    assert_int_equal(in_text(""), 0);
}

static void a_part_of_a_word_is_no_mention(void **state)
{
    (void)state;
    assert_int_equal(in_text("NF10 FBN1"), 1);
    assert_int_equal(in_text("XNF1 NF1-like \xC3\xA9NF1 FBN1"), 1);
    assert_int_equal(in_text("FBN12"), 0);
}

static void paths_go_through_objects_and_lists(void **state)
{
    (void)state;
    assert_int_equal(
        place("sample.output_json.a.1", "{\"gene\":\"x\"}", "{\"a\":[1,[\"y\",\"x\"]]}"), 2);
    assert_int_equal(place("sample.output_json", "{\"gene\":\"x\"}", "[\"x\"]"), 1);
    assert_int_equal(place("sample.output_json.a.7.b", "{\"gene\":\"x\"}", "{\"a\":[]}"), 0);
}

static void the_way_from_a_run_to_a_file_survives_a_move(void **state)
{
    struct arena a = {0};
    char *dir = test_dir_make(&a);
    const char *run = file_join(&a, dir, "runs/one"), *models = file_join(&a, dir, "models");

    (void)state;
    ASSERT_OK(file_make_dirs(run, &err));
    ASSERT_OK(file_make_dirs(models, &err));
    ASSERT_OK(file_make_dirs(file_join(&a, dir, "runs/one-more"), &err));
    ASSERT_OK(file_put(file_join(&a, models, "m.gguf"), STR("x"), &err));
    ASSERT_OK(file_put(file_join(&a, run, "t.jsonl"), STR("x"), &err));
    assert_string_equal(path_from(run, file_join(&a, models, "m.gguf"), &a), "../../models/m.gguf");
    assert_string_equal(path_from(run, file_join(&a, run, "t.jsonl"), &a), "t.jsonl");
    assert_string_equal(path_from(run, file_join(&a, dir, "runs/one-more"), &a), "../one-more");
    assert_int_equal(access(file_join(&a, run, path_from(run, "/dev/null", &a)), F_OK), 0);
    assert_string_equal(path_from(run, "/no/such/file", &a), "/no/such/file");
    test_dir_remove(dir);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_in_json_ranks_in_its_order),
        cmocka_unit_test(repeated_and_empty_names_take_no_place),
        cmocka_unit_test(an_answer_that_is_no_such_json_ranks_nothing),
        cmocka_unit_test(a_text_ranks_by_first_mention),
        cmocka_unit_test(a_part_of_a_word_is_no_mention),
        cmocka_unit_test(paths_go_through_objects_and_lists),
        cmocka_unit_test(the_way_from_a_run_to_a_file_survives_a_move),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
