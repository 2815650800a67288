/*
 * matmul_test.c - each element of a product is one chain of multiply-adds, whatever is computed beside it and by how many.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "support/models.h"
#include "tensor/cpu/kernels.h"
#include "tensor/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const struct
{ /* beyond blocks of rows (192) and chunks of k (256), at their borders, and within */
    size_t m, n, k;
} shapes[] = {{1, 1, 1},     {1, 16, 256}, {2, 17, 255}, {3, 5, 257},   {5, 33, 32},  {7, 48, 511},
              {13, 50, 512}, {31, 3, 513}, {64, 20, 96}, {191, 7, 40},  {192, 9, 33}, {193, 19, 17},
              {300, 31, 64}, {385, 2, 5},  {4, 300, 20}, {2, 257, 288}, {6, 512, 16}, {3, 1040, 8}};

/* A weight of some format, the floats it means, and rows to multiply; rows lie ld apart. */
struct problem {
    struct arena arena;
    struct packed w;
    float *floats;      /* [n, k] */
    size_t m, ldx, ldy; /* x [m, k], y [m, n] */
    float *x, *y;
    size_t x_size, y_size;
};

static struct problem problem_make(struct dice *d, enum dtype t, size_t m, size_t n, size_t k)
{
    struct problem p = {.m = m};
    struct error err = {0};

    k = size_round_up(k, dtype_info(t)->block);
    const struct matrix_view view = random_matrix(d, t, n, k, 2, &p.arena);
    p.floats = ARENA_ARRAY(&p.arena, float, n *k);
    for (size_t i = 0; i < n; i++)
        dtype_to_f32(t, matrix_row(&view, i), k, p.floats + i * k);
    ASSERT_OK(pack_matrix(&view, &p.arena, &p.w, "w", &err));
    p.ldx = k + dice_below(d, 5);
    p.ldy = n + dice_below(d, 5);
    p.x_size = (m - 1) * p.ldx + k;
    p.y_size = (m - 1) * p.ldy + n;
    p.x = malloc(p.x_size * sizeof(float)); /* exactly: a read past the end is found */
    p.y = malloc(p.y_size * sizeof(float));
    dice_fill(d, ORDINARY, p.x, p.x_size);
    dice_fill(d, ORDINARY, p.y, p.y_size);
    return p;
}

static void problem_free(struct problem *p)
{
    free(p->x);
    free(p->y);
    arena_release(&p->arena);
}

static float *copy_of(const float *x, size_t n)
{
    float *y = malloc(n * sizeof *y);

    memcpy(y, x, n * sizeof *y);
    return y;
}

/* y (+)= x W^T as kernels.h defines it */
static void chain_forward(const struct problem *p, float *y, bool accumulate)
{
    for (size_t i = 0; i < p->m; i++) {
        for (size_t j = 0; j < p->w.n; j++) {
            float acc = accumulate ? y[i * p->ldy + j] : 0;

            for (size_t t = 0; t < p->w.k; t++)
                acc = fmaf(p->x[i * p->ldx + t], p->floats[j * p->w.k + t], acc);
            y[i * p->ldy + j] = acc;
        }
    }
}

/* x (+)= y W */
static void chain_back(const struct problem *p, float *x, bool accumulate)
{
    for (size_t i = 0; i < p->m; i++) {
        for (size_t t = 0; t < p->w.k; t++) {
            float acc = accumulate ? x[i * p->ldx + t] : 0;

            for (size_t j = 0; j < p->w.n; j++)
                acc = fmaf(p->y[i * p->ldy + j], p->floats[j * p->w.k + t], acc);
            x[i * p->ldx + t] = acc;
        }
    }
}

static float bfloat(float x)
{
    return fabsf(x) < 0x1p-126f ? copysignf(0, x) : bf16_to_f32(f32_to_bf16(x));
}

/* The same of bfloats, whose sums are far from the smallest floats here. */
static void chain_back_bf16(const struct problem *p, float *x, bool accumulate)
{
    for (size_t i = 0; i < p->m; i++) {
        for (size_t t = 0; t < p->w.k; t++) {
            float acc = accumulate ? x[i * p->ldx + t] : 0;

            for (size_t j = 0; j < p->w.n; j++)
                acc = fmaf(bfloat(p->y[i * p->ldy + j]), bfloat(p->floats[j * p->w.k + t]), acc);
            x[i * p->ldx + t] = acc;
        }
    }
}

static void every_format_s_product_is_the_chain_over_k_at_any_number_of_threads(void **state)
{
    static const int threads[] = {1, 2, 3, 8};
    struct dice d = {1};
    char what[100];

    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        for (int t = 0; t < N_DTYPES; t++) {
            struct problem p =
                problem_make(&d, (enum dtype)t, shapes[s].m, shapes[s].n, shapes[s].k);

            for (int accumulate = 0; accumulate < 2; accumulate++) {
                float *want = copy_of(p.y, p.y_size);

                chain_forward(&p, want, accumulate);
                for (size_t i = 0; i < COUNT_OF(threads); i++) {
                    float *got = copy_of(p.y, p.y_size);

                    parallel_set_threads(threads[i]);
                    matmul(&p.w, p.m, p.x, p.ldx, got, p.ldy, accumulate);
                    snprintf(what, sizeof what, "%s, %zu x %zu x %zu, %d threads",
                             dtype_info((enum dtype)t)->name, p.m, p.w.n, p.w.k, threads[i]);
                    ASSERT_SAME(what, p.y_size, got, want);
                    free(got);
                }
                free(want);
            }
            problem_free(&p);
        }
    }
    parallel_set_threads(0);
}

typedef void back_fn(const struct packed *w, size_t m, const float *dy, size_t lddy, float *dx,
                     size_t lddx, bool accumulate);

static void assert_back(back_fn *back, void (*chain)(const struct problem *, float *, bool))
{
    static const int threads[] = {1, 3};
    struct dice d = {2};
    char what[100];

    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        for (int t = 0; t < N_DTYPES; t++) {
            struct problem p =
                problem_make(&d, (enum dtype)t, shapes[s].m, shapes[s].n, shapes[s].k);

            for (int accumulate = 0; accumulate < 2; accumulate++) {
                float *want = copy_of(p.x, p.x_size);

                chain(&p, want, accumulate);
                for (size_t i = 0; i < COUNT_OF(threads); i++) {
                    float *got = copy_of(p.x, p.x_size);

                    parallel_set_threads(threads[i]);
                    back(&p.w, p.m, p.y, p.ldy, got, p.ldx, accumulate);
                    snprintf(what, sizeof what, "%s, %zu x %zu x %zu, %d threads",
                             dtype_info((enum dtype)t)->name, p.m, p.w.n, p.w.k, threads[i]);
                    ASSERT_SAME(what, p.x_size, got, want);
                    free(got);
                }
                free(want);
            }
            problem_free(&p);
        }
    }
    parallel_set_threads(0);
}

static void every_format_s_way_back_is_the_chain_over_outputs(void **state)
{
    (void)state;
    assert_back(matmul_back_x, chain_back);
}

static void every_format_s_way_back_in_bfloats_is_the_chain_of_rounded_values(void **state)
{
    (void)state;
    assert_back(matmul_back_x_bf16, chain_back_bf16);
}

static void a_row_alone_is_the_same_row_in_any_batch(void **state)
{
    struct dice d = {3};
    const size_t most = 300;
    back_fn *const ways[] = {matmul_back_x, matmul_back_x_bf16};

    (void)state;
    for (int t = 0; t < 2 * N_DTYPES; t++) {
        back_fn *const way = ways[t / N_DTYPES];
        struct problem p = problem_make(&d, (enum dtype)(t % N_DTYPES), most, 40, 300);
        float *all = copy_of(p.y, p.y_size), *back = copy_of(p.x, p.x_size);

        parallel_set_threads(2);
        matmul(&p.w, most, p.x, p.ldx, all, p.ldy, false);
        way(&p.w, most, p.y, p.ldy, back, p.ldx, false);
        for (size_t m = 1; m < most; m = m < 40 ? m + 1 : m + 37) {
            const size_t first = dice_below(&d, most - m);
            float *some = copy_of(p.y, p.y_size), *some_back = copy_of(p.x, p.x_size);

            matmul(&p.w, m, p.x + first * p.ldx, p.ldx, some, p.ldy, false);
            way(&p.w, m, p.y + first * p.ldy, p.ldy, some_back, p.ldx, false);
            for (size_t i = 0; i < m; i++) {
                ASSERT_SAME("forward", p.w.n, some + i * p.ldy, all + (first + i) * p.ldy);
                ASSERT_SAME("back", p.w.k, some_back + i * p.ldx, back + (first + i) * p.ldx);
            }
            free(some);
            free(some_back);
        }
        free(all);
        free(back);
        problem_free(&p);
    }
    parallel_set_threads(0);
}

/* |computed - exact| of a chain of n multiply-adds is at most n * 2^-24 times the sum of the terms' sizes, nearly. */
static void a_product_is_as_near_to_the_exact_one_as_a_chain_can_promise(void **state)
{
    struct dice d = {4};

    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        struct problem p = problem_make(&d, DTYPE_Q8_0, shapes[s].m, shapes[s].n, shapes[s].k);
        float *got = copy_of(p.y, p.y_size);

        matmul(&p.w, p.m, p.x, p.ldx, got, p.ldy, false);
        for (size_t i = 0; i < p.m; i++) {
            for (size_t j = 0; j < p.w.n; j++) {
                double exact = 0, size = 0;

                for (size_t t = 0; t < p.w.k; t++) {
                    const double term =
                        (double)p.x[i * p.ldx + t] * (double)p.floats[j * p.w.k + t];

                    exact += term;
                    size += fabs(term);
                }
                ASSERT_NEAR(got[i * p.ldy + j], exact, 1.01 * (double)p.w.k * 0x1p-24 * size);
            }
        }
        free(got);
        problem_free(&p);
    }
}

static void nothing_is_written_for_no_rows(void **state)
{
    struct dice d = {5};
    struct problem p = problem_make(&d, DTYPE_F32, 1, 5, 7);
    float *y = copy_of(p.y, p.y_size), *x = copy_of(p.x, p.x_size);

    (void)state;
    matmul(&p.w, 0, p.x, p.ldx, y, p.ldy, false);
    matmul_back_x(&p.w, 0, p.y, p.ldy, x, p.ldx, false);
    matmul_floats(0, 5, 7, p.x, 7, 1, p.floats, 5, y, 5, false);
    ASSERT_SAME("y", p.y_size, y, p.y);
    ASSERT_SAME("x", p.x_size, x, p.x);
    free(x);
    free(y);
    problem_free(&p);
}

/* Plain floats: as gradients use it, a by rows or by columns. */
static void a_product_of_floats_is_one_chain_whichever_way_a_lies(void **state)
{
    static const int threads[] = {1, 2, 8};
    struct dice d = {6};
    char what[100];

    (void)state;
    for (size_t s = 0; s < COUNT_OF(shapes); s++) {
        for (int way = 0; way < 4; way++) {
            const size_t m = shapes[s].m, n = shapes[s].n, k = shapes[s].k;
            const bool turned = way & 1, accumulate = way & 2;
            const size_t pad = dice_below(&d, 3), a_i = turned ? 1 : k + pad,
                         a_k = turned ? m + pad : 1;
            const size_t ldb = n + dice_below(&d, 3), ldc = n + dice_below(&d, 3);
            const size_t n_a = (m - 1) * a_i + (k - 1) * a_k + 1, n_c = (m - 1) * ldc + n;
            const size_t n_b = (k - 1) * ldb + n;
            float *a = malloc(n_a * sizeof *a), *c = malloc(n_c * sizeof *c);
            float *b = malloc((n_b + 15) * sizeof *b); /* what ops.h asks for, and not one more */

            dice_fill(&d, ORDINARY, a, n_a);
            dice_fill(&d, ORDINARY, b, n_b);
            for (size_t i = 0; i < 15; i++)
                b[n_b + i] = NAN;
            dice_fill(&d, ORDINARY, c, n_c);
            float *want = copy_of(c, n_c);
            for (size_t i = 0; i < m; i++) {
                for (size_t j = 0; j < n; j++) {
                    float acc = accumulate ? c[i * ldc + j] : 0;

                    for (size_t t = 0; t < k; t++)
                        acc = fmaf(a[i * a_i + t * a_k], b[t * ldb + j], acc);
                    want[i * ldc + j] = acc;
                }
            }
            for (size_t i = 0; i < COUNT_OF(threads); i++) {
                float *got = copy_of(c, n_c);

                parallel_set_threads(threads[i]);
                matmul_floats(m, n, k, a, a_i, a_k, b, ldb, got, ldc, accumulate);
                snprintf(what, sizeof what, "%zu x %zu x %zu, way %d, %d threads", m, n, k, way,
                         threads[i]);
                ASSERT_SAME(what, n_c, got, want);
                free(got);
            }
            free(a);
            free(b);
            free(c);
            free(want);
        }
    }
    parallel_set_threads(0);
}

static void every_machine_gives_the_same_product(void **state)
{
    const struct kernels *const *all;
    const size_t n_tables = kernels_available(&all);
    struct dice d = {7};

    (void)state;
    for (int t = 0; t < N_DTYPES; t++) {
        struct problem p = problem_make(&d, (enum dtype)t, 77, 35, 512);
        float *want = NULL, *want_back = NULL, *want_bf16 = NULL;

        for (size_t i = 0; i < n_tables; i++) {
            float *got = copy_of(p.y, p.y_size), *back = copy_of(p.x, p.x_size),
                  *bf16 = copy_of(p.x, p.x_size);

            assert_true(ops_choose_machine(all[i]->name));
            assert_string_equal(ops_machine(), all[i]->name);
            matmul(&p.w, p.m, p.x, p.ldx, got, p.ldy, true);
            matmul_back_x(&p.w, p.m, p.y, p.ldy, back, p.ldx, true);
            matmul_back_x_bf16(&p.w, p.m, p.y, p.ldy, bf16, p.ldx, true);
            if (want == NULL) {
                want = got;
                want_back = back;
                want_bf16 = bf16;
                continue;
            }
            ASSERT_SAME(all[i]->name, p.y_size, got, want);
            ASSERT_SAME(all[i]->name, p.x_size, back, want_back);
            ASSERT_SAME(all[i]->name, p.x_size, bf16, want_bf16);
            free(got);
            free(back);
            free(bf16);
        }
        free(want);
        free(want_back);
        free(want_bf16);
        problem_free(&p);
    }
    assert_true(ops_choose_machine(NULL));
    assert_false(ops_choose_machine("none such"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_format_s_product_is_the_chain_over_k_at_any_number_of_threads),
        cmocka_unit_test(every_format_s_way_back_is_the_chain_over_outputs),
        cmocka_unit_test(every_format_s_way_back_in_bfloats_is_the_chain_of_rounded_values),
        cmocka_unit_test(a_row_alone_is_the_same_row_in_any_batch),
        cmocka_unit_test(a_product_is_as_near_to_the_exact_one_as_a_chain_can_promise),
        cmocka_unit_test(nothing_is_written_for_no_rows),
        cmocka_unit_test(a_product_of_floats_is_one_chain_whichever_way_a_lies),
        cmocka_unit_test(every_machine_gives_the_same_product),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
