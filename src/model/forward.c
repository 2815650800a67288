/*
 * forward.c - the layers, forward and backward.
 */
#include "model/forward.h"
#include "base/parallel.h"
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

/* Rows of a pass of which only the layers' inputs were kept: each layer is computed anew for them. */
struct lean {
    size_t m;
    size_t *row; /* [m] of the pass */
    const struct attention_plan *plan;
    uint32_t *pos;
    struct layer_state s;
};

struct training_pass {
    const struct model *model;
    struct adapter *adapter;
    struct arena arena;
    size_t m;
    struct lean *lean; /* NULL: everything was kept */
    const struct attention_plan *plan;
    uint32_t *pos;
    token_id *tokens;
    struct saved_pool *pool;
    struct saved_row **rows;  /* [M] */
    struct saved_row **taken; /* [n_taken] those to be given back */
    size_t n_taken;
    float *last; /* [M, C] before the final norm */
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

/* ---- rows that are kept ---- */

struct keeping { /* copies between a layer's state and the rows kept */
    const struct model_config *c;
    struct saved_layout at;
    struct saved_row *const *rows;
    size_t layer, rank;
    struct layer_state *s;
    float *x, *k, *v, *last;
};

static void copy(float *to, const float *from, size_t n)
{
    memcpy(to, from, n * sizeof *to);
}

static void keep_row(void *ctx, size_t i, int thread)
{
    const struct keeping *w = ctx;
    const struct model_config *c = w->c;
    const size_t hd = c->n_heads * c->head_width, kd = c->n_kv_heads * c->head_width;
    const struct saved_layout *at = &w->at;
    const struct layer_state *s = w->s;

    (void)thread;
    if (w->rows[i] == NULL)
        return;
    float *to = w->rows[i]->values + w->layer * w->rows[i]->stride;
    copy(to, w->x + i * c->width, c->width);
    if (w->rows[i]->stride < at->stride)
        return;
    copy(to + at->q, s->q + i * hd, hd);
    copy(to + at->att, s->att + i * hd, hd);
    copy(to + at->mid, s->mid + i * c->width, c->width);
    copy(to + at->gate, s->gate + i * c->hidden, c->hidden);
    copy(to + at->up, s->up + i * c->hidden, c->hidden);
    copy(to + at->k, w->k + i * kd, kd);
    copy(to + at->v, w->v + i * kd, kd);
    copy(to + at->row_max, s->row_max + i * c->n_heads, c->n_heads);
    copy(to + at->row_inv, s->row_inv + i * c->n_heads, c->n_heads);
    to[at->r1] = s->r1[i];
    to[at->r2] = s->r2[i];
    for (size_t p = 0; p < N_PROJECTIONS && w->rank > 0; p++)
        copy(to + at->u + p * w->rank, s->u[p] + i * w->rank, w->rank);
}

/* A layer's state but for x, k and v, which not everybody needs. */
static void fetch_row(void *ctx, size_t i, int thread)
{
    const struct keeping *w = ctx;
    const struct model_config *c = w->c;
    const size_t hd = c->n_heads * c->head_width;
    const struct saved_layout *at = &w->at;
    const float *from = w->rows[i]->values + w->layer * w->rows[i]->stride;
    struct layer_state *s = w->s;

    (void)thread;
    if (w->rows[i]->stride < at->stride)
        return;
    copy(s->q + i * hd, from + at->q, hd);
    copy(s->att + i * hd, from + at->att, hd);
    copy(s->mid + i * c->width, from + at->mid, c->width);
    copy(s->gate + i * c->hidden, from + at->gate, c->hidden);
    copy(s->up + i * c->hidden, from + at->up, c->hidden);
    copy(s->row_max + i * c->n_heads, from + at->row_max, c->n_heads);
    copy(s->row_inv + i * c->n_heads, from + at->row_inv, c->n_heads);
    s->r1[i] = from[at->r1];
    s->r2[i] = from[at->r2];
    for (size_t p = 0; p < N_PROJECTIONS && w->rank > 0; p++)
        copy(s->u[p] + i * w->rank, from + at->u + p * w->rank, w->rank);
}

static void fetch_x(void *ctx, size_t i, int thread)
{
    const struct keeping *w = ctx;

    (void)thread;
    copy(w->x + i * w->c->width, w->rows[i]->values + w->layer * w->rows[i]->stride, w->c->width);
}

static void fetch_kv(void *ctx, size_t i, int thread)
{
    const struct keeping *w = ctx;
    const size_t kd = w->c->n_kv_heads * w->c->head_width;

    (void)thread;
    if (w->rows[i] == NULL || w->rows[i]->stride < w->at.stride)
        return;
    const float *from = w->rows[i]->values + w->layer * w->rows[i]->stride;
    copy(w->k + i * kd, from + w->at.k, kd);
    copy(w->v + i * kd, from + w->at.v, kd);
}

struct spreading { /* from the lean rows' state to that of the whole pass */
    const struct model_config *c;
    const struct lean *from;
    struct layer_state *to;
    size_t rank;
};

static void spread_row(void *ctx, size_t i, int thread)
{
    const struct spreading *w = ctx;
    const struct model_config *c = w->c;
    const size_t hd = c->n_heads * c->head_width, r = w->from->row[i];
    const struct layer_state *s = &w->from->s;
    struct layer_state *to = w->to;

    (void)thread;
    copy(to->q + r * hd, s->q + i * hd, hd);
    copy(to->att + r * hd, s->att + i * hd, hd);
    copy(to->mid + r * c->width, s->mid + i * c->width, c->width);
    copy(to->gate + r * c->hidden, s->gate + i * c->hidden, c->hidden);
    copy(to->up + r * c->hidden, s->up + i * c->hidden, c->hidden);
    copy(to->row_max + r * c->n_heads, s->row_max + i * c->n_heads, c->n_heads);
    copy(to->row_inv + r * c->n_heads, s->row_inv + i * c->n_heads, c->n_heads);
    to->r1[r] = s->r1[i];
    to->r2[r] = s->r2[i];
    for (size_t p = 0; p < N_PROJECTIONS && w->rank > 0; p++)
        copy(to->u[p] + r * w->rank, s->u[p] + i * w->rank, w->rank);
}

static struct keeping keeping_of(const struct model *m, const struct adapter *ad,
                                 struct saved_row *const *rows)
{
    const size_t rank = ad != NULL ? ad->rank : 0;

    return (struct keeping){
        .c = &m->config, .at = saved_layout_of(&m->config, rank), .rows = rows, .rank = rank};
}

/* ---- forward ---- */

bool forward_saving(const struct model *m, const struct adapter *adapter, struct workspace *w,
                    const struct batch *b, struct saved_row *const *to, float *hidden,
                    struct error *err)
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
    struct keeping keep = keeping_of(m, adapter, to);
    float *x = floats(&w->step, b->m * c->width), *next = floats(&w->step, b->m * c->width);

    embed_rows(m, b, x);
    grow_segments(b);
    for (size_t l = 0; l < c->n_layers; l++) {
        s.x = x;
        layer_forward(m, adapter, l, b->m, pos, plan, &s, &t, next);
        if (to != NULL) {
            keep.layer = l;
            keep.s = &s;
            keep.x = x;
            keep.k = t.k;
            keep.v = t.v;
            parallel_for(b->m, keep_row, &keep);
        }
        float *swap = x;
        x = next;
        next = swap;
    }
    for (size_t i = 0; to != NULL && i < b->m; i++)
        if (to[i] != NULL)
            copy(to[i]->values + c->n_layers * to[i]->stride, x + i * c->width, c->width);
    rms_norm(b->m, c->width, x, c->width, m->final_norm, (float)c->rms_eps, hidden, c->width, NULL);
    return true;
}

bool forward(const struct model *m, const struct adapter *adapter, struct workspace *w,
             const struct batch *b, float *hidden, struct error *err)
{
    return forward_saving(m, adapter, w, b, NULL, hidden, err);
}

/* ---- a pass that is differentiated ---- */

/* The rows of a pass that are still to be computed: for each span those behind its known beginning. */
struct missing {
    struct batch b;
    size_t *row;             /* [b.m] of the pass */
    struct saved_row **rows; /* [b.m] where they are kept */
};

/*
 * Known rows are put back: their keys and values into the pages, their segments grown by them. What a span knows behind
 * something unknown of its own is computed again, for a segment grows at its end.
 */
static struct missing put_back(struct training_pass *p, const struct batch *b, struct arena *a)
{
    const struct model_config *c = &p->model->config;
    const size_t kd = c->n_kv_heads * c->head_width;
    struct span *spans = ARENA_ARRAY(a, struct span, b->n_spans);
    token_id *tokens = ARENA_ARRAY(a, token_id, b->m);
    size_t *grown = ARENA_ARRAY(a, size_t, b->n_spans);
    struct missing x = {.b = {.tokens = tokens, .spans = spans},
                        .row = ARENA_ARRAY(a, size_t, b->m),
                        .rows = ARENA_ARRAY(a, struct saved_row *, b->m)};
    size_t row = 0, n_known = 0;

    for (size_t i = 0; i < b->n_spans; i++) {
        const struct span *s = &b->spans[i];
        size_t k = 0;

        s->seg->row0 = row;
        while (k < s->n_rows && p->rows[row + k] != NULL)
            k++;
        grown[i] = k;
        n_known += k;
        if (k < s->n_rows)
            spans[x.b.n_spans++] = (struct span){.seg = s->seg, .n_rows = s->n_rows - k};
        for (; k < s->n_rows; k++) {
            p->rows[row + k] = NULL;
            x.row[x.b.m] = row + k;
            tokens[x.b.m++] = b->tokens[row + k];
        }
        row += s->n_rows;
    }
    if (n_known > 0) {
        struct keeping keep = keeping_of(p->model, p->adapter, p->rows);

        keep.k = floats(a, b->m * kd);
        keep.v = floats(a, b->m * kd);
        for (keep.layer = 0; keep.layer < c->n_layers; keep.layer++) {
            parallel_for(b->m, fetch_kv, &keep);
            attention_store(p->plan, keep.layer, keep.k, keep.v);
        }
    }
    for (size_t i = 0; i < b->n_spans; i++)
        b->spans[i].seg->len += (uint32_t)grown[i];
    return x;
}

/* Places for the missing rows: whole ones where the pool has room for all, else lean ones. */
static void make_room(struct training_pass *p, const struct missing *x)
{
    const struct model_config *c = &p->model->config;
    const size_t n = x->b.m;

    p->taken = ARENA_ARRAY(&p->arena, struct saved_row *, n);
    while (p->pool != NULL && p->n_taken < n) {
        struct saved_row *row = saved_take(p->pool, 0);

        if (row == NULL)
            break;
        p->taken[p->n_taken++] = row;
    }
    if (p->n_taken == n) {
        saved_places(x->rows, p->taken, n);
        return;
    }
    while (p->n_taken > 0)
        saved_give(p->pool, p->taken[--p->n_taken]);
    struct lean *lean = ARENA_NEW(&p->arena, struct lean);
    *lean = (struct lean){.m = n,
                          .row = ARENA_ARRAY(&p->arena, size_t, n),
                          .plan = attention_plan_make(c, x->b.spans, x->b.n_spans, &p->arena),
                          .pos = ARENA_ARRAY(&p->arena, uint32_t, n)};
    for (size_t i = 0; i < n; i++) {
        lean->row[i] = x->row[i];
        lean->pos[i] = p->pos[x->row[i]];
        x->rows[i] = ARENA_NEW(&p->arena, struct saved_row);
        *x->rows[i] = (struct saved_row){.values = floats(&p->arena, (c->n_layers + 1) * c->width),
                                         .stride = c->width};
    }
    p->lean = lean;
}

bool training_forward(const struct model *m, struct adapter *adapter, struct workspace *w,
                      const struct batch *b, struct saved_pool *pool,
                      struct saved_row *const *known, float *hidden, struct training_pass **out,
                      struct error *err)
{
    const struct model_config *c = &m->config;
    struct training_pass *p = calloc(1, sizeof *p);
    struct arena a = {0};

    if (p == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a training pass");
    *p = (struct training_pass){.model = m, .adapter = adapter, .m = b->m, .pool = pool};
    p->pos = ARENA_ARRAY(&p->arena, uint32_t, b->m);
    if (!positions(m, b, p->pos, err)) {
        training_pass_release(p);
        return false;
    }
    p->tokens = ARENA_ARRAY(&p->arena, token_id, b->m);
    memcpy(p->tokens, b->tokens, b->m * sizeof *p->tokens);
    p->rows = ARENA_ARRAY(&p->arena, struct saved_row *, b->m);
    if (known != NULL)
        saved_places(p->rows, known, b->m);
    p->plan = attention_plan_make(c, b->spans, b->n_spans, &p->arena);
    struct missing x = put_back(p, b, &a);
    bool ok = true;
    if (x.b.m > 0) {
        make_room(p, &x);
        for (size_t i = 0; i < x.b.m; i++)
            p->rows[x.row[i]] = x.rows[i];
        ok = forward_saving(m, adapter, w, &x.b, x.rows, floats(&a, x.b.m * c->width), err);
    }
    arena_release(&a);
    if (!ok) {
        training_pass_release(p);
        return false;
    }
    p->last = floats(&p->arena, b->m * c->width);
    p->last_r = floats(&p->arena, b->m);
    struct keeping keep = keeping_of(m, adapter, p->rows);
    keep.layer = c->n_layers;
    keep.x = p->last;
    parallel_for(b->m, fetch_x, &keep);
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

/* A layer anew for the rows that are lean; their keys and values are in their pages, and come out the same. */
static void compute_lean(struct training_pass *p, const struct keeping *keep, struct arena *a)
{
    struct lean *lean = p->lean;
    const size_t w = p->model->config.width;
    const struct scratch t = scratch_make(p->model, lean->m, a);
    struct spreading spread = {.c = keep->c, .from = lean, .to = keep->s, .rank = keep->rank};

    lean->s = layer_state_make(p->model, p->adapter, lean->m, a);
    lean->s.x = floats(a, lean->m * w);
    for (size_t i = 0; i < lean->m; i++)
        copy(lean->s.x + i * w, keep->x + lean->row[i] * w, w);
    layer_forward(p->model, p->adapter, keep->layer, lean->m, lean->pos, lean->plan, &lean->s, &t,
                  floats(a, lean->m * w));
    parallel_for(lean->m, spread_row, &spread);
}

void training_backward(struct training_pass *p, const float *d_hidden)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const bool full = p->adapter == NULL && m->full != NULL;
    struct arena a = {0};
    float *dx = floats(&p->arena, p->m * c->width); /* zeroed */
    struct layer_state s = layer_state_make(m, p->adapter, p->m, &p->arena);
    struct keeping keep = keeping_of(m, p->adapter, p->rows);

    s.x = keep.x = floats(&p->arena, p->m * c->width);
    keep.s = &s;
    rms_norm_back(p->m, c->width, p->last, c->width, m->final_norm, p->last_r, d_hidden, c->width,
                  dx, c->width);
    if (full)
        rms_norm_back_w(p->m, c->width, p->last, c->width, p->last_r, d_hidden, c->width,
                        m->full->d_final_norm);
    for (size_t l = c->n_layers; l-- > 0;) {
        arena_reset(&a);
        keep.layer = l;
        parallel_for(p->m, fetch_x, &keep);
        parallel_for(p->m, fetch_row, &keep);
        if (p->lean != NULL)
            compute_lean(p, &keep, &a);
        layer_backward(p, l, &s, &a, dx);
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
    while (p->n_taken > 0)
        saved_give(p->pool, p->taken[--p->n_taken]);
    arena_release(&p->arena);
    free(p);
}

size_t training_pass_bytes(const struct model *m, size_t rank, size_t rows, bool lean)
{
    const struct model_config *c = &m->config;
    const size_t hd = c->n_heads * c->head_width, kd = c->n_kv_heads * c->head_width;
    const size_t kept =
        lean ? (c->n_layers + 1) * c->width * sizeof(float) : saved_row_bytes(c, rank);
    const size_t layer = (saved_layout_of(c, rank).stride - 2 * kd) * (lean ? 2 : 1);
    const size_t back = 2 * c->width + 4 * c->hidden + 2 * hd + 2 * kd + rank;
    const size_t scratch = c->width + 2 * kd + c->hidden;

    return rows * (kept + sizeof(float) * (layer + back + 2 * scratch + 4 * c->width));
}

void logits_of(const struct model *m, size_t rows, const float *hidden, float *logits, size_t ld)
{
    matmul(&m->head, rows, hidden, m->config.width, logits, ld, false);
}
