#include "grade/grade_cache.h"

#include <nettle/sha2.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* ---- keys ---- */

static void feed(struct sha256_ctx *h, const void *bytes, size_t n)
{
    sha256_update(h, n, bytes);
}

/* A kind and a length in front of every text: no two trees give the same bytes. */
static void feed_head(struct sha256_ctx *h, char kind, size_t n)
{
    const uint64_t length = n;

    feed(h, &kind, 1);
    feed(h, &length, sizeof length);
}

static void feed_text(struct sha256_ctx *h, char kind, struct str s)
{
    feed_head(h, kind, s.len);
    feed(h, s.ptr, s.len);
}

/* Rows come through json_parse, which limits their depth. */
static void feed_json(struct sha256_ctx *h, const json_t *v)
{
    const char *key;
    json_t *value;
    size_t i;

    switch (v == NULL ? JSON_NULL : json_typeof(v)) {
    case JSON_OBJECT:
        feed_head(h, '{', json_object_size(v));
        json_object_foreach((json_t *)(uintptr_t)v, key, value)
        {
            feed_text(h, 'k', str_of(key));
            feed_json(h, value);
        }
        break;
    case JSON_ARRAY:
        feed_head(h, '[', json_array_size(v));
        json_array_foreach(v, i, value) feed_json(h, value);
        break;
    case JSON_STRING:
        feed_text(h, '"', json_str(v));
        break;
    case JSON_INTEGER: {
        const json_int_t n = json_integer_value(v);

        feed_head(h, 'i', sizeof n);
        feed(h, &n, sizeof n);
        break;
    }
    case JSON_REAL: {
        const double d = json_real_value(v);

        feed_head(h, 'r', sizeof d);
        feed(h, &d, sizeof d);
        break;
    }
    case JSON_TRUE:
        feed_head(h, 't', 0);
        break;
    case JSON_FALSE:
        feed_head(h, 'f', 0);
        break;
    default:
        feed_head(h, v == NULL ? '0' : 'n', 0);
    }
}

void grade_scope_key(struct grade_scope *s)
{
    struct sha256_ctx h;

    sha256_init(&h);
    feed_json(&h, s->item);
    feed_text(&h, 's', s->sample->output_text);
    feed_json(&h, s->sample->output_json);
    feed_json(&h, s->sample->output_tools);
    feed_head(&h, s->sample->truncated ? 'c' : 'w', 0);
    sha256_digest(&h, sizeof s->key, s->key);
    s->has_key = true;
}

/* ---- entries ---- */

struct entry {
    unsigned char key[32];
    uint32_t part;
    bool known, failed; /* neither: a thread computes it */
    unsigned n_waiting; /* threads that wait for that; the last frees it where it was dropped */
    bool is_dropped;
    double score;
    struct entry *next;          /* in its bucket */
    struct entry *older, *newer; /* among those known, by their last use */
};

#define N_BUCKETS ((size_t)1 << 16)

struct grade_cache {
    size_t max_bytes;
    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t computed;
    size_t bytes;
    struct entry *oldest, *newest;
    struct entry *buckets[N_BUCKETS];
};

struct grade_cache *grade_cache_open(size_t max_bytes)
{
    struct grade_cache *c = calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    c->max_bytes = max_bytes;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->computed, NULL);
    return c;
}

void grade_cache_close(struct grade_cache *c)
{
    if (c == NULL)
        return;
    for (size_t i = 0; i < N_BUCKETS; i++) {
        for (struct entry *e = c->buckets[i], *next; e != NULL; e = next) {
            next = e->next;
            free(e);
        }
    }
    pthread_cond_destroy(&c->computed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static struct entry **place_of(struct grade_cache *c, const unsigned char *key, size_t part)
{
    uint32_t hash;
    struct entry **at;

    memcpy(&hash, key, sizeof hash); /* as good as random */
    at = &c->buckets[(hash + part * 0x9e3779b1u) % N_BUCKETS];
    while (*at != NULL && ((*at)->part != part || memcmp((*at)->key, key, sizeof(*at)->key) != 0))
        at = &(*at)->next;
    return at;
}

static void unlink_used(struct grade_cache *c, struct entry *e)
{
    *(e->older == NULL ? &c->oldest : &e->older->newer) = e->newer;
    *(e->newer == NULL ? &c->newest : &e->newer->older) = e->older;
    e->older = e->newer = NULL;
}

static void link_newest(struct grade_cache *c, struct entry *e)
{
    e->older = c->newest;
    e->newer = NULL;
    *(c->newest == NULL ? &c->oldest : &c->newest->newer) = e;
    c->newest = e;
}

/* A new entry at the end of a bucket; NULL where there is no memory: its score is then computed and not kept. */
static struct entry *add(struct grade_cache *c, struct entry **at, const struct grade_scope *s,
                         size_t part)
{
    struct entry *e = calloc(1, sizeof *e);

    if (e == NULL)
        return NULL;
    memcpy(e->key, s->key, sizeof e->key);
    e->part = (uint32_t)part;
    *at = e;
    c->bytes += sizeof *e;
    return e;
}

/* Takes e out of its bucket and gives its memory back, now or when nobody waits for it; it is not among those known. */
static void drop(struct grade_cache *c, struct entry *e)
{
    *place_of(c, e->key, e->part) = e->next;
    c->bytes -= sizeof *e;
    e->is_dropped = true;
    if (e->n_waiting == 0)
        free(e);
}

static void drop_oldest(struct grade_cache *c)
{
    struct entry *e = c->oldest;

    c->oldest = e->newer;
    if (c->oldest == NULL)
        c->newest = NULL;
    else
        c->oldest->older = NULL;
    drop(c, e);
}

/* Until another thread has computed e; true where it gave a score. */
static bool wait_for(struct grade_cache *c, struct entry *e, double *score)
{
    e->n_waiting++;
    while (!e->known && !e->failed)
        pthread_cond_wait(&c->computed, &c->lock);
    e->n_waiting--;
    const bool known = e->known;
    *score = e->score;
    if (e->is_dropped && e->n_waiting == 0)
        free(e);
    return known;
}

bool grade_cache_get(struct grade_cache *c, const struct grade_scope *s, size_t part,
                     struct part_result *out)
{
    bool known = false;

    pthread_mutex_lock(&c->lock);
    struct entry **at = place_of(c, s->key, part), *e = *at;
    if (e != NULL && e->known) {
        known = true;
        out->score = e->score;
        unlink_used(c, e);
        link_newest(c, e);
    } else if (e != NULL) {
        known = wait_for(c, e, &out->score);
    } else {
        (void)add(c, at, s, part);
    }
    pthread_mutex_unlock(&c->lock);
    return known;
}

void grade_cache_put(struct grade_cache *c, const struct grade_scope *s, size_t part,
                     const struct part_result *r)
{
    pthread_mutex_lock(&c->lock);
    struct entry **at = place_of(c, s->key, part), *e = *at;
    if (e == NULL && r->flags == 0) /* another thread's try had failed, and this one's has not */
        e = add(c, at, s, part);
    if (e != NULL && !e->known && r->flags == 0) {
        e->score = r->score;
        e->known = true;
        link_newest(c, e);
    } else if (e != NULL && !e->known) {
        e->failed = true; /* those that wait for it try it themselves, all at once */
        drop(c, e);
    }
    while (c->bytes > c->max_bytes && c->oldest != NULL)
        drop_oldest(c);
    pthread_cond_broadcast(&c->computed);
    pthread_mutex_unlock(&c->lock);
}

size_t grade_cache_bytes(struct grade_cache *c)
{
    size_t n;

    pthread_mutex_lock(&c->lock);
    n = c->bytes;
    pthread_mutex_unlock(&c->lock);
    return n;
}
