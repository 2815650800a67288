/*
 * kernels_vector.h - the vector twins of plain.c, written once in the words of simd_*.h; each kernels_<machine>.c
 * includes its simd header, names the table KERNELS and includes this. What a line computes stands in plain.c.
 */
#include "tensor/cpu/kernels_internal.h"

#include <math.h>
#include <string.h>

#define GEMM_STEP v_fma
#include "tensor/cpu/gemm_vector.h"

/* The lower or upper 16 k of a block. */
SIMD void unpack_q5(const struct pack_q5 *block, int half, float *out)
{
    const uint8_t(*q)[PANEL][4] = block->q + 2 * half;
    const v16 d = v_load(block->d), m = v_load(block->m);

#pragma GCC unroll 16
    for (int t = 0; t < 16; t++)
        v_store(out + t * PANEL,
                v_fma(v_from_u5(q[t / 8], t % 4, t % 8 / 4, block->fifth, 4 * half + t / 4), d, m));
}

static void vector_unpack(enum pack_kind kind, const void *panel, size_t k0, size_t n_k, float *out)
{
    switch (kind) {
    case PACK_F32:
        memcpy(out, (const float *)panel + k0 * PANEL, n_k * PANEL * sizeof *out);
        break;
    case PACK_F16:
        for (size_t k = 0; k < n_k; k++)
            v_store(out + k * PANEL, v_from_f16((const uint16_t *)panel + (k0 + k) * PANEL));
        break;
    case PACK_BF16:
        for (size_t k = 0; k < n_k; k++)
            v_store(out + k * PANEL, v_from_bf16((const uint16_t *)panel + (k0 + k) * PANEL));
        break;
    case PACK_Q8:
        for (size_t k = 0; k < n_k; k += 16) {
            const struct pack_q8 *block = (const struct pack_q8 *)panel + (k0 + k) / 16;
            const v16 d = v_load(block->d);

#pragma GCC unroll 16
            for (int t = 0; t < 16; t++)
                v_store(out + (k + (size_t)t) * PANEL, v_mul(v_from_i8(block->q[t / 4], t % 4), d));
        }
        break;
    case PACK_Q4:
        for (size_t k = 0; k < n_k; k += 16) {
            const struct pack_q4 *block = (const struct pack_q4 *)panel + (k0 + k) / 32;
            const uint8_t(*q)[PANEL][4] = block->q + (k0 + k) % 32 / 8;
            const v16 d = v_load(block->d), m = v_load(block->m);

#pragma GCC unroll 16
            for (int t = 0; t < 16; t++)
                v_store(out + (k + (size_t)t) * PANEL,
                        v_fma(v_from_u4(q[t / 8], t % 4, t % 8 / 4), d, m));
        }
        break;
    case PACK_Q5:
        for (size_t k = 0; k < n_k; k += 16)
            unpack_q5((const struct pack_q5 *)panel + (k0 + k) / 32, (int)((k0 + k) % 32 / 16),
                      out + k * PANEL);
        break;
    case PACK_Q2:
        for (size_t k = 0; k < n_k; k += 16) {
            const struct pack_q2 *block = (const struct pack_q2 *)panel + (k0 + k) / 16;
            const v16 d = v_load(block->d), m = v_load(block->m);

#pragma GCC unroll 16
            for (int t = 0; t < 16; t++)
                v_store(out + (k + (size_t)t) * PANEL,
                        v_fma(v_from_u2(block->q, t % 4, t / 4), d, m));
        }
        break;
    case PACK_F8:
        for (size_t k = 0; k < n_k; k++) {
            const struct pack_f8 *block = (const struct pack_f8 *)panel + (k0 + k) / 16;

            v_store(out + k * PANEL, v_mul(v_from_e4m3(block->q[(k0 + k) % 16]), v_load(block->d)));
        }
        break;
    }
}

static void vector_transpose(const float *in, size_t in_ld, float *out, size_t out_ld)
{
    v_transpose8(in, in_ld, out, out_ld);
    v_transpose8(in + 8, in_ld, out + 8 * out_ld, out_ld);
    v_transpose8(in + 8 * in_ld, in_ld, out + 8, out_ld);
    v_transpose8(in + 8 * in_ld + 8, in_ld, out + 8 * out_ld + 8, out_ld);
}

typedef int32_t four __attribute__((vector_size(16)));

SIMD four four_load(const void *p)
{
    four x;

    memcpy(&x, p, sizeof x);
    return x;
}

/* out[i] = a[i], b[i], c[i], d[i] */
SIMD void turn_fours(four a, four b, four c, four d, four out[4])
{
    const four ab = __builtin_shufflevector(a, b, 0, 4, 1, 5),
               cd = __builtin_shufflevector(c, d, 0, 4, 1, 5),
               ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7),
               cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);

    out[0] = __builtin_shufflevector(ab, cd, 0, 1, 4, 5);
    out[1] = __builtin_shufflevector(ab, cd, 2, 3, 6, 7);
    out[2] = __builtin_shufflevector(ab2, cd2, 0, 1, 4, 5);
    out[3] = __builtin_shufflevector(ab2, cd2, 2, 3, 6, 7);
}

static void vector_unpack_across(enum pack_kind kind, const void *panel, size_t k0, size_t n_k,
                                 float out[PANEL * PANEL])
{
    int8_t q[PANEL][16] __attribute__((aligned(16))); /* of each output, along k */
    float corner[PANEL * PANEL];
    four turned[4];

    if (kind == PACK_Q8) {
        const struct pack_q8 *block = (const struct pack_q8 *)panel + k0 / 16;

        for (size_t j = 0; j < PANEL; j += 4) {
            turn_fours(four_load(block->q[0][j]), four_load(block->q[1][j]),
                       four_load(block->q[2][j]), four_load(block->q[3][j]), turned);
            memcpy(q[j], turned, sizeof turned);
        }
        for (size_t j = 0; j < PANEL; j++)
            v_store(out + j * PANEL, v_mul(v_from_i8_row(q[j]), v_set(block->d[j])));
    } else if (kind == PACK_Q4) {
        const struct pack_q4 *block = (const struct pack_q4 *)panel + k0 / 32;
        const uint8_t(*bytes)[PANEL][4] = block->q + k0 % 32 / 8;
        const four low = {0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f};

        for (size_t j = 0; j < PANEL; j += 4) {
            const four a = four_load(bytes[0][j]), b = four_load(bytes[1][j]);

            turn_fours(a & low, a >> 4 & low, b & low, b >> 4 & low, turned);
            memcpy(q[j], turned, sizeof turned);
        }
        for (size_t j = 0; j < PANEL; j++)
            v_store(out + j * PANEL,
                    v_fma(v_from_i8_row(q[j]), v_set(block->d[j]), v_set(block->m[j])));
    } else if (kind == PACK_Q5) {
        const struct pack_q5 *block = (const struct pack_q5 *)panel + k0 / 32;
        const int first = (int)(k0 % 32 / 4); /* bit of block->fifth */
        const uint8_t(*bytes)[PANEL][4] = block->q + first / 2;
        const four low = {0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f, 0x0f0f0f0f},
                   one = {0x01010101, 0x01010101, 0x01010101, 0x01010101};

        for (size_t j = 0; j < PANEL; j += 4) {
            const four a = four_load(bytes[0][j]), b = four_load(bytes[1][j]),
                       h = four_load(block->fifth[j]) >> first;

            turn_fours((a & low) | (h & one) << 4, (a >> 4 & low) | (h >> 1 & one) << 4,
                       (b & low) | (h >> 2 & one) << 4, (b >> 4 & low) | (h >> 3 & one) << 4,
                       turned);
            memcpy(q[j], turned, sizeof turned);
        }
        for (size_t j = 0; j < PANEL; j++)
            v_store(out + j * PANEL,
                    v_fma(v_from_i8_row(q[j]), v_set(block->d[j]), v_set(block->m[j])));
    } else if (kind == PACK_Q2) {
        const struct pack_q2 *block = (const struct pack_q2 *)panel + k0 / 16;
        const four low = {0x03030303, 0x03030303, 0x03030303, 0x03030303};

        for (size_t j = 0; j < PANEL; j += 4) {
            const four a = four_load(block->q[j]);

            turn_fours(a & low, a >> 2 & low, a >> 4 & low, a >> 6 & low, turned);
            memcpy(q[j], turned, sizeof turned);
        }
        for (size_t j = 0; j < PANEL; j++)
            v_store(out + j * PANEL,
                    v_fma(v_from_i8_row(q[j]), v_set(block->d[j]), v_set(block->m[j])));
    } else {
        if (n_k < PANEL)
            memset(corner, 0, sizeof corner);
        vector_unpack(kind, panel, k0, n_k, corner);
        vector_transpose(corner, PANEL, out, PANEL);
    }
}

/* x, at most as large as F16 has numbers; NaN where x is not finite */
SIMD v16 for_f16(v16 x)
{
    const v16 most = v_set(F16_LARGEST), least = v_set(-F16_LARGEST);

    return v_fma(x, v_zero(), v_max(least, v_min(most, x)));
}

static void vector_to_f16(size_t n, const float *x, uint16_t *y)
{
    for (; n >= PANEL; n -= PANEL, x += PANEL, y += PANEL)
        v_to_f16(y, for_f16(v_load(x)));
    if (n > 0) {
        float last[PANEL] = {0};
        uint16_t half[PANEL];

        memcpy(last, x, n * sizeof *x);
        v_to_f16(half, for_f16(v_load(last)));
        memcpy(y, half, n * sizeof *y);
    }
}

static uint16_t vector_to_q8(const float *x, int8_t *q)
{
    const v16 a = v_load(x), b = v_load(x + PANEL), minus = v_set(-1.0f);
    const float largest = v_join_max(v_max(v_max(v_mul(a, minus), a), v_max(v_mul(b, minus), b)));
    const bool finite = v_join(v_fma(a, v_zero(), v_mul(b, v_zero()))) == 0;
    const uint16_t h = finite ? cached_step(largest) : 0x7e00;

    if (!finite || h == 0) {
        memset(q, 0, CACHED_BLOCK);
        return h;
    }
    const v16 step = v_set(f16_to_f32(h)), most = v_set(127.0f), least = v_set(-127.0f);
    v_to_i8(q, v_max(least, v_min(most, v_div(a, step))));
    v_to_i8(q + PANEL, v_max(least, v_min(most, v_div(b, step))));
    return h;
}

static void vector_from_q8_across(size_t n, const int8_t *q, const uint16_t *step, float *out)
{
    for (size_t from = 0; from < n; from += CACHED_BLOCK, step += PANEL) {
        const size_t to = n - from < CACHED_BLOCK ? n : from + CACHED_BLOCK;
        const v16 s = v_from_f16(step);

        for (size_t k = from; k < to; k++)
            v_store(out + k * PANEL, v_mul(v_from_i8_row(q + k * PANEL), s));
    }
}

static void vector_from_q8_along(size_t n, const int8_t *q, const uint16_t *step, float *out)
{
    float by_row[PANEL];

    for (size_t k = 0; k < n; k += PANEL) {
        v_store(by_row, v_from_f16(step + k / CACHED_BLOCK * PANEL));
        for (size_t i = 0; i < PANEL; i++)
            v_store(out + i * n + k, v_mul(v_from_i8_row(q + i * n + k), v_set(by_row[i])));
    }
}

/* The last n < 16 values: the others are rest, and what is written back is cut. */
SIMD v16 load_tail(const float *p, size_t n, float rest)
{
    float t[PANEL];

    for (size_t i = 0; i < PANEL; i++)
        t[i] = i < n ? p[i] : rest;
    return v_load(t);
}

SIMD void store_tail(float *p, size_t n, v16 x)
{
    float t[PANEL];

    v_store(t, x);
    memcpy(p, t, n * sizeof *p);
}

/* load and store n (1..16) values */
SIMD v16 load_n(const float *p, size_t n)
{
    return n == PANEL ? v_load(p) : load_tail(p, n, 0);
}
/* One factor of a sum's terms: a lane without an element adds -0 * 0, which changes no sum, not even one that is -0. */
SIMD v16 load_factor(const float *p, size_t n)
{
    return n == PANEL ? v_load(p) : load_tail(p, n, -0.0f);
}
SIMD void store_n(float *p, size_t n, v16 x)
{
    if (n == PANEL)
        v_store(p, x);
    else
        store_tail(p, n, x);
}
#define EACH_16(i, w, n)                                                                           \
    for (size_t i = 0, w; i < (n) && (w = (n)-i < PANEL ? (n)-i : PANEL, true); i += PANEL)

/* ---- bfloats, kept as floats ---- */

static void vector_bf16_row(size_t n, const float *x, void *out)
{
    float *y = out;

    EACH_16(i, w, n)
    store_n(y + i, w, v_to_bf16(load_n(x + i, w)));
    if (n % 2 == 1)
        y[n] = 0;
}

static void vector_bf16_across(enum pack_kind kind, const void *panel, size_t k0, size_t n_k,
                               void *out)
{
    float *y = out;

    vector_unpack_across(kind, panel, k0, n_k, y);
    for (size_t j = 0; j < PANEL; j++)
        v_store(y + j * PANEL, v_to_bf16(v_load(y + j * PANEL)));
}

/* Numbers too small for a float count as 0 meanwhile, in what is read and what comes out. */
static void vector_bf16_gemm(size_t m, size_t n, size_t k, const void *a, size_t a_i, const void *b,
                             size_t b_panel, float *c, size_t c_i, bool accumulate)
{
    const unsigned was = _mm_getcsr();

    _mm_setcsr(was | _MM_FLUSH_ZERO_ON | 0x40 /* inputs too */);
    vector_gemm(m, n, k, a, a_i, 1, b, PANEL, b_panel, c, c_i, accumulate);
    _mm_setcsr(was);
}

static const struct bf16_kernels vector_bf16 = {.bytes = sizeof(float),
                                                .row = vector_bf16_row,
                                                .across = vector_bf16_across,
                                                .gemm = vector_bf16_gemm};

static float vector_dot(size_t n, const float *x, const float *y)
{
    v16 acc = v_zero();

    EACH_16(i, w, n)
    acc = v_fma(load_factor(x + i, w), load_n(y + i, w), acc);
    return v_join(acc);
}

static float vector_rms_norm(size_t n, const float *x, const float *w, float eps, float *y)
{
    const float r = 1.0f / sqrtf(vector_dot(n, x, x) / (float)n + eps);
    const v16 vr = v_set(r);

    EACH_16(i, c, n)
    store_n(y + i, c, v_mul(v_mul(load_n(x + i, c), vr), load_n(w + i, c)));
    return r;
}

static void vector_rms_norm_back(size_t n, const float *x, const float *w, float r, const float *dy,
                                 float *dx)
{
    v16 acc = v_zero();

    EACH_16(i, c, n)
    acc = v_fma(v_mul(load_n(w + i, c), load_n(dy + i, c)), load_factor(x + i, c), acc);
    const v16 minus_s = v_set(-(v_join(acc) * (r * r / (float)n)));
    const v16 vr = v_set(r);
    EACH_16(i, c, n)
    {
        const v16 wdy = v_mul(load_n(w + i, c), load_n(dy + i, c));

        store_n(dx + i, c, v_fma(vr, v_fma(minus_s, load_n(x + i, c), wdy), load_n(dx + i, c)));
    }
}

SIMD v16 v_exp(v16 x0)
{
    const v16 magic = v_set(12582912.0f);
    const v16 x = v_min(x0, v_set(88.3f));
    const v16 n = v_sub(v_fma(x, v_set(1.44269504088896341f), magic), magic);
    v16 r = v_fma(n, v_set(-0.693359375f), x);
    r = v_fma(n, v_set(2.12194440e-4f), r);
    v16 p = v_set(1.9875691500e-4f);
    p = v_fma(p, r, v_set(1.3981999507e-3f));
    p = v_fma(p, r, v_set(8.3334519073e-3f));
    p = v_fma(p, r, v_set(4.1665795894e-2f));
    p = v_fma(p, r, v_set(1.6666665459e-1f));
    p = v_fma(p, r, v_set(5.0000001201e-1f));
    p = v_add(v_fma(p, v_mul(r, r), r), v_set(1.0f));
    return v_keep_from(x0, -87.3f, v_mul(p, v_pow2(n)));
}

static void vector_swiglu(size_t n, const float *gate, const float *up, float *y)
{
    const v16 one = v_set(1.0f);

    EACH_16(i, c, n)
    {
        const v16 g = load_n(gate + i, c);
        const v16 e = v_exp(v_mul(g, v_set(-1.0f)));

        store_n(y + i, c, v_mul(v_div(g, v_add(one, e)), load_n(up + i, c)));
    }
}

static void vector_swiglu_back(size_t n, const float *gate, const float *up, const float *dy,
                               float *dgate, float *dup)
{
    const v16 one = v_set(1.0f);

    EACH_16(i, c, n)
    {
        const v16 g = load_n(gate + i, c), u = load_n(up + i, c), d = load_n(dy + i, c);
        const v16 s = v_div(one, v_add(one, v_exp(v_mul(g, v_set(-1.0f)))));

        store_n(dup + i, c, v_mul(d, v_mul(g, s)));
        store_n(dgate + i, c, v_mul(v_mul(d, u), v_mul(s, v_fma(g, v_sub(one, s), one))));
    }
}

static v16 geglu_exp(v16 x)
{
    const v16 t = v_mul(x, v_fma(v_mul(x, x), v_set(GEGLU_3), v_set(GEGLU_1)));

    return v_exp(v_mul(t, v_set(-1.0f)));
}

static void vector_geglu(size_t n, const float *gate, const float *up, float *y)
{
    const v16 one = v_set(1.0f);

    EACH_16(i, c, n)
    {
        const v16 g = load_n(gate + i, c);

        store_n(y + i, c, v_mul(v_div(g, v_add(one, geglu_exp(g))), load_n(up + i, c)));
    }
}

static void vector_geglu_back(size_t n, const float *gate, const float *up, const float *dy,
                              float *dgate, float *dup)
{
    const v16 one = v_set(1.0f);

    EACH_16(i, c, n)
    {
        const v16 g = load_n(gate + i, c), u = load_n(up + i, c), d = load_n(dy + i, c);
        const v16 s = v_div(one, v_add(one, geglu_exp(g)));
        const v16 slope = v_fma(v_mul(g, g), v_set(3 * GEGLU_3), v_set(GEGLU_1));

        store_n(dup + i, c, v_mul(d, v_mul(g, s)));
        store_n(dgate + i, c,
                v_mul(v_mul(d, u), v_mul(s, v_fma(v_mul(g, v_sub(one, s)), slope, one))));
    }
}

static v16 clamped_up(v16 up)
{
    return v_max(v_set(-CLAMPED_LIMIT), v_min(v_set(CLAMPED_LIMIT), up));
}

static void vector_clamped(size_t n, const float *gate, const float *up, float *y)
{
    const v16 one = v_set(1.0f);

    EACH_16(i, c, n)
    {
        const v16 g = v_min(v_set(CLAMPED_LIMIT), load_n(gate + i, c));
        const v16 e = v_exp(v_mul(g, v_set(-CLAMPED_ALPHA)));

        store_n(y + i, c,
                v_mul(v_div(g, v_add(one, e)), v_add(clamped_up(load_n(up + i, c)), one)));
    }
}

static void vector_clamped_back(size_t n, const float *gate, const float *up, const float *dy,
                                float *dgate, float *dup)
{
    const v16 one = v_set(1.0f), minus = v_set(-1.0f);

    EACH_16(i, c, n)
    {
        const v16 at = load_n(gate + i, c), of = load_n(up + i, c), d = load_n(dy + i, c);
        const v16 g = v_min(v_set(CLAMPED_LIMIT), at), u = clamped_up(of);
        const v16 s = v_div(one, v_add(one, v_exp(v_mul(g, v_set(-CLAMPED_ALPHA)))));
        const v16 slope = v_fma(v_mul(g, v_set(CLAMPED_ALPHA)), v_sub(one, s), one);
        const v16 by_gate = v_mul(v_mul(d, v_add(u, one)), v_mul(s, slope));
        const v16 by_up = v_mul(d, v_mul(g, s));

        store_n(
            dup + i, c,
            v_keep_from(of, -CLAMPED_LIMIT, v_keep_from(v_mul(of, minus), -CLAMPED_LIMIT, by_up)));
        store_n(dgate + i, c, v_keep_from(v_mul(at, minus), -CLAMPED_LIMIT, by_gate));
    }
}

static void vector_soft_cap(size_t n, float s, float cap, float *x)
{
    const v16 one = v_set(1.0f), by = v_set(-2.0f * s), twice = v_set(2.0f * cap),
              less = v_set(-cap);

    EACH_16(i, c, n)
    {
        const v16 e = v_exp(v_mul(load_n(x + i, c), by));

        store_n(x + i, c, v_fma(twice, v_div(one, v_add(one, e)), less));
    }
}

static void vector_soft_cap_back(size_t n, float cap, const float *y, float *d)
{
    const v16 one = v_set(1.0f), by = v_set(1.0f / cap), minus = v_set(-1.0f);

    EACH_16(i, c, n)
    {
        const v16 t = v_mul(load_n(y + i, c), by);

        store_n(d + i, c, v_mul(load_n(d + i, c), v_fma(v_mul(t, minus), t, one)));
    }
}

static void vector_layer_norm(size_t n, const float *x, const float *w, const float *b, float eps,
                              float *y)
{
    v16 acc = v_zero();

    EACH_16(i, c, n)
    acc = v_add(acc, c == PANEL ? v_load(x + i) : load_tail(x + i, c, -0.0f));
    const v16 mean = v_set(v_join(acc) / (float)n);
    EACH_16(i, c, n)
    store_n(y + i, c, v_sub(load_n(x + i, c), mean));
    const v16 r = v_set(1.0f / sqrtf(vector_dot(n, y, y) / (float)n + eps));
    EACH_16(i, c, n)
    store_n(y + i, c, v_fma(v_mul(load_n(y + i, c), r), load_n(w + i, c), load_n(b + i, c)));
}

static void vector_gelu(size_t n, const float *x, float *y)
{
    const v16 minus = v_set(-1.0f), half = v_set(0.5f), end = v_set(GELU_END);

    EACH_16(i, c, n)
    {
        const v16 xi = load_n(x + i, c);
        const v16 t = v_min(v_max(v_mul(xi, minus), xi), end), minus_t = v_mul(t, minus);
        v16 q = v_set(gelu_q[0]);

        for (size_t k = 1; k < sizeof gelu_q / sizeof *gelu_q; k++)
            q = v_fma(q, t, v_set(gelu_q[k]));
        store_n(y + i, c,
                v_fma(minus_t, v_mul(half, v_exp(v_mul(minus_t, q))), v_max(v_zero(), xi)));
    }
}

static void vector_rope(size_t n, const float *cos_, const float *sin_, bool back, float *x)
{
    const size_t half = n / 2;
    const v16 sign = v_set(back ? -1.0f : 1.0f), minus = v_set(-1.0f);

    EACH_16(i, w, half)
    {
        const v16 a = load_n(x + i, w), b = load_n(x + half + i, w), c = load_n(cos_ + i, w);
        const v16 s = v_mul(load_n(sin_ + i, w), sign);

        store_n(x + i, w, v_fma(a, c, v_mul(v_mul(b, s), minus)));
        store_n(x + half + i, w, v_fma(b, c, v_mul(a, s)));
    }
}

static void vector_add(size_t n, const float *x, float *y)
{
    EACH_16(i, c, n)
    store_n(y + i, c, v_add(load_n(y + i, c), load_n(x + i, c)));
}

static void vector_scale(size_t n, float s, float *x)
{
    EACH_16(i, c, n)
    store_n(x + i, c, v_mul(load_n(x + i, c), v_set(s)));
}

static float vector_max(size_t n, const float *x)
{
    v16 m = v_set(-INFINITY);

    if (n >=
        8 * PANEL) { /* in any order it is the same: four at a time do not wait for each other */
        v16 most[4] = {m, m, m, m};

        for (; n >= 4 * PANEL; n -= 4 * PANEL, x += 4 * PANEL) {
#pragma GCC unroll 4
            for (size_t k = 0; k < 4; k++)
                most[k] = v_max(v_load(x + k * PANEL), most[k]);
        }
        m = v_max(v_max(most[0], most[1]), v_max(most[2], most[3]));
    }
    EACH_16(i, c, n)
    m = v_max(c == PANEL ? v_load(x + i) : load_tail(x + i, c, -INFINITY), m);
    return v_join_max(m) + 0.0f;
}

static float vector_exp_sum(size_t n, float max, float scale, float *x)
{
    const v16 vmax = v_set(max), vs = v_set(scale);
    v16 acc = v_zero();

    EACH_16(i, c, n)
    {
        const v16 l = c == PANEL ? v_load(x + i) : load_tail(x + i, c, -INFINITY);
        const v16 e = v_exp(v_mul(v_sub(l, vmax), vs));

        store_n(x + i, c, e);
        acc = v_add(acc, e);
    }
    return v_join(acc);
}

static void vector_exp_block_sums(size_t n, float max, float inv_t, const float *x, float *sums)
{
    const v16 vmax = v_set(max), vt = v_set(inv_t);

    for (size_t from = 0; from < n; from += SOFTMAX_BLOCK) {
        const size_t here = n - from < SOFTMAX_BLOCK ? n - from : SOFTMAX_BLOCK;
        v16 acc = v_zero();

        EACH_16(i, c, here)
        {
            const v16 l = c == PANEL ? v_load(x + from + i) : load_tail(x + from + i, c, -INFINITY);

            acc = v_add(acc, v_exp(v_mul(v_sub(l, vmax), vt)));
        }
        sums[from / SOFTMAX_BLOCK] = v_join(acc);
    }
}

static void vector_exp_to(size_t n, float max, float inv_t, const float *x, float *y)
{
    const v16 vmax = v_set(max), vt = v_set(inv_t);

    EACH_16(i, c, n)
    store_n(y + i, c, v_exp(v_mul(v_sub(load_n(x + i, c), vmax), vt)));
}

static void vector_dense_back(size_t n, float c0, float c1, const float *logit, float *p)
{
    const v16 v0 = v_set(c0), v1 = v_set(c1);

    EACH_16(i, c, n)
    store_n(p + i, c, v_mul(load_n(p + i, c), v_fma(v1, load_n(logit + i, c), v0)));
}

static void vector_softmax_back(size_t n, const float *p, const float *dp, float delta, float s,
                                float *ds)
{
    const v16 vd = v_set(delta), vs = v_set(s);

    EACH_16(i, c, n)
    store_n(ds + i, c, v_mul(v_mul(load_n(p + i, c), v_sub(load_n(dp + i, c), vd)), vs));
}

static void vector_adamw(size_t n, const struct adamw_numbers *a, const float *g, float *m,
                         float *v, float *w)
{
    const v16 b1 = v_set(a->beta1), b2 = v_set(a->beta2), r1 = v_set(1.0f - a->beta1),
              r2 = v_set(1.0f - a->beta2);
    const v16 minus_lr = v_set(-a->lr), wd = v_set(a->wd), clip = v_set(a->clip);

    EACH_16(i, c, n)
    {
        const v16 gi = v_mul(load_n(g + i, c), clip), wi = load_n(w + i, c);
        const v16 mi = v_fma(b1, load_n(m + i, c), v_mul(r1, gi));
        const v16 vi = v_fma(b2, load_n(v + i, c), v_mul(v_mul(r2, gi), gi));
        const v16 step =
            v_div(v_mul(mi, v_set(a->c1)), v_add(v_sqrt(v_mul(vi, v_set(a->c2))), v_set(a->eps)));

        store_n(m + i, c, mi);
        store_n(v + i, c, vi);
        store_n(w + i, c, v_fma(minus_lr, v_fma(wd, wi, step), wi));
    }
}

const struct kernels KERNELS = {
    .name = KERNELS_NAME,
    .bytes = &KERNELS_BYTES,
    .bf16 = &vector_bf16,
    .gemm = vector_gemm,
    .gemm_panels = GEMM_PANELS,
    .unpack = vector_unpack,
    .unpack_across = vector_unpack_across,
    .to_f16 = vector_to_f16,
    .to_q8 = vector_to_q8,
    .from_q8_across = vector_from_q8_across,
    .from_q8_along = vector_from_q8_along,
    .transpose = vector_transpose,
    .rms_norm = vector_rms_norm,
    .rms_norm_back = vector_rms_norm_back,
    .swiglu = vector_swiglu,
    .swiglu_back = vector_swiglu_back,
    .geglu = vector_geglu,
    .geglu_back = vector_geglu_back,
    .clamped = vector_clamped,
    .clamped_back = vector_clamped_back,
    .soft_cap = vector_soft_cap,
    .soft_cap_back = vector_soft_cap_back,
    .layer_norm = vector_layer_norm,
    .gelu = vector_gelu,
    .rope = vector_rope,
    .add = vector_add,
    .scale = vector_scale,
    .dot = vector_dot,
    .max = vector_max,
    .exp_sum = vector_exp_sum,
    .exp_block_sums = vector_exp_block_sums,
    .exp_to = vector_exp_to,
    .dense_back = vector_dense_back,
    .softmax_back = vector_softmax_back,
    .adamw = vector_adamw,
};
