/*
 * embedder.c - a hash table whose entries also hang in a list by when they were last asked for.
 *
 * Two threads that miss the same text both compute it, and the second finds it there: waiting for each other would gain
 * little, for what repeats is mostly old.
 */
#include "sample/embedder.h"
#include "base/size.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#define FEWEST_BUCKETS 64
#define MOST_BUCKETS ((size_t)1 << 20)

struct entry {
    struct entry *next;          /* of the same bucket */
    struct entry *newer, *older; /* NULL at the ends */
    uint64_t hash;
    size_t len, size_bytes; /* of the text; of all this */
    bool truncated;
    float vector[]; /* [width], and behind it the text */
};

struct embedder {
    struct encoder *encoder;
    size_t width, max_bytes, n_buckets; /* a power of two */
    pthread_mutex_t lock;               /* guards all that follows */
    struct entry **buckets;             /* [n_buckets] */
    struct entry *newest, *oldest;
    struct embedder_counts counts;
};

static const char *text_of(const struct embedder *e, const struct entry *x)
{
    return (const char *)(x->vector + e->width);
}

static struct entry *find(const struct embedder *e, struct str text, uint64_t hash)
{
    for (struct entry *x = e->buckets[hash & (e->n_buckets - 1)]; x != NULL; x = x->next)
        if (x->hash == hash && str_eq((struct str){text_of(e, x), x->len}, text))
            return x;
    return NULL;
}

static void list_take(struct embedder *e, struct entry *x)
{
    *(x->newer == NULL ? &e->newest : &x->newer->older) = x->older;
    *(x->older == NULL ? &e->oldest : &x->older->newer) = x->newer;
}

static void list_put(struct embedder *e, struct entry *x)
{
    x->newer = NULL;
    x->older = e->newest;
    *(e->newest == NULL ? &e->oldest : &e->newest->newer) = x;
    e->newest = x;
}

static void forget_oldest(struct embedder *e)
{
    struct entry *x = e->oldest, **at = &e->buckets[x->hash & (e->n_buckets - 1)];

    while (*at != x)
        at = &(*at)->next;
    *at = x->next;
    e->oldest = x->newer;
    if (e->oldest == NULL)
        e->newest = NULL;
    else
        e->oldest->older = NULL;
    e->counts.cache_bytes -= x->size_bytes;
    free(x);
}

/* Keeps a vector, where it fits and memory can be had; else it is computed anew the next time. */
static void keep(struct embedder *e, struct str text, uint64_t hash, const float *vector,
                 bool truncated)
{
    const size_t size = sizeof(struct entry) + e->width * sizeof *vector + text.len;
    struct entry *x = size > e->max_bytes ? NULL : malloc(size);

    if (x == NULL)
        return;
    *x = (struct entry){.hash = hash, .len = text.len, .size_bytes = size, .truncated = truncated};
    memcpy(x->vector, vector, e->width * sizeof *vector);
    if (text.len > 0)
        memcpy(x->vector + e->width, text.ptr, text.len);
    pthread_mutex_lock(&e->lock);
    if (find(e, text, hash) != NULL) { /* another was quicker */
        free(x);
    } else {
        while (e->oldest != NULL && e->counts.cache_bytes > e->max_bytes - size)
            forget_oldest(e);
        struct entry **bucket = &e->buckets[hash & (e->n_buckets - 1)];

        x->next = *bucket;
        *bucket = x;
        list_put(e, x);
        e->counts.cache_bytes += size;
    }
    pthread_mutex_unlock(&e->lock);
}

/* Copies the vector of a known text; false where it is not known. */
static bool recall(struct embedder *e, struct str text, uint64_t hash, float *vector)
{
    pthread_mutex_lock(&e->lock);
    struct entry *x = find(e, text, hash);

    e->counts.n_texts++;
    if (x != NULL) {
        list_take(e, x);
        list_put(e, x);
        memcpy(vector, x->vector, e->width * sizeof *vector);
        e->counts.n_known++;
        e->counts.n_truncated += x->truncated;
    }
    pthread_mutex_unlock(&e->lock);
    return x != NULL;
}

bool embedder_open(const char *path, size_t cache_bytes, struct embedder **out, struct error *err)
{
    struct embedder *e = calloc(1, sizeof *e);

    if (e == NULL)
        return fail(err, ERR_NO_MEMORY, "no memory for an embedding model");
    pthread_mutex_init(&e->lock, NULL);
    if (!encoder_open(path, &e->encoder, err)) {
        embedder_close(e);
        return false;
    }
    e->width = encoder_width(e->encoder);
    e->max_bytes = cache_bytes;
    e->n_buckets = FEWEST_BUCKETS;
    while (e->n_buckets < MOST_BUCKETS && e->n_buckets * e->width * sizeof(float) < cache_bytes)
        e->n_buckets *= 2;
    e->buckets = calloc(e->n_buckets, sizeof *e->buckets);
    if (e->buckets == NULL) {
        embedder_close(e);
        return fail(err, ERR_NO_MEMORY, "no memory for an embedding model");
    }
    *out = e;
    return true;
}

void embedder_close(struct embedder *e)
{
    if (e == NULL)
        return;
    for (struct entry *x = e->newest, *older; x != NULL; x = older) {
        older = x->older;
        free(x);
    }
    free(e->buckets);
    pthread_mutex_destroy(&e->lock);
    encoder_close(e->encoder);
    free(e);
}

const struct encoder *embedder_encoder(const struct embedder *e)
{
    return e->encoder;
}

bool embedder_embed(void *embedder, struct str text, struct arena *a, const float **vector,
                    size_t *n, struct error *err)
{
    struct embedder *e = embedder;
    const uint64_t hash = str_hash(text);
    float *v = ARENA_ARRAY(a, float, e->width);
    bool truncated = false;

    if (!recall(e, text, hash, v)) {
        if (!encoder_embed(e->encoder, text, v, NULL, &truncated, err))
            return false;
        pthread_mutex_lock(&e->lock);
        e->counts.n_truncated += truncated;
        pthread_mutex_unlock(&e->lock);
        keep(e, text, hash, v, truncated);
    }
    *vector = v;
    *n = e->width;
    return true;
}

struct embedder_counts embedder_counts(struct embedder *e)
{
    pthread_mutex_lock(&e->lock);
    const struct embedder_counts c = e->counts;
    pthread_mutex_unlock(&e->lock);
    return c;
}
