/*
 * forward.c - embedding, layer after layer, final norm.
 */
#include "model/forward.h"
#include "base/parallel.h"
#include "base/size.h"
#include "model/layer_internal.h"
#include "model/shares_internal.h"
#include "model/workspace_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

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
    for (size_t i = 0; i < w->n_shares; i++)
        arena_release(&w->shares[i]);
    free(w->shares);
    arena_release(&w->training);
    arena_release(&w->layer);
    free(w);
}

static size_t taken_bytes(const struct workspace *w)
{
    size_t bytes = w->step.taken_bytes;

    for (size_t i = 0; i < w->n_shares; i++)
        bytes += w->shares[i].taken_bytes;
    return bytes;
}

size_t workspace_bytes(const struct workspace *w)
{
    return size_max(w->peak_bytes, taken_bytes(w));
}

size_t workspace_bytes_of(const struct model *m, size_t rank, size_t rows)
{
    return (rows + shares_other_rows(rows)) *
           (layer_row_bytes(m, rank) + 2 * m->config.width * sizeof(float));
}

bool batch_positions(const struct model *m, const struct batch *b, uint32_t *pos, struct error *err)
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
        matrix_row_to_f32(&m->embed, (size_t)b->tokens[i], x + i * m->config.width);
    }
    if (m->config.embedding_scale > 0)
        scale_rows(b->m, m->config.width, (float)m->config.embedding_scale, x, m->config.width);
}

/* The plan is made from the old lengths; whoever looks at a parent in this batch needs the new ones. */
static void grow_segments(const struct batch *b)
{
    for (size_t i = 0; i < b->n_spans; i++)
        b->spans[i].seg->len += (uint32_t)b->spans[i].n_rows;
}

/* Rows of a piece of work where there are several adapters: small enough to be shared among threads. */
#define PIECE_ROWS 32

struct pieces {
    struct adapter_rows *by;
    size_t n, rank; /* the largest */
};

/* One adapter's rows stay together, and its products are divided over threads; those of several are cut. */
static struct pieces cut_runs(const struct adapted *runs, size_t n_runs, size_t m, struct arena *a)
{
    struct pieces p = {.by = ARENA_ARRAY(a, struct adapter_rows, n_runs + m / PIECE_ROWS)};
    size_t n_adapted = 0, row = 0;

    for (size_t i = 0; i < n_runs; i++)
        n_adapted += runs[i].adapter != NULL;
    for (size_t i = 0; i < n_runs; i++) {
        const struct adapter *ad = runs[i].adapter;
        const size_t most = n_adapted > 1 ? PIECE_ROWS : m;

        for (size_t done = 0; ad != NULL && done < runs[i].n_rows; done += most)
            p.by[p.n++] = (struct adapter_rows){
                .adapter = ad, .row = row + done, .n_rows = size_min(most, runs[i].n_rows - done)};
        if (ad != NULL)
            p.rank = size_max(p.rank, ad->rank);
        row += runs[i].n_rows;
    }
    assert(row == m);
    return p;
}

/* A pass and its shares. */
struct pass {
    const struct model *m;
    const struct share *shares;
    size_t n_shares;
    struct workspace *w;
    const uint32_t *pos;         /* [M] */
    struct saved_row *const *to; /* [M], or NULL; else one adapter's rows only */
    float *hidden;               /* [M, C] */
};

/* A share's rows through all layers. */
static void compute(const struct pass *p, const struct share *sh, struct arena *a)
{
    const struct model *m = p->m;
    const struct model_config *c = &m->config;
    const struct batch *b = &sh->b;
    const uint32_t *pos = p->pos + sh->row;
    struct saved_row *const *to = p->to != NULL ? p->to + sh->row : NULL;
    const struct attention_plan *plan = attention_plan_make(c, b->spans, b->n_spans, a);
    const struct pieces by = cut_runs(sh->runs, sh->n_runs, b->m, a);
    struct layer_state s = layer_state_make(m, by.rank, b->m, a);
    const struct layer_scratch t = layer_scratch_make(m, b->m, by.n, a);
    float *x = layer_room(a, b->m * c->width), *next = layer_room(a, b->m * c->width);

    embed_rows(m, b, x);
    grow_segments(b);
    for (size_t l = 0; l < c->n_layers; l++) {
        s.x = x;
        layer_forward(m, by.by, by.n, l, b->m, pos, plan, &s, &t, next);
        if (to != NULL)
            layer_keep(m, sh->runs[0].adapter, l, b->m, &s, &t, to);
        float *swap = x;
        x = next;
        next = swap;
    }
    for (size_t i = 0; to != NULL && i < b->m; i++)
        if (to[i] != NULL)
            memcpy(to[i]->values + c->n_layers * to[i]->stride, x + i * c->width,
                   c->width * sizeof *x);
    rms_norm(b->m, c->width, x, c->width, m->final_norm, (float)c->rms_eps,
             p->hidden + sh->row * c->width, c->width, NULL);
}

static void compute_share(void *ctx, size_t unit, int thread)
{
    const struct pass *p = ctx;
    const bool before = parallel_alone(true);

    (void)thread;
    compute(p, &p->shares[unit], unit == 0 ? &p->w->step : &p->w->shares[unit - 1]);
    (void)parallel_alone(before);
}

/* Arenas for the shares of a pass but the first. */
static bool open_shares(struct workspace *w, size_t n, struct error *err)
{
    if (n <= w->n_shares)
        return true;
    struct arena *shares = realloc(w->shares, n * sizeof *shares);
    if (shares == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a workspace of %zu threads", n);
    memset(shares + w->n_shares, 0, (n - w->n_shares) * sizeof *shares);
    w->shares = shares;
    w->n_shares = n;
    return true;
}

static bool pass(const struct model *m, const struct adapted *runs, size_t n_runs,
                 struct workspace *w, const struct batch *b, struct saved_row *const *to,
                 float *hidden, struct error *err)
{
    struct pass p = {.m = m, .w = w, .to = to, .hidden = hidden};

    w->peak_bytes = size_max(w->peak_bytes, taken_bytes(w));
    arena_reset(&w->step);
    for (size_t i = 0; i < w->n_shares; i++)
        arena_reset(&w->shares[i]);
    uint32_t *pos = ARENA_ARRAY(&w->step, uint32_t, b->m);
    if (!batch_positions(m, b, pos, err))
        return false;
    p.pos = pos;
    p.shares = shares_of(m, b, runs, n_runs, pos, &w->step, &p.n_shares);
    if (p.n_shares == 1) {
        compute(&p, p.shares, &w->step);
        return true;
    }
    if (!open_shares(w, p.n_shares - 1, err))
        return false;
    w->n_divided++;
    parallel_for(p.n_shares, compute_share, &p);
    return true;
}

bool forward_saving(const struct model *m, const struct adapter *adapter, struct workspace *w,
                    const struct batch *b, struct saved_row *const *to, float *hidden,
                    struct error *err)
{
    const struct adapted all = {.adapter = adapter, .n_rows = b->m};

    return pass(m, &all, 1, w, b, to, hidden, err);
}

bool forward(const struct model *m, const struct adapter *adapter, struct workspace *w,
             const struct batch *b, float *hidden, struct error *err)
{
    return forward_saving(m, adapter, w, b, NULL, hidden, err);
}

bool forward_mixed(const struct model *m, const struct adapted *runs, size_t n_runs,
                   struct workspace *w, const struct batch *b, float *hidden, struct error *err)
{
    return pass(m, runs, n_runs, w, b, NULL, hidden, err);
}

void logits_of(const struct model *m, size_t rows, const float *hidden, float *logits, size_t ld)
{
    const size_t width = m->config.width;

    if (m->precision == PRECISION_INT8 && packed_is_whole(&m->head)) {
        struct arena a = {0};
        struct rounded x = rounded_room(rows, width, &a);

        round_rows(rows, width, hidden, width, &x);
        matmul_rounded(&m->head, &x, logits, ld, false);
        arena_release(&a);
    } else {
        matmul(&m->head, rows, hidden, width, logits, ld, false);
    }
    if (m->config.logit_cap > 0)
        soft_cap_rows(rows, m->config.vocab, (float)m->config.logit_cap, logits, ld);
}
