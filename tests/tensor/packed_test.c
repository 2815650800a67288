/*
 * packed_test.c - a packed matrix holds the values of the file, each in its place.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "support/golden.h"
#include "support/numbers.h"
#include "tensor/cpu/kernels.h"
#include "tensor/ops.h"

#include <math.h>
#include <stdlib.h>

/*
 * Row and column of every place must be what dtype_to_f32 finds there; places past the last row are zero. Q4_0 is kept
 * as d q - 8 d, where the reference has d (q - 8): the same number, but a zero with a negative d is -0 there and +0 here. Q5_0 likewise.
 */
static void assert_holds(const char *what, const struct matrix_view *w, const struct packed *p)
{
    const size_t n = w->rows, k = w->cols;
    const bool zeros_differ = w->dtype == DTYPE_Q4_0 || w->dtype == DTYPE_Q5_0;
    float *row = malloc((k + 1) * sizeof *row), *panel = malloc((k + 1) * PANEL * sizeof *panel);

    assert_int_equal(p->n, n);
    assert_int_equal(p->k, k);
    assert_int_equal(p->n_panels, (n + PANEL - 1) / PANEL);
    assert_int_equal(p->n_panels * p->panel_bytes, pack_bytes(w->dtype, n, k));
    assert_int_equal((uintptr_t)p->data % 64, 0);
    assert_int_equal(p->panel_bytes % 64, 0);
    for (size_t q = 0; q < p->n_panels; q++) {
        kernels()->unpack((enum pack_kind)p->kind, p->data + q * p->panel_bytes, 0, k, panel);
        for (size_t j = 0; j < PANEL; j++) {
            const size_t i = q * PANEL + j;

            if (i < n)
                matrix_row_to_f32(w, i, row);
            for (size_t c = 0; c < k; c++) {
                const float got = panel[c * PANEL + j], want = i < n ? row[c] : 0;

                if (!float_same(got, want) && !(zeros_differ && got == 0 && want == 0))
                    fail_msg("%s %s, %zu x %zu, row %zu, column %zu: %.9g, expected %.9g", what,
                             dtype_info(w->dtype)->name, n, k, i, c, (double)got, (double)want);
            }
        }
    }
    free(row);
    free(panel);
}

static void pack_and_check(const char *what, const struct matrix_view *w)
{
    struct arena a = {0};
    struct error err = {0};
    struct packed p;

    ASSERT_OK(pack_matrix(w, &a, &p, what, &err));
    assert_holds(what, w, &p);
    arena_release(&a);
}

static void the_reference_s_blocks_keep_their_values(void **state)
{
    struct golden g;
    char name[40];

    (void)state;
    golden_open(&g, "quants/quants.safetensors");
    for (int t = DTYPE_F16; t < N_DTYPES; t++) {
        size_t bytes;

        snprintf(name, sizeof name, "%s.raw", dtype_info((enum dtype)t)->name);
        const struct matrix_view w = {.dtype = (enum dtype)t,
                                      .rows = golden_dim(&g, name, 0),
                                      .cols = golden_dim(&g, name, 1) /
                                              dtype_info((enum dtype)t)->block_bytes *
                                              dtype_info((enum dtype)t)->block,
                                      .data = golden_bytes(&g, name, &bytes)};

        assert_int_equal(bytes, w.rows * dtype_bytes(w.dtype, w.cols));
        assert_true(w.rows > 0 && w.cols > 0);
        pack_and_check("golden", &w);
    }
    golden_close(&g);
}

/* Random bytes for a matrix; the halves that are scales are made finite. */
static unsigned char *random_blocks(struct dice *d, enum dtype t, size_t rows, size_t cols)
{
    static const struct {
        size_t n, at[2]; /* where the halves stand in a block */
    } scales[N_DTYPES] = {
        [DTYPE_Q8_0] = {1, {0}},    [DTYPE_Q4_0] = {1, {0}},      [DTYPE_Q4_1] = {2, {0, 2}},
        [DTYPE_Q6_K] = {1, {208}},  [DTYPE_Q4_K] = {2, {0, 2}},   [DTYPE_Q5_0] = {1, {0}},
        [DTYPE_Q5_1] = {2, {0, 2}}, [DTYPE_Q2_K] = {2, {80, 82}}, [DTYPE_Q3_K] = {1, {108}},
        [DTYPE_Q5_K] = {2, {0, 2}}, [DTYPE_IQ4_NL] = {1, {0}},    [DTYPE_IQ4_XS] = {1, {0}},
    };
    const size_t bytes = rows * dtype_bytes(t, cols), block = dtype_info(t)->block_bytes;
    unsigned char *p = malloc(bytes + 1);

    for (size_t i = 0; i < bytes; i++)
        p[i] = (unsigned char)dice_roll(d);
    for (size_t b = 0; b < bytes; b += block)
        for (size_t s = 0; s < scales[t].n; s++)
            while ((p[b + scales[t].at[s] + 1] & 0x7c) == 0x7c)
                p[b + scales[t].at[s] + 1] = (unsigned char)dice_roll(d);
    return p;
}

static void matrices_of_any_height_keep_their_values(void **state)
{
    static const size_t heights[] = {1, 2, 15, 16, 17, 31, 33, 50};
    struct dice d = {1};

    (void)state;
    for (int t = 0; t < N_DTYPES; t++) {
        for (size_t h = 0; h < COUNT_OF(heights); h++) {
            const size_t block = dtype_info((enum dtype)t)->block;
            const size_t cols =
                block == 1 ? 1 + dice_below(&d, 90) : block * (1 + dice_below(&d, 3));
            unsigned char *bytes = random_blocks(&d, (enum dtype)t, heights[h], cols);
            const struct matrix_view w = {
                .dtype = (enum dtype)t, .rows = heights[h], .cols = cols, .data = bytes};

            pack_and_check("random", &w);
            free(bytes);
        }
    }
}

/* Blocks as they come: of 128, of a whole matrix, of a row; and ones that end inside of a panel. */
static void fp8_is_kept_with_the_factors_of_its_blocks(void **state)
{
    static const size_t blocks[][2] = {{128, 128}, {1000, 1000}, {1, 1000}, {40, 48}, {7, 16}};
    static const enum dtype types[] = {DTYPE_F8_E4M3, DTYPE_F8_E5M2};
    struct dice d = {5};

    (void)state;
    for (size_t b = 0; b < COUNT_OF(blocks); b++) {
        for (size_t t = 0; t < COUNT_OF(types); t++) {
            const size_t rows = 1 + dice_below(&d, 200), cols = 1 + dice_below(&d, 300),
                         n_rows = (rows + blocks[b][0] - 1) / blocks[b][0],
                         n_cols = (cols + blocks[b][1] - 1) / blocks[b][1];
            unsigned char *bytes = random_blocks(&d, types[t], rows, cols);
            float *factors = malloc(n_rows * n_cols * sizeof *factors);
            const struct weight_scale scale = {
                .rows = blocks[b][0], .cols = blocks[b][1], .n_cols = n_cols, .s = factors};
            const struct matrix_view w = {
                .dtype = types[t], .rows = rows, .cols = cols, .data = bytes, .scale = &scale};

            dice_fill(&d, ORDINARY, factors, n_rows * n_cols);
            pack_and_check("with factors", &w);
            free(factors);
            free(bytes);
        }
    }
}

static void rows_are_taken_in_their_order(void **state)
{
    struct dice d = {2};
    uint32_t order[37];

    (void)state;
    for (int t = 0; t < N_DTYPES; t++) {
        const size_t cols = dtype_info((enum dtype)t)->block == 256 ? 256 : 64;
        unsigned char *bytes = random_blocks(&d, (enum dtype)t, 37, cols);
        const struct matrix_view w = {
            .dtype = (enum dtype)t, .rows = 37, .cols = cols, .data = bytes, .row_order = order};

        for (uint32_t i = 0; i < 37; i++)
            order[i] = i * 10 % 37;
        pack_and_check("reordered", &w);
        free(bytes);
    }
}

/* The same panels as of a matrix that lies plainly: every other row, and transposed. */
static void rows_that_lie_apart_are_put_together(void **state)
{
    static const enum dtype types[] = {DTYPE_F32, DTYPE_BF16, DTYPE_F8_E4M3, DTYPE_Q4_1};
    enum { ROWS = 37, COLS = 64 };
    struct dice d = {7};
    struct error err = {0};

    (void)state;
    for (size_t t = 0; t < 2 * COUNT_OF(types); t++) {
        const enum dtype type = types[t / 2];
        const size_t size = dtype_info(type)->block_bytes, row = dtype_bytes(type, COLS);
        unsigned char *plain = random_blocks(&d, type, ROWS, COLS), *apart = calloc(2 * ROWS, row);
        struct matrix_view w = {.dtype = type, .rows = ROWS, .cols = COLS, .data = plain}, v = w;
        struct packed want, got;
        struct arena a = {0};

        if (t % 2 == 1 && dtype_info(type)->block > 1) { /* blocks are not transposed */
            free(plain);
            free(apart);
            continue;
        }
        for (size_t i = 0; i < ROWS; i++) {
            if (t % 2 == 0)
                memcpy(apart + 2 * i * row, plain + i * row, row);
            for (size_t k = 0; t % 2 == 1 && k < COLS; k++)
                memcpy(apart + (k * ROWS + i) * size, plain + (i * COLS + k) * size, size);
        }
        v.data = apart;
        v.row_step = t % 2 == 0 ? 2 * COLS : 1;
        v.col_step = t % 2 == 0 ? 0 : ROWS;
        ASSERT_OK(pack_matrix(&w, &a, &want, "plain", &err) &&
                  pack_matrix(&v, &a, &got, "apart", &err));
        assert_int_equal(want.panel_bytes, got.panel_bytes);
        assert_memory_equal(want.data, got.data, want.n_panels * want.panel_bytes);
        arena_release(&a);
        free(plain);
        free(apart);
    }
}

static void the_number_of_threads_changes_no_byte(void **state)
{
    struct dice d = {3};
    struct error err = {0};
    const size_t rows = 100, cols = 256;

    (void)state;
    for (int t = 0; t < N_DTYPES; t++) {
        struct arena a = {0};
        unsigned char *bytes = random_blocks(&d, (enum dtype)t, rows, cols);
        const struct matrix_view w = {
            .dtype = (enum dtype)t, .rows = rows, .cols = cols, .data = bytes};
        struct packed one, many;

        parallel_set_threads(1);
        ASSERT_OK(pack_matrix(&w, &a, &one, "w", &err));
        parallel_set_threads(3);
        ASSERT_OK(pack_matrix(&w, &a, &many, "w", &err));
        assert_int_equal(one.panel_bytes, many.panel_bytes);
        assert_memory_equal(one.data, many.data, one.n_panels * one.panel_bytes);
        arena_release(&a);
        free(bytes);
    }
    parallel_set_threads(0);
}

static void changing_floats_are_packed_anew(void **state)
{
    struct dice d = {4};
    struct arena a = {0};
    struct error err = {0};
    struct packed p;
    float w[19 * 40];
    const size_t n = 19, k = 33, ld = 40;

    (void)state;
    ASSERT_OK(pack_room(n, k, &a, &p, &err));
    assert_int_equal(p.kind, PACK_F32);
    for (int round = 0; round < 3; round++) {
        float tight[19 * 33];
        const struct matrix_view view = {.dtype = DTYPE_F32, .rows = n, .cols = k, .data = tight};

        dice_fill(&d, SPECIAL, w, COUNT_OF(w));
        for (size_t i = 0; i < n; i++)
            memcpy(tight + i * k, w + i * ld, k * sizeof *w);
        pack_floats(w, ld, &p);
        assert_holds("floats", &view, &p);
    }
    arena_release(&a);
}

static void memory_that_cannot_be_had_is_an_error_that_names_the_weight(void **state)
{
    struct arena a = {0};
    struct error err = {0};
    struct packed p = {.n = 77};
    const struct matrix_view w = {
        .dtype = DTYPE_F32, .rows = (size_t)1 << 40, .cols = (size_t)1 << 30, .data = &a};

    (void)state;
    ASSERT_FAILS(pack_matrix(&w, &a, &p, "layers.3.q_proj", &err), ERR_NO_MEMORY,
                 "layers.3.q_proj");
    ASSERT_FAILS(pack_room(w.rows, w.cols, &a, &p, &err), ERR_NO_MEMORY, "a trained matrix");
    assert_int_equal(p.n, 77); /* untouched */
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_s_blocks_keep_their_values),
        cmocka_unit_test(matrices_of_any_height_keep_their_values),
        cmocka_unit_test(fp8_is_kept_with_the_factors_of_its_blocks),
        cmocka_unit_test(rows_are_taken_in_their_order),
        cmocka_unit_test(rows_that_lie_apart_are_put_together),
        cmocka_unit_test(the_number_of_threads_changes_no_byte),
        cmocka_unit_test(changing_floats_are_packed_anew),
        cmocka_unit_test(memory_that_cannot_be_had_is_an_error_that_names_the_weight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
