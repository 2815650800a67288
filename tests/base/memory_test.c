/*
 * memory_test.c - what is said to be free is there, and no more than the machine has.
 */
#include "base/memory.h"
#include "support/support.h"

#include <unistd.h>

static void some_memory_is_free_and_less_than_all(void **state)
{
    const double all = memory_total(), free_now = memory_available();

    (void)state;
    assert_true(free_now > 16e6); /* this test runs */
    assert_true(free_now < all);
    assert_true(all == (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(some_memory_is_free_and_less_than_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
