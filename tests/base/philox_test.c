/*
 * philox_test.c - the generator gives the authors' known answers, and uniforms stay inside (0, 1).
 */
#include "base/philox.h"
#include "support/support.h"

static void the_known_answers_of_the_paper_hold(void **state)
{
    (void)state;
    const uint32_t zero[4] = {0};
    const uint32_t ones[4] = {~0u, ~0u, ~0u, ~0u};
    const uint32_t pi[4] = {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344};
    struct philox_block b = philox(0, zero);

    assert_int_equal(b.v[0], 0x6627e8d5);
    assert_int_equal(b.v[1], 0xe169c58d);
    assert_int_equal(b.v[2], 0xbc57ac4c);
    assert_int_equal(b.v[3], 0x9b00dbd8);
    b = philox(~0ull, ones);
    assert_int_equal(b.v[0], 0x408f276d);
    b = philox(0x299f31d0a4093822ull, pi);
    assert_int_equal(b.v[0], 0xd16cfe09);
    assert_int_equal(b.v[1], 0x94fdcceb);
    assert_int_equal(b.v[2], 0x5001e420);
    assert_int_equal(b.v[3], 0x24126ea1);
}

static void uniforms_lie_inside_zero_and_one_and_are_spread(void **state)
{
    (void)state;
    double sum = 0;

    for (uint32_t i = 0; i < 100000; i++) {
        const float u = philox_uniform(7, PHILOX_TOKEN, i, 0, 0, 0);

        assert_true(u > 0 && u < 1);
        sum += (double)u;
    }
    ASSERT_NEAR(sum / 100000, 0.5, 0.005);
}

static void purposes_do_not_share_numbers(void **state)
{
    (void)state;
    assert_true(philox_uniform(7, PHILOX_TOKEN, 1, 2, 3, 4) !=
                philox_uniform(7, PHILOX_EVAL, 1, 2, 3, 4));
}

static void below_covers_its_range_evenly(void **state)
{
    (void)state;
    int hits[10] = {0};

    for (uint32_t i = 0; i < 100000; i++)
        hits[philox_below(3, PHILOX_SHUFFLE, 0, i, 10)]++;
    for (int i = 0; i < 10; i++)
        ASSERT_NEAR(hits[i], 10000, 500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_known_answers_of_the_paper_hold),
        cmocka_unit_test(uniforms_lie_inside_zero_and_one_and_are_spread),
        cmocka_unit_test(purposes_do_not_share_numbers),
        cmocka_unit_test(below_covers_its_range_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
