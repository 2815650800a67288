/*
 * attention.c - blocks of rows against pages of keys, one unit of work per block and key-value head.
 */
#include "model/attention.h"
#include "base/parallel.h"
#include "base/size.h"
#include "tensor/cpu/kernels.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#define BLOCK_ROWS                                                                                 \
    32 /* rows that read a trunk together; part of the backward's order, so not to be tuned per machine */

struct run { /* rows of one span inside a block */
    struct kv_segment *seg;
    size_t row, n; /* rows of the batch */
    size_t first;  /* index of the first within its segment */
};

struct block { /* runs that hang on one parent */
    struct kv_segment *parent;
    size_t run, n_runs;
    size_t row, n;
};

struct attention_plan {
    const struct model_config *c;
    size_t m, n_runs, n_blocks, n_trees, max_end;
    struct run *runs;
    struct block *blocks;
    size_t *tree_block; /* [n_trees + 1]: first block of each tree */
    float *scratch;     /* [threads][scratch_floats] */
    size_t scratch_floats, ld;
    struct kv_segment **paths; /* [threads][max_depth] */
    size_t max_depth;
};

static const struct kv_segment *root_of(const struct kv_segment *s)
{
    while (s->parent != NULL)
        s = s->parent;
    return s;
}

static size_t depth_of(const struct kv_segment *s)
{
    size_t n = 0;

    for (; s != NULL; s = s->parent)
        n++;
    return n;
}

struct attention_plan *attention_plan_make(const struct model_config *c, const struct span *spans,
                                           size_t n_spans, struct arena *a)
{
    struct attention_plan *p = ARENA_NEW(a, struct attention_plan);
    size_t max_runs = 0;

    for (size_t i = 0; i < n_spans; i++)
        max_runs += spans[i].n_rows / BLOCK_ROWS + 2;
    p->c = c;
    p->runs = ARENA_ARRAY(a, struct run, max_runs);
    p->blocks = ARENA_ARRAY(a, struct block, max_runs);
    p->tree_block = ARENA_ARRAY(a, size_t, n_spans + 1);
    const struct kv_segment *root = NULL;
    for (size_t i = 0; i < n_spans; i++) {
        struct kv_segment *seg = spans[i].seg;

        if (root_of(seg) != root) {
            root = root_of(seg);
            p->tree_block[p->n_trees++] = p->n_blocks;
        }
        p->max_end = size_max(p->max_end, seg->start + seg->len + spans[i].n_rows);
        if (i == 0 || spans[i - 1].seg->parent != seg->parent)
            p->max_depth = size_max(p->max_depth, depth_of(seg));
        for (size_t done = 0; done < spans[i].n_rows;) {
            struct block *b = p->n_blocks > 0 ? &p->blocks[p->n_blocks - 1] : NULL;

            if (b == NULL || p->tree_block[p->n_trees - 1] == p->n_blocks ||
                b->parent != seg->parent || b->n >= BLOCK_ROWS || done > 0) {
                b = &p->blocks[p->n_blocks++];
                *b = (struct block){.parent = seg->parent, .run = p->n_runs, .row = p->m};
            }
            const size_t n = size_min(spans[i].n_rows - done, BLOCK_ROWS - b->n);
            p->runs[p->n_runs++] =
                (struct run){.seg = seg, .row = p->m, .n = n, .first = seg->len + done};
            b->n_runs++;
            b->n += n;
            p->m += n;
            done += n;
        }
    }
    p->tree_block[p->n_trees] = p->n_blocks;
    p->ld = size_round_up(p->max_end, KV_PAGE) + KV_PAGE;
    const size_t group = c->n_heads / c->n_kv_heads;
    p->scratch_floats =
        size_round_up(size_max(group, 2) * BLOCK_ROWS * p->ld + 2 * c->head_width * KV_PAGE, 16);
    p->paths = ARENA_ARRAY(a, struct kv_segment *, p->max_depth * (size_t)parallel_threads());
    p->scratch = arena_alloc(a, p->scratch_floats * sizeof(float) * (size_t)parallel_threads());
    return p;
}

void attention_store(const struct attention_plan *plan, size_t layer, const float *k,
                     const float *v)
{
    const struct model_config *c = plan->c;
    const size_t d = c->head_width, ld = c->n_kv_heads * d;

    for (size_t r = 0; r < plan->n_runs; r++) {
        const struct run *run = &plan->runs[r];

        for (size_t i = 0; i < run->n; i++) {
            const size_t at = run->first + i;
            float *page = run->seg->pages[at / KV_PAGE];
            const size_t slot = at % KV_PAGE;

            for (size_t h = 0; h < c->n_kv_heads; h++) {
                float *keys = page + kv_offset(c, layer, h), *values = keys + d * KV_PAGE;
                const float *krow = k + (run->row + i) * ld + h * d,
                            *vrow = v + (run->row + i) * ld + h * d;

                for (size_t j = 0; j < d; j++)
                    keys[j * KV_PAGE + slot] = krow[j];
                memcpy(values + slot * d, vrow, d * sizeof *values);
            }
        }
    }
}

struct job {
    const struct attention_plan *plan;
    size_t layer;
    const float *q, *dout, *row_max_in, *row_inv_in, *out_in;
    float *out, *row_max, *row_inv, *dq, *dk, *dv;
    float scale;
};

/* The path from the root down to s, s last. */
static size_t path_of(struct kv_segment *s, struct kv_segment **path)
{
    const size_t n = depth_of(s);

    for (size_t i = n; i > 0; i--, s = s->parent)
        path[i - 1] = s;
    return n;
}

static const float *page_keys(const struct job *job, const struct kv_segment *s, size_t page,
                              size_t head)
{
    return s->pages[page] + kv_offset(job->plan->c, job->layer, head);
}

/* scores[rows][start + page * 16 ..] of one segment's first n positions */
static void score_segment(const struct job *job, const struct kv_segment *s, size_t n, size_t head,
                          size_t m, const float *q, size_t q_ld, float *scores, size_t ld)
{
    for (size_t page = 0; page * KV_PAGE < n; page++)
        kernels()->gemm(m, KV_PAGE, job->plan->c->head_width, q, q_ld, 1,
                        page_keys(job, s, page, head), KV_PAGE, 0,
                        scores + s->start + page * KV_PAGE, ld, false);
}

/* out[rows][D] += weights over positions from .. n - 1 of one segment; from is a page's first */
static void mix_segment(const struct job *job, const struct kv_segment *s, size_t from, size_t n,
                        size_t head, size_t m, const float *p, size_t ld, float *out, size_t out_ld)
{
    const size_t d = job->plan->c->head_width;

    for (size_t page = from / KV_PAGE; page * KV_PAGE < n; page++) {
        const float *values = page_keys(job, s, page, head) + d * KV_PAGE;
        const size_t here = size_min(KV_PAGE, n - page * KV_PAGE);

        kernels()->gemm(m, d, here, p + s->start + page * KV_PAGE, ld, 1, values, d, PANEL, out,
                        out_ld, true);
    }
}

/* One row each against its own segment, the group's heads side by side. */
static void attend_unit(void *ctx, size_t unit, int thread)
{
    const struct job *job = ctx;
    const struct attention_plan *plan = job->plan;
    const struct model_config *c = plan->c;
    const size_t d = c->head_width, group = c->n_heads / c->n_kv_heads, hd = c->n_heads * d,
                 ld = plan->ld;
    const struct block *b = &plan->blocks[unit / c->n_kv_heads];
    const size_t head = unit % c->n_kv_heads;
    float *scores = plan->scratch + (size_t)thread * plan->scratch_floats; /* [group][rows][ld] */
    struct kv_segment **path = plan->paths + (size_t)thread * plan->max_depth;
    const size_t depth = path_of(b->parent, path);

    for (size_t g = 0; g < group; g++) {
        const float *q = job->q + b->row * hd + (head * group + g) * d;
        float *out = job->out + b->row * hd + (head * group + g) * d;

        for (size_t i = 0; i < b->n; i++)
            memset(out + i * hd, 0, d * sizeof *out);
        for (size_t s = 0; s < depth; s++)
            score_segment(job, path[s], path[s]->len, head, b->n, q, hd, scores + g * b->n * ld,
                          ld);
    }
    for (size_t r = b->run; r < b->run + b->n_runs; r++) {
        const struct run *run = &plan->runs[r];
        const size_t i0 = run->row - b->row;
        const float *q = job->q + run->row * hd + head * group * d;

        if (run->n == 1) { /* the heads of the group as rows */
            score_segment(job, run->seg, run->first + 1, head, group, q, d, scores + i0 * ld,
                          b->n * ld);
            continue;
        }
        for (size_t g = 0; g < group; g++)
            score_segment(job, run->seg, run->first + run->n, head, run->n, q + g * d, hd,
                          scores + (g * b->n + i0) * ld, ld);
    }
    for (size_t r = b->run; r < b->run + b->n_runs; r++) {
        const struct run *run = &plan->runs[r];

        for (size_t i = 0; i < run->n; i++) {
            const size_t n = run->seg->start + run->first + i + 1;

            for (size_t g = 0; g < group; g++) {
                float *row = scores + (g * b->n + run->row - b->row + i) * ld;
                const float max = kernels()->max(n, row);
                const float inv = 1.0f / kernels()->exp_sum(n, max, job->scale, row);
                const size_t at = (run->row + i) * c->n_heads + head * group + g;

                row[ld - 1] = inv; /* past every score: ld leaves a page of room */
                if (job->row_max != NULL) {
                    job->row_max[at] = max;
                    job->row_inv[at] = inv;
                }
            }
        }
    }
    for (size_t g = 0; g < group; g++)
        for (size_t s = 0; s < depth; s++)
            mix_segment(job, path[s], 0, path[s]->len, head, b->n, scores + g * b->n * ld, ld,
                        job->out + b->row * hd + (head * group + g) * d, hd);
    for (size_t r = b->run; r < b->run + b->n_runs; r++) {
        const struct run *run = &plan->runs[r];

        /* pages of its own segment that all of the run's rows see whole */
        const size_t seen = run->n == 1 ? 0 : run->first / KV_PAGE * KV_PAGE;

        for (size_t g = 0; g < group && seen > 0; g++)
            mix_segment(job, run->seg, 0, seen, head, run->n,
                        scores + (g * b->n + run->row - b->row) * ld, ld,
                        job->out + run->row * hd + (head * group + g) * d, hd);
        for (size_t i = 0; i < run->n; i++) /* each row sees one more than the one before */
            mix_segment(job, run->seg, seen, run->first + i + 1, head, group,
                        scores + (run->row - b->row + i) * ld, b->n * ld,
                        job->out + (run->row + i) * hd + head * group * d, d);
    }
    for (size_t i = 0; i < b->n; i++)
        for (size_t g = 0; g < group; g++)
            kernels()->scale(d, scores[(g * b->n + i) * ld + ld - 1],
                             job->out + (b->row + i) * hd + (head * group + g) * d);
}

void attention(const struct attention_plan *plan, size_t layer, const float *q, float *out,
               float *row_max, float *row_inv)
{
    struct job job = {.plan = plan,
                      .layer = layer,
                      .q = q,
                      .out = out,
                      .row_max = row_max,
                      .row_inv = row_inv,
                      .scale = 1.0f / sqrtf((float)plan->c->head_width)};

    parallel_for(plan->n_blocks * plan->c->n_kv_heads, attend_unit, &job);
}

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

/* One run of rows and one query head: everything that its rows saw gets its share. */
static void back_run(const struct job *job, const struct run *run, size_t head, size_t g,
                     float *scratch, struct kv_segment **path)
{
    const struct attention_plan *plan = job->plan;
    const struct model_config *c = plan->c;
    const struct kernels *kern = kernels();
    const size_t d = c->head_width, group = c->n_heads / c->n_kv_heads, hd = c->n_heads * d,
                 kd = c->n_kv_heads * d;
    const size_t ld = plan->ld, q_at = run->row * hd + (head * group + g) * d, m = run->n;
    const float *q = job->q + q_at, *dout = job->dout + q_at;
    float *p = scratch, *ds = p + BLOCK_ROWS * ld, *turned = ds + BLOCK_ROWS * ld;
    const size_t depth = path_of(run->seg, path);
    const size_t end = run->seg->start + run->first + m;

    for (size_t s = 0; s < depth; s++) {
        const size_t n = path[s] == run->seg ? run->first + m : path[s]->len;

        score_segment(job, path[s], n, head, m, q, hd, p, ld);
        for (size_t page = 0; page * KV_PAGE < n; page++) {
            turn_values(page_keys(job, path[s], page, head) + d * KV_PAGE, d, turned);
            kern->gemm(m, KV_PAGE, d, dout, hd, 1, turned, KV_PAGE, 0,
                       ds + path[s]->start + page * KV_PAGE, ld, false);
        }
    }
    for (size_t i = 0; i < m; i++) {
        const size_t n = run->seg->start + run->first + i + 1,
                     at = (run->row + i) * c->n_heads + head * group + g;
        float *prow = p + i * ld, *dsrow = ds + i * ld;
        const float delta = kern->dot(d, dout + i * hd, job->out_in + q_at + i * hd);

        kern->exp_to(n, job->row_max_in[at], job->scale, prow, prow);
        kern->scale(n, job->row_inv_in[at], prow);
        kern->softmax_back(n, prow, dsrow, delta, job->scale, dsrow);
        memset(prow + n, 0, (end - n) * sizeof *prow);
        memset(dsrow + n, 0, (end - n) * sizeof *dsrow);
    }
    for (size_t s = 0; s < depth; s++) {
        const size_t n = path[s] == run->seg ? run->first + m : path[s]->len;

        for (size_t page = 0; page * KV_PAGE < n; page++) {
            const size_t here = size_min(KV_PAGE, n - page * KV_PAGE),
                         col = path[s]->start + page * KV_PAGE;
            const size_t key_at = (path[s]->row0 + page * KV_PAGE) * kd + head * d;

            turn_keys(page_keys(job, path[s], page, head), d, turned);
            kern->gemm(m, d, here, ds + col, ld, 1, turned, d, PANEL, job->dq + q_at, hd, true);
            kern->gemm(here, d, m, ds + col, 1, ld, q, hd, PANEL, job->dk + key_at, kd, true);
            kern->gemm(here, d, m, p + col, 1, ld, dout, hd, PANEL, job->dv + key_at, kd, true);
        }
    }
}

static void back_unit(void *ctx, size_t unit, int thread)
{
    const struct job *job = ctx;
    const struct attention_plan *plan = job->plan;
    const size_t n_kv = plan->c->n_kv_heads, tree = unit / n_kv, head = unit % n_kv;
    float *scratch = plan->scratch + (size_t)thread * plan->scratch_floats;

    for (size_t b = plan->tree_block[tree]; b < plan->tree_block[tree + 1]; b++)
        for (size_t r = plan->blocks[b].run; r < plan->blocks[b].run + plan->blocks[b].n_runs; r++)
            for (size_t g = 0; g < plan->c->n_heads / n_kv; g++)
                back_run(job, &plan->runs[r], head, g, scratch,
                         plan->paths + (size_t)thread * plan->max_depth);
}

void attention_back(const struct attention_plan *plan, size_t layer, const float *q,
                    const float *out, const float *row_max, const float *row_inv, const float *dout,
                    float *dq, float *dk, float *dv)
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
                      .scale = 1.0f / sqrtf((float)c->head_width)};

    memset(dq, 0, plan->m * c->n_heads * c->head_width * sizeof *dq);
    memset(dk, 0, plan->m * c->n_kv_heads * c->head_width * sizeof *dk);
    memset(dv, 0, plan->m * c->n_kv_heads * c->head_width * sizeof *dv);
    parallel_for(plan->n_trees * c->n_kv_heads, back_unit, &job);
}
