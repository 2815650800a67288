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
 */
#ifndef HONE_MODEL_KV_H
#define HONE_MODEL_KV_H

#include "base/error.h"
#include "model/config.h"

#include <stdint.h>

#define KV_PAGE 16

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
    float **pages;
    uint32_t refs; /* holders: children and whoever called kv_segment_new */
    size_t row0;   /* where a training batch keeps this segment's first row */
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

/* Where page's keys [D][KV_PAGE] of a layer and head lie; its values follow at + D * KV_PAGE. */
static inline size_t kv_offset(const struct model_config *c, size_t layer, size_t head)
{
    return (layer * c->n_kv_heads + head) * 2 * c->head_width * KV_PAGE;
}
#endif
