/*
 * rows.c - operations on one row at a time, rows divided over threads.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "tensor/cpu/kernels_internal.h"
#include "tensor/ops.h"

#include <math.h>
#include <string.h>

#define ROWS_PER_UNIT 8
#define ROUNDED_ROWS_PER_UNIT 16

struct rows {
    size_t m, n, ldx, ldy, lddx, n_parts;
    const float *x, *w, *b, *r, *dy, *gate, *up, *cos_, *sin_;
    float *y, *dx, *out_r, *dgate, *dup, *copy;
    const struct heads *heads;
    struct rounded *rounded; /* NULL: y is not rounded */
    const uint32_t *pos;
    float number; /* the one that an operation has: eps, a factor, a cap */
    bool back;
    void (*one)(const struct rows *p, size_t i);
};

/* What is rounded for rows side by side lies side by side: no two threads write to the same line of the cache. */
static size_t unit_rows(const struct rows *p)
{
    return p->rounded != NULL ? ROUNDED_ROWS_PER_UNIT : ROWS_PER_UNIT;
}

static void rows_unit(void *ctx, size_t unit, int thread)
{
    const struct rows *p = ctx;
    const size_t n = unit_rows(p);

    (void)thread;
    for (size_t i = unit * n; i < size_min(p->m, (unit + 1) * n); i++) {
        p->one(p, i);
        if (p->rounded != NULL)
            kernels()->bytes->round_row(p->y + i * p->ldy, p->rounded, i);
    }
}

static void run(struct rows *p)
{
    if (p->rounded != NULL) {
        p->rounded->m = p->m;
        p->rounded->k = p->n;
    }
    parallel_for((p->m + unit_rows(p) - 1) / unit_rows(p), rows_unit, p);
}

static void rms_norm_one(const struct rows *p, size_t i)
{
    const float r =
        kernels()->rms_norm(p->n, p->x + i * p->ldx, p->w, p->number, p->y + i * p->ldy);

    if (p->out_r != NULL)
        p->out_r[i] = r;
    if (p->copy != NULL)
        memcpy(p->copy + i * p->n, p->x + i * p->ldx, p->n * sizeof *p->copy);
}

void rms_norm_and(size_t m, size_t n, const float *x, const float *w, float eps, float *y, float *r,
                  float *copy, struct rounded *rounded)
{
    struct rows p = {.m = m,
                     .n = n,
                     .x = x,
                     .ldx = n,
                     .w = w,
                     .number = eps,
                     .y = y,
                     .ldy = n,
                     .out_r = r,
                     .copy = copy,
                     .rounded = rounded,
                     .one = rms_norm_one};

    run(&p);
}

void rms_norm(size_t m, size_t n, const float *x, size_t ldx, const float *w, float eps, float *y,
              size_t ldy, float *r)
{
    struct rows p = {.m = m,
                     .n = n,
                     .x = x,
                     .ldx = ldx,
                     .w = w,
                     .number = eps,
                     .y = y,
                     .ldy = ldy,
                     .out_r = r,
                     .one = rms_norm_one};

    run(&p);
}

static void rms_norm_back_one(const struct rows *p, size_t i)
{
    kernels()->rms_norm_back(p->n, p->x + i * p->ldx, p->w, p->r[i], p->dy + i * p->ldy,
                             p->dx + i * p->lddx);
}

void rms_norm_back(size_t m, size_t n, const float *x, size_t ldx, const float *w, const float *r,
                   const float *dy, size_t lddy, float *dx, size_t lddx)
{
    struct rows p = {.m = m,
                     .n = n,
                     .x = x,
                     .ldx = ldx,
                     .w = w,
                     .r = r,
                     .dy = dy,
                     .ldy = lddy,
                     .dx = dx,
                     .lddx = lddx,
                     .one = rms_norm_back_one};

    run(&p);
}

struct norm_weight {
    size_t m, n, ldx, lddy;
    const float *x, *r, *dy;
    float *dw;
};

static void norm_weight_unit(void *ctx, size_t unit, int thread)
{
    const struct norm_weight *p = ctx;

    (void)thread;
    for (size_t j = unit * 64; j < size_min(p->n, (unit + 1) * 64); j++)
        for (size_t i = 0; i < p->m; i++)
            p->dw[j] = fmaf(p->dy[i * p->lddy + j], p->x[i * p->ldx + j] * p->r[i], p->dw[j]);
}

void rms_norm_back_w(size_t m, size_t n, const float *x, size_t ldx, const float *r,
                     const float *dy, size_t lddy, float *dw)
{
    struct norm_weight p = {
        .m = m, .n = n, .x = x, .ldx = ldx, .r = r, .dy = dy, .lddy = lddy, .dw = dw};

    parallel_for((n + 63) / 64, norm_weight_unit, &p);
}

static void layer_norm_one(const struct rows *p, size_t i)
{
    kernels()->layer_norm(p->n, p->x + i * p->ldx, p->w, p->b, p->number, p->y + i * p->ldy);
}

void layer_norm(size_t m, size_t n, const float *x, size_t ldx, const float *w, const float *b,
                float eps, float *y, size_t ldy)
{
    struct rows p = {.m = m,
                     .n = n,
                     .x = x,
                     .ldx = ldx,
                     .w = w,
                     .b = b,
                     .number = eps,
                     .y = y,
                     .ldy = ldy,
                     .one = layer_norm_one};

    run(&p);
}

static void gelu_one(const struct rows *p, size_t i)
{
    kernels()->gelu(p->n, p->x + i * p->n, p->y + i * p->n);
}

void gelu(size_t m, size_t n, const float *x, float *y)
{
    struct rows p = {.m = m, .n = n, .x = x, .y = y, .one = gelu_one};

    run(&p);
}

/* The rows of a gate, forward and backward: which function it is stands in one. */
static void gate_rows(size_t m, size_t n, const float *gate, const float *up, float *y,
                      struct rounded *rounded, void (*one)(const struct rows *p, size_t i))
{
    struct rows p = {
        .m = m, .n = n, .gate = gate, .up = up, .y = y, .ldy = n, .rounded = rounded, .one = one};

    run(&p);
}

static void gate_rows_back(size_t m, size_t n, const float *gate, const float *up, const float *dy,
                           float *dgate, float *dup, void (*one)(const struct rows *p, size_t i))
{
    struct rows p = {
        .m = m, .n = n, .gate = gate, .up = up, .dy = dy, .dgate = dgate, .dup = dup, .one = one};

    run(&p);
}

static void swiglu_one(const struct rows *p, size_t i)
{
    kernels()->swiglu(p->n, p->gate + i * p->n, p->up + i * p->n, p->y + i * p->ldy);
}

static void swiglu_back_one(const struct rows *p, size_t i)
{
    const size_t at = i * p->n;

    kernels()->swiglu_back(p->n, p->gate + at, p->up + at, p->dy + at, p->dgate + at, p->dup + at);
}

static void geglu_one(const struct rows *p, size_t i)
{
    kernels()->geglu(p->n, p->gate + i * p->n, p->up + i * p->n, p->y + i * p->ldy);
}

static void geglu_back_one(const struct rows *p, size_t i)
{
    const size_t at = i * p->n;

    kernels()->geglu_back(p->n, p->gate + at, p->up + at, p->dy + at, p->dgate + at, p->dup + at);
}

void swiglu_and(size_t m, size_t n, const float *gate, const float *up, float *y,
                struct rounded *rounded)
{
    gate_rows(m, n, gate, up, y, rounded, swiglu_one);
}

void swiglu(size_t m, size_t n, const float *gate, const float *up, float *y)
{
    swiglu_and(m, n, gate, up, y, NULL);
}

void swiglu_back(size_t m, size_t n, const float *gate, const float *up, const float *dy,
                 float *dgate, float *dup)
{
    gate_rows_back(m, n, gate, up, dy, dgate, dup, swiglu_back_one);
}

void geglu_and(size_t m, size_t n, const float *gate, const float *up, float *y,
               struct rounded *rounded)
{
    gate_rows(m, n, gate, up, y, rounded, geglu_one);
}

void geglu_back(size_t m, size_t n, const float *gate, const float *up, const float *dy,
                float *dgate, float *dup)
{
    gate_rows_back(m, n, gate, up, dy, dgate, dup, geglu_back_one);
}

static void clamped_one(const struct rows *p, size_t i)
{
    kernels()->clamped(p->n, p->gate + i * p->n, p->up + i * p->n, p->y + i * p->ldy);
}

static void clamped_back_one(const struct rows *p, size_t i)
{
    const size_t at = i * p->n;

    kernels()->clamped_back(p->n, p->gate + at, p->up + at, p->dy + at, p->dgate + at, p->dup + at);
}

void clamped_and(size_t m, size_t n, const float *gate, const float *up, float *y,
                 struct rounded *rounded)
{
    gate_rows(m, n, gate, up, y, rounded, clamped_one);
}

void clamped_back(size_t m, size_t n, const float *gate, const float *up, const float *dy,
                  float *dgate, float *dup)
{
    gate_rows_back(m, n, gate, up, dy, dgate, dup, clamped_back_one);
}

static void add_one(const struct rows *p, size_t i)
{
    kernels()->add(p->n, p->x + i * p->ldx, p->y + i * p->ldy);
}

void add_rows(size_t m, size_t n, const float *x, size_t ldx, float *y, size_t ldy)
{
    struct rows p = {.m = m, .n = n, .x = x, .ldx = ldx, .y = y, .ldy = ldy, .one = add_one};

    run(&p);
}

void add_to_rows(size_t m, size_t n, const float *b, float *y, size_t ldy)
{
    add_rows(m, n, b, 0, y, ldy);
}

static void scale_one(const struct rows *p, size_t i)
{
    kernels()->scale(p->n, p->number, p->y + i * p->ldy);
}

void scale_rows(size_t m, size_t n, float s, float *x, size_t ldx)
{
    struct rows p = {.m = m, .n = n, .number = s, .y = x, .ldy = ldx, .one = scale_one};

    if (s != 1.0f)
        run(&p);
}

static void soft_cap_one(const struct rows *p, size_t i)
{
    kernels()->soft_cap(p->n, 1.0f / p->number, p->number, p->y + i * p->ldy);
}

void soft_cap_rows(size_t m, size_t n, float cap, float *x, size_t ldx)
{
    struct rows p = {.m = m, .n = n, .number = cap, .y = x, .ldy = ldx, .one = soft_cap_one};

    run(&p);
}

void rope_row(size_t d, const float *cos_, const float *sin_, uint32_t pos, bool back,
              size_t n_heads, size_t width, float *x)
{
    const size_t at = pos * (d / 2);

    for (size_t h = 0; h < n_heads; h++)
        kernels()->rope(d, cos_ + at, sin_ + at, back, x + h * width);
}

static void rope_one(const struct rows *p, size_t i)
{
    for (const struct heads *x = p->heads; x < p->heads + p->n_parts; x++)
        rope_row(p->n, p->cos_, p->sin_, p->pos[i], p->back, x->n_heads,
                 x->width > 0 ? x->width : p->n, x->x + i * x->ldx);
}

void rope_rows(size_t m, size_t d, const float *cos_, const float *sin_, const uint32_t *pos,
               bool back, const struct heads *parts, size_t n_parts)
{
    struct rows p = {.m = m,
                     .n = d,
                     .cos_ = cos_,
                     .sin_ = sin_,
                     .pos = pos,
                     .back = back,
                     .heads = parts,
                     .n_parts = n_parts,
                     .one = rope_one};

    run(&p);
}

size_t softmax_blocks(size_t v)
{
    return (v + SOFTMAX_BLOCK - 1) / SOFTMAX_BLOCK;
}

struct softmax_row softmax_row_of(size_t v, const float *logits, float inv_t, float *block_sums)
{
    struct softmax_row s = {.max = kernels()->max(v, logits)};

    kernels()->exp_block_sums(v, s.max, inv_t, logits, block_sums);
    for (size_t b = 0; b < softmax_blocks(v); b++)
        s.total += block_sums[b];
    s.log_total = (float)log((double)s.total);
    return s;
}

float softmax_logp(const struct softmax_row *s, float logit, float inv_t)
{
    return (logit - s->max) * inv_t - s->log_total;
}

/* H = ln Z - sum p (l - max) / T */
float softmax_entropy(const struct softmax_row *s, size_t v, const float *logits, float inv_t,
                      float *work)
{
    kernels()->exp_to(v, s->max, inv_t, logits, work);
    return s->log_total - inv_t * (kernels()->dot(v, work, logits) / s->total - s->max);
}

const char *ops_machine(void)
{
    return kernels()->name;
}

bool ops_choose_machine(const char *name)
{
    return kernels_choose(name);
}
