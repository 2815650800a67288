/*
 * packed.c - weights as they lie in a file become panels of 16 outputs, in the same number format.
 *
 * The panel is what the inner loop reads: 16 outputs side by side for each k. Formats that ggml keeps in blocks along
 * k keep their scales beside their block, widened to FP32, so that a value is one exact multiply-add away.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "tensor/cpu/kernels_internal.h"
#include "tensor/ops.h"

#include <string.h>

static enum pack_kind kind_of(enum dtype t)
{
    switch (t) {
    case DTYPE_F16:
        return PACK_F16;
    case DTYPE_BF16:
        return PACK_BF16;
    case DTYPE_Q8_0:
    case DTYPE_Q6_K:
        return PACK_Q8;
    case DTYPE_Q4_0:
    case DTYPE_Q4_1:
    case DTYPE_Q4_K:
        return PACK_Q4;
    default:
        return PACK_F32;
    }
}

static size_t panel_bytes_of(enum pack_kind kind, size_t k)
{
    switch (kind) {
    case PACK_F32:
        return k * PANEL * sizeof(float);
    case PACK_F16:
    case PACK_BF16:
        return k * PANEL * sizeof(uint16_t);
    case PACK_Q8:
        return k / 16 * sizeof(struct pack_q8);
    case PACK_Q4:
        return k / 32 * sizeof(struct pack_q4);
    }
    return 0;
}

size_t pack_bytes(enum dtype t, size_t n, size_t k)
{
    return (n + PANEL - 1) / PANEL * size_round_up(panel_bytes_of(kind_of(t), k), 64);
}

struct packing {
    const struct matrix_view *w;
    struct packed *out;
};

static void put_plain(const struct matrix_view *w, size_t row, size_t j, size_t size,
                      unsigned char *panel)
{
    const unsigned char *src = matrix_row(w, row);

    for (size_t k = 0; k < w->cols; k++)
        memcpy(panel + (k * PANEL + j) * size, src + k * size, size);
}

static uint16_t u16_at(const unsigned char *p)
{
    uint16_t v;

    memcpy(&v, p, sizeof v);
    return v;
}

/* Q8_0: f16 d, int8 q[32] */
static void put_q8_0(const unsigned char *src, size_t n_blocks, size_t j, struct pack_q8 *panel)
{
    for (size_t b = 0; b < n_blocks; b++, src += 34) {
        for (size_t h = 0; h < 2; h++) {
            struct pack_q8 *block = &panel[2 * b + h];

            block->d[j] = f16_to_f32(u16_at(src));
            for (size_t i = 0; i < 16; i++)
                block->q[i / 4][j][i % 4] = (int8_t)src[2 + 16 * h + i];
        }
    }
}

/* Q6_K: ql[128], qh[64], int8 scales[16], f16 d; 256 values; value = (d * scale) * (q - 32) */
static void put_q6_k(const unsigned char *src, size_t n_blocks, size_t j, struct pack_q8 *panel)
{
    for (size_t b = 0; b < n_blocks; b++, src += 210) {
        const unsigned char *ql = src, *qh = src + 128, *scales = src + 192;
        const float d = f16_to_f32(u16_at(src + 208));

        for (size_t i = 0; i < 256; i++) {
            const size_t half = i / 128, in_half = i % 128, quarter = in_half / 32,
                         l = in_half % 32;
            const unsigned low = ql[half * 64 + (quarter % 2) * 32 + l];
            const unsigned nibble = quarter < 2 ? low & 15u : low >> 4;
            const unsigned high = (unsigned)(qh[half * 32 + l] >> (2 * quarter)) & 3u;
            struct pack_q8 *block = &panel[b * 16 + i / 16];

            block->q[i % 16 / 4][j][i % 4] = (int8_t)((int)(nibble | high << 4) - 32);
            block->d[j] = d * (float)(int8_t)scales[i / 16];
        }
    }
}

static void put_nibble(struct pack_q4 *block, size_t i, size_t j, unsigned q)
{
    uint8_t *byte = &block->q[i / 8][j][i % 4];

    *byte = (uint8_t)(i % 8 < 4 ? (*byte & 0xF0u) | q : (*byte & 0x0Fu) | q << 4);
}

/* Q4_0: f16 d, 16 bytes; Q4_1: f16 d, f16 m, 16 bytes: low halves are values 0..15, high halves 16..31 */
static void put_q4(const unsigned char *src, bool has_min, size_t n_blocks, size_t j,
                   struct pack_q4 *panel)
{
    const size_t head = has_min ? 4 : 2;

    for (size_t b = 0; b < n_blocks; b++, src += head + 16) {
        const float d = f16_to_f32(u16_at(src));

        panel[b].d[j] = d;
        panel[b].m[j] = has_min ? f16_to_f32(u16_at(src + 2)) : -8.0f * d;
        for (size_t i = 0; i < 16; i++) {
            put_nibble(&panel[b], i, j, src[head + i] & 15u);
            put_nibble(&panel[b], i + 16, j, src[head + i] >> 4);
        }
    }
}

/* Q4_K: f16 d, f16 dmin, 12 bytes of 6-bit scales and mins, 128 bytes; value = (d * sc) * q - (dmin * m) */
static void put_q4_k(const unsigned char *src, size_t n_blocks, size_t j, struct pack_q4 *panel)
{
    for (size_t b = 0; b < n_blocks; b++, src += 144) {
        const float d = f16_to_f32(u16_at(src)), dmin = f16_to_f32(u16_at(src + 2));
        const unsigned char *s = src + 4, *q = src + 16;

        for (size_t g = 0; g < 8; g++) {
            struct pack_q4 *block = &panel[b * 8 + g];
            const unsigned sc =
                g < 4 ? s[g] & 63u : (s[g + 4] & 15u) | (unsigned)(s[g - 4] >> 6) << 4;
            const unsigned mn =
                g < 4 ? s[g + 4] & 63u : (unsigned)(s[g + 4] >> 4) | (unsigned)(s[g] >> 6) << 4;

            block->d[j] = d * (float)sc;
            block->m[j] = -(dmin * (float)mn);
            for (size_t i = 0; i < 32; i++) {
                const unsigned byte = q[g / 2 * 32 + i];

                put_nibble(block, i, j, g % 2 == 0 ? byte & 15u : byte >> 4);
            }
        }
    }
}

static void pack_panel(void *ctx, size_t p, int thread)
{
    const struct packing *job = ctx;
    const struct matrix_view *w = job->w;
    unsigned char *panel = job->out->data + p * job->out->panel_bytes;
    const size_t n_blocks = w->cols / dtype_info(w->dtype)->block;

    (void)thread;
    for (size_t j = 0; j < PANEL && p * PANEL + j < w->rows; j++) {
        const size_t row = p * PANEL + j;
        const unsigned char *src = matrix_row(w, row);

        switch (w->dtype) {
        case DTYPE_F32:
            put_plain(w, row, j, 4, panel);
            break;
        case DTYPE_F16:
        case DTYPE_BF16:
            put_plain(w, row, j, 2, panel);
            break;
        case DTYPE_Q8_0:
            put_q8_0(src, n_blocks, j, (struct pack_q8 *)panel);
            break;
        case DTYPE_Q6_K:
            put_q6_k(src, n_blocks, j, (struct pack_q8 *)panel);
            break;
        case DTYPE_Q4_0:
        case DTYPE_Q4_1:
            put_q4(src, w->dtype == DTYPE_Q4_1, n_blocks, j, (struct pack_q4 *)panel);
            break;
        case DTYPE_Q4_K:
            put_q4_k(src, n_blocks, j, (struct pack_q4 *)panel);
            break;
        case N_DTYPES:
            break;
        }
    }
}

static bool take_room(enum pack_kind kind, size_t n, size_t k, struct arena *a, struct packed *out,
                      const char *name, struct error *err)
{
    struct packed p = {.n = n, .k = k, .n_panels = (n + PANEL - 1) / PANEL, .kind = (int)kind};

    p.panel_bytes = size_round_up(panel_bytes_of(kind, k), 64);
    p.data = arena_try(a, p.n_panels, p.panel_bytes, name, err);
    if (p.data == NULL)
        return false;
    *out = p;
    return true;
}

bool pack_matrix(const struct matrix_view *w, struct arena *a, struct packed *out, const char *name,
                 struct error *err)
{
    struct packing job = {.w = w, .out = out};

    if (!take_room(kind_of(w->dtype), w->rows, w->cols, a, out, name, err))
        return false;
    parallel_for(out->n_panels, pack_panel, &job);
    return true;
}

bool pack_room(size_t n, size_t k, struct arena *a, struct packed *out, struct error *err)
{
    return take_room(PACK_F32, n, k, a, out, "a trained matrix", err);
}

struct packing_floats {
    const float *w;
    size_t ld;
    struct packed *out;
};

static void pack_floats_panel(void *ctx, size_t p, int thread)
{
    const struct packing_floats *job = ctx;
    float *panel = (float *)(void *)(job->out->data + p * job->out->panel_bytes);

    (void)thread;
    for (size_t j = 0; j < PANEL && p * PANEL + j < job->out->n; j++) {
        const float *row = job->w + (p * PANEL + j) * job->ld;

        for (size_t k = 0; k < job->out->k; k++)
            panel[k * PANEL + j] = row[k];
    }
}

void pack_floats(const float *w, size_t ld, struct packed *out)
{
    struct packing_floats job = {.w = w, .ld = ld, .out = out};

    parallel_for(out->n_panels, pack_floats_panel, &job);
}
