/*
 * plain.c - every kernel in plain C: this file defines the right answer, to the bit.
 */
#include "tensor/cpu/kernels_internal.h"
#include "tensor/dtype.h"

#include <math.h>
#include <string.h>

static void plain_gemm(size_t m, size_t n, size_t k, const float *a, size_t a_i, size_t a_k,
                       const float *b, size_t b_k, size_t b_panel, float *c, size_t c_i,
                       bool accumulate)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            const float *column = b + j / PANEL * b_panel + j % PANEL;
            float acc = accumulate ? c[i * c_i + j] : 0;

            for (size_t t = 0; t < k; t++)
                acc = fmaf(a[i * a_i + t * a_k], column[t * b_k], acc);
            c[i * c_i + j] = acc;
        }
    }
}

static int q5_at(const struct pack_q5 *block, size_t k, size_t j)
{
    const int byte = block->q[k / 8][j][k % 4], fifth = block->fifth[j][k % 4] >> k / 4 & 1;

    return (k % 8 < 4 ? byte & 15 : byte >> 4) | fifth << 4;
}

static int q2_at(const struct pack_q2 *block, size_t k, size_t j)
{
    return block->q[j][k % 4] >> k / 4 * 2 & 3;
}

static float plain_weight(enum pack_kind kind, const void *panel, size_t k, size_t j)
{
    switch (kind) {
    case PACK_F32:
        return ((const float *)panel)[k * PANEL + j];
    case PACK_F16:
        return f16_to_f32(((const uint16_t *)panel)[k * PANEL + j]);
    case PACK_BF16:
        return bf16_to_f32(((const uint16_t *)panel)[k * PANEL + j]);
    case PACK_Q8: {
        const struct pack_q8 *block = (const struct pack_q8 *)panel + k / 16;

        return (float)block->q[k % 16 / 4][j][k % 4] * block->d[j];
    }
    case PACK_Q4: {
        const struct pack_q4 *block = (const struct pack_q4 *)panel + k / 32;
        const uint8_t byte = block->q[k % 32 / 8][j][k % 4];

        return fmaf((float)(k % 8 < 4 ? byte & 15 : byte >> 4), block->d[j], block->m[j]);
    }
    case PACK_Q5: {
        const struct pack_q5 *block = (const struct pack_q5 *)panel + k / 32;

        return fmaf((float)q5_at(block, k % 32, j), block->d[j], block->m[j]);
    }
    case PACK_Q2: {
        const struct pack_q2 *block = (const struct pack_q2 *)panel + k / 16;

        return fmaf((float)q2_at(block, k % 16, j), block->d[j], block->m[j]);
    }
    case PACK_F8: {
        const struct pack_f8 *block = (const struct pack_f8 *)panel + k / 16;

        return f8_e4m3_to_f32(block->q[k % 16][j]) * block->d[j];
    }
    }
    return 0;
}

static void plain_unpack(enum pack_kind kind, const void *panel, size_t k0, size_t n_k, float *out)
{
    for (size_t k = 0; k < n_k; k++)
        for (size_t j = 0; j < PANEL; j++)
            out[k * PANEL + j] = plain_weight(kind, panel, k0 + k, j);
}

static void plain_unpack_across(enum pack_kind kind, const void *panel, size_t k0, size_t n_k,
                                float out[PANEL * PANEL])
{
    for (size_t j = 0; j < PANEL; j++)
        for (size_t k = 0; k < PANEL; k++)
            out[j * PANEL + k] = k < n_k ? plain_weight(kind, panel, k0 + k, j) : 0;
}

static void plain_bf16_row(size_t n, const float *x, void *out)
{
    float *y = out;

    for (size_t i = 0; i < n; i++)
        y[i] = bf16_flushed(x[i]);
    if (n % 2 == 1)
        y[n] = 0;
}

static void plain_bf16_across(enum pack_kind kind, const void *panel, size_t k0, size_t n_k,
                              void *out)
{
    plain_unpack_across(kind, panel, k0, n_k, out);
    plain_bf16_row((size_t)PANEL * PANEL, out, out);
}

/*
 * acc + a * b, rounded, and 0 where that is below 2^-126: as if exponents had no end, so that a sum half a last place below is not. Of
 * bfloats, a double has all of a sum that is so small.
 */
static float bf16_step(float a, float b, float acc)
{
    const float sum = fmaf(a, b, acc);

    return fabs((double)a * (double)b + (double)acc) < 0x1p-126 - 0x1p-151 ? copysignf(0, sum)
                                                                           : sum;
}

static void plain_bf16_gemm(size_t m, size_t n, size_t k, const void *a, size_t a_i, const void *b,
                            size_t b_panel, float *c, size_t c_i, bool accumulate)
{
    for (size_t i = 0; i < m; i++) {
        for (size_t j = 0; j < n; j++) {
            const float *row = (const float *)a + i * a_i,
                        *column = (const float *)b + j / PANEL * b_panel + j % PANEL;
            float acc = accumulate ? c[i * c_i + j] : 0;

            if (fabsf(acc) < 0x1p-126f)
                acc = copysignf(0, acc);
            for (size_t t = 0; t < k; t++)
                acc = bf16_step(row[t], column[t * PANEL], acc);
            c[i * c_i + j] = acc;
        }
    }
}

static const struct bf16_kernels bf16_plain = {.bytes = sizeof(float),
                                               .row = plain_bf16_row,
                                               .across = plain_bf16_across,
                                               .gemm = plain_bf16_gemm};

static void plain_to_f16(size_t n, const float *x, uint16_t *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = isfinite(x[i]) ? f32_to_f16(fmaxf(-F16_LARGEST, fminf(x[i], F16_LARGEST))) : 0x7e00;
}

static uint16_t plain_to_q8(const float *x, int8_t *q)
{
    float largest = 0;
    bool finite = true;

    for (size_t i = 0; i < CACHED_BLOCK; i++) {
        finite = finite && isfinite(x[i]);
        largest = fmaxf(largest, fabsf(x[i]));
    }
    const uint16_t h = finite ? cached_step(largest) : 0x7e00;
    const float step = f16_to_f32(h);
    for (size_t i = 0; i < CACHED_BLOCK; i++)
        q[i] = finite && step > 0 ? (int8_t)lrintf(fmaxf(-127.0f, fminf(x[i] / step, 127.0f))) : 0;
    return h;
}

static void plain_from_q8_across(size_t n, const int8_t *q, const uint16_t *step, float *out)
{
    for (size_t k = 0; k < n; k++)
        for (size_t j = 0; j < PANEL; j++)
            out[k * PANEL + j] =
                (float)q[k * PANEL + j] * f16_to_f32(step[k / CACHED_BLOCK * PANEL + j]);
}

static void plain_from_q8_along(size_t n, const int8_t *q, const uint16_t *step, float *out)
{
    for (size_t i = 0; i < PANEL; i++)
        for (size_t k = 0; k < n; k++)
            out[i * n + k] = (float)q[i * n + k] * f16_to_f32(step[k / CACHED_BLOCK * PANEL + i]);
}

static void plain_transpose(const float *in, size_t in_ld, float *out, size_t out_ld)
{
    for (size_t i = 0; i < PANEL; i++)
        for (size_t j = 0; j < PANEL; j++)
            out[j * out_ld + i] = in[i * in_ld + j];
}

/* Joins 16 lanes as a tree. */
static float join(const float lane[PANEL])
{
    float t[PANEL];

    memcpy(t, lane, sizeof t);
    for (size_t half = PANEL / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            t[i] = t[i] + t[i + half];
    return t[0];
}

static float plain_dot(size_t n, const float *x, const float *y)
{
    float lane[PANEL] = {0};

    for (size_t i = 0; i < n; i++)
        lane[i % PANEL] = fmaf(x[i], y[i], lane[i % PANEL]);
    return join(lane);
}

static float plain_rms_norm(size_t n, const float *x, const float *w, float eps, float *y)
{
    const float r = 1.0f / sqrtf(plain_dot(n, x, x) / (float)n + eps);

    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * r * w[i];
    return r;
}

/* dx_i += r * (w_i dy_i - x_i r^2 / n * sum_j w_j dy_j x_j) */
static void plain_rms_norm_back(size_t n, const float *x, const float *w, float r, const float *dy,
                                float *dx)
{
    float lane[PANEL] = {0};

    for (size_t i = 0; i < n; i++)
        lane[i % PANEL] = fmaf(w[i] * dy[i], x[i], lane[i % PANEL]);
    const float s = join(lane) * (r * r / (float)n);
    for (size_t i = 0; i < n; i++)
        dx[i] = fmaf(r, fmaf(-s, x[i], w[i] * dy[i]), dx[i]);
}

/*
 * e^x: x = n ln 2 + r, |r| <= ln 2 / 2; e^r by a polynomial of degree 6 (Cephes' coefficients), within 1 ulp of the
 * right answer; 0 below -87.3, so that -inf gives 0, and capped above 88.3.
 */
float kernel_exp(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to a whole number */
    union {
        float f;
        int32_t i;
    } u;

    if (!(x >= -87.3f))
        return x != x ? x : 0; /* NaN stays */
    x = x < 88.3f ? x : 88.3f;
    const float n = fmaf(x, 1.44269504088896341f, magic) - magic;
    float r = fmaf(n, -0.693359375f, x);
    r = fmaf(n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = fmaf(p, r, 1.3981999507e-3f);
    p = fmaf(p, r, 8.3334519073e-3f);
    p = fmaf(p, r, 4.1665795894e-2f);
    p = fmaf(p, r, 1.6666665459e-1f);
    p = fmaf(p, r, 5.0000001201e-1f);
    p = fmaf(p, r * r, r) + 1.0f;
    u.i = ((int32_t)n + 127) * (1 << 23);
    return p * u.f;
}

static void plain_swiglu(size_t n, const float *gate, const float *up, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = gate[i] / (1.0f + kernel_exp(-gate[i])) * up[i];
}

static void plain_swiglu_back(size_t n, const float *gate, const float *up, const float *dy,
                              float *dgate, float *dup)
{
    for (size_t i = 0; i < n; i++) {
        const float g = gate[i];
        const float s = 1.0f / (1.0f + kernel_exp(-g));

        dup[i] = dy[i] * (g * s);
        dgate[i] = dy[i] * up[i] * (s * fmaf(g, 1.0f - s, 1.0f));
    }
}

/* e^(-2 u) of GELU's form by tanh at x */
static float geglu_exp(float x)
{
    return kernel_exp(-(x * fmaf(x * x, GEGLU_3, GEGLU_1)));
}

static void plain_geglu(size_t n, const float *gate, const float *up, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = gate[i] / (1.0f + geglu_exp(gate[i])) * up[i];
}

static void plain_geglu_back(size_t n, const float *gate, const float *up, const float *dy,
                             float *dgate, float *dup)
{
    for (size_t i = 0; i < n; i++) {
        const float g = gate[i];
        const float s = 1.0f / (1.0f + geglu_exp(g));
        const float slope = fmaf(g * g, 3 * GEGLU_3, GEGLU_1); /* of 2 u */

        dup[i] = dy[i] * (g * s);
        dgate[i] = dy[i] * up[i] * (s * fmaf(g * (1.0f - s), slope, 1.0f));
    }
}

/* NaN stays */
static float at_most(float limit, float x)
{
    return limit < x ? limit : x;
}

static float at_least(float limit, float x)
{
    return limit > x ? limit : x;
}

static float clamped_up(float up)
{
    return at_least(-CLAMPED_LIMIT, at_most(CLAMPED_LIMIT, up));
}

static void plain_clamped(size_t n, const float *gate, const float *up, float *y)
{
    for (size_t i = 0; i < n; i++) {
        const float g = at_most(CLAMPED_LIMIT, gate[i]);

        y[i] = g / (1.0f + kernel_exp(g * -CLAMPED_ALPHA)) * (clamped_up(up[i]) + 1.0f);
    }
}

/* y where x >= least, x where it is NaN, else 0 */
static float keep_from(float x, float least, float y)
{
    return x >= least ? y : x != x ? x : 0;
}

static void plain_clamped_back(size_t n, const float *gate, const float *up, const float *dy,
                               float *dgate, float *dup)
{
    for (size_t i = 0; i < n; i++) {
        const float g = at_most(CLAMPED_LIMIT, gate[i]), u = clamped_up(up[i]), d = dy[i];
        const float s = 1.0f / (1.0f + kernel_exp(g * -CLAMPED_ALPHA));
        const float by_gate = d * (u + 1.0f) * (s * fmaf(g * CLAMPED_ALPHA, 1.0f - s, 1.0f));

        dup[i] =
            keep_from(up[i], -CLAMPED_LIMIT, keep_from(up[i] * -1.0f, -CLAMPED_LIMIT, d * (g * s)));
        dgate[i] = keep_from(gate[i] * -1.0f, -CLAMPED_LIMIT, by_gate);
    }
}

static void plain_soft_cap(size_t n, float s, float cap, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = fmaf(2.0f * cap, 1.0f / (1.0f + kernel_exp(x[i] * (-2.0f * s))), -cap);
}

static void plain_soft_cap_back(size_t n, float cap, const float *y, float *d)
{
    for (size_t i = 0; i < n; i++) {
        const float t = y[i] * (1.0f / cap);

        d[i] *= fmaf(-t, t, 1.0f);
    }
}

/* y holds the deviations from the mean in between */
static void plain_layer_norm(size_t n, const float *x, const float *w, const float *b, float eps,
                             float *y)
{
    float lane[PANEL] = {0};

    for (size_t i = 0; i < n; i++)
        lane[i % PANEL] += x[i];
    const float mean = join(lane) / (float)n;
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] - mean;
    const float r = 1.0f / sqrtf(plain_dot(n, y, y) / (float)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = fmaf(y[i] * r, w[i], b[i]);
}

/* x P(X <= x) is max(x, 0) - |x| P(X <= -|x|): one branch, and no difference of nearly equal numbers for x < 0. */
static float gelu_one(float x)
{
    const float size = -x > x ? -x : x, t = size < GELU_END ? size : GELU_END;
    float q = gelu_q[0];

    for (size_t k = 1; k < sizeof gelu_q / sizeof *gelu_q; k++)
        q = fmaf(q, t, gelu_q[k]);
    return fmaf(-t, 0.5f * kernel_exp(-t * q), 0 > x ? 0 : x); /* NaN stays */
}

static void plain_gelu(size_t n, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = gelu_one(x[i]);
}

static void plain_rope(size_t n, const float *cos_, const float *sin_, bool back, float *x)
{
    const size_t half = n / 2;

    for (size_t i = 0; i < half; i++) {
        const float a = x[i], b = x[i + half], c = cos_[i], s = back ? -sin_[i] : sin_[i];

        x[i] = fmaf(a, c, -(b * s));
        x[i + half] = fmaf(b, c, a * s);
    }
}

static void plain_add(size_t n, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void plain_scale(size_t n, float s, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] *= s;
}

static float plain_max(size_t n, const float *x)
{
    float m = -INFINITY;

    for (size_t i = 0; i < n; i++)
        m = x[i] > m ? x[i] : m;
    return m + 0.0f; /* which of a +0 and a -0 came first must not show */
}

static float plain_exp_sum(size_t n, float max, float scale, float *x)
{
    float lane[PANEL] = {0};

    for (size_t i = 0; i < n; i++) {
        x[i] = kernel_exp((x[i] - max) * scale);
        lane[i % PANEL] += x[i];
    }
    return join(lane);
}

static void plain_exp_block_sums(size_t n, float max, float inv_t, const float *x, float *sums)
{
    for (size_t from = 0; from < n; from += SOFTMAX_BLOCK) {
        float lane[PANEL] = {0};

        for (size_t i = from; i < n && i < from + SOFTMAX_BLOCK; i++)
            lane[i % PANEL] += kernel_exp((x[i] - max) * inv_t);
        sums[from / SOFTMAX_BLOCK] = join(lane);
    }
}

static void plain_exp_to(size_t n, float max, float inv_t, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = kernel_exp((x[i] - max) * inv_t);
}

static void plain_dense_back(size_t n, float c0, float c1, const float *logit, float *p)
{
    for (size_t i = 0; i < n; i++)
        p[i] = p[i] * fmaf(c1, logit[i], c0);
}

static void plain_softmax_back(size_t n, const float *p, const float *dp, float delta, float s,
                               float *ds)
{
    for (size_t i = 0; i < n; i++)
        ds[i] = p[i] * (dp[i] - delta) * s;
}

static void plain_adamw(size_t n, const struct adamw_numbers *a, const float *g, float *m, float *v,
                        float *w)
{
    for (size_t i = 0; i < n; i++) {
        const float gi = g[i] * a->clip;

        m[i] = fmaf(a->beta1, m[i], (1.0f - a->beta1) * gi);
        v[i] = fmaf(a->beta2, v[i], (1.0f - a->beta2) * gi * gi);
        const float step = (m[i] * a->c1) / (sqrtf(v[i] * a->c2) + a->eps);
        w[i] = fmaf(-a->lr, fmaf(a->wd, w[i], step), w[i]);
    }
}

static struct rounded_top plain_top(const float *x)
{
    struct rounded_top t = {0};

    for (size_t i = 0; i < ROUNDED_BLOCK; i++) {
        int32_t bits;

        memcpy(&bits, &x[i], sizeof bits);
        bits &= INT32_MAX;
        if (bits > t.first) {
            t.second = t.first;
            t.first = bits;
            t.at = i;
        } else if (bits > t.second) {
            t.second = bits;
        }
    }
    return t;
}

static void plain_round_row(const float *x, const struct rounded *to, size_t row)
{
    const size_t n_blocks = to->k / ROUNDED_BLOCK;
    uint32_t *n_apart = &to->n_apart[row];

    *n_apart = 0;
    for (size_t b = 0; b < n_blocks; b++, x += ROUNDED_BLOCK) {
        const size_t at = b * to->m + row;
        int8_t *q = to->q + at * ROUNDED_BLOCK;
        const struct rounded_top top = plain_top(x);
        const bool apart = rounded_stands_out(&top);
        const struct rounding by = rounding_of(apart ? top.second : top.first);
        int32_t sums[2] = {0};

        if (apart)
            to->apart[row * n_blocks + (*n_apart)++] =
                (struct rounded_apart){(uint32_t)(b * ROUNDED_BLOCK + top.at), x[top.at]};
        for (size_t i = 0; i < ROUNDED_BLOCK; i++) {
            q[i] = by.factor == 0 || (apart && i == top.at) ? 0 : (int8_t)lrintf(x[i] * by.factor);
            sums[i / 16] += q[i];
        }
        to->step[at] = by.step;
        to->shift[at] = by.step * (float)(sums[0] + sums[1]);
        for (size_t h = 0; h < 2; h++)
            to->minus[(2 * b + h) * to->m + row] = -128 * sums[h];
    }
}

/* A block of whole numbers of a panel: what they are, and what they are worth. */
struct plain_whole {
    size_t size; /* 16 or 32 */
    int q[32];
    float d, m;
    bool has_min;
};
static struct plain_whole plain_block(enum pack_kind kind, const void *panel, size_t b, size_t j)
{
    struct plain_whole out = {.size = pack_whole_size(kind), .has_min = kind != PACK_Q8};

    for (size_t k = 0; k < out.size; k++) {
        if (kind == PACK_Q8) {
            const struct pack_q8 *w = (const struct pack_q8 *)panel + b;

            out.q[k] = w->q[k / 4][j][k % 4];
            out.d = w->d[j];
        } else if (kind == PACK_Q2) {
            const struct pack_q2 *w = (const struct pack_q2 *)panel + b;

            out.q[k] = q2_at(w, k, j);
            out.d = w->d[j];
            out.m = w->m[j];
        } else if (kind == PACK_Q5) {
            const struct pack_q5 *w = (const struct pack_q5 *)panel + b;

            out.q[k] = q5_at(w, k, j);
            out.d = w->d[j];
            out.m = w->m[j];
        } else {
            const struct pack_q4 *w = (const struct pack_q4 *)panel + b;

            out.q[k] = k % 8 < 4 ? w->q[k / 8][j][k % 4] & 15 : w->q[k / 8][j][k % 4] >> 4;
            out.d = w->d[j];
            out.m = w->m[j];
        }
    }
    return out;
}

static float plain_rounded_element(enum pack_kind kind, const struct rounded *x, size_t row,
                                   const void *panel, size_t j, float acc)
{
    const size_t size = pack_whole_size(kind);

    for (size_t b = 0; b < x->k / size; b++) {
        const size_t at = b * size / ROUNDED_BLOCK * x->m + row;
        const int8_t *q = x->q + at * ROUNDED_BLOCK + b * size % ROUNDED_BLOCK;
        const struct plain_whole w = plain_block(kind, panel, b, j);
        int32_t sum = 0;

        for (size_t k = 0; k < size; k++)
            sum += q[k] * w.q[k];
        acc = fmaf((float)sum, w.d * x->step[at], acc);
        if (w.has_min)
            acc = fmaf(w.m, size == 32 ? x->shift[at] : rounded_shift16(x, b, row), acc);
    }
    for (size_t o = 0; o < x->n_apart[row]; o++) {
        const struct rounded_apart *apart = &x->apart[row * (x->k / ROUNDED_BLOCK) + o];

        acc = fmaf(apart->x, plain_weight(kind, panel, apart->k, j), acc);
    }
    return acc;
}

static void plain_gemm_rounded(const struct panels *w, const struct rounded *x, size_t row,
                               size_t m, float *c, size_t c_i, bool accumulate)
{
    for (size_t i = 0; i < m; i++, c += c_i)
        for (size_t j = 0; j < w->n * PANEL; j++)
            c[j] = plain_rounded_element(w->kind, x, row + i,
                                         (const unsigned char *)w->first + j / PANEL * w->bytes,
                                         j % PANEL, accumulate ? c[j] : 0);
}

const struct rounded_kernels rounded_plain = {.round_row = plain_round_row,
                                              .gemm = plain_gemm_rounded};

const struct kernels kernels_plain = {
    .name = "plain",
    .bytes = &rounded_plain,
    .bf16 = &bf16_plain,
    .gemm = plain_gemm,
    .gemm_panels = 1,
    .unpack = plain_unpack,
    .unpack_across = plain_unpack_across,
    .to_f16 = plain_to_f16,
    .to_q8 = plain_to_q8,
    .from_q8_across = plain_from_q8_across,
    .from_q8_along = plain_from_q8_along,
    .transpose = plain_transpose,
    .rms_norm = plain_rms_norm,
    .rms_norm_back = plain_rms_norm_back,
    .swiglu = plain_swiglu,
    .swiglu_back = plain_swiglu_back,
    .geglu = plain_geglu,
    .geglu_back = plain_geglu_back,
    .clamped = plain_clamped,
    .clamped_back = plain_clamped_back,
    .soft_cap = plain_soft_cap,
    .soft_cap_back = plain_soft_cap_back,
    .layer_norm = plain_layer_norm,
    .gelu = plain_gelu,
    .rope = plain_rope,
    .add = plain_add,
    .scale = plain_scale,
    .dot = plain_dot,
    .max = plain_max,
    .exp_sum = plain_exp_sum,
    .exp_block_sums = plain_exp_block_sums,
    .exp_to = plain_exp_to,
    .dense_back = plain_dense_back,
    .softmax_back = plain_softmax_back,
    .adamw = plain_adamw,
};
