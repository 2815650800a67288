/*
 * formula_test.c - the formula of a multi grader computes as Python would, and says where it is wrong.
 */
#include "grade/formula.h"
#include "support/support.h"

#include <math.h>
#include <stdio.h>

static struct arena arena;
static const char *const names[] = {"a", "b", "min", "_x1"};
static const double values[] = {0.5, 2, 7, -3};

static double value_of(const char *text)
{
    struct error err = {0};
    const struct formula *f;
    double out = (double)NAN;

    ASSERT_OK(formula_compile(&arena, str_of(text), 4, names, &f, &err));
    ASSERT_OK(formula_run(f, values, &out, &err));
    return out;
}

static void arithmetic_is_that_of_python(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        double value;
    } rows[] = {
        {"1", 1},
        {"1.5e3", 1500},
        {".5", 0.5},
        {"2.", 2},
        {"1e-2", 0.01},
        {"0.8 * a + 0.2 * b", 0.8 * 0.5 + 0.2 * 2},
        {"1 - 2 - 3", -4},
        {"1 - (2 - 3)", 2},
        {"8 / 4 / 2", 1},
        {"2 ^ 3 ^ 2", 512},
        {"-2 ^ 2", -4},
        {"(-2) ^ 2", 4},
        {"2 ^ -1", 0.5},
        {"2 ^ -2 ^ 2", 0.0625},
        {"2 * -3", -6},
        {"- - 3", 3},
        {"2 - -3", 5},
        {"a * b ^ 2", 2},
        {"min(3, a, b)", 0.5},
        {"max(3, a, b)", 3},
        {"max(a)", 0.5},
        {"min + 1", 8},
        {"_x1", -3},
        {"abs(_x1)", 3},
        {"floor(-0.5) + ceil(0.5)", 0},
        {"exp(0) + sqrt(4) + log(1)", 3},
        {"max(min(a, 1), 0)", 0.5},
        {"\t( ( 1 ) )\n", 1},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (value_of(rows[i].text) != rows[i].value)
            fail_msg("%s gives %.17g, expected %.17g", rows[i].text, value_of(rows[i].text),
                     rows[i].value);
}

static void a_broken_formula_is_refused_with_its_place(void **state)
{
    (void)state;
    struct error err;
    const struct formula *f;
    static const char *const rows[][2] = {
        {"", "ends where a number"},
        {"1 +", "ends where a number"},
        {"a +* b", "\"* b\" at character 4"},
        {"(1", "ends where an operator or \")\""},
        {"1)", "\")\" at character 2"},
        {"1 2", "\"2\" at character 3, where an operator"},
        {"+1", "\"+1\" at character 1"},
        {"a ** b", "\"* b\" at character 4"},
        {"a % b", "\"% b\""},
        {"a + c", "uses \"c\" at character 5, which is none"},
        {"a.b", "\".b\""},
        {"2 * foo(1)", "calls \"foo\" at character 5"},
        {"a(1)", "calls \"a\""},
        {"abs + 1", "\"+ 1\" at character 5, where \"(\""},
        {"abs", "ends where \"(\""},
        {"abs()", "at character 5"},
        {"abs(1, 2)", "gives abs more than one value at character 6"},
        {"min(1,)", "at character 7"},
        {"min(1 2)", "\"2)\" at character 7"},
        {"a+1e999", "1e999 at character 3, which is too large"},
        {".", "\".\" at character 1"},
        {"1e", "\"e\" at character 2"},
        {"\xc3\xa9", "at character 1"},
        {"1..2", "at character 3"},
        {"2a", "\"a\" at character 2"},
        {"1_000", "\"_000\" at character 2"},
        {"0x10", "\"x10\" at character 2"},
        {"a + 007", "\"007\" at character 5"},
        {"a # 1", "\"# 1\" at character 3"},
        {"1 2\n3", "\"2\" at character 3"}, /* what is shown ends with the line */
        {"1 \xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9+\xc3\xa9",
         "\xc3\xa9+\" at character 3"}, /* and with a whole character */
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ASSERT_FAILS(formula_compile(&arena, str_of(rows[i][0]), 4, names, &f, &err), ERR_INVALID,
                     rows[i][1]);
        assert_string_equal(err.param, "calculate_output");
    }
}

static void a_name_that_a_formula_cannot_use_is_told(void **state)
{
    (void)state;
    static const char *const odd[] = {"a-b", "1x", "a b", "\xc3\xa9", "", "b"};
    static const char *const rows[][2] = {
        {"a-b",
         "uses \"a\" at character 1, which is none of the graders; no formula can use the name "
         "\"a-b\""},
        {"1x", "\"x\" at character 2, where an operator or the end is expected; no formula can use "
               "the name \"1x\""},
        {"a b", "which is none of the graders; no formula can use the name \"a b\""},
        {"b + \xc3\xa9",
         "at character 5, where a number, a name or a bracket is expected; no formula "
         "can use the name \"\xc3\xa9\""},
    };
    struct error err;
    const struct formula *f;
    double out = 0;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        ASSERT_FAILS(formula_compile(&arena, str_of(rows[i][0]), 6, odd, &f, &err), ERR_INVALID,
                     rows[i][1]);
    ASSERT_FAILS(formula_compile(&arena, str_of("b +"), 6, odd, &f, &err), ERR_INVALID,
                 "ends where");
    assert_null(strstr(err.message, "no formula")); /* the text has nothing of them */
    assert_false(formula_compile(&arena, str_of("a-b"), 6, odd, &f, NULL));
    ASSERT_OK(formula_compile(&arena, str_of("b"), 6, odd, &f, &err)); /* the others do no harm */
    ASSERT_OK(formula_run(f, (const double[]){1, 2, 3, 4, 5, 6}, &out, &err));
    assert_true(out == 6);
}

static void whole_numbers_have_no_minus_zero(void **state)
{
    (void)state;

    assert_false(signbit(value_of("ceil(-0.5)")));
    assert_false(signbit(value_of("floor(-0.0)")));
    assert_true(
        signbit(value_of("-ceil(0)"))); /* -0.0 is a float again, as in -float(math.ceil(0)) */
}

static void a_step_that_is_not_finite_fails(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"1 / 0", "a quotient"},
        {"0 / 0", "a quotient"},
        {"log(0)", "log"},
        {"log(-1)", "log"},
        {"sqrt(0 - 1)", "sqrt"},
        {"exp(1000)", "exp"},
        {"(-8) ^ (1 / 3)", "a power"},
        {"0 ^ -1", "a power"},
        {"1e308 * 10", "a product"},
        {"min(1, 1 / 0)", "a quotient"},
        {"min(1, 1e308 * 10)", "a product"},
        {"1 / (1e308 + 1e308)", "a sum"},
        {"-1e308 - 1e308", "a difference"},
    };
    double out = 42;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct error err = {0};
        const struct formula *f;

        ASSERT_OK(formula_compile(&arena, str_of(rows[i][0]), 4, names, &f, &err));
        ASSERT_FAILS(formula_run(f, values, &out, &err), ERR_INVALID, rows[i][1]);
        assert_true(out == 42);
    }
}

static void nesting_and_length_have_limits(void **state)
{
    (void)state;
    struct error err;
    const struct formula *f;
    static char text[20000];

    memset(text, '(', 5000);
    ASSERT_FAILS(formula_compile(&arena, (struct str){text, 5000}, 0, NULL, &f, &err), ERR_LIMIT,
                 "nested");
    memset(text, '-', 5000);
    ASSERT_FAILS(formula_compile(&arena, (struct str){text, 5000}, 0, NULL, &f, &err), ERR_LIMIT,
                 "nested");
    for (int i = 0; i < 10000; i++)
        text[i] = i % 2 == 0 ? '1' : '+';
    ASSERT_FAILS(formula_compile(&arena, (struct str){text, 9999}, 0, NULL, &f, &err), ERR_LIMIT,
                 "steps");
    snprintf(text, sizeof text, "max(1");
    for (int i = 5; i < 2000; i++)
        text[i] = i % 2 == 0 ? '1' : ',';
    ASSERT_FAILS(formula_compile(&arena, (struct str){text, 1999}, 0, NULL, &f, &err), ERR_LIMIT,
                 "open values");
    memset(text, '1', 100);
    ASSERT_FAILS(formula_compile(&arena, (struct str){text, 100}, 0, NULL, &f, &err), ERR_LIMIT,
                 "100 characters");
}

static int release(void **state)
{
    (void)state;
    arena_release(&arena);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arithmetic_is_that_of_python),
        cmocka_unit_test(a_broken_formula_is_refused_with_its_place),
        cmocka_unit_test(a_name_that_a_formula_cannot_use_is_told),
        cmocka_unit_test(whole_numbers_have_no_minus_zero),
        cmocka_unit_test(a_step_that_is_not_finite_fails),
        cmocka_unit_test(nesting_and_length_have_limits),
    };

    return cmocka_run_group_tests(tests, NULL, release);
}
