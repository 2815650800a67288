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
        {"(1", "ends where \")\""},
        {"1)", "\")\" at character 2"},
        {"1 2", "\"2\" at character 3, where an operator"},
        {"+1", "\"+1\" at character 1"},
        {"a ** b", "\"* b\" at character 4"},
        {"a % b", "\"% b\""},
        {"c", "uses \"c\", which is none"},
        {"a.b", "\".b\""},
        {"foo(1)", "calls \"foo\""},
        {"a(1)", "calls \"a\""},
        {"abs()", "at character 5"},
        {"abs(1, 2)", "gives abs 2 values"},
        {"min(1,)", "at character 7"},
        {"min(1 2)", "\"2)\" at character 7"},
        {"1e999", "too large"},
        {".", "\".\" at character 1"},
        {"1e", "\"e\" at character 2"},
        {"\xc3\xa9", "at character 1"},
        {"1..2", "at character 3"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ASSERT_FAILS(formula_compile(&arena, str_of(rows[i][0]), 4, names, &f, &err), ERR_INVALID,
                     rows[i][1]);
        assert_string_equal(err.param, "calculate_output");
    }
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
        cmocka_unit_test(a_step_that_is_not_finite_fails),
        cmocka_unit_test(nesting_and_length_have_limits),
    };

    return cmocka_run_group_tests(tests, NULL, release);
}
