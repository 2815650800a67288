/*
 * saved_test.c - a pool of rows: as many as it may have, none over another, taken and given back.
 */
#include "model/saved.h"
#include "support/rig.h"

#include <string.h>

#define RANK 4

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
        cmocka_unit_test(where_rows_are_used_up_lean_ones_are_taken),
    };

    return cmocka_run_group_tests(tests, open_rig, close_rig);
}
