/*
 * roof_test.c - a limit of every kind, for all kernels that run here; never how high it is.
 */
#include "base/parallel.h"
#include "support/support.h"
#include "tensor/cpu/kernels.h"
#include "tensor/cpu/roof_internal.h"
#include "tensor/roof.h"

static struct error err;

static void assert_rate(const struct roof_rate *r)
{
    assert_true(r->least > 0 && r->least <= r->median && r->median <= r->best);
}

static void assert_roof(const struct roof *r)
{
    assert_rate(&r->read);
    assert_rate(&r->f32);
    assert_rate(&r->int8);
    assert_rate(&r->bf16);
    assert_rate(&r->int8_wide);
}

static void every_table_of_kernels_has_limits(void **state)
{
    const struct kernels *const *all;
    const size_t n = kernels_available(&all);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        struct roof r;

        assert_true(kernels_choose(all[i]->name));
        ASSERT_OK(roof_measure(3 << 20, &r, &err));
        assert_roof(&r);
        assert_int_equal(r.buffer_bytes, 3 << 20);
    }
    assert_true(kernels_choose(NULL));
}

static void a_small_buffer_is_enough_for_every_thread(void **state)
{
    struct roof r;

    (void)state;
    parallel_set_threads(3);
    ASSERT_OK(roof_measure(0, &r, &err));
    assert_roof(&r);
    assert_int_equal(r.buffer_bytes, ROOF_LEAST_BYTES);
    parallel_set_threads(7);
    ASSERT_OK(roof_measure(1, &r, &err));
    assert_int_equal(r.buffer_bytes, 7 * ROOF_CHUNK);
    parallel_set_threads(0);
}

#ifndef HONE_SANITIZED /* where asking for so much is a fault of its own */
static void a_buffer_that_cannot_be_had_is_told(void **state)
{
    struct roof r;

    (void)state;
    ASSERT_FAILS(roof_measure((size_t)1 << 46, &r, &err), ERR_NO_MEMORY, "no memory for reading");
}
#endif

static void kernels_without_loops_are_known(void **state)
{
    (void)state;
    assert_null(roof_loops_plain("avx2"));
    assert_null(roof_loops_x86("plain"));
    assert_null(roof_loops_x86("none of these"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_of_kernels_has_limits),
        cmocka_unit_test(a_small_buffer_is_enough_for_every_thread),
#ifndef HONE_SANITIZED
        cmocka_unit_test(a_buffer_that_cannot_be_had_is_told),
#endif
        cmocka_unit_test(kernels_without_loops_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
