/*
 * packed.c - weights as they lie in a file become panels of 16 outputs, in the same number format or one that holds it.
 *
 * The panel is what the inner loop reads: 16 outputs side by side for each k. Formats that ggml keeps in blocks along
 * k keep their scales beside their block, widened to FP32, so that a value is one multiply-add away. Where
 * there are minima, numbers of at most 5 bits are times scales of at most 17, which is exact: a fused multiply-add has the bits of
 * a product and a sum that are rounded each.
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
    case DTYPE_F8_E4M3:
        return PACK_F8;
    case DTYPE_Q8_0:
    case DTYPE_Q6_K:
    case DTYPE_Q3_K:
    case DTYPE_IQ4_NL:
    case DTYPE_IQ4_XS:
    case DTYPE_MXFP4:
        return PACK_Q8;
    case DTYPE_Q5_0:
    case DTYPE_Q5_1:
    case DTYPE_Q5_K:
        return PACK_Q5;
    case DTYPE_Q4_0:
    case DTYPE_Q4_1:
    case DTYPE_Q4_K:
        return PACK_Q4;
    case DTYPE_Q2_K:
        return PACK_Q2;
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
    case PACK_Q5:
        return k / 32 * sizeof(struct pack_q5);
    case PACK_Q4:
        return k / 32 * sizeof(struct pack_q4);
    case PACK_Q2:
        return k / 16 * sizeof(struct pack_q2);
    case PACK_F8:
        return (k + 15) / 16 * sizeof(struct pack_f8);
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
    unsigned char
        *room; /* of rows that are put together: [parallel_threads(), row_bytes]; NULL: none is */
    size_t row_bytes;
};

static void put_plain(const struct matrix_view *w, const unsigned char *src, size_t j, size_t size,
                      unsigned char *panel)
{
    for (size_t k = 0; k < w->cols; k++)
        memcpy(panel + (k * PANEL + j) * size, src + k * size, size);
}

static void put_q8(const struct whole_block *b, size_t n, size_t j, struct pack_q8 *to)
{
    for (size_t run = 0; run < n / 16; run++, to++) {
        to->d[j] = b->d[run];
        for (size_t g = 0; g < 4; g++)
            memcpy(to->q[g][j], b->q + 16 * run + 4 * g, 4);
    }
}

/*
 * The numbers of 32 k, from a run of 16 on, as 0 and more; m is what 0 stands for: the run's minimum, or in a format without minima
 * what its smallest number stood for.
 */
static void numbers_of(const struct dtype_info *t, const struct whole_block *b, size_t run,
                       uint8_t q[32], float *m)
{
    for (size_t i = 0; i < 32; i++)
        q[i] = (uint8_t)(b->q[16 * run + i] - t->least);
    *m = t->has_min ? b->m[run] : (float)t->least * b->d[run];
}

/* Four bits each of 32 k. */
static void put_halves(const uint8_t n[32], size_t j, uint8_t q[4][PANEL][4])
{
    for (size_t g = 0; g < 4; g++)
        for (size_t i = 0; i < 4; i++)
            q[g][j][i] = (uint8_t)((n[8 * g + i] & 15) | n[8 * g + 4 + i] << 4);
}

static void put_q4(const struct dtype_info *t, const struct whole_block *b, size_t j,
                   struct pack_q4 *to)
{
    uint8_t n[32];

    for (size_t run = 0; run < t->block / 16; run += 2, to++) {
        numbers_of(t, b, run, n, &to->m[j]);
        to->d[j] = b->d[run];
        put_halves(n, j, to->q);
    }
}

static void put_q5(const struct dtype_info *t, const struct whole_block *b, size_t j,
                   struct pack_q5 *to)
{
    uint8_t n[32];

    for (size_t run = 0; run < t->block / 16; run += 2, to++) {
        numbers_of(t, b, run, n, &to->m[j]);
        to->d[j] = b->d[run];
        put_halves(n, j, to->q);
        for (size_t i = 0; i < 4; i++) {
            unsigned fifth = 0;

            for (size_t g = 0; g < 8; g++)
                fifth |= (unsigned)(n[4 * g + i] >> 4) << g;
            to->fifth[j][i] = (uint8_t)fifth;
        }
    }
}

static void put_q2(const struct dtype_info *t, const struct whole_block *b, size_t j,
                   struct pack_q2 *to)
{
    for (size_t run = 0; run < t->block / 16; run++, to++) {
        const int8_t *q = b->q + 16 * run;

        to->d[j] = b->d[run];
        to->m[j] = b->m[run];
        for (size_t i = 0; i < 4; i++)
            to->q[j][i] = (uint8_t)(q[i] | q[4 + i] << 2 | q[8 + i] << 4 | q[12 + i] << 6);
    }
}

static void put_blocks(const struct matrix_view *w, const unsigned char *src, size_t j,
                       unsigned char *panel)
{
    const struct dtype_info *t = dtype_info(w->dtype);
    const enum pack_kind kind = kind_of(w->dtype);
    struct whole_block b;

    for (size_t k = 0; k < w->cols; k += t->block, src += t->block_bytes) {
        void *to = panel + panel_bytes_of(kind, k);

        dtype_whole(w->dtype, src, &b);
        if (kind == PACK_Q8)
            put_q8(&b, t->block, j, to);
        else if (kind == PACK_Q5)
            put_q5(t, &b, j, to);
        else if (kind == PACK_Q4)
            put_q4(t, &b, j, to);
        else
            put_q2(t, &b, j, to);
    }
}

static void put_f8(const struct matrix_view *w, size_t row, const uint8_t *src, size_t j,
                   struct pack_f8 *panel)
{
    for (size_t k = 0; k < w->cols; k++) {
        panel[k / 16].d[j] = matrix_scale(w, row, k / 16 * 16);
        panel[k / 16].q[k % 16][j] = src[k];
    }
}

/* Rare, so that no panel knows it. */
static void put_e5m2(const struct matrix_view *w, size_t row, const uint8_t *src, size_t j,
                     float *panel)
{
    for (size_t k = 0; k < w->cols; k++) {
        dtype_to_f32(w->dtype, src + k, 1, &panel[k * PANEL + j]);
        panel[k * PANEL + j] *= matrix_scale(w, row, k);
    }
}

static void pack_panel(void *ctx, size_t p, int thread)
{
    const struct packing *job = ctx;
    const struct matrix_view *w = job->w;
    unsigned char *panel = job->out->data + p * job->out->panel_bytes;

    for (size_t j = 0; j < PANEL && p * PANEL + j < w->rows; j++) {
        const size_t row = p * PANEL + j;
        const unsigned char *src =
            job->room == NULL
                ? matrix_row(w, row)
                : matrix_row_packed(w, row, job->room + (size_t)thread * job->row_bytes);

        switch (w->dtype) {
        case DTYPE_F32:
            put_plain(w, src, j, 4, panel);
            break;
        case DTYPE_F16:
        case DTYPE_BF16:
            put_plain(w, src, j, 2, panel);
            break;
        case DTYPE_F8_E4M3:
            put_f8(w, row, src, j, (struct pack_f8 *)(void *)panel);
            break;
        case DTYPE_F8_E5M2:
            put_e5m2(w, row, src, j, (float *)(void *)panel);
            break;
        default:
            put_blocks(w, src, j, panel);
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
    struct packing job = {.w = w, .out = out, .row_bytes = dtype_bytes(w->dtype, w->cols)};
    struct arena scratch = {0};

    if (!take_room(kind_of(w->dtype), w->rows, w->cols, a, out, name, err))
        return false;
    if (!matrix_is_plain(w)) {
        job.room = arena_try(&scratch, (size_t)parallel_threads(), job.row_bytes, name, err);
        if (job.room == NULL)
            return false;
    }
    parallel_for(out->n_panels, pack_panel, &job);
    arena_release(&scratch);
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
