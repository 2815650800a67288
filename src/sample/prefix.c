/*
 * prefix.c - a tree of kept pages, and a list by last use.
 *
 * Whoever is used was used through its parents, which are put in front of it in the list: the last of the list has no
 * children, and can go.
 */
#include "sample/prefix.h"
#include "base/size.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct prefix {
    struct prefix *parent, *children, *sibling; /* the tree */
    struct prefix *newer, *older;               /* the list */
    struct kv_segment *seg;                     /* our reference */
    uint64_t adapter;
    size_t n; /* a multiple of KV_PAGE */
    token_id *tokens;
};

struct prefix_cache {
    struct kv_pool *pool;
    size_t max_pages, n_pages;
    struct prefix *roots, *newest, *oldest;
};

bool prefix_open(const struct model_config *config, struct kv_pool *pool, size_t max_bytes,
                 struct prefix_cache **out, struct error *err)
{
    struct prefix_cache *c = calloc(1, sizeof *c);

    if (c == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for a cache of prompts");
    c->pool = pool;
    c->max_pages = max_bytes / kv_page_bytes(config);
    *out = c;
    return true;
}

size_t prefix_pages(const struct prefix_cache *c)
{
    return c->n_pages;
}

/* ---- the list ---- */

static void list_remove(struct prefix_cache *c, struct prefix *x)
{
    if (x->newer != NULL)
        x->newer->older = x->older;
    else
        c->newest = x->older;
    if (x->older != NULL)
        x->older->newer = x->newer;
    else
        c->oldest = x->newer;
}

/* Just newer than y; y NULL: the newest of all. */
static void list_put(struct prefix_cache *c, struct prefix *x, struct prefix *y)
{
    x->older = y != NULL ? y : c->newest;
    x->newer = y != NULL ? y->newer : NULL;
    *(x->newer != NULL ? &x->newer->older : &c->newest) = x;
    *(x->older != NULL ? &x->older->newer : &c->oldest) = x;
}

static void used(struct prefix_cache *c, struct prefix *x)
{
    for (; x != NULL; x = x->parent) {
        list_remove(c, x);
        list_put(c, x, NULL);
    }
}

/* ---- the tree ---- */

static struct prefix **children_of(struct prefix_cache *c, struct prefix *parent)
{
    return parent != NULL ? &parent->children : &c->roots;
}

static void tree_remove(struct prefix_cache *c, struct prefix *x)
{
    struct prefix **at = children_of(c, x->parent);

    while (*at != NULL && *at != x)
        at = &(*at)->sibling;
    assert(*at == x);
    *at = x->sibling;
}

static void tree_put(struct prefix_cache *c, struct prefix *x, struct prefix *parent)
{
    struct prefix **first = children_of(c, parent);

    x->parent = parent;
    x->sibling = *first;
    *first = x;
}

/* An entry in neither the tree nor the list. */
static struct prefix *entry_new(uint64_t adapter, const token_id *tokens, size_t n,
                                struct kv_segment *seg)
{
    struct prefix *x = calloc(1, sizeof *x);
    token_id *copy = malloc(n * sizeof *copy);

    if (x == NULL || copy == NULL)
        abort(); /* four bytes a token: see conventions on small memory */
    memcpy(copy, tokens, n * sizeof *copy);
    *x = (struct prefix){.seg = seg, .adapter = adapter, .n = n, .tokens = copy};
    return x;
}

static void drop(struct prefix_cache *c, struct prefix *x)
{
    assert(x->children == NULL);
    tree_remove(c, x);
    list_remove(c, x);
    c->n_pages -= x->n / KV_PAGE;
    kv_segment_release(c->pool, x->seg);
    free(x->tokens);
    free(x);
}

void prefix_close(struct prefix_cache *c)
{
    if (c == NULL)
        return;
    for (struct prefix *x = c->oldest, *newer; x != NULL; x = newer) {
        newer = x->newer;
        drop(c, x);
    }
    free(c);
}

void prefix_forget(struct prefix_cache *c, uint64_t adapter)
{
    for (struct prefix *x = c->oldest, *newer; x != NULL; x = newer) { /* children before parents */
        newer = x->newer;
        if (x->adapter == adapter)
            drop(c, x);
    }
}

/* Cuts x after n tokens; what is in front becomes its parent, and is returned. */
static struct prefix *cut(struct prefix_cache *c, struct prefix *x, size_t n)
{
    struct prefix *front =
        entry_new(x->adapter, x->tokens, n, kv_segment_split(c->pool, x->seg, n));

    tree_remove(c, x);
    tree_put(c, front, x->parent);
    tree_put(c, x, front);
    list_put(c, front, x);
    x->n -= n;
    memmove(x->tokens, x->tokens + n, x->n * sizeof *x->tokens);
    return front;
}

/* Tokens of whole pages that two texts have in common. */
static size_t common_pages(const token_id *a, const token_id *b, size_t n)
{
    size_t k = 0;

    while (k + KV_PAGE <= n && memcmp(a + k, b + k, KV_PAGE * sizeof *a) == 0)
        k += KV_PAGE;
    return k;
}

/* The entry that ends the longest kept beginning of tokens [n], cut where it has to be; NULL: there is none. */
static struct prefix *walk(struct prefix_cache *c, uint64_t adapter, const token_id *tokens,
                           size_t n)
{
    struct prefix *at = NULL;

    for (size_t done = 0;;) {
        struct prefix *x = *children_of(c, at);
        size_t common = 0;

        for (; x != NULL; x = x->sibling) {
            common = x->adapter == adapter
                         ? common_pages(x->tokens, tokens + done, size_min(x->n, n - done))
                         : 0;
            if (common > 0)
                break;
        }
        if (x == NULL)
            return at;
        if (common < x->n)
            return cut(c, x, common);
        at = x;
        done += common;
    }
}

struct kv_segment *prefix_find(struct prefix_cache *c, uint64_t adapter, const token_id *tokens,
                               size_t n)
{
    struct prefix *x = n > 0 ? walk(c, adapter, tokens, n - 1) : NULL;

    if (x == NULL)
        return NULL;
    used(c, x);
    x->seg->refs++;
    return x->seg;
}

void prefix_keep(struct prefix_cache *c, uint64_t adapter, const token_id *tokens,
                 struct kv_segment *s)
{
    const size_t n = kv_end(s) / KV_PAGE * KV_PAGE;

    if (n <= s->start || s->start % KV_PAGE != 0 || n / KV_PAGE > c->max_pages)
        return;
    struct prefix *x = walk(c, adapter, tokens, n);
    const size_t end = x != NULL ? kv_end(x->seg) : 0;
    if (end < s->start)
        return;         /* what s hangs on has left the cache meanwhile */
    if (end > s->start) /* somebody else was here first */
        kv_segment_release(c->pool, kv_segment_split(c->pool, s, end - s->start));
    if (x != NULL)
        kv_segment_hang(c->pool, s, x->seg);
    if (n > end) {
        struct prefix *new =
            entry_new(adapter, tokens + end, n - end, kv_segment_split(c->pool, s, n - end));

        tree_put(c, new, x);
        list_put(c, new, NULL);
        c->n_pages += (n - end) / KV_PAGE;
        x = new;
    }
    used(c, x);
    for (struct prefix *oldest = c->oldest, *newer; oldest != NULL && c->n_pages > c->max_pages;
         oldest = newer) {
        newer = oldest->newer;
        drop(c, oldest);
    }
}
