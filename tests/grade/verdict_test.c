/*
 * verdict_test.c - numbers and labels are found in what judges write, and what is none is told.
 */
#include "base/size.h"
#include "grade/verdict.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

static void numbers_are_found(void **state)
{
    (void)state;
    static const struct {
        const char *reply;
        double want;
    } cases[] = {
        {"{\"steps\":[{\"description\":\"d\",\"conclusion\":\"c\"}],\"result\":0.25}", 0.25},
        {"{\"result\": \"0.25\", \"steps\": []}", 0.25},
        {"{\"result\": \" **3** \"}", 3},
        {"```json\n{\"steps\": [], \"result\": 1}\n```", 1},
        {"Here you are:\n{\"result\": -2e-1} I hope it helps.", -0.2},
        {"The answer says {\"result\": 1}.\n{\"result\": 0}", 0},
        {"{\"steps\":[{\"description\":\"it says {\\\"result\\\": 1}\",\"conclusion\":\"\"}],\"result\":0}",
         0},
        {"{\"score\": 0.5}", 0.5},
        {"{\"score\": 0.5, \"result\": 0.75}", 0.75},
        {"$\\frac{1}{2}$ {\"result\": 4}", 4},
        {"<think>{\"result\": 9}</think>\n\n{\"result\": 8}", 8},
        {"I think </think> 7 </think> 6", 6},
        {"0.7", 0.7},
        {" 7 \n", 7},
        {"+1", 1},
        {".5", 0.5},
        {"7.", 7},
        {"**7**", 7},
        {"`0.5`", 0.5},
        {"\"0.5\"", 0.5},
        {"Score: 4", 4},
        {"**Final score:** 4", 4},
        {"score = 0.5", 0.5},
        {"It is good. It has no flaws: none.\n\n0.9", 0.9},
        {"Some words.\nScore: 0.8\n", 0.8},
    };
    struct error err = {0};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        double x = -99;

        if (!verdict_number(str_of(cases[i].reply), &x, &err) || x != cases[i].want)
            fail_msg("%s: %g %s", cases[i].reply, x, err.message);
    }
}

static void what_is_no_number_is_told(void **state)
{
    (void)state;
    static const char *const cases[] = {
        "",
        "I cannot tell.",
        "4/5",
        "80%",
        "The answer has 3 errors.",
        "There are three, as I said, minimum: 3",
        "NaN",
        "nan",
        "inf",
        "1e999",
        "0x10",
        "1 2",
        "{\"result\": NaN}",
        "{\"result\": 1e999}",
        "{\"result\": null}",
        "{\"result\": true}",
        "{\"result\": \"N/A\"}",
        "{\"result\": [1]}",
        "{\"steps\": []}",
        "{\"result\": 1",
        "<think>7",
        "7</think>",
    };
    struct error err = {0};

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        double x = -99;

        if (verdict_number(str_of(cases[i]), &x, &err))
            fail_msg("%s: %g", cases[i], x);
        assert_true(x == -99);
        assert_int_equal(err.kind, ERR_CORRUPT);
        assert_non_null(strstr(err.message, "has no number for a result: \""));
    }
    double x;
    ASSERT_FAILS(verdict_number(STR(" It is fine. "), &x, &err), ERR_CORRUPT, ": \"It is fine.\"");
}

static void labels_are_found(void **state)
{
    (void)state;
    static const struct str labels[] = {{"good", 4},   {"Bad", 3}, {"bad", 3},
                                        {"so so.", 6}, {"*", 1},   {"sub: x", 6}};
    static const struct {
        const char *reply;
        size_t want;
    } cases[] = {
        {"{\"steps\":[],\"result\":\"good\"}", 0},
        {"{\"result\":\" GOOD \"}", 0},
        {"```\n{\"label\": \"Bad\"}\n```", 1},
        {"good", 0},
        {"**Good**", 0},
        {"Label: good", 0},
        {"It is so.\n\nVerdict: **bad**", 2},
        {"Bad", 1},
        {"bad", 2},
        {"so so.", 3},
        {"*", 4},
        {"sub: x", 5},
    };
    static const char *const none[] = {"",
                                       "BAD",
                                       "goodish",
                                       "not good",
                                       "{\"result\":\"fine\"}",
                                       "{\"result\":7}",
                                       "{\"result\":null}",
                                       "good or bad",
                                       "good\nI think"};
    struct error err = {0};
    size_t got = 99;

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        if (!verdict_label(str_of(cases[i].reply), COUNT_OF(labels), labels, &got, &err) ||
            got != cases[i].want)
            fail_msg("%s: %zu %s", cases[i].reply, got, err.message);
    }
    for (size_t i = 0; i < COUNT_OF(none); i++) {
        got = 99;
        if (verdict_label(str_of(none[i]), COUNT_OF(labels), labels, &got, &err))
            fail_msg("%s: %zu", none[i], got);
        assert_int_equal(got, 99);
        assert_non_null(strstr(err.message, "no known label"));
    }
}

static void a_long_reply_is_quoted_cut_at_a_character(void **state)
{
    (void)state;
    char text[700];
    struct error err = {0};
    double x;

    for (int i = 0; i < 699; i++)
        text[i] = "\xe2\x82\xac"[i % 3]; /* euro signs */
    text[699] = '\0';
    ASSERT_FAILS(verdict_number(str_of(text), &x, &err), ERR_CORRUPT, "\xe2\x82\xac\" ...");
}

static void braces_without_end_cost_no_more_than_their_length(void **state)
{
    (void)state;
    const size_t n = 1 << 20;
    char *text = malloc(n);
    struct error err = {0};
    double x;

    /* objects that open and never close: each one begun costs all the rest of the text */
    for (size_t i = 0; i < n; i++)
        text[i] = "{\"k\":["[i % 6];
    const clock_t start = clock(); /* of this process: others may keep the machine busy */
    assert_false(verdict_number((struct str){text, n}, &x, &err));
    for (size_t i = 0; i < n; i++)
        text[i] = i % 4096 < 6 ? "{\"k\":["[i % 4096] : i % 2 ? ',' : '1';
    assert_false(verdict_number((struct str){text, n}, &x, &err));
    assert_true((double)(clock() - start) / CLOCKS_PER_SEC <
                20); /* seconds under sanitizers; the square would be hours */
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_are_found),
        cmocka_unit_test(what_is_no_number_is_told),
        cmocka_unit_test(labels_are_found),
        cmocka_unit_test(a_long_reply_is_quoted_cut_at_a_character),
        cmocka_unit_test(braces_without_end_cost_no_more_than_their_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
