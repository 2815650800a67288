/*
 * memory_test.c - what is said to be free is there, and no more than the machine has.
 */
#include "base/memory.h"
#include "support/support.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void some_memory_is_free_and_less_than_all(void **state)
{
    const double all = memory_total(), free_now = memory_available();

    (void)state;
    assert_true(free_now > 16e6); /* this test runs */
    assert_true(free_now < all);
    assert_true(all == (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGE_SIZE));
}

static void a_limit_of_the_process_is_a_limit(void **state)
{
    struct rlimit was, now;
    const double before = memory_available();

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_DATA, &was), 0);
    now = was;
    now.rlim_cur = 1; /* less than it has: what it has stays */
    assert_int_equal(setrlimit(RLIMIT_DATA, &now), 0);
    assert_true(memory_available() == 0);
    assert_true(memory_total() <= 1);
    assert_int_equal(setrlimit(RLIMIT_DATA, &was), 0);
    assert_true(memory_available() > before / 2);
}

#ifndef HONE_SANITIZED /* it keeps what is freed, to see who touches it */
static void what_the_process_has_is_known(void **state)
{
    const size_t n = (size_t)64 << 20;
    const double before = memory_resident();

    (void)state;
    memory_hold_little();
    assert_true(before > 1e5 && memory_peak() >= before);
    char *p = malloc(n);
    assert_non_null(p);
    memset(p, 1, n);
    assert_true(memory_resident() > before + 0.9 * (double)n);
    free(p);
    assert_true(memory_resident() < before + 0.1 * (double)n); /* it went back at once */
    assert_true(memory_peak() > before + 0.9 * (double)n);
    memory_peak_forget();
    assert_true(memory_peak() < before + 0.1 * (double)n);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(some_memory_is_free_and_less_than_all),
        cmocka_unit_test(a_limit_of_the_process_is_a_limit),
#ifndef HONE_SANITIZED
        cmocka_unit_test(what_the_process_has_is_known),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
