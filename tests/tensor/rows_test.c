/*
 * rows_test.c - operations on rows are the formulas of the papers, and their backward is their derivative.
 *
 * The derivative is taken by central differences of the formula in double precision, which is right to some 1e-9.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "support/numbers.h"
#include "tensor/cpu/kernels.h"
#include "tensor/ops.h"

#include <math.h>
#include <stdlib.h>

#define H 1e-5 /* half a step of the differences */

static float *random_floats(struct arena *a, struct dice *d, size_t n)
{
    float *x = ARENA_ARRAY(a, float, n);

    dice_fill(d, ORDINARY, x, n);
    return x;
}

/* A scalar made of a row's results, so that it has a gradient: sum of dy * y. */
typedef double scalar_fn(const void *ctx, const double *x);

static double slope(scalar_fn *f, const void *ctx, size_t n, const float *x, size_t i)
{
    double *at = malloc(n * sizeof *at);

    for (size_t j = 0; j < n; j++)
        at[j] = (double)x[j];
    at[i] = (double)x[i] + H;
    const double up = f(ctx, at);
    at[i] = (double)x[i] - H;
    const double down = f(ctx, at);
    free(at);
    return (up - down) / (2 * H);
}

struct norm_case {
    size_t n;
    const float *w, *x, *dy;
    double eps;
};

static double norm_factor(size_t n, const double *x, double eps)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return 1 / sqrt(sum / (double)n + eps);
}

static double norm_by_x(const void *ctx, const double *x)
{
    const struct norm_case *c = ctx;
    const double r = norm_factor(c->n, x, c->eps);
    double s = 0;

    for (size_t i = 0; i < c->n; i++)
        s += (double)c->dy[i] * x[i] * r * (double)c->w[i];
    return s;
}

static const size_t widths[] = {1, 2, 5, 16, 17, 31, 48, 64, 100};

static void rms_norm_is_its_formula(void **state)
{
    struct arena a = {0};
    struct dice d = {1};

    (void)state;
    for (size_t s = 0; s < COUNT_OF(widths); s++) {
        const size_t m = 1 + dice_below(&d, 20), n = widths[s], ldx = n + 3, ldy = n + 1;
        const float *x = random_floats(&a, &d, m * ldx), *w = random_floats(&a, &d, n);
        float *y = random_floats(&a, &d, m * ldy), *r = random_floats(&a, &d, m), rest = y[n];

        rms_norm(m, n, x, ldx, w, 1e-5f, y, ldy, r);
        for (size_t i = 0; i < m; i++) {
            double row[128];

            for (size_t j = 0; j < n; j++)
                row[j] = (double)x[i * ldx + j];
            const double factor = norm_factor(n, row, (double)1e-5f);
            ASSERT_NEAR(r[i], factor, 1e-6 * factor);
            for (size_t j = 0; j < n; j++)
                ASSERT_NEAR(y[i * ldy + j], row[j] * factor * (double)w[j],
                            1e-6 * fabs(row[j] * factor * (double)w[j]));
        }
        assert_true(m == 1 || y[n] == rest); /* what lies between rows */
        float *again = random_floats(&a, &d, m * ldy);
        rms_norm(m, n, x, ldx, w, 1e-5f, again, ldy, NULL);
        for (size_t i = 0; i < m; i++)
            ASSERT_SAME("without factors", n, again + i * ldy, y + i * ldy);
    }
    arena_release(&a);
}

static void rms_norm_s_backward_is_its_derivative_and_is_added(void **state)
{
    struct arena a = {0};
    struct dice d = {2};

    (void)state;
    for (size_t s = 0; s < COUNT_OF(widths); s++) {
        const size_t m = 3, n = widths[s];
        const float *x = random_floats(&a, &d, m * n), *w = random_floats(&a, &d, n),
                    *dy = random_floats(&a, &d, m * n);
        float *y = random_floats(&a, &d, m * n), *r = random_floats(&a, &d, m),
              *dx = random_floats(&a, &d, m * n), *before = random_floats(&a, &d, m * n);

        memcpy(before, dx, m * n * sizeof *dx);
        rms_norm(m, n, x, n, w, 1e-2f, y, n, r);
        rms_norm_back(m, n, x, n, w, r, dy, n, dx, n);
        for (size_t i = 0; i < m * n; i++) {
            const struct norm_case c = {.n = n, .w = w, .dy = dy + i / n * n, .eps = (double)1e-2f};
            const double want = slope(norm_by_x, &c, n, x + i / n * n, i % n);

            ASSERT_NEAR(dx[i] - before[i], want, 2e-5 * (1 + fabs(want)));
        }
    }
    arena_release(&a);
}

static void rms_norm_s_weight_gets_a_chain_over_rows(void **state)
{
    struct arena a = {0};
    struct dice d = {3};
    const size_t m = 37, n = 130, ldx = 133, ldy = 131;
    const float *x = random_floats(&a, &d, m * ldx), *dy = random_floats(&a, &d, m * ldy),
                *r = random_floats(&a, &d, m);
    float *dw = random_floats(&a, &d, n), *want = ARENA_ARRAY(&a, float, n);

    (void)state;
    memcpy(want, dw, n * sizeof *dw);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            want[j] = fmaf(dy[i * ldy + j], x[i * ldx + j] * r[i], want[j]);
    parallel_set_threads(3);
    rms_norm_back_w(m, n, x, ldx, r, dy, ldy, dw);
    parallel_set_threads(0);
    ASSERT_SAME("dw", n, dw, want);
    arena_release(&a);
}

static double gated(double gate, double up)
{
    return gate / (1 + exp(-gate)) * up;
}

static double gelu_gated(double gate, double up)
{
    return 0.5 * gate * (1 + tanh(sqrt(2 / M_PI) * (gate + 0.044715 * gate * gate * gate))) * up;
}

/* A gate of far to -far, its formula, and how far off what is almost 0 may be. */
struct gate {
    uint64_t seed;
    float far;
    double (*formula)(double gate, double up);
    double least;
    void (*forward)(size_t m, size_t n, const float *gate, const float *up, float *y,
                    struct rounded *rounded);
    void (*back)(size_t m, size_t n, const float *gate, const float *up, const float *dy,
                 float *dgate, float *dup);
};

static void assert_gate(const struct gate *c)
{
    struct arena a = {0};
    struct dice d = {c->seed};
    const size_t m = 9, n = 77;
    float *gate = random_floats(&a, &d, m * n);
    const float *up = random_floats(&a, &d, m * n), *dy = random_floats(&a, &d, m * n);
    float *y = ARENA_ARRAY(&a, float, m *n), *dgate = ARENA_ARRAY(&a, float, m *n),
          *dup = ARENA_ARRAY(&a, float, m *n);

    for (size_t i = 0; i < n; i++) /* far out, too: where the exponential meets its ends */
        gate[i] = dice_float(&d, -c->far, c->far);
    c->forward(m, n, gate, up, y, NULL);
    c->back(m, n, gate, up, dy, dgate, dup);
    for (size_t i = 0; i < m * n; i++) {
        const double g = (double)gate[i], u = (double)up[i], t = (double)dy[i];
        const double by_gate = (c->formula(g + H, u) - c->formula(g - H, u)) / (2 * H),
                     by_up = c->formula(g, 1); /* it is linear in up */

        ASSERT_NEAR(y[i], c->formula(g, u), 1e-6 * fabs(c->formula(g, u)) + c->least);
        ASSERT_NEAR(dgate[i], t * by_gate, 2e-6 * (1 + fabs(t * by_gate)));
        ASSERT_NEAR(dup[i], t * by_up, 1e-6 * fabs(t * by_up) + c->least);
    }
    arena_release(&a);
}

static void swiglu_is_its_formula_and_its_backward_the_derivative(void **state)
{
    (void)state;
    assert_gate(&(struct gate){4, 90, gated, 1e-30, swiglu_and, swiglu_back});
}

static void geglu_is_its_formula_and_its_backward_the_derivative(void **state)
{
    (void)state;
    assert_gate(&(struct gate){5, 20, gelu_gated, 1e-6, geglu_and, geglu_back});
}

static void the_clamped_gate_is_its_formula_and_its_backward_the_derivative(void **state)
{
    struct arena a = {0};
    struct dice d = {8};
    const size_t n = 400;
    float *gate = random_floats(&a, &d, n), *up = random_floats(&a, &d, n),
          *dy = random_floats(&a, &d, n), *y = ARENA_ARRAY(&a, float, n),
          *dgate = ARENA_ARRAY(&a, float, n), *dup = ARENA_ARRAY(&a, float, n);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        gate[i] = dice_float(&d, -12, 12);
        up[i] = dice_float(&d, -12, 12);
    }
    clamped_and(1, n, gate, up, y, NULL);
    clamped_back(1, n, gate, up, dy, dgate, dup);
    for (size_t i = 0; i < n; i++) {
        const double g = fmin((double)gate[i], 7), u = fmax(fmin((double)up[i], 7), -7);
        const double s = 1 / (1 + exp(-1.702 * g)), t = (double)dy[i];

        ASSERT_NEAR(y[i], (u + 1) * g * s, 2e-6 * (1 + fabs((u + 1) * g * s)));
        ASSERT_NEAR(dgate[i], gate[i] > 7 ? 0 : t * (u + 1) * s * (1 + 1.702 * g * (1 - s)), 1e-5);
        ASSERT_NEAR(dup[i], fabs((double)up[i]) > 7 ? 0 : t * g * s, 1e-5);
    }
    arena_release(&a);
}

static void a_soft_cap_is_its_formula_and_its_backward_the_derivative(void **state)
{
    struct arena a = {0};
    struct dice d = {6};
    const size_t m = 3, n = 77;
    float *x = random_floats(&a, &d, m * n), *y = ARENA_ARRAY(&a, float, m *n),
          *dx = ARENA_ARRAY(&a, float, m *n);
    const double cap = 5;

    (void)state;
    for (size_t i = 0; i < m * n; i++) {
        x[i] = dice_float(&d, -600, 600) * (i % 3 == 0 ? 1 : 0.02f);
        dx[i] = 1;
    }
    memcpy(y, x, m * n * sizeof *y);
    soft_cap_rows(m, n, (float)cap, y, n);
    kernels()->soft_cap_back(m * n, (float)cap, y, dx);
    for (size_t i = 0; i < m * n; i++) {
        const double t = tanh((double)x[i] / cap);

        ASSERT_NEAR(y[i], cap * t, 2e-6);
        ASSERT_NEAR(dx[i], 1 - t * t, 2e-6);
    }
    arena_release(&a);
}

static void layer_norm_is_its_formula(void **state)
{
    struct arena a = {0};
    struct dice d = {14};

    (void)state;
    for (size_t s = 0; s < COUNT_OF(widths); s++) {
        const size_t m = 1 + dice_below(&d, 20), n = widths[s], ldx = n + 3, ldy = n + 1;
        float *x = random_floats(&a, &d, m * ldx);
        const float *w = random_floats(&a, &d, n), *b = random_floats(&a, &d, n);
        float *y = random_floats(&a, &d, m * ldy), rest = y[n];

        for (size_t i = 0; i < m * ldx; i++)
            x[i] += 100; /* a mean much larger than the deviation */
        layer_norm(m, n, x, ldx, w, b, 1e-5f, y, ldy);
        for (size_t i = 0; i < m; i++) {
            double mean = 0, square = 0;

            for (size_t j = 0; j < n; j++)
                mean += (double)x[i * ldx + j] / (double)n;
            for (size_t j = 0; j < n; j++)
                square += pow((double)x[i * ldx + j] - mean, 2) / (double)n;
            for (size_t j = 0; j < n; j++)
                ASSERT_NEAR(y[i * ldy + j],
                            ((double)x[i * ldx + j] - mean) / sqrt(square + 1e-5) * (double)w[j] +
                                (double)b[j],
                            3e-5 / sqrt(square + 1e-5));
        }
        assert_true(y[n] == rest); /* what lies between rows is not touched */
        layer_norm(m, n, x, ldx, w, b, 1e-5f, x, ldx);
        for (size_t i = 0; i < m; i++)
            ASSERT_SAME("in place", n, x + i * ldx, y + i * ldy);
    }
    arena_release(&a);
}

static void gelu_is_its_formula_within_the_stated_error(void **state)
{
    float x[1000], y[1000];

    (void)state;
    for (int from = -16000; from < 16000; from += 1000) {
        for (int i = 0; i < 1000; i++)
            x[i] = (float)(from + i) / 1000.0f;
        gelu(1, 1000, x, y);
        for (int i = 0; i < 1000; i++) {
            const double want = 0.5 * (double)x[i] * erfc(-(double)x[i] * 0.70710678118654752);
            const double half_unit = ldexp(fabs(want), -24);

            ASSERT_NEAR(y[i], want, 6e-8 + half_unit);
        }
    }
    const float ends[] = {-INFINITY, -1e30f, 0, 1e30f, INFINITY, NAN};
    gelu(1, COUNT_OF(ends), ends, y);
    for (size_t i = 0; i < 3; i++)
        assert_true(y[i] == 0);
    assert_true(y[3] == 1e30f && isinf(y[4]) && isnan(y[5]));
}

static void rope_turns_pairs_by_their_position_s_angle_and_back(void **state)
{
    struct arena a = {0};
    struct dice d = {5};
    const size_t m = 21, n_heads = 3, width = 32, half = width / 2, positions = 50,
                 ld = n_heads * width + 7;
    float *c = ARENA_ARRAY(&a, float, positions *half),
          *s = ARENA_ARRAY(&a, float, positions *half);
    float *x = random_floats(&a, &d, m * ld), *was = ARENA_ARRAY(&a, float, m *ld);
    uint32_t pos[21];

    (void)state;
    for (size_t p = 0; p < positions; p++) {
        for (size_t j = 0; j < half; j++) {
            const double angle = (double)p * pow(100, -(double)j / (double)half);

            c[p * half + j] = (float)cos(angle);
            s[p * half + j] = (float)sin(angle);
        }
    }
    for (size_t i = 0; i < m; i++)
        pos[i] = (uint32_t)dice_below(&d, positions);
    memcpy(was, x, m * ld * sizeof *x);
    rope_rows(m, width, c, s, pos, false, &(struct heads){n_heads, x, ld, 0}, 1);
    for (size_t i = 0; i < m; i++) {
        for (size_t h = 0; h < n_heads; h++) {
            for (size_t j = 0; j < half; j++) {
                const size_t at = i * ld + h * width + j;
                const double angle = (double)pos[i] * pow(100, -(double)j / (double)half);
                const double re = (double)was[at], im = (double)was[at + half];

                ASSERT_NEAR(x[at], re * cos(angle) - im * sin(angle), 1e-6);
                ASSERT_NEAR(x[at + half], re * sin(angle) + im * cos(angle), 1e-6);
            }
        }
        ASSERT_SAME("behind the heads", 7, x + i * ld + n_heads * width,
                    was + i * ld + n_heads * width);
    }
    /* the transpose of a turn is the turn back: that is the gradient's way */
    rope_rows(m, width, c, s, pos, true, &(struct heads){n_heads, x, ld, 0}, 1);
    assert_true(largest_difference(m * ld, x, was) < 2e-6);
    arena_release(&a);
}

static void rows_are_added_and_scaled_where_they_lie(void **state)
{
    struct arena a = {0};
    struct dice d = {6};
    const size_t m = 19, n = 37, ldx = 40, ldy = 50;
    float *x = random_floats(&a, &d, m * ldx), *y = random_floats(&a, &d, m * ldy);
    float *want = ARENA_ARRAY(&a, float, m *ldy);

    (void)state;
    memcpy(want, y, m * ldy * sizeof *y);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            want[i * ldy + j] += x[i * ldx + j];
    add_rows(m, n, x, ldx, y, ldy);
    ASSERT_SAME("sum", m * ldy, y, want);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++)
            want[i * ldy + j] *= 0.3f;
    scale_rows(m, n, 0.3f, y, ldy);
    ASSERT_SAME("scaled", m * ldy, y, want);
    scale_rows(m, n, 1, y, ldy);
    ASSERT_SAME("scaled by one", m * ldy, y, want);
    arena_release(&a);
}

static const size_t vocabularies[] = {1, 2, 16, 100, 255, 256, 257, 320, 511, 513, 4097, 49152};

static const float inv_ts[] = {1, 0.5f, 2, 10};

struct exact { /* of a row, in double */
    double most, total, entropy;
};

static struct exact exact_softmax(size_t v, const float *z, double inv_t)
{
    struct exact e = {.most = -(double)INFINITY};

    for (size_t i = 0; i < v; i++)
        e.most = fmax(e.most, (double)z[i]);
    for (size_t i = 0; i < v; i++)
        e.total += exp(((double)z[i] - e.most) * inv_t);
    for (size_t i = 0; i < v; i++) {
        const double l = ((double)z[i] - e.most) * inv_t - log(e.total);

        e.entropy -= exp(l) * l;
    }
    return e;
}

static float *random_logits(struct arena *a, struct dice *d, size_t v)
{
    float *z = random_floats(a, d, v);

    for (size_t i = 0; i < v; i++)
        z[i] = 4 * z[i] + 30;
    return z;
}

static void a_softmax_s_logarithms_are_right_at_any_temperature(void **state)
{
    struct arena a = {0};
    struct dice d = {7};

    (void)state;
    for (size_t s = 0; s < COUNT_OF(vocabularies); s++) {
        const size_t v = vocabularies[s];
        float *z = random_logits(&a, &d, v), *sums = ARENA_ARRAY(&a, float, softmax_blocks(v));

        if (v > 1)
            z[dice_below(&d, v)] = -INFINITY; /* a token that must not come */
        for (size_t t = 0; t < COUNT_OF(inv_ts); t++) {
            const double inv_t = (double)inv_ts[t];
            const struct softmax_row row = softmax_row_of(v, z, inv_ts[t], sums);
            const struct exact e = exact_softmax(v, z, inv_t);

            assert_true((double)row.max == e.most);
            ASSERT_NEAR(row.total, e.total, 2e-6 * e.total);
            for (size_t i = 0; i < v; i++) {
                const double l = ((double)z[i] - e.most) * inv_t - log(e.total);

                if (isinf(l))
                    assert_true(softmax_logp(&row, z[i], inv_ts[t]) == -INFINITY);
                else
                    ASSERT_NEAR(softmax_logp(&row, z[i], inv_ts[t]), l, 3e-6 * (1 + fabs(l)));
            }
        }
    }
    arena_release(&a);
}

static void a_softmax_s_total_is_the_sum_of_its_blocks_in_order(void **state)
{
    struct arena a = {0};
    struct dice d = {9};

    (void)state;
    for (size_t s = 0; s < COUNT_OF(vocabularies); s++) {
        const size_t v = vocabularies[s];
        float *z = random_logits(&a, &d, v), *sums = ARENA_ARRAY(&a, float, softmax_blocks(v));
        const struct softmax_row row = softmax_row_of(v, z, 1, sums);
        float total = 0;

        assert_int_equal(softmax_blocks(v), (v + SOFTMAX_BLOCK - 1) / SOFTMAX_BLOCK);
        for (size_t b = 0; b < softmax_blocks(v); b++) {
            const size_t from = b * SOFTMAX_BLOCK, n = size_min(SOFTMAX_BLOCK, v - from);
            double block = 0;

            for (size_t i = 0; i < n; i++)
                block += exp((double)z[from + i] - (double)row.max);
            ASSERT_NEAR(sums[b], block, 2e-6 * block);
            total += sums[b];
        }
        assert_int_equal(float_bits(total), float_bits(row.total));
    }
    arena_release(&a);
}

static void an_entropy_is_that_of_the_distribution(void **state)
{
    struct arena a = {0};
    struct dice d = {10};

    (void)state;
    for (size_t s = 0; s < COUNT_OF(vocabularies); s++) {
        const size_t v = vocabularies[s];
        float *z = random_logits(&a, &d, v), *sums = ARENA_ARRAY(&a, float, softmax_blocks(v)),
              *work = ARENA_ARRAY(&a, float, v);

        for (size_t t = 0; t < COUNT_OF(inv_ts); t++) {
            const struct softmax_row row = softmax_row_of(v, z, inv_ts[t], sums);
            const struct exact e = exact_softmax(v, z, (double)inv_ts[t]);

            /* the mean logit less the largest, times 1 / T: what they lose in FP32 */
            const double bound = 1e-5 * e.most * (double)inv_ts[t];
            ASSERT_NEAR(softmax_entropy(&row, v, z, inv_ts[t], work), e.entropy, bound);
            for (size_t i = 0; i < v; i++)
                ASSERT_NEAR(work[i], exp(((double)z[i] - e.most) * (double)inv_ts[t]), 1e-6);
        }
    }
    arena_release(&a);
}

/* Everything above once more, as one long list of results, to be compared bit by bit. */
static size_t all_of_it(float *out)
{
    struct arena a = {0};
    struct dice d = {8};
    const size_t m = 45, n = 66;
    const float *x = random_floats(&a, &d, m * n), *w = random_floats(&a, &d, n),
                *dy = random_floats(&a, &d, m * n);
    float *r = ARENA_ARRAY(&a, float, m), *at = out;
    uint32_t pos[45];

    for (uint32_t i = 0; i < m; i++)
        pos[i] = i * 7 % 11;
    rms_norm(m, n, x, n, w, 1e-5f, at, n, r);
    at += m * n;
    memcpy(at, x, m * n * sizeof *at);
    rms_norm_back(m, n, x, n, w, r, dy, n, at, n);
    at += m * n;
    memcpy(at, w, n * sizeof *at);
    rms_norm_back_w(m, n, x, n, r, dy, n, at);
    at += n;
    swiglu(m, n, x, dy, at);
    swiglu_back(m, n, x, dy, dy, at + m * n, at + 2 * m * n);
    at += 3 * m * n;
    memcpy(at, x, m * n * sizeof *at);
    rope_rows(m, 22, dy, x, pos, false, &(struct heads){3, at, n, 0}, 1);
    add_rows(m, n, dy, n, at, n);
    scale_rows(m, n, 0.7f, at, n);
    at += m * n;
    layer_norm(m, n, x, n, w, dy, 1e-5f, at, n);
    gelu(m, n, at, at);
    at += m * n;
    const struct softmax_row s = softmax_row_of(m * n, x, 0.7f, at);
    at += softmax_blocks(m * n);
    at[0] = s.log_total;
    at[1] = softmax_entropy(&s, m * n, x, 0.7f, at + 2);
    arena_release(&a);
    return (size_t)(at + 2 - out) + m * n;
}

static void neither_threads_nor_machine_change_a_bit(void **state)
{
    static const int threads[] = {1, 2, 3, 8};
    const struct kernels *const *all;
    const size_t n_tables = kernels_available(&all);
    float *want = calloc(30000, sizeof *want), *got = calloc(30000, sizeof *got);
    size_t n = 0;

    (void)state;
    for (size_t k = 0; k < n_tables; k++) {
        assert_true(ops_choose_machine(all[k]->name));
        for (size_t t = 0; t < COUNT_OF(threads); t++) {
            parallel_set_threads(threads[t]);
            if (k == 0 && t == 0)
                n = all_of_it(want);
            assert_int_equal(all_of_it(got), n);
            ASSERT_SAME(all[k]->name, n, got, want);
        }
    }
    assert_true(n > 6 * 45 * 66);
    parallel_set_threads(0);
    assert_true(ops_choose_machine(NULL));
    free(want);
    free(got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rms_norm_is_its_formula),
        cmocka_unit_test(rms_norm_s_backward_is_its_derivative_and_is_added),
        cmocka_unit_test(rms_norm_s_weight_gets_a_chain_over_rows),
        cmocka_unit_test(layer_norm_is_its_formula),
        cmocka_unit_test(gelu_is_its_formula_within_the_stated_error),
        cmocka_unit_test(swiglu_is_its_formula_and_its_backward_the_derivative),
        cmocka_unit_test(the_clamped_gate_is_its_formula_and_its_backward_the_derivative),
        cmocka_unit_test(a_soft_cap_is_its_formula_and_its_backward_the_derivative),
        cmocka_unit_test(geglu_is_its_formula_and_its_backward_the_derivative),
        cmocka_unit_test(rope_turns_pairs_by_their_position_s_angle_and_back),
        cmocka_unit_test(rows_are_added_and_scaled_where_they_lie),
        cmocka_unit_test(a_softmax_s_logarithms_are_right_at_any_temperature),
        cmocka_unit_test(a_softmax_s_total_is_the_sum_of_its_blocks_in_order),
        cmocka_unit_test(an_entropy_is_that_of_the_distribution),
        cmocka_unit_test(neither_threads_nor_machine_change_a_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
