/*
 * mean_test.c - means and their intervals.
 */
#include "base/mean.h"
#include "support/support.h"

#include <math.h>

static void a_mean_has_the_sample_s_standard_error(void **state)
{
    const double x[] = {2, 4, 4, 4, 5, 5, 7, 9}; /* squares around 5: 32 */
    const struct mean m = mean_of(8, x);

    (void)state;
    assert_true(m.mean == 5);
    assert_true(fabs(m.error - 0.7559289460184544) < 1e-15); /* sqrt(32 / 7 / 8) */
    assert_true(fabs(m.ci95 - 1.4816207341961706) < 1e-14);
}

static void a_difference_is_taken_pair_by_pair(void **state)
{
    const double from[] = {1, 5, 9}, to[] = {2, 6, 10};
    const struct mean m = mean_of_differences(3, from, to);

    (void)state;
    assert_true(m.mean == 1 && m.error == 0);
    assert_true(mean_of_differences(3, to, from).mean == -1);
}

static void few_values_and_large_ones(void **state)
{
    const double one = 0.25, large[] = {1e9 + 1, 1e9 + 2, 1e9 + 3};

    (void)state;
    assert_true(mean_of(0, NULL).mean == 0 && mean_of(0, NULL).error == 0);
    assert_true(mean_of(1, &one).mean == 0.25 && mean_of(1, &one).ci95 == 0);
    assert_true(fabs(mean_of(3, large).error - 0.57735) <
                1e-5); /* 1 / sqrt(3): not lost beside 1e9 */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mean_has_the_sample_s_standard_error),
        cmocka_unit_test(a_difference_is_taken_pair_by_pair),
        cmocka_unit_test(few_values_and_large_ones),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
