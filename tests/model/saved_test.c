/*
 * saved_test.c - a pool of rows: as many as it may have, none over another, taken and given back.
 */
#include "base/memory.h"
#include "model/saved.h"
#include "support/rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define RANK 4

/* VmData of /proc/self/status: what RLIMIT_DATA counts. */
static double data_bytes(void)
{
    FILE *f = fopen("/proc/self/status", "re");
    char line[256];
    double kib = 0;

    assert_non_null(f);
    while (fgets(line, sizeof line, f) != NULL)
        if (strncmp(line, "VmData:", 7) == 0)
            kib = strtod(line + 7, NULL);
    fclose(f);
    assert_true(kib > 0);
    return kib * 1024;
}

static void a_pool_hands_out_as_many_rows_as_it_may(void **state)
{
    const struct model_config *c = &((struct rig *)*state)->model->config;
    struct saved_row *rows[11];
    struct saved_pool *p = NULL;
    struct error err = {0};

    ASSERT_OK(saved_pool_open(c, RANK, 10 * saved_row_bytes(c, RANK), &p, &err));
    assert_int_equal(saved_pool_free(p), 10);
    for (size_t i = 0; i < 10; i++) {
        rows[i] = saved_take(p, 0);
        assert_non_null(rows[i]);
        for (size_t k = 0; k < i; k++)
            assert_ptr_not_equal(rows[k], rows[i]);
        memset(rows[i]->values, (int)i, saved_row_bytes(c, RANK) - sizeof *rows[i]);
    }
    assert_null(saved_take(p, 0));
    for (size_t i = 0; i < 10; i++) /* none lies over another */
        for (size_t k = 0; k < saved_row_bytes(c, RANK) - sizeof *rows[i]; k++)
            assert_int_equal(((unsigned char *)rows[i]->values)[k], i);
    saved_give(p, rows[3]);
    saved_give(p, rows[3]); /* twice is once */
    saved_give(p, NULL);
    assert_int_equal(saved_pool_free(p), 1);
    assert_ptr_equal(saved_take(p, 0), rows[3]);
    assert_null(saved_take(p, 0));
    saved_clear(p);
    assert_int_equal(saved_pool_free(p), 10);
    assert_true(saved_pool_bytes(p) <= 10 * saved_row_bytes(c, RANK));
    saved_pool_close(p);
    saved_pool_close(NULL);
}

static void a_pool_without_room_for_a_row_has_none(void **state)
{
    const struct model_config *c = &((struct rig *)*state)->model->config;
    struct saved_pool *p = NULL;
    struct error err = {0};

    ASSERT_OK(saved_pool_open(c, 0, saved_row_bytes(c, 0) - 1, &p, &err));
    assert_int_equal(saved_pool_free(p), 0);
    assert_null(saved_take(p, 0));
    assert_int_equal(saved_pool_bytes(p), 0);
    saved_pool_close(p);
}

static void a_pool_is_made_smaller_and_takes_no_more(void **state)
{
    const struct model_config *c = &((struct rig *)*state)->model->config;
    const size_t row = saved_row_bytes(c, RANK);
    struct saved_pool *p = NULL;
    struct error err = {0};

    ASSERT_OK(saved_pool_open(c, RANK, 10 * row, &p, &err));
    assert_non_null(saved_take(p, 0));
    saved_clear(p);
    saved_pool_shrink(p, 20 * row); /* never larger */
    assert_int_equal(saved_pool_free(p), 10);
    saved_pool_shrink(p, 4 * row);
    assert_int_equal(saved_pool_free(p), 4);
    assert_true(saved_pool_bytes(p) <= 4 * row && saved_pool_most(p) <= 4 * row);
    for (size_t i = 0; i < 4; i++)
        assert_non_null(saved_take(p, 0));
    assert_null(saved_take(p, 0));
    saved_clear(p);
    saved_pool_shrink(p, 0);
    assert_null(saved_take(p, 0));
    assert_int_equal(saved_pool_bytes(p), 0);
    assert_false(saved_pool_was_cut(p)); /* it was we who said so */
    saved_pool_close(p);
}

static void a_pool_leaves_memory_to_others(void **state)
{
    const struct model_config *c = &((struct rig *)*state)->model->config;
    struct saved_pool *p = NULL;
    struct error err = {0};

    ASSERT_OK(saved_pool_open(c, RANK, 10 * saved_row_bytes(c, RANK), &p, &err));
    saved_pool_leave(p, 1e18);
    assert_null(saved_take(p, 0));
    assert_int_equal(saved_pool_free(p), 0);
    assert_true(saved_pool_was_cut(p));
    assert_false(saved_pool_was_cut(p)); /* told once */
    saved_pool_close(p);
}

/* A limit between what the process has and what it would have to leave: little could be had, and all of that is others'. */
static void a_pool_takes_nothing_where_nothing_is_left(void **state)
{
    const struct model_config *c = &((struct rig *)*state)->model->config;
    const size_t plenty = (size_t)256 << 20;
    struct rlimit was, now;
    struct saved_pool *p = NULL;
    struct error err = {0};

    void *other = mmap(NULL, plenty, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(other, MAP_FAILED);
    ASSERT_OK(saved_pool_open(c, RANK, 10 * saved_row_bytes(c, RANK), &p, &err));
    saved_pool_leave(p, 1);
    assert_int_equal(getrlimit(RLIMIT_DATA, &was), 0);
    now = was;
    now.rlim_cur = (rlim_t)(1.2 * data_bytes()); /* three quarters of it may be had: memory.c */
    assert_int_equal(setrlimit(RLIMIT_DATA, &now), 0);
    const double left = memory_available();
    const struct saved_row *row = saved_take(p, 0);
    void *more = mmap(NULL, plenty / 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(setrlimit(RLIMIT_DATA, &was), 0);
    assert_true(left == 0);
    assert_ptr_not_equal(more, MAP_FAILED); /* the system would have given some */
    assert_null(row);
    assert_true(saved_pool_was_cut(p));
    munmap(more, plenty / 8);
    munmap(other, plenty);
    saved_pool_close(p);
}

static void where_rows_are_used_up_lean_ones_are_taken(void **state)
{
    const struct model_config *c = &((struct rig *)*state)->model->config;
    struct saved_row *rows[5];
    struct saved_pool *p = NULL;
    struct error err = {0};

    ASSERT_OK(saved_pool_open(c, RANK, 2 * saved_row_bytes(c, RANK), &p, &err));
    ASSERT_OK(saved_pool_add_lean(p, c, 3 * saved_lean_bytes(c), &err));
    assert_true(saved_lean_bytes(c) * 2 < saved_row_bytes(c, RANK));
    for (size_t i = 0; i < 5; i++) {
        rows[i] = saved_take_any(p, 0);
        assert_non_null(rows[i]);
        assert_int_equal(rows[i]->stride, i < 2 ? saved_layout_of(c, RANK).stride : c->width);
        memset(rows[i]->values, 1,
               (i < 2 ? saved_row_bytes(c, RANK) : saved_lean_bytes(c)) - sizeof *rows[i]);
    }
    assert_null(saved_take_any(p, 0));
    saved_give(p, rows[4]);
    saved_give(p, rows[0]);
    assert_ptr_equal(saved_take_any(p, 0),
                     rows[0]); /* whole ones first, each from where it belongs */
    assert_ptr_equal(saved_take_any(p, 0), rows[4]);
    saved_clear(p);
    assert_int_equal(saved_pool_free(p), 2);
    saved_pool_shrink(p, 3 * saved_lean_bytes(c)); /* whole ones go first */
    assert_null(saved_take(p, 0));
    assert_int_equal(saved_take_any(p, 0)->stride, c->width);
    saved_clear(p);
    saved_pool_close(p);
}

static int open_rig(void **state)
{
    static struct rig r;

    rig_open_tiny(&r);
    *state = &r;
    return 0;
}

static int close_rig(void **state)
{
    rig_close(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_pool_hands_out_as_many_rows_as_it_may),
        cmocka_unit_test(a_pool_without_room_for_a_row_has_none),
        cmocka_unit_test(a_pool_is_made_smaller_and_takes_no_more),
        cmocka_unit_test(a_pool_leaves_memory_to_others),
        cmocka_unit_test(a_pool_takes_nothing_where_nothing_is_left),
        cmocka_unit_test(where_rows_are_used_up_lean_ones_are_taken),
    };

    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
