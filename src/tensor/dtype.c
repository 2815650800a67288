/*
 * dtype.c - packed values to floats, one plain loop a format: the definition that faster twins are tested against.
 *
 * The build has -ffp-contract=off, so "d * q + m" is two roundings here as in the reference.
 */
#include "tensor/dtype.h"

#include <assert.h>
#include <string.h>

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are mapped and read as they lie");

static const struct dtype_info infos[N_DTYPES] = {
    [DTYPE_F32] = {"F32", 1, 4},       [DTYPE_F16] = {"F16", 1, 2},
    [DTYPE_BF16] = {"BF16", 1, 2},     [DTYPE_Q8_0] = {"Q8_0", 32, 34},
    [DTYPE_Q4_0] = {"Q4_0", 32, 18},   [DTYPE_Q4_1] = {"Q4_1", 32, 20},
    [DTYPE_Q6_K] = {"Q6_K", 256, 210}, [DTYPE_Q4_K] = {"Q4_K", 256, 144},
};

const struct dtype_info *dtype_info(enum dtype t)
{
    assert((unsigned)t < N_DTYPES);
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

static uint16_t half_at(const uint8_t *p)
{
    uint16_t h;

    memcpy(&h, p, sizeof h);
    return h;
}

static void q8_0_block(const uint8_t *p, float *x)
{
    const float d = f16_to_f32(half_at(p));

    for (int i = 0; i < 32; i++)
        x[i] = (float)(int8_t)p[2 + i] * d;
}

/* Low nibbles are the first half of a block, high nibbles the second. */
static void q4_0_block(const uint8_t *p, float *x)
{
    const float d = f16_to_f32(half_at(p));

    for (int i = 0; i < 16; i++) {
        x[i] = d * (float)((p[2 + i] & 15) - 8);
        x[16 + i] = d * (float)((p[2 + i] >> 4) - 8);
    }
}

static void q4_1_block(const uint8_t *p, float *x)
{
    const float d = f16_to_f32(half_at(p)), m = f16_to_f32(half_at(p + 2));

    for (int i = 0; i < 16; i++) {
        x[i] = d * (float)(p[4 + i] & 15) + m;
        x[16 + i] = d * (float)(p[4 + i] >> 4) + m;
    }
}

/* Two halves of 128; in each, four runs of 32: low nibbles of 64 bytes, then high ones; two more bits each from qh. */
static void q6_k_block(const uint8_t *p, float *x)
{
    const float d = f16_to_f32(half_at(p + 208));

    for (int half = 0; half < 2; half++) {
        const uint8_t *ql = p + 64 * half, *qh = p + 128 + 32 * half, *scales = p + 192 + 8 * half;

        for (int run = 0; run < 4; run++) {
            for (int i = 0; i < 32; i++) {
                const float ds = d * (float)(int8_t)scales[2 * run + i / 16];
                const int low = ql[32 * (run & 1) + i] >> 4 * (run >> 1) & 15;
                const int high = qh[i] >> 2 * run & 3;

                *x++ = ds * (float)((low | high << 4) - 32);
            }
        }
    }
}

/* Eight runs of 32; the six-bit scales and minima of runs 4 to 7 have their upper two bits in bytes of runs 0 to 3. */
static void q4_k_block(const uint8_t *p, float *x)
{
    const float d = f16_to_f32(half_at(p)), e = f16_to_f32(half_at(p + 2));
    const uint8_t *packed = p + 4, *q = p + 16;

    for (int run = 0; run < 8; run++) {
        int s, m;

        if (run < 4) {
            s = packed[run] & 63;
            m = packed[run + 4] & 63;
        } else {
            s = (packed[run + 4] & 15) | (packed[run - 4] >> 6) << 4;
            m = packed[run + 4] >> 4 | (packed[run] >> 6) << 4;
        }
        const float ds = d * (float)s, em = e * (float)m;

        for (int i = 0; i < 32; i++)
            *x++ = ds * (float)(q[32 * (run / 2) + i] >> 4 * (run & 1) & 15) - em;
    }
}

void dtype_to_f32(enum dtype t, const void *src, size_t n, float *dst)
{
    static void (*const blocks[N_DTYPES])(const uint8_t *, float *) = {
        [DTYPE_Q8_0] = q8_0_block, [DTYPE_Q4_0] = q4_0_block, [DTYPE_Q4_1] = q4_1_block,
        [DTYPE_Q6_K] = q6_k_block, [DTYPE_Q4_K] = q4_k_block,
    };
    const struct dtype_info *info = dtype_info(t);
    const uint8_t *p = src;

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
    default:
        for (size_t i = 0; i < n; i += info->block, p += info->block_bytes)
            blocks[t](p, dst + i);
    }
}
