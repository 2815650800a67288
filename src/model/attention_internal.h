/*
 * attention_internal.h - what the forward and the backward of attention know of a batch.
 */
#ifndef HONE_MODEL_ATTENTION_INTERNAL_H
#define HONE_MODEL_ATTENTION_INTERNAL_H

#include "model/attention.h"
#include "model/kv_tile.h"

#include <math.h>

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

/* The blocks as the forward divides them: the same ones, or cut so that no thread waits long for another. */
struct pieces {
    const struct run *runs;
    const struct block *blocks;
    size_t n_blocks;
};

struct attention_plan {
    const struct model_config *c;
    size_t m, n_runs, n_blocks, n_trees, max_end;
    size_t max_rows;   /* of a block */
    size_t tile_pages; /* pages of keys or values that are read at a time */
    struct run *runs;
    struct block *blocks;
    struct pieces cut;
    size_t *tree_block; /* [n_trees + 1]: first block of each tree */
    float *scratch;     /* [threads][scratch_floats] */
    size_t scratch_floats, ld;
    struct kv_segment **paths; /* [threads][max_depth] */
    size_t max_depth;
};

static inline size_t depth_of(const struct kv_segment *s)
{
    size_t n = 0;

    for (; s != NULL; s = s->parent)
        n++;
    return n;
}

/* How much longer n equal pieces of work take threads than if they could be divided at will. */
static inline double unevenness(size_t n, size_t threads)
{
    return (double)((n + threads - 1) / threads * threads) / (double)n;
}

struct job {
    const struct attention_plan *plan;
    size_t layer;
    const float *q, *dout, *row_max_in, *row_inv_in, *out_in;
    const float *sinks; /* [H], or NULL */
    float *out, *row_max, *row_inv, *dq, *dk, *dv;
    float scale;   /* of scores, before a cap */
    float cap;     /* of scores; 0: none */
    size_t window; /* 0: all positions before a row are seen */
};

/* The first position that the row at position pos sees. */
static inline size_t first_seen(const struct job *job, size_t pos)
{
    return job->window > 0 && pos + 1 > job->window ? pos + 1 - job->window : 0;
}

/* The first page of s that has a position from `first` on. */
static inline size_t first_page(const struct kv_segment *s, size_t first)
{
    return first > s->start ? (first - s->start) / KV_PAGE : 0;
}

/* What a row has in its pages before the first position that it sees: numbers of other rows, or none. */
static inline size_t unseen_from(size_t first)
{
    return first > 2 * KV_PAGE ? first - 2 * KV_PAGE : 0;
}

/* The factor of scores, and the layer's window. */
static inline float attention_scale(const struct model_config *c)
{
    return c->attention_scale > 0 ? (float)c->attention_scale : 1.0f / sqrtf((float)c->head_width);
}

static inline size_t attention_window(const struct model_config *c, size_t layer)
{
    return c->layers[layer].windowed ? c->window : 0;
}

/* What scores have still to be multiplied by when they are weighed: a cap has done it. */
static inline float weighing_scale(const struct job *job)
{
    return job->cap > 0 ? 1 : job->scale;
}

/* The path from the root down to s, s last. */
static inline size_t path_of(struct kv_segment *s, struct kv_segment **path)
{
    const size_t n = depth_of(s);

    for (size_t i = n; i > 0; i--, s = s->parent)
        path[i - 1] = s;
    return n;
}

static inline const char *tiles_of(const struct job *job, const struct kv_segment *s, size_t page,
                                   size_t head)
{
    return s->pages[page] + kv_offset(job->plan->c, job->layer, head);
}

#endif
