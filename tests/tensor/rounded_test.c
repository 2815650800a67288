/*
 * rounded_test.c - rows rounded to bytes, and their products: what rounded.h says, alike on every machine, whatever is beside them.
 */
#include "base/parallel.h"
#include "support/avx512_by_halves.h"
#include "support/models.h"
#include "support/numbers.h"
#include "tensor/cpu/kernels_internal.h"
#include "tensor/ops.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define COUNT_OF(a) (sizeof(a) / sizeof(a)[0])

/* What this machine runs, and on AVX2 those for AVX-512 by halves too. */
static const struct table {
    const char *name;
    const struct rounded_kernels *bytes;
} * tables(size_t *n)
{
    static struct table all[10];
    const struct kernels *const *found;

    *n = kernels_available(&found);
    for (size_t i = 0; i < *n; i++)
        all[i] = (struct table){found[i]->name, found[i]->bytes};
#if defined(__x86_64__)
    static struct rounded_kernels amx_in_c;

    if (*n > 1) {
        all[(*n)++] = (struct table){"avx512 by halves", &rounded_avx512_by_halves};
        all[(*n)++] = (struct table){"avx512vnni by halves", &rounded_avx512vnni_by_halves};
        amx_in_c = rounded_avx512vnni_by_halves;
        amx_in_c.gemm = gemm_rounded_amx_in_c;
        all[(*n)++] = (struct table){"amx in C", &amx_in_c};
    }
#endif
    return all;
}

struct rows {
    struct rounded r;
    struct arena arena;
};

static struct rows rows_make(size_t m, size_t k)
{
    struct rows out = {0};

    out.r = rounded_room(m, k, &out.arena);
    out.r.m = m;
    out.r.k = k;
    return out;
}

static void assert_same_rows(const char *what, const struct rounded *got,
                             const struct rounded *want)
{
    const size_t n = want->m * want->k;

    for (size_t i = 0; i < n; i++)
        if (got->q[i] != want->q[i])
            fail_msg("%s: value %zu is %d, expected %d", what, i, got->q[i], want->q[i]);
    ASSERT_SAME(what, n / 32, got->step, want->step);
    ASSERT_SAME(what, n / 32, got->shift, want->shift);
    assert_memory_equal(got->minus, want->minus, n / 16 * sizeof *want->minus);
    for (size_t i = 0; i < want->m; i++) {
        assert_int_equal(got->n_apart[i], want->n_apart[i]);
        assert_memory_equal(got->apart + i * (want->k / 32), want->apart + i * (want->k / 32),
                            want->n_apart[i] * sizeof *want->apart);
    }
}

static void every_table_rounds_a_row_alike(void **state)
{
    size_t n_tables;
    const struct table *all = tables(&n_tables);
    struct dice d = {11};

    (void)state;
    for (int round = 0; round < 400; round++) {
        const size_t k = 32 * (1 + dice_below(&d, 40));
        float *x = malloc(k * sizeof *x);
        struct rows want = rows_make(1, k), got = rows_make(1, k);

        dice_fill(&d, (enum flavour)(round % N_FLAVOURS), x, k);
        if (round % 4 == 0) /* halves between whole numbers: to the even one */
            for (size_t i = 0; i < k; i++)
                x[i] = i % 32 == 0 ? 127 : (float)(int)dice_below(&d, 254) - 126.5f;
        rounded_plain.round_row(x, &want.r, 0);
        for (size_t t = 1; t < n_tables; t++) {
            all[t].bytes->round_row(x, &got.r, 0);
            assert_same_rows(all[t].name, &got.r, &want.r);
        }
        free(x);
        arena_release(&want.arena);
        arena_release(&got.arena);
    }
}

static float magnitude(const float *x, size_t n, size_t without)
{
    float most = 0;

    for (size_t i = 0; i < n; i++)
        most = i == without ? most : fmaxf(most, fabsf(x[i]));
    return most;
}

/* Block b of a row that was rounded from x; returns whether a value of it is apart. */
static bool look_at_block(const struct rounded *r, const float *x, size_t b, size_t n_before)
{
    const float *block = x + 32 * b;
    const struct rounded_apart *o = &r->apart[n_before];
    const bool apart = n_before < r->n_apart[0] && o->k / 32 == b;
    const size_t at = apart ? o->k % 32 : SIZE_MAX;
    const float rest = magnitude(block, 32, at);
    int sum = 0, largest = 0;

    if (apart) { /* it stands out, and is kept as it is */
        assert_true(o->x == block[at] && fabsf(o->x) > 1.5f * rest);
        assert_int_equal(r->q[o->k], 0);
    }
    for (size_t i = 0; i < 32; i++) {
        const int q = r->q[32 * b + i];

        assert_true(apart || rest == 0 || fabsf(block[i]) <= 1.5f * magnitude(block, 32, i));
        assert_true(i == at || fabs((double)block[i] - (double)r->step[b] * q) <=
                                   0.50001 * (double)r->step[b]);
        sum += q;
        largest = abs(q) > largest ? abs(q) : largest;
    }
    assert_true(r->step[b] == rest / 127.0f);
    assert_int_equal(largest, rest == 0 ? 0 : 127);
    assert_true(r->shift[b] == r->step[b] * (float)sum);
    assert_int_equal(r->minus[2 * b] + r->minus[2 * b + 1], -128 * sum);
    return apart;
}

static void a_value_is_within_half_a_step_or_apart(void **state)
{
    struct dice d = {12};
    struct rows rows = rows_make(1, 320);
    float x[320];
    size_t n_apart = 0;

    (void)state;
    for (int round = 0; round < 300; round++) {
        dice_fill(&d, ORDINARY, x, 320);
        for (size_t i = 0; i < 32; i++)
            x[i] = 0; /* a block of its own */
        for (size_t b = 1; b < 10; b += 2)
            x[32 * b + dice_below(&d, 32)] *= 9;
        rounded_plain.round_row(x, &rows.r, 0);
        size_t n = 0;
        for (size_t b = 0; b < 10; b++)
            n += look_at_block(&rows.r, x, b, n);
        assert_int_equal(n, rows.r.n_apart[0]);
        n_apart += n;
    }
    assert_true(n_apart > 300 && n_apart < 2700);
    arena_release(&rows.arena);
}

static void what_is_not_finite_makes_its_row_not_a_number(void **state)
{
    static const float odd[] = {NAN, INFINITY, -INFINITY};
    size_t n_tables;
    const struct table *all = tables(&n_tables);
    enum {
        M = 16,
        BAD = 3
    }; /* as many rows as any table takes together, and the one that is not finite */
    struct pack_q4 panel[2] = {0};
    const struct panels w = {.kind = PACK_Q4, .first = panel, .n = 1};
    struct rows rows = rows_make(M, 64);
    float x[64], y[M * PANEL];

    (void)state;
    for (size_t j = 0; j < PANEL; j++)
        panel[0].d[j] = panel[1].d[j] = 1;
    for (size_t o = 0; o < COUNT_OF(odd); o++) {
        for (size_t t = 0; t < n_tables; t++) {
            for (size_t i = 0; i < 64; i++)
                x[i] = (float)i;
            for (size_t i = 0; i < M; i++)
                all[t].bytes->round_row(x, &rows.r, i);
            x[40] = odd[o];
            all[t].bytes->round_row(x, &rows.r, BAD);
            all[t].bytes->gemm(&w, &rows.r, 0, M, y, PANEL, false);
            for (size_t i = 0; i < M; i++)
                for (size_t j = 0; j < PANEL; j++)
                    assert_true(isnan(y[i * PANEL + j]) == (i == BAD));
        }
    }
    arena_release(&rows.arena);
}

/* n panels of k: any whole numbers, with scales of a size that weights have, or of any, and something between panels. */
static struct panels panels_make(struct dice *d, enum pack_kind kind, enum flavour f, size_t n,
                                 size_t k)
{
    static const size_t sizes[] = {[PACK_Q8] = sizeof(struct pack_q8),
                                   [PACK_Q5] = sizeof(struct pack_q5),
                                   [PACK_Q4] = sizeof(struct pack_q4),
                                   [PACK_Q2] = sizeof(struct pack_q2)};
    const size_t block = sizes[kind], n_blocks = k / pack_whole_size(kind),
                 bytes = n_blocks * block + 64 * dice_below(d, 2);
    unsigned char *panels = malloc(n * bytes);

    for (size_t i = 0; i < n * bytes; i++)
        panels[i] = (unsigned char)dice_roll(d);
    for (size_t p = 0; p < n; p++)
        for (size_t b = 0; b < n_blocks; b++)
            dice_fill(d, f, (float *)(void *)(panels + p * bytes + b * block),
                      (kind == PACK_Q8 ? 1 : 2) * PANEL);
    return (struct panels){.kind = kind, .first = panels, .bytes = bytes, .n = n};
}

static void every_table_s_product_of_rounded_rows_is_alike(void **state)
{
    static const enum pack_kind kinds[] = {PACK_Q4, PACK_Q8, PACK_Q5, PACK_Q2};
    size_t n_tables;
    const struct table *all = tables(&n_tables);
    struct dice d = {13};
    char what[100];

    (void)state;
    for (int round = 0; round < 800; round++) {
        const enum pack_kind kind = kinds[(size_t)round % COUNT_OF(kinds)];
        const enum flavour f = (enum flavour)(round / 4 % N_FLAVOURS);
        const bool large =
            round >= 796; /* one of each kind: more values apart than are added at a time */
        const size_t m = (large ? 190 : 1) + dice_below(&d, round % 5 == 0 ? 70 : 20),
                     k = 32 * ((large ? 300 : 1) + dice_below(&d, round % 7 == 0 ? 70 : 10)),
                     row = dice_below(&d, 3), n_panels = 1 + dice_below(&d, 3),
                     c_i = n_panels * PANEL + dice_below(&d, 4),
                     n = (m - 1) * c_i + n_panels * PANEL;
        const bool accumulate = dice_below(&d, 2) == 1;
        struct rows x = rows_make(m + row, k);
        const struct panels w = panels_make(&d, kind, f, n_panels, k);
        float *values = malloc(k * sizeof *values), *before = malloc(n * sizeof *before),
              *want = malloc(n * sizeof *want), *got = malloc(n * sizeof *got);

        for (size_t i = 0; i < m + row; i++) {
            dice_fill(&d, f, values, k);
            for (size_t b = 0; b < k / 32; b++)
                values[32 * b + dice_below(&d, 32)] *= dice_float(&d, 1, 20);
            rounded_plain.round_row(values, &x.r, i);
        }
        dice_fill(&d, ORDINARY, before, n);
        memcpy(want, before, n * sizeof *want);
        rounded_plain.gemm(&w, &x.r, row, m, want, c_i, accumulate);
        for (size_t t = 1; t < n_tables; t++) {
            memcpy(got, before, n * sizeof *got);
            all[t].bytes->gemm(&w, &x.r, row, m, got, c_i, accumulate);
            snprintf(what, sizeof what, "%s, kind %d, %zu rows of %zu", all[t].name, (int)kind, m,
                     k);
            ASSERT_SAME(what, n, got, want);
        }
        free(values);
        free(before);
        free(want);
        free(got);
        free((void *)(uintptr_t)w.first);
        arena_release(&x.arena);
    }
}

/* The extremes of whole numbers: no sum on the way may overflow. */
static void the_largest_whole_numbers_are_added_without_loss(void **state)
{
    size_t n_tables;
    const struct table *all = tables(&n_tables);
    static struct pack_q4 q4[18];
    static struct pack_q8 q8[36];
    static struct pack_q5 q5[18];
    static struct pack_q2 q2[36];
    const struct {
        struct panels w;
        int q;
    } most[] = {{{.kind = PACK_Q4, .first = q4, .n = 1}, 15},
                {{.kind = PACK_Q8, .first = q8, .n = 1}, -128},
                {{.kind = PACK_Q5, .first = q5, .n = 1}, 31},
                {{.kind = PACK_Q2, .first = q2, .n = 1}, 3}};
    enum { M = 18 };
    struct rows x = rows_make(M, 576);
    float row[576], y[M * PANEL];

    (void)state;
    memset(q4, 0xFF, sizeof q4);
    memset(q8, 0x80, sizeof q8);
    memset(q5, 0xFF, sizeof q5);
    memset(q2, 0xFF, sizeof q2);
    for (size_t j = 0; j < PANEL; j++) {
        for (size_t b = 0; b < 18; b++) {
            q4[b].d[j] = q5[b].d[j] = 1;
            q4[b].m[j] = q5[b].m[j] = 0;
        }
        for (size_t b = 0; b < 36; b++) {
            q8[b].d[j] = q2[b].d[j] = 1;
            q2[b].m[j] = 0;
        }
    }
    for (int sign = -1; sign <= 1; sign += 2) {
        for (size_t i = 0; i < 576; i++)
            row[i] = (float)(127 * sign);
        for (size_t t = 0; t < n_tables; t++) {
            for (size_t i = 0; i < M; i++)
                all[t].bytes->round_row(row, &x.r, i);
            for (size_t k = 0; k < COUNT_OF(most); k++) {
                all[t].bytes->gemm(&most[k].w, &x.r, 0, M, y, PANEL, false);
                for (size_t i = 0; i < M * PANEL; i++)
                    assert_true(y[i] == (float)(576 * most[k].q * 127 * sign));
            }
        }
    }
    arena_release(&x.arena);
}

/* A matrix of a format of whole numbers, and the floats that it means. */
struct weights {
    struct arena arena;
    struct packed w;
    float *floats; /* [n][k] */
};

static struct weights weights_make(struct dice *d, enum dtype t, size_t n, size_t k)
{
    struct weights out = {0};
    struct error err = {0};
    const size_t row_bytes = dtype_bytes(t, k), block_bytes = dtype_info(t)->block_bytes;
    unsigned char *bytes = arena_alloc(&out.arena, n * row_bytes);
    const struct matrix_view view = {.dtype = t, .rows = n, .cols = k, .data = bytes};

    for (size_t i = 0; i < n * row_bytes; i++)
        bytes[i] = (unsigned char)dice_roll(d);
    for (size_t b = 0; b < n * row_bytes / block_bytes; b++)
        random_scales(d, t, 2, bytes + b * block_bytes);
    out.floats = ARENA_ARRAY(&out.arena, float, n *k);
    for (size_t i = 0; i < n; i++)
        dtype_to_f32(t, matrix_row(&view, i), k, out.floats + i * k);
    ASSERT_OK(pack_matrix(&view, &out.arena, &out.w, "w", &err));
    assert_true(packed_is_whole(&out.w));
    return out;
}

static const enum dtype whole_types[] = {
    DTYPE_Q4_0, DTYPE_Q4_1, DTYPE_Q4_K, DTYPE_Q8_0,   DTYPE_Q6_K,   DTYPE_Q5_0, DTYPE_Q5_1,
    DTYPE_Q5_K, DTYPE_Q2_K, DTYPE_Q3_K, DTYPE_IQ4_NL, DTYPE_IQ4_XS, DTYPE_MXFP4};

/* Against sums in double of what weights and rounded values mean. */
static void a_product_is_that_of_the_values_that_bytes_mean(void **state)
{
    struct dice d = {14};

    (void)state;
    for (size_t t = 0; t < COUNT_OF(whole_types); t++) {
        const size_t m = 5, n = 37, k = 512;
        struct weights w = weights_make(&d, whole_types[t], n, k);
        struct rounded x = rounded_room(m, k, &w.arena);
        float *values = ARENA_ARRAY(&w.arena, float, m *k), *y = ARENA_ARRAY(&w.arena, float, m *n);

        dice_fill(&d, ORDINARY, values, m * k);
        for (size_t i = 0; i < m * k; i += 80)
            values[i] *= 8;
        round_rows(m, k, values, k, &x);
        assert_true(x.n_apart[0] > 0 && x.n_apart[0] < k / 32);
        matmul_rounded(&w.w, &x, y, n, false);
        for (size_t i = 0; i < m; i++) {
            for (size_t j = 0; j < n; j++) {
                double sum = 0, size = 0;

                for (size_t c = 0; c < k; c++) {
                    const double term =
                        (double)w.floats[j * k + c] *
                        ((double)x.step[c / 32 * m + i] * x.q[(c / 32 * m + i) * 32 + c % 32]);

                    sum += term;
                    size += fabs(term);
                }
                for (size_t o = 0; o < x.n_apart[i]; o++) {
                    const struct rounded_apart *apart = &x.apart[i * (k / 32) + o];
                    const double term = (double)apart->x * (double)w.floats[j * k + apart->k];

                    sum += term;
                    size += fabs(term);
                }
                assert_true(fabs((double)y[i * n + j] - sum) <= 2e-6 * size);
            }
        }
        arena_release(&w.arena);
    }
}

static void a_row_s_product_depends_on_that_row_alone(void **state)
{
    struct dice d = {15};
    const int threads = parallel_threads();

    (void)state;
    for (int round = 0; round < 40; round++) {
        const enum dtype t = whole_types[(size_t)round % COUNT_OF(whole_types)];
        const size_t m = 1 + dice_below(&d, 420), n = 1 + dice_below(&d, 90),
                     k = 256 * (1 + dice_below(&d, 2)), ldx = k + dice_below(&d, 5),
                     ldy = n + dice_below(&d, 5);
        const bool accumulate = dice_below(&d, 2) == 1;
        struct weights w = weights_make(&d, t, n, k);
        struct rounded all = rounded_room(m, k, &w.arena), one = rounded_room(1, k, &w.arena);
        float *x = malloc(m * ldx * sizeof *x), *y = malloc(m * ldy * sizeof *y),
              *alone = malloc(n * sizeof *alone), *before = malloc(m * ldy * sizeof *before);

        dice_fill(&d, ORDINARY, x, m * ldx);
        dice_fill(&d, ORDINARY, before, m * ldy);
        memcpy(y, before, m * ldy * sizeof *y);
        parallel_set_threads(1 + round % 4);
        round_rows(m, k, x, ldx, &all);
        matmul_rounded(&w.w, &all, y, ldy, accumulate);
        for (int look = 0; look < 10; look++) {
            const size_t i = dice_below(&d, m);

            memcpy(alone, before + i * ldy, n * sizeof *alone);
            parallel_set_threads(1 + look % 3);
            round_rows(1, k, x + i * ldx, ldx, &one);
            matmul_rounded(&w.w, &one, alone, n, accumulate);
            ASSERT_SAME("a row alone", n, y + i * ldy, alone);
        }
        for (size_t i = 0; i + 1 < m; i++) /* between the rows nothing is touched */
            ASSERT_SAME("behind a row", ldy - n, y + i * ldy + n, before + i * ldy + n);
        free(x);
        free(y);
        free(alone);
        free(before);
        arena_release(&w.arena);
    }
    parallel_set_threads(threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_table_rounds_a_row_alike),
        cmocka_unit_test(a_value_is_within_half_a_step_or_apart),
        cmocka_unit_test(what_is_not_finite_makes_its_row_not_a_number),
        cmocka_unit_test(every_table_s_product_of_rounded_rows_is_alike),
        cmocka_unit_test(the_largest_whole_numbers_are_added_without_loss),
        cmocka_unit_test(a_product_is_that_of_the_values_that_bytes_mean),
        cmocka_unit_test(a_row_s_product_depends_on_that_row_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
