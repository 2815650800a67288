/*
 * eval_score_test.c - thresholds, results, and the counts of a run.
 */
#include "base/size.h"
#include "server/eval_score.h"
#include "server/eval_source.h"
#include "support/support.h"

static json_t *json(const char *text)
{
    json_t *v = json_loads(text, 0, NULL);

    assert_non_null(v);
    return v;
}

static void a_score_passes_from_the_threshold_on(void **state)
{
    static const struct {
        const char *criterion;
        double threshold;
    } cases[] = {
        {"{\"type\":\"string_check\"}", 1},
        {"{\"type\":\"python\",\"pass_threshold\":0.25}", 0.25},
        {"{\"type\":\"python\",\"pass_threshold\":null}", 1},
        {"{\"type\":\"score_model\",\"range\":[0,5]}", 5},
        {"{\"type\":\"score_model\",\"range\":[0,5],\"pass_threshold\":3}", 3},
        {"{\"type\":\"score_model\"}", 1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        json_t *c = json(cases[i].criterion);
        const double t = eval_threshold(c);

        assert_true(t == cases[i].threshold);
        for (int d = -1; d <= 1; d++) {
            json_t *r = eval_result(c, t + 0.125 * d, NULL);

            assert_int_equal(json_is_true(json_object_get(r, "passed")), d >= 0);
            assert_true(json_number_value(json_object_get(r, "score")) == t + 0.125 * d);
            json_decref(r);
        }
        json_decref(c);
    }
}

static void a_grading_that_failed_has_not_passed_and_says_why(void **state)
{
    json_t *c = json("{\"type\":\"python\",\"name\":\"p\",\"id\":\"p-1\",\"pass_threshold\":-1}");
    struct grade_result g = {.flags = GRADE_PYTHON_RUNTIME_ERROR, .n_parts = 1};

    (void)state;
    snprintf(g.details, sizeof g.details, "ValueError: why");
    json_t *r = eval_result(c, 0, &g);
    assert_true(json_is_false(json_object_get(r, "passed")));
    assert_string_equal(json_string_value(json_array_get(json_object_get(r, "errors"), 0)),
                        "python_grader_runtime_error");
    assert_string_equal(json_string_value(json_object_get(r, "details")), "ValueError: why");
    assert_string_equal(json_string_value(json_object_get(r, "name")), "p");
    json_decref(r);
    json_decref(c);
}

static void items_add_up_to_a_run(void **state)
{
    json_t *criteria = json("[{\"id\":\"a-1\"},{\"id\":\"b-2\"}]"),
           *pass = json("{\"status\":\"pass\",\"results\":[{\"passed\":true},{\"passed\":true}]}"),
           *fail = json("{\"status\":\"fail\",\"results\":[{\"passed\":true},{\"passed\":false}]}"),
           *none = json("{\"status\":\"fail\",\"results\":[]}"), *usage = json_array(),
           *run = json_object();
    struct eval_tally t = {.criteria = criteria};

    (void)state;
    eval_usage(usage, "m", 1, 10, 3, 2);
    eval_usage(usage, "judge", 2, 7, 1, 0);
    eval_usage(usage, "m", 1, 1, 1, 0);
    eval_tally_add(&t, pass, false, usage);
    eval_tally_add(&t, fail, false, usage);
    eval_tally_add(&t, fail, true, NULL);
    eval_tally_add(&t, none, true, NULL);
    eval_tally_put(&t, run);
    json_t *expected = json(
        "{\"per_testing_criteria_results\":[{\"testing_criteria\":\"a-1\",\"passed\":3,"
        "\"failed\":0},{\"testing_criteria\":\"b-2\",\"passed\":1,\"failed\":2}],"
        "\"per_model_usage\":[{\"model_name\":\"m\",\"invocation_count\":4,\"prompt_tokens\":22,"
        "\"completion_tokens\":8,\"total_tokens\":30,\"cached_tokens\":4},"
        "{\"model_name\":\"judge\",\"invocation_count\":4,\"prompt_tokens\":14,"
        "\"completion_tokens\":2,\"total_tokens\":16,\"cached_tokens\":0}],"
        "\"result_counts\":{\"total\":4,\"passed\":1,\"failed\":1,\"errored\":2}}");
    assert_true(json_equal(run, expected));
    json_decref(expected);
    eval_tally_release(&t);
    json_decref(run);
    json_decref(usage);
    json_decref(none);
    json_decref(fail);
    json_decref(pass);
    json_decref(criteria);
}

static void each_row_has_a_seed_of_its_own(void **state)
{
    (void)state;
    for (size_t i = 0; i < 100; i++) {
        assert_true(eval_seed(42, i) >= 0 && eval_seed(42, i) <= INT32_MAX);
        assert_true(eval_seed(42, i) == eval_seed(42, i));
        assert_true(eval_seed(42, i) != eval_seed(43, i));
        for (size_t k = 0; k < i; k++)
            assert_true(eval_seed(42, i) != eval_seed(42, k));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_score_passes_from_the_threshold_on),
        cmocka_unit_test(a_grading_that_failed_has_not_passed_and_says_why),
        cmocka_unit_test(items_add_up_to_a_run),
        cmocka_unit_test(each_row_has_a_seed_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
