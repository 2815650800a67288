/*
 * work.c - sums over a model's matrices.
 */
#include "model/work.h"
#include "model/kv.h"

#include <math.h>

/* Products with one matrix, the same for so many rows. */
static void multiply(const struct model *m, const struct packed *w, double rows, struct work *to)
{
    const double n = 2 * rows * (double)w->n * (double)w->k;

    if (m->precision != PRECISION_INT8 || !packed_is_whole(w))
        to->f32 += n;
    else if (packed_is_wide(w))
        to->int8_wide += n;
    else
        to->int8 += n;
}

/* The same on the way back, at the gradient of what is multiplied. */
static void multiply_back(const struct model *m, const struct packed *w, double rows,
                          struct work *to)
{
    const double n = 2 * rows * (double)w->n * (double)w->k;

    if (m->precision == PRECISION_INT8 && packed_is_whole(w))
        to->bf16 += n;
    else
        to->f32 += n;
}

static double matrix_bytes(const struct model *m, enum weight_name name, size_t layer)
{
    const struct matrix_view w = model_files_weight(m->files, name, layer);

    return w.data == NULL ? 0 : (double)(dtype_bytes(w.dtype, w.cols) * w.rows);
}

static double head_bytes(const struct model *m)
{
    const double own = matrix_bytes(m, W_HEAD, 0);

    return own > 0 ? own : matrix_bytes(m, W_EMBED, 0);
}

/* Of one expert; all of a layer are alike. */
static double expert_bytes(const struct model *m, size_t layer)
{
    double bytes = 0;

    for (int name = W_GATE; name <= W_DOWN; name++) {
        const struct matrix_view w = model_files_expert(m->files, (enum weight_name)name, layer, 0);

        bytes += (double)(dtype_bytes(w.dtype, w.cols) * w.rows);
    }
    return bytes;
}

/* Experts of a layer that so many rows take, if each is as likely as any other. */
static double experts_read(const struct model_config *c, double rows)
{
    const double missed = 1 - (double)c->n_chosen / (double)c->n_experts;

    return (double)c->n_experts * (1 - pow(missed, rows));
}

static double weight_bytes(const struct model *m, double rows)
{
    const struct model_config *c = &m->config;
    double bytes = 0;

    for (size_t l = 0; l < c->n_layers; l++)
        for (size_t p = 0; p < projections_of(c); p++)
            bytes += matrix_bytes(m, projection_weight[p], l);
    for (size_t l = 0; c->n_experts > 0 && l < c->n_layers; l++)
        bytes += matrix_bytes(m, W_ROUTER, l) + experts_read(c, rows) * expert_bytes(m, l);
    return bytes;
}

/* Positions that rows see, or read, of a layer: with a window at most so many each. */
static double in_window(const struct model_config *c, size_t layer, double rows, double positions)
{
    return c->layers[layer].windowed ? fmin(positions, rows * (double)c->window) : positions;
}

/* The weights that rows and logits need, and what the rows look back at. */
static double bytes_of(const struct model *m, const struct work_rows *r)
{
    const struct model_config *c = &m->config;
    double read = 0;

    for (size_t l = 0; l < c->n_layers; l++)
        read += in_window(c, l, r->rows, r->read);
    return (r->rows > 0 ? weight_bytes(m, r->rows) : 0) + (r->logits > 0 ? head_bytes(m) : 0) +
           read * (double)kv_page_bytes(c) / (double)(c->n_layers * KV_PAGE);
}

/* Weights of an adapter: a row of its forward takes two operations for each. */
static double adapter_weights(const struct model *m, size_t rank)
{
    double sum = 0;

    for (size_t p = 0; p < projections_of(&m->config); p++) {
        size_t n, k;

        projection_shape(&m->config, (enum projection)p, &n, &k);
        sum += (double)(n + k);
    }
    return sum * (double)rank * (double)m->config.n_layers;
}

static double attention_operations(const struct model *m, double rows, double seen)
{
    const struct model_config *c = &m->config;
    double positions = 0;

    for (size_t l = 0; l < c->n_layers; l++)
        positions += in_window(c, l, rows, seen);
    return 4 * (double)(c->n_heads * c->head_width) * positions;
}

struct work work_forward(const struct model *m, const struct work_rows *r)
{
    const struct model_config *c = &m->config;
    struct work w = {.f32 = attention_operations(m, r->rows, r->seen) +
                            2 * r->rows * adapter_weights(m, r->rank),
                     .bytes = bytes_of(m, r)};

    for (size_t l = 0; l < c->n_layers; l++) {
        for (size_t p = 0; p < projections_of(c); p++)
            multiply(m, &m->layers[l].proj[p], r->rows, &w);
        for (size_t p = 0; c->n_experts > 0 && p < N_EXPERT_PARTS; p++)
            multiply(m, &m->layers[l].experts[0].part[p], r->rows * (double)c->n_chosen, &w);
        w.f32 += 2 * r->rows * (double)(c->n_experts * c->width); /* the router, never in bytes */
    }
    multiply(m, &m->head, r->logits, &w);
    return w;
}

struct work work_backward(const struct model *m, const struct work_rows *r)
{
    const struct model_config *c = &m->config;
    struct work w = {.f32 = 2 * attention_operations(m, r->rows, r->seen) +
                            4 * r->rows * adapter_weights(m, r->rank),
                     .bytes = bytes_of(m, r)};

    for (size_t l = 0; l < c->n_layers; l++) {
        for (size_t p = l == 0 ? PROJ_O : PROJ_Q; p < projections_of(c); p++)
            multiply_back(m, &m->layers[l].proj[p], r->rows, &w);
        for (size_t p = 0; c->n_experts > 0 && p < N_EXPERT_PARTS; p++)
            multiply_back(m, &m->layers[l].experts[0].part[p], r->rows * (double)c->n_chosen, &w);
        /* the router is computed anew, too */
        w.f32 += 4 * r->rows * (double)(c->n_experts * c->width);
    }
    multiply_back(m, &m->head, r->logits, &w);
    return w;
}

struct work work_times(struct work w, double n)
{
    return (struct work){.f32 = w.f32 * n,
                         .bf16 = w.bf16 * n,
                         .int8 = w.int8 * n,
                         .int8_wide = w.int8_wide * n,
                         .bytes = w.bytes * n};
}

struct work work_sum(struct work a, struct work b)
{
    return (struct work){.f32 = a.f32 + b.f32,
                         .bf16 = a.bf16 + b.bf16,
                         .int8 = a.int8 + b.int8,
                         .int8_wide = a.int8_wide + b.int8_wide,
                         .bytes = a.bytes + b.bytes};
}

double work_multiply_seconds(const struct work *w, const struct roof *roof)
{
    return w->f32 / roof->f32.best + w->bf16 / roof->bf16.best + w->int8 / roof->int8.best +
           w->int8_wide / roof->int8_wide.best;
}

double work_read_seconds(const struct work *w, const struct roof *roof)
{
    return w->bytes / roof->read.best;
}

double work_seconds(const struct work *w, const struct roof *roof)
{
    return fmax(work_multiply_seconds(w, roof), work_read_seconds(w, roof));
}
