/*
 * dtype.c - packed values to floats: the definition that faster twins are tested against.
 *
 * Each format of blocks is one function that takes a block apart into whole numbers and their scales. The build has
 * -ffp-contract=off, so "d * q + m" is two roundings here as in the reference.
 */
#include "tensor/dtype.h"

#include <assert.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are mapped and read as they lie");

static const struct dtype_info infos[N_DTYPES + 1] = {
    [DTYPE_F32] = {"F32", 1, 4, .least = 0},
    [DTYPE_F16] = {"F16", 1, 2, .least = 0},
    [DTYPE_BF16] = {"BF16", 1, 2, .least = 0},
    [DTYPE_Q8_0] = {"Q8_0", 32, 34, .least = -128},
    [DTYPE_Q4_0] = {"Q4_0", 32, 18, .least = -8},
    [DTYPE_Q4_1] = {"Q4_1", 32, 20, .has_min = true},
    [DTYPE_Q6_K] = {"Q6_K", 256, 210, .least = -32},
    [DTYPE_Q4_K] = {"Q4_K", 256, 144, .has_min = true},
    [DTYPE_Q5_0] = {"Q5_0", 32, 22, .least = -16},
    [DTYPE_Q5_1] = {"Q5_1", 32, 24, .has_min = true},
    [DTYPE_Q2_K] = {"Q2_K", 256, 84, .has_min = true},
    [DTYPE_Q3_K] = {"Q3_K", 256, 110, .least = -4},
    [DTYPE_Q5_K] = {"Q5_K", 256, 176, .has_min = true},
    [DTYPE_IQ4_NL] = {"IQ4_NL", 32, 18, .least = -127},
    [DTYPE_IQ4_XS] = {"IQ4_XS", 256, 136, .least = -127},
    [DTYPE_MXFP4] = {"MXFP4", 32, 17, .least = -12},
    [DTYPE_F8_E4M3] = {"F8_E4M3", 1, 1, .least = 0},
    [DTYPE_F8_E5M2] = {"F8_E5M2", 1, 1, .least = 0},
    [DTYPE_U8] = {"U8", 1, 1, .least = 0},
};

const struct dtype_info *dtype_info(enum dtype t)
{
    assert((unsigned)t <= N_DTYPES);
    return &infos[t];
}

size_t dtype_bytes(enum dtype t, size_t n)
{
    const struct dtype_info *info = dtype_info(t);

    assert(n % info->block == 0);
    return n / info->block * info->block_bytes;
}

static float of_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

static uint32_t bits_of(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

float f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t rest = (uint32_t)(h & 0x7fffu)
                          << 13; /* exponent and fraction, where FP32 has them */

    if ((h & 0x7c00u) == 0x7c00u) /* infinite or NaN */
        return of_bits(sign | 0x7f800000u | rest);
    if ((h & 0x7c00u) != 0)
        return of_bits(sign | (rest + (112u << 23)));
    /* zero or subnormal, fraction * 2^-24: as the fraction of 2^-14, less 2^-14, which is exact */
    return of_bits(sign | bits_of(of_bits(0x38800000u | rest) - of_bits(0x38800000u)));
}

uint16_t f32_to_f16(float x)
{
    const uint32_t bits = bits_of(x), rest = bits & 0x7fffffffu;
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000u);

    if (rest > 0x7f800000u) /* NaN */
        return (uint16_t)(sign | 0x7e00u | (rest >> 13 & 0x3ffu));
    if (rest >= 0x477ff000u) /* 65520, half way beyond the largest */
        return sign | 0x7c00u;
    if (rest <
        0x38800000u) /* below 2^-14: the unit in the last place of 0.5 is that of a subnormal half */
        return (uint16_t)(sign | (bits_of(of_bits(rest) + 0.5f) - bits_of(0.5f)));
    return (uint16_t)(sign | ((rest - (112u << 23) + 0xfffu + (rest >> 13 & 1u)) >> 13));
}

float bf16_to_f32(uint16_t h)
{
    return of_bits((uint32_t)h << 16);
}

uint16_t f32_to_bf16(float x)
{
    const uint32_t bits = bits_of(x);

    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 |
                          0x40u); /* a NaN, made quiet so that its payload cannot vanish */
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* The bits of an F16 of 2^-8 of the value: the same fraction, an exponent that counts from 15 instead of 7. */
float f8_e4m3_to_f32(uint8_t b)
{
    const uint32_t rest = b & 0x7fu, nan = rest == 0x7f ? 0x7c00u : 0;

    return f16_to_f32((uint16_t)((b & 0x80u) << 8 | rest << 7 | nan)) * 256;
}

static uint16_t half_at(const uint8_t *p)
{
    uint16_t h;

    memcpy(&h, p, sizeof h);
    return h;
}

static float float_of_half_at(const uint8_t *p)
{
    return f16_to_f32(half_at(p));
}

/* Runs of 16 from first on have d, and m. */
static void set_scale(struct whole_block *out, int first, int n, float d, float m)
{
    for (int i = first; i < first + n; i++) {
        out->d[i] = d;
        out->m[i] = m;
    }
}

static void q8_0_block(const uint8_t *p, struct whole_block *out)
{
    set_scale(out, 0, 2, float_of_half_at(p), 0);
    memcpy(out->q, p + 2, 32);
}

/* Low nibbles are the first half of a block of 32, high nibbles the second. */
static void nibbles(const uint8_t *p, int less, int8_t *q)
{
    for (int i = 0; i < 16; i++) {
        q[i] = (int8_t)((p[i] & 15) - less);
        q[16 + i] = (int8_t)((p[i] >> 4) - less);
    }
}

static void q4_0_block(const uint8_t *p, struct whole_block *out)
{
    set_scale(out, 0, 2, float_of_half_at(p), 0);
    nibbles(p + 2, 8, out->q);
}

static void q4_1_block(const uint8_t *p, struct whole_block *out)
{
    set_scale(out, 0, 2, float_of_half_at(p), float_of_half_at(p + 2));
    nibbles(p + 4, 0, out->q);
}

/* A bit each of 32 values, then their nibbles. */
static void five_bits(const uint8_t *p, int less, int8_t *q)
{
    nibbles(p + 4, less, q);
    for (int i = 0; i < 32; i++)
        q[i] = (int8_t)(q[i] + ((p[i / 8] >> i % 8 & 1) << 4));
}

static void q5_0_block(const uint8_t *p, struct whole_block *out)
{
    set_scale(out, 0, 2, float_of_half_at(p), 0);
    five_bits(p + 2, 16, out->q);
}

static void q5_1_block(const uint8_t *p, struct whole_block *out)
{
    set_scale(out, 0, 2, float_of_half_at(p), float_of_half_at(p + 2));
    five_bits(p + 4, 0, out->q);
}

/* Two halves of 128; in each, four runs of 32: two bits each of 32 bytes, the lowest first. */
static void two_bits(const uint8_t *p, int8_t *q)
{
    for (int i = 0; i < 256; i++)
        q[i] = (int8_t)(p[i / 128 * 32 + i % 32] >> i % 128 / 32 * 2 & 3);
}

static void q2_k_block(const uint8_t *p, struct whole_block *out)
{
    const float d = float_of_half_at(p + 80), e = float_of_half_at(p + 82);

    for (int run = 0; run < 16; run++)
        set_scale(out, run, 1, d * (float)(p[run] & 15), -(e * (float)(p[run] >> 4)));
    two_bits(p + 16, out->q);
}

/* hmask[32], two bits[64], scales[12], d: a bit of hmask that is not set takes 4 away; run r's is bit r of 32 bytes. */
static void q3_k_block(const uint8_t *p, struct whole_block *out)
{
    const float d = float_of_half_at(p + 108);
    const uint8_t *scales = p + 96;

    for (int run = 0; run < 16; run++) {
        const int low = scales[run % 8] >> run / 8 * 4 & 15,
                  high = scales[8 + run % 4] >> run / 4 * 2 & 3;

        set_scale(out, run, 1, d * (float)((low | high << 4) - 32), 0);
    }
    two_bits(p + 32, out->q);
    for (int i = 0; i < 256; i++)
        if ((p[i % 32] >> i / 32 & 1) == 0)
            out->q[i] = (int8_t)(out->q[i] - 4);
}

/* Eight runs of 32 by six-bit scales and minima, whose upper two bits for runs 4 to 7 are in bytes of runs 0 to 3. */
static void six_bit_scales(const uint8_t *p, struct whole_block *out)
{
    const float d = float_of_half_at(p), e = float_of_half_at(p + 2);
    const uint8_t *packed = p + 4;

    for (int run = 0; run < 8; run++) {
        int s, m;

        if (run < 4) {
            s = packed[run] & 63;
            m = packed[run + 4] & 63;
        } else {
            s = (packed[run + 4] & 15) | (packed[run - 4] >> 6) << 4;
            m = packed[run + 4] >> 4 | (packed[run] >> 6) << 4;
        }
        set_scale(out, 2 * run, 2, d * (float)s, -(e * (float)m));
    }
}

/* Of 32 bytes the low nibbles are one run, the high ones the next. */
static void nibbles_of_runs(const uint8_t *p, int8_t *q)
{
    for (int i = 0; i < 256; i++)
        q[i] = (int8_t)(p[i / 64 * 32 + i % 32] >> i % 64 / 32 * 4 & 15);
}

static void q4_k_block(const uint8_t *p, struct whole_block *out)
{
    six_bit_scales(p, out);
    nibbles_of_runs(p + 16, out->q);
}

/* The fifth bit of run r is bit r of 32 bytes. */
static void q5_k_block(const uint8_t *p, struct whole_block *out)
{
    six_bit_scales(p, out);
    nibbles_of_runs(p + 48, out->q);
    for (int i = 0; i < 256; i++)
        out->q[i] = (int8_t)(out->q[i] | (p[16 + i % 32] >> i / 32 & 1) << 4);
}

/* Two halves of 128; in each, four runs of 32: low nibbles of 64 bytes, then high ones; two more bits each from qh. */
static void q6_k_block(const uint8_t *p, struct whole_block *out)
{
    const float d = float_of_half_at(p + 208);

    for (int run = 0; run < 16; run++)
        set_scale(out, run, 1, d * (float)(int8_t)p[192 + run], 0);
    for (int i = 0; i < 256; i++) {
        const uint8_t *ql = p + i / 128 * 64, *qh = p + 128 + i / 128 * 32;
        const int run = i % 128 / 32;
        const int low = ql[32 * (run & 1) + i % 32] >> 4 * (run >> 1) & 15;
        const int high = qh[i % 32] >> 2 * run & 3;

        out->q[i] = (int8_t)((low | high << 4) - 32);
    }
}

/* What a nibble stands for: steps that are small where weights are many. */
static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                      1,    13,   25,  38,  53,  69,  89,  113};
/* Twice an e2m1 number: sign, two bits of exponent, one of fraction. */
static const int8_t e2m1_values[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static void looked_up(const uint8_t *p, const int8_t values[16], int8_t *q)
{
    nibbles(p, 0, q);
    for (int i = 0; i < 32; i++)
        q[i] = values[q[i]];
}

static void iq4_nl_block(const uint8_t *p, struct whole_block *out)
{
    set_scale(out, 0, 2, float_of_half_at(p), 0);
    looked_up(p + 2, iq4_values, out->q);
}

/* d, upper two bits of the scales in two bytes, the lower four in four, then the nibbles */
static void iq4_xs_block(const uint8_t *p, struct whole_block *out)
{
    const float d = float_of_half_at(p);

    for (int run = 0; run < 8; run++) {
        const int low = p[4 + run / 2] >> run % 2 * 4 & 15, high = half_at(p + 2) >> 2 * run & 3;

        set_scale(out, 2 * run, 2, d * (float)((low | high << 4) - 32), 0);
        looked_up(p + 8 + 16 * run, iq4_values, out->q + 32 * run);
    }
}

/* 2^(e - 128): half of what e stands for, as the values are doubled; the two smallest are subnormal */
static void mxfp4_block(const uint8_t *p, struct whole_block *out)
{
    const uint32_t e = p[0];

    set_scale(out, 0, 2, of_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23), 0);
    looked_up(p + 1, e2m1_values, out->q);
}

void dtype_whole(enum dtype t, const void *src, struct whole_block *out)
{
    static void (*const blocks[N_DTYPES])(const uint8_t *, struct whole_block *) = {
        [DTYPE_Q8_0] = q8_0_block,   [DTYPE_Q4_0] = q4_0_block,     [DTYPE_Q4_1] = q4_1_block,
        [DTYPE_Q6_K] = q6_k_block,   [DTYPE_Q4_K] = q4_k_block,     [DTYPE_Q5_0] = q5_0_block,
        [DTYPE_Q5_1] = q5_1_block,   [DTYPE_Q2_K] = q2_k_block,     [DTYPE_Q3_K] = q3_k_block,
        [DTYPE_Q5_K] = q5_k_block,   [DTYPE_IQ4_NL] = iq4_nl_block, [DTYPE_IQ4_XS] = iq4_xs_block,
        [DTYPE_MXFP4] = mxfp4_block,
    };

    blocks[t](src, out);
}

static void block_to_f32(const struct dtype_info *info, const struct whole_block *b, float *x)
{
    for (size_t i = 0; i < info->block; i++) {
        x[i] = b->d[i / 16] * (float)b->q[i];
        if (info->has_min)
            x[i] = x[i] + b->m[i / 16];
    }
}

void dtype_to_f32(enum dtype t, const void *src, size_t n, float *dst)
{
    const struct dtype_info *info = dtype_info(t);
    const uint8_t *p = src;
    struct whole_block block;

    assert(n % info->block == 0);
    switch (t) {
    case DTYPE_F32:
        if (n > 0)
            memcpy(dst, src, n * sizeof *dst);
        return;
    case DTYPE_F16:
        for (size_t i = 0; i < n; i++)
            dst[i] = f16_to_f32(half_at(p + 2 * i));
        return;
    case DTYPE_BF16:
        for (size_t i = 0; i < n; i++)
            dst[i] = bf16_to_f32(half_at(p + 2 * i));
        return;
    case DTYPE_F8_E4M3:
        for (size_t i = 0; i < n; i++)
            dst[i] = f8_e4m3_to_f32(p[i]);
        return;
    case DTYPE_F8_E5M2:
        for (size_t i = 0; i < n; i++)
            dst[i] = f16_to_f32((uint16_t)(p[i] << 8));
        return;
    case DTYPE_U8:
        for (size_t i = 0; i < n; i++)
            dst[i] = p[i];
        return;
    default:
        for (size_t i = 0; i < n; i += info->block, p += info->block_bytes) {
            dtype_whole(t, p, &block);
            block_to_f32(info, &block, dst + i);
        }
    }
}

/* Values of a block of 32 as pairs become the low nibbles of the first half, and the high ones of the second. */
static void pairs_parted(const uint8_t *from, uint8_t to[16])
{
    for (int i = 0; i < 16; i++) {
        const int shift = i % 2 * 4;

        to[i] = (uint8_t)((from[i / 2] >> shift & 15) | (from[8 + i / 2] >> shift & 15) << 4);
    }
}

/* The block that value k of row i begins, of a matrix that is not plain. */
static void block_gather(const struct matrix_view *m, size_t i, size_t k, uint8_t *to)
{
    const struct dtype_info *info = dtype_info(m->dtype);
    const size_t row = m->row_order != NULL ? m->row_order[i] : i,
                 row_step = m->row_step != 0 ? m->row_step : m->cols,
                 col_step = m->col_step != 0 ? m->col_step : 1,
                 at = (row * row_step + k * col_step) / info->block;
    const uint8_t *data = m->data;

    if (m->exponents != NULL) {
        to[0] = m->exponents[at];
        pairs_parted(data + at * 16, to + 1);
    } else if (info->block_bytes == 2) { /* the usual size, and one that the compiler knows */
        memcpy(to, data + at * 2, 2);
    } else {
        memcpy(to, data + at * info->block_bytes, info->block_bytes);
    }
}

const void *matrix_row_packed(const struct matrix_view *m, size_t i, void *room)
{
    const struct dtype_info *info = dtype_info(m->dtype);
    uint8_t *to = room;

    if (matrix_is_plain(m))
        return matrix_row(m, i);
    for (size_t k = 0; k < m->cols; k += info->block, to += info->block_bytes)
        block_gather(m, i, k, to);
    return room;
}

void matrix_row_to_f32(const struct matrix_view *m, size_t i, float *dst)
{
    const size_t block = dtype_info(m->dtype)->block;
    uint8_t one[256]; /* longer than any block */

    if (matrix_is_plain(m))
        dtype_to_f32(m->dtype, matrix_row(m, i), m->cols, dst);
    for (size_t k = 0; !matrix_is_plain(m) && k < m->cols; k += block) {
        block_gather(m, i, k, one);
        dtype_to_f32(m->dtype, one, block, dst + k);
    }
    for (size_t k = 0; m->scale != NULL && k < m->cols; k++)
        dst[k] = dst[k] * matrix_scale(m, i, k);
}
