/*
 * attention.c - blocks of rows against pages of keys, one unit of work per block and key-value head.
 */
#include "base/parallel.h"
#include "base/size.h"
#include "model/attention_internal.h"
#include "tensor/cpu/kernels.h"
#include "tensor/ops.h"

#include <math.h>
#include <string.h>

#define PIECE_ROWS 8     /* a block is not cut into smaller pieces */
#define TILE_FLOATS 4096 /* of keys or values read at a time: 16 KB stay near */
#define COPIED_FOR 8     /* rows from which on floats are copied for it */

static const struct kv_segment *root_of(const struct kv_segment *s)
{
    while (s->parent != NULL)
        s = s->parent;
    return s;
}

/* In how many pieces each block is cut: as few as leave hardly anybody waiting, for each reads the trunk anew. */
static size_t pieces_of_block(const struct attention_plan *p)
{
    const size_t threads = (size_t)parallel_threads(), n = p->n_blocks * p->c->n_kv_heads;
    const size_t most = size_max(1, p->max_rows / PIECE_ROWS);
    size_t best = 1;

    for (size_t cut = 2; cut <= most && unevenness(best * n, threads) > 1.1; cut++)
        if (unevenness(cut * n, threads) < unevenness(best * n, threads))
            best = cut;
    return best;
}

static struct pieces cut_blocks(const struct attention_plan *p, struct arena *a)
{
    const size_t n = pieces_of_block(p);

    if (n == 1)
        return (struct pieces){.runs = p->runs, .blocks = p->blocks, .n_blocks = p->n_blocks};
    struct run *runs = ARENA_ARRAY(a, struct run, p->n_runs + n * p->n_blocks);
    struct block *blocks = ARENA_ARRAY(a, struct block, n * p->n_blocks);
    size_t n_runs = 0, n_blocks = 0;

    for (size_t i = 0; i < p->n_blocks; i++) {
        const struct block *b = &p->blocks[i];
        const size_t most = (b->n + n - 1) / n;
        struct block *to = NULL;

        for (size_t r = b->run; r < b->run + b->n_runs; r++)
            for (size_t done = 0, here; done < p->runs[r].n; done += here) {
                const struct run *run = &p->runs[r];

                if (to == NULL || to->n == most) {
                    to = &blocks[n_blocks++];
                    *to =
                        (struct block){.parent = b->parent, .run = n_runs, .row = run->row + done};
                }
                here = size_min(run->n - done, most - to->n);
                runs[n_runs++] = (struct run){
                    .seg = run->seg, .row = run->row + done, .n = here, .first = run->first + done};
                to->n_runs++;
                to->n += here;
            }
    }
    return (struct pieces){.runs = runs, .blocks = blocks, .n_blocks = n_blocks};
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
    for (size_t b = 0; b < p->n_blocks; b++)
        p->max_rows = size_max(p->max_rows, p->blocks[b].n);
    p->tile_pages = size_max(2, TILE_FLOATS / (c->head_width * KV_PAGE)); /* 2: the backward's */
    const size_t group = c->n_heads / c->n_kv_heads;
    p->scratch_floats = size_round_up((size_max(group, 2) * p->max_rows + 1) * p->ld +
                                          p->tile_pages * c->head_width * KV_PAGE,
                                      16);
    p->cut = cut_blocks(p, a);
    p->paths = ARENA_ARRAY(a, struct kv_segment *, p->max_depth * (size_t)parallel_threads());
    p->scratch = arena_alloc(a, p->scratch_floats * sizeof(float) * (size_t)parallel_threads());
    return p;
}

struct storing {
    const struct attention_plan *plan;
    size_t layer;
    const struct rotation *rotate;
    const float *k, *v;
};

static void rotate_row(const struct model_config *c, const struct rotation *r, size_t row)
{
    const size_t d = c->head_width, qd = c->n_heads * d, kd = c->n_kv_heads * d;
    const size_t turned = config_rotary_width(c);

    rope_row(turned, r->cos_, r->sin_, r->pos[row], false, c->n_heads, d, r->q + row * qd);
    if (r->q_scale != NULL)
        kernels()->scale(qd, r->q_scale[r->pos[row]], r->q + row * qd);
    rope_row(turned, r->cos_, r->sin_, r->pos[row], false, c->n_kv_heads, d, r->k + row * kd);
}

static void store_run(const struct storing *w, const struct run *run)
{
    const struct model_config *c = w->plan->c;
    const size_t d = c->head_width, kd = c->n_kv_heads * d;

    for (size_t i = 0; i < run->n; i++) {
        const size_t at = run->first + i, row = run->row + i;
        char *page = run->seg->pages[at / KV_PAGE];

        if (w->rotate != NULL)
            rotate_row(c, w->rotate, row);
        for (size_t h = 0; h < c->n_kv_heads; h++)
            kv_tiles_put(c, page + kv_offset(c, w->layer, h), at % KV_PAGE, w->k + row * kd + h * d,
                         w->v + row * kd + h * d);
    }
}

/* The runs of a block of the forward pass; two runs never write to the same place. */
static void store_block(void *ctx, size_t unit, int thread)
{
    const struct storing *w = ctx;
    const struct block *b = &w->plan->cut.blocks[unit];

    (void)thread;
    for (size_t r = b->run; r < b->run + b->n_runs; r++)
        store_run(w, &w->plan->cut.runs[r]);
}

void attention_store(const struct attention_plan *plan, size_t layer, const struct rotation *rotate,
                     const float *k, const float *v)
{
    struct storing w = {.plan = plan, .layer = layer, .rotate = rotate, .k = k, .v = v};

    parallel_for(plan->cut.n_blocks, store_block, &w);
}

/* A thread's piece of work: some rows and the query heads that share a key-value head. */
struct piece {
    const struct job *job;
    const struct block *rows;
    size_t head, group, d, q_ld; /* q_ld: floats from a row's query to the next row's, [H, D] */
    size_t first;                /* position that any of the rows sees */
    float *scores;               /* [group][rows][ld], over positions from 0 */
    float *tiles;                /* [tile_pages][D * KV_PAGE] keys or values side by side */
};

static const float *query(const struct piece *w, size_t row, size_t g)
{
    return w->job->q + row * w->q_ld + (w->head * w->group + g) * w->d;
}

static float *output(const struct piece *w, size_t row, size_t g)
{
    return w->job->out + row * w->q_ld + (w->head * w->group + g) * w->d;
}

/* Over the positions from 0 on of a row of the batch and head g. */
static float *scores_of(const struct piece *w, size_t row, size_t g)
{
    return w->scores + (g * w->rows->n + row - w->rows->row) * w->job->plan->ld;
}

/* Pages that m rows read at a time: floats lie where they are unless copying them is little beside what follows. */
static size_t pages_at_once(const struct piece *w, size_t m)
{
    const struct attention_plan *plan = w->job->plan;

    return plan->c->kv_cache == KV_CACHE_F32 && m < COPIED_FOR ? 1 : plan->tile_pages;
}

typedef const float *tiles_fn(const struct model_config *c, const char *tiles, float *room);

/* Keys or values of n pages of s, one behind another. */
static const float *side_by_side(const struct piece *w, const struct kv_segment *s, size_t page,
                                 size_t n, tiles_fn *read)
{
    const struct model_config *c = w->job->plan->c;
    const size_t floats = w->d * KV_PAGE;

    if (n == 1)
        return read(c, tiles_of(w->job, s, page, w->head), w->tiles);
    for (size_t i = 0; i < n; i++) {
        float *to = w->tiles + i * floats;
        const float *from = read(c, tiles_of(w->job, s, page + i, w->head), to);

        if (from != to)
            memcpy(to, from, floats * sizeof *to);
    }
    return w->tiles;
}

/* Scores of rows row .. row + m - 1 of the batch for the first n positions of s. A row alone has the heads of its group as rows. */
static void score(const struct piece *w, const struct kv_segment *s, size_t n, size_t row, size_t m)
{
    const size_t ld = w->job->plan->ld, most = pages_at_once(w, m),
                 end = (n + KV_PAGE - 1) / KV_PAGE;

    for (size_t page = first_page(s, w->first), here; page < end; page += here) {
        here = size_min(most, end - page);
        const float *keys = side_by_side(w, s, page, here, kv_tiles_keys);
        const size_t at = s->start + page * KV_PAGE;

        if (m == 1)
            kernels()->gemm(w->group, here * KV_PAGE, w->d, query(w, row, 0), w->d, 1, keys,
                            KV_PAGE, w->d * KV_PAGE, scores_of(w, row, 0) + at, w->rows->n * ld,
                            false);
        else
            for (size_t g = 0; g < w->group; g++)
                kernels()->gemm(m, here * KV_PAGE, w->d, query(w, row, g), w->q_ld, 1, keys,
                                KV_PAGE, w->d * KV_PAGE, scores_of(w, row, g) + at, ld, false);
    }
}

/* Their output += weights times values of s's positions from (a page's first) to n - 1. */
static void mix(const struct piece *w, const struct kv_segment *s, size_t from, size_t n,
                size_t row, size_t m)
{
    const size_t ld = w->job->plan->ld, most = pages_at_once(w, m) * KV_PAGE;

    from = size_max(from, first_page(s, w->first) * KV_PAGE);
    for (size_t here; from < n; from += here) {
        here = size_min(most, n - from);
        const float *values =
            side_by_side(w, s, from / KV_PAGE, (here + KV_PAGE - 1) / KV_PAGE, kv_tiles_values);
        const size_t at = s->start + from;

        if (m == 1)
            kernels()->gemm(w->group, w->d, here, scores_of(w, row, 0) + at, w->rows->n * ld, 1,
                            values, w->d, PANEL, output(w, row, 0), w->d, true);
        else
            for (size_t g = 0; g < w->group; g++)
                kernels()->gemm(m, w->d, here, scores_of(w, row, g) + at, ld, 1, values, w->d,
                                PANEL, output(w, row, g), w->q_ld, true);
    }
}

/* A run and its own segment: first what all its rows see, then each row one position more than the one before. */
static void mix_run(const struct piece *w, const struct run *run)
{
    const size_t seen = run->n == 1 ? run->first + 1 : run->first / KV_PAGE * KV_PAGE;

    mix(w, run->seg, 0, seen, run->row, run->n);
    for (size_t begin = seen; begin < run->first + run->n && run->n > 1; begin += KV_PAGE) {
        const float *values = side_by_side(w, run->seg, begin / KV_PAGE, 1, kv_tiles_values);
        const size_t ld = w->job->plan->ld, at = run->seg->start + begin;
        const size_t i0 =
            begin > run->first ? begin - run->first : 0; /* the first row that sees it */
        const size_t whole = size_min(begin + KV_PAGE - 1 - run->first, run->n);

        for (size_t i = i0; i < whole; i++)
            kernels()->gemm(w->group, w->d, run->first + i + 1 - begin,
                            scores_of(w, run->row + i, 0) + at, w->rows->n * ld, 1, values, w->d,
                            PANEL, output(w, run->row + i, 0), w->d, true);
        for (size_t g = 0; g < w->group && whole < run->n; g++)
            kernels()->gemm(run->n - whole, w->d, KV_PAGE, scores_of(w, run->row + whole, g) + at,
                            ld, 1, values, w->d, PANEL, output(w, run->row + whole, g), w->q_ld,
                            true);
    }
}

/* Scores of n positions become their weights, but for their sum, which is returned; max: theirs in, with the sink's out. */
static float weigh_row(const struct job *job, size_t head, size_t n, float *row, float *max)
{
    const float scale = weighing_scale(job);
    float sink;

    if (job->sinks == NULL)
        return kernels()->exp_sum(n, *max, scale, row);
    sink = job->sinks[head] / scale; /* as scores are before they are scaled */
    *max = sink > *max ? sink : *max;
    kernels()->exp_to(1, *max, scale, &sink, &sink);
    return kernels()->exp_sum(n, *max, scale, row) + sink;
}

/* Scores become weights, but for their sum: one over it is kept behind them, where ld leaves a page of room. */
static void weigh_run(const struct piece *w, const struct run *run)
{
    const struct job *job = w->job;

    for (size_t i = 0; i < run->n; i++) {
        const size_t n = run->seg->start + run->first + i + 1, first = first_seen(job, n - 1);

        for (size_t g = 0; g < w->group; g++) {
            float *row = scores_of(w, run->row + i, g);

            if (job->cap > 0)
                kernels()->soft_cap(n - first, job->scale / job->cap, job->cap, row + first);
            float max = kernels()->max(n - first, row + first);
            const float inv =
                1.0f / weigh_row(job, w->head * w->group + g, n - first, row + first, &max);

            for (size_t j = unseen_from(w->first); j < first; j++)
                row[j] = 0;
            const size_t at = (run->row + i) * job->plan->c->n_heads + w->head * w->group + g;

            row[job->plan->ld - 1] = inv;
            if (job->row_max != NULL) {
                job->row_max[at] = max;
                job->row_inv[at] = inv;
            }
        }
    }
}

/* A run's rows follow one another, so its first row sees the earliest. */
static size_t first_of_block(const struct job *job, const struct block *b)
{
    const struct run *runs = job->plan->cut.runs + b->run;
    size_t first = SIZE_MAX;

    for (size_t r = 0; r < b->n_runs; r++)
        first = size_min(first, first_seen(job, runs[r].seg->start + runs[r].first));
    return first;
}

static void attend_unit(void *ctx, size_t unit, int thread)
{
    const struct job *job = ctx;
    const struct attention_plan *plan = job->plan;
    const struct model_config *c = plan->c;
    const struct pieces *cut = &plan->cut;
    float *scratch = plan->scratch + (size_t)thread * plan->scratch_floats;
    struct kv_segment **path = plan->paths + (size_t)thread * plan->max_depth;
    const struct piece w = {.job = job,
                            .rows = &cut->blocks[unit / c->n_kv_heads],
                            .head = unit % c->n_kv_heads,
                            .group = c->n_heads / c->n_kv_heads,
                            .d = c->head_width,
                            .first = first_of_block(job, &cut->blocks[unit / c->n_kv_heads]),
                            .q_ld = c->n_heads * c->head_width,
                            .tiles = scratch,
                            .scores = scratch + plan->tile_pages * c->head_width * KV_PAGE};
    const struct run *runs = cut->runs + w.rows->run;
    const size_t depth = path_of(w.rows->parent, path), n = w.rows->n, row = w.rows->row;

    for (size_t s = 0; s < depth; s++)
        score(&w, path[s], path[s]->len, row, n);
    for (size_t r = 0; r < w.rows->n_runs; r++) {
        score(&w, runs[r].seg, runs[r].first + runs[r].n, runs[r].row, runs[r].n);
        weigh_run(&w, &runs[r]);
    }
    for (size_t i = 0; i < n; i++)
        memset(output(&w, row + i, 0), 0, w.group * w.d * sizeof(float));
    for (size_t s = 0; s < depth; s++)
        mix(&w, path[s], 0, path[s]->len, row, n);
    for (size_t r = 0; r < w.rows->n_runs; r++)
        mix_run(&w, &runs[r]);
    for (size_t i = 0; i < n; i++)
        for (size_t g = 0; g < w.group; g++)
            kernels()->scale(w.d, scores_of(&w, row + i, g)[plan->ld - 1], output(&w, row + i, g));
}

void attention(const struct attention_plan *plan, size_t layer, const float *q, float *out,
               float *row_max, float *row_inv)
{
    attention_with_sinks(plan, layer, q, NULL, out, row_max, row_inv);
}

void attention_with_sinks(const struct attention_plan *plan, size_t layer, const float *q,
                          const float *sinks, float *out, float *row_max, float *row_inv)
{
    struct job job = {.plan = plan,
                      .layer = layer,
                      .q = q,
                      .sinks = sinks,
                      .out = out,
                      .row_max = row_max,
                      .row_inv = row_inv,
                      .scale = attention_scale(plan->c),
                      .cap = (float)plan->c->score_cap,
                      .window = attention_window(plan->c, layer)};

    parallel_for(plan->cut.n_blocks * plan->c->n_kv_heads, attend_unit, &job);
}
