/*
 * layer.c - a layer, forward and backward, and the parts of its state row by row.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "model/layer_internal.h"
#include "tensor/cpu/kernels.h"

#include <string.h>

#define MOST_SIDE_BY_SIDE 3 /* linear layers that read the same rows: query, key, value */

/* What a layer's linear parts have in common. */
struct linear {
    const struct model *m;
    const struct adapter_rows *by;
    size_t n_by, layer, rows;
    struct layer_state *s;
    const struct layer_scratch *t;
};

/* The base's products, and u = s A x of every adapter's rows. */
static size_t first_parts(const struct linear *w, const enum projection *p, size_t n,
                          const float *x, float *const *y, bool accumulate)
{
    struct matmul_part *parts = w->t->parts;
    size_t n_parts = 0;

    for (size_t i = 0; i < n; i++) {
        const struct packed *packed = &w->m->layers[w->layer].proj[p[i]];

        parts[n_parts++] = (struct matmul_part){.w = packed,
                                                .m = w->rows,
                                                .x = x,
                                                .ldx = packed->k,
                                                .rounded = w->t->rounded,
                                                .y = y[i],
                                                .ldy = packed->n,
                                                .scale = 1,
                                                .accumulate = accumulate};
    }
    for (const struct adapter_rows *by = w->by; by < w->by + w->n_by; by++) {
        for (size_t i = 0; i < n; i++) {
            const struct lora *l = &by->adapter->layers[w->layer][p[i]];

            parts[n_parts++] = (struct matmul_part){.w = &l->pa,
                                                    .m = by->n_rows,
                                                    .x = x + by->row * l->k,
                                                    .ldx = l->k,
                                                    .y = w->s->u[p[i]] + by->row * w->s->rank,
                                                    .ldy = w->s->rank,
                                                    .scale = by->adapter->scale};
        }
    }
    return n_parts;
}

/* y += B u of every adapter's rows. */
static size_t second_parts(const struct linear *w, const enum projection *p, size_t n,
                           float *const *y)
{
    struct matmul_part *parts = w->t->parts;
    size_t n_parts = 0;

    for (const struct adapter_rows *by = w->by; by < w->by + w->n_by; by++) {
        for (size_t i = 0; i < n; i++) {
            const struct lora *l = &by->adapter->layers[w->layer][p[i]];

            parts[n_parts++] = (struct matmul_part){.w = &l->pb,
                                                    .m = by->n_rows,
                                                    .x = w->s->u[p[i]] + by->row * w->s->rank,
                                                    .ldx = w->s->rank,
                                                    .y = y[i] + by->row * l->n,
                                                    .ldy = l->n,
                                                    .scale = 1,
                                                    .accumulate = true};
        }
    }
    return n_parts;
}

/*
 * y[i] (+)= W x of n linear layers that read the same rows, and the adapters' parts; u of s receives s A x where there is an
 * adapter. The scratch's rounded rows, where there are some, are those of x.
 */
static void linear(const struct linear *w, const enum projection *p, size_t n, const float *x,
                   float *const *y, bool accumulate)
{
    matmul_parts(w->t->parts, first_parts(w, p, n, x, y, accumulate));
    if (w->n_by > 0)
        matmul_parts(w->t->parts, second_parts(w, p, n, y));
}

/* dx (+)= the gradient at the input of a linear layer; weights' gradients are added to. dx NULL: only those. */
static void linear_back(const struct model *m, const struct adapter *ad, size_t layer, size_t rows,
                        enum projection proj, const float *x, const float *u, const float *dy,
                        float *du, float *dx, bool accumulate)
{
    const struct packed *w = &m->layers[layer].proj[proj];

    if (dx != NULL)
        model_back_x(m, w, rows, dy, w->n, dx, w->k, accumulate);
    if (ad != NULL) {
        const struct lora *l = &ad->layers[layer][proj];
        const size_t r = ad->rank;

        matmul_floats(w->n, r, rows, dy, 1, w->n, u, r, l->db, r, true);
        matmul_floats(rows, r, w->n, dy, w->n, 1, l->b, r, du, r, false);
        scale_rows(rows, r, ad->scale, du, r);
        matmul_floats(r, w->k, rows, du, 1, r, x, w->k, l->da, w->k, true);
        if (dx != NULL)
            matmul_floats(rows, w->k, r, du, r, 1, l->a, w->k, dx, w->k, true);
    } else if (m->full != NULL) {
        matmul_floats(w->n, w->k, rows, dy, 1, w->n, x, w->k, m->full->layers[layer].d_proj[proj],
                      w->k, true);
    }
}

gate_fn *gate_forward(enum activation a)
{
    return a == ACT_SILU ? swiglu_and : a == ACT_GELU_TANH ? geglu_and : clamped_and;
}

gate_back_fn *gate_backward(enum activation a)
{
    return a == ACT_SILU ? swiglu_back : a == ACT_GELU_TANH ? geglu_back : clamped_back;
}

float *layer_room(struct arena *a, size_t n)
{
    return arena_room(a, (n + PANEL) * sizeof(float));
}

struct layer_state layer_state_make(const struct model *m, size_t rank, size_t rows,
                                    struct arena *a)
{
    const struct model_config *c = &m->config;
    struct layer_state s = {.rank = rank};

    s.r1 = layer_room(a, rows);
    s.r2 = layer_room(a, rows);
    s.q = layer_room(a, rows * c->n_heads * c->head_width);
    s.row_max = layer_room(a, rows * c->n_heads);
    s.row_inv = layer_room(a, rows * c->n_heads);
    s.att = layer_room(a, rows * c->n_heads * c->head_width);
    s.mid = layer_room(a, rows * c->width);
    s.gate = layer_room(a, rows * config_inner_width(c));
    s.up = layer_room(a, rows * config_inner_width(c));
    for (size_t p = 0; p < projections_of(c) && rank > 0; p++)
        s.u[p] = layer_room(a, rows * rank);
    if (c->qk_norm != QK_NORM_NONE) {
        s.raw_q = layer_room(a, rows * c->n_heads * c->head_width);
        s.raw_k = layer_room(a, rows * c->n_kv_heads * c->head_width);
    }
    if (c->norm_place != NORM_BEFORE) {
        s.att_out = layer_room(a, rows * c->width);
        s.ffn_out = layer_room(a, rows * c->width);
    }
    return s;
}

/* Values of the widest row that is rounded; those of experts have their own place. */
static size_t widest_rounded(const struct model_config *c)
{
    return size_max(size_max(c->width, c->n_experts > 0 ? 0 : c->hidden),
                    c->n_heads * c->head_width);
}

struct layer_scratch layer_scratch_make(const struct model *m, size_t rows, size_t n_by,
                                        struct arena *a)
{
    const struct model_config *c = &m->config;
    struct layer_scratch t = {
        .norm = layer_room(a, rows * c->width),
        .k = layer_room(a, rows * c->n_kv_heads * c->head_width),
        .v = layer_room(a, rows * c->n_kv_heads * c->head_width),
        .act = c->n_experts > 0 ? NULL : layer_room(a, rows * c->hidden),
        .parts = ARENA_ARRAY(a, struct matmul_part, MOST_SIDE_BY_SIDE * (1 + n_by))};

    if (m->precision == PRECISION_INT8) {
        t.rounded = ARENA_NEW(a, struct rounded);
        *t.rounded = rounded_room(rows, widest_rounded(c), a);
    }
    if (c->n_experts > 0)
        t.experts = experts_scratch_make(m, rows, m->precision == PRECISION_INT8, a);
    return t;
}

/* Where rows of k values go when they are rounded; NULL where they are not. */
static struct rounded *rounding(const struct layer_scratch *t, size_t k)
{
    return k % ROUNDED_BLOCK == 0 ? t->rounded : NULL;
}

size_t rounded_row_bytes(size_t k)
{
    return k + k / ROUNDED_BLOCK *
                   (2 * sizeof(float) + 2 * sizeof(int32_t) + sizeof(struct rounded_apart));
}

size_t layer_row_bytes(const struct model *m, size_t rank)
{
    const struct model_config *c = &m->config;
    const size_t kd = c->n_kv_heads * c->head_width;
    const size_t state = saved_layout_of(c, rank).stride - c->width - 2 * kd;
    const size_t scratch = c->width + 2 * kd + (c->n_experts > 0 ? 0 : c->hidden);

    return (state + scratch) * sizeof(float) +
           (m->precision == PRECISION_INT8 ? rounded_row_bytes(widest_rounded(c)) : 0) +
           (c->n_experts > 0 ? experts_row_bytes(m) : 0);
}

/* Queries or keys become what is rotated: biases first, then norms of what raw holds. */
static void ready_heads(const struct model_config *c, size_t rows, size_t n_heads,
                        const float *bias, const float *norm, float *raw, float *x)
{
    const size_t n = n_heads * c->head_width;
    float *from = norm != NULL ? raw : x;

    if (bias != NULL)
        add_to_rows(rows, n, bias, from, n);
    if (norm != NULL && c->qk_norm == QK_NORM_HEAD)
        rms_norm(rows * n_heads, c->head_width, from, c->head_width, norm, (float)c->rms_eps, x,
                 c->head_width, NULL);
    else if (norm != NULL)
        rms_norm(rows, n, from, n, norm, (float)c->rms_eps, x, n, NULL);
}

/* What a layer's part reads: the normed x, or where no norm is before it x itself; both rounded, and x copied to copy. */
static const float *part_input(const struct model *m, size_t rows, const float *x,
                               const float *norm, float *r, float *copy,
                               const struct layer_scratch *t)
{
    const size_t width = m->config.width;

    if (norm != NULL) {
        rms_norm_and(rows, width, x, norm, (float)m->config.rms_eps, t->norm, r, copy,
                     rounding(t, width));
        return t->norm;
    }
    if (rounding(t, width) != NULL)
        round_rows(rows, width, x, width, t->rounded);
    if (copy != NULL)
        memcpy(copy, x, rows * width * sizeof *copy);
    memset(r, 0, rows * sizeof *r); /* it is kept and never read: the same bits everywhere */
    return x;
}

/* to += what a part computed, in raw where a norm is behind it, else in the scratch's norm, which nobody reads any more. */
static void add_output(const struct linear *of, const float *norm, const float *raw, float *to)
{
    const struct model_config *c = &of->m->config;
    float *sum = of->t->norm;

    if (norm != NULL)
        rms_norm(of->rows, c->width, raw, c->width, norm, (float)c->rms_eps, sum, c->width, NULL);
    if (c->residual_scale > 0)
        scale_rows(of->rows, c->width, (float)c->residual_scale, sum, c->width);
    add_rows(of->rows, c->width, sum, c->width, to, c->width);
}

/* to += what a part's last linear layer makes of x, behind a norm or scaled where the model has that; raw: before the norm. */
static void part_output(const struct linear *of, enum projection p, const float *x,
                        const float *bias, const float *norm, float *raw, float *to)
{
    const size_t width = of->m->config.width;
    float *sum = of->t->norm; /* nobody reads it any more */

    if (norm == NULL && !(of->m->config.residual_scale > 0)) {
        linear(of, &p, 1, x, &to, true);
        if (bias != NULL)
            add_to_rows(of->rows, width, bias, to, width);
        return;
    }
    linear(of, &p, 1, x, norm != NULL ? &raw : &sum, false);
    if (bias != NULL)
        add_to_rows(of->rows, width, bias, norm != NULL ? raw : sum, width);
    add_output(of, norm, raw, to);
}

/* x becomes s's gate and up, then what they make of it, which is added to out. */
static void feed_forward(const struct linear *of, const float *x, const float *norm, float *out)
{
    static const enum projection wide[] = {PROJ_GATE, PROJ_UP};
    const struct model_config *c = &of->m->config;
    struct layer_state *s = of->s;
    const struct layer_scratch *t = of->t;

    if (c->n_experts > 0) {
        experts_forward(of->m, of->layer, of->rows, x, &t->experts, s->gate, s->up,
                        norm != NULL ? s->ffn_out : t->norm);
        add_output(of, norm, s->ffn_out, out);
        return;
    }
    linear(of, wide, 2, x, (float *[]){s->gate, s->up}, false);
    gate_forward(c->activation)(of->rows, c->hidden, s->gate, s->up, t->act,
                                rounding(t, c->hidden));
    part_output(of, PROJ_DOWN, t->act, NULL, norm, s->ffn_out, out);
}

static struct rotation rotation_of(const struct model *m, size_t layer, const uint32_t *pos,
                                   float *q, float *k)
{
    const struct rope_table *t = &m->rope[m->config.layers[layer].rope];

    return (struct rotation){t->cos_, t->sin_, pos, q, k, m->query_scale};
}

void layer_forward(const struct model *m, const struct adapter_rows *by, size_t n_by, size_t layer,
                   size_t rows, const uint32_t *pos, const struct attention_plan *plan,
                   struct layer_state *s, const struct layer_scratch *t, float *out)
{
    const struct model_config *c = &m->config;
    const struct layer_weights *w = &m->layers[layer];
    const struct linear of = {
        .m = m, .by = by, .n_by = n_by, .layer = layer, .rows = rows, .s = s, .t = t};
    static const enum projection inner[] = {PROJ_Q, PROJ_K, PROJ_V};
    const size_t hd = c->n_heads * c->head_width, kd = c->n_kv_heads * c->head_width;
    const bool normed = w->q_norm != NULL, turned = c->layers[layer].rope != ROPE_NONE;

    const float *x = part_input(m, rows, s->x, w->attn_norm, s->r1, s->mid, t);
    linear(&of, inner, 3, x, (float *[]){normed ? s->raw_q : s->q, normed ? s->raw_k : t->k, t->v},
           false);
    ready_heads(c, rows, c->n_heads, w->q_bias, w->q_norm, s->raw_q, s->q);
    ready_heads(c, rows, c->n_kv_heads, w->k_bias, w->k_norm, s->raw_k, t->k);
    if (w->v_bias != NULL)
        add_to_rows(rows, kd, w->v_bias, t->v, kd);
    const struct rotation rotate =
        turned ? rotation_of(m, layer, pos, s->q, t->k) : (struct rotation){0};
    attention_store(plan, layer, turned ? &rotate : NULL, t->k, t->v);
    attention_with_sinks(plan, layer, s->q, w->sinks, s->att, s->row_max, s->row_inv);
    if (rounding(t, hd) != NULL)
        round_rows(rows, hd, s->att, hd, t->rounded);
    part_output(&of, PROJ_O, s->att, w->o_bias, w->attn_post_norm, s->att_out, s->mid);
    x = part_input(m, rows, s->mid, w->ffn_norm, s->r2, out, t);
    feed_forward(&of, x, w->ffn_post_norm, out);
}

void layer_store_kv(const struct model *m, const struct adapter_rows *by, size_t n_by, size_t layer,
                    size_t rows, const uint32_t *pos, const struct attention_plan *plan,
                    struct layer_state *s, const struct layer_scratch *t)
{
    const struct model_config *c = &m->config;
    const struct layer_weights *w = &m->layers[layer];
    const struct linear of = {
        .m = m, .by = by, .n_by = n_by, .layer = layer, .rows = rows, .s = s, .t = t};
    static const enum projection both[] = {PROJ_K, PROJ_V};
    const size_t kd = c->n_kv_heads * c->head_width;

    const float *x = part_input(m, rows, s->x, w->attn_norm, s->r1, NULL, t);
    linear(&of, both, 2, x, (float *[]){w->k_norm != NULL ? s->raw_k : t->k, t->v}, false);
    ready_heads(c, rows, c->n_kv_heads, w->k_bias, w->k_norm, s->raw_k, t->k);
    if (w->v_bias != NULL)
        add_to_rows(rows, kd, w->v_bias, t->v, kd);
    if (c->layers[layer].rope != ROPE_NONE) {
        const struct rotation r = rotation_of(m, layer, pos, NULL, t->k);

        rope_rows(rows, config_rotary_width(c), r.cos_, r.sin_, pos, false,
                  &(struct heads){c->n_kv_heads, t->k, kd, c->head_width}, 1);
    }
    attention_store(plan, layer, NULL, t->k, t->v);
}

/* What the parts of a layer's backward share. */
struct backward {
    const struct model *m;
    const struct adapter *ad;
    size_t layer, rows;
    const struct layer_state *s;
    struct arena *a;
    float *norm, *dnorm; /* [M, C] */
    float *du;           /* [M, R], or NULL */
    float *dx;           /* [M, C] */
};

/* The gradient at a part's last linear layer from dx, that of what it adds to; raw: what the norm behind it read. */
static const float *part_output_back(const struct backward *b, const float *norm, const float *raw)
{
    const struct model_config *c = &b->m->config;
    const size_t n = b->rows * c->width;

    if (norm == NULL && !(c->residual_scale > 0))
        return b->dx;
    float *dy = layer_room(b->a, n), *d = layer_room(b->a, n), *r = layer_room(b->a, b->rows);
    memcpy(dy, b->dx, n * sizeof *dy);
    if (c->residual_scale > 0)
        scale_rows(b->rows, c->width, (float)c->residual_scale, dy, c->width);
    if (norm == NULL)
        return dy;
    memset(d, 0, n * sizeof *d);
    rms_norm(b->rows, c->width, raw, c->width, norm, (float)c->rms_eps, b->norm, c->width, r);
    rms_norm_back(b->rows, c->width, raw, c->width, norm, r, dy, c->width, d, c->width);
    return d;
}

/* What a part read, computed anew. */
static const float *part_input_again(const struct backward *b, const float *x, const float *norm)
{
    const struct model_config *c = &b->m->config;

    if (norm == NULL)
        return x;
    rms_norm(b->rows, c->width, x, c->width, norm, (float)c->rms_eps, b->norm, c->width, NULL);
    return b->norm;
}

/* dx += the gradient at a part's input, of which dnorm is that behind the norm; d_w: the norm's own, or NULL. */
static void part_input_back(const struct backward *b, const float *x, const float *norm,
                            const float *r, float *d_w)
{
    const size_t width = b->m->config.width;

    if (norm == NULL) {
        add_rows(b->rows, width, b->dnorm, width, b->dx, width);
        return;
    }
    rms_norm_back(b->rows, width, x, width, norm, r, b->dnorm, width, b->dx, width);
    if (d_w != NULL)
        rms_norm_back_w(b->rows, width, x, width, r, b->dnorm, width, d_w);
}

/* d: the gradient at normed queries or keys in, at what their norm read out. */
static void ready_heads_back(const struct backward *b, size_t n_heads, const float *norm,
                             const float *raw, float *d)
{
    const struct model_config *c = &b->m->config;
    const bool per_head = c->qk_norm == QK_NORM_HEAD;
    const size_t n = per_head ? c->head_width : n_heads * c->head_width,
                 rows = per_head ? b->rows * n_heads : b->rows;

    if (norm == NULL)
        return;
    float *dy = layer_room(b->a, rows * n), *y = layer_room(b->a, rows * n),
          *r = layer_room(b->a, rows);
    memcpy(dy, d, rows * n * sizeof *dy);
    memset(d, 0, rows * n * sizeof *d);
    rms_norm(rows, n, raw, n, norm, (float)c->rms_eps, y, n, r);
    rms_norm_back(rows, n, raw, n, norm, r, dy, n, d, n);
}

static void experts_part_back(const struct backward *b)
{
    const struct layer_weights *w = &b->m->layers[b->layer];
    const struct layer_state *s = b->s;
    const float *dy = part_output_back(b, w->ffn_post_norm, s->ffn_out);
    const float *x = part_input_again(b, s->mid, w->ffn_norm);

    experts_backward(b->m, b->layer, b->rows, x, s->gate, s->up, dy, b->dnorm, b->a);
    part_input_back(b, s->mid, w->ffn_norm, s->r2, NULL);
}

static void feed_forward_back(const struct backward *b)
{
    const struct model *m = b->m;
    const struct model_config *c = &m->config;
    const struct layer_weights *w = &m->layers[b->layer];
    const struct layer_state *s = b->s;
    const size_t rows = b->rows, n = rows * c->hidden;
    const bool full = b->ad == NULL && m->full != NULL;
    float *act = layer_room(b->a, n), *dact = layer_room(b->a, n), *dgate = layer_room(b->a, n),
          *dup = layer_room(b->a, n);

    gate_forward(c->activation)(rows, c->hidden, s->gate, s->up, act, NULL);
    linear_back(m, b->ad, b->layer, rows, PROJ_DOWN, act, s->u[PROJ_DOWN],
                part_output_back(b, w->ffn_post_norm, s->ffn_out), b->du, dact, false);
    gate_backward(c->activation)(rows, c->hidden, s->gate, s->up, dact, dgate, dup);
    const float *x = part_input_again(b, s->mid, w->ffn_norm);
    linear_back(m, b->ad, b->layer, rows, PROJ_GATE, x, s->u[PROJ_GATE], dgate, b->du, b->dnorm,
                false);
    linear_back(m, b->ad, b->layer, rows, PROJ_UP, x, s->u[PROJ_UP], dup, b->du, b->dnorm, true);
    part_input_back(b, s->mid, w->ffn_norm, s->r2,
                    full ? m->full->layers[b->layer].d_ffn_norm : NULL);
}

static void attention_part_back(const struct backward *b, const uint32_t *pos,
                                const struct attention_plan *plan)
{
    const struct model *m = b->m;
    const struct model_config *c = &m->config;
    const struct layer_weights *w = &m->layers[b->layer];
    const struct layer_state *s = b->s;
    const size_t rows = b->rows, hd = c->n_heads * c->head_width,
                 kd = c->n_kv_heads * c->head_width;
    const bool full = b->ad == NULL && m->full != NULL, need_dx = b->layer > 0 || full;
    float *datt = layer_room(b->a, rows * hd), *dq = layer_room(b->a, rows * hd),
          *dk = layer_room(b->a, rows * kd), *dv = layer_room(b->a, rows * kd);
    float *dnorm = need_dx ? b->dnorm : NULL;

    linear_back(m, b->ad, b->layer, rows, PROJ_O, s->att, s->u[PROJ_O],
                part_output_back(b, w->attn_post_norm, s->att_out), b->du, datt, false);
    attention_back(plan, b->layer, s->q, s->att, s->row_max, s->row_inv, datt, dq, dk, dv, b->a);
    if (c->layers[b->layer].rope != ROPE_NONE) {
        const struct rotation r = rotation_of(m, b->layer, pos, dq, dk);

        for (size_t i = 0; r.q_scale != NULL && i < rows; i++)
            kernels()->scale(hd, r.q_scale[pos[i]], dq + i * hd);
        rope_rows(rows, config_rotary_width(c), r.cos_, r.sin_, pos, true,
                  (struct heads[]){{c->n_heads, dq, hd, c->head_width},
                                   {c->n_kv_heads, dk, kd, c->head_width}},
                  2);
    }
    ready_heads_back(b, c->n_heads, w->q_norm, s->raw_q, dq);
    ready_heads_back(b, c->n_kv_heads, w->k_norm, s->raw_k, dk);
    const float *x = part_input_again(b, s->x, w->attn_norm);
    linear_back(m, b->ad, b->layer, rows, PROJ_Q, x, s->u[PROJ_Q], dq, b->du, dnorm, false);
    linear_back(m, b->ad, b->layer, rows, PROJ_K, x, s->u[PROJ_K], dk, b->du, dnorm, true);
    linear_back(m, b->ad, b->layer, rows, PROJ_V, x, s->u[PROJ_V], dv, b->du, dnorm, true);
    if (need_dx)
        part_input_back(b, s->x, w->attn_norm, s->r1,
                        full ? m->full->layers[b->layer].d_attn_norm : NULL);
}

void layer_backward(const struct model *m, const struct adapter *ad, size_t layer, size_t rows,
                    const uint32_t *pos, const struct attention_plan *plan,
                    const struct layer_state *s, struct arena *a, float *dx)
{
    const size_t n = rows * m->config.width;
    const struct backward b = {.m = m,
                               .ad = ad,
                               .layer = layer,
                               .rows = rows,
                               .s = s,
                               .a = a,
                               .norm = layer_room(a, n),
                               .dnorm = layer_room(a, n),
                               .du = ad == NULL ? NULL : layer_room(a, rows * ad->rank),
                               .dx = dx};

    if (m->config.n_experts > 0)
        experts_part_back(&b);
    else
        feed_forward_back(&b);
    attention_part_back(&b, pos, plan);
}

/* ---- rows ---- */

/* Where the parts of one row of a layer's state lie, x, k and v apart. */
struct parts {
    float *q, *att, *mid, *gate, *up, *row_max, *row_inv, *r1, *r2, *u[N_PROJECTIONS];
    float *raw_q, *raw_k, *att_out, *ffn_out; /* NULL: there are none */
};

static struct parts parts_of_state(const struct model_config *c, size_t rank,
                                   const struct layer_state *s, size_t i)
{
    const size_t hd = c->n_heads * c->head_width;
    struct parts p = {.q = s->q + i * hd,
                      .att = s->att + i * hd,
                      .mid = s->mid + i * c->width,
                      .gate = s->gate + i * config_inner_width(c),
                      .up = s->up + i * config_inner_width(c),
                      .row_max = s->row_max + i * c->n_heads,
                      .row_inv = s->row_inv + i * c->n_heads,
                      .r1 = s->r1 + i,
                      .r2 = s->r2 + i};

    for (size_t k = 0; k < projections_of(c) && rank > 0; k++)
        p.u[k] = s->u[k] + i * rank;
    if (s->raw_q != NULL) {
        p.raw_q = s->raw_q + i * hd;
        p.raw_k = s->raw_k + i * c->n_kv_heads * c->head_width;
    }
    if (s->att_out != NULL) {
        p.att_out = s->att_out + i * c->width;
        p.ffn_out = s->ffn_out + i * c->width;
    }
    return p;
}

/* values: of a row that is kept, at its layer */
static struct parts parts_of_saved(const struct model_config *c, const struct saved_layout *at,
                                   size_t rank, float *values)
{
    struct parts p = {.q = values + at->q,
                      .att = values + at->att,
                      .mid = values + at->mid,
                      .gate = values + at->gate,
                      .up = values + at->up,
                      .row_max = values + at->row_max,
                      .row_inv = values + at->row_inv,
                      .r1 = values + at->r1,
                      .r2 = values + at->r2,
                      .raw_q = values + at->raw_q,
                      .raw_k = values + at->raw_k,
                      .att_out = values + at->att_out,
                      .ffn_out = values + at->ffn_out};

    for (size_t k = 0; k < projections_of(c) && rank > 0; k++)
        p.u[k] = values + at->u + k * rank;
    return p;
}

static void copy(float *to, const float *from, size_t n)
{
    memcpy(to, from, n * sizeof *to);
}

static void copy_parts(const struct model_config *c, size_t rank, const struct parts *to,
                       const struct parts *from)
{
    const size_t hd = c->n_heads * c->head_width;

    copy(to->q, from->q, hd);
    copy(to->att, from->att, hd);
    copy(to->mid, from->mid, c->width);
    copy(to->gate, from->gate, config_inner_width(c));
    copy(to->up, from->up, config_inner_width(c));
    copy(to->row_max, from->row_max, c->n_heads);
    copy(to->row_inv, from->row_inv, c->n_heads);
    *to->r1 = *from->r1;
    *to->r2 = *from->r2;
    for (size_t k = 0; k < projections_of(c) && rank > 0; k++)
        copy(to->u[k], from->u[k], rank);
    if (c->qk_norm != QK_NORM_NONE) {
        copy(to->raw_q, from->raw_q, hd);
        copy(to->raw_k, from->raw_k, c->n_kv_heads * c->head_width);
    }
    if (c->norm_place != NORM_BEFORE) {
        copy(to->att_out, from->att_out, c->width);
        copy(to->ffn_out, from->ffn_out, c->width);
    }
}

struct moving { /* many rows of a layer, one a unit */
    const struct model_config *c;
    struct saved_layout at;
    size_t layer, rank;
    struct saved_row *const *rows;
    const struct layer_state *state;
    const size_t *to_row;         /* layer_spread's */
    const struct layer_state *to; /* layer_spread's */
    float *x, *k, *v;
};

static struct moving moving_of(const struct model *m, const struct adapter *ad, size_t layer)
{
    const size_t rank = ad != NULL ? ad->rank : 0;

    return (struct moving){
        .c = &m->config, .at = saved_layout_of(&m->config, rank), .layer = layer, .rank = rank};
}

static float *values_of(const struct moving *w, size_t i)
{
    return w->rows[i]->values + w->layer * w->rows[i]->stride;
}

static bool is_lean(const struct moving *w, size_t i)
{
    return w->rows[i]->stride < w->at.stride;
}

static void keep_row(void *ctx, size_t i, int thread)
{
    const struct moving *w = ctx;
    const size_t kd = w->c->n_kv_heads * w->c->head_width;

    (void)thread;
    if (w->rows[i] == NULL)
        return;
    float *values = values_of(w, i);
    copy(values, w->x + i * w->c->width, w->c->width);
    if (is_lean(w, i))
        return;
    const struct parts to = parts_of_saved(w->c, &w->at, w->rank, values),
                       from = parts_of_state(w->c, w->rank, w->state, i);
    copy_parts(w->c, w->rank, &to, &from);
    copy(values + w->at.k, w->k + i * kd, kd);
    copy(values + w->at.v, w->v + i * kd, kd);
}

void layer_keep(const struct model *m, const struct adapter *ad, size_t layer, size_t rows,
                const struct layer_state *s, const struct layer_scratch *t,
                struct saved_row *const *to)
{
    struct moving w = moving_of(m, ad, layer);

    w.rows = to;
    w.state = s;
    w.x = s->x;
    w.k = t->k;
    w.v = t->v;
    parallel_for(rows, keep_row, &w);
}

static void fetch_x(void *ctx, size_t i, int thread)
{
    const struct moving *w = ctx;

    (void)thread;
    copy(w->x + i * w->c->width, values_of(w, i), w->c->width);
}

void layer_fetch_x(const struct model *m, size_t layer, size_t rows, struct saved_row *const *from,
                   float *x)
{
    struct moving w = {.c = &m->config, .layer = layer, .rows = from, .x = x};

    parallel_for(rows, fetch_x, &w);
}

static void fetch_row(void *ctx, size_t i, int thread)
{
    const struct moving *w = ctx;

    (void)thread;
    if (is_lean(w, i))
        return;
    const struct parts to = parts_of_state(w->c, w->rank, w->state, i),
                       from = parts_of_saved(w->c, &w->at, w->rank, values_of(w, i));
    copy_parts(w->c, w->rank, &to, &from);
}

void layer_fetch(const struct model *m, const struct adapter *ad, size_t layer, size_t rows,
                 struct saved_row *const *from, struct layer_state *s)
{
    struct moving w = moving_of(m, ad, layer);

    w.rows = from;
    w.state = s;
    parallel_for(rows, fetch_row, &w);
}

static void fetch_kv(void *ctx, size_t i, int thread)
{
    const struct moving *w = ctx;
    const size_t kd = w->c->n_kv_heads * w->c->head_width;

    (void)thread;
    if (w->rows[i] == NULL || is_lean(w, i))
        return;
    copy(w->k + i * kd, values_of(w, i) + w->at.k, kd);
    copy(w->v + i * kd, values_of(w, i) + w->at.v, kd);
}

void layer_fetch_kv(const struct model *m, const struct adapter *ad, size_t layer, size_t rows,
                    struct saved_row *const *from, float *k, float *v)
{
    struct moving w = moving_of(m, ad, layer);

    w.rows = from;
    w.k = k;
    w.v = v;
    parallel_for(rows, fetch_kv, &w);
}

static void spread_row(void *ctx, size_t i, int thread)
{
    const struct moving *w = ctx;
    const struct parts to = parts_of_state(w->c, w->rank, w->to, w->to_row[i]),
                       from = parts_of_state(w->c, w->rank, w->state, i);

    (void)thread;
    copy_parts(w->c, w->rank, &to, &from);
}

void layer_spread(const struct model *m, const struct adapter *ad, size_t rows,
                  const struct layer_state *from, const size_t *to_row, struct layer_state *to)
{
    struct moving w = moving_of(m, ad, 0);

    w.state = from;
    w.to_row = to_row;
    w.to = to;
    parallel_for(rows, spread_row, &w);
}
