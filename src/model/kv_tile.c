/*
 * kv_tile.c - the three forms of a cache, each put and read in one place.
 */
#include "model/kv_tile.h"
#include "base/size.h"
#include "tensor/cpu/kernels.h"

#include <assert.h>
#include <string.h>

static_assert(KV_BLOCK == CACHED_BLOCK, "the kernels' blocks are the cache's");
static_assert(KV_PAGE == PANEL, "a page is a panel");

static void put_floats(size_t d, float *keys, size_t slot, const float *k, const float *v)
{
    for (size_t j = 0; j < d; j++)
        keys[j * KV_PAGE + slot] = k[j];
    memcpy(keys + d * KV_PAGE + slot * d, v, d * sizeof *v);
}

static void put_halves(size_t d, uint16_t *keys, size_t slot, const float *k, const float *v)
{
    uint16_t h[KV_BLOCK];

    for (size_t from = 0; from < d; from += KV_BLOCK) {
        const size_t n = size_min(KV_BLOCK, d - from);

        kernels()->to_f16(n, k + from, h);
        for (size_t j = 0; j < n; j++)
            keys[(from + j) * KV_PAGE + slot] = h[j];
    }
    kernels()->to_f16(d, v, keys + d * KV_PAGE + slot * d);
}

/* Where a tile's steps [D / KV_BLOCK, rounded up][KV_PAGE] lie. */
static const uint16_t *steps_of(size_t d, const char *tile)
{
    return (const uint16_t *)(const void *)(tile + d * KV_PAGE);
}

/* What a block rounds to; the rest of a short one counts as 0. */
static uint16_t round_block(const float *x, size_t n, int8_t q[KV_BLOCK])
{
    float whole[KV_BLOCK] = {0};

    if (n == KV_BLOCK)
        return kernels()->to_q8(x, q);
    memcpy(whole, x, n * sizeof *x);
    return kernels()->to_q8(whole, q);
}

static void put_bytes(const struct model_config *c, char *tiles, size_t slot, const float *k,
                      const float *v)
{
    const size_t d = c->head_width;
    int8_t *keys = (int8_t *)tiles, *values = keys + kv_tile_bytes(c);
    uint16_t *key_step = (uint16_t *)(void *)(keys + d * KV_PAGE),
             *value_step = (uint16_t *)(void *)(values + d * KV_PAGE);
    int8_t q[KV_BLOCK];

    for (size_t from = 0; from < d; from += KV_BLOCK) {
        const size_t n = size_min(KV_BLOCK, d - from), at = from / KV_BLOCK * KV_PAGE + slot;

        key_step[at] = round_block(k + from, n, q);
        for (size_t j = 0; j < n; j++)
            keys[(from + j) * KV_PAGE + slot] = q[j];
        value_step[at] = round_block(v + from, n, q);
        memcpy(values + slot * d + from, q, n);
    }
}

void kv_tiles_put(const struct model_config *c, char *tiles, size_t slot, const float *k,
                  const float *v)
{
    switch (c->kv_cache) {
    case KV_CACHE_F32:
        put_floats(c->head_width, (float *)(void *)tiles, slot, k, v);
        break;
    case KV_CACHE_F16:
        put_halves(c->head_width, (uint16_t *)(void *)tiles, slot, k, v);
        break;
    case KV_CACHE_Q8_0:
        put_bytes(c, tiles, slot, k, v);
        break;
    }
}

/* size: bytes of a number, KV_PAGE of them side by side for each of n */
static void copy_across(size_t n, size_t size, const char *from, size_t slot, char *to,
                        size_t to_slot)
{
    for (size_t j = 0; j < n; j++)
        memcpy(to + (j * KV_PAGE + to_slot) * size, from + (j * KV_PAGE + slot) * size, size);
}

void kv_tiles_copy(const struct model_config *c, const char *from, size_t slot, char *to,
                   size_t to_slot)
{
    const size_t d = c->head_width, values = kv_tile_bytes(c),
                 n_steps = c->kv_cache == KV_CACHE_Q8_0 ? (d + KV_BLOCK - 1) / KV_BLOCK : 0,
                 size = c->kv_cache == KV_CACHE_F32   ? sizeof(float)
                        : c->kv_cache == KV_CACHE_F16 ? sizeof(uint16_t)
                                                      : sizeof(int8_t);

    copy_across(d, size, from, slot, to, to_slot);
    memcpy(to + values + to_slot * d * size, from + values + slot * d * size, d * size);
    copy_across(n_steps, sizeof(uint16_t), from + d * KV_PAGE, slot, to + d * KV_PAGE, to_slot);
    copy_across(n_steps, sizeof(uint16_t), from + values + d * KV_PAGE, slot,
                to + values + d * KV_PAGE, to_slot);
}

const float *kv_tiles_keys(const struct model_config *c, const char *tiles, float *room)
{
    const size_t d = c->head_width;

    switch (c->kv_cache) {
    case KV_CACHE_F32:
        break;
    case KV_CACHE_F16:
        kernels()->unpack(PACK_F16, tiles, 0, d, room);
        return room;
    case KV_CACHE_Q8_0:
        kernels()->from_q8_across(d, (const int8_t *)tiles, steps_of(d, tiles), room);
        return room;
    }
    return (const float *)(const void *)tiles;
}

const float *kv_tiles_values(const struct model_config *c, const char *tiles, float *room)
{
    const size_t d = c->head_width;
    const char *values = tiles + kv_tile_bytes(c);

    switch (c->kv_cache) {
    case KV_CACHE_F32:
        break;
    case KV_CACHE_F16: /* as many numbers in one order as in the other */
        kernels()->unpack(PACK_F16, values, 0, d, room);
        return room;
    case KV_CACHE_Q8_0:
        kernels()->from_q8_along(d, (const int8_t *)values, steps_of(d, values), room);
        return room;
    }
    return (const float *)(const void *)values;
}
