/*
 * kv.h - keys and values of what was read so far, as a tree that shares its trunk.
 *
 * A segment is a run of positions that follows its parent's last one: the prompt is a segment, each answer another one
 * that hangs on it, and where two answers part, two more hang on their common beginning. A position is computed once,
 * however many answers lie behind it. Positions are kept in pages of KV_PAGE.
 *
 *     page:  for each layer, for each key-value head:  keys [D][KV_PAGE], then values [KV_PAGE][D]
 *
 * That is the layout of a packed panel: scores are a product with 16 keys side by side, and the output a chain over
 * positions. A segment that has children grows no more. One thread at a time changes the tree.
 *
 * Keys (after the rotation) and values are rounded once, when they are stored, and whoever reads them from then on, in sampling, in
 * scoring, in training and its backward, reads the same floats. The gradient of the rounding is taken to be 1.
 *
 *     KV_CACHE_F32    float: nothing is rounded
 *     KV_CACHE_F16    to the nearest F16, to the even one of two; beyond 65504 to 65504 of that sign
 *     KV_CACHE_Q8_0   blocks of 32 along D, of each position (the last one of a head shorter where D is not a multiple of 32).
 *                     step = the smallest F16 that is at least max |x| / 127, 65504 at most; q = x / step to the nearest whole
 *                     number, to the even one of two, within -127..127; read as (float)q * step, which is exact. q lie as floats
 *                     would, then the steps [D / 32, rounded up][KV_PAGE], as F16
 *
 * What is not finite becomes NaN, in KV_CACHE_Q8_0 its whole block: an error is not hidden.
 */
#ifndef HONE_MODEL_KV_H
#define HONE_MODEL_KV_H

#include "base/error.h"
#include "base/str.h"
#include "model/config.h"

#include <stdint.h>

#define KV_PAGE 16
#define KV_BLOCK 32 /* values of KV_CACHE_Q8_0 that share a step */

const char *kv_cache_name(enum kv_cache k);               /* "f32", "f16", "q8_0" */
bool kv_cache_named(struct str name, enum kv_cache *out); /* false: there is none of this name */

struct kv_pool;
MUST_CHECK bool kv_pool_open(const struct model_config *c, size_t max_bytes, struct kv_pool **out,
                             struct error *err);
void kv_pool_close(struct kv_pool *p);
size_t kv_page_bytes(const struct model_config *c);
size_t kv_pool_bytes(const struct kv_pool *p); /* taken from the system */
size_t kv_pool_pages_in_use(const struct kv_pool *p);
size_t kv_pool_max_pages(const struct kv_pool *p);

struct kv_segment {
    struct kv_segment *parent; /* NULL: begins at position 0 */
    uint32_t start, len;       /* positions start .. start + len - 1 */
    uint32_t n_pages, cap_pages;
    char **pages;
    uint32_t refs; /* holders: children and whoever called kv_segment_new */
    size_t row0;   /* where a training batch keeps this segment's first row */
    bool grows;    /* while a batch is looked at: it is one of its segments */
};

/* Hangs a new, empty segment on parent (NULL for a root), with one reference that the caller owns. */
struct kv_segment *kv_segment_new(struct kv_pool *p, struct kv_segment *parent);
/* The same where parent is still to be computed in the coming batch: start says where it will end. */
struct kv_segment *kv_segment_new_at(struct kv_pool *p, struct kv_segment *parent, size_t start);
/* Room for n more positions; ERR_LIMIT when the pool's greatest size is met. */
MUST_CHECK bool kv_segment_reserve(struct kv_pool *p, struct kv_segment *s, size_t n,
                                   struct error *err);
/*
 * Cuts s after its first n positions, a multiple of KV_PAGE: they become a new segment between s and its parent, which is
 * returned with a reference that the caller owns. Pages move and nothing is copied; whoever holds s, or hangs on it, still
 * has the same path. Not between a plan for s and its use. n may be all of s, which is then empty and may grow.
 */
struct kv_segment *kv_segment_split(struct kv_pool *p, struct kv_segment *s, size_t n);
/*
 * Drops what is behind the first n positions of s, on which nothing hangs, and gives pages back that are not needed for
 * them, room reserved for more among them.
 */
void kv_segment_cut(struct kv_pool *p, struct kv_segment *s, size_t n);
/*
 * A new segment, with a reference that the caller owns, hangs on s behind its first n positions and has those that followed
 * them, copied; s keeps the first n. Nothing hangs on s, and n is less than its length. NULL, and nothing has changed, where
 * there is no room for the copy.
 */
struct kv_segment *kv_segment_fork(struct kv_pool *p, struct kv_segment *s, size_t n);
/* s hangs on another parent from now on, whose path has the same tokens and ends where s begins: so nothing is different. */
void kv_segment_hang(struct kv_pool *p, struct kv_segment *s, struct kv_segment *parent);
/* Gives one reference back; the last one frees the segment, and its hold on its parent. NULL is fine. */
void kv_segment_release(struct kv_pool *p, struct kv_segment *s);

static inline uint32_t kv_end(const struct kv_segment *s)
{
    return s == NULL ? 0 : s->start + s->len;
}

/* Bytes of a page's keys of a layer and head; its values take as many. */
static inline size_t kv_tile_bytes(const struct model_config *c)
{
    const size_t n = c->head_width * KV_PAGE;

    switch (c->kv_cache) {
    case KV_CACHE_F32:
        break;
    case KV_CACHE_F16:
        return n * sizeof(uint16_t);
    case KV_CACHE_Q8_0:
        return n + (c->head_width + KV_BLOCK - 1) / KV_BLOCK * KV_PAGE * sizeof(uint16_t);
    }
    return n * sizeof(float);
}

/* Where a page's keys of a layer and head lie; its values follow kv_tile_bytes behind. */
static inline size_t kv_offset(const struct model_config *c, size_t layer, size_t head)
{
    return (layer * c->n_kv_heads + head) * 2 * kv_tile_bytes(c);
}
#endif
