/*
 * attention_back.c - the gradient of attention: a tree and a key-value head are a unit of work, or where these are few, parts of
 * them.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "model/attention_internal.h"
#include "tensor/cpu/kernels.h"

#include <math.h>
#include <string.h>

/* [16][D] from [D][16] */
static void turn_keys(const float *keys, size_t d, float *out)
{
    for (size_t j = 0; j < d; j += PANEL)
        kernels()->transpose(keys + j * KV_PAGE, KV_PAGE, out + j, d);
}

/* [D][16] from [16][D] */
static void turn_values(const float *values, size_t d, float *out)
{
    for (size_t j = 0; j < d; j += PANEL)
        kernels()->transpose(values + j, d, out + j * KV_PAGE, KV_PAGE);
}

/* One run of rows and one query head in the backward. */
struct back {
    const struct job *job;
    const struct run *run;
    size_t head, g;
    float *tile, *turned; /* [D * KV_PAGE] each */
    float *p, *ds;        /* [run's rows][ld]: the weights, and the gradient of the scores */
    float *capped;        /* [ld] scores of a row behind their cap */
    struct kv_segment *const *path;
    size_t depth;
};

/* Positions of a segment on the run's path that its rows see. */
static size_t seen_of(const struct back *w, const struct kv_segment *s)
{
    return s == w->run->seg ? w->run->first + w->run->n : s->len;
}

/* The first position that any of the run's rows sees. */
static size_t first_of(const struct back *w)
{
    return first_seen(w->job, w->run->seg->start + w->run->first);
}

static size_t query_at(const struct back *w)
{
    const struct model_config *c = w->job->plan->c;
    const size_t group = c->n_heads / c->n_kv_heads;

    return (w->run->row * c->n_heads + w->head * group + w->g) * c->head_width;
}

static void back_weights(const struct back *w)
{
    const struct job *job = w->job;
    const struct attention_plan *plan = job->plan;
    const struct model_config *c = plan->c;
    const struct kernels *kern = kernels();
    const size_t d = c->head_width, hd = c->n_heads * d, ld = plan->ld, at = query_at(w);
    const struct run *run = w->run;
    const size_t end = run->seg->start + run->first + run->n;
    const size_t first_of_run = first_of(w);

    for (size_t s = 0; s < w->depth; s++) {
        for (size_t page = first_page(w->path[s], first_of_run);
             page * KV_PAGE < seen_of(w, w->path[s]); page++) {
            const char *tiles = tiles_of(job, w->path[s], page, w->head);
            const size_t col = w->path[s]->start + page * KV_PAGE;

            kern->gemm(run->n, KV_PAGE, d, job->q + at, hd, 1, kv_tiles_keys(c, tiles, w->tile),
                       KV_PAGE, 0, w->p + col, ld, false);
            turn_values(kv_tiles_values(c, tiles, w->tile), d, w->turned);
            kern->gemm(run->n, KV_PAGE, d, job->dout + at, hd, 1, w->turned, KV_PAGE, 0,
                       w->ds + col, ld, false);
        }
    }
    for (size_t i = 0; i < run->n; i++) {
        const size_t n = run->seg->start + run->first + i + 1, of = at + i * hd;
        float *prow = w->p + i * ld, *dsrow = w->ds + i * ld;
        const float delta = kern->dot(d, job->dout + of, job->out_in + of);

        const size_t first = first_seen(job, n - 1), seen = n - first;

        if (job->cap > 0) {
            kern->soft_cap(seen, job->scale / job->cap, job->cap, prow + first);
            memcpy(w->capped, prow + first, seen * sizeof *prow);
        }
        kern->exp_to(seen, job->row_max_in[of / d], weighing_scale(job), prow + first,
                     prow + first);
        kern->scale(seen, job->row_inv_in[of / d], prow + first);
        kern->softmax_back(seen, prow + first, dsrow + first, delta, job->scale, dsrow + first);
        if (job->cap > 0)
            kern->soft_cap_back(seen, job->cap, w->capped, dsrow + first);
        for (size_t j = unseen_from(first_of_run); j < first; j++)
            prow[j] = dsrow[j] = 0;
        memset(prow + n, 0, (end - n) * sizeof *prow);
        memset(dsrow + n, 0, (end - n) * sizeof *dsrow);
    }
}

static void back_queries(const struct back *w)
{
    const struct job *job = w->job;
    const struct model_config *c = job->plan->c;
    const size_t d = c->head_width, hd = c->n_heads * d, ld = job->plan->ld;

    for (size_t s = 0; s < w->depth; s++) {
        const size_t n = seen_of(w, w->path[s]);

        for (size_t page = first_page(w->path[s], first_of(w)); page * KV_PAGE < n; page++) {
            turn_keys(kv_tiles_keys(c, tiles_of(job, w->path[s], page, w->head), w->tile), d,
                      w->turned);
            kernels()->gemm(w->run->n, d, size_min(KV_PAGE, n - page * KV_PAGE),
                            w->ds + w->path[s]->start + page * KV_PAGE, ld, 1, w->turned, d, PANEL,
                            job->dq + query_at(w), hd, true);
        }
    }
}

/* What the run adds to every n_parts-th page of keys and values. */
static void back_keys(const struct back *w, size_t part, size_t n_parts)
{
    const struct job *job = w->job;
    const struct model_config *c = job->plan->c;
    const size_t d = c->head_width, hd = c->n_heads * d, kd = c->n_kv_heads * d, ld = job->plan->ld,
                 at = query_at(w);

    for (size_t s = 0; s < w->depth; s++) {
        const size_t n = seen_of(w, w->path[s]);

        for (size_t page = first_page(w->path[s], first_of(w)); page * KV_PAGE < n; page++) {
            const size_t here = size_min(KV_PAGE, n - page * KV_PAGE),
                         col = w->path[s]->start + page * KV_PAGE;
            const size_t key = (w->path[s]->row0 + page * KV_PAGE) * kd + w->head * d;

            if (col / KV_PAGE % n_parts != part)
                continue;
            kernels()->gemm(here, d, w->run->n, w->ds + col, 1, ld, job->q + at, hd, PANEL,
                            job->dk + key, kd, true);
            kernels()->gemm(here, d, w->run->n, w->p + col, 1, ld, job->dout + at, hd, PANEL,
                            job->dv + key, kd, true);
        }
    }
}

static struct back back_of(const struct job *job, const struct run *run, size_t head, int thread)
{
    const struct attention_plan *plan = job->plan;
    const size_t tile = plan->c->head_width * KV_PAGE;
    float *scratch = plan->scratch + (size_t)thread * plan->scratch_floats;
    struct kv_segment **path = plan->paths + (size_t)thread * plan->max_depth;

    return (struct back){.job = job,
                         .run = run,
                         .head = head,
                         .tile = scratch,
                         .turned = scratch + tile,
                         .p = scratch + 2 * tile,
                         .ds = scratch + 2 * tile + plan->max_rows * plan->ld,
                         .capped = scratch + 2 * tile + 2 * plan->max_rows * plan->ld,
                         .path = path,
                         .depth = path_of(run->seg, path)};
}

/* A tree and a key-value head: everything that its rows saw gets its share, run by run and query head by query head. */
static void back_unit(void *ctx, size_t unit, int thread)
{
    const struct job *job = ctx;
    const struct attention_plan *plan = job->plan;
    const size_t n_kv = plan->c->n_kv_heads, tree = unit / n_kv, head = unit % n_kv;

    for (size_t b = plan->tree_block[tree]; b < plan->tree_block[tree + 1]; b++)
        for (size_t r = plan->blocks[b].run; r < plan->blocks[b].run + plan->blocks[b].n_runs;
             r++) {
            struct back w = back_of(job, &plan->runs[r], head, thread);

            for (w.g = 0; w.g < plan->c->n_heads / n_kv; w.g++) {
                back_weights(&w);
                back_queries(&w);
                back_keys(&w, 0, 1);
            }
        }
}

/*
 * Few trees and many threads: some runs at a time, first the weights of each by itself, then the pages, each of which takes
 * what the runs add to it in the order that back_unit has.
 */
struct together {
    const struct job *job;
    const struct run *runs;
    size_t n_runs, m, n_parts;
    float *p, *ds; /* [H][m][ld] */
};

static struct back back_together(const struct together *t, const struct run *run, size_t head,
                                 size_t g, int thread)
{
    const struct model_config *c = t->job->plan->c;
    const size_t at = ((head * (c->n_heads / c->n_kv_heads) + g) * t->m + run->row - t->runs->row) *
                      t->job->plan->ld;
    struct back w = back_of(t->job, run, head, thread);

    w.g = g;
    w.p = t->p + at;
    w.ds = t->ds + at;
    return w;
}

static void together_weights(void *ctx, size_t unit, int thread)
{
    const struct together *t = ctx;
    const struct model_config *c = t->job->plan->c;
    const size_t h = unit % c->n_heads, group = c->n_heads / c->n_kv_heads;
    const struct back w =
        back_together(t, &t->runs[unit / c->n_heads], h / group, h % group, thread);

    back_weights(&w);
    back_queries(&w);
}

static void together_keys(void *ctx, size_t unit, int thread)
{
    const struct together *t = ctx;
    const struct model_config *c = t->job->plan->c;
    const size_t head = unit / t->n_parts;

    for (size_t r = 0; r < t->n_runs; r++)
        for (size_t g = 0; g < c->n_heads / c->n_kv_heads; g++) {
            const struct back w = back_together(t, &t->runs[r], head, g, thread);

            back_keys(&w, unit % t->n_parts, t->n_parts);
        }
}

static void back_divided(const struct job *job, struct arena *a)
{
    const struct attention_plan *plan = job->plan;
    const size_t threads = (size_t)parallel_threads(), most = BLOCK_ROWS * threads;
    const size_t floats = plan->c->n_heads * size_min(most, plan->m) * plan->ld;
    struct together t = {.job = job, .n_parts = 2 * threads};

    t.p = arena_alloc(a, floats * sizeof *t.p);
    t.ds = arena_alloc(a, floats * sizeof *t.ds);
    for (size_t r = 0; r < plan->n_runs; r += t.n_runs) {
        t.runs = &plan->runs[r];
        t.n_runs = t.m = 0;
        while (r + t.n_runs < plan->n_runs && t.m + t.runs[t.n_runs].n <= most)
            t.m += t.runs[t.n_runs++].n;
        parallel_for(t.n_runs * plan->c->n_heads, together_weights, &t);
        parallel_for(plan->c->n_kv_heads * t.n_parts, together_keys, &t);
    }
}

void attention_back(const struct attention_plan *plan, size_t layer, const float *q,
                    const float *out, const float *row_max, const float *row_inv, const float *dout,
                    float *dq, float *dk, float *dv, struct arena *a)
{
    const struct model_config *c = plan->c;
    struct job job = {.plan = plan,
                      .layer = layer,
                      .q = q,
                      .out_in = out,
                      .row_max_in = row_max,
                      .row_inv_in = row_inv,
                      .dout = dout,
                      .dq = dq,
                      .dk = dk,
                      .dv = dv,
                      .scale = attention_scale(c),
                      .cap = (float)c->score_cap,
                      .window = attention_window(c, layer)};

    memset(dq, 0, plan->m * c->n_heads * c->head_width * sizeof *dq);
    memset(dk, 0, plan->m * c->n_kv_heads * c->head_width * sizeof *dk);
    memset(dv, 0, plan->m * c->n_kv_heads * c->head_width * sizeof *dv);
    const size_t n_units = plan->n_trees * c->n_kv_heads;
    if (n_units > 0 && unevenness(n_units, (size_t)parallel_threads()) > 1.2)
        back_divided(&job, a);
    else
        parallel_for(n_units, back_unit, &job);
}
