/*
 * forward.c - the layers, forward and backward.
 */
#include "model/forward.h"
#include "base/size.h"
#include "tensor/cpu/kernels.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* What the backward needs of one layer. */
struct layer_state {
    float *x;                 /* [M, C] the layer's input */
    float *r1, *r2;           /* [M] the norms' factors */
    float *q;                 /* [M, H*D] rotated */
    float *row_max, *row_inv; /* [M, H] */
    float *att;               /* [M, H*D] */
    float *mid;               /* [M, C] after attention */
    float *gate, *up;         /* [M, F] */
    float *u[N_PROJECTIONS];  /* [M, R] s A x */
};

struct workspace {
    const struct model *model;
    struct arena step; /* one pass: reset at its start */
    size_t peak_bytes;
};

struct training_pass {
    const struct model *model;
    struct adapter *adapter;
    struct arena arena;
    size_t m, n_kept; /* layer states: one a layer, or one in all */
    bool keep_all;
    const struct attention_plan *plan;
    uint32_t *pos;
    token_id *tokens;
    struct layer_state *states;
    float **inputs; /* [L] of [M, C] */
    float *last;    /* [M, C] before the final norm */
    float *last_r;
};

bool workspace_open(const struct model *m, struct workspace **out, struct error *err)
{
    struct workspace *w = calloc(1, sizeof *w);

    if (w == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a workspace");
    w->model = m;
    *out = w;
    return true;
}

void workspace_close(struct workspace *w)
{
    if (w == NULL)
        return;
    arena_release(&w->step);
    free(w);
}

size_t workspace_bytes(const struct workspace *w)
{
    return size_max(w->peak_bytes, w->step.taken_bytes);
}

/* y (+)= W x, and the adapter's part; u receives s A x where there is an adapter. */
static void linear(const struct model *m, const struct adapter *ad, size_t layer, enum projection p,
                   size_t rows, const float *x, float *y, bool accumulate, float *u)
{
    const struct packed *w = &m->layers[layer].proj[p];

    matmul(w, rows, x, w->k, y, w->n, accumulate);
    if (ad != NULL) {
        const struct lora *l = &ad->layers[layer][p];

        matmul(&l->pa, rows, x, w->k, u, ad->rank, false);
        scale_rows(rows, ad->rank, ad->scale, u, ad->rank);
        matmul(&l->pb, rows, u, ad->rank, y, w->n, true);
    }
}

/* dx (+)= the gradient at the input of a linear layer; weights' gradients are added to. dx NULL: only those. */
static void linear_back(const struct training_pass *p, size_t layer, enum projection proj,
                        const float *x, const float *u, const float *dy, float *du, float *dx,
                        bool accumulate)
{
    const struct model *m = p->model;
    const struct packed *w = &m->layers[layer].proj[proj];

    if (dx != NULL)
        matmul_back_x(w, p->m, dy, w->n, dx, w->k, accumulate);
    if (p->adapter != NULL) {
        const struct lora *l = &p->adapter->layers[layer][proj];
        const size_t r = p->adapter->rank;

        matmul_floats(w->n, r, p->m, dy, 1, w->n, u, r, l->db, r, true);
        matmul_floats(p->m, r, w->n, dy, w->n, 1, l->b, r, du, r, false);
        scale_rows(p->m, r, p->adapter->scale, du, r);
        matmul_floats(r, w->k, p->m, du, 1, r, x, w->k, l->da, w->k, true);
        if (dx != NULL)
            matmul_floats(p->m, w->k, r, du, r, 1, l->a, w->k, dx, w->k, true);
    } else if (m->full != NULL) {
        matmul_floats(w->n, w->k, p->m, dy, 1, w->n, x, w->k, m->full->layers[layer].d_proj[proj],
                      w->k, true);
    }
}

/* Floats with room behind them for products that read a whole panel. */
static float *floats(struct arena *a, size_t n)
{
    return arena_alloc(a, (n + PANEL) * sizeof(float));
}

static struct layer_state layer_state_make(const struct model *m, const struct adapter *ad,
                                           size_t rows, struct arena *a)
{
    const struct model_config *c = &m->config;
    struct layer_state s = {0};

    s.r1 = floats(a, rows);
    s.r2 = floats(a, rows);
    s.q = floats(a, rows * c->n_heads * c->head_width);
    s.row_max = floats(a, rows * c->n_heads);
    s.row_inv = floats(a, rows * c->n_heads);
    s.att = floats(a, rows * c->n_heads * c->head_width);
    s.mid = floats(a, rows * c->width);
    s.gate = floats(a, rows * c->hidden);
    s.up = floats(a, rows * c->hidden);
    for (size_t p = 0; p < N_PROJECTIONS && ad != NULL; p++)
        s.u[p] = floats(a, rows * ad->rank);
    return s;
}

/* Buffers that no one needs after the layer. */
struct scratch {
    float *norm, *k, *v, *act;
};

static struct scratch scratch_make(const struct model *m, size_t rows, struct arena *a)
{
    const struct model_config *c = &m->config;

    return (struct scratch){.norm = floats(a, rows * c->width),
                            .k = floats(a, rows * c->n_kv_heads * c->head_width),
                            .v = floats(a, rows * c->n_kv_heads * c->head_width),
                            .act = floats(a, rows * c->hidden)};
}

/* One layer: s->x in, out [M, C] out (out may be s->x's memory only where s->x is not needed again). */
static void layer_forward(const struct model *m, const struct adapter *ad, size_t layer,
                          size_t rows, const uint32_t *pos, const struct attention_plan *plan,
                          struct layer_state *s, const struct scratch *t, float *out)
{
    const struct model_config *c = &m->config;
    const struct layer_weights *w = &m->layers[layer];
    const size_t hd = c->n_heads * c->head_width, kd = c->n_kv_heads * c->head_width;
    const float eps = (float)c->rms_eps;

    rms_norm(rows, c->width, s->x, c->width, w->attn_norm, eps, t->norm, c->width, s->r1);
    linear(m, ad, layer, PROJ_Q, rows, t->norm, s->q, false, s->u[PROJ_Q]);
    linear(m, ad, layer, PROJ_K, rows, t->norm, t->k, false, s->u[PROJ_K]);
    linear(m, ad, layer, PROJ_V, rows, t->norm, t->v, false, s->u[PROJ_V]);
    rope_rows(rows, c->n_heads, c->head_width, m->rope_cos, m->rope_sin, pos, false, s->q, hd);
    rope_rows(rows, c->n_kv_heads, c->head_width, m->rope_cos, m->rope_sin, pos, false, t->k, kd);
    attention_store(plan, layer, t->k, t->v);
    attention(plan, layer, s->q, s->att, s->row_max, s->row_inv);
    memcpy(s->mid, s->x, rows * c->width * sizeof(float));
    linear(m, ad, layer, PROJ_O, rows, s->att, s->mid, true, s->u[PROJ_O]);
    rms_norm(rows, c->width, s->mid, c->width, w->ffn_norm, eps, t->norm, c->width, s->r2);
    linear(m, ad, layer, PROJ_GATE, rows, t->norm, s->gate, false, s->u[PROJ_GATE]);
    linear(m, ad, layer, PROJ_UP, rows, t->norm, s->up, false, s->u[PROJ_UP]);
    swiglu(rows, c->hidden, s->gate, s->up, t->act);
    memcpy(out, s->mid, rows * c->width * sizeof(float));
    linear(m, ad, layer, PROJ_DOWN, rows, t->act, out, true, s->u[PROJ_DOWN]);
}

static bool positions(const struct model *m, const struct batch *b, uint32_t *pos,
                      struct error *err)
{
    size_t at = 0;

    for (size_t i = 0; i < b->n_spans; i++) {
        const struct kv_segment *seg = b->spans[i].seg;

        if (kv_end(seg) + b->spans[i].n_rows > m->max_positions)
            return fail(err, ERR_LIMIT,
                        "%zu positions are asked for, this model was opened for %zu",
                        kv_end(seg) + b->spans[i].n_rows, m->max_positions);
        for (size_t j = 0; j < b->spans[i].n_rows; j++)
            pos[at++] = (uint32_t)(kv_end(seg) + j);
    }
    assert(at == b->m);
    return true;
}

static void embed_rows(const struct model *m, const struct batch *b, float *x)
{
    for (size_t i = 0; i < b->m; i++) {
        assert(b->tokens[i] >= 0 && (size_t)b->tokens[i] < m->config.vocab);
        dtype_to_f32(m->embed.dtype, matrix_row(&m->embed, (size_t)b->tokens[i]), m->config.width,
                     x + i * m->config.width);
    }
}

/* The plan is made from the old lengths; whoever looks at a parent in this batch needs the new ones. */
static void grow_segments(const struct batch *b)
{
    for (size_t i = 0; i < b->n_spans; i++)
        b->spans[i].seg->len += (uint32_t)b->spans[i].n_rows;
}

bool forward(const struct model *m, const struct adapter *adapter, struct workspace *w,
             const struct batch *b, float *hidden, struct error *err)
{
    const struct model_config *c = &m->config;

    w->peak_bytes = size_max(w->peak_bytes, w->step.taken_bytes);
    arena_reset(&w->step);
    uint32_t *pos = ARENA_ARRAY(&w->step, uint32_t, b->m);
    if (!positions(m, b, pos, err))
        return false;
    const struct attention_plan *plan = attention_plan_make(c, b->spans, b->n_spans, &w->step);
    struct layer_state s = layer_state_make(m, adapter, b->m, &w->step);
    const struct scratch t = scratch_make(m, b->m, &w->step);
    float *x = floats(&w->step, b->m * c->width);
    s.x = x;
    embed_rows(m, b, x);
    grow_segments(b);
    for (size_t l = 0; l < c->n_layers; l++)
        layer_forward(m, adapter, l, b->m, pos, plan, &s, &t, x);
    rms_norm(b->m, c->width, x, c->width, m->final_norm, (float)c->rms_eps, hidden, c->width, NULL);
    return true;
}

bool training_forward(const struct model *m, struct adapter *adapter, struct workspace *w,
                      const struct batch *b, bool keep_all, float *hidden,
                      struct training_pass **out, struct error *err)
{
    const struct model_config *c = &m->config;
    struct training_pass *p = calloc(1, sizeof *p);

    if (p == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a training pass");
    w->peak_bytes = size_max(w->peak_bytes, w->step.taken_bytes);
    arena_reset(&w->step);
    *p = (struct training_pass){.model = m,
                                .adapter = adapter,
                                .m = b->m,
                                .keep_all = keep_all,
                                .n_kept = keep_all ? c->n_layers : 1};
    p->pos = ARENA_ARRAY(&p->arena, uint32_t, b->m);
    if (!positions(m, b, p->pos, err)) {
        training_pass_release(p);
        return false;
    }
    p->tokens = ARENA_ARRAY(&p->arena, token_id, b->m);
    memcpy(p->tokens, b->tokens, b->m * sizeof *p->tokens);
    p->plan = attention_plan_make(c, b->spans, b->n_spans, &p->arena);
    p->states = ARENA_ARRAY(&p->arena, struct layer_state, p->n_kept);
    p->inputs = ARENA_ARRAY(&p->arena, float *, c->n_layers);
    for (size_t l = 0; l < p->n_kept; l++)
        p->states[l] = layer_state_make(m, adapter, b->m, &p->arena);
    for (size_t l = 0; l < c->n_layers; l++)
        p->inputs[l] = floats(&p->arena, b->m * c->width);
    p->last = floats(&p->arena, b->m * c->width);
    p->last_r = floats(&p->arena, b->m);
    const struct scratch t = scratch_make(m, b->m, &w->step);
    embed_rows(m, b, p->inputs[0]);
    size_t row = 0;
    for (size_t i = 0; i < b->n_spans; i++) {
        b->spans[i].seg->row0 = row;
        row += b->spans[i].n_rows;
    }
    grow_segments(b);
    for (size_t l = 0; l < c->n_layers; l++) {
        struct layer_state *s = &p->states[keep_all ? l : 0];

        s->x = p->inputs[l];
        layer_forward(m, adapter, l, b->m, p->pos, p->plan, s, &t,
                      l + 1 < c->n_layers ? p->inputs[l + 1] : p->last);
    }
    rms_norm(b->m, c->width, p->last, c->width, m->final_norm, (float)c->rms_eps, hidden, c->width,
             p->last_r);
    *out = p;
    return true;
}

/* dx [M, C]: gradient at the layer's output in, at its input out. */
static void layer_backward(const struct training_pass *p, size_t layer, const struct layer_state *s,
                           struct arena *a, float *dx)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const struct layer_weights *w = &m->layers[layer];
    const size_t rows = p->m, hd = c->n_heads * c->head_width, kd = c->n_kv_heads * c->head_width;
    const float eps = (float)c->rms_eps;
    const bool full = p->adapter == NULL && m->full != NULL;
    const bool need_dx = layer > 0 || full;
    float *norm = floats(a, rows * c->width), *dnorm = floats(a, rows * c->width);
    float *act = floats(a, rows * c->hidden), *dact = floats(a, rows * c->hidden);
    float *dgate = floats(a, rows * c->hidden), *dup = floats(a, rows * c->hidden);
    float *datt = floats(a, rows * hd), *dq = floats(a, rows * hd), *dk = floats(a, rows * kd),
          *dv = floats(a, rows * kd);
    float *du = p->adapter == NULL ? NULL : floats(a, rows * p->adapter->rank);

    swiglu(rows, c->hidden, s->gate, s->up, act);
    linear_back(p, layer, PROJ_DOWN, act, s->u[PROJ_DOWN], dx, du, dact, false);
    swiglu_back(rows, c->hidden, s->gate, s->up, dact, dgate, dup);
    rms_norm(rows, c->width, s->mid, c->width, w->ffn_norm, eps, norm, c->width, NULL);
    linear_back(p, layer, PROJ_GATE, norm, s->u[PROJ_GATE], dgate, du, dnorm, false);
    linear_back(p, layer, PROJ_UP, norm, s->u[PROJ_UP], dup, du, dnorm, true);
    rms_norm_back(rows, c->width, s->mid, c->width, w->ffn_norm, s->r2, dnorm, c->width, dx,
                  c->width);
    if (full)
        rms_norm_back_w(rows, c->width, s->mid, c->width, s->r2, dnorm, c->width,
                        m->full->layers[layer].d_ffn_norm);
    linear_back(p, layer, PROJ_O, s->att, s->u[PROJ_O], dx, du, datt, false);
    attention_back(p->plan, layer, s->q, s->att, s->row_max, s->row_inv, datt, dq, dk, dv);
    rope_rows(rows, c->n_heads, c->head_width, m->rope_cos, m->rope_sin, p->pos, true, dq, hd);
    rope_rows(rows, c->n_kv_heads, c->head_width, m->rope_cos, m->rope_sin, p->pos, true, dk, kd);
    rms_norm(rows, c->width, s->x, c->width, w->attn_norm, eps, norm, c->width, NULL);
    linear_back(p, layer, PROJ_Q, norm, s->u[PROJ_Q], dq, du, need_dx ? dnorm : NULL, false);
    linear_back(p, layer, PROJ_K, norm, s->u[PROJ_K], dk, du, need_dx ? dnorm : NULL, true);
    linear_back(p, layer, PROJ_V, norm, s->u[PROJ_V], dv, du, need_dx ? dnorm : NULL, true);
    if (!need_dx)
        return;
    rms_norm_back(rows, c->width, s->x, c->width, w->attn_norm, s->r1, dnorm, c->width, dx,
                  c->width);
    if (full)
        rms_norm_back_w(rows, c->width, s->x, c->width, s->r1, dnorm, c->width,
                        m->full->layers[layer].d_attn_norm);
}

void training_backward(struct training_pass *p, const float *d_hidden)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const bool full = p->adapter == NULL && m->full != NULL;
    struct arena a = {0};
    float *dx = floats(&p->arena, p->m * c->width); /* zeroed */
    struct layer_state again = {0};

    rms_norm_back(p->m, c->width, p->last, c->width, m->final_norm, p->last_r, d_hidden, c->width,
                  dx, c->width);
    if (full)
        rms_norm_back_w(p->m, c->width, p->last, c->width, p->last_r, d_hidden, c->width,
                        m->full->d_final_norm);
    for (size_t l = c->n_layers; l-- > 0;) {
        struct layer_state *s = &p->states[p->keep_all ? l : 0];

        arena_reset(&a);
        if (!p->keep_all) { /* compute the layer anew; keys and values are in their pages, and come out the same */
            const struct scratch t = scratch_make(m, p->m, &a);
            float *out = floats(&a, p->m * c->width);

            again = *s;
            again.x = p->inputs[l];
            layer_forward(m, p->adapter, l, p->m, p->pos, p->plan, &again, &t, out);
            s = &again;
        }
        layer_backward(p, l, s, &a, dx);
    }
    if (full)
        for (size_t i = 0; i < p->m; i++)
            kernels()->add(c->width, dx + i * c->width,
                           m->full->d_embed + (size_t)p->tokens[i] * c->width);
    arena_release(&a);
}

void training_pass_release(struct training_pass *p)
{
    if (p == NULL)
        return;
    arena_release(&p->arena);
    free(p);
}

size_t training_pass_bytes(const struct model *m, size_t rank, size_t rows, bool keep_all)
{
    const struct model_config *c = &m->config;
    const size_t hd = c->n_heads * c->head_width, kd = c->n_kv_heads * c->head_width;
    const size_t state =
        2 + 2 * hd + 2 * c->n_heads + c->width + 2 * c->hidden + N_PROJECTIONS * rank;
    const size_t back = 2 * c->width + 4 * c->hidden + 2 * hd + 2 * kd + rank;
    const size_t scratch = c->width + 2 * kd + c->hidden;

    return rows * sizeof(float) *
           (state * (keep_all ? c->n_layers : 1) + (c->n_layers + 3) * c->width + back +
            2 * scratch + c->width);
}

void logits_of(const struct model *m, size_t rows, const float *hidden, float *logits, size_t ld)
{
    matmul(&m->head, rows, hidden, m->config.width, logits, ld, false);
}
