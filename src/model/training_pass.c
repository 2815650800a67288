/*
 * training_pass.c - known rows are put back, missing ones computed, and the layers walked from the last to the first.
 */
#include "model/training_pass.h"
#include "base/size.h"
#include "model/layer_internal.h"
#include "model/workspace_internal.h"
#include "tensor/cpu/kernels.h"

#include <assert.h>
#include <string.h>

/*
 * Rows of a pass of which only the layers' inputs were kept, and those behind them in their segments: each layer is computed anew
 * for them.
 */
struct lean {
    size_t m;
    size_t *row; /* [m] of the pass */
    const struct attention_plan *plan;
    uint32_t *pos;
};

struct training_pass {
    const struct model *model;
    struct adapter *adapter;
    struct workspace *work; /* its training arena holds what the pass needs to its end */
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

/* The rows of a pass that are still to be computed: for each span those behind its known beginning. */
struct missing {
    struct batch b;
    size_t *row;             /* [b.m] of the pass */
    struct saved_row **rows; /* [b.m] where they are kept */
};

/* How much of a span is known from its beginning on: as a whole, and with the lean rows behind that. */
struct known {
    size_t whole, all;
};

static bool is_lean(const struct training_pass *p, size_t row)
{
    const size_t rank = p->adapter != NULL ? p->adapter->rank : 0;

    return p->rows[row]->stride < saved_layout_of(&p->model->config, rank).stride;
}

static struct known known_of(const struct training_pass *p, size_t row, size_t n)
{
    struct known k = {0};

    while (k.whole < n && p->rows[row + k.whole] != NULL && !is_lean(p, row + k.whole))
        k.whole++;
    k.all = k.whole;
    while (k.all < n && p->rows[row + k.all] != NULL)
        k.all++;
    return k;
}

/* The rows of each span behind those known as a whole, to its end or as far as they are known; segments end where they begin. */
static struct lean *lean_make(struct training_pass *p, const struct batch *b,
                              const struct known *known, bool to_end, struct arena *a)
{
    struct span *spans = ARENA_ARRAY(a, struct span, b->n_spans);
    struct lean *lean = ARENA_NEW(a, struct lean);
    size_t row = 0, n_spans = 0;

    lean->row = ARENA_ARRAY(a, size_t, b->m);
    lean->pos = ARENA_ARRAY(a, uint32_t, b->m);
    for (size_t i = 0; i < b->n_spans; i++) {
        const size_t end = to_end ? b->spans[i].n_rows : known[i].all;

        if (end > known[i].whole)
            spans[n_spans++] =
                (struct span){.seg = b->spans[i].seg, .n_rows = end - known[i].whole};
        for (size_t k = known[i].whole; k < end; k++) {
            lean->pos[lean->m] = p->pos[row + k];
            lean->row[lean->m++] = row + k;
        }
        row += b->spans[i].n_rows;
    }
    lean->plan = attention_plan_make(&p->model->config, spans, n_spans, a);
    return lean;
}

/* Keys and values of known lean rows, for the missing ones that look at them. */
static void store_lean(const struct training_pass *p, const struct lean *lean, struct arena *a)
{
    const struct model *m = p->model;
    const struct adapter_rows by = {.adapter = p->adapter, .n_rows = lean->m};
    const struct layer_scratch t = layer_scratch_make(m, lean->m, 1, a);
    struct layer_state s =
        layer_state_make(m, p->adapter != NULL ? p->adapter->rank : 0, lean->m, a);
    struct saved_row **rows = ARENA_ARRAY(a, struct saved_row *, lean->m);

    s.x = layer_room(a, lean->m * m->config.width);
    for (size_t i = 0; i < lean->m; i++)
        rows[i] = p->rows[lean->row[i]];
    for (size_t l = 0; l < m->config.n_layers; l++) {
        layer_fetch_x(m, l, lean->m, rows, s.x);
        layer_store_kv(m, &by, p->adapter != NULL, l, lean->m, lean->pos, lean->plan, &s, &t);
    }
}

/* Keys and values of rows that are known as a whole. */
static void store_whole(const struct training_pass *p, struct arena *a)
{
    const struct model_config *c = &p->model->config;
    const size_t kd = c->n_kv_heads * c->head_width;
    float *k = layer_room(a, p->m * kd), *v = layer_room(a, p->m * kd);

    for (size_t l = 0; l < c->n_layers; l++) {
        layer_fetch_kv(p->model, p->adapter, l, p->m, p->rows, k, v);
        attention_store(p->plan, l, NULL, k, v);
    }
}

/*
 * Known rows are put back: their keys and values into the pages, their segments grown by them. What a span knows behind
 * something unknown of its own is computed again, for a segment grows at its end.
 */
static struct missing put_back(struct training_pass *p, const struct batch *b, struct arena *a)
{
    struct span *spans = ARENA_ARRAY(a, struct span, b->n_spans);
    token_id *tokens = ARENA_ARRAY(a, token_id, b->m);
    struct known *known = ARENA_ARRAY(a, struct known, b->n_spans);
    struct missing x = {.b = {.tokens = tokens, .spans = spans},
                        .row = ARENA_ARRAY(a, size_t, b->m),
                        .rows = ARENA_ARRAY(a, struct saved_row *, b->m)};
    size_t row = 0, n_whole = 0, n_lean = 0;

    for (size_t i = 0; i < b->n_spans; i++) {
        const struct span *s = &b->spans[i];

        s->seg->row0 = row;
        known[i] = known_of(p, row, s->n_rows);
        n_whole += known[i].whole;
        n_lean += known[i].all - known[i].whole;
        if (known[i].all < s->n_rows)
            spans[x.b.n_spans++] = (struct span){.seg = s->seg, .n_rows = s->n_rows - known[i].all};
        for (size_t k = known[i].all; k < s->n_rows; k++) {
            p->rows[row + k] = NULL;
            x.row[x.b.m] = row + k;
            tokens[x.b.m++] = b->tokens[row + k];
        }
        row += s->n_rows;
    }
    if (n_whole > 0)
        store_whole(p, a);
    for (size_t i = 0; i < b->n_spans; i++)
        b->spans[i].seg->len += (uint32_t)known[i].whole;
    if (n_lean > 0) {
        p->lean = lean_make(p, b, known, true, &p->work->training);
        if (x.b.m > 0)
            store_lean(p, lean_make(p, b, known, false, a), a);
    }
    for (size_t i = 0; i < b->n_spans; i++)
        b->spans[i].seg->len += (uint32_t)(known[i].all - known[i].whole);
    return x;
}

/* Whole rows for the missing ones, if the pool has room for all of them. */
static bool take_whole(struct training_pass *p, const struct missing *x)
{
    const size_t n = x->b.m;

    p->taken = ARENA_ARRAY(&p->work->training, struct saved_row *, n);
    while (p->pool != NULL && p->n_taken < n) {
        struct saved_row *row = saved_take(p->pool, 0);

        if (row == NULL)
            break;
        p->taken[p->n_taken++] = row;
    }
    if (p->n_taken == n) {
        saved_places(x->rows, p->taken, n);
        return true;
    }
    while (p->n_taken > 0)
        saved_give(p->pool, p->taken[--p->n_taken]);
    return false;
}

/* Places for the missing rows: whole ones where the pool has room for all and no others are lean, else lean ones. */
static void make_room(struct training_pass *p, const struct missing *x)
{
    const struct model_config *c = &p->model->config;
    const size_t n = x->b.m;

    if (p->lean == NULL && take_whole(p, x))
        return;
    for (size_t i = 0; i < n; i++) {
        x->rows[i] = ARENA_NEW(&p->work->training, struct saved_row);
        *x->rows[i] = (struct saved_row){
            .values = layer_room(&p->work->training, (c->n_layers + 1) * c->width),
            .stride = c->width};
    }
    if (p->lean != NULL) /* they are among its rows */
        return;
    struct lean *lean = ARENA_NEW(&p->work->training, struct lean);
    *lean =
        (struct lean){.m = n,
                      .row = ARENA_ARRAY(&p->work->training, size_t, n),
                      .plan = attention_plan_make(c, x->b.spans, x->b.n_spans, &p->work->training),
                      .pos = ARENA_ARRAY(&p->work->training, uint32_t, n)};
    for (size_t i = 0; i < n; i++) {
        lean->row[i] = x->row[i];
        lean->pos[i] = p->pos[x->row[i]];
    }
    p->lean = lean;
}

bool training_forward(const struct model *m, struct adapter *adapter, struct workspace *w,
                      const struct batch *b, struct saved_pool *pool,
                      struct saved_row *const *known, float *hidden, struct training_pass **out,
                      struct error *err)
{
    const struct model_config *c = &m->config;

    assert(!w->in_training);
    w->in_training = true;
    arena_reset(&w->training);
    arena_reset(&w->layer);
    struct training_pass *p = ARENA_NEW(&w->training, struct training_pass);
    *p = (struct training_pass){.model = m, .adapter = adapter, .work = w, .m = b->m, .pool = pool};
    p->pos = ARENA_ARRAY(&p->work->training, uint32_t, b->m);
    if (!batch_positions(m, b, p->pos, err)) {
        training_pass_release(p);
        return false;
    }
    p->tokens = ARENA_ARRAY(&p->work->training, token_id, b->m);
    memcpy(p->tokens, b->tokens, b->m * sizeof *p->tokens);
    p->rows = ARENA_ARRAY(&p->work->training, struct saved_row *, b->m);
    if (known != NULL)
        saved_places(p->rows, known, b->m);
    p->plan = attention_plan_make(c, b->spans, b->n_spans, &p->work->training);
    struct missing x = put_back(p, b, &w->layer);
    bool ok = true;
    if (x.b.m > 0) {
        make_room(p, &x);
        for (size_t i = 0; i < x.b.m; i++)
            p->rows[x.row[i]] = x.rows[i];
        ok = forward_saving(m, adapter, w, &x.b, x.rows, layer_room(&w->layer, x.b.m * c->width),
                            err);
    }
    if (!ok) {
        training_pass_release(p);
        return false;
    }
    p->last = layer_room(&p->work->training, b->m * c->width);
    p->last_r = layer_room(&p->work->training, b->m);
    layer_fetch_x(m, c->n_layers, b->m, p->rows, p->last);
    rms_norm(b->m, c->width, p->last, c->width, m->final_norm, (float)c->rms_eps, hidden, c->width,
             p->last_r);
    *out = p;
    return true;
}

/* A layer anew for the rows that are lean; their keys and values are in their pages, and come out the same. */
static void compute_lean(const struct training_pass *p, size_t layer, struct layer_state *s,
                         struct arena *a)
{
    const struct lean *lean = p->lean;
    const size_t w = p->model->config.width;
    const struct layer_scratch t = layer_scratch_make(p->model, lean->m, 1, a);
    const size_t rank = p->adapter != NULL ? p->adapter->rank : 0;
    const struct adapter_rows by = {.adapter = p->adapter, .n_rows = lean->m};
    struct layer_state anew = layer_state_make(p->model, rank, lean->m, a);

    anew.x = layer_room(a, lean->m * w);
    for (size_t i = 0; i < lean->m; i++)
        memcpy(anew.x + i * w, s->x + lean->row[i] * w, w * sizeof *anew.x);
    layer_forward(p->model, &by, p->adapter != NULL, layer, lean->m, lean->pos, lean->plan, &anew,
                  &t, layer_room(a, lean->m * w));
    layer_spread(p->model, p->adapter, lean->m, &anew, lean->row, s);
}

void training_backward(struct training_pass *p, const float *d_hidden)
{
    const struct model *m = p->model;
    const struct model_config *c = &m->config;
    const bool full = p->adapter == NULL && m->full != NULL;
    struct arena *a = &p->work->layer;
    float *dx = ARENA_ARRAY(&p->work->training, float, p->m * c->width + PANEL); /* zeros */
    struct layer_state s =
        layer_state_make(m, p->adapter != NULL ? p->adapter->rank : 0, p->m, &p->work->training);

    s.x = layer_room(&p->work->training, p->m * c->width);
    rms_norm_back(p->m, c->width, p->last, c->width, m->final_norm, p->last_r, d_hidden, c->width,
                  dx, c->width);
    if (full)
        rms_norm_back_w(p->m, c->width, p->last, c->width, p->last_r, d_hidden, c->width,
                        m->full->d_final_norm);
    for (size_t l = c->n_layers; l-- > 0;) {
        arena_reset(a);
        layer_fetch_x(m, l, p->m, p->rows, s.x);
        layer_fetch(m, p->adapter, l, p->m, p->rows, &s);
        if (p->lean != NULL)
            compute_lean(p, l, &s, a);
        layer_backward(m, p->adapter, l, p->m, p->pos, p->plan, &s, a, dx);
    }
    if (full)
        for (size_t i = 0; i < p->m; i++)
            kernels()->add(c->width, dx + i * c->width,
                           m->full->d_embed + (size_t)p->tokens[i] * c->width);
}

void training_pass_release(struct training_pass *p)
{
    if (p == NULL)
        return;
    while (p->n_taken > 0)
        saved_give(p->pool, p->taken[--p->n_taken]);
    p->work->in_training = false;
}

size_t training_pass_bytes(const struct model *m, size_t rank, size_t rows, bool lean)
{
    const struct model_config *c = &m->config;
    const size_t hd = c->n_heads * c->head_width, kd = c->n_kv_heads * c->head_width;
    const size_t kept =
        lean ? (c->n_layers + 1) * c->width * sizeof(float) : saved_row_bytes(c, rank);
    /* the layer's input and state, last, dx; the backward's own; and a layer anew with its input and output */
    const size_t state = saved_layout_of(c, rank).stride - 2 * kd + 2 * c->width;
    size_t back = 2 * c->width + (c->n_experts > 0 ? 0 : 4 * c->hidden) + 2 * hd + 2 * kd + rank;
    if (c->norm_place != NORM_BEFORE || c->residual_scale > 0)
        back += 4 * c->width;
    if (c->qk_norm != QK_NORM_NONE)
        back += 2 * (hd + kd);
    const size_t anew = lean ? layer_row_bytes(m, rank) + 2 * c->width * sizeof(float) : 0;

    const size_t experts = c->n_experts > 0 ? experts_back_row_bytes(m) : 0;

    return rows * (kept + (state + back) * sizeof(float) + experts + anew);
}
