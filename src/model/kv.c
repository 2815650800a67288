/*
 * kv.c - pages from a free list and from slabs, segments with counted references.
 */
#include "model/kv.h"
#include "base/memory.h"
#include "base/size.h"
#include "model/kv_tile.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/*
 * Pages come from slabs that the system may back by huge pages: a layer reads a few kilobytes of each of many pages, which
 * otherwise lie in different ones of its tables each time.
 */
#ifdef HONE_SANITIZED
#define SLAB_BYTES 1 /* each page alone: what reads past one is seen */
#else
#define SLAB_BYTES (8 * MEMORY_HUGE_PAGE)
#endif

struct slab {
    struct slab *next;
    char *bytes;
};

struct kv_pool {
    struct model_config config;
    size_t page_bytes, max_pages, n_pages, n_free, cap_free;
    char **free_pages;
    struct slab *slabs; /* the newest first */
    size_t n_left;      /* pages of it that were never taken, the last ones */
};

static const char *const cache_names[] = {
    [KV_CACHE_F32] = "f32", [KV_CACHE_F16] = "f16", [KV_CACHE_Q8_0] = "q8_0"};

const char *kv_cache_name(enum kv_cache k)
{
    return cache_names[k];
}

bool kv_cache_named(struct str name, enum kv_cache *out)
{
    for (size_t i = 0; i < sizeof cache_names / sizeof cache_names[0]; i++)
        if (str_is(name, cache_names[i])) {
            *out = (enum kv_cache)i;
            return true;
        }
    return false;
}

size_t kv_page_bytes(const struct model_config *c)
{
    return kv_offset(c, c->n_layers, 0);
}

bool kv_pool_open(const struct model_config *c, size_t max_bytes, struct kv_pool **out,
                  struct error *err)
{
    struct kv_pool *p = calloc(1, sizeof *p);

    if (p == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for the key-value cache");
    p->config = *c;
    p->page_bytes = kv_page_bytes(c);
    p->max_pages = max_bytes / kv_page_bytes(c);
    *out = p;
    return true;
}

void kv_pool_close(struct kv_pool *p)
{
    if (p == NULL)
        return;
    assert(p->n_free == p->n_pages); /* every segment was released */
    while (p->slabs != NULL) {
        struct slab *s = p->slabs;

        p->slabs = s->next;
        free(s->bytes);
        free(s);
    }
    free(p->free_pages);
    free(p);
}

size_t kv_pool_bytes(const struct kv_pool *p)
{
    return p->n_pages * p->page_bytes;
}

size_t kv_pool_pages_in_use(const struct kv_pool *p)
{
    return p->n_pages - p->n_free;
}

size_t kv_pool_max_pages(const struct kv_pool *p)
{
    return p->max_pages;
}

static void give_page(struct kv_pool *p, char *page)
{
    assert(p->n_free < p->cap_free);
    p->free_pages[p->n_free++] = page;
}

static bool add_slab(struct kv_pool *p)
{
    const size_t page = size_round_up(p->page_bytes, 64);
    const size_t n = size_min(size_max(1, SLAB_BYTES / page), p->max_pages - p->n_pages);
    /* a large one's last pages lie in a huge page too */
    const size_t whole = n * page >= 2 * MEMORY_HUGE_PAGE ? MEMORY_HUGE_PAGE : 64;
    struct slab *s = calloc(1, sizeof *s);

    if (s == NULL || (s->bytes = memory_take(size_round_up(n * page, whole))) == NULL) {
        free(s);
        return false;
    }
    s->next = p->slabs;
    p->slabs = s;
    p->n_left = n;
    return true;
}

static char *take_page(struct kv_pool *p)
{
    if (p->n_free > 0)
        return p->free_pages[--p->n_free];
    if (p->n_pages >= p->max_pages)
        return NULL;
    if (p->n_pages >= p->cap_free) { /* room to take every page back */
        const size_t cap = size_max(64, 2 * p->cap_free);
        char **grown = realloc(p->free_pages, cap * sizeof *grown);

        if (grown == NULL)
            return NULL;
        p->free_pages = grown;
        p->cap_free = cap;
    }
    if (p->n_left == 0 && !add_slab(p))
        return NULL;
    char *page = p->slabs->bytes + --p->n_left * size_round_up(p->page_bytes, 64);
    /* positions not yet written are read by products whose results nobody uses: they must not be NaN traps */
    memset(page, 0, p->page_bytes);
    p->n_pages++;
    return page;
}

struct kv_segment *kv_segment_new(struct kv_pool *p, struct kv_segment *parent)
{
    return kv_segment_new_at(p, parent, kv_end(parent));
}

struct kv_segment *kv_segment_new_at(struct kv_pool *p, struct kv_segment *parent, size_t start)
{
    struct kv_segment *s = calloc(1, sizeof *s);

    (void)p;
    if (s == NULL)
        abort(); /* less than a hundred bytes: see conventions on small memory */
    s->parent = parent;
    s->start = (uint32_t)start;
    s->refs = 1;
    if (parent != NULL)
        parent->refs++;
    return s;
}

bool kv_segment_reserve(struct kv_pool *p, struct kv_segment *s, size_t n, struct error *err)
{
    const size_t wanted = (s->len + n + KV_PAGE - 1) / KV_PAGE;

    if (wanted > s->cap_pages) {
        const size_t cap = size_max(wanted, 2 * (size_t)s->cap_pages);
        char **grown = realloc(s->pages, cap * sizeof *grown);

        if (grown == NULL)
            return fail(err, ERR_NO_MEMORY, "no memory for the key-value cache's table");
        s->pages = grown;
        s->cap_pages = (uint32_t)cap;
    }
    while (s->n_pages < wanted) {
        char *page = take_page(p);

        if (page == NULL)
            return fail(
                err, ERR_LIMIT,
                "the key-value cache is full at %zu MiB; fewer answers at a time or shorter ones would fit",
                kv_pool_bytes(p) >> 20);
        s->pages[s->n_pages++] = page;
    }
    return true;
}

struct kv_segment *kv_segment_split(struct kv_pool *p, struct kv_segment *s, size_t n)
{
    struct kv_segment *front = kv_segment_new(p, s->parent);
    const uint32_t n_pages = (uint32_t)(n / KV_PAGE);

    assert(n % KV_PAGE == 0 && n > 0 && n <= s->len);
    front->pages = malloc(n_pages * sizeof *front->pages);
    if (front->pages == NULL)
        abort(); /* eight bytes a page */
    memcpy(front->pages, s->pages, n_pages * sizeof *front->pages);
    front->n_pages = front->cap_pages = n_pages;
    front->len = (uint32_t)n;
    s->n_pages -= n_pages;
    memmove(s->pages, s->pages + n_pages, s->n_pages * sizeof *s->pages);
    s->start += (uint32_t)n;
    s->len -= (uint32_t)n;
    kv_segment_hang(p, s, front);
    return front;
}

void kv_segment_cut(struct kv_pool *p, struct kv_segment *s, size_t n)
{
    const size_t n_pages = (n + KV_PAGE - 1) / KV_PAGE;

    assert(n <= s->len);
    while (s->n_pages > n_pages)
        give_page(p, s->pages[--s->n_pages]);
    s->len = (uint32_t)n;
}

/* A position's keys and values, from one place in a page to one in another. */
static void copy_position(const struct kv_pool *p, const char *from, size_t slot, char *to,
                          size_t to_slot)
{
    const struct model_config *c = &p->config;

    for (size_t layer = 0; layer < c->n_layers; layer++)
        for (size_t head = 0; head < c->n_kv_heads; head++) {
            const size_t at = kv_offset(c, layer, head);

            kv_tiles_copy(c, from + at, slot, to + at, to_slot);
        }
}

struct kv_segment *kv_segment_fork(struct kv_pool *p, struct kv_segment *s, size_t n)
{
    const size_t more = s->len - n;
    struct kv_segment *fork = kv_segment_new_at(p, s, s->start + n);
    struct error unheard;

    assert(n < s->len);
    if (!kv_segment_reserve(p, fork, more, &unheard)) {
        kv_segment_release(p, fork);
        return NULL;
    }
    for (size_t i = 0; i < more; i++)
        copy_position(p, s->pages[(n + i) / KV_PAGE], (n + i) % KV_PAGE, fork->pages[i / KV_PAGE],
                      i % KV_PAGE);
    fork->len = (uint32_t)more;
    kv_segment_cut(p, s, n);
    return fork;
}

void kv_segment_hang(struct kv_pool *p, struct kv_segment *s, struct kv_segment *parent)
{
    struct kv_segment *before = s->parent;

    assert(kv_end(parent) == s->start);
    s->parent = parent;
    if (parent != NULL)
        parent->refs++;
    kv_segment_release(p, before);
}

void kv_segment_release(struct kv_pool *p, struct kv_segment *s)
{
    while (s != NULL && --s->refs == 0) {
        struct kv_segment *parent = s->parent;

        for (uint32_t i = 0; i < s->n_pages; i++)
            give_page(p, s->pages[i]);
        free(s->pages);
        free(s);
        s = parent;
    }
}
