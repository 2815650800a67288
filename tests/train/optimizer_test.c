/*
 * optimizer_test.c - AdamW against its equations in double, clipping, undoing, and threads.
 */
#include "base/parallel.h"
#include "base/philox.h"
#include "support/support.h"
#include "train/optimizer.h"

#include <math.h>
#include <string.h>

#define N 150001 /* more than two blocks, and odd */

static const struct optimizer_options usual = {
    .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .max_grad_norm = 1};

static float *random_values(struct arena *a, uint32_t which, float scale)
{
    float *x = ARENA_ARRAY(a, float, N);

    for (uint32_t i = 0; i < N; i++)
        x[i] = scale * (2 * philox_uniform(3, PHILOX_TEST, which, i, 0, 0) - 1);
    return x;
}

static void three_steps_follow_the_equations(void **state)
{
    (void)state;
    struct arena a = {0};
    struct optimizer o;
    struct error err;
    struct optimizer_options opt = usual;
    float *w = random_values(&a, 0, 1);
    double *v0 = ARENA_ARRAY(&a, double, N), *v1 = ARENA_ARRAY(&a, double, N),
           *want = ARENA_ARRAY(&a, double, N);

    opt.weight_decay = 0.01;
    ASSERT_OK(optimizer_init(&o, &opt, N, false, &a, &err));
    for (size_t i = 0; i < N; i++)
        want[i] = (double)w[i];
    for (uint32_t t = 1; t <= 3; t++) {
        float *g = random_values(&a, t, 0.01f);
        double norm = 0;

        for (size_t i = 0; i < N; i++)
            norm += (double)g[i] * (double)g[i];
        norm = sqrt(norm);
        for (size_t i = 0; i < N; i++) {
            const double x = (double)g[i] / fmax(1, norm);

            v0[i] = 0.9 * v0[i] + 0.1 * x;
            v1[i] = 0.95 * v1[i] + 0.05 * x * x;
            want[i] -=
                1e-3 * (v0[i] / (1 - pow(0.9, t)) / (sqrt(v1[i] / (1 - pow(0.95, t))) + 1e-8) +
                        0.01 * want[i]);
        }
        ASSERT_NEAR(optimizer_step(&o, 1e-3, w, g), norm, 1e-5 * norm);
        for (size_t i = 0; i < N; i++)
            assert_true(g[i] == 0); /* ready for the next step's sums */
    }
    for (size_t i = 0; i < N; i++)
        ASSERT_NEAR(w[i], want[i], 2e-6);
    assert_int_equal(o.t, 3);
    arena_release(&a);
}

static void an_update_can_be_undone(void **state)
{
    (void)state;
    struct arena a = {0};
    struct optimizer o;
    struct error err;
    float *w = random_values(&a, 0, 1), *before = ARENA_ARRAY(&a, float, N),
          *m = ARENA_ARRAY(&a, float, N);

    ASSERT_OK(optimizer_init(&o, &usual, N, true, &a, &err));
    (void)optimizer_step(&o, 1e-3, w, random_values(&a, 1, 1));
    memcpy(before, w, N * sizeof *w);
    memcpy(m, o.m, N * sizeof *m);
    (void)optimizer_step(&o, 1e-3, w, random_values(&a, 2, 1));
    assert_memory_not_equal(before, w, N * sizeof *w);
    optimizer_undo(&o, w);
    assert_memory_equal(before, w, N * sizeof *w);
    assert_memory_equal(m, o.m, N * sizeof *m);
    assert_int_equal(o.t, 1);
    arena_release(&a);
}

static void threads_change_no_bit(void **state)
{
    (void)state;
    struct arena a = {0};
    struct error err;
    char hex[2][65];

    for (int i = 0; i < 2; i++) {
        struct optimizer o;
        float *w = random_values(&a, 0, 1);

        parallel_set_threads(i == 0 ? 1 : 5);
        ASSERT_OK(optimizer_init(&o, &usual, N, false, &a, &err));
        (void)optimizer_step(&o, 1e-3, w, random_values(&a, 1, 1));
        values_sha256(w, N, hex[i]);
    }
    parallel_set_threads(0);
    assert_string_equal(hex[0], hex[1]);
    arena_release(&a);
}

static void a_gradient_that_is_not_finite_changes_nothing(void **state)
{
    (void)state;
    struct arena a = {0};
    struct optimizer o;
    struct error err;
    float *w = random_values(&a, 0, 1), *before = random_values(&a, 0, 1),
          *g = random_values(&a, 1, 1);

    ASSERT_OK(optimizer_init(&o, &usual, N, false, &a, &err));
    g[77777] = NAN;
    assert_true(isnan(optimizer_step(&o, 1e-3, w, g)));
    assert_memory_equal(before, w, N * sizeof *w);
    assert_int_equal(o.t, 0);
    assert_true(g[77777] == 0);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_steps_follow_the_equations),
        cmocka_unit_test(an_update_can_be_undone),
        cmocka_unit_test(threads_change_no_bit),
        cmocka_unit_test(a_gradient_that_is_not_finite_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
