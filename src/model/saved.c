/*
 * saved.c - rows in slabs, handed out from a list of free ones.
 */
#include "model/saved.h"
#include "base/memory.h"
#include "base/size.h"
#include "model/adapter.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#define SLAB_BYTES ((size_t)64 << 20) /* one row at least */

struct slab {
    float *values;
    struct saved_row *rows;
    size_t n, bytes;
    struct slab *next;
};

struct saved_pool {
    size_t stride, floats; /* of a row */
    size_t max_rows, n_rows, n_free;
    double leave;
    bool was_cut;
    struct slab *slabs;
    struct saved_row *free;
    struct saved_pool *lean; /* or NULL */
};

struct saved_layout saved_layout_of(const struct model_config *c, size_t rank)
{
    const size_t hd = c->n_heads * c->head_width, kd = c->n_kv_heads * c->head_width;
    struct saved_layout l = {.q = c->width};

    l.att = l.q + hd;
    l.mid = l.att + hd;
    l.gate = l.mid + c->width;
    l.up = l.gate + config_inner_width(c);
    l.k = l.up + config_inner_width(c);
    l.v = l.k + kd;
    l.row_max = l.v + kd;
    l.row_inv = l.row_max + c->n_heads;
    l.r1 = l.row_inv + c->n_heads;
    l.r2 = l.r1 + 1;
    l.u = l.r2 + 1;
    l.raw_q = l.u + projections_of(c) * rank;
    l.raw_k = l.raw_q + (c->qk_norm != QK_NORM_NONE ? hd : 0);
    l.att_out = l.raw_k + (c->qk_norm != QK_NORM_NONE ? kd : 0);
    l.ffn_out = l.att_out + (c->norm_place != NORM_BEFORE ? c->width : 0);
    l.stride = l.ffn_out + (c->norm_place != NORM_BEFORE ? c->width : 0);
    return l;
}

static size_t floats_of(const struct model_config *c, size_t rank)
{
    return size_round_up(saved_layout_of(c, rank).stride * c->n_layers + c->width, 16);
}

size_t saved_row_bytes(const struct model_config *c, size_t rank)
{
    return floats_of(c, rank) * sizeof(float) + sizeof(struct saved_row);
}

bool saved_pool_open(const struct model_config *c, size_t rank, size_t max_bytes,
                     struct saved_pool **out, struct error *err)
{
    struct saved_pool *p = calloc(1, sizeof *p);

    if (p == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for saved activations");
    p->stride = saved_layout_of(c, rank).stride;
    p->floats = floats_of(c, rank);
    p->max_rows = max_bytes / saved_row_bytes(c, rank);
    *out = p;
    return true;
}

static void free_slab(struct slab *s)
{
    munmap(s->values, s->bytes);
    free(s->rows);
    free(s);
}

void saved_pool_close(struct saved_pool *p)
{
    if (p == NULL)
        return;
    saved_pool_close(p->lean);
    while (p->slabs != NULL) {
        struct slab *s = p->slabs;

        p->slabs = s->next;
        free_slab(s);
    }
    free(p);
}

static size_t row_bytes(const struct saved_pool *p)
{
    return p->floats * sizeof(float) + sizeof(struct saved_row);
}

size_t saved_pool_most(const struct saved_pool *p)
{
    return p->max_rows * row_bytes(p) + (p->lean != NULL ? saved_pool_most(p->lean) : 0);
}

static size_t lean_floats(const struct model_config *c)
{
    return size_round_up((c->n_layers + 1) * c->width, 16);
}

size_t saved_lean_bytes(const struct model_config *c)
{
    return lean_floats(c) * sizeof(float) + sizeof(struct saved_row);
}

bool saved_pool_add_lean(struct saved_pool *p, const struct model_config *c, size_t max_bytes,
                         struct error *err)
{
    struct saved_pool *lean = calloc(1, sizeof *lean);

    assert(p->lean == NULL);
    if (lean == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for saved activations");
    lean->stride = c->width;
    lean->floats = lean_floats(c);
    lean->max_rows = max_bytes / row_bytes(lean);
    p->lean = lean;
    return true;
}

static void put_free(struct saved_pool *p, struct saved_row *row);

void saved_pool_shrink(struct saved_pool *p, size_t max_bytes)
{
    assert(p->n_free == p->n_rows);
    if (p->lean != NULL) { /* lean ones spare more time for what they take */
        saved_pool_shrink(p->lean, max_bytes);
        max_bytes -= saved_pool_most(p->lean);
    }
    const size_t max_rows = size_min(p->max_rows, max_bytes / row_bytes(p));

    p->max_rows = max_rows;
    while (p->n_rows > max_rows) { /* the newest first */
        struct slab *s = p->slabs;

        p->slabs = s->next;
        p->n_rows -= s->n;
        free_slab(s);
    }
    p->free = NULL;
    p->n_free = 0;
    for (struct slab *s = p->slabs; s != NULL; s = s->next)
        for (size_t i = s->n; i-- > 0;)
            put_free(p, &s->rows[i]);
}

void saved_pool_leave(struct saved_pool *p, double bytes)
{
    p->leave = bytes;
    if (p->lean != NULL)
        p->lean->leave = bytes;
}

bool saved_pool_was_cut(struct saved_pool *p)
{
    const bool was = p->was_cut || (p->lean != NULL && p->lean->was_cut);

    p->was_cut = false;
    if (p->lean != NULL)
        p->lean->was_cut = false;
    return was;
}

size_t saved_pool_bytes(const struct saved_pool *p)
{
    size_t n = p->lean != NULL ? saved_pool_bytes(p->lean) : 0;

    for (const struct slab *s = p->slabs; s != NULL; s = s->next)
        n += s->bytes + s->n * sizeof *s->rows;
    return n;
}

size_t saved_pool_free(const struct saved_pool *p)
{
    return p->n_free + p->max_rows - p->n_rows;
}

static void put_free(struct saved_pool *p, struct saved_row *row)
{
    row->free = true;
    row->next = p->free;
    p->free = row;
    p->n_free++;
}

/* No more than it has: the system has none to spare. */
static bool cut(struct saved_pool *p)
{
    p->max_rows = p->n_rows;
    p->was_cut = true;
    return false;
}

static bool may_take(const struct saved_pool *p, size_t bytes)
{
    return p->leave <= 0 || memory_available() - (double)bytes >= p->leave;
}

/* False when the limit is met, or the system has no more. */
static bool grow(struct saved_pool *p)
{
    const size_t n =
        size_min(size_max(1, SLAB_BYTES / (p->floats * sizeof(float))), p->max_rows - p->n_rows);

    if (n == 0)
        return false;
    if (!may_take(p, n * p->floats * sizeof(float)))
        return cut(p);
    struct slab *s = calloc(1, sizeof *s);
    if (s == NULL)
        return cut(p);
    s->n = n;
    s->bytes = n * p->floats * sizeof(float);
    s->rows = calloc(n, sizeof *s->rows);
    s->values = mmap(NULL, s->bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (s->rows == NULL || s->values == MAP_FAILED) {
        if (s->values != MAP_FAILED)
            munmap(s->values, s->bytes);
        free(s->rows);
        free(s);
        return cut(p);
    }
    (void)madvise(s->values, s->bytes, MADV_HUGEPAGE);
    for (size_t i = n; i-- > 0;) {
        s->rows[i] = (struct saved_row){.values = s->values + i * p->floats, .stride = p->stride};
        put_free(p, &s->rows[i]);
    }
    p->n_rows += n;
    s->next = p->slabs;
    p->slabs = s;
    return true;
}

struct saved_row *saved_take(struct saved_pool *p, size_t leave)
{
    if (saved_pool_free(p) <= leave || (p->free == NULL && !grow(p)))
        return NULL;
    struct saved_row *row = p->free;

    p->free = row->next;
    p->n_free--;
    row->free = false;
    return row;
}

struct saved_row *saved_take_any(struct saved_pool *p, size_t leave)
{
    struct saved_row *row = saved_take(p, leave);

    return row != NULL || p->lean == NULL ? row : saved_take(p->lean, 0);
}

void saved_give(struct saved_pool *p, struct saved_row *row)
{
    if (row != NULL && !row->free)
        put_free(row->stride == p->stride ? p : p->lean, row);
}

void saved_clear(struct saved_pool *p)
{
    if (p->lean != NULL)
        saved_clear(p->lean);
    for (struct slab *s = p->slabs; s != NULL; s = s->next)
        for (size_t i = s->n; i-- > 0;)
            saved_give(p, &s->rows[i]);
}
