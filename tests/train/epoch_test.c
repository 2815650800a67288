/*
 * epoch_test.c - an epoch goes through every row once, in an order that seed and number alone decide.
 */
#include "base/size.h"
#include "support/support.h"
#include "train/epoch.h"

#define N 50

static size_t places_that_differ(const uint32_t *a, const uint32_t *b)
{
    size_t n = 0;

    for (size_t i = 0; i < N; i++)
        n += a[i] != b[i];
    return n;
}

static void an_epoch_has_every_row_once(void **state)
{
    uint32_t order[N], other[N];

    (void)state;
    for (uint64_t number = 0; number < 20; number++) {
        bool seen[N] = {false};

        epoch_order(7, number, N, order);
        for (size_t i = 0; i < N; i++) {
            assert_true(order[i] < N && !seen[order[i]]);
            seen[order[i]] = true;
        }
        epoch_order(7, number + 1, N, other);
        assert_true(places_that_differ(order, other) > N / 2);
        epoch_order(8, number, N, other);
        assert_true(places_that_differ(order, other) > N / 2);
    }
}

static void a_run_asks_for_its_epoch_again_and_again(void **state)
{
    static const uint64_t asked[] = {0, 0, 1, 1, 4, 0};
    struct arena a = {0};
    struct epoch e = {0};
    uint32_t want[N];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(asked); i++) {
        const uint32_t *rows = epoch_rows(&e, 3, asked[i], N, &a);

        epoch_order(3, asked[i], N, want);
        assert_int_equal(places_that_differ(rows, want), 0);
    }
    const size_t used = a.used_bytes;
    for (uint64_t number = 0; number < 100; number++)
        (void)epoch_rows(&e, 3, number, N, &a);
    assert_int_equal(a.used_bytes, used); /* the order's memory is taken once */
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_epoch_has_every_row_once),
        cmocka_unit_test(a_run_asks_for_its_epoch_again_and_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
