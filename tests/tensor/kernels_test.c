/*
 * kernels_test.c - every table of kernels computes the same bits, and those are the ones that kernels.h defines.
 */
#include "base/size.h"
#include "support/avx512_by_halves.h"
#include "support/numbers.h"
#include "tensor/cpu/kernels_internal.h"
#include "tensor/dtype.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define MAX_N 1100
#define GUARD 16 /* floats behind an output that nobody may touch */

static const size_t sizes[] = {0,   1,   2,   3,   4,   5,   7,   8,   9,   12,  15,  16,
                               17,  18,  23,  24,  25,  30,  31,  32,  33,  40,  47,  48,
                               49,  63,  64,  65,  79,  80,  81,  96,  127, 128, 129, 240,
                               255, 256, 257, 271, 272, 273, 300, 511, 512, 513, 576, 1000};

/* What this machine runs, and on AVX2 the table for AVX-512 by halves too. */
static size_t tables(const struct kernels *const **out)
{
    static const struct kernels *all[8];
    const struct kernels *const *found;
    const size_t n = kernels_available(&found);

    memcpy(all, found, n * sizeof *all);
    *out = all;
#if defined(__x86_64__)
    if (n > 1) {
        all[n] = &kernels_avx512_by_halves;
        return n + 1;
    }
#endif
    return n;
}

/* Inputs of one trial: each in its own piece of memory that ends where the input ends, so that the address sanitizer
   sees a read beyond it, and begins at an address that is no multiple of a vector's size. */
struct inputs {
    struct dice dice;
    enum flavour flavour;
    void *made[9];
    int n_made;
};

static float *input(struct inputs *in, size_t n)
{
    const size_t off = dice_below(&in->dice, 5);
    float *p = malloc((off + n) * sizeof *p + 1);

    assert_non_null(p);
    assert_true(in->n_made < (int)COUNT_OF(in->made));
    in->made[in->n_made++] = p;
    dice_fill(&in->dice, in->flavour, p + off, n);
    return p + off;
}

/* A number that is given beside the arrays: never out of the ordinary. */
static float number(struct inputs *in)
{
    return dice_float(&in->dice, 0.05f, 1.5f);
}

/* Each runs one kernel of k on inputs that depend on the dice alone, and returns how many floats it put in out. */
typedef size_t trial_fn(const struct kernels *k, struct inputs *in, size_t n, float *out);

static size_t rms_norm_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *x = input(in, n), *w = input(in, n);

    out[n] = k->rms_norm(n, x, w, 1e-5f, out);
    return n + 1;
}

static size_t rms_norm_back_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *x = input(in, n), *w = input(in, n), *dy = input(in, n), r = number(in);

    dice_fill(&in->dice, in->flavour, out, n);
    k->rms_norm_back(n, x, w, r, dy, out);
    return n;
}

static size_t swiglu_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *gate = input(in, n), *up = input(in, n);

    k->swiglu(n, gate, up, out);
    return n;
}

static size_t swiglu_back_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *gate = input(in, n), *up = input(in, n), *dy = input(in, n);

    k->swiglu_back(n, gate, up, dy, out, out + n);
    return 2 * n;
}

static size_t geglu_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *gate = input(in, n), *up = input(in, n);

    k->geglu(n, gate, up, out);
    return n;
}

static size_t geglu_back_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *gate = input(in, n), *up = input(in, n), *dy = input(in, n);

    k->geglu_back(n, gate, up, dy, out, out + n);
    return 2 * n;
}

static size_t clamped_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *gate = input(in, n), *up = input(in, n);

    k->clamped(n, gate, up, out);
    return n;
}

static size_t clamped_back_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *gate = input(in, n), *up = input(in, n), *dy = input(in, n);

    k->clamped_back(n, gate, up, dy, out, out + n);
    return 2 * n;
}

static size_t soft_cap_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    memcpy(out, input(in, n), n * sizeof *out);
    k->soft_cap(n, 0.3f, 5, out);
    return n;
}

static size_t soft_cap_back_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *y = input(in, n);

    memcpy(out, input(in, n), n * sizeof *out);
    k->soft_cap_back(n, 5, y, out);
    return n;
}

static size_t layer_norm_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *x = input(in, n), *w = input(in, n), *b = input(in, n);

    k->layer_norm(n, x, w, b, 1e-5f, out);
    memcpy(out + n, x, n * sizeof *x);
    k->layer_norm(n, out + n, w, b, 1e-5f, out + n); /* in place */
    return 2 * n;
}

static size_t gelu_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *x = input(in, n);

    k->gelu(n, x, out);
    memcpy(out + n, x, n * sizeof *x);
    k->gelu(n, out + n, out + n);
    return 2 * n;
}

static size_t rope_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *c = input(in, n), *s = input(in, n);
    const bool back = dice_below(&in->dice, 2) == 1;

    dice_fill(&in->dice, in->flavour, out, 2 * n);
    k->rope(2 * n, c, s, back, out);
    return 2 * n;
}

static size_t add_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *x = input(in, n);

    dice_fill(&in->dice, in->flavour, out, n);
    k->add(n, x, out);
    return n;
}

static size_t scale_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    dice_fill(&in->dice, in->flavour, out, n);
    k->scale(n, number(in), out);
    return n;
}

static size_t dot_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *x = input(in, n), *y = input(in, n);

    out[0] = k->dot(n, x, y);
    return 1;
}

static size_t max_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    out[0] = k->max(n, input(in, n));
    return 1;
}

static size_t exp_sum_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    dice_fill(&in->dice, in->flavour, out, n);
    out[n] = k->exp_sum(n, kernels_plain.max(n, out), number(in), out);
    return n + 1;
}

static size_t exp_block_sums_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *x = input(in, n);

    k->exp_block_sums(n, kernels_plain.max(n, x), number(in), x, out);
    return (n + SOFTMAX_BLOCK - 1) / SOFTMAX_BLOCK;
}

static size_t exp_to_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *x = input(in, n), max = kernels_plain.max(n, x), t = number(in);

    k->exp_to(n, max, t, x, out);
    return n;
}

static size_t exp_to_itself_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    dice_fill(&in->dice, in->flavour, out, n);
    k->exp_to(n, number(in), number(in), out, out);
    return n;
}

static size_t dense_back_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *logit = input(in, n);
    const float c0 = number(in), c1 = dice_below(&in->dice, 2) == 0 ? 0 : number(in);

    dice_fill(&in->dice, in->flavour, out, n);
    k->dense_back(n, c0, c1, logit, out);
    return n;
}

static size_t softmax_back_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *p = input(in, n), *dp = input(in, n);

    k->softmax_back(n, p, dp, number(in), number(in), out);
    return n;
}

static size_t softmax_back_onto_itself_trial(const struct kernels *k, struct inputs *in, size_t n,
                                             float *out)
{
    const float *p = input(in, n);

    dice_fill(&in->dice, in->flavour, out, n);
    k->softmax_back(n, p, out, number(in), number(in), out);
    return n;
}

static size_t adamw_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const struct adamw_numbers a = {.lr = number(in),
                                    .beta1 = 0.9f,
                                    .beta2 = 0.95f,
                                    .eps = 1e-8f,
                                    .wd = number(in),
                                    .clip = number(in),
                                    .c1 = 10 * number(in),
                                    .c2 = 20 * number(in)};
    const float *g = input(in, n);

    dice_fill(&in->dice, in->flavour, out, 3 * n);
    k->adamw(n, &a, g, out, out + n, out + 2 * n);
    return 3 * n;
}

static size_t transpose_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const size_t in_ld = PANEL + n % 7, out_ld = PANEL + n % 5;

    for (size_t i = 0; i < PANEL * out_ld; i++)
        out[i] = 7;
    k->transpose(input(in, (PANEL - 1) * in_ld + PANEL), in_ld, out, out_ld);
    return (PANEL - 1) * out_ld + PANEL;
}

static size_t to_f16_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const float *x = input(in, n);
    uint16_t y[MAX_N];

    k->to_f16(n, x, y);
    for (size_t i = 0; i < n; i++)
        out[i] = f16_to_f32(y[i]);
    return n;
}

/* Blocks whose values are of any size, and blocks that are small, down to nothing. */
static size_t to_q8_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    size_t made = 0;

    for (size_t i = 0; i < 8; i++) {
        float *x = input(in, CACHED_BLOCK);
        int8_t q[CACHED_BLOCK];

        for (size_t j = 0; j < CACHED_BLOCK; j++)
            x[j] = ldexpf(x[j], -(int)(n % 170));
        out[made++] = f16_to_f32(k->to_q8(x, q));
        for (size_t j = 0; j < CACHED_BLOCK; j++)
            out[made++] = q[j];
    }
    return made;
}

/* n rows or columns; from_q8_along takes multiples of 16. */
static void fill_bytes(struct dice *d, size_t n, int8_t *q, uint16_t *step)
{
    for (size_t i = 0; i < n * PANEL; i++)
        q[i] = (int8_t)((int)dice_below(d, 255) - 127);
    for (size_t i = 0; i < (n + CACHED_BLOCK - 1) / CACHED_BLOCK * PANEL; i++)
        step[i] = (uint16_t)dice_below(d, 0x7c02); /* of any size, infinite and NaN at the end */
}

static size_t from_q8_across_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const size_t rows = n % 70;
    int8_t q[70 * PANEL];
    uint16_t step[3 * PANEL];

    fill_bytes(&in->dice, rows, q, step);
    k->from_q8_across(rows, q, step, out);
    return rows * PANEL;
}

static size_t from_q8_along_trial(const struct kernels *k, struct inputs *in, size_t n, float *out)
{
    const size_t columns = n % 6 * PANEL;
    int8_t q[80 * PANEL];
    uint16_t step[3 * PANEL];

    fill_bytes(&in->dice, columns, q, step);
    k->from_q8_along(columns, q, step, out);
    return columns * PANEL;
}

static const struct trial {
    const char *name;
    trial_fn *run;
} trials[] = {
    {"rms_norm", rms_norm_trial},
    {"rms_norm_back", rms_norm_back_trial},
    {"swiglu", swiglu_trial},
    {"swiglu_back", swiglu_back_trial},
    {"geglu", geglu_trial},
    {"geglu_back", geglu_back_trial},
    {"clamped", clamped_trial},
    {"clamped_back", clamped_back_trial},
    {"soft_cap", soft_cap_trial},
    {"soft_cap_back", soft_cap_back_trial},
    {"layer_norm", layer_norm_trial},
    {"gelu", gelu_trial},
    {"rope", rope_trial},
    {"add", add_trial},
    {"scale", scale_trial},
    {"dot", dot_trial},
    {"max", max_trial},
    {"exp_sum", exp_sum_trial},
    {"exp_block_sums", exp_block_sums_trial},
    {"exp_to", exp_to_trial},
    {"exp_to, in place", exp_to_itself_trial},
    {"dense_back", dense_back_trial},
    {"softmax_back", softmax_back_trial},
    {"softmax_back, in place", softmax_back_onto_itself_trial},
    {"adamw", adamw_trial},
    {"transpose", transpose_trial},
    {"to_f16", to_f16_trial},
    {"to_q8", to_q8_trial},
    {"from_q8_across", from_q8_across_trial},
    {"from_q8_along", from_q8_along_trial},
};

static size_t run_trial(const struct trial *t, const struct kernels *k, uint64_t seed,
                        enum flavour f, size_t n, float *out)
{
    struct inputs in = {.dice = {seed}, .flavour = f};

    for (size_t i = 0; i < 3 * MAX_N + GUARD; i++)
        out[i] = 3;
    const size_t made = t->run(k, &in, n, out);
    for (size_t i = made; i < made + GUARD; i++)
        if (out[i] != 3 && t->run != transpose_trial)
            fail_msg("%s of %s wrote behind its %zu values", t->name, k->name, made);
    for (int i = 0; i < in.n_made; i++)
        free(in.made[i]);
    return made;
}

static void every_table_computes_the_bits_of_plain(void **state)
{
    const struct kernels *const *all;
    const size_t n_tables = tables(&all);
    static float want[3 * MAX_N + GUARD], got[3 * MAX_N + GUARD];
    char what[200];

    (void)state;
    for (size_t k = 0; k < n_tables; k++)
        print_message("             kernels compared: %s\n", all[k]->name);
    for (size_t t = 0; t < COUNT_OF(trials); t++) {
        for (size_t s = 0; s < COUNT_OF(sizes); s++) {
            for (uint64_t seed = 1; seed <= 12; seed++) {
                const enum flavour f = (enum flavour)(seed % N_FLAVOURS);
                const size_t n = run_trial(&trials[t], &kernels_plain, seed, f, sizes[s], want);

                for (size_t k = 1; k < n_tables; k++) {
                    assert_int_equal(run_trial(&trials[t], all[k], seed, f, sizes[s], got), n);
                    snprintf(what, sizeof what, "%s of %s for n = %zu, flavour %d", trials[t].name,
                             all[k]->name, sizes[s], (int)f);
                    ASSERT_SAME(what, n, got, want);
                }
            }
        }
    }
}

static void the_tables_that_run_here_are_plain_and_its_twins(void **state)
{
    const struct kernels *const *all;
    const size_t n = kernels_available(&all);

    (void)state;
    assert_true(n >= 1);
    assert_string_equal(all[0]->name, "plain");
    for (size_t i = 0; i < n; i++) {
        assert_true(kernels_choose(all[i]->name));
        assert_ptr_equal(kernels(), all[i]);
    }
    assert_false(kernels_choose("none such"));
    assert_ptr_equal(kernels(), all[n - 1]);
    assert_true(kernels_choose("plain"));
    assert_true(kernels_choose(NULL)); /* the best */
    assert_ptr_equal(kernels(), all[n - 1]);
}

struct product { /* c[m, n] (+)= a b */
    size_t m, n, k, a_i, a_k, b_k, b_panel, c_i;
    bool accumulate;
    float *a, *b, *c; /* c's first values */
    size_t c_size;
};

static size_t product_b(const struct product *p, size_t t, size_t j)
{
    return j / PANEL * p->b_panel + t * p->b_k + j % PANEL;
}

static struct product product_make(struct dice *d, size_t m, size_t n, size_t k)
{
    struct product p = {.m = m, .n = n, .k = k};
    const enum flavour f = (enum flavour)dice_below(d, N_FLAVOURS);
    const bool turned = dice_below(d, 2) == 1;
    const size_t pad = dice_below(d, 4), panels = (n + PANEL - 1) / PANEL;
    const bool beside = dice_below(d, 2) == 1; /* the panels: in one row, or one behind the other */

    p.a_i = turned ? 1 : k + pad;
    p.a_k = turned ? m + pad : 1;
    p.b_k = (beside ? panels : 1) * PANEL + dice_below(d, 4);
    p.b_panel = beside ? PANEL : k * p.b_k + dice_below(d, 4);
    p.c_i = n + dice_below(d, 4);
    p.accumulate = dice_below(d, 2) == 1;
    const size_t n_a = m == 0 || k == 0 ? 0 : (m - 1) * p.a_i + (k - 1) * p.a_k + 1;
    const size_t n_b = k == 0 ? 0 : (panels - 1) * p.b_panel + (k - 1) * p.b_k + PANEL;
    p.c_size = m == 0 ? 0 : (m - 1) * p.c_i + n;
    p.a = malloc(n_a * sizeof(float) + 1);
    p.b = malloc(n_b * sizeof(float) + 1);
    p.c = malloc(p.c_size * sizeof(float) + 1);
    dice_fill(d, f, p.a, n_a);
    dice_fill(d, f, p.b, n_b);
    dice_fill(d, f, p.c, p.c_size);
    for (size_t t = 0; t < k; t++) /* may be read, must not matter */
        for (size_t j = n; j < panels * PANEL; j++)
            p.b[product_b(&p, t, j)] = NAN;
    return p;
}

static float *product_run(const struct product *p, const struct kernels *k)
{
    float *c = malloc(p->c_size * sizeof *c + 1);

    memcpy(c, p->c, p->c_size * sizeof *c);
    k->gemm(p->m, p->n, p->k, p->a, p->a_i, p->a_k, p->b, p->b_k, p->b_panel, c, p->c_i,
            p->accumulate);
    return c;
}

static void product_free(struct product *p)
{
    free(p->a);
    free(p->b);
    free(p->c);
}

static void every_table_s_product_is_one_chain_over_k(void **state)
{
    static const size_t rows[] = {0, 1, 2, 3, 5, 6, 7, 11, 12, 13, 14, 15, 27, 28, 29, 41};
    static const size_t widths[] = {1, 2, 5, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 64, 70};
    static const size_t depths[] = {0, 1, 2, 7, 16, 33, 100};
    const struct kernels *const *all;
    const size_t n_tables = tables(&all);
    struct dice d = {5};
    char what[100];

    (void)state;
    for (size_t r = 0; r < COUNT_OF(rows); r++) {
        for (size_t w = 0; w < COUNT_OF(widths); w++) {
            for (size_t k = 0; k < COUNT_OF(depths); k++) {
                const size_t n = widths[w];
                struct product p = product_make(&d, rows[r], n, depths[k]);
                float *want = malloc(p.c_size * sizeof *want + 1);

                memcpy(want, p.c, p.c_size * sizeof *want);
                for (size_t i = 0; i < p.m; i++) {
                    for (size_t j = 0; j < n; j++) {
                        float acc = p.accumulate ? p.c[i * p.c_i + j] : 0;

                        for (size_t t = 0; t < p.k; t++)
                            acc = fmaf(p.a[i * p.a_i + t * p.a_k], p.b[product_b(&p, t, j)], acc);
                        want[i * p.c_i + j] = acc;
                    }
                }
                for (size_t t = 0; t < n_tables; t++) {
                    float *got = product_run(&p, all[t]);

                    snprintf(what, sizeof what, "gemm of %s, %zu x %zu x %zu", all[t]->name, p.m, n,
                             p.k);
                    ASSERT_SAME(what, p.c_size, got, want);
                    free(got);
                }
                free(want);
                product_free(&p);
            }
        }
    }
}

static void a_product_cut_along_k_is_the_same_product(void **state)
{
    const struct kernels *const *all;
    const size_t n_tables = tables(&all);
    struct dice d = {6};

    (void)state;
    for (int i = 0; i < 200; i++) {
        struct product p = product_make(&d, 1 + dice_below(&d, 20), 1 + dice_below(&d, 3 * PANEL),
                                        2 + dice_below(&d, 60));
        const size_t cut = 1 + dice_below(&d, p.k - 1);

        for (size_t t = 0; t < n_tables; t++) {
            float *whole = product_run(&p, all[t]);
            struct product first = p;

            first.k = cut;
            float *halves = product_run(&first, all[t]);
            all[t]->gemm(p.m, p.n, p.k - cut, p.a + cut * p.a_k, p.a_i, p.a_k, p.b + cut * p.b_k,
                         p.b_k, p.b_panel, halves, p.c_i, true);
            ASSERT_SAME(all[t]->name, p.c_size, halves, whole);
            free(whole);
            free(halves);
        }
        product_free(&p);
    }
}

static void every_table_unpacks_every_kind_of_panel_alike(void **state)
{
    static const struct {
        enum pack_kind kind;
        size_t block, block_bytes; /* of k */
        size_t n_scales;           /* floats at the start of a block */
    } kinds[] = {{PACK_F32, 1, 64, 0},
                 {PACK_F16, 1, 32, 0},
                 {PACK_BF16, 1, 32, 0},
                 {PACK_Q8, 16, sizeof(struct pack_q8), PANEL},
                 {PACK_Q5, 32, sizeof(struct pack_q5), 2 * PANEL},
                 {PACK_Q4, 32, sizeof(struct pack_q4), 2 * PANEL},
                 {PACK_Q2, 16, sizeof(struct pack_q2), 2 * PANEL},
                 {PACK_F8, 16, sizeof(struct pack_f8), PANEL}};
    const struct kernels *const *all;
    const size_t n_tables = tables(&all);
    struct dice d = {7};
    char what[100];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(kinds); i++) {
        for (int round = 0; round < 60; round++) {
            const size_t n_blocks = 1 + dice_below(&d, 200 / kinds[i].block);
            const size_t depth = n_blocks * kinds[i].block, bytes = n_blocks * kinds[i].block_bytes;
            unsigned char *panel = malloc(bytes);

            for (size_t b = 0; b < bytes; b++)
                panel[b] = (unsigned char)dice_roll(&d);
            /* scales are widened halves: no bit pattern that could not be one */
            for (size_t b = 0; b < n_blocks; b++)
                for (size_t j = 0; j < kinds[i].n_scales; j++)
                    ((float *)(void *)(panel + b * kinds[i].block_bytes))[j] =
                        f16_to_f32((uint16_t)dice_roll(&d));
            const size_t k0 = dice_below(&d, (depth + 15) / 16) * 16; /* corners begin anywhere */
            const size_t n_k = size_min(depth - k0, 16 * (1 + dice_below(&d, 16)));
            const size_t n = n_k * PANEL;
            float *want = malloc(n * sizeof *want), *got = malloc(n * sizeof *got);

            kernels_plain.unpack(kinds[i].kind, panel, k0, n_k, want);
            for (size_t t = 1; t < n_tables; t++) {
                all[t]->unpack(kinds[i].kind, panel, k0, n_k, got);
                snprintf(what, sizeof what, "unpack of %s, kind %d, %zu from %zu of %zu",
                         all[t]->name, (int)kinds[i].kind, n_k, k0, depth);
                ASSERT_SAME(what, n, got, want);
            }
            const size_t n_corner = size_min(n_k, PANEL);
            float corner[PANEL * PANEL], turned[PANEL * PANEL];
            for (size_t j = 0; j < PANEL; j++)
                for (size_t k = 0; k < PANEL; k++)
                    corner[j * PANEL + k] = k < n_corner ? want[k * PANEL + j] : 0;
            for (size_t t = 0; t < n_tables; t++) {
                memset(turned, 0xff, sizeof turned);
                all[t]->unpack_across(kinds[i].kind, panel, k0, n_corner, turned);
                snprintf(what, sizeof what, "unpack_across of %s, kind %d, %zu from %zu of %zu",
                         all[t]->name, (int)kinds[i].kind, n_corner, k0, depth);
                ASSERT_SAME(what, PANEL * PANEL, turned, corner);
            }
            free(want);
            free(got);
            free(panel);
        }
    }
}

/* What the tables multiply bfloats with: each table's, and AVX-512's by halves. */
static size_t bf16_ways(const struct bf16_kernels *of[8], const char *names[8])
{
    const struct kernels *const *all;
    size_t n = kernels_available(&all);

    for (size_t i = 0; i < n; i++) {
        of[i] = all[i]->bf16;
        names[i] = all[i]->name;
    }
#if defined(__x86_64__)
    if (n > 1) {
        names[n] = "bf16 by halves";
        of[n++] = &bf16_avx512_by_halves;
    }
#endif
    return n;
}

/* m rows times 2 panels of floats turned over, of k values each; rows, and what c holds before, are made from the dice. */
struct bf16_case {
    size_t m, k;
    const float *a, *panels, *c; /* [m][k]; [k / 16] panels of [2 * PANEL][PANEL]; [m][2 * PANEL] */
};

static void run_bf16(const struct bf16_kernels *way, const struct bf16_case *x, bool accumulate,
                     float *c)
{
    const size_t even = size_round_up(x->k, 2), deep = size_round_up(x->k, PANEL);
    unsigned char *rows = malloc(x->m * even * way->bytes + 1),
                  *b = malloc(2 * deep * PANEL * way->bytes);

    for (size_t i = 0; i < x->m; i++)
        way->row(x->k, x->a + i * x->k, rows + i * even * way->bytes);
    for (size_t p = 0; p < 2; p++)
        for (size_t n = 0; n < deep; n += PANEL)
            way->across(PACK_F32, x->panels + n / PANEL * 2 * PANEL * PANEL, p * PANEL, PANEL,
                        b + (p * deep + n) * PANEL * way->bytes);
    memcpy(c, x->c, x->m * 2 * PANEL * sizeof *c);
    way->gemm(x->m, (size_t)2 * PANEL, even, rows, even, b, deep * PANEL, c, (size_t)2 * PANEL,
              accumulate);
    free(rows);
    free(b);
}

/* Ordinary numbers, any that a float can be, and those whose products end near the smallest one that counts. */
static void bf16_fill(struct dice *d, int round, size_t n, float *x)
{
    dice_fill(d, (enum flavour)(round % N_FLAVOURS), x, n);
    for (size_t i = 0; round % 4 == 3 && i < n; i++)
        x[i] = ldexpf(dice_float(d, -2, 2), -(int)(60 + dice_below(d, 18)));
}

static void every_table_multiplies_bfloats_alike(void **state)
{
    const struct bf16_kernels *ways[8];
    const char *names[8];
    const size_t n_ways = bf16_ways(ways, names);
    struct dice d = {17};
    char what[100];
    size_t small = 0;

    (void)state;
    for (int round = 0; round < 400; round++) {
        const size_t m = dice_below(&d, 32), k = 1 + dice_below(&d, 40),
                     deep = size_round_up(k, PANEL), n_c = m * 2 * PANEL;
        float *a = malloc((m * k + 1) * sizeof *a), *b = calloc(2 * deep * PANEL, sizeof *b),
              *c = malloc((n_c + 1) * sizeof *c), *want = malloc((n_c + 1) * sizeof *want),
              *got = malloc((n_c + 1) * sizeof *got);
        const struct bf16_case x = {m, k, a, b, c};
        const bool accumulate = round & 1;

        bf16_fill(&d, round, m * k, a);
        bf16_fill(&d, round, 2 * deep * PANEL, b);
        bf16_fill(&d, round, n_c, c);
        for (size_t i = 0; round % 4 == 3 && i < n_c; i++)
            c[i] = ldexpf(c[i], -60);
        /* panels of floats [k][16], of which row k here is an output: those past the last are zero, as packing leaves them */
        for (size_t n = k; n < deep; n++)
            for (size_t t = 0; t < 2 * PANEL; t++)
                b[n / PANEL * 2 * PANEL * PANEL + t * PANEL + n % PANEL] = 0;
        run_bf16(ways[0], &x, accumulate, want);
        for (size_t i = 0; i < n_c; i++)
            small += want[i] != 0 && fabsf(want[i]) < 0x1p-120f;
        for (size_t i = 1; i < n_ways; i++) {
            run_bf16(ways[i], &x, accumulate, got);
            snprintf(what, sizeof what, "%s, round %d, %zu rows, %zu deep", names[i], round, m, k);
            ASSERT_SAME(what, n_c, got, want);
        }
        free(a);
        free(b);
        free(c);
        free(want);
        free(got);
    }
    assert_true(small > 100); /* sums near the smallest were among them */
}

/* A sum half a last place below the smallest number that counts is that number; anything less is 0. */
static void a_sum_of_bfloats_is_zero_where_its_rounding_is_too_small(void **state)
{
    static const struct {
        float a, b, want;
    } cases[] = {{0x1p-60f, -0x1p-87f, 0},           {0x1p-60f, -0x1p-90f, 0},
                 {0x1.4p-60f, -0x1p-91f, 0},         {0x1p-60f, -0x1p-91f, 0x1p-126f},
                 {0x1.cp-60f, -0x1p-92f, 0x1p-126f}, {0x1p-60f, 0x1p-80f, 0x1.0004p-126f},
                 {0x1p-60f, -0x1p-66f, 0},           {0x1p-60f, -0x1p-65f, -0x1p-125f + 0x1p-126f}};
    const struct bf16_kernels *ways[8];
    const char *names[8];
    const size_t n_ways = bf16_ways(ways, names);
    float b[2 * PANEL * PANEL], c[2 * PANEL], got[2 * PANEL];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        const struct bf16_case x = {1, 1, &cases[i].a, b, c};

        memset(b, 0, sizeof b);
        for (size_t t = 0; t < 2 * PANEL; t++) {
            b[t * PANEL] = cases[i].b;
            c[t] = 0x1p-126f;
        }
        for (size_t w = 0; w < n_ways; w++) {
            run_bf16(ways[w], &x, true, got);
            for (size_t t = 0; t < 2 * PANEL; t++)
                if (got[t] != cases[i].want)
                    fail_msg("%s, case %zu: %a, expected %a", names[w], i, (double)got[t],
                             (double)cases[i].want);
        }
    }
}

static void a_transpose_turns_rows_into_columns(void **state)
{
    const struct kernels *const *all;
    const size_t n_tables = tables(&all);
    float in[PANEL * 20], out[PANEL * 17];

    (void)state;
    for (size_t i = 0; i < COUNT_OF(in); i++)
        in[i] = (float)i;
    for (size_t t = 0; t < n_tables; t++) {
        all[t]->transpose(in, 20, out, 17);
        for (size_t i = 0; i < PANEL; i++)
            for (size_t j = 0; j < PANEL; j++)
                assert_true(out[j * 17 + i] == in[i * 20 + j]);
    }
}

static void a_sum_over_a_row_is_sixteen_lanes_joined_as_a_tree(void **state)
{
    const struct kernels *const *all;
    const size_t n_tables = tables(&all);
    struct dice d = {8};
    float x[200], y[200];

    (void)state;
    for (int round = 0; round < 300; round++) {
        const size_t n = dice_below(&d, 200);
        float lane[PANEL] = {0}, sum;

        dice_fill(&d, ORDINARY, x, n);
        dice_fill(&d, ORDINARY, y, n);
        for (size_t i = 0; i < n; i++)
            lane[i % PANEL] = fmaf(x[i], y[i], lane[i % PANEL]);
        for (size_t half = 8; half > 0; half /= 2)
            for (size_t i = 0; i < half; i++)
                lane[i] += lane[i + half];
        sum = lane[0];
        for (size_t t = 0; t < n_tables; t++) {
            const float got = all[t]->dot(n, x, y);

            ASSERT_SAME(all[t]->name, 1, &got, &sum);
        }
    }
}

/* Distance of got from e^x in units of got's last place. */
static double exp_error_ulp(float x, float got)
{
    const double want = exp((double)x);
    const int exponent = ilogb(want) < -126 ? -126 : ilogb(want);

    return fabs((double)got - want) / ldexp(1, exponent - 23);
}

static void the_exponential_is_within_one_unit_in_the_last_place(void **state)
{
    const struct kernels *const *all;
    const size_t n_tables = tables(&all);
    const float least = -87.3f, most = 88.3f;
    float x[4096], y[4096];
    double worst = 0;
    size_t n = 0;

    (void)state;
    for (size_t t = 0; t < n_tables; t++) {
        const uint32_t step = t == 0 ? 4001 : 1009; /* every so manyth float of either sign */

        for (uint64_t bits = 0; bits <= UINT32_MAX; bits += step) {
            const float v = float_of_bits((uint32_t)bits);

            if (v >= least && v <= most)
                x[n++] = v;
            if (n == COUNT_OF(x) || bits + step > UINT32_MAX) {
                all[t]->exp_to(n, 0, 1, x, y);
                for (size_t i = 0; i < n; i++)
                    worst = fmax(worst, exp_error_ulp(x[i], y[i]));
                n = 0;
            }
        }
    }
    print_message("             largest error of the exponential: %.3f ulp\n", worst);
    assert_true(worst <= 1);
}

static void the_exponential_s_ends_are_as_written(void **state)
{
    const struct kernels *const *all;
    const size_t n_tables = tables(&all);
    const float x[] = {
        -87.3f, nextafterf(-87.3f, -100), -1e30f, -INFINITY, 0, -0.0f, 88.3f, 89, 1e30f, INFINITY,
        NAN};
    float y[COUNT_OF(x)];

    (void)state;
    for (size_t t = 0; t < n_tables; t++) {
        all[t]->exp_to(COUNT_OF(x), 0, 1, x, y);
        assert_true(y[0] >= 0x1p-126f); /* no subnormal result */
        for (int i = 1; i <= 3; i++)
            assert_int_equal(float_bits(y[i]), 0);
        assert_true(y[4] == 1 && y[5] == 1);
        assert_true(isfinite(y[6]) && exp_error_ulp(88.3f, y[6]) <= 1);
        for (int i = 7; i <= 9; i++)
            assert_true(y[i] == y[6]);
        assert_true(isnan(y[10]));
    }
}

static void the_maximum_of_nothing_is_minus_infinity_and_of_zeros_plus_zero(void **state)
{
    const struct kernels *const *all;
    const size_t n_tables = tables(&all);

    (void)state;
    for (size_t t = 0; t < n_tables; t++) {
        assert_true(all[t]->max(0, NULL) == -INFINITY);
        for (size_t at = 0; at <= 40; at++) { /* one +0 among -0, wherever it stands, or none */
            float x[40];

            for (size_t i = 0; i < 40; i++)
                x[i] = i == at ? 0.0f : -0.0f;
            assert_int_equal(float_bits(all[t]->max(40, x)), 0);
        }
    }
}

static void a_sum_of_products_too_small_for_a_float_keeps_its_sign(void **state)
{
    const struct kernels *const *all;
    const size_t n_tables = tables(&all);
    float x[70], y[70];

    (void)state;
    for (size_t i = 0; i < 70; i++) {
        x[i] = 0x1p-100f;
        y[i] = -0x1p-100f; /* a product rounds to -0 */
    }
    for (size_t n = 1; n <= 70; n++) {
        const float want = kernels_plain.dot(n, x, y);

        assert_int_equal(float_bits(want), n < PANEL ? 0 : 0x80000000); /* an empty lane is +0 */
        for (size_t t = 0; t < n_tables; t++) {
            const float got = all[t]->dot(n, x, y);

            ASSERT_SAME(all[t]->name, 1, &got, &want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tables_that_run_here_are_plain_and_its_twins),
        cmocka_unit_test(every_table_computes_the_bits_of_plain),
        cmocka_unit_test(every_table_s_product_is_one_chain_over_k),
        cmocka_unit_test(a_product_cut_along_k_is_the_same_product),
        cmocka_unit_test(every_table_unpacks_every_kind_of_panel_alike),
        cmocka_unit_test(every_table_multiplies_bfloats_alike),
        cmocka_unit_test(a_sum_of_bfloats_is_zero_where_its_rounding_is_too_small),
        cmocka_unit_test(a_transpose_turns_rows_into_columns),
        cmocka_unit_test(a_sum_over_a_row_is_sixteen_lanes_joined_as_a_tree),
        cmocka_unit_test(the_exponential_is_within_one_unit_in_the_last_place),
        cmocka_unit_test(the_exponential_s_ends_are_as_written),
        cmocka_unit_test(the_maximum_of_nothing_is_minus_infinity_and_of_zeros_plus_zero),
        cmocka_unit_test(a_sum_of_products_too_small_for_a_float_keeps_its_sign),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
