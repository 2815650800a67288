/*
 * memory_test.c - what is said to be free is there, and no more than the machine has.
 */
#include "base/memory.h"
#include "base/size.h"
#include "support/support.h"

#include <stdint.h>
#include <stdio.h>
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

/* Whether the pages of an address are asked to be huge: "hg" among the flags of its mapping; -1 where the system does not tell. */
static int asked_to_be_huge(const void *at)
{
    FILE *f = fopen("/proc/self/smaps", "re");
    char line[1024];
    bool inside = false;
    int huge = -1;

    while (f != NULL && huge < 0 && fgets(line, sizeof line, f) != NULL) {
        unsigned long from, to;

        if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
            inside = from <= (uintptr_t)at && (uintptr_t)at < to;
        else if (inside && strncmp(line, "VmFlags:", 8) == 0)
            huge = strstr(line, " hg") != NULL;
    }
    if (f != NULL)
        fclose(f);
    return huge;
}

static void a_block_begins_where_it_is_read_fast(void **state)
{
    const size_t sizes[] = {
        1, 64, 1000, MEMORY_HUGE_PAGE, 2 * MEMORY_HUGE_PAGE, 5 * MEMORY_HUGE_PAGE + 17};
    const bool there_are_huge = access("/sys/kernel/mm/transparent_hugepage/enabled", F_OK) == 0;

    (void)state;
    for (size_t i = 0; i < COUNT_OF(sizes); i++) {
        char *p = memory_take(sizes[i]);
        const bool large = sizes[i] >= 2 * MEMORY_HUGE_PAGE;

        assert_non_null(p);
        assert_int_equal((uintptr_t)p % (large ? MEMORY_HUGE_PAGE : 64), 0);
        memset(p, 1, sizes[i]);
        assert_true(!large || !there_are_huge || asked_to_be_huge(p) != 0);
        free(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(some_memory_is_free_and_less_than_all),
        cmocka_unit_test(a_limit_of_the_process_is_a_limit),
#ifndef HONE_SANITIZED
        cmocka_unit_test(what_the_process_has_is_known),
#endif
        cmocka_unit_test(a_block_begins_where_it_is_read_fast),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
