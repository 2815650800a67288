/*
 * kv_tile.h - one head's keys and values of a page: what is put there is rounded, and what is read is what was kept.
 *
 * A pair of tiles lies at kv_offset of a page, in the form that the cache has (kv.h).
 */
#ifndef HONE_MODEL_KV_TILE_H
#define HONE_MODEL_KV_TILE_H

#include "model/kv.h"

/* The key k [D] and the value v [D] of position slot of the page. */
void kv_tiles_put(const struct model_config *c, char *tiles, size_t slot, const float *k,
                  const float *v);
/* What position slot of the page has becomes that of position to_slot of another, bit for bit. */
void kv_tiles_copy(const struct model_config *c, const char *from, size_t slot, char *to,
                   size_t to_slot);
/* Keys [D][KV_PAGE], values [KV_PAGE][D]: where they lie if they are floats, else in room [D * KV_PAGE]. */
const float *kv_tiles_keys(const struct model_config *c, const char *tiles, float *room);
const float *kv_tiles_values(const struct model_config *c, const char *tiles, float *room);
#endif
